"""DICOM objects leave from the report step, by the widgets a reader uses."""

from __future__ import annotations

import pydicom
import pytest
from PySide6.QtWidgets import QFileDialog

from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.panels import make_panel
from app.ui.panels.report import DICOM_KINDS
from app.usecases.export_dicom import DICOM_FORMATS
from app.usecases.import_images import import_folder, open_record
from app.usecases.readings import find_node, find_visit, save_reading
from tests.factories import write_ellipsoid_ct
from tests.ui.panels.hands import texts


@pytest.fixture
def study(tmp_path):
    """A study with one locked outline."""
    ct = write_ellipsoid_ct(tmp_path / "in")
    with StudyStore.create(tmp_path / "study", user="tester") as store:
        import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext())
        visit = find_visit(store, "S-001", "Baseline")
        store.add_node("S-001", "N1", "left", "III")
        image = open_record(store, store.series(visit.visit_id)[0], JobContext())
        kept = save_reading(store, visit, find_node(store, "S-001", "N1"), reader="Reader A", modality="CT", mask=ct.truth, image=image)
        store.lock_reading(kept.reading_id, "Reader A", "measured by me")
    return tmp_path / "study"


@pytest.fixture
def panel(qtbot, session, study):
    session.open_study(study)
    qtbot.waitUntil(lambda: session.image is not None and not session.jobs.is_busy(), timeout=20_000)
    made = make_panel("report", session)
    qtbot.addWidget(made)
    made.show()
    return made


def test_that_every_dicom_format_is_offered():
    assert {kind for kind, _, _ in DICOM_KINDS} == set(DICOM_FORMATS)


def test_that_a_report_and_its_segmentation_are_written_into_the_chosen_folder(qtbot, session, panel, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    panel.dicom_button.menu().actions()[0].trigger()
    assert isinstance(panel.dialog, QFileDialog)
    panel.dialog.fileSelected.emit(str(out))
    panel.dialog.close()
    qtbot.waitUntil(lambda: bool(getattr(session, "last_exports", [])), timeout=20_000)
    assert sorted(pydicom.dcmread(p).Modality for p in out.iterdir()) == ["SEG", "SR"]
    assert len(texts(panel.exports)) == 2


def test_that_a_refusal_is_told_and_nothing_is_written(qtbot, session, panel, tmp_path):
    said = []
    session.notice.connect(lambda severity, text: said.append((severity, text)))
    session.export("dicom-field", tmp_path / "out")
    qtbot.waitUntil(lambda: bool(said), timeout=20_000)
    assert said[0][0] == "warning"
    assert "dicom-field" in said[0][1]
    assert not list((tmp_path / "out").glob("*"))
