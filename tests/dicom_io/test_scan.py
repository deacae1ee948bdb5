"""Scanning: every file accounted for, series split where they really are several, troubles named."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dicom_io import scan
from dicom_io.scan import read_facts, scan_folder
from tests.dicom_io.made import ct_slice, ct_stack, region, save, us_picture
from volumetry.errors import Cancelled, NodusError


def codes(series) -> list[str]:
    return [f.code for f in series.findings]


def test_that_a_stack_is_sorted_by_position_and_spaced_by_positions_not_thickness(tmp_path):
    ct_stack(tmp_path, [4.0, 0.0, 6.0, 2.0])
    (series,) = scan_folder(tmp_path).series
    assert series.kind == "volume"
    assert series.shape == (5, 6, 4)
    assert series.spacing_mm == (0.5, 0.8, 2.0)
    assert series.files == ("slice002.dcm", "slice004.dcm", "slice001.dcm", "slice003.dcm")
    assert codes(series) == []


def test_that_slice_numbers_against_the_positions_are_told(tmp_path):
    ct_stack(tmp_path, [6.0, 4.0, 2.0, 0.0])
    assert codes(scan_folder(tmp_path).series[0]) == ["reversed_order"]


def test_that_a_missing_slice_is_found(tmp_path):
    ct_stack(tmp_path, [0.0, 2.0, 4.0, 8.0, 10.0])
    (series,) = scan_folder(tmp_path).series
    assert codes(series) == ["missing_slice"]
    assert series.frames == 5
    assert series.shape == (5, 6, 6)


def test_that_uneven_spacing_is_found(tmp_path):
    ct_stack(tmp_path, [0.0, 2.0, 4.0, 7.0, 9.0])
    assert codes(scan_folder(tmp_path).series[0]) == ["uneven_spacing"]


def test_that_positions_rounded_to_a_tenth_of_a_millimetre_are_even(tmp_path):
    ct_stack(tmp_path, [round(n * 3.27, 1) for n in range(20)])
    assert codes(scan_folder(tmp_path).series[0]) == []


def test_that_the_same_image_twice_is_counted_once(tmp_path):
    ct_stack(tmp_path, [0.0, 2.0, 4.0])
    shutil.copy(tmp_path / "slice002.dcm", tmp_path / "again.dcm")
    result = scan_folder(tmp_path)
    assert result.series[0].shape[2] == 3
    assert "duplicate_slice" in codes(result.series[0])
    assert [s.code for s in result.skipped] == ["duplicate_slice"]


def test_that_two_acquisitions_in_one_series_become_two_volumes(tmp_path):
    for phase in (1, 2):
        for n in range(4):
            save(ct_slice((0, 0, 2.0 * n), 4 * phase + n, AcquisitionNumber=phase), tmp_path / f"{phase}{n}.dcm")
    result = scan_folder(tmp_path)
    assert [s.shape for s in result.series] == [(5, 6, 4)] * 2
    assert all("mixed_series_split" in codes(s) for s in result.series)
    assert [(s.part, s.parts) for s in result.series] == [(1, 2), (2, 2)]


def test_that_slices_of_two_directions_are_never_stacked(tmp_path):
    ct_stack(tmp_path, [0.0, 2.0, 4.0])
    for n in range(3):
        save(ct_slice((0, 2.0 * n, 0), 10 + n, orientation=(1, 0, 0, 0, 0, -1)), tmp_path / f"cor{n}.dcm")
    assert sorted(s.shape[2] for s in scan_folder(tmp_path).series) == [3, 3]


def test_that_a_localizer_far_away_does_not_make_a_thick_volume(shared_data):
    result = scan_folder(shared_data / "robustness" / "dicomdirtests" / "77654033" / "CT2")
    sizes = sorted((s.kind, s.frames) for s in result.series)
    assert sizes == [("still", 1), ("volume", 3)]
    volume = next(s for s in result.series if s.kind == "volume")
    assert volume.spacing_mm[2] == pytest.approx(1.25, abs=1e-4)


def test_that_the_robustness_folder_is_answered_quickly_and_whole(shared_data):
    folder = shared_data / "robustness"
    start = time.perf_counter()
    result = scan_folder(folder)
    assert time.perf_counter() - start < 10
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    listed = {f for s in result.series for f in s.files} | {s.file for s in result.skipped}
    assert listed == on_disk
    why = {s.file: s.code for s in result.skipped}
    assert why["MR_truncated.dcm"] == "truncated"
    assert why["emri_small_jpeg_2k_lossless_too_short.dcm"] == "truncated"
    assert why["badVR.dcm"] == "header_size_mismatch"
    assert why["no_meta.dcm"] == "not_dicom"
    assert why["meta_missing_tsyntax.dcm"] == "unreadable"
    assert why["rtplan_truncated.dcm"] == "not_an_image"
    assert why["chrKoreanMulti.dcm"] == "not_an_image"
    assert why["dicomdirtests/DICOMDIR-implicit"] == "dicomdir"
    assert why["dicomdirtests/TINY_ALPHA/PT000000/ST000000/SE000000/IM000000"] == "not_an_image"
    assert all(len(s.message) > 10 for s in result.skipped)


def test_that_the_robustness_folder_needs_little_memory(shared_data):
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc, which this system does not have")
    # VmHWM begins anew with the program; getrusage would report what the test process had before it started it.
    code = (
        "import sys; from dicom_io.scan import scan_folder; scan_folder(sys.argv[1]);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(shared_data / "robustness")], capture_output=True, text=True, check=True)
    assert int(run.stdout) / 1024 < 512


def test_that_a_tilted_gantry_is_told_with_the_true_distance(shared_data):
    (series,) = scan_folder(shared_data / "ct_gantry_tilt").series
    assert codes(series) == ["gantry_tilt"]
    assert series.spacing_mm[2] == pytest.approx(2.3708, abs=1e-4)


def test_that_the_ultrasound_folder_is_thirteen_pictures(shared_data):
    result = scan_folder(shared_data / "us_dicom")
    assert len(result.series) == 13
    by_file = {s.files[0]: s for s in result.series}
    assert by_file["I_000001.dcm"].frame_times_ms[:3] == (0.0, 30.0, 60.0)
    assert by_file["I_000007.dcm"].frame_times_ms == tuple(40.0 * n for n in range(10))
    assert by_file["OBXXXX1A_rle_2frame.dcm"].frame_times_ms is None
    assert "frame_times_missing" in codes(by_file["OBXXXX1A_rle_2frame.dcm"])
    assert codes(by_file["US1_UNCR.dcm"]) == ["uncalibrated"]
    assert by_file["YBR_FULL-RLE.dcm"].kind == "still"
    assert [r["is_length"] for r in by_file["YBR_FULL-RLE.dcm"].regions] == [False, True]


def test_that_the_json_has_every_promised_field(tmp_path):
    save(us_picture([region((0, 0, 79, 59))], frames=4, FrameTime=25.0), tmp_path / "loop.dcm")
    (entry,) = scan_folder(tmp_path).to_dict()["series"]
    assert set(entry) >= {
        "series_uid", "modality", "sop_class", "transfer_syntax", "kind", "frames", "shape", "spacing_mm",
        "frame_times_ms", "regions", "findings", "files",
    }  # fmt: skip
    assert entry["kind"] == "cine"
    assert entry["shape"] == [80, 60, 1]
    assert entry["frame_times_ms"] == [0.0, 25.0, 50.0, 75.0]


def test_that_the_header_is_not_believed_about_memory(tmp_path):
    lying = ct_slice((0, 0, 0), 1)
    lying.Rows = lying.Columns = 20000
    save(lying, tmp_path / "lying.dcm")
    ct_stack(tmp_path / "good", [0.0, 1.0, 2.0])
    result = scan_folder(tmp_path)
    assert [(s.file, s.code) for s in result.skipped] == [("lying.dcm", "header_size_mismatch")]
    assert result.series[0].frames == 3


def test_that_an_unknown_codec_is_listed_not_hidden(tmp_path):
    ds = us_picture([region((0, 0, 79, 59))])
    path = save(ds, tmp_path / "film.dcm")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))
    (series,) = scan_folder(tmp_path).series
    assert "codec_missing" in codes(series)


def test_that_a_scan_reports_progress_and_can_be_cancelled(tmp_path):
    ct_stack(tmp_path, np.arange(5.0))
    seen = []
    scan_folder(tmp_path, progress=lambda message, fraction: seen.append(fraction))
    assert seen[-1] == 1.0
    with pytest.raises(Cancelled):
        scan_folder(tmp_path, should_cancel=lambda: True)


def test_that_an_absent_folder_is_refused(tmp_path):
    with pytest.raises(NodusError) as refusal:
        scan_folder(tmp_path / "nowhere")
    assert refusal.value.code == "file_missing"


@pytest.mark.parametrize(
    ("element", "value"),
    [("StudyDate", "20\xb2\xb9\xb9\xb9\xb9\xb9"), ("StudyDate", "99999999"), ("SeriesInstanceUID", ""), ("InstanceNumber", "1 000 000 000 000")],
)
def test_that_strange_values_do_not_stop_a_scan(tmp_path, element, value):
    raw = save(ct_slice((0, 0, 0), 1, StudyDate="20200101"), tmp_path / "a.dcm").read_bytes()
    ds = ct_slice((0, 0, 0), 1, StudyDate="20200101")
    strange = value.encode("latin-1")
    if element == "StudyDate":
        raw = raw.replace(b"20200101", strange[:8])
        (tmp_path / "a.dcm").write_bytes(raw)
    else:
        ds.add_new(element, "LO" if element == "InstanceNumber" else "UI", value)
        save(ds, tmp_path / "a.dcm")
    result = scan_folder(tmp_path)
    assert [s.kind for s in result.series] == ["still"]
    assert result.series[0].acquired_on in (None, "2020-01-01")


def test_that_a_value_reaching_past_the_end_of_the_file_is_refused(tmp_path):
    path = save(ct_slice((0, 0, 0), 1, StudyDescription="abcdefgh"), tmp_path / "a.dcm")
    raw = path.read_bytes()
    at = raw.index(b"abcdefgh")
    # turn the text element into one that claims two gigabytes
    path.write_bytes(raw[: at - 4] + b"UT\0\0\xff\xff\xff\x7f" + raw[at:])
    (skipped,) = scan_folder(tmp_path).skipped
    assert skipped.code in ("truncated", "unreadable")


class Clock:
    """A clock that stands still but where a file is waited for."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return 0.0


@pytest.mark.parametrize(("waited_for", "side_by_side"), [(lambda n: n % 4 == 0, False), (lambda n: True, True)], ids=["busy machine", "slow disk"])
def test_that_files_are_read_side_by_side_where_most_are_waited_for(tmp_path, monkeypatch, waited_for, side_by_side):
    for n in range(2 * scan.BATCH):
        save(ct_slice((0, 0, float(n)), n + 1), tmp_path / f"{n:03d}.dcm")
    clock, threads = Clock(), []

    def read(path, name):
        threads.append(threading.current_thread() is threading.main_thread())
        clock.now += 0.05 if waited_for(len(threads)) else 0.0
        return read_facts(path, name)

    monkeypatch.setattr(scan, "time", clock)
    monkeypatch.setattr(scan, "read_facts", read)
    found = scan.scan_folder(tmp_path)
    assert found.series[0].frames == len(threads) == 2 * scan.BATCH
    assert sum(threads) == (scan.BATCH if side_by_side else 2 * scan.BATCH)
