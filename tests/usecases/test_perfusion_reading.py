"""From a contrast loop to the study: the proposal beside the reader's grade, parts, salvage, rates and exports."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from app.cli import main
from app.cli.output import plain
from app.study.store import StudyStore
from app.usecases.enhancing_part import stated
from app.usecases.perfusion_planes import join_again, one_recording, plane_of, section_of, speckle_of
from app.usecases.perfusion_reading import joined_record, joined_sha256, perfusion_record, proposed_part, read_result, with_proposal
from tests.usecases.contrast_loops import made
from tests.usecases.test_perfusion import analysed
from volumetry.errors import NodusError
from volumetry.perfusion.planes import share_of_two_planes


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Answers of ``nodus perfusion`` for a whole, a partly ablated and a cleanly ablated node, as files."""
    folder = tmp_path_factory.mktemp("answers")
    for name, changes in (("whole", {"residual": "whole"}), ("partial", {"residual": "partial", "viable_fraction": 0.4}), ("none", {"residual": "none"})):
        (folder / f"{name}.json").write_text(json.dumps(plain(analysed(made(**changes)).to_dict())))
    return folder


def called(capsys, *args) -> dict:
    """``nodus ... --json`` that must succeed."""
    code = main([*map(str, args), "--json"])
    out = capsys.readouterr()
    assert code == 0, out.out + out.err
    return json.loads(out.out)


def refused(capsys, *args) -> str:
    assert main([*map(str, args), "--json"]) == 3
    return json.loads(capsys.readouterr().out)["error"]["code"]


def test_that_day_30_goes_from_the_loop_to_salvage_rates_and_table(answers, tmp_path, capsys):
    study = tmp_path / "s"
    called(capsys, "study", "init", study)
    with StudyStore.open(study) as store:
        for subject in ("S-1", "S-2"):
            store.add_subject(subject)
            store.add_visit(subject, "Baseline", actual_date="2025-01-20")
            store.add_visit(subject, "Day 30", actual_date="2025-03-01")
            store.add_node(subject, "N1", "left", "III")
    for subject in ("S-1", "S-2"):
        called(capsys, "study", "add-event", study, "--subject", subject, "--kind", "IRE", "--date", "2025-01-31")

    def read(subject, visit, name, ml, grade, role="site"):
        return called(
            capsys, "study", "add-reading", study, "--subject", subject, "--visit", visit, "--node", "N1", "--reader", f"{role}-dr", "--role", role, "--modality", "CEUS",
            "--method", "ellipsoid", "--volume-ml", ml, "--enhancement-grade", grade, "--perfusion", answers / f"{name}.json",
        )  # fmt: skip

    for role in ("site", "central"):
        read("S-1", "Baseline", "whole", 2.0, "3", role)
        kept = read("S-1", "Day 30", "partial", 1.5, "2", role)
        read("S-2", "Day 30", "none", 1.0, "0", role)
    share = json.loads((answers / "partial.json").read_text())["residual"]["viable_pct"]
    assert kept["viable_ml"] == pytest.approx(share / 100 * 1.5)
    assert kept["viable_ml"] + kept["ablated_ml"] == pytest.approx(1.5)
    assert (kept["enhancement_grade"], kept["grade_proposed"]) == ("2", "3")
    assert {"grade_differs", "share_of_one_plane"} <= {w["code"] for w in kept["warnings"]}

    status = {s["subject"]: s["salvage"] for s in called(capsys, "study", "status", study, "--on", "2025-03-05")["subjects"]}
    assert (status["S-1"]["state"], status["S-1"]["deadline"], status["S-1"]["days_left"], status["S-1"]["indicated"]) == ("open", "2025-03-15", 10, True)
    assert [(n["node"], n["grade"]) for n in status["S-1"]["nodes"]] == [("N1", "2")]
    assert (status["S-2"]["state"], status["S-2"]["indicated"]) == ("not_indicated", False)

    with StudyStore.open(study) as store:
        for reading in store.readings():
            record = reading.measurement["perfusion"]
            assert record["input_sha256"] == json.loads((answers / f"{'whole' if reading.enhancement_grade == '3' else 'partial' if reading.enhancement_grade == '2' else 'none'}.json").read_text())["input_sha256"]
            assert "curve" not in record["regions"][0]
            store.lock_reading(reading.reading_id, "Dr Reader", "I have reviewed this")
    row = next(r for r in called(capsys, "study", "response", study)["nodes"] if r["visit"] == "Day 30" and r["role"] == "central" and r["subject"] == "S-1")
    whole = json.loads((answers / "whole.json").read_text())["residual"]["viable_pct"]
    assert row["vrr_pct"] == pytest.approx(25.0)
    assert row["vrr_viable_pct"] == pytest.approx(100 * (1 - share * 1.5 / (whole * 2.0)), abs=0.01)
    assert row["parts_comparable"] is True

    called(capsys, "export", study, "--format", "csv", "--out", tmp_path / "out")
    rows = [r for r in csv.DictReader((tmp_path / "out" / "readings.csv").open(encoding="utf-8-sig")) if r["role"] == "central" and r["visit"] == "Day 30" and r["subject"] == "S-1"]
    node = json.loads((answers / "partial.json").read_text())["regions"][0]
    assert (rows[0]["grade_proposed"], rows[0]["enhancement_grade"], rows[0]["viable_from"]) == ("3", "2", "enhancing_share")
    assert float(rows[0]["ttp_s"]) == pytest.approx(node["parameters"]["ttp_s"])
    assert float(rows[0]["auc_ratio"]) == pytest.approx(node["ratios"]["auc"]["value"])
    assert float(rows[0]["enhancing_pct"]) == pytest.approx(share)


