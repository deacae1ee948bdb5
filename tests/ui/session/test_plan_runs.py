"""Kept plan runs in the window: kept, opened again, needles as they lie, delivered values, two side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.study.model import DeliveredPair
from app.ui.panels.plan_session import SessionAsk
from tests.ui.session.hands import settle, solved, two_needles


@pytest.fixture
def kept(qtbot, outlined):
    """A session with one plan of Day 0 kept, and that run."""
    two_needles(outlined)
    outlined.set_plan_session("day0")
    solved(qtbot, outlined)
    outlined.save_plan()
    settle(qtbot, outlined)
    return outlined, outlined.kept_runs[0]


def move(session, index: int = 0, by=(0.0, 0.0, -2.0)) -> None:
    needle = session.plan.needles[index]
    session.lay_point(needle.id, "tip", np.add(needle.tip_mm, by))


def test_that_a_run_is_kept_under_its_session_and_opens_exactly(qtbot, kept):
    session, run = kept
    before, field = session.plan, session.solution.e_max_v_per_cm
    answer = session.assessment.to_dict()
    assert (run.session, run.kind, run.node_id) == ("day0", "planned", session.current_node_id)
    move(session)
    assert session.solution is None
    session.open_plan_run(run.plan_run_id)
    settle(qtbot, session)
    assert session.plan.needles == before.needles
    assert [session.plan.voltage_v(p) for p in session.plan.pairs] == [before.voltage_v(p) for p in before.pairs]
    assert np.array_equal(session.solution.e_max_v_per_cm, field)
    assert session.assessment.to_dict()["targets"] == answer["targets"]
    assert session.field_run.plan_run_id == run.plan_run_id
    session.save_plan()
    settle(qtbot, session)
    assert len(session.kept_runs) == 1  # it is kept already
    move(session)
    assert session.field_run is None
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert session.plan.needles[0].tip_mm[2] == pytest.approx(before.needles[0].tip_mm[2] - 2.0)


def test_that_a_plan_of_no_stated_session_is_asked_and_not_saved(qtbot, outlined, told):
    from app.ui.panels.plan import PlanPanel

    two_needles(outlined)
    panel = PlanPanel(outlined)
    qtbot.addWidget(panel)
    solved(qtbot, outlined)
    ask = panel.findChild(SessionAsk)
    assert not panel.save_button.isEnabled()
    assert "Day 0 or salvage" in panel.save_button.toolTip()
    assert "Day 0 or salvage" in ask.words.text()
    outlined.save_plan()
    settle(qtbot, outlined)
    assert told.has("Day 0 or salvage")
    assert outlined.kept_runs == ()
    ask.keys["salvage"].click()
    assert panel.save_button.isEnabled()
    assert not ask.isVisibleTo(panel)
    outlined.save_plan()
    settle(qtbot, outlined)
    assert [r.session for r in outlined.kept_runs] == ["salvage"]


def test_that_an_opened_run_has_its_margin_map(qtbot, kept):
    session, run = kept
    first = session.assessment.margins["N1"]
    move(session)
    session.open_plan_run(run.plan_run_id)
    settle(qtbot, session)
    again = session.assessment.margins["N1"]
    assert again.points_mm == pytest.approx(first.points_mm)
    assert again.distance_mm == pytest.approx(first.distance_mm, abs=1e-3)
    assert session.field_run.plan_run_id == run.plan_run_id


def test_that_needles_as_they_lie_are_kept_for_their_plan(qtbot, kept):
    session, run = kept
    session.start_placement(run.plan_run_id)
    settle(qtbot, session)
    assert session.placement.planned == session.plan.needles
    assert session.solution is None  # not the plan's field under needles that are moved now
    move(session)
    assert session.placement_found()["needles"][0]["deeper_mm"] > 0
    solved(qtbot, session)
    session.save_plan()
    settle(qtbot, session)
    actual = session.kept_runs[1]
    assert (actual.kind, actual.planned_id, actual.session, actual.node_id) == ("actual", run.plan_run_id, "day0", run.node_id)
    looked = []
    session.run_looked_at.connect(looked.append)
    session.look_at_run(actual.plan_run_id)
    settle(qtbot, session)
    assert looked[0].found["needles"][0]["tip_shift_mm"] == pytest.approx(2.0)
    assert looked[0].found["targets"][0]["coverage_pct"]["difference"] is not None


def test_that_undo_past_the_start_of_a_placement_ends_it(qtbot, kept):
    session, run = kept
    session.start_placement(run.plan_run_id)
    settle(qtbot, session)
    session.undo_stack.undo()
    assert session.placement is None
    session.undo_stack.redo()
    assert session.placement.run_id == run.plan_run_id
    session.end_placement()
    assert session.placement is None


def test_that_a_needle_is_not_typed_into_nothing(qtbot, kept, told):
    session, _run = kept
    before = session.plan
    session.lay_point("E1", "tip", before.needles[0].entry_mm)
    assert session.plan is before
    assert told.has("not taken")


def test_that_a_plan_follows_the_proposed_run_until_the_reader_chooses(qtbot, kept):
    session, run = kept
    session.set_plan_session("salvage")
    assert (session.plan_follows, session.follows_is_proposed) == (run.plan_run_id, True)
    session.set_plan_follows(None)
    assert (session.plan_follows, session.follows_is_proposed) == (None, False)
    session.set_plan_session("day0")
    assert session.plan_follows == run.plan_run_id
    session.set_plan_session(None)
    assert session.plan_follows is None


def test_that_delivered_values_are_kept_and_corrected_with_a_reason(qtbot, kept, told):
    session, run = kept
    given = (DeliveredPair("E1", "E2", 90, 2250.0),)
    session.record_delivery(run.plan_run_id, given, entered_by="Dr A", date="2025-01-20", note=None)
    settle(qtbot, session)
    (record,) = session.study.deliveries(run.plan_run_id)
    session.record_delivery(run.plan_run_id, given, entered_by="Dr A", date=None, note=None, replaces=record.delivery_id, reason="")
    settle(qtbot, session)
    assert told.has("reason")
    assert session.study.deliveries(run.plan_run_id) == [record]
    session.record_delivery(run.plan_run_id, (replace(given[0], pulses=80),), entered_by="Dr A", date="2025-01-20", note=None, replaces=record.delivery_id, reason="misread")
    settle(qtbot, session)
    assert [d.pairs[0].pulses for d in session.study.deliveries(run.plan_run_id)] == [80]
    assert session.kept_runs[0].deliveries == 1


def test_that_a_run_of_another_visit_is_opened_on_its_own_pictures(qtbot, kept):
    session, run = kept
    first, second = (v.visit_id for v in session.visits)
    session.open_visit(second)
    settle(qtbot, session)
    session.open_plan_run(run.plan_run_id)
    settle(qtbot, session)
    assert session.visit.visit_id == first
    assert session.field_run.plan_run_id == run.plan_run_id


def test_that_two_plans_stand_side_by_side(qtbot, kept):
    session, run = kept
    shown = []
    session.plans_side_by_side.connect(shown.append)
    move(session)
    solved(qtbot, session)
    session.compare_plan_runs(run.plan_run_id, None)
    settle(qtbot, session)
    (pair,) = shown
    assert (pair.first.run.plan_run_id, pair.second.run, pair.same_visit) == (run.plan_run_id, None, True)
    assert pair.found["needles"][0]["tip_shift_mm"] == pytest.approx(2.0)


def test_that_two_plans_are_drawn_beside_each_other_and_move_together(qtbot, kept):
    from app.ui.views.compare_plans import ComparePlansWindow

    session, run = kept
    shown = []
    session.plans_side_by_side.connect(shown.append)
    move(session)
    solved(qtbot, session)
    session.compare_plan_runs(run.plan_run_id, None)
    settle(qtbot, session)
    window = ComparePlansWindow(session, shown[0])
    qtbot.addWidget(window)
    window.show()
    first, second = window.panes
    assert first.shown.field is shown[0].first.field
    assert second.shown.plan.needles[0].tip_mm != first.shown.plan.needles[0].tip_mm
    first.grab(), second.grab()
    first.zoom(2.0)
    assert second.view.px_per_mm == first.view.px_per_mm
    assert any(row.name == "N1 covered" for row in window.figures.model_.rows)
    window._set_plane("coronal")
    assert [p.plane for p in window.panes] == ["coronal", "coronal"]


def test_that_the_form_of_delivered_values_says_what_is_wrong_and_gives_what_was_typed(qtbot, kept):
    from app.ui.dialogs.delivery import DeliveryDialog

    session, row = kept
    run = session.study.plan_run(row.plan_run_id)
    dialog = DeliveryDialog(run, "Dr A")
    qtbot.addWidget(dialog)
    given = []
    dialog.given.connect(lambda *words: given.append(words))
    line = dialog.lines[0]
    assert [field.text() for field in line.fields.values()] == [""] * 4  # what was planned is not what was delivered
    assert "number of pulses" in dialog.problem()
    for text, words in (("x", "not a number"), ("-3", "below 0"), ("8.5", "whole"), ("80", "voltage")):
        line.fields["pulses"].setText(text)
        assert words in dialog.problem()
    line.fields["voltage_v"].setText("1999,5")
    assert dialog.problem() == ""
    line.aborted.setChecked(True)
    assert "why" in dialog.problem()
    line.reason.setText("arrhythmia")
    dialog.date.setText("20.11.2026")
    assert "YYYY-MM-DD" in dialog.problem()
    dialog.date.setText("2025-01-20")
    dialog.accept()
    pairs, by, date, _note, replaces, _reason = given[0]
    assert (pairs, by, date, replaces) == ((DeliveredPair(line.anode, line.cathode, 80, 1999.5, aborted=True, abort_reason="arrhythmia"),), "Dr A", "2025-01-20", None)


def test_that_the_panel_proposes_what_a_plan_follows_and_shows_what_is_known_of_a_run(qtbot, kept):
    from app.ui.panels.plan_runs import PlanRunsSection

    session, run = kept
    section = PlanRunsSection(session)
    qtbot.addWidget(section)
    section.which.setCurrentIndex(section.which.findData("salvage"))
    section.which.activated.emit(section.which.currentIndex())
    assert session.plan_session == "salvage"
    assert section.follows.currentData() == run.plan_run_id
    assert "proposed" in section.follows_words.text()
    section.select(run.plan_run_id)
    settle(qtbot, session)
    assert section.lay.isEnabled()
    section.lay.click()
    settle(qtbot, session)
    table = section.placing.points
    assert "moved yet" in section.placing.still.text()
    tip = session.plan.needles[0].tip_mm
    assert table.proxy.setData(table.proxy.index(0, 1), tip[0] + 1.5)
    assert session.plan.needles[0].tip_mm[0] == pytest.approx(tip[0] + 1.5)
    assert section.placing.shifts.model_.rows[0]["tip_shift_mm"] == pytest.approx(1.5)
    table.selectRow(2)
    session.set_crosshair(np.add(session.plan.needles[1].tip_mm, (0.0, 1.0, 0.0)))
    section.placing.pick.click()
    assert session.plan.needles[1].tip_mm == pytest.approx(tuple(session.crosshair_mm))


def test_that_the_earlier_zone_is_shown_only_where_it_is_known_to_lie(qtbot, kept):
    from app.ui.comparison import Comparison
    from volumetry.registration import RigidRegistration

    session, _run = kept
    session.set_plan_session("salvage")
    session.show_earlier_zone(True)
    settle(qtbot, session)
    own = session.earlier_zone
    assert own.field.geometry.same_grid(session.solution.geometry)
    here = session.image
    first, second = session.visits
    session.open_visit(second.visit_id)
    settle(qtbot, session)
    session.set_plan_session("salvage")
    session.show_earlier_zone(True)
    settle(qtbot, session)
    assert session.earlier_zone is None
    assert "guess" in session.earlier_words()[0]
    shift = np.eye(4)
    shift[:3, 3] = (10.0, 0.0, -4.0)  # a point on screen lies there in the picture of the plan
    record = next(r for r in session.series_by_visit[first.visit_id] if r.kind == "volume")
    session.comparison = Comparison(first, record, session.image, here, {}, automatic=RigidRegistration(shift, "landmarks", 0.7), method="automatic")
    carried = session.earlier_zone
    assert carried.field.geometry.origin_mm == pytest.approx(np.subtract(own.field.geometry.origin_mm, (10.0, 0.0, -4.0)))
    assert "0.7 mm" in session.earlier_words()[0]
    session.comparison.method = "position"
    assert session.earlier_zone is None


def test_that_the_enhancing_part_can_be_the_target(qtbot, kept):
    session, _run = kept
    node = session.current_node_id
    session.set_target_from("enhancing")
    assert session.solution is None
    assert session.shown_target() is None  # nothing is assessed yet
    session.set_enhancing(node, float(np.median(session.image.array[session.current.draft.array])))
    settle(qtbot, session)
    part = session.shown_target()
    assert 0 < part.array.sum() < session.current.draft.array.sum()
    solved(qtbot, session)
    assert session.assessment.to_dict()["targets"][0]["volume_ml"] < float(session.current.draft.array.sum()) * part.geometry.voxel_size_mm3 / 1000.0


def test_that_cover_is_never_rounded_up_to_the_whole():
    from app.ui.models.plan_runs import cover_text

    assert [cover_text(v) for v in (99.96, 100.0, 98.64, None)] == ["99.9", "100.0", "98.6", "–"]
