"""The node tool's points: seen, dragged, removed; what a press near the outline means."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication

from app.study.model import Reading, ReadingState, ReadingStatus
from app.ui.tools.box import ToolBox
from app.ui.views.pane_grid import PaneGrid
from tests.ui import mouse, scenes
from tests.ui.mouse import ALT, SHIFT
from volumetry.mask import NodeMask
from volumetry.segmentation.history import OutlineClick

RADIUS_MM = 10.0


@pytest.fixture
def grid(qtbot, session):
    toolbox = ToolBox(session)
    panes = PaneGrid(session, toolbox)
    panes.toolbox = toolbox
    qtbot.addWidget(panes, before_close_func=lambda w: w.shutdown())
    panes.resize(1000, 800)
    scenes.show_volume(session)
    panes.show()
    qtbot.waitExposed(panes)
    session.set_tool("node")
    return panes


@pytest.fixture
def axial(grid):
    return grid.panes["axial"]


@pytest.fixture
def told(session, monkeypatch):
    """What the tool asked the session for, in order."""
    calls = []
    for name in ("preview_segmentation", "commit_segmentation", "add_anchor", "move_anchor", "remove_anchor"):
        monkeypatch.setattr(session, name, lambda *args, _name=name: calls.append((_name, *args)))
    return calls


def asked(told) -> list[str]:
    return [name for name, *_ in told if name != "preview_segmentation"]


def clicked(session, pane, *points) -> OutlineClick:
    """The node as a click left it, pulled through ``points`` on the pane's slice."""
    draft = scenes.add_node(session, RADIUS_MM)
    click = OutlineClick(tuple(scenes.CENTRE), RADIUS_MM, tuple(tuple(float(v) for v in on_slice(pane, *p)) for p in points))
    draft.replace(NodeMask(draft.array.copy(), draft.geometry, coverage_volume_ml=4.0), "Outline by click", click=click)
    assert session.nodes["a"].click == click
    return click


def on_slice(pane, x_mm: float, y_mm: float) -> np.ndarray:
    """A point in the plane of the axial slice on screen."""
    return np.array([*scenes.near(x_mm, y_mm, 0)[:2], pane.point_at(0, 0)[2]])


def press_key(pane, key) -> None:
    QApplication.sendEvent(pane, QKeyEvent(QEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier))


def test_that_a_point_is_dragged_to_where_the_mouse_lets_go(axial, session, told):
    click = clicked(session, axial, (10, 0), (0, 10))
    start, end = axial.screen_of(click.anchors_mm[1]), axial.screen_of(on_slice(axial, 3, 13))
    mouse.drag(axial, start, end)
    assert asked(told) == ["move_anchor"]
    _, number, point = told[-1]
    assert number == 1
    assert point == pytest.approx(on_slice(axial, 3, 13), abs=0.02)


def test_that_the_preview_follows_a_dragged_point_with_all_the_other_points(axial, session, told):
    click = clicked(session, axial, (10, 0), (0, 10))
    mouse.drag(axial, axial.screen_of(click.anchors_mm[0]), axial.screen_of(on_slice(axial, 14, 0)))
    previews = [args for name, *args in told if name == "preview_segmentation"]
    assert len(previews) > 1
    for seed, radius, anchors in previews:
        assert (seed, radius, anchors[1]) == (click.seed_mm, click.radius_mm, click.anchors_mm[1])
        assert len(anchors) == 2
    assert previews[-1][2][0] == pytest.approx(tuple(on_slice(axial, 14, 0)), abs=0.06)


def test_that_a_point_beside_the_slice_keeps_its_distance_from_it(axial, session, told):
    click = clicked(session, axial, (10, 0))
    draft = session.nodes["a"].draft
    deeper = tuple(np.add(click.anchors_mm[0], (0, 0, 2.0)))  # one slice on
    draft.replace(draft.as_mask(), "Move a point", click=click._replace(anchors_mm=(deeper,)))
    mouse.drag(axial, axial.screen_of(deeper), axial.screen_of(on_slice(axial, 13, 2)))
    _, number, point = told[-1]
    assert (number, point[2]) == (0, pytest.approx(deeper[2]))
    assert point[:2] == pytest.approx(on_slice(axial, 13, 2)[:2], abs=0.02)


def test_that_the_border_itself_is_dragged_in_one_gesture(axial, session, told):
    clicked(session, axial)
    mouse.drag(axial, axial.screen_of(on_slice(axial, RADIUS_MM, 0)), axial.screen_of(on_slice(axial, 13, 0)))
    assert asked(told) == ["add_anchor"]
    assert told[-1][1] == pytest.approx(on_slice(axial, 13, 0), abs=0.02)


def test_that_a_click_sets_a_point_where_the_outline_should_pass(axial, session, told):
    clicked(session, axial)
    for x_mm in (RADIUS_MM, 12.5, 7.0):  # on it, outside, inside
        mouse.click(axial, axial.screen_of(on_slice(axial, x_mm, 0)))
    assert asked(told) == ["add_anchor"] * 3
    assert told[-1][1] == pytest.approx(on_slice(axial, 7.0, 0), abs=0.02)


