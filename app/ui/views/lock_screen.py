"""What stands in place of everything while a session is locked: whose it is, and a field for the password."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import PANEL_STYLE

WIDTH_PX = 360


class LockScreen(QWidget):
    """Pictures, names and numbers are hidden; the same user goes on where the work stood, or signs out."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.setStyleSheet(PANEL_STYLE)
        self.setAccessibleName(t("Locked"))
        title = QLabel(t("Locked"))
        title.setProperty("scale", "big")
        self.who = WrapLabel("")
        self.words = WrapLabel("", tone="muted")
        self.password = QLineEdit()
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.password.setAccessibleName(t("Password"))
        self.password.setPlaceholderText(t("Password"))
        self.problem = WrapLabel("", tone="warning")
        self.unlock = QPushButton(t("Unlock"))
        self.unlock.setProperty("primary", True)
        self.sign_out = QPushButton(t("Sign out"))
        self.sign_out.setToolTip(t("Somebody else can sign in then; drafts stay with whose they are"))
        buttons = QHBoxLayout()
        buttons.addWidget(self.sign_out)
        buttons.addStretch(1)
        buttons.addWidget(self.unlock)
        inner = QWidget()
        inner.setFixedWidth(WIDTH_PX)
        column = QVBoxLayout(inner)
        column.setSpacing(10)
        for widget in (title, self.who, self.words, self.password, self.problem):
            column.addWidget(widget)
        column.addLayout(buttons)
        outer = QVBoxLayout(self)
        outer.addStretch(2)
        outer.addWidget(inner, 0, Qt.AlignmentFlag.AlignHCenter)
        outer.addStretch(3)
        self.password.textChanged.connect(self._check)
        self.password.returnPressed.connect(self._send)
        self.unlock.clicked.connect(self._send)
        self.sign_out.clicked.connect(session.sign_out)
        session.sign_in_refused.connect(self._refused)
        self._check()

    def entered(self) -> None:
        """Ready for the password."""
        self.who.show_text(self.session.user_words())
        why = t("You locked the window.") if self.session.locked_by_hand else t("Nothing was done for a while.")
        self.words.show_text(why + " " + t("Your work is as you left it; nothing is lost."))
        self.password.clear()
        self.problem.show_text("")
        self._check()
        self.password.setFocus(Qt.FocusReason.OtherFocusReason)

    def left(self) -> None:
        """Nothing of the password stays."""
        self.password.clear()
        self.problem.show_text("")

    def _check(self) -> None:
        self.unlock.setEnabled(bool(self.password.text()))

    def _send(self) -> None:
        if self.password.text() and self.password.isEnabled():
            given = self.password.text()
            self._busy(True)
            self.session.unlock(given)

    def _refused(self, words: str) -> None:
        if self.isVisible():
            self._busy(False)
            self.password.clear()
            self.problem.show_text(words)
            self.password.setFocus(Qt.FocusReason.OtherFocusReason)

    def _busy(self, busy: bool) -> None:
        self.password.setEnabled(not busy)
        self.unlock.setEnabled(not busy and bool(self.password.text()))
        self.problem.show_text(t("Checking…") if busy else "", "muted" if busy else "warning")

    def hideEvent(self, event) -> None:
        """Ready for the next time."""
        super().hideEvent(event)
        self._busy(False)
