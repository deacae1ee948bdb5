"""Cut with a real mouse, and what holds for every drawing tool."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.study.model import Reading, ReadingState, ReadingStatus, Side, TargetNode
from app.ui.main_window import MainWindow
from app.ui.session import NodeState
from tests.ui import mouse
from tests.ui.drawing.hands import (
    CENTRE,
    WAIT_MS,
    array_of,
    near,
    seed,
    session_square,
    settle,
)
from tests.ui.mouse import CTRL, SHIFT


@pytest.mark.parametrize(("modifiers", "goes"), [(mouse.NONE, "smaller"), (CTRL, "larger")])
def test_that_a_line_cuts_off_the_smaller_side_through_all_slices(axial, session, qtbot, case, told, modifiers, goes):
    seed(session, case)
    before = array_of(session)
    session.set_tool("cut")
    mouse.drag(axial, axial.screen_of(near(4, -12, 0)), axial.screen_of(near(4, 12, 0)), modifiers=modifiers)
    settle(qtbot, session)
    x = session.image.geometry.index_to_world(np.argwhere(before)[:, ::-1])[:, 0]
    beyond = x > CENTRE[0] + 4
    left = array_of(session)[before]
    assert np.count_nonzero(left != (beyond if goes == "larger" else ~beyond)) <= 0.01 * len(x)
    session.undo_stack.undo()
    assert np.array_equal(array_of(session), before)


def test_that_the_part_that_goes_is_told_while_the_line_is_dragged(axial, grid, session, qtbot, case, told):
    seed(session, case)
    session.set_tool("cut")
    mouse.press(axial, axial.screen_of(near(4, -12, 0)))
    settle(qtbot, session)
    mouse.move(axial, axial.screen_of(near(4, 12, 0)))
    text = grid.toolbox.current.live_lines()[0][0]
    # cap of the ellipsoid beyond 4 of 9 mm
    h = 1 - 4 / 9
    assert f"({100 * h * h * (3 - h) / 4:.0f} %)" in text or f"({100 * h * h * (3 - h) / 4 + 1:.0f} %)" in text
    grid.toolbox.escape()
    mouse.release(axial, axial.screen_of(near(4, 12, 0)))
    settle(qtbot, session)
    assert session.undo_stack.count() == 0


def test_that_a_line_beside_the_outline_cuts_nothing_and_says_so(axial, session, qtbot, case, told):
    seed(session, case)
    before = array_of(session)
    session.set_tool("cut")
    mouse.drag(axial, axial.screen_of(near(12, -12, 0)), axial.screen_of(near(12, 12, 0)), modifiers=CTRL)
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)
    assert "does not cross" in told[-1][1]


# ---- all -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("tool", ["contour", "scribble", "region", "threshold", "cut"])
def test_that_a_locked_reading_is_not_drawn_on(axial, session, qtbot, case, told, tool):
    seed(session, case)
    before = array_of(session)
    reading = Reading("R1", "S-1", "V1", "a", "Reader A", "central", "CT", "voxel", ReadingStatus.MEASURED, ReadingState.LOCKED)
    session.nodes["a"] = replace(session.nodes["a"], reading=reading)
    session.set_tool(tool)
    mouse.drag(axial, *(axial.screen_of(CENTRE + p) for p in ([-8, 0, 0], [0, 8, 0], [8, 0, 0])))
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)
    assert told
    assert "locked" in told[0][1]


def test_that_every_drawing_tool_has_a_key_and_says_what_it_does(qtbot, session, case):
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    mouse.activate(qtbot, window)
    session.image = case.image
    session.image_changed.emit()
    session.nodes["a"] = NodeState(TargetNode("a", "S-1", "N1", Side.LEFT, "II"))
    session.current_node_id = "a"
    seed(session, case)
    session.nodes_changed.emit()
    for name, key, modifier in (
        ("contour", Qt.Key.Key_O, mouse.NONE), ("scribble", Qt.Key.Key_S, mouse.NONE), ("region", Qt.Key.Key_G, mouse.NONE),
        ("threshold", Qt.Key.Key_T, mouse.NONE), ("cut", Qt.Key.Key_X, SHIFT),
    ):  # fmt: skip
        qtbot.keyClick(window, key, modifier)
        assert session.tool == name
        assert window.toolbox.current.hint()
        qtbot.keyClick(window, Qt.Key.Key_Escape)
        assert session.tool == "crosshair"
    with qtbot.waitSignal(session.notice, timeout=WAIT_MS) as notice:
        qtbot.keyClick(window, Qt.Key.Key_I)
    assert "no gap" in notice.args[1]
    window.close()


def test_that_a_brush_stroke_and_a_contour_at_once_are_two_steps(axial, session, qtbot, case, told):
    seed(session, case)
    before = array_of(session)
    session.set_tool("brush")
    mouse.press(axial, axial.screen_of(near(11, 0, 0)))
    session.draw_contour(0, 14, session_square(session, -11.0))
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)  # the contour is worked out while the button is down
    mouse.move(axial, axial.screen_of(near(11, 4, 0)))
    mouse.release(axial, axial.screen_of(near(11, 4, 0)))
    settle(qtbot, session)
    assert session.undo_stack.count() == 2
    session.undo_stack.undo()
    session.undo_stack.undo()
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)


@pytest.mark.parametrize("tool", ["node", "brush", "contour", "scribble", "region", "threshold", "cut", "caliper", "needle"])
def test_that_a_picture_that_goes_while_a_tool_is_in_the_middle_of_a_gesture_takes_nothing_else_along(axial, session, qtbot, case, told, tool):
    seed(session, case)
    before = array_of(session)
    session.set_tool(tool)
    mouse.move(axial, axial.screen_of(near(6, 0, 0)), button=Qt.MouseButton.NoButton)
    mouse.press(axial, axial.screen_of(near(6, 0, 0)))
    mouse.move(axial, axial.screen_of(near(9, 2, 0)))
    session._clear_screen()
    assert isinstance(axial.toolbox.current.hint(), str)
    assert isinstance(axial.toolbox.current.live_lines(), list)
    mouse.release(axial, (10, 10))
    settle(qtbot, session)
    session.image = case.image
    session.image_changed.emit()
    settle(qtbot, session)
    axial.grab()
    if tool != "brush":  # its stroke ended as it was when the picture went
        assert np.array_equal(array_of(session), before)


def test_that_what_another_visit_brings_is_not_drawn_on_by_a_late_job(axial, session, qtbot, case, told):
    session.draw_contour(0, 14, session_square(session, 0.0))
    session._clear_screen()
    session.image = case.image
    settle(qtbot, session)
    assert session.nodes["a"].draft is None or session.nodes["a"].draft.is_empty
    assert not session.is_drawing
    session.draw_contour(0, 14, session_square(session, 0.0))
    settle(qtbot, session)
    assert not session.nodes["a"].draft.is_empty