@pytest.mark.parametrize(("x_mm", "modifiers"), [(0.0, mouse.NONE), (RADIUS_MM, SHIFT)])
def test_that_a_drag_inside_or_with_shift_outlines_anew(axial, session, told, x_mm, modifiers):
    clicked(session, axial)
    mouse.drag(axial, axial.screen_of(on_slice(axial, x_mm, 0)), axial.screen_of(on_slice(axial, x_mm + 6.0, 0)), modifiers=modifiers)
    assert asked(told) == ["commit_segmentation"]
    assert told[-1][2] == pytest.approx(6.0, abs=0.02)


def test_that_a_node_small_on_screen_can_still_be_outlined_anew_from_its_middle(axial, session, told):
    clicked(session, axial)
    axial.zoom(0.15)
    middle = axial.screen_of(on_slice(axial, 0, 0))
    assert RADIUS_MM * axial.view.px_per_mm < 12
    mouse.drag(axial, middle, (middle[0] + 12, middle[1]))
    assert asked(told) == ["commit_segmentation"]


def test_that_a_plain_click_on_a_point_changes_nothing_and_alt_takes_it_away(axial, session, told):
    click = clicked(session, axial, (10, 0), (0, 10))
    mouse.click(axial, axial.screen_of(click.anchors_mm[1]))
    assert told == []
    mouse.click(axial, axial.screen_of(click.anchors_mm[1]), modifiers=ALT)
    assert told == [("remove_anchor", 1)]


def test_that_delete_takes_away_the_point_under_the_mouse_and_no_other(axial, session, told):
    click = clicked(session, axial, (10, 0), (0, 10), (-10, 0))
    mouse.move(axial, axial.screen_of(on_slice(axial, 3, 3)), button=Qt.MouseButton.NoButton)
    press_key(axial, Qt.Key.Key_Delete)
    assert told == []
    mouse.move(axial, axial.screen_of(click.anchors_mm[1]), button=Qt.MouseButton.NoButton)
    press_key(axial, Qt.Key.Key_Delete)
    assert told == [("remove_anchor", 1)]
    mouse.move(axial, axial.screen_of(on_slice(axial, 3, 3)), button=Qt.MouseButton.NoButton)
    press_key(axial, Qt.Key.Key_Backspace)
    assert told[-1] == ("remove_anchor", 2)


def test_that_the_hint_says_what_a_press_would_do(axial, grid, session):
    tool = grid.toolbox.current
    assert "drag to its border" in tool.hint()
    click = clicked(session, axial, (10, 0))
    assert "pull" in tool.hint()
    mouse.move(axial, axial.screen_of(click.anchors_mm[0]), button=Qt.MouseButton.NoButton)
    assert "Alt + click" in tool.hint()
    session.nodes["a"].draft.edit(~session.nodes["a"].draft.array, "Invert")
    mouse.move(axial, axial.screen_of(on_slice(axial, 3, 3)), button=Qt.MouseButton.NoButton)
    assert "anew" in tool.hint()


def test_that_one_click_never_replaces_what_a_hand_drew(axial, session, told, qtbot):
    scenes.add_node(session, RADIUS_MM)
    with qtbot.waitSignal(session.notice, timeout=500) as notice:
        mouse.click(axial, axial.screen_of(on_slice(axial, 3, 0)))
    assert "by hand" in notice.args[1]
    assert told == []


def test_that_a_locked_outline_shows_no_points_to_drag(axial, grid, session, told):
    click = clicked(session, axial, (10, 0))
    state = session.nodes["a"]
    state.reading = Reading("R-1", "S-1", "V-1", "a", "Reader A", "central", "CT", "voxel", ReadingStatus.MEASURED, ReadingState.LOCKED, volume_ml=1.0)
    assert grid.toolbox.current._shown(axial) == []
    mouse.drag(axial, axial.screen_of(click.anchors_mm[0]), axial.screen_of(on_slice(axial, 13, 0)))
    assert "move_anchor" not in asked(told)


def test_that_esc_leaves_a_dragged_point_where_it_was(axial, grid, session, told):
    click = clicked(session, axial, (10, 0))
    start = axial.screen_of(click.anchors_mm[0])
    mouse.press(axial, start)
    mouse.move(axial, (start[0] + 30, start[1]))
    assert grid.toolbox.is_outlining()
    grid.toolbox.escape()
    mouse.release(axial, (start[0] + 30, start[1]))
    assert asked(told) == []
    assert session.nodes["a"].click == click
    assert not grid.toolbox.is_outlining()


def test_that_points_are_painted_in_their_slice_only(axial, session):
    def picture():
        return axial.grab().toImage()

    clicked(session, axial)
    bare = picture()
    clicked(session, axial, (10, 0))
    assert picture() != bare
    session.set_crosshair(scenes.near(0, 0, 8))
    elsewhere = picture()
    clicked(session, axial)
    assert picture() == elsewhere
