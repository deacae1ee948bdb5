"""The visit board: words beside colours, keys, the subject's facts, events logged from the form."""

from __future__ import annotations

import datetime as dt

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.study.schedule import STATUSES
from app.ui.models.visit_board import LOOKS, SALVAGE_COLUMN, BoardModel, board_of
from app.ui.panels.visit_board import EVENT_WORDS, EventForm
from app.ui.views.visit_board import VisitBoardView
from app.usecases.subject_values import log_event
from tests.ui.session.hands import settle
from tests.ui.session.users import READER, SITE, sign_in


@pytest.fixture
def board(qtbot, opened):
    log_event(opened.study, "S-001", "IRE", "2025-01-15")
    view = VisitBoardView(opened)
    qtbot.addWidget(view)
    view.entered()
    settle(qtbot, opened)
    return view


def row_of(**changes) -> dict:
    row = {
        "visit": "Month 3", "order": 3, "phase": "post", "status": "due", "target_date": "2025-04-15", "window_first": "2025-04-01", "window_last": "2025-04-29",
        "actual_date": None, "offset_days": None, "in_window": None, "days_left": 5, "anchor": "first", "anchor_date": "2025-01-15", "anchor_event_id": "E", "imaging": [["CT"]],
        "optional": False, "visit_id": None, "belongs_to": None,
    }  # fmt: skip
    return row | changes


def board_with(row: dict, salvage: dict | None = None):
    return board_of({"S-1": {"arm": None, "schedule": [row], "salvage": salvage, "treatment_findings": []}}, dt.date(2025, 4, 24))


def test_that_every_status_has_a_word_and_a_sign_of_its_own_meaning():
    assert set(LOOKS) == set(STATUSES)
    assert len({word for _, word, _ in LOOKS.values()}) == len(LOOKS)
    calls = [LOOKS[s][0] for s in ("due", "overdue", "done", "missed", "unscheduled", "out_of_window")]
    assert len(set(calls)) == len(calls)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "5 days left"),
        ({"days_left": 0}, "last day"),
        ({"status": "overdue", "days_left": -1}, "since 1 day"),
        ({"status": "out_of_window", "actual_date": "2025-05-06", "offset_days": 21, "visit_id": "V"}, "2025-05-06  +21 d"),
        ({"status": "done", "actual_date": "2025-04-15", "offset_days": 0, "visit_id": "V"}, "2025-04-15  ±0 d"),
        ({"status": "planned"}, "2025-04-15"),
    ],
)
def test_that_a_cell_tells_day_and_distance(changes, line):
    cell = board_with(row_of(**changes)).cells["S-1", "Month 3"]
    assert cell.line == line
    assert cell.text.startswith(cell.sign + " " + cell.word)
    assert "2025-04-01" in cell.tip


def test_that_the_salvage_deadline_stands_with_its_days():
    salvage = {"state": "open", "counted_from": "Day 30 scan", "from_date": "2025-04-14", "deadline": "2025-04-28", "days_left": 4, "salvage_dates": [], "allowed": 1}
    made = board_with(row_of(status="planned"), salvage)
    assert made.cells["S-1", ""].line == "4 days left"
    assert made.calls("S-1")
    late = board_with(row_of(status="planned"), salvage | {"state": "passed", "days_left": -3})
    assert late.cells["S-1", ""].line == "since 3 days"
    assert not late.calls("S-1")


def test_that_the_list_can_be_narrowed():
    model = BoardModel()
    model.show_board(board_with(row_of(status="done")), calls_only=True)
    assert model.rows == []
    model.show_board(board_with(row_of()), words="s-")
    assert model.rows == ["S-1"]
    assert model.columnCount() == 2


def test_that_arrows_move_and_enter_opens_the_visit(qtbot, opened, board):
    model, table = board.model, board.table
    assert model.rows == ["S-001"]
    there = model.board.visits.index("Day 30")
    table.setCurrentIndex(model.index(0, there))
    QTest.keyClick(table, Qt.Key.Key_Right)
    assert table.currentIndex().column() == there + 1
    with qtbot.waitSignal(board.leave):
        QTest.keyClick(table, Qt.Key.Key_Return)
    settle(qtbot, opened)
    assert opened.visit.name == "Day 30"


def test_that_enter_on_a_visit_without_pictures_says_so(opened, board, told):
    table = board.table
    table.setCurrentIndex(board.model.index(0, 1 + board.model.board.visits.index("Month 3")))
    QTest.keyClick(table, Qt.Key.Key_Return)
    assert told.has("no pictures of Month 3")
    table.setCurrentIndex(board.model.index(0, SALVAGE_COLUMN))
    assert board.model.cell(0, SALVAGE_COLUMN).status == "passed"


def test_that_eligibility_and_events_of_the_subject_stand_below(opened, board):
    facts = opened.facts
    assert facts.subject == "S-001"
    assert {r["criterion"] for r in facts.eligibility["rows"]} >= {"nodes_left", "longest_axis"}
    assert "✓ met" in {board.subject.eligibility.model_.columns[3].shown(r) for r in facts.eligibility["rows"]}
    assert [e.kind for e in facts.events] == ["IRE"]


def test_that_an_event_needs_date_and_reason_and_moves_the_board(qtbot, opened, board):
    form: EventForm = board.subject.form
    form.kind.setCurrentIndex(form.kind.findData("SALVAGE"))
    form._build()
    assert "YYYY-MM-DD" in form.missing()
    form.date.setText((dt.date.today() + dt.timedelta(days=1)).isoformat())
    assert "future" in form.missing()
    form.date.setText("2025-02-20")
    assert "reason" in form.missing()
    assert not form.send.isEnabled()
    form.reason.setText("residual enhancement at Day 30")
    assert form.missing() == ""
    form.send.click()
    settle(qtbot, opened)
    kept = [e for e in opened.study.clinical_events("S-001") if e.kind == "SALVAGE"]
    assert [(e.date, e.detail) for e in kept] == [("2025-02-20", {"reason": "residual enhancement at Day 30"})]
    assert form.problem.text() == "Logged."
    assert opened.board.cells["S-001", ""].status == "used"


