"""Readings kept, locked and corrected."""

from __future__ import annotations

import numpy as np
import pytest

from app.study.model import ReadingState
from tests.ui.session.hands import CENTRE, WAIT_MS, array_of, lock, settle


def test_that_locking_saves_and_locks_what_is_on_screen(qtbot, outlined):
    lock(qtbot, outlined)
    reading = outlined.current.reading
    assert reading.volume_ml == pytest.approx(outlined.current.measurement.voxel_volume_ml)
    assert (reading.locked_by, reading.reader, reading.modality) == ("Dr Reader", outlined.reader, "CT")
    assert reading.picture_sha256 is not None
    assert [r["state"] for r in outlined.follow_up_rows()] == ["locked"]


def test_that_a_locked_reading_takes_no_edit_and_says_so(qtbot, outlined, told):
    lock(qtbot, outlined)
    drawn = array_of(outlined)
    outlined.begin_stroke("Brush")
    outlined.dab((CENTRE[0] + 9.0, CENTRE[1], CENTRE[2]), True, None)
    outlined.end_stroke()
    outlined.commit_segmentation(CENTRE, 5.0)
    outlined.edit_mask("grow")
    settle(qtbot, outlined)
    assert np.array_equal(outlined.current.draft.array, drawn)
    assert told.has("is locked; begin a correction")


def test_that_undo_does_not_reach_behind_a_lock(qtbot, clicked, told):
    lock(qtbot, clicked)
    drawn = array_of(clicked)
    clicked.undo_stack.undo()
    assert np.array_equal(clicked.current.draft.array, drawn)
    assert told.has("was locked after this step")


def test_that_undo_does_not_reach_behind_a_lock_after_a_correction_began_either(qtbot, outlined):
    outlined.edit_mask("grow")
    settle(qtbot, outlined)
    lock(qtbot, outlined)
    outlined.correct_reading(outlined.current_node_id, "wrong slice")
    qtbot.waitUntil(lambda: outlined.current.reading.state == ReadingState.MEASURED, timeout=WAIT_MS)
    locked = array_of(outlined)
    outlined.edit_mask("shrink")
    settle(qtbot, outlined)
    for _ in range(5):
        outlined.undo_stack.undo()
    assert np.array_equal(outlined.current.draft.array, locked)  # the correction's own step, no further


def test_that_a_correction_keeps_the_reason_that_was_given(qtbot, outlined):
    lock(qtbot, outlined)
    outlined.correct_reading(outlined.current_node_id, "took in the jugular vein")
    qtbot.waitUntil(lambda: outlined.current.reading.state == ReadingState.MEASURED, timeout=WAIT_MS)
    settle(qtbot, outlined)
    outlined.edit_mask("shrink")
    settle(qtbot, outlined)
    lock(qtbot, outlined)
    assert (outlined.current.reading.version, outlined.current.reading.change_reason) == (2, "took in the jugular vein")


def test_that_a_reading_locked_as_it_was_saved_has_no_made_up_reason(qtbot, outlined):
    outlined.keep_reading(outlined.current_node_id)
    qtbot.waitUntil(lambda: outlined.current.reading is not None, timeout=WAIT_MS)
    settle(qtbot, outlined)
    lock(qtbot, outlined)
    assert outlined.current.reading.change_reason is None


def test_that_a_node_that_was_seen_to_be_gone_has_volume_0_and_keeps_nothing_of_an_earlier_outline(qtbot, outlined):
    outlined.keep_reading(outlined.current_node_id)
    qtbot.waitUntil(lambda: outlined.current.reading is not None, timeout=WAIT_MS)
    settle(qtbot, outlined)
    outlined.set_reading_status(outlined.current_node_id, "disappeared_assessed", "only fat where the node was")
    qtbot.waitUntil(lambda: outlined.current.reading.status == "disappeared_assessed", timeout=WAIT_MS)
    reading = outlined.current.reading
    assert (reading.volume_ml, reading.long_axis_mm, reading.mask_sha256) == (0.0, None, None)


def test_that_a_node_added_keeps_its_identity_at_every_visit(qtbot, opened):
    opened.add_node("N2", "right", "III")
    made = opened.current_node_id
    opened.open_visit(opened.visits[1].visit_id)
    settle(qtbot, opened)
    assert made in opened.nodes
    opened.add_node("N2", "right", "III")
    settle(qtbot, opened)
    assert [s.node.label for s in opened.nodes.values()] == ["N1", "N2"]  # the second was refused
