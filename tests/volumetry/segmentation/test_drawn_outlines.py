"""Outlines drawn by hand: areas as in closed form, and bodies from a few slices."""

from __future__ import annotations

import numpy as np
import pytest

from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.planimetry import enclosed_area
from volumetry.segmentation.drawn_outlines import (
    DrawnOutlines,
    clean_outline,
    combined,
    interpolate_outlines,
    outlines_of_mask,
    plane_metric,
)

GRID = ImageGeometry.from_spacing((60, 96, 96), (0.5, 0.5, 1.0))
UNIT = np.eye(2)
PLANE = (96, 96)


def circle(x: float, y: float, r: float, n: int = 120) -> np.ndarray:
    a = np.arange(n) / n * 2 * np.pi
    return np.stack([x + r * np.cos(a), y + r * np.sin(a)], axis=1)


def square(x: float, y: float, side: float) -> np.ndarray:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], float)


def area(lines) -> float:
    return enclosed_area(lines)


def ellipsoid_section(turn: np.ndarray, axes_mm, centre_mm, z_mm: float, n: int = 120) -> np.ndarray | None:
    """Border (n, 2) in mm of an ellipsoid's section at a height; None where it is not met."""
    form = turn @ np.diag(1 / np.square(axes_mm)) @ turn.T
    dz = z_mm - centre_mm[2]
    flat, tilt = form[:2, :2], form[:2, 2] * dz
    rest = 1 - (form[2, 2] * dz * dz - tilt @ np.linalg.solve(flat, tilt))
    if rest <= 0:
        return None
    half = np.linalg.cholesky(np.linalg.inv(flat) * rest)
    return circle(0, 0, 1, n) @ half.T - np.linalg.solve(flat, tilt) + np.asarray(centre_mm)[:2]


# ---- single outlines -----------------------------------------------------------------------------
def test_that_a_plain_outline_stays_as_it_was_drawn():
    (made,) = clean_outline(square(10, 12, 5), PLANE, UNIT)
    assert np.array_equal(made, square(10, 12, 5))


def test_that_a_line_drawn_past_its_start_has_no_hole_there():
    a = np.linspace(0, 2 * np.pi + 0.6, 200)
    # the second time round it runs a little farther in
    line = np.stack([40 + (20 - 0.8 * a / 6) * np.cos(a), 40 + (20 - 0.8 * a / 6) * np.sin(a)], axis=1)
    made = clean_outline(line, PLANE, UNIT)
    assert len(made) == 1
    assert area(made) == pytest.approx(np.pi * 19.6**2, rel=0.01)


def test_that_both_loops_of_an_eight_count():
    a = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    made = clean_outline(np.stack([40 + 20 * np.sin(a), 40 + 12 * np.sin(2 * a)], axis=1), PLANE, UNIT)
    # each loop of the curve encloses 4/3 x 20 x 12 / 2 on its side
    assert area(made) == pytest.approx(2 * 4 / 3 * 20 * 12, rel=0.01)


def test_that_an_outline_beyond_the_picture_ends_at_its_edge():
    made = clean_outline(square(-20, -20, 40), PLANE, UNIT)
    assert area(made) == pytest.approx(20.5**2)


@pytest.mark.parametrize(
    "points",
    [np.zeros((2, 2)), np.full((5, 2), np.nan), np.array([[1, 1], [5, 5], [9, 9], [3, 3.0]]), np.zeros((4, 2)), np.zeros((4, 3))],
    ids=["two", "nan", "a line", "a point", "3-D"],
)
def test_that_what_encloses_nothing_is_refused(points):
    with pytest.raises(SegmentationRefused) as refused:
        clean_outline(points, PLANE, UNIT)
    assert refused.value.code == "bad_contour"


@pytest.mark.parametrize(("take_away", "expected"), [(False, 100 + 100 - 25), (True, 75)])
def test_that_two_squares_join_and_cut_to_their_area(take_away, expected):
    made = combined((square(10, 10, 10),), (square(15, 15, 10),), UNIT, take_away=take_away)
    assert area(made) == pytest.approx(expected, rel=0.005)


def test_that_a_hole_is_cut_and_parts_apart_stay_two():
    ring = combined((square(10, 10, 20),), (square(15, 15, 10),), UNIT, take_away=True)
    assert len(ring) == 2
    assert area(ring) == pytest.approx(300, rel=0.005)
    two = combined((square(10, 10, 10),), (square(40, 40, 10),), UNIT)
    assert np.array_equal(two[0], square(10, 10, 10))
    assert len(two) == 2
    (left,) = combined((square(10, 10, 10),), (square(40, 40, 10),), UNIT, take_away=True)
    assert np.array_equal(left, square(10, 10, 10))


def test_that_everything_taken_away_leaves_nothing():
    lines = DrawnOutlines(0).with_outline(5, square(20, 20, 10), GRID).with_outline(5, square(15, 15, 30), GRID, take_away=True)
    assert lines.outlines == {}
    assert not lines.mask(GRID).any()
    assert lines.planimetry(GRID) is None


# ---- between slices ------------------------------------------------------------------------------
def test_that_three_slices_of_a_ball_give_the_ball():
    r = 16.0
    numbers = (16, 30, 44)
    drawn = {n: (circle(48, 48, 2 * np.sqrt(r**2 - (n - 30.0) ** 2)),) for n in numbers}
    made = DrawnOutlines(0, drawn).filled(GRID)
    for n, lines in made.between.items():
        assert area(lines) / 4 == pytest.approx(np.pi * (r**2 - (n - 30.0) ** 2), rel=0.005)
    assert sorted(made.between) == [n for n in range(17, 44) if n != 30]


