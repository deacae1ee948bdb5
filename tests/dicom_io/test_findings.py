"""Every fixed finding code, made by the trouble it stands for, with its severity; and none without trouble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicom_io.scan import scan_folder
from tests.dicom_io.made import ct_slice, ct_stack, region, save, us_picture

TILT = (1.0, 0.0, 0.0, 0.0, float(np.cos(0.3)), -float(np.sin(0.3)))


def gantry_tilt(folder: Path) -> None:
    for n in range(4):
        save(ct_slice((0, 0, 2.0 * n), n + 1, orientation=TILT), folder / f"{n}.dcm")


def uneven_spacing(folder: Path) -> None:
    ct_stack(folder, [0.0, 2.0, 4.0, 7.0, 9.0])


def no_common_line(folder: Path) -> None:
    for n, x in enumerate((0.0, 5.0, -3.0, 0.0)):
        save(ct_slice((x, 0, 2.0 * n), n + 1), folder / f"{n}.dcm")


def missing_slice(folder: Path) -> None:
    ct_stack(folder, [0.0, 2.0, 4.0, 8.0])


def duplicate_slice(folder: Path) -> None:
    ct_stack(folder, [0.0, 2.0, 4.0])
    save(ct_slice((10.0, 20.0, 2.0), 9), folder / "again.dcm")


def reversed_order(folder: Path) -> None:
    ct_stack(folder, [4.0, 2.0, 0.0])


def two_echoes(folder: Path) -> None:
    for echo in (1, 2):
        for n in range(3):
            save(ct_slice((0, 0, 2.0 * n), 4 * echo + n, EchoTime=2.5 * echo), folder / f"{echo}{n}.dcm")


def echoes_between_each_other(folder: Path) -> None:
    for echo in (1, 2):
        for n in range(3):
            save(ct_slice((0, 0, 2.0 * n + echo), 4 * echo + n, EchoTime=2.5 * echo), folder / f"{echo}{n}.dcm")


def two_sizes(folder: Path) -> None:
    ct_stack(folder, [0.0, 2.0, 4.0])
    for n in range(3):
        save(ct_slice((0, 0, 6.0 + 2 * n), 10 + n, array=np.zeros((8, 8), np.int16)), folder / f"big{n}.dcm")


def two_pixel_spacings(folder: Path) -> None:
    ct_stack(folder, [0.0, 2.0, 4.0])
    for n in range(3):
        save(ct_slice((10, 20, 6.0 + 2 * n), 10 + n, pixel_spacing=(0.9, 0.9)), folder / f"wide{n}.dcm")


def blocks_of_two_steps(folder: Path) -> None:
    for n, z in enumerate([0.0, 2.0, 4.0, 6.0, 11.0, 16.0, 21.0]):
        save(ct_slice((0, 0, z), n + 1, AcquisitionNumber=1 if z <= 6 else 2), folder / f"{n}.dcm")


def acquisitions_and_echoes(folder: Path) -> None:
    for acquisition in (1, 2):
        for echo in (1, 2):
            for n in range(3):
                number = 100 * acquisition + 10 * echo + n
                save(ct_slice((0, 0, 2.0 * n), number, AcquisitionNumber=acquisition, EchoTime=2.5 * echo), folder / f"{number}.dcm")


def spacing_unknown(folder: Path) -> None:
    save(ct_slice((0, 0, 0), 1), folder / "one.dcm")


def uncalibrated(folder: Path) -> None:
    save(us_picture(), folder / "us.dcm")


def frame_times_missing(folder: Path) -> None:
    save(us_picture([region((0, 0, 79, 59))], frames=3), folder / "loop.dcm")


def surplus(folder: Path) -> None:
    ds = us_picture([region((0, 0, 79, 59))])
    ds.PixelData += bytes(64)
    save(ds, folder / "us.dcm")


def codec_missing(folder: Path) -> None:
    path = save(us_picture([region((0, 0, 79, 59))]), folder / "film.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"))


def cut_loop(folder: Path) -> None:
    path = save(us_picture([region((0, 0, 79, 59))], frames=4, FrameTime=40.0), folder / "loop.dcm")
    path.write_bytes(path.read_bytes()[:-20000])


FOUND = [
    (gantry_tilt, "gantry_tilt", "warning", 1),
    (uneven_spacing, "uneven_spacing", "serious", 1),
    (no_common_line, "uneven_spacing", "serious", 1),
    (missing_slice, "missing_slice", "serious", 1),
    (duplicate_slice, "duplicate_slice", "warning", 1),
    (reversed_order, "reversed_order", "info", 1),
    (two_echoes, "mixed_series_split", "warning", 2),
    (echoes_between_each_other, "mixed_series_split", "warning", 2),
    (two_sizes, "mixed_series_split", "warning", 2),
    (two_pixel_spacings, "mixed_series_split", "warning", 2),
    (blocks_of_two_steps, "mixed_series_split", "warning", 2),
    (acquisitions_and_echoes, "mixed_series_split", "warning", 4),
    (spacing_unknown, "spacing_unknown", "warning", 1),
    (uncalibrated, "uncalibrated", "warning", 1),
    (frame_times_missing, "frame_times_missing", "warning", 1),
    (surplus, "header_size_mismatch", "info", 1),
    (codec_missing, "codec_missing", "serious", 1),
    (cut_loop, "truncated", "serious", 1),
]


@pytest.mark.parametrize(("trouble", "code", "severity", "parts"), FOUND, ids=[f[0].__name__ for f in FOUND])
def test_that_each_trouble_is_found_with_its_severity_and_nothing_else(tmp_path, trouble, code, severity, parts):
    trouble(tmp_path)
    result = scan_folder(tmp_path)
    assert len(result.series) == parts
    for series in result.series:
        assert [(f.code, f.severity) for f in series.findings] == [(code, severity)]
        assert all(len(f.message) > 20 and f.message.endswith((".", ")")) for f in series.findings)


def test_that_the_parts_of_blocks_keep_their_own_steps(tmp_path):
    blocks_of_two_steps(tmp_path)
    assert sorted(s.spacing_mm[2] for s in scan_folder(tmp_path).series) == [2.0, 5.0]


def test_that_a_sound_series_has_no_finding(tmp_path):
    ct_stack(tmp_path, np.arange(0.0, 40.0, 2.5))
    result = scan_folder(tmp_path)
    assert [s.findings for s in result.series] == [()]
    assert result.skipped == ()


def test_that_one_lost_slice_between_two_acquisitions_of_one_step_stays_a_lost_slice(tmp_path):
    for n, z in enumerate([0.0, 2.0, 4.0, 8.0, 10.0, 12.0]):
        save(ct_slice((0, 0, z), n + 1, AcquisitionNumber=1 if z < 6 else 2), tmp_path / f"{n}.dcm")
    (series,) = scan_folder(tmp_path).series
    assert [f.code for f in series.findings] == ["missing_slice"]


@pytest.mark.parametrize(
    ("name", "damage", "code"),
    [
        ("cut", lambda raw: raw[:-10], "truncated"),
        ("headless", lambda raw: raw[: raw.rindex(b"\xe0\x7f\x10\x00")], "not_an_image"),
        ("text", lambda raw: b"hello", "not_dicom"),
        ("empty", lambda raw: b"", "not_dicom"),
    ],
)
def test_that_files_that_hold_no_usable_picture_are_skipped_with_the_reason(tmp_path, name, damage, code):
    path = save(ct_slice((0, 0, 0), 1), tmp_path / name)
    path.write_bytes(damage(path.read_bytes()))
    ct_stack(tmp_path / "good", [0.0, 2.0])
    result = scan_folder(tmp_path)
    assert [(s.file, s.code) for s in result.skipped] == [(name, code)]
    assert [s.shape[2] for s in result.series] == [2]
