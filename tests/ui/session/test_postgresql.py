"""A study on a PostgreSQL server in the window: signed in, read, locked, looked through in the audit trail."""

from __future__ import annotations

import datetime as dt

import argon2
import pytest

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study import users
from app.study.audit import verify
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.dialogs.audit_view import AuditWindow
from app.ui.dialogs.sign_in import SignInDialog
from app.usecases.import_images import import_folder
from app.usecases.readings import pack_mask
from tests.factories import ellipsoid_image, write_ellipsoid_ct
from tests.ui.session.hands import CENTRE, settle
from tests.ui.session.users import ADMIN, SITE, WORD, add_users


@pytest.fixture
def place(server, tmp_path, monkeypatch):
    """The address of a study with pictures, an outline and users on the server."""
    monkeypatch.setattr(users, "_HASHER", argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST))  # five passwords are checked
    folder = tmp_path / "files"
    write_ellipsoid_ct(tmp_path / "ct", occasion=Occasion(1, "Baseline", dt.date(2025, 1, 13)))
    with StudyStore.open(server.new_study(folder)) as store:
        import_folder(store, "S-001", "Baseline", tmp_path / "ct", JobContext())
        node = store.add_node("S-001", "N1", "left", "II", seed_mm=CENTRE)
        store.save_draft_mask(node.node_id, store.visits("S-001")[0].visit_id, pack_mask(ellipsoid_image().truth), reader=SITE)
        address = store.place
    add_users(address)
    return address


def sign_in_by_hand(qtbot, session, user: str) -> None:
    """Through the dialog, as a person does."""
    dialog = SignInDialog(session)
    qtbot.addWidget(dialog)
    dialog.user.setText(user)
    dialog.password.setText(WORD)
    dialog.accept()
    settle(qtbot, session)


def test_that_a_study_on_a_server_is_signed_into_read_locked_and_looked_through(qtbot, session, told, place):
    with qtbot.waitSignal(session.sign_in_asked):
        session.open_study(place)
    sign_in_by_hand(qtbot, session, SITE)
    qtbot.waitUntil(lambda: session.current is not None and session.current.measurement is not None)
    settle(qtbot, session)
    node = session.current_node_id
    assert session.state_grade(node, "1") == ""
    session.edit_mask("shrink")
    settle(qtbot, session)
    shown = session.current.measurement.voxel_volume_ml
    session.lock_reading(node, "", "reading", password=WORD)
    settle(qtbot, session)
    reading = session.current.reading
    assert (reading.state, reading.reader, reading.role, reading.enhancement_grade) == (ReadingState.LOCKED, SITE, "site", "1")
    assert reading.volume_ml == shown
    assert reading.signature_id is not None
    with qtbot.waitSignal(session.sign_in_asked):
        session.sign_out()
    sign_in_by_hand(qtbot, session, ADMIN)
    trail = AuditWindow(session)
    qtbot.addWidget(trail)
    qtbot.waitUntil(lambda: trail.page is not None)
    trail.user.setCurrentIndex(trail.user.findData(SITE))
    trail.action.setCurrentIndex(trail.action.findData("reading_locked"))
    trail.ask()
    qtbot.waitUntil(lambda: {(row.user, row.action) for row in trail.page.rows} == {(SITE, "reading_locked")})
    assert {row.object for row in trail.page.rows} == {f"readings:{reading.reading_id}@1"}
    trail.close()
    assert verify(session.study).ok
    assert session.close() == []
