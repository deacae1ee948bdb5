"""What the dialogs share: style, a plain heading, one button that does it and one that does not."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import PANEL_STYLE

WIDTH_PX = 420


class Question(QDialog):
    """A form with a heading, a problem line, and two buttons.

    Show it with ``open()``: the window behind stays alive, jobs go on. Subclasses override
    ``problem()``: the sentence that says what is still missing, empty when the form is complete.
    """

    def __init__(self, title: str, heading: str, action: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setStyleSheet(PANEL_STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.heading = WrapLabel(heading)
        self.form = QFormLayout()
        self.form.setLabelAlignment(Qt.AlignmentFlag.AlignRight)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.form.setHorizontalSpacing(10)
        self.form.setVerticalSpacing(8)
        self.missing = WrapLabel(tone="warning", small=True)
        self.buttons = QDialogButtonBox()
        self.accept_button = self.buttons.addButton(action, QDialogButtonBox.ButtonRole.AcceptRole)
        self.accept_button.setProperty("primary", True)
        self.cancel_button = self.buttons.addButton(t("Cancel"), QDialogButtonBox.ButtonRole.RejectRole)
        self.accept_button.setDefault(True)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        box = QVBoxLayout(self)
        box.setContentsMargins(16, 14, 16, 14)
        box.setSpacing(10)
        box.addStrut(WIDTH_PX)
        box.setSizeConstraint(QVBoxLayout.SizeConstraint.SetFixedSize)  # follows its texts
        box.addWidget(self.heading)
        box.addLayout(self.form)
        box.addWidget(self.missing)
        box.addWidget(self.buttons)

    def add_field(self, label: str, field: QWidget) -> None:
        """A labelled field; the label is also its accessible name."""
        caption = QLabel(label)
        caption.setBuddy(field)
        field.setAccessibleName(label.replace("&", ""))
        field.setSizePolicy(QSizePolicy.Policy.Expanding, field.sizePolicy().verticalPolicy())
        self.form.addRow(caption, field)

    def problem(self) -> str:
        """What is still missing; empty when complete."""
        return ""

    def check(self, *_changed) -> None:
        """Show what is missing and enable the button once nothing is."""
        text = self.problem()
        self.missing.show_text(text)
        self.accept_button.setEnabled(not text)
        self.accept_button.setToolTip(text)

    def accept(self) -> None:
        """Close with yes, only when the form is complete (Enter may come early)."""
        if not self.problem():
            super().accept()
