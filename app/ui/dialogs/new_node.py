"""A new target node: its short name, side and level."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QLineEdit, QWidget

from app.study.model import LEVELS, UNKNOWN_LEVEL, Side, TargetNode
from app.ui.dialogs.base import Question
from app.ui.text import t


def side_names() -> dict[str, str]:
    """Sides of the neck for people, by their stored value."""
    return {Side.LEFT.value: t("Left"), Side.RIGHT.value: t("Right"), Side.MIDLINE.value: t("Midline")}


def side_and_level_boxes() -> tuple[QComboBox, QComboBox]:
    """The two choices, with nothing chosen."""
    side, level = QComboBox(), QComboBox()
    for box in (side, level):
        box.addItem(t("Choose…"), None)
    for value, name in side_names().items():
        side.addItem(name, value)
    for name in LEVELS:
        level.addItem(name, name)
    level.setMaxVisibleItems(16)
    return side, level


class NewNodeDialog(Question):
    """Emits ``made(label, side, level)``. Nothing is chosen beforehand: side and level are never
    guessed."""

    made = Signal(str, str, str)

    def __init__(self, used_labels: list[str], parent: QWidget | None = None):
        super().__init__(t("New node"), t("The node keeps this identity at every visit."), t("Add node"), parent)
        self._used = {label.casefold() for label in used_labels}
        self.label = QLineEdit(next(f"N{i}" for i in range(1, 1000) if f"n{i}" not in self._used))
        self.label.setMaxLength(12)
        self.side, self.level = side_and_level_boxes()
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


class NodeDetailsDialog(Question):
    """Emits ``stated(side, level, reason)`` for a node whose side or level is unknown or changes.
    A first statement needs no reason; a change does."""

    stated = Signal(str, str, str)

    def __init__(self, node: TargetNode, parent: QWidget | None = None):
        first = node.side == Side.UNKNOWN or node.level == UNKNOWN_LEVEL
        super().__init__(t("Side and level of {label}").format(label=node.label), t("They hold for every visit."), t("Save"), parent)
        self._first = first
        self.side, self.level = side_and_level_boxes()
        self.side.setCurrentIndex(max(0, self.side.findData(str(node.side))))
        self.level.setCurrentIndex(max(0, self.level.findData(node.level)))
        self.add_field(t("Patient's &side"), self.side)
        self.add_field(t("Neck &level"), self.level)
        self.reason = QLineEdit()
        self.reason.setMaxLength(200)
        if not first:
            self.add_field(t("&Reason for the change"), self.reason)
        for box in (self.side, self.level):
            box.currentIndexChanged.connect(self.check)
        self.reason.textChanged.connect(self.check)
        self.accepted.connect(lambda: self.stated.emit(self.side.currentData(), self.level.currentData(), self.reason.text().strip() or "stated by the reader"))
        self.check()
        self.side.setFocus()

    def problem(self) -> str:
        """What is still missing."""
        if self.side.currentData() is None:
            return t("Choose the patient's side.")
        if self.level.currentData() is None:
            return t("Choose the neck level.")
        if not self._first and not self.reason.text().strip():
            return t("Give a reason for the change.")
        return ""
