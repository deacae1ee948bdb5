"""Headers that would make a volume silently wrong: what its values are, whose slices they are, where they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from app.cli import main
from dicom_io.ct import read_volume
from dicom_io.masks import read_image
from dicom_io.scan import scan_folder
from dicom_io.volume_files import write_volume
from tests.dicom_io.made import add_pixels, ct_slice, save, uid
from tests.dicom_io.made_enhanced import Frame, enhanced, item
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume


def stack(folder: Path, change: Callable[[Dataset, int], object] | None = None, offsets=(0.0, 2.0, 4.0, 6.0), **elements) -> tuple:
    """Slices numbered from 1, each with its own trouble; the series that a scan makes of them."""
    for n, z in enumerate(offsets, start=1):
        ds = ct_slice((10.0, 20.0, z), n, **elements)
        if change is not None:
            change(ds, n)
        save(ds, folder / f"s{n}.dcm")
    return scan_folder(folder).series


def codes(found) -> list[str]:
    return [f.code for f in found.findings]


def only(series: tuple) -> ImageVolume:
    (one,) = series
    return read_volume(one)


# --- what a value is --------------------------------------------------------------------------------


def without_rescale(ds: Dataset, n: int) -> None:
    del ds.RescaleSlope, ds.RescaleIntercept


def by_table(ds: Dataset, n: int) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType, table.LUTData = [4, 0, 16], "HU", np.arange(4, dtype=np.uint16).tobytes()
    table["LUTDescriptor"].VR = "US"
    ds.ModalityLUTSequence = [table]


@pytest.mark.parametrize(
    "change",
    [
        without_rescale,
        lambda ds, n: without_rescale(ds, n) if n == 2 else None,
        lambda ds, n: setattr(ds, "RescaleSlope", 0),
        lambda ds, n: delattr(ds, "RescaleIntercept"),
        by_table,
    ],
)
def test_that_a_ct_that_does_not_say_how_to_reach_hu_has_no_unit_and_says_so(tmp_path, change):
    series = stack(tmp_path, change)
    assert [f.severity for f in series[0].findings if f.code == "hu_unknown"] == ["serious"]
    volume = only(series)
    assert volume.unit == "1"
    assert "hu_unknown" in codes(volume)


@pytest.mark.parametrize(("kind", "unit", "found"), [("HU", "HU", []), ("Z_EFF", "Z_EFF", ["not_hu"]), ("MGML", "MGML", ["not_hu"]), ("US", "1", ["not_hu"])])
def test_that_a_ct_of_another_quantity_is_never_called_hu(tmp_path, kind, unit, found):
    volume = only(stack(tmp_path / "single", RescaleType=kind))
    assert (volume.unit, codes(volume)) == (unit, found)
    ds = enhanced([Frame((0, 0, 2.0 * n), np.full((6, 5), n, np.int16)) for n in range(3)])
    for one in ds.PerFrameFunctionalGroupsSequence:
        one.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=0, RescaleType=kind)
    save(ds, tmp_path / "multi" / "e.dcm")
    volume = only(scan_folder(tmp_path / "multi").series)
    assert (volume.unit, codes(volume)) == (unit, found)


def test_that_slices_of_two_quantities_have_no_common_unit(tmp_path):
    volume = only(stack(tmp_path, lambda ds, n: setattr(ds, "RescaleType", "HU" if n < 3 else "MGML")))
    assert (volume.unit, codes(volume)) == ("1", ["not_hu"])


@pytest.mark.parametrize(
    "change",
    [lambda ds, n: setattr(ds, "Units", "BQML" if n < 3 else "CNTS"), lambda ds, n: delattr(ds, "RescaleSlope") if n == 2 else None, lambda ds, n: None],
    ids=["two units", "no slope", "sound"],
)
def test_that_pet_whose_slices_do_not_agree_has_no_unit(tmp_path, change, request):
    volume = only(stack(tmp_path, change, Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128", Units="BQML"))
    sound = "sound" in request.node.name
    assert (volume.unit, codes(volume)) == (("BQML", []) if sound else ("1", ["unit_unknown"]))


def test_that_frames_that_the_header_does_not_count_are_told(tmp_path):
    ds = enhanced([Frame((0, 0, 2.0 * n), np.full((6, 5), n, np.int16)) for n in range(4)])
    ds.NumberOfFrames = 2
    save(ds, tmp_path / "e.dcm")
    (series,) = scan_folder(tmp_path).series
    assert [(f.code, f.severity) for f in series.findings] == [("header_size_mismatch", "serious")]
    assert "2 whole frames more" in series.findings[0].message


@pytest.mark.parametrize("packed", [False, True])
def test_that_twelve_bits_in_the_upper_part_of_a_word_give_their_value(tmp_path, packed):
    def high(ds: Dataset, n: int) -> None:
        add_pixels(ds, np.full((6, 5), (1000 + n) << 4, np.uint16))
        ds.BitsStored, ds.HighBit = 12, 15
        if packed:
            ds.compress(RLELossless, generate_instance_uid=False)

    assert only(stack(tmp_path, high)).array[:, 0, 0].tolist() == [1001 - 1024, 1002 - 1024, 1003 - 1024, 1004 - 1024]


def test_that_an_overlay_in_unused_bits_is_no_value(tmp_path):
    def marked(ds: Dataset, n: int) -> None:
        add_pixels(ds, np.full((6, 5), (1000 + n) | 0x8000, np.uint16))
        ds.BitsStored, ds.HighBit = 12, 11

    assert only(stack(tmp_path, marked)).array.max() == 1004 - 1024


@pytest.mark.parametrize(
    ("representation", "vr", "value", "limit", "stored", "said"),
    [
        (1, "SS", -2000, None, -2000, "the filling value -3024."),
        (1, "US", 63536, None, -2000, "the filling value -3024."),  # written as an unsigned word
        (1, "SS", -2000, -1980, -1990, "filling values from -3024 to -3004."),
        (0, "SS", -1, None, 65535, "the filling value 64511."),
    ],
)
def test_that_filling_is_told_however_it_is_written_and_wherever_it_begins(tmp_path, representation, vr, value, limit, stored, said):
    def fill(ds: Dataset, n: int) -> None:
        array = np.full((6, 5), 1000, np.int16 if representation else np.uint16)
        if n > 2:
            array[:2] = stored  # not on the first slices
        add_pixels(ds, array)
        ds.add_new("PixelPaddingValue", vr, value)
        if limit is not None:
            ds.add_new("PixelPaddingRangeLimit", vr, limit)

    (note,) = only(stack(tmp_path, fill)).findings
    assert (note.code, note.message.partition(" hold ")[2]) == ("padding", said)


def test_that_a_filling_value_that_does_not_occur_is_not_told(tmp_path):
    assert codes(only(stack(tmp_path, lambda ds, n: ds.add_new("PixelPaddingValue", "SS", -2000)))) == []


# --- whose slices, and where they lie ----------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda ds, n: setattr(ds, "PatientID", "A" if n < 3 else "B"),
        lambda ds, n: setattr(ds, "StudyInstanceUID", uid(9, 1 if n < 3 else 2)),
        lambda ds, n: add_pixels(ds, np.zeros((6, 5, 3), np.uint8)) if n > 2 else None,
    ],
    ids=["patients", "studies", "grey and colour"],
)
def test_that_what_does_not_belong_together_is_no_stack_though_the_series_is_one(tmp_path, change):
    series = stack(tmp_path, change)
    assert [(s.frames, codes(s)) for s in series] == [(2, ["mixed_series_split"])] * 2
    assert read_volume(series[0]).array.shape == (2, 6, 5)


def test_that_slices_of_one_identity_are_not_taken_for_copies_where_they_lie_apart(tmp_path):
    (series,) = stack(tmp_path, sop=7)
    assert (series.frames, codes(series)) == (4, ["uid_reused"])
    assert scan_folder(tmp_path).skipped == ()


@pytest.mark.parametrize(("tilt", "kind", "expected"), [(15.0, "ORIGINAL", ["tilt_contradicted"]), (0.0, "ORIGINAL", []), (15.0, "DERIVED", [])])
def test_that_a_tilted_gantry_whose_slices_stand_upright_is_told(tmp_path, tilt, kind, expected):
    (series,) = stack(tmp_path, GantryDetectorTilt=tilt, ImageType=[kind, "PRIMARY", "AXIAL"])
    assert codes(series) == expected


def test_that_a_tilted_stack_that_lacks_a_slice_keeps_its_shear(tmp_path):
    tilted = (1.0, 0.0, 0.0, 0.0, float(np.cos(0.3)), -float(np.sin(0.3)))
    (series,) = stack(tmp_path, offsets=(0.0, 2.0, 4.0, 8.0, 10.0), orientation=tilted)
    assert codes(series) == ["gantry_tilt", "missing_slice"]
    volume = read_volume(series)
    assert volume.array.shape[0] == 6
    assert volume.geometry.affine[:3, 2] == pytest.approx([0, 0, 2.0])
    assert volume.geometry.voxel_size_mm3 == pytest.approx(0.5 * 0.8 * 2.0 * np.cos(0.3))


def test_that_stated_spacings_and_thickness_never_win_over_positions(tmp_path):
    (series,) = stack(tmp_path, SpacingBetweenSlices=99.0, SliceThickness=40.0, SliceLocation=1.0)
    assert series.spacing_mm == (0.5, 0.8, 2.0)


# --- volume files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lowest", "severity"), [(-1000, "info"), (0, "warning")])
def test_that_a_file_without_a_unit_is_said_to_be_taken_for_hu(tmp_path, lowest, severity):
    array = np.full((3, 4, 5), 60, np.int16)
    array[0, 0, 0] = lowest
    write_volume(ImageVolume(array, ImageGeometry.from_spacing((3, 4, 5), (1.0, 1.0, 2.0))), tmp_path / "v.nrrd")
    assert [(f.code, f.severity) for f in read_image(tmp_path / "v.nrrd").findings] == [("hu_assumed", severity)]


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_that_a_tilted_stack_is_converted_with_its_shear_and_says_what_others_may_make_of_it(tmp_path, capsys, suffix):
    tilted = (1.0, 0.0, 0.0, 0.0, float(np.cos(np.radians(18.5))), -float(np.sin(np.radians(18.5))))
    stack(tmp_path / "ct", orientation=tilted)
    assert main(["convert", str(tmp_path / "ct"), str(tmp_path / f"v.{suffix}"), "--json"]) == 0
    warned = {w["code"]: w["message"] for w in json.loads(capsys.readouterr().out)["warnings"]}
    assert set(warned) == {"gantry_tilt", "sheared"}
    assert "5.45 % too large" in warned["sheared"]
    assert read_image(tmp_path / f"v.{suffix}").geometry.voxel_size_mm3 == pytest.approx(0.5 * 0.8 * 2.0 * np.cos(np.radians(18.5)))
