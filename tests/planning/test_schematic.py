"""A plan from ultrasound alone: the distances measured come out of the shapes, and what cannot lie so is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from app.usecases.plan import tissue_presets
from planning.assessment import assess_plan
from planning.errors import PlanRefused
from planning.field.solve import solve_plan
from planning.plan import TreatmentPlan
from planning.schematic import Schematic
from planning.schematic_scene import distances as measured
from planning.schematic_scene import ellipsoid_distance_mm, needle_measure, needles_of, node_shape, plan_dict, structures_of, warnings_of, with_needles

FILE = {
    "schema": "nodus.schematic/1", "site": "neck", "side": "left",
    "node": {"name": "N1", "length_mm": 20, "width_mm": 14, "thickness_mm": 12, "depth_mm": 12},
    "structures": [
        {"kind": "carotid", "distance_mm": 6, "diameter_mm": 7, "length_mm": 60, "direction": "medial"},
        {"kind": "jugular", "distance_mm": 4, "diameter_mm": 9, "length_mm": 60, "direction": "deep-lateral"},
        {"kind": "vagus nerve", "distance_mm": 8, "diameter_mm": 2, "length_mm": 60, "direction": [-1, 0, 2]},
        {"kind": "trachea", "distance_mm": 34, "diameter_mm": 18, "length_mm": 60, "direction": [-0.9, 0, 0.5], "measured_from": "mark"},
    ],
    "needles": [
        {"id": "E1", "lateral_mm": -4, "cranial_mm": -7.5, "deep_mm": 10, "exposure_mm": 20, "diameter_mm": 1.0},
        {"id": "E2", "lateral_mm": -4, "cranial_mm": 7.5, "deep_mm": 10, "exposure_mm": 20, "diameter_mm": 1.0},
    ],
    "pulses": [{"anode": "E1", "cathode": "E2", "v_per_cm": 1500}],
}  # fmt: skip


def file_with(**changes) -> dict:
    return {**json.loads(json.dumps(FILE)), **changes}


def with_structure(**changes) -> dict:
    return file_with(structures=[{**FILE["structures"][0], **changes}])


def with_needle(**changes) -> dict:
    return file_with(needles=[{**FILE["needles"][0], **changes}], pulses=[])


def with_node(**changes) -> dict:
    return file_with(node={**FILE["node"], **changes}, structures=[])


def brute_gap_mm(schematic: Schematic, rod) -> float:
    """The gap by another way: the rod's level at many points of the ellipsoid's surface."""
    shape = node_shape(schematic)
    u, v = np.meshgrid(np.linspace(0, np.pi, 400), np.linspace(0, 2 * np.pi, 800))
    ball = np.stack([np.sin(u) * np.cos(v), np.sin(u) * np.sin(v), np.cos(u)], axis=-1) * 0.5 * np.asarray(shape.axes_mm)
    points = (ball if shape.rotation is None else ball @ np.asarray(shape.rotation)) + shape.center_mm
    return float(-rod.level_mm(points).max())


@pytest.mark.parametrize("node", [{}, {"turn_deg": 35, "tilt_deg": -20, "depth_mm": 15}, {"depth_mm": 25, "depth_to": "centre", "lateral_mm": 3, "cranial_mm": -4}])
@pytest.mark.parametrize("side", ["left", "right"])
def test_that_the_distances_asked_for_come_out_of_the_shapes(side, node):
    schematic = Schematic.from_dict(file_with(side=side, node={**FILE["node"], **node}))
    for asked, got, (_, rod, _) in zip(FILE["structures"], measured(schematic)["structures"], structures_of(schematic), strict=True):
        assert got["from_mark_mm" if asked.get("measured_from") == "mark" else "from_node_mm"] == pytest.approx(asked["distance_mm"], abs=1e-6)
        assert brute_gap_mm(schematic, rod) == pytest.approx(got["from_node_mm"], abs=2e-3)
        assert rod.diameter_mm == asked["diameter_mm"]


def test_that_the_nodes_volume_and_depth_are_those_measured():
    for node in ({}, {"turn_deg": 35, "tilt_deg": -20}):
        schematic = Schematic.from_dict(with_node(**node))
        out = measured(schematic)["node"]
        assert out["volume_ml"] == pytest.approx(math.pi / 6 * 20 * 14 * 12 / 1000, rel=1e-12)
        assert out["near_surface_mm"] == pytest.approx(12.0, abs=1e-9)
    assert measured(Schematic.from_dict(with_node(depth_to="centre")))["node"]["centre_mm"] == pytest.approx([0, 12, 0])


def test_that_the_distance_to_an_ellipsoid_is_exact():
    shape = node_shape(Schematic.from_dict(with_node(length_mm=14, thickness_mm=14)))
    assert ellipsoid_distance_mm(shape, (30.0, 19.0, 0.0)) == pytest.approx(30 - 7, abs=1e-9)  # a ball
    assert ellipsoid_distance_mm(shape, (1.0, 19.0, 0.0)) == 0.0
    long = node_shape(Schematic.from_dict(with_node()))
    assert ellipsoid_distance_mm(long, (0.0, 18.0, 25.0)) == pytest.approx(15.0, abs=1e-9)  # beyond the end of an axis


def test_that_right_and_left_are_mirrored_and_lateral_is_away_from_the_midline():
    left, right = ({n.split()[-1]: r for n, r, _ in structures_of(Schematic.from_dict(file_with(side=s)))} for s in ("left", "right"))
    assert left["carotid"].from_mm[0] < 0 < right["carotid"].from_mm[0]  # medial of a left node is towards the right
    assert left["carotid"].from_mm[0] == pytest.approx(-right["carotid"].from_mm[0])
    assert left["jugular"].from_mm[1] > 18  # deep is away from the skin, y = 0


def test_that_a_needle_enters_on_the_skin_and_its_numbers_come_back():
    schematic = Schematic.from_dict(file_with(needles=[{**FILE["needles"][0], "lean_lateral_deg": 20, "lean_cranial_deg": -10}, FILE["needles"][1]]))
    needle = needles_of(schematic)[0]
    assert needle.entry_mm[1] == 0.0
    assert needle.tip_mm == pytest.approx((-4, 28, -7.5))
    run = np.subtract(needle.entry_mm, needle.tip_mm)
    assert math.degrees(math.atan2(run[0], -run[1])) == pytest.approx(20)
    assert math.degrees(math.atan2(run[2], -run[1])) == pytest.approx(-10)
    for side in ("left", "right"):
        whole = Schematic.from_dict(file_with(side=side, needles=[{**FILE["needles"][0], "lean_lateral_deg": 20}, FILE["needles"][1]]))
        for asked, back in zip(whole.needles, (needle_measure(whole, e) for e in needles_of(whole)), strict=True):
            assert [back.lateral_mm, back.cranial_mm, back.deep_mm, back.lean_lateral_deg] == pytest.approx([asked.lateral_mm, asked.cranial_mm, asked.deep_mm, asked.lean_lateral_deg], abs=1e-9)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ([], "not_a_schematic"),
        (file_with(schema="nodus.schematic/9"), "wrong_schema"),
        (file_with(side=None), "side_unstated"),
        (file_with(sied="left"), "schematic_key"),
        (file_with(node=None), "missing_field"),
        (file_with(structures={}), "missing_field"),
        (file_with(structures=[{k: v for k, v in FILE["structures"][0].items() if k != "distance_mm"}]), "missing_field"),
        (with_structure(diameter_mm=0), "bad_shape"),
        (with_structure(length_mm=-3), "bad_shape"),
        (with_structure(distance_mm=math.nan), "not_a_number"),
        (with_structure(distance_mm=True), "not_a_number"),
        (with_structure(distance_mm=-1), "structure_overlaps_node"),
        (with_structure(distance_mm=9, measured_from="mark", direction="deep"), "structure_overlaps_node"),
        (with_structure(direction="inward"), "bad_direction"),
        (with_structure(direction="cranial"), "bad_direction"),
        (with_structure(direction=[0, 0, 0]), "bad_direction"),
        (with_structure(direction="superficial"), "through_skin"),
        (with_structure(kind="artery"), "schematic_choice"),
        (with_node(length_mm=0), "bad_shape"),
        (with_node(width_mm="14"), "not_a_number"),
        (with_node(depth_mm=-1), "through_skin"),
        (with_node(depth_mm=5, depth_to="centre"), "through_skin"),
        (with_needle(deep_mm=-18), "needle_not_through_skin"),
        (with_needle(lean_lateral_deg=90), "needle_not_through_skin"),
        (with_needle(exposure_mm=0), "bad_shape"),
        (with_needle(deep_mm=math.inf), "not_a_number"),
        (file_with(pulses=[{"anode": "E1", "cathode": "E9", "v_per_cm": 1500}]), "unknown_electrode"),
        (file_with(pulses=[{"anode": "E1", "cathode": "E2"}]), "missing_field"),
        (file_with(needles=[FILE["needles"][0]] * 2), "duplicate_electrode"),
        (file_with(side="midline"), "side_unstated"),
        (file_with(farther_than=[{"kind": "trachea", "farther_than_mm": 10, "by": "Dr A"}]), "bad_anatomy"),
    ],
)  # fmt: skip
def test_that_what_cannot_lie_so_is_refused_with_its_code(wrong, code):
    with pytest.raises(PlanRefused) as refusal:
        Schematic.from_dict(wrong)
    assert refusal.value.code == code


def test_that_a_schematic_reads_back_as_it_was_written():
    schematic = Schematic.from_dict(file_with(farther_than=[{"kind": "oesophagus", "farther_than_mm": 30, "by": "Dr A"}]))
    again = Schematic.from_dict(json.loads(json.dumps(schematic.to_dict())))
    assert again == schematic
    assert again.to_dict() == schematic.to_dict()


def test_that_structures_which_overlap_as_measured_are_told():
    two = [{**FILE["structures"][0]}, {**FILE["structures"][0], "kind": "jugular", "distance_mm": 8}]
    codes = [w["code"] for w in warnings_of(Schematic.from_dict(file_with(structures=two)))]
    assert codes == ["schematic", "structures_overlap"]
    assert [w["code"] for w in warnings_of(Schematic.from_dict(FILE))] == ["schematic"]


def test_that_needles_that_were_moved_have_numbers_of_their_own_and_are_refused_outside_the_skin():
    schematic = Schematic.from_dict(FILE)
    moved = Schematic.from_dict(file_with(needles=[{**FILE["needles"][0], "deep_mm": 14}, FILE["needles"][1]]))
    assert with_needles(schematic, needles_of(moved)).needles[0].deep_mm == pytest.approx(14)
    good = needles_of(schematic)
    for tip, entry in (((0, -4, 0), (0, -30, 0)), ((0, 20, 0), (0, 40, 0))):
        with pytest.raises(PlanRefused) as refusal:
            plan_dict(schematic, [replace(good[0], tip_mm=tip, entry_mm=entry), good[1]], [])
        assert refusal.value.code == "needle_not_through_skin"


@pytest.fixture(scope="module")
def solved():
    plan = TreatmentPlan.from_dict(Schematic.from_dict(FILE).to_plan_dict(), tissue_presets())
    solution = solve_plan(plan)
    return plan, solution, assess_plan(plan, solution).to_dict()


def test_that_a_solved_schematic_keeps_its_distances_and_its_mark(solved):
    plan, _solution, answer = solved
    assert plan.source.is_schematic
    kept = plan.source.to_dict()["schematic"]
    assert Schematic.from_dict(kept) == Schematic.from_dict({k: v for k, v in FILE.items() if k not in ("needles", "pulses")})
    assert TreatmentPlan.from_dict(plan.to_dict(), tissue_presets()).source == plan.source
    assert answer["source"] == "schematic"
    assert answer["warnings"][0]["code"] == "schematic"
    assert "not image-registered" in answer["warnings"][0]["message"]
    wanted = {s["name"]: min(n["distance_mm"] for n in s["needles"]) for s in measured(Schematic.from_dict(FILE))["structures"]}
    assert set(wanted) == {"left carotid", "left jugular", "left vagus nerve", "trachea"}
    for row in answer["at_risk"]:
        assert row["min_distance_mm"] == pytest.approx(wanted[row["name"]], abs=0.3)
    assert not [c for c in answer["constraints"] if c["code"] == "structure_unknown"]
    assert not [w for w in answer["warnings"] if w["code"] in ("structure_clipped", "structure_outside", "domain_small")]
    # what the needles take of the node's volume is about what their metal and shafts hold of it
    assert answer["targets"][0]["volume_ml"] == pytest.approx(math.pi / 6 * 20 * 14 * 12 / 1000, rel=0.04)


def test_that_nothing_is_counted_in_the_air_beyond_the_skin(solved):
    _plan, solution, answer = solved
    y = solution.geometry.index_to_world(np.stack([np.zeros(solution.geometry.shape[1]), np.arange(solution.geometry.shape[1]), np.zeros(solution.geometry.shape[1])], 1))[:, 1]
    above = y < 0
    assert (solution.is_air | solution.is_needle)[:, above].all()
    assert not solution.is_air[:, ~above].all()
    whole = [r["volume_ml"] for r in answer["at_risk"] if r["name"] == "left carotid"]
    assert whole[0] == pytest.approx(math.pi * 3.5**2 * (60 + 4 / 3 * 3.5) / 1000, rel=0.02)


def test_that_structures_not_placed_and_not_stated_refuse_approval():
    bare = Schematic.from_dict(file_with(structures=[FILE["structures"][0]]))
    answer = _answer(bare)
    assert next(c["message"] for c in answer["constraints"] if c["code"] == "structure_unknown").startswith("The left jugular")
    stated = Schematic.from_dict(file_with(structures=[FILE["structures"][0]], farther_than=[{"kind": "jugular", "farther_than_mm": 25, "by": "Dr A"}]))
    assert not [c for c in _answer(stated)["constraints"] if c["code"] == "structure_unknown"]


def _answer(schematic: Schematic) -> dict:
    plan = TreatmentPlan.from_dict({**schematic.to_plan_dict()}, tissue_presets()).with_spacing(2.0)
    return assess_plan(plan, solve_plan(plan, preview=True)).to_dict()


def test_that_a_source_of_another_kind_is_refused_and_none_is_no_mark():
    d = Schematic.from_dict(FILE).to_plan_dict()
    with pytest.raises(PlanRefused) as refusal:
        TreatmentPlan.from_dict({**d, "source": {"kind": "schematik"}}, tissue_presets())
    assert refusal.value.code == "bad_source"
    assert TreatmentPlan.from_dict({k: v for k, v in d.items() if k != "source"}, tissue_presets()).source is None
