"""Place needles: entry and tip in any two panes; drag an end or the shaft afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import MUTED, NEEDLE_COLOUR, TEXT
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.views import needles
from app.usecases.plan import NeedleDraft

MAX_NEEDLES = 6
SHORTEST_MM = 5.0


class NeedleTool(Tool):
    """Drag from entry to tip in one pane, or click the two in any panes. Shift on the first point
    begins with the tip; Alt keeps the new needle parallel to the last one."""

    name = "needle"

    def __init__(self, session):
        super().__init__(session)
        self._first: np.ndarray | None = None
        self._first_is_tip = False
        self._pressed: PaneEvent | None = None
        self._held: tuple | None = None  # (needle as it was, part, point where it was taken)

    def hint(self) -> str:
        """What the mouse does now."""
        if self._first is not None:
            return t("Now the entry, in any pane") if self._first_is_tip else t("Now the tip, in any pane · Alt: parallel to the last needle")
        if len(self.session.plan.needles) >= MAX_NEEDLES:
            return t("Six needles are placed: drag them, or remove one")
        return t("Drag from entry to tip, or click both (Shift: tip first) · drag ends or shaft to move")

    # ---- placing ---------------------------------------------------------------------
    def press(self, event: PaneEvent) -> None:
        """Take hold of a needle, or set a point of a new one."""
        self.at = event
        if not event.on_volume:
            return
        if self._first is None:
            held = self.under(event)
            if held is not None:
                self._held = (*held, event.point)
                return
            if len(self.session.plan.needles) >= MAX_NEEDLES:
                self.session.notice.emit("warning", t("A plan has at most six needles."))
                return
            self._first = event.point
            self._first_is_tip = event.has(Qt.KeyboardModifier.ShiftModifier)
        self._pressed = event

    def move(self, event: PaneEvent) -> None:
        """Drag what is held; a new needle follows the mouse."""
        self.at = event
        if self._held is not None and event.on_volume:
            self.session.set_plan(self.session.plan.with_needle(self._moved(event)), live=True)

    def hover(self, event: PaneEvent) -> None:
        """The second point follows the mouse."""
        self.at = event

    def release(self, event: PaneEvent) -> None:
        """Second point of a new needle, or the end of a drag."""
        self.at = event
        if not event.on_volume:
            return
        if self._held is not None:
            needle = self._moved(event)
            self._held = None
            self.session.set_plan(self.session.plan.with_needle(needle), t("Move needle {name}").format(name=needle.id))
            return
        if self._first is None or self._pressed is None:
            return
        first_press = np.array_equal(self._pressed.point, self._first)
        far = np.linalg.norm(event.point - self._first) >= SHORTEST_MM
        self._pressed = None
        if first_press and not far:
            return  # a click: the other point comes in any pane
        if not far:
            self.session.notice.emit("warning", t("Tip and entry are closer than {mm:g} mm: click the other point again.").format(mm=SHORTEST_MM))
            return
        tip, entry = self._ends(event)
        self._first = None
        needle = self._like_last(NeedleDraft(self.session.plan.next_needle_id(), plain(tip), plain(entry)))
        self.session.set_plan(self.session.plan.with_needle(needle), t("Place needle {name}").format(name=needle.id))

    def cancel(self) -> None:
        """Drop a half-placed needle; a needle being dragged goes back."""
        if self._held is not None:
            before = self._held[0]
            self._held = None
            self.session.set_plan(self.session.plan.with_needle(before), live=True)
        self._first = self._pressed = None

    def _ends(self, event: PaneEvent) -> tuple[np.ndarray, np.ndarray]:
        """(tip, entry) of the needle under way with the mouse at ``event``."""
        tip, entry = (self._first, event.point) if self._first_is_tip else (event.point, self._first)
        if event.has(Qt.KeyboardModifier.AltModifier) and self.session.plan.needles:
            last = self.session.plan.needles[-1]
            along = np.subtract(last.entry_mm, last.tip_mm)
            along = along / np.linalg.norm(along)
            length = float(np.linalg.norm(entry - tip))
            if self._first_is_tip:
                entry = tip + along * length
            else:
                tip = entry - along * length
        return np.asarray(tip, float), np.asarray(entry, float)

    def _like_last(self, needle: NeedleDraft) -> NeedleDraft:
        """Exposure and diameter as on the needle before it."""
        if not self.session.plan.needles:
            return needle
        last = self.session.plan.needles[-1]
        return replace(needle, exposure_mm=last.exposure_mm, diameter_mm=last.diameter_mm)

    # ---- moving ----------------------------------------------------------------------
    def under(self, event: PaneEvent) -> tuple | None:
        """(needle, part) under the mouse, the last placed first."""
        pane = event.pane
        for needle in reversed(self.session.plan.needles):
            part = needles.grab(needles.project(needle, pane.view, pane.geometry, pane.slice_number), event.x, event.y)
            if part is not None:
                return needle, part
        return None

    def _moved(self, event: PaneEvent) -> NeedleDraft:
        """The held needle with its end or shaft moved in the pane's plane. The distance from the
        slice is kept: a drag never moves a point in a direction that the pane does not show."""
        needle, part, taken = self._held
        shift = event.point - taken
        tip, entry = np.asarray(needle.tip_mm, float), np.asarray(needle.entry_mm, float)
        if part == "shaft":
            tip, entry = tip + shift, entry + shift
        elif part == "tip":
            tip = tip + shift
        else:
            entry = entry + shift
        if np.linalg.norm(entry - tip) < SHORTEST_MM:
            return needle
        return replace(needle, tip_mm=plain(tip), entry_mm=plain(entry))

    # ---- drawing ---------------------------------------------------------------------
    def paint(self, painter: QPainter, pane) -> None:
        """The needle under way; a ring where a needle can be taken hold of."""
        if self.at is None or not self.at.on_volume:
            return
        if self._first is None:
            if self.at.pane is pane and self._held is None and self.under(self.at) is not None:
                painter.setPen(QPen(QColor(NEEDLE_COLOUR), 1.2))
                painter.drawEllipse(QPointF(self.at.x, self.at.y), 9, 9)
            return
        tip, entry = self._ends(self.at)
        if np.linalg.norm(entry - tip) < 1e-3:
            x, y = pane.screen_of(self._first)
            painter.setPen(QPen(QColor(NEEDLE_COLOUR), 1.4))
            painter.drawEllipse(QPointF(x, y), 5, 5)
            return
        ghost = self._like_last(NeedleDraft(self.session.plan.next_needle_id(), plain(tip), plain(entry)))
        needles.draw_needle(painter, needles.project(ghost, pane.view, pane.geometry, pane.slice_number), pane.view, [])

    def live_lines(self) -> list[tuple[str, str]]:
        """Length and depth under way; distances to the neighbours while a needle is dragged."""
        if self.at is None or not self.at.on_volume:
            return []
        if self._first is not None:
            tip, entry = self._ends(self.at)
            return [(t("needle") + f" {np.linalg.norm(entry - tip):.1f} mm", TEXT)]
        if self._held is not None:
            needle = next((n for n in self.session.plan.needles if n.id == self._held[0].id), self._held[0])
            lines = [(f"{needle.id}  {np.linalg.norm(np.subtract(needle.entry_mm, needle.tip_mm)):.1f} mm", TEXT)]
            for other in self.session.plan.needles:
                if other.id != needle.id:
                    lines.append((f"{needle.id}–{other.id}  " + t("tips") + f" {np.linalg.norm(np.subtract(other.tip_mm, needle.tip_mm)):.1f} mm", MUTED))
            return lines
        return []


def plain(point) -> tuple[float, float, float]:
    """A point as plain numbers, as plans keep it."""
    return tuple(float(v) for v in point)
