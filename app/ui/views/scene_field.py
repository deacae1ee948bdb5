"""The 3D pane's part for a solved field: iso-surfaces, the target's uncovered part, the margin map, and their legends."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import DANGER, TEXT, node_colour, pixel_font, shadow_text
from app.ui.text import t
from app.ui.tools.base import draft_mask
from app.ui.views import overlays
from app.ui.views.colour_tables import MARGIN_BANDS, UNCOVERED_RGB, field_range, field_table, margin_colours
from app.ui.views.field_legend import Band, draw_bands

LEGEND_TOP = 44.0
COVERED_OPACITY = 0.45  # of a target whose uncovered part is shown in it
LETHAL_OPACITY, MORE_OPACITY = 0.28, 0.14
BONE_OPACITY = 0.3  # of bone in front of a field: the target must be seen behind it


def surface_colour(level: float, thresholds, lethal: float) -> tuple[int, int, int]:
    """Colour of an iso-surface: that of the wash at its level; the lethal one is the bar's brightest yellow."""
    if level == lethal:
        return (253, 231, 77)
    low, high = field_range(thresholds)
    table = field_table()
    return tuple(int(v) for v in table[int(np.clip((level - low) / (high - low) * 255, 0, 255))])


class FieldInScene:
    """Mixed into ``ScenePane``: uses its scene, session and ``_changed``."""

    def _start_field(self) -> None:
        self._field_of: tuple | None = None  # solution and levels: kept, so that no address is mistaken for another
        self._uncovered_of: tuple | None = None
        self._uncovered_at: np.ndarray | None = None
        self._coloured: set[str] = set()

    # ---- iso-surfaces ----------------------------------------------------------------
    def _take_field(self) -> None:
        if self.scene is None:
            return
        for node_id in self.session.nodes:
            self._take_node(node_id)
        self._take_uncovered()
        self._take_surfaces()

    def _take_outlined(self, _node_id: str) -> None:
        self._take_field()

    def _take_surfaces(self) -> None:
        solution = self.session.solution
        levels = tuple(self.session.surfaces_in_scene())
        key = None if solution is None else (solution, levels, self.session.plan.lethal_v_per_cm)
        if key is None and self._field_of is None:
            return
        if key is not None and self._field_of is not None and key[0] is self._field_of[0] and key[1:] == self._field_of[1:]:
            return
        self._field_of = key
        if solution is None:
            self.scene.remove("field")
            self.scene.remove_all("field:")
            self._changed()
            return
        from app.ui.scene.surfaces import iso_surface

        values = np.nan_to_num(solution.e_max_v_per_cm)
        self.session.jobs.start(
            t("Field surface"), lambda _: (solution, levels, [iso_surface(values, solution.geometry, level) for level in levels]), key="scene-field", quiet=True, on_done=self._show_surfaces
        )

    def _show_surfaces(self, result) -> None:
        solution, levels, surfaces = result
        plan = self.session.plan
        if self.scene is None or solution is not self.session.solution or list(levels) != self.session.surfaces_in_scene():
            return
        self.scene.remove_all("field:")
        self.scene.remove("field")
        for level, surface in zip(levels, surfaces, strict=True):
            lethal = level == plan.lethal_v_per_cm
            colour = tuple(v / 255 for v in surface_colour(level, plan.thresholds_v_per_cm, plan.lethal_v_per_cm))
            self.scene.set_surface("field" if lethal else f"field:{level:g}", *surface, colour, LETHAL_OPACITY if lethal else MORE_OPACITY, specular=0.3)
        self._show_parts()

    # ---- the uncovered part ----------------------------------------------------------
    def _target(self) -> tuple[str | None, object]:
        """The plan's target on screen: its node and its outline, which may be None."""
        node_id = self.session.plan_target_id or self.session.current_node_id
        if self.session.target_from != "outline":
            return node_id, None  # its outline is not what is planned for
        return node_id, draft_mask(self.session.nodes.get(node_id or ""))

    def _take_uncovered(self) -> None:
        """Surface of what the lethal field leaves of the target; a job. Not while an outline is being painted."""
        s = self.session
        solution, (node_id, draft) = s.solution, self._target()
        if s.is_painting:
            return
        if solution is None or draft is None:
            if self._uncovered_of is not None:
                self._uncovered_of = self._uncovered_at = None
                self.scene.remove("uncovered")
                self._show_parts()
            return
        made_of = (solution, draft, s.nodes[node_id].measurement, s.plan.lethal_v_per_cm)
        if self._uncovered_of is not None and all(a is b for a, b in zip(made_of[:3], self._uncovered_of[:3], strict=True)) and made_of[3] == self._uncovered_of[3]:
            return
        self._uncovered_of = made_of
        from app.ui.scene.margin_surface import uncovered_surface

        copy, geometry, lethal = draft.copy_later(), draft.geometry, made_of[3]
        self.session.jobs.start(
            t("Uncovered part"), lambda _: (made_of, uncovered_surface(copy(), geometry, solution.e_max_v_per_cm, solution.geometry, lethal)), key="scene-uncovered", quiet=True, on_done=self._show_uncovered
        )

    def _show_uncovered(self, result) -> None:
        made_of, surface = result
        if self.scene is None or made_of is not self._uncovered_of:
            return
        from app.ui.scene.margin_surface import label_point

        self._uncovered_at = label_point(surface)
        self.scene.set_surface("uncovered", *surface, tuple(v / 255 for v in UNCOVERED_RGB), specular=0.0)
        self._show_parts()

    # ---- margin ----------------------------------------------------------------------
    def _margin_of(self, node_id: str):
        """The solved plan's margin map of this node where it is to be shown, else None."""
        s = self.session
        if s.scene_shows != "margin" or s.assessment is None or node_id != (s.plan_target_id or s.current_node_id):
            return None
        return s.assessment.margins.get(s.nodes[node_id].node.label)

    @property
    def shows_margin(self) -> bool:
        """True while a node's surface is coloured by its margin."""
        return bool(self._coloured)

    def _show_node(self, result) -> None:
        node_id, surface, margins_mm = result
        if self.scene is None or node_id not in self.session.nodes:
            return
        colour = node_colour(list(self.session.nodes).index(node_id))
        colours = None if margins_mm is None else margin_colours(margins_mm)
        (self._coloured.discard if margins_mm is None else self._coloured.add)(node_id)
        self.scene.set_surface(f"node:{node_id}", *surface, (colour.redF(), colour.greenF(), colour.blueF()), colours=colours)
        self._show_parts()

    # ---- what is seen ----------------------------------------------------------------
    def _take_display(self) -> None:
        if self.scene is None:
            return
        self._take_field()
        self._show_parts()

    def _show_parts(self) -> None:
        """Which parts are on: in the margin map the field's surfaces would hide it."""
        s, scene = self.session, self.scene
        field_on = s.show_field and s.solution is not None and not self.shows_margin
        for name in scene.parts:
            if name == "field" or name.startswith("field:") or name == "uncovered":
                scene.set_visible(name, field_on)
        scene.set_opacity("context:bone", BONE_OPACITY if field_on or self.shows_margin else 1.0)
        target, _ = self._target()
        if target is not None and not self.shows_margin:
            scene.set_opacity(f"node:{target}", COVERED_OPACITY if field_on and "uncovered" in scene.parts else 1.0)
        self._changed()

    @property
    def shows_uncovered(self) -> bool:
        """True while an uncovered part is on screen."""
        return "uncovered" in self.scene.parts and self.session.show_field and not self.shows_margin

    def _draw_field_legends(self, painter: QPainter) -> None:
        """The words that go with the colours, and a name at the uncovered part."""
        s = self.session
        if self.shows_margin:
            bands = [Band(t(band.text), band.rgb) for band in MARGIN_BANDS]
            draw_bands(painter, t("Margin to {v} V/cm").format(v=f"{s.plan.lethal_v_per_cm:g}"), bands, 10.0, LEGEND_TOP)
            return
        if s.solution is None or not s.show_field or ("field" not in self.scene.parts and "uncovered" not in self.scene.parts):
            return
        lethal = s.plan.lethal_v_per_cm
        bands = [
            Band(t("{v} V/cm, lethal").format(v=f"{v:g}") if v == lethal else f"{v:g} V/cm", surface_colour(v, s.plan.thresholds_v_per_cm, lethal), see_through=True)
            for v in s.surfaces_in_scene() if (self._field_name(v) in self.scene.parts)
        ]  # fmt: skip
        if self.shows_uncovered:
            bands.append(Band(t("target below {v} V/cm").format(v=f"{lethal:g}"), UNCOVERED_RGB))
        draw_bands(painter, t("coarse preview, no result") if s.field_is_preview else "", bands, 10.0, LEGEND_TOP)
        if self.shows_uncovered and self._uncovered_at is not None:
            self._name_uncovered(painter)

    def _field_name(self, v_per_cm: float) -> str:
        return "field" if v_per_cm == self.session.plan.lethal_v_per_cm else f"field:{v_per_cm:g}"

    def _name_uncovered(self, painter: QPainter) -> None:
        x, y = self._screen_of(self._uncovered_at)
        painter.setFont(pixel_font(12, bold=True))
        text = t("not covered")
        wide = painter.fontMetrics().horizontalAdvance(text)
        left = x + 34 if x + 40 + wide < self.width() else x - 34 - wide
        at = QPointF(left, max(60.0, min(y - 26, self.height() - 40.0)))
        end = QPointF(left - 3 if left > x else left + wide + 3, at.y() - 4)
        for pen in (QPen(overlays.HALO, 3.0), QPen(QColor(DANGER), 1.2)):
            painter.setPen(pen)
            painter.drawLine(QPointF(x, y), end)
        shadow_text(painter, at, text, TEXT)
        painter.setPen(QPen(QColor(DANGER), 1.2))
        painter.drawRect(QRectF(at.x() - 3, at.y() - 12, wide + 6, 16))
