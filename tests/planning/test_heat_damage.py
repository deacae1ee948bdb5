"""Damage kinetics against their reference rows, and thermal values as they are read."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from planning.errors import PlanRefused
from planning.heat.bioheat import BioheatSolver, ThermalGrid
from planning.heat.damage import DamageSet, cem43_min_per_s, rate_tables
from planning.heat.properties import THERMAL_KEYS, HeatSettings, heat_data_from_dict, thermal_from_dict
from planning.tissue import preset_from_dict

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
HEAT = json.loads((RESOURCES / "heat" / "ire.json").read_text(encoding="utf-8"))
TISSUES = {d["name"]: d for d in (json.loads(f.read_text(encoding="utf-8")) for f in sorted((RESOURCES / "tissues").glob("*.json")))}
THERMAL = {name: d["thermal"] for name, d in TISSUES.items()}
ROWS = {"liver": (513, 61.4, 3.45), "henriques": (1.87e5, 1.06e3, 0.947), "prostate": (33.7, 0.333, 6.4e-4)}


@pytest.fixture(scope="module")
def data():
    return heat_data_from_dict(HEAT, THERMAL)


@pytest.mark.parametrize("name", ROWS)
def test_that_the_time_to_damage_is_that_of_the_reference(data, name):
    times = [data.damage_sets[name].seconds_to_damage(t) for t in (43.0, 50.0, 60.0)]
    assert times == pytest.approx(ROWS[name], rel=0.01)


def still(celsius: float, data, walls=(False,) * 6) -> BioheatSolver:
    """Tissue that stays at a temperature."""
    fill = lambda v: np.full((3, 3, 3), v)  # noqa: E731
    solver = BioheatSolver(ThermalGrid(1.0, fill(0.5), fill(3.78e6), fill(0.0), fill(0.0), walls=walls), rate_tables(tuple(data.damage_sets.values()), 37.0))
    solver.rise[1:-1, 1:-1, 1:-1] = celsius - 37.0
    return solver


@pytest.mark.parametrize(("celsius", "column"), [(43.0, 0), (50.0, 1), (60.0, 2)])
def test_that_the_solver_gathers_damage_of_one_in_the_reference_time(data, celsius, column):
    for n, name in enumerate(data.damage_sets):
        solver = still(celsius, data)
        seconds = ROWS[name][column]
        solver.run(seconds, max(seconds / 4, 1e-4))
        at_rest = float(data.damage_sets[name].rate_per_s(37.0)) * seconds
        assert solver.dose[n][2, 2, 2] + at_rest == pytest.approx(1.0, rel=0.01)


def test_that_equivalent_minutes_halve_and_quarter_by_degrees(data):
    assert cem43_min_per_s(np.array([43.0, 44.0, 46.0, 42.0, 41.0, 38.9])) * 60 == pytest.approx([1, 2, 8, 0.25, 0.0625, 0])
    solver = still(45.0, data)
    solver.run(120.0, 10.0)
    assert solver.dose[len(data.damage_sets)][2, 2, 2] == pytest.approx(8.0, rel=1e-3)


def test_that_a_pulse_heats_tissue_by_the_closed_form(data):
    solver = still(37.0, data)
    solver.set_source(np.full((3, 3, 3), 0.5 * (1500e2) ** 2 * 100e-6))  # 1500 V/cm, 100 us, a pulse a second
    solver.run(1.0)
    assert solver.rise[2, 2, 2] == pytest.approx(0.29762, rel=1e-4)


def test_that_every_shipped_tissue_has_thermal_values_with_source_spread_and_doubt(data):
    for name, d in TISSUES.items():
        tissue = data.tissue(name)
        assert preset_from_dict(d)[0] == name
        assert tissue.name == name
        for key in THERMAL_KEYS:
            value = getattr(tissue, key)
            assert value.source
            assert value.spread_pct > 0 or name == "air"
        assert thermal_from_dict(name, tissue.to_dict()) == tissue
    assert set(data.tissue("node").assumed) == set(THERMAL_KEYS)
    assert "conductivity_w_per_m_k" not in data.tissue("liver").assumed
    assert data.tissue("liver").damage_set == "liver"
    assert data.tissue(None).name == data.tissue("something new").name == "default"
    for entry in HEAT["settings"].values():
        assert {"value", "source", "spread_pct", "assumed"} == set(entry)


@pytest.mark.parametrize(("path", "value", "code"), [
    (("perfusion_per_s", "value"), -0.001, "bad_thermal"), (("conductivity_w_per_m_k", "value"), float("nan"), "not_a_number"),
    (("density_kg_per_m3", "value"), 0, "bad_thermal"), (("heat_capacity_j_per_kg_k", "value"), "3600", "not_a_number"),
    (("sigma_rise_per_k", "source"), "", "bad_thermal"), (("damage_set",), "unheard of", "bad_thermal"), (("damage_set",), None, "bad_thermal"),
])
def test_that_bad_thermal_values_are_refused(path, value, code):
    thermal = copy.deepcopy(THERMAL)
    place = thermal["muscle"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(PlanRefused) as refusal:
        heat_data_from_dict(HEAT, thermal)
    assert refusal.value.code == code


def test_that_bad_settings_and_sets_are_refused():
    for more in ({"pause_s": -1.0}, {"body_c": 60.0}, {"perfusion_factor": float("inf")}, {"blood_heat_capacity_j_per_m3_k": 0.0}):
        with pytest.raises(PlanRefused):
            HeatSettings(**more)
    with pytest.raises(PlanRefused):
        DamageSet("x", -1.0, 5e5, "", "")
    with pytest.raises(PlanRefused) as refusal:
        heat_data_from_dict({**HEAT, "settings": {"wind": {"value": 1.0}}}, THERMAL)
    assert refusal.value.code == "bad_thermal"
