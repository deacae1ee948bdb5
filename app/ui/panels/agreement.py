"""How well two readers agree on the volumes they have locked, over the whole study."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QPushButton, QWidget

from app.ui.models.agreement import agreement_figures, agreement_text, pair_name
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section


class AgreementSection(Section):
    """Folded until somebody asks: then worked out beside the window, and again when a reading changes."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Agreement of readers"), folded=True, parent=parent)
        self.session = session
        self.pairs: list[dict] = []
        self._stale = True
        self.pair = QComboBox()
        self.pair.setAccessibleName(t("The two readers"))
        self.pair.currentIndexChanged.connect(self._show_pair)
        self.figures = FigureTable(t("Agreement"), max_rows=8)
        self.note = WrapLabel(tone="muted", small=True)
        self.copy_button = QPushButton(t("Copy numbers"))
        self.copy_button.setToolTip(t("Copy these numbers and the volumes they are made of as a table"))
        self.copy_button.clicked.connect(self.copy_numbers)
        for part in (self.pair, self.figures, self.note, self.copy_button):
            self.body.addWidget(part)
        self._title.toggled.connect(lambda _open: self._ask())
        session.readings_changed.connect(self._changed)
        session.study_changed.connect(self._changed)
        self._show(None)

    def showEvent(self, event) -> None:
        """Seen again: what changed meanwhile is worked out now."""
        super().showEvent(event)
        self._ask()

    def _changed(self) -> None:
        self._stale = True
        self._ask()

    def _ask(self) -> None:
        """Work it out where it is looked at; a quiet job, latest wins."""
        from app.usecases.agreement import agreement_of_readings

        store = self.session.study
        if not self._stale or not self.is_open() or not self.isVisible():
            return
        self._stale = False
        if store is None:
            self._show(None)
            return

        def done(found: dict) -> None:
            if self.session.study is store:
                self._show(found)

        self.session.jobs.start("Agreement of readers", lambda _context: agreement_of_readings(store.snapshot()), key="agreement", quiet=True, on_done=done)

    def _show(self, found: dict | None) -> None:
        self.pairs = [] if found is None else found["pairs"]
        wanted = self.pair.currentText()
        self.pair.blockSignals(True)
        self.pair.clear()
        for pair in self.pairs:
            self.pair.addItem(pair_name(pair))
        self.pair.setCurrentIndex(max(0, self.pair.findText(wanted)) if self.pairs else -1)
        self.pair.blockSignals(False)
        for part in (self.pair, self.figures, self.copy_button):
            part.setVisible(bool(self.pairs))
        if self.pairs:
            self._show_pair()
        else:
            self.note.show_text(t("Open a study first.") if found is None else found["missing"])

    def _show_pair(self, _index: int = 0) -> None:
        pair = self.current()
        if pair is None:
            return
        self.figures.show_figures(agreement_figures(pair))
        notes = [w["message"] for w in pair["warnings"]]
        self.note.show_text("\n".join([t("Locked readings of central readers, all subjects of the study."), *notes]))

    def current(self) -> dict | None:
        """The pair on screen."""
        return self.pairs[self.pair.currentIndex()] if self.pairs else None

    def copy_numbers(self) -> None:
        """Put figures and volumes on the clipboard."""
        pair = self.current()
        if pair is not None:
            QGuiApplication.clipboard().setText(agreement_text(pair, self.figures.as_text()))
            self.session.notice.emit("info", t("Copied the agreement and {n} pairs of volumes.").format(n=pair["items"]))
