"""A node on CT before and after contrast, with a known part that enhances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask
from volumetry.registration import RigidRegistration

CT = ImageSource(modality="CT", synthetic=True)
FINE = 3  # samples a voxel side


@dataclass(frozen=True)
class Pair:
    """``registration`` carries points of ``post`` to ``pre``; volumes are those of the shapes themselves."""

    pre: ImageVolume
    post: ImageVolume
    node: NodeMask
    registration: RigidRegistration
    viable_ml: float
    node_ml: float


def make_pair(
    seed: int, kind: str, *, viable_share: float = 0.3, spacing_mm=(0.6, 0.6, 1.25), noise_hu: float = 10.0, blur_mm: float = 0.6, rise_hu: float = 50.0,
    shift_mm=(1.3, -0.8, 0.9), angle_deg: float = 1.5,
) -> Pair:  # fmt: skip
    """``kind``: none, rim, nodule, partial or whole. The picture before contrast lies elsewhere by a known turn and shift."""
    pre, post, array, geometry, matrix, volumes = _clean(seed, kind, viable_share, tuple(spacing_mm), blur_mm, rise_hu, tuple(shift_mm), angle_deg)
    rng = np.random.default_rng([seed, 18])

    def with_noise(hu: np.ndarray) -> ImageVolume:
        noise = ndimage.gaussian_filter(rng.normal(size=hu.shape), (0.0, 0.7, 0.7))
        return ImageVolume((hu + noise_hu * noise / noise.std()).astype(np.float32), geometry, "HU", CT)

    return Pair(with_noise(pre), with_noise(post), NodeMask(array.copy(), geometry), RigidRegistration(matrix, "landmarks", 0.2), *volumes)


@cache
def _clean(seed, kind, viable_share, spacing_mm, blur_mm, rise_hu, shift_mm, angle_deg):
    """The pair without noise, the node's voxels, grid, motion, and the true volumes (enhancing, whole)."""
    rng = np.random.default_rng([seed, 17])
    half = rng.uniform(5.0, 8.0, 3)
    size = np.array([38.0, 36.0, 34.0])
    shape = np.round(size / spacing_mm).astype(int)
    geometry = ImageGeometry.from_spacing(tuple(int(n) for n in shape[::-1]), spacing_mm, tuple(-size / 2))
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    vessel = np.array([half[0] + 6.0, 3.0])
    rim_mm = float(rng.uniform(0.8, 1.5))
    cut = _cut(half, direction, viable_share, kind)

    def node(p):
        return ((p / half) ** 2).sum(axis=-1)

    def enhances(p):
        r = np.sqrt(np.maximum(node(p), 1e-12))
        inside = r <= 1
        depth = (1 - r) * np.linalg.norm(p, axis=-1) / r  # along the ray; near the surface that is enough
        if kind == "none":
            return np.zeros(inside.shape, bool)
        if kind == "whole":
            return inside
        if kind == "rim":
            return inside & (depth * np.linalg.norm(p / half, axis=-1) / np.maximum(np.linalg.norm(p / half**2, axis=-1) * np.linalg.norm(p, axis=-1), 1e-9) <= rim_mm)
        if kind == "nodule":
            return inside & (np.linalg.norm(p - 0.6 * direction * half, axis=-1) <= cut)
        return inside & ((p / half) @ direction >= cut)

    def tissue(p, after):
        hu = np.where(p[..., 1] < -14, -90.0, 55.0 + 12.0 * after)
        hu = hu + 8 * np.sin(p[..., 0] / 3.1) * np.cos(p[..., 2] / 4.3)
        pipe = np.hypot(p[..., 0] - vessel[0], p[..., 1] - vessel[1]) <= 3.5
        hu = np.where(pipe, 45.0 + 140.0 * after, hu)
        return np.where(node(p) <= 1, 38.0 + rise_hu * after * enhances(p), hu)

    turn = math.radians(angle_deg)
    matrix = np.eye(4)
    matrix[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    matrix[:3, 3] = shift_mm

    low = [int((n - 20.0 / d) / 2) for n, d in zip(geometry.shape, spacing_mm[::-1], strict=True)]
    box = tuple(slice(a, n - a) for a, n in zip(low, geometry.shape, strict=True))  # where the node may lie: sampled finely
    near = geometry.cropped(box)

    def picture(after):
        hu = None
        for grid, fine in ((geometry, 1), (near, FINE)):
            points = _points(grid, fine)
            if not after:  # this voxel of the picture before contrast shows what lies at the inverse of the motion
                points = (points - matrix[:3, 3]) @ matrix[:3, :3]
            part = tissue(points, float(after)).astype(np.float32)
            part = part.reshape(*(n for s in grid.shape for n in (s, fine))).mean(axis=(1, 3, 5))
            if hu is None:
                hu = part
            else:
                hu[box] = part
        return ndimage.gaussian_filter(hu, (0.0, blur_mm / spacing_mm[1], blur_mm / spacing_mm[0]))

    fine = _points(near, FINE)
    inside, lit = node(fine) <= 1, enhances(fine)
    array = np.zeros(geometry.shape, bool)
    array[box] = inside.reshape(*(n for s in near.shape for n in (s, FINE))).mean(axis=(1, 3, 5)) >= 0.5
    sample_ml = geometry.voxel_size_mm3 / FINE**3 / 1000.0
    return picture(False), picture(True), array, geometry, matrix, (float(lit.sum()) * sample_ml, float(inside.sum()) * sample_ml)


def _cut(half, direction, share, kind) -> float:
    """Radius of the nodule, or height of the plane, that gives the share."""
    p = np.random.default_rng(3).uniform(-1, 1, (40_000, 3))
    p = p[(p**2).sum(axis=1) <= 1] * half
    value = np.linalg.norm(p - 0.6 * direction * half, axis=1) if kind == "nodule" else -(p / half) @ direction
    cut = float(np.quantile(value, share))
    return cut if kind == "nodule" else -cut


def _points(geometry: ImageGeometry, fine: int) -> np.ndarray:
    axes = [(np.arange(n * fine) + 0.5) / fine - 0.5 for n in geometry.shape]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    return geometry.index_to_world(np.stack([i, j, k], axis=-1))
