"""Ellipsoids of known volume in any pose, put on a voxel grid: the ground truth of these tests."""

from __future__ import annotations

import math

import numpy as np

from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniform 3x3 rotation (QR of a Gaussian matrix)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def axes_for_volume(volume_ml: float, rng: np.random.Generator) -> np.ndarray:
    """Node-like full axes in mm (long : middle : short up to about 2 : 1.3 : 1) of that volume."""
    ratios = np.array([1.0, rng.uniform(0.65, 1.0), rng.uniform(0.5, 0.9)])
    return ratios * (6000.0 * volume_ml / math.pi / ratios.prod()) ** (1 / 3)


def ellipsoid_mask(axes_mm, rotation, spacing_mm, shift=(0.0, 0.0, 0.0), rule: str = "centre", samples: int = 5) -> NodeMask:
    """Mask of an ellipsoid (full axes in mm, ``rotation`` to its own frame) near the grid's middle.

    ``shift`` is the centre's offset in voxels (i, j, k). Rule ``centre``: a voxel is in when its
    centre is; rule ``coverage``: when at least half of ``samples``^3 points in it are.
    """
    spacing = np.asarray(spacing_mm, dtype=float)
    semi = np.asarray(axes_mm, dtype=float) / 2
    reach = np.linalg.norm(np.asarray(rotation) * semi[:, None], axis=0)  # half extent along i, j, k
    half = np.ceil(reach / spacing).astype(int) + 2
    shape = tuple(int(n) for n in (2 * half + 1)[::-1])
    grid = [np.arange(-h, h + 1, dtype=float) for h in half]
    offsets = [0.0] if rule == "centre" else [(n + 0.5) / samples - 0.5 for n in range(samples)]
    inside = np.zeros(shape, dtype=np.int32)
    r = np.asarray(rotation) / semi[:, None]
    for dk in offsets:
        for dj in offsets:
            for di in offsets:
                x = [(g + d - s) * step for g, d, s, step in zip(grid, (di, dj, dk), shift, spacing, strict=True)]
                total = 0.0
                for row in r:
                    total = total + (row[2] * x[2][:, None, None] + row[1] * x[1][None, :, None] + row[0] * x[0][None, None, :]) ** 2
                inside += total <= 1.0
    return NodeMask(2 * inside >= len(offsets) ** 3, ImageGeometry.from_spacing(shape, spacing))


def ellipsoid_volume(axes_mm) -> float:
    """Volume in ml of full axes in mm."""
    return math.pi / 6 * float(np.prod(axes_mm)) / 1000
