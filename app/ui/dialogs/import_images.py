"""Import pictures into the study: from where, whose, and which visit."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QLineEdit, QWidget

from app.ui.dialogs.base import Question
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.place import PlaceField, dicom_files

PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,31}")


class ImportDialog(Question):
    """Emits ``chosen(place, pseudonym, visit, dates_shifted)``."""

    chosen = Signal(str, str, str, bool)

    def __init__(self, subject_id: str | None, visit_names: list[str], parent: QWidget | None = None):
        super().__init__(t("Import images"), t("The study keeps a copy without names, birth dates and other identifying header values."), t("Import"), parent)
        self.folder = PlaceField(t("Pictures to import"), t("Folder, ZIP, DICOMDIR or file"), dicom_files())
        self.pseudonym = QLineEdit(subject_id or "")
        self.pseudonym.setPlaceholderText("S-014")
        self.visit = QComboBox()
        self.visit.setEditable(True)
        self.visit.addItems(visit_names)
        self.visit.setCurrentIndex(-1)
        self.visit.setCurrentText("")
        self.visit.lineEdit().setPlaceholderText(t("Baseline, Day 30, Month 3 …"))
        self.add_field(t("P&lace"), self.folder)
        self.add_field(t("&Pseudonym"), self.pseudonym)
        self.add_field(t("&Visit"), self.visit)
        self.shifted = QCheckBox(t("&Dates were moved before these pictures came"))
        self.shifted.setToolTip(t("For pictures that somebody de-identified before and that do not say so. Every export of the subject is marked."))
        self.form.addRow("", self.shifted)
        self.form.addRow(WrapLabel(t("Ultrasound is made black outside its regions. Pictures that may show a name are shown to you first."), tone="muted", small=True))
        for signal in (self.folder.changed, self.pseudonym.textChanged, self.visit.currentTextChanged):
            signal.connect(self.check)
        self.accepted.connect(lambda: self.chosen.emit(self.folder.text(), self.pseudonym.text().strip(), self.visit.currentText().strip(), self.shifted.isChecked()))
        self.check()

    def problem(self) -> str:
        """What is still missing."""
        folder = self.folder.text()
        if not folder:
            return t("Choose where the pictures lie.")
        if not Path(folder).exists():
            return t("There is nothing there.")
        if not PSEUDONYM.fullmatch(self.pseudonym.text().strip()):
            return t("Give the subject's pseudonym: letters, digits, dash, dot, at least two. Never a name.")
        if not self.visit.currentText().strip():
            return t("Say which visit the pictures belong to.")
        return ""
