"""From a file of measured distances to a solved, kept plan, on the command line and as a canvas; the mark survives all of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from app.cli import main
from app.jobs import JobContext
from app.study.model import PlanRun
from app.usecases.plan import PlanDraft, load_plan, solve_and_assess
from app.usecases.plan_runs import save_plan_run
from app.usecases.report_text import plan_lines
from app.usecases.robustness import tip_spread_mm
from app.usecases.schematic import CANVAS_UNIT, draw_canvas, load_schematic, make_plan, write_plan
from tests.planning.test_schematic import FILE, file_with


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(FILE), encoding="utf-8")
    return path


def test_that_the_command_writes_a_plan_and_says_what_it_made(file, tmp_path, capsys):
    out = tmp_path / "plans" / "plan.json"
    assert main(["schematic", str(file), "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["node"]["volume_ml"] == pytest.approx(math.pi / 6 * 20 * 14 * 12 / 1000)
    assert answer["structures"][0] | {"needles": None, "from_mark_mm": None} == {"name": "left carotid", "from_node_mm": pytest.approx(6), "needles": None, "from_mark_mm": None}
    assert [w["code"] for w in answer["warnings"]] == ["schematic"]
    assert answer["pairs"] == [{"anode": "E1", "cathode": "E2", "distance_mm": pytest.approx(15)}]
    assert json.loads(out.read_text(encoding="utf-8")) == answer["plan"]
    assert load_plan(out).source.is_schematic
    assert main(["schematic", str(file)]) == 0
    assert "Schematic, not image-registered" in capsys.readouterr().out


def test_that_a_file_that_is_none_and_a_wrong_one_are_refused_with_exit_3(tmp_path, capsys):
    path = tmp_path / "x.json"
    for text, code in (("{", "not_a_schematic"), (json.dumps(file_with(side="up")), "side_unstated")):
        path.write_text(text, encoding="utf-8")
        assert main(["schematic", str(path), "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_that_a_schematic_without_needles_gives_a_plan_to_place_them_in(tmp_path):
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(file_with(needles=[], pulses=[])), encoding="utf-8")
    written, answer = make_plan(load_schematic(path))
    assert "electrodes" not in written
    assert answer["needles"] == []


def test_that_robustness_takes_three_millimetres_of_itself(file, tmp_path, capsys):
    written, _ = make_plan(load_schematic(file))
    plan = load_plan(write_plan(written, tmp_path / "plan.json"))
    plain = load_plan(write_plan({k: v for k, v in written.items() if k != "source"}, tmp_path / "plain.json"))
    assert (tip_spread_mm(plan), tip_spread_mm(plain)) == (3.0, 2.0)
    for more, wanted in (([], 3.0), (["--tip-mm", "1"], 1.0)):
        assert main(["robustness", str(tmp_path / "plan.json"), "--samples", "1", "--processes", "1", "--spacing-mm", "2", "--json", *more]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["spread"]["tip_mm"] == wanted
        assert answer["warnings"][0]["code"] == "schematic"


def test_that_the_mark_reaches_the_kept_run_and_its_sheet(file, tmp_path):
    from app.study.store import StudyStore

    written, _ = make_plan(load_schematic(file))
    plan = load_plan(write_plan(written, tmp_path / "plan.json")).with_spacing(2.0)
    solution, assessment = solve_and_assess(plan, JobContext(), heat=False)
    with StudyStore.create(tmp_path / "study") as store:
        store.add_subject("S1")
        visit = store.add_visit("S1", "Baseline")
        run = save_plan_run(store, "S1", visit.visit_id, plan, solution, assessment)
        kept = next(r for r in store.list_plan_runs("S1") if r.plan_run_id == run.plan_run_id)
    assert kept.content["plan"]["source"]["kind"] == "schematic"
    assert kept.content["plan"]["source"]["schematic"]["structures"][0]["distance_mm"] == 6
    assert kept.content["assessment"]["source"] == "schematic"
    assert isinstance(kept, PlanRun)
    assert any("not image-registered" in text for text, _, _ in plan_lines(kept))


def test_that_the_canvas_shows_the_shapes_where_they_are(file):
    schematic = load_schematic(file)
    canvas = draw_canvas(schematic, 1.0)
    image = canvas.image
    assert image.unit == CANVAS_UNIT  # no HU: no tool takes it for a CT
    assert not image.source.in_patient_space
    assert "not image-registered" in image.source.description
    name, mask, _ = canvas.target
    assert name == "N1"
    assert mask.array.sum() * 1e-3 == pytest.approx(math.pi / 6 * 20 * 14 * 12 / 1000, rel=0.02)
    middle = image.geometry.index_to_world(np.argwhere(mask.array)[:, ::-1].mean(0))
    assert middle == pytest.approx([0, 18, 0], abs=0.05)
    assert [n for n, _, _ in canvas.structures] == ["left carotid", "left jugular", "left vagus nerve", "trachea"]
    above = image.geometry.world_to_index((0.0, -0.6, 0.0))
    assert image.array[tuple(np.rint(above[::-1]).astype(int))] == 0


def test_that_a_draft_of_the_window_becomes_the_same_analytic_plan(file):
    from app.usecases.plan import NeedleDraft, PairDraft, draft_to_plan
    from planning.schematic_scene import needles_of

    schematic = load_schematic(file)
    needles = tuple(NeedleDraft(e.id, e.tip_mm, e.entry_mm, e.exposure_mm, e.diameter_mm) for e in needles_of(schematic))
    plan = draft_to_plan(PlanDraft(needles=needles, pairs=(PairDraft("E1", "E2"),), schematic=schematic))
    written, _ = make_plan(schematic)
    assert [r.to_dict()["shape"] for r in plan.regions] == [r["shape"] for r in written["regions"]]
    assert plan.to_dict()["electrodes"] == written["electrodes"]
    assert plan.to_dict()["pulses"] == written["pulses"]
    assert plan.source.is_schematic
    assert {r["type"] for r in (r.to_dict()["shape"] for r in plan.regions)} == {"ellipsoid", "capsule", "box"}
