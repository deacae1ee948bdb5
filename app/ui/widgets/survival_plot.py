"""Kaplan–Meier curves of the endpoints in time, with band, censorings and the numbers at risk below."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from app.ui.models.cohort import missing_words
from app.ui.text import t
from app.ui.widgets.cohort_figure import CohortFigure, legend_of, mark
from app.ui.widgets.figures import number_text
from app.ui.widgets.palette import ACCENT, BACKGROUND, MUTED, TEXT, WARNING
from app.usecases.cohort_tables import Survival

COLOURS, STYLES = (ACCENT, WARNING, TEXT), (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
LEFT_PX, RISK_ROW_PX = 74, 20


def steps(curve: Survival, values) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a step curve in months and percent, from 100 % at month 0; where a value does not exist the step is left out."""
    x, y, last = [0.0], [100.0], 100.0
    for month, value in zip(curve.months, values, strict=True):
        x += [month, month]
        y += [last, last if value is None else value]
        last = y[-1]
    return np.array(x), np.array(y)


class SurvivalPlot(CohortFigure):
    """Curves of ``survival_of``: of the whole study, whatever is filtered."""

    def __init__(self, parent=None):
        self.curves: tuple[Survival, ...] = ()
        super().__init__(t("Survival (Kaplan–Meier)"), t("Free of the event (%)"), t("Months since the start of the clock"), parent)
        self.plot.getAxis("left").setWidth(LEFT_PX)
        self.risk = pg.PlotWidget(background=BACKGROUND)
        self.risk.setMenuEnabled(False)
        self.risk.setMouseEnabled(False, False)
        self.risk.hideButtons()
        self.risk.hideAxis("bottom")
        self.risk.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.risk.setAccessibleName(t("Numbers at risk"))
        left = self.risk.getAxis("left")
        left.setWidth(LEFT_PX)
        left.setPen(BACKGROUND)
        left.setTextPen(TEXT)
        font = self.font()
        font.setPixelSize(11)
        left.setStyle(tickFont=font, tickLength=0)
        self.risk.setXLink(self.plot)
        self.risk_title = pg.QtWidgets.QLabel(t("Number at risk"))
        self.risk_title.setProperty("tone", "muted")
        at = self.box.indexOf(self.value)
        self.box.insertWidget(at, self.risk_title)
        self.box.insertWidget(at + 1, self.risk)
        self._show_risk()

    @property
    def table_names(self) -> tuple[str, ...]:
        """Steps and numbers at risk of every curve."""
        return tuple(f"{what}_{c.endpoint}" for c in self.curves for what in ("survival", "at_risk"))

    def show_curves(self, curves: tuple[Survival, ...], heading: str, why_none: str) -> None:
        """Draw these curves; ``why_none`` says why there is none."""
        self.curves = curves
        self.plot.clear()
        marks = []
        for n, c in enumerate(curves):
            colour, style = COLOURS[n % len(COLOURS)], STYLES[n % len(STYLES)]
            if c.n:
                self._band(c, colour)
                self.plot.plot(*steps(c, c.free_pct), pen=pg.mkPen(colour, width=2, style=style))
            lost = [(m, s) for m, s, k in zip(c.months, c.free_pct, c.censored, strict=True) if k]
            if lost:
                self.plot.plot([m for m, _ in lost], [s for _, s in lost], pen=None, symbol="+", symbolSize=8, symbolPen=pg.mkPen(colour, width=1), symbolBrush=None)
            median = t("nobody's clock has started") if not c.n else t("median not reached") if c.median_months is None else t("median {n} months").format(n=number_text(c.median_months, 1))
            words = f"{t(c.title)}: {t('{events} events in {n} subjects').format(events=c.n_events, n=c.n)}, {median}"
            if c.missing:
                words += f", {t('missing')}: {missing_words(c.missing)}"
            marks.append(mark(("—", "- -", "···")[n % 3], colour, words))
        if curves:
            marks.append(mark("+", MUTED, t("censored; shaded: 95 % band")))
        self._show_risk()
        last = max((c.ticks[-1][0] for c in curves if c.ticks), default=12)
        self.plot.getAxis("bottom").setTickSpacing(6 if last > 12 else 3, 3)
        self.plot.setXRange(-0.3, last + 0.5, padding=0)
        self.plot.setYRange(-2, 104, padding=0)
        self.show_words(heading, legend_of(marks), t("Of the whole study; filters do not touch it. Point at a curve for its value.") if curves else why_none)

    def _band(self, c: Survival, colour: str) -> None:
        """Shade between the limits where both exist; from there on as a step."""
        known = [n for n, v in enumerate(c.low_pct) if v is not None and c.high_pct[n] is not None]
        if not known:
            return
        x, low, high = [], [], []
        for n in known:
            end = c.months[n + 1] if n + 1 < len(c.months) else c.months[n]
            x += [c.months[n], end]
            low += [c.low_pct[n]] * 2
            high += [c.high_pct[n]] * 2
        shade = QColor(colour)
        shade.setAlpha(38)
        curves = [pg.PlotCurveItem(np.array(x), np.array(v), pen=pg.mkPen(shade, width=1)) for v in (low, high)]
        for item in (*curves, pg.FillBetweenItem(*curves, brush=shade)):
            self.plot.addItem(item)

    def _show_risk(self) -> None:
        shown = bool(self.curves)
        self.risk.setVisible(shown)
        self.risk_title.setVisible(shown)
        self.risk.clear()
        n = len(self.curves)
        self.risk.setFixedHeight(max(1, n) * RISK_ROW_PX + 6)
        self.risk.getAxis("left").setTicks([[(n - k, c.kind) for k, c in enumerate(self.curves)]])
        self.risk.setYRange(0.4, n + 0.6, padding=0)
        last = max((c.ticks[-1][0] for c in self.curves if c.ticks), default=12)
        step = 6 if last > 24 else 3
        for k, c in enumerate(self.curves):
            for month, at_risk in c.ticks:
                if month % step == 0:
                    item = pg.TextItem(str(at_risk), color=COLOURS[k % len(COLOURS)], anchor=(0.5, 0.5))
                    item.setPos(month, n - k)
                    self.risk.addItem(item)

    def words_at(self, x: float, y: float) -> str:
        """Every curve's value at a month."""
        if x < 0 or not self.curves:
            return ""
        out = []
        for c in self.curves:
            before = [n for n, m in enumerate(c.months) if m <= x]
            free, low, high = (100.0, None, None) if not before else (c.free_pct[before[-1]], c.low_pct[before[-1]], c.high_pct[before[-1]])
            if not c.months or (x > c.months[-1] and free > 0):
                out.append(f"{c.kind}: " + t("not known after {n} months").format(n=number_text(c.months[-1] if c.months else 0, 1)))
                continue
            band = "" if low is None or high is None else f" ({number_text(low, 1)}–{number_text(high, 1)})"
            risk = next((r for m, r in zip(c.months, c.at_risk, strict=True) if m >= x), 0)
            out.append(f"{c.kind}: {number_text(free, 1)} %{band}, {t('{n} at risk').format(n=risk)}")
        return t("Month {n}").format(n=number_text(x, 1)) + " · " + " · ".join(out)
