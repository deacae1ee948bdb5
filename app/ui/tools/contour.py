"""Draw the outline on a slice: freehand or corner by corner; the slices between are filled with I."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PySide6.QtCore import QLineF, QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from app.ui.style import DANGER, MUTED, TEXT, WARNING
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool, node_lines
from app.ui.views import overlays
from app.ui.widgets.figures import number_text, volume_decimals
from volumetry.segmentation.drawn_outlines import PLANE_INDEX, DrawnOutlines

STEP_PX = 2.0  # between points of a freehand line
FREEHAND_PX = 12.0  # a shorter drag is a click with an unsteady hand
CLOSE_PX = 8.0


@dataclass(slots=True, eq=False)
class Line:
    """A line that is not closed yet: places in the slice as (column, row) index units, put there in
    ``groups`` (a click, or the points of a drag)."""

    axis: int
    number: int
    take_away: bool
    groups: list[list[tuple[float, float]]] = field(default_factory=list)

    @property
    def points(self) -> np.ndarray:
        """(n, 2) places in order."""
        return np.array([p for group in self.groups for p in group]).reshape(-1, 2)


class ContourTool(Tool):
    """Drag round the node, or click its corners and close with Enter, a double click or a click on
    the first corner. Ctrl takes the enclosed area away. A line that is not closed stays on its slice,
    also while the tool is put away."""

    name = "contour"

    def __init__(self, session):
        super().__init__(session)
        self._lines: dict[tuple, Line] = {}
        self._image = None
        self._drag: Line | None = None
        self._start: PaneEvent | None = None
        self._far = 0.0

    # ---- where -----------------------------------------------------------------------------
    def _key(self, pane) -> tuple:
        """The slice on screen in a pane, for the current node."""
        if self.session.image is not self._image:  # another picture: its lines mean nothing here
            self._lines.clear()
            self._image, self._drag = self.session.image, None
        return self.session.current_node_id, axis_of(pane), pane.slice_number

    def line_in(self, pane) -> Line | None:
        """The line that is not closed yet on the slice in a pane."""
        return self._lines.get(self._key(pane))

    def hint(self) -> str:
        """What the mouse does now."""
        line = None if self.at is None else self.line_in(self.at.pane)
        if self._drag is not None and self._far >= FREEHAND_PX and len(self._drag.groups) == 1:
            return t("Let go: the line is closed")
        if line is not None and len(line.points) > 2:
            return t("Enter or first corner: close · Backspace: one back")
        if line is not None:
            return t("Next corner · Backspace: one back")
        return t("Draw round the node · Ctrl: take away · I: fill")

    # ---- mouse -------------------------------------------------------------------------------
    def press(self, event: PaneEvent) -> None:
        """A corner, or the start of a freehand line; a click on the first or last corner closes."""
        self.at = event
        self._drag = None
        if not event.on_volume or not self.session.can_draw():
            return
        key = self._key(event.pane)
        line = self._lines.get(key)
        if line is not None and len(line.points) > 2 and self._closes(line, event):
            self._close(key)
            return
        if line is None:
            line = self._lines[key] = Line(key[1], key[2], event.has(Qt.KeyboardModifier.ControlModifier))
        line.groups.append([place_of(event, line.axis)])
        self._drag, self._start, self._far = line, event, 0.0

    def _closes(self, line: Line, event: PaneEvent) -> bool:
        ends = [screen(event.pane, line, line.points[n]) for n in (0, -1)]
        return any(np.hypot(event.x - x, event.y - y) <= CLOSE_PX for x, y in ends)

    def move(self, event: PaneEvent) -> None:
        """The freehand line follows the mouse; scrolling meanwhile does not move it to another slice."""
        self.at = event
        if self._drag is None or event.pane is not self._start.pane:
            return
        x, y = screen(event.pane, self._drag, self._drag.points[-1])
        self._far = max(self._far, float(np.hypot(event.x - self._start.x, event.y - self._start.y)))
        if np.hypot(event.x - x, event.y - y) >= STEP_PX:
            self._drag.groups[-1].append(place_of(event, self._drag.axis))

    def release(self, event: PaneEvent) -> None:
        """A freehand line by itself is closed; after corners it joins them."""
        self.at = event
        line, self._drag = self._drag, None
        if line is None:
            return
        if self._far < FREEHAND_PX:
            line.groups[-1] = line.groups[-1][:1]
        elif len(line.groups) == 1:
            key = next((k for k, other in self._lines.items() if other is line), None)
            if key is not None:
                self._close(key)

    def hover(self, event: PaneEvent) -> None:
        """The next edge follows the mouse."""
        self.at = event

    def key_pressed(self, pane, key: int) -> bool:
        """Enter closes, Backspace takes the last corner (or drag) back."""
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            where = self._key(pane)
            if where in self._lines:
                if len(self._lines[where].points) > 2:
                    self._close(where)
                else:
                    self.session.notice.emit("info", t("An outline needs at least three corners."))
                return True
        elif key == Qt.Key.Key_Backspace:
            where = self._key(pane)
            if where in self._lines:
                self._drag = None
                self._lines[where].groups.pop()
                if not self._lines[where].groups:
                    del self._lines[where]
                return True
        return False

    def cancel(self) -> None:
        """The line stays as it is; it goes on when the tool is taken again."""
        self._drag = None

    def _close(self, key: tuple) -> None:
        line = self._lines.pop(key)
        self.session.draw_contour(line.axis, line.number, line.points, take_away=line.take_away)

    # ---- drawing -------------------------------------------------------------------------------
    def paint(self, painter: QPainter, pane) -> None:
        """Lines drawn on this slice, where drawn slices cross the other planes, and the line under way."""
        drawn = self.session.current_drawing()
        if isinstance(drawn, DrawnOutlines):
            paint_drawn(painter, pane, drawn)
        line = self.line_in(pane)
        if line is None:
            return
        colour = QColor(DANGER) if line.take_away else QColor("#FFFFFF")
        corners = [QPointF(*screen(pane, line, p)) for p in line.points]
        path = list(corners)
        if self.at is not None and self.at.pane is pane and self._drag is None:
            path.append(QPointF(self.at.x, self.at.y))
        pen = QPen(colour, 1.5)
        if line.take_away:
            pen.setDashPattern([4, 3])
        for p in (QPen(overlays.HALO, 3.2), pen):
            painter.setPen(p)
            painter.drawPolyline(QPolygonF(path))
        if len(path) > 2:
            pen = QPen(colour, 1.0)
            pen.setDashPattern([2, 4])
            painter.setPen(pen)
            painter.drawLine(path[-1], path[0])
        painter.setPen(QPen(colour, 1.4))
        first = [group[0] for group in line.groups]
        for n, p in enumerate(first):
            r = 4.5 if n == 0 and len(corners) > 2 else 2.5
            painter.drawEllipse(QPointF(*screen(pane, line, p)), r, r)

    def live_lines(self) -> list[tuple[str, str]]:
        """Area of the line under way, then the node's numbers and how many slices are drawn."""
        if self.at is None or not self.at.on_volume:
            return []
        lines = []
        under_way = self.line_in(self.at.pane)
        if under_way is not None and len(under_way.points) > 1:
            pixels = QPolygonF([*(QPointF(*screen(self.at.pane, under_way, p)) for p in under_way.points), QPointF(self.at.x, self.at.y)])
            area = area_px2(pixels) / self.at.pane.view.px_per_mm**2
            lines.append((t("area") + f" {area:.0f} mm²", TEXT))
        if self._drag is not None:
            return lines  # what lies ahead of the line is not covered
        return [*lines, *node_lines(self.session), *drawn_lines(self.session)]


