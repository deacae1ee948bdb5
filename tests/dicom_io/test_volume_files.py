"""Volume files: exact grids, nothing half-written, nothing believed that cannot be."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_io.masks import read_image
from dicom_io.nifti import nifti_bytes, read_nifti
from dicom_io.volume_files import read_volume_file, write_array, write_volume
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

SUFFIXES = [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"]


def oblique(shape) -> ImageGeometry:
    c, s = np.cos(0.3), np.sin(0.3)
    return ImageGeometry.from_spacing(shape, (0.7, 0.8, 2.5), (-12.5, 3.25, 40.0), np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]))


def sheared(shape) -> ImageGeometry:
    affine = np.diag([0.5, 0.5, 2.4, 1.0])
    affine[1, 2] = 0.8
    affine[:3, 3] = (-100, 50, 790)
    return ImageGeometry(shape, affine)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("grid", [oblique, sheared])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_that_a_round_trip_keeps_every_voxel_and_the_grid(tmp_path, suffix, grid, dtype):
    array = (np.arange(3 * 4 * 5).reshape(3, 4, 5) - (0 if dtype == np.uint8 else 30)).astype(dtype)
    path = write_array(array, grid(array.shape), tmp_path / f"v{suffix}")
    back, geometry, _ = read_volume_file(path)
    assert np.array_equal(back, array)
    assert back.dtype == dtype
    assert geometry.same_grid(grid(array.shape), tolerance_mm=1e-3)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".writing")]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_that_others_read_our_files_with_the_same_grid(tmp_path, suffix):
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    path = write_volume(ImageVolume(array.copy(), oblique(array.shape)), tmp_path / f"v{suffix}")
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), array)
    geometry = oblique(array.shape)
    for index in ((0, 0, 0), (4, 3, 2)):
        assert image.TransformContinuousIndexToPhysicalPoint([float(v) for v in index]) == pytest.approx(geometry.index_to_world(index), abs=1e-4)


def test_that_we_read_the_nifti_of_others_with_their_grid(tmp_path):
    image = sitk.GetImageFromArray(np.arange(60, dtype=np.int32).reshape(3, 4, 5))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-12.5, 3.25, 40.0))
    image.SetDirection(tuple(oblique((3, 4, 5)).direction.ravel()))
    path = tmp_path / "theirs.nii.gz"
    sitk.WriteImage(image, str(path))
    array, affine = read_nifti(path)
    assert np.array_equal(array, sitk.GetArrayFromImage(image))
    assert ImageGeometry(array.shape, affine).same_grid(oblique(array.shape), tolerance_mm=1e-4)


def test_that_the_quaternion_is_used_where_there_is_no_sform(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), dtype=np.uint8))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetDirection(tuple(oblique((3, 4, 5)).direction.ravel()))
    path = tmp_path / "q.nii"
    sitk.WriteImage(image, str(path))
    with_sform = read_nifti(path)[1]
    raw = bytearray(path.read_bytes())
    assert struct.unpack_from("<h", raw, 252)[0] > 0
    struct.pack_into("<h", raw, 254, 0)
    path.write_bytes(raw)
    assert np.allclose(read_nifti(path)[1], with_sform, atol=1e-4)


def test_that_a_scale_factor_is_applied(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    raw = bytearray(nifti_bytes(array, np.eye(4)))
    struct.pack_into("<2f", raw, 112, 0.5, -3.0)
    (tmp_path / "s.nii").write_bytes(raw)
    assert np.allclose(read_nifti(tmp_path / "s.nii")[0], array * 0.5 - 3)


def test_that_a_mask_is_written_as_its_label(tmp_path):
    array = np.zeros((2, 3, 4), dtype=bool)
    array[1, 1, 1] = True
    path = write_volume(NodeMask(array, oblique(array.shape), label=9), tmp_path / "m.nrrd")
    assert np.unique(read_volume_file(path)[0]).tolist() == [0, 9]


def test_that_the_same_volume_gives_the_same_bytes(tmp_path):
    array = np.zeros((2, 3, 4), dtype=np.int16)
    a, b = (write_array(array, oblique(array.shape), tmp_path / n) for n in ("a.nii.gz", "b.nii.gz"))
    assert a.read_bytes() == b.read_bytes()


def test_that_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(NodusError) as refusal:
        write_array(np.zeros((2, 2, 2), dtype=np.int16), oblique((2, 2, 2)), tmp_path / "v.xyz")
    assert refusal.value.code == "unknown_format"
    assert list(tmp_path.iterdir()) == []


def test_that_cut_off_and_lying_files_are_refused(tmp_path):
    raw = nifti_bytes(np.zeros((20, 20, 20), dtype=np.int16), np.eye(4))
    (tmp_path / "cut.nii").write_bytes(raw[:-100])
    lying = bytearray(raw[:400])
    struct.pack_into("<4h", lying, 40, 3, 30000, 30000, 30000)
    (tmp_path / "lying.nii.gz").write_bytes(gzip.compress(bytes(lying)))
    (tmp_path / "lying.nrrd").write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes: 9000 9000 9000\nencoding: raw\nendian: little\n\n1234")
    (tmp_path / "noise.nii").write_bytes(b"\x01" * 500)
    for name in ("cut.nii", "lying.nii.gz", "lying.nrrd", "noise.nii"):
        with pytest.raises(NodusError) as refusal:
            read_image(tmp_path / name)
        assert refusal.value.code in ("truncated", "not_nifti"), name


def test_that_a_zero_spacing_is_refused(tmp_path):
    (tmp_path / "flat.nii").write_bytes(nifti_bytes(np.zeros((2, 2, 2), dtype=np.int16), np.diag([1.0, 1.0, 0.0, 1.0])))
    with pytest.raises(NodusError) as refusal:
        read_image(tmp_path / "flat.nii")
    assert refusal.value.code == "bad_spacing"


def test_that_many_volumes_in_one_file_are_refused(tmp_path):
    image = sitk.Image([4, 4, 4, 3], sitk.sitkInt16)
    sitk.WriteImage(image, str(tmp_path / "four.nii"))
    with pytest.raises(NodusError) as refusal:
        read_image(tmp_path / "four.nii")
    assert refusal.value.code == "not_a_volume"
