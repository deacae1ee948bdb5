"""Paints the anatomy of a neck, slice by slice, from rows of simple shapes.

A row of ``rows[sub, n, :]`` is (kind, HU, fine texture HU, strand HU, geometry ...):

- kind 0, bent super-ellipse: centre x, y; semi-axes a, b; cos, sin of the a axis; bend (mm per
  mm2: the body follows v = bend u2); exponent.
- kind 1, 3-D capsule: end x, y, z; end x, y, z; radius at either end.
- kind 2, elliptical band: centre x, y; semi-axes; cos, sin; thickness; opening (cosine of the half
  angle left open towards +v; 2 for none).
- kind -1: absent here.

The last number of a row is the width (mm) of the fat that parts it from what was painted before.
Nothing but air and skin lies outside the body's contour. All lengths are LPS mm in the picture's frame. Later rows lie over earlier ones.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def lattice_noise(lattice: np.ndarray, x: float, y: float, z: float) -> float:
    """Trilinear look-up in a periodic cube of random numbers (side a power of two)."""
    n = lattice.shape[0] - 1
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    ax, ay, az = x - fx, y - fy, z - fz
    i0, j0, k0 = int(fx) & n, int(fy) & n, int(fz) & n
    i1, j1, k1 = (i0 + 1) & n, (j0 + 1) & n, (k0 + 1) & n
    c00 = lattice[k0, j0, i0] * (1 - ax) + lattice[k0, j0, i1] * ax
    c01 = lattice[k0, j1, i0] * (1 - ax) + lattice[k0, j1, i1] * ax
    c10 = lattice[k1, j0, i0] * (1 - ax) + lattice[k1, j0, i1] * ax
    c11 = lattice[k1, j1, i0] * (1 - ax) + lattice[k1, j1, i1] * ax
    c0 = c00 * (1 - ay) + c01 * ay
    c1 = c10 * (1 - ay) + c11 * ay
    return c0 * (1 - az) + c1 * az


@njit(cache=True, nogil=True)
def row_distance(row: np.ndarray, x: float, y: float, z: float) -> float:
    """Signed distance (mm, negative inside; first order for ellipses) from a point to a shape."""
    kind = int(row[0])
    if kind == 1:
        ux, uy, uz = row[7] - row[4], row[8] - row[5], row[9] - row[6]
        px, py, pz = x - row[4], y - row[5], z - row[6]
        length2 = ux * ux + uy * uy + uz * uz
        t = 0.0
        if length2 > 0.0:
            t = (px * ux + py * uy + pz * uz) / length2
            t = 0.0 if t < 0.0 else (1.0 if t > 1.0 else t)
        dx, dy, dz = px - t * ux, py - t * uy, pz - t * uz
        return math.sqrt(dx * dx + dy * dy + dz * dz) - (row[10] + t * (row[11] - row[10]))
    dx, dy = x - row[4], y - row[5]
    u = dx * row[8] + dy * row[9]
    v = -dx * row[9] + dy * row[8]
    a, b = row[6], row[7]
    if kind == 2:
        su, sv = u / a, v / b
        k1 = math.sqrt(su * su + sv * sv)
        if k1 < 1e-6:
            return b
        k2 = math.sqrt((su / a) ** 2 + (sv / b) ** 2)
        if sv / k1 > row[11]:
            return 5.0
        return abs(k1 * (k1 - 1.0) / k2) - 0.5 * row[10]
    v -= row[10] * u * u
    n = row[11]
    if n == 2.0:
        su, sv = u / a, v / b
        k1 = math.sqrt(su * su + sv * sv)
        if k1 < 1e-6:
            return -min(a, b)
        k2 = math.sqrt((su / a) ** 2 + (sv / b) ** 2)
        return k1 * (k1 - 1.0) / k2
    su, sv = abs(u) / a, abs(v) / b
    g = su**n + sv**n
    if g < 1e-9:
        return -min(a, b)
    k1 = g ** (1.0 / n)
    slope = g ** (1.0 / n - 1.0)
    gu, gv = slope * su ** (n - 1.0) / a, slope * sv ** (n - 1.0) / b
    return (k1 - 1.0) / math.sqrt(gu * gu + gv * gv + 1e-12)


@njit(cache=True, nogil=True)
def paint_slices(
    out, first, last, x0, y0, pixel, z_sub, rows, skin, skin_centre, skin_row, air_hu, to_body, coarse, fine
):  # fmt: skip
    """Paint slices ``first`` to ``last`` (exclusive) of ``out[k, j, i]`` in HU.

    ``z_sub[k, s]`` are the heights of the sub-slices averaged into a slice, ``rows[k, s]`` their
    shapes, ``skin[k, s, m]`` the body's radius over ``m`` even angles about
    ``skin_centre[k, s]``; ``skin_row`` = (skin HU, skin thickness mm, fat HU, fat strands HU).
    ``to_body`` (3x4) carries a point to the body's own frame, in which the texture is fixed.
    """
    ny, nx = out.shape[1], out.shape[2]
    subs, angles = skin.shape[1], skin.shape[2]
    hu = np.empty((ny, nx), dtype=np.float32)
    body = np.empty((ny, nx), dtype=np.float32)
    grain = np.empty((ny, nx), dtype=np.float32)
    strand = np.empty((ny, nx), dtype=np.float32)
    sum_grain = np.empty((ny, nx), dtype=np.float32)
    sum_strand = np.empty((ny, nx), dtype=np.float32)
    for k in range(first, last):
        out[k] = 0.0
        sum_grain[:] = 0.0
        sum_strand[:] = 0.0
        for s in range(subs):
            z = z_sub[k, s]
            cx, cy = skin_centre[k, s, 0], skin_centre[k, s, 1]
            widest, narrowest = 0.0, 1e9
            for m in range(angles):
                widest, narrowest = max(widest, skin[k, s, m]), min(narrowest, skin[k, s, m])
            sure2 = max(narrowest - skin_row[1] - pixel, 0.0) ** 2  # inside this no angle is needed
            for j in range(ny):
                y = y0 + j * pixel - cy
                for i in range(nx):
                    x = x0 + i * pixel - cx
                    hu[j, i] = air_hu
                    body[j, i] = 0.0
                    grain[j, i] = 0.0
                    strand[j, i] = 0.0
                    r2 = x * x + y * y
                    if r2 > (widest + 1.0) ** 2:
                        continue
                    if r2 < sure2:
                        hu[j, i] = skin_row[2]
                        body[j, i] = 1.0
                        grain[j, i] = 4.0
                        strand[j, i] = skin_row[3]
                        continue
                    r = math.sqrt(r2)
                    turn = math.atan2(y, x) / (2 * math.pi) * angles
                    if turn < 0:
                        turn += angles
                    m = int(turn)
                    w = turn - m
                    m0 = m % angles
                    radius = skin[k, s, m0] * (1 - w) + skin[k, s, (m0 + 1) % angles] * w
                    c = 0.5 + (radius - r) / pixel
                    c = 0.0 if c < 0 else (1.0 if c > 1 else c)
                    inner = 0.5 + (radius - skin_row[1] - r) / pixel
                    inner = 0.0 if inner < 0 else (1.0 if inner > 1 else inner)
                    body[j, i] = inner
                    tissue = skin_row[0] + inner * (skin_row[2] - skin_row[0])
                    hu[j, i] = air_hu + c * (tissue - air_hu)
                    grain[j, i] = 4.0 * inner
                    strand[j, i] = inner * skin_row[3]
            for n in range(rows.shape[2]):
                row = rows[k, s, n]
                kind = int(row[0])
                if kind < 0:
                    continue
                if kind == 1:
                    grow = max(row[10], row[11]) + row[12] + pixel
                    if z < min(row[6], row[9]) - grow or z > max(row[6], row[9]) + grow:
                        continue
                    lx, hx = min(row[4], row[7]) - grow, max(row[4], row[7]) + grow
                    ly, hy = min(row[5], row[8]) - grow, max(row[5], row[8]) + grow
                else:
                    thick = 0.5 * row[10] if kind == 2 else 0.0
                    sag = 0.0 if kind == 2 else abs(row[10]) * row[6] * row[6]
                    ea, eb = row[6] + thick, row[7] + thick + sag
                    ex = math.sqrt((ea * row[8]) ** 2 + (eb * row[9]) ** 2)
                    ey = math.sqrt((ea * row[9]) ** 2 + (eb * row[8]) ** 2)
                    if row[11] > 2.0 and kind == 0:
                        ex, ey = abs(ea * row[8]) + abs(eb * row[9]), abs(ea * row[9]) + abs(eb * row[8])
                    ex, ey = ex + row[12] + pixel, ey + row[12] + pixel
                    lx, hx = row[4] - ex, row[4] + ex
                    ly, hy = row[5] - ey, row[5] + ey
                i0, i1 = max(0, int((lx - x0) / pixel)), min(nx, int((hx - x0) / pixel) + 2)
                j0, j1 = max(0, int((ly - y0) / pixel)), min(ny, int((hy - y0) / pixel) + 2)
                for j in range(j0, j1):
                    y = y0 + j * pixel
                    for i in range(i0, i1):
                        d = row_distance(row, x0 + i * pixel, y, z)
                        c = 0.5 - (d - row[12]) / pixel
                        if c <= 0.0:
                            continue
                        if c > body[j, i]:
                            c = body[j, i]
                        if row[12] > 0.0:
                            hu[j, i] += c * (skin_row[2] - hu[j, i])
                            grain[j, i] += c * (4.0 - grain[j, i])
                            c = 0.5 - d / pixel
                            if c <= 0.0:
                                continue
                            if c > body[j, i]:
                                c = body[j, i]
                        hu[j, i] += c * (row[1] - hu[j, i])
                        grain[j, i] += c * (row[2] - grain[j, i])
                        strand[j, i] += c * (row[3] - strand[j, i])
            for j in range(ny):
                for i in range(nx):
                    out[k, j, i] += hu[j, i]
                    sum_grain[j, i] += grain[j, i]
                    sum_strand[j, i] += strand[j, i]
        zc = 0.5 * (z_sub[k, 0] + z_sub[k, subs - 1])
        for j in range(ny):
            y = y0 + j * pixel
            for i in range(nx):
                value = out[k, j, i] / subs
                g, f = sum_grain[j, i] / subs, sum_strand[j, i] / subs
                if g > 0.2 or abs(f) > 0.2:
                    x = x0 + i * pixel
                    bx = to_body[0, 0] * x + to_body[0, 1] * y + to_body[0, 2] * zc + to_body[0, 3]
                    by = to_body[1, 0] * x + to_body[1, 1] * y + to_body[1, 2] * zc + to_body[1, 3]
                    bz = to_body[2, 0] * x + to_body[2, 1] * y + to_body[2, 2] * zc + to_body[2, 3]
                    low = lattice_noise(coarse, bx / 4.0, by / 4.0, bz / 9.0)
                    high = lattice_noise(fine, bx / 1.1, by / 1.1, bz / 2.5)
                    value += g * (0.6 * low + 0.8 * high)
                    t = (low + 0.25 * high) / 0.11
                    if f != 0.0 and t * t < 9.0:
                        value += f * math.exp(-t * t)
                out[k, j, i] = value
