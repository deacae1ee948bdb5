"""Calipers, and the three diameters of an ellipsoid in two planes."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF
from PySide6.QtGui import QPainter

from app.ui.style import CALIPER_COLOUR, MUTED, TEXT, WARNING
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.views import overlays
from volumetry.calibration import CalibrationRefused
from volumetry.ultrasound_length import length_on_picture

SHORTEST_PX = 3.0


class CaliperTool(Tool):
    """Press at one end, drag to the other; or click both ends one after the other."""

    name = "caliper"
    works_on_pictures = True

    def __init__(self, session):
        super().__init__(session)
        self._start: PaneEvent | None = None
        self._waiting = False  # first end was clicked, second is awaited

    def hint(self) -> str:
        """What the mouse does now."""
        return t("Click the other end") if self._waiting else t("Drag from end to end, or click both ends")

    def press(self, event: PaneEvent) -> None:
        """First end, or the second where the first was clicked."""
        self.at = event
        if self._start is None or self._start.pane is not event.pane:
            self._start, self._waiting = event, False

    def move(self, event: PaneEvent) -> None:
        """The line follows."""
        self.at = event

    def hover(self, event: PaneEvent) -> None:
        """The line follows between two clicks."""
        self.at = event

    def release(self, event: PaneEvent) -> None:
        """Done, or wait for the second click."""
        self.at = event
        if self._start is None:
            return
        if np.hypot(event.x - self._start.x, event.y - self._start.y) < SHORTEST_PX:
            self._waiting = True
            return
        start, self._start, self._waiting = self._start, None, False
        self.finish(start, event)

    def finish(self, start: PaneEvent, end: PaneEvent) -> None:
        """Hand the two points to the session."""
        self.session.add_caliper([tuple(start.point), tuple(end.point)])

    def cancel(self) -> None:
        """Forget the first end."""
        self._start, self._waiting = None, False

    def length_text(self, start: PaneEvent, end: PaneEvent) -> tuple[str, str | None]:
        """Length of the line under way and, on a picture, why there is none in mm."""
        if start.on_volume:
            return f"{np.linalg.norm(end.point - start.point):.1f} mm", None
        pixels = float(np.hypot(*(end.point - start.point)))
        try:
            return f"{length_on_picture(self.session.picture.calibration_at(start.pane.shown_frame), tuple(start.point), tuple(end.point)).length_mm:.1f} mm", None
        except CalibrationRefused as refused:
            return f"{pixels:.0f} px", refused.message

    def paint(self, painter: QPainter, pane) -> None:
        """The line under way."""
        if self._start is None or self.at is None or self._start.pane is not pane or self.at.pane is not pane:
            return
        text, _ = self.length_text(self._start, self.at)
        overlays.draw_length(painter, QPointF(self._start.x, self._start.y), QPointF(self.at.x, self.at.y), text, CALIPER_COLOUR, dashed=True)

    def live_lines(self) -> list[tuple[str, str]]:
        """The reason where a length is refused."""
        if self._start is None or self.at is None or self.at.pane is not self._start.pane:
            return []
        text, refusal = self.length_text(self._start, self.at)
        return [(text, TEXT), (refusal, WARNING)] if refusal else []


# The order in which they are drawn: two in the longitudinal plane, two in the transverse one. The
# depth is seen in both; that they agree is the check on the planes.
SLOTS = {
    "length": ("length", "longitudinal"),
    "depth_longitudinal": ("depth", "longitudinal"),
    "width": ("width", "transverse"),
    "depth_transverse": ("depth", "transverse"),
}


class EllipsoidTool(CaliperTool):
    """Length and, at right angles to it, depth in the longitudinal plane; width and depth in the
    transverse one."""

    name = "ellipsoid"

    def __init__(self, session):
        super().__init__(session)
        self._proposal: tuple | None = None  # (pane, start point, end point) of the perpendicular

    def next_slot(self) -> str | None:
        """The diameter that is drawn next; None when all are there or no node is current. On a still
        those of the plane that the reader stated for it."""
        state = self.session.nodes.get(self.session.current_node_id)
        if state is None:
            return None
        still = self.session.still
        return next((slot for slot in self._slots() if slot not in state.calipers or (still is not None and (state.calipers[slot].source, state.calipers[slot].frame) != still)), None)

    def _slots(self) -> list[str]:
        """The diameters that can be drawn here, in order."""
        if self.session.picture is None:
            return list(SLOTS)
        return [slot for slot, (_, plane) in SLOTS.items() if plane == self.session.plane_of_still()]

    def _slot(self) -> str:
        """The diameter that a line drawn now is: with all of them there it begins again."""
        return self.next_slot() or next(iter(self._slots()), "length")

    def hint(self) -> str:
        """Which diameter comes next."""
        if self.session.current_node_id is None:
            return t("Choose or add a node first")
        if self.session.picture is not None and self.session.plane_of_still() is None:
            return t("State first what this still shows: longitudinal (Shift+L) or transverse (Shift+T)")
        return {
            "length": t("Length: longest diameter, longitudinal plane"),
            "depth_longitudinal": t("Depth: at right angles, same plane · click the dashed proposal to take it"),
            "width": t("Width: longest diameter, transverse plane"),
            "depth_transverse": t("Depth: at right angles, transverse plane · click the dashed proposal to take it"),
            None: t("All diameters are drawn · drawing again begins with the length"),
        }[self.next_slot()]

    def press(self, event: PaneEvent) -> None:
        """Take the proposal where it was clicked, else begin a line."""
        if self.session.current_node_id is None:
            self.session.notice.emit("warning", t("Choose or add a node first: the diameters belong to a node."))
            return
        if not event.on_volume and self.session.plane_of_still() is None:
            self.session.notice.emit("warning", t("State first what this still shows: longitudinal (Shift+L) or transverse (Shift+T)."))
            return
        super().press(event)

    def release(self, event: PaneEvent) -> None:
        """A click on the dashed proposal takes it; else as a caliper."""
        clicked = self._start is not None and np.hypot(event.x - self._start.x, event.y - self._start.y) < SHORTEST_PX and not self._waiting
        if clicked and self._proposal is not None and self._proposal[0] is event.pane and self._near_proposal(event):
            _, a, b = self._proposal
            self._start, self._proposal = None, None
            self._file(a, b)
            return
        super().release(event)

    def finish(self, start: PaneEvent, end: PaneEvent) -> None:
        """File the line; after a longest diameter, propose its perpendicular."""
        self._proposal = None
        before = self._slot()
        self._file(start.point, end.point)
        if before in ("length", "width") and self.next_slot() not in (before, None):
            a, b = event_screen(start), event_screen(end)
            middle, half = (a + b) / 2, (b - a) / 2 * 0.6  # most nodes: depth is about 0.6 of the length
            across = np.array([-half[1], half[0]])
            self._proposal = (end.pane, end.pane.point_at(*(middle - across)), end.pane.point_at(*(middle + across)))

    def _file(self, a, b) -> None:
        role, plane = SLOTS[self._slot()]
        self.session.add_caliper([tuple(a), tuple(b)], role=role, plane=plane)

    def cancel(self) -> None:
        """Forget the first end and the proposal."""
        super().cancel()
        self._proposal = None

    def _near_proposal(self, event: PaneEvent) -> bool:
        pane, a, b = self._proposal
        a, b = np.array(pane.screen_of(a)), np.array(pane.screen_of(b))
        here, along = np.array([event.x, event.y]), b - a
        s = float(np.clip((here - a) @ along / max(along @ along, 1e-9), 0, 1))
        return float(np.linalg.norm(here - a - s * along)) < 8

    def paint(self, painter: QPainter, pane) -> None:
        """The line under way and the proposed perpendicular."""
        if self._proposal is not None and self._proposal[0] is pane and self.next_slot() in ("depth_longitudinal", "depth_transverse"):
            a, b = (QPointF(*pane.screen_of(p)) for p in self._proposal[1:])
            overlays.draw_length(painter, a, b, t("depth?"), MUTED, dashed=True)
        super().paint(painter, pane)


def event_screen(event: PaneEvent) -> np.ndarray:
    """Pixel of an event."""
    return np.array([event.x, event.y])
