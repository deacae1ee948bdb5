"""The enhancing part in the window: stated, seen at once, kept, locked; and never lost or made up."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QWheelEvent

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.audit import verify
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.panels.enhancing import NOT_STATED, EnhancingSection
from app.ui.session import Session
from app.ui.session_enhancing import Enhancing
from app.ui.views.overlays import draw_enhancing, voxel_runs
from app.ui.views.plane import PlaneView, plane_axes
from app.usecases.enhancing_part import OutlineValues, stated
from app.usecases.import_images import import_folder
from app.usecases.readings import mask_of_reading, pack_mask, save_reading, unpack_mask
from tests.factories import ellipsoid_image, write_ellipsoid_ct
from volumetry.geometry import ImageGeometry

READER = "Reader A"
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A study of one subject with one node, outlined at its first visit and not read yet."""
    root = tmp_path_factory.mktemp("enhancing")
    with StudyStore.create(root / "study") as store:
        for seed, (visit, day) in enumerate((("Baseline", date(2025, 1, 13)), ("Day 30", date(2025, 2, 14)))):
            write_ellipsoid_ct(root / visit / "ct", occasion=Occasion(seed + 1, visit, day))
            import_folder(store, "S-001", visit, root / visit, JobContext())
        node = store.add_node("S-001", "N1", "left", "II", seed_mm=(12.3, -8.1, 105.2))
        for visit in store.visits("S-001"):
            store.save_draft_mask(node.node_id, visit.visit_id, pack_mask(ellipsoid_image().truth), reader=READER)
    return root / "study"


@pytest.fixture
def study(template, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(template, tmp_path / "study"))


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


def open_study(qtbot, session, study) -> str:
    """Open the study on its first visit; the node's identity."""
    session.open_study(study)
    qtbot.waitUntil(lambda: session.image is not None and session.current is not None and session.current.measurement is not None and not session.jobs.is_busy(), timeout=WAIT_MS)
    return session.current_node_id


@pytest.fixture
def section(qtbot, session):
    """The section as the measure panel uses it."""
    made = EnhancingSection(session)
    qtbot.addWidget(made)
    for signal in (session.nodes_changed, session.measurement_changed, session.image_changed):
        signal.connect(lambda *_: made.refresh(session.current))
    made.show()
    return made


def choose(section, data: str) -> None:
    """Choose an entry as a person does."""
    section.choice.setCurrentIndex(section.choice.findData(data))
    section.choice.activated.emit(section.choice.currentIndex())


def expected_ml(session, threshold: float) -> tuple[float, float]:
    """Counted from the arrays themselves."""
    mask, hu = session.current.draft.array, session.image.array
    voxel = session.image.geometry.voxel_size_mm3 / 1000
    viable = int((mask & (hu >= threshold)).sum()) * voxel
    return viable, int(mask.sum()) * voxel - viable


def test_that_nothing_is_assessed_until_the_reader_says_so(qtbot, session, study, section):
    node = open_study(qtbot, session, study)
    assert section.choice.currentData() == ""
    session.lock_reading(node, "A Reader", "read")
    settle(qtbot, session)
    reading = session.current.reading
    assert reading.state == ReadingState.LOCKED
    assert (reading.viable_ml, reading.ablated_ml, reading.enhancing_above_hu) == (None, None, None)


def test_that_choosing_a_threshold_states_none_but_tells_what_lies_inside(qtbot, session, study, section):
    open_study(qtbot, session, study)
    choose(section, "hu")
    settle(qtbot, session)
    assert section.threshold.value() == NOT_STATED
    assert section.threshold.text() == "state it"
    assert session.current.enhancing.threshold_hu is None
    assert "half below" in section.spread.text()
    assert [f.value for f in section.figures.model_.rows] == [None, None]
    assert [e for e in session.study.events() if e["object"].startswith("settings:enhancing")] == []


