"""Scribble inside the node, and outside it where the outline goes too far: for shapes that no ray describes."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from app.ui.style import DANGER, GOOD, MUTED
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool, node_lines
from app.ui.views import overlays
from app.usecases.drawing import Strokes

WIDTHS_MM = (0.5, 0.8, 1.2, 1.6, 2.0, 3.0)
STEP_PX = 2.0


def step_width(session, up: bool) -> None:
    """Next wider or narrower scribble."""
    now = session.scribble_radius_mm
    wider, narrower = (w for w in WIDTHS_MM if w > now + 1e-6), (w for w in reversed(WIDTHS_MM) if w < now - 1e-6)
    session.scribble_radius_mm = next(wider, WIDTHS_MM[-1]) if up else next(narrower, WIDTHS_MM[0])
    session.display_changed.emit()


class ScribbleTool(Tool):
    """Each stroke finds the outline anew when it ends; Ctrl draws strokes that lie outside."""

    name = "scribble"

    def __init__(self, session):
        super().__init__(session)
        self._points: list[np.ndarray] = []
        self._pane = None
        self._image = None  # the picture that the stroke was begun on
        self._outside = False

    def hint(self) -> str:
        """What the mouse does now."""
        known = self.session.current_drawing()
        if isinstance(known, Strokes) and all(s.outside for s in known.strokes):
            return t("Now a stroke inside the node")
        return t("Drag inside · Ctrl: outside · Backspace: one back")

    def press(self, event: PaneEvent) -> None:
        """A stroke begins."""
        self.at = event
        self._points = []
        if event.on_volume and self.session.can_draw():
            self._points, self._pane, self._image = [event.point], event.pane, self.session.image
            self._outside = event.has(Qt.KeyboardModifier.ControlModifier)

    def move(self, event: PaneEvent) -> None:
        """The stroke follows the mouse."""
        self.at = event
        if self._points and event.pane is self._pane:
            x, y = event.pane.screen_of(self._points[-1])
            if np.hypot(event.x - x, event.y - y) >= STEP_PX:
                self._points.append(event.point)

    def release(self, event: PaneEvent) -> None:
        """The outline is found anew."""
        self.at = event
        self._end()

    def cancel(self) -> None:
        """A stroke under way ends as it is; undo takes it back."""
        self._end()

    def hover(self, event: PaneEvent) -> None:
        """The width follows the mouse."""
        self.at = event

    def key_pressed(self, pane, key: int) -> bool:
        """Backspace leaves the last stroke out."""
        known = self.session.current_drawing()
        if key == Qt.Key.Key_Backspace and isinstance(known, Strokes) and known.strokes:
            self.session.remove_scribble()
            return True
        return False

    def _end(self) -> None:
        points, self._points = self._points, []
        if points and self.session.image is self._image:
            self.session.scribble(np.array(points), outside=self._outside)

    def paint(self, painter: QPainter, pane) -> None:
        """Strokes near this slice: solid inside, dashed outside; and the width under the mouse."""
        known = self.session.current_drawing()
        if isinstance(known, Strokes):
            for stroke in known.strokes:
                self._paint_stroke(painter, pane, stroke.points_mm, stroke.radius_mm, stroke.outside)
        if self._points and pane is self._pane:
            self._paint_stroke(painter, pane, np.array(self._points), self.session.scribble_radius_mm, self._outside)
        elif self.at is not None and self.at.pane is pane and self.at.on_volume:
            outside = self.at.has(Qt.KeyboardModifier.ControlModifier)
            r = max(2.0, self.session.scribble_radius_mm * pane.view.px_per_mm)
            painter.setPen(QPen(QColor(DANGER if outside else GOOD), 1.2))
            painter.drawEllipse(QPointF(self.at.x, self.at.y), r, r)

    @staticmethod
    def _paint_stroke(painter: QPainter, pane, points_mm: np.ndarray, radius_mm: float, outside: bool) -> None:
        places = [pane.view.from_index_point(pane.geometry.world_to_index(p)) for p in points_mm]
        reach = max(0.5, radius_mm / pane.view.axes.through_mm)
        parts: list[list[QPointF]] = [[]]
        for x, y, number in places:
            if abs(number - pane.slice_number) <= reach:
                parts[-1].append(QPointF(x, y))
            elif parts[-1]:
                parts.append([])
        width = float(np.clip(2 * radius_mm * pane.view.px_per_mm, 2.0, 6.0))
        pen = QPen(QColor(DANGER if outside else GOOD), width)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap if outside else Qt.PenCapStyle.RoundCap)
        if outside:
            pen.setDashPattern([1.5, 1.0])
        for part in parts:
            for p in (QPen(overlays.HALO, width + 1.6), pen):
                painter.setPen(p)
                if len(part) == 1:
                    painter.drawPoint(part[0])
                elif part:
                    painter.drawPolyline(QPolygonF(part))

    def live_lines(self) -> list[tuple[str, str]]:
        """The node's numbers, the strokes, and that the outline is being found."""
        lines = list(node_lines(self.session))
        known = self.session.current_drawing()
        if isinstance(known, Strokes):
            outside = sum(s.outside for s in known.strokes)
            lines.append((t("strokes: {inside} inside, {outside} outside").format(inside=len(known.strokes) - outside, outside=outside), MUTED))
        if self.session.is_drawing:
            lines.append((t("finding the outline…"), MUTED))
        return lines
