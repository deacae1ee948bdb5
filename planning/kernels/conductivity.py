"""Kernels that turn a potential into field strength and conductivity, cell by cell.

Arrays are laid out as in ``multigrid.py``. ``label`` holds a row of ``law`` for tissue, and
``SHAFT`` or ``METAL`` for the needles. A row of ``law`` is
``(kind, sigma0, sigma1, e_low, e_high)`` in S/m and V/cm with kind 0 constant, 1 ramp, 2 sigmoid.
``scale`` turns a difference of potential over two cells into V/cm: ``10 / (2 h_mm)``.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SHAFT = 254
METAL = 255
FIRST_NEEDLE_LABEL = 254
CONSTANT, RAMP, SIGMOID = 0, 1, 2
PARTS = 64  # a sum over a list is made in this many pieces
STEEPNESS = 10.0  # D of the sigmoid of Sel et al. 2005


@njit(cache=True, nogil=True, inline="always")
def conductivity_at(law, m, e):
    """Conductivity (S/m) of tissue ``m`` at ``e`` V/cm."""
    kind = law[m, 0]
    s0 = law[m, 1]
    if kind == 0.0:
        return s0
    s1, lo, hi = law[m, 2], law[m, 3], law[m, 4]
    if kind == 1.0:
        return s0 + (s1 - s0) * min(max((e - lo) / (hi - lo), np.float32(0.0)), np.float32(1.0))
    x = (e - np.float32(0.5) * (lo + hi)) / (np.float32(0.125) * (hi - lo))
    return s0 + (s1 - s0) / (np.float32(1.0) + np.float32(STEEPNESS) * np.exp(-min(max(x, np.float32(-60.0)), np.float32(60.0))))


@njit(cache=True, nogil=True, inline="always")
def conductivity_slope_at(law, m, e):
    """d sigma / dE (S/m per V/cm) of tissue ``m`` at ``e`` V/cm."""
    kind = law[m, 0]
    if kind == 0.0:
        return np.float32(0.0)
    s0, s1, lo, hi = law[m, 1], law[m, 2], law[m, 3], law[m, 4]
    if kind == 1.0:
        return (s1 - s0) / (hi - lo) if lo < e < hi else np.float32(0.0)
    b = np.float32(0.125) * (hi - lo)
    x = min(max((e - np.float32(0.5) * (lo + hi)) / b, np.float32(-60.0)), np.float32(60.0))
    q = np.float32(STEEPNESS) * np.exp(-x)
    return (s1 - s0) * q / ((np.float32(1.0) + q) * (np.float32(1.0) + q) * b)


@njit(cache=True, nogil=True, parallel=True)
def row_onsets(label, onset, out):
    """Write for every row ``[k, j]`` the lowest of ``onset`` (V/cm) over the tissues in it: below, all of it is
    at rest. Rows of needles alone get infinity."""
    for k in prange(1, label.shape[0] - 1):
        for j in range(1, label.shape[1] - 1):
            lowest, last = np.float32(np.inf), -1
            for i in range(1, label.shape[2] - 1):
                m = label[k, j, i]
                if m != last:
                    last = m
                    if m < FIRST_NEEDLE_LABEL:
                        lowest = min(lowest, onset[m])
            out[k, j] = lowest


@njit(cache=True, nogil=True, inline="always")
def _square_of_slopes(c, south, north, below, above, ni, least, e):
    """Squared difference over two cells of a row into ``e``; True where one of them reaches ``least``."""
    reached = 0
    for i in range(1, ni + 1):
        gx = np.float32(c[i + 1] - c[i - 1])
        gy = np.float32(north[i] - south[i])
        gz = np.float32(above[i] - below[i])
        square = gx * gx + gy * gy + gz * gz
        e[i] = square
        reached |= square >= least
    return reached != 0


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _conductivity_of_run(law, m, e, out, sc):
    """Conductivity of a run of cells of one tissue ``m`` into ``out``; ``sc * sqrt(e)`` is |E|. One law for the whole
    run and views that begin at it, so that the loops vectorise."""
    if m >= FIRST_NEEDLE_LABEL:
        for i in range(out.size):
            out[i] = np.float32(0.0)
    elif law[m, 0] == 1.0:
        s0, rise, lo, inverse = law[m, 1], law[m, 2] - law[m, 1], law[m, 3], np.float32(1.0) / (law[m, 4] - law[m, 3])
        for i in range(out.size):
            out[i] = s0 + rise * min(max((sc * np.sqrt(e[i]) - lo) * inverse, np.float32(0.0)), np.float32(1.0))
    elif law[m, 0] == 0.0:
        for i in range(out.size):
            out[i] = law[m, 1]
    else:
        for i in range(out.size):
            out[i] = conductivity_at(law, m, sc * np.sqrt(e[i]))


@njit(cache=True, nogil=True, parallel=True)
def tissue_conductivity(u, label, law, floor, use_floor, scale, onset, sigma):
    """``sigma`` of every cell from central differences of ``u``, never below ``floor``; 0 in needles.

    ``onset`` [k, j]: below that many V/cm a whole row is at rest, and its law need not be asked (infinity:
    never). Cells beside needles or other tissue are redone by ``special_conductivity``.
    """
    nk, nj, ni = u.shape[0] - 2, u.shape[1] - 2, u.shape[2] - 2
    sc = np.float32(scale)
    for k in prange(1, nk + 1):
        e = np.empty(ni + 2, np.float32)
        for j in range(1, nj + 1):
            lab, out = label[k, j], sigma[k, j]
            rests = onset[k, j] == np.inf
            if not rests:
                least = onset[k, j] / sc
                rests = not _square_of_slopes(u[k, j], u[k, j - 1], u[k, j + 1], u[k - 1, j], u[k + 1, j], ni, least * least, e)
            if rests:
                for i in range(1, ni + 1):
                    m = lab[i]
                    out[i] = np.float32(0.0) if m >= FIRST_NEEDLE_LABEL else law[m, 1]
            else:
                low = 1
                while low <= ni:
                    high = low + 1
                    while high <= ni and lab[high] == lab[low]:
                        high += 1
                    _conductivity_of_run(law, lab[low], e[low:high], out[low:high], sc)
                    low = high
            if use_floor:
                fl = floor[k, j]
                for i in range(1, ni + 1):
                    out[i] = max(out[i], fl[i]) if lab[i] < FIRST_NEEDLE_LABEL else np.float32(0.0)


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def special_conductivity(u, label, law, floor, use_floor, scale, cells, factors, sigma):
    """``sigma`` of the special cells from their own field formula: per axis the mean of the two half-cell slopes,
    each slope times its geometric factor (order -i +i -j +j -k +k)."""
    sk, sj = u.shape[1] * u.shape[2], u.shape[2]
    uf, lf, sf, ff = u.reshape(-1), label.reshape(-1), sigma.reshape(-1), floor.reshape(-1)
    sc = np.float32(scale)
    for n in prange(cells.size):
        c = cells[n]
        v = uf[c]
        gx = factors[n, 0] * np.float32(v - uf[c - 1]) + factors[n, 1] * np.float32(uf[c + 1] - v)
        gy = factors[n, 2] * np.float32(v - uf[c - sj]) + factors[n, 3] * np.float32(uf[c + sj] - v)
        gz = factors[n, 4] * np.float32(v - uf[c - sk]) + factors[n, 5] * np.float32(uf[c + sk] - v)
        s = conductivity_at(law, lf[c], sc * np.sqrt(gx * gx + gy * gy + gz * gz))
        sf[c] = max(s, ff[c]) if use_floor else s


@njit(cache=True, nogil=True, parallel=True)
def face_weights(sigma, wx, wy, wz):
    """Harmonic means of ``sigma`` over the three lower faces of every inner cell."""
    nk, nj, ni = sigma.shape[0] - 2, sigma.shape[1] - 2, sigma.shape[2] - 2
    tiny = np.float32(1e-30)
    two = np.float32(2.0)
    for k in prange(1, nk + 1):
        for j in range(1, nj + 1):
            c, south, below = sigma[k, j], sigma[k, j - 1], sigma[k - 1, j]
            x, y, z = wx[k, j], wy[k, j], wz[k, j]
            for i in range(1, ni + 1):
                s = c[i]
                x[i] = two * s * c[i - 1] / (s + c[i - 1] + tiny)
                y[i] = two * s * south[i] / (s + south[i] + tiny)
                z[i] = two * s * below[i] / (s + below[i] + tiny)


@njit(cache=True, nogil=True)
def scale_faces(wx, wy, wz, axis, cells, factor):
    """Multiply the listed faces (axis 0 i, 1 j, 2 k; flat padded index of the upper cell)."""
    x, y, z = wx.reshape(-1), wy.reshape(-1), wz.reshape(-1)
    for n in range(cells.size):
        if axis[n] == 0:
            x[cells[n]] *= factor[n]
        elif axis[n] == 1:
            y[cells[n]] *= factor[n]
        else:
            z[cells[n]] *= factor[n]


@njit(cache=True, nogil=True)
def coupling_weights(sigma, cells, geometry, weights):
    """Weight of each coupling = conductivity of its cell times its geometric factor."""
    s = sigma.reshape(-1)
    for n in range(cells.size):
        weights[n] = s[cells[n]] * geometry[n]


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _slope_of_run(law, m, e, sc, use_floor, floor, out):
    """``sigma'(E) / E`` of a run of cells of one tissue ``m``; 0 where the floor holds it up."""
    zero = np.float32(0.0)
    if m >= FIRST_NEEDLE_LABEL or law[m, 0] == 0.0:
        for i in range(out.size):
            out[i] = zero
    elif law[m, 0] == 1.0:
        s0, lo, hi = law[m, 1], law[m, 3], law[m, 4]
        slope = (law[m, 2] - s0) / (hi - lo)
        if use_floor:
            for i in range(out.size):
                strength = sc * np.sqrt(e[i])
                inside = (strength > lo) & (strength < hi) & (s0 + slope * (strength - lo) >= floor[i])
                out[i] = slope / strength if inside else zero
        else:
            for i in range(out.size):
                strength = sc * np.sqrt(e[i])
                out[i] = slope / strength if (strength > lo) & (strength < hi) else zero
    else:
        for i in range(out.size):
            strength = sc * np.sqrt(e[i])
            held = use_floor and conductivity_at(law, m, strength) < floor[i]
            out[i] = zero if held or strength <= zero else conductivity_slope_at(law, m, strength) / strength