def test_that_a_stated_threshold_counts_voxels_at_once_and_follows_the_outline(qtbot, session, study, section):
    node = open_study(qtbot, session, study)
    choose(section, "hu")
    for value in (95, 105):
        section.threshold.setValue(value)
        settle(qtbot, session)
        assert session.current.enhancing.volumes_ml == pytest.approx(expected_ml(session, value))
    before = session.current.enhancing.volumes_ml
    session.edit_mask("shrink")
    settle(qtbot, session)
    assert session.current.enhancing.volumes_ml == pytest.approx(expected_ml(session, 105))
    assert session.current.enhancing.volumes_ml != before
    assert not session.is_working_on(node)


def test_that_the_lock_keeps_exactly_what_was_on_screen(qtbot, session, study, section):
    node = open_study(qtbot, session, study)
    choose(section, "hu")
    section.threshold.setValue(100)
    section.source.setText("charter 4.2")
    section.source.editingFinished.emit()
    settle(qtbot, session)
    shown = session.current.enhancing.volumes_ml
    session.lock_reading(node, "A Reader", "read")
    settle(qtbot, session)
    reading = session.current.reading
    assert (reading.viable_ml, reading.ablated_ml) == pytest.approx(shown)
    assert reading.viable_ml + reading.ablated_ml == pytest.approx(reading.volume_ml)
    assert (reading.enhancing_above_hu, reading.enhancing_source) == (100.0, "charter 4.2")
    viable = unpack_mask(session.study.get_blob(reading.viable_mask_sha256)).array
    assert np.array_equal(viable, mask_of_reading(session.study, reading).array & (session.image.array >= 100))
    assert verify(session.study).ok
    said = []
    session.notice.connect(lambda severity, text: said.append(text))
    session.set_enhancing(node, 50.0)
    assert session.current.enhancing.threshold_hu == 100.0
    assert "locked" in said[-1]
    assert not section.choice.isEnabled()


def test_that_what_was_stated_is_there_again_after_reopening_and_not_assessed_stays_so(qtbot, session, study, section):
    node = open_study(qtbot, session, study)
    session.set_enhancing(node, 98.0, "charter 4.2")
    settle(qtbot, session)
    shown = session.current.enhancing.volumes_ml
    assert session.close() == []
    for threshold in (98.0, None):
        again = Session()
        again.open_study(study)
        qtbot.waitUntil(lambda s=again: s.current is not None and s.current.measurement is not None and not s.jobs.is_busy(), timeout=WAIT_MS)
        assert again.current.enhancing.threshold_hu == threshold
        assert again.current.enhancing.volumes_ml == (None if threshold is None else pytest.approx(shown))
        again.set_enhancing(node, None)
        settle(qtbot, again)
        assert again.close() == []
        again.deleteLater()


def test_that_the_next_visit_begins_with_the_threshold_of_the_one_before_and_says_so(qtbot, session, study, section):
    node = open_study(qtbot, session, study)
    session.set_enhancing(node, 98.0, "charter 4.2")
    settle(qtbot, session)
    session.lock_reading(node, "A Reader", "read")
    settle(qtbot, session)
    session.open_visit(session.visits[1].visit_id)
    qtbot.waitUntil(lambda: session.current.measurement is not None and not session.jobs.is_busy(), timeout=WAIT_MS)
    assert session.current.enhancing.threshold_hu is None
    choose(section, "hu")
    settle(qtbot, session)
    assert (session.current.enhancing.threshold_hu, session.current.enhancing.source) == (98.0, "as at Baseline")
    assert (section.threshold.value(), section.source.text()) == (98.0, "as at Baseline")


