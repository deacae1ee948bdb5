"""Headers that would make an ultrasound length, colour, grey or time silently wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.cli import main
from dicom_io.headers import DicomRefused
from dicom_io.scan import scan_folder
from dicom_io.ultrasound import read_cine
from tests.dicom_io.made import add_pixels, region, save, us_picture
from tests.dicom_io.test_picture_encodings import picture, rgb, to_ybr

WHOLE = (0, 0, 79, 59)


def answer(capsys, path, *points: str, extra: tuple[str, ...] = ()) -> dict:
    code = main(["length", str(path), "--points", *points, *extra, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == (3 if "error" in found else 0)
    return found


def codes(found) -> list[str]:
    return [f.code for f in found.findings]


# --- lengths -------------------------------------------------------------------------------------------


def test_that_an_enlarged_picture_loses_its_scale(tmp_path, capsys):
    # drawn for 80 x 60, stored at twice that: every length would be half of what it is
    path = save(us_picture([region((2, 2, 76, 56), delta=(0.02, 0.02))], rows=120, columns=160), tmp_path / "p.dcm")
    assert answer(capsys, path, "10,10", "20,10")["error"]["code"] == "regions_do_not_fit"
    half = save(us_picture([region((2, 2, 76, 110))], rows=120, columns=160), tmp_path / "h.dcm")  # one of two panes
    assert answer(capsys, half, "10,10", "20,10")["length_mm"] == pytest.approx(1.0)


@pytest.mark.parametrize("delta", [(1.0, 1.0), (1e-6, 1e-6), (0.01, 0.5), (0.5, 0.01)])
def test_that_a_scale_that_cannot_be_is_not_used(tmp_path, capsys, delta):
    path = save(us_picture([region(WHOLE, delta=delta)]), tmp_path / "p.dcm")
    assert answer(capsys, path, "10,10", "20,10")["error"]["code"] == "implausible_scale"
    cine = read_cine(path)
    assert [(f.code, f.severity) for f in cine.findings] == [("implausible_scale", "serious")]
    assert not cine.calibration.gives_lengths  # so a scale by hand is offered
    by_hand = answer(capsys, path, "10,10", "20,10", extra=("--scale", "10,40", "60,40", "10"))
    assert (by_hand["length_mm"], by_hand["warnings"][0]["code"]) == (pytest.approx(2.0), "manual_calibration")


def test_that_a_box_that_begins_one_before_the_picture_is_fine(tmp_path, capsys):
    ds = us_picture([region(WHOLE, delta=(0.02, 0.02))])
    ds.SequenceOfUltrasoundRegions[0].RegionLocationMinX0 = 0xFFFFFFFF  # -1
    path = save(ds, tmp_path / "p.dcm")
    assert answer(capsys, path, "10,10", "20,10")["length_mm"] == pytest.approx(2.0)
    assert codes(read_cine(path)) == []


@pytest.mark.parametrize("keyword", ["RegionDataType", "RegionSpatialFormat", "PhysicalUnitsXDirection", "PhysicalUnitsYDirection", "PhysicalDeltaX", "PhysicalDeltaY", "RegionLocationMaxX1"])
def test_that_a_region_that_leaves_something_open_gives_no_length(tmp_path, capsys, keyword):
    ds = us_picture([region(WHOLE)], PixelSpacing=[0.1, 0.1], PixelAspectRatio=[1, 1])
    delattr(ds.SequenceOfUltrasoundRegions[0], keyword)
    assert answer(capsys, save(ds, tmp_path / "p.dcm"), "10,10", "20,10")["error"]["code"] in ("not_a_length", "uncalibrated")


def test_that_pixel_spacing_neither_gives_nor_changes_a_length(tmp_path, capsys):
    path = save(us_picture([region(WHOLE, delta=(0.02, 0.01))], PixelSpacing=[0.9, 0.9], NominalScannedPixelSpacing=[0.9, 0.9], ImagerPixelSpacing=[0.9, 0.9]), tmp_path / "p.dcm")
    assert answer(capsys, path, "10,10", "20,10")["length_mm"] == pytest.approx(2.0)
    assert answer(capsys, path, "10,10", "10,20")["length_mm"] == pytest.approx(1.0)
    ds = us_picture(PixelSpacing=[0.9, 0.9], ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    bare = save(ds, tmp_path / "b.dcm")
    assert answer(capsys, bare, "10,10", "20,10")["error"]["code"] == "uncalibrated"
    (series,) = (s for s in scan_folder(bare).series)
    assert (series.kind, series.spacing_mm) == ("still", None)


def test_that_a_scale_by_hand_does_not_lead_from_one_picture_into_another(tmp_path, capsys):
    panes = [region((0, 0, 39, 59), units=(0, 0), delta=(1, 1)), region((40, 0, 79, 59), units=(0, 0), delta=(1, 1))]
    path = save(us_picture(panes), tmp_path / "p.dcm")
    scale = ("--scale", "5,50", "35,50", "15")
    assert answer(capsys, path, "10,10", "70,10", extra=scale)["error"]["code"] == "crosses_regions"
    assert answer(capsys, path, "10,10", "30,10", extra=scale)["length_mm"] == pytest.approx(10.0)
    colour_box = [region(WHOLE, units=(0, 0), delta=(1, 1)), region((20, 10, 60, 40), data=2, units=(0, 0), delta=(1, 1))]
    inside = save(us_picture(colour_box), tmp_path / "c.dcm")
    assert answer(capsys, inside, "10,20", "70,20", extra=scale)["length_mm"] == pytest.approx(30.0)


def test_that_a_box_keeps_a_scale_by_hand_to_its_part(tmp_path, capsys):
    path = save(us_picture(), tmp_path / "p.dcm")
    held = ("--scale", "5,50", "35,50", "15", "--scale-box", "39,59", "0,0")
    assert answer(capsys, path, "10,10", "30,10", extra=held)["length_mm"] == pytest.approx(10.0)
    assert answer(capsys, path, "10,10", "70,10", extra=held)["error"]["code"] == "outside_regions"


# --- times ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "expected", "found"),
    [
        ({"FrameTimeVector": [0.0, 40.0], "FrameTime": 33.0, "FrameIncrementPointer": 0x00181065}, 33.0, ["frame_times_doubtful"]),
        ({"FrameTimeVector": [0.0, 40.0, -5.0, 40.0, 40.0, 40.0], "CineRate": 10}, 100.0, ["frame_times_doubtful", "frame_times_from_rate"]),
        ({"FrameTimeVector": [0.0, 40.0, 80.0, 120.0, 160.0, 200.0]}, 40.0, ["frame_times_doubtful"]),  # sums, by the look of it
        ({"FrameTime": 0.033, "CineRate": 30}, 0.033, ["frame_times_doubtful"]),  # seconds
        ({"FrameTimeVector": [0.0] * 6}, None, ["frame_times_doubtful", "frame_times_missing"]),
        ({"FrameTime": 33.0, "CineRate": 60}, 33.0, []),  # shown faster than taken
        ({"FrameTimeVector": [0.0, 40.0, 60.0, 40.0, 60.0, 41.0]}, 40.0, []),
    ],
)
def test_that_times_that_contradict_themselves_are_told(tmp_path, elements, expected, found):
    cine = read_cine(save(us_picture([region(WHOLE)], frames=6, **elements), tmp_path / "p.dcm"))
    assert codes(cine) == found
    assert (None if cine.frame_times_ms is None else cine.frame_times_ms[1]) == expected


# --- colours and greys -------------------------------------------------------------------------------------


def test_that_colours_called_halved_but_stored_whole_are_read_as_stored(tmp_path):
    path = save(picture(to_ybr(rgb()).tobytes(), "YBR_FULL_422"), tmp_path / "p.dcm")
    assert np.abs(read_cine(path).read_frame(0).astype(int) - rgb().astype(int)).max() <= 2
    (series,) = scan_folder(path).series
    assert codes(series) == []


@pytest.mark.parametrize("kind", ["HSV", "ARGB", "CMYK", "YBR_PARTIAL_422"])
def test_that_colours_of_an_unknown_kind_are_refused_not_shown_as_others(tmp_path, kind):
    with pytest.raises(DicomRefused) as refusal:
        read_cine(save(picture(rgb().tobytes(), kind), tmp_path / "p.dcm")).read_frame(0)
    assert refusal.value.code == "decode_failed"


def test_that_one_scale_of_greys_holds_for_all_frames_of_a_deep_loop(tmp_path):
    values = np.zeros((3, 60, 80), np.uint16)
    values[:] = np.array([100, 1000, 3000], np.uint16)[:, None, None]
    values[:, 0, 0] = 0, 4095, 4095
    ds = us_picture([region(WHOLE)], frames=3, FrameTime=40.0)
    add_pixels(ds, values, frames=3)
    ds.BitsStored, ds.HighBit = 12, 11
    del ds.PlanarConfiguration
    cine = read_cine(save(ds, tmp_path / "p.dcm"))
    assert [int(cine.read_frame(n)[30, 40]) for n in range(3)] == [round(v * 255 / 4095 - 0.5) for v in (100, 1000, 3000)]
