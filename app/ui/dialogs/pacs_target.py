"""Where pictures from a PACS or a scanner go: whose pseudonym, which visit. Two fields that several dialogs share."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from app.ui.dialogs.import_images import PSEUDONYM
from app.ui.text import t


class TargetFields(QWidget):
    """Pseudonym and visit, offered from the open study; ``changed`` when either is another."""

    changed = Signal()

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.subject, self.visit = QComboBox(), QComboBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for caption, field, hint in ((t("Into &pseudonym"), self.subject, "S-014"), (t("&Visit"), self.visit, t("Baseline, Day 30, Month 3 …"))):
            field.setEditable(True)
            field.lineEdit().setPlaceholderText(hint)
            field.setMinimumWidth(170)
            field.setAccessibleName(caption.replace("&", ""))
            label = QLabel(caption)
            label.setBuddy(field)
            row.addWidget(label)
            row.addWidget(field)
        self.subject.currentTextChanged.connect(self._fill_visits)
        self.visit.currentTextChanged.connect(self.changed)
        session.study_changed.connect(self.take_study)
        self.take_study()

    @property
    def subject_id(self) -> str:
        """The pseudonym, as typed."""
        return self.subject.currentText().strip()

    @property
    def visit_name(self) -> str:
        """The visit, as typed."""
        return self.visit.currentText().strip()

    def problem(self) -> str:
        """What is still missing; empty when both are there."""
        if not PSEUDONYM.fullmatch(self.subject_id):
            return t("Give the subject's pseudonym: letters, digits, dash, dot, at least two. Never a name.")
        return "" if self.visit_name else t("Say which visit the pictures belong to.")

    def take_study(self) -> None:
        """Offer the subjects of the study that is open now."""
        session = self.session
        kept = self.subject.currentText()
        self.subject.blockSignals(True)
        self.subject.clear()
        self.subject.addItems([] if session.study is None else [s.subject_id for s in session.study.subjects()])
        self.subject.setCurrentIndex(-1)
        self.subject.setCurrentText(kept or session.subject_id or "")
        self.subject.blockSignals(False)
        self._fill_visits()

    def _fill_visits(self, *_changed) -> None:
        session, subject = self.session, self.subject_id
        kept = self.visit.currentText()
        self.visit.blockSignals(True)
        self.visit.clear()
        if session.study is not None and subject in {s.subject_id for s in session.study.subjects()}:
            self.visit.addItems([v.name for v in session.study.visits(subject)])
        self.visit.setCurrentIndex(-1)
        self.visit.setCurrentText(kept)
        self.visit.blockSignals(False)
        self.changed.emit()
