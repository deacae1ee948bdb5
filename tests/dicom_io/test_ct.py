"""Volumes: where voxels lie and what they hold."""

from __future__ import annotations

import numpy as np
import pytest

from dicom_io.ct import read_geometry, read_volume
from dicom_io.masks import open_image, read_image
from dicom_io.scan import scan_folder
from tests.dicom_io.made import ct_slice, ct_stack, save
from volumetry.errors import Cancelled, GeometryRefused, NodusError


def only(folder):
    (series,) = scan_folder(folder).series
    return series


def test_that_voxels_lie_where_the_headers_say(tmp_path):
    ct_stack(tmp_path, [4.0, 0.0, 2.0])
    volume = read_volume(only(tmp_path))
    assert volume.array.dtype == np.int16
    assert volume.array[:, 0, 0].tolist() == [1002 - 1024, 1003 - 1024, 1001 - 1024]
    assert volume.geometry.index_to_world((0, 0, 0)).tolist() == [10.0, 20.0, 0.0]
    # columns are PixelSpacing[1] apart, rows PixelSpacing[0]
    assert volume.geometry.index_to_world((2, 1, 1)).tolist() == pytest.approx([11.0, 20.8, 2.0])
    assert volume.unit == "HU"


def test_that_an_oblique_stack_keeps_its_direction(tmp_path):
    c, s = np.cos(0.4), np.sin(0.4)
    orientation = (c, s, 0, 0, 0, -1)
    normal = np.cross(orientation[:3], orientation[3:])
    for n in range(4):
        save(ct_slice(np.array([1.0, 2, 3]) + 1.5 * n * normal, n + 1, orientation=orientation), tmp_path / f"{n}.dcm")
    geometry = read_geometry(only(tmp_path))
    assert not geometry.is_sheared
    assert geometry.index_to_world((0, 0, 3)) == pytest.approx(np.array([1.0, 2, 3]) + 4.5 * normal)
    assert geometry.voxel_size_mm3 == pytest.approx(0.5 * 0.8 * 1.5)


def test_that_a_tilted_gantry_gives_the_true_voxel_size(shared_data):
    volume = read_volume(only(shared_data / "ct_gantry_tilt"))
    assert volume.geometry.is_sheared
    box = 0.482421875**2 * 2.5
    assert box / volume.geometry.voxel_size_mm3 == pytest.approx(1.0545, abs=1e-4)
    assert "gantry_tilt" in [f.code for f in volume.findings]


def test_that_fractional_rescale_gives_floats_and_each_slice_its_own(tmp_path):
    for n, slope in enumerate((0.5, 2.0, 1.0)):
        save(ct_slice((0, 0, n), n + 1, RescaleSlope=slope, RescaleIntercept=0), tmp_path / f"{n}.dcm")
    volume = read_volume(only(tmp_path))
    assert volume.array.dtype == np.float32
    assert volume.array[:, 0, 0].tolist() == [500.5, 2004.0, 1003.0]


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "expected", "dtype"),
    [
        (np.uint16([0, 65535]), 1, -32768, [-32768, 32767], np.int16),
        (np.uint16([0, 65535]), 1, 0, [0, 65535], np.float32),
        (np.int16([-100, 100]), 2, -50, [-250, 150], np.int16),
        (np.int16([-20000, 20000]), 2, 0, [-40000, 40000], np.float32),
        (np.uint8([0, 255]), 3, -300, [-300, 465], np.int16),
    ],
)
def test_that_values_never_wrap(tmp_path, stored, slope, intercept, expected, dtype):
    array = np.zeros((6, 5), dtype=stored.dtype)
    array[0, :2] = stored
    array[1:] = stored[0]
    for n in range(2):
        save(ct_slice((0, 0, n), n + 1, array=array, RescaleSlope=slope, RescaleIntercept=intercept), tmp_path / f"{n}.dcm")
    volume = read_volume(only(tmp_path))
    assert volume.array.dtype == dtype
    assert volume.array[1, 0, :2].tolist() == expected


def test_that_twelve_signed_bits_keep_their_sign(tmp_path):
    array = np.full((6, 5), 0x0FFF, dtype=np.int16)  # -1 in twelve bits, the upper four unused
    for n in range(2):
        save(ct_slice((0, 0, n), n + 1, array=array, BitsStored=12, HighBit=11, RescaleIntercept=0), tmp_path / f"{n}.dcm")
    assert read_volume(only(tmp_path)).array.min() == -1


def test_that_a_series_changed_since_the_scan_is_refused(tmp_path):
    ct_stack(tmp_path, np.arange(3.0))
    series = only(tmp_path)
    (tmp_path / "slice002.dcm").write_bytes((tmp_path / "slice002.dcm").read_bytes() + b"\0\0")
    with pytest.raises(NodusError) as refusal:
        read_volume(series)
    assert refusal.value.code == "file_changed"


def test_that_a_lost_slice_is_interpolated_and_seriously_told(tmp_path):
    ct_stack(tmp_path, [0.0, 2.0, 6.0, 8.0])
    series = only(tmp_path)
    volume = read_volume(series)
    assert volume.array.shape == series.shape[::-1] == (5, 6, 5)
    assert volume.array[:, 0, 0].tolist() == [-23, -22, -22, -21, -20]
    found = next(f for f in volume.findings if f.code == "missing_slice")
    assert found.severity == "serious"


