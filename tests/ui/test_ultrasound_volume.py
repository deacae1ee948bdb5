"""Three-dimensional ultrasound in the window: an Enhanced US Volume file opens as a volume, its node is outlined and measured."""

from __future__ import annotations

import numpy as np
import pytest

from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.import_images import import_folder
from tests.dicom_io.made import save
from tests.dicom_io.made_enhanced_us import BACKGROUND, INSIDE, OBLIQUE, ellipsoid_ml, enhanced_us_volume

WAIT_MS = 20_000


def test_that_a_volume_of_ultrasound_opens_in_the_window_and_its_node_is_measured(qtbot, session, tmp_path):
    save(enhanced_us_volume(direction=OBLIQUE), tmp_path / "in" / "v.dcm")
    with StudyStore.create(tmp_path / "study") as store:
        import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext())
        store.add_node("S-001", "N1", "left", "II")
    session.open_study(tmp_path / "study")
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)
    assert session.picture is None
    assert session.image.source.modality == "US"
    assert "own_frame_of_reference" in [f.code for f in session.findings]
    session.select_node(session.subject_nodes[0].node_id)
    inside = np.argwhere(session.image.array >= (BACKGROUND + INSIDE) / 2).mean(axis=0)[::-1]
    session.commit_segmentation(session.image.geometry.index_to_world(inside), 5.0)
    qtbot.waitUntil(lambda: not session.jobs.is_busy() and session.current.measurement is not None, timeout=WAIT_MS)
    found = session.current.measurement
    assert found.voxel_volume_ml == pytest.approx(ellipsoid_ml((18.0, 12.0, 9.0)), rel=0.05)
    assert 9.0 < found.short_axis_mm < found.long_axis_mm < 19.0
