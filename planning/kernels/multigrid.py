"""Kernels of the multigrid-preconditioned conjugate gradients on a cell-centred voxel grid.

Every array is C-contiguous ``[k, j, i]`` with one ghost layer on each side (inner cells 1..n) and
float32, except the potential, which is float64: its rounding would otherwise leave a residual of
2e-6. ``wx[k, j, i]`` is the weight of the face between cells ``i - 1`` and ``i``, likewise ``wy``
along j and ``wz`` along k; faces to ghosts have weight 0 (an insulating wall). Sums are made per
plane in float64 and added in plane order, so a result does not depend on the number of threads.

The outer operator is written with differences of potential (flux form). Storing the diagonal
instead would leak current through rounding; the smoother does store it, but only preconditions.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

FAST = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def coarsen_weights(wx, wy, wz, cx, cy, cz):
    """Coarse face weight = half the sum of the four fine faces in it (half of Galerkin's, which
    over-stiffens piecewise-constant coarse spaces by two)."""
    nk, nj, ni = wx.shape[0] - 2, wx.shape[1] - 2, wx.shape[2] - 2
    ci = cx.shape[2] - 2
    half = np.float32(0.5)
    for kk in prange(1, cx.shape[0] - 1):
        t = np.zeros(2 * ci + 2, np.float32)
        k0 = 2 * kk - 1
        k1 = min(k0 + 1, nk + 1)
        for jj in range(1, cx.shape[1] - 1):
            j0 = 2 * jj - 1
            j1 = min(j0 + 1, nj + 1)
            a, b, c, d, out = wx[k0, j0], wx[k0, j1], wx[k1, j0], wx[k1, j1], cx[kk, jj]
            for i in range(1, ci + 1):
                out[i] = half * (a[2 * i - 1] + b[2 * i - 1] + c[2 * i - 1] + d[2 * i - 1])
            c, out = wy[k1, j0], cy[kk, jj]
            a = wy[k0, j0]
            for i in range(1, ni + 1):
                t[i] = a[i] + c[i]
            for i in range(1, ci + 1):
                out[i] = half * (t[2 * i - 1] + t[2 * i])
            a, b, out = wz[k0, j0], wz[k0, j1], cz[kk, jj]
            for i in range(1, ni + 1):
                t[i] = a[i] + b[i]
            for i in range(1, ci + 1):
                out[i] = half * (t[2 * i - 1] + t[2 * i])


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def coarsen_coupling(g, cg):
    """Coarse electrode coupling = half the sum over the block, as for the faces."""
    nk, nj, ni = g.shape[0] - 2, g.shape[1] - 2, g.shape[2] - 2
    for kk in prange(1, cg.shape[0] - 1):
        for jj in range(1, cg.shape[1] - 1):
            for ii in range(1, cg.shape[2] - 1):
                s = np.float32(0.0)
                for k in range(2 * kk - 1, min(2 * kk, nk) + 1):
                    for j in range(2 * jj - 1, min(2 * jj, nj) + 1):
                        for i in range(2 * ii - 1, min(2 * ii, ni) + 1):
                            s += g[k, j, i]
                cg[kk, jj, ii] = np.float32(0.5) * s


@njit(cache=True, nogil=True)
def coarsen_sparse_coupling(cells, values, shape_j, shape_i, cg):
    """As ``coarsen_coupling`` from a list: flat padded cell indices and their couplings."""
    cg[:] = np.float32(0.0)
    plane = shape_j * shape_i
    for n in range(cells.size):
        k = cells[n] // plane
        j = (cells[n] - k * plane) // shape_i
        i = cells[n] - k * plane - j * shape_i
        cg[(k + 1) // 2, (j + 1) // 2, (i + 1) // 2] += np.float32(0.5) * values[n]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def inverse_diagonal(wx, wy, wz, di):
    """``di = 1 / sum of the six face weights``; 0 where the sum is 0 (metal, shaft, air)."""
    nk, nj, ni = di.shape[0] - 2, di.shape[1] - 2, di.shape[2] - 2
    for k in prange(1, nk + 1):
        for j in range(1, nj + 1):
            d, x = di[k, j], wx[k, j]
            y0, y1, z0, z1 = wy[k, j], wy[k, j + 1], wz[k, j], wz[k + 1, j]
            for i in range(1, ni + 1):
                s = x[i] + x[i + 1] + y0[i] + y1[i] + z0[i] + z1[i]
                d[i] = np.float32(1.0) / s if s > np.float32(1e-20) else np.float32(0.0)


@njit(cache=True, nogil=True)
def add_sparse_diagonal(di, cells, values):
    """Add couplings to the diagonal that ``di`` is the inverse of."""
    flat = di.reshape(-1)
    for n in range(cells.size):
        d = flat[cells[n]]
        s = (np.float32(1.0) / d if d > np.float32(0.0) else np.float32(0.0)) + values[n]
        flat[cells[n]] = np.float32(1.0) / s if s > np.float32(1e-20) else np.float32(0.0)


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def add_dense_diagonal(di, g):
    """As ``add_sparse_diagonal`` with a coupling in every cell (coarse levels)."""
    for k in prange(1, di.shape[0] - 1):
        for j in range(1, di.shape[1] - 1):
            for i in range(1, di.shape[2] - 1):
                d = di[k, j, i]
                s = (np.float32(1.0) / d if d > np.float32(0.0) else np.float32(0.0)) + g[k, j, i]
                di[k, j, i] = np.float32(1.0) / s if s > np.float32(1e-20) else np.float32(0.0)


@njit(cache=True, nogil=True)
def factor_coarsest(di, wx, wy, wz):
    """Cholesky factor (float64, lower) of the coarsest operator, cells in ``[k, j, i]`` order.

    Cells without unknown become the identity; a part of the tissue that touches no electrode
    would be singular, so the diagonal is raised by 1e-9 of itself.
    """
    nk, nj, ni = di.shape[0] - 2, di.shape[1] - 2, di.shape[2] - 2
    n = nk * nj * ni
    a = np.zeros((n, n))
    for k in range(nk):
        for j in range(nj):
            for i in range(ni):
                r = (k * nj + j) * ni + i
                d = di[k + 1, j + 1, i + 1]
                if not d > 0.0:
                    a[r, r] = 1.0
                    continue
                a[r, r] = (1.0 + 1e-9) / d
                if i > 0:
                    a[r, r - 1] = -wx[k + 1, j + 1, i + 1]
                if j > 0:
                    a[r, r - ni] = -wy[k + 1, j + 1, i + 1]
                if k > 0:
                    a[r, r - ni * nj] = -wz[k + 1, j + 1, i + 1]
    for c in range(n):
        s = a[c, c]
        for m in range(c):
            s -= a[c, m] * a[c, m]
        pivot = np.sqrt(s) if s > 1e-12 * a[c, c] else np.sqrt(a[c, c])
        a[c, c] = pivot
        for r in range(c + 1, n):
            t = a[r, c]
            for m in range(c):
                t -= a[r, m] * a[c, m]
            a[r, c] = t / pivot
    return a


@njit(cache=True, nogil=True)
def solve_coarsest(factor, f, di, u):
    """``u = A^-1 f`` on the coarsest grid with the factor above."""
    nk, nj, ni = f.shape[0] - 2, f.shape[1] - 2, f.shape[2] - 2
    n = nk * nj * ni
    y = np.empty(n)
    for r in range(n):
        k, rest = r // (nj * ni), r % (nj * ni)
        j, i = rest // ni, rest % ni
        t = float(f[k + 1, j + 1, i + 1])
        for m in range(r):
            t -= factor[r, m] * y[m]
        y[r] = t / factor[r, r]
    for r in range(n - 1, -1, -1):
        t = y[r]
        for m in range(r + 1, n):
            t -= factor[m, r] * y[m]
        y[r] = t / factor[r, r]
    for r in range(n):
        k, rest = r // (nj * ni), r % (nj * ni)
        j, i = rest // ni, rest % ni
        u[k + 1, j + 1, i + 1] = y[r] if di[k + 1, j + 1, i + 1] > 0.0 else 0.0


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def flux_residual(u, wx, wy, wz, r):
    """``r = -sum w (u_i - u_j)`` of the float64 potential ``u``; couplings are added apart."""
    nk, nj, ni = u.shape[0] - 2, u.shape[1] - 2, u.shape[2] - 2
    for k in prange(1, nk + 1):
        for j in range(1, nj + 1):
            c, out = u[k, j], r[k, j]
            x = wx[k, j]
            y0, y1, z0, z1 = wy[k, j], wy[k, j + 1], wz[k, j], wz[k + 1, j]
            south, north, below, above = u[k, j - 1], u[k, j + 1], u[k - 1, j], u[k + 1, j]
            for i in range(1, ni + 1):
                v = c[i]
                out[i] = np.float32(x[i] * (c[i - 1] - v) + x[i + 1] * (c[i + 1] - v)
                                    + y0[i] * (south[i] - v) + y1[i] * (north[i] - v)
                                    + z0[i] * (below[i] - v) + z1[i] * (above[i] - v))


@njit(cache=True, nogil=True)
def coupling_residual(u, r, cells, values, potentials):
    """Add ``g (V - u)`` of each coupling to the residual."""
    uf, rf = u.reshape(-1), r.reshape(-1)
    for n in range(cells.size):
        c = cells[n]
        rf[c] = np.float32(rf[c] + values[n] * (potentials[n] - uf[c]))


@njit(cache=True, nogil=True)
def coupling_currents(u, cells, values, potentials, electrode, currents):
    """Current from each electrode into the tissue, in weight x volt; ``electrode`` < 0 (a posed
    boundary) is counted in the last entry of ``currents``."""
    currents[:] = 0.0
    uf = u.reshape(-1)
    for n in range(cells.size):
        currents[electrode[n]] += values[n] * (potentials[n] - uf[cells[n]])


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def two_dots(z, r, q):
    """``(z.r, z.q)`` over the inner cells."""
    part = np.zeros((z.shape[0], 2))
    for k in prange(1, z.shape[0] - 1):
        s1 = 0.0
        s2 = 0.0
        for j in range(1, z.shape[1] - 1):
            c, x, y = z[k, j], r[k, j], q[k, j]
            t1 = np.float32(0.0)
            t2 = np.float32(0.0)
            for i in range(1, z.shape[2] - 1):
                t1 += c[i] * x[i]
                t2 += c[i] * y[i]
            s1 += t1
            s2 += t2
        part[k, 0] = s1
        part[k, 1] = s2
    d1 = 0.0
    d2 = 0.0
    for k in range(z.shape[0]):
        d1 += part[k, 0]
        d2 += part[k, 1]
    return d1, d2


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def face_energy(p, wx, wy, wz):
    """``p.A p`` without couplings: the sum over faces of w (p_i - p_j)^2, never negative."""
    nk, nj, ni = p.shape[0] - 2, p.shape[1] - 2, p.shape[2] - 2
    part = np.zeros(nk + 2)
    for k in prange(1, nk + 1):
        s = 0.0
        for j in range(1, nj + 1):
            c, x, y, z = p[k, j], wx[k, j], wy[k, j], wz[k, j]
            south, below = p[k, j - 1], p[k - 1, j]
            t = np.float32(0.0)
            for i in range(1, ni + 1):
                a, b, d = c[i] - c[i - 1], c[i] - south[i], c[i] - below[i]
                t += x[i] * a * a + y[i] * b * b + z[i] * d * d
            s += t
        part[k] = s
    total = 0.0
    for k in range(nk + 2):
        total += part[k]
    return total


@njit(cache=True, nogil=True)
def coupling_energy(p, cells, values, potentials):
    """The couplings' share of ``p.A p``; ``potentials`` is the direction's own value at the
    electrode of each coupling (0 where it is fixed)."""
    pf = p.reshape(-1)
    total = 0.0
    for n in range(cells.size):
        d = pf[cells[n]] - potentials[n]
        total += values[n] * d * d
    return total


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def direction_update(p, z, beta):
    """``p = z + beta p``."""
    b = np.float32(beta)
    for k in prange(1, p.shape[0] - 1):
        for j in range(1, p.shape[1] - 1):
            c, x = p[k, j], z[k, j]
            for i in range(1, p.shape[2] - 1):
                c[i] = x[i] + b * c[i]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def bank_dots(bank, which, r):
    """Dot products of ``r`` with ``bank[which[n]]`` over the inner cells."""
    part = np.zeros((which.size, r.shape[0]))
    for k in prange(1, r.shape[0] - 1):
        for n in range(which.size):
            total = 0.0
            for j in range(1, r.shape[1] - 1):
                c, x = r[k, j], bank[which[n], k, j]
                t = np.float32(0.0)
                for i in range(1, r.shape[2] - 1):
                    t += c[i] * x[i]
                total += t
            part[n, k] = total
    out = np.zeros(which.size)
    for n in range(which.size):
        for k in range(r.shape[0]):
            out[n] += part[n, k]
    return out


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def direction_with_bank(p, z, beta, bank, which, amounts):
    """``p = z + sum amounts[n] bank[which[n]] + beta p``."""
    b = np.float32(beta)
    for k in prange(1, p.shape[0] - 1):
        for j in range(1, p.shape[1] - 1):
            c, x = p[k, j], z[k, j]
            for i in range(1, p.shape[2] - 1):
                c[i] = x[i] + b * c[i]
            for n in range(which.size):
                y, s = bank[which[n], k, j], np.float32(amounts[n])
                for i in range(1, p.shape[2] - 1):
                    c[i] += s * y[i]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def add_scaled64(a, b, factor):
    """``a += factor b`` with a float64 and b float32."""
    for k in prange(1, a.shape[0] - 1):
        for j in range(1, a.shape[1] - 1):
            c, x = a[k, j], b[k, j]
            for i in range(1, a.shape[2] - 1):
                c[i] += factor * x[i]


@njit(cache=True, nogil=True)
def set_cells(a, cells, values):
    """``a[cell] = value`` for flat padded indices (metal at its electrode's potential)."""
    flat = a.reshape(-1)
    for n in range(cells.size):
        flat[cells[n]] = values[n]


@njit(cache=True, nogil=True)
def mirror_ghosts(a):
    """Copy the outermost inner cells into the ghosts: no field crosses an insulating wall."""
    a[0] = a[1]
    a[-1] = a[-2]
    a[:, 0] = a[:, 1]
    a[:, -1] = a[:, -2]
    a[:, :, 0] = a[:, :, 1]
    a[:, :, -1] = a[:, :, -2]
