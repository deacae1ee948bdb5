"""The heat of whole plans: energy, the current's rise, order, grids, and what the answer says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from planning import TreatmentPlan, assess_plan, preset_from_dict, solve_plan
from planning.assessment import with_heat
from planning.errors import PlanRefused
from planning.heat import train
from planning.heat.properties import HeatSettings, heat_data_from_dict
from planning.heat.train import solve_heat
from tests.planning.helpers import four_needles, plan_dict
from volumetry.errors import Cancelled

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
FILES = [json.loads(f.read_text(encoding="utf-8")) for f in sorted((RESOURCES / "tissues").glob("*.json"))]
HEAT = json.loads((RESOURCES / "heat" / "ire.json").read_text(encoding="utf-8"))
DATA = heat_data_from_dict(HEAT, {d["name"]: d["thermal"] for d in FILES})
PRESETS = dict(preset_from_dict(d) for d in FILES)
REGIONS = (
    {"name": "node", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}, "conductivity": {"preset": "tumour"}},
    {"name": "vessel", "role": "at_risk", "shape": {"type": "cylinder", "from_mm": [0, 11, -30], "to_mm": [0, 11, 30], "diameter_mm": 5}, "conductivity": {"preset": "blood"}},
)


def plan_of(d: dict) -> TreatmentPlan:
    return TreatmentPlan.from_dict(d, PRESETS)


def settings(**more):
    return replace(DATA, settings=HeatSettings(**more))


def heated(plan, data=DATA, **more):
    solution = solve_plan(plan, keep_pair_fields=True)
    return solution, solve_heat(plan, solution, data, **more)


@pytest.fixture(scope="module")
def one_pair():
    plan = plan_of(plan_dict(box=44.0, volts=2700.0, background={"preset": "muscle"}, regions=REGIONS))
    return plan, *heated(plan)


def test_that_the_heat_given_is_voltage_times_current(one_pair):
    plan, solution, heat = one_pair
    pair, pulse = heat.pairs[0], plan.pulses[0]
    on_s = pulse.pulses * pulse.width_us * 1e-6
    assert pulse.voltage_v * pair.current_start_of_train_a * on_s < pair.energy_j < pulse.voltage_v * pair.current_end_of_train_a * on_s
    assert pair.current_start_of_train_a == pytest.approx(solution.pairs[0].current_a, rel=1e-3)
    assert heat.imbalance < 1e-3
    cold = plan_of(plan_dict(spacing=2.0, box=48.0, background={"model": "constant", "sigma_s_per_m": 0.34, "temperature_coefficient_per_c": 0.0}))
    solution, heat = heated(cold, segment_s=90.0)
    assert heat.pairs[0].energy_j == pytest.approx(2250 * solution.pairs[0].current_a * 90 * 70e-6, rel=1e-3)
    assert heat.pairs[0].current_end_of_train_a == pytest.approx(solution.pairs[0].current_a, rel=1e-3)


def test_that_warmth_raises_the_current_by_the_tissue_s_coefficient():
    """Where all tissue is equally warm, the current is the cold one times 1 + coefficient x warmth."""
    plan = plan_of(plan_dict(spacing=2.0, box=48.0, background={"model": "constant", "sigma_s_per_m": 0.3}))
    solver = train.WarmTissueSolver(train._heat_problem(plan))
    values, currents = np.array([1125.0, -1125.0]), []
    for factor in (1.0, 1.0 + 0.015 * 12.0):
        solver.set_conductivity(np.full(solver.problem.grid.shape, 0.3 * factor))
        currents.append(solver.solve_pair(values, 0, 1))
        assert solver.heat_w(values).sum() == pytest.approx(2250 * currents[-1], rel=1e-4)
    assert currents[1] / currents[0] == pytest.approx(1.18, rel=1e-4)


def test_that_later_pairs_begin_in_tissue_that_earlier_ones_warmed():
    d = four_needles(spacing=2.0, box=56.0, background={"preset": "muscle"})
    d["pulses"] = d["pulses"][:2] + d["pulses"][:1]
    plan = plan_of(d)
    solution, heat = heated(plan, settings(cooling_s=0.0), segment_s=30.0)
    first, second, again = heat.pairs
    assert first.current_start_of_train_a == pytest.approx(first.current_cold_a, rel=2e-3)
    assert second.current_start_of_train_a > second.current_cold_a * 1.005
    assert again.current_start_of_train_a > first.current_start_of_train_a * 1.02
    assert again.peak_c > first.peak_c
    assert heat.seconds_of_train == pytest.approx(3 * 90 + 2 * 5)
    slow = replace(DATA, settings=HeatSettings(pause_s=300.0, cooling_s=0.0))
    cooled = solve_heat(plan, solution, slow, segment_s=30.0, step_s=5.0)
    assert cooled.pairs[2].current_start_of_train_a < again.current_start_of_train_a


def test_that_blood_flow_cools_and_closed_vessels_do_not():
    plan = plan_of(plan_dict(spacing=2.0, box=48.0, background={"preset": "muscle"}))
    solution = solve_plan(plan, keep_pair_fields=True)
    with_flow, without = (solve_heat(plan, solution, settings(perfusion_factor=f), segment_s=45.0) for f in (1.0, 0.0))
    tissue = with_flow.needle_share < 0.5
    assert without.end_c[tissue].max() > with_flow.end_c[tissue].max() + 0.1


@pytest.mark.long
def test_that_steps_and_segments_are_short_enough(one_pair):
    plan, solution, heat = one_pair
    fine = solve_heat(plan, solution, DATA, segment_s=5.0, step_s=0.75)
    tissue = heat.needle_share < 0.5
    assert heat.hottest_c[tissue].max() - 37 == pytest.approx(fine.hottest_c[tissue].max() - 37, rel=0.01)
    assert heat.pairs[0].current_end_of_train_a == pytest.approx(fine.pairs[0].current_end_of_train_a, rel=2e-3)


def test_that_the_box_cut_around_the_heat_changes_nothing(one_pair, monkeypatch):
    plan, solution, heat = one_pair
    monkeypatch.setattr(train, "REACH_MM", 100.0)
    whole = solve_heat(plan, solution, DATA)
    assert np.abs(whole.hottest_c - heat.hottest_c).max() < 0.05


@pytest.mark.long
def test_that_a_finer_grid_of_heat_says_the_same(monkeypatch):
    plan = plan_of(plan_dict(box=44.0, spacing=0.5, background={"preset": "muscle"}, regions=REGIONS))
    solution = solve_plan(plan, keep_pair_fields=True)
    coarse = solve_heat(plan, solution, DATA)
    monkeypatch.setattr(train, "SPACING_MM", 0.5)
    fine = solve_heat(plan, solution, DATA)
    assert coarse.grid.spacing_mm == 1.0
    assert fine.grid.spacing_mm == 0.5
    assert coarse.pairs[0].energy_j == pytest.approx(fine.pairs[0].energy_j, rel=0.01)
    assert coarse.pairs[0].target_mean_c - 37 == pytest.approx(fine.pairs[0].target_mean_c - 37, rel=0.02)
    # the hottest cell lies on the metal, and a smaller cell nearer to it
    peaks = [h.hottest_c[h.needle_share < 0.5].max() - 37 for h in (coarse, fine)]
    assert peaks[0] == pytest.approx(peaks[1], rel=0.1)


def test_that_the_answer_tells_heat_of_regions_pairs_and_the_whole(one_pair):
    plan, solution, heat = one_pair
    without = assess_plan(plan, solution)
    plain = without.to_dict()
    answer = assess_plan(plan, solution, heat=heat).to_dict()
    assert with_heat(plan, without, heat).to_dict() == answer  # heat that follows later
    assert plain["heat"] is None
    assert plain["at_risk"][0]["max_temperature_c"] is None
    h, target, vessel = answer["heat"], answer["targets"][0], answer["at_risk"][0]
    assert 45 < h["peak_c"] < 80
    tip = np.array([abs(h["where"]["position_mm"][0]) - 7.5, h["where"]["position_mm"][1]])
    assert np.abs(tip).max() <= 1.5  # beside a needle
    assert h["where"]["tissue"] == "background"
    assert 37 < vessel["max_temperature_c"] < target["max_temperature_c"] < h["peak_c"] + 0.5
    assert vessel["thermal_damage_ml"] == 0
    assert vessel["damage_set"] == "henriques"
    assert 0 < h["thermal_damage_ml"] < h["thermal_damage_ml_by_set"]["prostate"] < 20
    assert h["thermal_damage_ml"] == pytest.approx(h["thermal_damage_ml_by_set"]["henriques"])
    assert {"name": "node", "properties_of": "tumour"}.items() <= h["tissues"][1].items()
    assert "conductivity_w_per_m_k" in h["tissues"][1]["assumed"]
    assert answer["pairs"][0]["current_end_of_train_a"] > 1.05 * answer["pairs"][0]["current_a"]
    assert "thermal_assumed" in {c["code"] for c in answer["constraints"]}
    json.dumps(answer)


def test_that_heat_at_risk_boiling_and_current_at_the_end_are_warned_of():
    d = plan_dict(spacing=1.5, box=45.0, volts=3000.0, length=30.0, background={"model": "constant", "sigma_s_per_m": 0.55}, regions=[
        {"name": "nerve", "role": "at_risk", "shape": {"type": "cylinder", "from_mm": [-5, 1, -12], "to_mm": [-5, 1, 12], "diameter_mm": 2}, "conductivity": {"preset": "nerve"}}])
    d["pulses"][0]["width_us"] = 100
    plan = plan_of(d)
    solution, heat = heated(plan)
    answer = assess_plan(plan, solution, heat=heat).to_dict()
    assert answer["pairs"][0]["current_a"] < 50 < answer["pairs"][0]["current_end_of_train_a"] < 100
    levels = {c["code"]: c["level"] for c in answer["constraints"]}
    assert levels["heat_at_risk"] == levels["boiling"] == levels["current_end_of_train"] == "warn"
    assert answer["at_risk"][0]["thermal_damage_ml"] > 0


def test_that_the_same_plan_gives_the_same_bits_and_cancel_stops(one_pair):
    plan, solution, heat = one_pair
    again = solve_heat(plan, solution, DATA)
    assert (again.hottest_c == heat.hottest_c).all()
    assert again.pairs == heat.pairs
    told = []
    with pytest.raises(Cancelled):
        solve_heat(plan, solution, DATA, progress=lambda text, part: told.append(part), should_cancel=lambda: len(told) > 20)
    assert told == sorted(told)
    assert told[-1] < 0.9


def test_that_what_cannot_be_heated_is_refused():
    plan = plan_of(plan_dict(spacing=2.0, box=48.0, background={"preset": "muscle"}))
    with pytest.raises(ValueError, match="keep_pair_fields"):
        solve_heat(plan, solve_plan(plan), DATA)
    slow = replace(plan, pulses=(replace(plan.pulses[0], rate_hz=0.01),))
    with pytest.raises(PlanRefused) as refusal:
        solve_heat(slow, solve_plan(slow, keep_pair_fields=True), DATA)
    assert refusal.value.code == "heat_too_long"
