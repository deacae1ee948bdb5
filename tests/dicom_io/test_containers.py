"""Archives, directories of media and mixed heaps: everything told, nothing unpacked, nothing believed."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_io import sources
from dicom_io.ct import read_volume
from dicom_io.headers import look_at_header
from dicom_io.masks import open_image, read_image
from dicom_io.scan import scan_folder
from dicom_io.sources import ZipEntry, list_archive
from tests.dicom_io.made import ct_slice, ct_stack, save, uid, us_picture
from volumetry.errors import NodusError
from volumetry.image import Cine


def codes(series) -> list[str]:
    return [f.code for f in series.findings]


def why(result) -> dict[str, str]:
    return {s.file: s.code for s in result.skipped}


def pack(folder: Path, path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_that_an_archive_gives_the_volume_of_its_folder_and_leaves_nothing_on_the_disk(tmp_path, method):
    ct_stack(tmp_path / "ct" / "deep", np.arange(0.0, 8.0, 2.0))
    (tmp_path / "ct" / "note.txt").write_text("hello")
    archive = pack(tmp_path / "ct", tmp_path / "ct.zip", method)
    before = sorted(p for p in tmp_path.rglob("*"))
    plain, packed = scan_folder(tmp_path / "ct"), scan_folder(archive)
    assert [s.to_dict() for s in packed.series] == [s.to_dict() for s in plain.series]
    assert why(packed) == why(plain) == {"note.txt": "not_dicom"}
    a, b = read_volume(plain.series[0]), read_image(archive)
    assert np.array_equal(a.array, b.array)
    assert a.geometry.same_grid(b.geometry)
    assert sorted(p for p in tmp_path.rglob("*")) == before


def test_that_a_loop_is_played_from_within_an_archive(tmp_path):
    save(us_picture(frames=5, FrameTime=40.0), tmp_path / "us" / "loop")
    cine = open_image(pack(tmp_path / "us", tmp_path / "us.zip"))
    assert isinstance(cine, Cine)
    assert [int(cine.read_frame(n)[0, 0, 0]) for n in (0, 4, 2)] == [0, 4, 2]


def test_that_a_heap_of_folders_archives_and_strangers_is_listed_whole(tmp_path):
    heap = tmp_path / "heap"
    ct_stack(heap / "a", [0.0, 1.0, 2.0], series=1)
    ct_stack(tmp_path / "packed", [0.0, 1.0, 2.0], series=2)
    (heap / "b").mkdir()
    pack(tmp_path / "packed", heap / "b" / "second.zip")
    outer = tmp_path / "outer"
    shutil.copytree(heap / "a", outer / "heap" / "a")
    pack(heap / "a", outer / "copy.zip")
    pack(outer, heap / "nested.zip")
    (heap / "broken.zip").write_bytes(b"PK\x03\x04 and then nothing")
    (heap / "report.pdf").write_bytes(b"%PDF-1.4")
    (heap / "empty").write_bytes(b"")
    result = scan_folder(heap)
    files = {f for s in result.series for f in s.files}
    assert {"a/slice001.dcm", "b/second.zip/slice001.dcm"} <= files
    assert [s.shape[2] for s in result.series] == [3, 3]
    reasons = why(result)
    assert reasons["broken.zip"] == "zip_damaged"
    assert reasons["report.pdf"] == reasons["empty"] == "not_dicom"
    assert reasons["nested.zip/copy.zip"] == "nested_archive"
    # what lies in the outer archive too is the same picture again
    assert reasons["nested.zip/heap/a/slice001.dcm"] == "duplicate_slice"


def damaged_flag(path: Path, offset_in_entry: int, value: int) -> None:
    """Set a two-byte field in every local header and entry of the list of contents."""
    raw = bytearray(path.read_bytes())
    at = -1
    while (at := raw.find(b"PK\x01\x02", at + 1)) >= 0:
        struct.pack_into("<H", raw, at + offset_in_entry + 2, value)
    path.write_bytes(raw)


def test_that_encrypted_and_strangely_packed_archives_are_refused_with_the_reason(tmp_path):
    ct_stack(tmp_path / "ct", [0.0, 1.0])
    secret = pack(tmp_path / "ct", tmp_path / "secret.zip")
    damaged_flag(secret, 6, 1)
    with pytest.raises(NodusError) as refusal:
        scan_folder(secret)
    assert refusal.value.code == "zip_encrypted"
    strange = pack(tmp_path / "ct", tmp_path / "strange.zip")
    damaged_flag(strange, 8, 9)
    assert set(why(scan_folder(strange)).values()) == {"zip_method"}
    shutil.rmtree(tmp_path / "ct")
    assert why(scan_folder(tmp_path))["secret.zip"] == "zip_encrypted"


@pytest.mark.parametrize("name", ["../../evil.dcm", "/etc/evil.dcm", "C:\\evil.dcm", "a/../../evil.dcm", "..\\evil.dcm"])
def test_that_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    file = save(ct_slice((0, 0, 0), 1), tmp_path / "one.dcm")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.write(file, "good.dcm")
        archive.writestr(zipfile.ZipInfo("placeholder"), file.read_bytes())
    raw = (tmp_path / "evil.zip").read_bytes()
    padded = name.encode().ljust(len("placeholder"), b"x")[: max(len(name), len("placeholder"))]
    if len(padded) != len("placeholder"):
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.write(file, "good.dcm")
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes())
    else:
        (tmp_path / "evil.zip").write_bytes(raw.replace(b"placeholder", padded))
    result = scan_folder(tmp_path / "evil.zip")
    assert [s.files for s in result.series] == [("good.dcm",)]
    assert [s.code for s in result.skipped] == ["zip_unsafe"]


def test_that_bombs_are_refused_before_anything_is_unpacked(tmp_path, monkeypatch):
    # one kernel of zeros, listed a thousand times over the same bytes
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0", bytes(1 << 20))
    raw = (tmp_path / "one.zip").read_bytes()
    at = raw.index(b"PK\x01\x02")
    end = raw.index(b"PK\x05\x06")
    entry = raw[at:end]
    count = 1000
    listed = b"".join(entry[:-1] + bytes([n % 10 + 48]) for n in range(count))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(listed), at, 0)
    (tmp_path / "bomb.zip").write_bytes(raw[:at] + listed + tail)
    with pytest.raises(NodusError) as refusal:
        list_archive(tmp_path / "bomb.zip")
    assert refusal.value.code == "zip_bomb"
    # an entry that claims more than deflate can pack
    lying = bytearray(raw)
    struct.pack_into("<L", lying, at + 24, 4_000_000_000)
    (tmp_path / "lying.zip").write_bytes(lying)
    assert why(scan_folder(tmp_path / "lying.zip")) == {"0": "zip_bomb"}
    # more entries than the list is read for
    monkeypatch.setattr(sources, "MAX_ENTRIES", 999)
    with pytest.raises(NodusError) as refusal:
        list_archive(tmp_path / "bomb.zip")
    assert refusal.value.code == "zip_bomb"


def test_that_an_entry_is_never_unpacked_beyond_what_it_declares(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(5_000_000))
    ((entry,), _) = list_archive(tmp_path / "z.zip")
    short = ZipEntry(entry.archive, entry.entry, entry.offset, entry.packed_bytes, 1000, entry.crc, False)
    with pytest.raises(NodusError) as refusal:
        short.unpack()
    assert refusal.value.code == "zip_damaged"
    assert len(entry.head(100)) == 100


def test_that_a_flipped_bit_within_an_archive_is_noticed(tmp_path):
    ct_stack(tmp_path / "ct", [0.0, 1.0])
    path = pack(tmp_path / "ct", tmp_path / "ct.zip", zipfile.ZIP_DEFLATED)
    series = scan_folder(path).series[0]
    raw = bytearray(path.read_bytes())
    middle = series.paths[1].offset + 200
    raw[middle] ^= 0xFF
    status = path.stat()
    path.write_bytes(raw)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    sources._KEPT.clear()
    with pytest.raises(NodusError) as refusal:
        read_volume(series)
    assert refusal.value.code in ("zip_damaged", "decode_failed")


def test_that_an_archive_changed_since_the_scan_is_refused(tmp_path):
    ct_stack(tmp_path / "ct", [0.0, 1.0])
    path = pack(tmp_path / "ct", tmp_path / "ct.zip")
    series = scan_folder(path).series[0]
    os.utime(path, ns=(1, 1))
    with pytest.raises(NodusError) as refusal:
        read_volume(series)
    assert refusal.value.code == "file_changed"


# --- DICOMDIR -------------------------------------------------------------------------------------


def record(kind: str, **elements) -> Dataset:
    ds = Dataset()
    ds.OffsetOfTheNextDirectoryRecord = 0
    ds.RecordInUseFlag = 0xFFFF
    ds.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    ds.DirectoryRecordType = kind
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def dicomdir(path: Path, records: list[Dataset]) -> Path:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    ds.file_meta.MediaStorageSOPInstanceUID = uid(99)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.FileSetID = "TEST"
    ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    ds.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    ds.FileSetConsistencyFlag = 0
    ds.DirectoryRecordSequence = records
    ds.save_as(path, enforce_file_format=True)
    return path


def medium(tmp_path: Path) -> Path:
    """Three slices, of which two are listed (lower-case on the disk), one listed slice that is absent,
    and one record that is out of use."""
    ct_stack(tmp_path / "images", [0.0, 1.0, 2.0])
    images = [
        record("IMAGE", ReferencedFileID=["IMAGES", f"SLICE{n:03d}.DCM"], ReferencedSOPClassUIDInFile="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUIDInFile=uid(1, n))
        for n in (1, 2, 7)
    ]
    old = record("IMAGE", ReferencedFileID=["IMAGES", "SLICE003.DCM"], RecordInUseFlag=0)
    return dicomdir(tmp_path / "DICOMDIR", [record("PATIENT", PatientID="S1"), record("STUDY"), record("SERIES", SeriesInstanceUID=uid(1)), *images, old])


def test_that_a_dicomdir_is_followed_and_what_is_missing_or_extra_is_told(tmp_path):
    path = medium(tmp_path)
    (tmp_path / "autorun.exe").write_bytes(b"MZ")
    result = scan_folder(path)
    (series,) = result.series
    assert series.files == ("images/slice001.dcm", "images/slice002.dcm")
    assert "listed_file_missing" in codes(series)
    assert why(result) == {"IMAGES/SLICE007.DCM": "file_missing", "images/slice003.dcm": "not_listed", "autorun.exe": "not_listed"}
    assert read_image(path).array.shape[0] == 2


def test_that_a_folder_with_a_dicomdir_reads_every_file_and_tells_what_the_directory_misses(tmp_path):
    medium(tmp_path)
    result = scan_folder(tmp_path)
    (series,) = result.series
    assert series.shape[2] == 3
    assert "listed_file_missing" in codes(series)
    (skipped,) = result.skipped
    assert skipped.code == "dicomdir"
    assert "SLICE007" in skipped.message


def test_that_a_dicomdir_within_an_archive_is_held_against_its_entries(tmp_path):
    medium(tmp_path / "cd")
    result = scan_folder(pack(tmp_path / "cd", tmp_path / "cd.zip"))
    assert "listed_file_missing" in codes(result.series[0])


def test_that_a_dicomdir_that_leads_out_of_its_folder_opens_nothing_there(tmp_path):
    save(ct_slice((0, 0, 0), 1), tmp_path / "secret.dcm")
    path = tmp_path / "cd" / "DICOMDIR"
    path.parent.mkdir()
    dicomdir(path, [record("SERIES", SeriesInstanceUID=uid(1)), record("IMAGE", ReferencedFileID=["..", "secret.dcm"])])
    result = scan_folder(path)
    assert result.series == ()
    assert why(result) == {"DICOMDIR": "unsafe_name"}


@pytest.mark.parametrize("name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset", "DICOMDIR-reordered", "DICOMDIR-nopatient"])
def test_that_every_spelling_of_a_real_dicomdir_lists_its_files(shared_data, name):
    folder = shared_data / "robustness" / "dicomdirtests"
    listed = {
        "/".join([r.ReferencedFileID] if isinstance(r.ReferencedFileID, str) else r.ReferencedFileID)
        for r in pydicom.dcmread(folder / name).DirectoryRecordSequence
        if r.get("ReferencedFileID")
    }
    if not listed:
        with pytest.raises(NodusError) as refusal:
            scan_folder(folder / name)
        assert refusal.value.code == "not_an_image"
        return
    result = scan_folder(folder / name)
    assert "file_missing" not in why(result).values()
    read = {f for s in result.series for f in s.files}
    reasons = why(result)
    assert listed == read | {f for f in listed if reasons.get(f) in ("not_an_image", "duplicate_slice")}
    assert all(code == "not_listed" for file, code in reasons.items() if file not in listed)


# --- odd things on a disk -------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_that_a_pipe_in_the_heap_does_not_hang_the_scan(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    ct_stack(tmp_path, [0.0, 1.0])
    result = scan_folder(tmp_path)
    assert why(result) == {"pipe": "unreadable"}
    assert result.series[0].shape[2] == 2


def test_that_a_dangling_link_is_told(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert why(scan_folder(tmp_path)) == {"gone": "unreadable"}


def test_that_a_folder_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    listing = os.scandir

    def scandir(folder):
        # As the system answers who may not look into a folder; an administrator may look into any.
        if os.path.basename(os.fspath(folder)) == "closed":
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return listing(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert why(scan_folder(tmp_path)) == {"closed": "unreadable"}


def test_that_a_header_is_read_from_the_head_of_an_entry_alone(tmp_path, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 1000, (512, 512)).astype(np.int16)
    save(ct_slice((0, 0, 0), 1, array=pixels), tmp_path / "ct" / "big.dcm")
    ((entry,), _) = list_archive(pack(tmp_path / "ct", tmp_path / "ct.zip"))
    monkeypatch.setattr(ZipEntry, "unpack", lambda self: pytest.fail("the whole entry was unpacked"))
    header = look_at_header(entry)
    assert (header.rows, header.columns) == (512, 512)
    assert header.pixels.length == 512 * 512 * 2


def test_that_a_window_of_a_file_reads_as_a_file_of_its_own(tmp_path):
    (tmp_path / "f").write_bytes(bytes(range(100)))
    with io.BufferedReader(sources._Window(tmp_path / "f", 10, 20)) as window:
        assert window.read() == bytes(range(10, 30))
        window.seek(-5, io.SEEK_END)
        assert window.read(100) == bytes(range(25, 30))
        window.seek(3)
        assert window.read(2) == bytes([13, 14])
