"""After an import nothing in the study, its database, logs or thumbnails names anybody: shown by looking for bytes."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

import numpy as np
import pydicom
import pytest

from app.cli import main
from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.application import write_failure
from app.usecases.import_images import import_folder
from app.usecases.thumbnail import thumbnail
from dicom_io.deidentify.rules import table
from dicom_io.ultrasound import iso_date
from tests.dicom_io import made
from tests.dicom_io.planted import NAME, leaks, plant_everywhere, with_secrets_around

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the parser's, on what is planted


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A computer of its own: home, settings, caches and logs lie under ``tmp_path/home``."""
    place = tmp_path / "home"
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "NODUS_LOG_DIR"):
        (place / name).mkdir(parents=True)
        monkeypatch.setenv(name, str(place / name))
    return place


def _import(tmp_path, source, *more: str) -> None:
    if not (tmp_path / "study").exists():
        assert main(["study", "init", str(tmp_path / "study")]) == 0
    assert main(["study", "import", str(tmp_path / "study"), str(source), "--subject", "S-007", "--visit", "Baseline", "--confirm-all", "--json", *more]) == 0


def _everything(*folders) -> dict[str, bytes]:
    """Every file under the folders by its path: names are looked at as well."""
    return {str(p): str(p.relative_to(folder)).encode() + b"\n" + p.read_bytes() for folder in folders for p in folder.rglob("*") if p.is_file()}


def test_that_no_planted_value_is_anywhere_after_an_import(tmp_path, home, capsys):
    source = tmp_path / f"{NAME}_1963"
    planted = None
    for n, ds in enumerate((made.ct_slice((0.0, 0.0, 0.0), 1), made.us_picture([made.region((10, 10, 60, 50))]), made.us_picture([made.region((10, 10, 60, 50))], frames=3, FrameTime=20.0))):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = made.uid(70, n)
        ds.SeriesInstanceUID = made.uid(71, n)
        if n == 2:
            ds.PixelData += bytes(400)  # more than is declared: a finding that would name the file
        planted = plant_everywhere(ds, skip=("Modality",))
        path = with_secrets_around(made.save(planted, source / f"{NAME}_{n}.dcm"))
        assert len(leaks(path.read_bytes(), planted)) > 300
    _import(tmp_path, source)
    capsys.readouterr()
    with StudyStore.open(tmp_path / "study", user="tester") as store:  # open: what waits to be written to the database is there, too
        (visit,) = store.visits("S-007")
        records = store.series(visit.visit_id)
        assert [r.modality for r in records].count("US") == 2
        assert len(records) == 3
        assert "header_size_mismatch" in {f["code"] for r in records for f in r.findings}
        store.add_node("S-007", "N1", "left", "III")
        files = _everything(tmp_path / "study", home)
        assert any(name.endswith(("-wal", "-shm")) for name in files)
        true = {iso_date(pydicom.dcmread(p, stop_before_pixels=True).get(k)) for p in source.iterdir() for k in ("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")}
    assert len(files) > 4
    found = {name: left for name, raw in files.items() if (left := leaks(raw, planted))}
    assert found == {}
    # The store alone may hold the true date of a picture.
    holders = {name for name, raw in files.items() if any(d and d.encode() in raw for d in true)}
    assert all(".sqlite" in name or ".db" in name for name in holders), holders


def _identifying(ds, found: set[bytes]) -> set[bytes]:
    for element in ds:
        if element.VR == "SQ":
            for entry in element.value:
                _identifying(entry, found)
        elif int(element.tag) in table() and element.keyword != "SOPClassUID":
            for value in element.value if isinstance(element.value, pydicom.multival.MultiValue) else [element.value]:
                raw = value if isinstance(value, bytes) else str(value).encode()
                if len(raw) >= 4:
                    found.add(raw)
    return found


def test_that_no_value_of_the_shared_ultrasound_files_is_in_the_study_after_an_import(shared_data, tmp_path, home, capsys):
    values: set[bytes] = set()
    for path in sorted((shared_data / "us_dicom").glob("*.dcm")):
        _identifying(pydicom.dcmread(path, stop_before_pixels=True), values)
    values -= {b"0.000000", b"Uncompressed"}  # also in a time at noon, and in a word of the standard's own
    assert len(values) > 120
    _import(tmp_path, shared_data / "us_dicom")
    capsys.readouterr()
    with StudyStore.open(tmp_path / "study", user="tester") as store:
        (visit,) = store.visits("S-007")
        records = store.series(visit.visit_id)
        assert len(records) >= 12
        files = _everything(tmp_path / "study", home)
        # A thumbnail shows what the stored picture shows: nothing outside the regions.
        for record in records[:4]:
            assert thumbnail(store, record, (60, 80)).shape == (60, 80)
        stored_names = {os.path.basename(name) for name in files}
    assert not {p.name for p in (shared_data / "us_dicom").iterdir()} & stored_names
    # The program's own moments, its random identifiers and its hashes have digits enough to hold a short number by chance.
    files = {name: re.sub(rb"\d\d:\d\d:\d\d\.\d+|2\.25\.\d{30,}|[0-9a-f]{32,}", b"", raw) for name, raw in files.items()}
    found = {(name.rsplit("/", 1)[-1], v) for name, raw in files.items() for v in values if v in raw}
    assert found == set()


def test_that_thumbnails_are_black_where_pictures_were_masked(tmp_path, home, capsys):
    ds = made.us_picture([made.region((40, 0, 79, 59))], BurnedInAnnotation="NO")
    made.add_pixels(ds, np.full((60, 80), 200, np.uint8))
    made.save(ds, tmp_path / "in" / "a.dcm")
    _import(tmp_path, tmp_path / "in")
    capsys.readouterr()
    with StudyStore.open(tmp_path / "study", user="tester") as store:
        (record,) = store.series(store.visits("S-007")[0].visit_id)
        small = thumbnail(store, record, (30, 40))
    assert not small[:, :20].any()
    assert (small[:, 21:] == 200).all()


def test_that_an_unexpected_error_in_an_import_writes_no_name_into_the_log(tmp_path, home, monkeypatch, capsys):
    made.save(made.ct_slice((0.0, 0.0, 0.0), 1, PatientName=NAME), tmp_path / NAME / f"{NAME}.dcm")
    monkeypatch.setattr("app.usecases.import_images.clean_copy", lambda paths, *_a, **_k: (Path("/nowhere") / paths[0].name).read_bytes())
    with StudyStore.create(tmp_path / "study", user="tester") as store:
        with pytest.raises(FileNotFoundError) as broken:
            import_folder(store, "S-007", "Baseline", tmp_path / NAME, JobContext())
        write_failure("".join(traceback.format_exception(broken.value)))
    files = _everything(tmp_path / "study", home)
    assert any(name.endswith("failures.log") and b"FileNotFoundError" in raw for name, raw in files.items())
    assert {name for name, raw in files.items() if NAME.encode() in raw} == set()
