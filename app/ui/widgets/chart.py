"""VRR of each node over the visits: points with intervals, hover values, numbers to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.ui.text import t
from app.ui.widgets.figures import interval_text, number_text, volume_decimals
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import BACKGROUND, LINE, MUTED, NODE_SYMBOLS, TEXT, node_colour

PEN_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)


@dataclass(frozen=True, slots=True)
class VrrPoint:
    """One reading in the chart. ``vrr_pct`` is the volume reduction in percent of baseline."""

    node: str
    visit: str
    visit_order: int
    days: float | None
    vrr_pct: float
    interval_pct: tuple[float, float] | None
    volume_ml: float | None
    comparable: bool = True
    note: str = ""

    @property
    def words(self) -> str:
        """The point as a line of text."""
        text = f"{self.node} · {self.visit}: {number_text(self.vrr_pct, 1)} %"
        if self.interval_pct is not None:
            text += f" ({interval_text(self.interval_pct, 1)})"
        if self.volume_ml is not None:
            text += f", {number_text(self.volume_ml, volume_decimals(self.volume_ml))} ml"
        if not self.comparable:
            text += ", " + t("not comparable")
        return text


class VrrChart(QWidget):
    """The chart with its axis chooser and the button that copies its numbers."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAccessibleName(t("Chart of volume reduction by visit"))
        self.points: list[VrrPoint] = []
        self._orders: dict[str, int] = {}
        self._places: list[tuple[float, float]] = []
        self.plot = pg.PlotWidget(background=BACKGROUND)
        self.plot.setFixedHeight(210)
        self.plot.setMenuEnabled(False)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.showGrid(x=True, y=True, alpha=0.18)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.enableAutoSIPrefix(False)  # visits are no thousandths of anything
            axis.setPen(LINE)
            axis.setTextPen(TEXT)
            font = self.font()
            font.setPixelSize(10)
            axis.setStyle(tickFont=font)
        style = {"color": MUTED, "font-size": "11px"}
        self.plot.setLabel("left", t("VRR (% of baseline)"), **style)
        self.plot.scene().sigMouseMoved.connect(self._hover)
        self.legend = WrapLabel(small=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.value = WrapLabel(small=True)
        self.value.setMinimumHeight(30)  # two lines, so that nothing moves while the mouse does
        self.axis = QComboBox()
        self.axis.addItem(t("By visit"), "visit")
        self.axis.addItem(t("By days"), "days")
        self.axis.setAccessibleName(t("Horizontal axis"))
        self.axis.currentIndexChanged.connect(self._draw)
        self.copy_button = QPushButton(t("Copy numbers"))
        self.copy_button.setToolTip(t("Copy the chart's numbers as a table"))
        self.copy_button.clicked.connect(self.copy_numbers)
        row = QHBoxLayout()
        row.addWidget(self.axis, 1)
        row.addWidget(self.copy_button, 1)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addWidget(self.legend)
        box.addWidget(self.plot)
        box.addWidget(self.value)
        box.addLayout(row)
        self._draw()

    def _order(self, node: str, fallback: int) -> int:
        return self._orders.get(node, fallback)

    def show_points(self, points: Sequence[VrrPoint], node_orders: dict[str, int] | None = None) -> None:
        """Draw these readings; ``node_orders`` keeps each node's colour the same as in the panes."""
        self._orders = node_orders or {}
        self.points = sorted(points, key=lambda p: (p.node, p.visit_order))
        self.axis.setEnabled(bool(points) and all(p.days is not None for p in points))
        if not self.axis.isEnabled():
            self.axis.setCurrentIndex(0)
            self.axis.setToolTip(t("Days need the acquisition dates of all visits"))
        else:
            self.axis.setToolTip("")
        self._draw()

    def as_text(self) -> str:
        """The numbers as tab-separated text."""
        lines = ["\t".join((t("Node"), t("Visit"), t("Days"), t("VRR (%)"), t("Low (95 %)"), t("High (95 %)"), t("Volume (ml)"), t("Comparable")))]
        for p in self.points:
            low, high = ("", "") if p.interval_pct is None else p.interval_pct
            lines.append("\t".join(str(v if v is not None else "") for v in (p.node, p.visit, p.days, p.vrr_pct, low, high, p.volume_ml, t("yes") if p.comparable else t("no"))))
        return "\n".join(lines)

    def copy_numbers(self) -> None:
        """Put the numbers on the clipboard."""
        QGuiApplication.clipboard().setText(self.as_text())
        self.value.setText(t("Copied {n} rows.").format(n=len(self.points)))

    def point_at(self, x: float, y: float, reach: float = 0.06) -> VrrPoint | None:
        """The reading nearest to a place in plot coordinates, within ``reach`` of both axes."""
        if not self.points:
            return None
        (x0, x1), (y0, y1) = self.plot.viewRange()
        places = np.array(self._places)
        distance = np.hypot((places[:, 0] - x) / (x1 - x0), (places[:, 1] - y) / (y1 - y0))
        nearest = int(distance.argmin())
        return self.points[nearest] if distance[nearest] <= reach else None

    def _hover(self, position) -> None:
        place = self.plot.getPlotItem().vb.mapSceneToView(position)
        point = self.point_at(place.x(), place.y())
        self.value.setText(point.words if point is not None else self._hint())

    def _hint(self) -> str:
        return t("Point at a mark for its value.") if self.points else t("No volume reduction yet: it needs a baseline and a later reading.")

    def _draw(self) -> None:
        self.plot.clear()
        by_days = self.axis.currentData() == "days"
        bottom = self.plot.getAxis("bottom")
        orders = sorted({(p.visit_order, p.visit) for p in self.points})
        slot = {order: n for n, (order, _) in enumerate(orders)}
        bottom.setTicks(None if by_days or not orders else [[(n, _short_visit(name)) for n, (_, name) in enumerate(orders)]])
        style = {"color": MUTED, "font-size": "11px"}
        self.plot.setLabel("bottom", t("Days since the first visit") if by_days else t("Visit"), **style)
        self._places = [((p.days if by_days else slot[p.visit_order]), p.vrr_pct) for p in self.points]
        zero = pg.InfiniteLine(0, angle=0, pen=pg.mkPen(MUTED, width=1))
        self.plot.addItem(zero)
        nodes = list(dict.fromkeys(p.node for p in self.points))
        marks = []
        for n, node in enumerate(nodes):
            colour = node_colour(self._order(node, n))
            mine = [(xy, p) for xy, p in zip(self._places, self.points, strict=True) if p.node == node]
            x = np.array([xy[0] for xy, _ in mine], float)
            y = np.array([xy[1] for xy, _ in mine], float)
            with_interval = [(xy, p) for xy, p in mine if p.interval_pct is not None]
            if with_interval:
                at = np.array([xy for xy, _ in with_interval], float)
                low = at[:, 1] - np.array([p.interval_pct[0] for _, p in with_interval])
                high = np.array([p.interval_pct[1] for _, p in with_interval]) - at[:, 1]
                beam = 0.08 if not by_days else max(1.0, float(np.ptp(x)) * 0.02)
                self.plot.addItem(pg.ErrorBarItem(x=at[:, 0], y=at[:, 1], top=high, bottom=low, beam=beam, pen=pg.mkPen(colour, width=1)))
            brushes = [pg.mkBrush(colour) if p.comparable else pg.mkBrush(BACKGROUND) for _, p in mine]
            self.plot.plot(
                x,
                y,
                pen=pg.mkPen(colour, width=1.6, style=PEN_STYLES[self._order(node, n) % len(PEN_STYLES)]),
                symbol=NODE_SYMBOLS[self._order(node, n) % len(NODE_SYMBOLS)],
                symbolSize=9,
                symbolBrush=brushes,
                symbolPen=pg.mkPen(QColor(colour), width=1.4),
            )
            marks.append(f'<span style="color:{colour}">{_GLYPHS[self._order(node, n) % len(_GLYPHS)]}</span> {node}')
        hollow = any(not p.comparable for p in self.points)
        self.legend.setText("&nbsp;&nbsp; ".join(marks) + (f"&nbsp;&nbsp; <span style='color:{MUTED}'>{t('hollow: not comparable')}</span>" if hollow else ""))
        self.legend.setVisible(bool(marks))
        self._set_range()
        self.value.setText(self._hint())

    def _set_range(self) -> None:
        if not self.points:
            self.plot.setXRange(0, 1)
            self.plot.setYRange(0, 100)
            return
        xs = [x for x, _ in self._places]
        lows = [min(p.vrr_pct, *(p.interval_pct or (p.vrr_pct,))) for p in self.points]
        highs = [max(p.vrr_pct, *(p.interval_pct or (p.vrr_pct,))) for p in self.points]
        pad = 0.3 if self.axis.currentData() == "visit" else max(5.0, (max(xs) - min(xs)) * 0.05)
        self.plot.setXRange(min(xs) - pad, max(xs) + pad, padding=0)
        self.plot.setYRange(min(0.0, *lows) - 5, max(100.0, *highs) + 5, padding=0)


_GLYPHS = ("●", "■", "▲", "◆", "★", "⬟", "⬢")


def _short_visit(name: str) -> str:
    """Visit names that fit under a tick: Baseline, D30, M3."""
    for long, short in (("Day ", "D"), ("Month ", "M"), ("Week ", "W")):
        if name.startswith(long):
            return short + name[len(long):]
    return name if len(name) <= 9 else name[:8] + "…"
