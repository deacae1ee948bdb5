"""The 3D pane's part for RFA and cryo + RF: the surface of the chart zones, or of the zone of the solved course."""

from __future__ import annotations

import numpy as np

from app.ui.text import t
from app.ui.views.plan_ghosts import rgb
from app.ui.views.scene_planned import PlannedInScene
from app.ui.views.thermal_zones import CHART_COLOUR

OPACITY = 0.28


class ThermalInScene(PlannedInScene):
    """Mixed into ``ScenePane`` in place of ``PlannedInScene``."""

    def _start_field(self) -> None:
        super()._start_field()
        self._thermal_of = None
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
        self._thermal_of = thermal
        self.scene.remove("thermal")
        self._changed()
        if thermal is None:
            return
        from app.ui.scene.surfaces import iso_surface

        level, geometry = np.clip(thermal.levels.whole, -10.0, 10.0), thermal.levels.grid.geometry
        self.session.jobs.start(t("Chart zone"), lambda _context: (thermal, iso_surface(level, geometry, 0.0)), key="scene-thermal", quiet=True, on_done=self._show_thermal)

    def _show_thermal(self, found) -> None:
        thermal, surface = found
        if self.scene is None or thermal is not self._thermal_of:
            return
        self.scene.set_surface("thermal", *surface, rgb(CHART_COLOUR), OPACITY, specular=0.2)
        self._changed()
