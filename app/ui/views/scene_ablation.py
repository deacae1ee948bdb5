"""The 3D pane's part for the margin after an ablation: the lesion's surface in bands of its margin, on the pictures on screen."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QPainter

from app.ui.text import t
from app.ui.views.colour_tables import MARGIN_BANDS, margin_colours
from app.ui.views.field_legend import Band, draw_bands
from app.ui.views.scene_field import BONE_OPACITY, LEGEND_TOP
from app.ui.views.scene_thermal import ThermalInScene

PART = "ablation"
ZONE_OPACITY = 0.22
OF_THE_PLAN = ("field", "uncovered", "probability", "thermal", "earlier")  # hidden meanwhile: a plan is not what was reached


class AblationInScene(ThermalInScene):
    """Mixed into ``ScenePane`` in place of ``ThermalInScene``. Shown in the follow-up step only."""

    def _start_field(self) -> None:
        super()._start_field()
        self._ablation_of = None
        self._ablation_was_on = False
        for signal in (self.session.ablation_changed, self.session.step_changed):
            signal.connect(self._take_ablation)

    def _take_field(self) -> None:
        super()._take_field()
        self._take_ablation()

    def _take_ablation(self, *_of) -> None:
        if self.scene is None:
            return
        s = self.session
        result = s.ablation if s.ablation_in_scene and s.step == "follow_up" else None
        if result is self._ablation_of:
            return
        self._ablation_of = result
        self.scene.remove(PART)
        self._show_parts()
        if result is None:
            return
        from app.ui.scene.surfaces import mask_surface, nearest_values

        def work(_context):
            vertices, faces = mask_surface(result.lesion.array, result.lesion.geometry)
            margins = nearest_values(vertices, result.points_mm, result.distances_mm)
            carried = vertices @ result.to_screen[:3, :3].T + result.to_screen[:3, 3]
            return result, (carried.astype(np.float32), faces), margin_colours(margins)

        s.jobs.start(t("Margin surface"), work, key="scene-ablation", quiet=True, on_done=self._show_ablation)

    def _show_ablation(self, found) -> None:
        result, surface, colours = found
        if self.scene is None or result is not self._ablation_of:
            return
        self.scene.set_surface(PART, *surface, (1.0, 1.0, 1.0), colours=colours)
        self._show_parts()

    @property
    def shows_ablation(self) -> bool:
        """True while a lesion's surface is coloured by the margin that was reached."""
        return self.scene is not None and PART in self.scene.parts

    def _show_parts(self) -> None:
        super()._show_parts()
        if self.scene is None or not (self.shows_ablation or self._ablation_was_on):
            return
        on, result = self.shows_ablation, self._ablation_of
        self._ablation_was_on = on
        for name in self.scene.parts:
            if name.split(":")[0] in OF_THE_PLAN and on:
                self.scene.set_visible(name, False)
            elif name.split(":")[0] in OF_THE_PLAN[3:]:  # the others were set by what shows them
                self.scene.set_visible(name, True)
            elif name.startswith("node:"):
                node_id = name.removeprefix("node:")
                is_lesion = on and result.earlier_is_here and node_id == result.choice.lesion
                is_around = on and node_id in ((result.choice.liver,) if result.earlier_is_here else (result.choice.zone,))
                self.scene.set_visible(name, not is_lesion)
                if on or node_id != self._target()[0]:
                    self.scene.set_opacity(name, ZONE_OPACITY if is_around else 1.0)
        if on:
            self.scene.set_opacity("context:bone", BONE_OPACITY)
        self._changed()

    def _draw_field_legends(self, painter: QPainter) -> None:
        if not self.shows_ablation:
            super()._draw_field_legends(painter)
            return
        result = self._ablation_of
        residual = result.answer.carried.residual_mm
        error = t("error not known") if residual is None else t("error {mm:.1f} mm").format(mm=residual)
        bands = [Band(t(band.text), band.rgb) for band in MARGIN_BANDS]
        draw_bands(painter, t("Margin reached, {name}; registration {error}").format(name=result.labels[0], error=error), bands, 10.0, LEGEND_TOP)
