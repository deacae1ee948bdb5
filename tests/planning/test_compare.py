"""Planned against actual: known shifts come back, what is missing on one side is said."""

from __future__ import annotations

import math

import pytest

from planning.compare import compare_delivery, compare_plans
from tests.planning.helpers import plan_dict


def answer(coverage: float, current: float, *, codes=(), target: str = "node") -> dict:
    return {
        "pairs": [{"anode": "E1", "cathode": "E2", "voltage_v": 2250.0, "v_per_cm": 1500.0, "current_a": current}],
        "targets": [{"name": target, "coverage_pct": coverage, "min_v_per_cm": 450.0, "minimal_margin_mm": None, "margin_coverage_pct": 80.0}],
        "at_risk": [{"name": "left carotid", "max_v_per_cm": 120.0, "volume_above_lethal_ml": 0.0, "min_distance_mm": 9.0}],
        "ablation_ml": 5.0, "collateral_ml": 1.0, "constraints": [{"code": c, "level": "refuse", "message": "", "value": 1.0, "limit": 0.0} for c in codes],
    }  # fmt: skip


def test_that_a_needle_that_lies_deeper_aside_and_tilted_is_told_by_how_much():
    planned, actual = plan_dict(), plan_dict()
    first, second = actual["electrodes"]
    first["tip_mm"] = [first["tip_mm"][0] - 3.0, 4.0, first["tip_mm"][2] - 2.0]
    first["entry_mm"] = [first["entry_mm"][0] - 3.0, 4.0, first["entry_mm"][2]]
    second["entry_mm"] = [second["tip_mm"][0], 50.0 * math.tan(math.radians(6.0)), 40.0]
    found = compare_plans(planned, actual, answer(99.0, 40.0), answer(91.5, 47.0, codes=("current",)))
    a, b = found["needles"]
    assert (a["deeper_mm"], a["aside_mm"], a["tip_shift_mm"]) == pytest.approx((2.0, 5.0, math.sqrt(29.0)))
    assert a["angle_deg"] == pytest.approx(0.0, abs=1e-6)
    assert (b["tip_shift_mm"], b["angle_deg"]) == pytest.approx((0.0, 6.0))
    (spacing,) = found["spacing"]
    assert spacing["angle_deg"] == {"planned": 0.0, "actual": pytest.approx(6.0), "difference": pytest.approx(6.0)}
    assert spacing["distance_mm"]["planned"] == pytest.approx(15.0)
    assert spacing["distance_mm"]["difference"] > 3.0
    assert found["targets"][0]["coverage_pct"] == {"planned": 99.0, "actual": 91.5, "difference": -7.5}
    assert found["targets"][0]["minimal_margin_mm"]["difference"] is None
    assert found["pairs"][0]["current_a"]["difference"] == 7.0
    assert [c["code"] for c in found["newly_refused"]] == ["current"]


def test_that_needles_and_targets_of_one_side_only_are_listed():
    planned, actual = plan_dict(), plan_dict()
    actual["electrodes"][1]["id"] = "E3"
    found = compare_plans(planned, actual, answer(99.0, 40.0), answer(98.0, 40.0, target="rest"))
    assert (found["needles_only_planned"], found["needles_only_actual"], found["spacing"]) == (["E2"], ["E3"], [])
    assert [(t["name"], t["coverage_pct"]["planned"], t["coverage_pct"]["actual"]) for t in found["targets"]] == [("node", 99.0, None), ("rest", None, 98.0)]


def given(anode: str, cathode: str, pulses: int, voltage_v: float | None, end: float | None = None, reason: str | None = None) -> dict:
    return {"anode": anode, "cathode": cathode, "pulses": pulses, "voltage_v": voltage_v, "current_start_a": None, "current_end_a": end, "aborted": reason is not None, "abort_reason": reason}


def test_that_pulses_given_in_parts_count_together_and_what_is_missing_is_seen():
    plan = plan_dict()
    plan["pulses"].append({**plan["pulses"][0], "anode": "E2", "cathode": "E3"})
    found = compare_delivery(plan, [given("E1", "E2", 40, 2250.0, 44.0, "high current"), given("E2", "E1", 50, 2250.0, 41.0), given("E1", "E3", 10, 2000.0)])
    first, second = found["pairs"]
    assert (first["pulses"]["actual"], first["complete"], first["aborted"], first["current_end_a"], first["abort_reasons"]) == (90, True, True, 44.0, ["high current"])
    assert (second["pulses"], second["voltage_v"]["actual"], second["complete"]) == ({"planned": 90, "actual": 0, "difference": -90}, None, False)
    assert [d["cathode"] for d in found["not_planned"]] == ["E3"]
    assert not found["complete"]
    assert not compare_delivery(plan_dict(), [given("E1", "E2", 90, 2200.0)])["complete"]
