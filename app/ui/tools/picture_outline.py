"""The node tool on an ultrasound picture: a click and a radius drag outline a node; then points pull it."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import ACCENT, MUTED, TEXT, WARNING
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.views import overlays
from app.ui.widgets.figures import number_text

DRAG_PX = 4.0
GRIP_PX = 9.0


class PictureOutlineTool(Tool):
    """Press in the node and drag to its border: the outline follows. A plain click pulls the outline
    through that point; a point can be dragged; Backspace takes the last one back."""

    name = "node"
    works_on_pictures = True
    shows_anchors = True

    def __init__(self, session):
        super().__init__(session)
        self.radius_px = 0.0
        self._start: PaneEvent | None = None
        self._frame = 0  # the frame it was begun on
        self._anchor: int | None = None  # the point in hand
        self._dragging = False
        self._asked: tuple | None = None  # what the preview was asked for last
        session.outlines_changed.connect(self._preview_came)

    @property
    def is_dragging(self) -> bool:
        """True while a radius or a point follows the mouse."""
        return self._dragging

    def hint(self) -> str:
        """What the mouse does now."""
        if self.session.outline_on() is None:
            return t("Press inside the node and drag to its border")
        return t("Click: pull to a point · drag a point · drag: anew")

    def press(self, event: PaneEvent) -> None:
        """Seed of a new outline, or a point of the one that is there."""
        if event.on_volume:
            return
        self.at = self._start = event
        self._dragging, self._asked = False, None
        self._frame = event.pane.shown_frame
        self._anchor = self._grip(event)

    def move(self, event: PaneEvent) -> None:
        """The radius, or the point, follows; the outline is drawn as soon as it is there."""
        self.at = event
        if self._start is None or (not self._dragging and np.hypot(event.x - self._start.x, event.y - self._start.y) < DRAG_PX):
            return
        self._dragging = True
        self.radius_px = float(np.linalg.norm(event.point - self._start.point))
        self._ask()

    def _wanted(self) -> tuple:
        """What the preview should show now."""
        return (round(self.radius_px, 1),) if self._anchor is None else tuple(np.round(self.at.point, 1))

    def _ask(self) -> None:
        """One outline is made at a time; that of the mouse's last place follows when it came."""
        if self.session.jobs.is_busy("picture-preview"):
            return
        self._asked = self._wanted()
        if self._anchor is None:
            self.session.preview_picture_click(self._frame, self._start.point, self.radius_px)
        else:
            self.session.preview_picture_anchors(self._frame, self._moved())

    def _preview_came(self) -> None:
        if self._dragging and self._asked is not None and self._asked != self._wanted():
            self._ask()

    def release(self, event: PaneEvent) -> None:
        """Outline, pull through the clicked point, or let go of the point in hand."""
        start, anchor, dragging = self._start, self._anchor, self._dragging
        if start is None:
            return
        self.at = event
        moved = self._moved() if anchor is not None and dragging else None
        self._start, self._anchor, self._dragging = None, None, False
        if moved is not None:
            self.session.set_picture_anchors(self._frame, moved)
        elif dragging:
            self.session.commit_picture_click(self._frame, start.point, float(np.linalg.norm(event.point - start.point)))
        elif anchor is None and self.session.outline_on(self.session.still_of(self._frame)) is not None:
            self.session.add_picture_anchor(self._frame, start.point)
        elif anchor is None:
            self.session.notice.emit("info", t("Press in the middle of the node and drag to its border."))

    def key_pressed(self, pane, key: int) -> bool:
        """Backspace takes the last point back."""
        if key != Qt.Key.Key_Backspace or self._start is not None:
            return False
        self.session.drop_picture_anchor(pane.shown_frame)
        return True

    def cancel(self) -> None:
        """Forget the drag and its preview; the outline that was there stays."""
        if self._start is not None:
            self._start, self._anchor, self._dragging = None, None, False
            self.session.drop_picture_preview()

    def _grip(self, event: PaneEvent) -> int | None:
        """The point of the current outline under the mouse."""
        measured = self.session.outline_on(self.session.still_of(self._frame))
        if measured is None or not measured.outline.anchors_px:
            return None
        away = [np.hypot(*np.subtract(event.pane.screen_of(p), (event.x, event.y))) for p in measured.outline.anchors_px]
        nearest = int(np.argmin(away))
        return nearest if away[nearest] <= GRIP_PX else None

    def _moved(self) -> tuple:
        """The points with the one in hand where the mouse is."""
        points = list(self.session.outline_on(self.session.still_of(self._frame)).outline.anchors_px)
        points[self._anchor] = tuple(float(v) for v in self.at.point)
        return tuple(points)

    def paint(self, painter: QPainter, pane) -> None:
        """The radius, or the point, while it is dragged."""
        if self._start is None or not self._dragging or pane is not self._start.pane or self.at is None:
            return
        pen = QPen(QColor(ACCENT), 1.0)
        pen.setDashPattern([4, 4])
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for p in (QPen(overlays.HALO, 2.4), pen):
            painter.setPen(p)
            if self._anchor is None:
                at = QPointF(*pane.screen_of(self._start.point))
                painter.drawEllipse(at, self.radius_px * pane.px_per_px, self.radius_px * pane.px_per_px * pane.aspect)
            else:
                painter.drawEllipse(QPointF(self.at.x, self.at.y), 6.0, 6.0)

    def live_lines(self) -> list[tuple[str, str]]:
        """Axes and area of the outline under way; one that is there carries its own numbers."""
        if self._start is None or not self._dragging:
            return []
        preview = self.session.picture_preview
        return axes_lines(preview[1].axes) if preview is not None and preview[1] is not None else [(t("no outline here"), MUTED)]


def axes_lines(axes) -> list[tuple[str, str]]:
    """Axes and area beside the cursor; in pixels with the reason where there are no millimetres."""
    if axes.long_axis_mm is None:
        return [(f"{axes.long_axis_px:.0f} × {axes.short_axis_px:.0f} px", TEXT), (t("no mm here"), WARNING)]
    return [(f"{axes.long_axis_mm:.1f} × {axes.short_axis_mm:.1f} mm", TEXT), (f"{number_text(axes.area_mm2, 0)} mm²", MUTED)]
