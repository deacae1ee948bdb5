"""Chart zones: their place, their unions over pull-backs and rounds, cover, margins, the liver's share, limits."""

from __future__ import annotations

import numpy as np
import pytest

from planning.errors import PlanRefused
from planning.shapes import MaskShape, Sphere
from planning.thermal.chart import device_from_dict, zone_of
from planning.thermal.course import line_heat, mm_level, power_source, solve_course, steps_of, zone_levels
from planning.thermal.liver import volume_ml
from planning.thermal.margins import margins, surface_of
from planning.thermal.plan import ThermalPlan
from planning.thermal.zones import assess_zones, chart_levels, chart_zone, warnings_of
from volumetry.errors import Cancelled
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

LIMITS = {"liver_fraction": 1 / 3, "rounds_most": 3}


def device_dict(**more) -> dict:
    known = {"source": "made for this test", "assumed": False}
    row = {"setting": "ball", "power_w": 40, "freeze_s": 0, "heat_s": 60, "along_mm": {"value": 20, "spread_mm": 2}, "across_mm": {"value": 20, "spread_mm": 2},
           "centre_behind_tip_mm": {"value": 5, "spread_mm": 1}, **known}
    egg = row | {"setting": "egg", "along_mm": {"value": 30, "spread_mm": 3}, "centre_behind_tip_mm": {"value": 0, "spread_mm": 0, "source": "guess", "assumed": True}}
    ice = row | {"setting": "ice", "freeze_s": 60, "heat_s": 30}
    value = lambda v: {"value": v, "spread_pct": 0, **known}  # noqa: E731
    return {"schema": "nodus.thermal-device/1", "id": "made", "title": "Made device", "modality": "cryo_rf", "diameter_mm": value(2.0), "active_mm": value(10), "rows": [row, egg, ice],
            "physics": {"freeze": {"bath_c": value(-196), "transfer_w_per_m2_k": None}, "heat": {"model": "surface", "wall_c": value(80)}}} | more


def plan_dict(applications=({},), **more) -> dict:
    return {"schema": "nodus.thermal/1", "lesions": [{"name": "one", "shape": {"type": "sphere", "center_mm": [0, 0, 5], "diameter_mm": 10}}],
            "needles": [{"id": "N1", "tip_mm": [0, 0, 0], "entry_mm": [0, 0, 80]}, {"id": "N2", "tip_mm": [60, 0, 0], "entry_mm": [60, 0, 80]}],
            "applications": [{"needle": "N1", "device": "made", "setting": "ball"} | a for a in applications], "devices": [device_dict()], **more}


def made(**more) -> ThermalPlan:
    return ThermalPlan.from_dict(plan_dict(**more), {}, LIMITS)


def answer(plan: ThermalPlan):
    return assess_zones(plan, chart_levels(plan))


def ball_ml(diameter: float) -> float:
    return np.pi / 6 * diameter**3 / 1000


def test_that_a_zone_lies_about_its_needle_whatever_its_direction():
    row = device_from_dict(device_dict()).row("egg")
    for entry in ((50, 20, 80), (0, 0, -70), (30, 0, 0)):
        tip = np.array([3.0, -2.0, 5.0])
        direction = (entry - tip) / np.linalg.norm(entry - tip)
        zone = zone_of(row, tip, entry, pull_back_mm=4.0)
        centre = tip + 4.0 * direction
        assert np.allclose(zone.center_mm, centre)
        side = np.cross(direction, [0.3, 0.5, -0.8])
        side /= np.linalg.norm(side)
        assert zone.level_mm(np.array([centre + 15 * direction, centre - 15 * direction, centre + 10 * side])) == pytest.approx([0, 0, 0], abs=1e-6)


