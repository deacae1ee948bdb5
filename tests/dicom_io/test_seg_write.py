"""Segmentations we write: every voxel comes back, for us and for others."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pytest

from dicom_io.ct import read_volume
from dicom_io.masks import read_masks
from dicom_io.scan import scan_folder
from dicom_io.seg_write import write_seg
from tests.dicom_io.made import STAMP, ct_slice, save
from tests.dicom_io.validators import dciodvfy_errors
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

PATIENT = {
    "PatientName": "S1", "PatientID": "S1", "PatientBirthDate": "", "PatientSex": "", "StudyDate": "", "StudyTime": "",
    "AccessionNumber": "", "StudyID": "", "ReferringPhysicianName": "", "SeriesNumber": 1, "Manufacturer": "x", "ManufacturerModelName": "x",
    "SoftwareVersions": "1", "DeviceSerialNumber": "1", "PositionReferenceIndicator": "",
}  # fmt: skip


def series(folder, *, tilt: float = 0.0, oblique: bool = False):
    c, s = (np.cos(0.3), np.sin(0.3)) if oblique else (1.0, 0.0)
    orientation = (c, s, 0, -s, c, 0)
    for n in range(7):
        save(ct_slice((1.0, 2.0 + tilt * n, 1.5 * n), n + 1, orientation=orientation, **PATIENT), folder / f"{n}.dcm")
    (found,) = scan_folder(folder).series
    return found


def nodes(geometry) -> list[NodeMask]:
    a, b, c = (np.zeros(geometry.shape, dtype=bool) for _ in range(3))
    a[1:4, 1:4, 1:3] = True
    b[3, 2:5, 2:5] = True  # overlaps a
    b[6, 0, 0] = True  # with empty slices between
    return [NodeMask(a, geometry, 1, "II left"), NodeMask(b, geometry, 2), NodeMask(c, geometry, 3, "gone")]


@pytest.mark.parametrize("kind", [{}, {"tilt": 0.4}, {"oblique": True}])
def test_that_overlapping_sparse_and_empty_segments_come_back(tmp_path, kind):
    source = series(tmp_path / "ct", **kind)
    geometry = read_volume(source).geometry
    masks = nodes(geometry)
    path = write_seg(masks, source.paths, tmp_path / "nodes.dcm", STAMP)
    back = read_masks(path)
    assert [m.name for m in back] == ["II left", "node 2", "gone"]
    for mask, other in zip(masks, back, strict=True):
        assert int(other.array.sum()) == int(mask.array.sum())
        assert other.geometry.voxel_size_mm3 == pytest.approx(geometry.voxel_size_mm3, rel=1e-6)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".writing")] == []


def test_that_another_reader_gets_the_same_voxels(tmp_path):
    source = series(tmp_path / "ct")
    masks = nodes(read_volume(source).geometry)
    path = write_seg(masks, source.paths, tmp_path / "nodes.dcm", STAMP, tracking_uids=["1.2.3", None, None])
    other = hd.seg.segread(path)
    assert "1.2.3" in {uid for _, uid in other.get_tracking_ids()}
    volume = other.get_volume(combine_segments=False)
    assert [int(volume.array[..., n].sum()) for n in range(3)] == [int(m.array.sum()) for m in masks]


def test_that_a_mask_on_another_grid_is_not_written(tmp_path):
    source = series(tmp_path / "ct")
    grid = ImageGeometry.from_spacing((7, 6, 5), (0.5, 0.8, 1.5), (1.0, 2.5, 0.0))
    mask = NodeMask(np.ones(grid.shape, dtype=bool), grid)
    with pytest.raises(NodusError) as refusal:
        write_seg([mask], source.paths, tmp_path / "x.dcm", STAMP)
    assert refusal.value.code == "wrong_grid"
    assert not (tmp_path / "x.dcm").exists()


def test_that_nothing_is_not_written(tmp_path):
    source = series(tmp_path / "ct")
    geometry = read_volume(source).geometry
    empty = NodeMask(np.zeros(geometry.shape, dtype=bool), geometry)
    for masks in ([], [empty]):
        with pytest.raises(NodusError) as refusal:
            write_seg(masks, source.paths, tmp_path / "x.dcm", STAMP)
        assert refusal.value.code == "nothing_to_write"


def test_that_a_validator_finds_no_error_on_a_multi_frame_source(shared_data, tmp_path):
    """The source is another maker's enhanced file; its slices are also there one by one."""
    folder = shared_data / "seg_sr" / "dcmqi" / "23x38x3"
    (truth,) = read_masks(folder / "seg" / "label.seg")
    series = scan_folder(folder / "multiframe").series[0]
    mask = NodeMask(truth.array, read_volume(series).geometry, 1, "node")
    path = write_seg([mask], series.paths, tmp_path / "s.dcm", STAMP)
    assert dciodvfy_errors(path) == []
    (back,) = read_masks(path)
    assert np.array_equal(back.array, truth.array)
    frames = hd.seg.segread(path).get_pixels_by_source_frame(series.headers[0].ds["SOPInstanceUID"], [1, 2, 3])
    assert int(frames.sum()) == 322


def test_that_a_series_without_a_frame_of_reference_is_refused_not_guessed(tmp_path):
    for n in range(3):
        ds = ct_slice((0, 0, 2.0 * n), n + 1)
        del ds.FrameOfReferenceUID
        save(ds, tmp_path / "ct" / f"{n}.dcm")
    source = scan_folder(tmp_path / "ct").series[0]
    geometry = read_volume(source).geometry
    with pytest.raises(NodusError) as refusal:
        write_seg([NodeMask(np.ones(geometry.shape, dtype=bool), geometry)], source.paths, tmp_path / "x.dcm", STAMP)
    assert refusal.value.code == "frame_of_reference_missing"


def test_that_a_header_with_little_in_it_is_enough(tmp_path):
    for n in range(3):
        ds = ct_slice((0, 0, 2.0 * n), n + 1)
        for keyword in ("SliceThickness", "InstanceNumber"):
            delattr(ds, keyword)
        save(ds, tmp_path / "ct" / f"{n}.dcm")
    source = scan_folder(tmp_path / "ct").series[0]
    geometry = read_volume(source).geometry
    path = write_seg([NodeMask(np.ones(geometry.shape, dtype=bool), geometry)], source.paths, tmp_path / "x.dcm", STAMP)
    assert int(read_masks(path)[0].array.sum()) == 90


def test_that_a_mask_on_a_single_slice_claims_no_distance_between_slices(tmp_path):
    path = save(ct_slice((1.0, 2.0, 3.0), 1), tmp_path / "only.dcm")
    volume = read_volume(scan_folder(tmp_path).series[0])
    array = np.zeros(volume.geometry.shape, dtype=bool)
    array[0, 1:3, 1:4] = True
    (back,) = read_masks(write_seg([NodeMask(array, volume.geometry, 1, "node")], [path], tmp_path / "out" / "seg.dcm", STAMP))
    np.testing.assert_array_equal(back.array, array)
    assert [f.code for f in back.findings] == ["spacing_unknown"]  # never 1 mm, which the slice is not
