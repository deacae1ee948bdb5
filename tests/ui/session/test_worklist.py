"""A blinded reader's worklist: case codes in an order of their own, one case in view, a node map in place of the visits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.models.worklist import KEY_IMAGE_PX, columns, key_image, salvage_text, waiting_text
from app.ui.pages import WORK
from app.ui.panels.measure import MeasurePanel
from app.ui.panels.worklist import WorklistView
from tests.factories import ellipsoid_image
from tests.study.people import PASSWORD, add_people
from tests.study.test_reading_order import Sequence
from tests.ui.session.hands import CENTRE, RADIUS_MM, settle
from tests.ui.session.users import READER, SITE, WORD, sign_in


@pytest.fixture
def blinded(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, READER)
    settle(qtbot, session)
    yield session
    session.close()


def open_first(qtbot, session) -> None:
    session.open_next_case()
    qtbot.waitUntil(lambda: session.image is not None or session.picture is not None)
    settle(qtbot, session)


def test_that_a_blinded_reader_begins_with_the_worklist_and_no_case(blinded):
    assert blinded.subject_id is None
    assert blinded.visits == []
    assert blinded.image is None
    assert {i.visit for i in blinded.worklist} == {"Baseline", "Day 30"}
    assert all(i.case.startswith("C-") and i.subject_id is None for i in blinded.worklist)


def test_that_the_order_is_the_one_that_was_drawn(qtbot, blinded, users_study):
    first = [i.visit_id for i in blinded.worklist]
    blinded.ask_worklist()
    settle(qtbot, blinded)
    assert [i.visit_id for i in blinded.worklist] == first
    with StudyStore.open(users_study) as store:
        store.sign_in("admin", WORD)
        assert [e["action"] for e in store.events()].count("reading_order_drawn") == 1


def test_that_only_the_case_that_is_read_is_in_view(qtbot, blinded):
    open_first(qtbot, blinded)
    item = blinded.case_item
    assert [v.visit_id for v in blinded.visits] == [item.visit_id]
    assert set(blinded.series_by_visit) == {item.visit_id}
    assert blinded.visit.actual_date is None
    assert blinded.case_words() == f"Case {item.case}"
    assert "S-001" not in blinded.case_words()
    assert blinded.comparable_visits() == []
    assert blinded.follow_up_rows() == []
    blinded.set_step("follow_up")
    assert blinded.step in ("images", "measure")


def test_that_what_would_unblind_is_not_in_the_window(qtbot, blinded, window):
    open_first(qtbot, blinded)
    window.refresh_actions()
    for name in ("layout_compare", "copy_outline", "visit_board", "step_follow_up", "export_pdf", "cohort"):
        assert not window.qactions[name].isVisible(), name
        assert not window.qactions[name].isEnabled(), name
    assert not window.step_buttons["follow_up"].isVisibleTo(window)
    assert not window.rail.visits.isVisibleTo(window.rail)
    assert window.rail.node_map.isVisibleTo(window.rail)
    assert "S-001" not in window.windowTitle() + window.case.text()
    assert window.pages.name == WORK


def test_that_one_key_opens_the_next_case_and_a_lock_counts(qtbot, blinded):
    open_first(qtbot, blinded)
    first = blinded.case_item
    qtbot.waitUntil(lambda: blinded.image is not None)
    blinded.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, blinded)
    blinded.lock_reading(blinded.current_node_id, "", next(iter(blinded.signing().meanings)), password=WORD)
    settle(qtbot, blinded)
    assert blinded.current.reading.role == "central"
    assert next(i for i in blinded.worklist if i.visit_id == first.visit_id).state == "locked"
    blinded.open_next_case()
    settle(qtbot, blinded)
    assert blinded.case_item.visit_id != first.visit_id
    assert all(r.visit_id != first.visit_id for r in blinded.subject_readings)
    # Taken up again the locked reading is there, and is no longer to be drawn on.
    blinded.open_case(first)
    settle(qtbot, blinded)
    assert blinded.current.reading.state == ReadingState.LOCKED


def test_that_side_and_level_of_a_find_of_ones_own_may_be_changed_and_of_others_not(qtbot, blinded):
    open_first(qtbot, blinded)
    known = blinded.current_node_id
    assert "Your role does not let you" in blinded.why_not_node(known)
    blinded.add_node("N9", "unknown", "unknown")
    mine = blinded.current_node_id
    settle(qtbot, blinded)
    assert blinded.why_not_node(mine) == ""
    blinded.set_node(mine, "left", "III", "not stated before")
    settle(qtbot, blinded)
    assert [(str(n.side), n.level) for n in blinded.study.nodes() if n.node_id == mine] == [("left", "III")]
    panel = MeasurePanel(blinded)
    qtbot.addWidget(panel)
    assert panel.details_button.isEnabled()
    panel.ask_details(known)
    assert panel.dialog is None
    panel.ask_details(mine)
    assert panel.dialog is not None
    panel.dialog.close()


def test_that_nothing_is_locked_at_a_visit_that_is_only_looked_at(qtbot, blinded):
    open_first(qtbot, blinded)
    other = next(i for i in blinded.worklist if i.visit_id != blinded.case_item.visit_id)
    assert "only" not in blinded.lockable(blinded.current_node_id)[1]
    blinded._case = replace(blinded._case, item=other)
    what, why = blinded.lockable(blinded.current_node_id)
    assert what is None
    assert "to look only" in why


def test_that_looking_at_loose_pictures_ends_the_session(qtbot, blinded, window, template):
    open_first(qtbot, blinded)
    assert window.user_button.isVisibleTo(window)
    blinded.open_folder(template / "dicom" / "Baseline" / "ct")
    qtbot.waitUntil(lambda: blinded.study is None and blinded.image is not None)
    settle(qtbot, blinded)
    assert not window.user_button.isVisibleTo(window)
    assert blinded.case_code == ""
    assert window.qactions["step_follow_up"].isVisible()


def test_that_the_list_tells_place_state_and_what_comes_next(qtbot, blinded):
    view = WorklistView(blinded)
    qtbot.addWidget(view)
    view.show_list()
    assert view.table.as_text().splitlines()[0].split("\t")[:4] == ["#", "Case", "Visit", "State"]
    assert view.next_button.isEnabled()
    assert "2 of 2" in view.words.text()


def test_that_a_visit_that_waits_says_for_which_and_opens_with_the_reason_only(qtbot, session, tmp_path):
    trial = Sequence(tmp_path / "study")
    add_people(trial.store)
    trial.store.close()
    sign_in(qtbot, session, tmp_path / "study", "reader-a", PASSWORD)
    settle(qtbot, session)
    view = WorklistView(session)
    qtbot.addWidget(view)
    shown = [line.split("\t") for line in view.table.as_text().splitlines()]
    assert shown[0][2:6] == ["Visit", "State", "Waits for", "Nodes locked"]
    assert [(row[2], row[4]) for row in shown[1:]] == [("Baseline", ""), ("Response scan 1", "Baseline"), ("Month 3", "Baseline")]
    waiting = session.worklist[2]
    assert waiting_text(waiting) == "Baseline of this case is not locked yet; the protocol has visits read in order."
    assert session.next_item().visit == "Baseline"
    notices = []
    session.notice.connect(lambda _kind, text: notices.append(text))
    session.open_case(waiting)
    settle(qtbot, session)
    assert session.case_item is None
    assert "The visit Baseline of this case is not locked yet. The protocol has visits read in order: lock the earlier one first." in notices
    session.worklist = [replace(i, waits_for=None) for i in session.worklist]  # as when all of it is locked
    session.worklist_changed.emit()
    assert "Waits for" not in view.table.as_text()
    session.close()


def test_that_a_reader_who_treats_sees_subjects_and_the_salvage_deadline(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, SITE)
    settle(qtbot, session)
    session.ask_worklist()
    settle(qtbot, session)
    assert {i.case for i in session.worklist} == {"S-001"}
    assert "Salvage until" in [c.title for c in columns(session.worklist, blinded=False)]
    assert any(salvage_text(i).startswith("2025-02-28") for i in session.worklist)
    assert "Salvage until" not in [c.title for c in columns(session.worklist, blinded=True)]
    session.close()


def test_that_the_node_map_holds_side_level_number_and_a_picture_of_the_place_only(qtbot, blinded, window):
    open_first(qtbot, blinded)
    node_map = window.rail.node_map
    qtbot.waitUntil(lambda: bool(node_map.entries))
    entry = node_map.entries[0]
    assert (entry.label, entry.side, entry.level) == ("N1", "left", "II")
    assert entry.picture.shape == (KEY_IMAGE_PX, KEY_IMAGE_PX)
    assert "ml" not in node_map.list.item(0).text()


def test_that_a_key_image_has_its_point_in_the_middle():
    volume = ellipsoid_image().image
    picture = key_image(volume, CENTRE)
    middle = picture[KEY_IMAGE_PX // 2 - 4 : KEY_IMAGE_PX // 2 + 4, KEY_IMAGE_PX // 2 - 4 : KEY_IMAGE_PX // 2 + 4]
    assert middle.mean() > np.median(picture)
    assert key_image(volume, (9999.0, 0.0, 0.0)) is None