@njit(cache=True, nogil=True, parallel=True, fastmath={"reassoc"})
def curvature(u, p, label, special, law, floor, use_floor, scale, onset):
    """Sum over cells of ``sigma'(E)/E (grad u . grad p)^2``: what the rise of conductivity adds to
    ``p.A p`` in the exact second derivative along ``p``, in the same units as ``face_energy``.
    ``onset`` as in ``tissue_conductivity``. Cells flagged in ``special`` are left to ``special_curvature``."""
    nk, nj, ni = u.shape[0] - 2, u.shape[1] - 2, u.shape[2] - 2
    part = np.zeros(nk + 2)
    sc = np.float32(scale)
    for k in prange(1, nk + 1):
        e, slope = np.empty(ni + 2, np.float32), np.empty(ni + 2, np.float32)
        total = 0.0
        for j in range(1, nj + 1):
            if onset[k, j] == np.inf:
                continue
            c, south, north, below, above = u[k, j], u[k, j - 1], u[k, j + 1], u[k - 1, j], u[k + 1, j]
            least = onset[k, j] / sc
            if not _square_of_slopes(c, south, north, below, above, ni, least * least, e):
                continue
            p0, ps, pn, pb, pa = p[k, j], p[k, j - 1], p[k, j + 1], p[k - 1, j], p[k + 1, j]
            lab, flag, fl = label[k, j], special[k, j], floor[k, j] if use_floor else p[k, j]
            low = 1
            while low <= ni:
                high = low + 1
                while high <= ni and lab[high] == lab[low]:
                    high += 1
                _slope_of_run(law, lab[low], e[low:high], sc, use_floor, fl[low:high], slope[low:high])
                low = high
            row = np.float32(0.0)
            for i in range(1, ni + 1):
                dot = np.float32(c[i + 1] - c[i - 1]) * (p0[i + 1] - p0[i - 1]) + np.float32(north[i] - south[i]) * (pn[i] - ps[i]) \
                    + np.float32(above[i] - below[i]) * (pa[i] - pb[i])
                row += np.float32(0.0) if flag[i] else slope[i] * dot * dot
            total += row
        part[k] = total
    s = 0.0
    for k in range(nk + 2):
        s += part[k]
    return 0.25 * scale * scale * s  # differences over two cells, E in V/cm


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def special_curvature(u, p, label, law, floor, use_floor, scale, cells, factors):
    """The special cells' share of ``curvature``, with their own slopes."""
    sk, sj = u.shape[1] * u.shape[2], u.shape[2]
    uf, pf, lf, ff = u.reshape(-1), p.reshape(-1), label.reshape(-1), floor.reshape(-1)
    part = np.zeros(PARTS)
    sc = np.float32(scale)
    for q in prange(PARTS):
        total = 0.0
        for n in range(q * cells.size // PARTS, (q + 1) * cells.size // PARTS):
            c = cells[n]
            m = lf[c]
            if law[m, 0] == 0.0:
                continue
            v = uf[c]
            gx = factors[n, 0] * np.float32(v - uf[c - 1]) + factors[n, 1] * np.float32(uf[c + 1] - v)
            gy = factors[n, 2] * np.float32(v - uf[c - sj]) + factors[n, 3] * np.float32(uf[c + sj] - v)
            gz = factors[n, 4] * np.float32(v - uf[c - sk]) + factors[n, 5] * np.float32(uf[c + sk] - v)
            strength = sc * np.sqrt(gx * gx + gy * gy + gz * gz)
            slope = conductivity_slope_at(law, m, strength)
            if slope <= np.float32(0.0) or (use_floor and conductivity_at(law, m, strength) < ff[c]):
                continue
            w = pf[c]
            rx = factors[n, 0] * (w - pf[c - 1]) + factors[n, 1] * (pf[c + 1] - w)
            ry = factors[n, 2] * (w - pf[c - sj]) + factors[n, 3] * (pf[c + sj] - w)
            rz = factors[n, 4] * (w - pf[c - sk]) + factors[n, 5] * (pf[c + sk] - w)
            dot = float(gx * rx + gy * ry + gz * rz)
            total += float(slope / strength) * dot * dot
        part[q] = total
    s = 0.0
    for q in range(PARTS):  # in order: the sum does not depend on the threads
        s += part[q]
    return 0.25 * scale * scale * s


@njit(cache=True, nogil=True, inline="always")
def _squared_slopes(lower2, lower, upper, upper2, label, l2, l1, r1, r2, ok, ni, out):
    """Add the squared difference over two cells along one axis of a row to ``out``: fourth order
    where two neighbours on each side (``ok``: they exist) are the same tissue, else second."""
    for i in range(1, ni + 1):
        g = np.float32(upper[i] - lower[i])
        if ok:
            m = label[i]
            g4 = (np.float32(8.0) * g - np.float32(upper2[i] - lower2[i])) * np.float32(1.0 / 6.0)
            g = g4 if (l2[i] == m) & (l1[i] == m) & (r1[i] == m) & (r2[i] == m) else g
        out[i] += g * g


@njit(cache=True, nogil=True, parallel=True)
def field_strength(u, label, scale, e):
    """|E| (V/cm) of every tissue cell; fourth-order differences where two neighbours on each side
    are the same tissue, else second order. 0 in needles."""
    nk, nj, ni = u.shape[0] - 2, u.shape[1] - 2, u.shape[2] - 2
    sc = np.float32(scale)
    for k in prange(1, nk + 1):
        kl, kr = max(k - 2, 0), min(k + 2, nk + 1)
        for j in range(1, nj + 1):
            jl, jr = max(j - 2, 0), min(j + 2, nj + 1)
            c, lab, out = u[k, j], label[k, j], e[k, j]
            for i in range(1, ni + 1):
                g = np.float32(c[i + 1] - c[i - 1])
                if 2 < i < ni - 1 and (lab[i - 2] == lab[i]) & (lab[i - 1] == lab[i]) & (lab[i + 1] == lab[i]) & (lab[i + 2] == lab[i]):
                    g = (np.float32(8.0) * g - np.float32(c[i + 2] - c[i - 2])) * np.float32(1.0 / 6.0)
                out[i] = g * g
            _squared_slopes(u[k, jl], u[k, j - 1], u[k, j + 1], u[k, jr], lab, label[k, jl], label[k, j - 1], label[k, j + 1], label[k, jr],
                            2 < j < nj - 1, ni, out)
            _squared_slopes(u[kl, j], u[k - 1, j], u[k + 1, j], u[kr, j], lab, label[kl, j], label[k - 1, j], label[k + 1, j], label[kr, j],
                            2 < k < nk - 1, ni, out)
            for i in range(1, ni + 1):
                out[i] = np.float32(0.0) if lab[i] >= FIRST_NEEDLE_LABEL else sc * np.sqrt(out[i])


@njit(cache=True, nogil=True, parallel=True)
def special_field_strength(u, label, scale, cells, factors, e):
    """|E| of the special cells from their own formula; along an axis that meets neither needle nor other tissue
    within two cells it is of fourth order, as everywhere else."""
    strides = (1, u.shape[2], u.shape[1] * u.shape[2])
    sizes = (u.shape[2], u.shape[1], u.shape[0])
    uf, lf, flat = u.reshape(-1), label.reshape(-1), e.reshape(-1)
    for n in prange(cells.size):
        c = cells[n]
        square = 0.0
        for axis in range(3):
            step = strides[axis]
            low, high = factors[n, 2 * axis], factors[n, 2 * axis + 1]
            place = c // step % sizes[axis]
            g = low * (uf[c] - uf[c - step]) + high * (uf[c + step] - uf[c])
            if low == 1.0 and high == 1.0 and 2 < place < sizes[axis] - 3:
                m = lf[c]
                if lf[c - 2 * step] == m and lf[c - step] == m and lf[c + step] == m and lf[c + 2 * step] == m:
                    g = (8.0 * g - (uf[c + 2 * step] - uf[c - 2 * step])) / 6.0
            square += g * g
        flat[c] = np.float32(scale * np.sqrt(square))


@njit(cache=True, nogil=True, parallel=True)
def take_maximum(a, b):
    """``a = max(a, b)`` over the whole array."""
    for k in prange(a.shape[0]):
        for j in range(a.shape[1]):
            x, y = a[k, j], b[k, j]
            for i in range(a.shape[2]):
                x[i] = max(x[i], y[i])


@njit(cache=True, nogil=True, parallel=True)
def largest_relative_change(a, b, above):
    """Largest ``|a - b| / b`` over cells with ``b >= above`` (V/cm): did the field still move?"""
    part = np.zeros(a.shape[0])
    for k in prange(1, a.shape[0] - 1):
        worst = 0.0
        for j in range(1, a.shape[1] - 1):
            x, y = a[k, j], b[k, j]
            for i in range(1, a.shape[2] - 1):
                if y[i] >= above:
                    worst = max(worst, abs(x[i] - y[i]) / y[i])
        part[k] = worst
    return part.max()
