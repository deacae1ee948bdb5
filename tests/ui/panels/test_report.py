"""The panel of step 5, driven by the widgets a reader uses."""

from __future__ import annotations

from PySide6.QtCore import Qt

from app.study.model import ReadingState
from tests.ui.panel_cases import fill, reading
from tests.ui.panels.hands import Calls, texts


def test_that_the_report_counts_locked_readings_and_names_what_misses(show, session):
    fill(session)
    panel = show("report")
    counts = {f.label: f.text for f in panel.counts.model_.rows}
    assert counts["Locked readings"] == "4"
    rows = texts(panel.missing)
    assert len(rows) == 11
    assert ["N1", "Day 30", "Not locked"] in rows
    assert ["N3", "Day 30", "No reading"] in rows
    assert panel.primary.isEnabled()


def test_that_nothing_is_exported_while_nothing_is_locked(show, session):
    fill(session)
    session.subject_readings = [reading("a", "v0", 2.3, ReadingState.MEASURED)]
    panel = show("report")
    assert not panel.primary.isEnabled()
    assert not panel.csv_button.isEnabled()
    assert "Lock a reading" in panel.primary.toolTip()


def test_that_the_files_of_an_export_are_listed_with_their_hash(show, session):
    fill(session)
    panel = show("report")
    session.last_exports = [{"readings": 4, "files": [{"path": "out/readings.csv", "rows": 4, "sha256": "ab12cd34" * 8}]}]
    session.readings_changed.emit()
    assert texts(panel.exports) == [["readings.csv", "4", "ab12cd34"]]


def test_that_a_missing_reading_opens_where_it_can_be_made(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "open_visit", "select_node", "set_step")
    fill(session)
    panel = show("report")
    panel.missing.selectRow(2)
    qtbot.keyClick(panel.missing, Qt.Key.Key_Return)
    assert calls.made == [("open_visit", "v2"), ("select_node", "a"), ("set_step", "measure")]
