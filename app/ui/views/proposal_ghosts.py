"""Needles of a proposal that is only looked at: thin, dashed and pale, so that nobody takes them for the plan's own."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter

from app.ui.style import pixel_font, shadow_text
from app.ui.views.needles import draw_ghost, project
from app.ui.views.overlays import free_place

GHOST_COLOUR = "#BFE3FF"
GHOST_RGB = tuple(int(GHOST_COLOUR[n:n + 2], 16) / 255 for n in (1, 3, 5))
GHOST_OPACITY = 0.4


def ghost_name(session, needle) -> str:
    """Number of the proposal and name of its needle."""
    return f"{session.shown_proposal + 1}·{needle.id}"


def draw_ghosts(painter: QPainter, pane, taken: list[QRectF]) -> None:
    """Draw the needles of the proposal that is looked at over a slice; names keep clear of ``taken``."""
    session, view = pane.session, pane.view
    painter.setFont(pixel_font(11))
    for needle in session.ghost_needles:
        p = project(needle, view, pane.geometry, pane.slice_number)
        draw_ghost(painter, p, GHOST_COLOUR)
        name = ghost_name(session, needle)
        painter.setFont(pixel_font(11))
        shadow_text(painter, free_place(painter, view.width, view.height, p.entry.x() + 7, p.entry.y() - 6, name, taken), name, GHOST_COLOUR)
