"""Every window of a study is opened, used and left with keys alone, and nothing is lost by leaving it."""

from __future__ import annotations

import datetime as dt

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QTabBar, QWidget

from app.ui.dialogs.adjudicate import AdjudicateWindow
from app.ui.dialogs.audit_view import AuditWindow
from app.ui.dialogs.export_edc import ExportWindow
from app.ui.dialogs.sign_in import SignInDialog
from app.ui.pages import LOCK, WORK
from app.ui.views.cohort_window import CohortWindow
from app.usecases.subject_values import log_event
from tests.ui import mouse
from tests.ui.session.hands import CENTRE, RADIUS_MM, settle
from tests.ui.session.users import READER, SITE, WORD, sign_in

WINDOWS = {"Ctrl+Alt+C": CohortWindow, "Ctrl+Alt+A": AuditWindow, "Ctrl+E": ExportWindow, "Ctrl+Alt+J": AdjudicateWindow}
MOST_STEPS = 60  # of Tab, before every field has had the focus


def press(widget: QWidget, *sequences: str) -> None:
    for sequence in sequences:
        QTest.keySequence(widget, QKeySequence(sequence))


def here(kind):
    return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)


def on_screen(qtbot, window) -> None:
    window.show()
    qtbot.waitExposed(window)
    mouse.activate(qtbot, window)


def tab_round(root: QWidget) -> list[QWidget]:
    """What Tab comes by, from the widget that has the focus until it is there again."""
    first, seen = QApplication.focusWidget(), []
    assert first is not None
    for _ in range(MOST_STEPS):
        now = QApplication.focusWidget()
        assert now is not None
        assert now is root or root.isAncestorOf(now), f"the focus left for {now}"
        if seen and now is first:
            return seen
        seen.append(now)
        QTest.keyClick(now, Qt.Key.Key_Tab)
    raise AssertionError(f"Tab never came round: {[type(w).__name__ for w in seen]}")


def name_of(widget: QWidget) -> str:
    text = widget.text() if isinstance(widget, QAbstractButton) else widget.tabText(widget.currentIndex()) if isinstance(widget, QTabBar) else ""
    return widget.accessibleName() or text or (widget.placeholderText() if isinstance(widget, QLineEdit) else "")


def fields_of(root: QWidget) -> set[QWidget]:
    """What a hand could use in a window: everything that is on and takes keys by Tab."""
    return {
        w
        for w in root.findChildren(QWidget)
        if w.isVisible()
        and w.isEnabled()
        and isinstance(w, QAbstractButton | QComboBox | QLineEdit)
        and w.focusPolicy() & Qt.FocusPolicy.TabFocus
        and w.focusProxy() is None
    }


@pytest.mark.parametrize("keys", WINDOWS)
def test_that_a_window_opens_by_its_keys_and_esc_leaves_with_nothing_lost(qtbot, clicked, window, keys):
    on_screen(qtbot, window)
    drawn, image, steps = clicked.current.draft.array.copy(), clicked.image, clicked.undo_stack.count()
    press(window, keys)
    qtbot.waitUntil(lambda: here(WINDOWS[keys]) is not None)
    dialog = here(WINDOWS[keys])
    mouse.activate(qtbot, dialog)
    settle(qtbot, clicked)
    came_by = tab_round(dialog)
    assert not [w for w in came_by if not name_of(w)], "what takes the keys says what it is"
    missed = {name_of(w) for w in fields_of(dialog) - set(came_by)} - {""}
    groups = {name_of(b) for w in came_by if isinstance(w, QAbstractButton) and w.group() for b in w.group().buttons()}  # arrows go within a group
    assert missed <= groups
    press(dialog, "Esc")
    qtbot.waitUntil(lambda: here(WINDOWS[keys]) is None)
    assert clicked.image is image
    assert clicked.undo_stack.count() == steps
    assert (clicked.current.draft.array == drawn).all()


