"""The 3D pane's part for RFA and cryo + RF: surfaces of the chart zones and of the solved course, with their legend."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QColor, QPainter

from app.ui.text import t
from app.ui.views.field_legend import Band, draw_bands
from app.ui.views.plan_ghosts import rgb
from app.ui.views.scene_field import BONE_OPACITY, LEGEND_TOP
from app.ui.views.scene_planned import PlannedInScene
from app.ui.views.thermal_zones import CHART_COLOUR, zone_lines

PART = "thermal"
OPACITY = 0.28
BESIDE_OPACITY = 0.16  # of the chart zone where the course is solved: its surfaces lie in it
COURSE_OPACITY = 0.3
REACH_MM = 10.0


class ThermalInScene(PlannedInScene):
    """Mixed into ``ScenePane`` in place of ``PlannedInScene``."""

    def _start_field(self) -> None:
        super()._start_field()
        self._thermal_of = None
        self._thermal_bands: tuple[Band, ...] = ()
        for signal in (self.session.thermal_changed, self.session.display_changed):
            signal.connect(self._take_thermal)

    def _take_field(self) -> None:
        super()._take_field()
        self._take_thermal()

    def _take_thermal(self) -> None:
        if self.scene is None:
            return
        thermal = self.session.thermal if self.session.show_field else None
        if thermal is self._thermal_of:
            return
        self._thermal_of, self._thermal_bands = thermal, ()
        self.scene.remove(PART)
        self.scene.remove_all(f"{PART}:")
        self._show_parts()
        if thermal is None:
            return
        from app.ui.scene.surfaces import iso_surface

        lines = [line for line in zone_lines(thermal) if line.name]  # the chart's spread has no name and is shown in slices

        def work(_context):
            return thermal, [(line, iso_surface(np.clip(np.nan_to_num(line.level, nan=-REACH_MM), -REACH_MM, REACH_MM), line.geometry, 0.0)) for line in lines]

        self.session.jobs.start(t("Chart zone"), work, key="scene-thermal", quiet=True, on_done=self._show_thermal)

    def _show_thermal(self, found) -> None:
        thermal, surfaces = found
        if self.scene is None or thermal is not self._thermal_of:
            return
        bands = []
        for line, surface in surfaces:
            chart = line.colour == CHART_COLOUR
            opacity = (OPACITY if len(surfaces) == 1 else BESIDE_OPACITY) if chart else COURSE_OPACITY
            self.scene.set_surface(PART if chart else f"{PART}:{line.name}", *surface, rgb(line.colour), opacity, specular=0.2)
            words = line.name if len(surface[1]) else t("{name}: nowhere reached").format(name=line.name)
            colour = QColor(line.colour)
            bands.append(Band(words, (colour.red(), colour.green(), colour.blue()), see_through=True))
        self._thermal_bands = tuple(bands)
        self._show_parts()

    def _show_parts(self) -> None:
        super()._show_parts()
        if self._thermal_bands:
            self.scene.set_opacity("context:bone", BONE_OPACITY)

    def _draw_field_legends(self, painter: QPainter) -> None:
        super()._draw_field_legends(painter)
        if self._thermal_bands and self.session.solution is None:
            draw_bands(painter, t("Zones"), self._thermal_bands, 10.0, LEGEND_TOP)
