"""Kernels for the zero surface of a level between voxel centres.

``level`` is float32 ``[k, j, i]``, trilinear between centres and constant beyond the outermost
ones. Points are in index units ``(i, j, k)`` counted from the first centre; ``spacing`` is mm per
index along (i, j, k).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

STEPS = 10
ON_SURFACE = 0.02  # of the smallest spacing


@njit(cache=True, nogil=True)
def level_at(level, x, y, z):
    """Trilinear level at one point (index units)."""
    nk, nj, ni = level.shape
    x, y, z = min(max(x, 0.0), ni - 1.0), min(max(y, 0.0), nj - 1.0), min(max(z, 0.0), nk - 1.0)
    i, j, k = min(int(x), max(ni - 2, 0)), min(int(y), max(nj - 2, 0)), min(int(z), max(nk - 2, 0))
    fx, fy, fz = x - i, y - j, z - k
    i1, j1, k1 = min(i + 1, ni - 1), min(j + 1, nj - 1), min(k + 1, nk - 1)
    low = (1 - fy) * ((1 - fx) * level[k, j, i] + fx * level[k, j, i1]) + fy * ((1 - fx) * level[k, j1, i] + fx * level[k, j1, i1])
    high = (1 - fy) * ((1 - fx) * level[k1, j, i] + fx * level[k1, j, i1]) + fy * ((1 - fx) * level[k1, j1, i] + fx * level[k1, j1, i1])
    return (1 - fz) * low + fz * high


@njit(cache=True, nogil=True)
def gradient_at(level, x, y, z, spacing):
    """Slope per mm: differences of the trilinear level over one voxel."""
    gx = (level_at(level, x + 0.5, y, z) - level_at(level, x - 0.5, y, z)) / spacing[0]
    gy = (level_at(level, x, y + 0.5, z) - level_at(level, x, y - 0.5, z)) / spacing[1]
    gz = (level_at(level, x, y, z + 0.5) - level_at(level, x, y, z - 0.5)) / spacing[2]
    return gx, gy, gz


@njit(cache=True, nogil=True, parallel=True)
def sample_level(level, points, out):
    """``out[n]`` = level at ``points[n]`` (i, j, k)."""
    for n in prange(points.shape[0]):
        out[n] = level_at(level, points[n, 0], points[n, 1], points[n, 2])


@njit(cache=True, nogil=True, parallel=True)
def slide_to_nearest(level, spacing, points, feet, distance):
    """Improve ``feet`` (points on the surface, index units) and ``distance`` (mm) of each point.

    Step to the foot of the perpendicular on the tangent plane (at most one voxel), pull back onto
    the level along its slope, keep what is nearer; stop where it no longer moves.
    """
    size = min(spacing[0], min(spacing[1], spacing[2]))
    for n in prange(points.shape[0]):
        px, py, pz = points[n, 0] * spacing[0], points[n, 1] * spacing[1], points[n, 2] * spacing[2]
        x, y, z = feet[n, 0] * spacing[0], feet[n, 1] * spacing[1], feet[n, 2] * spacing[2]
        for _ in range(STEPS):
            gx, gy, gz = gradient_at(level, x / spacing[0], y / spacing[1], z / spacing[2], spacing)
            norm = np.sqrt(gx * gx + gy * gy + gz * gz)
            if norm < 1e-9:
                break
            gx, gy, gz = gx / norm, gy / norm, gz / norm
            ax, ay, az = px - x, py - y, pz - z
            along = ax * gx + ay * gy + az * gz
            lx, ly, lz = ax - along * gx, ay - along * gy, az - along * gz
            length = np.sqrt(lx * lx + ly * ly + lz * lz)
            step = min(1.0, size / max(length, 1e-12))
            x, y, z = x + step * lx, y + step * ly, z + step * lz
            value, slope = 0.0, 0.0
            for _ in range(3):
                value = level_at(level, x / spacing[0], y / spacing[1], z / spacing[2])
                gx, gy, gz = gradient_at(level, x / spacing[0], y / spacing[1], z / spacing[2], spacing)
                slope = np.sqrt(gx * gx + gy * gy + gz * gz)
                if slope < 1e-9 or abs(value) < 1e-3 * size * slope:
                    break
                pull = min(max(-value / slope, -0.5 * size), 0.5 * size) / slope
                x, y, z = x + pull * gx, y + pull * gy, z + pull * gz
            value = level_at(level, x / spacing[0], y / spacing[1], z / spacing[2])
            d = np.sqrt((px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2)
            if abs(value) <= ON_SURFACE * size * max(slope, 1e-9) and d < distance[n]:
                distance[n] = d
                feet[n, 0], feet[n, 1], feet[n, 2] = x / spacing[0], y / spacing[1], z / spacing[2]
            if step * length < 1e-3 * size:
                break
