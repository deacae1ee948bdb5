"""Brush and eraser: a disc in the slice or a ball, with its size in millimetres."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import DANGER, MUTED
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool, node_lines
from app.ui.tools.region import step_range
from app.ui.tools.scribble import step_width
from app.ui.views import overlays

SIZES_MM = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0)


def step_size(session, up: bool) -> None:
    """Next larger or smaller brush; of the scribble its width, of the threshold its range."""
    if session.tool in ("scribble", "threshold"):
        (step_width if session.tool == "scribble" else step_range)(session, up)
        return
    now = session.brush_radius_mm
    larger, smaller = (s for s in SIZES_MM if s > now + 1e-6), (s for s in reversed(SIZES_MM) if s < now - 1e-6)
    size = next(larger, SIZES_MM[-1]) if up else next(smaller, SIZES_MM[0])
    session.set_brush(radius_mm=size)


class BrushTool(Tool):
    """Paints the current node; Ctrl turns brush into eraser and back for one stroke."""

    cursor = Qt.CursorShape.BlankCursor

    def __init__(self, session, *, add: bool):
        super().__init__(session)
        self.name = "brush" if add else "eraser"
        self._add = add
        self._stroke: bool | None = None  # adding or erasing while a stroke runs
        self._last: np.ndarray | None = None

    def hint(self) -> str:
        """What the mouse does now."""
        shape = t("ball") if self.session.brush_3d else t("disc in the slice")
        return t("Drag: {what} · [ ]: size · Ctrl: the other one · D: {shape}").format(what=t("paint") if self._add else t("erase"), shape=shape)

    def _adds(self, event: PaneEvent) -> bool:
        return self._add != event.has(Qt.KeyboardModifier.ControlModifier)

    def press(self, event: PaneEvent) -> None:
        """Begin a stroke."""
        self.at = event
        if not event.on_volume:
            return
        if self.session.current_node_id is None:
            self.session.notice.emit("warning", t("Choose or add a node first: the brush paints the current node."))
            return
        self._stroke = self._adds(event)
        self.session.begin_stroke(t("Brush") if self._stroke else t("Eraser"))
        self._last = None
        self._dab_to(event)

    def move(self, event: PaneEvent) -> None:
        """Paint along the way."""
        self.at = event
        if self._stroke is not None and event.on_volume:
            self._dab_to(event)

    def release(self, event: PaneEvent) -> None:
        """End the stroke: one undo step."""
        self.at = event
        self._end()

    def cancel(self) -> None:
        """A stroke under way ends as it is; undo takes it back."""
        self._end()

    def hover(self, event: PaneEvent) -> None:
        """The circle follows the mouse."""
        self.at = event

    def _end(self) -> None:
        if self._stroke is not None:
            self._stroke = None
            self.session.end_stroke()

    def _dab_to(self, event: PaneEvent) -> None:
        axis = None if self.session.brush_3d else event.through_axis
        point = event.point
        if self._last is None:
            steps = [point]
        else:
            # Dabs half a radius apart leave no scallops and no gaps.
            gap = float(np.linalg.norm(point - self._last))
            count = max(1, int(np.ceil(gap / max(0.25, self.session.brush_radius_mm / 2))))
            steps = [self._last + (point - self._last) * n / count for n in range(1, count + 1)]
        for place in steps:
            self.session.dab(place, self._stroke, axis)
        self._last = point

    def paint(self, painter: QPainter, pane) -> None:
        """The brush's true size under the mouse: solid paints, dashed erases."""
        if self.at is None or self.at.pane is not pane or not self.at.on_volume:
            return
        r = self.session.brush_radius_mm * pane.view.px_per_mm
        adds = self._stroke if self._stroke is not None else self._adds(self.at)
        pen = QPen(QColor("#FFFFFF") if adds else QColor(DANGER), 1.4)
        if not adds:
            pen.setDashPattern([3, 3])
        centre = QPointF(self.at.x, self.at.y)
        for p in (QPen(overlays.HALO, 3.0), pen):
            painter.setPen(p)
            painter.drawEllipse(centre, r, r)
        painter.drawPoint(centre)

    def live_lines(self) -> list[tuple[str, str]]:
        """Size of the brush and the node's numbers."""
        return [*node_lines(self.session), (t("radius") + f" {self.session.brush_radius_mm:g} mm", MUTED)]
