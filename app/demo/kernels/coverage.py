"""How much of each voxel a lobulated ellipsoid fills."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def legendre(order: int, t: float) -> float:
    """Legendre polynomial of ``order`` 0 to 5 at ``t`` (Bonnet's recursion)."""
    if order == 0:
        return 1.0
    before, now = 1.0, t
    for n in range(1, order):
        before, now = now, ((2 * n + 1) * t * now - n * before) / (n + 1)
    return now


@njit(cache=True, nogil=True)
def excess(qx: float, qy: float, qz: float, lobes: np.ndarray, scale: float) -> float:
    """Radius minus surface radius at a point of the normalised frame: negative inside.

    ``lobes`` rows are (direction x, y, z, order, weight); the surface is
    ``scale * (1 + sum weight * P_order(direction . u))``.
    """
    r = math.sqrt(qx * qx + qy * qy + qz * qz)
    if r < 1e-9:
        return -scale
    bump = 1.0
    for n in range(lobes.shape[0]):
        t = (qx * lobes[n, 0] + qy * lobes[n, 1] + qz * lobes[n, 2]) / r
        bump += lobes[n, 4] * legendre(int(lobes[n, 3]), t)
    return r - scale * bump


@njit(cache=True, nogil=True)
def fill_coverage(out: np.ndarray, to_unit: np.ndarray, lobes: np.ndarray, scale: float, samples: int) -> None:
    """Write each voxel's covered fraction (0..1) into ``out[k, j, i]``.

    ``to_unit`` (3x4) maps index points (i, j, k, 1) to the normalised frame in which the shape is
    a bumpy unit sphere. Only voxels that the surface can reach are sampled, ``samples`` points a
    side; the rest are all or nothing.
    """
    reach = 0.0
    for a in range(3):
        s = 0.0
        for c in range(3):
            s += to_unit[a, c] * to_unit[a, c]
        reach += s
    reach = 0.5 * math.sqrt(reach) * 1.75 + 1e-6  # a voxel's half diagonal, and room for the lobes' slope
    for k in range(out.shape[0]):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                qx = to_unit[0, 0] * i + to_unit[0, 1] * j + to_unit[0, 2] * k + to_unit[0, 3]
                qy = to_unit[1, 0] * i + to_unit[1, 1] * j + to_unit[1, 2] * k + to_unit[1, 3]
                qz = to_unit[2, 0] * i + to_unit[2, 1] * j + to_unit[2, 2] * k + to_unit[2, 3]
                e = excess(qx, qy, qz, lobes, scale)
                if e > reach:
                    out[k, j, i] = 0.0
                elif e < -reach:
                    out[k, j, i] = 1.0
                else:
                    hits = 0
                    for c in range(samples):
                        dk = (c + 0.5) / samples - 0.5
                        for b in range(samples):
                            dj = (b + 0.5) / samples - 0.5
                            for a in range(samples):
                                di = (a + 0.5) / samples - 0.5
                                sx = qx + to_unit[0, 0] * di + to_unit[0, 1] * dj + to_unit[0, 2] * dk
                                sy = qy + to_unit[1, 0] * di + to_unit[1, 1] * dj + to_unit[1, 2] * dk
                                sz = qz + to_unit[2, 0] * di + to_unit[2, 1] * dj + to_unit[2, 2] * dk
                                if excess(sx, sy, sz, lobes, scale) <= 0.0:
                                    hits += 1
                    out[k, j, i] = hits / (samples * samples * samples)
