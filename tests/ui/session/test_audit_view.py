"""The audit trail in its window: filtered, in pages, copied, checked with and without an anchor; not for who may not see it."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from app.study.store import StudyStore
from app.ui import session_audit
from app.ui.dialogs.audit_view import AuditWindow, open_audit
from app.usecases.audit_page import AuditFilter, audit_page
from tests.study.builders import CaseBuilder
from tests.study.people import add_people, as_user
from tests.study.test_store import refused
from tests.ui.session.hands import Told


@pytest.fixture
def store(tmp_path):
    """A study of one node with a locked baseline and a corrected Month 3."""
    with StudyStore.create(tmp_path / "study", user="reader-a") as made:
        case = CaseBuilder(made)
        case.lock()
        reading = case.save("Month 3", volume_ml=0.5, volume_interval_ml=(0.4, 0.6))
        made.lock_reading(reading.reading_id, "Dr Reader", "I have reviewed this")
        made.set_setting("export/dates", "shifted", reason="100 % of sites asked_for it")
        yield made


@pytest.fixture
def at_work(session, store):
    """A session with that study open."""
    session.study = store
    yield session
    session.jobs.close()
    session.study = None


def opened(qtbot, session) -> AuditWindow:
    window = open_audit(session)
    qtbot.addWidget(window)
    qtbot.waitUntil(lambda: window.page is not None)
    return window


def test_that_pages_go_back_in_time_and_miss_no_event(store):
    events, seen, offset = store.events(), [], 0
    while rows := audit_page(store, offset=offset, size=3).rows:
        seen += [r.seq for r in rows]
        offset += 3
    assert seen == [e["seq"] for e in reversed(events)]
    page = audit_page(store, size=3)
    assert (page.found, page.events, page.since_utc) == (len(events), len(events), events[0]["utc"])


def test_that_each_filter_narrows_to_what_fits(store):
    def found(**wanted) -> list[dict]:
        seqs = {r.seq for r in audit_page(store, AuditFilter(**wanted)).rows}
        return [e for e in store.events() if e["seq"] in seqs]

    everything = store.events()
    assert found(kind="readings") == [e for e in everything if e["object"].startswith("readings:")]
    assert found(action="setting_set") == [e for e in everything if e["action"] == "setting_set"]
    assert found(user="nobody") == []
    assert [e["reason"] for e in found(text="ASKED_FOR")] == ["100 % of sites asked_for it"]
    assert found(text="asked%for") == []  # a per cent sign is a sign, not a pattern
    today = everything[0]["utc"][:10]
    assert len(found(first_day=today, last_day=today)) == len(everything)
    assert found(last_day="2020-01-01") == found(first_day="2999-01-01") == []


def test_that_who_may_not_see_the_trail_gets_no_page(store):
    add_people(store, "reader-a", "monitor")
    as_user(store, "reader-a")
    with refused("right_missing"):
        audit_page(store)
    as_user(store, "monitor")
    assert audit_page(store).events > 10


def test_that_the_trail_is_read_beside_the_window_and_filtered_by_typing(qtbot, at_work, monkeypatch):
    threads, begun = [], session_audit.audit_page

    def noted(*args, **options):
        threads.append(threading.current_thread())
        return begun(*args, **options)

    monkeypatch.setattr(session_audit, "audit_page", noted)
    window = opened(qtbot, at_work)
    assert threads
    assert threading.main_thread() not in threads
    whole = window.page
    assert window.table.model_.rowCount() == whole.events
    window.text.setText("asked_for")
    qtbot.waitUntil(lambda: window.page.found == 1)
    window.table.selectRow(0)
    assert "100 % of sites asked_for it" in window.whole.toPlainText()
    window.copy.click()
    head, row = QGuiApplication.clipboard().text().splitlines()
    assert head.split("\t")[:4] == ["No.", "When (UTC)", "Who", "Action"]
    assert row.split("\t")[3] == "setting_set"
    window.first_day.setText("yesterday")
    qtbot.waitUntil(lambda: "YYYY-MM-DD" in window.words.text())
    window.reset.click()
    qtbot.waitUntil(lambda: window.page.found == whole.events)


def test_that_a_check_without_an_anchor_says_what_it_cannot_find(qtbot, at_work, store, tmp_path):
    window = opened(qtbot, at_work)
    window.verify.click()
    qtbot.waitUntil(lambda: window.verify.isEnabled())
    assert f"{len(store.events())} events; no anchor was given, so a cut-off end cannot be found" in window.outcome.text()
    assert window.faults.isHidden()
    window.check(store.write_anchor(tmp_path / "elsewhere.json"))
    qtbot.waitUntil(lambda: window.verify.isEnabled())
    assert "goes on from the anchor" in window.outcome.text()
    window.check(tmp_path / "none.json")
    qtbot.waitUntil(lambda: window.verify.isEnabled())
    assert "not there" in window.outcome.text()


def test_that_a_check_shows_each_fault_with_code_and_place(qtbot, at_work, store):
    with sqlite3.connect(store.folder / "study.sqlite") as raw:
        raw.execute("DROP TRIGGER audit_events_no_update")
        raw.execute("UPDATE audit_events SET reason = 'other' WHERE seq = 3")
    window = opened(qtbot, at_work)
    window.verify.click()
    qtbot.waitUntil(lambda: window.verify.isEnabled())
    told = {(f.code, f.where) for f in window.faults.model_.rows}
    assert {("event_altered", "event 3"), ("guard_removed", "audit_events_no_update")} <= told
    assert "faults found" in window.outcome.text()


def test_that_the_window_goes_with_the_right_to_see_it(qtbot, at_work, store):
    window = opened(qtbot, at_work)
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    told = Told(at_work)
    add_people(store, "reader-a")
    as_user(store, "reader-a")
    at_work.user_changed.emit()
    assert not window.isVisible()
    assert open_audit(at_work) is None
    assert told.has("see the audit trail")
