"""What can be done with a study and its users as entries of the list in ``actions``, and what a role takes out of that list."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QDialog, QMenu, QToolButton, QWidget
from shiboken6 import isValid

from app.study.permissions import ANY_READER
from app.ui.actions import Action
from app.ui.actions_contrast import CONTRAST
from app.ui.actions_enhancing import KEYS as PAIR
from app.ui.pages import WORK
from app.ui.session_board import BOARD_RIGHTS
from app.ui.text import t

# What an action needs one of; what is not named here needs none. The store refuses the same.
NEEDS: dict[str, tuple[str, ...]] = {
    "import_images": ("images",),
    "pacs_query": ("images",),
    "pacs_receive": ("images",),
    "pacs_send": ("export",),
    "export_csv": ("export",),
    "export_dicom": ("export",),
    "export_pdf": ("export",),
    "visit_board": BOARD_RIGHTS,
    "export_edc": ("export",),
    "audit_trail": ("see_audit",),
    "adjudicate": ("adjudicate",),
    **dict.fromkeys(("worklist", "next_case"), ANY_READER),
    **dict.fromkeys(("fill", "keep_largest", "grow", "shrink", "smooth", "clear", "node", "livewire", "brush", "eraser", "contour", "scribble", "region", "threshold", "cut", "interpolate", "ellipsoid", "scale"), ANY_READER),
    **dict.fromkeys((*CONTRAST, *PAIR), ANY_READER),
    **dict.fromkeys(("needle", "structure", "suggest", "solve", "drop_needle"), ("plan",)),
}
# What does not exist while somebody reads blinded.
NOT_BLINDED = ("cohort", "contrast_earlier", "layout_compare", "compare_plane", "compare_switch", "compare_end", "landmark", "drop_landmark", "copy_outline", "visit_board", "needle", "structure", "suggest", "solve", "drop_needle", "show_field", "import_images", "pacs_query", "pacs_receive", "pacs_send", "export_csv", "export_dicom", "export_pdf", "export_edc", "audit_trail")  # fmt: skip
OF_A_PLAN = ("needle", "structure", "suggest", "solve", "drop_needle", "show_field")  # not there where the trial treats nothing
IN_SEQUENCE = ("layout_compare", "compare_plane", "compare_switch", "compare_end", "landmark", "drop_landmark")
ALWAYS = ("quit", "keys", "about")
WATCHED = "nodusWatched"
NAME_PX = 240
_MOVES = (QEvent.Type.KeyPress, QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.Wheel, QEvent.Type.TouchBegin)


def study_actions(window) -> list[Action]:
    """Board, worklist, lock and sign-out for a ``MainWindow``."""
    from app.ui.actions_exports import review_actions

    s = window.session

    def show(name: str):
        return lambda: window.pages.show_page(name)

    def is_shown(name: str):
        return lambda: window.pages.name == name

    def signed_in() -> bool:
        return s.signed_in is not None

    return [
        Action("visit_board", t("Visit board"), "study", show("visit_board"), ("F3",), tip=t("All subjects and their visits: what is due, overdue, done"), group=4, enabled=lambda: not s.why_no_board(), checked=is_shown("visit_board")),
        Action("worklist", t("Worklist"), "study", show("worklist"), ("F2",), tip=t("What you have to read, in your order"), group=4, enabled=signed_in, checked=is_shown("worklist")),
        Action("next_case", t("Next case"), "study", s.open_next_case, ("F4",), tip=t("The next entry of the worklist that is not locked"), group=4, enabled=lambda: signed_in() and s.next_item() is not None),
        *review_actions(window),
        Action("lock_now", t("Lock the window"), "study", s.lock_now, ("Ctrl+Alt+L",), tip=t("Hides everything until you give your password; nothing is lost"), group=5, enabled=signed_in),
        Action("sign_out", t("Sign out"), "study", s.sign_out, tip=t("Saves, and lets somebody else sign in to this study"), group=5, enabled=signed_in),
    ]  # fmt: skip


def limit(window) -> None:
    """Take out of the list what the page on screen, the lock or the role does not allow; the tooltip says why."""
    s, page = window.session, window.pages.name
    blinded, sequence = s.is_blinded, s.is_blinded and s.reads_in_sequence
    for action in window.actions_list:
        q = window.qactions[action.id]
        tip = window.tips.setdefault(action.id, q.toolTip())
        gone = blinded and action.id in NOT_BLINDED and not (sequence and action.id in IN_SEQUENCE)
        gone = gone or (action.id in OF_A_PLAN and s.treats_nothing)
        if action.id.startswith("step_"):
            gone = action.id.removeprefix("step_") not in s.steps_here()
        why = ""
        if s.is_locked and action.id not in ALWAYS:
            why = t("Locked")
        elif gone:
            why = t("Not in a blinded session.") if blinded else s.why_no_plan()
        elif page != WORK and action.menu in ("edit", "tools", "view") and action.id != "crosshair" and not action.id.startswith(("step_", "language")):
            why = t("Go back to the pictures first (Esc).")
        elif action.id == "visit_board":
            why = s.why_no_board()
        else:
            why = s.why_not(*NEEDS.get(action.id, ()))
        if why:
            q.setEnabled(False)
        elif action.enabled is None:
            q.setEnabled(True)
        q.setVisible(not gone)
        q.setToolTip(tip + (f"\n{why}" if why else ""))
    for name, button in window.tool_buttons.items():
        button.setVisible(window.qactions[name].isVisible())
    for step, button in window.step_buttons.items():
        button.setVisible(step in s.steps_here() and not s.is_locked)
    for menu in window.menus.values():
        menu.setEnabled(not s.is_locked or menu is window.menus["study"])
    window.presets.setEnabled(not s.is_locked and page == WORK)


class UserButton(QToolButton):
    """Who is at work, at the right of the header; not there in a study without users."""

    def __init__(self, window):
        super().__init__()
        self.session = window.session
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        menu = QMenu(self)
        for name in ("lock_now", "sign_out"):
            menu.addAction(window.qactions[name])
        self.setMenu(menu)
        self.session.user_changed.connect(self.refresh)
        self.session.study_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """The name and roles of now."""
        words = self.session.user_words()
        self.setVisible(bool(words))
        self.setText(self.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, NAME_PX) + " ▾")
        self.setAccessibleName(words)
        self.setToolTip(words)


class UserWatch(QObject):
    """Brings the sign-in dialog, tells the session of keys and mouse, hides dialogs while it is locked."""

    def __init__(self, window):
        super().__init__(window)
        self.window = window
        self.dialog: QDialog | None = None
        self._hidden: list[QWidget] = []
        s = window.session
        s.sign_in_asked.connect(self.ask)
        s.user_changed.connect(self.take_user)
        s.signed_out.connect(window.notice_bar.hide)
        s.signed_out.connect(lambda: window.status.saved.setText(""))
        for button in window.step_buttons.values():
            button.clicked.connect(window.pages.back)
        for button in window.menus.values():
            button.menu().setToolTipsVisible(True)  # an entry that is off says why
        s.worklist_changed.connect(window.refresh_actions)
        window.pages.changed.connect(window.refresh_actions)
        QGuiApplication.instance().focusWindowChanged.connect(self._watch)
        if s.waits_for_sign_in:
            self.ask()

    def ask(self) -> None:
        """Ask who is at work."""
        from app.ui.dialogs.sign_in import SignInDialog

        if self.dialog is not None:
            self.dialog.done(0)
        dialog = self.dialog = SignInDialog(self.window.session, self.window)
        dialog.rejected.connect(self._not_now)
        dialog.finished.connect(lambda _result: self._gone(dialog))
        self.window._remember(dialog)
        dialog.open()

    def _gone(self, dialog: QDialog) -> None:
        if self.dialog is dialog:
            self.dialog = None

    def _not_now(self) -> None:
        if not self.window._closed:  # a window that another one replaces leaves the question to that one
            self.window.session.cancel_sign_in()

    def take_user(self) -> None:
        """Another user, a lock or its end: header, actions, dialogs."""
        window, s = self.window, self.window.session
        if window._closed:
            return
        if s.is_locked:
            popup = QApplication.activePopupWidget()
            if popup is not None:
                popup.close()
            shown = [w for w in QApplication.topLevelWidgets() if w.isVisible() and w.isWindow() and w is not window and w is not self.dialog and w.windowType() in (Qt.WindowType.Window, Qt.WindowType.Dialog)]
            self._hidden += shown
            for other in shown:
                other.hide()
            window.notice_bar.hide()
        elif self._hidden:
            hidden, self._hidden = self._hidden, []
            for other in hidden:
                if not isValid(other):
                    continue
                if s.signed_in is None:
                    other.close()  # of somebody who has gone
                else:
                    other.show()
        window._take_study()
        window.refresh_actions()

    def _watch(self, focused) -> None:
        # Windows only, not every widget: a filter on the application would see each paint.
        if focused is not None and not focused.property(WATCHED):
            focused.setProperty(WATCHED, True)
            focused.installEventFilter(self)

    def eventFilter(self, _watched, event) -> bool:
        """Any key or mouse is a sign of somebody there."""
        if event.type() in _MOVES and not self.window._closed:
            self.window.session.note_activity()
        return False
