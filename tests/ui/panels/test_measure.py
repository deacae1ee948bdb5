"""The panel of step 2, driven by the widgets a reader uses."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from app.study.model import ReadingState, ReadingStatus
from app.ui.session import Caliper
from tests.ui.panel_cases import fill, reading, with_state
from tests.ui.panels.hands import Calls, click, settle, texts


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


def gap_in_outline(session) -> None:
    state = session.current
    array = state.draft.copy_array()
    middle = (state.draft.box[0].start + state.draft.box[0].stop) // 2
    array[middle - 1 : middle + 1] = False
    state.draft.edit(array, "Contour")
    state.measurement = state.draft.measure()
    session.measurement_changed.emit(session.current_node_id)


def test_that_slices_left_empty_are_said_and_must_be_confirmed_before_a_lock(show, session, qtbot, monkeypatch):
    fill(session)
    gap_in_outline(session)
    panel = show("measure")
    said = [row.message for row in panel.warnings.rows if "2 slices between" in row.message]
    assert len(said) == 1
    calls = Calls(monkeypatch, "lock_reading")
    click(qtbot, panel.primary)
    dialog = panel.dialog
    dialog.name.setText("A. Reader")
    assert not dialog.accept_button.isEnabled()
    assert "locked as it is" in dialog.missing.text()
    dialog.accept()
    assert calls.made == []
    dialog.confirm.click()
    assert dialog.accept_button.isEnabled()
    dialog.accept()
    assert [c[:3] for c in calls.made] == [("lock_reading", session.current_node_id, "A. Reader")]


def test_that_an_outline_without_gaps_is_locked_without_that_question(show, session, qtbot):
    fill(session)
    panel = show("measure")
    click(qtbot, panel.primary)
    assert not panel.dialog.confirm.isVisible()
    panel.dialog.name.setText("A. Reader")
    assert panel.dialog.accept_button.isEnabled()
