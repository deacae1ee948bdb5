"""A new target node: its short name, side and level."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QWidget

from app.study.model import LEVELS, Side
from app.ui.dialogs.base import Question
from app.ui.text import t


def side_names() -> dict[str, str]:
    """Sides of the neck for people, by their stored value."""
    return {Side.LEFT.value: t("Left"), Side.RIGHT.value: t("Right"), Side.MIDLINE.value: t("Midline")}


class NewNodeDialog(Question):
    """Emits ``made(label, side, level)``. Nothing is chosen beforehand: side and level are never
    guessed."""

    made = Signal(str, str, str)

    def __init__(self, used_labels: list[str], parent: QWidget | None = None):
        super().__init__(t("New node"), t("The node keeps this identity at every visit."), t("Add node"), parent)
        self._used = {label.casefold() for label in used_labels}
        self.label = QLineEdit(next(f"N{i}" for i in range(1, 1000) if f"n{i}" not in self._used))
        self.label.setMaxLength(12)
        self.side = QComboBox()
        self.side.addItem(t("Choose…"), None)
        for value, name in side_names().items():
            self.side.addItem(name, value)
        self.level = QComboBox()
        self.level.addItem(t("Choose…"), None)
        for level in LEVELS:
            self.level.addItem(level, level)
        self.level.setMaxVisibleItems(16)
        self.add_field(t("&Name"), self.label)
        self.add_field(t("Patient's &side"), self.side)
        self.add_field(t("Neck &level"), self.level)
        self.label.textChanged.connect(self.check)
        self.side.currentIndexChanged.connect(self.check)
        self.level.currentIndexChanged.connect(self.check)
        self.accepted.connect(lambda: self.made.emit(self.label.text().strip(), self.side.currentData(), self.level.currentData()))
        self.check()
        self.side.setFocus()

    def problem(self) -> str:
        """What is still missing."""
        label = self.label.text().strip()
        if not label:
            return t("Give the node a short name.")
        if label.casefold() in self._used:
            return t("{label} is already a node of this subject.").format(label=label)
        if self.side.currentData() is None:
            return t("Choose the patient's side.")
        if self.level.currentData() is None:
            return t("Choose the neck level.")
        return ""
