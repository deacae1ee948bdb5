"""The panels of the five steps, driven by the widgets a reader uses."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLabel, QLineEdit, QSlider, QWidget

from app.study.model import ReadingState, ReadingStatus
from app.ui.panels import make_panel
from app.ui.session import STEPS, Caliper, Session
from tests.ui.panel_cases import answer, fill, plan_of_needles, reading, with_state

WIDTH_PX, HEIGHT_PX = 320, 720


class Calls:
    """Replaces methods of a session by recorders."""

    def __init__(self, monkeypatch, *names: str):
        self.made: list[tuple] = []
        for name in names:
            monkeypatch.setattr(Session, name, lambda _self, *args, _name=name, **more: self.made.append((_name, *args, *more.items())))


@pytest.fixture
def show(qtbot, session):
    """Shows a step's panel at the width it has in the window."""

    def make(step: str):
        panel = make_panel(step, session)
        qtbot.addWidget(panel)
        panel.resize(WIDTH_PX, HEIGHT_PX)
        panel.show()
        qtbot.waitExposed(panel)
        return panel

    return make


def settle() -> None:
    """Let layouts run."""
    for _ in range(4):
        QApplication.processEvents()


def click(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def texts(table) -> list[list[str]]:
    """What the reader sees in a table."""
    return [[table.proxy.index(r, c).data() for c in range(table.proxy.columnCount()) if not table.isColumnHidden(c)] for r in range(table.proxy.rowCount())]


def test_that_an_unknown_step_is_refused(session):
    with pytest.raises(ValueError, match="dissect"):
        make_panel("dissect", session)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_that_nothing_is_wider_than_the_panel(show, session, step, filled):
    if filled:
        fill(session)
        session.plan = plan_of_needles(3)
        session.assessment = answer(session.plan, 63.0)
    panel = show(step)
    settle()
    body = panel.scroll.widget()
    assert body.width() == panel.scroll.viewport().width()
    for child in body.findChildren(QWidget):
        if child.isVisibleTo(panel) and not child.window().isModal() and child.parent() is not None and child.__class__.__module__.startswith("app."):
            right = child.mapTo(panel, QPoint(child.width(), 0)).x()
            assert right <= WIDTH_PX, f"{child.accessibleName() or child} ends at {right}"


@pytest.mark.parametrize("step", STEPS)
def test_that_wrapped_texts_have_room_for_all_their_lines(show, session, step):
    fill(session)
    session.plan = plan_of_needles(2)
    session.assessment = answer(session.plan)
    panel = show(step)
    settle()
    labels = [w for w in panel.findChildren(QLabel) if w.wordWrap() and w.isVisibleTo(panel) and w.text()]
    assert labels or step == "images"
    for label in labels:
        assert label.height() >= label.heightForWidth(label.width()), label.text()


@pytest.mark.parametrize("step", STEPS)
def test_that_every_control_has_a_name_for_screen_readers_and_takes_the_keyboard(show, session, step):
    fill(session)
    panel = show(step)
    controls = [w for w in panel.findChildren(QWidget) if isinstance(w, (QAbstractButton, QComboBox, QAbstractSpinBox, QSlider)) and w.isVisibleTo(panel)]
    controls += [w for w in panel.findChildren(QLineEdit) if w.isVisibleTo(panel) and not isinstance(w.parent(), (QAbstractSpinBox, QComboBox))]
    assert controls
    for control in controls:
        assert control.accessibleName() or getattr(control, "text", lambda: "")(), control
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, control.accessibleName()


@pytest.mark.parametrize("step", STEPS)
def test_that_each_step_has_one_primary_button_at_the_same_place(show, session, step):
    fill(session)
    panel = show(step)
    settle()
    primary = [b for b in panel.findChildren(QAbstractButton) if b.property("primary")]
    assert primary == [panel.primary]
    bottom = panel.primary.mapTo(panel, QPoint(0, panel.primary.height())).y()
    assert bottom == HEIGHT_PX - 10
    assert not panel.scroll.widget().isAncestorOf(panel.primary)


# ---- images ------------------------------------------------------------------------------------
def test_that_findings_stand_with_the_serious_ones_first_and_explain_themselves(show, session, qtbot):
    panel = show("images")
    fill(session)
    session.image_changed.emit()
    rows = panel.findings.rows
    assert [r.severity for r in rows] == ["serious", "warning", "info"]
    first = rows[0]
    assert not first.remedy.isVisible()
    click(qtbot, first.toggle)
    assert first.remedy.isVisible()
    assert "complete series" in first.remedy.text()
    assert "absent" in first.more.text()


def test_that_unfolded_findings_stay_unfolded_when_the_same_list_is_told_again(show, session, qtbot):
    fill(session)
    panel = show("images")
    click(qtbot, panel.findings.rows[0].toggle)
    session.findings_changed.emit()
    assert panel.findings.rows[0].remedy.isVisible()


def test_that_series_facts_have_units_and_say_where_spacing_comes_from(show, session):
    fill(session)
    panel = show("images")
    facts = {f.label: f for f in panel.facts.model_.rows}
    assert facts["Spacing"].text == "0.70 × 0.70 × 1.25 mm"
    assert facts["Columns × rows × slices"].text == "40 × 40 × 24"
    assert "never from the slice thickness" in facts["Spacing"].tip


def test_that_the_primary_button_opens_the_demonstration_only_while_nothing_is_open(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "open_demo", "set_step")
    panel = show("images")
    click(qtbot, panel.primary)
    fill(session)
    session.image_changed.emit()
    click(qtbot, panel.primary)
    assert calls.made == [("open_demo",), ("set_step", "measure")]


def test_that_import_asks_for_folder_pseudonym_and_visit(show, session, qtbot, monkeypatch, tmp_path):
    calls = Calls(monkeypatch, "import_images")
    fill(session)
    panel = show("images")
    click(qtbot, panel.import_images)
    dialog = panel.dialog
    assert not dialog.accept_button.isEnabled()
    dialog.folder.setText(str(tmp_path))
    dialog.pseudonym.setText("Doe^Jane")
    dialog.visit.setCurrentText("Day 30")
    assert not dialog.accept_button.isEnabled()
    assert "Never a name" in dialog.missing.text()
    dialog.pseudonym.setText("S-014")
    click(qtbot, dialog.accept_button)
    assert calls.made == [("import_images", str(tmp_path), "S-014", "Day 30")]


# ---- measure -----------------------------------------------------------------------------------
def test_that_the_current_volume_shows_unit_interval_and_method(show, session):
    fill(session)
    panel = show("measure")
    figure = panel.volume.figure
    measurement = session.nodes["a"].measurement
    assert figure.value == measurement.voxel_volume_ml
    assert figure.unit == "ml"
    assert figure.interval == measurement.volume_interval_ml
    assert "Voxel count" in panel.volume.accessibleDescription()
    assert "95 % interval" in panel.volume.toolTip()


def test_that_numbers_follow_the_measurement_while_the_reader_draws(show, session):
    fill(session)
    panel = show("measure")
    smaller = replace(session.nodes["a"].measurement, voxel_volume_mm3=500.0, volume_interval_ml=(0.45, 0.55))
    with_state(session, "a", measurement=smaller)
    session.measurement_changed.emit("a")
    assert panel.volume.figure.text == "0.500 ml"
    assert texts(panel.nodes)[0][3] == "0.500"


def test_that_a_node_without_an_outline_shows_a_dash_and_why(show, session):
    fill(session)
    session.current_node_id = "c"
    panel = show("measure")
    assert panel.volume.figure.text == "–"
    assert "No outline" in panel.volume.toolTip()
    assert texts(panel.nodes)[2][3] == "–"
    assert not panel.primary.isEnabled()
    assert panel.primary.toolTip()


def test_that_choosing_a_row_selects_the_node_and_refreshing_does_not(show, session, monkeypatch):
    calls = Calls(monkeypatch, "select_node")
    fill(session)
    panel = show("measure")
    session.nodes_changed.emit()
    assert calls.made == []
    panel.nodes.selectRow(2)
    assert calls.made == [("select_node", "c")]


def test_that_a_new_node_needs_a_side_and_a_level(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "add_node")
    fill(session)
    panel = show("measure")
    click(qtbot, panel.add_button)
    dialog = panel.dialog
    assert dialog.label.text() == "N4"
    assert not dialog.accept_button.isEnabled()
    dialog.side.setCurrentIndex(dialog.side.findData("right"))
    assert "level" in dialog.missing.text()
    dialog.level.setCurrentIndex(dialog.level.findData("VI"))
    click(qtbot, dialog.accept_button)
    assert calls.made == [("add_node", "N4", "right", "VI")]


def test_that_a_node_name_is_not_used_twice(show, session, qtbot):
    fill(session)
    panel = show("measure")
    click(qtbot, panel.add_button)
    panel.dialog.label.setText("n2")
    assert "already" in panel.dialog.missing.text()
    panel.dialog.reject()


def test_that_tool_buttons_take_and_put_down_a_tool_and_name_their_key(show, session, qtbot):
    fill(session)
    panel = show("measure")
    brush = panel.tools.buttons["brush"]
    assert "(B)" in brush.toolTip()
    click(qtbot, brush)
    assert session.tool == "brush"
    assert brush.isChecked()
    click(qtbot, brush)
    assert session.tool == "crosshair"
    assert not brush.isChecked()


def test_that_operations_on_the_outline_reach_the_session(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "edit_mask")
    fill(session)
    panel = show("measure")
    for name in ("fill", "keep_largest", "grow", "shrink", "smooth", "clear"):
        click(qtbot, panel.tools.buttons[name])
    assert [c[1] for c in calls.made] == ["fill", "keep_largest", "grow", "shrink", "smooth", "clear"]


def test_that_a_locked_reading_takes_no_edits_and_says_who_locked_it(show, session):
    fill(session)
    session.current_node_id = "b"
    panel = show("measure")
    assert not panel.tools.buttons["brush"].isEnabled()
    assert not panel.status.isEnabled()
    assert not panel.primary.isEnabled()
    note = panel.locked_note.text()
    assert "A. Example" in note
    assert "Not an electronic signature" in note
    assert "2026-02-05 09:41" in note


def test_that_a_correction_needs_a_reason(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "correct_reading")
    fill(session)
    session.current_node_id = "b"
    panel = show("measure")
    click(qtbot, panel.correct)
    assert panel.reason.isVisible()
    assert not panel.set_status.isEnabled()
    qtbot.keyClicks(panel.reason, "outline held a vessel")
    click(qtbot, panel.set_status)
    assert calls.made == [("correct_reading", "b", "outline held a vessel")]


def test_that_lock_asks_for_a_name_and_hands_name_and_meaning_over(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "lock_reading")
    fill(session)
    panel = show("measure")
    click(qtbot, panel.primary)
    dialog = panel.dialog
    words = " ".join(label.text() for label in dialog.findChildren(QLabel))
    assert "not an electronic signature" in words
    assert panel.volume.figure.text in words
    assert not dialog.accept_button.isEnabled()
    qtbot.keyClick(dialog.name, Qt.Key.Key_Return)
    assert dialog.isVisible()
    qtbot.keyClicks(dialog.name, "A. Example")
    click(qtbot, dialog.accept_button)
    assert calls.made == [("lock_reading", "a", "A. Example", "I made this reading and stand by it")]


def test_that_not_evaluable_waits_for_its_reason(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "set_reading_status")
    fill(session)
    session.current_node_id = "c"
    panel = show("measure")
    at = panel.status.findData("not_evaluable")
    panel.status.setCurrentIndex(at)
    panel.status.activated.emit(at)
    assert calls.made == []
    assert panel.reason.isVisible()
    qtbot.keyClicks(panel.reason, "motion")
    qtbot.keyClick(panel.reason, Qt.Key.Key_Return)
    assert calls.made == [("set_reading_status", "c", "not_evaluable", "motion")]


def test_that_disappeared_is_recorded_at_once_where_nothing_was_saved_before(show, session, monkeypatch):
    calls = Calls(monkeypatch, "set_reading_status")
    fill(session)
    session.current_node_id = "c"
    panel = show("measure")
    at = panel.status.findData("disappeared_assessed")
    panel.status.setCurrentIndex(at)
    panel.status.activated.emit(at)
    assert calls.made == [("set_reading_status", "c", "disappeared_assessed")]


def test_that_changing_a_saved_reading_needs_a_reason(show, session, monkeypatch):
    calls = Calls(monkeypatch, "set_reading_status")
    fill(session)
    panel = show("measure")
    at = panel.status.findData("disappeared_assessed")
    panel.status.setCurrentIndex(at)
    panel.status.activated.emit(at)
    assert calls.made == []
    assert panel.reason.isVisible()


def test_that_a_half_typed_reason_survives_other_changes(show, session, qtbot):
    fill(session)
    session.current_node_id = "c"
    panel = show("measure")
    at = panel.status.findData("not_evaluable")
    panel.status.setCurrentIndex(at)
    panel.status.activated.emit(at)
    qtbot.keyClicks(panel.reason, "mot")
    session.nodes_changed.emit()
    session.calipers_changed.emit()
    assert panel.reason.text() == "mot"
    assert panel.reason.isVisible()
    assert panel.status.currentData() == "not_evaluable"


def test_that_a_disappeared_node_can_be_locked_with_volume_zero(show, session):
    fill(session)
    with_state(session, "c", reading=reading("c", "v1", 0.0, ReadingState.MEASURED, ReadingStatus.DISAPPEARED_ASSESSED))
    session.current_node_id = "c"
    panel = show("measure")
    assert panel.volume.figure.value == 0.0
    assert panel.primary.isEnabled()


def test_that_calipers_are_shown_with_plane_and_refusals_are_said(show, session):
    fill(session)
    length = Caliper(((0, 0), (10, 0)), 17.9, "length", "longitudinal")
    session.nodes["c"].calipers = {"length": length}
    session.current_node_id = "c"
    session.calipers = [length, Caliper(((0, 0), (1, 1)), None, "caliper", None, 0, "The line crosses two regions.")]
    panel = show("measure")
    panel.ellipsoid.set_open(True)
    figures = {f.label: f for f in panel.ellipsoid.figures.model_.rows}
    assert figures["Length"].text == "17.9 mm"
    assert "Longitudinal" in figures["Length"].tip
    assert figures["Width"].text == "–"
    assert figures["Ellipsoid volume"].text == "–"
    assert "crosses two regions" in panel.ellipsoid.warning.text()


def test_that_the_last_caliper_is_filed_under_a_diameter_and_plane(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "add_caliper", "remove_caliper")
    fill(session)
    session.calipers = [Caliper(((0.0, 0.0), (10.0, 0.0)), 11.2, "caliper")]
    panel = show("measure")
    panel.ellipsoid.set_open(True)
    settle()
    panel.ellipsoid.plane.setCurrentIndex(panel.ellipsoid.plane.findData("transverse"))
    click(qtbot, panel.ellipsoid.role_buttons["depth"])
    assert calls.made == [("remove_caliper", 0), ("add_caliper", ((0.0, 0.0), (10.0, 0.0)), ("role", "depth"), ("plane", "transverse"))]


def test_that_an_ellipsoid_gives_the_volume_where_there_is_no_outline(show, session):
    fill(session)
    ellipsoid = SimpleNamespace(volume_ml=1.57, interval_ml=(1.2, 1.95), warnings=(), axes_mm=(18.0, 13.4, 12.5))
    with_state(session, "c", ellipsoid=ellipsoid)
    session.current_node_id = "c"
    panel = show("measure")
    assert panel.volume.figure.text == "1.57 ml"
    assert "π/6" in panel.volume.figure.source


# ---- plan --------------------------------------------------------------------------------------
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
    assert texts(panel.pairs) == [["E1 → E2", "15.0", "1500", "2250", "90", "70"]]
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
    assert panel.save_button.isEnabled()
    panel.scroll.ensureWidgetVisible(panel.save_button)
    click(qtbot, panel.save_button)
    assert calls.made == [("save_plan",)]


# ---- follow-up ---------------------------------------------------------------------------------
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


# ---- report ------------------------------------------------------------------------------------
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


def test_that_filing_a_caliper_replaces_it_in_one_undo_step(show, session, qtbot):
    fill(session)
    session.add_caliper([(0.0, 0.0, 0.0), (0.0, 11.2, 0.0)])
    panel = show("measure")
    panel.ellipsoid.set_open(True)
    settle()
    steps = session.undo_stack.count()
    click(qtbot, panel.ellipsoid.role_buttons["width"])
    assert [c.label for c in session.calipers] == ["width"]
    assert session.undo_stack.count() == steps + 1
    session.undo_stack.undo()
    assert [c.label for c in session.calipers] == ["caliper"]
    assert "width" not in session.nodes["a"].calipers


def test_that_a_panel_that_is_gone_hears_nothing_more(session, qtbot):
    fill(session)
    for step in STEPS:
        panel = make_panel(step, session)
        panel.show()
        panel.close()
        panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    with qtbot.captureExceptions() as problems:
        session.add_caliper([(0.0, 0.0, 0.0), (0.0, 11.2, 0.0)])
        session.set_tool("brush")
        session.set_plan(plan_of_needles(2))
        for signal in (session.nodes_changed, session.readings_changed, session.study_changed, session.visit_changed, session.image_changed, session.findings_changed):
            signal.emit()
        session.measurement_changed.emit("a")
        session.undo_stack.clear()
    assert problems == []
