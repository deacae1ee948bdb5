"""Clean copies for sharing: a table of what was changed, what waits for a person, and a key that stays outside."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest

from app.cli import main
from app.jobs import CancelToken, JobContext, Progress
from app.study.store import StudyStore
from app.usecases.deidentify import deidentify, key_and_trial, read_key
from app.usecases.import_images import import_folder
from app.usecases.trial_identity import set_site, study_key
from tests.dicom_io import made
from tests.dicom_io.test_deidentify_pixels import speckle, us_of, write
from volumetry.errors import Cancelled, NodusError

KEY = b"0123456789abcdef0123456789abcdef"
NAMED = {"PatientName": "Quillfeather^Zephyrine", "PatientID": "HOSP-77123456", "StudyDate": "20240301", "StudyTime": "091733", "InstitutionName": "Saint Ottokar"}


@pytest.fixture
def heap(tmp_path) -> Path:
    """Two CT slices, a masked still, one without regions, one with a name in the picture, a letter."""
    folder = tmp_path / "Quillfeather"
    for n in (1, 2):
        made.save(made.ct_slice((0, 0, 2.0 * n), n, **NAMED), folder / f"ct{n}.dcm")
    inside = [made.region((20, 20, 220, 170))]
    for n, (name, ds) in enumerate(
        {
            "still": us_of(speckle(180, 240), inside, **NAMED),
            "none": us_of(speckle(180, 240), [], **NAMED),
            "name": us_of(write(speckle(180, 240), "DOE, JOHN", (40, 100), 16), inside, **NAMED),
        }.items()
    ):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = made.uid(60, n)
        made.save(ds, folder / "us" / f"{name}.dcm")
    (folder / "letter.txt").write_text("Dear Quillfeather")
    return folder


def run(heap: Path, out: Path, **options):
    return deidentify(heap, out, options.pop("profile", "trial"), KEY, context=JobContext(), **options)


def test_that_clean_files_are_written_and_doubtful_ones_wait(heap, tmp_path):
    out = tmp_path / "out"
    result = run(heap, out)
    assert len(result["files"]) == 3
    assert {r["file"] for r in result["needs_review"] if r["held"]} == {"us/none.dcm", "us/name.dcm"}
    assert {r["reason"] for r in result["needs_review"]} == {"no_regions", "text_in_picture", "burned_in_not_stated"}
    assert [s["code"] for s in result["skipped"]] == ["not_dicom"]
    assert result["masked_pixels"] == 180 * 240 - 201 * 151
    there = sorted(p for p in out.rglob("*") if p.is_file())
    assert {p.relative_to(out).as_posix() for p in there} == {f["path"] for f in result["files"]} | {"deidentification.csv", "deidentification.json"}
    assert not any(word in p.read_bytes() or word.decode() in str(p.relative_to(out)) for p in there for word in (b"Quillfeather", b"HOSP-77", b"Ottokar", b"091733", b"20240301"))
    assert not any(out.glob(".*"))


def test_that_the_report_tells_each_element_and_never_its_value(heap, tmp_path):
    result = run(heap, tmp_path / "out")
    with open(tmp_path / "out" / "deidentification.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [{**c, "count": str(c["count"])} for c in result["changed"]] == rows
    told = {(r["keyword"], r["action"]): int(r["count"]) for r in rows}
    assert told[("PatientName", "replaced")] >= 3
    assert told[("InstitutionName", "removed")] == 3
    assert told[("StudyDate", "shifted")] == 3
    assert told[("SOPInstanceUID", "mapped")] == 3
    assert told[("PixelData", "masked")] == 1
    assert all(re.fullmatch(r"\([0-9A-F]{4},[0-9A-F]{4}\)", r["tag"]) for r in rows)
    assert not any(word in json.dumps(result["changed"]) for word in ("Quill", "HOSP", "Ottokar", "2024"))


def test_that_a_person_can_let_a_picture_go_whole_or_in_part(heap, tmp_path):
    from dicom_io.deidentify import Confirmed

    result = run(heap, tmp_path / "out", confirmed={"us/none.dcm": Confirmed(((50, 50, 100, 90),)), "us/name.dcm": Confirmed()})
    assert len(result["files"]) == 5
    assert not any(r["held"] for r in result["needs_review"])
    pictures = [pydicom.dcmread(tmp_path / "out" / f["path"]) for f in result["files"] if f["confirmed"]]
    kept = {int((p.pixel_array > 0).any(axis=0).sum()) for p in pictures}
    assert kept == {51, 201}
    assert len(run(heap, tmp_path / "all", confirm_all=True)["files"]) == 5


def test_that_the_same_key_gives_the_same_bytes_and_another_does_not(heap, tmp_path):
    first, again = run(heap, tmp_path / "1"), run(heap, tmp_path / "2")
    assert first["files"] == again["files"]
    other = deidentify(heap, tmp_path / "3", "trial", b"another key, as long as the other", context=JobContext())
    assert not {f["path"] for f in other["files"]} & {f["path"] for f in first["files"]}


def test_that_one_patient_is_one_pseudonym_and_two_are_two(tmp_path):
    for n, patient in enumerate(("A-1", "A-1", "B-2"), start=1):
        made.save(made.ct_slice((0, 0, float(n)), n, series=n, PatientID=patient), tmp_path / "in" / f"{n}.dcm")
    result = run(tmp_path / "in", tmp_path / "out")
    subjects = [f["path"].split("/")[0] for f in result["files"]]
    assert subjects[0] == subjects[1] != subjects[2]
    stated = run(tmp_path / "in", tmp_path / "one", subject="S-007")
    assert {f["path"].split("/")[0] for f in stated["files"]} == {"S-007"}
    assert [w["code"] for w in stated["warnings"]] == ["several_patients"]


def test_that_originals_and_copies_never_share_a_folder(heap, tmp_path):
    for out in (heap, heap / "clean", tmp_path):
        with pytest.raises(NodusError) as refused:
            run(heap, out)
        assert refused.value.code == "folder_not_empty"
    with pytest.raises(NodusError) as refused:
        run(tmp_path / "nowhere", tmp_path / "out")
    assert refused.value.code == "file_missing"
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("no")
    with pytest.raises(NodusError) as refused:
        run(tmp_path / "letters", tmp_path / "out")
    assert refused.value.code == "nothing_to_clean"


def test_that_a_cancelled_run_leaves_nothing(heap, tmp_path):
    token = CancelToken()

    def listener(event: Progress) -> None:
        if event.fraction and event.fraction > 0.3:
            token.cancel()

    with pytest.raises(Cancelled):
        deidentify(heap, tmp_path / "out", "trial", KEY, context=JobContext(listener, token))
    assert list((tmp_path / "out").iterdir()) == []


def test_that_the_key_is_made_once_is_private_and_never_lies_in_the_export(tmp_path):
    key = read_key(tmp_path / "keys" / "k")
    assert key == read_key(tmp_path / "keys" / "k")
    assert len(key) >= 32
    assert (tmp_path / "keys" / "k").stat().st_mode & 0o077 == 0
    (tmp_path / "short").write_bytes(b"abc")
    for out, file in ((tmp_path / "keys", tmp_path / "keys" / "k"), (tmp_path / "out", tmp_path / "short")):
        with pytest.raises(NodusError) as refused:
            key_and_trial(out, study=None, key_file=file, subject=None, visit=None)
        assert refused.value.code == "key_refused"


def test_that_a_lost_or_another_key_is_told_before_anything_is_written(heap, tmp_path, capsys):
    key, first, more = tmp_path / "k", tmp_path / "first", tmp_path / "more"
    ct = heap / "ct1.dcm"

    def go(out: Path, key_file: Path, *options: str) -> tuple[int, dict]:
        code = main(["deidentify", str(ct), str(out), "--key", str(key_file), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    assert go(first, key)[0] == 0
    again = go(more, key, "--like", str(first))
    assert again[0] == 0
    for options, code in (((tmp_path / "lost", first), "key_missing"), ((tmp_path / "other", first), "key_differs"), ((key, heap), "key_record_missing")):
        (tmp_path / "other").write_text("another key of more than thirty-two characters")
        answer = go(tmp_path / "out", options[0], "--like", str(options[1]))
        assert (answer[0], answer[1]["error"]["code"]) == (3, code)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "lost").exists()
    record = json.loads((first / "deidentification.json").read_text())
    assert record["key_check"] == again[1]["key_check"]
    assert not any(key.read_bytes().strip() in p.read_bytes() for p in first.rglob("*") if p.is_file())


def test_that_a_study_whose_key_is_gone_or_damaged_takes_no_more_pictures(heap, tmp_path):
    with StudyStore.create(tmp_path / "study", user="tester") as store:
        import_folder(store, "S-001", "Baseline", heap / "ct1.dcm", JobContext())
        store.set_setting("uid_key", "no key", reason="a test")
        with pytest.raises(NodusError) as refused:
            import_folder(store, "S-001", "Day 30", heap / "ct2.dcm", JobContext())
        assert refused.value.code == "key_refused"
        store.set_setting("uid_key", None, reason="a test")
        with pytest.raises(NodusError) as refused:
            import_folder(store, "S-001", "Day 30", heap / "ct2.dcm", JobContext())
        assert refused.value.code == "key_missing"


def test_that_copies_made_with_a_studys_key_match_what_the_study_holds(heap, tmp_path):
    with StudyStore.create(tmp_path / "study", user="tester") as store:
        set_site(store, "S-001", "012")
        result = import_folder(store, "S-001", "Baseline", heap, JobContext(), confirm_all=True)
        stored = {f.removesuffix(".dcm") for s in result.series for f in s.files}
        assert len(stored) == 5
        key = study_key(store)
    found, trial = key_and_trial(tmp_path / "out", study=tmp_path / "study", key_file=None, subject="S-001", visit="Baseline")
    assert found == key
    shared = deidentify(heap, tmp_path / "out", "trial", found, subject="S-001", trial=trial, confirm_all=True, context=JobContext())
    assert {Path(f["path"]).stem for f in shared["files"]} == stored
    ds = pydicom.dcmread(tmp_path / "out" / shared["files"][0]["path"])
    assert (ds.ClinicalTrialProtocolID, ds.ClinicalTrialSiteID, ds.ClinicalTrialTimePointID) == ("ire-cervical-ln/2", "012", "Baseline")
    assert ds.LongitudinalTemporalOffsetFromEvent == 0.0
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or (key not in path.read_bytes() and key.hex().encode() not in path.read_bytes())


def test_that_the_command_answers_as_promised(heap, tmp_path, capsys):
    code = main(["deidentify", str(heap), str(tmp_path / "out"), "--profile", "trial", "--key", str(tmp_path / "k"), "--keep", "us/none.dcm=50,50,100,90", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert {"files", "changed", "masked_pixels", "needs_review"} <= set(answer)
    assert len(answer["files"]) == 4
    assert main(["deidentify", str(heap), str(tmp_path / "other"), "--profile", "nonsense", "--key", str(tmp_path / "k"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "profile_missing"
    assert main(["deidentify", str(heap), str(tmp_path / "plain"), "--key", str(tmp_path / "k")]) == 0
    told = capsys.readouterr().out
    assert "2 pictures need a person's eye" in told
    assert main(["deidentify", str(heap), str(tmp_path / "x"), "--keep", "us/none.dcm=5,5,1"]) == 2


def test_that_pixels_of_slices_are_untouched(heap, tmp_path):
    result = run(heap, tmp_path / "out")
    slices = [pydicom.dcmread(tmp_path / "out" / f["path"]) for f in result["files"]]
    values = sorted({int(np.unique(s.pixel_array)[0]) for s in slices if s.Modality == "CT"})
    assert values == [1001, 1002]
