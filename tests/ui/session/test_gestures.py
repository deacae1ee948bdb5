"""Gestures asked for faster than they can be worked out: each counts, in order, at its own node and visit."""

from __future__ import annotations

import numpy as np
import pytest

from app.usecases import drawing
from tests.ui.session.hands import CENTRE, RADIUS_MM, WAIT_MS, array_of, settle


@pytest.fixture
def two_nodes(qtbot, opened):
    """The session with a second node, the first one current."""
    first = opened.current_node_id
    opened.add_node("N2", "right", "III")
    settle(qtbot, opened)
    opened.select_node(first)
    return opened


def other(session) -> str:
    return next(i for i in session.nodes if i != session.current_node_id)


def test_that_a_click_on_another_node_does_not_cost_the_one_being_worked_out(qtbot, two_nodes):
    first, second = two_nodes.current_node_id, other(two_nodes)
    two_nodes.commit_segmentation(CENTRE, RADIUS_MM)
    two_nodes.select_node(second)
    two_nodes.commit_segmentation(CENTRE, 0.8 * RADIUS_MM)
    settle(qtbot, two_nodes)
    assert [two_nodes.nodes[n].click.radius_mm for n in (first, second)] == [RADIUS_MM, 0.8 * RADIUS_MM]
    assert two_nodes.undo_stack.count() == 2


def test_that_undo_takes_back_what_is_still_being_worked_out(qtbot, outlined):
    before = array_of(outlined)
    outlined.edit_mask("grow")
    outlined.edit_mask("grow")
    outlined.undo()
    assert outlined.is_drawing
    settle(qtbot, outlined)
    assert outlined.undo_stack.count() == 2
    assert outlined.undo_stack.index() == 1
    outlined.undo()
    assert np.array_equal(array_of(outlined), before)
    outlined.redo()
    outlined.redo()
    assert outlined.undo_stack.index() == 2


def test_that_undo_in_the_middle_of_a_stroke_takes_the_stroke_back(outlined):
    before = array_of(outlined)
    outlined.set_brush(2.0, ball=True)
    outlined.begin_stroke("Brush")
    outlined.dab((CENTRE[0] + 12.0, *CENTRE[1:]), True, None)
    outlined.undo()
    assert not outlined.is_painting
    assert np.array_equal(array_of(outlined), before)
    outlined.dab((CENTRE[0] + 12.0, *CENTRE[1:]), True, None)  # the button is still down
    assert np.array_equal(array_of(outlined), before)
    outlined.redo()
    assert array_of(outlined).sum() > before.sum()


def test_that_a_gesture_that_ends_in_a_fault_does_not_hold_up_the_next_one(qtbot, outlined, told, monkeypatch):
    before = array_of(outlined)
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "fill_holes", lambda _array: 1 / 0)
        outlined.edit_mask("fill")
        outlined.edit_mask("grow")
        settle(qtbot, outlined)
    assert [severity for severity, text in told.lines if "ZeroDivisionError" in text] == ["bug"]
    told.lines.clear()
    assert array_of(outlined).sum() > before.sum()
    assert not outlined.is_drawing
    assert not outlined.is_working_on(outlined.current_node_id)


def test_that_repairs_of_two_nodes_are_done_in_the_order_they_were_asked_for(qtbot, two_nodes):
    first, second = two_nodes.current_node_id, other(two_nodes)
    for node_id in (first, second):
        two_nodes.select_node(node_id)
        two_nodes.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, two_nodes)
    for node_id, operation in ((first, "grow"), (second, "shrink"), (first, "shrink")):
        two_nodes.select_node(node_id)
        two_nodes.edit_mask(operation)
    settle(qtbot, two_nodes)
    texts = [two_nodes.undo_stack.text(n) for n in range(two_nodes.undo_stack.count())]
    assert [t.split()[0] + t[-5:] for t in texts[2:]] == ["Grow (N1)", "Shrink (N2)", "Shrink (N1)"]


def test_that_a_stroke_begun_before_the_outline_came_is_a_step_beneath_it_and_is_told(qtbot, opened, told):
    opened.set_brush(2.0, ball=True)
    opened.commit_segmentation(CENTRE, RADIUS_MM)
    opened.begin_stroke("Brush")
    opened.dab((CENTRE[0] + 20.0, *CENTRE[1:]), True, None)
    settle(qtbot, opened)
    assert not opened.is_painting
    assert told.has("outlined anew over what was drawn meanwhile")
    clicked = array_of(opened)
    assert opened.current.click.radius_mm == RADIUS_MM
    opened.undo()
    painted = array_of(opened)
    assert painted.any()
    assert not (painted & clicked).any()


def test_that_another_picture_waits_for_the_outline(qtbot, clicked):
    still = next(s for v in clicked.visits for s in clicked.series_by_visit[v.visit_id] if s.kind == "still")
    before = array_of(clicked)
    clicked.edit_mask("grow")
    visit = next(v for v in clicked.visits if any(s is still for s in clicked.series_by_visit[v.visit_id]))
    here = clicked.visit.visit_id
    clicked.open_visit(visit.visit_id)
    assert clicked.visit.visit_id == here
    qtbot.waitUntil(lambda: clicked.visit.visit_id == visit.visit_id and clicked.image is not None, timeout=WAIT_MS)
    settle(qtbot, clicked)
    clicked.open_visit(here)
    qtbot.waitUntil(lambda: clicked.current.draft is not None, timeout=WAIT_MS)
    settle(qtbot, clicked)
    assert array_of(clicked).sum() > before.sum()
    assert clicked.undo_stack.undoText().startswith("Grow")
