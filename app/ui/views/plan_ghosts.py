"""Over a slice: where needles were planned while they are laid as they lie, the target of a kept run, and the zone of an earlier session."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QLineF, QRectF
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui import kernels
from app.ui.style import pixel_font, shadow_text
from app.ui.text import t
from app.ui.views import overlays
from app.ui.views.field_overlay import sample
from app.ui.views.needles import draw_ghost, project
from app.ui.views.overlays import HALO, free_place, inside_pane

PLANNED_COLOUR = "#9FE8B0"
EARLIER_COLOUR = "#C9A6FF"
TARGET_COLOUR = "#4DB6E2"


def rgb(colour: str) -> tuple[float, float, float]:
    """A colour for the scene, 0 to 1."""
    return tuple(int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))


def draw_planned(painter: QPainter, pane, taken: list[QRectF]) -> None:
    """The needles as planned, thin and dashed, a square at the tip; names keep clear of ``taken``."""
    placement, view = pane.session.placement, pane.view
    if placement is None:
        return
    for needle in placement.planned:
        p = project(needle, view, pane.geometry, pane.slice_number)
        draw_ghost(painter, p, PLANNED_COLOUR)
        name = t("{id} planned").format(id=needle.id)
        painter.setFont(pixel_font(11))
        shadow_text(painter, free_place(painter, view.width, view.height, p.tip.x() + 7, p.tip.y() + 14, name, taken), name, PLANNED_COLOUR)


class RunOverlay:
    """Outlines of kept things on one pane; each is worked out once for a slice and view."""

    def __init__(self, pane):
        self.pane = pane
        self._zone_key: tuple | None = None
        self._zone_of = None
        self._zone: np.ndarray = np.empty((0, 4))
        self._target_key: tuple | None = None
        self._target_of = None
        self._target: np.ndarray = np.empty((0, 4))

    def draw(self, painter: QPainter) -> None:
        """The earlier zone and, where it is not the outline itself, the target."""
        self._draw_zone(painter)
        self._draw_target(painter)

    def _draw_zone(self, painter: QPainter) -> None:
        pane, view = self.pane, self.pane.view
        zone = pane.session.earlier_zone
        if zone is None:
            self._zone_of = self._zone_key = None
            return
        step = 2.0
        key = (pane.slice_number, view.middle, view.px_per_mm, view.width, view.height)
        if zone is not self._zone_of or key != self._zone_key:
            field = sample(zone.field, pane.geometry, view, pane.slice_number, step)
            self._zone = kernels.contour_segments(np.nan_to_num(field), zone.lethal_v_per_cm) * step
            self._zone_of, self._zone_key = zone, key
        if len(self._zone) == 0:
            return
        # Dashes by place: segments come unordered, a pen's pattern would begin anew at each.
        lines = [QLineF(*s) for s in self._zone.tolist() if (round(s[0] / 6) + round(s[1] / 6)) % 3]
        for pen in (QPen(HALO, 3.8), QPen(QColor(EARLIER_COLOUR), 1.9)):
            painter.setPen(pen)
            painter.drawLines(lines)
        best = self._zone[int(np.argmax(self._zone[:, 1] - self._zone[:, 0]))]
        painter.setFont(pixel_font(11, bold=True))
        shadow_text(painter, inside_pane(painter, view.width, view.height, float(best[0]) - 40, float(best[1]) + 15, zone.label), zone.label, EARLIER_COLOUR)

    def _draw_target(self, painter: QPainter) -> None:
        pane, s = self.pane, self.pane.session
        mask = s.shown_target() if s.target_from == "run" or s.is_schematic else None
        if mask is None:
            self._target_of = self._target_key = None
            return
        if mask is not self._target_of or pane.slice_number != self._target_key:
            self._target = overlays.outline_segments(mask, pane.geometry, pane.view, pane.slice_number)
            self._target_of, self._target_key = mask, pane.slice_number
        colour = QColor(TARGET_COLOUR)
        overlays.draw_segments(painter, pane.view, self._target, colour, 1.4, dotted=True)
        overlays.label_outline(painter, pane.view, self._target, s.plan.targets[0][0] if s.is_schematic else t("target as kept"), colour)