@pytest.mark.parametrize(("slices", "bias", "worst"), [(3, 0.03, 0.09), (5, 0.01, 0.03)])
def test_that_a_few_slices_of_a_tilted_ellipsoid_give_its_volume(slices, bias, worst):
    rng = np.random.default_rng(11)
    errors = []
    for _ in range(8):
        axes = np.sort(rng.uniform(4, 13, 3))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        centre = np.array([24, 24, 29.5]) + rng.uniform(-0.5, 0.5, 3)
        met = [n for n in range(60) if ellipsoid_section(turn, axes, centre, n) is not None]
        numbers = np.unique(np.rint(np.linspace(met[0], met[-1], slices)).astype(int))
        drawn = {int(n): (ellipsoid_section(turn, axes, centre, n) / 0.5,) for n in numbers}
        volume = DrawnOutlines(0, drawn).filled(GRID).planimetry(GRID).volume_ml
        errors.append(volume / (4 / 3 * np.pi * np.prod(axes) / 1000) - 1)
    assert abs(np.mean(errors)) < bias
    assert np.mean(errors) < 0.005  # what lies beyond the outermost slices is missing
    assert np.abs(errors).max() < worst


def test_that_mask_and_planimetry_agree():
    drawn = {n: (circle(48.2, 47.7, r),) for n, r in ((10, 8), (18, 20), (30, 14))}
    made = DrawnOutlines(0, drawn).filled(GRID)
    voxels_ml = made.mask(GRID).sum() * GRID.voxel_size_mm3 / 1000
    assert voxels_ml == pytest.approx(made.planimetry(GRID).volume_ml, rel=0.01)


def test_that_two_equal_outlines_make_a_column():
    made = interpolate_outlines({5: [square(20, 20, 16)], 15: [square(30, 20, 16)]}, GRID)
    assert sorted(made) == list(range(6, 15))
    for n, lines in made.items():
        assert area(lines) == pytest.approx(256, rel=0.01)
        middle = (lines[0].min(axis=0) + lines[0].max(axis=0)) / 2
        assert middle == pytest.approx([28 + (n - 5), 28], abs=0.1)


def test_that_a_long_gap_beside_a_short_one_does_not_swell():
    drawn = {5: [circle(48, 48, 8)], 6: [circle(48, 48, 10)], 36: [circle(48, 48, 10)]}
    made = interpolate_outlines(drawn, GRID)
    # The parabola itself would reach 3.6 times the area of the slices beside the gap.
    assert max(area(lines) for lines in made.values()) < 1.2 * np.pi * 100


def test_that_a_slice_drawn_anew_changes_nothing_beyond_two_drawn_slices():
    drawn = {n: [circle(48, 48, 12)] for n in (5, 10, 15, 20, 25)}
    before = interpolate_outlines(drawn, GRID)
    after = interpolate_outlines({**drawn, 25: [circle(48, 48, 6)]}, GRID)
    assert area(after[12]) == pytest.approx(area(before[12]), rel=1e-6)
    assert area(after[22]) < 0.9 * area(before[22])


def test_that_one_slice_alone_is_refused():
    with pytest.raises(SegmentationRefused) as refused:
        interpolate_outlines({5: [circle(48, 48, 8)]}, GRID)
    assert refused.value.code == "too_few_contours"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_that_every_direction_of_cutting_gives_the_same_ball(axis):
    grid = ImageGeometry.from_spacing((41, 41, 41), (1, 1, 1))
    drawn = {n: (circle(20, 20, np.sqrt(15.0**2 - (n - 20) ** 2)),) for n in (6, 20, 34)}
    made = DrawnOutlines(axis, drawn).filled(grid)
    voxels = made.mask(grid)
    assert np.array_equal(np.moveaxis(voxels, axis, 0), DrawnOutlines(0, drawn).filled(grid).mask(grid))


def test_that_a_sheared_grid_is_measured_true():
    affine = np.eye(4)
    affine[:3, :3] = [[0.8, 0, 0], [0, 0.5, 0.4], [0, 0, 1.5]]
    grid = ImageGeometry((20, 30, 30), affine)
    metric = plane_metric(grid, 2)  # columns run along j, rows along the leaning k
    assert np.linalg.norm(metric @ [0, 1]) == pytest.approx(np.hypot(0.4, 1.5))
    assert (metric @ [1, 0]) @ (metric @ [0, 1]) == pytest.approx(0.5 * 0.4)


# ---- outlines that change ------------------------------------------------------------------------
def test_that_a_contour_takes_the_place_of_a_filled_slice_and_adds_to_a_drawn_one():
    made = DrawnOutlines(0, {5: (square(20, 20, 20),), 15: (square(20, 20, 20),)}).filled(GRID)
    corrected = made.with_outline(10, square(25, 25, 10), GRID)
    assert area(corrected.drawn[10]) == pytest.approx(100)
    assert area(corrected.between[9]) < area(made.between[9])
    added = made.with_outline(5, square(35, 20, 20), GRID)
    assert area(added.drawn[5]) == pytest.approx(400 + 300, rel=0.01)
    cut = made.with_outline(10, square(0, 0, 30), GRID, take_away=True)
    assert area(cut.drawn[10]) == pytest.approx(400 - 100, rel=0.02)


def test_that_painted_slices_become_outlines_of_their_voxels():
    array = np.zeros((6, 20, 20), bool)
    array[2, 5:15, 5:12] = True
    array[4, 8:10, 8:10] = True
    made = outlines_of_mask(array, 0)
    assert sorted(made) == [2, 4]
    assert np.array_equal(DrawnOutlines(0, made).mask(ImageGeometry.from_spacing(array.shape, (1, 1, 1))), array)
