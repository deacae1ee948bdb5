"""Outlines by click and hand, each step taken back exactly."""

from __future__ import annotations

import numpy as np
import pytest

from tests.factories import ellipsoid_image
from tests.ui.session.hands import CENTRE, RADIUS_MM, WAIT_MS, array_of, settle


def test_that_one_click_outlines_and_measures_the_node(clicked):
    truth = ellipsoid_image().volume_ml
    assert clicked.current.measurement.voxel_volume_ml == pytest.approx(truth, rel=0.06)
    assert clicked.undo_stack.count() == 1


def test_that_undo_and_redo_of_a_click_are_exact(qtbot, clicked):
    drawn, surface = array_of(clicked), clicked.current.outline_surface
    clicked.undo_stack.undo()
    assert not clicked.current.draft.array.any()
    assert clicked.current.outline_surface is None
    assert clicked.current.measurement is None
    clicked.undo_stack.redo()
    assert np.array_equal(clicked.current.draft.array, drawn)
    assert clicked.current.outline_surface is surface
    qtbot.waitUntil(lambda: clicked.current.measurement is not None, timeout=WAIT_MS)


def test_that_a_brush_stroke_of_many_dabs_is_one_step(qtbot, outlined):
    before, coverage = array_of(outlined), outlined.current.draft.coverage_volume_ml
    steps = outlined.undo_stack.count()
    outlined.set_brush(3.0, ball=True)
    outlined.begin_stroke("Brush")
    for n in range(6):
        outlined.dab((CENTRE[0] + 6.0 + n, CENTRE[1], CENTRE[2]), True, None)
    outlined.end_stroke()
    after = array_of(outlined)
    assert outlined.undo_stack.count() == steps + 1
    assert after.sum() > before.sum()
    assert outlined.current.draft.coverage_volume_ml is None  # the outline's own volume no longer holds
    outlined.undo_stack.undo()
    assert np.array_equal(outlined.current.draft.array, before)
    assert outlined.current.draft.coverage_volume_ml == coverage
    outlined.undo_stack.redo()
    assert np.array_equal(outlined.current.draft.array, after)


def test_that_a_stroke_that_changes_nothing_is_no_step(outlined):
    steps = outlined.undo_stack.count()
    outlined.begin_stroke("Eraser")
    outlined.dab((CENTRE[0] + 20.0, CENTRE[1], CENTRE[2]), False, None)
    outlined.end_stroke()
    assert outlined.undo_stack.count() == steps


@pytest.mark.parametrize("operation", ["grow", "shrink", "clear"])
def test_that_repairs_of_the_whole_outline_are_steps_that_can_be_taken_back(qtbot, outlined, operation):
    before = array_of(outlined)
    outlined.edit_mask(operation)
    qtbot.waitUntil(lambda: outlined.undo_stack.count() == 1, timeout=WAIT_MS)
    assert not np.array_equal(outlined.current.draft.array, before)
    outlined.undo_stack.undo()
    assert np.array_equal(outlined.current.draft.array, before)


def test_that_a_repair_that_changes_nothing_says_so_and_is_no_step(qtbot, outlined, told):
    coverage = outlined.current.draft.coverage_volume_ml
    outlined.edit_mask("fill")
    settle(qtbot, outlined)
    assert told.has("stays as it is")
    assert outlined.undo_stack.count() == 0
    assert outlined.current.draft.coverage_volume_ml == coverage


def test_that_a_click_outside_the_node_is_refused_aloud_and_changes_nothing(qtbot, outlined, told):
    before = array_of(outlined)
    outlined.commit_segmentation((CENTRE[0] + 900.0, CENTRE[1], CENTRE[2]), RADIUS_MM)
    settle(qtbot, outlined)
    assert told.has("outside the picture")
    assert np.array_equal(outlined.current.draft.array, before)


def test_that_only_the_newest_of_several_quick_clicks_counts(qtbot, opened):
    for radius in (4.0, 6.0, RADIUS_MM):
        opened.commit_segmentation(CENTRE, radius)
    qtbot.waitUntil(lambda: opened.current.draft is not None, timeout=WAIT_MS)
    settle(qtbot, opened)
    assert opened.undo_stack.count() == 1
    assert opened.current.click[1] == RADIUS_MM


def test_that_a_result_for_a_picture_no_longer_on_screen_is_dropped(qtbot, opened):
    shown = []
    opened.preview_changed.connect(lambda: shown.append(opened.preview))
    opened.preview_segmentation(CENTRE, RADIUS_MM)
    opened.open_visit(opened.visits[1].visit_id)
    settle(qtbot, opened)
    assert [p for p in shown if p is not None] == []


def test_that_the_outline_of_one_grid_is_not_laid_on_another(qtbot, outlined):
    kept = array_of(outlined)
    first = outlined.image
    other = ellipsoid_image(shape=(30, 50, 50)).image
    outlined._show(other)
    settle(qtbot, outlined)
    assert outlined.current.draft is None
    assert outlined.undo_stack.count() == 0
    outlined._show(first)
    qtbot.waitUntil(lambda: outlined.current.draft is not None, timeout=WAIT_MS)
    assert np.array_equal(outlined.current.draft.array, kept)  # kept in the study meanwhile