def test_that_a_correction_keeps_a_part_that_was_come_by_in_another_way(qtbot, session, study, section):
    with StudyStore.open(study) as store:
        visit, node = store.visits("S-001")[0], store.nodes("S-001")[0]
        truth = ellipsoid_image().truth
        total = int(truth.array.sum()) * truth.geometry.voxel_size_mm3 / 1000
        saved = save_reading(store, visit, node, reader=READER, modality="CT", mask=truth, enhancing=stated(total, viable_ml=0.25))
        store.lock_reading(saved.reading_id, "A Reader", "read")
    node_id = open_study(qtbot, session, study)
    session.correct_reading(node_id, "outline too wide")
    settle(qtbot, session)
    assert section.choice.currentData() == "kept"
    session.edit_mask("shrink")
    settle(qtbot, session)
    session.lock_reading(node_id, "A Reader", "read")
    settle(qtbot, session)
    reading = session.current.reading
    assert (reading.version, reading.viable_ml, reading.viable_from, reading.ablated_from) == (2, 0.25, "stated", "derived")
    assert reading.volume_ml < total
    assert reading.ablated_ml == pytest.approx(reading.volume_ml - 0.25)


def test_that_the_wheel_over_the_panel_changes_no_threshold(qtbot, session, study, section):
    open_study(qtbot, session, study)
    choose(section, "hu")
    section.threshold.setValue(90)
    settle(qtbot, session)
    section.choice.setFocus()
    section.threshold.clearFocus()
    here = QPointF(5, 5)
    event = QWheelEvent(here, here, here.toPoint(), (here * 24).toPoint(), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    section.threshold.wheelEvent(event)
    assert section.threshold.value() == 90
    assert not event.isAccepted()


def test_that_runs_join_neighbours_and_nothing_else():
    across, down = np.array([5, 3, 4, 9, 4]), np.array([2, 2, 2, 2, 3])
    assert voxel_runs(across, down) == [(2, 3, 5), (2, 9, 9), (3, 4, 4)]
    assert voxel_runs(np.array([], int), np.array([], int)) == []


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_that_only_enhancing_voxels_of_the_slice_are_tinted(styled_qapp, plane):
    grid = ImageGeometry.from_spacing((6, 6, 6), (1.0, 1.0, 1.0), (0, 0, 0))
    index = np.array([(2, 2, 2), (3, 2, 2), (2, 3, 2), (2, 2, 3)])
    marked = Enhancing(70.0, values=OutlineValues(grid, index, np.array([100.0, 100.0, 30.0, 100.0], np.float32)))
    view = PlaneView(plane_axes(grid, plane), (2.5, 2.5), 20.0, 120, 120)
    image = QImage(120, 120, QImage.Format.Format_RGB32)
    image.fill(QColor("black"))
    painter = QPainter(image)
    draw_enhancing(painter, grid, view, 2, marked, QColor("#F0A818"))
    painter.end()
    axes = view.axes
    for n in range(6):
        for m in range(6):
            point = [0, 0, 0]
            point[axes.across], point[axes.down], point[axes.through] = n, m, 2
            enhances = any(np.array_equal(point, i) and hu >= 70 for i, hu in zip(index, marked.values.hu, strict=True))
            x, y = view.to_screen(n, m)
            painted = sum(image.pixelColor(round(x) + dx, round(y) + dy).red() for dx in (-4, 0, 4) for dy in (-4, 0, 4)) > 0
            assert painted == enhances, (plane, n, m)


def test_that_another_grid_or_no_threshold_draws_nothing(styled_qapp):
    grid = ImageGeometry.from_spacing((6, 6, 6), (1.0, 1.0, 1.0), (0, 0, 0))
    other = ImageGeometry.from_spacing((6, 6, 6), (1.0, 1.0, 2.0), (0, 0, 0))
    values = OutlineValues(grid, np.array([(2, 2, 2)]), np.array([100.0], np.float32))
    view = PlaneView(plane_axes(grid, "axial"), (2.5, 2.5), 20.0, 120, 120)
    for shown, on in ((Enhancing(None, values=values), grid), (Enhancing(70.0, values=values), other), (None, grid)):
        image = QImage(120, 120, QImage.Format.Format_RGB32)
        image.fill(QColor("black"))
        painter = QPainter(image)
        draw_enhancing(painter, on, view, 2, shown, QColor("#F0A818"))
        painter.end()
        assert image == QImage(image).copy()
        assert not np.frombuffer(image.constBits(), np.uint8).reshape(-1, 4)[:, :3].any()