def test_that_the_board_is_used_by_keys(qtbot, opened, window):
    log_event(opened.study, "S-001", "IRE", "2025-01-15")
    on_screen(qtbot, window)
    press(window, "F3")
    qtbot.waitUntil(lambda: opened.board is not None)
    settle(qtbot, opened)
    view = window.pages.page("visit_board")
    assert view.table.hasFocus()
    came_by = tab_round(window)
    assert fields_of(view) <= set(came_by)
    assert not [w for w in came_by if view.isAncestorOf(w) and not name_of(w)]
    press(view.table, "Ctrl+F")
    assert view.find.hasFocus()
    QTest.keyClicks(view.find, "nobody")
    assert view.model.rows == []
    view.find.clear()
    QTest.keyClick(view.find, Qt.Key.Key_Return)
    assert view.table.hasFocus()
    press(view.table, "Alt+D")
    assert view.day.hasFocus()
    QTest.keyClicks(view.day, "2025-01-2")
    assert opened.board.on == dt.date.today()
    assert "YYYY-MM-DD" in view.words.text()
    QTest.keyClicks(view.day, "0")
    settle(qtbot, opened)
    assert opened.board.on == dt.date(2025, 1, 20)
    assert "not today" in view.words.text()
    assert opened.board.cells["S-001", "Day 30"].status == "planned"  # its scan is of 14 February
    assert opened.facts.subject == "S-001"
    view.day.clear()
    settle(qtbot, opened)
    assert opened.board.cells["S-001", "Day 30"].status == "done"
    form = view.subject.form
    form.kind.setFocus()
    QTest.keyClick(form.kind, Qt.Key.Key_Down)
    QTest.keyClick(form.kind, Qt.Key.Key_Up)
    form.date.setFocus()
    QTest.keyClicks(form.date, "2025-01-16")
    form.reason.setFocus()
    QTest.keyClicks(form.reason, "as planned")
    QTest.keyClick(form.reason, Qt.Key.Key_Return)
    settle(qtbot, opened)
    assert "2025-01-16" in [e.date for e in opened.study.clinical_events("S-001")]
    press(window, "Esc")
    assert window.pages.name == WORK
    assert opened.image is not None
    assert window.panes.isAncestorOf(QApplication.focusWidget()) or window.rail.isAncestorOf(QApplication.focusWidget())


def test_that_a_blinded_reading_is_made_from_the_list_by_keys(qtbot, session, window, users_study):
    on_screen(qtbot, window)
    sign_in(qtbot, session, users_study, READER)
    settle(qtbot, session)
    view = window.pages.page("worklist")
    qtbot.waitUntil(lambda: view.table.hasFocus())
    assert set(tab_round(window)) >= {view.table, view.next_button, view.close_button}
    QTest.keyClick(view.table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)
    assert window.pages.name == WORK
    press(window, "F2")
    assert window.pages.name == "worklist"
    press(window, "Esc")
    assert window.pages.name == WORK
    first = session.case_item.visit_id
    press(window, "F4")
    qtbot.waitUntil(lambda: session.case_item.visit_id != first)
    settle(qtbot, session)


def test_that_enter_signs_in_again_after_a_wrong_password(qtbot, session, window, users_study):
    on_screen(qtbot, window)
    with qtbot.waitSignal(session.sign_in_asked):
        session.open_study(users_study)
    dialog = here(SignInDialog)
    mouse.activate(qtbot, dialog)
    assert dialog.user.hasFocus()
    QTest.keyClicks(dialog.user, SITE)
    QTest.keyClick(dialog.user, Qt.Key.Key_Tab)
    assert dialog.password.hasFocus()
    for word in ("wrong-horse-9", WORD):
        assert session.signed_in is None
        QTest.keyClicks(dialog.password, word)
        QTest.keyClick(dialog.password, Qt.Key.Key_Return)
        settle(qtbot, session)
    assert session.signed_in.user_id == SITE
    assert here(SignInDialog) is None
    session.close()


def test_that_a_locked_window_is_unlocked_by_keys_and_esc_shows_nothing(qtbot, session, window, users_study):
    on_screen(qtbot, window)
    sign_in(qtbot, session, users_study, SITE)
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)
    session.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, session)
    drawn = session.current.draft.array.copy()
    press(window, "Ctrl+Alt+L")
    qtbot.waitUntil(lambda: window.pages.name == LOCK)
    settle(qtbot, session)
    screen = window.pages.page(LOCK)
    assert "You locked" in screen.words.text()
    for keys in ("Esc", "F2", "F3", "Ctrl+1", "Ctrl+Alt+A", "Ctrl+E"):
        press(window, keys)
        assert window.pages.name == LOCK, keys
        assert not window.panes.isVisible()
    assert not any(here(kind) for kind in WINDOWS.values())
    screen.password.setFocus()
    QTest.keyClicks(screen.password, WORD)
    QTest.keyClick(screen.password, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not session.is_locked)
    settle(qtbot, session)
    assert window.pages.name == WORK
    assert (session.current.draft.array == drawn).all()
    session.close()
