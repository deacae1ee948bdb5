"""Kernels that set a thin needle into a coarse voxel grid without voxelising it.

A needle of 1 mm on a 0.5 mm grid is two cells wide; as a staircase it draws 10 to 17 % too little
current. Here each face near the exposed metal gets the factor

    q = flux of grad(ln r) through the face / (h (ln r_j - ln r_i)),

so that the discrete flux is exact for the field of a line source, with ``ln a`` on metal. Cells
whose centre lies in the needle hold no unknown; faces to exposed metal become couplings to the
electrode; faces to the insulated shaft are closed.

A needle is ``(tip x, y, z, direction x, y, z, radius, exposure)`` in mm, direction from the tip up
the shaft; ``s`` is the distance along it from the flat tip. The centre of inner cell ``(k, j, i)``
(counted from 1) lies at ``origin + h (i - 1, j - 1, k - 1)``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from planning.kernels.conductivity import FIRST_NEEDLE_LABEL, METAL, SHAFT

SAMPLES = 4  # per side of a face
LARGEST_FACTOR, SMALLEST_FACTOR = 30.0, 0.2
LARGEST_COUPLING = 1e4  # a cell whose centre lies on the surface is all but metal


@njit(cache=True, nogil=True, inline="always")
def along_and_radius(needle, x, y, z):
    """``(s, r)`` of a point: distance along the needle from its tip, distance to its axis."""
    dx, dy, dz = x - needle[0], y - needle[1], z - needle[2]
    s = dx * needle[3] + dy * needle[4] + dz * needle[5]
    r2 = dx * dx + dy * dy + dz * dz - s * s
    return s, np.sqrt(max(r2, 0.0))


@njit(cache=True, nogil=True)
def row_interval(needle, origin, h, j, k, ni, reach):
    """First and last inner i (from 1) of a grid row whose distance to the axis is <= reach; the
    last is below the first where there is none."""
    y, z = origin[1] + h * (j - 1) - needle[1], origin[2] + h * (k - 1) - needle[2]
    x0 = origin[0] - needle[0]
    tx, ty, tz = needle[3], needle[4], needle[5]
    # r^2(x) = |d|^2 - (d.t)^2 with d = (x0 + x, y, z): a quadratic in x
    a = 1.0 - tx * tx
    q = y * ty + z * tz
    b = -tx * q
    c = y * y + z * z - q * q - reach * reach
    if a < 1e-9:
        return (1, ni) if c <= 0 else (1, 0)
    disc = b * b - a * c
    if disc < 0:
        return 1, 0
    root = np.sqrt(disc)
    lo = ((-b - root) / a - x0) / h + 1
    hi = ((-b + root) / a - x0) / h + 1
    return max(1, int(np.ceil(lo))), min(ni, int(np.floor(hi)))


@njit(cache=True, nogil=True)
def mark_needle(needle, number, origin, h, label, cells, owners, count):
    """Label the cells whose centre lies in the needle; list the metal ones with their owner.

    Returns the new length of the list (may pass its capacity: then call again with more room).
    """
    nk, nj, ni = label.shape[0] - 2, label.shape[1] - 2, label.shape[2] - 2
    flat = label.reshape(-1)
    for k in range(1, nk + 1):
        for j in range(1, nj + 1):
            lo, hi = row_interval(needle, origin, h, j, k, ni, needle[6])
            for i in range(lo, hi + 1):
                s, r = along_and_radius(needle, origin[0] + h * (i - 1), origin[1] + h * (j - 1), origin[2] + h * (k - 1))
                if s < 0.0 or r >= needle[6]:
                    continue
                c = (k * (nj + 2) + j) * (ni + 2) + i
                if s <= needle[7]:
                    flat[c] = METAL
                    if count < cells.size:
                        cells[count] = c
                        owners[count] = number
                    count += 1
                else:
                    flat[c] = SHAFT
    return count


@njit(cache=True, nogil=True)
def nearest_needle(needles, x, y, z):
    """Number of the needle whose axis (from the tip up) is nearest to a point."""
    best, which = 1e30, -1
    for n in range(needles.shape[0]):
        s, r = along_and_radius(needles[n], x, y, z)
        d = r if s >= 0.0 else np.sqrt(r * r + s * s)
        if d < best:
            best, which = d, n
    return which


@njit(cache=True, nogil=True)
def face_flux(needle, x, y, z, axis, h):
    """``(flux of grad ln r / h, covered fraction)`` of the face centred at a point: midpoint rule
    over SAMPLES x SAMPLES points, flux towards +axis, and the part of the face beside exposed metal."""
    flux, covered = 0.0, 0.0
    for a in range(SAMPLES):
        u = ((a + 0.5) / SAMPLES - 0.5) * h
        for b in range(SAMPLES):
            v = ((b + 0.5) / SAMPLES - 0.5) * h
            px, py, pz = x, y, z
            if axis == 0:
                py += u
                pz += v
            elif axis == 1:
                px += u
                pz += v
            else:
                px += u
                py += v
            dx, dy, dz = px - needle[0], py - needle[1], pz - needle[2]
            s = dx * needle[3] + dy * needle[4] + dz * needle[5]
            rx, ry, rz = dx - s * needle[3], dy - s * needle[4], dz - s * needle[5]
            r2 = max(rx * rx + ry * ry + rz * rz, 1e-4 * h * h)
            flux += (rx if axis == 0 else (ry if axis == 1 else rz)) / r2
            if 0.0 <= s <= needle[7]:
                covered += 1.0
    n = SAMPLES * SAMPLES
    return flux / n * h, covered / n


@njit(cache=True, nogil=True)
def edge_share(needle, s, r, fs, half):
    """Share of a cut face's coupling where bare metal meets insulation.

    There the potential is that of a plane half metal, half insulator, w = sqrt(rho + x), x the
    distance past the edge and rho the distance to it; the flux into the metal is 1 / sqrt(-2 x).
    Ratio of that flux over the face (``fs`` its middle along the needle, ``half`` its half width) to
    what a plane of metal would draw from the same cell at ``(s, r)``: 1 far from the edge.
    """
    if fs + half < needle[7] - 8.0 * half:
        return 1.0
    d = max(r - needle[6], 1e-4 * needle[6])
    x = s - needle[7]
    w = np.sqrt(np.sqrt(x * x + d * d) + x)
    x0, x1 = fs - half - needle[7], min(fs + half - needle[7], 0.0)
    if x0 >= 0.0:
        return 0.0
    flux = np.sqrt(2.0) * (np.sqrt(-x0) - np.sqrt(-x1))
    return min(flux * d / (w * 2.0 * half), 5.0)


@njit(cache=True, nogil=True, inline="always")
def wedge(x, y):
    """Potential beside a right-angled metal edge (the rim of the flat tip): rho^(2/3)
    sin(2/3 theta), theta from the side wall (+x) around through the tissue to the tip's face."""
    theta = np.arctan2(y, x)
    if theta < 0.0:
        theta += 2.0 * np.pi
    return (x * x + y * y) ** (1.0 / 3.0) * np.sin(2.0 / 3.0 * theta)


