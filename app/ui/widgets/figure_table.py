"""Two columns, name and number: every number with its unit, its source on hover."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QWidget

from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.figures import Figure
from app.ui.widgets.palette import MUTED
from app.ui.widgets.tables import ValueTable


class FigureTable(ValueTable):
    """Figures, one a row; copying gives name, value, unit and interval in columns of their own."""

    def __init__(self, name: str, *, max_rows: int = 30, parent: QWidget | None = None):
        columns = (
            Column(t("Measure"), lambda f: f.label, tip=lambda f: f.tip, weight=5),
            Column(
                t("Value"),
                lambda f: f.value,
                lambda f: f.text,
                tip=lambda f: f.tip,
                colour=lambda f: MUTED if f.value is None else None,
                weight=5,
                right=True,
            ),
        )
        super().__init__(columns, name, max_rows=max_rows, row_height=21, parent=parent)
        self.setSortingEnabled(False)
        self.horizontalHeader().hide()
        self._fit()

    def show_figures(self, figures: Sequence[Figure]) -> None:
        """Replace the rows."""
        self.set_rows(figures)

    def as_text(self, rows: Sequence[int] | None = None) -> str:
        """Tab-separated: name, value, unit, interval low and high."""
        lines = ["\t".join((t("Measure"), t("Value"), t("Unit"), t("Low (95 %)"), t("High (95 %)")))]
        for r in range(len(self.model_.rows)) if rows is None else rows:
            f: Figure = self.model_.rows[r]
            value = "" if f.value is None else " x ".join(map(str, f.value)) if isinstance(f.value, (tuple, list)) else str(f.value)
            low, high = ("", "") if f.interval is None else (str(f.interval[0]), str(f.interval[1]))
            lines.append("\t".join((f.label, value, f.unit, low, high)))
        return "\n".join(lines)

    def _fit(self) -> None:
        rows = max(1, min(self._max_rows, self.model_.rowCount()))
        self.setFixedHeight(rows * self.verticalHeader().defaultSectionSize() + 2 * self.frameWidth() + 2)
        self._share_width()
