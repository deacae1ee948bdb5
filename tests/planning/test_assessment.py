"""Coverage, margins, structures at risk and limits of a solved plan."""

from __future__ import annotations

import json

import numpy as np
import pytest

from planning import TreatmentPlan, assess_plan, solve_plan
from planning.assessment import percentiles_of
from planning.field.solution import FieldSolution, PairResult, SolverReport
from planning.kernels import sampling as ks
from planning.margin import signed_margin
from planning.surface import LevelSurface
from planning.warmup import warm_up
from tests.planning.helpers import plan_dict
from tests.reference import field_twins as twin
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

NODE = {"name": "node 1", "role": "target", "shape": {"type": "ellipsoid", "center_mm": [0, 0, 0], "axes_mm": [20, 14, 12]}}
CAROTID = {"name": "carotid", "role": "at_risk", "shape": {"type": "capsule", "from_mm": [0, 14, -60], "to_mm": [0, 14, 60], "diameter_mm": 6}}


def answer(d, load_mask=None):
    plan = TreatmentPlan.from_dict(d, {}, load_mask)
    return assess_plan(plan, solve_plan(plan)).to_dict()


def ball_level(radius, centre, h=1.0, size=44):
    axes = (np.arange(size) - (size - 1) / 2) * h
    z, y, x = np.meshgrid(axes, axes, axes, indexing="ij")
    return LevelSurface.of(radius - np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2), [axes[0]] * 3, h)


@pytest.mark.parametrize(("target", "zone", "expected"), [(5, 15, 10.0), (5, 10, 5.0), (10, 5, -5.0)])
def test_that_margins_of_concentric_balls_hold_below_the_voxel(target, zone, expected):
    for centre in ((0, 0, 0), (0.31, 0.12, -0.27)):
        margin = signed_margin(ball_level(target, centre), ball_level(zone, centre))
        assert margin.distance_mm == pytest.approx(np.full(margin.distance_mm.size, expected), abs=0.1)


def test_that_margins_of_ball_masks_hold_too():
    from planning.shapes import MaskShape

    axes = np.arange(44) - 21.5
    z, y, x = np.meshgrid(axes, axes, axes, indexing="ij")
    r = np.sqrt(x * x + y * y + z * z)
    geometry = ImageGeometry.from_spacing((44, 44, 44), (1, 1, 1), (-21.5,) * 3)
    points = np.stack([x, y, z], axis=-1)
    for target, zone, expected in ((5, 15, 10.0), (5, 10, 5.0), (10, 5, -5.0)):
        levels = [MaskShape(NodeMask(r <= n, geometry)).level_mm(points) for n in (target, zone)]
        surfaces = [LevelSurface.of(n, [-21.5] * 3, 1.0) for n in levels]
        # a mask of voxels knows its surface to about half a voxel at the worst point, a tenth on average
        margin = signed_margin(*surfaces)
        assert np.median(margin.distance_mm) == pytest.approx(expected, abs=0.1)
        assert margin.minimal_mm == pytest.approx(expected, abs=0.5)


def test_that_a_partly_covered_ball_has_its_worst_margin_outside():
    margin = signed_margin(ball_level(5, (4.0, 0, 0)), ball_level(6, (0, 0, 0)))
    assert margin.minimal_mm == pytest.approx(-3.0, abs=0.1)
    true = 6.0 - np.linalg.norm(margin.points_mm, axis=1)
    assert np.abs(margin.distance_mm - true).max() < 0.1


def test_that_the_answer_has_every_field_and_is_plain_json():
    d = plan_dict(regions=[NODE, CAROTID])
    got = answer(d)
    text = json.loads(json.dumps(got, allow_nan=False))
    assert {"pairs", "electrodes", "isovolumes_ml", "targets", "at_risk", "ablation_ml", "collateral_ml", "constraints", "solver", "warnings"} <= set(text)
    pair = got["pairs"][0]
    assert pair["distance_mm"] == pytest.approx(15)
    assert pair["v_per_cm"] == pytest.approx(1500)
    assert pair["resistance_ohm"] == pytest.approx(2250 / pair["current_a"])
    needle = got["electrodes"][0]
    assert needle["depth_mm"] == pytest.approx(50)
    assert needle["max_angle_to_others_deg"] == pytest.approx(0, abs=1e-6)
    assert needle["path_clearance"][0]["distance_mm"] == pytest.approx(np.hypot(7.5, 14) - 3.5, abs=0.05)
    target, risk = got["targets"][0], got["at_risk"][0]
    assert target["volume_ml"] == pytest.approx(np.pi / 6 * 20 * 14 * 12 / 1000 - np.pi * 0.25 * 2 * 8.0 / 1000, rel=0.01)
    assert {"name", "volume_ml", "coverage_pct", "coverage_pct_by_v_per_cm", "min_v_per_cm", "v_per_cm_percentiles", "minimal_margin_mm", "margin_coverage_pct"} <= set(target)
    assert target["coverage_pct_by_v_per_cm"]["500"] == pytest.approx(target["coverage_pct"])
    assert {"100", "200", "400", "500", "680"} == set(risk["volume_ml_by_v_per_cm"])
    assert risk["min_distance_mm"] == pytest.approx(needle["path_clearance"][0]["distance_mm"], abs=1e-9)
    assert risk["max_temperature_c"] is None
    assert got["ablation_ml"] == got["isovolumes_ml"]["500"]
    assert 0 < got["collateral_ml"] < got["ablation_ml"]
    assert list(got["isovolumes_ml"]) == ["400", "500", "680"]
    assert got["isovolumes_ml"]["400"] > got["isovolumes_ml"]["500"] > got["isovolumes_ml"]["680"]
    assert got["solver"]["shape"] == [48, 48, 48]


