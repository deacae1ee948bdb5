"""Random nodes for trying a segmentation, each with its true outline.

They are drawn apart from the demonstration case and share none of its numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from app.demo.noise import ct_noise
from app.demo.shapes import LobulatedEllipsoid, rotation_from
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume

PSF_FWHM_MM = 0.8


class Phantom(NamedTuple):
    """A picture and what is in it; unpacks in this order.

    ``truth`` is bool ``[k, j, i]`` (at least half of the voxel is node), ``true_volume_ml`` the
    analytic volume, ``radius_mm`` that of the sphere of equal volume. ``shape`` is the node itself.
    """

    image: ImageVolume
    truth: np.ndarray
    true_volume_ml: float
    centre_mm: tuple[float, float, float]
    radius_mm: float
    shape: LobulatedEllipsoid


def _edge(distance_mm: np.ndarray, width_mm: float) -> np.ndarray:
    """Covered fraction across a nearly plane border: 1 inside (negative distance)."""
    return np.clip(0.5 - distance_mm / width_mm, 0.0, 1.0)


def make_phantom(
    rng: np.random.Generator,
    spacing_mm: tuple[float, float, float] = (0.6, 0.6, 1.25),
    *,
    diameter_mm: tuple[float, float] = (6.0, 28.0),
    noise_sd_hu: float = 10.0,
    with_muscle: bool = True,
    with_vessel: bool = True,
) -> Phantom:
    """One lobulated node in fat that touches a muscle and a contrast-filled vessel.

    ``spacing_mm`` is (i, j, k); ``diameter_mm`` bounds the diameter of the sphere of equal volume
    (drawn evenly on a log scale). Flat CT values with fine texture, point spread in plane,
    averaging through the slice by exact coverage, correlated noise.
    """
    radius = 0.5 * math.exp(rng.uniform(math.log(diameter_mm[0]), math.log(diameter_mm[1])))
    ratios = np.array([rng.uniform(1.05, 1.55), rng.uniform(0.9, 1.1), rng.uniform(0.65, 0.95)])
    axes = radius * ratios / np.prod(ratios) ** (1 / 3)
    turn = rotation_from(*rng.uniform(-180, 180, size=3))
    half = float(axes[0]) * 1.15 + 12.0
    shape = tuple(math.ceil(2 * half / s) for s in spacing_mm[::-1])
    origin = -0.5 * (np.array(shape[::-1]) - 1) * spacing_mm + rng.uniform(-20, 20, size=3)
    geometry = ImageGeometry.from_spacing(shape, spacing_mm, origin)
    middle = geometry.index_to_world(0.5 * (np.array(shape[::-1]) - 1))
    centre = middle + rng.uniform(-0.5, 0.5, size=3) * spacing_mm
    node = LobulatedEllipsoid.make(centre, axes, turn, LobulatedEllipsoid.random_lobes(rng))

    k, j, i = np.indices(shape, dtype=np.float64)
    points = geometry.index_to_world(np.stack([i, j, k], axis=-1)) - centre
    surface = node.surface_points_mm() - centre
    image = np.full(shape, rng.uniform(-110, -85))
    step = float(np.mean(spacing_mm))

    muscle_normal = rng.normal(size=3)
    muscle_normal /= np.linalg.norm(muscle_normal)
    if with_muscle:
        # pressed a little into the node, and curved away from it
        near = float((surface @ muscle_normal).max()) - rng.uniform(0.2, 0.9)
        depth = points @ muscle_normal
        across = np.linalg.norm(points - depth[..., None] * muscle_normal, axis=-1)
        distance = near + across**2 / (2 * rng.uniform(20, 60)) - depth
        cover = _edge(distance, step)
        image += cover * (rng.uniform(50, 68) - image)
    if with_vessel:
        normal = rng.normal(size=3)
        normal -= (normal @ muscle_normal) * muscle_normal * 1.2  # on another side than the muscle
        normal /= np.linalg.norm(normal)
        along = np.cross(normal, rng.normal(size=3))
        along /= np.linalg.norm(along)
        thick = rng.uniform(2.0, 6.5)
        gap = -rng.uniform(0.1, 0.6) if rng.random() < 0.7 else rng.uniform(0.2, 1.2)
        axis_point = normal * (float((surface @ normal).max()) + gap + thick)
        off = points - axis_point
        off = off - (off @ along)[..., None] * along
        cover = _edge(np.linalg.norm(off, axis=-1) - thick, step)
        image += cover * (rng.uniform(170, 260) - image)
    for _ in range(int(rng.integers(1, 4))):  # small vessels and strands in the fat
        along = rng.normal(size=3)
        along /= np.linalg.norm(along)
        off = points - rng.normal(size=3) * (half * 0.6)
        off = off - (off @ along)[..., None] * along
        cover = _edge(np.linalg.norm(off, axis=-1) - rng.uniform(0.4, 1.0), step)
        image += cover * (rng.uniform(20, 140) - image)

    texture = ndimage.gaussian_filter(rng.standard_normal(shape), [2.0 / s for s in spacing_mm[::-1]])
    image += texture * (5.0 / texture.std())
    box, cover = node.coverage(geometry, samples=7)
    inside = rng.uniform(80, 125) + texture[box] * (5.0 / texture.std())
    image[box] += cover * (inside - image[box])
    truth = np.zeros(shape, dtype=bool)
    truth[box] = cover >= 0.5

    sigma = PSF_FWHM_MM / 2.3548
    image = ndimage.gaussian_filter(image, [0.0, sigma / spacing_mm[1], sigma / spacing_mm[0]])
    image += ct_noise(rng, shape, spacing_mm[0], noise_sd_hu)
    truth.setflags(write=False)
    volume = ImageVolume(
        np.round(image).astype(np.int16), geometry, source=ImageSource(modality="CT", description="Phantom", synthetic=True)
    )
    return Phantom(volume, truth, node.volume_ml, node.centre_mm, radius, node)