@njit(cache=True, nogil=True)
def rim_share(needle, s, r, fs, half, first):
    """As ``edge_share`` for the side wall near the rim of the tip: the flux into the wall is
    2/3 x^(-1/3) at the distance x from the rim. The ``first`` row of metal cells answers for the
    wall down to the rim, also where that lies in the next cell."""
    if fs - half > 8.0 * half:
        return 1.0
    x0, x1 = 0.0 if first else max(fs - half, 0.0), fs + half
    if x1 <= 0.0:
        return 0.0
    d = max(r - needle[6], 1e-4 * needle[6])
    flux = x1 ** (2.0 / 3.0) - x0 ** (2.0 / 3.0)
    return min(flux * d / (max(wedge(s, d), 1e-9) * 2.0 * half), 5.0)


@njit(cache=True, nogil=True)
def tip_share(needle, s, r, x, y, z, axis, h):
    """The same for the tip's face: mean over the face's points in the disc of the flux
    2/3 (a - r)^(-1/3), against what a plane would draw from the cell at ``(s, r)``."""
    a = needle[6]
    flux = 0.0
    for m in range(SAMPLES):
        u = ((m + 0.5) / SAMPLES - 0.5) * h
        for n in range(SAMPLES):
            v = ((n + 0.5) / SAMPLES - 0.5) * h
            _, rr = along_and_radius(needle, x + (0.0 if axis == 0 else u), y + (0.0 if axis == 1 else (u if axis == 0 else v)),
                                     z + (0.0 if axis == 2 else v))
            if rr < a:
                flux += 2.0 / 3.0 * max(a - rr, 0.02 * a) ** (-1.0 / 3.0) / (SAMPLES * SAMPLES)
    return flux * -s / max(wedge(s, r - a), 1e-9)


