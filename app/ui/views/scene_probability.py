"""The 3D pane's part for robustness and proposals: the surface that nearly all samples reach, and needles only looked at."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QPainter

from app.ui.style import pixel_font, shadow_text
from app.ui.text import t
from app.ui.views import overlays
from app.ui.views.field_legend import Band, draw_bands
from app.ui.views.probability_overlay import SURE, probability_table
from app.ui.views.proposal_ghosts import GHOST_COLOUR, GHOST_OPACITY, GHOST_RGB, ghost_name
from app.ui.views.scene_field import LEGEND_TOP, FieldInScene

HALF = 0.5
LOOKS = {SURE: (230, 0.42), HALF: (110, 0.14)}  # row of the wash's table, opacity


class ProbabilityInScene(FieldInScene):
    """Mixed into ``ScenePane`` in place of ``FieldInScene``; what the colours show is the session's choice."""

    def _start_field(self) -> None:
        super()._start_field()
        self._probability_of = None
        self.session.robustness_changed.connect(self._take_probability)
        self.session.proposals_changed.connect(self._take_ghosts)

    def _take_field(self) -> None:
        super()._take_field()
        self._take_probability()
        self._take_ghosts()

    def _take_probability(self) -> None:
        """Surfaces of the map's shares; a job."""
        if self.scene is None:
            return
        kept = self.session.robustness
        result = None if kept is None else kept.result
        if result is self._probability_of:
            return
        self._probability_of = result
        self.scene.remove_all("probability:")
        self._show_parts()
        if result is None:
            return
        from app.ui.scene.surfaces import iso_surface

        values = np.array(result.probability, np.float32)
        self.session.jobs.start(
            t("Probability surface"), lambda _: (result, {level: iso_surface(values, result.geometry, level) for level in LOOKS}), key="scene-probability", quiet=True, on_done=self._show_probability
        )

    def _show_probability(self, found) -> None:
        result, surfaces = found
        if self.scene is None or result is not self._probability_of:
            return
        for level, surface in surfaces.items():
            row, opacity = LOOKS[level]
            self.scene.set_surface(f"probability:{level:g}", *surface, tuple(float(v) / 255 for v in probability_table()[row]), opacity, specular=0.3)
        self._show_parts()

    def _take_ghosts(self) -> None:
        if self.scene is None:
            return
        self.scene.remove_all("ghost:")
        for n in self.session.ghost_needles:
            self.scene.set_needle(f"ghost:{n.id}", n.tip_mm, n.entry_mm, n.exposure_mm, n.diameter_mm)
            self.scene.set_colour(f"ghost:{n.id}", GHOST_RGB)
            self.scene.set_opacity(f"ghost:{n.id}", GHOST_OPACITY)
        self._changed()

    @property
    def shows_probability(self) -> bool:
        """True while the map's surfaces are on screen."""
        return self.session.shown_probability is not None and not self.shows_margin and any(n.startswith("probability:") for n in self.scene.parts)

    def _show_parts(self) -> None:
        super()._show_parts()
        on = self.session.shown_probability is not None and not self.shows_margin
        for name in self.scene.parts:
            if name.startswith("probability:"):
                self.scene.set_visible(name, on)
            elif on and (name == "field" or name.startswith("field:") or name == "uncovered"):
                self.scene.set_visible(name, False)
        self._changed()

    @property
    def shows_uncovered(self) -> bool:
        """True while an uncovered part is on screen."""
        return super().shows_uncovered and self.session.shown_probability is None

    def _draw_field_legends(self, painter: QPainter) -> None:
        if self.session.shown_probability is None or self.shows_margin:
            super()._draw_field_legends(painter)
        elif self.shows_probability:
            bands = [
                Band(t("{p} % of samples or more").format(p=f"{100 * level:g}"), tuple(int(v) for v in probability_table()[row]), see_through=True)
                for level, (row, _) in LOOKS.items() if f"probability:{level:g}" in self.scene.parts
            ]  # fmt: skip
            draw_bands(painter, t("At or above {v} V/cm in").format(v=f"{self.session.plan.lethal_v_per_cm:g}"), bands, 10.0, LEGEND_TOP)
        painter.setFont(pixel_font(11))
        taken: list = []
        for needle in self.session.ghost_needles:
            x, y = self._screen_of(needle.entry_mm)
            name = ghost_name(self.session, needle)
            shadow_text(painter, overlays.free_place(painter, self.width(), self.height(), x + 6, y + 12, name, taken), name, GHOST_COLOUR)
