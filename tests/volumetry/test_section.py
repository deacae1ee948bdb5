"""Sections of ellipsoids, of which area and axes are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from volumetry.errors import MeasurementRefused
from volumetry.geometry import ImageGeometry
from volumetry.section import cut, largest_normal, long_axis, outline_section, own_long_axis

HALF_MM, MIDDLE = np.array([18.0, 12.0, 8.0]), np.array([0.3, 0.2, -0.4])
TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]  # columns: its axes
GRID = ImageGeometry.from_spacing((44, 44, 44), (1.0, 1.0, 1.0), (-22.0, -22.0, -22.0))


def radius(middle=MIDDLE, half=HALF_MM, turn=TURN) -> np.ndarray:
    """1 on the surface of an ellipsoid, at every voxel."""
    k, j, i = np.indices(GRID.shape)
    return np.sqrt((((GRID.index_to_world(np.stack([i, j, k], -1)) - middle) @ turn / half) ** 2).sum(-1))


@pytest.fixture(scope="module")
def level() -> np.ndarray:
    return 1.0 - radius()


@pytest.mark.parametrize(("normal", "axes"), [(0, (24.0, 16.0)), (1, (36.0, 16.0)), (2, (36.0, 24.0))])
def test_that_a_section_across_an_axis_of_an_ellipsoid_has_its_other_two(level, normal, axes):
    found = cut(level, GRID, MIDDLE, TURN[:, normal])
    assert (found.long_mm, found.across_mm) == pytest.approx(axes, abs=0.15)
    assert found.area_mm2 == pytest.approx(np.pi / 4 * axes[0] * axes[1], rel=0.005)
    assert np.ptp(found.points_mm, axis=0) == pytest.approx(axes, abs=0.15)  # the longest diameter lies along x
    assert found.parts == 1


def test_that_the_largest_plane_and_the_longest_axis_of_an_ellipsoid_are_found(level):
    middle, axis = own_long_axis(level > 0, GRID)
    assert middle == pytest.approx(MIDDLE, abs=0.1)
    assert abs(axis @ TURN[:, 0]) > 0.999
    largest = cut(level, GRID, middle, largest_normal(level, GRID, middle))
    assert largest.area_mm2 == pytest.approx(np.pi / 4 * 36 * 24, rel=0.01)
    along = largest_normal(level, GRID, middle, along=axis)
    assert abs(along @ axis) < 1e-9
    assert abs(along @ TURN[:, 2]) > 0.99


def test_that_a_round_shape_has_no_longest_axis_and_an_empty_one_no_middle():
    assert own_long_axis(radius(half=np.full(3, 9.0)) < 1, GRID)[1] is None
    with pytest.raises(MeasurementRefused) as refused:
        own_long_axis(np.zeros(GRID.shape, bool), GRID)
    assert refused.value.code == "empty_mask"


def test_that_a_hole_does_not_count_and_of_two_parts_the_one_at_the_point_does():
    z, straight = np.array([0.0, 0.0, 1.0]), np.eye(3)
    shell = np.minimum(1 - radius(np.zeros(3), np.full(3, 15.0)), radius(np.zeros(3), np.full(3, 6.0)) - 1)
    assert cut(shell, GRID, (0.0, 0.0, 0.0), z).area_mm2 == pytest.approx(np.pi * (15**2 - 6**2), rel=0.01)
    left, right = (1 - radius(np.array([x, 0.0, 0.0]), np.full(3, r), straight) for x, r in ((-11.0, 5.0), (8.0, 9.0)))
    both = np.maximum(left, right)
    at_left, beside = cut(both, GRID, (-11.0, 0.0, 0.0), z), cut(both, GRID, (-3.5, 0.0, 0.0), z)
    assert (at_left.parts, at_left.long_mm) == (2, pytest.approx(10.0, abs=0.2))
    assert beside.long_mm == pytest.approx(18.0, abs=0.2)  # in neither: the larger one
    assert cut(both, GRID, (0.0, 0.0, 20.0), z) is None


def test_that_an_outline_gives_its_numbers_in_any_direction_and_a_line_none():
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    points = np.stack([10 * np.cos(turn), 4 * np.sin(turn)], axis=1) @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + (70, 30)
    found = outline_section(points)
    assert (found.long_mm, found.across_mm) == pytest.approx((20.0, 8.0), rel=1e-4)
    assert found.area_mm2 == pytest.approx(np.pi * 40, rel=1e-4)
    assert np.tan(long_axis(points)[1]) == pytest.approx(0.8 / 0.6, rel=0.01)
    with pytest.raises(MeasurementRefused):
        outline_section([(0.0, 0.0), (1.0, 1.0)])
