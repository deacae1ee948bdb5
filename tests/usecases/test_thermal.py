"""Thermal plans from files and the margin that an ablation reached, through the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.cli import main
from app.jobs import JobContext
from app.usecases.ablation_margin import Carried, margin_files, measure_margins
from app.usecases.thermal import course_data, load_thermal_plan, solve_thermal, thermal_devices, thermal_limits, thermal_plan
from dicom_io.volume_files import write_volume
from volumetry.errors import Cancelled, NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

AXES = np.arange(45) - 22.0
GRID = ImageGeometry.from_spacing((45,) * 3, (1.0,) * 3, (-22.0,) * 3)


def ball(radius: float, centre=(0.0, 0.0, 0.0), label: int = 1) -> NodeMask:
    z, y, x = np.meshgrid(AXES, AXES, AXES, indexing="ij")
    return NodeMask(np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) <= radius, GRID, label=label)


@pytest.fixture
def folder(tmp_path):
    for name, mask in (("lesion", ball(5)), ("zone", ball(10)), ("shifted", ball(10, (6, 0, 0))), ("liver", ball(20, (0, 0, 12)))):
        write_volume(mask, tmp_path / f"{name}.nii.gz")
    plan = {
        "schema": "nodus.thermal/1", "liver": {"shape": {"type": "mask", "path": "liver.nii.gz", "label": 1}},
        "lesions": [{"name": "S7", "shape": {"type": "mask", "path": "lesion.nii.gz", "label": 1}}],
        "needles": [{"id": "N1", "tip_mm": [0, 0, -10], "entry_mm": [0, 0, 90]}],
        "applications": [{"needle": "N1", "device": "rfa-cooled-20", "setting": "12 min in vivo"}],
    }  # fmt: skip
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    return tmp_path


def run(capsys, *arguments) -> dict:
    code = main([*map(str, arguments), "--json"])
    got = json.loads(capsys.readouterr().out)
    return got if code == 0 else got | {"exit": code}


def test_that_the_command_answers_and_says_what_a_chart_is(folder, capsys):
    got = run(capsys, "thermal", folder / "plan.json", "--out", folder / "out")
    assert got["zone_ml"] == pytest.approx(np.pi / 6 * 26.2 * 20 * 20 / 1000, rel=0.006)
    assert got["lesions"][0]["coverage_pct"] == pytest.approx(100, abs=0.1)
    assert got["lesions"][0]["minimal_margin_mm"] == pytest.approx(5.0, abs=0.3)
    assert "chart_is_prior" in [w["code"] for w in got["warnings"]]
    assert got["bioheat"] is None
    assert got["applications"][0]["vendor_chart"] is False
    assert got["liver"]["ablated_fraction"] < 1 / 3
    again = solve_thermal(load_thermal_plan(folder / "out" / "thermal.json"), JobContext()).answer()
    assert again["zone_ml"] == pytest.approx(got["zone_ml"])
    assert again["lesions"][0]["coverage_pct"] == pytest.approx(got["lesions"][0]["coverage_pct"])
    assert (folder / "out" / "zone_round_1.nii.gz").is_file()


def test_that_no_shipped_chart_poses_as_a_manufacturers():
    for device in thermal_devices().values():
        assert not device.vendor_chart
        for row in device.rows:
            assert row.source
            assert row.along.spread > 0
            assert row.across.spread > 0
    limits, capsule_mm = thermal_limits()
    assert limits["liver_fraction"] == pytest.approx(1 / 3)
    assert capsule_mm == 5


def test_that_the_bioheat_of_a_plan_is_answered_with_its_doubts(folder):
    content = json.loads((folder / "plan.json").read_text()) | {"applications": [{"needle": "N1", "device": "cryo-rf", "setting": "freeze 4 min, animal"}]}
    got = solve_thermal(thermal_plan(content, folder), JobContext(), bioheat=True, spacing_mm=2.5).answer()
    heat = got["bioheat"]
    assert heat["steps"][0]["energy_imbalance"] < 5e-3
    assert heat["steps"][0]["coldest_c"] < -60
    assert set(heat["zones"]) == {"cold_0_c", "cold_-20_c", "cold_-40_c"}  # this setting heats nothing
    assert heat["ablating"] == "cold_-40_c"
    assert {"chart_is_prior", "bioheat_simplified", "bioheat_assumed"} <= {w["code"] for w in got["warnings"]}
    assert "stasis_below_c" in heat["assumed"]
    assert course_data().tissue.blood_w_per_m3_k > 0


def test_that_the_bioheat_tells_how_far_it_is_and_stops_when_asked(folder):
    told = []
    context = JobContext(lambda event: told.append(event))
    plan = load_thermal_plan(folder / "plan.json")

    def listen(event):
        told.append(event.fraction)
        if "step" in event.message:
            context.token.cancel()

    context = JobContext(listen)
    with pytest.raises(Cancelled):
        solve_thermal(plan, context, bioheat=True, spacing_mm=2.5)
    assert told == sorted(told)


def test_that_a_bad_plan_is_refused_in_words(folder, capsys):
    content = json.loads((folder / "plan.json").read_text())
    content["applications"][0]["setting"] = "30 min"
    (folder / "bad.json").write_text(json.dumps(content))
    got = run(capsys, "thermal", folder / "bad.json")
    assert got["exit"] == 3
    assert got["error"]["code"] == "unknown_setting"
    assert "12 min in vivo" in got["error"]["hint"]


def test_that_a_margin_is_measured_without_registration_and_says_so(folder, capsys):
    got = run(capsys, "margin", "--lesion", folder / "lesion.nii.gz", "--zone", folder / "zone.nii.gz", "--liver", folder / "liver.nii.gz")
    row = got["lesions"][0]
    assert row["margin_mm_percentiles"]["50"] == pytest.approx(5.0, abs=0.1)
    assert row["minimal_margin_mm"] == pytest.approx(5.0, abs=0.3)
    assert row["surface_below_pct"]["0"] == 0
    assert row["without_capsule"]["surface_points"] < row["surface_points"]  # the lesion lies 3 mm under the capsule
    assert "not_registered" in [w["code"] for w in got["warnings"]]


def test_that_a_transform_carries_the_lesion_into_the_picture_after(folder, capsys):
    (folder / "t.json").write_text(json.dumps({"matrix": [[1, 0, 0, 6], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "residual_mm": 1.5, "method": "landmarks"}))
    apart = run(capsys, "margin", "--lesion", folder / "lesion.nii.gz", "--zone", folder / "shifted.nii.gz")["lesions"][0]
    assert apart["minimal_margin_mm"] == pytest.approx(-1.0, abs=0.3)
    got = run(capsys, "margin", "--lesion", folder / "lesion.nii.gz", "--zone", folder / "shifted.nii.gz", "--transform", folder / "t.json")
    assert got["lesions"][0]["minimal_margin_mm"] == pytest.approx(5.0, abs=0.3)
    assert got["registration"]["residual_mm"] == 1.5
    assert got["lesions"][0]["margin_less_residual_mm"] == pytest.approx(got["lesions"][0]["minimal_margin_mm"] - 1.5)


def test_that_a_transform_that_stretches_is_refused(folder, capsys):
    (folder / "t.json").write_text(json.dumps({"matrix": [[1.1, 0, 0, 6], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}))
    got = run(capsys, "margin", "--lesion", folder / "lesion.nii.gz", "--zone", folder / "zone.nii.gz", "--transform", folder / "t.json")
    assert got["error"]["code"] == "bad_transform"


def test_that_inputs_that_do_not_belong_together_are_refused(folder):
    lesion, zone = folder / "lesion.nii.gz", folder / "zone.nii.gz"
    for more in ({"pre": lesion}, {"transform": lesion, "pre": lesion, "post": lesion}, {"landmarks": lesion}):
        with pytest.raises(NodusError) as refusal:
            margin_files(lesion, zone, JobContext(), **more)
        assert refusal.value.code == "margin_inputs"
    with pytest.raises(NodusError) as refusal:
        margin_files(lesion, zone, JobContext(), label=7)
    assert refusal.value.code == "label_missing"


def test_that_pictures_are_registered_by_landmarks_and_their_error_stands_beside(folder):
    from volumetry.image import ImageVolume

    values = np.random.default_rng(2).normal(size=GRID.shape).astype(np.float32)
    for name in ("pre", "post"):
        write_volume(ImageVolume(values, GRID), folder / f"{name}.nii.gz")
    points = [[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]]
    pairs = [{"name": str(n), "fixed_mm": p, "moving_mm": [p[0] + 6 + (0.6 if n == 3 else 0), p[1], p[2]]} for n, p in enumerate(points)]
    (folder / "marks.json").write_text(json.dumps({"landmarks": pairs}))
    got = margin_files(folder / "lesion.nii.gz", folder / "shifted.nii.gz", JobContext(), pre=folder / "pre.nii.gz", post=folder / "post.nii.gz", landmarks=folder / "marks.json").to_dict()
    assert got["registration"]["method"] == "landmarks"
    assert 0 < got["registration"]["residual_mm"] < 0.5
    assert got["lesions"][0]["minimal_margin_mm"] == pytest.approx(5.0, abs=0.5)


def test_that_several_lesions_have_their_own_rows():
    other = replace(ball(4, (0, 9, 0)), label=2, name="second")
    found = measure_margins((ball(5), other), ball(12), Carried()).to_dict()["lesions"]
    assert [r["label"] for r in found] == [1, 2]
    assert found[1]["minimal_margin_mm"] == pytest.approx(-1.0, abs=0.3)
