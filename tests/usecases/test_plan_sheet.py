"""The plan sheet: what stands on it, that it repeats, and who gets none; field and zone as DICOM."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from app import INVESTIGATIONAL_NOTICE
from app.cli import main
from app.jobs import JobContext
from app.study.errors import StudyRefused
from app.usecases.export_edc import export_study
from app.usecases.export_plan import export_run_dicom, export_run_sheet, zone_on
from app.usecases.plan import load_plan, solve_and_assess
from app.usecases.plan_runs import delivered_pairs, save_plan_run
from app.usecases.plan_sheet import SheetRefused, is_schematic, render_sheet, sheet_of_plan, sheet_of_run, write_sheet
from app.usecases.plan_sheet_pictures import SIDE_PX, slice_pictures
from tests.planning.helpers import plan_dict
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume

NODE = {"name": "N1", "role": "target", "shape": {"type": "ellipsoid", "center_mm": [0, 0, 0], "axes_mm": [18, 16, 26]}}
VESSEL = {"name": "carotid", "role": "at_risk", "shape": {"type": "cylinder", "from_mm": [0, 14, -20], "to_mm": [0, 14, 20], "diameter_mm": 6}, "conductivity": {"preset": "blood"}}


def file_of(folder, name: str, **more):
    d = plan_dict(spacing=3.0, regions=[NODE, VESSEL], background={"model": "constant", "sigma_s_per_m": 0.4}) | more
    (folder / name).write_text(json.dumps(d))
    return folder / name


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A coarse plan that no limit refuses, solved without heat."""
    plan = load_plan(file_of(tmp_path_factory.mktemp("plans"), "plan.json"))
    return (plan, *solve_and_assess(plan, JobContext(), heat=False))


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """The same with vessels that nobody knows."""
    plan = load_plan(file_of(tmp_path_factory.mktemp("plans"), "plan.json", anatomy={"site": "neck", "side": "left"}))
    return (plan, *solve_and_assess(plan, JobContext(), heat=False))


@pytest.fixture(scope="module")
def sheet(solved):
    """Its sheet."""
    return sheet_of_plan(*solved)


