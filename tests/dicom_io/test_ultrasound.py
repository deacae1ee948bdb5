"""Ultrasound pictures: colours, frames, times and the scale they may claim."""

from __future__ import annotations

import numpy as np
import pytest

from dicom_io.headers import DicomRefused
from dicom_io.masks import read_image
from dicom_io.ultrasound import read_cine
from tests.dicom_io.made import region, save, us_picture
from volumetry.calibration import CalibrationRefused
from volumetry.errors import NodusError
from volumetry.ultrasound_length import length_on_picture


def codes(cine) -> list[str]:
    return [f.code for f in cine.findings]


@pytest.mark.parametrize(
    ("name", "a", "b", "expected_mm", "region_index"),
    [
        ("OBXXXX1A_rle_2frame.dcm", (459.5, 290.5), (498.5, 301.5), 10.63, 0),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", (629, 319), (689, 435), 33.27, 0),
        ("YBR_FULL-RLE.dcm", (300, 152.5), (300, 257.5), 10.01, 1),
        ("I_000001.dcm", (100, 100), (200, 100), 28.571, 0),
        ("I_000001.dcm", (100, 100), (100, 200), 22.857, 0),
        ("I_000007.dcm", (100, 100), (200, 100), 36.281, 1),
        ("I_000034.dcm", (350, 100), (450, 100), 89.172, 0),
        ("examples_palette.dcm", (459.5, 290.5), (498.5, 301.5), 10.63, 0),
    ],
)
def test_that_calipers_agree_with_what_the_scanner_printed(shared_data, name, a, b, expected_mm, region_index):
    found = length_on_picture(read_cine(shared_data / "us_dicom" / name).calibration, a, b)
    assert found.length_mm == pytest.approx(expected_mm, abs=0.02)
    assert found.region == region_index


@pytest.mark.parametrize(
    ("name", "a", "b", "code"),
    [
        ("US1_UNCR.dcm", (100, 100), (200, 200), "uncalibrated"),
        ("I_000034.dcm", (100, 300), (300, 300), "not_a_length"),
        ("gdcm-US-ALOKA-16.dcm", (200, 200), (500, 200), "crosses_regions"),
        ("examples_ybr_color.dcm", (100, 100), (200, 100), "regions_do_not_fit"),
        ("OBXXXX1A_rle_2frame.dcm", (200, 540), (400, 540), "not_a_length"),
        ("YBR_FULL-RLE.dcm", (10, 440), (20, 440), "not_a_length"),
        ("YBR_FULL-RLE.dcm", (10, 10), (20, 10), "outside_regions"),
    ],
)
def test_that_lengths_without_a_scale_are_refused_with_the_reason(shared_data, name, a, b, code):
    with pytest.raises(CalibrationRefused) as refusal:
        length_on_picture(read_cine(shared_data / "us_dicom" / name).calibration, a, b)
    assert refusal.value.code == code


def test_that_a_lossless_copy_has_identical_pixels(shared_data):
    folder = shared_data / "us_dicom"
    raw, lossless, lossy = (read_cine(folder / f"US1_{n}.dcm").read_frame(0) for n in ("UNCR", "J2KR", "J2KI"))
    assert np.array_equal(raw, lossless)
    difference = np.abs(raw.astype(int) - lossy.astype(int))
    assert difference.mean() == pytest.approx(1.7, abs=0.1)
    assert difference.max() == 124


def test_that_ybr_is_converted_once(shared_data):
    frame = read_cine(shared_data / "us_dicom" / "YBR_FULL-RLE.dcm").read_frame(0)
    # A grey picture with a few coloured marks: most pixels have three equal channels.
    spread = frame.max(axis=2).astype(int) - frame.min(axis=2)
    assert (spread <= 4).mean() > 0.95


@pytest.mark.parametrize(
    ("name", "frames", "shape"),
    [
        ("I_000031.dcm", 64, (600, 800, 3)),
        ("OBXXXX1A_rle_2frame.dcm", 2, (600, 800, 3)),
        ("gdcm-US-ALOKA-16.dcm", 1, (480, 640, 3)),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", 1, (768, 1024)),
        ("examples_ybr_color.dcm", 30, (240, 320, 3)),
    ],
)
def test_that_every_encoding_gives_eight_bit_frames(shared_data, name, frames, shape):
    cine = read_cine(shared_data / "us_dicom" / name)
    assert cine.frame_count == frames
    last = cine.read_frame(frames - 1)
    assert last.shape == shape
    assert last.dtype == np.uint8
    assert last.max() > 100


