"""Enhanced multi-frame files: the same volumes as their slices, split where they really are several."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_io.ct import read_volume, series_of_files, stacks_of_files
from dicom_io.masks import read_image
from dicom_io.scan import scan_folder
from tests.dicom_io.made import ct_stack, save
from tests.dicom_io.made_enhanced import ENHANCED_MR, ENHANCED_PET, Frame, enhanced, item
from volumetry.errors import NodusError


def plane(value: int) -> np.ndarray:
    return np.full((6, 5), value, dtype=np.int16)


def codes(series) -> list[str]:
    return [f.code for f in series.findings]


@pytest.mark.parametrize("shared", [True, False])
def test_that_an_enhanced_file_is_the_volume_its_slices_would_be(tmp_path, shared):
    ct_stack(tmp_path / "single", [0.0, 2.0, 4.0])
    frames = [Frame((10.0, 20.0, 2.0 * n), plane(1001 + n), intercept=-1024) for n in (2, 0, 1)]
    save(enhanced(frames, shared=shared), tmp_path / "multi" / "e.dcm")
    single, multi = read_image(tmp_path / "single"), read_image(tmp_path / "multi")
    assert np.array_equal(single.array, multi.array)
    assert single.geometry.same_grid(multi.geometry)
    assert multi.unit == "HU"


def test_that_frames_are_scaled_each_by_its_own_rule(tmp_path):
    frames = [Frame((0, 0, float(n)), plane(100), slope=slope) for n, slope in enumerate((1.0, 0.5, 2.0))]
    path = save(enhanced(frames, sop_class=ENHANCED_PET, modality="PT"), tmp_path / "e.dcm")
    volume = read_volume([path])
    assert volume.array[:, 0, 0].tolist() == [100.0, 50.0, 200.0]


@pytest.mark.parametrize(
    ("macro", "first", "second"),
    [
        ("FrameContentSequence", {"FrameAcquisitionNumber": 1}, {"FrameAcquisitionNumber": 2}),
        ("FrameContentSequence", {"TemporalPositionIndex": 1}, {"TemporalPositionIndex": 2}),
        ("MREchoSequence", {"EffectiveEchoTime": 2.3}, {"EffectiveEchoTime": 4.6}),
        ("MRDiffusionSequence", {"DiffusionBValue": 0.0}, {"DiffusionBValue": 800.0}),
        ("CTReconstructionSequence", {"ConvolutionKernel": "B30"}, {"ConvolutionKernel": "B70"}),
        ("MRImageFrameTypeSequence", {"FrameType": ["ORIGINAL", "PRIMARY", "M", "NONE"]}, {"FrameType": ["ORIGINAL", "PRIMARY", "P", "NONE"]}),
    ],
)
def test_that_two_volumes_in_one_file_are_told_apart_by_what_differs(tmp_path, macro, first, second):
    frames = [
        Frame((0, 0, 2.0 * n), plane(100 * (kind + 1) + n), macros={macro: item(**values)})
        for n in range(3)
        for kind, values in enumerate((first, second))
    ]
    path = save(enhanced(frames, sop_class=ENHANCED_MR, modality="MR"), tmp_path / "e.dcm")
    series = scan_folder(tmp_path).series
    assert [s.shape for s in series] == [(5, 6, 3)] * 2
    assert all("mixed_series_split" in codes(s) for s in series)
    assert [read_volume(s).array[:, 0, 0].tolist() for s in series] == [[100, 101, 102], [200, 201, 202]]
    assert [read_volume([path], part=n).array[0, 0, 0] for n in (1, 2)] == [100, 200]
    with pytest.raises(NodusError) as refusal:
        read_volume([path])
    assert refusal.value.code == "mixed_series"


def test_that_two_directions_in_one_file_are_two_volumes(tmp_path):
    coronal = (1, 0, 0, 0, 0, -1)
    frames = [Frame((0, 0, 2.0 * n), plane(n)) for n in range(3)] + [Frame((0, 2.0 * n, 0), plane(50 + n), coronal) for n in range(4)]
    path = save(enhanced(frames, shared=False), tmp_path / "e.dcm")
    assert [s.shape[2] for s in stacks_of_files([path])] == [3, 4]
    second = read_volume([path], part=2)
    assert series_of_files([path], on_grid=second.geometry).shape[2] == 4
    # rows run down (-z), columns to the left (+x), so the stack grows with y
    assert second.array[:, 0, 0].tolist() == [50, 51, 52, 53]
    assert second.geometry.index_to_world((0, 1, 1)).tolist() == pytest.approx([0, 2.0, -0.8])


def test_that_one_stack_spread_over_several_enhanced_files_is_one_volume(tmp_path):
    for n in range(2):
        frames = [Frame((0, 0, 2.0 * (2 * n + m)), plane(10 * n + m)) for m in range(2)]
        save(enhanced(frames, sop=n + 1), tmp_path / f"{n}.dcm")
    (series,) = scan_folder(tmp_path).series
    assert read_volume(series).array[:, 0, 0].tolist() == [0, 1, 10, 11]


def test_that_a_frame_without_a_place_does_not_join_the_volume(tmp_path):
    ds = enhanced([Frame((0, 0, float(n)), plane(n)) for n in range(4)])
    ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence = item()
    save(ds, tmp_path / "e.dcm")
    (series,) = scan_folder(tmp_path).series
    assert codes(series) == ["frames_without_position", "missing_slice"]
    assert series.frames == 3


def test_that_pet_keeps_its_unit_and_mr_has_none_invented(tmp_path):
    pet = enhanced([Frame((0, 0, float(n)), plane(n)) for n in range(2)], sop_class=ENHANCED_PET, modality="PT")
    pet.Units = "BQML"
    assert read_volume([save(pet, tmp_path / "p.dcm")]).unit == "BQML"
    mr = enhanced([Frame((0, 0, float(n)), plane(n)) for n in range(2)], sop_class=ENHANCED_MR, modality="MR")
    for one in mr.PerFrameFunctionalGroupsSequence:
        one.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=0)
    assert read_volume([save(mr, tmp_path / "m.dcm")]).unit == "1"


def test_that_fewer_groups_than_frames_leave_out_what_is_not_placed(tmp_path):
    ds = enhanced([Frame((0, 0, float(n)), plane(n)) for n in range(3)])
    del ds.PerFrameFunctionalGroupsSequence[2]
    save(ds, tmp_path / "e.dcm")
    (series,) = scan_folder(tmp_path).series
    assert series.frames == 2
    assert codes(series) == ["frames_without_position"]


def test_that_items_that_are_no_groups_do_not_stop_the_scan(tmp_path):
    ds = enhanced([Frame((0, 0, 0.0), plane(1))])
    ds.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [Dataset()]
    ds.SharedFunctionalGroupsSequence = [Dataset()]
    save(ds, tmp_path / "e.dcm")
    result = scan_folder(tmp_path)
    assert len(result.series) == 1
    assert result.series[0].slices == ()