def test_that_a_ball_round_a_ball_has_the_margin_and_volume_it_has():
    got = answer(made()).answer
    assert got["zone_ml"] == pytest.approx(ball_ml(20), rel=0.005)
    assert got["zone_ml_spread"] == pytest.approx([ball_ml(18), ball_ml(22)], rel=0.006)
    row = got["lesions"][0]
    assert row["volume_ml"] == pytest.approx(ball_ml(10), rel=0.01)
    assert row["coverage_pct"] == pytest.approx(100.0, abs=1e-3)
    assert row["minimal_margin_mm"] == pytest.approx(5.0, abs=0.1)
    assert row["margin_mm_percentiles"]["50"] == pytest.approx(5.0, abs=0.1)
    assert row["surface_below_pct"]["0"] == 0.0
    assert row["surface_below_pct"]["10"] == pytest.approx(100.0)
    assert got["collateral_ml"] == pytest.approx(ball_ml(20) - ball_ml(10), rel=0.01)
    assert "thin_margin" in {c.code for c in answer(made(margin_mm=8)).constraints}


def test_that_pull_backs_join_and_apart_zones_add_up():
    lens = lambda d: np.pi * (4 * 10 + d) * (2 * 10 - d) ** 2 / 12 / 1000  # noqa: E731  two balls of radius 10, d apart
    pulled = answer(made(applications=({}, {"pull_back_mm": 12}))).answer
    assert pulled["zone_ml"] == pytest.approx(2 * ball_ml(20) - lens(12.0), rel=0.006)
    apart = answer(made(applications=({}, {"needle": "N2"}))).answer
    assert apart["zone_ml"] == pytest.approx(2 * ball_ml(20), rel=0.006)


def test_that_rounds_are_told_alone_and_together():
    got = answer(made(applications=({}, {"needle": "N2", "round": 2}, {"round": 3, "pull_back_mm": 40}))).answer["rounds"]
    assert [r["round"] for r in got] == [1, 2, 3]
    assert [r["zone_ml"] for r in got] == pytest.approx([ball_ml(20)] * 3, rel=0.006)
    assert [r["cumulative_ml"] for r in got] == pytest.approx([n * ball_ml(20) for n in (1, 2, 3)], rel=0.006)
    assert [r["lesions"][0]["coverage_pct"] for r in got] == pytest.approx([100, 0, 0], abs=1e-3)
    assert got[2]["lesions"][0]["cumulative_coverage_pct"] == pytest.approx(100, abs=1e-3)


