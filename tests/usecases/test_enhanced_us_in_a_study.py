"""Three-dimensional ultrasound in a study: time points stored apart, measured, recorded as ultrasound."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.import_images import import_folder, open_record
from app.usecases.readings import save_reading
from dicom_io.masks import read_masks
from tests.dicom_io.made import save
from tests.dicom_io.made_enhanced_us import BACKGROUND, INSIDE, OBLIQUE, ellipsoid_ml, enhanced_us_volume
from tests.dicom_io.validators import dciodvfy_errors
from volumetry.mask import NodeMask


def test_that_time_points_are_imported_apart_and_measured(tmp_path):
    save(enhanced_us_volume(direction=OBLIQUE, offsets_s=(0.0, 0.5), growth=0.8), tmp_path / "in" / "v.dcm")
    store = StudyStore.create(tmp_path / "study")
    result = import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext())
    assert [r.description for r in result.series] == ["US volume, tissue intensity at 0 s", "US volume, tissue intensity at 0.5 s"]
    node = store.add_node("S-001", "N1", side="left", level="III")
    volumes = []
    for record in result.series:
        image = open_record(store, record, JobContext())
        assert image.source.in_patient_space is False
        assert "own_frame_of_reference" in [f.code for f in image.findings]
        mask = NodeMask(image.array >= (BACKGROUND + INSIDE) / 2, image.geometry, label=1)
        reading = save_reading(store, result.visit, node, reader="Reader A", modality="US", mask=mask, image=image, reason="second time point")
        assert reading.modality == "US"
        volumes.append(reading.volume_ml)
    true = ellipsoid_ml((18.0, 12.0, 9.0))
    assert volumes == pytest.approx([true, true * 0.8**3], rel=0.015)
    assert np.isclose(volumes[1] / volumes[0], 0.512, rtol=0.02)
    store.close()


@pytest.mark.parametrize("form", ["dicom-seg", "dicom-rtstruct"])
def test_that_an_outline_leaves_in_the_frame_of_the_volume_with_every_voxel(tmp_path, form):
    save(enhanced_us_volume(direction=OBLIQUE), tmp_path / "in" / "v.dcm")
    store = StudyStore.create(tmp_path / "study")
    result = import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext())
    node = store.add_node("S-001", "N1", side="left", level="III")
    image = open_record(store, result.series[0], JobContext())
    mask = NodeMask(image.array >= (BACKGROUND + INSIDE) / 2, image.geometry, label=1)
    reading = save_reading(store, result.visit, node, reader="Reader A", modality="US", mask=mask, image=image)
    store.lock_reading(reading.reading_id, "Dr Tester", "read by me")
    export_study(store, form, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.dcm")
    written = pydicom.dcmread(path)
    assert written.FrameOfReferenceUID == image.source.frame_of_reference_uid
    assert dciodvfy_errors(path) == []
    (back,) = read_masks(path, image=store.series_folder(result.series[0]))
    assert int(back.array.sum()) == int(mask.array.sum())
    centres = [m.geometry.index_to_world(np.argwhere(m.array)[:, ::-1]).mean(axis=0) for m in (mask, back)]
    assert centres[1] == pytest.approx(centres[0], abs=1e-3)
    store.close()
