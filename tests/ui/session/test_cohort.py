"""The cohort in a window of its own: worked out in a job, filtered, copied, written; not there for a blinded reader."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from PySide6.QtGui import QGuiApplication, QImage

from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui import session_cohort
from app.ui.panels.cohort import CohortSection, open_cohort
from app.ui.views.cohort_window import CohortWindow
from tests.study.builders import CaseBuilder
from tests.study.trials import trial
from tests.ui.session.hands import Told, settle

PASSWORD = "a long word of 4 parts"


@pytest.fixture
def store(tmp_path):
    """A study of one node with a salvage, locked at baseline and Month 3."""
    with StudyStore.create(tmp_path / "study") as made:
        case = CaseBuilder(made)
        made.add_event("S-001", "IRE", "2026-01-07")
        case.lock()
        case.lock("Month 3", volume_ml=0.5, volume_interval_ml=(0.4, 0.6))
        yield made


@pytest.fixture
def at_work(session, store):
    """A session with that study open."""
    session.study = store
    yield session
    session.jobs.close()
    session.study = None


@pytest.fixture
def many(at_work, monkeypatch):
    """The same, looking at a made-up trial with two readers; ``gathered_in`` are the threads it was worked out in."""
    snapshot, begun, gathered_in = trial(8, 3), session_cohort.cohort_for, []

    def noted(*args, **options):
        gathered_in.append(threading.current_thread())
        return begun(*args, **options)

    monkeypatch.setattr(session_cohort, "cohort_snapshot", lambda _store: snapshot)
    monkeypatch.setattr(session_cohort, "cohort_for", noted)
    at_work.gathered_in = gathered_in
    return at_work


def opened(qtbot, session) -> CohortWindow:
    window = open_cohort(session, None)
    qtbot.addWidget(window)
    qtbot.waitUntil(lambda: session.cohort_shown is not None)
    return window


def choose(qtbot, window, **wanted) -> None:
    """Choose in the boxes, as a hand does."""
    for key, value in wanted.items():
        before = window.session.cohort_shown
        box = window.filters.boxes[key]
        box.setCurrentIndex(box.findData(value))
        box.activated.emit(box.currentIndex())
        qtbot.waitUntil(lambda before=before: window.session.cohort_shown is not before)


def test_that_the_cohort_is_worked_out_beside_the_window(qtbot, many):
    window = opened(qtbot, many)
    assert len(many.gathered_in) == 1
    assert threading.main_thread() not in many.gathered_in
    view = many.cohort_shown.view
    assert window.nodes.model_.rowCount() == len(view.table) == 24
    assert window.waterfall.rows == view.bars
    assert "Month 12" in window.waterfall.heading.text()
    assert "accepted records" in window.waterfall.heading.text()


def test_that_a_filter_narrows_what_is_shown_without_gathering_again(qtbot, many):
    window = opened(qtbot, many)
    window.tables.setCurrentIndex(2)
    lines = [x.to_dict() for x in window.endpoints.model_.rows]
    choose(qtbot, window, high_risk=True, visit="Month 3")
    assert {r.visit for r in many.cohort_shown.view.table} == {"Month 3"}
    assert len(window.waterfall.rows) == 8 - sum(r.vrr_pct is None for r in many.cohort_shown.view.table)
    assert [x.to_dict() for x in window.endpoints.model_.rows] == lines
    window.filters.reset.click()
    qtbot.waitUntil(lambda: len(many.cohort_shown.view.table) == 24)
    assert many.cohort_shown.view.chosen.visit == "Month 12"


def test_that_a_reader_can_be_looked_at_alone(qtbot, many):
    window = opened(qtbot, many)
    choose(qtbot, window, reader="reader-b")
    assert {r.reader for r in window.waterfall.rows} == {"reader-b"}
    assert {x.reader for x in many.cohort_shown.lines} == {"reader-b"}
    assert len(many.gathered_in) == 2


def test_that_every_figure_draws_and_tells_its_values(qtbot, many):
    window = opened(qtbot, many)
    for figure in (window.waterfall, window.spider, window.box_plot, window.survival):
        window.figures.setCurrentWidget(figure)
        assert "Point at" in figure.value.text()
    last = window.waterfall.rows[-1]
    assert window.waterfall.words_at(len(window.waterfall.rows), 1.0).startswith(f"{last.name} · Month 12: ")
    point = window.spider.lines[0].points[2]
    assert window.spider.words_at(point.months, point.vrr_pct).startswith(f"{point.name} · {point.visit}")
    assert window.box_plot.words_at(0.1, 0.0).startswith("Day 30: median ")
    assert "8 at risk" in window.survival.words_at(1.0, 50.0)
    assert window.survival.words_at(99.0, 50.0).count("not known after") == 2


def test_that_a_site_reading_is_shown_and_in_no_endpoint(qtbot, at_work, store):
    case_visits = {v.name: v for v in store.visits("S-001")}
    for name, volume in (("Baseline", 3.0), ("Month 3", 2.4)):
        draft = next(r for r in store.readings("S-001") if r.visit_id == case_visits[name].visit_id and r.role == "central")
        store.save_reading(replace(draft, reading_id="", reader="treating", role="site", state=ReadingState.MEASURED, volume_ml=volume, volume_interval_ml=None, locked_utc=None, locked_by=None, lock_meaning=None, version=1))
    window = opened(qtbot, at_work)
    choose(qtbot, window, reader="treating")
    window.tables.setCurrentIndex(2)
    assert [round(r.vrr_pct, 6) for r in window.waterfall.rows] == [20.0]
    assert window.waterfall.rows[0].reasons == ("role", "not_locked")
    assert "hollow" in window.waterfall.legend.text()
    assert window.endpoints.model_.rows == []
    assert not window.no_endpoint.isHidden()
    window.figures.setCurrentWidget(window.survival)
    assert "only locked central readings" in window.survival.value.text()


def test_that_the_chosen_node_is_marked_in_the_figures(qtbot, many):
    window = opened(qtbot, many)
    window.nodes.selectRow(2)
    row = window.nodes.current_row()
    assert window.waterfall.highlighted == window.spider.highlighted == row.node_id


def test_that_numbers_are_copied_as_a_table(qtbot, many):
    window = opened(qtbot, many)
    window.copy_figure.click()
    copied = QGuiApplication.clipboard().text().splitlines()
    assert copied[0].split("\t")[:3] == ["place", "subject", "node"]
    assert len(copied) == 1 + len(window.waterfall.rows)
    window.figures.setCurrentWidget(window.survival)
    window.copy_figure.click()
    assert QGuiApplication.clipboard().text().count("\n\n") == 3  # two curves, two tables of numbers at risk
    window.copy_table.click()
    assert QGuiApplication.clipboard().text().splitlines()[0].startswith("Subject\tNode\tVRR %")


def test_that_numbers_and_picture_are_written(qtbot, at_work, tmp_path):
    told = Told(at_work)
    window = opened(qtbot, at_work)
    at_work.save_cohort(tmp_path / "out", window.current_figure().table_names)
    window.save_picture(tmp_path / "out" / "waterfall.png")
    settle(qtbot, at_work)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"waterfall.csv", "cohort.json", "waterfall.png"}
    assert ",75.0," in (tmp_path / "out" / "waterfall.csv").read_text()
    picture = QImage(str(tmp_path / "out" / "waterfall.png"))
    assert (picture.width(), picture.height()) == (2 * window.waterfall.width(), 2 * window.waterfall.height())
    assert told.has("waterfall.csv")


def test_that_a_new_reading_is_taken_up_while_somebody_looks(qtbot, at_work, store):
    window = opened(qtbot, at_work)
    before = at_work.cohort_shown
    store.add_event("S-001", "SALVAGE", "2026-02-20")
    at_work.readings_changed.emit()
    qtbot.waitUntil(lambda: at_work.cohort_shown is not before)
    assert [r.salvaged for r in at_work.cohort_shown.view.table] == [True]
    window.close()
    assert at_work.cohort_shown is None
    at_work.readings_changed.emit()
    assert not at_work.jobs.is_busy("cohort")


def test_that_a_blinded_reader_has_no_cohort(qtbot, at_work, store):
    section = CohortSection(at_work)
    qtbot.addWidget(section)
    window = opened(qtbot, at_work)
    store.add_user("admin", "Admin", ["administrator"], PASSWORD)
    store.sign_in("admin", PASSWORD)
    store.add_user("reader", "Dr Reader", ["central_reader"], PASSWORD)
    store.sign_out()
    store.sign_in("reader", PASSWORD)
    at_work.study_changed.emit()
    assert not at_work.may_see_cohort()
    assert at_work.cohort_shown is None
    assert not window.isVisible()
    assert section.isHidden()
    told = Told(at_work)
    assert open_cohort(at_work, None) is None
    assert told.has("not shown in a blinded session")


def test_that_without_a_study_there_is_nothing_to_open(session):
    assert not session.may_see_cohort()
    assert open_cohort(session, None) is None
