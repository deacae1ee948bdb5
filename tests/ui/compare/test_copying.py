"""An outline carried over from the visit beside: a marked draft, in one step, or refused with its reason."""

from __future__ import annotations

import numpy as np
import pytest

from app.study.model import ReadingState
from tests.ui.compare.hands import (
    GRID,
    WAIT_MS,
    settle,
)


def test_that_a_copied_outline_is_a_marked_draft_in_one_step(qtbot, compared, session, necks):
    session.copy_outline()
    qtbot.waitUntil(lambda: session.current.draft is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    state = session.current
    centre = GRID.index_to_world(np.argwhere(state.draft.array).mean(axis=0)[::-1])
    assert np.linalg.norm(centre - necks[1].centre_mm) < 1.5
    assert state.draft.array.sum() == pytest.approx(necks[0].mask.array.sum(), rel=0.05)
    assert session.crosshair_mm == pytest.approx(centre, abs=0.01)
    origin = state.draft.origin
    assert (origin.method, origin.details["propagated_from"]["visit"]) == ("propagated", "Baseline")
    assert origin.details["registration"]["residual_mm"] == session.comparison.automatic.residual_mm
    session.set_step("measure")
    assert "propagated" in [row.code for row in compared.side.currentWidget().warnings.rows]
    session.undo_stack.undo()
    assert state.draft.is_empty
    session.undo_stack.redo()
    assert state.draft.origin.method == "propagated"
    session.begin_stroke("Brush")
    session.dab(centre + np.array((8, 0, 0)), True, 0)
    session.end_stroke()
    settle(qtbot, session)
    session.keep_reading(state.node.node_id)
    settle(qtbot, session)
    assert state.reading.state == ReadingState.MEASURED
    assert state.reading.measurement["propagated"] is True  # repaired or not
    assert state.reading.measurement["propagated_from"]["visit"] == "Baseline"
    assert state.reading.measurement["registration"]["method"] == "mutual_information"
    assert "propagated" in [w["code"] for w in state.reading.warnings]


def test_that_the_mark_outlives_the_window(qtbot, compared, session):
    session.copy_outline()
    qtbot.waitUntil(lambda: session.current.draft is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    day30 = session.visit.visit_id
    session.open_visit(session.visits[0].visit_id)
    settle(qtbot, session)
    session.open_visit(day30)
    qtbot.waitUntil(lambda: session.current is not None and session.current.draft is not None, timeout=WAIT_MS)
    assert session.current.draft.origin.method == "propagated"
    session.set_step("measure")
    settle(qtbot, session)
    assert "propagated" in [row.code for row in compared.side.currentWidget().warnings.rows]


def test_that_a_protocol_without_copies_refuses_with_its_reason(qtbot, session, told, opened, quick):
    window = opened("forbidden")
    session.compare_with()
    settle(qtbot, session)
    session.copy_outline()
    settle(qtbot, session)
    assert told.has("does not let a central reading start from another visit's outline")
    assert session.current.draft is None
    session.set_step("follow_up")
    section = window.side.currentWidget().compare
    assert not section.copy.isEnabled()
    assert "allow_propagated_outlines" in section.why_no_copy.text()


def test_that_only_this_readers_outline_is_shown_and_copied(qtbot, session, told, opened, quick):
    session.reader = "Reader C"
    opened()
    session.compare_with()
    settle(qtbot, session)
    assert session.comparison.outlines == {}
    session.copy_outline()
    assert told.has("Reader C has no outline of N1 at Baseline")


def test_that_a_reading_is_never_replaced_by_a_copy(qtbot, compared, session, told):
    session.copy_outline()
    settle(qtbot, session)
    session.keep_reading(session.current_node_id)
    settle(qtbot, session)
    session.lock_reading(session.current_node_id, "Dr Reader", "I confirm this measurement")
    settle(qtbot, session)
    assert session.current.reading.state == ReadingState.LOCKED
    before = session.current.draft.array.copy()
    session.copy_outline()
    settle(qtbot, session)
    assert told.has("locked")
    assert np.array_equal(session.current.draft.array, before)
