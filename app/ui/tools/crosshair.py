"""No tool in hand: a click sets the crosshair everywhere."""

from __future__ import annotations

from PySide6.QtCore import Qt

from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool


class CrosshairTool(Tool):
    """Click or drag moves the crosshair; Shift+click also brings the point to the middle of every pane."""

    name = "crosshair"
    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, session, centre_all=None):
        super().__init__(session)
        self._centre_all = centre_all

    def hint(self) -> str:
        """What the mouse does now."""
        picture = self.session.picture
        if picture is not None:
            return t("Right drag: window · wheel: frame") if not picture.is_still else t("Right drag: window")
        return t("Click: crosshair · right drag: window · wheel: slice")

    def press(self, event: PaneEvent) -> None:
        """Set the crosshair."""
        if event.on_volume:
            self.session.set_crosshair(event.point)
            if event.has(Qt.KeyboardModifier.ShiftModifier) and self._centre_all is not None:
                self._centre_all()

    def move(self, event: PaneEvent) -> None:
        """Drag the crosshair."""
        if event.on_volume and not event.has(Qt.KeyboardModifier.ShiftModifier):
            self.session.set_crosshair(event.point)
