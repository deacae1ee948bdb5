"""Click a contrast-filled vessel or an airway: it becomes a structure at risk of the plan."""

from __future__ import annotations

from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool


class StructureTool(Tool):
    """One click, one structure; its outline follows when it has been grown."""

    name = "structure"

    def hint(self) -> str:
        """What the mouse does now."""
        return t("Click inside a vessel or airway that the field must spare")

    def press(self, event: PaneEvent) -> None:
        """Grow the structure from here, under the first free name."""
        self.at = event
        if event.on_volume:
            used = {name for name, _, _ in self.session.plan.at_risk}
            name = next(n for n in (f"vessel {i}" for i in range(1, 100)) if n not in used)
            self.session.outline_structure(name, tuple(float(v) for v in event.point))
