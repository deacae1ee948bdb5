"""Landmarks that a reader set in both visits: numbered diamonds in the slice they lie in."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from app.ui.style import LANDMARK_COLOUR, pixel_font, shadow_text
from app.ui.views.overlays import HALO, inside_pane

SIZE_PX = 5.0
REACH_PX = 9.0  # within this of its middle a landmark is taken hold of


def side_of(pane) -> str:
    """``"there"`` in the pane of the other visit, else ``"here"``."""
    return "there" if pane.is_other_visit else "here"


def shown_landmarks(session) -> bool:
    """Landmarks are seen while they are set and while the visits are linked by them."""
    return session.comparison is not None and (session.tool == "landmark" or session.comparison.method == "landmarks")


def landmark_at(pane, x: float, y: float) -> int | None:
    """Number (from 0) of the landmark under a pixel of a slice pane, or None."""
    if pane.session.comparison is None:
        return None
    best = None
    for number, point in pane.session.comparison.landmarks.points(side_of(pane)):
        px, py, slice_ = pane.view.from_index_point(pane.geometry.world_to_index(point))
        distance = float(np.hypot(px - x, py - y))
        if abs(slice_ - pane.slice_number) <= 0.75 and distance <= REACH_PX and (best is None or distance < best[0]):
            best = (distance, number)
    return None if best is None else best[1]


def draw_landmarks(painter: QPainter, pane) -> None:
    """Landmarks of this pane's visit: full in their own slice, faint and small in the others."""
    session = pane.session
    if not shown_landmarks(session):
        return
    painter.setFont(pixel_font(12, bold=True))
    for number, point in session.comparison.landmarks.points(side_of(pane)):
        x, y, slice_ = pane.view.from_index_point(pane.geometry.world_to_index(point))
        here = abs(slice_ - pane.slice_number) <= 0.75
        half = SIZE_PX if here else SIZE_PX - 2
        colour = QColor(LANDMARK_COLOUR)
        colour.setAlpha(255 if here else 110)
        diamond = QPolygonF([QPointF(x, y - half), QPointF(x + half, y), QPointF(x, y + half), QPointF(x - half, y)])
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for pen in (QPen(HALO, 3.4), QPen(colour, 1.6)):
            painter.setPen(pen)
            painter.drawPolygon(diamond)
        if here:
            painter.drawPoint(QPointF(x, y))
            shadow_text(painter, inside_pane(painter, pane.view.width, pane.view.height, x + 8, y - 5, str(number + 1)), str(number + 1), LANDMARK_COLOUR)
