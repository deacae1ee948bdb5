"""RFA and cryo + RF in the window: the choice at the head of the panel, zones at once, the solved course, what is dropped when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtGui import QImage, QPainter

from app.ui import session_thermal
from app.ui.panels import make_panel
from app.ui.tools.box import ToolBox
from app.ui.views.slice_pane import SlicePane
from app.ui.views.thermal_zones import criterion_words, zone_lines
from app.ui.widgets.findings import FindingRow
from tests.ui.panels.hands import HEIGHT_PX, WIDTH_PX
from tests.ui.session.hands import CENTRE, settle, two_needles


@pytest.fixture
def ready(qtbot, outlined):
    """RFA with one needle through the node."""
    two_needles(outlined)
    outlined.set_plan(outlined.plan.without_needle("E2"), "One needle")
    needle = outlined.plan.needles[0]
    outlined.set_plan(outlined.plan.with_needle(replace(needle, tip_mm=(CENTRE[0], CENTRE[1], CENTRE[2] - 10), entry_mm=(CENTRE[0], CENTRE[1], CENTRE[2] + 60))), "Through")
    outlined.set_modality("rfa")
    settle(qtbot, outlined)
    return outlined


@pytest.fixture
def panel(qtbot, ready):
    made = make_panel("plan", ready)
    qtbot.addWidget(made)
    made.resize(WIDTH_PX, HEIGHT_PX)
    made.show()
    qtbot.waitExposed(made)
    return made


def test_that_zones_stand_at_once_and_say_what_they_are(panel, ready):
    section = panel.thermal
    assert section.isVisible()
    assert "does not predict" in section.prior.text()
    row = section.lesions.model_.rows[0]
    assert row["name"] == "N1"
    assert row["coverage_pct"] > 99
    figures = {f.label: f for f in section.figures.model_.rows}
    assert figures["Chart zones together"].value == pytest.approx(np.pi / 6 * 26.2 * 20 * 20 / 1000, rel=0.01)
    assert figures["Share of the liver"].value is None
    assert "liver_unknown" in [row.code for row in section.constraints.findChildren(FindingRow)]


def test_that_the_electric_fields_sections_give_way_and_come_back(panel, ready):
    assert not panel.pairs.isVisible()
    assert not panel.primary.isVisible()
    assert panel.needles.isVisible()
    ready.set_modality("ire")
    assert not panel.thermal.isVisible()
    assert panel.primary.isVisible()
    ready.undo_stack.undo()
    assert ready.modality == "rfa"
    assert panel.thermal.isVisible()


def test_that_a_setting_a_round_and_a_pull_back_are_steps_of_undo(qtbot, panel, ready):
    first = ready.thermal.answer()["zone_ml"]
    row = panel.thermal.rows["E1"]
    row.back.setValue(10)
    settle(qtbot, ready)
    assert ready.thermal.answer()["zone_ml"] > 1.2 * first
    row.round.setValue(2)
    settle(qtbot, ready)
    assert [r["round"] for r in ready.thermal.answer()["rounds"]] == [2]
    other = next(n for n in range(row.setting.count()) if row.setting.itemData(n)[1] == "12 min ex vivo")
    row.setting.setCurrentIndex(other)
    row.setting.activated.emit(other)
    settle(qtbot, ready)
    assert ready.thermal.answer()["applications"][0]["setting"] == "12 min ex vivo"
    for _ in range(3):
        ready.undo_stack.undo()
    settle(qtbot, ready)
    assert ready.thermal.answer()["zone_ml"] == pytest.approx(first)
    assert row.round.value() == 1


def test_that_the_liver_is_an_outline_and_its_share_is_held_to_the_limit(qtbot, panel, ready):
    node = ready.current_node_id
    ready.set_liver(node)  # a tiny liver: far more than a third of it is taken
    settle(qtbot, ready)
    answer = ready.thermal.answer()
    assert answer["lesions"] == []
    assert answer["liver"]["ablated_fraction"] > 0.9
    assert ("liver_fraction", "refuse") in [(c["code"], c["level"]) for c in answer["constraints"]]


def test_that_zones_of_other_needles_are_not_shown(qtbot, ready):
    needle = ready.plan.needles[0]
    old = ready.thermal
    ready.set_plan(ready.plan.with_needle(replace(needle, tip_mm=(needle.tip_mm[0] + 15, *needle.tip_mm[1:]))), "Move")
    assert ready.thermal is None
    settle(qtbot, ready)
    assert ready.thermal is not old
    assert ready.thermal.answer()["lesions"][0]["coverage_pct"] < 60
    assert ready.solution is None


def test_that_the_course_is_solved_and_can_be_stopped(qtbot, monkeypatch, panel, ready):
    monkeypatch.setattr(session_thermal, "COARSE_MM", 3.0)
    ready.set_modality("cryo_rf")
    settle(qtbot, ready)
    panel.thermal.solve.click()
    assert ready.is_solving_bioheat
    ready.stop_bioheat()
    settle(qtbot, ready)
    assert not ready.is_solving_bioheat
    assert ready.thermal.bioheat is None
    panel.thermal.solve.click()
    settle(qtbot, ready)
    assert [r["name"] for r in panel.thermal.course.model_.rows] == ["0 °C", "−20 °C", "−40 °C"]
    assert "large vessels" in panel.thermal.course_words.text()
    assert [line.name for line in zone_lines(ready.thermal)][2:] == ["chart zone (prior)", "0 °C", "−20 °C", "−40 °C"]
    ready.set_needle_choice("E1", round=2)
    assert ready.thermal is None


def test_that_the_pane_draws_the_zone(qtbot, ready):
    toolbox = ToolBox(ready)
    pane = SlicePane("axial", ready, toolbox)
    qtbot.addWidget(pane)
    pane.resize(420, 420)
    pane.show()
    qtbot.waitExposed(pane)
    ready.set_crosshair(CENTRE)
    pane.grab()
    shots = []
    for shown in (False, True):
        ready.show_field = shown
        image = QImage(420, 420, QImage.Format.Format_RGB32)
        image.fill(0)
        painter = QPainter(image)
        pane._thermal.draw(painter)
        painter.end()
        shots.append(np.frombuffer(image.constBits(), np.uint8).copy())
    assert not shots[0].reshape(-1, 4)[:, :3].any()
    assert (shots[1].reshape(-1, 4)[:, 2] > 150).sum() > 100


def test_that_the_zones_are_written_into_a_folder(qtbot, tmp_path, ready):
    ready.save_thermal(tmp_path / "zones")
    settle(qtbot, ready)
    assert (tmp_path / "zones" / "thermal.json").is_file()


def test_that_the_protocol_names_what_is_planned_with(monkeypatch, ready):
    for treatment, modality in (("IRE", "ire"), ("RFA", "rfa"), ("cryo + RF", "cryo_rf"), ("", "ire")):
        monkeypatch.setattr(ready.study, "protocol", replace(ready.study.protocol, content=ready.study.protocol.content | {"treatment": treatment}))
        assert ready._modality_of_protocol() == modality


def test_that_every_criterion_has_words():
    assert criterion_words("cold_-20_c") == "−20 °C"
    assert all(criterion_words(n) for n in ("omega_1", "cem43_240_min", "hot_60_c", "cold_or_heat"))
