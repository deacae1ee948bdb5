"""Signing in, the lock, signing out, and what a role takes out of the window."""

from __future__ import annotations

import datetime as dt

import pytest

from app.study.errors import StudyRefused
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.dialogs.lock import LockDialog
from app.ui.dialogs.sign_in import SignInDialog
from app.ui.main_window import MainWindow
from app.ui.pages import LOCK, WORK
from tests.ui.session.hands import CENTRE, RADIUS_MM, settle
from tests.ui.session.users import LEFT, READER, SITE, WORD, no_more_of, sign_in


def later(session, seconds: float) -> None:
    """The study's clock moves on."""
    now = session.study._clock() + dt.timedelta(seconds=seconds)
    session.study._clock = lambda: now


def test_that_a_study_without_users_opens_as_ever(opened):
    assert opened.signed_in is None
    assert opened.user_words() == ""
    assert opened.reader == "Reader A"
    assert opened.why_not("export") == ""
    assert opened.case_words() == "Subject S-001 · Baseline · Reader A"


def test_that_the_dialog_says_what_is_wrong_and_stays(qtbot, session, told, users_study):
    with qtbot.waitSignal(session.sign_in_asked):
        session.open_study(users_study)
    dialog = SignInDialog(session)
    qtbot.addWidget(dialog)
    assert not dialog.accept_button.isEnabled()
    said = []
    for user, word in ((SITE, "wrong-horse-9"), ("nobody", WORD), (LEFT, WORD)):
        dialog.user.setText(user)
        dialog.password.setText(word)
        dialog.accept()
        assert session.study is None
        settle(qtbot, session)
        said.append(dialog.refused.text())
        assert dialog.password.text() == ""
    assert said[0] == said[1] == "Name or password is wrong."
    assert "disabled" in said[2]
    assert session.study is None
    with qtbot.waitSignal(session.signed_in_as):
        dialog.user.setText(SITE)
        dialog.password.setText(WORD)
        dialog.accept()
    settle(qtbot, session)
    assert session.reader == SITE
    assert session.user_words() == "Sofia Site · site reader"
    assert session.reading_role == "site"
    session.close()


def test_that_cancelling_leaves_what_was_open(qtbot, opened, users_study):
    before = opened.study
    with qtbot.waitSignal(opened.sign_in_asked):
        opened.open_study(users_study)
    opened.cancel_sign_in()
    assert opened.study is before
    assert opened.waits_for_sign_in == ""


def test_that_a_lock_hides_the_pictures_and_loses_nothing(qtbot, session, window, users_study):
    sign_in(qtbot, session, users_study, SITE)
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)
    session.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, session)
    drawn = session.current.draft.array.copy()
    later(session, session.signed_in.timeout_s + 1)
    session.note_activity()  # too late: nothing wakes a locked session
    session.look_at_lock()
    assert session.is_locked
    assert window.pages.name == LOCK
    assert not window.panes.isVisibleTo(window)
    assert window.case.text() == "Locked"
    assert not window.qactions["node"].isEnabled()
    assert "Locked" in window.qactions["node"].toolTip()
    screen = window.pages.page(LOCK)
    screen.password.setText("wrong-horse-9")
    screen.unlock.click()
    settle(qtbot, session)
    assert session.is_locked
    session.unlock(WORD)
    settle(qtbot, session)
    assert not session.is_locked
    assert window.pages.name == WORK
    assert (session.current.draft.array == drawn).all()
    assert session.image is not None
    session.close()


def test_that_dialogs_go_with_the_lock_and_come_back(qtbot, session, window, users_study):
    sign_in(qtbot, session, users_study, SITE)
    settle(qtbot, session)
    dialog = LockDialog("N1", "1 ml", parent=window, signing=session.signing())
    window._remember(dialog)
    dialog.open()
    assert dialog.isVisible()
    session.lock_now()
    settle(qtbot, session)
    assert session.is_locked
    assert not dialog.isVisible()
    session.unlock(WORD)
    settle(qtbot, session)
    assert dialog.isVisible()
    session.lock_now()
    settle(qtbot, session)
    with qtbot.waitSignal(session.sign_in_asked):
        session.sign_out()
    settle(qtbot, session)
    assert session.signed_in is None
    session.cancel_sign_in()
    session.close()