@njit(cache=True, nogil=True)
def embed_needle(needles, number, origin, h, label, reach_cells,
                 face_axis, face_cell, face_factor, coup_cell, coup_factor, counts):
    """Face factors and couplings of one needle, by the rule at the top of this file.

    ``counts`` holds the lengths of the two lists, which other needles may have begun; entries past
    an array's end are counted and not written.
    """
    needle = needles[number]
    nk, nj, ni = label.shape[0] - 2, label.shape[1] - 2, label.shape[2] - 2
    sj, sk = ni + 2, (ni + 2) * (nj + 2)
    flat = label.reshape(-1)
    a, exposure = needle[6], needle[7]
    reach = a + (reach_cells + 1.0) * h
    for k in range(1, nk + 1):
        for j in range(1, nj + 1):
            lo, hi = row_interval(needle, origin, h, j, k, ni, reach)
            for i in range(lo, hi + 1):
                c = k * sk + j * sj + i
                if flat[c] >= FIRST_NEEDLE_LABEL:
                    continue
                x, y, z = origin[0] + h * (i - 1), origin[1] + h * (j - 1), origin[2] + h * (k - 1)
                s, r = along_and_radius(needle, x, y, z)
                if s < -2.0 * h or s > exposure + 2.0 * h:
                    continue
                if nearest_needle(needles, x, y, z) != number:
                    continue
                on_tip = False
                for side in range(6):
                    axis, sign = side // 2, 2.0 * (side % 2) - 1.0
                    stride = 1 if axis == 0 else (sj if axis == 1 else sk)
                    index = i if axis == 0 else (j if axis == 1 else k)
                    last = ni if axis == 0 else (nj if axis == 1 else nk)
                    if (sign < 0 and index == 1) or (sign > 0 and index == last):
                        continue
                    other = c + (stride if sign > 0 else -stride)
                    ox = x + (sign * h if axis == 0 else 0.0)
                    oy = y + (sign * h if axis == 1 else 0.0)
                    oz = z + (sign * h if axis == 2 else 0.0)
                    fs, fr = along_and_radius(needle, 0.5 * (x + ox), 0.5 * (y + oy), 0.5 * (z + oz))
                    os, orad = along_and_radius(needle, ox, oy, oz)
                    inside = flat[other] >= FIRST_NEEDLE_LABEL
                    if inside:
                        if os < 0.0 or orad >= a:
                            continue  # another needle's cell
                        q = 0.0
                        if s < 0.0:
                            t = s / (s - os)
                            _, rt = along_and_radius(needle, x + t * (ox - x), y + t * (oy - y), z + t * (oz - z))
                            if rt <= a:  # enters through the flat tip
                                on_tip = True
                                q = tip_share(needle, s, r, 0.5 * (x + ox), 0.5 * (y + oy), 0.5 * (z + oz), axis, h)
                                q = min(q / max(t, 1e-6), LARGEST_COUPLING)
                                if q <= 0.0:
                                    continue
                        if q == 0.0:
                            flux, _covered = face_flux(needle, 0.5 * (x + ox), 0.5 * (y + oy), 0.5 * (z + oz), axis, h)
                            drop = np.log(a / max(r, a * 1.0001))
                            q = flux * sign / drop
                            t1, t2 = needle[3 + (axis + 1) % 3], needle[3 + (axis + 2) % 3]
                            half = 0.5 * h * max(abs(t1) + abs(t2), 0.3)
                            share = edge_share(needle, s, r, fs, half)
                            if fs < 0.5 * exposure:
                                share = rim_share(needle, s, r, fs, half, os < 2.0 * half)
                            if share <= 0.0:
                                continue
                            q = share * min(max(q, SMALLEST_FACTOR), LARGEST_COUPLING)
                        if counts[1] < coup_cell.size:
                            coup_cell[counts[1]] = c
                            coup_factor[counts[1]] = q
                        counts[1] += 1
                    elif sign > 0:
                        if fs < 0.0 or fs > exposure or fr > a + reach_cells * h:
                            continue
                        drop = np.log(max(orad, 0.3 * a) / max(r, 0.3 * a))
                        if abs(drop) < 1e-3:
                            continue
                        flux, _ = face_flux(needle, 0.5 * (x + ox), 0.5 * (y + oy), 0.5 * (z + oz), axis, h)
                        q = min(max(flux / drop, SMALLEST_FACTOR), LARGEST_FACTOR)
                        if counts[0] < face_axis.size:
                            face_axis[counts[0]] = axis
                            face_cell[counts[0]] = other
                            face_factor[counts[0]] = q
                        counts[0] += 1
                # the axis runs through this cell though its centre is outside: a line source in it,
                # as strong as what the fitted fluxes carry out of the cell
                if r < 0.87 * h and not on_tip:
                    exposed = min(exposure, s + 0.5 * h) - max(0.0, s - 0.5 * h)
                    out = 0.0
                    for axis in range(3):
                        for side in range(2):
                            g = 0.5 * h * (2.0 * side - 1.0)
                            flux, _ = face_flux(needle, x + (g if axis == 0 else 0.0), y + (g if axis == 1 else 0.0),
                                                z + (g if axis == 2 else 0.0), axis, h)
                            out += flux * (2.0 * side - 1.0)
                    if out > 0.05 and exposed > 0.0:
                        q = out * min(exposed / h, 1.0) / np.log(max((r if s >= 0.0 else np.hypot(r, s)) / a, 1.0001))
                        if counts[1] < coup_cell.size:
                            coup_cell[counts[1]] = c
                            coup_factor[counts[1]] = min(q, LARGEST_COUPLING)
                        counts[1] += 1


