"""Slow twin of ``app.demo.kernels.coverage``: every voxel sampled, no short cuts."""

from __future__ import annotations

import numpy as np


def coverage_by_sampling_everything(shape, to_unit, lobes, scale, samples):
    """Covered fraction of every voxel of ``shape`` (k, j, i)."""
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    k, j, i = np.indices(shape, dtype=np.float64)
    hits = np.zeros(shape)
    for dk in steps:
        for dj in steps:
            for di in steps:
                index = np.stack([i + di, j + dj, k + dk, np.ones(shape)], axis=-1)
                q = index @ to_unit.T
                r = np.linalg.norm(q, axis=-1)
                u = q / np.maximum(r, 1e-12)[..., None]
                bump = np.ones(shape)
                for x, y, z, order, weight in lobes:
                    bump = bump + weight * np.polynomial.legendre.legval(u @ np.array([x, y, z]), [0] * int(order) + [1])
                hits += r <= scale * bump
    return hits / samples**3
