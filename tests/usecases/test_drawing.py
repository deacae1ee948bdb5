"""Gestures of the drawing tools without a window."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from app.usecases import drawing
from tests.factories import ellipsoid_image
from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.segmentation.drawn_outlines import DrawnOutlines

GRID = ImageGeometry.from_spacing((30, 64, 64), (0.5, 0.5, 1.0))
CENTRE = np.array([12.3, -8.1, 105.2])


def near(x_mm: float, y_mm: float, z_mm: float) -> np.ndarray:
    """A point by its distance from the node's middle."""
    return CENTRE + np.array([x_mm, y_mm, z_mm], float)


@pytest.fixture(scope="module")
def case():
    return ellipsoid_image()


def square(side: float, x: float = 20, y: float = 20) -> np.ndarray:
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], float)


def box(k: slice, j: slice, i: slice) -> np.ndarray:
    array = np.zeros(GRID.shape, bool)
    array[k, j, i] = True
    return array


def test_that_a_memo_is_recalled_by_its_voxels_alone():
    array = box(slice(4, 8), slice(10, 20), slice(10, 20))
    memos = [drawing.Memo.of(array, "first"), drawing.Memo.of(np.zeros_like(array), "empty")]
    assert drawing.recall(memos, array.copy()) == "first"
    assert drawing.recall(memos, np.zeros_like(array)) == "empty"
    other = array.copy()
    other[20, 40, 40] = True  # outside the remembered box
    assert drawing.recall(memos, other) is None
    other[4, 10, 10] = False  # as many voxels as before
    assert drawing.recall(memos, other) is None


def test_that_the_volume_of_contours_is_that_of_their_lines():
    first = drawing.contour(np.zeros(GRID.shape, bool), None, GRID, 0, 10, square(20.4), False)
    assert first.coverage_volume_ml == pytest.approx(20.4**2 * 0.25 * 1.0 / 1000)
    second = drawing.contour(first.array, first.value, GRID, 0, 14, square(20.4), False)
    assert second.coverage_volume_ml == pytest.approx(2 * first.coverage_volume_ml)
    assert second.origin.details["drawn_slices"] == [10, 14]
    filled = drawing.between(second.array, second.value, GRID)
    assert filled.coverage_volume_ml == pytest.approx(5 * first.coverage_volume_ml, rel=0.005)
    assert [f.code for f in filled.findings] == ["open_end"]


def test_that_closed_ends_are_not_remarked_upon():
    lines = DrawnOutlines(0, {n: (square(side, 32 - side / 2, 32 - side / 2),) for n, side in ((5, 4.0), (12, 24.0), (19, 4.0))})
    assert drawing.between(lines.mask(GRID), lines, GRID).findings == ()


def test_that_a_contour_on_voxels_of_another_tool_joins_them():
    before = box(slice(8, 12), slice(10, 20), slice(10, 20))
    added = drawing.contour(before, None, GRID, 0, 10, square(10, 15, 15), False)
    assert added.repairs
    assert added.coverage_volume_ml is None
    assert added.array.sum() == before.sum() + 100 - 25
    taken = drawing.contour(before, None, GRID, 0, 10, square(10, 15, 15), True)
    assert taken.array.sum() == before.sum() - 25
    assert drawing.contour(added.array, DrawnOutlines(0, {3: (square(4),)}), GRID, 1, 30, square(4), False).findings[0].code == "drawn_across"


def test_that_the_suggested_range_holds_the_node_and_not_the_fat(case):
    low, high = drawing.suggested_range(case.image, CENTRE)
    assert low < 100 < high
    assert low > -100
    with pytest.raises(SegmentationRefused) as refused:
        drawing.suggested_range(case.image, CENTRE + 500.0)
    assert refused.value.code == "seed_outside"


