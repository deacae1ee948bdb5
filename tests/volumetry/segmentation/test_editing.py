"""Hand repairs: physical sizes on uneven grids, purity, and exact undo."""

from __future__ import annotations

import time

import numpy as np
import pytest

from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import MaskPatch
from volumetry.segmentation import editing
from volumetry.segmentation.history import EditHistory, EditStep

GRID = ImageGeometry.from_spacing((20, 60, 50), (0.5, 0.8, 1.25), (-10.0, 5.0, 30.0))
CENTRE = GRID.index_to_world([25, 30, 10])


def empty():
    return np.zeros(GRID.shape, dtype=bool)


def ball(radius_mm, centre=CENTRE):
    array = empty()
    editing.paint(array, GRID, centre, radius_mm)
    return array


def distances(centre=CENTRE):
    k, j, i = np.indices(GRID.shape)
    return np.linalg.norm(GRID.index_to_world(np.stack([i, j, k], axis=-1)) - centre, axis=-1)


def test_that_the_ball_brush_is_round_in_millimetres():
    assert (ball(4.0) == (distances() <= 4.0)).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_that_the_disc_brush_stays_in_its_slice(axis):
    array = empty()
    # a click a little off the slice still paints a full disc in it
    point = CENTRE + 0.2 * np.array(GRID.spacing_mm)
    editing.paint(array, GRID, point, 3.0, plane_axis=axis)
    hit = np.unique(np.argwhere(array)[:, axis])
    assert hit.tolist() == [[10, 30, 25][axis]]
    area = array.sum() * GRID.voxel_size_mm3 / GRID.spacing_mm[2 - axis]
    assert area == pytest.approx(np.pi * 9, rel=0.12)


def test_that_the_smallest_brush_paints_the_voxel_under_it():
    assert ball(0.01).sum() == 1


def test_that_the_eraser_undoes_the_brush():
    array = ball(4.0)
    editing.paint(array, GRID, CENTRE, 4.0, value=False)
    assert not array.any()


def test_that_a_fast_stroke_leaves_no_gap():
    array = empty()
    a, b = CENTRE - np.array([6, 0, 0]), CENTRE + np.array([6, 0, 0])
    editing.paint_line(array, GRID, a, b, 1.0, plane_axis=0)
    row = array[10, 30]
    first, last = np.flatnonzero(row)[[0, -1]]
    assert row[first : last + 1].all()
    assert (last - first) * 0.5 == pytest.approx(14.0, abs=1.0)


def test_that_painting_only_where_values_fit_spares_the_rest():
    values = np.full(GRID.shape, 50, dtype=np.int16)
    values[:, :30] = 200
    image = ImageVolume(values, GRID)
    array = empty()
    editing.paint(array, GRID, CENTRE, 4.0, image=image, hu_range=(0, 100))
    assert array.any()
    assert not array[:, :30].any()
    assert (array == (ball(4.0) & (values <= 100))).all()


def test_that_a_dab_outside_the_picture_changes_nothing():
    array = empty()
    assert editing.paint(array, GRID, CENTRE + np.array([500, 0, 0]), 3.0) is None
    assert not array.any()


@pytest.mark.parametrize(("point", "radius", "axis"), [((np.nan, 0, 0), 1, None), ((0, 0, 0), 0, None), ((0, 0, 0), 1, 3)])
def test_that_a_brush_without_size_or_place_is_refused(point, radius, axis):
    with pytest.raises(SegmentationRefused) as refusal:
        editing.paint(empty(), GRID, point, radius, plane_axis=axis)
    assert refusal.value.code == "bad_brush"


def test_that_a_dab_costs_little_on_a_large_picture():
    grid = ImageGeometry.from_spacing((150, 512, 512), (0.5, 0.5, 1.0))
    array = np.zeros(grid.shape, dtype=bool)
    at = grid.index_to_world([256, 256, 75])
    editing.paint(array, grid, at, 5.0)
    best = min(timed(lambda: editing.paint(array, grid, at, 5.0)) for _ in range(5))
    assert best < 0.02  # a quarter of that on an idle machine


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_that_holes_are_filled_and_nothing_else():
    array = ball(5.0)
    hollow = array & ~ball(2.0)
    assert (editing.fill_holes(hollow) == array).all()
    tunnel = array.copy()
    tunnel[:, 30, 25] = False
    assert (editing.fill_holes(tunnel) == tunnel).all()
    assert (editing.fill_holes(tunnel, per_slice=True)[10] == array[10]).all()


def test_that_the_largest_piece_is_kept():
    big, small = ball(4.0), ball(1.5, CENTRE + np.array([0, 15.0, 0]))
    assert (editing.keep_largest(big | small) == big).all()
    assert (editing.keep_touching(big | small, GRID, CENTRE + np.array([0, 14.0, 0])) == small).all()
    assert not editing.keep_largest(empty()).any()


