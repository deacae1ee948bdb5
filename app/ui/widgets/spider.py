"""Spider: the rate of every node over the months since its first ablation."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from app.ui.models.cohort import row_words
from app.ui.text import t
from app.ui.widgets.chart import PEN_STYLES
from app.ui.widgets.cohort_figure import GROWN, REDUCED, SALVAGED, CohortFigure, legend_of, mark, rate_range, zero_line
from app.ui.widgets.palette import BACKGROUND, NODE_SYMBOLS, TEXT, node_colour
from app.usecases.cohort import SpiderLine

SINGLE = 7  # up to so many lines have a colour, a stroke and a mark of their own
GLYPHS = ("●", "■", "▲", "◆", "★", "⬟", "⬢")


class Spider(CohortFigure):
    """Lines of ``CohortView.lines``. Each begins at 0 % at the node's first ablation."""

    table_names = ("spider",)

    def __init__(self, parent=None):
        self.lines: tuple[SpiderLine, ...] = ()
        self._rows: list = []
        self._places = np.empty((0, 2))
        super().__init__(t("Volume reduction over time"), t("VRR (% of baseline)"), t("Months since the node's first ablation"), parent)

    def show_lines(self, lines: tuple[SpiderLine, ...], heading: str, note: str) -> None:
        """Draw these lines."""
        self.lines = lines
        self._rows = [p for line in lines for p in line.points]
        self._places = np.array([(p.months, p.vrr_pct) for p in self._rows]) if self._rows else np.empty((0, 2))
        self.plot.clear()
        zero_line(self.plot)
        marks = self._each() if len(lines) <= SINGLE else self._classes()
        if len(lines) <= SINGLE and any(not p.counts for p in self._rows):
            marks.append(t("hollow: not in an endpoint"))
        self._mark()
        self.plot.getAxis("bottom").setTickSpacing(3, 1) if not len(self._places) or self._places[:, 0].max() < 18 else self.plot.getAxis("bottom").setTickSpacing(6, 3)
        self.plot.setXRange(min(0.0, *self._places[:, 0], 0.0), max(1.0, *self._places[:, 0]) * 1.02, padding=0.01) if len(self._places) else self.plot.setXRange(0, 12)
        rate_range(self.plot, self._places[:, 1].tolist())
        self.show_words(heading, legend_of(marks), (note + " " if note else "") + (t("Each line begins at 0 % at the node's first ablation. Point at a mark for its value.") if lines else t("No node has a rate with a date here.")))

    def _each(self) -> list[str]:
        marks = []
        for n, line in enumerate(self.lines):
            colour, symbol = node_colour(n), NODE_SYMBOLS[n % len(NODE_SYMBOLS)]
            x, y = [0.0, *(p.months for p in line.points)], [0.0, *(p.vrr_pct for p in line.points)]
            self.plot.plot(x, y, pen=pg.mkPen(colour, width=1.6, style=PEN_STYLES[n % len(PEN_STYLES)]))
            brushes = [pg.mkBrush(colour) if p.counts else pg.mkBrush(BACKGROUND) for p in line.points]
            self.plot.plot(x[1:], y[1:], pen=None, symbol=symbol, symbolSize=9, symbolBrush=brushes, symbolPen=pg.mkPen(QColor(colour), width=1.4))
            marks.append(mark(GLYPHS[n % len(GLYPHS)], colour, f"{line.name} {line.modality}"))
        return marks

    def _classes(self) -> list[str]:
        """Three kinds of line, each drawn in one go: by what became of the node at its last look."""
        kinds = (
            (lambda ln: ln.points[-1].vrr_pct >= 0 and not ln.points[-1].salvaged, REDUCED, Qt.PenStyle.SolidLine, 110, mark("—", REDUCED, t("smaller at the last look"))),
            (lambda ln: ln.points[-1].vrr_pct >= 0 and ln.points[-1].salvaged, SALVAGED, Qt.PenStyle.DashLine, 200, mark("- -", SALVAGED, t("ablated again (salvage)"))),
            (lambda ln: ln.points[-1].vrr_pct < 0, GROWN, Qt.PenStyle.DotLine, 255, mark("···", GROWN, t("larger than at baseline at the last look"))),
        )
        marks = []
        for test, colour, style, alpha, entry in kinds:
            x, y = [], []
            for line in self.lines:
                if test(line):
                    x += [0.0, *(p.months for p in line.points), np.nan]
                    y += [0.0, *(p.vrr_pct for p in line.points), np.nan]
            if x:
                shade = QColor(colour)
                shade.setAlpha(alpha)
                self.plot.addItem(pg.PlotCurveItem(np.array(x), np.array(y), connect="finite", pen=pg.mkPen(shade, width=1, style=style)))
                marks.append(entry)
        return marks

    def highlight(self, node_id: str | None) -> None:
        """Mark a node's lines."""
        self.highlighted = node_id
        self._mark()

    def _mark(self) -> None:
        for item in getattr(self, "_marks", ()):
            self.plot.removeItem(item)
        self._marks = []
        for line in self.lines:
            if line.points[0].node_id == self.highlighted:
                item = pg.PlotDataItem([0.0, *(p.months for p in line.points)], [0.0, *(p.vrr_pct for p in line.points)], pen=pg.mkPen(TEXT, width=2.2), symbol="o", symbolSize=6, symbolBrush=TEXT, symbolPen=None)
                self._marks.append(item)
                self.plot.addItem(item)

    def words_at(self, x: float, y: float) -> str:
        """The reading nearest to a place."""
        n = self.nearest(self._places, x, y)
        return "" if n is None else row_words(self._rows[n])
