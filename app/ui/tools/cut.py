"""Cut the outline by a plane: drag its line across the node in any pane."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QLineF, QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import DANGER, MUTED
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool, draft_mask, node_lines
from app.ui.views import overlays
from app.ui.widgets.figures import number_text, volume_decimals

SHORTEST_PX = 8.0


class CutTool(Tool):
    """The plane stands on the slice along the dragged line, through all slices. The smaller side goes;
    with Ctrl the larger one."""

    name = "cut"

    def __init__(self, session):
        super().__init__(session)
        self._start: PaneEvent | None = None
        self._side: tuple | None = None  # ((start, end, side), normal towards the side that goes, ml, share)

    def hint(self) -> str:
        """What the mouse does now."""
        return t("Drag across: smaller side goes · Ctrl: larger")

    def press(self, event: PaneEvent) -> None:
        """One end of the line."""
        self.at = event
        self._start = None
        if event.on_volume and self.session.can_draw():
            self._start = event
            self.session.aim_cut()

    def move(self, event: PaneEvent) -> None:
        """The line follows; what would go is drawn in red."""
        self.at = event

    def hover(self, event: PaneEvent) -> None:
        """The numbers follow the mouse."""
        self.at = event

    def release(self, event: PaneEvent) -> None:
        """Cut."""
        self.at = event
        start, self._start = self._start, None
        if start is None or event.pane is not start.pane or np.hypot(event.x - start.x, event.y - start.y) < SHORTEST_PX:
            return
        self.session.cut(tuple(start.point), tuple(self._normal(start, event)), larger_goes=event.has(Qt.KeyboardModifier.ControlModifier))

    def cancel(self) -> None:
        """Forget the line under way."""
        self._start = None

    @staticmethod
    def _normal(start: PaneEvent, end: PaneEvent) -> np.ndarray:
        """Normal of the plane along the line and through the slices, as their stack runs."""
        through = start.pane.geometry.affine[:3, start.pane.view.axes.through]
        normal = np.cross(end.point - start.point, through)
        return normal / max(float(np.linalg.norm(normal)), 1e-12)

    def _going(self) -> tuple[np.ndarray, float, float] | None:
        """(normal towards the side that goes, its ml, its share of the outline), while a line is dragged."""
        if self._start is None or self.at is None or self.at.pane is not self._start.pane or self.session.outline_points_mm is None:
            return None
        if np.hypot(self.at.x - self._start.x, self.at.y - self._start.y) < SHORTEST_PX:
            return None
        points, each_ml = self.session.outline_points_mm
        normal = self._normal(self._start, self.at)
        beyond = int(np.count_nonzero((points - self._start.point) @ normal > 0))
        if beyond in (0, len(points)):
            return None
        if (2 * beyond > len(points)) != self.at.has(Qt.KeyboardModifier.ControlModifier):
            normal, beyond = -normal, len(points) - beyond
        return normal, beyond * each_ml, beyond / len(points)

    def paint(self, painter: QPainter, pane) -> None:
        """The line, and the part of the outline that would go."""
        if self._start is None or self.at is None or self.at.pane is not self._start.pane:
            return
        going = self._going()
        mask = draft_mask(self.session.current)
        if going is not None and mask is not None:
            segments = overlays.outline_segments(mask, pane.geometry, pane.view, pane.slice_number)
            if len(segments):
                index = np.empty((len(segments), 3))
                axes = pane.view.axes
                index[:, axes.across], index[:, axes.down] = (segments[:, 0] + segments[:, 2]) / 2, (segments[:, 1] + segments[:, 3]) / 2
                index[:, axes.through] = pane.slice_number
                goes = (pane.geometry.index_to_world(index) - self._start.point) @ going[0] > 0
                overlays.draw_segments(painter, pane.view, segments[goes], QColor(DANGER), 2.6)
        if pane is not self._start.pane:
            return
        a, b = QPointF(self._start.x, self._start.y), QPointF(self.at.x, self.at.y)
        along = QLineF(a, b)
        if along.length() > 1:
            reach = (pane.width() + pane.height()) / along.length()
            far = QLineF(along.pointAt(-reach), along.pointAt(reach))
            pen = QPen(QColor(DANGER), 1.0)
            pen.setDashPattern([3, 5])
            painter.setPen(pen)
            painter.drawLine(far)
        for pen in (QPen(overlays.HALO, 3.6), QPen(QColor(DANGER), 1.8)):
            painter.setPen(pen)
            painter.drawLine(along)

    def live_lines(self) -> list[tuple[str, str]]:
        """What would go, then the node's numbers."""
        going = self._going()
        if going is None:
            return node_lines(self.session)
        _, ml, share = going
        return [(t("goes") + f" {number_text(ml, volume_decimals(ml))} ml ({100 * share:.0f} %)", DANGER), *((text, MUTED) for text, _ in node_lines(self.session))]