def test_that_growing_and_shrinking_are_physical():
    array = ball(4.0)
    grown = editing.grow(array, GRID, 1.0)
    assert not (array & ~grown).any()
    assert distances()[grown].max() <= 5.0 + 1e-6
    assert grown.sum() * GRID.voxel_size_mm3 > 1.3 * array.sum() * GRID.voxel_size_mm3
    shrunk = editing.grow(array, GRID, -1.0)
    assert not (shrunk & ~array).any()
    assert (editing.grow(array, GRID, 0) == array).all()
    # an opening never adds
    assert not (editing.grow(shrunk, GRID, 1.0) & ~array).any()
    with pytest.raises(SegmentationRefused):
        editing.grow(array, GRID, float("nan"))


def test_that_smoothing_keeps_the_voxel_count_and_removes_a_spike():
    array = ball(4.0)
    spiked = array.copy()
    spiked[10, 30, 33:44] = True
    smooth = editing.smooth(spiked, GRID)
    assert smooth.sum() == spiked.sum()
    assert not smooth[10, 30, 40:44].any()


def test_that_a_plane_cuts_on_the_side_it_points_to():
    array = ball(4.0)
    cut = editing.cut_by_plane(array, GRID, CENTRE, (0.3, 1.0, 0))
    where = GRID.index_to_world(np.argwhere(cut)[:, ::-1]) - CENTRE
    assert (where @ [0.3, 1.0, 0]).max() <= 1e-9
    kept = editing.cut_by_plane(array, GRID, CENTRE, (0.3, 1.0, 0), keep_mm=CENTRE + np.array([0, 2, 0]))
    assert (cut | kept == array).all()
    with pytest.raises(SegmentationRefused):
        editing.cut_by_plane(array, GRID, CENTRE, (0, 0, 0))


def test_that_a_threshold_stays_in_its_ball_and_with_its_click():
    values = np.where(distances() < 3.0, 100, 0) + np.where(distances(CENTRE + np.array([8, 0, 0])) < 2.0, 100, 0)
    image = ImageVolume(values.astype(np.int16), GRID)
    assert (editing.threshold_in_ball(image, CENTRE, 12.0, 50, 200) == (distances() < 3.0)).all()
    both = editing.threshold_in_ball(image, CENTRE, 12.0, 50, 200, connected=False)
    assert (both == (values > 50)).all()
    assert (editing.only_in_range(both, image, 150, 300) == empty()).all()


def test_that_whole_outline_operations_leave_their_input_alone():
    array = ball(4.0)
    before = array.copy()
    for work in (
        editing.fill_holes,
        editing.keep_largest,
        lambda a: editing.grow(a, GRID, 1.0),
        lambda a: editing.grow(a, GRID, -1.0),
        lambda a: editing.smooth(a, GRID),
        lambda a: editing.cut_by_plane(a, GRID, CENTRE, (1, 0, 0)),
    ):
        out = work(array)
        assert out is not array
        assert out.dtype == bool
        assert (array == before).all()
        assert not work(empty()).any()


def test_that_undo_and_redo_are_exact_and_survive_a_save():
    rng = np.random.default_rng(4)
    array, history, states = empty(), EditHistory(), [empty()]
    for n in range(12):
        before = array.copy()
        editing.paint(array, GRID, CENTRE + rng.normal(0, 4, 3), rng.uniform(1, 3), value=n % 3 != 2)
        if history.record(f"Stroke {n}", before, array) is not None:
            states.append(array.copy())
    count = len(history.steps)
    for n in range(count, count // 2, -1):
        step = history.undo(array)
        assert step is not None
        assert (array == states[n - 1]).all()
    saved = EditHistory.from_bytes(history.to_bytes(), array)
    assert [s.text for s in saved.steps] == [s.text for s in history.steps]
    assert (saved.undo_text, saved.redo_text) == (history.undo_text, history.redo_text)
    for n in range(count // 2 + 1, count + 1):
        saved.redo(array)
        assert (array == states[n]).all()
    assert saved.redo(array) is None
    while saved.undo(array):
        pass
    assert not array.any()
    assert saved.undo_text is None


def test_that_a_new_step_forgets_what_could_be_redone_and_the_oldest_go_first():
    history, array = EditHistory(limit=3), empty()
    for n in range(5):
        before = array.copy()
        array[n] = True
        history.push(EditStep(f"{n}", MaskPatch.between(before, array)))
    assert [s.text for s in history.steps] == ["2", "3", "4"]
    history.undo(array)
    before = array.copy()
    array[9] = True
    history.record("new", before, array)
    assert history.redo_text is None
    assert history.undo_text == "new"
    assert history.record("nothing", array, array) is None


def test_that_a_damaged_history_is_refused():
    good = EditHistory().to_bytes()
    for bad in (b"", b"nonsense", good[: len(good) // 2]):
        with pytest.raises(SegmentationRefused) as refusal:
            EditHistory.from_bytes(bad, empty())
        assert refusal.value.code == "bad_history"
