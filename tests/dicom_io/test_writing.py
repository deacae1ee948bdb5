"""What all written objects share: identities, times, and nothing half-written."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pydicom
import pytest

from dicom_io.ct import read_volume
from dicom_io.document import write_key_image, write_pdf
from dicom_io.parametric_map import write_field_map
from dicom_io.report import NodeReport, write_report
from dicom_io.rtstruct_write import write_rtstruct
from dicom_io.seg_write import write_seg
from dicom_io.writing import Stamp, new_object, replaced_when_checked
from tests.dicom_io.test_seg_write import nodes, series
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry

WHEN = dt.datetime(2026, 3, 1, 12, 30, 5, tzinfo=dt.UTC)


def test_that_new_uids_are_legal_and_differ():
    made = {Stamp("0.1").uid("instance") for _ in range(50)} | {Stamp("0.1", "a").uid(w) for w in ("series", "instance")} | {Stamp("0.1", "b").uid("series")}
    assert len(made) == 53
    assert all(u.is_valid and u.startswith("2.25.") and len(u) <= 64 for u in made)


def test_that_writing_the_same_thing_twice_gives_the_same_bytes(tmp_path):
    ct = series(tmp_path / "ct")
    geometry = read_volume(ct).geometry
    header = pydicom.dcmread(ct.paths[0])
    grid = ImageGeometry.from_spacing((3, 4, 5), (1.0, 1.0, 2.0))

    def write(folder, seed):
        stamp = Stamp("0.1", seed, WHEN)
        return [
            write_seg(nodes(geometry), ct.paths, folder / "seg.dcm", stamp),
            write_rtstruct(nodes(geometry), ct.paths, folder / "rs.dcm", stamp),
            write_report([NodeReport("N1", "2.25.1", volume_ml=1.0)], [header], folder / "sr.dcm", stamp, reader="A", modality="CT"),
            write_pdf(b"%PDF-1.4", header, folder / "pdf.dcm", stamp, title="x"),
            write_key_image(np.zeros((3, 4, 3), np.uint8), header, folder / "key.dcm", stamp, description="x"),
            write_field_map(np.ones((3, 4, 5)), grid, ct.paths, folder / "pm.dcm", stamp),
        ]

    first, again, other = write(tmp_path / "1", "study 1"), write(tmp_path / "2", "study 1"), write(tmp_path / "3", "study 2")
    for a, b, c in zip(first, again, other, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name
        assert a.read_bytes() != c.read_bytes(), a.name
    uids = [pydicom.dcmread(p).SOPInstanceUID for p in first]
    assert len(set(uids)) == len(uids)


def test_that_a_check_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"older")

    def write() -> None:
        with replaced_when_checked(path) as partial:
            partial.write_bytes(b"new")
            raise NodusError("did not read back", code="write_failed")

    with pytest.raises(NodusError):
        write()
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["a.dcm"]


def test_that_a_disk_that_refuses_is_a_plain_refusal(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NodusError) as refusal, replaced_when_checked(tmp_path / "file" / "a.dcm") as partial:
        partial.write_bytes(b"new")
    assert refusal.value.code == "write_failed"


def test_that_nothing_is_written_into_no_study():
    with pytest.raises(NodusError) as refusal:
        new_object("1.2.840.10008.5.1.4.1.1.7", "OT", pydicom.Dataset(), Stamp("0.1"), series_number=1, description="x")
    assert refusal.value.code == "study_uid_missing"
