"""The wire on an ultrasound picture: clicks along the border, the line between them follows the edge."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt

from app.ui.style import MUTED
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.tools.picture_outline import axes_lines

NEAR_PX = 8.0


class LivewireTool(Tool):
    """Click along the node's border. Enter, a second click on the last point or a click on the first one
    closes the wire; Backspace takes the last point back. Esc puts the tool away and keeps the wire."""

    name = "livewire"
    works_on_pictures = True

    def __init__(self, session):
        super().__init__(session)
        self._asked: tuple | None = None  # cursor and clicks of the wire that was asked for last
        session.outlines_changed.connect(self._preview_came)

    def hint(self) -> str:
        """What the mouse does now."""
        if self.session.picture is None:
            return t("The wire outlines on ultrasound pictures")
        clicks = len(self.session.wire_on())
        if clicks == 0:
            return t("Click on the node's border; the wire follows the edge")
        return t("Click on along the border · Backspace: one back") if clicks < 3 else t("Enter or the first point closes · Backspace: one back")

    def press(self, event: PaneEvent) -> None:
        """The next point; the first or the last one again closes the wire."""
        if event.on_volume:
            return
        self.at = event
        frame = event.pane.shown_frame
        clicks = self.session.wire_on(self.session.still_of(frame))
        if clicks and self._is_near(event, clicks[-1]):
            if len(clicks) >= 3:
                self.session.close_wire(frame)
        elif len(clicks) >= 3 and self._is_near(event, clicks[0]):
            self.session.close_wire(frame)
        else:
            self.session.add_wire_point(frame, event.point)

    def hover(self, event: PaneEvent) -> None:
        """The wire follows the cursor."""
        self.at = event
        self._ask()

    def move(self, event: PaneEvent) -> None:
        """As ``hover``: a point is where the button went down."""
        self.hover(event)

    def _ask(self) -> None:
        """One wire is worked out at a time; that to the mouse's last place follows when it came."""
        wanted = self._wanted()
        if wanted is not None and wanted != self._asked and not self.session.jobs.is_busy("picture-preview"):
            self._asked = wanted
            self.session.preview_wire(wanted[0], self.at.point)

    def _wanted(self) -> tuple | None:
        session = self.session
        if self.at is None or self.at.on_volume or session.picture is None or session.tool != self.name:
            return None
        frame = self.at.pane.shown_frame
        clicks = session.wire_on(session.still_of(frame)) if frame is not None else ()
        return (frame, *np.round(self.at.point, 1), clicks) if clicks else None

    def _preview_came(self) -> None:
        self._ask()

    def key_pressed(self, pane, key: int) -> bool:
        """Enter closes, Backspace takes the last point back."""
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.session.close_wire(pane.shown_frame)
        elif key == Qt.Key.Key_Backspace:
            self.session.drop_wire_point(pane.shown_frame)
        else:
            return False
        return True

    def cancel(self) -> None:
        """The wire stays as far as it was clicked; the part to the cursor goes."""
        self._asked = None
        if self.session.picture is not None and self.session.wire_on():
            self.session.preview_wire(self.session.frame_index)
        else:
            self.session.drop_picture_preview()

    def live_lines(self) -> list[tuple[str, str]]:
        """What the wire would hold if it were closed straight from the cursor."""
        session = self.session
        if self.at is None or session.picture is None:
            return []
        still = session.still_of(self.at.pane.shown_frame)
        clicks = session.wire_on(still)
        if not clicks:
            return []
        lines = [(t("{n} points").format(n=len(clicks)), MUTED)]
        preview = session.picture_preview
        if len(clicks) >= 2 and preview is not None and preview[0] == still and preview[1] is not None:
            lines = [*axes_lines(preview[1].axes), (t("closed straight from here"), MUTED)]
        return lines

    @staticmethod
    def _is_near(event: PaneEvent, point) -> bool:
        return bool(np.hypot(*np.subtract(event.pane.screen_of(point), (event.x, event.y))) <= NEAR_PX)
