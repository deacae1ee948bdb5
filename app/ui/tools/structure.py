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
        """Grow a structure of the chosen kind from here."""
        self.at = event
        if event.on_volume:
            self.session.outline_structure(tuple(float(v) for v in event.point))
