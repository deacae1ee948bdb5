import math

import numpy as np
import pytest

from app.demo.kernels.coverage import fill_coverage
from app.demo.phantoms import make_phantom
from app.demo.shapes import LobulatedEllipsoid, rotation_from
from tests.reference.demo_coverage import coverage_by_sampling_everything
from volumetry.geometry import ImageGeometry


def lobulated(rng, axes=(8.0, 5.5, 4.5)):
    lobes = LobulatedEllipsoid.random_lobes(rng, strength=0.08)
    return LobulatedEllipsoid.make((1.3, -2.1, 0.7), axes, rotation_from(30, -20, 65), lobes)


def test_that_the_lobes_leave_the_ellipsoids_volume_as_it_was():
    node = lobulated(np.random.default_rng(4))
    rng = np.random.default_rng(5)
    box = np.array([24.0, 24.0, 24.0])
    points = (rng.random((1_500_000, 3)) - 0.5) * box + node.centre_mm
    sampled_ml = node.contains(points).mean() * box.prod() / 1000
    assert node.volume_ml == pytest.approx(4 / 3 * math.pi * 8 * 5.5 * 4.5 / 1000, rel=1e-12)
    assert sampled_ml == pytest.approx(node.volume_ml, rel=0.01)  # 4 standard errors of the sampling


@pytest.mark.parametrize("spacing", [(0.6, 0.6, 1.25), (0.5, 0.7, 3.0)])
def test_that_coverage_adds_up_to_the_true_volume_within_a_thousandth(spacing):
    for seed in range(4):
        node = lobulated(np.random.default_rng(seed))
        geometry = ImageGeometry.from_spacing((int(34 / spacing[2]), 60, 60), spacing, (-17.2, -17.9, -16.4))
        _, cover = node.coverage(geometry, samples=8)
        assert cover.sum(dtype=float) * geometry.voxel_size_mm3 / 1000 == pytest.approx(node.volume_ml, rel=1e-3)


def test_that_the_kernel_agrees_with_its_slow_twin():
    node = lobulated(np.random.default_rng(9))
    geometry = ImageGeometry.from_spacing((20, 26, 26), (0.9, 0.9, 1.25), (-10, -13, -11.5))
    m = (node.rotation.T @ geometry.affine[:3, :3]) / np.array(node.semi_axes_mm)[:, None]
    t = node.rotation.T @ (geometry.affine[:3, 3] - np.array(node.centre_mm)) / np.array(node.semi_axes_mm)
    to_unit = np.column_stack([m, t])
    fast = np.empty(geometry.shape, dtype=np.float32)
    fill_coverage(fast, to_unit, node.lobes, node.scale, 4)
    slow = coverage_by_sampling_everything(geometry.shape, to_unit, node.lobes, node.scale, 4)
    assert np.abs(fast - slow).max() <= 1.5 / 64  # a sample on the border may fall either way
    assert np.abs(fast - slow).mean() < 1e-4
    assert 0 < slow.sum() < slow.size


def test_that_a_shape_off_the_grid_covers_nothing():
    geometry = ImageGeometry.from_spacing((4, 4, 4), (1, 1, 1), (100, 100, 100))
    assert lobulated(np.random.default_rng(1)).coverage(geometry) is None


def test_that_a_moved_shape_keeps_its_volume_and_carries_its_points_along():
    node = lobulated(np.random.default_rng(2))
    turn, shift = rotation_from(3, -2, 5), np.array([1.0, -4.0, 2.5])
    moved = node.moved(turn, shift)
    assert moved.volume_ml == node.volume_ml
    assert np.abs(moved.surface_points_mm() - (node.surface_points_mm() @ turn.T + shift)).max() < 1e-9
    assert node.resized(0.4).volume_ml == pytest.approx(0.4 * node.volume_ml)


@pytest.mark.parametrize("spacing", [(0.6, 0.6, 1.25), (0.9, 0.9, 3.0)])
def test_that_a_phantom_tells_the_truth_about_itself(spacing):
    for seed in range(3):
        p = make_phantom(np.random.default_rng(seed), spacing, diameter_mm=(12, 20))
        assert p.image.array.shape == p.truth.shape == p.image.geometry.shape
        assert p.image.geometry.spacing_mm == pytest.approx(spacing)
        assert p.true_volume_ml == pytest.approx(4 / 3 * math.pi * p.radius_mm**3 / 1000)
        counted_ml = p.truth.sum() * p.image.geometry.voxel_size_mm3 / 1000
        assert counted_ml == pytest.approx(p.true_volume_ml, rel=0.04)
        i, j, k = np.round(p.image.geometry.world_to_index(p.centre_mm)).astype(int)
        assert p.truth[k, j, i]
        edge = np.concatenate([p.truth[0].ravel(), p.truth[-1].ravel(), p.truth[:, 0].ravel(), p.truth[:, :, -1].ravel()])
        assert not edge.any()
        assert 60 < p.image.array[p.truth].mean() < 135
        assert p.image.source.synthetic


def test_that_a_phantom_repeats_from_its_seed_and_differs_from_the_next():
    one, again, other = (make_phantom(np.random.default_rng(s), diameter_mm=(8, 9)) for s in (7, 7, 8))
    assert np.array_equal(one.image.array, again.image.array)
    assert one.true_volume_ml != other.true_volume_ml
