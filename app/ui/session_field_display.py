"""The session's part for what is seen of a solved field in space: field or margin, and which surfaces."""

from __future__ import annotations

SCENE_FIELD, SCENE_MARGIN = "field", "margin"


class FieldDisplayPart:
    """Mixed into ``Session``; how the field is shown belongs to the window, not to the plan, and is no step of undo."""

    scene_shows = SCENE_FIELD
    more_surfaces_v_per_cm: frozenset[float] = frozenset()

    def show_in_scene(self, what: str) -> None:
        """``field``: iso-surfaces and the target's uncovered part; ``margin``: the margin map on the target's surface."""
        if what not in (SCENE_FIELD, SCENE_MARGIN):
            raise ValueError(what)
        if what != self.scene_shows:
            self.scene_shows = what
            self.display_changed.emit()

    def show_surface(self, v_per_cm: float, shown: bool) -> None:
        """Show the surface of another threshold beside the lethal one, or take it away."""
        wanted = self.more_surfaces_v_per_cm | {float(v_per_cm)} if shown else self.more_surfaces_v_per_cm - {float(v_per_cm)}
        if wanted != self.more_surfaces_v_per_cm:
            self.more_surfaces_v_per_cm = wanted
            self.display_changed.emit()

    def surfaces_in_scene(self) -> list[float]:
        """Thresholds whose surfaces are shown, V/cm, the lethal one always among them."""
        plan = self.plan
        return sorted({float(plan.lethal_v_per_cm), *(v for v in plan.thresholds_v_per_cm if float(v) in self.more_surfaces_v_per_cm)})