def test_that_a_proposal_needs_the_readers_grade_and_the_right_modality(answers, tmp_path, capsys):
    study = tmp_path / "s"
    called(capsys, "study", "init", study)
    what = ("study", "add-reading", study, "--subject", "S-1", "--visit", "Day 30", "--node", "N1", "--reader", "dr", "--volume-ml", "1", "--method", "ellipsoid")
    result = ("--perfusion", answers / "partial.json")
    assert refused(capsys, *what, "--modality", "CEUS", *result) == "grade_missing"
    assert refused(capsys, *what, "--modality", "CT", *result, "--enhancement-grade", "2") == "perfusion_modality"
    (tmp_path / "other.json").write_text('{"nodes": []}')
    assert refused(capsys, *what, "--modality", "CEUS", "--perfusion", tmp_path / "other.json", "--enhancement-grade", "2") == "bad_perfusion_result"
    assert refused(capsys, *what, "--modality", "CEUS", "--perfusion", tmp_path / "none.json", "--enhancement-grade", "2") == "file_missing"
    with StudyStore.open(study) as store:
        assert store.readings() == []


def test_that_the_readers_word_stands_over_the_proposal(answers):
    record = read_result(answers / "partial.json")
    for grade in ("0", "1"):
        extra, part = with_proposal(record, grade=grade, modality="CEUS", total_ml=1.0)
        assert part is None
        assert [w["code"] for w in extra["warnings"]] == ["proposal_not_taken"]
    own = stated(1.0, viable_ml=0.1)
    extra, part = with_proposal(record, grade="2", modality="CEUS", total_ml=1.0, enhancing=own)
    assert part is own
    assert [w["code"] for w in extra["warnings"]] == ["grade_differs"]
    assert extra["perfusion"]["residual"]["grade"] == "3"
    assert with_proposal(record, grade="NE", modality="CEUS", total_ml=1.0)[1] is None
    agreed, part = with_proposal(record, grade="3", modality="CEUS", total_ml=1.0)
    assert "warnings" not in agreed
    assert part.viable_from == "enhancing_share"
    clean = read_result(answers / "none.json")
    part = proposed_part(clean, "0", 2.0)
    assert (part.viable_ml, part.ablated_ml) == (0.0, 2.0)
    assert proposed_part(clean, "2", 2.0) is None
    assert proposed_part(record, "3", None) is None


