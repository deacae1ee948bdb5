"""Outline a node with one click and a radius drag; then pull the outline at points that can be dragged."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.study.model import ReadingState
from app.ui.style import ACCENT, MUTED, TEXT
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool, node_lines
from app.ui.views import overlays
from app.ui.widgets.figures import number_text, volume_decimals

DRAG_PX = 4.0
FIRST_RADIUS_MM = 8.0
GRIP_PX = 9.0  # a point is taken hold of from this far
BORDER_PX = 6.0  # the outline itself too, but never from deep inside a node that is small on screen
POINT_PX = 4.0
NEAR_MM = 3.0  # points of neighbouring slices are shown, hollow


class NodeTool(Tool):
    """Press in the node and drag outwards: the outline follows. Then the outline is pulled through
    points: drag its border or a point, or click where it should pass; each is one undo step."""

    name = "node"

    def __init__(self, session):
        super().__init__(session)
        self.radius_mm = FIRST_RADIUS_MM
        self._start: PaneEvent | None = None
        self._dragging = False
        self._held: int | None = None  # the point in hand: its number, or one past the last for a new one
        self._over: int | None = None  # the point under the mouse
        self._asked: tuple | None = None  # what the preview was asked for last
        session.preview_changed.connect(self._preview_came)

    @property
    def is_dragging(self) -> bool:
        """True while the radius or a point follows the mouse."""
        return self._dragging

    def hint(self) -> str:
        """What the mouse does now."""
        click = self._click()
        if click is None:
            return t("Drag: outline anew · brush (B) and eraser (E) repair") if self._is_outlined() else t("Press inside the node and drag to its border")
        if self._over is not None and self._over < len(click.anchors_mm):
            return t("Drag: move the point · Alt + click or Delete: remove it")
        return t("Drag the outline, or click: pull it · drag a point · drag inside: anew")

    # ---- what is there ---------------------------------------------------------------------
    def _state(self):
        return self.session.nodes.get(self.session.current_node_id)

    def _is_outlined(self) -> bool:
        state = self._state()
        return state is not None and state.draft is not None and not state.draft.is_empty

    def _click(self):
        """The click of the current outline, where points can pull it."""
        state = self._state()
        if state is None or (state.reading is not None and state.reading.state == ReadingState.LOCKED):
            return None
        return state.click

    def _shown(self, pane) -> list[tuple[int, np.ndarray, bool]]:
        """(number, LPS mm, lies in this slice) of the points near the slice on screen."""
        click = self._click()
        if click is None or pane.view is None:
            return []
        through, out = pane.view.axes.through, []
        mm = float(pane.geometry.spacing_mm[through])
        for number, point in enumerate(click.anchors_mm):
            away = abs(float(pane.geometry.world_to_index(point)[through]) - pane.slice_number)
            if away <= 0.75 or away * mm <= NEAR_MM:
                out.append((number, np.asarray(point), away <= 0.75))
        return out

    def _grip(self, event: PaneEvent) -> int | None:
        """The point under the mouse; of several the nearest."""
        away = {number: float(np.hypot(*np.subtract(event.pane.screen_of(point), (event.x, event.y)))) for number, point, _ in self._shown(event.pane)}
        nearest = min(away, key=away.get, default=None)
        return nearest if nearest is not None and away[nearest] <= GRIP_PX else None

    def _on_border(self, event: PaneEvent) -> bool:
        """True where the current outline's border passes under the mouse."""
        click, pane = self._click(), event.pane
        if click is None:
            return False
        draft = self._state().draft
        reach = min(BORDER_PX, 0.25 * click.radius_mm * pane.view.px_per_mm)
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        places = [(event.x, event.y), *((event.x + reach * np.cos(a), event.y + reach * np.sin(a)) for a in angles)]
        index = np.rint(draft.geometry.world_to_index(np.array([pane.point_at(x, y) for x, y in places]))).astype(int)
        size = np.array(draft.geometry.shape[::-1])
        index = index[((index >= 0) & (index < size)).all(axis=1)]
        values = draft.array[index[:, 2], index[:, 1], index[:, 0]]
        return bool(values.any() and not values.all())

    # ---- mouse -----------------------------------------------------------------------------
    def press(self, event: PaneEvent) -> None:
        """Seed of a new outline, or hold of a point or of the outline's border."""
        if not event.on_volume:
            return
        self._start, self._dragging, self.at, self._asked = event, False, event, None
        self._held = None if event.has(Qt.KeyboardModifier.ShiftModifier) else self._grip(event)
        if self._held is None and not event.has(Qt.KeyboardModifier.ShiftModifier) and self._on_border(event):
            self._held = len(self._click().anchors_mm)

    def hover(self, event: PaneEvent) -> None:
        """What could be taken hold of is shown."""
        self.at = event
        over = None
        if event.on_volume:
            over = self._grip(event)
            if over is None and self._on_border(event):
                over = len(self._click().anchors_mm)
        if over != self._over:
            self._over = over
            self.session.display_changed.emit()  # the hint says what a press would do now

    def move(self, event: PaneEvent) -> None:
        """The radius or the point follows; the outline is drawn as soon as it is there."""
        self.at = event
        if self._start is None:
            return
        if not self._dragging and np.hypot(event.x - self._start.x, event.y - self._start.y) < DRAG_PX:
            return
        self._dragging = True
        if self._held is None:
            self.radius_mm = max(1.0, float(np.linalg.norm(event.point - self._start.point)))
        self._ask()

    def _moved(self) -> np.ndarray:
        """The point in hand where the mouse is. It moves in the pane's plane: its distance from the
        slice is kept, because the pane does not show that direction."""
        anchors = self._click().anchors_mm
        return self.at.point if self._held >= len(anchors) else np.asarray(anchors[self._held]) + (self.at.point - self._start.point)

    def _wanted(self) -> tuple | None:
        """The click that the preview should show now: (seed_mm, radius_mm, anchors_mm)."""
        if self._held is None:
            return (self._start.point, self.radius_mm, ())
        click = self._click()
        if click is None:  # locked, or changed by something else meanwhile
            return None
        point = tuple(float(v) for v in self._moved())
        return (click.seed_mm, click.radius_mm, (*click.anchors_mm[: self._held], point, *click.anchors_mm[self._held + 1 :]))

    def _ask(self) -> None:
        """One outline is made at a time; that of the mouse's last place follows when it came."""
        if self.session.jobs.is_busy("preview"):
            return
        wanted = self._wanted()
        if wanted is not None:
            self._asked = _rounded(wanted)
            self.session.preview_segmentation(*wanted)

    def _preview_came(self) -> None:
        if self._dragging and self._start is not None:
            wanted = self._wanted()
            if wanted is not None and self._asked != _rounded(wanted):
                self._ask()

    def release(self, event: PaneEvent) -> None:
        """Outline, or put the point down; without a drag, pull through the clicked point."""
        start, dragging, held = self._start, self._dragging, self._held
        if start is None:
            return
        self.at = event if event.on_volume else self.at
        click = self._click()
        place = self._moved() if held is not None and dragging and click is not None else None
        self._start, self._dragging, self._held = None, False, None
        if place is not None:
            self.session.add_anchor(place) if held >= len(click.anchors_mm) else self.session.move_anchor(held, place)
        elif dragging:
            self.session.commit_segmentation(start.point, self.radius_mm)
        elif held is not None and click is not None and held < len(click.anchors_mm):
            if start.has(Qt.KeyboardModifier.AltModifier):
                self._over = None
                self.session.remove_anchor(held)
        elif self._state() is not None and self._state().click is not None:
            self.session.add_anchor(start.point)
        elif self._is_outlined():
            # One click must not replace what was drawn or repaired by hand.
            self.session.notice.emit("info", t("This outline was changed by hand: points cannot pull it. Drag from inside the node to outline it anew; brush and eraser repair it."))
        else:
            self.session.commit_segmentation(start.point, self.radius_mm)

    def key_pressed(self, pane, key: int) -> bool:
        """Delete removes the point under the mouse, Backspace that or the last one."""
        click = self._click()
        if self._start is not None or click is None or not click.anchors_mm or key not in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            return False
        number = self._grip(self.at) if self.at is not None and self.at.on_volume and self.at.pane is pane else None
        if number is None and key == Qt.Key.Key_Delete:
            return False
        self._over = None
        self.session.remove_anchor(len(click.anchors_mm) - 1 if number is None else number)
        return True

    def cancel(self) -> None:
        """Forget the seed or the point in hand and its preview; the outline that was there stays."""
        self._over = None
        if self._start is not None:
            self._start, self._dragging, self._held = None, False, None
            self.session.preview = None
            self.session.preview_changed.emit()

    # ---- drawing ---------------------------------------------------------------------------
    def paint(self, painter: QPainter, pane) -> None:
        """The points; the radius while it is dragged; a ring where something can be taken hold of."""
        if getattr(pane, "is_other_visit", False):
            return
        painter.setBrush(Qt.BrushStyle.NoBrush)
        pulling = self._dragging and self._held is not None
        for number, point, in_slice in self._shown(pane):
            if not (pulling and number == self._held and pane is self._start.pane):
                draw_point(painter, QPointF(*pane.screen_of(point)), filled=in_slice, ring=number in (self._over, self._held) and self.at is not None and self.at.pane is pane)
        if pulling and pane is self._start.pane and self._click() is not None:
            draw_point(painter, QPointF(*pane.screen_of(self._moved())), filled=True, ring=True)
        elif self._dragging and self._start is not None and pane is self._start.pane:
            r = self.radius_mm * pane.view.px_per_mm
            pen = QPen(QColor(ACCENT), 1.0)
            pen.setDashPattern([4, 4])
            for p in (QPen(overlays.HALO, 2.4), pen):
                painter.setPen(p)
                painter.drawEllipse(QPointF(self._start.x, self._start.y), r, r)
        elif self._start is None and self._over is not None and self.at is not None and self.at.pane is pane and self._click() is not None and self._over >= len(self._click().anchors_mm):
            draw_point(painter, QPointF(self.at.x, self.at.y), filled=False)

    def live_lines(self) -> list[tuple[str, str]]:
        """Radius or pull, and volume of the outline under way; else the node's own numbers."""
        if self._start is None or not self._dragging:
            return node_lines(self.session)
        if self._held is None:
            lines = [(t("radius") + f" {self.radius_mm:.1f} mm", TEXT)]
        else:
            lines = [(t("pull") + f" {float(np.linalg.norm(self.at.point - self._start.point)):.1f} mm", TEXT)]
        if self.session.preview is not None:
            mask = self.session.preview[0]
            volume = mask.coverage_volume_ml
            if volume is None:
                volume = float(np.count_nonzero(mask.array)) * mask.geometry.voxel_size_mm3 / 1000.0
            lines.append((f"{number_text(volume, volume_decimals(volume))} ml", MUTED))
        return lines


def draw_point(painter: QPainter, at: QPointF, *, filled: bool, ring: bool = False) -> None:
    """A point that pulls an outline: filled in its slice, hollow beside it, ringed where it can be dragged."""
    painter.setPen(QPen(overlays.HALO, 3.0))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(at, POINT_PX, POINT_PX)
    painter.setPen(QPen(QColor(ACCENT), 1.4))
    painter.setBrush(QColor(ACCENT) if filled else Qt.BrushStyle.NoBrush)
    painter.drawEllipse(at, POINT_PX, POINT_PX)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if ring:
        painter.drawEllipse(at, GRIP_PX, GRIP_PX)


def _rounded(wanted: tuple) -> tuple:
    """A click to a twentieth of a millimetre: less is no reason to outline again."""
    seed, radius, anchors = wanted
    return (*np.round(np.asarray(seed) / 0.05), round(radius / 0.05), *(tuple(np.round(np.asarray(a) / 0.05)) for a in anchors))
