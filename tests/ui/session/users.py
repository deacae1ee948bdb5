"""A study with users for tests of the window, and hands that sign in."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.study.store import StudyStore
from tests.ui.session.hands import settle

WORD = "correct-horse-9"
READER, SITE, ADMIN, LEFT = "reader", "site", "admin", "left"


def add_users(folder) -> None:
    """An administrator, a blinded reader, a reader who treats, and somebody who has gone."""
    with StudyStore.open(folder) as store:
        store.add_user(ADMIN, "Ada Admin", ["administrator"], WORD)
        store.sign_in(ADMIN, WORD)
        store.add_user(READER, "Chen Reader", ["central_reader"], WORD)
        store.add_user(SITE, "Sofia Site", ["site_reader"], WORD)
        store.add_user(LEFT, "Gone Away", ["monitor"], WORD)
        store.disable_user(LEFT, reason="left the site")


def sign_in(qtbot, session, folder, user: str, word: str = WORD) -> None:
    """Open the study and sign in without a dialog; the answer has come."""
    if not session.waits_for_sign_in:
        with qtbot.waitSignal(session.sign_in_asked):
            session.open_study(folder)
    session.sign_in(user, word)
    settle(qtbot, session)


def no_more_of(window) -> None:
    """Close a window and let it go."""
    window.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