@pytest.mark.parametrize("change", [{"residual": {}}, {"residual": None}, {"input_sha256": None}, {"regions": None}])
def test_that_an_answer_with_a_part_missing_is_no_record(answers, change):
    answer = json.loads((answers / "none.json").read_text()) | change
    with pytest.raises((KeyError, TypeError, ValueError)):
        perfusion_record(answer)


def test_that_impossible_shares_are_refused(answers, tmp_path):
    answer = json.loads((answers / "none.json").read_text())
    for share in (-1, 101, "40", True):
        (tmp_path / "a.json").write_text(json.dumps({**answer, "residual": {**answer["residual"], "viable_pct": share}}))
        with pytest.raises(NodusError) as told:
            read_result(tmp_path / "a.json")
        assert told.value.code == "bad_perfusion_result"


def test_that_the_answer_of_two_loops_goes_into_a_reading_as_one(answers, tmp_path, capsys):
    results = analysed(made(residual="partial", viable_fraction=0.4)), analysed(made(residual="none"))
    found = share_of_two_planes(*map(plane_of, results))
    one, two = map(section_of, results)
    assert one_recording(one, replace(one, record={**one.record, "loop_sha256": "another file"}))
    assert one_recording(one, replace(two, speckle=one.speckle))
    assert not one_recording(one, replace(two, speckle=speckle_of(replace(results[0].loop, levels=results[0].loop.levels[::-1]))))
    first, second = (json.loads((answers / f"{name}.json").read_text()) for name in ("partial", "none"))
    answer = plain({**first, "two_planes": {**found.as_dict(), "second": second}})
    (tmp_path / "both.json").write_text(json.dumps(answer))
    study = tmp_path / "s"
    called(capsys, "study", "init", study)
    kept = called(
        capsys, "study", "add-reading", study, "--subject", "S-1", "--visit", "Day 30", "--node", "N1", "--reader", "dr", "--modality", "CEUS", "--method", "ellipsoid", "--volume-ml", 2.0,
        "--enhancement-grade", found.grade, "--perfusion", tmp_path / "both.json",
    )  # fmt: skip
    assert kept["viable_ml"] == pytest.approx(2.0 * found.viable_pct / 100)
    assert {"share_of_two_planes", "planes_disagree"} <= {w["code"] for w in kept["warnings"]}
    with StudyStore.open(study) as store:
        record = store.readings()[0].measurement["perfusion"]
    assert record["input_sha256"] == joined_sha256(first["input_sha256"], second["input_sha256"])
    assert [loop["asked"] for loop in record["two_planes"]["loops"]] == [json.loads(json.dumps(a["asked"])) for a in (first, second)]
    again = join_again(record)
    assert (again.viable_pct, again.volume_interval_pct, again.solid_pct, again.grade) == (found.viable_pct, found.volume_interval_pct, found.solid_pct, found.grade)

    del answer["two_planes"]["second"]  # the other loop could not be named
    (tmp_path / "half.json").write_text(json.dumps(answer))
    with pytest.raises(NodusError) as told:
        read_result(tmp_path / "half.json")
    assert told.value.code == "bad_perfusion_result"


def test_that_a_plane_that_cannot_be_judged_leaves_no_part_and_is_told(answers):
    first = read_result(answers / "partial.json")
    found = {"grade": "3", "viable_pct": None, "viable_interval_pct": None, "volume_interval_pct": None, "inside": None, "solid_pct": None, "planes": [{}, {}], "warnings": [{"code": "plane_not_evaluable", "message": "One."}]}
    record = joined_record(first, {**first, "input_sha256": "b"}, found, right_angle="tick")
    extra, part = with_proposal(record, grade="3", modality="CEUS", total_ml=1.0)
    assert part is None
    assert [w["code"] for w in extra["warnings"]] == ["plane_not_evaluable"]
    for wrong in ({"right_angle": "guessed"}, {"right_angle": "tick", "second": {**first, "modality": "CT"}}):
        with pytest.raises(ValueError, match="two_planes"):
            joined_record(first, wrong.pop("second", first), found, **wrong)