@pytest.mark.parametrize(
    ("name", "shape"),
    [("ExplVR_BigEnd.dcm", (60, 80, 3)), ("SC_ybr_full_422_uncompressed.dcm", (100, 100, 3)), ("SC_rgb_small_odd_jpeg.dcm", (3, 3, 3))],
)
def test_that_awkward_encodings_open(shared_data, name, shape):
    assert read_cine(shared_data / "robustness" / name).read_frame(0).shape == shape


def test_that_frames_come_in_order_and_beyond_the_last_is_refused(tmp_path):
    cine = read_cine(save(us_picture(frames=5), tmp_path / "loop.dcm"))
    assert [int(cine.read_frame(n)[0, 0, 0]) for n in range(5)] == list(range(5))
    with pytest.raises(DicomRefused) as refusal:
        cine.read_frame(5)
    assert refusal.value.code == "frame_out_of_range"


def test_that_frame_times_follow_the_pointer(tmp_path):
    both = {"FrameTime": 40.0, "FrameTimeVector": [0.0, 10.0, 30.0]}
    by_vector = read_cine(save(us_picture(frames=3, FrameIncrementPointer=0x00181065, **both), tmp_path / "v.dcm"))
    by_time = read_cine(save(us_picture(frames=3, FrameIncrementPointer=0x00181063, **both), tmp_path / "t.dcm"))
    assert by_vector.frame_times_ms.tolist() == [0, 10, 40]
    assert by_time.frame_times_ms.tolist() == [0, 40, 80]


def test_that_a_rate_is_used_last_and_said(tmp_path):
    cine = read_cine(save(us_picture(frames=3, CineRate=20), tmp_path / "r.dcm"))
    assert cine.frame_times_ms.tolist() == [0, 50, 100]
    assert "frame_times_from_rate" in codes(cine)


def test_that_a_vector_of_the_wrong_length_is_not_used(tmp_path):
    cine = read_cine(save(us_picture(frames=3, FrameTimeVector=[0.0, 10.0]), tmp_path / "w.dcm"))
    assert cine.frame_times_ms is None
    assert "frame_times_missing" in codes(cine)


def test_that_a_cropped_picture_keeps_its_scale_and_a_resized_one_loses_it(tmp_path):
    # drawn for 80 x 60: box reaches the right edge and below the rows that were cut off
    cropped = read_cine(save(us_picture([region((2, 2, 79, 90))]), tmp_path / "c.dcm"))
    assert cropped.calibration.refusal is None
    assert cropped.calibration.regions[0].y1 == 59
    assert "regions_clipped" in codes(cropped)
    resized = read_cine(save(us_picture([region((2, 2, 150, 110))]), tmp_path / "r.dcm"))
    assert resized.calibration.refusal[0] == "regions_do_not_fit"
    # too tall, and the width does not vouch for the scale either
    doubtful = read_cine(save(us_picture([region((2, 2, 40, 110))]), tmp_path / "d.dcm"))
    assert doubtful.calibration.refusal[0] == "regions_do_not_fit"


def test_that_a_box_one_past_the_edge_is_fine(tmp_path):
    cine = read_cine(save(us_picture([region((0, 0, 80, 60))]), tmp_path / "p.dcm"))
    assert cine.calibration.refusal is None
    assert codes(cine) == []


def test_that_pixel_spacing_never_scales_an_ultrasound_picture(tmp_path):
    cine = read_cine(save(us_picture(PixelSpacing=[0.1, 0.1]), tmp_path / "s.dcm"))
    with pytest.raises(CalibrationRefused):
        length_on_picture(cine.calibration, (1, 1), (10, 10))


def test_that_a_still_that_was_cut_off_is_refused_not_shown(tmp_path):
    path = save(us_picture(), tmp_path / "still.dcm")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DicomRefused) as refusal:
        read_cine(path)
    assert refusal.value.code == "truncated"


def test_that_a_picture_is_not_taken_for_a_volume(tmp_path):
    with pytest.raises(NodusError) as refusal:
        read_image(save(us_picture(), tmp_path / "still.dcm"))
    assert refusal.value.code == "not_a_volume"
