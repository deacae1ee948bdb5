"""Three-dimensional ultrasound in a study: time points stored apart, measured, recorded as ultrasound."""

from __future__ import annotations

import numpy as np
import pytest

from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.import_images import import_folder, open_record
from app.usecases.readings import save_reading
from tests.dicom_io.made import save
from tests.dicom_io.made_enhanced_us import BACKGROUND, INSIDE, OBLIQUE, ellipsoid_ml, enhanced_us_volume
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
