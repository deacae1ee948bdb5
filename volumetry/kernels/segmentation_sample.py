"""Trilinear reading of a volume at many points, the inner loop of the ray search."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def sample_trilinear(volume, points_ijk, out):
    """Fill ``out[n]`` with ``volume[k, j, i]`` (float32) at ``points_ijk[n] = (i, j, k)``.

    Points outside the voxel centres read the nearest voxel of the border; the caller decides
    beforehand how far outside is allowed.
    """
    nk, nj, ni = volume.shape
    for n in range(points_ijk.shape[0]):
        x = min(max(points_ijk[n, 0], 0.0), ni - 1.0)
        y = min(max(points_ijk[n, 1], 0.0), nj - 1.0)
        z = min(max(points_ijk[n, 2], 0.0), nk - 1.0)
        i0 = min(int(x), max(ni - 2, 0))
        j0 = min(int(y), max(nj - 2, 0))
        k0 = min(int(z), max(nk - 2, 0))
        i1 = min(i0 + 1, ni - 1)
        j1 = min(j0 + 1, nj - 1)
        k1 = min(k0 + 1, nk - 1)
        fx = x - i0
        fy = y - j0
        fz = z - k0
        c00 = volume[k0, j0, i0] * (1.0 - fx) + volume[k0, j0, i1] * fx
        c01 = volume[k0, j1, i0] * (1.0 - fx) + volume[k0, j1, i1] * fx
        c10 = volume[k1, j0, i0] * (1.0 - fx) + volume[k1, j0, i1] * fx
        c11 = volume[k1, j1, i0] * (1.0 - fx) + volume[k1, j1, i1] * fx
        out[n] = (c00 * (1.0 - fy) + c01 * fy) * (1.0 - fz) + (c10 * (1.0 - fy) + c11 * fy) * fz


def sample(volume: np.ndarray, points_ijk: np.ndarray) -> np.ndarray:
    """Values at ``points_ijk`` (..., 3) of a float32 ``volume[k, j, i]``; float64 of shape (...)."""
    flat = np.ascontiguousarray(points_ijk.reshape(-1, 3), dtype=np.float64)
    out = np.empty(len(flat))
    sample_trilinear(volume, flat, out)
    return out.reshape(points_ijk.shape[:-1])
