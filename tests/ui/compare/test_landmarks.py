"""Landmarks of two visits: set by hand, fitted, switched to, undone."""

from __future__ import annotations

import numpy as np
import pytest

from app.ui.comparison import Landmarks
from app.ui.views.compare_pane import link_lines
from tests.ui import mouse
from tests.ui.compare.hands import (
    OFFSETS,
    WAIT_MS,
    mouse_escape,
    set_by_mouse,
    set_exactly,
    settle,
    settle_paint,
    there_of,
)


def test_that_three_landmarks_by_hand_link_the_visits_and_show_their_residual(unlinked, session, told, necks):
    unlinked.qactions["landmark"].trigger()
    assert session.tool == "landmark"
    for n, offset in enumerate(OFFSETS[:3]):
        set_by_mouse(unlinked, session, necks[1].centre_mm + offset, there_of(necks[1].centre_mm + offset))
        assert len(session.comparison.landmarks.pairs) == n + 1
    c = session.comparison
    assert c.method == "landmarks"
    assert told.has("3 pairs, residual")
    assert c.by_landmarks.residual_mm < 2.5  # clicks fall on whole slices, 2.5 mm apart
    assert np.linalg.norm(c.to_there(necks[1].centre_mm) - there_of(necks[1].centre_mm)) < 2.5
    assert link_lines(session)[0][0] == f"! 3 landmarks: residual {c.by_landmarks.residual_mm:.1f} mm"  # three always fit
    set_by_mouse(unlinked, session, necks[1].centre_mm + OFFSETS[3], there_of(necks[1].centre_mm + OFFSETS[3]))
    assert link_lines(session)[0][0] == f"4 landmarks: residual {c.by_landmarks.residual_mm:.1f} mm"
    mouse_escape(unlinked)
    assert session.tool == "crosshair"
    assert len(c.landmarks.pairs) == 4  # Esc loses nothing


def test_that_the_reader_switches_between_automatic_and_landmarks(compared, session, told, necks):
    set_exactly(session, necks_centre=necks[1].centre_mm)
    c = session.comparison
    assert c.method == "automatic"  # nothing switches by itself
    session.set_step("follow_up")
    section = compared.side.currentWidget().compare
    assert section.links["landmarks"].isEnabled()
    section.links["landmarks"].click()
    assert c.method == "landmarks"
    assert c.to_there(necks[1].centre_mm) == pytest.approx(there_of(necks[1].centre_mm), abs=1e-6)
    assert "1: 0.0" in section.fits.text()
    compared.qactions["compare_switch"].trigger()
    assert c.method == "automatic"


def test_that_each_landmark_is_a_step_of_undo_and_can_be_moved(unlinked, session, necks):
    centre = necks[1].centre_mm
    set_exactly(session, OFFSETS[:3], centre)
    c = session.comparison
    full = c.landmarks
    session.undo_stack.undo()
    assert (len(c.landmarks.pairs), c.landmarks.half[0], c.method) == (2, "here", None)
    session.undo_stack.redo()
    assert (c.landmarks, c.method) == (full, "landmarks")
    session.set_tool("landmark")
    pane = unlinked.panes.panes["axial"]
    session.set_crosshair(centre)
    settle_paint()
    on_slice = pane.point_at(*pane.screen_of(centre))
    session.move_landmark(0, "here", on_slice)
    start = np.array(pane.screen_of(on_slice))
    mouse.drag(pane, start, start + np.array((12, 0)))
    assert len(c.landmarks.pairs) == 3
    assert c.landmarks.pairs[0].fixed_mm[0] - on_slice[0] == pytest.approx(12 / pane.view.px_per_mm, abs=0.1)
    mouse.click(pane, start + np.array((12, 0)))  # taken hold of and put back: no new one
    assert c.landmarks.half is None
    session.remove_landmark()
    assert len(c.landmarks.pairs) == 2
    assert not c.is_linked


def test_that_landmarks_in_one_line_link_nothing_and_say_why(unlinked, session, told, necks):
    set_exactly(session, ((0.0, 0, 0), (10, 0, 0), (20, 0, 0)), necks[1].centre_mm)
    assert not session.comparison.is_linked
    assert told.has("lie on one line")
    session.set_step("follow_up")
    assert "lie on one line" in unlinked.side.currentWidget().compare.fits.text()


def test_that_landmarks_are_kept_while_the_study_is_open(qtbot, unlinked, session, necks):
    set_exactly(session, OFFSETS, necks[1].centre_mm)
    pairs = session.comparison.landmarks.pairs
    session.open_visit(session.visits[0].visit_id)
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert [p.moving_mm for p in session.comparison.landmarks.pairs] == [p.fixed_mm for p in pairs]
    assert session.comparison.method == "landmarks"
    assert session.comparison.to_here(necks[1].centre_mm) == pytest.approx(there_of(necks[1].centre_mm), abs=1e-6)


def test_that_half_a_landmark_replaces_itself_and_swaps():
    one = Landmarks().with_point("here", (1, 2, 3)).with_point("here", (4, 5, 6))
    assert one.half == ("here", (4.0, 5.0, 6.0))
    both = one.with_point("there", (7, 8, 9))
    assert (both.pairs[0].fixed_mm, both.pairs[0].moving_mm) == ((4.0, 5.0, 6.0), (7.0, 8.0, 9.0))
    assert both.swapped().swapped() == both
    assert both.points("there") == [(0, (7.0, 8.0, 9.0))]
