"""Import pictures into the study: which folder, whose, and which visit."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from app.ui.dialogs.base import Question
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel

PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,31}")


class ImportDialog(Question):
    """Emits ``chosen(folder, pseudonym, visit)``."""

    chosen = Signal(str, str, str)

    def __init__(self, subject_id: str | None, visit_names: list[str], parent: QWidget | None = None):
        super().__init__(t("Import images"), t("The study keeps a copy without names, birth dates and other identifying header values."), t("Import"), parent)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(t("Folder of DICOM files"))
        browse = QPushButton(t("&Browse…"))
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        place = QWidget()
        row = QHBoxLayout(place)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        place.setFocusProxy(self.folder)
        self.pseudonym = QLineEdit(subject_id or "")
        self.pseudonym.setPlaceholderText("S-014")
        self.visit = QComboBox()
        self.visit.setEditable(True)
        self.visit.addItems(visit_names)
        self.visit.setCurrentIndex(-1)
        self.visit.setCurrentText("")
        self.visit.lineEdit().setPlaceholderText(t("Baseline, Day 30, Month 3 …"))
        self.add_field(t("&Folder"), place)
        self.folder.setAccessibleName(t("Folder"))
        self.add_field(t("&Pseudonym"), self.pseudonym)
        self.add_field(t("&Visit"), self.visit)
        self.form.addRow(WrapLabel(t("Text burned into the pixels is not removed. Look at the pictures before you share them."), tone="muted", small=True))
        for signal in (self.folder.textChanged, self.pseudonym.textChanged, self.visit.currentTextChanged):
            signal.connect(self.check)
        self.accepted.connect(lambda: self.chosen.emit(self.folder.text().strip(), self.pseudonym.text().strip(), self.visit.currentText().strip()))
        self.check()

    def problem(self) -> str:
        """What is still missing."""
        folder = self.folder.text().strip()
        if not folder:
            return t("Choose the folder that holds the pictures.")
        if not Path(folder).exists():
            return t("There is no such folder.")
        if not PSEUDONYM.fullmatch(self.pseudonym.text().strip()):
            return t("Give the subject's pseudonym: letters, digits, dash, dot, at least two. Never a name.")
        if not self.visit.currentText().strip():
            return t("Say which visit the pictures belong to.")
        return ""

    def _browse(self) -> None:
        chooser = QFileDialog(self, t("Folder of DICOM files"), self.folder.text())
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setOption(QFileDialog.Option.ShowDirsOnly, True)
        chooser.fileSelected.connect(self.folder.setText)
        chooser.open()
