"""What a reader states by eye, through the window: grade and lesion, kept, locked, never cleared by saving again."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.study.audit import verify
from app.study.lesions import lesion_said
from app.study.model import ReadingState, ReadingStatus
from app.study.protocol import load_protocol
from app.study.store import StudyStore
from app.ui.panels.lesion import GradeSection, LesionSection
from app.ui.panels.measure import MeasurePanel
from app.ui.session import Session
from app.ui.session_lesion import statement_words
from app.usecases.readings import save_reading
from tests.factories import ellipsoid_image
from tests.ui.panel_cases import fill
from tests.ui.session.hands import READER, WAIT_MS, lock, settle
from tests.ui.session.users import READER as BLINDED
from tests.ui.session.users import WORD, sign_in

LESION = {"role": "target", "organ": "neck", "nodal": True}


@pytest.fixture
def panel(qtbot, outlined):
    """The panel of step 2 on the outlined study."""
    made = MeasurePanel(outlined)
    qtbot.addWidget(made)
    made.show()
    return made


def choose(box, value) -> None:
    """Choose an entry as a person does."""
    box.setCurrentIndex(next(n for n in range(box.count()) if box.itemData(n) is value or box.itemData(n) == value))


def type_into(field, text: str) -> None:
    field.selectAll()
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)


def test_that_a_grade_chosen_with_a_key_is_locked_with_the_reading_and_shown(qtbot, outlined, panel):
    choice = panel.grade.choice
    assert choice.currentText() == "Not graded"
    assert choice.itemText(3) == "2 · focal nodular, inside or at the margin"
    choice.setFocus()
    QTest.keyClick(choice, Qt.Key.Key_2)
    assert choice.currentData() == "2"
    assert statement_words(outlined.statement_of(outlined.current_node_id), outlined.grade_meanings())[0].endswith("grade 2, focal nodular, inside or at the margin")
    lock(qtbot, outlined)
    assert outlined.current.reading.enhancement_grade == "2"
    assert choice.currentData() == "2"
    assert not choice.isEnabled()
    assert "locked" in choice.toolTip()
    assert verify(outlined.study).ok


def test_that_nothing_is_graded_or_stated_unless_somebody_does(qtbot, outlined, panel):
    lock(qtbot, outlined)
    assert outlined.current.reading.enhancement_grade is None
    assert "lesion" not in outlined.current.reading.measurement


def test_that_what_the_protocol_asks_and_nobody_stated_stands_under_the_numbers_and_in_the_reading(qtbot, outlined, panel):
    def asked() -> list[str]:
        return [row.message for row in panel.warnings.rows if row.message.startswith("The protocol asks for what is not stated")]

    assert asked() == []  # a lymph node is chosen by its axes
    assert outlined.state_lesion(outlined.current_node_id, "nodal", False) == ""
    (sentence,) = asked()
    assert "what the lesion counts as" in sentence
    assert "treated before or not" in sentence
    assert outlined.state_lesion(outlined.current_node_id, "role", "target") == ""
    (sentence,) = asked()
    assert "what the lesion counts as" not in sentence
    lock(qtbot, outlined)
    assert [w["message"] for w in outlined.current.reading.warnings if w["code"] == "lesion_not_stated"] == asked()


@pytest.fixture
def stated_elsewhere(outlined_study):
    """The study with a reading that the command line saved, graded and stated."""
    with StudyStore.open(outlined_study) as store:
        visit, node = store.visits("S-001")[0], store.nodes("S-001")[0]
        truth = ellipsoid_image().truth
        saved = save_reading(store, visit, node, reader=READER, modality="CT", mask=truth, enhancement_grade="3", extra={"lesion": dict(LESION)})
        store.lock_reading(saved.reading_id, "A Reader", "read")
    return outlined_study


def test_that_saving_again_in_the_window_clears_neither_grade_nor_lesion(qtbot, session, told, stated_elsewhere):
    session.open_study(stated_elsewhere)
    qtbot.waitUntil(lambda: session.current is not None and session.current.measurement is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    session.correct_reading(session.current_node_id, "outline too wide")
    settle(qtbot, session)
    session.edit_mask("shrink")
    settle(qtbot, session)
    session.keep_reading(session.current_node_id, reason="smaller")
    settle(qtbot, session)
    kept = session.current.reading
    assert (kept.version, kept.enhancement_grade, dict(lesion_said(kept))) == (2, "3", LESION)
    session.set_reading_status(session.current_node_id, "too_small", "below 5 mm")
    settle(qtbot, session)
    kept = session.current.reading
    assert (kept.status, kept.enhancement_grade, dict(lesion_said(kept))) == (ReadingStatus.TOO_SMALL, "3", LESION)
    session.close()


def test_that_what_was_stated_is_there_again_and_nobody_else_sees_it(qtbot, outlined, panel, outlined_study):
    choose(panel.grade.choice, "1")
    choose(panel.lesion.fields["role"], "target")
    type_into(panel.lesion.fields["organ"], "neck")
    settle(qtbot, outlined)
    node_id, visit_id = outlined.current_node_id, outlined.visit.visit_id
    assert outlined.close() == []
    again = Session()
    for reader, grade in (("Reader B", None), (READER, "1")):
        again.reader = reader
        again.open_study(outlined_study)
        qtbot.waitUntil(lambda: again.current is not None and not again.jobs.is_busy(), timeout=WAIT_MS)
        said = again.statement_of(node_id)
        assert (said.grade, said.lesion) == (grade, {} if grade is None else {"role": "target", "organ": "neck"})
        assert again.visit.visit_id == visit_id
    lock(qtbot, again)
    assert again.current.reading.enhancement_grade == "1"
    assert again.study.get_setting(f"stated:{visit_id}:{node_id}:{READER}") is None
    assert again.close() == []
    again.deleteLater()


def test_that_a_blinded_reader_gets_no_statement_of_another(users_study):
    with StudyStore.open(users_study) as store:
        store.sign_in("site", WORD)
        store.set_setting("stated:v:n:site", {"enhancement_grade": "2"})
        store.set_setting("enhancing:v:n:site", {"enhancing_above_hu": 70})
        assert store.get_setting("stated:v:n:site") is not None
        store.sign_in(BLINDED, WORD)
        store.set_setting(f"stated:v:n:{BLINDED}", {"enhancement_grade": "1"})
        assert store.get_setting("stated:v:n:site") is None
        assert store.get_setting("enhancing:v:n:site") is None
        assert store.get_setting(f"stated:v:n:{BLINDED}") == {"enhancement_grade": "1"}


def test_that_a_blinded_reader_states_and_signs(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, BLINDED)
    session.open_next_case()
    qtbot.waitUntil(lambda: session.image is not None and bool(session.nodes), timeout=WAIT_MS)
    settle(qtbot, session)
    node = next(iter(session.nodes))
    assert session.state_grade(node, "NE") == ""
    assert session.state_lesion(node, "role", "target") == ""
    session.set_reading_status(node, "not_evaluable", "motion")
    settle(qtbot, session)
    kept = session.nodes[node].reading
    assert (kept.reader, kept.enhancement_grade, dict(lesion_said(kept))) == (BLINDED, "NE", {"role": "target"})
    session.close()


def test_that_what_contradicts_itself_is_told_and_not_kept(qtbot, outlined, panel):
    choose(panel.lesion.fields["role"], "target")
    outlined.nodes[outlined.current_node_id].statement.lesion["state"] = "present"
    panel.refresh()
    state = panel.lesion.fields["state"]
    choose(state, "gone")
    assert "Only" in panel.lesion.problem.text() or "only" in panel.lesion.problem.text()
    assert "Not kept." in panel.lesion.problem.text()
    assert state.currentData() == "present"
    choose(state, None)
    assert panel.lesion.problem.text() == ""
    assert outlined.statement_of(outlined.current_node_id).lesion == {"role": "target"}


def test_that_a_typed_value_that_is_none_stays_and_holds_the_lock(qtbot, session, show_lesion):
    section = show_lesion("mtt-liver")
    diameter = section.fields["viable_diameter_mm"]
    type_into(diameter, "12.x")
    assert "12.x is no number" in section.problem.text()
    assert diameter.text() == "12.x"
    assert section.commit() != ""
    assert session.statement_of("a").lesion == {}
    type_into(diameter, "12,5")
    assert section.problem.text() == ""
    assert session.statement_of("a").lesion == {"viable_diameter_mm": 12.5}
    diameter.selectAll()
    QTest.keyClicks(diameter, "9")  # typed, not left
    session.keep_typed.emit()
    assert session.statement_of("a").lesion == {"viable_diameter_mm": 9.0}
    type_into(diameter, "700")
    assert "from 0 to 500 mm" in section.problem.text()
    assert session.statement_of("a").lesion == {"viable_diameter_mm": 9.0}


def test_that_parts_are_read_with_plus_signs_and_commas(session, show_lesion):
    section = show_lesion("rfa-crlm")
    for text, parts in (("12.5 + 8", [12.5, 8.0]), ("12,5; 8", [12.5, 8.0]), ("7, 6, 5", [7.0, 6.0, 5.0])):
        type_into(section.fields["parts_mm"], text)
        assert session.statement_of("a").lesion["parts_mm"] == parts
    type_into(section.fields["parts_mm"], "12,8")  # a number, not two
    assert "two lengths at least" in section.problem.text()
    assert session.statement_of("a").lesion["parts_mm"] == [7.0, 6.0, 5.0]


@pytest.fixture
def show_lesion(qtbot, session):
    """Shows the section as a follow-up of this protocol asks for it."""

    def make(protocol: str, visit: str | None = None, picture=None) -> LesionSection:
        fill(session)
        session.study.protocol = load_protocol(protocol)
        session.study.set_setting = lambda key, value, **_more: None
        planned = next(v.name for v in session.study.protocol.visits if v.phase == "post")
        session.visit = type(session.visit)("v1", "S-014", visit or planned, 1)
        session.picture = picture
        made = LesionSection(session)
        qtbot.addWidget(made)
        made.show()
        made.refresh(session.nodes["a"])
        return made

    return make


def test_that_the_section_asks_what_the_criteria_ask_and_no_more(session, show_lesion):
    assert set(show_lesion("latc-neoadjuvant").fields) == {"role", "progressed", "state", "parts_mm", "new_lesion_certain"}
    assert set(show_lesion("latc-neoadjuvant", "Baseline").fields) == {"role", "organ", "nodal", "treated", "progressed"}
    assert {"viable_diameter_mm", "control"} <= set(show_lesion("mtt-liver").fields)
    assert "control" in show_lesion("rfa-crlm").fields
    bare = show_lesion("ire-cervical-ln", picture=object())  # ultrasound is no method of RECIST
    assert bare.fields == {}
    assert not bare.isVisible()


def test_that_grades_are_asked_where_something_is_ablated(qtbot, session):
    fill(session)
    section = GradeSection(session)
    qtbot.addWidget(section)
    for protocol, asked in (("ire-cervical-ln", True), ("mtt-liver", True), ("latc-neoadjuvant", False)):
        session.study.protocol = load_protocol(protocol)
        section.refresh(session.nodes["a"])
        assert section.isHidden() is not asked, protocol


def test_that_a_statement_after_a_status_was_saved_is_locked_with_it(qtbot, outlined, panel):
    outlined.edit_mask("clear")
    outlined.set_reading_status(outlined.current_node_id, "disappeared_assessed")
    settle(qtbot, outlined)
    choose(panel.grade.choice, "0")
    settle(qtbot, outlined)
    assert outlined.current.reading.enhancement_grade is None
    lock(qtbot, outlined)
    reading = outlined.current.reading
    assert (reading.state, reading.status, reading.enhancement_grade) == (ReadingState.LOCKED, ReadingStatus.DISAPPEARED_ASSESSED, "0")


def test_that_a_status_that_contradicts_the_lesion_is_refused_and_the_panel_shows_what_is_kept(qtbot, outlined, panel, told):
    outlined.edit_mask("clear")
    settle(qtbot, outlined)
    assert outlined.state_lesion(outlined.current_node_id, "role", "new") == ""
    at = panel.status.findData("disappeared_assessed")
    panel.status.setCurrentIndex(at)
    panel.status.activated.emit(at)
    settle(qtbot, outlined)
    assert told.has("A lesion that has disappeared is not new.")
    assert outlined.current.reading is None
    assert panel.status.currentData() == "measured"
