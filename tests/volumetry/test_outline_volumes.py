"""The volume of a star-convex surface, and of its voxels, against ellipsoids known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.volumetry.ellipsoids import axes_for_volume, ellipsoid_volume, random_rotation
from volumetry.geometry import ImageGeometry
from volumetry.segmentation.icosphere import icosphere, signed_volume
from volumetry.segmentation.rasterise import coverage_of_surface
from volumetry.segmentation.star_convex import Fan

DIRECTIONS = 8  # 642 rays, as a click takes them


def radii(rays: np.ndarray, centre, axes_mm, rotation) -> np.ndarray:
    """Distance in units of each ray from ``centre`` (inside) to an ellipsoid about the origin."""
    r = np.asarray(rotation) / (np.asarray(axes_mm) / 2)[:, None]
    d, c = rays @ r.T, r @ np.asarray(centre)
    a, b = (d * d).sum(axis=1), d @ c
    return (-b + np.sqrt(b * b - a * (c @ c - 1))) / a


@pytest.mark.parametrize("slice_mm", [1.0, 3.0, 5.0])
def test_that_the_volume_of_a_star_convex_outline_is_unbiased(slice_mm):
    """Random pose, 0.05 to 50 ml, click off the centre: the sum over rays, the drawn surface and the
    covered parts of 1, 3 and 5 mm slices all give the ellipsoid's volume."""
    rng = np.random.default_rng(int(10 * slice_mm))
    by_rays, by_surface, by_cover = [], [], []
    for volume in np.exp(np.linspace(math.log(0.05), math.log(50), 30)):
        axes, turn = axes_for_volume(volume, rng), random_rotation(rng)
        centre = turn.T @ (rng.uniform(-0.15, 0.15, 3) * axes)
        fan = Fan(icosphere(DIRECTIONS), centre, np.eye(3))
        t = radii(fan.rays_mm, centre, axes, turn)
        truth = 1000 * ellipsoid_volume(axes)
        by_rays.append(fan.volume_mm3(t) / truth)
        flat = fan.points_mm(t)
        loss = fan.volume_mm3(t) / signed_volume(flat, fan.sphere.faces)
        vertices = centre + (flat - centre) * loss ** (1 / 3)
        by_surface.append(signed_volume(vertices, fan.sphere.faces) / truth)
        spacing = np.array([0.5, 0.5, slice_mm])
        shape = tuple(int(v) for v in (np.ceil(np.ptp(vertices, axis=0) / spacing) + 3)[::-1])
        grid = ImageGeometry.from_spacing(shape, spacing, vertices.min(axis=0) - spacing * rng.uniform(0.6, 1.4, 3))
        _, cover = coverage_of_surface(vertices, fan.sphere.faces, grid)
        by_cover.append(cover.sum() * grid.voxel_size_mm3 / truth)
    for ratios in (by_rays, by_surface, by_cover):
        assert abs(np.mean(ratios) - 1) < 0.003
    assert np.abs(np.array(by_rays) - 1).max() < 0.01
    assert np.abs(np.array(by_surface) - 1).max() < 0.01
