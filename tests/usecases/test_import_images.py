"""Pictures come into a study whole, once, and without a name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest

from app.jobs import CancelToken, JobContext
from app.study.store import StudyStore
from app.usecases.import_images import import_folder, open_record
from tests.dicom_io import made
from tests.factories import write_ellipsoid_ct, write_ultrasound_still
from volumetry.errors import Cancelled, NodusError
from volumetry.image import Cine

NAMING = {
    "PatientName": "Zephyrine^Quillfeather^Dr",
    "PatientID": "HOSP-77123456",
    "PatientBirthDate": "19310203",
    "PatientAddress": "14 Larkspur Crescent, Wexborough",
    "InstitutionName": "Saint Ottokar Infirmary",
    "InstitutionAddress": "1 Ottokar Square",
    "ReferringPhysicianName": "Bombazine^Ludovica",
    "OperatorsName": "Threnody^Ansel",
    "StationName": "OTTOKAR-CT3",
    "AccessionNumber": "ACC9988776",
    "StudyID": "SID554433",
    "StudyDescription": "Neck of Quillfeather",
    "SeriesDescription": "for Dr Bombazine",
    "ImageComments": "call 0555 017 2233",
    "PatientComments": "neighbour of Ludovica",
    "StudyDate": "20231107",
    "SeriesDate": "20231107",
    "AcquisitionDate": "20231107",
    "ContentDate": "20231107",
    "AcquisitionTime": "091733.25",
    "DeviceSerialNumber": "SN-4456-OTTO",
    "ProtocolName": "Quillfeather neck",
}
# What must be in no byte of the study: each value above but the acquisition date, which the store alone may hold.
WORDS = (
    "Quillfeather", "Zephyrine", "HOSP-77123456", "19310203", "Larkspur", "Ottokar", "OTTOKAR", "Bombazine", "Threnody", "ACC9988776", "SID554433", "0555 017",
    "Ludovica", "091733", "SN-4456", "wexborough_scan",
)  # fmt: skip


def context() -> JobContext:
    return JobContext()


def files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def named_series(folder: Path) -> Path:
    """A CT of four slices that names everybody, in a folder and files that name them too."""
    place = folder / "wexborough_scan_Quillfeather"
    for n in range(4):
        ds = made.ct_slice((0.0, 0.0, 2.5 * n), n + 1, **NAMING)
        ds.add_new(0x00091010, "LO", "private Quillfeather")
        ds.add_new(0x00090010, "LO", "OTTOKAR PRIVATE")
        ds.add_new(0x00400275, "SQ", [pydicom.Dataset()])
        ds[0x00400275].value[0].RequestedProcedureDescription = "Quillfeather, left"
        made.save(ds, place / f"Quillfeather_{n}.dcm")
    return place


def split_series(folder: Path) -> Path:
    """One series UID that really is two stacks: other pixel spacing, another place."""
    for n in range(5):
        made.save(made.ct_slice((0.0, 0.0, 2.0 * n), n + 1, array=np.full((6, 5), 1100, np.int16)), folder / f"a{n}.dcm")
    for n in range(3):
        made.save(made.ct_slice((0.0, 0.0, 4.0 * n), n + 11, pixel_spacing=(0.4, 0.4), array=np.full((6, 5), 1200, np.int16)), folder / f"b{n}.dcm")
    return folder


# ---- what comes in -------------------------------------------------------------------------


def test_that_a_series_is_read_back_from_the_study_as_it_was(store, tmp_path):
    case = write_ellipsoid_ct(tmp_path / "in")
    result = import_folder(store, "S-001", "Baseline", tmp_path / "in", context())
    (record,) = result.series
    volume = open_record(store, record, context())
    assert np.array_equal(volume.array, case.image.array)
    assert volume.geometry.same_grid(case.image.geometry)
    assert (record.kind, record.modality, volume.unit) == ("volume", "CT", "HU")


def test_that_a_second_import_of_the_same_pictures_changes_nothing(store, tmp_path):
    write_ellipsoid_ct(tmp_path / "in")
    first = import_folder(store, "S-001", "Baseline", tmp_path / "in", context())
    files, events = files_of(store.folder / "images"), store.head().events
    again = import_folder(store, "S-001", "Baseline", tmp_path / "in", context())
    assert again.series == ()
    assert again.visit == first.visit
    assert files_of(store.folder / "images") == files
    assert store.head().events == events


def test_that_both_parts_of_a_split_series_are_kept_and_can_be_read(store, tmp_path):
    result = import_folder(store, "S-001", "Baseline", split_series(tmp_path / "in"), context())
    volumes = sorted((open_record(store, r, context()) for r in result.series), key=lambda v: v.geometry.shape[0])
    assert [v.geometry.shape for v in volumes] == [(3, 6, 5), (5, 6, 5)]
    assert [v.geometry.spacing_mm for v in volumes] == [pytest.approx((0.4, 0.4, 4.0)), pytest.approx((0.5, 0.8, 2.0))]
    assert [int(v.array[0, 0, 0]) for v in volumes] == [176, 76]
    assert len({r.series_uid for r in result.series}) == 2
    assert all("mixed_series_split" in {f["code"] for f in r.findings} for r in result.series)
    assert import_folder(store, "S-001", "Baseline", tmp_path / "in", context()).series == ()


def test_that_stills_of_one_series_are_pictures_of_their_own(store, tmp_path):
    (tmp_path / "in").mkdir()
    for n in (1, 2, 3):
        write_ultrasound_still(tmp_path / "in" / f"still{n}.dcm", instance=n)
    assert len({pydicom.dcmread(p).SeriesInstanceUID for p in files_of(tmp_path / "in")}) == 1
    result = import_folder(store, "S-001", "Baseline", tmp_path / "in", context())
    assert [r.kind for r in result.series] == ["still"] * 3
    assert len({r.series_uid for r in result.series}) == 3
    assert all(isinstance(open_record(store, r, context()), Cine) and len(r.files) == 1 for r in result.series)


def test_that_a_folder_without_pictures_is_refused(store, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.txt").write_text("no picture")
    with pytest.raises(NodusError) as refused:
        import_folder(store, "S-001", "Baseline", tmp_path / "in", context())
    assert refused.value.code == "nothing_to_import"
    assert store.subjects() == []


def test_that_an_absent_folder_is_refused(store, tmp_path):
    with pytest.raises(NodusError) as refused:
        import_folder(store, "S-001", "Baseline", tmp_path / "nowhere", context())
    assert refused.value.code in ("file_missing", "not_found")


def test_that_a_name_is_no_pseudonym_and_nothing_is_written_then(store, tmp_path):
    write_ellipsoid_ct(tmp_path / "in", shape=(12, 24, 24), semi_axes_mm=(4.0, 4.0, 4.0))
    with pytest.raises(NodusError) as refused:
        import_folder(store, "Doe^Jane", "Baseline", tmp_path / "in", context())
    assert refused.value.code == "pseudonym_refused"
    assert files_of(store.folder / "images") == []


def test_that_one_series_that_cannot_be_cleaned_does_not_stop_the_others(store, tmp_path, monkeypatch):
    from app.usecases import import_images

    split_series(tmp_path / "in")
    real, calls = import_images.clean_copy, []

    def failing(files, *args, **kwargs):
        calls.append(files)
        if len(calls) == 1:
            raise NodusError("It did not read back.", code="write_failed")
        return real(files, *args, **kwargs)

    monkeypatch.setattr(import_images, "clean_copy", failing)
    result = import_folder(store, "S-001", "Baseline", tmp_path / "in", context())
    assert len(result.series) == 1
    assert [s.code for s in result.skipped] == ["write_failed"]
    calls.clear()
    shutil.rmtree(tmp_path / "in")
    write_ultrasound_still(tmp_path / "still.dcm")
    with pytest.raises(NodusError) as refused:  # the only one there was
        import_folder(store, "S-001", "Baseline", tmp_path / "still.dcm", context())
    assert refused.value.code == "write_failed"


# ---- nobody is named -------------------------------------------------------------------------


def test_that_no_byte_of_the_study_names_anybody(store, tmp_path):
    result = import_folder(store, "S-001", "Baseline", named_series(tmp_path), context())
    store.close()
    assert len(result.series) == 1
    there = files_of(store.folder)
    assert len(there) >= 6  # pictures, database, anchor
    found = []
    for path in there:
        data = path.read_bytes()
        for word in WORDS:
            for coded in (word.encode("utf-8"), word.encode("utf-16-le"), word.encode("utf-16-be")):
                if coded in data or word in path.as_posix().removeprefix(tmp_path.as_posix()):
                    found.append((path.name, word))
    assert found == []


def test_that_the_words_looked_for_are_really_in_the_source(tmp_path):
    data = b"".join(p.read_bytes() for p in files_of(named_series(tmp_path)))
    assert [w for w in WORDS if w.encode() not in data] == ["wexborough_scan"]  # that one names the folder


def test_that_the_true_acquisition_date_is_in_the_store_and_in_no_picture(store, tmp_path):
    result = import_folder(store, "S-001", "Baseline", named_series(tmp_path), context())
    assert result.visit.actual_date == "2023-11-07"
    assert store.visits("S-001")[0].actual_date == "2023-11-07"
    for path in files_of(store.folder / "images"):
        assert b"20231107" not in path.read_bytes()
        assert b"2023-11-07" not in path.read_bytes()


def test_that_uids_are_mapped_alike_in_one_study_and_unlike_in_another(tmp_path):
    source = named_series(tmp_path)
    uids = []
    for n in range(2):
        with StudyStore.create(tmp_path / f"study{n}") as store:
            a = import_folder(store, "S-001", "Baseline", source, context()).series[0].series_uid
            b = import_folder(store, "S-001", "Day 30", source, context()).series[0].series_uid
        assert a == b
        uids.append(a)
    original = pydicom.dcmread(files_of(source)[0]).SeriesInstanceUID
    assert len({*uids, original}) == 3


# ---- stopping --------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", range(1, 9))
def test_that_a_cancelled_import_leaves_whole_series_or_none(store, tmp_path, stop_at):
    split_series(tmp_path / "in")
    token, seen = CancelToken(), []

    def listener(_event) -> None:
        seen.append(1)
        if len(seen) == stop_at:
            token.cancel()

    try:
        import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext(listener, token))
    except Cancelled:
        pass
    else:
        assert len(seen) <= stop_at
    recorded = [r for v in store.visits() for r in store.series(v.visit_id)]
    for record in recorded:
        assert all((store.series_folder(record) / f).is_file() for f in record.files)
        assert len(open_record(store, record, context()).array) == len(record.files)
    on_disk = {p.relative_to(store.folder).as_posix() for p in files_of(store.folder / "images")}
    assert on_disk == {f"{r.folder}/{f}" for r in recorded for f in r.files}


def test_that_pictures_of_several_patients_are_never_one_subject_without_a_word(tmp_path):
    for n, patient in enumerate(("A", "A", "B")):
        made.save(made.ct_slice((0.0, 0.0, 2.0 * n), n + 1, PatientID=patient), tmp_path / "in" / f"{n}.dcm")
    with StudyStore.create(tmp_path / "study") as store:
        result = import_folder(store, "S-001", "Baseline", tmp_path / "in", context())
        assert [(f.code, f.severity) for f in result.findings] == [("several_patients", "serious")]
        assert "2 different patients" in result.findings[0].message
        assert [s.findings[0]["code"] for s in result.series] == ["several_patients"] * 2  # each patient's slices are a stack of their own
        alone = import_folder(store, "S-001", "Day 30", tmp_path / "in" / "2.dcm", context())
        assert alone.findings == ()


def test_that_of_two_pictures_of_one_identity_the_one_left_out_is_told(tmp_path):
    for name, delta in (("a", (0.02, 0.02)), ("b", (0.04, 0.04))):
        made.save(made.us_picture([made.region((4, 4, 75, 55), delta=delta)], BurnedInAnnotation="NO"), tmp_path / "in" / f"{name}.dcm")
    with StudyStore.create(tmp_path / "study") as store:
        result = import_folder(store, "S-001", "Baseline", tmp_path / "in", context(), confirm_all=True)
        assert len(result.series) == 1
        assert [(s.file, s.code) for s in result.skipped] == [("b.dcm", "duplicate_slice")]
        again = import_folder(store, "S-001", "Baseline", tmp_path / "in" / "a.dcm", context(), confirm_all=True)
        assert (again.series, again.skipped) == ((), ())
