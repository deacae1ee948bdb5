"""The panel of step 3, driven by the widgets a reader uses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt

from tests.ui.panel_cases import answer, fill, plan_of_needles
from tests.ui.panels.hands import Calls, click, texts


def test_that_solving_needs_two_needles(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "solve")
    fill(session)
    panel = show("plan")
    assert not panel.primary.isEnabled()
    assert "two needles" in panel.primary.toolTip()
    session.plan = plan_of_needles(2)
    session.plan_changed.emit()
    click(qtbot, panel.primary)
    assert calls.made == [("solve",)]


def test_that_pairs_show_distance_voltage_and_pulses(show, session):
    fill(session)
    session.plan = plan_of_needles(2)
    panel = show("plan")
    assert texts(panel.pairs) == [["E1 → E2", "15.0", "1500", "2250", "90", "70", "–"]]
    assert "mm" in panel.pairs.proxy.index(0, 1).data(Qt.ItemDataRole.ToolTipRole)


def test_that_changing_v_per_cm_in_the_table_is_one_undo_step_and_drops_a_typed_voltage(show, session):
    fill(session)
    plan = plan_of_needles(2)
    session.plan = plan.with_pair(0, replace(plan.pairs[0], voltage_v=3000.0))
    panel = show("plan")
    assert panel.pairs.proxy.setData(panel.pairs.proxy.index(0, 2), 1200.0)
    assert session.plan.pairs[0].v_per_cm == 1200.0
    assert session.plan.voltage_v(session.plan.pairs[0]) == 1800.0
    assert session.undo_stack.count() == 1
    session.undo_stack.undo()
    assert session.plan.pairs[0].voltage_v == 3000.0
    assert texts(panel.pairs)[0][3] == "3000"


def test_that_the_lethal_field_can_be_chosen_or_typed(show, session):
    fill(session)
    panel = show("plan")
    panel.lethal.choice.setCurrentIndex(panel.lethal.choice.findData(800.0))
    panel.lethal.choice.activated.emit(panel.lethal.choice.currentIndex())
    assert session.plan.lethal_v_per_cm == 800.0
    panel.lethal.choice.setCurrentIndex(panel.lethal.choice.count() - 1)
    panel.lethal.choice.activated.emit(panel.lethal.choice.currentIndex())
    panel.lethal.own.setValue(650.0)
    assert session.plan.lethal_v_per_cm == 650.0
    session.undo_stack.undo()
    assert session.plan.lethal_v_per_cm == 800.0
    assert panel.lethal.value() == 800.0
    assert not panel.lethal.own.isVisible()


def test_that_a_needle_is_removed_with_its_pairs(show, session, qtbot):
    fill(session)
    session.plan = plan_of_needles(3)
    panel = show("plan")
    assert not panel.remove.isEnabled()
    panel.needles.selectRow(1)
    click(qtbot, panel.remove)
    assert [n.id for n in session.plan.needles] == ["E1", "E3"]
    assert texts(panel.pairs)[0][0] == "E1 → E3"


def test_that_needles_are_suggested_only_around_an_outlined_node(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "suggest_needles")
    fill(session)
    session.current_node_id = "c"
    panel = show("plan")
    assert not panel.suggest[2].isEnabled()
    session.current_node_id = "a"
    session.nodes_changed.emit()
    click(qtbot, panel.suggest[3])
    assert calls.made == [("suggest_needles", 3)]


def test_that_results_show_coverage_margin_and_constraints_with_limit(show, session):
    fill(session)
    session.plan = plan_of_needles(2)
    session.assessment = answer(session.plan, 63.0)
    panel = show("plan")
    assert panel.coverage.figure.text == "98.3 %"
    figures = {f.label: f.text for f in panel.figures.model_.rows}
    assert figures["Minimal margin"] == "−0.8 mm"
    assert figures["Ablation volume"] == "8.90 ml"
    assert figures["Covered at 800 V/cm"] == "70.1 %"
    refused = next(r for r in panel.constraints.rows if r.severity == "refuse")
    assert "above the generator's limit" in refused.message
    assert "Limit: 50" in refused.message
    assert panel.gauge_widgets[0].is_over
    assert "over the limit" in panel.gauge_widgets[0].text
    assert texts(panel.at_risk) == [["carotid", "812", "0.31", "3.2"]]


def test_that_changing_the_plan_takes_the_old_results_away(show, session):
    fill(session)
    session.plan = plan_of_needles(2)
    session.assessment = answer(session.plan)
    panel = show("plan")
    assert not panel.primary.isEnabled()
    panel.v_per_cm.setValue(1250)
    assert session.assessment is None
    assert not panel.coverage.isVisible()
    assert panel.primary.isEnabled()
    assert texts(panel.pairs)[0][3] == "1875"


def test_that_the_opacity_slider_and_the_session_agree(show, session):
    panel = show("plan")
    panel.opacity.setValue(80)
    assert session.field_opacity == pytest.approx(0.8)
    session.set_field_display(opacity=0.2, shown=False)
    assert panel.opacity.value() == 20
    assert panel.opacity_text.text() == "20 %"
    assert not panel.shown.isChecked()


def test_that_a_solved_plan_can_be_saved(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "save_plan")
    fill(session)
    session.plan = plan_of_needles(2)
    panel = show("plan")
    assert not panel.save_button.isVisible()
    session.assessment = answer(session.plan)
    session.field_changed.emit()
    assert not panel.save_button.isEnabled()  # its session is asked first
    session.set_plan_session("day0")
    assert panel.save_button.isEnabled()
    panel.scroll.ensureWidgetVisible(panel.save_button)
    click(qtbot, panel.save_button)
    assert calls.made == [("save_plan",)]


def test_that_a_vessel_is_stated_far_by_a_tick_that_goes_when_a_needle_moves(show, session, qtbot):
    fill(session)
    session.plan = plan_of_needles(2)
    panel = show("plan")
    tick = panel.anatomy.clear["carotid"]
    assert tick.isVisible()
    assert not tick.isChecked()
    tick.click()
    assert [(s.name, s.by) for s in session.plan.stated_clear] == [("carotid", session.reader)]
    assert tick.isChecked()
    first = session.plan.needles[0]
    session.set_plan(session.plan.with_needle(replace(first, tip_mm=(first.tip_mm[0] + 1.0, *first.tip_mm[1:]))), "Move E1")
    assert not tick.isChecked()
    session.add_structure("left carotid", session.nodes["a"].draft.as_mask(name="left carotid"), "blood")
    assert not tick.isVisible()
    assert panel.anatomy.clear["jugular"].isVisible()


def test_that_a_click_outlines_the_kind_that_was_chosen(show, session):
    fill(session)
    panel = show("plan")
    panel.anatomy.kind.setCurrentIndex(panel.anatomy.kind.findData("jugular"))
    panel.anatomy.kind.activated.emit(panel.anatomy.kind.currentIndex())
    assert session.structure_kind == "jugular"


def test_that_a_threshold_of_ones_own_fits_the_panel(show, session, qtbot):
    fill(session)
    session.plan = replace(plan_of_needles(2), lethal_v_per_cm=700.0)
    panel = show("plan")
    assert panel.lethal.own.isVisible()
    assert panel.scroll.widget().minimumSizeHint().width() <= panel.scroll.viewport().width()
