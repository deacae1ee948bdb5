"""The panel of step 4, driven by the widgets a reader uses."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from tests.ui.panel_cases import fill
from tests.ui.panels.hands import Calls, click, texts


def test_that_the_table_shows_volume_vrr_interval_and_what_is_not_comparable(show, session):
    fill(session)
    panel = show("follow_up")
    rows = texts(panel.table)
    assert rows[0][2].startswith("2.31\n2.08–2.54")
    assert rows[0][3] == "–"
    assert rows[1][3].startswith("46.3")
    assert "gone" in rows[5][1]
    assert rows[5][2] == "0"
    assert rows[8][3].startswith("≠")
    assert "Not comparable" in panel.table.proxy.index(8, 3).data(Qt.ItemDataRole.ToolTipRole)


def test_that_sorting_puts_unknown_values_last_in_both_directions(show, session):
    fill(session)
    panel = show("follow_up")
    for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
        panel.table.sortByColumn(3, order)
        values = [panel.table.proxy.index(r, 3).data(Qt.ItemDataRole.EditRole) for r in range(9)]
        known = [v for v in values if v is not None]
        assert values[:6] == known
        assert known == sorted(known, reverse=order == Qt.SortOrder.DescendingOrder)


def test_that_the_table_copies_raw_numbers_with_units_in_the_heading(show, session):
    fill(session)
    panel = show("follow_up")
    panel.table.copy_all()
    lines = QApplication.clipboard().text().split("\n")
    assert len(lines) == 10
    assert "Volume ml" in lines[0]
    assert "VRR %" in lines[0]
    assert "2.31" in lines[1].split("\t")


def test_that_the_chart_tells_a_point_in_words_and_copies_its_numbers(show, session, qtbot):
    fill(session)
    panel = show("follow_up")
    chart = panel.chart
    assert len(chart.points) == 6
    first = chart.points[0]
    assert chart.point_at(0.02, first.vrr_pct + 1) is first
    assert chart.point_at(0.5, -60) is None
    assert first.words.startswith("N1 · Day 30: 46.3 %")
    assert "ml" in first.words
    click(qtbot, chart.copy_button)
    lines = QApplication.clipboard().text().split("\n")
    assert len(lines) == 7
    assert lines[0].split("\t")[3] == "VRR (%)"


def test_that_the_chart_can_be_drawn_over_days(show, session):
    fill(session)
    panel = show("follow_up")
    chart = panel.chart
    chart.axis.setCurrentIndex(chart.axis.findData("days"))
    assert chart.point_at(31, chart.points[0].vrr_pct) is chart.points[0]
    assert "Days" in chart.plot.getAxis("bottom").labelText


def test_that_enter_on_a_row_opens_the_visit_of_that_node(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "select_node", "open_visit")
    fill(session)
    panel = show("follow_up")
    panel.table.selectRow(2)
    qtbot.keyClick(panel.table, Qt.Key.Key_Return)
    assert calls.made == [("select_node", "a"), ("open_visit", "v2")]


def test_that_readings_of_two_readers_are_never_joined_into_one_curve(show, session):
    fill(session)
    other = [{**row, "reader": "Reader B", "vrr_pct": None if row["vrr_pct"] is None else row["vrr_pct"] - 30.0} for row in session._rows if row["label"] == "N1"]
    session._rows = [*other, *session._rows]
    panel = show("follow_up")
    assert panel.reader.currentData() == "Reader A"
    assert len(panel.chart.points) == 6
    assert len(texts(panel.table)) == 9
    at = panel.reader.findData("Reader B")
    panel.reader.setCurrentIndex(at)
    panel.reader.activated.emit(at)
    assert len(panel.chart.points) == 2
    assert {row[0] for row in texts(panel.table)} == {"● N1"}
    session.readings_changed.emit()
    assert panel.reader.currentData() == "Reader B"
