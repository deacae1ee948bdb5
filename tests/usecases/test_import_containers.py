"""An archive, a medium or a file with several volumes comes into a study as its pictures, each once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.import_images import import_folder, open_record
from dicom_io.masks import read_masks
from dicom_io.seg_write import write_seg
from tests.dicom_io.made import STAMP, ct_slice, save
from tests.dicom_io.made_enhanced import ENHANCED_MR, Frame, enhanced, item
from volumetry.mask import NodeMask

NAME = "Quillfeather^Zephyrine"


@pytest.fixture
def store(tmp_path):
    with StudyStore.create(tmp_path / "study") as made:
        yield made


def stack(folder: Path) -> None:
    for n in range(4):
        save(ct_slice((0, 0, 2.0 * n), n + 1, PatientName=NAME, PatientID="HOSP-1"), folder / f"{n}.dcm")


def test_that_an_archive_is_imported_like_its_folder_and_not_unpacked_into_the_study(store, tmp_path):
    stack(tmp_path / "ct")
    with zipfile.ZipFile(tmp_path / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((tmp_path / "ct").iterdir()):
            archive.write(file, file.name)
    result = import_folder(store, "S-001", "Baseline", tmp_path / "ct.zip", JobContext())
    (record,) = result.series
    opened = open_record(store, record, JobContext())
    assert opened.array[:, 0, 0].tolist() == [1001 - 1024, 1002 - 1024, 1003 - 1024, 1004 - 1024]
    written = b"".join(p.read_bytes() for p in (tmp_path / "study").rglob("*") if p.is_file())
    assert b"Quillfeather" not in written
    assert b"HOSP-1" not in written
    # the same pictures as a folder are the same series
    assert import_folder(store, "S-001", "Baseline", tmp_path / "ct", JobContext()).series == ()


def test_that_two_volumes_of_one_file_are_two_records_that_open_as_themselves(store, tmp_path):
    frames = [
        Frame((0, 0, 2.0 * n), np.full((6, 5), 100 * (echo + 1) + n, np.int16), macros={"MREchoSequence": item(EffectiveEchoTime=2.0 + echo)})
        for n in range(3)
        for echo in range(2)
    ]
    save(enhanced(frames, sop_class=ENHANCED_MR, modality="MR"), tmp_path / "mr" / "e.dcm")
    result = import_folder(store, "S-001", "Baseline", tmp_path / "mr", JobContext())
    assert [r.series_uid.rpartition("#")[2] for r in result.series] == ["1", "2"]
    opened = [open_record(store, r, JobContext()) for r in result.series]
    assert [o.array[:, 0, 0].tolist() for o in opened] == [[100, 101, 102], [200, 201, 202]]
    assert import_folder(store, "S-001", "Baseline", tmp_path / "mr", JobContext()).series == ()

    # an outline on the second is written on the frames of the second
    array = np.zeros(opened[1].geometry.shape, dtype=bool)
    array[1, 2:4, 1:3] = True
    folder = store.series_folder(result.series[1])
    path = write_seg([NodeMask(array, opened[1].geometry)], [folder / f for f in result.series[1].files], tmp_path / "out.dcm", STAMP)
    (back,) = read_masks(path)
    assert int(back.array.sum()) == len(np.argwhere(array))
