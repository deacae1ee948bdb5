"""A line along a scale that is drawn into a picture, and the part of the picture that it holds for; its length is stated
in the panel."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import ACCENT, TEXT, WARNING, pixel_font, shadow_text
from app.ui.text import t
from app.ui.tools.base import PaneEvent
from app.ui.tools.caliper import CaliperTool
from app.ui.views import overlays
from volumetry.calibration import SHORTEST_SCALE_PX


class ScaleTool(CaliperTool):
    """Drag from one mark to another; a second line across the first gives each direction its own scale. With Shift: the
    part of the picture that they hold for."""

    name = "scale"

    def __init__(self, session):
        super().__init__(session)
        self._boxing = False

    def hint(self) -> str:
        """What the mouse does now."""
        if not self.session.needs_scale():
            return t("The header gives this picture's scale")
        if self._waiting:
            return t("Click the other corner") if self._boxing else t("Click the last mark")
        if self.session.scale_lines:
            return t("State its length · optional: a second line across, Shift + drag a part")
        return t("Drag along the drawn scale, from its first mark to its last")

    def press(self, event: PaneEvent) -> None:
        """First end, where a scale by hand is offered."""
        if event.on_volume:
            return
        if not self.session.needs_scale():
            self.session.notice.emit("info", t("The header gives this picture's scale; none is drawn by hand."))
            return
        if not self._waiting:
            self._boxing = event.has(Qt.KeyboardModifier.ShiftModifier)
        super().press(event)

    def finish(self, start: PaneEvent, end: PaneEvent) -> None:
        """Hand the line, or the part, to the session."""
        take = self.session.draw_scale_box if self._boxing else self.session.draw_scale_line
        self._boxing = False
        take(tuple(start.point), tuple(end.point))

    def cancel(self) -> None:
        """Forget what was begun."""
        super().cancel()
        self._boxing = False

    def paint(self, painter: QPainter, pane) -> None:
        """The line or the part under way."""
        if not self._boxing:
            super().paint(painter, pane)
        elif self._start is not None and self.at is not None and self._start.pane is pane and self.at.pane is pane:
            _draw_part(painter, QPointF(self._start.x, self._start.y), QPointF(self.at.x, self.at.y))

    def length_text(self, start: PaneEvent, end: PaneEvent) -> tuple[str, str | None]:
        """Pixels of the line under way."""
        if self._boxing:
            across, down = np.abs(end.point - start.point)
            return f"{across:.0f} × {down:.0f} px", None
        pixels = float(np.hypot(*(end.point - start.point)))
        return f"{pixels:.0f} px", t("too short for a scale") if pixels < SHORTEST_SCALE_PX else None

    def live_lines(self) -> list[tuple[str, str]]:
        """How much one pixel at an end matters."""
        if self._start is None or self.at is None or self.at.pane is not self._start.pane:
            return []
        text, short = self.length_text(self._start, self.at)
        pixels = max(float(np.hypot(*(self.at.point - self._start.point))), 1.0)
        return [(text, TEXT), (short, WARNING)] if short else [(text, TEXT), (t("one pixel off is {percent:.1f} %").format(percent=100 / pixels), TEXT)]


def _draw_part(painter: QPainter, a: QPointF, b: QPointF, words: str = "") -> None:
    """The part of the picture that a scale holds for."""
    pen = QPen(QColor(ACCENT), 1.2)
    pen.setDashPattern([2, 4])
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    part = QRectF(a, b).normalized()
    painter.drawRect(part)
    if words:
        painter.setFont(pixel_font(11))
        shadow_text(painter, QPointF(part.left() + 5, part.bottom() - 6), words, ACCENT)


def draw_scale_lines(painter: QPainter, pane, session) -> None:
    """The lines whose length is to be stated, and those of the scale in use, on the frame on screen."""
    for a, b in session.scale_lines:
        overlays.draw_length(painter, QPointF(*pane.screen_of(a)), QPointF(*pane.screen_of(b)), f"{np.hypot(b[0] - a[0], b[1] - a[1]):.0f} px = ? mm", ACCENT, dashed=True)
    used = session.scale_in_use()
    box = session.scale_box if session.scale_box is not None or session.scale_lines or used is None else used[1].box
    if box is not None:
        _draw_part(painter, QPointF(*pane.screen_of(box[:2])), QPointF(*pane.screen_of(box[2:])), t("the scale holds here"))
    if used is not None and session.tool == "scale":
        for line in used[1].lines:
            overlays.draw_length(painter, QPointF(*pane.screen_of(line.p1)), QPointF(*pane.screen_of(line.p2)), t("scale {mm:g} mm").format(mm=line.length_mm), ACCENT, dashed=True)
