"""Scribble, region and threshold with a real mouse."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.ui.tools.brush import step_size
from app.usecases.drawing import Ball, Strokes
from tests.ui import mouse
from tests.ui.drawing.hands import (
    CENTRE,
    TRUE_ML,
    array_of,
    near,
    seed,
    settle,
    stroke,
    voxel_ml,
)
from tests.ui.mouse import CTRL, SHIFT


def test_that_strokes_inside_and_outside_find_the_node_each_one_step(axial, session, qtbot, told):
    session.set_tool("scribble")
    stroke(axial, [-5, 0, 0], [5, 0, 0])
    settle(qtbot, session)
    first = array_of(session)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.12)
    stroke(axial, [4, -3, 0], [4, 3, 0], modifiers=CTRL)
    settle(qtbot, session)
    assert array_of(session).sum() < first.sum()
    assert [s.outside for s in session.current_drawing().strokes] == [False, True]
    assert session.undo_stack.count() == 2
    session.undo_stack.undo()
    settle(qtbot, session)
    assert np.array_equal(array_of(session), first)
    assert [s.outside for s in session.current_drawing().strokes] == [False]  # its stroke went with it


def test_that_a_stroke_outside_alone_waits_and_backspace_takes_a_stroke_away(axial, session, qtbot, told):
    session.set_tool("scribble")
    stroke(axial, [13, -3, 0], [13, 3, 0], modifiers=CTRL)
    settle(qtbot, session)
    assert session.nodes["a"].draft.is_empty
    stroke(axial, [-4, 0, 0], [4, 0, 0])
    settle(qtbot, session)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.12)
    stroke(axial, [-4, 0, 0], [-4, 2, 0], modifiers=CTRL)
    settle(qtbot, session)
    qtbot.keyClick(axial, Qt.Key.Key_Backspace)
    settle(qtbot, session)
    assert isinstance(session.current_drawing(), Strokes)
    assert len(session.current_drawing().strokes) == 2
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.12)


# ---- region and threshold --------------------------------------------------------------------------
def test_that_a_ball_around_the_node_outlines_it(axial, session, qtbot, told):
    session.set_tool("region")
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(12, 0, 0)))
    settle(qtbot, session)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.08)
    assert session.nodes["a"].draft.origin.method == "region_growing"
    assert session.preview is None
    session.undo_stack.undo()
    assert session.nodes["a"].draft.is_empty


def test_that_nothing_beyond_the_ball_is_taken_and_shift_adds_and_ctrl_takes_away(axial, session, qtbot, told):
    session.set_tool("threshold")
    geometry = session.image.geometry
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(4, 0, 0)))
    settle(qtbot, session)
    places = geometry.index_to_world(np.argwhere(array_of(session))[:, ::-1])
    assert np.linalg.norm(places - session.current_drawing().seed_mm, axis=1).max() <= 4.0 + 0.1
    small = voxel_ml(session)
    mouse.drag(axial, axial.screen_of(near(4, 0, 0)), axial.screen_of(near(8, 0, 0)), modifiers=SHIFT)
    settle(qtbot, session)
    larger = voxel_ml(session)
    assert larger > 1.2 * small
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(2, 0, 0)), modifiers=CTRL)
    settle(qtbot, session)
    assert voxel_ml(session) < larger


def test_that_both_limits_of_the_threshold_change_what_the_last_ball_holds(axial, session, qtbot, told):
    session.set_tool("threshold")
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(12, 0, 0)))
    settle(qtbot, session)
    low, high = session.threshold_range
    assert low < 100 < high  # the node's value
    first = voxel_ml(session)
    session.set_threshold(low=0.0)  # half-way between node and fat
    settle(qtbot, session)
    assert isinstance(session.current_drawing(), Ball)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.05)
    step_size(session, False)
    settle(qtbot, session)
    assert session.threshold_range[0] > 0.0
    assert session.threshold_range[1] < high
    for _ in range(2):
        session.undo_stack.undo()
    settle(qtbot, session)
    assert voxel_ml(session) == first


def test_that_half_way_limits_fill_the_last_ball_anew_as_one_step(axial, session, qtbot, told):
    session.threshold_half_way()
    assert any("threshold tool" in text for _, text in told)
    session.set_tool("threshold")
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(12, 0, 0)))
    settle(qtbot, session)
    first, (low, _) = voxel_ml(session), session.threshold_range
    session.threshold_half_way()
    settle(qtbot, session)
    assert session.threshold_range[0] < low
    assert voxel_ml(session) > first
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.05)
    assert session.undo_stack.count() == 2
    session.undo()
    assert voxel_ml(session) == first


def test_that_esc_drops_a_ball_under_way_and_keeps_the_outline(axial, grid, session, qtbot, case, told):
    seed(session, case)
    before = array_of(session)
    session.set_tool("region")
    mouse.press(axial, axial.screen_of(CENTRE))
    mouse.move(axial, axial.screen_of(near(6, 0, 0)))
    grid.toolbox.escape()
    mouse.release(axial, axial.screen_of(near(6, 0, 0)))
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)
    assert session.undo_stack.count() == 0
