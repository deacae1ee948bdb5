"""Box plot: how the rates of the nodes are spread at each visit."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg

from app.ui.text import t
from app.ui.widgets.cohort_figure import REDUCED, CohortFigure, legend_of, mark, rate_range, zero_line
from app.ui.widgets.figures import number_text
from app.ui.widgets.palette import BACKGROUND, MUTED, TEXT, WARNING
from app.usecases.cohort import Box

FEW = 5  # a box of fewer values would claim more than there is: they are drawn as points
WIDTH = 0.5


class BoxPlot(CohortFigure):
    """Boxes of ``CohortView.boxes``."""

    table_names = ("box_plot",)

    def __init__(self, parent=None):
        self.boxes: tuple[Box, ...] = ()
        super().__init__(t("Volume reduction by visit"), t("VRR (% of baseline)"), t("Visit, with the number of rates"), parent)

    def show_boxes(self, boxes: tuple[Box, ...], heading: str, note: str) -> None:
        """Draw these boxes."""
        self.boxes = boxes
        self.plot.clear()
        zero_line(self.plot)
        for n, box in enumerate(boxes):
            self._points(n, box) if box.n < FEW else self._box(n, box)
        self.plot.getAxis("bottom").setTicks([[(n, f"{b.visit}\nn = {b.n}") for n, b in enumerate(boxes)]] if boxes else None)
        self.plot.getAxis("bottom").setHeight(50 if boxes else None)
        self.plot.setXRange(-0.6, max(4.0, len(boxes) - 0.4), padding=0)
        rate_range(self.plot, [v for b in boxes for v in (b.min_pct, b.max_pct)])
        marks = [mark("◆", WARNING, t("mean"))]
        if any(b.n >= FEW for b in boxes):
            marks = [mark("▭", REDUCED, t("quartiles and median")), mark("├", TEXT, t("whiskers: within 1.5 quartile distances")), *marks, mark("○", MUTED, t("beyond the whiskers"))]
        if any(b.n < FEW for b in boxes):
            marks.append(mark("●", REDUCED, t("fewer than {n} rates: each one").format(n=FEW)))
        self.show_words(heading, legend_of(marks) if boxes else "", (note + " " if note else "") + (t("Comparable rates only. Point at a box for its numbers.") if boxes else t("No comparable rate here.")))

    def _points(self, n: int, box: Box) -> None:
        self.plot.plot([n] * box.n, list(box.values), pen=None, symbol="o", symbolSize=8, symbolBrush=REDUCED, symbolPen=None)
        self._mean(n, box)

    def _box(self, n: int, box: Box) -> None:
        pen = pg.mkPen(TEXT, width=1.2)
        self.plot.addItem(pg.BarGraphItem(x0=[n - WIDTH / 2], x1=[n + WIDTH / 2], y0=[box.q1_pct], y1=[box.q3_pct], brush=pg.mkBrush(REDUCED + "66"), pen=pg.mkPen(REDUCED, width=1.4)))
        for (x0, y0), (x1, y1) in (
            ((n - WIDTH / 2, box.median_pct), (n + WIDTH / 2, box.median_pct)), ((n, box.q3_pct), (n, box.whisker_high_pct)), ((n, box.q1_pct), (n, box.whisker_low_pct)),
            ((n - 0.1, box.whisker_high_pct), (n + 0.1, box.whisker_high_pct)), ((n - 0.1, box.whisker_low_pct), (n + 0.1, box.whisker_low_pct)),
        ):  # fmt: skip
            self.plot.plot([x0, x1], [y0, y1], pen=pg.mkPen(TEXT, width=2) if y0 == y1 == box.median_pct else pen)
        if box.outliers:
            self.plot.plot([n] * len(box.outliers), list(box.outliers), pen=None, symbol="o", symbolSize=5, symbolBrush=BACKGROUND, symbolPen=pg.mkPen(MUTED, width=1))
        self._mean(n, box)

    def _mean(self, n: int, box: Box) -> None:
        self.plot.plot([n], [box.mean_pct], pen=None, symbol="d", symbolSize=9, symbolBrush=WARNING, symbolPen=pg.mkPen(BACKGROUND, width=1))

    def words_at(self, x: float, y: float) -> str:
        """The numbers of the box at a place."""
        n = int(np.rint(x))
        if not 0 <= n < len(self.boxes):
            return ""
        b = self.boxes[n]
        text = t("{visit}: median {median} % (quartiles {q1} to {q3}), mean {mean} %, {low} to {high}, {n} rates of {subjects} subjects").format(
            visit=b.visit, median=number_text(b.median_pct, 1), q1=number_text(b.q1_pct, 1), q3=number_text(b.q3_pct, 1), mean=number_text(b.mean_pct, 1), low=number_text(b.min_pct, 1), high=number_text(b.max_pct, 1), n=b.n, subjects=b.n_subjects,
        )  # fmt: skip
        return text + ("; " + t("{n} not comparable, left out").format(n=b.n_unlike) if b.n_unlike else "")
