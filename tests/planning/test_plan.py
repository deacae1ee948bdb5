"""Plan files: read strictly, refused with a code and a sentence, written back the same."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

from planning import Conductivity, DeviceLimits, Electrode, PlanRefused, PulsePair, TreatmentPlan, preset_from_dict
from planning.electrode import distance_to_needle_mm, segment_distance_mm
from planning.shapes import Box, Ellipsoid, MaskShape, Rod, Sphere, inside
from tests.planning.helpers import plan_dict
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

RESOURCES = Path(__file__).resolve().parents[2] / "resources"


def refused(d, presets=None, load_mask=None) -> PlanRefused:
    with pytest.raises(PlanRefused) as caught:
        TreatmentPlan.from_dict(d, presets or {}, load_mask)
    assert caught.value.message.endswith((".", "?"))
    assert len(caught.value.message) > 15
    return caught.value


def changed(path, value):
    d = plan_dict(regions=[{"name": "node", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}}])
    at = d
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return d


@pytest.mark.parametrize(("path", "value", "code"), [
    (("schema",), "nodus.plan/9", "wrong_schema"),
    (("electrodes", 1, "tip_mm"), [-7.5, 0, -10], "needles_touch"),
    (("electrodes", 1, "tip_mm"), [-7.0, 0, -8.0], "needles_touch"),
    (("electrodes", 0, "tip_mm"), [-7.5, 0, -30], "needle_outside_domain"),
    (("electrodes", 0, "exposure_mm"), 0, "zero_exposure"),
    (("electrodes", 0, "exposure_mm"), 45, "needle_outside_domain"),
    (("electrodes", 0, "diameter_mm"), -1, "bad_diameter"),
    (("electrodes", 0, "entry_mm"), [-7.5, 0, -10], "no_direction"),
    (("electrodes", 0, "tip_mm"), [math.nan, 0, 0], "not_a_number"),
    (("electrodes", 0, "tip_mm"), [0, 0], "not_a_number"),
    (("electrodes", 0, "tip_mm"), "here", "not_a_number"),
    (("electrodes", 0, "id"), "E2", "duplicate_electrode"),
    (("electrodes",), [], "one_needle"),
    (("pulses",), [], "no_pulses"),
    (("pulses", 0, "anode"), "E7", "unknown_electrode"),
    (("pulses", 0, "anode"), "E2", "same_electrode"),
    (("pulses", 0, "voltage_v"), math.inf, "not_a_number"),
    (("pulses", 0, "voltage_v"), 0, "bad_pulses"),
    (("pulses", 0, "voltage_v"), True, "not_a_number"),
    (("pulses", 0, "pulses"), 1.5, "bad_pulses"),
    (("background",), {"preset": "unobtainium"}, "unknown_tissue"),
    (("background",), {"model": "magic"}, "unknown_model"),
    (("background",), {"model": "constant"}, "missing_field"),
    (("background",), {"model": "constant", "sigma_s_per_m": -1}, "bad_conductivity"),
    (("background",), {"model": "constant", "sigma_s_per_m": 0}, "bad_conductivity"),
    (("background",), {"model": "ramp", "sigma0_s_per_m": 0.3, "sigma1_s_per_m": 0.1, "e_low_v_per_cm": 1, "e_high_v_per_cm": 2}, "bad_conductivity"),
    (("background",), None, "bad_conductivity"),
    (("regions", 0, "shape", "center_mm"), [20, 0, 0], "target_outside_domain"),
    (("regions", 0, "shape", "center_mm"), [200, 0, 0], "target_outside_domain"),
    (("regions", 0, "shape", "diameter_mm"), 0, "bad_shape"),
    (("regions", 0, "shape", "type"), "blob", "unknown_shape"),
    (("regions", 0, "role"), "hero", "unknown_role"),
    (("domain", "spacing_mm"), 0, "bad_domain"),
    (("domain", "spacing_mm"), 0.01, "domain_too_fine"),
    (("domain", "size_mm"), [48, math.nan, 48], "not_a_number"),
    (("domain",), None, "missing_field"),
    (("boundary",), "grounded", "unknown_boundary"),
    (("lethal_v_per_cm",), 0, "bad_threshold"),
    (("thresholds_v_per_cm",), [500, math.nan], "not_a_number"),
    (("margin_mm",), -1, "bad_margin"),
])
def test_that_a_bad_plan_is_refused_with_a_code_and_a_sentence(path, value, code):
    assert refused(changed(path, value)).code == code


def test_that_what_is_not_a_plan_is_refused():
    for thing in ([], "text", 3, None):
        assert refused(thing).code == "not_a_plan"
    assert refused({"hello": 1}).code == "not_a_plan"


def test_that_one_needle_is_refused():
    d = plan_dict()
    d["electrodes"] = d["electrodes"][:1]
    assert refused(d).code == "one_needle"


def test_that_crossing_shafts_are_refused_though_the_tips_are_apart():
    d = plan_dict()
    d["electrodes"][0]["entry_mm"] = [22.5, 0.2, 40.0]
    d["electrodes"][1]["entry_mm"] = [-22.5, 0.0, 40.0]
    assert refused(d).code == "needles_touch"


def test_that_a_mask_without_a_reader_or_with_an_empty_one_is_refused():
    d = changed(("regions", 0, "shape"), {"type": "mask", "path": "m.nii.gz", "label": 1})
    assert refused(d).code == "mask_unreadable"
    empty = NodeMask(np.zeros((4, 4, 4), bool), ImageGeometry.from_spacing((4, 4, 4), (1, 1, 1)))
    assert refused(d, load_mask=lambda path, label: empty).code == "empty_mask"


def test_that_a_plan_survives_the_way_to_a_dict_and_back():
    grid = ImageGeometry.from_spacing((9, 9, 9), (1, 1, 1), (-4, -4, -4))
    mask = NodeMask(np.pad(np.ones((5, 5, 5), bool), 2), grid, 3)
    presets = dict([preset_from_dict(json.loads((RESOURCES / "tissues" / "muscle.json").read_text())),
                    preset_from_dict(json.loads((RESOURCES / "tissues" / "liver.json").read_text()))])
    turn = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    d = plan_dict(regions=[
        {"name": "node", "role": "target", "shape": {"type": "mask", "path": "n.nii.gz", "label": 3}, "conductivity": {"preset": "liver"}},
        {"name": "a", "role": "tissue", "shape": {"type": "ellipsoid", "center_mm": [0, 0, 0], "axes_mm": [20, 14, 12], "rotation": turn},
         "conductivity": {"model": "sigmoid", "sigma0_s_per_m": 0.1, "sigma1_s_per_m": 0.3, "e_low_v_per_cm": 300, "e_high_v_per_cm": 700, "source": "a paper"}},
        {"name": "b", "role": "at_risk", "shape": {"type": "cylinder", "from_mm": [0, 9, -9], "to_mm": [0, 9, 9], "diameter_mm": 4}},
        {"name": "c", "role": "tissue", "shape": {"type": "capsule", "from_mm": [0, 9, -9], "to_mm": [0, 9, 9], "diameter_mm": 4}},
        {"name": "d", "role": "tissue", "shape": {"type": "box", "center_mm": [0, 9, -9], "size_mm": [1, 2, 3]}},
        {"name": "e", "role": "tissue", "shape": {"type": "sphere", "center_mm": [0, 9, -9], "diameter_mm": 4}},
    ])
    d["background"] = {"preset": "muscle"}
    first = TreatmentPlan.from_dict(json.loads(json.dumps(d)), presets, lambda path, label: mask)
    again = TreatmentPlan.from_dict(json.loads(json.dumps(first.to_dict())), presets, lambda path, label: mask)
    assert again.to_dict() == first.to_dict()
    assert first.to_dict()["background"] == {"preset": "muscle"}
    assert again.regions[1] == first.regions[1]
    for key in ("domain", "electrodes", "thresholds_v_per_cm", "lethal_v_per_cm", "margin_mm", "boundary"):
        assert first.to_dict()[key] == d[key]


def test_that_unknown_extra_keys_are_left_alone():
    d = plan_dict()
    d["limits"] = {"voltage_v": 3000}
    d["seed"] = 5
    assert TreatmentPlan.from_dict(d, {}).pulses[0].voltage_v == 2250


def test_that_reading_a_plan_does_not_change_it():
    d = plan_dict()
    before = copy.deepcopy(d)
    TreatmentPlan.from_dict(d, {})
    assert d == before


def test_that_voltage_from_v_per_cm_uses_the_exposed_midpoints():
    a = Electrode("A", (-7.5, 0, -10), (-7.5, 0, 90), 20, 1)
    b = Electrode("B", (7.5, 0, -10), (7.5, 0, 90), 20, 1)
    assert PulsePair.from_v_per_cm(a, b, 1500).voltage_v == pytest.approx(2250)


def test_that_every_shipped_tissue_and_device_reads_and_names_its_source():
    files = sorted((RESOURCES / "tissues").glob("*.json"))
    assert len(files) >= 15
    laws = dict(preset_from_dict(json.loads(f.read_text())) for f in files)
    assert {"muscle", "node", "liver", "blood", "air", "fat"} <= set(laws)
    assert laws["node"].assumed
    assert laws["thyroid"].assumed
    assert laws["air"].is_air
    assert not laws["fat"].is_air
    for name, law in laws.items():
        assert law.source
        assert law.preset == name
        assert name == "air" or law.spread_pct >= 50
    limits = DeviceLimits.from_dict(json.loads((RESOURCES / "devices" / "ire_generator.json").read_text()))
    assert limits == DeviceLimits()
    with pytest.raises(PlanRefused):
        DeviceLimits.from_dict({"limits": {"volts": 1}})


def test_that_laws_follow_their_formulas():
    ramp = Conductivity("ramp", 0.08, 0.32, 350, 700)
    assert [float(ramp.at(e)) for e in (0, 350, 525, 700, 2000)] == pytest.approx([0.08, 0.08, 0.2, 0.32, 0.32])
    s = Conductivity("sigmoid", 0.067, 0.241, 460, 700)
    assert float(s.at(580)) == pytest.approx(0.067 + 0.174 / 11)
    assert float(s.at(5000)) == pytest.approx(0.241)


@pytest.mark.parametrize("shape", [
    Sphere((1, 2, 3), 8), Ellipsoid((0, 1, 0), (10, 6, 4), ((0, 1, 0), (-1, 0, 0), (0, 0, 1))), Rod((0, 0, -4), (1, 2, 5), 5),
    Rod((0, 0, -4), (1, 2, 5), 5, True), Box((0, 0, 1), (6, 4, 8), ((0.6, 0.8, 0), (-0.8, 0.6, 0), (0, 0, 1))),
])
def test_that_a_shape_lies_in_its_bounds_and_has_its_volume(shape):
    low, high = shape.bounds_mm()
    h = 0.125
    axes = [np.arange(a - 1.03, b + 1, h) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    hit = inside(shape, points)
    within = ((points >= low - 1e-9) & (points <= high + 1e-9)).all(-1)
    assert not (hit & ~within).any()
    rod = np.linalg.norm([1, 2, 9])
    volume = {"sphere": np.pi / 6 * 512, "ellipsoid": np.pi / 6 * 240, "cylinder": np.pi * 6.25 * rod,
              "capsule": np.pi * 6.25 * rod + np.pi / 6 * 125, "box": 192}[shape.kind]
    assert hit.sum() * h**3 == pytest.approx(volume, rel=0.01)


def test_that_a_mask_s_smooth_surface_keeps_its_volume():
    grid = ImageGeometry.from_spacing((24, 24, 24), (1, 1, 1), (-11.5, -11.5, -11.5))
    k, j, i = np.indices(grid.shape)
    r = np.sqrt(sum((n - 11.5) ** 2 for n in (k, j, i)))
    shape = MaskShape(NodeMask(r <= 6.0, grid))
    axes = np.arange(-8, 8, 0.25)
    points = np.stack(np.meshgrid(axes, axes, axes, indexing="ij"), axis=-1)
    volume = (shape.level_mm(points) >= 0).sum() * 0.25**3
    assert volume == pytest.approx(shape.mask.array.sum(), rel=0.03)
    shell = np.linalg.norm(points, axis=-1)
    assert np.abs(shell[np.abs(shape.level_mm(points)) < 0.03] - 6.0).max() < 0.35


def test_that_distances_to_needles_and_between_them_are_right():
    e = Electrode("A", (0, 0, 0), (0, 0, 50), 20, 1.0)
    points = np.array([[3.0, 0, 10], [0, 0, -2], [0.2, 0, 5], [3.5, 0, -4]])
    assert distance_to_needle_mm(points, e, 50) == pytest.approx([2.5, 2.0, -0.3, 5.0])
    assert segment_distance_mm((0, 0, 0), (0, 0, 10), (3, 0, 5), (3, 10, 5)) == pytest.approx(3.0)
    assert segment_distance_mm((0, 0, 0), (0, 0, 10), (4, 0, 13), (4, 0, 20)) == pytest.approx(5.0)
    assert segment_distance_mm((0, 0, 0), (1, 0, 0), (0.5, -1, 0), (0.5, 1, 0)) == pytest.approx(0.0)
