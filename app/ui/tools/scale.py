"""A line along a scale that is drawn into a picture; its length is stated in the panel."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QPainter

from app.ui.style import ACCENT, TEXT, WARNING
from app.ui.text import t
from app.ui.tools.base import PaneEvent
from app.ui.tools.caliper import CaliperTool
from app.ui.views import overlays
from volumetry.calibration import SHORTEST_SCALE_PX


class ScaleTool(CaliperTool):
    """Drag from one mark to another; a second line across the first gives each direction its own scale."""

    name = "scale"

    def hint(self) -> str:
        """What the mouse does now."""
        if not self.session.needs_scale():
            return t("The header gives this picture's scale")
        if self._waiting:
            return t("Click the last mark")
        if self.session.scale_lines:
            return t("State its length in the panel · a second line across it is optional")
        return t("Drag along the drawn scale, from its first mark to its last")

    def press(self, event: PaneEvent) -> None:
        """First end, where a scale by hand is offered."""
        if event.on_volume:
            return
        if not self.session.needs_scale():
            self.session.notice.emit("info", t("The header gives this picture's scale; none is drawn by hand."))
            return
        super().press(event)

    def finish(self, start: PaneEvent, end: PaneEvent) -> None:
        """Hand the line to the session."""
        self.session.draw_scale_line(tuple(start.point), tuple(end.point))

    def length_text(self, start: PaneEvent, end: PaneEvent) -> tuple[str, str | None]:
        """Pixels of the line under way."""
        pixels = float(np.hypot(*(end.point - start.point)))
        return f"{pixels:.0f} px", t("too short for a scale") if pixels < SHORTEST_SCALE_PX else None

    def live_lines(self) -> list[tuple[str, str]]:
        """How much one pixel at an end matters."""
        if self._start is None or self.at is None or self.at.pane is not self._start.pane:
            return []
        text, short = self.length_text(self._start, self.at)
        pixels = max(float(np.hypot(*(self.at.point - self._start.point))), 1.0)
        return [(text, TEXT), (short, WARNING)] if short else [(text, TEXT), (t("one pixel off is {percent:.1f} %").format(percent=100 / pixels), TEXT)]


def draw_scale_lines(painter: QPainter, pane, session) -> None:
    """The lines whose length is to be stated, and those of the scale in use, on the frame on screen."""
    for a, b in session.scale_lines:
        overlays.draw_length(painter, QPointF(*pane.screen_of(a)), QPointF(*pane.screen_of(b)), f"{np.hypot(b[0] - a[0], b[1] - a[1]):.0f} px = ? mm", ACCENT, dashed=True)
    used = session.scale_in_use()
    if used is not None and session.tool == "scale":
        for line in used[1].lines:
            overlays.draw_length(painter, QPointF(*pane.screen_of(line.p1)), QPointF(*pane.screen_of(line.p2)), t("scale {mm:g} mm").format(mm=line.length_mm), ACCENT, dashed=True)
