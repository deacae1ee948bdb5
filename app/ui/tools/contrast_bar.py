"""A box round the colour bar of a contrast loop."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import ACCENT, TEXT
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.views import overlays


class ContrastBarTool(Tool):
    """Drag a box round the bar, with a little room; its colours are read at once. Esc puts the tool away and changes nothing."""

    name = "contrast_bar"
    works_on_pictures = True

    def __init__(self, session):
        super().__init__(session)
        self._start: PaneEvent | None = None

    def hint(self) -> str:
        """What the mouse does now."""
        if self.session.contrast is None:
            return t("Open a contrast loop first.")
        return t("Drag a box round the contrast's colour bar, with a little room · Esc: leave")

    def press(self, event: PaneEvent) -> None:
        """One corner."""
        if not event.on_volume:
            self.at = self._start = event

    def move(self, event: PaneEvent) -> None:
        """The other corner follows."""
        self.at = event

    def hover(self, event: PaneEvent) -> None:
        """Where the mouse is."""
        self.at = event

    def release(self, event: PaneEvent) -> None:
        """Take the box."""
        start, self._start = self._start, None
        if start is not None:
            self.session.draw_bar(start.point, event.point)

    def cancel(self) -> None:
        """Nothing is changed."""
        self._start = None

    def paint(self, painter: QPainter, pane) -> None:
        """The bar that is read now, and the box under way."""
        state = self.session.contrast
        if state is None:
            return
        painter.setBrush(Qt.BrushStyle.NoBrush)
        known = None if state.panes is None else state.panes.bar
        if known is not None:
            _box(painter, pane.screen_of((known.x0 - 0.5, known.y0 - 0.5)), pane.screen_of((known.x1 + 0.5, known.y1 + 0.5)), TEXT)
        if self._start is not None and self.at is not None and self.at.pane is pane:
            _box(painter, (self._start.x, self._start.y), (self.at.x, self.at.y), ACCENT)


def _box(painter: QPainter, a, b, colour: str) -> None:
    pen = QPen(QColor(colour), 1.4)
    pen.setDashPattern([5, 4])
    for p in (QPen(overlays.HALO, 2.8), pen):
        painter.setPen(p)
        painter.drawRect(QRectF(QPointF(*a), QPointF(*b)).normalized())