def choose(box, data) -> None:
    box.setCurrentIndex(next(n for n in range(box.count()) if box.itemData(n) == data))
    box.activated.emit(box.currentIndex())


def test_that_the_zone_of_an_ablation_is_entered_with_it_and_found_by_the_rates(qtbot, opened, board):
    opened.study.add_node("S-001", "N2", "right", "III")
    opened.ask_facts("S-001")
    settle(qtbot, opened)
    form = board.subject.form
    choose(form.kind, "IRE")
    assert list(form.zones) == ["N1", "N2"]
    form.date.setText("2025-01-14")
    form.reason.setText("treatment report")
    assert form.send.isEnabled()  # no zone is needed
    form.zones["N1"].setText("4,2")
    assert "measured on" in form.missing()
    form.zone_source.setText("CEUS 10 min after")
    choose(form.node, "N1")
    assert list(form.zones) == ["N1"]
    assert form.zones["N1"].text() == "4,2"
    for text in ("0", "-1", "4.2 ml"):
        form.zones["N1"].setText(text)
        assert "above 0 ml" in form.missing(), text
    form.zones["N1"].setText("4,2")
    form.send.click()
    settle(qtbot, opened)
    event = next(e for e in opened.study.clinical_events("S-001") if e.date == "2025-01-14")
    assert (event.detail["zone_volume_ml"], event.detail["zone_source"], event.detail["reason"]) == (4.2, "CEUS 10 min after", "treatment report")
    assert form.zones["N1"].text() == form.zone_source.text() == ""
    shown = next(e for e in opened.facts.events if e.date == "2025-01-14")
    assert board.subject._event_words(shown) == "IRE ablation · N1"
    assert board.subject._detail(shown).startswith("zone 4.2 ml, ")
    choose(form.node, None)
    form.date.setText("2025-01-16")
    form.zones["N1"].setText("3.1")
    form.zones["N2"].setText("1")
    form.zone_source.setText("CT")
    form.reason.setText("treatment report")
    form.send.click()
    settle(qtbot, opened)
    shown = next(e for e in opened.facts.events if e.date == "2025-01-16")
    assert board.subject._detail(shown).startswith("zone of N1 3.1 ml, zone of N2 1 ml, ")
    choose(form.kind, "DEATH")
    assert form.zones == {}
    assert not form.zone_source.isVisible()


def test_that_a_pain_score_needs_hour_and_score_or_a_reason(qtbot, opened, board):
    form: EventForm = board.subject.form
    assert set(EVENT_WORDS) >= {"NRS", "SALVAGE", "PROGRESSION"}
    form.kind.setCurrentIndex(form.kind.findData("NRS"))
    form._build()
    form.date.setText("2025-01-15")
    assert "every value" in form.missing()
    form.fields["hours"].setCurrentIndex(1)
    assert "score" in form.missing()
    form.fields["score"].setCurrentIndex(form.fields["score"].findData(4))
    form.send.click()
    settle(qtbot, opened)
    assert [e.detail["score"] for e in opened.study.clinical_events("S-001") if e.kind == "NRS"] == [4]


def test_that_the_pain_series_stands_with_its_area(qtbot, opened, board):
    for hours, score in zip((0, 4, 8, 24, 48, 72), (2, 5, 4, 3, 1, 0), strict=True):
        log_event(opened.study, "S-001", "NRS", "2025-01-15", detail={"hours": float(hours), "score": score})
    opened.ask_facts("S-001")
    settle(qtbot, opened)
    words = board.subject.pain.text()
    assert "area 148 score × hours" in words
    assert "8 h: 4" in words
    assert "sustained at 4 or more" in words
    assert "not sustained" not in words


def test_that_a_creatinine_is_logged_with_its_unit_and_counts(qtbot, opened, board):
    form: EventForm = board.subject.form
    form.kind.setCurrentIndex(form.kind.findData("LAB"))
    form._build()
    form.date.setText("2025-01-10")
    for key, words in (("value", "97,2"), ("age_years", "60"), ("weight_kg", "72")):
        form.fields[key].setText(words)
    form.fields["sex"].setCurrentIndex(form.fields["sex"].findData("M"))
    assert "every value" in form.missing()  # the unit is never guessed
    form.fields["unit"].setCurrentIndex(form.fields["unit"].findData("umol/L"))
    form.send.click()
    settle(qtbot, opened)
    row = next(r for r in opened.facts.eligibility["rows"] if r["criterion"] == "creatinine_clearance")
    assert row["value"] == pytest.approx((140 - 60) * 72 / (97.2 / 88.4 * 72))


def test_that_a_blinded_reader_has_no_board(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, READER)
    settle(qtbot, session)
    session.watch_board(True)
    settle(qtbot, session)
    assert session.board is None
    assert "blinded" in session.board_problem
    session.close()


def test_that_a_site_reader_may_log_events(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, SITE)
    settle(qtbot, session)
    assert session.why_no_board() == ""
    session.log_clinical_event("S-001", "IRE", "2025-01-15", node=None, detail={"reason": "as planned"})
    settle(qtbot, session)
    assert [e.kind for e in session.study.clinical_events("S-001")] == ["IRE"]
    session.close()
