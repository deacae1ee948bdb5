"""What the figures of the cohort share: plot with units and grid, value under the pointer, notice, picture of what is on screen."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app import INVESTIGATIONAL_NOTICE
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import ACCENT, BACKGROUND, DANGER, GOOD, LINE, MUTED, TEXT, WARNING

PICTURE_SCALE = 2.0
AXIS_STYLE = {"color": MUTED, "font-size": "11px"}
# What a rate is told apart by; never by colour alone: salvaged has a mark or is dashed, what does not count is hollow.
REDUCED, GROWN, GONE, SALVAGED, UNCOUNTED = ACCENT, DANGER, GOOD, WARNING, MUTED


class CohortFigure(QWidget):
    """A figure. ``table_names`` are the tables (of ``figure_tables``) that hold its numbers. ``_draw`` is handed what is to be shown."""

    table_names: tuple[str, ...] = ()

    def __init__(self, name: str, left: str, bottom: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("CohortFigure")
        self.setAccessibleName(name)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(f"#CohortFigure {{ background: {BACKGROUND}; }}")
        self.name = name
        self.highlighted: str | None = None  # node_id
        self.heading = WrapLabel()
        self.legend = WrapLabel(small=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.plot = make_plot(left, bottom)
        self.plot.setAccessibleName(name)
        self.plot.scene().sigMouseMoved.connect(self._hover)
        self.value = WrapLabel(small=True)
        self.notice = WrapLabel(t(INVESTIGATIONAL_NOTICE), tone="muted", small=True)
        self.box = QVBoxLayout(self)
        self.box.setContentsMargins(8, 6, 8, 6)
        self.box.setSpacing(3)
        for part in (self.heading, self.legend):
            self.box.addWidget(part)
        self.box.addWidget(self.plot, 1)
        self.box.addWidget(self.value)
        self.box.addWidget(self.notice)
        self.clear()

    def clear(self, why: str = "") -> None:
        """Nothing to show; ``why`` says so."""
        self.plot.clear()
        self.heading.setText(self.name)
        self.legend.show_text("")
        self.value.setText(why)

    def show_words(self, heading: str, legend: str, hint: str) -> None:
        """The words above and below the plot."""
        self.heading.setText(heading)
        self.legend.show_text(legend)
        self._hint = hint
        self.value.setText(hint)

    def words_at(self, x: float, y: float) -> str:
        """The value nearest to a place in the plot; empty where there is none."""
        return ""

    def _hover(self, position) -> None:
        place = self.plot.getPlotItem().vb.mapSceneToView(position)
        self.value.setText(self.words_at(place.x(), place.y()) or getattr(self, "_hint", ""))

    def nearest(self, places: np.ndarray, x: float, y: float, reach: float = 0.04) -> int | None:
        """Index of the place [n, (x, y)] nearest to a point, within ``reach`` of both axes."""
        if not len(places):
            return None
        (x0, x1), (y0, y1) = self.plot.viewRange()
        distance = np.hypot((places[:, 0] - x) / (x1 - x0), (places[:, 1] - y) / (y1 - y0))
        best = int(distance.argmin())
        return best if distance[best] <= reach else None

    def picture(self) -> QPixmap:
        """What is on screen, twice as fine, without the value under the pointer."""
        self.value.setText(getattr(self, "_hint", ""))
        made = QPixmap(self.size() * PICTURE_SCALE)
        made.setDevicePixelRatio(PICTURE_SCALE)
        made.fill(BACKGROUND)
        self.render(made)
        return made


def make_plot(left: str, bottom: str) -> pg.PlotWidget:
    """An empty plot in the window's style; it does not move under the mouse."""
    plot = pg.PlotWidget(background=BACKGROUND)
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(False, False)
    plot.hideButtons()
    plot.showGrid(x=True, y=True, alpha=0.18)
    plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    plot.setMinimumHeight(140)
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(LINE)
        axis.setTextPen(TEXT)
        font = plot.font()
        font.setPixelSize(11)
        axis.setStyle(tickFont=font)
        axis.enableAutoSIPrefix(False)
    plot.setLabel("left", left, **AXIS_STYLE)
    plot.setLabel("bottom", bottom, **AXIS_STYLE)
    return plot


def mark(glyph: str, colour: str, words: str) -> str:
    """An entry of a legend."""
    return f'<span style="color:{colour}">{glyph}</span> {words}'


def legend_of(marks: list[str]) -> str:
    """Entries side by side."""
    return "&nbsp;&nbsp;&nbsp; ".join(marks)


def zero_line(plot: pg.PlotWidget) -> None:
    """The line of no change."""
    plot.addItem(pg.InfiniteLine(0, angle=0, pen=pg.mkPen(MUTED, width=1)))


def rate_range(plot: pg.PlotWidget, values) -> None:
    """The axis of rates: 0 to 100 %, and everything beyond it."""
    values = [v for v in values if v is not None]
    plot.setYRange(min(0.0, *values, 0.0) - 4, max(100.0, *values, 100.0) + 4, padding=0)
