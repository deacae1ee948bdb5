"""Receiving in the window: a door that says who may come in and to whom it is open; what came goes into the visit by the usual look."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest
from PySide6.QtCore import Qt
from shiboken6 import isValid

from app.study.store import StudyStore
from app.ui.dialogs.base import Question
from app.ui.dialogs.pacs_door import titles_of
from app.ui.dialogs.pacs_receive import PacsReceiveDialog
from app.usecases import pacs_receive as usecase
from app.usecases.pacs_receive import Receiver, load_receiver
from dicom_io.pacs import DimsePacs
from dicom_io.peer import Limits, PacsRefused, Peer
from dicom_io.transfer import send_files
from tests.dicom_io.orthanc import free_port, write_series

WAIT_MS = 30_000
LIMITS = Limits(connect_s=10.0, idle_s=30.0, attempts=1)
STATE, PATIENT = 6, 0


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Nothing of the person who runs the tests is read or changed."""
    monkeypatch.setenv("NODUS_SETTINGS", str(tmp_path / "config" / "settings.json"))
    monkeypatch.setattr(usecase, "data_folder", lambda: tmp_path / "data")


@pytest.fixture
def study(qtbot, session, tmp_path):
    StudyStore.create(tmp_path / "study", user="tester").close()
    session.open_study(tmp_path / "study")
    qtbot.waitUntil(lambda: session.study is not None and not session.jobs.is_busy(), timeout=WAIT_MS)
    yield session
    session.close()


@pytest.fixture
def dialog(qtbot, study):
    made = PacsReceiveDialog(study)
    made.show()
    made.door.port.setValue(free_port())
    yield made
    if isValid(made):
        made.close()


