"""Kernels of the bioheat equation: one stage of a stabilised explicit step, dose, and Joule heat.

Arrays are ``[k, j, i]`` with one ghost layer. ``y`` is the temperature above the body's (K). ``w*`` are the
weights of the lower faces (W/(m3 K): conductivity over the square of the spacing), ``b`` the pull of
the blood (W/(m3 K)), ``r`` the inverse heat capacity (m3 K/J; 0 where there is no unknown) and ``g`` the source
(K/s). The right-hand side is ``L(y) = r (sum w (neighbour - y) - b y) + g``.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

FAST = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _rate_of_row(t, y, south, north, below, above, x, y0, y1, z0, z1, b, r, g, ni):
    for i in range(1, ni + 1):
        c = y[i]
        t[i] = r[i] * (x[i] * (y[i - 1] - c) + x[i + 1] * (y[i + 1] - c) + y0[i] * (south[i] - c) + y1[i] * (north[i] - c)
                       + z0[i] * (below[i] - c) + z1[i] * (above[i] - c) - b[i] * c) + g[i]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def first_stage(y, wx, wy, wz, b, r, g, rate, out, step):
    """``rate = L(y)`` and ``out = y + step rate`` (first stage of an RKL step; with the whole step, forward Euler)."""
    nk, nj, ni = y.shape[0] - 2, y.shape[1] - 2, y.shape[2] - 2
    s = np.float32(step)
    for k in prange(1, nk + 1):
        t = np.empty(ni + 2, np.float32)
        for j in range(1, nj + 1):
            c, o, q = y[k, j], out[k, j], rate[k, j]
            _rate_of_row(t, c, y[k, j - 1], y[k, j + 1], y[k - 1, j], y[k + 1, j], wx[k, j], wy[k, j], wy[k, j + 1],
                         wz[k, j], wz[k + 1, j], b[k, j], r[k, j], g[k, j], ni)
            for i in range(1, ni + 1):
                q[i] = t[i]
                o[i] = c[i] + s * t[i]


@njit(cache=True, nogil=True, parallel=True, fastmath=FAST)
def next_stage(y1, y2, y0, rate, wx, wy, wz, b, r, g, mu, nu, mu_step, gamma_step):
    """Stage j of an RKL2 step, written over ``y2``: ``mu y1 + nu y2 + (1 - mu - nu) y0 + mu_step L(y1) +
    gamma_step rate`` with ``y1``, ``y2`` stages j - 1 and j - 2 (Meyer, Balsara and Aslam 2014)."""
    nk, nj, ni = y1.shape[0] - 2, y1.shape[1] - 2, y1.shape[2] - 2
    m, n, rest = np.float32(mu), np.float32(nu), np.float32(1.0 - mu - nu)
    ms, gs = np.float32(mu_step), np.float32(gamma_step)
    for k in prange(1, nk + 1):
        t = np.empty(ni + 2, np.float32)
        for j in range(1, nj + 1):
            c, o, a, q = y1[k, j], y2[k, j], y0[k, j], rate[k, j]
            _rate_of_row(t, c, y1[k, j - 1], y1[k, j + 1], y1[k - 1, j], y1[k + 1, j], wx[k, j], wy[k, j], wy[k, j + 1],
                         wz[k, j], wz[k + 1, j], b[k, j], r[k, j], g[k, j], ni)
            for i in range(1, ni + 1):
                o[i] = m * c[i] + n * o[i] + rest * a[i] + ms * t[i] + gs * q[i]


@njit(cache=True, nogil=True, inline="always")
def _look_up(table, n, x):
    """Linear interpolation at position ``x`` (in entries), held at the last entry."""
    m = int(x)
    last = table.shape[1] - 1
    if m >= last:
        return table[n, last]
    f = x - m
    return table[n, m] + f * (table[n, m + 1] - table[n, m])


@njit(cache=True, nogil=True, parallel=True)
def accumulate(before, after, step_s, counts_from_k, per_k, tables, dose, hottest):
    """Add one step's dose to ``dose[n]`` for each rate table and take the running maximum of temperature.

    ``tables[n, m]``: rate (1/s) at ``m / per_k`` K above the body's temperature; between ``before`` and ``after``
    the temperature is a straight line, its rate is integrated by Simpson's rule. Cells that stay below
    ``counts_from_k`` get no dose.
    """
    nk, nj, ni = before.shape[0] - 2, before.shape[1] - 2, before.shape[2] - 2
    kinds = tables.shape[0]
    for k in prange(1, nk + 1):
        for j in range(1, nj + 1):
            for i in range(1, ni + 1):
                p, q = before[k, j, i], after[k, j, i]
                top = max(p, q)
                if top > hottest[k, j, i]:
                    hottest[k, j, i] = top
                if top < counts_from_k:
                    continue
                p, q = max(p, np.float32(0.0)) * per_k, max(q, np.float32(0.0)) * per_k
                for n in range(kinds):
                    dose[n, k, j, i] += step_s / 6.0 * (_look_up(tables, n, p) + 4.0 * _look_up(tables, n, 0.5 * (p + q)) + _look_up(tables, n, q))


@njit(cache=True, nogil=True, parallel=True)
def weighted_sum(y, weight):
    """Sum of ``weight * y`` over the inner cells, in double precision, the same on any number of threads."""
    part = np.zeros(y.shape[0])
    for k in prange(1, y.shape[0] - 1):
        total = 0.0
        for j in range(1, y.shape[1] - 1):
            for i in range(1, y.shape[2] - 1):
                total += y[k, j, i] * weight[k, j, i]
        part[k] = total
    s = 0.0
    for k in range(part.size):
        s += part[k]
    return s


@njit(cache=True, nogil=True, parallel=True)
def joule_heat(u, wx, wy, wz, out):
    """Half of ``w (difference of u)^2`` of each of a cell's six faces: summed over all cells, and with what the
    couplings to conductors add, exactly voltage times current of the discrete field."""
    nk, nj, ni = u.shape[0] - 2, u.shape[1] - 2, u.shape[2] - 2
    for k in prange(1, nk + 1):
        for j in range(1, nj + 1):
            for i in range(1, ni + 1):
                c = u[k, j, i]
                s = wx[k, j, i] * (c - u[k, j, i - 1]) ** 2 + wx[k, j, i + 1] * (u[k, j, i + 1] - c) ** 2
                s += wy[k, j, i] * (c - u[k, j - 1, i]) ** 2 + wy[k, j + 1, i] * (u[k, j + 1, i] - c) ** 2
                s += wz[k, j, i] * (c - u[k - 1, j, i]) ** 2 + wz[k + 1, j, i] * (u[k + 1, j, i] - c) ** 2
                out[k, j, i] = 0.5 * s