def test_that_a_window_in_another_language_is_locked_too(qtbot, session, window, users_study):
    sign_in(qtbot, session, users_study, SITE)
    settle(qtbot, session)
    session.lock_now()
    settle(qtbot, session)
    another = MainWindow(session)
    assert another.pages.name == LOCK
    assert another.case.text() == "Locked"
    no_more_of(another)


def test_that_work_keeps_a_session_awake(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, SITE)
    for _ in range(3):
        later(session, session.signed_in.timeout_s * 0.6)
        session.note_activity()
        session.look_at_lock()
    assert not session.is_locked
    session.close()


def test_that_the_limit_is_data_of_the_study(qtbot, session, told, users_study):
    with StudyStore.open(users_study) as store:
        store.sign_in("admin", WORD)
        store.set_setting("session_timeout_s", 90)
    sign_in(qtbot, session, users_study, SITE)
    later(session, 91)
    session.look_at_lock()
    assert session.is_locked
    session.close()


def test_that_signing_out_asks_who_comes_next(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, SITE)
    first = session.study
    with qtbot.waitSignal(session.sign_in_asked):
        session.sign_out()
    assert session.study is None
    assert session.image is None
    sign_in(qtbot, session, users_study, READER)
    assert session.study is not first
    assert session.is_blinded
    with StudyStore.open(users_study) as store:
        store.sign_in("admin", WORD)
        assert "signed_out" in [e["action"] for e in store.events()]
    session.close()


def test_that_what_a_role_does_not_allow_is_off_with_its_reason_and_refused_all_the_same(qtbot, session, window, users_study):
    sign_in(qtbot, session, users_study, SITE)
    settle(qtbot, session)
    window.refresh_actions()
    export = window.qactions["export_csv"]
    assert not export.isEnabled()
    assert "Your role does not let you export." in export.toolTip()
    assert window.qactions["import_images"].isEnabled()
    with pytest.raises(StudyRefused) as refusal:
        session.study.require("export")
    assert refusal.value.code == "right_missing"
    with qtbot.waitSignal(session.sign_in_asked):
        session.sign_out()
    settle(qtbot, session)
    session.cancel_sign_in()
    window.refresh_actions()
    assert "Your role" not in export.toolTip()
    session.close()


def test_that_a_lock_is_a_signature_with_the_password_again(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, SITE)
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)
    session.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, session)
    dialog = LockDialog("N1", "1 ml", signing=session.signing())
    qtbot.addWidget(dialog)
    assert dialog.name.text() == "Sofia Site"
    assert dialog.name.isReadOnly()
    assert [dialog.meaning.itemText(n) for n in range(dialog.meaning.count())] == list(session.signing().meanings.values())
    assert not dialog.accept_button.isEnabled()
    node = session.current_node_id
    session.lock_reading(node, "Sofia Site", dialog.meaning.currentData(), password="wrong-horse-9")
    settle(qtbot, session)
    assert told.has("Name or password is wrong.")
    assert session.subject_readings == [] or session.subject_readings[0].state != ReadingState.LOCKED
    dialog._password.setText(WORD)
    assert dialog.accept_button.isEnabled()
    session.lock_reading(node, "Sofia Site", dialog.meaning.currentData(), **dialog.proof())
    settle(qtbot, session)
    kept = session.current.reading
    assert kept.state == ReadingState.LOCKED
    assert kept.signature_id is not None
    assert (kept.locked_by, kept.role, kept.reader) == ("Sofia Site", "site", SITE)
    session.close()
