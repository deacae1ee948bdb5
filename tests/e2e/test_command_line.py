"""Names, exit codes and JSON of the command line, which sites script against."""

from __future__ import annotations

import json
import math

import pytest

from tests.planning.helpers import plan_dict


def test_that_an_unknown_command_is_wrong_usage(nodus):
    assert nodus("nonsense").code == 2


def test_that_help_names_every_command(nodus):
    text = nodus("--help").out
    for command in ("demo", "scan", "convert", "measure", "ellipsoid", "length", "segment", "plan", "vrr", "study", "export", "audit", "selftest", "bench"):
        assert command in text


def test_that_an_ellipsoid_is_pi_sixths_of_its_diameters(nodus):
    answer = nodus("ellipsoid", 20, 14, 12, "--json")
    assert answer.json["ellipsoid_volume_ml"] == pytest.approx(math.pi / 6 * 20 * 14 * 12 / 1000, abs=1e-12)


@pytest.mark.parametrize("diameters", [(0, 14, 12), (-1, 14, 12), ("nan", 14, 12)])
def test_that_an_impossible_diameter_is_refused_with_code_and_sentence(nodus, diameters):
    answer = nodus("ellipsoid", "--json", "--", *diameters)
    assert answer.code == 3
    assert {"code", "message", "hint"} <= set(answer.json["error"])


def test_that_a_reduction_rate_carries_its_interval(nodus):
    answer = nodus("vrr", "--baseline", 2.0, "--followup", 0.5, "--cv-pct", 10, "--json").json
    assert answer["vrr_pct"] == pytest.approx(75)
    low, high = answer["interval_pct"]
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(2) * 10 * 0.25)


def test_that_growth_is_a_negative_rate_and_not_clipped(nodus):
    assert nodus("vrr", "--baseline", 1.0, "--followup", 1.5, "--json").json["vrr_pct"] == pytest.approx(-50)


def test_that_a_baseline_of_zero_is_refused(nodus):
    answer = nodus("vrr", "--baseline", 0, "--followup", 1, "--json")
    assert (answer.code, answer.json["error"]["code"]) == (3, "baseline_not_positive")


def test_that_the_self_test_proves_closed_forms_on_this_machine(nodus):
    answer = nodus("selftest", "--json")
    assert answer.code == 0
    assert answer.json["ok"] is True
    assert len(answer.json["checks"]) >= 6
    assert any("cylinder" in c["name"].lower() or "sphere" in c["name"].lower() for c in answer.json["checks"] if c["name"].startswith("planning"))


def test_that_something_else_than_a_plan_is_refused(nodus, tmp_path):
    text = tmp_path / "plan.json"
    text.write_text("this is not a plan")
    answer = nodus("plan", text, "--json")
    assert (answer.code, answer.json["error"]["code"]) == (3, "not_a_plan")


def test_that_a_plan_is_solved_assessed_and_written(nodus, tmp_path):
    plan = {**plan_dict(spacing=1.0, box=56.0), "regions": [{"name": "node", "role": "target", "shape": {"type": "sphere", "center_mm": [0, 0, 0], "diameter_mm": 10}}]}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    answer = nodus("plan", path, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["pairs"][0]["v_per_cm"] == pytest.approx(1500)
    assert answer.json["targets"][0]["coverage_pct"] > 90
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["ablation.nii.gz", "field_v_per_cm.nii.gz", "plan.json"]


def test_that_a_study_goes_from_nothing_to_a_locked_export(nodus, tmp_path):
    from app.study.store import StudyStore

    study = tmp_path / "study"
    assert nodus("study", "init", study).code == 0
    with StudyStore.open(study) as store:
        store.add_subject("S-001")
        for visit, date in (("Baseline", "2026-01-05"), ("Month 3", "2026-04-10")):
            store.add_visit("S-001", visit, actual_date=date)
    assert nodus("study", "add-node", study, "--subject", "S-001", "--node", "N1", "--side", "left", "--level", "III").code == 0
    assert nodus("study", "add-event", study, "--subject", "S-001", "--kind", "IRE", "--date", "2026-01-12").code == 0
    for visit, volume in (("Baseline", 2.0), ("Month 3", 0.5)):
        added = nodus(
            "study", "add-reading", study, "--subject", "S-001", "--visit", visit, "--node", "N1", "--reader", "A", "--modality", "CT", "--volume-ml", volume, "--json"
        )
        assert added.code == 0, added.out + added.err
    early = nodus("export", study, "--format", "csv", "--out", tmp_path / "early", "--json").json
    assert early["readings"] == 0  # nothing is locked yet, so nothing leaves
    locked = nodus("study", "lock", study, "--name", "A. Reader", "--json").json["locked"]
    assert len(locked) == 2
    assert all(r["note"] == "not an electronic signature" for r in locked)
    row = nodus("study", "response", study, "--json").json["nodes"][0]
    assert (row["vrr_pct"], row["comparable"]) == (pytest.approx(75), True)
    first = nodus("export", study, "--format", "csv", "--out", tmp_path / "a", "--json").json
    second = nodus("export", study, "--format", "csv", "--out", tmp_path / "b", "--json").json
    assert first["readings"] == 2
    assert [f["sha256"] for f in first["files"]] == [f["sha256"] for f in second["files"]]
    verified = nodus("audit", "verify", study, "--json")
    assert (verified.code, verified.json["ok"]) == (0, True)


def test_that_a_value_changed_behind_the_program_is_found(nodus, tmp_path):
    import sqlite3

    study = tmp_path / "study"
    nodus("study", "init", study)
    from app.study.store import StudyStore

    with StudyStore.open(study) as store:
        store.add_subject("S-001")
        store.add_visit("S-001", "Baseline")
        store.add_node("S-001", "N1", "left", "III")
    nodus("study", "add-reading", study, "--subject", "S-001", "--visit", "Baseline", "--node", "N1", "--reader", "A", "--modality", "CT", "--volume-ml", 2.0)
    nodus("study", "lock", study, "--name", "A. Reader")
    with sqlite3.connect(study / "study.sqlite") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE readings SET volume_ml = 1.0")
    verified = nodus("audit", "verify", study, "--json")
    assert verified.code == 4
    assert verified.json["ok"] is False
    assert verified.json["faults"]
