"""A plan, its needles as they lie and what was delivered, kept and set side by side."""

from __future__ import annotations

import json
import math

import pytest

from app.cli import main
from app.jobs import JobContext
from app.study.audit import verify
from app.study.canonical import canonical_json, sha256_text
from app.study.errors import StudyRefused
from app.study.store import StudyStore
from app.usecases.plan import load_plan, solve_and_assess
from app.usecases.plan_runs import compare_runs, delivered_pairs, newest_predecessor, save_plan_run
from tests.planning.helpers import plan_dict

NODE = {"name": "N1", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}}


def plan_file(folder, name: str, *, deeper_mm: float = 0.0):
    """A coarse plan as a file; its first needle may lie deeper."""
    d = plan_dict(spacing=3.0, regions=[NODE]) | {"anatomy": {"site": "neck", "side": "left"}}
    d["electrodes"][0]["tip_mm"][2] -= deeper_mm
    (folder / name).write_text(json.dumps(d))
    return folder / name


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A solved plan, and the same with its first needle 3 mm deeper."""
    folder = tmp_path_factory.mktemp("plans")
    plans = [load_plan(plan_file(folder, f"{mm}.json", deeper_mm=mm)) for mm in (0.0, 3.0)]
    return [(plan, *solve_and_assess(plan, JobContext(), heat=False)) for plan in plans]


def test_that_a_run_holds_all_inputs_and_their_hashes(case, solved):
    run = save_plan_run(case.store, "S-001", None, *solved[0], node_id=case.node.node_id, session="day0")
    inputs = run.content["inputs"]
    assert inputs["plan_sha256"] == sha256_text(canonical_json(run.content["plan"]))
    assert inputs["assessment_sha256"] == sha256_text(canonical_json(run.content["assessment"]))
    assert inputs["limits"]["current_most_a"] == 50.0
    assert run.software_version
    assert run.content["plan"]["anatomy"]["side"] == "left"
    assert [c["code"] for c in run.content["assessment"]["constraints"] if c["level"] == "refuse"] == ["structure_unknown"] * 2
    pair = run.content["assessment"]["pairs"][0]
    assert pair["energy_j"] == pytest.approx(pair["voltage_v"] * pair["current_a"] * 90 * 70e-6)


def test_that_planned_actual_and_delivered_stand_side_by_side(case, solved):
    store, node = case.store, case.node.node_id
    assert newest_predecessor(store, "S-001", node, "salvage") is None
    planned = save_plan_run(store, "S-001", None, *solved[0], node_id=node, session="day0")
    actual = save_plan_run(store, "S-001", None, *solved[1], planned_id=planned.plan_run_id)
    assert (actual.kind, actual.node_id, actual.session) == ("actual", node, "day0")
    found = compare_runs(store, actual.plan_run_id)
    assert found["needles"][0]["deeper_mm"] == pytest.approx(3.0)
    assert found["spacing"][0]["distance_mm"]["difference"] == pytest.approx(math.hypot(15.0, 3.0) - 15.0)
    target = found["targets"][0]["coverage_pct"]
    assert target["difference"] == target["actual"] - target["planned"]
    assert found["delivered"] is None
    rows = [{"anode": "E1", "cathode": "E2", "pulses": 60, "voltage_v": 2250.0, "current_end_a": 52.0, "aborted": True, "abort_reason": "current limit"}]
    store.add_delivery(planned.plan_run_id, delivered_pairs(rows), entered_by="Dr A")
    delivered = compare_runs(store, actual.plan_run_id)["delivered"]
    assert (delivered["complete"], delivered["pairs"][0]["pulses"]["difference"]) == (False, -30)
    assert newest_predecessor(store, "S-001", node, "salvage") == actual  # where the needles really lay
    assert newest_predecessor(store, "S-001", node, "day0") == planned
    with pytest.raises(StudyRefused) as refused:
        compare_runs(store, planned.plan_run_id)
    assert refused.value.code == "plan_kind_refused"
    assert verify(store).ok


@pytest.mark.parametrize("rows", [{}, [1], [{"anode": "E1"}], [{"anode": "E1", "cathode": "E2", "pulses": 1, "volts": 9}], [{"anode": "E1", "cathode": "E2", "pulses": 1, "aborted": "no"}]])
def test_that_delivered_pairs_that_are_not_understood_are_refused(rows):
    with pytest.raises(StudyRefused) as refused:
        delivered_pairs(rows)
    assert refused.value.code == "delivery_refused"


def answer(capsys, *words) -> dict:
    """What a command answers with ``--json``."""
    assert main([str(w) for w in (*words, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


def test_that_the_command_line_keeps_plan_placement_and_delivery(case, tmp_path, capsys):
    folder = case.store.folder
    case.store.close()
    plan = ("study", "save-plan", folder)
    named = ("--subject", "S-001", "--node", "N1", "--no-heat")
    planned = answer(capsys, *plan, plan_file(tmp_path, "p.json"), *named, "--session", "day0", "--visit", "Baseline")
    assert (planned["kind"], planned["session"], planned["can_be_approved"]) == ("planned", "day0", False)
    actual = answer(capsys, *plan, plan_file(tmp_path, "a.json", deeper_mm=2.0), "--subject", "S-001", "--no-heat", "--needles-of", planned["plan_run_id"])
    salvage = answer(capsys, *plan, tmp_path / "p.json", *named, "--session", "salvage")
    assert salvage["predecessor_id"] == actual["plan_run_id"]
    (tmp_path / "given.json").write_text(json.dumps([{"anode": "E1", "cathode": "E2", "pulses": 90, "voltage_v": 2250}]))
    kept = answer(capsys, "study", "add-delivery", folder, "--run", actual["plan_run_id"], "--pairs", tmp_path / "given.json", "--name", "Dr A")
    runs = answer(capsys, "study", "plans", folder)["plan_runs"]
    assert [(r["kind"], r["node"], [d["delivery_id"] for d in r["deliveries"]]) for r in runs] == [("planned", "N1", []), ("actual", "N1", [kept["delivery_id"]]), ("planned", "N1", [])]
    found = answer(capsys, "study", "compare-plan", folder, "--run", actual["plan_run_id"])
    assert found["delivered"]["complete"] is True
    assert main(["study", "compare-plan", str(folder), "--run", actual["plan_run_id"]]) == 0
    assert "2.0 mm deeper" in capsys.readouterr().out
    assert main(["study", "plans", str(folder)]) == 0
    assert "entered by Dr A" in capsys.readouterr().out
    with StudyStore.open(folder) as store:
        assert verify(store).ok
