"""Structure sets we write: every voxel comes back, holes, touching corners and empty slices too."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from dicom_io.ct import read_volume
from dicom_io.masks import read_masks
from dicom_io.rtstruct_write import write_rtstruct
from tests.dicom_io.made import STAMP
from tests.dicom_io.test_seg_write import series
from tests.dicom_io.validators import dciodvfy_errors
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask


def awkward(geometry) -> list[NodeMask]:
    """A ring with a dot in its hole, a chessboard (corners touch), noise, single voxels with empty slices between, nothing."""
    shape = geometry.shape
    ring, board, dots, empty = (np.zeros(shape, dtype=bool) for _ in range(4))
    ring[2, :5, :5] = True
    ring[2, 1:4, 1:4] = False
    ring[2, 2, 2] = True
    board[3] = np.indices(shape[1:]).sum(axis=0) % 2 == 0
    noise = np.random.default_rng(4).random(shape) < 0.4
    dots[0, 0, 0] = dots[6, 5, 4] = True  # at the picture's corners
    return [NodeMask(a, geometry, n, name) for n, (a, name) in enumerate(((ring, "ring"), (board, None), (noise, "noise"), (dots, "dots"), (empty, "gone")), start=1)]


@pytest.mark.parametrize("kind", [{}, {"tilt": 0.4}, {"oblique": True}], ids=["straight", "tilted", "oblique"])
def test_that_every_voxel_of_every_outline_comes_back(tmp_path, kind):
    source = series(tmp_path / "ct", **kind)
    masks = awkward(read_volume(source).geometry)
    path = write_rtstruct(masks, source.paths, tmp_path / "nodes.dcm", STAMP)
    back = read_masks(path, image=tmp_path / "ct")
    assert [m.name for m in back] == ["ring", "node 2", "noise", "dots", "gone"]
    for mask, other in zip(masks, back, strict=True):
        np.testing.assert_array_equal(other.array, mask.array)
    assert dciodvfy_errors(path) == []


def test_that_each_outline_names_the_picture_it_was_drawn_on(tmp_path):
    source = series(tmp_path / "ct")
    geometry = read_volume(source).geometry
    array = np.zeros(geometry.shape, dtype=bool)
    array[4, 2:4, 2:4] = True
    ds = pydicom.dcmread(write_rtstruct([NodeMask(array, geometry)], source.paths, tmp_path / "nodes.dcm", STAMP))
    (contour,) = ds.ROIContourSequence[0].ContourSequence
    named = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
    slices = {pydicom.dcmread(p).SOPInstanceUID: pydicom.dcmread(p).ImagePositionPatient[2] for p in source.paths}
    assert slices[named] == contour.ContourData[2] == 4 * 1.5


def test_that_a_mask_on_another_grid_is_not_written(tmp_path):
    source = series(tmp_path / "ct")
    grid = ImageGeometry.from_spacing((7, 6, 5), (0.5, 0.8, 1.5), (1.0, 2.5, 0.0))
    with pytest.raises(NodusError) as refusal:
        write_rtstruct([NodeMask(np.ones(grid.shape, dtype=bool), grid)], source.paths, tmp_path / "x.dcm", STAMP)
    assert refusal.value.code == "wrong_grid"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct"]


def test_that_a_series_without_a_frame_of_reference_takes_no_outlines(tmp_path):
    whole = series(tmp_path / "ct")
    geometry = read_volume(whole).geometry
    for path in whole.paths:
        ds = pydicom.dcmread(path)
        del ds.FrameOfReferenceUID
        ds.save_as(path)
    with pytest.raises(NodusError) as refusal:
        write_rtstruct([NodeMask(np.ones(geometry.shape, dtype=bool), geometry)], whole.paths, tmp_path / "x.dcm", STAMP)
    assert refusal.value.code == "frame_of_reference_missing"
