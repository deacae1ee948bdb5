"""What was received waits until it is in a study whole: masked, never a part for the whole, never lost."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from app.cli import main
from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases import pacs_receive as usecase
from app.usecases.pacs import send
from app.usecases.pacs_receive import (
    Receiver,
    find_received,
    import_received,
    inbox,
    load_receiver,
    mask_person,
    received_studies,
    remove_received,
    save_receiver,
)
from dicom_io.peer import PacsRefused, Peer
from tests.dicom_io.made import ct_slice, save, us_picture
from tests.dicom_io.orthanc import STUDY, free_port, write_series


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Nothing of the person who runs the tests is read or changed."""
    monkeypatch.setenv("NODUS_SETTINGS", str(tmp_path / "config" / "settings.json"))
    monkeypatch.setattr(usecase, "data_folder", lambda: tmp_path / "data")


def refused(code: str):
    return pytest.raises(PacsRefused, check=lambda error: error.code == code)


def came(folder: Path, *, series: int = 1, slices: int = 4, study: str = STUDY, lately: bool = False, **elements) -> Path:
    """A series as the receiver lays it down, a minute ago."""
    place = write_series(folder / study / f"2.25.1.{series}", slices=slices, series=series, StudyInstanceUID=study, **elements)
    age(folder, 0 if lately else 60)
    return place


def age(folder: Path, seconds: float) -> None:
    for path in folder.rglob("*.dcm"):
        os.utime(path, (time.time() - seconds,) * 2)


def write_report(folder: Path) -> Path:
    """A dose report of the same study: no picture."""
    ds = ct_slice((0, 0, 0), 1, series=90, Modality="SR", PatientID="INV-77", PatientName="Erfunden^Änne", SpecificCharacterSet="ISO_IR 192")
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.67"
    for keyword in ("Rows", "Columns", "PixelData", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation"):
        delattr(ds, keyword)
    return save(ds, folder / STUDY / "2.25.1.90" / "dose.dcm")


# ---- how it listens ------------------------------------------------------------------------------
def test_that_it_listens_on_this_computer_only_until_told_otherwise_and_is_kept(tmp_path):
    assert load_receiver() is None
    kept = Receiver("NODUS", 11113, allow=("CT1", "US2"))
    assert kept.host == "127.0.0.1"
    save_receiver(kept)
    assert load_receiver() == kept
    if os.name == "posix":
        assert inbox().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("wrong", [{"allow": ()}, {"allow": ("SEVENTEEN_LETTERS",)}, {"ae_title": ""}, {"port": 0}, {"host": ""}, {"certificate_file": "a.pem"}, {"ca_file": "ca.pem"}])
def test_that_what_cannot_listen_is_refused(wrong):
    with pytest.raises(PacsRefused):
        Receiver(**{"allow": ("CT1",), **wrong})


def test_that_a_damaged_entry_opens_nothing():
    usecase.save_entry(usecase.ENTRY, {"allow": [], "port": 104})
    assert load_receiver() is None
    usecase.save_entry(usecase.ENTRY, [1])
    assert load_receiver() is None


# ---- what has come -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "patient_id", "masked"),
    [("Erfunden^Änne", "INV-77", "E… Ä… · …77"), ("", "", "no name · no ID"), ("Doe", "12", "D… · …"), ("Yamada^Tarou=山田^太郎", "0012345", "Y… T… · …45")],
)
def test_that_a_name_is_masked(name, patient_id, masked):
    assert mask_person(name, patient_id) == masked


def test_that_what_has_come_is_told_by_study_with_counts_and_without_names(tmp_path):
    came(tmp_path, slices=3)
    came(tmp_path, series=2, slices=2)
    write_report(tmp_path)
    came(tmp_path, series=7, slices=1, study="2.25.1.9.7", PatientID="INV-99", PatientName="Other^Otto", StudyDate="20240630", lately=True)
    age(tmp_path / STUDY, 60)
    new, old = received_studies(tmp_path)
    assert (old.study_uid, old.series, old.pictures, old.others, old.study_date, old.modalities, old.is_arriving) == (STUDY, 3, 5, 1, "2025-01-13", ("CT", "SR"), False)
    assert (old.masked, old.patients) == ("E… Ä… · …77", (("INV-77", "Erfunden^Änne"),))
    assert new.is_arriving  # its last picture came just now
    assert received_studies(tmp_path, frozenset({STUDY}))[1].is_arriving
    with refused("pacs_nothing_found"):
        find_received(tmp_path, "2.25.404")


