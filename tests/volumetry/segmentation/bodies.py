"""Small pictures of bodies whose volume is known in closed form."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume


def ellipsoid_image(axes_mm, *, seed, spacing_mm=(0.5, 0.5, 1.25), blur_mm=0.55, noise=10.0, inside=95.0, outside=-90.0):
    """An ellipsoid in random pose: (ImageVolume, truth mask, volume ml, centre mm).

    Drawn five times finer than the slices, blurred by ``blur_mm`` (sd), averaged to voxels and
    given white noise, as a scanner would.
    """
    rng = np.random.default_rng(seed)
    spacing = np.asarray(spacing_mm, dtype=float)
    size_mm = 2.0 * max(axes_mm) + 30.0
    shape = tuple(int(np.ceil(size_mm / s)) for s in spacing[::-1])
    centre = np.full(3, size_mm / 2) + rng.uniform(-0.6, 0.6, 3)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    parts = (5, 2, 2)
    axis = [(np.arange(n * p) + 0.5) / p * s - s / 2 for n, p, s in zip(shape, parts, spacing[::-1], strict=True)]
    z, y, x = np.meshgrid(*axis, indexing="ij", sparse=True)
    offset = (x - centre[0], y - centre[1], z - centre[2])
    distance = sum((sum(turn[m, n] * offset[m] for m in range(3)) / axes_mm[n]) ** 2 for n in range(3))
    fine = np.where(distance < 1, inside, outside).astype(np.float32)
    fine = gaussian_filter(fine, [blur_mm / (s / p) for s, p in zip(spacing[::-1], parts, strict=True)])
    array = fine.reshape(shape[0], 5, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))
    array = array + rng.normal(0, noise, array.shape) if noise else array
    truth = (distance < 1).reshape(shape[0], 5, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5)) >= 0.5
    image = ImageVolume(array.astype(np.float32), ImageGeometry.from_spacing(shape, spacing))
    return image, truth, 4 / 3 * np.pi * float(np.prod(axes_mm)) / 1000, centre