@njit(cache=True, nogil=True)
def needle_field_factors(needles, number, origin, h, label, reach_cells, cells, factors, count):
    """Cells near a needle with factors that make the mean slope right for a line source.

    For each axis: (d ln r / dx) / (central difference of ln r over two cells, with ln a on metal),
    on both half-cell slopes; a face to the shaft gets 0, a slope that ends on the flat tip is
    stretched by the true distance. Returns the new length (may pass the capacity).
    """
    needle = needles[number]
    nk, nj, ni = label.shape[0] - 2, label.shape[1] - 2, label.shape[2] - 2
    sj, sk = ni + 2, (ni + 2) * (nj + 2)
    flat = label.reshape(-1)
    a, exposure = needle[6], needle[7]
    reach = a + reach_cells * h
    for k in range(1, nk + 1):
        for j in range(1, nj + 1):
            lo, hi = row_interval(needle, origin, h, j, k, ni, reach)
            for i in range(lo, hi + 1):
                c = k * sk + j * sj + i
                if flat[c] >= FIRST_NEEDLE_LABEL:
                    continue
                x, y, z = origin[0] + h * (i - 1), origin[1] + h * (j - 1), origin[2] + h * (k - 1)
                s, r = along_and_radius(needle, x, y, z)
                if s < -1.5 * h or nearest_needle(needles, x, y, z) != number:
                    continue
                beside_metal = 0.0 <= s <= exposure
                near = False
                f = np.ones(6)
                for axis in range(3):
                    step = 1 if axis == 0 else (sj if axis == 1 else sk)
                    index = i if axis == 0 else (j if axis == 1 else k)
                    last = ni if axis == 0 else (nj if axis == 1 else nk)
                    ends = np.zeros(2)
                    for side in range(2):
                        g = h * (2.0 * side - 1.0)
                        ox, oy, oz = x + (g if axis == 0 else 0.0), y + (g if axis == 1 else 0.0), z + (g if axis == 2 else 0.0)
                        os, orad = along_and_radius(needle, ox, oy, oz)
                        ends[side] = np.log(max(orad, a))
                        wall = (side == 0 and index == 1) or (side == 1 and index == last)
                        other = flat[c + (step if side == 1 else -step)]
                        if wall or other == SHAFT:
                            f[2 * axis + side] = 0.0
                            near = True
                        elif other == METAL:
                            near = True
                            if s < 0.0 and os >= 0.0:
                                f[2 * axis + side] = min((os - s) / max(-s, 0.1 * h), 3.0)
                    if beside_metal:
                        near = True
                        px = (x - needle[0]) - s * needle[3]
                        py = (y - needle[1]) - s * needle[4]
                        pz = (z - needle[2]) - s * needle[5]
                        true = (px if axis == 0 else (py if axis == 1 else pz)) / (r * r)
                        coarse = (ends[1] - ends[0]) / (2.0 * h)
                        if abs(coarse) > 1e-3 / h:
                            m = min(max(true / coarse, 0.3), 2.0)
                            f[2 * axis] *= m
                            f[2 * axis + 1] *= m
                if near:
                    if count < cells.size:
                        cells[count] = c
                        for n in range(6):
                            factors[count, n] = f[n]
                    count += 1
    return count
