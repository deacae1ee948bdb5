"""Waterfall: the rate of every node at one visit, one bar a node, the smallest first."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QBrush, QColor

from app.ui.models.cohort import row_words
from app.ui.text import t
from app.ui.widgets.cohort_figure import GONE, GROWN, REDUCED, SALVAGED, UNCOUNTED, CohortFigure, legend_of, mark, rate_range, zero_line
from app.ui.widgets.palette import BACKGROUND, TEXT
from app.usecases.cohort import CohortRow

NAMED, WITH_INTERVALS = 14, 60  # up to so many bars have their name below, their interval drawn
WIDTH = 0.8
MANY = 200  # from here on bars touch: gaps thinner than a pixel would shimmer


class Waterfall(CohortFigure):
    """Bars of ``CohortView.bars``."""

    table_names = ("waterfall",)

    def __init__(self, parent=None):
        self.rows: tuple[CohortRow, ...] = ()
        super().__init__(t("Waterfall of volume reduction"), t("VRR (% of baseline)"), t("Nodes, the smallest rate first"), parent)

    def show_rows(self, rows: tuple[CohortRow, ...], heading: str, note: str) -> None:
        """Draw these rows, which come in the order of their rates."""
        self.rows = rows
        self.plot.clear()
        zero_line(self.plot)
        shown = []
        for test, brush, pen, entry in self._classes(rows):
            places = np.array([n + 1 for n, r in enumerate(rows) if test(r)], dtype=float)
            if len(places):
                heights = np.array([rows[int(n) - 1].vrr_pct for n in places])
                self.plot.addItem(pg.BarGraphItem(x=places, height=heights, width=1.0 if len(rows) > MANY else WIDTH, brush=brush, pen=pen))
                shown.append(entry)
        if 0 < len(rows) <= WITH_INTERVALS:
            self._intervals(rows)
        self._mark()
        bottom = self.plot.getAxis("bottom")
        bottom.setTicks([[(n + 1, r.name.replace(" ", "\n", 1) if len(rows) > 6 else r.name) for n, r in enumerate(rows)]] if 0 < len(rows) <= NAMED else None)
        bottom.setHeight(46 if 6 < len(rows) <= NAMED else None)
        self.plot.setXRange(0.2, max(8.0, len(rows)) + 0.8, padding=0)
        values = [r.vrr_pct for r in rows] + ([v for r in rows if r.interval_pct for v in r.interval_pct] if len(rows) <= WITH_INTERVALS else [])
        floor = min(0.0, *values, 0.0) - 5
        shown += self._salvaged(rows, floor)
        rate_range(self.plot, [*values, *([floor] if any(r.salvaged for r in rows) else [])])
        self.show_words(heading, legend_of(shown), (note + " " if note else "") + (t("Point at a bar for its value.") if rows else t("No node has a rate here.")))

    @staticmethod
    def _classes(rows: tuple[CohortRow, ...]):
        """(which rows, brush, pen, entry of the legend); each row is in exactly one. What is not counted is hollow."""

        def kind(r: CohortRow) -> str:
            return "open" if not r.counts else "gone" if r.status == "disappeared_assessed" else "grown" if r.vrr_pct < 0 else "reduced"

        many = len(rows) > MANY
        edge = pg.mkPen(None) if many else pg.mkPen(BACKGROUND, width=0.3)
        out = [
            (lambda r, name=name: kind(r) == name, pg.mkBrush(colour), edge, mark("■", colour, words))
            for name, colour, words in (("reduced", REDUCED, t("smaller")), ("grown", GROWN, t("larger than at baseline")), ("gone", GONE, t("disappeared, assessed")))
        ]
        hollow = QBrush(QColor(UNCOUNTED), Qt.BrushStyle.Dense6Pattern) if many else pg.mkBrush(None)
        out.append((lambda r: kind(r) == "open", hollow, edge if many else pg.mkPen(UNCOUNTED, width=1, style=Qt.PenStyle.DotLine), mark("□", UNCOUNTED, t("hollow: not in an endpoint"))))
        return out

    def _salvaged(self, rows: tuple[CohortRow, ...], floor: float) -> list[str]:
        """A mark below each node that was ablated again."""
        places = [n + 1 for n, r in enumerate(rows) if r.salvaged]
        if places:
            self.plot.plot(places, [floor] * len(places), pen=None, symbol="t1", symbolSize=7, symbolBrush=SALVAGED, symbolPen=None)
        return [mark("▲", SALVAGED, t("after salvage"))] if places else []

    def _intervals(self, rows: tuple[CohortRow, ...]) -> None:
        known = [(n + 1, r) for n, r in enumerate(rows) if r.interval_pct is not None]
        if known:
            y = np.array([r.vrr_pct for _, r in known])
            low, high = (np.array([r.interval_pct[k] for _, r in known]) for k in (0, 1))
            self.plot.addItem(pg.ErrorBarItem(x=np.array([n for n, _ in known], float), y=y, top=high - y, bottom=y - low, beam=0.15, pen=pg.mkPen(TEXT, width=1)))

    def highlight(self, node_id: str | None) -> None:
        """Mark a node's bar."""
        self.highlighted = node_id
        self._mark()

    def _mark(self) -> None:
        for item in getattr(self, "_marks", ()):
            self.plot.removeItem(item)
        self._marks = []
        for n, r in enumerate(self.rows):
            if r.node_id == self.highlighted:
                self._marks.append(pg.InfiniteLine(n + 1, angle=90, pen=pg.mkPen(TEXT, width=1, style=Qt.PenStyle.DashLine)))
                self.plot.addItem(self._marks[-1])

    def words_at(self, x: float, y: float) -> str:
        """The bar at a place."""
        n = round(x) - 1
        return row_words(self.rows[n]) if 0 <= n < len(self.rows) else ""
