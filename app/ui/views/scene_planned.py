"""The 3D pane's part for kept runs: needles as planned while they are laid as they lie, and the zone of an earlier session."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QPainter

from app.ui.style import pixel_font, shadow_text
from app.ui.text import t
from app.ui.views import overlays
from app.ui.views.plan_ghosts import EARLIER_COLOUR, PLANNED_COLOUR, rgb
from app.ui.views.scene_probability import ProbabilityInScene

PLANNED_OPACITY, ZONE_OPACITY = 0.45, 0.22


class PlannedInScene(ProbabilityInScene):
    """Mixed into ``ScenePane`` in place of ``ProbabilityInScene``."""

    def _start_field(self) -> None:
        super()._start_field()
        self._planned_of = self._zone_of = None
        for signal in (self.session.kept_runs_changed, self.session.plan_changed, self.session.comparison_changed):
            signal.connect(self._take_kept)

    def _take_field(self) -> None:
        super()._take_field()
        self._take_kept()

    def _take_kept(self) -> None:
        if self.scene is None:
            return
        placement = self.session.placement
        planned = None if placement is None else placement.planned
        if planned is not self._planned_of:
            self._planned_of = planned
            self.scene.remove_all("planned:")
            for n in planned or ():
                self.scene.set_needle(f"planned:{n.id}", n.tip_mm, n.entry_mm, n.exposure_mm, n.diameter_mm)
                self.scene.set_colour(f"planned:{n.id}", rgb(PLANNED_COLOUR))
                self.scene.set_opacity(f"planned:{n.id}", PLANNED_OPACITY)
            self._changed()
        zone = self.session.earlier_zone
        if zone is self._zone_of:
            return
        self._zone_of = zone
        self.scene.remove("earlier")
        self._changed()
        if zone is None:
            return
        from app.ui.scene.surfaces import iso_surface

        self.session.jobs.start(
            t("Earlier zone"), lambda _: (zone, iso_surface(np.nan_to_num(zone.field.e_max_v_per_cm), zone.field.geometry, zone.lethal_v_per_cm)), key="scene-earlier", quiet=True, on_done=self._show_zone
        )

    def _show_zone(self, found) -> None:
        zone, surface = found
        if self.scene is None or zone is not self._zone_of:
            return
        self.scene.set_surface("earlier", *surface, rgb(EARLIER_COLOUR), ZONE_OPACITY, specular=0.2)
        self._changed()

    def _draw_field_legends(self, painter: QPainter) -> None:
        super()._draw_field_legends(painter)
        painter.setFont(pixel_font(11))
        taken: list = []
        for needle in self._planned_of or ():
            x, y = self._screen_of(needle.tip_mm)
            name = t("{id} planned").format(id=needle.id)
            shadow_text(painter, overlays.free_place(painter, self.width(), self.height(), x + 6, y + 12, name, taken), name, PLANNED_COLOUR)
        if self._zone_of is not None and "earlier" in self.scene.parts:
            painter.setFont(pixel_font(11, bold=True))
            label = self._zone_of.label
            width = painter.fontMetrics().horizontalAdvance(label)
            shadow_text(painter, overlays.inside_pane(painter, self.width(), self.height(), self.width() / 2 - width / 2, self.height() - 36.0, label), label, EARLIER_COLOUR)
