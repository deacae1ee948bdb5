"""True dates stay in the store; what leaves as DICOM is shifted; dates that came shifted are marked in every export."""

from __future__ import annotations

import csv
import datetime as dt
import json

import pydicom
import pytest

from app.cli import main
from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.import_images import import_folder, open_record
from app.usecases.readings import find_node, find_visit, save_reading
from app.usecases.trial_identity import study_key
from dicom_io.deidentify import days_back
from tests.dicom_io import made
from tests.factories import write_ellipsoid_ct

TRUE = {"Baseline": "20240229", "Day 30": "20240331"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A CT of an ellipsoid for each of two visits, with their true dates, and its mask."""
    folder = tmp_path_factory.mktemp("dates")
    for name, day in TRUE.items():
        case = write_ellipsoid_ct(folder / name, shape=(12, 24, 24), semi_axes_mm=(4.0, 4.0, 4.0))
        for n, path in enumerate(sorted((folder / name).rglob("*.dcm"))):
            ds = pydicom.dcmread(path)
            ds.StudyInstanceUID, ds.SeriesInstanceUID = made.uid(80, int(day)), made.uid(81, int(day))
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = made.uid(82, int(day), n)
            ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day
            ds.StudyTime = ds.AcquisitionTime = "091733"
            ds.save_as(path)
    return folder, case.truth


def _locked(store, truth) -> None:
    store.add_node("S-001", "N1", "left", "III")
    for name in TRUE:
        visit = find_visit(store, "S-001", name)
        image = open_record(store, store.series(visit.visit_id)[0], JobContext())
        reading = save_reading(store, visit, find_node(store, "S-001", "N1"), reader="Reader A", modality="CT", mask=truth, image=image)
        store.lock_reading(reading.reading_id, "Reader A", "measured by me")


def _rows(folder, name: str) -> list[dict]:
    with open(folder / name, newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("shifted", [False, True])
def test_that_tables_carry_true_dates_and_say_where_they_are_not_and_dicom_carries_shifted_ones(pictures, tmp_path, capsys, shifted):
    folder, truth = pictures
    assert main(["study", "init", str(tmp_path / "study")]) == 0
    for name in TRUE:
        capsys.readouterr()
        more = ["--dates-shifted"] if shifted else []
        assert main(["study", "import", str(tmp_path / "study"), str(folder / name), "--subject", "S-001", "--visit", name, "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)["dates_shifted"] is shifted
    with StudyStore.open(tmp_path / "study", user="tester") as store:
        _locked(store, truth)
        moved = dt.timedelta(days=days_back("S-001", study_key(store)))
    for format_ in ("csv", "dicom-sr", "dicom-seg", "dicom-rtstruct"):
        assert main(["export", str(tmp_path / "study"), "--format", format_, "--out", str(tmp_path / format_)]) == 0
    rows = _rows(tmp_path / "csv", "readings.csv")
    assert [(r["scan_date"], r["dates_shifted"]) for r in rows] == [("2024-02-29", "NY"[shifted]), ("2024-03-31", "NY"[shifted])]
    assert {r["dates_shifted"] for r in _rows(tmp_path / "csv", "vrr.csv")} == {"NY"[shifted]}
    told = {f"{dt.datetime.strptime(day, '%Y%m%d') - moved:%Y%m%d}" for day in TRUE.values()}
    for format_ in ("dicom-sr", "dicom-seg", "dicom-rtstruct"):
        objects = list((tmp_path / format_).rglob("*.dcm"))
        assert {pydicom.dcmread(p).StudyDate for p in objects} == told
        assert {pydicom.dcmread(p).LongitudinalTemporalInformationModified for p in objects} == {"MODIFIED"}
        assert not any(day.encode() in p.read_bytes() for p in objects for day in TRUE.values())


def test_that_a_header_that_says_so_marks_the_subject(pictures, tmp_path):
    folder, truth = pictures
    for path in sorted((folder / "Baseline").rglob("*.dcm")):
        ds = pydicom.dcmread(path)
        ds.LongitudinalTemporalInformationModified = "MODIFIED"
        made.save(ds, tmp_path / "in" / path.name)
    with StudyStore.create(tmp_path / "study", user="tester") as store:
        import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext())
        # A true date beside shifted ones would give a wrong interval: the visit gets none.
        result = import_folder(store, "S-001", "Day 30", folder / "Day 30", JobContext())
        assert result.visit.actual_date is None
        assert "dates_mixed" in {f["code"] for r in result.series for f in r.findings}
        _locked(store, truth)
        export_study(store, "csv", tmp_path / "csv")
    assert {r["dates_shifted"] for r in _rows(tmp_path / "csv", "readings.csv")} == {"Y"}


def test_that_pictures_without_a_date_are_marked_where_a_person_says_so(tmp_path):
    made.ct_stack(tmp_path / "in", [0.0, 2.0, 4.0])
    with StudyStore.create(tmp_path / "study", user="tester") as store:
        import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext(), dates_shifted=True)
        (subject,) = store.subjects()
        assert subject.dates_shifted
        assert any("says that their dates were shifted" in (e.get("reason") or "") for e in store.events())
