"""What all written objects share: identities, times, and nothing half-written."""

from __future__ import annotations

import datetime as dt
import errno

import numpy as np
import pydicom
import pytest

from dicom_io import volume_files, writing
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


def _write(what: str, ct, folder):
    """One object of a kind, into ``folder``."""
    geometry, header, stamp = read_volume(ct).geometry, pydicom.dcmread(ct.paths[0]), Stamp("0.1", "seed", WHEN)
    grid = ImageGeometry.from_spacing((3, 4, 5), (1.0, 1.0, 2.0))
    return {
        "seg": lambda path: write_seg(nodes(geometry), ct.paths, path, stamp),
        "rtstruct": lambda path: write_rtstruct(nodes(geometry), ct.paths, path, stamp),
        "sr": lambda path: write_report([NodeReport("N1", "2.25.1", volume_ml=1.234)], [header], path, stamp, reader="A", modality="CT"),
        "pdf": lambda path: write_pdf(b"%PDF-1.4", header, path, stamp, title="x"),
        "key": lambda path: write_key_image(np.full((8, 8, 3), 7, np.uint8), header, path, stamp, description="x"),
        "field": lambda path: write_field_map(np.ones((3, 4, 5)), grid, ct.paths, path, stamp),
    }[what](folder / "out.dcm")


def _spoil(path, what: str) -> None:
    """Change what matters in a written file, and leave it readable."""
    if what == "rtstruct":
        ds = pydicom.dcmread(path)
        contour = ds.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = [v + 2.0 if n % 3 == 0 else v for n, v in enumerate(map(float, contour.ContourData))]
        ds.save_as(path)
        return
    data = path.read_bytes()
    if what in ("sr", "pdf"):
        old, new = {"sr": (b"1.234", b"1.235"), "pdf": (b"%PDF-1.4", b"%PDF-1.5")}[what]
        assert data.count(old) == 1
        path.write_bytes(data.replace(old, new))
    else:  # pixels stand last
        path.write_bytes(data[:-16] + bytes(b ^ 0x81 for b in data[-16:]))


KINDS = ["seg", "rtstruct", "sr", "pdf", "key", "field"]


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("trouble", ["spoilt", "disk full", "no flush", "no folder"])
def test_that_trouble_while_writing_leaves_nothing_and_says_so(tmp_path, monkeypatch, what, trouble):
    ct, out = series(tmp_path / "ct"), tmp_path / "out"
    true_save = pydicom.Dataset.save_as

    def spoilt(self, path, *args, **more):
        true_save(self, path, *args, **more)
        monkeypatch.setattr(pydicom.Dataset, "save_as", true_save)
        _spoil(path, what)

    def full(self, path, *args, **more):
        true_save(self, path, *args, **more)
        path.write_bytes(path.read_bytes()[:500])
        raise OSError(errno.ENOSPC, "No space left on device")

    def no_flush(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    if trouble == "no folder":
        out.write_bytes(b"a file where the folder should be")
    elif trouble == "no flush":
        monkeypatch.setattr(writing.os, "fsync", no_flush)
    else:
        monkeypatch.setattr(pydicom.Dataset, "save_as", spoilt if trouble == "spoilt" else full)
    with pytest.raises(NodusError) as refusal:
        _write(what, ct, out)
    assert refusal.value.code == "write_failed"
    assert out.is_file() if trouble == "no folder" else list(out.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mhd"])
@pytest.mark.parametrize("trouble", ["spoilt", "disk full", "no folder"])
def test_that_trouble_while_writing_a_volume_file_leaves_what_was_there(tmp_path, monkeypatch, suffix, trouble):
    grid, out = ImageGeometry.from_spacing((3, 4, 5), (1.0, 1.0, 2.0)), tmp_path / "out"
    first, other = np.zeros(grid.shape, np.int16), np.ones(grid.shape, np.int16)
    true_write = volume_files._write_into

    def wrong(folder, name, suffix, array, *rest):
        changed = array.copy()
        changed[1, 2, 3] += 1
        return true_write(folder, name, suffix, changed, *rest)

    def full(folder, name, suffix, array, *rest):
        true_write(folder, name, suffix, array, *rest)
        raise OSError(errno.ENOSPC, "No space left on device")

    if trouble == "no folder":
        out.write_bytes(b"")
    else:
        volume_files.write_array(first, grid, out / f"v{suffix}")
        before = {p.name: p.read_bytes() for p in out.iterdir()}
        monkeypatch.setattr(volume_files, "_write_into", wrong if trouble == "spoilt" else full)
    with pytest.raises(NodusError) as refusal:
        volume_files.write_array(other, grid, out / f"v{suffix}")
    assert refusal.value.code == "write_failed"
    assert out.is_file() if trouble == "no folder" else {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_that_a_disk_that_refuses_is_a_plain_refusal(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NodusError) as refusal, replaced_when_checked(tmp_path / "file" / "a.dcm") as partial:
        partial.write_bytes(b"new")
    assert refusal.value.code == "write_failed"


def test_that_nothing_is_written_into_no_study():
    with pytest.raises(NodusError) as refusal:
        new_object("1.2.840.10008.5.1.4.1.1.7", "OT", pydicom.Dataset(), Stamp("0.1"), series_number=1, description="x")
    assert refusal.value.code == "study_uid_missing"
