"""Zones of RFA and of cryo + RF over a slice: the chart's, with their spread, and those of the solved course, as named lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QLineF, QRectF
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui import kernels
from app.ui.style import pixel_font, shadow_text
from app.ui.text import t
from app.ui.views.overlays import HALO, free_place
from app.ui.views.probability_overlay import sample

CHART_COLOUR = "#FF8AD8"  # no node, plan or earlier zone has it
STEP_PX = 2.0
COLD_COLOURS = ("#D6F1FF", "#8CCBFF", "#4C9BFF")


@dataclass(frozen=True, slots=True, eq=False)
class ZoneLine:
    """One surface: where ``level`` (mm, positive inside) is 0."""

    name: str
    level: np.ndarray
    geometry: object
    colour: str
    width: float
    dotted: bool = False


def criterion_words(name: str) -> str:
    """A criterion of the solved course in words."""
    if name.startswith("cold_") and name.endswith("_c"):
        return f"{name[5:-2]} °C".replace("-", "−")
    return {"omega_1": t("Ω 1"), "cem43_240_min": t("240 min at 43 °C"), "hot_60_c": t("60 °C"), "cold_or_heat": t("cold or heat")}[name]


def zone_lines(thermal) -> list[ZoneLine]:
    """The lines of a ``ThermalResult``: chart zones, and, where the course is solved, its isotherms and heat zone."""
    if thermal is None:
        return []
    levels = thermal.levels
    geometry = levels.grid.geometry
    lines = [ZoneLine("", levels.small, geometry, CHART_COLOUR, 1.0, True), ZoneLine("", levels.large, geometry, CHART_COLOUR, 1.0, True),
             ZoneLine(t("chart zone (prior)"), levels.whole, geometry, CHART_COLOUR, 2.2)]
    if thermal.bioheat is not None:
        cold = [n for n in thermal.bioheat.levels if n.startswith("cold_") and n != "cold_or_heat"]
        for name, zone in thermal.bioheat.levels.items():
            if name in cold:
                colour = COLD_COLOURS[min(cold.index(name), 2)]
            elif name == "omega_1":
                colour = "#FF6F59"
            else:
                continue  # told in the table; more lines would only cover each other
            lines.append(ZoneLine(criterion_words(name), zone.whole, zone.grid.geometry, colour, 1.6))
    return lines


class ThermalOverlay:
    """The lines on one pane; each is worked out once for a slice and view."""

    def __init__(self, pane):
        self.pane = pane
        self._key: tuple | None = None
        self._of = None
        self._drawn: list[tuple[ZoneLine, np.ndarray]] = []

    def draw(self, painter: QPainter) -> None:
        """Lines and their names."""
        s, pane, view = self.pane.session, self.pane, self.pane.view
        thermal = s.thermal if s.show_field else None
        if thermal is None:
            self._of = self._key = None
            return
        key = (pane.slice_number, view.middle, view.px_per_mm, view.width, view.height)
        if thermal is not self._of or key != self._key:
            self._drawn = []
            for line in zone_lines(thermal):
                values = sample(line.level, line.geometry, pane.geometry, view, pane.slice_number, STEP_PX)
                self._drawn.append((line, kernels.contour_segments(np.nan_to_num(values, nan=-1e3), 0.0) * STEP_PX))
            self._of, self._key = thermal, key
        taken: list[QRectF] = []
        for line, segments in self._drawn:
            if len(segments) == 0:
                continue
            # Dashes by place: segments come unordered, a pen's pattern would begin anew at each.
            lines = [QLineF(*four) for four in segments.tolist() if not line.dotted or (round(four[0] / 5) + round(four[1] / 5)) % 2 == 0]
            for pen in (QPen(HALO, line.width + 1.8), QPen(QColor(line.colour), line.width)):
                painter.setPen(pen)
                painter.drawLines(lines)
        painter.setFont(pixel_font(11, bold=True))
        for n, (line, segments) in enumerate(self._drawn):
            if len(segments) and line.name:
                angle = -0.5 + 0.8 * n
                best = segments[int(np.argmax(segments[:, :2] @ np.array([np.cos(angle), np.sin(angle)])))]
                shadow_text(painter, free_place(painter, view.width, view.height, float(best[0]) + 5, float(best[1]) + 4, line.name, taken), line.name, line.colour)