def test_that_an_empty_range_is_refused_and_the_ball_is_taken_back_exactly(case):
    ball = drawing.Ball(tuple(CENTRE), 4.0, "add", (50.0, 150.0))
    before = np.zeros(case.image.geometry.shape, bool)
    before[2:4, 2:9, 2:9] = True
    made = drawing.grown(before, case.image, ball)
    assert made.array.sum() > before.sum()
    assert np.array_equal(drawing.without(made.array, made.value), before)
    with pytest.raises(SegmentationRefused) as refused:
        drawing.region_of(case.image, drawing.Ball(tuple(CENTRE), 4.0, "anew", (3000.0, 3001.0)))
    assert refused.value.code == "no_boundary"


def test_that_a_region_cut_short_by_its_ball_says_so(case):
    _, findings = drawing.region_of(case.image, drawing.Ball(tuple(CENTRE), 3.0, "anew", (50.0, 150.0)))
    assert [f.code for f in findings] == ["search_limit"]
    _, findings = drawing.region_of(case.image, drawing.Ball(tuple(CENTRE), 12.0, "anew", (20.0, 180.0)))
    assert findings == ()


def test_that_a_stroke_wins_over_an_earlier_one_of_the_other_side(case):
    inside = drawing.Stroke(np.array([near(-4, 0, 0), near(4, 0, 0)]), 0.8, False)
    across = drawing.Stroke(np.array([near(2, -3, 0), near(2, 3, 0)]), 0.8, True)
    made = drawing.scribbled(np.zeros(case.image.geometry.shape, bool), case.image, (inside, across))
    i, j, k = np.rint(case.image.geometry.world_to_index(near(2, 0, 0))).astype(int)
    assert made.array.any()
    assert not made.array[k, j, i]


def test_that_a_cut_leaves_the_larger_side_whole():
    before = box(slice(5, 15), slice(10, 30), slice(10, 30))
    at = GRID.index_to_world((14.5, 20, 10))
    for normal in ((1, 0, 0), (-1, 0, 0)):
        assert drawing.cut(before, GRID, at, normal, False).array.sum() == 10 * 20 * 15
        assert drawing.cut(before, GRID, at, normal, True).array.sum() == 10 * 20 * 5
    with pytest.raises(SegmentationRefused) as refused:
        drawing.cut(before, GRID, GRID.index_to_world((40, 20, 10)), (1, 0, 0), True)
    assert refused.value.code == "bad_plane"


def test_that_points_of_an_outline_stand_for_its_volume(monkeypatch):
    array = box(slice(5, 15), slice(10, 30), slice(10, 30))
    monkeypatch.setattr(drawing, "MOST_POINTS", 500)
    points, each_ml = drawing.outline_points(array, GRID)
    assert 500 <= len(points) < 1000
    assert len(points) * each_ml == pytest.approx(4000 * 0.25 / 1000)


def test_that_limits_half_way_to_the_surroundings_take_in_the_blurred_rim(case):
    blurred = ndimage.gaussian_filter(np.asarray(case.image.array, np.float32), 1.0)
    image = ImageVolume(blurred, case.image.geometry)
    true_ml = case.volume_ml
    seed = tuple(CENTRE)
    narrow = drawing.suggested_range(image, seed)
    small, _ = drawing.region_of(image, drawing.Ball(seed, 14.0, "anew", narrow))
    wide = drawing.half_way_range(image, small.array, narrow)
    assert wide[0] < narrow[0]
    assert wide[1] == narrow[1]  # nothing around is brighter
    whole, _ = drawing.region_of(image, drawing.Ball(seed, 14.0, "anew", wide))
    voxel_ml = image.geometry.voxel_size_mm3 / 1000.0
    lost, left = (abs(true_ml - mask.array.sum() * voxel_ml) for mask in (small, whole))
    assert lost > 0.15 * true_ml  # the rim is a good part of a node of 1 ml
    assert left < 0.5 * lost
    assert drawing.half_way_range(image, np.zeros_like(small.array), narrow) == narrow
    assert drawing.half_way_range(image, whole.array, (-2000.0, 4000.0)) == (-2000.0, 4000.0)
