"""What holds for every format: the same bytes again, honest receipts, dates as the trial wants them, published figures."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from app.cli import main
from app.edc.forms import filled_forms
from app.edc.mapping import load_mapping, mapping_from
from app.edc.redcap import write_redcap
from app.edc.sdtm import datasets
from app.edc.treatment_rows import treatment_rows
from app.study.audit import verify
from app.study.errors import StudyRefused
from app.study.model import DeliveredPair, ReadingStatus
from app.study.store import StudyStore
from app.usecases.export_edc import DATES_SETTING, MAPPED_FORMATS, export_study
from tests.edc.conftest import NONE, PLAN, Clock, Whole
from tests.study.builders import CaseBuilder

FORMATS = ("csv", *MAPPED_FORMATS)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("format_", FORMATS)
def test_that_the_same_content_gives_the_same_bytes_and_the_receipt_is_true(opened: StudyStore, tmp_path: Path, format_: str) -> None:
    first = export_study(opened, format_, tmp_path / "a")
    second = export_study(opened, format_, tmp_path / "b")
    assert first == second
    made = bytes_of(tmp_path / "a")
    assert made == bytes_of(tmp_path / "b")
    assert {f["path"]: f["sha256"] for f in first["files"]} == {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}
    assert first["readings"] == (12 if format_ == "csv" else 11)
    assert all(f["rows"] >= 1 for f in first["files"])
    assert first["accepted"]["records"] == 7
    assert verify(opened, files=False).ok


def test_that_another_program_run_gives_the_same_bytes(whole: Whole, tmp_path: Path) -> None:
    formats = ("csv", "redcap", "odm-1.3.2", "dataset-json")
    code = (
        "import sys; from pathlib import Path; from app.study.store import StudyStore; from app.usecases.export_edc import export_study\n"
        "with StudyStore.open(sys.argv[1]) as store:\n"
        "    for f in sys.argv[3:]: export_study(store, f, Path(sys.argv[2]) / f)"
    )
    with StudyStore.open(whole.folder) as store:
        for name in formats:
            export_study(store, name, tmp_path / "a" / name)
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2]), "TZ": "Asia/Shanghai", "HOME": os.environ.get("HOME", "/"), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code, str(whole.folder), str(tmp_path / "b"), *formats], check=True, env=environment)
    for name in formats:
        assert bytes_of(tmp_path / "a" / name) == bytes_of(tmp_path / "b" / name), name


def test_that_nothing_that_is_not_locked_leaves(whole: Whole, tmp_path: Path) -> None:
    with StudyStore.open(whole.folder) as store:
        for name in FORMATS:
            export_study(store, name, tmp_path / name)
            for file, data in bytes_of(tmp_path / name).items():
                if file.endswith((".csv", ".xml", ".json")):
                    assert b"7.7" not in re.sub(rb"[0-9a-f]{12,}", b"", data), (name, file)


def test_that_the_command_line_writes_every_format_and_answers_as_agreed(whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in FORMATS:
        assert main(["export", str(whole.folder), "--format", name, "--out", str(tmp_path / name), "--json"]) == 0
        receipt = json.loads(capsys.readouterr().out)
        assert {"files", "readings", "study_sha256"} <= set(receipt)
        assert all({"path", "rows", "sha256"} <= set(f) and (tmp_path / name / f["path"]).is_file() for f in receipt["files"])
    own = json.loads((resources.files("resources") / "edc" / "ire-cervical-ln.json").read_text("utf-8"))
    own["visits"]["Day 30"]["oid"] = "SE.OWN"
    (tmp_path / "own.json").write_text(json.dumps(own), "utf-8")
    assert main(["export", str(whole.folder), "--format", "odm-2.0", "--out", str(tmp_path / "own"), "--mapping", str(tmp_path / "own.json"), "--json"]) == 0
    assert b'StudyEventOID="SE.OWN"' in (tmp_path / "own" / "snapshot.xml").read_bytes()
    capsys.readouterr()
    assert main(["export", str(whole.folder), "--format", "redcap", "--out", str(tmp_path / "no"), "--mapping", str(tmp_path / "absent.json"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "mapping_missing"


def test_that_no_true_date_leaves_where_the_study_shifts_dates(opened: StudyStore, tmp_path: Path) -> None:
    true = {v.actual_date for v in opened.snapshot().visits} | {"2026-01-07", "2026-05-01"}  # scans, the ablation, the locks
    export_study(opened, "csv", tmp_path / "plain")
    assert any(day.encode() in b"".join(bytes_of(tmp_path / "plain").values()) for day in true)
    opened.set_setting(DATES_SETTING, "shifted")
    days: set[int] = set()
    for name in FORMATS:
        export_study(opened, name, tmp_path / name)
        for file, data in bytes_of(tmp_path / name).items():
            assert not [day for day in true if day.encode() in data], (name, file)
    with open(tmp_path / "plain" / "vrr.csv", newline="") as a, open(tmp_path / "csv" / "vrr.csv", newline="") as b:
        for before, after in zip(csv.DictReader(a), csv.DictReader(b), strict=True):
            assert before["days_from_first"] == after["days_from_first"]  # intervals stay
            days.add(int(after["days_from_first"]))
            assert (before["dates_shifted"], after["dates_shifted"]) == ("N", "Y")
    assert days == {30, 53, 93}
    assert b"SUPPTR" in (tmp_path / "dataset-json" / "supptr.json").read_bytes()


def test_that_a_mapping_can_ask_for_shifted_dates(opened: StudyStore, tmp_path: Path) -> None:
    own = json.loads((resources.files("resources") / "edc" / "ire-cervical-ln.json").read_text("utf-8")) | {"dates": "shifted"}
    (tmp_path / "own.json").write_text(json.dumps(own), "utf-8")
    export_study(opened, "redcap", tmp_path / "out", mapping_file=tmp_path / "own.json")
    assert b"2026-01-05" not in (tmp_path / "out" / "import.csv").read_bytes()


# -- a published case ------------------------------------------------------------------------------


def test_that_the_published_tumour_example_comes_out(tmp_path: Path) -> None:
    """SDTMIG 3.4, TR example 2: 17, 16, 15 (a node) and 14 mm, sum 62; then gone, too small, 12, and 6 + 7 after a split: 30."""
    with StudyStore.create(tmp_path / "s", protocol="latc-neoadjuvant", user="tester", clock=Clock()) as store:
        store.add_subject("S-1")
        visits = [store.add_visit("S-1", name, actual_date=day) for name, day in (("Baseline", "2010-01-01"), ("Restaging 1", "2010-02-18"))]
        levels = {"T01": "unknown", "T02": "unknown", "T03": "III", "T04": "unknown"}
        organs = {"T01": "lung", "T02": "liver", "T03": "neck", "T04": "skin"}
        nodes = {label: store.add_node("S-1", label, "left", level) for label, level in levels.items()}
        case = CaseBuilder(store, "S-9")

        def look(visit: int, label: str, mm: float | None, status: ReadingStatus = ReadingStatus.MEASURED, **said) -> None:
            axes = {"long_axis_mm": mm, "short_axis_mm": None} if label != "T03" else {"long_axis_mm": 99.0, "short_axis_mm": mm}
            changes = {**NONE, **(axes if mm else {}), "subject_id": "S-1", "visit_id": visits[visit].visit_id, "node_id": nodes[label].node_id, "status": status, "measurement": {"lesion": {"organ": organs[label], **said}}}
            case.lock(**changes)

        for label, mm in (("T01", 17.0), ("T02", 16.0), ("T03", 15.0), ("T04", 14.0)):
            look(0, label, mm)
        look(1, "T01", None, ReadingStatus.DISAPPEARED_ASSESSED)
        look(1, "T02", None, ReadingStatus.TOO_SMALL)
        look(1, "T03", 12.0)
        look(1, "T04", 7.0, parts_mm=[6.0, 7.0])
        snapshot = store.snapshot()
    made = {d.domain.name: d for d in datasets(snapshot, load_mapping("latc-neoadjuvant"))}
    found = {(r["TRTESTCD"], r["VISIT"]): (r["TRSTRESN"], r["TRSTRESU"]) for r in made["TR"].rows if r["TRLNKID"] is None}
    assert found["SUMDIAM", "BASELINE"] == (62.0, "mm")
    assert found["SUMDIAM", "RESTAGING 1"] == (30.0, "mm")
    assert found["ACNSD", "RESTAGING 1"] == (-32.0, "mm")
    assert round(found["PCBSD", "RESTAGING 1"][0]) == round(found["PCNSD", "RESTAGING 1"][0]) == -52
    small = [(r["TRORRES"], r["TRSTRESC"], r["TRSTRESN"]) for r in made["TR"].rows if r["TRTESTCD"] == "LDIAM" and r["TRLNKID"] == "R1-T02" and r["VISIT"] == "RESTAGING 1"]
    assert small == [("TOO SMALL TO MEASURE", "5", 5.0)]
    told = {(r["RSTESTCD"], r["VISIT"]): (r["RSSTRESC"], r["RSCAT"], r["RSACPTFL"]) for r in made["RS"].rows}
    assert told["TRGRESP", "RESTAGING 1"] == told["OVRLRESP", "RESTAGING 1"] == ("PR", "RECIST 1.1", "Y")
    assert {r["TULNKID"]: r["TUSTRESC"] for r in made["TU"].rows} == dict.fromkeys(("R1-T01", "R1-T02", "R1-T03", "R1-T04"), "TARGET")


def test_that_a_lesion_is_split_merged_new_or_no_target_as_it_was_read(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s", protocol="latc-neoadjuvant", user="tester", clock=Clock()) as store:
        store.add_subject("S-1")
        visits = [store.add_visit("S-1", name, actual_date=day) for name, day in (("Baseline", "2010-01-01"), ("Restaging 1", "2010-02-18"))]
        case = CaseBuilder(store, "S-9")
        nodes = {label: store.add_node("S-1", label, "left", "unknown").node_id for label in ("T1", "T2", "T3", "T4")}

        def look(visit: int, label: str, **changes) -> None:
            case.lock(**{**NONE, "subject_id": "S-1", "visit_id": visits[visit].visit_id, "node_id": nodes[label], **changes})

        look(0, "T1", long_axis_mm=20.0)
        look(0, "T2", long_axis_mm=12.0, measurement={"lesion": {"role": "non_target"}})
        look(1, "T1", long_axis_mm=9.0, status=ReadingStatus.SPLIT_FROM, status_reason="T3")
        look(1, "T2", status=ReadingStatus.MERGED_INTO, status_reason="T1")
        look(1, "T4", long_axis_mm=11.0)
        made = {d.domain.name: d for d in datasets(store.snapshot(), load_mapping("latc-neoadjuvant"))}
    told = sorted((r["TUTESTCD"], r["TULNKID"], r["TUSTRESC"], r["TULOC"]) for r in made["TU"].rows)
    assert told == [
        ("TUMERGE", "R1-T2", "TARGET", "THYROID GLAND"), ("TUMIDENT", "R1-T1", "TARGET", "THYROID GLAND"), ("TUMIDENT", "R1-T2", "NON-TARGET", "THYROID GLAND"),
        ("TUMIDENT", "R1-T4", "NEW", "THYROID GLAND"), ("TUSPLIT", "R1-T1", "TARGET", "THYROID GLAND"),
    ]  # fmt: skip
    assert {r["QVAL"] for r in made["SUPPTU"].rows if r["QNAM"] == "OTHERTU"} == {"T3", "T1"}
    merged = [(r["TRSTAT"], r["TRREASND"]) for r in made["TR"].rows if r["TRLNKID"] == "R1-T2" and r["VISIT"] == "RESTAGING 1"]
    assert merged == [("NOT DONE", "MERGED: T1")]
    assert [r["RSSTRESC"] for r in made["RS"].rows if r["RSTESTCD"] == "OVRLRESP"] == ["PD"]  # a new lesion


# -- treatment and mapping -------------------------------------------------------------------------


def test_that_a_correction_of_a_delivery_keeps_the_pairs_identity(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s", user="tester", clock=Clock()) as store:
        case = CaseBuilder(store)
        runs = [store.save_plan_run(PLAN, subject_id="S-001", node_id=case.node.node_id, session="day0") for _ in range(2)]
        given = [store.add_delivery(r.plan_run_id, (DeliveredPair("E1", "E2", 90, 2250.0),), entered_by="Dr One") for r in runs]
        before = [(r["pair_key"], r["instance"]) for r in treatment_rows(store.snapshot())]
        store.add_delivery(runs[0].plan_run_id, (DeliveredPair("E1", "E2", 70, 2250.0),), entered_by="Dr One", replaces=given[0].delivery_id, reason="miscounted")
        rows = treatment_rows(store.snapshot())
    assert [(r["pair_key"], r["instance"]) for r in rows] == before
    assert [i for _key, i in before] == [1, 2, 101, 102]
    assert [r["delivered_pulses"] for r in rows] == [70, 0, 90, 0]
    assert [r["aborted"] for r in rows] == [False, None, False, None]  # of the second pair nothing was recorded
    assert [r["complete"] for r in rows] == [False, False, True, False]


def test_that_sessions_that_share_an_event_share_its_numbers(tmp_path: Path) -> None:
    content = json.loads((resources.files("resources") / "edc" / "ire-cervical-ln.json").read_text("utf-8")) | {"sessions": {}}
    with StudyStore.create(tmp_path / "s", user="tester", clock=Clock()) as store:
        case = CaseBuilder(store)
        case.lock("Baseline")
        for session in ("day0", "salvage", None):
            run = store.save_plan_run(PLAN, subject_id="S-001", node_id=case.node.node_id, session=session)
            store.add_delivery(run.plan_run_id, (DeliveredPair("E1", "E2", 90, 2250.0),), entered_by="Dr One")
        snapshot = store.snapshot()
    forms = [f for f in filled_forms(snapshot, mapping_from(content)) if f.form == "treatment"]
    assert [f.instance for f in forms] == [1, 2, 101, 102, 201, 202]
    assert len({f.place for f in forms}) == len(forms)
    assert write_redcap(snapshot, mapping_from(content), tmp_path / "out")["readings"] == 1
    apart = [f for f in filled_forms(snapshot, load_mapping("ire-cervical-ln")) if f.form == "treatment"]
    assert [(f.event.name, f.instance) for f in apart] == [("Day 0", 1), ("Day 0", 2), ("Salvage", 1), ("Salvage", 2), ("Unscheduled", 1), ("Unscheduled", 2)]


def test_that_what_a_check_refuses_leaves_nothing_behind(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []

    def refuse_the_second(path: Path, *_more, **_named) -> None:
        looked.append(path)
        if len(looked) == 2:
            assert all(p.is_file() for p in looked)
            raise StudyRefused("no", code="export_invalid")

    monkeypatch.setattr("app.edc.odm_write.check_file", refuse_the_second)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "snapshot.xml").write_bytes(b"of an earlier export")
    with StudyStore.open(whole.folder) as store:
        for out in ("there", "new/deep"):
            looked.clear()
            with pytest.raises(StudyRefused) as caught:
                export_study(store, "odm-2.0", tmp_path / out)
            assert caught.value.code == "export_invalid"
    assert bytes_of(tmp_path / "there") == {"snapshot.xml": b"of an earlier export"}
    assert not (tmp_path / "new").exists()


def test_that_every_shipped_trial_exports(tmp_path: Path) -> None:
    for protocol in ("mtt-liver", "rfa-crlm", "latc-neoadjuvant"):
        with StudyStore.create(tmp_path / protocol / "s", protocol=protocol, user="tester", clock=Clock()) as store:
            store.add_subject("S-1")
            visit = store.add_visit("S-1", "Baseline", actual_date="2026-01-05")
            node = store.add_node("S-1", "L1", "unknown", "unknown")
            CaseBuilder(store, "S-2").lock(subject_id="S-1", visit_id=visit.visit_id, node_id=node.node_id)
            for name in ("redcap", "odm-1.3.2", "dataset-json"):
                assert export_study(store, name, tmp_path / protocol / name)["readings"] == 1


def test_that_a_form_that_a_trial_does_not_send_is_left_out(whole: Whole, tmp_path: Path) -> None:
    content = json.loads((resources.files("resources") / "edc" / "ire-cervical-ln.json").read_text("utf-8"))
    for name in ("series_uid", "mask_sha256", "high_risk"):
        content["forms"]["reading"]["items"][name] = None
    write_redcap(whole.snapshot, mapping_from(content), tmp_path)
    head = (tmp_path / "import.csv").read_text("utf-8").split("\n")[0].split(",")
    assert not {"rd_series_uid", "rd_mask_sha256", "rd_high_risk"} & set(head)


def test_that_a_protocol_without_a_mapping_says_so(whole: Whole, tmp_path: Path) -> None:
    with StudyStore.open(whole.folder) as store:
        store.protocol = replace(store.protocol, protocol_id="some-trial", content={**store.protocol.content, "id": "some-trial", "edc": {"mapping": "some-trial"}})
        assert export_study(store, "csv", tmp_path / "csv")["readings"] == 12
        with pytest.raises(StudyRefused) as caught:
            export_study(store, "odm-2.0", tmp_path / "odm")
    assert caught.value.code == "mapping_missing"
    assert not (tmp_path / "odm").exists()


def test_that_grades_of_site_and_centre_stand_side_by_side(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s", user="tester", clock=Clock()) as store:
        case = CaseBuilder(store)
        case.lock("Day 30", enhancement_grade="1")
        case.lock("Day 30", reader="site-1", role="site", enhancement_grade="2")
        case.lock("Month 3", reader="site-1", role="site", enhancement_grade="0")
        export_study(store, "csv", tmp_path / "out")
    with open(tmp_path / "out" / "grades.csv", newline="") as handle:
        rows = [(r["visit"], r["site_grade"], r["central_grade"], r["agree"]) for r in csv.DictReader(handle)]
    assert rows == [("Day 30", "2", "1", "0"), ("Month 3", "0", "", "")]
