"""Lock a reading: the reader types a name and says what it means."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QWidget

from app.ui.dialogs.base import Question
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel


def lock_meanings() -> list[str]:
    """What a lock can mean, as offered to the reader. The stored meaning is the English text."""
    return ["I made this reading and stand by it", "I reviewed this reading and agree", "Test reading, not for the trial"]


class LockDialog(Question):
    """Emits ``locked(name, meaning)`` once the reader agreed.

    In a study without users a typed name is kept: no electronic signature. With ``signing`` it is one: the name is that
    of who signed in, the meanings are the study's, and ``proof()`` holds the password that was given again.

    ``confirm`` is a doubt that the reader must say yes to before the lock: what is locked may not be what
    was meant."""

    locked = Signal(str, str)

    def __init__(self, what: str, value: str, warnings: list[str] | None = None, parent: QWidget | None = None, *, confirm: str = "", signing=None):
        super().__init__(t("Lock reading"), what, t("Lock reading"), parent)
        figure = WrapLabel(value)
        figure.setProperty("scale", "unit")
        self.form.addRow(figure)
        if warnings:
            self.form.addRow(WrapLabel("\n".join(f"• {w}" for w in warnings), tone="warning", small=True))
        self.confirm = QCheckBox(t("Lock it &all the same"), self)
        self.confirm.setVisible(bool(confirm))
        if confirm:
            self.form.addRow(WrapLabel(confirm, tone="warning"))
            self.form.addRow(self.confirm)
            self.confirm.setAccessibleDescription(confirm)
            self.confirm.toggled.connect(self.check)
        self._must_confirm = bool(confirm)
        self.name = QLineEdit()
        self.name.setMaxLength(80)
        self.name.setPlaceholderText(t("First and last name"))
        self._signing = signing
        self._password = QLineEdit()
        self._password.setEchoMode(QLineEdit.EchoMode.Password)
        self.meaning = QComboBox()
        self.meaning.setMinimumContentsLength(20)
        self.meaning.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for text in lock_meanings() if signing is None else signing.meanings.values():
            self.meaning.addItem(t(text), text)
        self.add_field(t("Your &name"), self.name)
        self.add_field(t("&Meaning"), self.meaning)
        if signing is None:
            words = t("This is not an electronic signature. Name, meaning and time (UTC) are kept with the reading. A locked reading never changes; a correction is a new version with a reason.")
        else:
            self.name.setText(signing.full_name)
            self.name.setReadOnly(True)
            self.add_field(t("&Password"), self._password)
            self._password.textChanged.connect(self.check)
            words = t("This is an electronic signature: your name, its meaning and the time (UTC) are bound to the content of the reading. A locked reading never changes; a correction is a new version with a reason.")
        self.form.addRow(WrapLabel(words, tone="muted", small=True))
        self.name.textChanged.connect(self.check)
        self.accepted.connect(lambda: self.locked.emit(self.name.text().strip(), self.meaning.currentData()))
        self.check()
        (self.name if signing is None else self._password).setFocus()

    def proof(self) -> dict[str, str]:
        """What goes with a lock beside name and meaning: the password of a signature."""
        return {} if self._signing is None else {"password": self._password.text()}

    def problem(self) -> str:
        """A name is needed, and a yes to what is in doubt."""
        if self._must_confirm and not self.confirm.isChecked():
            return t("Say first whether the outline is to be locked as it is.")
        if self._signing is not None and not self._password.text():
            return t("Give your password again to sign.")
        return "" if len(self.name.text().strip()) >= 2 else t("Type your name to lock the reading.")
