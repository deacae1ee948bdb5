"""A real CT through the same door: imported, cleaned, opened, still where the scanner said it was."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from app.jobs import JobContext
from app.usecases.import_images import import_folder, open_record
from dicom_io.masks import read_image


@pytest.mark.slow
def test_that_a_real_neck_is_the_same_volume_after_its_import(store, shared_data):
    source = shared_data / "ct_neck"
    result = import_folder(store, "S-001", "Baseline", source, JobContext())
    (record,) = result.series
    stored, original = open_record(store, record, JobContext()), read_image(source)
    assert np.array_equal(stored.array, original.array)
    assert stored.geometry.same_grid(original.geometry)
    headers = [pydicom.dcmread(store.series_folder(record) / f, stop_before_pixels=True) for f in record.files]
    assert {str(h.PatientName) for h in headers} == {"S-001"}
    assert {(h.get("StudyDate"), h.get("InstitutionName"), h.get("PatientBirthDate")) for h in headers} == {("", None, "")}
    before = {pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in list(source.rglob("*.dcm"))[:5]}
    assert not before & {h.SOPInstanceUID for h in headers}
