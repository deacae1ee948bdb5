"""What is drawn is on disk, however fast the steps come and however the program ends."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from app.study.store import StudyStore
from app.ui.session import Session
from app.ui.session_drafts import UnsavedDraft
from app.usecases.readings import unpack_mask
from tests.ui.session.hands import CENTRE, RADIUS_MM, WAIT_MS, Told, array_of, settle


def test_that_an_outline_survives_the_program_without_being_saved_as_a_reading(qtbot, clicked, study):
    drawn, node_id = array_of(clicked), clicked.current_node_id
    settle(qtbot, clicked)
    with StudyStore.open(study) as store:  # what a killed program would leave
        kept = unpack_mask(store.load_draft_mask(node_id, clicked.visit.visit_id, reader=clicked.reader))
    assert np.array_equal(kept.array, drawn)
    clicked.close()
    again = Session()
    told = Told(again)
    again.open_study(study)
    qtbot.waitUntil(lambda: bool(again.nodes) and again.current.measurement is not None, timeout=WAIT_MS)
    assert np.array_equal(again.current.draft.array, drawn)
    again.close()
    again.deleteLater()
    assert told.lines == []


def test_that_the_newest_step_is_the_one_on_disk_however_fast_they_come(qtbot, outlined):
    outlined.set_brush(2.0, ball=True)
    for n in range(8):
        outlined.begin_stroke("Brush")
        outlined.dab((CENTRE[0] + n, CENTRE[1] - 6.0, CENTRE[2]), True, None)
        outlined.end_stroke()
    drawn = array_of(outlined)
    settle(qtbot, outlined)
    kept = unpack_mask(outlined.study.load_draft_mask(outlined.current_node_id, outlined.visit.visit_id, reader=outlined.reader))
    assert np.array_equal(kept.array, drawn)


def test_that_an_older_draft_never_lands_on_a_newer_one(qtbot, outlined):
    outlined.edit_mask("grow")
    settle(qtbot, outlined)
    key = (outlined.current_node_id, outlined.visit.visit_id, outlined.reader)
    newest = outlined.study.load_draft_mask(key[0], key[1], reader=key[2])
    empty = replace(outlined.current.draft.as_mask(), array=np.zeros(outlined.image.geometry.shape, bool))
    outlined._write_draft(key, UnsavedDraft(outlined.study, empty, 0))  # a slow writer of an earlier step comes late
    assert outlined.study.load_draft_mask(key[0], key[1], reader=key[2]) == newest


def test_that_closing_in_the_middle_of_a_stroke_keeps_the_stroke(outlined, outlined_study):
    node_id, visit_id, reader = outlined.current_node_id, outlined.visit.visit_id, outlined.reader
    outlined.begin_stroke("Brush")
    outlined.dab((CENTRE[0] + 9.0, CENTRE[1], CENTRE[2]), True, None)
    drawn = array_of(outlined)
    outlined.close()
    with StudyStore.open(outlined_study) as store:
        assert np.array_equal(unpack_mask(store.load_draft_mask(node_id, visit_id, reader=reader)).array, drawn)


def test_that_closing_leaves_no_thread_behind(qtbot, session, told, study):
    before = set(threading.enumerate())
    session.open_study(study)
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    session.commit_segmentation(CENTRE, RADIUS_MM)
    session.close()  # in the middle of the work
    assert session.jobs._pool.activeThreadCount() == 0
    assert not session.jobs.is_busy()
    assert [t.name for t in threading.enumerate() if t not in before and not t.daemon] == []
