"""Click the same anatomical point in both visits: three such landmarks or more bring them together."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.comparison import NEEDED_PAIRS
from app.ui.style import LANDMARK_COLOUR, MUTED, TEXT
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.views.landmarks import landmark_at, side_of
from app.ui.views.overlays import HALO


class LandmarkTool(Tool):
    """A click sets a point, a drag on one moves it. What was set is kept when the tool is put away."""

    name = "landmark"
    works_on_other_visit = True

    def __init__(self, session):
        super().__init__(session)
        self._held: int | None = None  # number of the landmark that is dragged

    def hint(self) -> str:
        """What the mouse does now."""
        c = self.session.comparison
        if c is None:
            return t("Compare with another visit first; landmarks are set in both")
        number = len(c.landmarks.pairs) + 1
        if c.landmarks.half is None:
            return t("Landmark {n}: click an anatomical point in either visit, then the same one in the other").format(n=number)
        other = c.visit.name if c.landmarks.half[0] == "here" else self.session.visit.name
        return t("Landmark {n}: now click the same point at {visit}").format(n=number, visit=other)

    def press(self, event: PaneEvent) -> None:
        """Take hold of a landmark, or set one."""
        self.at = event
        if not event.on_volume or self.session.comparison is None:
            return
        self._held = landmark_at(event.pane, event.x, event.y)
        if self._held is None:
            self.session.set_landmark(side_of(event.pane), event.point)

    def move(self, event: PaneEvent) -> None:
        """The landmark in hand follows."""
        self.at = event

    def hover(self, event: PaneEvent) -> None:
        """Where the mouse is."""
        self.at = event

    def release(self, event: PaneEvent) -> None:
        """Put the landmark in hand down; a click on one without a drag leaves it."""
        self.at = event
        held, self._held = self._held, None
        if held is None or self.session.comparison is None:
            return
        points = dict(self.session.comparison.landmarks.points(side_of(event.pane)))
        if held in points and np.hypot(*(np.array(event.pane.screen_of(points[held])) - (event.x, event.y))) > 2.0:
            self.session.move_landmark(held, side_of(event.pane), event.point)

    def cancel(self) -> None:
        """Let go; landmarks that were set stay."""
        self._held = None

    def paint(self, painter: QPainter, pane) -> None:
        """The place where the dragged landmark would be put."""
        if self._held is None or self.at is None or self.at.pane is not pane:
            return
        place = QPointF(self.at.x, self.at.y)
        for pen in (QPen(HALO, 3.4), QPen(QColor(LANDMARK_COLOUR), 1.6)):
            painter.setPen(pen)
            painter.drawEllipse(place, 6.0, 6.0)

    def live_lines(self) -> list[tuple[str, str]]:
        """How many pairs there are and how well they fit."""
        c = self.session.comparison
        if c is None:
            return []
        n = len(c.landmarks.pairs)
        lines = [(t("{n} of {needed} pairs").format(n=n, needed=NEEDED_PAIRS) if n < NEEDED_PAIRS else t("{n} pairs").format(n=n), TEXT)]
        if c.by_landmarks is not None:
            lines.append((t("residual {mm:.1f} mm").format(mm=c.by_landmarks.residual_mm), MUTED))
        return lines