def press(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def listen(qtbot, dialog) -> Peer:
    """Open the door to CT1; the scanner as a peer."""
    dialog.door.allow.setText("CT1, US2")
    press(qtbot, dialog.listen_button)
    qtbot.waitUntil(lambda: dialog.receiving.is_on and not dialog.session.jobs.is_busy(), timeout=WAIT_MS)
    return Peer("here", "127.0.0.1", dialog.door.port.value(), "NODUS", our_ae_title="CT1")


def came(qtbot, dialog, seconds_ago: float = 60) -> None:
    """Wait for the row, and let its sender have finished a while ago."""
    qtbot.waitUntil(lambda: dialog.table.topLevelItemCount() > 0 and not dialog.receiving.arriving, timeout=WAIT_MS)
    for path in usecase.inbox().rglob("*.dcm"):
        os.utime(path, (time.time() - seconds_ago,) * 2)
    dialog._look_again()
    qtbot.waitUntil(lambda: dialog.table.topLevelItemCount() > 0 and not dialog.session.jobs.is_busy(), timeout=WAIT_MS)


def test_that_a_scan_is_received_masked_and_imported_into_the_visit(qtbot, dialog, study, tmp_path):
    scanner = listen(qtbot, dialog)
    assert "127.0.0.1" in dialog.state.text()
    assert "CT1, US2" in dialog.state.text()
    assert load_receiver().allow == ("CT1", "US2")
    send_files(DimsePacs(scanner, limits=LIMITS), [write_series(tmp_path / "out", slices=3)])
    came(qtbot, dialog, 0)
    row = dialog.table.topLevelItem(0)
    assert (row.text(PATIENT), row.text(STATE)) == ("E… Ä… · …77", "still arriving")
    row.setSelected(True)
    dialog.target.subject.setCurrentText("S-014")
    dialog.target.visit.setCurrentText("Baseline")
    assert not dialog.import_button.isEnabled()
    assert "may still come" in dialog.why_not.text()
    came(qtbot, dialog)
    dialog.names.setChecked(True)
    assert dialog.table.topLevelItem(0).text(PATIENT) == "Erfunden, Änne (INV-77)"
    dialog.names.setChecked(False)
    assert "3 pictures of E… Ä… · …77 into S-014, Baseline" in dialog.why_not.text()
    press(qtbot, dialog.import_button)
    qtbot.waitUntil(lambda: study.image is not None and dialog.table.topLevelItemCount() == 0, timeout=WAIT_MS)
    assert (study.subject_id, study.visit.name, study.image.array.shape[0]) == ("S-014", "Baseline", 3)
    assert list(usecase.inbox().rglob("*.dcm")) == []


def test_that_strangers_are_counted_and_what_came_is_removed_only_after_a_question(qtbot, dialog, study, tmp_path):
    scanner = listen(qtbot, dialog)
    send_files(DimsePacs(scanner, limits=LIMITS), [write_series(tmp_path / "out", slices=2)])
    with pytest.raises(PacsRefused):
        send_files(DimsePacs(dataclasses.replace(scanner, our_ae_title="STRANGER"), limits=LIMITS), [tmp_path / "out"])
    came(qtbot, dialog)
    assert "turned away" in dialog.trouble.text()
    dialog.table.topLevelItem(0).setSelected(True)
    press(qtbot, dialog.remove_button)
    question = dialog.findChild(Question)
    assert "2 files of E… Ä…" in question.heading.text()
    question.reject()
    assert len(list(usecase.inbox().rglob("*.dcm"))) == 2
    press(qtbot, dialog.remove_button)
    next(q for q in dialog.findChildren(Question) if q.isVisible()).accept()
    qtbot.waitUntil(lambda: dialog.table.topLevelItemCount() == 0, timeout=WAIT_MS)
    assert list(usecase.inbox().rglob("*.dcm")) == []


def test_that_a_door_to_the_network_is_warned_of(dialog):
    door = dialog.door
    assert door.host() == "127.0.0.1"
    assert not door.warning.isVisible()
    assert not dialog.listen_button.isEnabled()  # nobody is on the list
    assert "nobody else" in dialog.state.text()
    door.allow.setText("CT1")
    assert dialog.listen_button.isEnabled()
    door.where.setCurrentIndex(1)
    assert "not encrypted" in door.warning.text()
    door.encryption.setCurrentIndex(1)
    assert "Choose the files" in door.problem()
    assert "An AE title proves nobody" in door.warning.text()
    door.encryption.setCurrentIndex(2)
    assert not door.warning.isVisible()
    door.where.setCurrentIndex(2)
    assert door.address.isVisible()
    assert "address" in door.problem()


def test_that_a_closed_dialog_goes_on_receiving_and_says_so_and_the_session_ends_it(qtbot, dialog, study):
    told: list[str] = []
    study.notice.connect(lambda _severity, text: told.append(text))
    scanner = listen(qtbot, dialog)
    dialog.close()
    assert any("Still receiving as NODUS" in x for x in told)
    assert DimsePacs(scanner, limits=LIMITS).echo() > 0
    study.close()
    with pytest.raises(PacsRefused, check=lambda e: e.code == "pacs_unreachable"):
        DimsePacs(scanner, limits=LIMITS).echo()


def test_that_a_port_in_use_is_said_and_it_can_be_stopped_and_started(qtbot, dialog, study, tmp_path):
    with Receiver("OTHER", dialog.door.port.value(), allow=("X",)).server(tmp_path / "other"):
        dialog.door.allow.setText("CT1")
        press(qtbot, dialog.listen_button)
        qtbot.waitUntil(lambda: "cannot be listened on" in dialog.state.text(), timeout=WAIT_MS)
        assert dialog.listen_button.isEnabled()
        assert not dialog.receiving.is_on
    listen(qtbot, dialog)
    press(qtbot, dialog.listen_button)
    qtbot.waitUntil(lambda: not dialog.receiving.is_on and dialog.door.isVisible(), timeout=WAIT_MS)
    assert "Not receiving" in dialog.state.text()


def test_that_titles_are_typed_as_people_type_them():
    assert titles_of(" CT1, US2;MR3  CT1 ") == ("CT1", "US2", "MR3")
    assert titles_of(" ,; ") == ()
