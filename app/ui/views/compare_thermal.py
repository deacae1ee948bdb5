"""Two plans of RFA or cryo + RF: their figures in columns, in a window of their own. Esc closes."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QSizePolicy, QVBoxLayout, QWidget

from app.ui.models.plan_runs import both_columns, modality_words, moment, rounds_words, thermal_rows
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import PANEL_STYLE
from app.ui.widgets.tables import ValueTable
from app.usecases.kept_plans import kept_run

WIDTH_PX, HEIGHT_PX = 460, 420


def thermal_name(run) -> str:
    """``P-1, RFA, round 1, 2026-11-20 20:11 UTC``, or the zones on screen."""
    if run is None:
        return t("Zones on screen")
    row = kept_run(run)
    return f"{run.plan_run_id}, {modality_words(row)}, {rounds_words(row)}, {moment(run.created_utc)} UTC"


class CompareThermalWindow(QDialog):
    """Figures of two thermal plans; ``found`` is a ``ThermalSides``."""

    def __init__(self, session, found, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(t("Two plans side by side"))
        self.setStyleSheet(PANEL_STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.words = WrapLabel(t("A: {a}\nB: {b}").format(a=thermal_name(found.first), b=thermal_name(found.second)))
        self.note = WrapLabel(t("Zones of the charts: a prior from normal animal liver. Places of needles are not compared."), tone="warning", small=True)
        self.figures = ValueTable(both_columns("A", "B"), t("Figures of both plans"), max_rows=200, row_height=21)
        self.figures.set_rows(thermal_rows(found.found))
        self.figures.setMaximumHeight(16_000)
        self.figures.setMinimumHeight(160)
        self.figures.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        for part in (self.words, self.note):
            column.addWidget(part)
        column.addWidget(self.figures, 1)
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)
        session.study_changed.connect(self.close)
        self.resize(WIDTH_PX, HEIGHT_PX)