# ---- into a study --------------------------------------------------------------------------------
def test_that_it_is_imported_without_a_name_and_only_what_is_no_picture_still_waits(tmp_path, store):
    came(tmp_path / "in")
    write_report(tmp_path / "in")
    age(tmp_path / "in", 60)
    result = import_received(store, "S-001", "Baseline", find_received(tmp_path / "in", STUDY), JobContext())
    assert [len(r.files) for r in result.series] == [4]
    assert [p.name for p in (tmp_path / "in").rglob("*.dcm")] == ["dose.dcm"]
    stored = b"".join(p.read_bytes() for r in result.series for p in store.series_folder(r).iterdir())
    assert b"Erfunden" not in stored
    assert b"INV-77" not in stored
    (left,) = received_studies(tmp_path / "in")
    assert (left.pictures, left.others) == (0, 1)
    remove_received(left)
    assert received_studies(tmp_path / "in") == []


def test_that_a_study_that_is_arriving_and_one_of_several_patients_are_not_imported(tmp_path, store):
    came(tmp_path, lately=True)
    with refused("pacs_still_arriving"):
        import_received(store, "S-001", "Baseline", find_received(tmp_path, STUDY), JobContext())
    came(tmp_path, series=2, PatientID="INV-99")
    age(tmp_path, 60)
    with refused("pacs_several_patients"):
        import_received(store, "S-001", "Baseline", find_received(tmp_path, STUDY), JobContext())
    assert store.subjects() == []
    assert len(list(tmp_path.rglob("2.25.1.1/*.dcm"))) == 4


def test_that_pictures_that_come_after_an_import_are_told_and_kept(tmp_path, store):
    came(tmp_path / "in", slices=3)
    import_received(store, "S-001", "Baseline", find_received(tmp_path / "in", STUDY), JobContext())
    assert received_studies(tmp_path / "in") == []
    came(tmp_path / "in", slices=5)  # the rest of it, too
    result = import_received(store, "S-001", "Baseline", find_received(tmp_path / "in", STUDY), JobContext())
    assert (result.series, [s.code for s in result.skipped]) == ((), ["series_grew"])
    assert "3 pictures, and 5" in result.skipped[0].message
    assert find_received(tmp_path / "in", STUDY).pictures == 5


def test_that_a_picture_left_out_because_it_may_show_a_name_still_waits(tmp_path, store):
    came(tmp_path / "in")
    save(us_picture(StudyInstanceUID=STUDY), tmp_path / "in" / STUDY / "2.25.1.70" / "us.dcm")
    age(tmp_path / "in", 60)
    study = dataclasses.replace(find_received(tmp_path / "in", STUDY), patients=(("INV-77", ""),))
    result = import_received(store, "S-001", "Baseline", study, JobContext())
    assert [s.code for s in result.skipped] == ["needs_review"]
    assert (tmp_path / "in" / STUDY / "2.25.1.70" / "us.dcm").exists()


# ---- the command line ----------------------------------------------------------------------------
def said(capsys, *args) -> tuple[int, dict]:
    code = main(["pacs", *map(str, args), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_that_the_command_line_lists_imports_and_removes_what_was_received(tmp_path, capsys):
    StudyStore.create(tmp_path / "s", user="tester").close()
    with Receiver("NODUS", free_port(), allow=("CT1",)).server(inbox()) as server:
        scanner = Peer("here", "127.0.0.1", server.port, "NODUS", our_ae_title="CT1")
        send(scanner, [write_series(tmp_path / "a", slices=3), write_series(tmp_path / "b", slices=2, series=2, StudyInstanceUID="2.25.1.9.2")], JobContext())
    age(inbox(), 60)
    code, answer = said(capsys, "received")
    assert code == 0
    assert {s["study_uid"]: (s["patients"], s["pictures"]) for s in answer["studies"]} == {STUDY: ("E… Ä… · …77", 3), "2.25.1.9.2": ("E… Ä… · …77", 2)}
    assert said(capsys, "received", "--names")[1]["studies"][0]["patients"] == [{"patient_id": "INV-77", "patient_name": "Erfunden^Änne"}]
    code, answer = said(capsys, "import-received", STUDY, "--study", tmp_path / "s", "--subject", "S-001", "--visit", "Baseline")
    assert (code, answer["visit"], len(answer["series"]), answer["skipped"]) == (0, "Baseline", 1, [])
    assert said(capsys, "remove-received", "2.25.1.9.2") == (0, {"removed": "2.25.1.9.2"})
    assert said(capsys, "received")[1] == {"studies": []}
    assert said(capsys, "remove-received", STUDY)[1]["error"]["code"] == "pacs_nothing_found"
