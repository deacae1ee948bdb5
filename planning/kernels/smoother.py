"""The smoother of one multigrid level: all its half-sweeps in one pass over the memory.

A half-sweep of red-black Gauss-Seidel on plane k needs only planes k - 1, k, k + 1 of the half-sweep
before it. So the sweeps follow each other through the planes, one plane behind the next, while the
planes are still in the processor's cache: the arrays are read from memory once and not four times.

For two threads the planes are cut into blocks. First every block does what needs no neighbour: each
stage one plane less at an inner border than the stage before. Then the wedges around the borders are
filled. Each cell reads what it would read if the sweeps were made one after another, so the result is
the same to the last bit, whatever the number of blocks or threads.

Arrays and names are those of ``multigrid.py``. A cell is red where k + j + i is even.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

FAST = {"contract", "reassoc", "nsz", "arcp"}
BLOCK_PLANES = 16  # at least twice the stages; three arrays of it fill the cache at 128 x 128
SERIAL_CELLS = 20_000  # below this a second thread costs more than it does


@njit(cache=True, nogil=True, inline="always", fastmath=FAST)
def _gather(t, c, d, g, x, y0, y1, z0, z1, south, north, below, above, ni):
    """What every cell of a row would become: ``di (f + sum of w x neighbour)``; it vectorises."""
    for i in range(1, ni + 1):
        t[i] = d[i] * (g[i] + x[i] * c[i - 1] + x[i + 1] * c[i + 1] + y0[i] * south[i]
                       + y1[i] * north[i] + z0[i] * below[i] + z1[i] * above[i])


@njit(cache=True, nogil=True, fastmath=FAST)
def _relax_plane(u, f, di, wx, wy, wz, k, colour):
    """One half-sweep on plane k: cells with (k + j + i + colour) even."""
    nj, ni = u.shape[1] - 2, u.shape[2] - 2
    t = np.empty(ni + 2, np.float32)  # made here, so that the compiler knows that nothing else lies in it
    for j in range(1, nj + 1):
        c = u[k, j]
        _gather(t, c, di[k, j], f[k, j], wx[k, j], wy[k, j], wy[k, j + 1], wz[k, j], wz[k + 1, j],
                u[k, j - 1], u[k, j + 1], u[k - 1, j], u[k + 1, j], ni)
        for i in range(1 + ((k + j + 1 + colour) & 1), ni + 1, 2):
            c[i] = t[i]


@njit(cache=True, nogil=True, fastmath=FAST)
def _start_plane(u, f, di, k):
    """The first half-sweep on a zero guess: red cells ``di f``, black cells 0."""
    nj, ni = u.shape[1] - 2, u.shape[2] - 2
    for j in range(1, nj + 1):
        c, d, g = u[k, j], di[k, j], f[k, j]
        for i in range(1, ni + 1):
            c[i] = np.float32(0.0)
        for i in range(1 + ((k + j + 1) & 1), ni + 1, 2):
            c[i] = d[i] * g[i]


@njit(cache=True, nogil=True, fastmath=FAST)
def _prolong_plane(u, coarse_u, di, k):
    """Add each coarse value to the cells of its block; none where there is no unknown."""
    nj, ni = u.shape[1] - 2, u.shape[2] - 2
    for j in range(1, nj + 1):
        c, d, e = u[k, j], di[k, j], coarse_u[(k + 1) // 2, (j + 1) // 2]
        for i in range(1, ni + 1):
            if d[i] > np.float32(0.0):
                c[i] += e[(i + 1) // 2]


@njit(cache=True, nogil=True, fastmath=FAST)
def _restrict_planes(u, f, di, wx, wy, wz, coarse_f, kk):
    """Sum of the residual ``f - A u`` over the blocks of coarse plane kk.

    A's diagonal is ``1 / di``, so the residual is ``(what the cell would become - u) / di``. A block
    that sticks out of an odd grid has fewer cells.
    """
    nk, nj, ni = u.shape[0] - 2, u.shape[1] - 2, u.shape[2] - 2
    cj, ci = coarse_f.shape[1] - 2, coarse_f.shape[2] - 2
    zero = np.float32(0.0)
    s = np.empty(2 * ci + 2, np.float32)
    t = np.empty(ni + 2, np.float32)
    for jj in range(1, cj + 1):
        for i in range(2 * ci + 2):
            s[i] = zero
        for k in range(2 * kk - 1, min(2 * kk, nk) + 1):
            for j in range(2 * jj - 1, min(2 * jj, nj) + 1):
                c, d = u[k, j], di[k, j]
                _gather(t, c, d, f[k, j], wx[k, j], wy[k, j], wy[k, j + 1], wz[k, j], wz[k + 1, j],
                        u[k, j - 1], u[k, j + 1], u[k - 1, j], u[k + 1, j], ni)
                for i in range(1, ni + 1):
                    s[i] += (t[i] - c[i]) / d[i] if d[i] > zero else zero
        out = coarse_f[kk, jj]
        for i in range(1, ci + 1):
            out[i] = s[2 * i - 1] + s[2 * i]


@njit(cache=True, nogil=True, inline="always")
def _down_stage(u, f, di, wx, wy, wz, stage, k):
    if stage == 0:
        _start_plane(u, f, di, k)
    else:
        _relax_plane(u, f, di, wx, wy, wz, k, stage & 1)


@njit(cache=True, nogil=True, inline="always")
def _up_stage(u, f, di, wx, wy, wz, coarse_u, stage, k):
    if stage == 0:
        _prolong_plane(u, coarse_u, di, k)
    else:
        _relax_plane(u, f, di, wx, wy, wz, k, stage & 1)


@njit(cache=True, nogil=True)
def _down_block(u, f, di, wx, wy, wz, coarse_f, low, high, shrink_low, shrink_high):
    """Planes low..high - 1 as far as they need no neighbour where an end is shrunk."""
    for w in range(low, high + 4):
        for stage in range(4):
            k = w - stage
            if low + stage * shrink_low <= k < high - stage * shrink_high:
                _down_stage(u, f, di, wx, wy, wz, stage, k)
        k = w - 4  # its own plane and the next lie behind all four stages; blocks begin at odd planes
        if (k & 1) == 0 and low + 4 * shrink_low < k < high - 4 * shrink_high:
            _restrict_planes(u, f, di, wx, wy, wz, coarse_f, k // 2)
    if shrink_high == 0 and (high & 1) == 0:  # the last plane of an odd grid is a coarse plane by itself
        _restrict_planes(u, f, di, wx, wy, wz, coarse_f, high // 2)


@njit(cache=True, nogil=True)
def _up_block(u, f, di, wx, wy, wz, coarse_u, low, high, shrink_low, shrink_high):
    for w in range(low, high + 4):
        for stage in range(5):
            k = w - stage
            if low + stage * shrink_low <= k < high - stage * shrink_high:
                _up_stage(u, f, di, wx, wy, wz, coarse_u, stage, k)


@njit(cache=True, nogil=True, inline="always")
def _border(n, blocks, planes):
    """First plane of block n of ``blocks``: an odd number, so that coarse planes are never cut."""
    return planes + 1 if n == blocks else 1 + 2 * (n * planes // (2 * blocks))


@njit(cache=True, nogil=True, parallel=True)
def _smooth_down_blocks(u, f, di, wx, wy, wz, coarse_f, blocks):
    nk = u.shape[0] - 2
    for n in prange(blocks):
        _down_block(u, f, di, wx, wy, wz, coarse_f, _border(n, blocks, nk), _border(n + 1, blocks, nk),
                    1 if n > 0 else 0, 1 if n < blocks - 1 else 0)
    for n in prange(1, blocks):
        b = _border(n, blocks, nk)
        for stage in range(1, 4):
            for k in range(b - stage, b + stage):
                _down_stage(u, f, di, wx, wy, wz, stage, k)
        for k in range(b - 3, b + 4, 2):
            _restrict_planes(u, f, di, wx, wy, wz, coarse_f, k // 2)


@njit(cache=True, nogil=True, parallel=True)
def _smooth_up_blocks(u, f, di, wx, wy, wz, coarse_u, blocks):
    nk = u.shape[0] - 2
    for n in prange(blocks):
        _up_block(u, f, di, wx, wy, wz, coarse_u, _border(n, blocks, nk), _border(n + 1, blocks, nk),
                  1 if n > 0 else 0, 1 if n < blocks - 1 else 0)
    for n in prange(1, blocks):
        b = _border(n, blocks, nk)
        for stage in range(1, 5):
            for k in range(b - stage, b + stage):
                _up_stage(u, f, di, wx, wy, wz, coarse_u, stage, k)


@njit(cache=True, nogil=True)
def smooth_down(u, f, di, wx, wy, wz, coarse_f):
    """From a zero guess: red, black, red, black; then the residual's sum over each block of 2 x 2 x 2
    into ``coarse_f``."""
    nk = u.shape[0] - 2
    if u.size < SERIAL_CELLS or nk < 2 * BLOCK_PLANES:
        _down_block(u, f, di, wx, wy, wz, coarse_f, 1, nk + 1, 0, 0)
    else:
        _smooth_down_blocks(u, f, di, wx, wy, wz, coarse_f, nk // BLOCK_PLANES)


@njit(cache=True, nogil=True)
def smooth_up(u, f, di, wx, wy, wz, coarse_u):
    """Add the coarse correction (piecewise constant), then black, red, black, red."""
    nk = u.shape[0] - 2
    if u.size < SERIAL_CELLS or nk < 2 * BLOCK_PLANES:
        _up_block(u, f, di, wx, wy, wz, coarse_u, 1, nk + 1, 0, 0)
    else:
        _smooth_up_blocks(u, f, di, wx, wy, wz, coarse_u, nk // BLOCK_PLANES)
