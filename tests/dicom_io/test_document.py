"""Reports, key images and field maps as DICOM: the same bytes, pixels and values come back, and a validator finds no error."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from highdicom.pm import ParametricMap

from dicom_io.document import read_pdf, write_key_image, write_pdf
from dicom_io.parametric_map import read_field_map, write_field_map
from tests.dicom_io.made import STAMP
from tests.dicom_io.test_seg_write import series
from tests.dicom_io.validators import dciodvfy_errors
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry

PDF = b"%PDF-1.4\nan odd number of bytes"


@pytest.fixture
def ct(tmp_path):
    return series(tmp_path / "ct")


@pytest.fixture
def header(ct):
    return pydicom.dcmread(ct.paths[0])


def test_that_a_report_comes_back_byte_for_byte(tmp_path, header):
    assert len(PDF) % 2 == 1  # DICOM pads it; the length in the header takes the padding off again
    path = write_pdf(PDF, header, tmp_path / "report.dcm", STAMP, title="Follow-up S1")
    assert read_pdf(path) == PDF
    ds = pydicom.dcmread(path)
    assert (ds.PatientID, ds.StudyInstanceUID) == (header.PatientID, header.StudyInstanceUID)
    assert dciodvfy_errors(path) == []


def test_that_what_is_no_pdf_is_refused(tmp_path, header, ct):
    with pytest.raises(NodusError) as refusal:
        write_pdf(b"hello", header, tmp_path / "report.dcm", STAMP, title="x")
    assert refusal.value.code == "not_a_pdf"
    with pytest.raises(NodusError) as refusal:
        read_pdf(ct.paths[0])
    assert refusal.value.code == "not_a_pdf"


def test_that_a_key_image_comes_back_pixel_for_pixel_and_carries_no_scale(tmp_path, header):
    picture = np.random.default_rng(1).integers(0, 256, (31, 41, 3), dtype=np.uint8)
    path = write_key_image(picture, header, tmp_path / "key.dcm", STAMP, description="Node N1")
    ds = pydicom.dcmread(path)
    np.testing.assert_array_equal(ds.pixel_array, picture)
    assert "PixelSpacing" not in ds
    assert dciodvfy_errors(path) == []


def test_that_a_grey_picture_is_refused_as_a_key_image(tmp_path, header):
    with pytest.raises(NodusError) as refusal:
        write_key_image(np.zeros((4, 4), np.uint8), header, tmp_path / "key.dcm", STAMP, description="x")
    assert refusal.value.code == "bad_shape"


@pytest.mark.parametrize("turned", [False, True], ids=["along", "against"])
def test_that_a_field_map_gives_the_same_volts_per_metre_at_the_same_places(tmp_path, ct, turned):
    spacing, origin = (1.0, 0.75, 0.5), (-3.0, 2.0, 5.0)
    geometry = ImageGeometry.from_spacing((9, 8, 7), spacing, origin, np.diag([1.0, 1.0, -1.0 if turned else 1.0]))
    field = (np.random.default_rng(2).random(geometry.shape) * 1e5).astype(np.float32)
    field[0, 0, 0] = np.nan  # metal
    path = write_field_map(field, geometry, ct.paths, tmp_path / "field.dcm", STAMP)
    back, placed = read_field_map(path)
    for index in ((1, 2, 3), (6, 7, 8), (0, 0, 4)):
        there = np.rint(placed.world_to_index(geometry.index_to_world(index))).astype(int)
        assert back[tuple(there[::-1])] == field[index[::-1]]
    assert np.sort(back.ravel())[1:].tolist() == np.sort(np.nan_to_num(field).ravel())[1:].tolist()
    unit = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("V/m", "UCUM")
    assert dciodvfy_errors(path) == []


def test_that_another_reader_gets_the_same_field(tmp_path, ct):
    geometry = ImageGeometry.from_spacing((3, 4, 5), (1.0, 1.0, 2.0))
    field = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    path = write_field_map(field, geometry, ct.paths, tmp_path / "field.dcm", STAMP)
    other = ParametricMap.from_dataset(pydicom.dcmread(path))
    volume = other.get_volume(apply_real_world_transform=True)
    assert volume.spacing == pytest.approx((2.0, 1.0, 1.0))
    for index in ((0, 0, 0), (4, 1, 2), (2, 3, 1)):
        place = volume.map_reference_to_indices(geometry.index_to_world(index)[None], round_output=True)[0]
        assert float(volume.array[tuple(place)].item()) == field[index[::-1]]


def test_that_a_sheared_grid_or_a_field_of_another_shape_is_refused(tmp_path, ct):
    affine = np.eye(4)
    affine[1, 2] = 0.2
    with pytest.raises(NodusError) as refusal:
        write_field_map(np.zeros((2, 2, 2)), ImageGeometry((2, 2, 2), affine), ct.paths, tmp_path / "x.dcm", STAMP)
    assert refusal.value.code == "wrong_grid"
    with pytest.raises(NodusError) as refusal:
        write_field_map(np.zeros((2, 2, 3)), ImageGeometry((2, 2, 2), np.eye(4)), ct.paths, tmp_path / "x.dcm", STAMP)
    assert refusal.value.code == "bad_shape"
    assert not (tmp_path / "x.dcm").exists()


def test_that_an_image_is_no_field_map(ct):
    with pytest.raises(NodusError) as refusal:
        read_field_map(ct.paths[0])
    assert refusal.value.code == "not_a_map"
