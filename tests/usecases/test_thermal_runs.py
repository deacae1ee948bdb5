"""Plans of heat and cold kept in the study: opened as they were, set against their like, refused where a field is needed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.cli import main
from app.jobs import JobContext
from app.study.model import DeliveredPair
from app.usecases.compare_kept import look_at_run, side_of_run
from app.usecases.export_plan import export_run_dicom, export_sheets
from app.usecases.kept_plans import kept_runs, open_run, proposed_predecessor
from app.usecases.plan_runs import compare_any, compare_runs, save_plan_run
from app.usecases.plan_sheet import sheet_of_run
from app.usecases.report import render_subject_report
from app.usecases.thermal import solve_thermal, thermal_plan
from app.usecases.thermal_runs import compare_thermal, newest_thermal, open_thermal_run, save_thermal_run, unpack_levels
from tests.ui.panel_cases import ellipsoid_mask
from volumetry.errors import NodusError


def content(pull_back_mm: float = 0.0, device: str = "rfa-cooled-20", setting: str = "12 min in vivo", **more) -> dict:
    mask = ellipsoid_mask()
    applications = [{"needle": "N1", "device": device, "setting": setting, "round": 1}]
    if pull_back_mm:
        applications.append({"needle": "N1", "device": device, "setting": setting, "round": 2, "pull_back_mm": pull_back_mm})
    return {
        "schema": "nodus.thermal/1", "lesions": [{"name": "N1", "shape": {"type": "mask", "mask": mask}}], "spacing_mm": 1.5,
        "needles": [{"id": "N1", "tip_mm": [0, 0, -10], "entry_mm": [0, 0, 90]}], "applications": applications, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def solved():
    return solve_thermal(thermal_plan(content()), JobContext())


@pytest.fixture(scope="module")
def frozen():
    return solve_thermal(thermal_plan(content(device="cryo-rf", setting="freeze 4 min, animal")), JobContext(), bioheat=True, spacing_mm=3.0)


def test_that_a_thermal_run_opens_as_it_was_kept(case, solved):
    run = save_thermal_run(case.store, "S-001", None, solved, node_ids=[case.node.node_id], note={"picture": {"series_uid": "1.2"}})
    assert (run.content["schema"], run.content["modality"], run.content["nodes"], run.session) == ("nodus.thermal/1", ["rfa"], [case.node.node_id], None)
    kept = open_thermal_run(case.store, run.plan_run_id)
    assert kept.notes == ()
    assert kept.answer() == json.loads(json.dumps(solved.answer()))
    assert np.array_equal(kept.levels.whole >= 0, solved.levels.whole >= 0)
    near = np.abs(solved.levels.whole) < 10
    assert np.array_equal(kept.levels.whole[near], solved.levels.whole[near])
    assert kept.levels.grid == solved.levels.grid
    assert kept.bioheat is None
    assert np.array_equal(kept.plan.lesions[0].shape.mask.array, ellipsoid_mask().array)
    again = solve_thermal(kept.plan, JobContext()).answer()
    assert again["zone_ml"] == pytest.approx(solved.answer()["zone_ml"])
    assert set(run.blobs) == {"zone", "mask: N1"}


def test_that_the_solved_course_is_kept_too(case, frozen):
    run = save_thermal_run(case.store, "S-001", None, frozen)
    kept = open_thermal_run(case.store, run.plan_run_id)
    assert list(kept.bioheat.levels) == list(frozen.bioheat.levels)
    name = next(iter(kept.bioheat.levels))
    assert np.array_equal(kept.bioheat.levels[name].whole >= 0, frozen.bioheat.levels[name].whole >= 0)
    assert kept.answer()["bioheat"]["lethal_cold_c"] == -40


def test_that_the_list_tells_it_apart_and_neither_kind_follows_the_other(case, solved):
    node = case.node.node_id
    first = save_thermal_run(case.store, "S-001", None, solved, node_ids=[node])
    (row,) = kept_runs(case.store, "S-001")
    assert (row.thermal, row.rounds, row.lethal_v_per_cm) == (True, (1,), None)
    assert row.coverage_pct == solved.answer()["lesions"][0]["coverage_pct"]
    assert proposed_predecessor([row], node, "day0") is None
    assert newest_thermal(case.store, "S-001", node).plan_run_id == first.plan_run_id
    second = save_thermal_run(case.store, "S-001", None, solved, node_ids=[node], predecessor_id=first.plan_run_id)
    assert second.predecessor_id == first.plan_run_id


@pytest.mark.parametrize(
    ("use", "code"),
    [
        (lambda store, run, _out: open_run(store, run), "run_is_thermal"),
        (lambda store, run, _out: sheet_of_run(store, run, JobContext()), "run_is_thermal"),
        (lambda store, run, out: export_run_dicom(store, run, out, JobContext()), "run_is_thermal"),
        (lambda store, run, _out: compare_runs(store, run), "run_is_thermal"),
        (lambda store, run, _out: side_of_run(store, run), "run_is_thermal"),
        (lambda store, run, _out: save_plan_run(store, "S-001", None, None, None, None, planned_id=run), "run_is_thermal"),
        (lambda store, run, _out: save_plan_run(store, "S-001", None, None, None, None, predecessor_id=run), "run_is_thermal"),
        (lambda store, run, _out: store.add_delivery(run, (DeliveredPair("E1", "E2", 90, 2000.0),), entered_by="Dr A"), "delivery_refused"),
        (lambda store, _run, out: export_sheets(store, store.snapshot(), out), "nothing_to_export"),
    ],
)
def test_that_what_needs_a_field_refuses_it_in_words(case, solved, tmp_path, use, code):
    run = save_thermal_run(case.store, "S-001", None, solved)
    with pytest.raises(NodusError) as refused:
        use(case.store, run.plan_run_id, tmp_path)
    assert refused.value.code == code
    assert refused.value.message


def test_that_looking_at_it_and_the_subjects_report_get_by(case, solved):
    run = save_thermal_run(case.store, "S-001", None, solved)
    looked = look_at_run(case.store, run.plan_run_id)
    assert (looked.found, looked.delivered) == (None, None)
    assert render_subject_report(case.store.snapshot(), "S-001").startswith(b"%PDF")


def test_that_two_thermal_runs_are_compared_and_two_kinds_are_not(case, solved):
    one = save_thermal_run(case.store, "S-001", None, solved)
    two = save_thermal_run(case.store, "S-001", None, solve_thermal(thermal_plan(content(pull_back_mm=12.0)), JobContext()))
    found = compare_any(case.store, one.plan_run_id, two.plan_run_id)
    assert found["zone_ml"]["difference"] > 1.0
    assert found["lesions"][0]["name"] == "N1"
    assert found["lesions"][0]["coverage_pct"]["difference"] is not None
    assert found["applications"]["difference"] == 1
    electric = case.store.save_plan_run({"plan": {}, "assessment": {}}, subject_id="S-001")
    with pytest.raises(NodusError) as refused:
        compare_thermal(one, electric)
    assert refused.value.code == "plan_kinds_differ"
    with pytest.raises(NodusError) as refused:
        save_thermal_run(case.store, "S-001", None, solved, predecessor_id=electric.plan_run_id)
    assert refused.value.code == "plan_kinds_differ"
    with pytest.raises(NodusError) as refused:
        open_thermal_run(case.store, electric.plan_run_id)
    assert refused.value.code == "run_is_electric"


def test_that_a_damaged_zone_is_refused_with_a_sentence():
    with pytest.raises(NodusError) as refused:
        unpack_levels(b"nothing")
    assert refused.value.code == "plan_run_damaged"


def test_that_the_command_line_keeps_lists_and_compares_it(case, capsys, tmp_path):
    store = case.store
    plan = content() | {"lesions": [{"name": case.node.label, "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    folder = str(store.folder)
    store.close()

    def run(*arguments) -> dict:
        main(["study", *arguments, "--json"])
        return json.loads(capsys.readouterr().out)

    first = run("save-plan", folder, str(tmp_path / "plan.json"), "--subject", "S-001")
    assert (first["thermal"], first["modality"], first["rounds"], first["node_id"]) == (True, ["rfa"], [1], case.node.node_id)
    second = run("save-plan", folder, str(tmp_path / "plan.json"), "--subject", "S-001")
    assert second["predecessor_id"] == first["plan_run_id"]
    assert [r["thermal"] for r in run("plans", folder)["plan_runs"]] == [True, True]
    assert run("compare-plan", folder, "--run", first["plan_run_id"], "--with", second["plan_run_id"])["zone_ml"]["difference"] == 0
    assert run("plan-sheet", folder, "--run", first["plan_run_id"], "--out", str(tmp_path / "s.pdf"))["error"]["code"] == "run_is_thermal"
    assert run("compare-plan", folder, "--run", first["plan_run_id"])["error"]["code"] == "run_is_thermal"
    assert run("save-plan", folder, str(tmp_path / "plan.json"), "--subject", "S-001", "--needles-of", first["plan_run_id"])["error"]["code"] == "run_is_thermal"
    main(["study", "plans", folder])
    assert "thermal plan, round 1" in capsys.readouterr().out
