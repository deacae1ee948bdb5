"""A region inside a bounding ball: grown from the click, or all that lies within a range of values."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import ACCENT, DANGER, GOOD, MUTED, TEXT
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool, node_lines
from app.ui.views import overlays
from app.ui.widgets.figures import number_text, volume_decimals
from app.usecases.drawing import suggested_range
from volumetry.errors import NodusError

DRAG_PX = 4.0
FIRST_RADIUS_MM = 10.0
STEP_SHARE = 0.1  # of the range's width that one press of [ or ] takes off or adds


def step_range(session, up: bool) -> None:
    """Widen or narrow the range of the threshold to both sides."""
    if session.threshold_range is None:
        return
    low, high = session.threshold_range
    step = max(1.0, round(STEP_SHARE * (high - low) / 2))
    low, high = (low - step, high + step) if up else (low + step, high - step)
    if low <= high:
        session.set_threshold(low, high)


class RegionTool(Tool):
    """Press in the node and drag beyond its border: nothing outside the ball is taken. Shift adds to
    the outline, Ctrl takes away from it."""

    name = "region"

    def __init__(self, session):
        super().__init__(session)
        self.radius_mm = FIRST_RADIUS_MM
        self._start: PaneEvent | None = None
        self._dragging = False
        self._how = "anew"
        self._asked_mm = 0.0
        session.preview_changed.connect(self._preview_came)

    @property
    def is_dragging(self) -> bool:
        """True while the ball follows the mouse."""
        return self._dragging

    def hu_range(self) -> tuple[float, float] | None:
        """Range of values that is taken; None grows from the click."""
        return None

    def hint(self) -> str:
        """What the mouse does now."""
        return t("Drag beyond the border · Shift: add · Ctrl: away")

    def press(self, event: PaneEvent) -> None:
        """Middle of a new ball."""
        self.at = event
        self._start, self._dragging = None, False
        if not event.on_volume or not self.session.can_draw():
            return
        self._start = event
        self._how = "add" if event.has(Qt.KeyboardModifier.ShiftModifier) else "take_away" if event.has(Qt.KeyboardModifier.ControlModifier) else "anew"

    def move(self, event: PaneEvent) -> None:
        """The ball follows; what it would give is drawn as soon as it is there."""
        self.at = event
        if self._start is None:
            return
        if not self._dragging and np.hypot(event.x - self._start.x, event.y - self._start.y) < DRAG_PX:
            return
        self._dragging = True
        self.radius_mm = max(1.0, float(np.linalg.norm(event.point - self._start.point)))
        self._ask()

    def _ask(self) -> None:
        if not self.session.jobs.is_busy("preview"):
            self._asked_mm = self.radius_mm
            self.session.preview_region(self._start.point, self.radius_mm, hu_range=self.hu_range())

    def _preview_came(self) -> None:
        if self._dragging and abs(self._asked_mm - self.radius_mm) > 0.05:
            self._ask()

    def release(self, event: PaneEvent) -> None:
        """Outline what the ball holds; a click without a drag takes the ball of the last time."""
        self.at = event
        start, self._start, self._dragging = self._start, None, False
        if start is not None:
            self.session.outline_region(start.point, self.radius_mm, how=self._how, hu_range=self.hu_range())

    def hover(self, event: PaneEvent) -> None:
        """The numbers follow the mouse."""
        self.at = event

    def cancel(self) -> None:
        """Forget the ball under way and its preview."""
        if self._start is not None:
            self._start, self._dragging = None, False
            self.session.jobs.drop("preview")
            self.session.preview = None
            self.session.preview_changed.emit()

    def paint(self, painter: QPainter, pane) -> None:
        """The ball where it cuts the plane, while it is dragged."""
        if self._start is None or not self._dragging:
            return
        x, y, number = pane.view.from_index_point(pane.geometry.world_to_index(self._start.point))
        off = (number - pane.slice_number) * pane.view.axes.through_mm
        if abs(off) >= self.radius_mm:
            return
        r = float(np.sqrt(self.radius_mm**2 - off**2)) * pane.view.px_per_mm
        pen = QPen(QColor({"anew": ACCENT, "add": GOOD, "take_away": DANGER}[self._how]), 1.0)
        pen.setDashPattern([4, 4])
        for p in (QPen(overlays.HALO, 2.4), pen):
            painter.setPen(p)
            painter.drawEllipse(QPointF(x, y), r, r)

    def live_lines(self) -> list[tuple[str, str]]:
        """Ball and volume under way, else the node's numbers."""
        if self._start is None or not self._dragging:
            return node_lines(self.session)
        lines = [(t("ball") + f" {self.radius_mm:.1f} mm", TEXT)]
        if self.session.preview is not None:
            mask = self.session.preview[0]
            volume = float(np.count_nonzero(mask.array)) * mask.geometry.voxel_size_mm3 / 1000.0
            sign = {"anew": "", "add": "+ ", "take_away": "− "}[self._how]
            lines.append((f"{sign}{number_text(volume, volume_decimals(volume))} ml", MUTED))
        return lines


class ThresholdTool(RegionTool):
    """As the region, but with limits: those around the click's own values first, then as they are
    changed. A new click asks the picture again unless its value lies within the limits."""

    name = "threshold"

    def hu_range(self) -> tuple[float, float] | None:
        """The limits."""
        return self.session.threshold_range

    def hint(self) -> str:
        """What the mouse does now."""
        return t("Drag a ball · [ ]: range · Shift: add · Ctrl: away")

    def press(self, event: PaneEvent) -> None:
        """Middle of a new ball; its limits come from what lies around it."""
        super().press(event)
        if self._start is None:
            return
        value, limits = event.pane.value_at(event.point), self.session.threshold_range
        if limits is not None and value is not None and limits[0] <= value <= limits[1]:
            return
        try:
            self.session.threshold_range = suggested_range(self.session.image, event.point)
        except NodusError as refusal:
            self._start = None
            self.session.notice.emit("warning", refusal.message)
            return
        self.session.display_changed.emit()

    def live_lines(self) -> list[tuple[str, str]]:
        """The limits beside the numbers."""
        lines = super().live_lines()
        if self.session.threshold_range is not None:
            low, high = self.session.threshold_range
            lines.append((f"{low:.0f} … {high:.0f} {self.session.image.unit if self.session.image is not None else ''}".strip(), MUTED))
        return lines
