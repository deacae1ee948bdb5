"""Before an import the reader sees what will be black, and confirms what may show a name."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QWidget

from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.dialogs.review_pictures import PICTURE, ReviewDialog, import_after_looking
from app.ui.widgets.mask_preview import MaskPreview
from app.usecases.review_pictures import preview, review_pictures
from tests.dicom_io import made
from tests.dicom_io.test_deidentify_pixels import speckle, us_of, write


@pytest.fixture
def folder(tmp_path):
    """A CT slice, a still with a region, one without, a loop with a name in its third frame."""
    inside = [made.region((20, 20, 220, 170))]
    loop = np.stack([speckle(180, 240, seed=n) for n in range(4)])
    loop[2] = write(loop[2], "DOE, JOHN", (40, 100), 16)
    kinds = {"clean": us_of(speckle(180, 240), inside, BurnedInAnnotation="NO"), "none": us_of(speckle(180, 240), []), "loop": us_of(loop, inside, FrameTime=30.0)}
    for n, (name, ds) in enumerate(kinds.items()):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = made.uid(60, n)
        made.save(ds, tmp_path / "in" / f"{name}.dcm")
    for n in range(3):
        made.save(made.ct_slice((0, 0, 2.0 * n), n + 1), tmp_path / "in" / f"ct{n}.dcm")
    return tmp_path / "in"


@pytest.fixture
def study(tmp_path, session, qtbot):
    StudyStore.create(tmp_path / "study", user="tester").close()
    session.open_study(tmp_path / "study")
    qtbot.waitUntil(lambda: session.study is not None)
    return session


def test_that_pictures_that_may_show_a_name_are_found_and_slices_are_not_asked_about(folder):
    found = review_pictures(folder, JobContext())
    assert [(p.file, p.found.holds) for p in found] == [("loop.dcm", True), ("none.dcm", True), ("clean.dcm", False)]
    written = next(r for r in found[0].found.reasons if r.code == "text_in_picture")
    assert written.frame == 2
    assert preview(found[0], 2).shape == (180, 240, 3)


@pytest.fixture
def dialog(folder, session, qtbot):
    made_dialog = ReviewDialog(session, review_pictures(folder, JobContext()))
    qtbot.addWidget(made_dialog)
    made_dialog.open()
    qtbot.waitUntil(lambda: made_dialog.preview._image is not None)
    return made_dialog


def test_that_nothing_is_confirmed_until_somebody_ticks_it(dialog):
    assert dialog.confirmed() == {}
    assert dialog.accept_button.isEnabled()  # leaving pictures out is a choice, too
    assert "2" in dialog.missing.text()
    dialog.list.topLevelItem(0).setCheckState(PICTURE, Qt.CheckState.Checked)
    assert dialog.confirmed().keys() == {"loop.dcm"}
    assert dialog.confirmed()["loop.dcm"].boxes is None
    assert "1" in dialog.missing.text()


def test_that_the_frame_with_the_writing_is_shown_first_and_marked(dialog):
    assert dialog.frame.value() == 2
    assert dialog.frame.maximum() == 3
    assert dialog.preview._boxes == ((20, 20, 220, 170),)
    assert len(dialog.preview._marks) == 1


def test_that_a_drawn_rectangle_is_what_stays_and_can_be_forgotten(dialog, qtbot):
    dialog.list.setCurrentItem(dialog.list.topLevelItem(1))
    qtbot.waitUntil(lambda: dialog.preview._image is not None and not dialog.preview._marks)
    place, scale = dialog.preview.picture_rect(), dialog.preview._scale()

    def at(x: float, y: float):
        return QPointF(place.x() + x * scale, place.y() + y * scale).toPoint()

    QTest.mousePress(dialog.preview, Qt.MouseButton.LeftButton, pos=at(60, 50))
    QTest.mouseMove(dialog.preview, at(100, 90))
    QTest.mouseRelease(dialog.preview, Qt.MouseButton.LeftButton, pos=at(140, 120))
    (box,) = dialog.confirmed()["none.dcm"].boxes
    assert np.allclose(box, (60, 50, 140, 120), atol=2)
    dialog.reset.click()
    assert dialog.confirmed() == {}


def test_that_a_scale_beside_the_picture_is_kept_as_well(dialog, qtbot):
    dialog.list.setCurrentItem(dialog.list.topLevelItem(1))
    qtbot.waitUntil(lambda: dialog.preview._image is not None and not dialog.preview._marks)
    assert "whole picture stays" in dialog.why.text()
    dialog._keep((60, 50, 140, 120))
    place, scale = dialog.preview.picture_rect(), dialog.preview._scale()
    dialog.also.click()
    start, end = (QPointF(place.x() + x * scale, place.y() + y * scale).toPoint() for x, y in ((200, 50), (220, 120)))
    QTest.mousePress(dialog.preview, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseRelease(dialog.preview, Qt.MouseButton.LeftButton, pos=end)
    wanted = dialog.confirmed()["none.dcm"]
    assert wanted.boxes == ((60, 50, 140, 120),)
    assert np.allclose(wanted.also, [(200, 50, 220, 120)], atol=2)
    assert not dialog.also.isChecked()
    assert len(dialog.preview._boxes) == 2


def test_that_a_picture_that_nothing_was_found_on_can_be_left_out(study, dialog, folder, qtbot):
    row = dialog.list.topLevelItem(2)
    assert row.checkState(PICTURE) == Qt.CheckState.Checked
    row.setCheckState(PICTURE, Qt.CheckState.Unchecked)
    assert dialog.confirmed() == {"clean.dcm": None}
    study.import_images(folder, "S-001", "Baseline", dialog.confirmed(), True)
    qtbot.waitUntil(lambda: len(study.visits) == 1, timeout=10_000)
    assert [s.kind for s in study.study.series(study.visits[0].visit_id)] == ["volume"]
    assert study.study.subjects()[0].dates_shifted


def test_that_what_is_hatched_is_darker_and_what_stays_is_as_it_was(qtbot):
    shown = MaskPreview()
    qtbot.addWidget(shown)
    shown.resize(400, 300)
    shown.show_picture(np.full((150, 200, 3), 200, dtype=np.uint8))
    shown.show_boxes(((50, 40, 149, 109),))
    picture = shown.grab().toImage()
    assert picture.pixelColor(200, 150).red() == 200
    outside = [picture.pixelColor(20 + n, 20).red() for n in range(30)]
    assert sum(outside) / 30 < 190
    assert min(outside) < 120


def test_that_an_import_asks_first_and_takes_what_was_confirmed(study, folder, qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    import_after_looking(study, parent, str(folder), "S-001", "Baseline")
    qtbot.waitUntil(lambda: parent.findChild(QDialog) is not None)
    asked = parent.findChild(ReviewDialog)
    assert study.study.visits() == []  # nothing is imported while the question stands
    asked.list.topLevelItem(0).setCheckState(PICTURE, Qt.CheckState.Checked)
    asked.accept()
    qtbot.waitUntil(lambda: len(study.visits) == 1, timeout=10_000)
    kinds = sorted(s.kind for s in study.study.series(study.visits[0].visit_id))
    assert kinds == ["cine", "still", "volume"]


def test_that_slices_alone_are_imported_without_a_question(study, folder, qtbot):
    for name in ("clean", "none", "loop"):
        (folder / f"{name}.dcm").unlink()
    parent = QWidget()
    qtbot.addWidget(parent)
    import_after_looking(study, parent, str(folder), "S-001", "Baseline")
    qtbot.waitUntil(lambda: len(study.visits) == 1, timeout=10_000)
    assert parent.findChild(QDialog) is None