def test_that_uneven_slices_are_resampled_to_their_true_extent(tmp_path):
    ct_stack(tmp_path, [0.0, 1.0, 2.0, 5.0, 8.0])
    volume = read_volume(only(tmp_path))
    assert volume.geometry.spacing_mm[2] == pytest.approx(1.0)
    assert volume.array.shape[0] == 9
    assert volume.geometry.index_to_world((0, 0, 8))[2] == pytest.approx(8.0)


def test_that_wide_gaps_are_refused(tmp_path):
    ct_stack(tmp_path, [0.0, 2.0, 4.0, 16.0, 18.0])
    with pytest.raises(GeometryRefused) as refusal:
        read_volume(only(tmp_path))
    assert refusal.value.code == "missing_slice"


def test_that_scattered_slices_are_refused(tmp_path):
    for n, x in enumerate((0.0, 5.0, -3.0, 0.0)):
        save(ct_slice((x, 0, 2.0 * n), n + 1), tmp_path / f"{n}.dcm")
    with pytest.raises(GeometryRefused) as refusal:
        read_volume(only(tmp_path))
    assert refusal.value.code == "uneven_spacing"


def test_that_a_single_slice_opens_with_its_spacing_marked_unknown(tmp_path):
    path = save(ct_slice((0, 0, 0), 1), tmp_path / "one.dcm")
    volume = read_image(path)
    assert volume.array.shape == (1, 6, 5)
    assert volume.geometry.spacing_mm[2] == 7.5
    assert "spacing_unknown" in [f.code for f in volume.findings]


def test_that_values_of_the_other_sign_are_not_wrapped(shared_data):
    volume = read_volume([shared_data / "robustness" / "J2K_pixelrep_mismatch.dcm"])
    assert (volume.array.min(), volume.array.max()) == (-2000, 1896)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("bad_sequence.dcm", 13 - 1024, 2267 - 1024), ("explicit_VR-UN.dcm", -1024, 1186), ("MR_small_padded.dcm", 127, 2145)],
)
def test_that_awkward_files_open_with_their_values(shared_data, name, low, high):
    volume = read_volume([shared_data / "robustness" / name])
    assert (volume.array.min(), volume.array.max()) == (low, high)


def test_that_an_enhanced_file_is_the_same_volume_as_its_slices(shared_data):
    folder = shared_data / "seg_sr" / "dcmqi" / "23x38x3"
    single, multi = read_image(folder / "image"), read_image(folder / "multiframe")
    assert np.array_equal(single.array, multi.array)
    assert single.geometry.same_grid(multi.geometry)


def test_that_real_series_have_their_published_spacing(shared_data):
    neck = read_image(shared_data / "ct_neck")
    assert neck.geometry.spacing_mm == pytest.approx((0.9765625, 0.9765625, 2.0))
    assert neck.geometry.origin_mm[2] == pytest.approx(-736.0)
    liver = read_image(shared_data / "ct_liver_contrast")
    assert liver.geometry.spacing_mm == pytest.approx((0.804688, 0.804688, 5.0))
    assert (liver.array.min(), liver.array.max()) == (-3024, 1184)


def test_that_reading_can_be_cancelled_and_reports(tmp_path):
    ct_stack(tmp_path, np.arange(4.0))
    seen = []
    read_volume(only(tmp_path), progress=lambda m, f: seen.append(f))
    assert seen[-1] == 1.0
    with pytest.raises(Cancelled):
        read_volume(only(tmp_path), should_cancel=lambda: True)


def test_that_several_series_must_be_chosen_from(tmp_path):
    ct_stack(tmp_path / "a", np.arange(3.0), series=1)
    ct_stack(tmp_path / "b", np.arange(3.0), series=2)
    with pytest.raises(NodusError) as refusal:
        read_image(tmp_path)
    assert refusal.value.code == "several_series"
    uid = scan_folder(tmp_path / "b").series[0].series_uid
    assert read_image(tmp_path, series_uid=uid).source.series_uid == uid


def test_that_two_phases_of_one_series_are_not_chosen_between_silently(tmp_path):
    for phase in (1, 2):
        for n in range(3):
            save(ct_slice((0, 0, 2.0 * n), 4 * phase + n, AcquisitionNumber=phase), tmp_path / f"{phase}{n}.dcm")
    first, second = scan_folder(tmp_path).series
    with pytest.raises(NodusError) as refusal:
        read_image(tmp_path, series_uid=first.series_uid)
    assert refusal.value.code == "several_series"
    assert read_image(tmp_path, series_uid=second.key).array[0, 0, 0] == 1008 - 1024


def test_that_a_file_without_preamble_is_read_by_its_elements(tmp_path):
    path = save(ct_slice((0, 0, 0), 1), tmp_path / "old.dcm")
    path.write_bytes(path.read_bytes()[132 + 12 + int.from_bytes(path.read_bytes()[140:144], "little") :])
    assert path.read_bytes()[:2] == b"\x08\x00"
    assert read_image(path).array[0, 0, 0] == 1001 - 1024


def test_that_a_folder_without_images_says_so(tmp_path):
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(NodusError) as refusal:
        open_image(tmp_path)
    assert refusal.value.code == "not_dicom"
