"""No name survives an import; the picture and its geometry do."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_io.deidentify import Confirmed, clean_copy, clean_dataset, days_back, map_uid, review
from dicom_io.deidentify.review import kept_mask
from dicom_io.headers import DicomRefused, read_header
from dicom_io.masks import open_image, read_image
from tests.dicom_io.made import ct_slice, ct_stack, region, save, us_picture
from volumetry.errors import Cancelled, NodusError

KEY = b"0123456789abcdef0123456789abcdef"
SECRETS = {
    "PatientName": "Zimmermann^Wilhelmine",
    "PatientID": "ID-48151623",
    "PatientBirthDate": "19570412",
    "PatientSex": "F",
    "PatientAge": "067Y",
    "PatientAddress": "Lindenallee 17",
    "OtherPatientNames": "Schmidt^Minna",
    "PatientComments": "called on Tuesday",
    "ReferringPhysicianName": "Oberdoktor^Hans",
    "OperatorsName": "Radiografin^Eva",
    "PerformingPhysicianName": "Nadelmann^Otto",
    "InstitutionName": "Klinik am Waldrand",
    "InstitutionAddress": "Waldweg 3",
    "StationName": "STATION77",
    "AccessionNumber": "ACC998877",
    "StudyID": "STU554433",
    "StudyDate": "20240301",
    "AcquisitionDate": "20240302",
    "StudyTime": "113344",
    "StudyDescription": "Neck Zimmermann",
    "SeriesDescription": "Zimmermann left",
    "ProtocolName": "neck for Wilhelmine",
    "DeviceSerialNumber": "SN-31415926",
    "ImageComments": "tel 0551-123",
    "RequestingPhysician": "Fragner^Ida",
    "SoftwareVersions": "site-Waldrand-2",
}


def secretive(ds: Dataset) -> Dataset:
    for keyword, value in SECRETS.items():
        setattr(ds, keyword, value)
    request = Dataset()
    request.RequestedProcedureDescription = "Zimmermann needs this"
    ds.RequestAttributesSequence = Sequence([request])
    ds.private_block(0x0029, "ACME", create=True).add_new(1, "LO", "Zimmermann private")
    ds.add_new(0x60003000, "OW", b"Zimmermann overlay")
    ds.add_new(0x00111111, "UN", b"Zimmermann unknown ")
    return ds


def leaks(raw: bytes) -> list[str]:
    words = [w for value in SECRETS.values() for w in str(value).replace("^", " ").split() if len(w) >= 4]
    words += ["Zimmermann", "ACME"]
    return sorted({w for w in words if w.encode() in raw})


@pytest.mark.parametrize("make", [lambda: ct_slice((0, 0, 0), 1), lambda: us_picture([region((0, 0, 79, 59))], frames=3, FrameTime=20.0)])
def test_that_no_identifying_value_survives_in_the_bytes(tmp_path, make):
    source = save(secretive(make()), tmp_path / "Zimmermann.dcm")
    assert "Zimmermann" in leaks(source.read_bytes())
    (clean,) = clean_copy([source], tmp_path / "study", "NODUS-007", KEY)
    raw = clean.path.read_bytes()
    assert leaks(raw) == []
    assert b"NODUS-007" in raw
    assert "Zimmermann" not in clean.path.name
    original = pydicom.dcmread(source)
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert str(original[keyword].value).encode() not in raw


def test_that_true_dates_are_handed_to_the_store_and_not_written(tmp_path):
    source = save(secretive(ct_slice((0, 0, 0), 1)), tmp_path / "a.dcm")
    (clean,) = clean_copy([source], tmp_path / "study", "S1", KEY)
    assert clean.acquired_on == "2024-03-02"
    assert dict(clean.true_dates)["StudyDate"] == "2024-03-01"
    back = pydicom.dcmread(clean.path)
    moved = dt.timedelta(days=days_back("S1", KEY))
    assert back.StudyDate == f"{dt.date(2024, 3, 1) - moved:%Y%m%d}"
    assert back.AcquisitionDate == f"{dt.date(2024, 3, 2) - moved:%Y%m%d}"
    assert "PatientName" in {c.keyword for c in clean.changed}


def test_that_the_picture_its_grid_and_its_scale_survive(shared_data, tmp_path):
    cleaned = clean_copy(sorted((shared_data / "ct_gantry_tilt").rglob("I*")), tmp_path / "ct", "S1", KEY)
    before, after = read_image(shared_data / "ct_gantry_tilt"), read_image(tmp_path / "ct")
    assert len(cleaned) == 12
    assert np.array_equal(before.array, after.array)
    assert before.geometry.same_grid(after.geometry)
    for name in ("I_000034.dcm", "OBXXXX1A_rle_2frame.dcm", "YBR_FULL-RLE.dcm", "gdcm-US-ALOKA-16.dcm", "I_000007.dcm"):
        source = shared_data / "us_dicom" / name
        (clean,) = clean_copy([source], tmp_path / "us", "S1", KEY, confirmed={source: Confirmed()})
        a, b = open_image(source), open_image(clean.path)
        kept = kept_mask(review(read_header(source)).boxes, *a.shape)
        assert np.array_equal(a.read_frame(0)[kept], b.read_frame(0)[kept])
        assert not b.read_frame(0)[~kept].any()
        assert a.calibration.regions == b.calibration.regions
        assert np.array_equal(a.frame_times_ms, b.frame_times_ms) or (a.frame_times_ms is None and b.frame_times_ms is None)


def test_that_uids_are_mapped_alike_for_one_key_and_otherwise_not():
    assert map_uid("1.2.3", KEY) == map_uid("1.2.3", KEY)
    assert map_uid("1.2.3", KEY) != map_uid("1.2.3", b"other")
    assert map_uid("1.2.3", KEY) != map_uid("1.2.4", KEY)
    assert map_uid("1.2.840.10008.5.1.4.1.1.2", KEY) == "1.2.840.10008.5.1.4.1.1.2"
    assert len(map_uid("1.2.3", KEY)) <= 64


def test_that_a_series_stays_one_series(tmp_path):
    ct_stack(tmp_path / "in", [0.0, 1.0, 2.0])
    cleaned = clean_copy(sorted((tmp_path / "in").iterdir()), tmp_path / "out", "S1", KEY)
    assert len({c.series_instance_uid for c in cleaned}) == 1
    assert len({c.sop_instance_uid for c in cleaned}) == 3


def test_that_the_source_is_left_as_it_was():
    ds = secretive(ct_slice((0, 0, 0), 1))
    clean_dataset(ds, subject="S1", salt=KEY)
    assert str(ds.PatientName) == "Zimmermann^Wilhelmine"


def test_that_bytes_hidden_behind_the_pixels_are_cut(tmp_path):
    ds = ct_slice((0, 0, 0), 1)
    ds.PixelData = ds.PixelData + b"Zimmermann"
    ds["PixelData"].VR = "OW"
    (clean,) = clean_copy([save(ds, tmp_path / "a.dcm")], tmp_path / "out", "S1", KEY)
    assert b"Zimmermann" not in clean.path.read_bytes()


def test_that_a_refused_file_or_a_cancel_leaves_nothing_behind(tmp_path):
    good = save(ct_slice((0, 0, 0), 1), tmp_path / "good.dcm")
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(good.read_bytes()[:-20])
    out = tmp_path / "out"
    with pytest.raises(DicomRefused):
        clean_copy([good, bad], out, "S1", KEY)
    assert list(out.iterdir()) == []
    calls = []

    def after_one():
        calls.append(1)
        return len(calls) > 1

    with pytest.raises(Cancelled):
        clean_copy([good, good], out, "S1", KEY, should_cancel=after_one)
    assert list(out.iterdir()) == []


def test_that_a_synthetic_stamp_survives(tmp_path):
    source = save(ct_slice((0, 0, 0), 1, ImageComments="SYNTHETIC phantom"), tmp_path / "a.dcm")
    (clean,) = clean_copy([source], tmp_path / "out", "S1", KEY)
    assert read_image(clean.path).source.synthetic


def test_that_a_pseudonym_and_a_key_are_needed():
    with pytest.raises(NodusError):
        clean_dataset(ct_slice((0, 0, 0), 1), subject="", salt=KEY)
    with pytest.raises(NodusError):
        clean_dataset(ct_slice((0, 0, 0), 1), subject="S1", salt=b"")
