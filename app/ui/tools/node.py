"""Outline a node with one click and a radius drag; then pull the outline through points."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import ACCENT, MUTED, TEXT
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool, node_lines
from app.ui.views import overlays
from app.ui.widgets.figures import number_text, volume_decimals

DRAG_PX = 4.0
FIRST_RADIUS_MM = 8.0


class NodeTool(Tool):
    """Press in the node and drag outwards: the outline follows. A plain click on a node that has an
    outline pulls the outline through that point."""

    name = "node"

    def __init__(self, session):
        super().__init__(session)
        self.radius_mm = FIRST_RADIUS_MM
        self._start: PaneEvent | None = None
        self._dragging = False
        self._asked_mm = 0.0  # radius of the outline that was asked for last
        session.preview_changed.connect(self._preview_came)

    @property
    def is_dragging(self) -> bool:
        """True while the radius follows the mouse."""
        return self._dragging

    def hint(self) -> str:
        """What the mouse does now."""
        state = self.session.nodes.get(self.session.current_node_id)
        if state is not None and state.outline_surface is not None:
            return t("Click: pull the outline through a point · drag: outline anew")
        return t("Press inside the node and drag to its border")

    def press(self, event: PaneEvent) -> None:
        """Seed of a new outline, or an anchor."""
        if event.on_volume:
            self._start, self._dragging, self.at = event, False, event

    def move(self, event: PaneEvent) -> None:
        """The radius follows; the outline is drawn as soon as it is there."""
        self.at = event
        if self._start is None:
            return
        if not self._dragging and np.hypot(event.x - self._start.x, event.y - self._start.y) < DRAG_PX:
            return
        self._dragging = True
        self.radius_mm = max(1.0, float(np.linalg.norm(event.point - self._start.point)))
        self._ask()

    def _ask(self) -> None:
        """One outline is made at a time; the radius of the mouse's last place follows when it came."""
        if not self.session.jobs.is_busy("preview"):
            self._asked_mm = self.radius_mm
            self.session.preview_segmentation(self._start.point, self.radius_mm)

    def _preview_came(self) -> None:
        if self._dragging and abs(self._asked_mm - self.radius_mm) > 0.05:
            self._ask()

    def release(self, event: PaneEvent) -> None:
        """Outline, or pull through the clicked point."""
        start, dragging = self._start, self._dragging
        self._start, self._dragging = None, False
        if start is None:
            return
        state = self.session.nodes.get(self.session.current_node_id)
        if not dragging and state is not None and state.outline_surface is not None:
            self.session.add_anchor(start.point)
        else:
            self.session.commit_segmentation(start.point, self.radius_mm)

    def cancel(self) -> None:
        """Forget the seed and its preview."""
        if self._start is not None:
            self._start, self._dragging = None, False
            self.session.preview = None
            self.session.preview_changed.emit()

    def paint(self, painter: QPainter, pane) -> None:
        """The radius while it is dragged."""
        if self._start is None or not self._dragging or pane is not self._start.pane:
            return
        r = self.radius_mm * pane.view.px_per_mm
        pen = QPen(QColor(ACCENT), 1.0)
        pen.setDashPattern([4, 4])
        for p in (QPen(overlays.HALO, 2.4), pen):
            painter.setPen(p)
            painter.drawEllipse(QPointF(self._start.x, self._start.y), r, r)

    def live_lines(self) -> list[tuple[str, str]]:
        """Radius and volume of the outline under way, else the node's own numbers."""
        if self._start is None or not self._dragging:
            return node_lines(self.session)
        lines = [(t("radius") + f" {self.radius_mm:.1f} mm", TEXT)]
        if self.session.preview is not None:
            mask = self.session.preview[0]
            volume = mask.coverage_volume_ml
            if volume is None:
                volume = float(np.count_nonzero(mask.array)) * mask.geometry.voxel_size_mm3 / 1000.0
            lines.append((f"{number_text(volume, volume_decimals(volume))} ml", MUTED))
        return lines
