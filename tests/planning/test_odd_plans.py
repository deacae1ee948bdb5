"""Odd plans: every one is answered or refused with a sentence, and nothing that a needle meets is overlooked."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from scipy import ndimage

from app.cli import main
from app.usecases.files import FileRefused, read_json
from planning import TreatmentPlan
from planning.assessment import assess_plan
from planning.errors import PlanRefused
from planning.field.box import box_effect_pct
from planning.field.grid import FieldGrid
from planning.field.solve import solve_plan
from planning.margin import region_surface
from planning.tissue_map import sample_role
from tests.planning.helpers import ONE, plan_dict

BALL = {"name": "node", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}}
AIR = {"model": "constant", "sigma_s_per_m": 0.0}


def coarse(**more) -> dict:
    return plan_dict(**({"spacing": 2.0, "box": 48.0} | more))


def put(d: dict, path: str, value) -> dict:
    """The plan with one value replaced."""
    d = copy.deepcopy(d)
    at = d
    *way, last = [int(k) if k.isdigit() else k for k in path.split(".")]
    for key in way:
        at = at[key]
    at[last] = value
    return d


def answer_of(d: dict) -> dict:
    plan = TreatmentPlan.from_dict(d, {})
    return assess_plan(plan, solve_plan(plan)).answer


def nerve(start, end, diameter=1.0, role="at_risk") -> dict:
    return {"name": "nerve", "role": role, "shape": {"type": "capsule", "from_mm": start, "to_mm": end, "diameter_mm": diameter}}


@pytest.mark.parametrize(("path", "value", "code"), [
    ("domain.spacing_mm", 5e-324, "domain_too_fine"),
    ("background", {"preset": []}, "unknown_tissue"),
    ("background", {"model": ["constant"]}, "unknown_model"),
    ("background.sigma_s_per_m", 10**400, "not_a_number"),
    ("background.temperature_coefficient_per_c", 2.0, "bad_conductivity"),
    ("background.temperature_coefficient_per_c", float("nan"), "bad_conductivity"),
    ("background.spread_pct", float("nan"), "bad_conductivity"),
    ("background.source", {"a": 1}, "bad_conductivity"),
    ("background.assumed", "no", "bad_conductivity"),
    ("regions.0.name", ["node"], "missing_field"),
    ("regions.0.shape", {"type": "box", "center_mm": [0, 0, 0], "size_mm": [8, 8, 8], "rotation": 5}, "bad_shape"),
    ("regions.0.shape", {"type": "mask", "path": "m.nii.gz", "label": True}, "not_a_number"),
    ("electrodes.0.diameter_mm", 5e-324, "bad_diameter"),
    ("electrodes.0.tip_mm", [1e300, 0, 0], "not_a_number"),
    ("pulses.0.rate_hz", 20_000.0, "bad_pulses"),
])
def test_that_a_value_that_cannot_be_meant_is_refused(path, value, code):
    with pytest.raises(PlanRefused) as refusal:
        TreatmentPlan.from_dict(put(coarse(regions=[BALL]), path, value), {})
    assert refusal.value.code == code


def test_that_misspelt_keys_within_and_defaults_of_pulses_do_not_pass_unseen():
    d = put(put(coarse(regions=[BALL]), "pulses.0", {"anode": "E1", "cathode": "E2", "voltage_v": 2000, "with_us": 90}), "electrodes.1.diametre_mm", 2)
    told = dict(reversed(TreatmentPlan.from_dict(d, {}).notes)), [text for _, text in TreatmentPlan.from_dict(d, {}).notes]
    assert {"unknown_key", "default_used"} == set(told[0])
    assert any("'with_us'" in t and "pulse pair 1" in t for t in told[1])
    assert any("'diametre_mm'" in t and "needle 2" in t for t in told[1])
    assert any("width_us" in t and "70" in t for t in told[1])


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', "[" * 100_000, '{"a": ' + "9" * 400 + "}"])
def test_that_json_that_says_two_things_or_never_ends_is_refused(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(FileRefused) as refusal:
        read_json(tmp_path / "p.json", code="not_a_plan")
    assert refusal.value.code == "not_a_plan"


def test_that_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "p.json").write_bytes(b"\xef\xbb\xbf" + b'{"a": 1}')
    assert read_json(tmp_path / "p.json") == {"a": 1}


@pytest.mark.parametrize(("change", "words"), [
    (("pulses.0.voltage_v", 1.0), "smallest margin not known"),  # no zone at all
    (("regions.0.conductivity", AIR), "cover not known"),
    (("pulses.0.pulses", 10**9), "Temperature and thermal damage are not known"),
])
def test_that_an_answer_without_some_numbers_is_still_an_answer(tmp_path, capsys, change, words):
    file = tmp_path / "p.json"
    file.write_text(json.dumps(put(coarse(regions=[BALL]), *change)))
    assert main(["plan", str(file)]) == 0
    assert words in capsys.readouterr().out
    assert main(["plan", str(file), "--json", "--no-heat"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["current_a"] > 0


def test_that_a_target_that_is_air_is_not_covered():
    row = answer_of(coarse(regions=[BALL | {"conductivity": AIR}]))
    assert row["targets"][0]["coverage_pct"] is None
    assert "target_empty" in [w["code"] for w in row["warnings"]]


@pytest.mark.parametrize(("start", "end", "diameter", "gap"), [
    ([-7.5, 4.0, -15], [-7.5, 4.0, 15], 1.0, 3.0),  # thinner than the cells
    ([-40, 5, 36], [40, 5, 36], 6.0, 1.5),  # beyond the solved box, across the shafts
    ([-40, 0, 36], [40, 0, 36], 6.0, 0.0),
    ([-20, 0.3, 3], [20, 0.3, 3], 0.3, 0.0),  # thinner than a needle, through the metal
])
def test_that_no_needle_passes_a_structure_unseen(start, end, diameter, gap):
    found = answer_of(coarse(regions=[BALL, nerve(start, end, diameter)]))
    assert found["at_risk"][0]["min_distance_mm"] == pytest.approx(gap, abs=0.1)
    wanted = "path_crosses" if gap == 0 else "path_clearance" if gap < 2 else None
    assert wanted is None or wanted in [c["code"] for c in found["constraints"]]


def test_that_a_needle_within_a_structure_larger_than_the_box_crosses_it():
    found = answer_of(coarse(regions=[{"name": "lobe", "role": "at_risk", "shape": {"type": "box", "center_mm": [0, 0, 0], "size_mm": [400] * 3}}]))
    assert {e["path_clearance"][0]["distance_mm"] for e in found["electrodes"]} == {0.0}
    assert [c["level"] for c in found["constraints"] if c["code"] == "path_crosses"] == ["refuse", "refuse"]


def test_that_a_structure_that_no_cell_sees_is_not_said_to_lie_outside():
    found = answer_of(coarse(regions=[nerve([-20, 10, 3.1], [20, 10, 3.1], 0.05)]))
    assert [w["code"] for w in found["warnings"] if "structure" in w["code"]] == ["structure_empty"]


def test_that_a_surface_far_larger_than_the_needles_is_sampled_within_bounds():
    plan = TreatmentPlan.from_dict(coarse(regions=[{"name": "x", "role": "at_risk", "shape": {"type": "box", "center_mm": [0, 0, 0], "size_mm": [40, 40, 0.2]}}]), {})
    grid = FieldGrid.around((0, 0, 0), (48, 48, 48), 2.0)
    surface = region_surface(plan, 0, grid)
    assert surface.level.size < 2_500_000
    assert np.abs(np.abs(surface.points_mm[np.abs(surface.points_mm[:, :2]).max(1) < 15][:, 2]) - 0.1).max() < 0.05


@pytest.mark.parametrize(("size", "spacing"), [(14.0, 1.0), (12.0, 0.5)])
def test_that_the_wall_of_a_narrow_box_is_looked_at_too(size, spacing):
    d = plan_dict(d=6.0, length=4.0, box=size, spacing=spacing)
    effect = box_effect_pct(TreatmentPlan.from_dict(d, {}))
    assert effect is not None
    assert abs(effect) > 1.0


def test_that_the_mean_of_the_target_is_not_that_of_all_tissue_like_it():
    plan = TreatmentPlan.from_dict(coarse(regions=[BALL, nerve([0, -20, 0], [0, 20, 0], 4.0)], background=ONE), {})
    grid = FieldGrid.around((0, 0, 0), (48, 48, 48), 1.0)
    inside = sample_role(plan, grid, "target")
    assert inside.sum() == pytest.approx(np.pi / 6 * 1000 - 4 * np.pi * 10, rel=0.1)  # the ball less the later nerve


def test_that_a_folder_is_no_place_for_a_file(tmp_path, capsys):
    file = tmp_path / "p.json"
    file.write_text(json.dumps(coarse(regions=[BALL])))
    for command in (["plan", str(file), "--sheet", str(tmp_path)], ["optimise", str(file), "--out", str(tmp_path)]):
        assert main([*command, "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "file_unusable"


@pytest.mark.parametrize("command", [["robustness", "--spacing-mm", "nan"], ["robustness", "--spacing-mm", "0"], ["optimise", "--seconds", "nan"], ["optimise", "--seconds", "-1"]])
def test_that_options_that_are_no_numbers_are_refused(tmp_path, capsys, command):
    file = tmp_path / "p.json"
    file.write_text(json.dumps(coarse(regions=[BALL])))
    assert main([command[0], str(file), *command[1:], "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] in ("bad_samples", "bad_limits")


@pytest.mark.parametrize("sigma", [0.17, 3.0])
def test_that_the_field_of_a_structure_is_that_of_its_own_tissue(sigma):
    """Across its surface |E| jumps by the ratio of conductivities: mixed in, a nerve would seem to meet less, a vessel more."""
    d = plan_dict(spacing=1.0, regions=[nerve([0, 9, -12], [0, 9, 12], 4.0) | {"conductivity": {"model": "constant", "sigma_s_per_m": sigma}}])
    plan = TreatmentPlan.from_dict(d, {})
    solution = solve_plan(plan)
    within = solution.e_max_v_per_cm[solution.label == 1]
    row = assess_plan(plan, solution).answer["at_risk"][0]
    assert row["max_v_per_cm"] == pytest.approx(within.max(), rel=0.1)
    assert row["mean_v_per_cm"] == pytest.approx(within.mean(), rel=0.02)


def test_that_the_rim_of_a_target_that_conducts_well_is_not_left_over_as_healthy_tissue():
    node = {"name": "node", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}, "conductivity": {"model": "constant", "sigma_s_per_m": 5.0}}
    plan = TreatmentPlan.from_dict(plan_dict(regions=[node], background={"model": "constant", "sigma_s_per_m": 0.3}), {})
    solution = solve_plan(plan)
    answer = assess_plan(plan, solution).to_dict()
    assert answer["targets"][0]["coverage_pct"] < 5.0  # no field inside, much around it
    # the same by hand, on the points at which volumes are counted
    side = (np.arange(-18.0, 18.0, 0.25) + 0.125)
    z, y, x = np.meshgrid(side, side, side, indexing="ij")
    index = solution.geometry.world_to_index(np.stack([x, y, z], axis=-1))[..., ::-1]
    e = ndimage.map_coordinates(solution.e_max_v_per_cm, np.moveaxis(index, -1, 0), order=1, mode="nearest")
    needle = ((np.abs(x) - 7.5) ** 2 + y**2 < 0.25) & (z >= -10)
    outside = (e >= plan.lethal_v_per_cm) & ~needle & (x**2 + y**2 + z**2 > 25)
    assert answer["collateral_ml"] == pytest.approx(outside.sum() * 0.25**3 / 1000, rel=2e-3)