# ---- shared with the other drawing tools -----------------------------------------------------------
def axis_of(pane) -> int:
    """0, 1, 2: the pane's slices run across k, j, i."""
    return 2 - pane.view.axes.through


def place_of(event: PaneEvent, axis: int) -> tuple[float, float]:
    """The mouse as (column, row) index units of its slice."""
    index = event.pane.geometry.world_to_index(event.point)
    column, row = PLANE_INDEX[axis]
    return float(index[column]), float(index[row])


def screen(pane, line: Line, place) -> tuple[float, float]:
    """Pixel of a (column, row) of the pane's slice."""
    column, row = PLANE_INDEX[line.axis]
    index = {column: float(place[0]), row: float(place[1])}
    return pane.view.to_screen(index[pane.view.axes.across], index[pane.view.axes.down])


def area_px2(polygon: QPolygonF) -> float:
    """Area inside a closed polygon that does not cross itself, in square pixels."""
    points = np.array([(p.x(), p.y()) for p in polygon])
    q = np.roll(points, -1, axis=0)
    return abs(float((points[:, 0] * q[:, 1] - points[:, 1] * q[:, 0]).sum())) / 2


def drawn_lines(session) -> list[tuple[str, str]]:
    """How many slices are drawn, and the volume of the lines' areas while it holds."""
    drawn, state = session.current_drawing(), session.current
    if not isinstance(drawn, DrawnOutlines):
        return []
    count = len(drawn.drawn)
    text = t("1 slice drawn") if count == 1 else t("{n} slices drawn").format(n=count)
    if drawn.between:
        text += " · " + t("{n} filled").format(n=len(drawn.between))
    lines = [(text, MUTED)]
    if count > 1 and not drawn.between and np.ptp(list(drawn.drawn)) >= count:
        lines.append((t("gaps between them are empty: I fills"), WARNING))
    volume = state.draft.coverage_volume_ml
    if volume is not None:
        lines.append((t("by area") + f" {number_text(volume, volume_decimals(volume))} ml", MUTED))
    return lines


def paint_drawn(painter: QPainter, pane, drawn: DrawnOutlines) -> None:
    """Thin lines: the outline as drawn on its slice; in the other planes, where drawn slices cross."""
    view, axis = pane.view, axis_of(pane)
    colour = QColor("#FFFFFF")
    if axis == drawn.axis:
        lines = drawn.outlines.get(pane.slice_number, ())
        pen = QPen(colour, 1.0)
        if pane.slice_number not in drawn.drawn:
            pen.setDashPattern([3, 4])
        painter.setPen(pen)
        for points in lines:
            line = Line(axis, pane.slice_number, False)
            painter.drawPolygon(QPolygonF([QPointF(*screen(pane, line, p)) for p in points]))
        return
    # One of the pane's axes counts the drawn slices, the other one lies in them.
    through = 2 - drawn.axis
    shared = view.axes.down if view.axes.across == through else view.axes.across
    place = PLANE_INDEX[drawn.axis].index(shared)
    other = 1 - place
    marks = []
    for number, outlines in drawn.drawn.items():
        crossing = [p for p in outlines if p[:, other].min() - 0.5 <= pane.slice_number <= p[:, other].max() + 0.5]
        for points in crossing:
            ends = [{through: float(number), shared: float(v)} for v in (points[:, place].min(), points[:, place].max())]
            (x0, y0), (x1, y1) = (view.to_screen(e[view.axes.across], e[view.axes.down]) for e in ends)
            marks.append(QLineF(x0, y0, x1, y1))
    colour.setAlpha(190)
    pen = QPen(colour, 1.0)
    pen.setDashPattern([5, 3])
    painter.setPen(pen)
    painter.drawLines(marks)
