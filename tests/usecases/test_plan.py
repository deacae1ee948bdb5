"""From needles drawn on screen to a plan, and to a folder that can be solved again anywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from app.jobs import CancelToken, JobContext
from app.usecases.files import sha256_of
from app.usecases.plan import NeedleDraft, PairDraft, PlanDraft, add_heat, draft_to_plan, exposed_midpoint_mm, load_plan, solve_and_assess, tissue_presets
from app.usecases.plan_files import write_plan_folder
from app.usecases.plan_runs import save_plan_run
from app.usecases.readings import unpack_mask
from dicom_io.volume_files import read_volume_file
from planning.assessment import assess_plan
from planning.errors import PlanRefused
from volumetry.errors import Cancelled, NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask


def refusal(call) -> str:
    with pytest.raises(NodusError) as refused:
        call()
    return refused.value.code


def needle(name: str, x: float, *, y: float = 0.0, exposure_mm: float = 15.0, **more) -> NeedleDraft:
    return NeedleDraft(name, (x, y, -7.5), (x, y, 60.0), exposure_mm, **more)


def draft_of(count: int, spacing_mm: float = 15.0) -> PlanDraft:
    draft = PlanDraft()
    for n in range(count):
        draft = draft.with_needle(needle(f"E{n + 1}", n * spacing_mm))
    return draft


def ball(centre, radius_mm: float, label: int = 1, spacing_mm: float = 1.0) -> NodeMask:
    n = int(2 * radius_mm / spacing_mm) + 5
    geometry = ImageGeometry.from_spacing((n, n, n), (spacing_mm,) * 3, np.asarray(centre) - (n - 1) / 2 * spacing_mm)
    k, j, i = np.indices((n, n, n))
    points = geometry.index_to_world(np.stack([i, j, k], -1))
    return NodeMask(np.linalg.norm(points - np.asarray(centre), axis=-1) <= radius_mm, geometry, label)


# ---- drafts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "pairs"), [(1, 0), (2, 1), (3, 3), (4, 6), (6, 15)])
def test_that_every_pair_of_needles_stands_once(count, pairs):
    draft = draft_of(count)
    named = [frozenset((p.anode, p.cathode)) for p in draft.pairs]
    assert len(named) == len(set(named)) == pairs


def test_that_moving_a_needle_keeps_its_pairs_and_what_was_set_on_them():
    draft = draft_of(3).with_pair(0, PairDraft("E1", "E2", voltage_v=1800.0, pulses=70))
    moved = draft.with_needle(needle("E1", -2.0))
    assert moved.pairs == draft.pairs
    assert [n.id for n in moved.needles] == ["E1", "E2", "E3"]
    assert moved.needles[0].tip_mm[0] == -2.0
    assert draft.needles[0].tip_mm[0] == 0.0  # the earlier draft is still there for undo


def test_that_a_new_needle_takes_over_the_last_v_per_cm():
    draft = draft_of(2).with_pair(0, PairDraft("E1", "E2", v_per_cm=1200.0)).with_needle(needle("E3", 30.0))
    assert [p.v_per_cm for p in draft.pairs] == [1200.0, 1200.0, 1200.0]


def test_that_a_needle_goes_with_all_its_pairs():
    draft = draft_of(4).without_needle("E2")
    assert [n.id for n in draft.needles] == ["E1", "E3", "E4"]
    assert all("E2" not in (p.anode, p.cathode) for p in draft.pairs)
    assert len(draft.pairs) == 3
    assert draft.next_needle_id() == "E2"


def test_that_the_voltage_is_v_per_cm_times_the_distance_of_the_exposed_middles():
    draft = draft_of(2, spacing_mm=17.3)
    assert draft.pair_distance_mm(draft.pairs[0]) == pytest.approx(17.3)
    assert draft.voltage_v(draft.pairs[0]) == round(1500 * 1.73)
    tilted = draft.with_needle(NeedleDraft("E2", (17.3, 0.0, -7.5), (67.3, 0.0, 42.5), 10.0))
    middle = np.array([17.3, 0.0, -7.5]) + np.array([1, 0, 1]) / np.sqrt(2) * 5.0
    assert exposed_midpoint_mm(tilted.needles[1]) == pytest.approx(middle)
    assert tilted.pair_distance_mm(tilted.pairs[0]) == pytest.approx(np.linalg.norm(middle - [0.0, 0.0, 0.0]))


def test_that_a_voltage_set_by_hand_stands_whatever_the_distance():
    draft = draft_of(2).with_pair(0, PairDraft("E1", "E2", voltage_v=2345.0))
    assert draft.voltage_v(draft.with_needle(needle("E2", 30.0)).pairs[0]) == 2345.0


# ---- to a plan -------------------------------------------------------------------------------


def test_that_the_domain_holds_needles_and_targets_with_25_mm_around_them():
    draft = replace(draft_of(3), targets=(("N1", ball((40.0, -30.0, 22.0), 6.0), "node"),))
    plan = draft_to_plan(draft)
    points = [p for e in plan.electrodes for p in (e.tip_mm, e.exposed_end_mm)] + [[46.0, -36.0, 28.0], [34.0, -24.0, 16.0]]
    for point in points:
        assert (np.asarray(point) - plan.domain.low_mm >= 25.0 - 1e-6).all()
        assert (plan.domain.high_mm - np.asarray(point) >= 25.0 - 1e-6).all()
    cells = np.asarray(plan.domain.size_mm) / plan.domain.spacing_mm
    assert cells == pytest.approx(np.round(cells))


def test_that_a_plan_says_what_the_draft_said():
    vessel = ball((0.0, 20.0, 0.0), 4.0)
    draft = replace(draft_of(2), at_risk=(("carotid", vessel, "blood"),), lethal_v_per_cm=650.0, margin_mm=4.0, background="fat")
    plan = draft_to_plan(draft)
    assert (plan.lethal_v_per_cm, plan.margin_mm, plan.background.preset) == (650.0, 4.0, "fat")
    assert [(r.name, r.role, r.conductivity.preset) for r in plan.regions] == [("carotid", "at_risk", "blood")]
    assert [(p.voltage_v, p.pulses, p.width_us) for p in plan.pulses] == [(2250.0, 90, 70.0)]


@pytest.mark.parametrize("count", [0, 1])
def test_that_fewer_than_two_needles_are_refused(count):
    assert refusal(lambda: draft_to_plan(draft_of(count))) == "too_few_needles"


def test_that_needles_without_a_length_and_a_plan_without_pulses_are_refused():
    stub = draft_of(1).with_needle(NeedleDraft("E2", (15.0, 0.0, 0.0), (15.0, 0.0, 0.0)))
    assert refusal(lambda: draft_to_plan(stub)) == "needle_without_length"
    assert refusal(lambda: draft_to_plan(replace(draft_of(2), pairs=()))) == "no_pulses"


def test_that_every_tissue_has_a_law_a_source_and_says_whether_it_is_assumed():
    presets = tissue_presets()
    assert {"muscle", "fat", "blood", "node"} <= set(presets)
    assert all(law.source for law in presets.values())
    assert presets["node"].assumed  # nobody measured it in a human neck


# ---- to files and back -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def solved():
    """A small plan with a target and a vessel that are masks, one of them with an odd label."""
    draft = replace(
        draft_of(2, 12.0), spacing_mm=1.5, targets=(("N1", ball((6.0, 0.0, 0.0), 5.0, label=3), "node"),), at_risk=(("carotid", ball((6.0, 14.0, 0.0), 4.0, label=9), "blood"),),
    )  # fmt: skip
    plan = draft_to_plan(draft)
    return (plan, *solve_and_assess(plan, JobContext()))


def test_that_a_field_stands_where_its_heat_cannot_be_solved(solved, monkeypatch):
    plan, solution, _ = solved

    def refused(*_args, **_more):
        raise PlanRefused("No properties of a tissue.", code="unknown_tissue")

    monkeypatch.setattr("planning.heat.train.solve_heat", refused)
    before = assess_plan(plan, solution)
    kept, assessment = add_heat(plan, solution, before, JobContext())
    assert [code for code, _ in kept.warnings][-1] == "heat_not_solved"
    assert [w["code"] for w in assessment.answer["warnings"]] == [*(w["code"] for w in before.answer["warnings"]), "heat_not_solved"]
    assert assessment.answer["targets"] == before.answer["targets"]
    assert assessment.answer["heat"] is None


def without_time(answer: dict) -> dict:
    return {**answer, "solver": {k: v for k, v in answer["solver"].items() if k != "seconds"}}


def test_that_the_folder_written_is_loaded_and_solved_again_with_the_same_answer(solved, tmp_path):
    plan, solution, assessment = solved
    write_plan_folder(plan, solution, assessment, tmp_path / "plan")
    shutil.move(tmp_path / "plan", tmp_path / "elsewhere")  # it must hold all it needs
    again = load_plan(tmp_path / "elsewhere" / "plan.json")
    _, second = solve_and_assess(again, JobContext())
    assert without_time(json.loads(json.dumps(second.to_dict()))) == without_time(json.loads(json.dumps(assessment.to_dict())))


def test_that_field_and_zone_are_written_as_they_were_solved(solved, tmp_path):
    plan, solution, assessment = solved
    paths = write_plan_folder(plan, solution, assessment, tmp_path)
    assert sorted(p.name for p in paths) == ["ablation.nii.gz", "field_v_per_cm.nii.gz", "plan.json", "region_1.nii.gz", "region_2.nii.gz"]
    field, grid, _ = read_volume_file(tmp_path / "field_v_per_cm.nii.gz")
    zone, _, _ = read_volume_file(tmp_path / "ablation.nii.gz")
    assert np.array_equal(field, np.nan_to_num(solution.e_max_v_per_cm))
    assert np.array_equal(zone > 0, field >= plan.lethal_v_per_cm)
    assert grid.same_grid(solution.geometry)
    said = json.loads((tmp_path / "plan.json").read_text())
    assert said["assessment"]["targets"][0]["coverage_pct"] == assessment.to_dict()["targets"][0]["coverage_pct"]
    assert said["software_version"]


def held(folder) -> dict[str, str]:
    return {p.name: sha256_of(p) for p in sorted(folder.iterdir()) if p.is_file()}


def test_that_writing_that_breaks_off_leaves_the_earlier_plan_whole(solved, tmp_path, monkeypatch):
    plan, solution, assessment = solved
    write_plan_folder(plan, solution, assessment, tmp_path)
    before = held(tmp_path)
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["files"] == {name: sha for name, sha in before.items() if name != "plan.json"}
    assert not [w for w in draft_notes(tmp_path) if w[0] == "unknown_key"]

    def stop(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("app.usecases.plan_files.write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        write_plan_folder(replace(plan, lethal_v_per_cm=400.0), solution, assessment, tmp_path)
    assert held(tmp_path) == before


def draft_notes(folder):
    return load_plan(folder / "plan.json").notes


def test_that_a_run_killed_while_it_writes_leaves_the_earlier_plan_whole(solved, tmp_path):
    plan, solution, assessment = solved
    out = tmp_path / "out"
    write_plan_folder(plan, solution, assessment, out)
    before = held(out)
    shutil.copytree(out, tmp_path / "again")
    run = subprocess.Popen([sys.executable, "-m", "app", "plan", str(tmp_path / "again" / "plan.json"), "--no-heat", "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while run.poll() is None and not list(out.glob(".plan-*/field*")):
        time.sleep(0.001)
    run.kill()
    assert run.wait() != 0, "the run ended before it was seen to write"
    left = list(out.glob(".plan-*"))
    assert held(out) == before
    assert left
    write_plan_folder(plan, solution, assessment, out)
    assert not list(out.glob(".plan-*"))


def test_that_a_plan_file_that_is_none_is_refused(tmp_path):
    assert refusal(lambda: load_plan(tmp_path / "none.json")) == "file_missing"
    (tmp_path / "bad.json").write_text("{")
    assert refusal(lambda: load_plan(tmp_path / "bad.json")) == "not_a_plan"
    (tmp_path / "list.json").write_text("[1, 2]")
    assert refusal(lambda: load_plan(tmp_path / "list.json")) == "not_a_plan"


def test_that_a_region_whose_mask_lacks_the_label_is_refused(solved, tmp_path):
    plan, solution, assessment = solved
    write_plan_folder(plan, solution, assessment, tmp_path)
    content = json.loads((tmp_path / "plan.json").read_text())
    content["regions"][0]["shape"]["label"] = 77
    (tmp_path / "plan.json").write_text(json.dumps(content))
    assert refusal(lambda: load_plan(tmp_path / "plan.json")) == "label_missing"


def test_that_a_solve_can_be_stopped(solved):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        solve_and_assess(solved[0], JobContext(token=token))


def test_that_a_plan_run_in_the_study_holds_field_and_masks(case, solved):
    plan, solution, assessment = solved
    run = save_plan_run(case.store, "S-001", case.visits["Baseline"].visit_id, plan, solution, assessment)
    assert set(run.blobs) == {"field_v_per_cm", "mask: N1", "mask: carotid"}
    kept = unpack_mask(case.store.get_blob(run.blobs["mask: N1"]))
    assert np.array_equal(kept.array, plan.regions[0].shape.mask.array)
    assert run.content["plan"]["regions"][0]["shape"]["path"] == f"blob:{run.blobs['mask: N1']}"
    assert case.store.list_plan_runs("S-001") == [run]


def test_that_the_refusals_of_planning_are_refusals_of_the_program():
    assert issubclass(PlanRefused, NodusError)