def words(data: bytes) -> str:
    return " ".join(" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(data)).pages)


def test_that_a_sheet_tells_who_what_and_every_table(case, solved):
    run = save_plan_run(case.store, "S-001", case.visits["Baseline"].visit_id, *solved, node_id=case.node.node_id, session="day0")
    rows = [{"anode": "E1", "cathode": "E2", "pulses": 60, "voltage_v": 2200.0, "current_end_a": 31.0, "aborted": True, "abort_reason": "current limit"}]
    case.store.add_delivery(run.plan_run_id, delivered_pairs(rows), entered_by="Dr A")
    data = render_sheet(sheet_of_run(case.store, run.plan_run_id, JobContext()))
    text, answer = words(data), run.content["assessment"]
    assert len(PdfReader(io.BytesIO(data)).pages) <= 2
    for told in (
        INVESTIGATIONAL_NOTICE, "S-001", run.plan_run_id, "Day 0", run.software_version, run.content["inputs"]["plan_sha256"], "E1 – E2", "3000 V and 50 A",
        f"{answer['targets'][0]['coverage_pct']:.1f}", "% at 400", "% at 680", "ml at 100", "ml at 200", "ml at 400", "carotid", "ASSUMED", "no source stated", "±50 %",
        "muscle relaxation", "ECG gating", "60 of 90", "aborted: current limit", "Not kept with this run", "were not worked out", "hatched red: target below 500 V/cm",
        "page 1 of 2", "No lower limit of harm is known for nerves",
    ):  # fmt: skip
        assert told in text, told
    assert re.search(r"P1 \S+, P5 \S+, P25 .* below 0 mm: .* 5 mm: .* 10 mm:", text)  # by number, not by letter
    assert "SCHEMATIC" not in text
    assert "spared" not in text.lower()
    assert "safe" not in text.lower()


def test_that_the_same_run_gives_the_same_bytes(case, solved, tmp_path):
    run = save_plan_run(case.store, "S-001", None, *solved)
    first = write_sheet(sheet_of_run(case.store, run.plan_run_id, JobContext()), tmp_path / "first.pdf")
    receipt = export_run_sheet(case.store, run.plan_run_id, tmp_path / "sheet.pdf", JobContext())
    assert receipt["files"][0]["sha256"] == first["sha256"]
    assert [e["object"] for e in case.store.events(object_prefix="export:")] == ["export:plan-sheet"]


def test_that_a_refused_plan_and_a_preview_have_no_sheet(case, solved, refused, tmp_path):
    run = save_plan_run(case.store, "S-001", None, *refused)
    with pytest.raises(SheetRefused) as why:
        export_run_sheet(case.store, run.plan_run_id, tmp_path / "sheet.pdf", JobContext())
    assert why.value.code == "sheet_of_refused_plan"
    assert not (tmp_path / "sheet.pdf").exists()
    plan, solution, assessment = solved
    hasty = replace(assessment, answer=assessment.answer | {"solver": assessment.answer["solver"] | {"preview": True}})
    with pytest.raises(SheetRefused) as why:
        sheet_of_plan(plan, solution, hasty)
    assert why.value.code == "sheet_of_preview"


def test_that_an_export_of_sheets_names_what_it_leaves_out(case, solved, refused, tmp_path):
    save_plan_run(case.store, "S-001", None, *refused)
    with pytest.raises(StudyRefused) as why:
        export_study(case.store, "plan-sheet", tmp_path / "none")
    assert why.value.code == "nothing_to_export"
    good = save_plan_run(case.store, "S-001", None, *solved)
    receipt = export_study(case.store, "plan-sheet", tmp_path / "out")
    assert [f["path"] for f in receipt["files"]] == [f"plan-S-001-{good.plan_run_id}.pdf"]
    assert [x["code"] for x in receipt["left_out"]] == ["sheet_of_refused_plan"]


def test_that_a_schematic_plan_says_so_on_every_page(sheet):
    assert not sheet.schematic
    marked = replace(sheet, schematic=is_schematic({"source": {"kind": "schematic"}}, {}))
    pages = PdfReader(io.BytesIO(render_sheet(marked))).pages
    assert all("SCHEMATIC – not image-registered" in " ".join(p.extract_text().split()) for p in pages)
    assert is_schematic({}, {"warnings": [{"code": "schematic"}]})


def test_that_robustness_and_heat_are_told_where_they_were_kept(sheet):
    cover = {"chosen": {"p5": 81.25, "p50": 93.0}, "compared": {"p5": 40.0, "p50": 60.0}, "drawn": {"p5": None}}
    kept = {"coverage_pct": cover, "lethal_v_per_cm": 500.0, "compared_v_per_cm": 700.0, "worst_needle": "E2", "samples": 200, "seed": 7, "spread": {"tip_mm": 2.0}}
    heat = {"peak_c": 61.2, "where": {"tissue": "N1"}, "pulse_rise_k": 3.0, "cem43_240_ml": 0.4, "cem43_max_min": 900.0, "thermal_damage_ml": 0.3, "thermal_damage_ml_by_set": {"liver": 1.5}, "damage_set": "henriques", "tissues": [{"name": "N1", "assumed": ["perfusion_per_s"]}]}
    text = words(render_sheet(replace(sheet, robustness=kept, answer={**sheet.answer, "heat": heat})))
    for told in ("5th percentile 81.2 %", "Worst needle: E2", "200 samples, seed 7", "61.2 °C in N1", "liver 1.500 ml", "N1 (perfusion)"):
        assert told in text, told


def test_that_pictures_show_the_field_where_it_is(sheet):
    pictures = sheet.pictures
    assert [p.title for p in pictures] == ["Axial", "Coronal", "Sagittal"]
    axial = np.asarray(Image.open(io.BytesIO(pictures[0].png)).convert("RGB")).astype(int)
    assert axial.shape == (SIDE_PX, SIDE_PX, 3)
    spread = axial.max(axis=2) - axial.min(axis=2)
    corner, middle = spread[60:90, 60:90], spread[SIDE_PX // 2 - 15 : SIDE_PX // 2 + 15, SIDE_PX // 2 - 15 : SIDE_PX // 2 + 15]
    assert corner.max() < 12  # grey: nothing is painted below the lowest threshold
    assert np.median(middle) > 30
    assert any(p.uncovered for p in pictures)  # 26 mm of node between 20 mm of metal


def test_that_a_picture_below_the_field_is_drawn_and_marked_where_it_is_synthetic(solved, sheet):
    plan, solution, _ = solved
    geometry = ImageGeometry.from_spacing((40, 40, 40), (2.0, 2.0, 2.0), (-39.0, -39.0, -39.0))
    array = np.full(geometry.shape, 80, np.int16)
    array[:, :, :5] = 300
    image = ImageVolume(array, geometry, source=ImageSource(synthetic=True))
    made = slice_pictures(plan, solution.e_max_v_per_cm, solution.geometry, image)
    bare, drawn = (np.asarray(Image.open(io.BytesIO(of[0].png)).convert("RGB")).astype(int) for of in (sheet.pictures, made))
    row = SIDE_PX - 60
    assert bare[row, 250:260].mean() < 45
    assert 110 < drawn[row, 250:260].mean() < 145  # 80 HU is the middle of the window
    assert abs(drawn[8:40, 8:150] - drawn[row, 250]).max() > 60  # the word SYNTHETIC


def test_that_a_zone_on_another_grid_holds_what_the_field_reaches():
    grid = ImageGeometry.from_spacing((41, 41, 41), (1.0, 1.0, 1.0), (-20.0, -20.0, -20.0))
    k, j, i = np.indices(grid.shape)
    field = (1000.0 - 50.0 * np.linalg.norm(grid.index_to_world(np.stack([i, j, k], -1)), axis=-1)).astype(np.float32)
    image = ImageGeometry.from_spacing((60, 100, 100), (0.5, 0.5, 0.7), (-24.3, -25.1, -20.2))
    zone = zone_on(field, grid, image, 500.0)
    assert zone.sum() * image.voxel_size_mm3 == pytest.approx(4 / 3 * np.pi * 1000, rel=0.01)
    assert not zone_on(field, grid, image, 5000.0).any()
    far = ImageGeometry.from_spacing((5, 5, 5), (1.0, 1.0, 1.0), (200.0, 0.0, 0.0))
    assert not zone_on(field, grid, far, 500.0).any()


def test_that_dicom_of_a_run_without_a_volume_says_why(case, solved, tmp_path):
    run = save_plan_run(case.store, "S-001", case.visits["Baseline"].visit_id, *solved)
    with pytest.raises(StudyRefused) as why:
        export_run_dicom(case.store, run.plan_run_id, tmp_path / "out", JobContext())
    assert why.value.code == "nothing_to_export"
    assert "no volume" in why.value.message
    assert list((tmp_path / "out").iterdir()) == []


def test_that_the_command_line_writes_a_sheet_and_never_holds_the_answer_back(tmp_path, capsys):
    good, bad = file_of(tmp_path, "good.json"), file_of(tmp_path, "bad.json", anatomy={"site": "neck", "side": "left"})
    for path, code in ((good, None), (bad, "sheet_of_refused_plan")):
        assert main(["plan", str(path), "--no-heat", "--sheet", str(tmp_path / f"{path.stem}.pdf"), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["sheet"]["code"] == code
        assert answer["targets"][0]["coverage_pct"] > 0
        assert (tmp_path / f"{path.stem}.pdf").exists() == (code is None)