def test_that_a_round_on_other_pictures_is_carried_into_the_plan():
    shift = [[1, 0, 0, -60], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    plan = made(applications=({"needle": "N2", "round": 2},), rounds=[{"round": 2, "matrix": shift}])
    assert chart_zone(plan, plan.applications[0]).center_mm == pytest.approx((0, 0, 5))
    assert answer(plan).answer["lesions"][0]["coverage_pct"] == pytest.approx(100, abs=1e-3)
    with pytest.raises(PlanRefused) as refusal:
        made(rounds=[{"round": 2, "matrix": [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}])
    assert refusal.value.code == "bad_transform"


def test_that_several_lesions_are_judged_each_for_itself():
    lesions = [{"name": n, "shape": {"type": "sphere", "center_mm": c, "diameter_mm": 10}} for n, c in (("in", [0, 0, 5]), ("half", [10, 0, 5]), ("out", [40, 0, 5]))]
    found = answer(made(lesions=lesions))
    rows = {r["name"]: r for r in found.answer["lesions"]}
    assert rows["in"]["coverage_pct"] == pytest.approx(100, abs=1e-3)
    assert 20 < rows["half"]["coverage_pct"] < 60
    assert rows["half"]["minimal_margin_mm"] == pytest.approx(-5.0, abs=0.1)
    assert rows["out"]["coverage_pct"] == pytest.approx(0.0, abs=1e-6)
    assert rows["out"]["minimal_margin_mm"] == pytest.approx(-35.0, abs=0.1)
    assert {c.code for c in found.constraints} >= {"lesion_uncovered"}


@pytest.mark.parametrize(("liver_mm", "level"), [(28.0, "refuse"), (30.5, "warn"), (60.0, None)])
def test_that_a_third_of_the_liver_is_refused_and_its_spread_warned_of(liver_mm, level):
    plan = made(liver={"shape": {"type": "sphere", "center_mm": [0, 0, 5], "diameter_mm": liver_mm}})
    found = answer(plan)
    share = found.answer["liver"]
    assert share["volume_ml"] == pytest.approx(ball_ml(liver_mm), rel=0.01)
    assert share["ablated_fraction"] == pytest.approx((20 / liver_mm) ** 3, rel=0.015)
    assert {c.level for c in found.constraints if c.code == "liver_fraction"} == ({level} if level else set())


def test_that_the_liver_of_a_mask_counts_its_lesion_too():
    axes = 1.5 * (np.arange(41) - 20)
    z, y, x = np.meshgrid(axes, axes, axes, indexing="ij")
    r, lesion = np.sqrt(x * x + y * y + z * z), np.sqrt(x * x + y * y + (z - 5) ** 2)
    mask = NodeMask((r <= 28) & (lesion > 5), ImageGeometry.from_spacing((41,) * 3, (1.5,) * 3, (-30.0,) * 3))
    d = plan_dict(liver={"shape": {"type": "mask", "mask": mask}})
    share = answer(ThermalPlan.from_dict(d, {}, LIMITS)).answer["liver"]
    assert share["volume_ml"] == pytest.approx(ball_ml(56), rel=0.02)
    assert share["ablated_ml"] == pytest.approx(ball_ml(20), rel=0.03)  # less than a voxel lies between liver and lesion


def test_that_surface_near_the_capsule_is_left_out_apart():
    lesion = {"name": "edge", "shape": {"type": "sphere", "center_mm": [0, 0, 5], "diameter_mm": 16}}
    box = {"shape": {"type": "box", "center_mm": [-50, 0, 0], "size_mm": [120, 120, 120]}}  # its face at x = 10, 2 mm off the lesion
    row = answer(made(lesions=[lesion], liver=box)).answer["lesions"][0]
    away = row["without_capsule"]
    share = away["surface_points"] / row["surface_points"]
    assert share == pytest.approx(1 - 3 / 16, abs=0.05)  # a cap 3 mm high of 16
    assert away["minimal_margin_mm"] == pytest.approx(2.0, abs=0.1)


def test_that_structures_at_risk_are_told_with_overlap_and_distance():
    near = {"name": "vein", "shape": {"type": "sphere", "center_mm": [14, 0, 5], "diameter_mm": 6}}
    cut = {"name": "duct", "shape": {"type": "sphere", "center_mm": [0, 0, 40], "diameter_mm": 6}}
    bitten = {"name": "colon", "shape": {"type": "sphere", "center_mm": [-11, 0, 5], "diameter_mm": 6}}
    found = answer(made(at_risk=[near, cut, bitten]))
    vein, duct, colon = found.answer["at_risk"]
    assert vein["zone_distance_mm"] == pytest.approx(1.0, abs=0.1)
    assert vein["overlap_ml"] == pytest.approx(0.0, abs=1e-4)
    assert vein["needle_distance_mm"] == pytest.approx(10.0, abs=0.1)
    assert duct["needle_distance_mm"] == 0.0
    assert colon["zone_distance_mm"] == pytest.approx(-2.0, abs=0.1)
    assert colon["overlap_ml"] > 0.01
    codes = {c.code: c.level for c in found.constraints}
    assert codes["path_crosses"] == "refuse"
    assert codes["zone_reaches"] == "warn"


def test_that_limits_of_rounds_and_lesions_are_held():
    four = answer(made(applications=tuple({"round": n, "needle": "N2"} for n in (1, 2, 3, 4))))
    assert {c.code for c in four.constraints} >= {"rounds"}
    lesions = [{"name": f"l{n}", "shape": {"type": "sphere", "center_mm": [3.0 * n, 0, 5], "diameter_mm": 4}} for n in range(3)]
    crowded = answer(made(lesions=lesions, limits={"lesions_per_session_most": 2, "lesion_longest_mm": 3}))
    assert {"lesions_per_session", "lesion_long"} <= {c.code for c in crowded.constraints}


def test_that_every_answer_says_what_a_chart_is():
    codes = [w["code"] for w in warnings_of(made(applications=({"setting": "egg"},)))]
    assert codes[0] == "chart_is_prior"
    assert {"chart_unverified", "chart_assumed"} <= set(codes)
    assert "chart_assumed" not in [w["code"] for w in warnings_of(made())]


@pytest.mark.parametrize(("change", "code"), [
    ({"schema": "nodus.plan/1"}, "wrong_schema"), ({"needles": []}, "no_needles"), ({"applications": []}, "no_applications"),
    ({"applications": [{"needle": "X", "device": "made", "setting": "ball"}]}, "unknown_electrode"),
    ({"applications": [{"needle": "N1", "device": "other", "setting": "ball"}]}, "unknown_device"),
    ({"applications": [{"needle": "N1", "device": "made", "setting": "other"}]}, "unknown_setting"),
    ({"applications": [{"needle": "N1", "device": "made", "setting": "ball", "round": 0}]}, "bad_round"),
    ({"applications": [{"needle": "N1", "device": "made", "setting": "ball", "round": 1.5}]}, "bad_round"),
    ({"applications": [{"needle": "N1", "device": "made", "setting": "ball", "pull_back_mm": 90}]}, "bad_pull_back"),
    ({"applications": [{"needle": "N1", "device": "made", "setting": "ball", "pull_back_mm": -1}]}, "bad_pull_back"),
    ({"needles": [{"id": "N1", "tip_mm": [0, 0, 0], "entry_mm": [0, 0, 0]}]}, "no_direction"),
    ({"needles": [{"id": "N1", "tip_mm": [0, 0, float("nan")], "entry_mm": [0, 0, 9]}]}, "not_a_number"),
    ({"lesions": [{"name": "a", "shape": {"type": "cone"}}]}, "unknown_shape"),
    ({"limits": {"liver": 1}}, "bad_limits"), ({"limits": {"liver_fraction": 0}}, "bad_limits"), ({"margin_mm": -1}, "bad_margin"), ({"spacing_mm": 99}, "bad_domain"),
    ({"devices": [device_dict(rows=[])]}, "bad_chart"), ({"devices": [device_dict(modality="laser")]}, "bad_chart"),
])  # fmt: skip
def test_that_bad_plans_are_refused_with_a_code(change, code):
    with pytest.raises(PlanRefused) as refusal:
        ThermalPlan.from_dict(plan_dict() | change, {}, LIMITS)
    assert refusal.value.code == code


def test_that_a_row_without_source_is_refused():
    d = device_dict()
    del d["rows"][0]["source"]
    with pytest.raises(PlanRefused) as refusal:
        device_from_dict(d)
    assert refusal.value.code == "bad_chart"


def test_that_joining_can_be_cancelled():
    with pytest.raises(Cancelled):
        chart_levels(made(), should_cancel=lambda: True)


# -- margins of surfaces (rows P9) ------------------------------------------------------------------


def ball_mask(radius: float, centre=(0.0, 0.0, 0.0)) -> MaskShape:
    axes = np.arange(41) - 20.0
    z, y, x = np.meshgrid(axes, axes, axes, indexing="ij")
    r = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return MaskShape(NodeMask(r <= radius, ImageGeometry.from_spacing((41,) * 3, (1.0,) * 3, (-20.0,) * 3)))


@pytest.mark.parametrize(("lesion", "zone", "expected"), [(5, 15, 10.0), (5, 10, 5.0), (10, 5, -5.0)])
def test_that_margins_of_balls_are_true_below_the_voxel(lesion, zone, expected):
    at = (0.31, -0.2, 0.4)
    exact = margins(surface_of(Sphere(at, 2.0 * lesion), 1.0), surface_of(Sphere(at, 2.0 * zone), 1.0))
    assert np.abs(exact.distance_mm - expected).max() < 0.1
    drawn = margins(surface_of(ball_mask(lesion), 1.0), surface_of(ball_mask(zone), 1.0)).to_dict()
    assert drawn["margin_mm_percentiles"]["50"] == pytest.approx(expected, abs=0.1)
    assert drawn["minimal_margin_mm"] == pytest.approx(expected, abs=0.3)  # a binary mask knows its surface no better


def test_that_shares_of_the_surface_are_those_of_its_area():
    # 6 mm off the middle of a ball of 15 mm, the margin of a point at the angle c is 15 - sqrt(136 - 120 c): below 5 mm for
    # c < 0.3, which on a ball is 65 % of its area
    got = margins(surface_of(Sphere((0, 0, 0), 20.0), 0.7), surface_of(Sphere((6, 0, 0), 30.0), 0.7)).to_dict()
    assert got["surface_below_pct"]["5"] == pytest.approx(65.0, abs=0.5)
    assert got["minimal_margin_mm"] == pytest.approx(-1.0, abs=0.1)


# -- the course ------------------------------------------------------------------------------------


def test_that_a_level_in_mm_gives_the_volume_of_an_isotherm():
    axes = np.arange(31) - 15.0
    r = np.sqrt(axes[:, None, None] ** 2 + axes[:, None] ** 2 + axes**2)
    field = (37.0 - 200.0 * np.exp(-r / 5.0)).astype(np.float32)
    radius = 5.0 * np.log(200.0 / 57.0)
    assert volume_ml(mm_level(field, -20.0, True, 1.0), 1.0) == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.02)


def test_that_the_power_of_a_line_is_put_in_whole_and_falls_off_sideways():
    from planning.field.grid import FieldGrid

    grid = FieldGrid.around((0, 0, 0), (30, 30, 30), 1.0)
    row = np.array([0, 0, -5.0, 0, 0, 1.0, 1.0, 10.0])
    q = power_source(grid, row, np.ones(grid.shape, bool), 25.0)
    assert q.sum() * 1e-9 == pytest.approx(25.0)
    far = line_heat(np.array([[5.0, 0, 0], [10.0, 0, 0]]), row)
    assert 4 < far[0] / far[1] < 16  # between a long line (4) and a point (16)
    assert line_heat(np.array([[0.5, 0, 0]]), row) == 0


def test_that_steps_run_apart_unless_they_are_one():
    plan = made(applications=({"setting": "ice", "step": 1}, {"needle": "N2", "setting": "ice", "step": 1}, {"round": 2}))
    assert [[a.needle for a in group] for group in steps_of(plan)] == [["N1", "N2"], ["N1"]]
    with pytest.raises(PlanRefused):
        steps_of(made(applications=({"step": 1}, {"step": 1, "pull_back_mm": 5})))


@pytest.fixture(scope="module")
def course():
    from planning.heat.damage import DamageSet
    from planning.thermal.course import CourseData
    from planning.thermal.freezing import FreezeTissue

    data = CourseData(FreezeTissue(2.0, 0.52, 1.8e6, 3.8e6, 250e6, blood_w_per_m3_k=6e4), (DamageSet("liver", 7.39e39, 2.577e5, "Liver", ""),), "liver", cooling_s=10.0)
    plan = made(applications=({"setting": "ice"},))
    whole, results = solve_course(plan, data, spacing_mm=2.0)
    return plan, data, whole, results


def test_that_a_course_freezes_then_heats_and_closes_its_books(course):
    plan, data, whole, results = course
    figures = results[0].figures
    assert figures["coldest_c"] < -60
    assert 50 < figures["hottest_c"] <= 80.0
    assert figures["energy_imbalance"] < 5e-3
    assert figures["probe_wall_c_end_of_freezing"] == [-196.0]
    volumes = {name: volume_ml(levels[1], whole.spacing_mm) for name, levels in zone_levels(plan, whole, results, data).items()}
    assert volumes["cold_0_c"] > volumes["cold_-20_c"] > volumes["cold_-40_c"] > 0
    assert volumes["cold_or_heat"] >= max(volumes["cold_-40_c"], volumes["omega_1"]) - 1e-6


def test_that_a_course_can_be_cancelled(course):
    plan, data, _, _ = course
    with pytest.raises(Cancelled):
        solve_course(plan, data, spacing_mm=2.0, should_cancel=lambda: True)


def test_that_a_device_without_physics_is_refused_for_the_bioheat(course):
    plan = made(devices=[device_dict(physics={})])
    with pytest.raises(PlanRefused) as refusal:
        solve_course(plan, course[1], spacing_mm=2.0)
    assert refusal.value.code == "no_physics"
