"""Every file of the shared ultrasound folder gives the answer that its README prints, through the reader
and through the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from app.cli import main
from dicom_io.scan import scan_folder
from dicom_io.ultrasound import read_cine
from volumetry.calibration import CalibrationRefused
from volumetry.ultrasound_length import length_on_picture

RLE, BASELINE, EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


@dataclass(frozen=True)
class Expected:
    """What the README says of a file. ``lengths`` are (end, end, mm, tolerance, region from 0); ``refused``
    (end, end, code); ``regions`` is None where the header has none."""

    syntax: str
    frames: int
    rows: int
    columns: int
    regions: int | None
    findings: tuple[str, ...]
    lengths: tuple = ()
    refused: tuple = ()
    last_ms: float | None = None
    grey: bool = False


FILES = {
    "OBXXXX1A_rle_2frame.dcm": Expected(
        RLE, 2, 600, 800, 2, ("frame_times_missing",),
        lengths=(((459.5, 290.5), (498.5, 301.5), 10.6, 0.05, 0), ((120, 60), (799, 60), 679 * 0.262287877, 1e-6, 0)),
        refused=(((200, 540), (400, 540), "not_a_length"), ((459, 290), (459, 550), "crosses_regions"), ((10, 10), (20, 10), "outside_regions")),
    ),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": Expected(
        "1.2.840.10008.1.2.4.70", 1, 768, 1024, 1, (), lengths=(((629, 319), (689, 435), 33.0, 0.5, 0),), refused=(((5, 5), (700, 400), "outside_regions"),), grey=True
    ),
    "YBR_FULL-RLE.dcm": Expected(
        RLE, 1, 480, 640, 2, (),
        # three centimetres of printed ticks, 0.2 % apart from the header; region 1 covers the screen with delta 1.0 and no unit
        lengths=(((300, 48.5), (300, 362.5), 30.0, 0.1, 1), ((300, 152.5), (300, 257.5), 10.0, 0.05, 1)),
        refused=(((10, 440), (20, 440), "not_a_length"), ((100, 100), (600, 100), "outside_regions")),
    ),
    "gdcm-US-ALOKA-16.dcm": Expected(
        IMPLICIT, 1, 480, 640, 3, (),
        lengths=(((100, 200), (200, 200), 38.2653065, 1e-5, 0), ((400, 200), (500, 200), 38.2653065, 1e-5, 1)),
        refused=(((200, 200), (500, 200), "crosses_regions"), ((40, 50), (40, 90), "crosses_regions")),
    ),
    "US1_UNCR.dcm": Expected(EXPLICIT, 1, 480, 640, 0, ("uncalibrated",), refused=(((100, 100), (200, 200), "uncalibrated"),)),
    "US1_J2KR.dcm": Expected("1.2.840.10008.1.2.4.90", 1, 480, 640, 0, ("uncalibrated",), refused=(((100, 100), (200, 200), "uncalibrated"),)),
    "US1_J2KI.dcm": Expected("1.2.840.10008.1.2.4.91", 1, 480, 640, 0, ("uncalibrated",), refused=(((100, 100), (200, 200), "uncalibrated"),)),
    "I_000001.dcm": Expected(
        BASELINE, 34, 430, 480, 2, (), last_ms=33 * 30.0,
        lengths=(((100, 100), (200, 100), 28.5714286, 1e-5, 0), ((100, 100), (100, 200), 22.8571429, 1e-5, 0)), refused=(((50, 390), (200, 390), "not_a_length"),),
    ),
    "I_000007.dcm": Expected(
        BASELINE, 10, 288, 384, 2, (), last_ms=360.0, lengths=(((100, 100), (200, 100), 36.2811809, 1e-5, 1), ((100, 100), (100, 200), 36.2811809, 1e-5, 1)),
    ),
    "I_000031.dcm": Expected(BASELINE, 64, 600, 800, 1, (), last_ms=63 * 33.333, lengths=(((100, 100), (200, 200), 32.4074067 * np.sqrt(2), 1e-4, 0),)),
    "I_000034.dcm": Expected(
        EXPLICIT, 1, 537, 716, 2, (), lengths=(((350, 100), (450, 100), 89.1719759, 1e-5, 0),),
        refused=(((100, 300), (300, 300), "not_a_length"), ((100, 300), (100, 400), "not_a_length"), ((400, 100), (400, 300), "crosses_regions"), ((10, 10), (20, 10), "outside_regions")),
    ),
    "examples_palette.dcm": Expected(EXPLICIT, 1, 350, 800, 1, ("regions_clipped",), lengths=(((459.5, 290.5), (498.5, 301.5), 10.6, 0.05, 0),)),
    "examples_ybr_color.dcm": Expected(BASELINE, 30, 240, 320, 1, ("regions_do_not_fit",), last_ms=29 * 33.333, refused=(((100, 100), (200, 100), "regions_do_not_fit"),)),
}  # fmt: skip

EVERY_FILE = pytest.mark.parametrize("name", FILES)


def test_that_the_table_holds_every_file_of_the_folder(shared_data):
    assert {p.name for p in (shared_data / "us_dicom").glob("*.dcm")} == set(FILES)


@EVERY_FILE
def test_that_a_scan_says_what_the_file_is(shared_data, capsys, name):
    expected = FILES[name]
    assert main(["scan", str(shared_data / "us_dicom" / name), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["skipped"] == []
    (series,) = answer["series"]
    assert series["kind"] == ("cine" if expected.frames > 1 else "still")
    assert (series["transfer_syntax"], series["frames"], series["shape"]) == (expected.syntax, expected.frames, [expected.columns, expected.rows, 1])
    assert series["spacing_mm"] is None  # PixelSpacing is no ultrasound length
    assert len(series["regions"]) == expected.regions
    assert tuple(f["code"] for f in series["findings"]) == expected.findings
    times = series["frame_times_ms"]
    assert (times is None) == (expected.last_ms is None)
    if times is not None:
        assert times[0] == 0
        assert times[-1] == pytest.approx(expected.last_ms)


@EVERY_FILE
def test_that_the_reader_gives_the_lengths_and_refusals(shared_data, name):
    expected = FILES[name]
    cine = read_cine(shared_data / "us_dicom" / name)
    for a, b, length_mm, tolerance, region in expected.lengths:
        for frame in {0, cine.frame_count - 1}:
            found = length_on_picture(cine.calibration_at(frame), a, b)
            assert (found.length_mm, found.region) == (pytest.approx(length_mm, abs=tolerance), region)
    for a, b, code in expected.refused:
        with pytest.raises(CalibrationRefused) as refusal:
            length_on_picture(cine.calibration, a, b)
        assert refusal.value.code == code


@EVERY_FILE
def test_that_the_command_gives_the_lengths_and_refusals(shared_data, capsys, name):
    expected, path = FILES[name], str(shared_data / "us_dicom" / name)
    for a, b, length_mm, tolerance, region in expected.lengths:
        assert main(["length", path, "--points", f"{a[0]},{a[1]}", f"{b[0]},{b[1]}", "--frame", str(expected.frames - 1), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["length_mm"], answer["region"], answer["warnings"]) == (pytest.approx(length_mm, abs=tolerance), region, [])
    for a, b, code in expected.refused:
        assert main(["length", path, "--points", f"{a[0]},{a[1]}", f"{b[0]},{b[1]}", "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["error"]["code"] == code
    assert main(["length", path, "--points", "1,1", "2,2", "--frame", str(expected.frames), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "frame_out_of_range"


@EVERY_FILE
def test_that_first_and_last_frame_decode_to_eight_bit_grey_or_colour(shared_data, name):
    expected = FILES[name]
    cine = read_cine(shared_data / "us_dicom" / name)
    for frame in {0, expected.frames - 1}:
        pixels = cine.read_frame(frame)
        assert pixels.dtype == np.uint8
        assert pixels.shape == ((expected.rows, expected.columns) if expected.grey else (expected.rows, expected.columns, 3))
        assert pixels.max() > 100  # writing and marks are bright on every one of them
        if not expected.grey and name not in ("OBXXXX1A_rle_2frame.dcm", "examples_palette.dcm"):  # their palette is tinted
            spread = pixels.max(axis=2).astype(int) - pixels.min(axis=2)
            assert (spread < 40).mean() > 0.8  # B pictures are grey: a second conversion of colours would be green and magenta


@pytest.mark.parametrize("name", [n for n, e in FILES.items() if e.syntax != BASELINE and n != "US1_J2KI.dcm"])
def test_that_another_decoder_gives_the_same_pixels(shared_data, name):
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data / "us_dicom" / name)))
    if theirs.dtype == np.uint16:  # a 16-bit palette: the screen has its upper bytes
        theirs = theirs >> 8
    cine = read_cine(shared_data / "us_dicom" / name)
    ours = np.stack([cine.read_frame(n) for n in range(cine.frame_count)])
    difference = np.abs(ours.reshape(theirs.shape).astype(int) - theirs.astype(int))
    assert difference.max() <= (2 if name == "YBR_FULL-RLE.dcm" else 0)  # YBR to RGB rounds


def test_that_lossless_copies_have_identical_pixels_and_the_lossy_one_the_known_error(shared_data):
    raw, lossless, lossy = (read_cine(shared_data / "us_dicom" / f"US1_{n}.dcm").read_frame(0) for n in ("UNCR", "J2KR", "J2KI"))
    assert np.array_equal(raw, lossless)
    difference = np.abs(raw.astype(int) - lossy.astype(int))
    assert (round(float(difference.mean()), 1), int(difference.max())) == (1.7, 124)


def test_that_a_scale_by_hand_is_taken_where_the_header_has_none_and_nowhere_else(shared_data, capsys):
    folder = Path(shared_data / "us_dicom")
    scale = ["--scale", "50,100", "50,300", "30"]
    for name, expected in FILES.items():
        code = main(["length", str(folder / name), "--points", "100,100", "150,100", *scale, "--json"])
        answer = json.loads(capsys.readouterr().out)
        if expected.lengths:
            assert (code, answer["error"]["code"]) == (3, "already_calibrated"), name
        elif expected.rows < 301:
            assert (code, answer["error"]["code"]) == (3, "outside_regions"), name
        else:
            assert answer["length_mm"] == pytest.approx(7.5), name
            assert [w["code"] for w in answer["warnings"]] == ["manual_calibration", "square_pixels_assumed"], name


def test_that_the_whole_folder_is_listed_without_a_file_lost(shared_data):
    result = scan_folder(shared_data / "us_dicom")
    assert sorted(f for s in result.series for f in s.files) == sorted(FILES)
    assert [s.file for s in result.skipped] == ["README.md"]
