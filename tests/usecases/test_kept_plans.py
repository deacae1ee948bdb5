"""Kept plan runs opened again: exactly what was kept, and nothing solved anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.jobs import JobContext
from app.study.model import DeliveredPair
from app.usecases.kept_plans import draft_of, kept_runs, margins_of, needles_moved, open_run, placement_so_far, proposed_predecessor, unpack_field
from app.usecases.plan import NeedleDraft, PlanDraft, draft_to_plan, solve_and_assess
from app.usecases.plan_runs import save_plan_run
from app.usecases.trial_identity import shifted_snapshot
from dicom_io.deidentify.dates import shift_iso
from dicom_io.deidentify.uids import days_back
from planning.plan import TreatmentPlan
from tests.planning.helpers import plan_dict
from tests.ui.panel_cases import ellipsoid_mask
from volumetry.errors import NodusError

KEY = bytes(range(32))


def draft() -> PlanDraft:
    """Two needles round an outlined node, a voltage of its own, one pair gated, one statement."""
    made = PlanDraft(targets=(("N1", ellipsoid_mask(), "node"),), lethal_v_per_cm=650.0, margin_mm=3.0, spacing_mm=3.0, side="left")
    for n, x in enumerate((-8.0, 8.0)):
        made = made.with_needle(NeedleDraft(f"E{n + 1}", (x, 0.0, -10.0), (x, 0.0, 40.0), 18.0 + n))
    made = made.with_pair(0, replace(made.pairs[0], voltage_v=1777.0, pulses=70, ecg_gated=True))
    return made.with_stated_clear("carotid", "Dr A", utc="2025-06-01T08:00:00+00:00")


@pytest.fixture(scope="module")
def solved():
    plan = draft_to_plan(draft())
    return plan, *solve_and_assess(plan, JobContext(), heat=False)


def test_that_a_run_opens_as_exactly_what_was_kept(case, solved):
    plan, solution, assessment = solved
    kept = save_plan_run(case.store, "S-001", None, plan, solution, assessment, node_id=case.node.node_id, session="day0", note={"picture": {"series_uid": "1.2"}})
    opened = open_run(case.store, kept.plan_run_id)
    before, after = draft(), opened.draft
    assert opened.notes == ()
    assert (after.needles, after.lethal_v_per_cm, after.thresholds_v_per_cm, after.margin_mm, after.side) == (before.needles, 650.0, before.thresholds_v_per_cm, 3.0, "left")
    assert (after.pairs[0].voltage_v, after.pairs[0].pulses, after.pairs[0].ecg_gated) == (1777.0, 70, True)
    assert after.stated_clear == before.stated_clear
    assert np.array_equal(after.targets[0][1].array, before.targets[0][1].array)
    assert np.array_equal(opened.field.e_max_v_per_cm, solution.e_max_v_per_cm)  # metal as it was shown, too
    assert opened.field.geometry.same_grid(solution.geometry)
    assert opened.answer.to_dict()["targets"] == assessment.to_dict()["targets"]
    assert opened.answer.can_be_approved is False
    again, first = margins_of(opened).margins["N1"], assessment.margins["N1"]
    assert again.points_mm == pytest.approx(first.points_mm)
    assert again.distance_mm == pytest.approx(first.distance_mm, abs=1e-3)
    assert margins_of(opened).to_dict() == opened.answer.to_dict()
    assert kept.content["inputs"]["picture"] == {"series_uid": "1.2"}
    again = draft_to_plan(replace(after, spacing_mm=3.0))
    assert again.pulses == plan.pulses
    assert again.electrodes == plan.electrodes


def test_that_the_list_tells_cover_refusals_and_deliveries(case, solved):
    node = case.node.node_id
    first = save_plan_run(case.store, "S-001", None, *solved, node_id=node, session="day0")
    second = save_plan_run(case.store, "S-001", None, *solved, planned_id=first.plan_run_id)
    case.store.add_delivery(second.plan_run_id, (DeliveredPair("E1", "E2", 70, 1777.0),), entered_by="Dr A")
    rows = kept_runs(case.store, "S-001")
    assert [(r.kind, r.session, r.deliveries) for r in rows] == [("planned", "day0", 0), ("actual", "day0", 1)]
    assert rows[0].coverage_pct == solved[2].to_dict()["targets"][0]["coverage_pct"]
    assert "structure_unknown" in rows[0].refused
    assert proposed_predecessor(rows, node, "day0") is rows[0]
    assert proposed_predecessor(rows, node, "salvage") is rows[1]
    assert proposed_predecessor(rows, node, None) is None
    assert proposed_predecessor(rows, None, "day0") is None


def test_that_shapes_become_masks_and_what_cannot_be_held_is_said():
    sphere = {"name": "N1", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}, "conductivity": {"preset": "node"}}
    own = {"name": "scar", "role": "at_risk", "shape": {"type": "sphere", "center_mm": [0, 9, 0], "diameter_mm": 4}, "conductivity": {"model": "constant", "sigma_s_per_m": 0.2}}
    from app.usecases.plan import tissue_presets

    made, notes = draft_of(TreatmentPlan.from_dict(plan_dict(spacing=3.0, regions=[sphere, own]), tissue_presets()))
    mask = made.targets[0][1]
    assert mask.array.sum() * mask.geometry.voxel_size_mm3 == pytest.approx(np.pi * 10**3 / 6, rel=0.03)
    assert made.at_risk == ()
    assert any("N1" in n and "mask" in n for n in notes)
    assert any("scar" in n and "left out" in n for n in notes)


def test_that_a_damaged_field_is_refused_with_a_sentence():
    with pytest.raises(NodusError) as refused:
        unpack_field(b"nothing")
    assert refused.value.code == "plan_run_damaged"


def test_that_a_field_and_needles_are_carried_by_the_same_matrix(case, solved):
    kept = save_plan_run(case.store, "S-001", None, *solved)
    opened = open_run(case.store, kept.plan_run_id)
    turn = np.array([[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, -2.0], [0.0, 0.0, 1.0, 7.0], [0.0, 0.0, 0.0, 1.0]])
    tip = opened.draft.needles[0].tip_mm
    carried = needles_moved(opened.draft.needles, turn)[0].tip_mm
    assert carried == pytest.approx((-tip[1] + 5.0, tip[0] - 2.0, tip[2] + 7.0))
    field = opened.field.moved(turn)
    assert field.geometry.world_to_index(carried) == pytest.approx(opened.field.geometry.world_to_index(tip))


def test_that_the_shift_of_a_needle_is_known_before_anything_is_solved():
    planned = draft().needles
    lying = (replace(planned[0], tip_mm=(-8.0, 3.0, -12.0)), planned[1])
    found = placement_so_far(planned, lying)
    assert found["needles"][0]["tip_shift_mm"] == pytest.approx(np.hypot(3.0, 2.0))
    assert found["needles"][0]["deeper_mm"] == pytest.approx(2.0)
    assert found["needles"][1]["tip_shift_mm"] == 0.0
    assert found["spacing"][0]["needles"] == ["E1", "E2"]


def test_that_dates_of_deliveries_and_statements_leave_shifted(case, solved):
    run = save_plan_run(case.store, "S-001", None, *solved)
    case.store.add_delivery(run.plan_run_id, (DeliveredPair("E1", "E2", 0),), entered_by="Dr A", date="2025-06-10")
    before = case.store.snapshot()
    after, days = shifted_snapshot(before, "S-001", KEY), days_back("S-001", KEY)
    assert days > 0
    assert after.deliveries[0].date == shift_iso("2025-06-10", days)
    assert after.deliveries[0].created_utc == shift_iso(before.deliveries[0].created_utc, days)
    stated = after.plan_runs[0].content["plan"]["anatomy"]["stated_clear"][0]["utc"]
    assert stated == shift_iso("2025-06-01T08:00:00+00:00", days)
    assert before.plan_runs[0].content["plan"]["anatomy"]["stated_clear"][0]["utc"] == "2025-06-01T08:00:00+00:00"
    assert shifted_snapshot(before, "S-other", KEY).deliveries == before.deliveries
