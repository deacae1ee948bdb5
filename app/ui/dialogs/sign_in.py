"""Sign in to a study that has users: name and password, checked in a job; what is wrong is said in words."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QWidget

from app.ui.dialogs.base import Question
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel


class SignInDialog(Question):
    """Stays open until the session says that somebody signed in; Cancel leaves the study closed."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Sign in"), t("{study}: who is at work?").format(study=session.waits_for_sign_in), t("Sign in"), parent)
        self.session = session
        self.user = QLineEdit()
        self.user.setMaxLength(32)
        self.password = QLineEdit()
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        self.add_field(t("&Name"), self.user)
        self.add_field(t("&Password"), self.password)
        self.refused = WrapLabel("", tone="danger")
        self.refused.hide()
        self.form.addRow(self.refused)
        self.form.addRow(WrapLabel(t("Each attempt is in the study's audit trail. The password is not kept."), tone="muted", small=True))
        self._checking = False
        self.user.textChanged.connect(self._typed)
        self.password.textChanged.connect(self._typed)
        session.sign_in_refused.connect(self._refused)
        session.signed_in_as.connect(self._done)
        self.check()
        self.user.setFocus()

    def problem(self) -> str:
        """Both are needed."""
        if self._checking:
            return t("Checking…")
        return "" if self.user.text().strip() and self.password.text() else t("Give your name and password.")

    def accept(self) -> None:
        """Ask the session; the dialog stays until there is an answer."""
        if self.problem():
            return
        self._set_checking(True)
        self.refused.show_text("")
        self.session.sign_in(self.user.text().strip(), self.password.text())

    def reject(self) -> None:
        """Open nothing."""
        self.password.clear()
        super().reject()

    def _typed(self) -> None:
        self.check()

    def _refused(self, words: str) -> None:
        self._set_checking(False)
        self.password.clear()
        self.refused.show_text(words)
        self.accept_button.setDefault(True)  # Enter tries again, also where the button had the focus
        self.password.setFocus(Qt.FocusReason.OtherFocusReason)

    def _done(self) -> None:
        self._checking = False
        self.password.clear()
        super(Question, self).accept()

    def _set_checking(self, checking: bool) -> None:
        self._checking = checking
        # Read-only, not disabled: a field that is disabled hands its focus to Cancel, and Enter would then leave.
        self.user.setReadOnly(checking)
        self.password.setReadOnly(checking)
        self.check()
