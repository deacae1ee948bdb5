"""Looking at pictures without a study: folder, archive or medium; one of several series."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent

from app.jobs import JobContext
from app.ui.dialogs.look_at import LookDialog, SeriesDialog, size_text
from app.usecases.open_images import look
from dicom_io.scan import ScanResult, scan_folder
from tests.dicom_io.made import ct_stack, region, save, us_picture
from volumetry.errors import NodusError
from volumetry.image import Cine, ImageVolume


@pytest.fixture
def heap(tmp_path):
    """A volume, a loop and a text file in one folder."""
    ct_stack(tmp_path / "heap" / "ct", [0.0, 2.0, 4.0, 8.0])
    save(us_picture([region((0, 0, 79, 59))], frames=3, FrameTime=40.0), tmp_path / "heap" / "loop.dcm")
    (tmp_path / "heap" / "note.txt").write_text("hello")
    return tmp_path / "heap"


def wait(session, qtbot):
    qtbot.waitUntil(lambda: not session.jobs.running, timeout=20_000)


def test_that_one_thing_is_opened_and_several_are_listed(heap, tmp_path):
    assert isinstance(look(heap / "ct", JobContext()), ImageVolume)
    assert isinstance(look(heap / "loop.dcm", JobContext()), Cine)
    assert isinstance(look(heap, JobContext()), ScanResult)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NodusError) as refusal:
        look(tmp_path / "empty", JobContext())
    assert refusal.value.code == "not_an_image"


def test_that_an_archive_with_one_volume_is_looked_at(session, qtbot, heap, tmp_path):
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for file in sorted((heap / "ct").iterdir()):
            archive.write(file, file.name)
    with qtbot.waitSignal(session.image_changed, timeout=20_000):
        session.open_folder(tmp_path / "ct.zip")
    assert session.image.array.shape == (5, 6, 5)


def test_that_several_series_are_offered_and_the_chosen_one_is_shown(session, qtbot, heap):
    with qtbot.waitSignal(session.series_found, timeout=20_000) as found:
        session.open_folder(heap)
    dialog = SeriesDialog(found.args[0])
    qtbot.addWidget(dialog)
    rows = [dialog.list.topLevelItem(n) for n in range(dialog.list.topLevelItemCount())]
    assert [(r.text(0), r.text(1)) for r in rows] == [("Volume", "CT"), ("Cine", "US")]
    assert rows[0].text(2) == "5 × 6 × 5, 0.5 × 0.8 × 2 mm"
    assert "missing" in rows[0].text(5)
    assert rows[1].text(2) == "80 × 60, 3 frames"
    assert dialog.accept_button.isEnabled()
    dialog.list.setCurrentItem(rows[1])
    dialog.chosen.connect(session.open_found)
    with qtbot.waitSignal(session.picture_changed, timeout=20_000):
        dialog.accept()
    assert session.picture.frame_count == 3


def test_that_the_first_volume_is_chosen_at_the_start(qtbot, heap):
    dialog = SeriesDialog(scan_folder(heap))
    qtbot.addWidget(dialog)
    with qtbot.waitSignal(dialog.chosen) as chosen:
        dialog.accept()
    assert chosen.args[0].kind == "volume"


def test_that_what_is_left_out_is_told(qtbot, heap):
    dialog = SeriesDialog(scan_folder(heap))
    qtbot.addWidget(dialog)
    words = " ".join(w.text() for w in dialog.findChildren(type(dialog.heading)))
    assert "1 files are left out" in words
    assert "note.txt" in words


def test_that_a_place_is_typed_or_dropped_and_has_to_be_there(qtbot, tmp_path):
    dialog = LookDialog()
    qtbot.addWidget(dialog)
    assert not dialog.accept_button.isEnabled()
    dialog.place.setText(str(tmp_path / "nowhere"))
    assert not dialog.accept_button.isEnabled()
    dropped = QMimeData()
    dropped.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    dialog.place.line.dropEvent(QDropEvent(QPointF(1, 1), Qt.DropAction.CopyAction, dropped, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier))
    assert dialog.accept_button.isEnabled()
    with qtbot.waitSignal(dialog.chosen) as chosen:
        dialog.accept()
    assert chosen.args == [str(tmp_path)]


def test_that_sizes_are_said_in_pixels_slices_and_millimetres(tmp_path):
    ct_stack(tmp_path / "one", [0.0])
    ct_stack(tmp_path / "more", np.arange(0, 9, 1.25), series=2)
    one, more = (scan_folder(tmp_path / name).series[0] for name in ("one", "more"))
    assert size_text(one) == "5 × 6"
    assert size_text(more) == "5 × 6 × 8, 0.5 × 0.8 × 1.25 mm"
