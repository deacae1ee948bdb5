"""NRRD and MetaImage as others write them: the same voxels and grid as ITK reads, and a refusal for what is not sound."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_io.volume_files import read_volume_file
from volumetry.errors import NodusError

TYPES = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64)
HEAD = (
    b"NRRD0004\n# a remark\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 3 4\n"
    b"space directions: (0.5,0,0) (0,0.6,0) (0,0,2)\nkinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (1,2,3)\n\n"
)
META = (
    b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
    b"Offset = 1 2 3\nElementSpacing = 0.5 0.6 2\nDimSize = 2 3 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)
VOXELS = np.arange(24, dtype="<i2").tobytes()


def written(path, dtype, compressed: bool) -> sitk.Image:
    rng = np.random.default_rng(3)
    image = sitk.GetImageFromArray((rng.random((4, 5, 6)) * 100).astype(dtype))
    c, s = math.cos(0.3), math.sin(0.3)
    image.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10.0, 20.0, 30.5))
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return sitk.ReadImage(str(path))


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_that_itk_and_we_read_the_same_file_alike(tmp_path, suffix, compressed, dtype):
    image = written(tmp_path / f"v{suffix}", dtype, compressed)
    array, geometry, _ = read_volume_file(tmp_path / f"v{suffix}")
    np.testing.assert_array_equal(array, sitk.GetArrayFromImage(image))
    assert array.dtype == dtype
    for index in ((0, 0, 0), (5, 0, 0), (0, 4, 0), (0, 0, 3), (5, 4, 3)):
        np.testing.assert_allclose(geometry.index_to_world(np.array([index], dtype=float))[0], image.TransformContinuousIndexToPhysicalPoint([float(v) for v in index]), atol=1e-9)


def test_that_the_shared_masks_read_as_itk_reads_them(shared_data):
    for path in sorted((shared_data / "seg_sr").rglob("*.nrrd")):
        array, geometry, _ = read_volume_file(path)
        image = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(array, sitk.GetArrayFromImage(image))
        np.testing.assert_allclose(geometry.origin_mm, image.GetOrigin(), atol=1e-9)
        np.testing.assert_allclose(geometry.spacing_mm, image.GetSpacing(), rtol=1e-9)


@pytest.mark.parametrize(("space", "sign"), [("right-anterior-superior", (-1, -1, 1)), ("LAS", (1, -1, 1)), ("left-posterior-superior", (1, 1, 1))])
def test_that_a_nrrd_of_another_space_is_turned_to_lps(tmp_path, space, sign):
    path = tmp_path / "v.nrrd"
    path.write_bytes(HEAD.replace(b"left-posterior-superior", space.encode()) + VOXELS)
    _, geometry, _ = read_volume_file(path)
    np.testing.assert_allclose(geometry.origin_mm, np.array([1, 2, 3]) * sign)
    np.testing.assert_allclose(np.diag(geometry.affine)[:3], np.array([0.5, 0.6, 2.0]) * sign)


def test_that_layers_notes_texts_and_big_endian_are_read(tmp_path):
    layered = HEAD.replace(b"sizes: 2 3 4", b"sizes: 2 2 3 4").replace(b"dimension: 3", b"dimension: 4").replace(b"directions: ", b"directions: none ").replace(b"kinds: ", b"kinds: list ")
    layered = layered.replace(b"endian: little", b"endian: big").replace(b"encoding: raw", b"encoding: gzip\nSegment0_Name:=II left")
    values = np.arange(48, dtype=">i2")
    (tmp_path / "layers.nrrd").write_bytes(layered + gzip.compress(values.tobytes()))
    array, _, notes = read_volume_file(tmp_path / "layers.nrrd")
    assert array.shape == (4, 3, 2, 2)
    np.testing.assert_array_equal(array.ravel(), values)
    assert notes["Segment0_Name"] == "II left"
    (tmp_path / "text.nrrd").write_bytes(HEAD.replace(b"encoding: raw", b"encoding: text") + b" ".join(str(v).encode() for v in range(24)))
    np.testing.assert_array_equal(read_volume_file(tmp_path / "text.nrrd")[0].ravel(), np.arange(24))
    (tmp_path / "text.mha").write_bytes(META.replace(b"BinaryData = True", b"BinaryData = False") + b" ".join(str(v).encode() for v in range(24)))
    np.testing.assert_array_equal(read_volume_file(tmp_path / "text.mha")[0].ravel(), np.arange(24))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"sizes: 2 3 4", b"sizes: 2 3 5", "truncated"),
        (b"sizes: 2 3 4", b"sizes: 2 3 -4", "unreadable"),
        (b"sizes: 2 3 4", b"sizes: 2 3", "unreadable"),
        (b"sizes: 2 3 4", b"sizes: 100000 100000 100000", "truncated"),
        (b"(0,0,2)", b"(0,0,0)", "bad_spacing"),
        (b"(0,0,2)", b"(0,0,nan)", "bad_spacing"),
        (b"(0,0,2)", b"(0,1,0)", "bad_spacing"),
        (b"space directions: (0.5,0,0) (0,0.6,0) (0,0,2)\n", b"", "bad_spacing"),
        (b"space directions: (0.5,0,0) (0,0.6,0) (0,0,2)", b"spacings: 1 1 -1", "bad_spacing"),
        (b"space origin: (1,2,3)", b"space origin: (1,inf,3)", "bad_spacing"),
        (b"endian: little\n", b"", "unreadable"),
        (b"type: short", b"type: block", "unreadable"),
        (b"encoding: raw", b"encoding: gzip", "unreadable"),
        (b"dimension: 3", b"dimension: 2", "unreadable"),
        (b"encoding: raw", b"encoding: raw\ndata file: ../v.raw", "unreadable"),
        (b"encoding: raw", b"encoding: raw\ndata file: other.raw", "file_missing"),
        (b"encoding: raw", b"encoding: raw\nbyte skip: -7", "unreadable"),
        (b"NRRD0004", b"NRRD", "unreadable"),
    ],
)
def test_that_an_unsound_nrrd_is_refused(tmp_path, old, new, code):
    assert old in HEAD
    path = tmp_path / "v.nrrd"
    path.write_bytes(HEAD.replace(old, new, 1) + VOXELS)
    with pytest.raises(NodusError) as refusal:
        read_volume_file(path)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"DimSize = 2 3 4", b"DimSize = 2 3 5", "truncated"),
        (b"DimSize = 2 3 4", b"DimSize = 0 3 4", "unreadable"),
        (b"DimSize = 2 3 4", b"DimSize = 9999999999999 3 4", "truncated"),
        (b"NDims = 3", b"NDims = 2", "unreadable"),
        (b"NDims = 3", b"NDims = 99999999999", "unreadable"),
        (b"ElementSpacing = 0.5 0.6 2", b"ElementSpacing = 0.5 -0.6 2", "bad_spacing"),
        (b"ElementSpacing = 0.5 0.6 2\n", b"", "bad_spacing"),
        (b"Offset = 1 2 3", b"Offset = 1 nan 3", "bad_spacing"),
        (b"1 0 0 0 1 0 0 0 1", b"1 0 0 1 0 0 0 0 1", "bad_spacing"),
        (b"BinaryData = True", b"BinaryData = True\nCompressedData = True", "unreadable"),
        (b"ElementDataFile = LOCAL", b"ElementDataFile = LIST 2", "unreadable"),
        (b"ElementDataFile = LOCAL", b"ElementDataFile = /etc/hostname", "unreadable"),
        (b"ElementDataFile = LOCAL\n", b"", "unreadable"),
        (b"ElementType = MET_SHORT", b"ElementType = MET_OTHER", "unreadable"),
    ],
)
def test_that_an_unsound_metaimage_is_refused(tmp_path, old, new, code):
    assert old in META
    path = tmp_path / "v.mha"
    path.write_bytes(META.replace(old, new, 1) + VOXELS)
    with pytest.raises(NodusError) as refusal:
        read_volume_file(path)
    assert refusal.value.code == code
