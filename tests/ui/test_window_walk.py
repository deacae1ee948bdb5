"""One case by hand, from the study folder to the exported table: real widgets, real mouse, real jobs."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.main_window import MainWindow
from app.usecases.import_images import import_folder
from tests.factories import write_ellipsoid_ct, write_ultrasound_cine
from tests.ui import mouse

CENTRE = (12.3, -8.1, 105.2)
SEMI_AXES_MM = (8.0, 6.0, 5.0)
VOLUME_ML = 4.0 / 3.0 * 3.14159265 * 8.0 * 6.0 * 5.0 / 1000.0


@pytest.fixture
def study(tmp_path) -> Path:
    """A study with one visit: a CT with a node of known volume, and a cine."""
    dicom = tmp_path / "dicom"
    occasion = Occasion(1, "Baseline", date(2025, 1, 13))
    write_ellipsoid_ct(dicom / "ct", occasion=occasion, semi_axes_mm=SEMI_AXES_MM)
    (dicom / "us").mkdir()
    write_ultrasound_cine(dicom / "us" / "cine.dcm", occasion=occasion)
    with StudyStore.create(tmp_path / "study") as store:
        import_folder(store, "S-001", "Baseline", dicom, JobContext())
        store.add_node("S-001", "N1", "left", "II", seed_mm=CENTRE)
    return tmp_path / "study"


def test_that_a_case_goes_from_images_to_an_exported_reading(qtbot, session, study, tmp_path):
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    mouse.activate(qtbot, window)
    failures = []
    session.jobs.failed.connect(lambda _error, text: failures.append(text))

    def wait(condition, seconds: float = 60.0) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=int(1000 * seconds))

    # Open: the rail fills, the volume stands in four panes.
    session.open_study(study)
    wait(lambda: session.image is not None and window.rail.series.count() == 2)
    assert window.case.text() == "Subject S-001 · Baseline · Reader A"
    axial = window.panes.panes["axial"]
    wait(lambda: axial._seen)

    # Measure: one click with a radius.
    window.step_buttons["measure"].click()
    window.rail.visits.itemClicked.emit(window.rail.visits.item(0))
    wait(lambda: session.image is not None and not session.jobs.is_busy())  # the visit opens anew
    if session.current_node_id is None:
        session.select_node(session.subject_nodes[0].node_id)
    session.set_crosshair(CENTRE)
    qtbot.keyClick(window, Qt.Key.Key_N)
    seed = axial.screen_of(CENTRE)
    mouse.drag(axial, seed, (seed[0] + 10 * axial.view.px_per_mm, seed[1]))
    node_id = session.current_node_id
    wait(lambda: session.nodes[node_id].measurement is not None and not session.jobs.is_busy())
    assert session.nodes[node_id].measurement.volume_ml == pytest.approx(VOLUME_ML, rel=0.05)
    assert any(line[0].startswith("N1") for line in window.toolbox.current.live_lines())
    outlined = session.nodes[node_id].draft.array.copy()

    # Repair with the brush, and take it back.
    qtbot.keyClick(window, Qt.Key.Key_B)
    mouse.drag(axial, (seed[0] + 40, seed[1] + 40), (seed[0] + 60, seed[1] + 50))
    wait(lambda: not session.jobs.is_busy())
    assert (session.nodes[node_id].draft.array != outlined).any()
    qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert (session.nodes[node_id].draft.array == outlined).all()
    wait(lambda: not session.jobs.is_busy())

    # Lock.
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    panel = window.side.currentWidget()
    wait(panel.primary.isEnabled)
    panel.primary.click()
    panel.dialog.name.setText("A. Reader")
    panel.dialog.accept_button.click()
    wait(lambda: session.nodes[node_id].reading is not None and str(session.nodes[node_id].reading.state) == "locked")
    assert window.rail.visit_state(session.visit.visit_id)[0] == "✓"

    # Plan: two needles by drag, and the field.
    window.step_buttons["plan"].click()
    window.tool_buttons["needle"].click()
    scale = axial.view.px_per_mm
    for dy in (-7, 7):
        y = seed[1] + dy * scale
        mouse.drag(axial, (seed[0] + 30 * scale, y), (seed[0] - 9 * scale, y))
    assert [n.id for n in session.plan.needles] == ["E1", "E2"]
    panel = window.side.currentWidget()
    assert panel.primary.isEnabled()
    panel.primary.click()
    wait(lambda: session.assessment is not None or failures, 120)
    assert failures == []
    axial.grab()
    assert axial._field is not None
    assert 0 < session.assessment.to_dict()["targets"][0]["coverage_pct"] <= 100

    # The ultrasound takes the panes' place and gives it back.
    rows = {window.rail.series.item(n).text(): window.rail.series.item(n) for n in range(2)}
    window.rail.series.itemClicked.emit(next(item for text, item in rows.items() if text.startswith("US")))
    wait(lambda: window.panes.shows_picture and window.panes.picture.frame.shown_frame is not None)
    window.rail.series.itemClicked.emit(next(window.rail.series.item(n) for n in range(2) if window.rail.series.item(n).text().startswith("CT")))
    wait(lambda: not window.panes.shows_picture)

    # Export.
    (tmp_path / "out").mkdir()
    session.export("csv", tmp_path / "out")
    wait(lambda: list((tmp_path / "out").rglob("*.csv")) and not session.jobs.is_busy())
    table = next(p for p in (tmp_path / "out").rglob("*.csv") if "reading" in p.name)
    with table.open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1
    assert failures == []
    window.close()