def test_that_without_a_target_the_answer_says_so():
    got = answer(plan_dict())
    assert got["targets"] == []
    assert "no_target" in {w["code"] for w in got["warnings"]}


def _made_field(plan, e):
    """A solution with a field that is known everywhere."""
    h, d = plan.domain.spacing_mm, plan.domain
    shape = tuple(round(s / h) for s in d.size_mm)[::-1]
    geometry = ImageGeometry.from_spacing(shape, (h,) * 3, d.low_mm + h / 2)
    k, j, i = np.indices(shape)
    points = geometry.index_to_world(np.stack([i, j, k], axis=-1))
    field = e(points).astype(np.float32)
    report = SolverReport(shape[::-1], h, 1, 0.0, 0, 0.0, 0.0)
    pair = PairResult("E1", "E2", 2250.0, 10.0, 0.0, (1125.0, -1125.0), 1, 0, 0.0, None)
    return FieldSolution(geometry, field, np.zeros(shape, np.uint8), (tuple(d.low_mm), tuple(d.high_mm)), (pair,), report)


def test_that_volumes_and_margins_of_a_known_field_are_right():
    d = plan_dict(regions=[{"name": "n", "role": "target", "shape": {"type": "sphere", "center_mm": [0.2, 0.1, 0], "diameter_mm": 12}}], spacing=1.0)
    for n, x in enumerate((-20.0, 20.0)):  # out of the way of the counted zone
        d["electrodes"][n] |= {"tip_mm": [x, 20.0, 12.0], "entry_mm": [x, 20.0, 40.0], "exposure_mm": 5}
    plan = TreatmentPlan.from_dict(d, {})
    # |E| falls as 1/r: 500 V/cm at 9 mm, 400 at 11.25
    solution = _made_field(plan, lambda p: 4500.0 / np.maximum(np.linalg.norm(p, axis=-1), 0.4))
    got = assess_plan(plan, solution).to_dict()
    assert got["isovolumes_ml"]["500"] == pytest.approx(4 / 3 * np.pi * 9**3 / 1000, rel=0.005)
    assert got["isovolumes_ml"]["400"] == pytest.approx(4 / 3 * np.pi * 11.25**3 / 1000, rel=0.005)
    target = got["targets"][0]
    assert target["volume_ml"] == pytest.approx(np.pi / 6 * 12**3 / 1000, rel=0.003)
    assert target["coverage_pct"] == pytest.approx(100.0)
    offset = np.hypot(0.2, 0.1)
    assert target["minimal_margin_mm"] == pytest.approx(9 - 6 - offset, abs=0.05)
    assert target["min_v_per_cm"] == pytest.approx(4500 / (6 + offset), rel=0.02)
    assert got["collateral_ml"] == pytest.approx(got["ablation_ml"] - target["volume_ml"], rel=1e-6)
    # dilated by 5 mm: 11 mm, covered inside 9 mm
    assert target["margin_coverage_pct"] == pytest.approx(100 * 9**3 / 11**3, rel=0.02)
    assert target["v_per_cm_percentiles"]["50"] == pytest.approx(4500 / (6 * 0.5 ** (1 / 3)), rel=0.02)


def test_that_later_regions_take_from_earlier_ones():
    whole = {"name": "n", "role": "target", "shape": {"type": "box", "center_mm": [0, 0, 0], "size_mm": [6, 6, 6]}}
    half = {"name": "r", "role": "at_risk", "shape": {"type": "box", "center_mm": [1.5, 0, 0], "size_mm": [3, 6, 6]}}
    d = plan_dict(regions=[whole, half])
    got = answer(d)
    assert got["targets"][0]["volume_ml"] == pytest.approx(0.108, rel=1e-6)
    assert got["at_risk"][0]["volume_ml"] == pytest.approx(0.108, rel=1e-6)
    got = answer(plan_dict(regions=[whole, {**whole, "name": "cover", "role": "tissue"}]))
    assert got["targets"][0]["coverage_pct"] is None
    assert "target_empty" in {w["code"] for w in got["warnings"]}


