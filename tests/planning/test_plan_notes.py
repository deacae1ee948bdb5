"""What a person is told of how a plan file was read."""

from __future__ import annotations

import pytest

from planning import PlanRefused, TreatmentPlan, assess_plan, solve_plan
from tests.planning.helpers import plan_dict


def test_that_a_misspelt_threshold_does_not_pass_unseen():
    data = plan_dict(spacing=2.0, box=48.0)
    data["lethal_v_percm"] = data.pop("lethal_v_per_cm")
    plan = TreatmentPlan.from_dict(data, {})
    assert [code for code, _ in plan.notes] == ["unknown_key", "default_used"]
    assert plan.lethal_v_per_cm == 500


def test_that_a_complete_plan_has_no_notes():
    assert TreatmentPlan.from_dict(plan_dict(spacing=2.0, box=48.0), {}).notes == ()


def test_that_an_integer_beyond_any_number_is_refused():
    data = plan_dict(spacing=2.0, box=48.0)
    data["pulses"][0]["voltage_v"] = 10**400
    with pytest.raises(PlanRefused) as refusal:
        TreatmentPlan.from_dict(data, {})
    assert refusal.value.code == "not_a_number"


def test_that_two_structures_of_one_name_keep_their_own_distances():
    data = plan_dict(spacing=1.0, box=72.0)
    data["regions"] = [
        {"name": "carotid", "role": "at_risk", "shape": {"type": "sphere", "center_mm": [0, y, 0], "diameter_mm": 4}} for y in (15, -25)
    ]
    plan = TreatmentPlan.from_dict(data, {})
    rows = assess_plan(plan, solve_plan(plan)).to_dict()["at_risk"]
    # Nearest needle surface: across the plane to a needle axis at 7.5 mm, less both radii.
    for row, y in zip(rows, (15, -25)):
        assert row["min_distance_mm"] == pytest.approx((7.5**2 + y**2) ** 0.5 - 2.0 - 0.5, abs=0.15)
