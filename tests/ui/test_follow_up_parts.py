"""Step 4: parts with their own rates, where intervals come from, and the agreement of readers."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from app.study.store import StudyStore
from app.ui.models.follow_up import interval_notes
from app.ui.panels import make_panel
from tests.study.builders import CaseBuilder
from tests.ui.panel_cases import fill

BY_HU = {"viable_from": "hu_threshold", "ablated_from": "derived", "enhancing_above_hu": 70.0}


@pytest.fixture
def show(qtbot, session):
    """The panel at the width it has in the window."""

    def make():
        panel = make_panel("follow_up", session)
        qtbot.addWidget(panel)
        panel.resize(316, 900)
        panel.show()
        qtbot.waitExposed(panel)
        return panel

    return make


def take(qtbot, session, store) -> None:
    """Give the session a study without pictures."""
    session._take_study(store)
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=20_000)


@pytest.fixture
def store(tmp_path):
    made = StudyStore.create(tmp_path / "study", user="tester")
    yield made
    made.close()


def test_that_parts_stand_apart_with_their_own_rate_and_a_mark_where_it_does_not_compare(qtbot, session, show, store):
    case = CaseBuilder(store)
    case.lock("Baseline", volume_ml=2.0, viable_ml=1.6, ablated_ml=0.4, **BY_HU)
    case.lock("Day 30", volume_ml=1.8, viable_ml=0.4, ablated_ml=1.4, **BY_HU)
    case.lock("Month 3", volume_ml=1.0, viable_ml=0.2, ablated_ml=0.8, **{**BY_HU, "enhancing_above_hu": 90.0})
    panel = show()
    take(qtbot, session, store)
    assert panel.parts.isVisible()
    texts = [[panel.part_table.proxy.index(r, c).data() for c in (2, 3)] for r in range(3)]
    assert texts == [["1.60", "0.400"], ["0.400\n75.0 %", "1.40\n−250.0 %"], ["0.200\n≠ 87.5 %", "0.800\n≠ −100.0 %"]]
    assert "Left out of endpoints" in panel.part_table.proxy.index(2, 2).data(Qt.ItemDataRole.ToolTipRole)
    assert "70 HU" in panel.part_table.proxy.index(0, 2).data(Qt.ItemDataRole.ToolTipRole)
    assert panel.table.proxy.index(1, 3).data().startswith("10.0")  # the whole keeps its own


def test_that_the_grade_of_what_still_enhances_stands_in_the_table_with_its_meaning(qtbot, session, show, store):
    case = CaseBuilder(store)
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.8, enhancement_grade="2")
    panel = show()
    take(qtbot, session, store)
    assert panel.parts.isVisible()
    grade = panel.part_table.proxy.index(0, 4)
    assert (panel.part_table.model_.rowCount(), grade.data()) == (1, "2")
    assert "focal nodular" in grade.data(Qt.ItemDataRole.ToolTipRole)


def test_that_the_parts_are_not_shown_where_nobody_assessed_any(session, show):
    fill(session)
    assert not show().parts.isVisible()


def test_that_the_panel_says_where_its_intervals_come_from(qtbot, session, show, store):
    case = CaseBuilder(store)
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.0)
    case.lock("Month 3", volume_ml=1.0, modality="US", method="ellipsoid")
    panel = show()
    take(qtbot, session, store)
    assert panel.intervals.text().count("CV 15.9 %") == 1
    tips = [panel.table.proxy.index(r, 3).data(Qt.ItemDataRole.ToolTipRole) for r in range(3)]
    assert "IEEE Trans Med Imaging" in tips[1]
    assert "Not comparable" in tips[2]
    assert interval_notes([{"interval_pct": None, "interval_note": "No interval: none."}]) == ""


def test_that_agreement_says_what_is_missing_and_then_gives_the_numbers(qtbot, session, show, store):
    case = CaseBuilder(store)
    nodes = [case.node, case.store.add_node("S-001", "N2", "left", "II"), case.store.add_node("S-001", "N3", "left", "II")]
    for n, node in enumerate(nodes):
        case.lock("Baseline", node_id=node.node_id, volume_ml=1.0 + n)
    panel = show()
    take(qtbot, session, store)
    section = panel.agreement
    assert section.pairs == []
    section.set_open(True)
    qtbot.waitUntil(lambda: "only reader-a has locked volumes" in section.note.text(), timeout=20_000)
    assert not section.figures.isVisible()
    for n, node in enumerate(nodes):
        case.lock("Baseline", node_id=node.node_id, reader="reader-b", volume_ml=1.1 + n)
    session._reload_rail()
    session.readings_changed.emit()
    qtbot.waitUntil(lambda: bool(section.pairs), timeout=20_000)
    shown = {f.label: f.text for f in section.figures.model_.rows}
    assert shown["Nodes · readings each"] == "3 · 3"
    assert shown["ICC(2,1)"].startswith("0.99")
    assert shown["Mean difference"] == "−0.100 ml"
    section.copy_numbers()
    copied = QGuiApplication.clipboard().text().splitlines()
    assert copied[-1].split("\t") == ["S-001", "N3", "Baseline", "3.0", "3.1"]


def test_that_nothing_is_worked_out_while_the_section_is_folded(qtbot, session, show, store):
    CaseBuilder(store).lock("Baseline")
    panel = show()
    take(qtbot, session, store)
    assert not panel.agreement.is_open()
    assert not session.jobs.is_busy("agreement")
    assert panel.agreement.note.text() == "Open a study first."