def test_that_a_mask_region_counts_as_its_shape_does():
    grid = ImageGeometry.from_spacing((40, 40, 40), (0.5, 0.5, 0.5), (-9.75,) * 3)
    k, j, i = np.indices(grid.shape)
    p = grid.index_to_world(np.stack([i, j, k], axis=-1))
    mask = NodeMask(np.linalg.norm(p, axis=-1) <= 5.0, grid)
    shape = {"name": "n", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}}
    a = answer(plan_dict(regions=[shape]))["targets"][0]
    b = answer(plan_dict(regions=[{**shape, "shape": {"type": "mask", "path": "x", "label": 1}}]), lambda path, label: mask)["targets"][0]
    assert b["volume_ml"] == pytest.approx(a["volume_ml"], rel=0.01)
    assert b["coverage_pct"] == pytest.approx(a["coverage_pct"], abs=0.5)
    assert b["minimal_margin_mm"] == pytest.approx(a["minimal_margin_mm"], abs=0.2)


def test_that_limits_warn_or_refuse_with_value_and_limit_and_never_hide_numbers():
    d = plan_dict(volts=10000.0, regions=[NODE, {**CAROTID, "shape": {**CAROTID["shape"], "from_mm": [7.5, 1, -60], "to_mm": [7.5, 1, 60]}}])
    got = answer(d)
    rows = {c["code"]: c for c in got["constraints"]}
    assert rows["voltage"]["level"] == "refuse"
    assert rows["voltage"]["value"] == 10000
    assert rows["voltage"]["limit"] == 3000
    assert rows["current"]["level"] == "refuse"
    assert rows["current"]["value"] > 50
    assert rows["path_crosses"]["level"] == "refuse"
    assert rows["conductivity_assumed"]["level"] == "warn"
    assert got["targets"][0]["coverage_pct"] > 99
    assert answer(plan_dict(d=8.0, volts=1000))["constraints"][0]["code"] == "spacing"
    tilted = plan_dict()
    tilted["electrodes"][1]["entry_mm"] = [30.0, 0, 40.0]
    rows = {c["code"]: c for c in answer(tilted)["constraints"]}
    assert rows["parallelism"]["value"] == pytest.approx(np.degrees(np.arctan(22.5 / 50)), abs=0.1)
    headroom = {c["code"]: c for c in answer(plan_dict(box=64.0, volts=2050.0))["constraints"]}
    assert headroom["current_headroom"]["level"] == "warn"


def test_that_a_zone_at_the_wall_and_a_structure_outside_are_told():
    far = {"name": "far", "role": "at_risk", "shape": {"type": "sphere", "center_mm": [200, 0, 0], "diameter_mm": 5}}
    d = plan_dict(box=28.0, regions=[far])
    codes = {w["code"] for w in answer(d)["warnings"]}
    assert {"domain_too_small", "structure_outside", "no_target"} <= codes
    assert answer(plan_dict(volts=20.0, regions=[NODE]))["targets"][0]["minimal_margin_mm"] is None


def test_that_a_box_of_no_whole_cells_counts_only_what_was_asked():
    d = plan_dict(regions=[{"name": "all", "role": "target", "shape": {"type": "box", "center_mm": [0, 0, 0], "size_mm": [40.3, 40.3, 40.3]}}], box=40.3)
    got = answer(d)
    assert got["solver"]["shape"] == [41, 41, 41]
    assert got["targets"][0]["volume_ml"] == pytest.approx(40.3**3 / 1000, rel=0.02)  # a quarter of a voxel at each wall


def test_that_percentiles_come_from_the_histogram():
    values = np.exp(np.random.default_rng(1).normal(6, 0.5, 20000))
    per = ks.BINS / np.log(ks.HIGHEST / ks.LOWEST)
    bins = np.bincount((np.log(values / ks.LOWEST) * per).astype(int), minlength=ks.BINS)
    for p, v in percentiles_of(bins, (2, 50, 98)).items():
        assert v == pytest.approx(np.percentile(values, float(p)), rel=0.004)


def test_that_warming_up_compiles_and_returns():
    assert warm_up() is None


def test_that_the_nearest_point_agrees_with_a_search_over_rays():
    axes = np.arange(-12, 12.01, 0.75)
    z, y, x = np.meshgrid(axes, axes, axes, indexing="ij")

    def egg(p):
        return 1.0 - np.sqrt((p[..., 0] / 8) ** 2 + (p[..., 1] / 5) ** 2 + (p[..., 2] / 6) ** 2)

    surface = LevelSurface.of(egg(np.stack([x, y, z], -1)), [-12.0] * 3, 0.75)
    for point in ((0.5, 1.0, -0.7), (9.0, 2.0, 1.0), (-3.0, -6.0, 4.0), (4.1, 0.2, 3.0)):
        want = twin.nearest_by_search(egg, 0.75, point, 12.0)
        got, foot = surface.nearest(np.array([point]))
        assert got[0] == pytest.approx(want, abs=0.08)
        assert abs(egg(foot[0])) < 0.01
