"""The session's part for drawing on a volume: contours, scribbles, regions in a ball, cuts.

Every gesture is handed over once and waits its turn: none is lost, and each is one undo step. It is
worked out in a job on a copy of the outline; where that changed meanwhile, it is worked out anew on
what is there now. What an outline was drawn with (lines, strokes, a ball) is remembered by the
voxels it gave: after an undo or another tool's edit it holds exactly where the voxels do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np

from app.usecases import drawing
from app.usecases.mask_draft import MaskDraft
from volumetry.mask import NodeMask

DRAW_KEY = "draw"
KEPT = 100  # states of one outline whose lines or strokes are remembered


@dataclass(frozen=True, slots=True, eq=False)
class _Gesture:
    """One gesture in line: ``work(before, known)`` gives a ``drawing.Drawn``."""

    node_id: str
    draft: MaskDraft
    text: str
    work: Callable


class DrawingPart:
    """Mixed into ``Session``; uses its signals, jobs and undo stack."""

    def _begin_drawing(self) -> None:
        self._gestures: list[_Gesture] = []
        self._drawn: WeakKeyDictionary = WeakKeyDictionary()  # draft -> list of drawing.Memo
        self._drawn_now: dict[str, object] = {}
        self.scribble_radius_mm = 0.8
        self.threshold_range: tuple[float, float] | None = None  # HU on CT; None until the first click
        self.outline_points_mm: tuple | None = None  # (points (n, 3), ml each) while a cut is aimed
        self.mask_changed.connect(lambda node_id: self._drawn_now.pop(node_id, None))

    # ---- what is there ---------------------------------------------------------------------
    def can_draw(self) -> bool:
        """True where a gesture may begin; else why not is said aloud."""
        if self.image is None:
            self.notice.emit("warning", "Open a CT volume first; outlines are drawn on it.")
            return False
        if self.jobs.is_busy("outlines"):
            self.notice.emit("info", "The outlines kept for this visit are still being loaded; draw in a moment.")
            return False
        return self.current is None or not self._refuse_locked(self.current)

    @property
    def is_drawing(self) -> bool:
        """True while a gesture is being worked out or waits."""
        return bool(self._gestures) or self.jobs.is_busy(DRAW_KEY)

    def current_drawing(self):
        """What the current node's outline was drawn with as it stands: ``DrawnOutlines``,
        ``drawing.Strokes``, ``drawing.Ball``, or None."""
        state = self.current
        if state is None or state.draft is None or not self._drawn.get(state.draft):
            return None
        node_id = state.node.node_id
        if node_id not in self._drawn_now:
            self._drawn_now[node_id] = drawing.recall(self._drawn[state.draft], state.draft.array)
        return self._drawn_now[node_id]

    # ---- gestures ----------------------------------------------------------------------------
    def draw_contour(self, axis: int, number: int, outline, *, take_away: bool = False) -> None:
        """Add what a closed line (n, 2) of (column, row) encloses to slice ``number`` across ``axis``
        (0, 1, 2 = k, j, i), or take it away; one undo step."""
        points = np.array(outline, dtype=np.float64)
        text = "Contour taken away" if take_away else "Contour"
        self._draw(text, lambda geometry: lambda before, known: drawing.contour(before, known, geometry, axis, number, points, take_away))

    def fill_between(self) -> None:
        """Fill the slices between those that were drawn (or painted); one undo step."""
        if self._has_outline("Draw the outline on at least two slices (O) first; then the slices between are filled."):
            self._draw("Fill between slices", lambda geometry: lambda before, known: drawing.between(before, known, geometry))

    def scribble(self, points_mm, *, outside: bool = False) -> None:
        """A stroke in the node, or outside it, LPS mm (n, 3): the outline is found anew; one undo step."""
        image, stroke = self.image, drawing.Stroke(np.array(points_mm, dtype=np.float64), self.scribble_radius_mm, outside)
        text = "Scribble outside" if outside else "Scribble inside"
        self._draw(text, lambda _geometry: lambda before, known: drawing.scribbled(before, image, (*_strokes(known), stroke)))

    def remove_scribble(self) -> None:
        """Leave out the last stroke; one undo step."""
        image, known = self.image, self.current_drawing()
        if _strokes(known):
            self._draw("Scribble removed", lambda _geometry: lambda before, known: drawing.scribbled(before, image, _strokes(known)[:-1]))

    def outline_region(self, seed_mm, radius_mm: float, *, how: str = "anew", hu_range: tuple[float, float] | None = None) -> None:
        """Outline what is like the click and connected to it in a ball (``hu_range``: what lies in that
        range). ``how`` is ``anew``, ``add`` or ``take_away``; one undo step."""
        image = self.image
        ball = drawing.Ball(tuple(float(v) for v in seed_mm), float(radius_mm), how, hu_range)
        self.jobs.drop("preview")
        if image is not None:
            self.set_crosshair(seed_mm)
        self._draw("Region" if hu_range is None else "Threshold", lambda _geometry: lambda before, _known: drawing.grown(before, image, ball))

    def preview_region(self, seed_mm, radius_mm: float, *, hu_range: tuple[float, float] | None = None) -> None:
        """The region while the radius is dragged: quiet job, latest wins, emits ``preview_changed``."""
        image = self.image
        if image is None:
            return
        ball = drawing.Ball(tuple(float(v) for v in seed_mm), float(radius_mm), "anew", hu_range)

        def done(mask) -> None:
            if self.image is image:
                self.preview = None if mask is None else (mask, np.empty((0, 3)), np.empty((0, 3), dtype=np.int64))
                self.preview_changed.emit()

        self.jobs.start("Outlining", lambda _context: drawing.region_of(image, ball)[0], key="preview", quiet=True, on_done=done, on_refused=lambda _error: done(None))

    def set_threshold(self, low: float | None = None, high: float | None = None) -> None:
        """Change one or both limits; the last ball is filled anew with them, one undo step."""
        now = self.threshold_range or (0.0, 0.0)
        low, high = (now[0] if low is None else float(low)), (now[1] if high is None else float(high))
        if low > high or (low, high) == self.threshold_range:
            return
        self.threshold_range = (low, high)
        self.display_changed.emit()
        image, known = self.image, self.current_drawing()
        if isinstance(known, drawing.Ball) and known.hu_range is not None:
            ball = replace(known, hu_range=(low, high))
            self._gestures[1:] = [g for g in self._gestures[1:] if g.text != "Threshold"]  # the latest limits win
            self._draw("Threshold", lambda _geometry: lambda before, known: drawing.grown(drawing.without(before, known), image, ball))

    def cut(self, point_mm, normal, *, larger_goes: bool = False) -> None:
        """Cut the outline by a plane: the smaller side goes (``larger_goes``: the other); one undo step."""
        if self._has_outline("There is no outline to cut yet."):
            self._draw("Cut by a plane", lambda geometry: lambda before, _known: drawing.cut(before, geometry, point_mm, normal, larger_goes))

    def aim_cut(self) -> None:
        """Fetch the outline's voxels, so that a cut can be shown while it is dragged; quiet job."""
        state = self.current
        self.outline_points_mm = None
        if state is None or state.draft is None:
            return
        draft = state.draft

        def done(points) -> None:
            self.outline_points_mm = points
            self.display_changed.emit()

        self.jobs.start("Aiming", lambda _context: drawing.outline_points(draft.array, draft.geometry), key="aim", quiet=True, on_done=done)

    # ---- working them out ----------------------------------------------------------------------
    def _has_outline(self, otherwise: str) -> bool:
        state = self.current
        if state is not None and (self.is_drawing or (state.draft is not None and not state.draft.is_empty)):
            return True
        self.notice.emit("info", otherwise)
        return False

    def _draw(self, text: str, make: Callable) -> None:
        """Put a gesture in line; ``make(geometry)`` gives its work."""
        if not self.can_draw():
            return
        state = self._node_for_editing()
        if state is None:
            return
        if state.draft is None:
            state.draft = MaskDraft(self.image.geometry)
        if not self.jobs.is_busy(DRAW_KEY):
            self._gestures.clear()  # left over where a job ended in a fault
        self._gestures.append(_Gesture(state.node.node_id, state.draft, text, make(state.draft.geometry)))
        if len(self._gestures) == 1:
            self._next_gesture()

    def _next_gesture(self) -> None:
        """Work on the first gesture in line, on the outline as it is by then."""
        if not self._gestures:
            return
        gesture = self._gestures[0]
        draft = gesture.draft
        before, memos = draft.array.copy(), tuple(self._drawn.get(draft, ()))

        def work(_context):
            drawn = gesture.work(before, drawing.recall(memos, before))
            return drawn, None if drawn.value is None else drawing.Memo.of(drawn.array, drawn.value)

        def done(result) -> None:
            if not self._gestures or self._gestures[0] is not gesture:
                return  # another visit is on screen by now
            state = self.nodes.get(gesture.node_id)
            if state is None or state.draft is not draft:
                self._forget_gestures()
                return
            if self._stroke is not None or not np.array_equal(draft.array, before):
                self._next_gesture()  # the reader's hand is, or was meanwhile, on it
                return
            self._gestures.pop(0)
            self._take_drawn(state, gesture, *result)
            self._next_gesture()

        def refused(error) -> None:
            if self._gestures and self._gestures[0] is gesture:
                self._gestures.pop(0)
            self._drop_preview()
            self._on_refused(error)
            self._next_gesture()

        self.jobs.start(gesture.text, work, key=DRAW_KEY, quiet=True, on_done=done, on_refused=refused)

    def _take_drawn(self, state, gesture: _Gesture, drawn: drawing.Drawn, memo: drawing.Memo | None) -> None:
        """Take over what a gesture gave: undo step, what it was drawn with, what is worth knowing."""
        self._drop_preview()
        if self._refuse_locked(state):
            return
        if memo is not None:
            self._drawn[gesture.draft] = [*self._drawn.get(gesture.draft, ()), memo][-KEPT:]
            self._drawn_now.pop(gesture.node_id, None)
        if drawn.repairs:
            step = gesture.draft.edit(drawn.array, gesture.text, method=drawn.origin.method)
        else:
            step = gesture.draft.replace(NodeMask(drawn.array, gesture.draft.geometry, coverage_volume_ml=drawn.coverage_volume_ml, origin=drawn.origin), gesture.text)
        for finding in drawn.findings:
            self.notice.emit(finding.severity, finding.message)
        if drawn.problem is not None:
            self._on_refused(drawn.problem)
        if step is not None:
            self._did(gesture.node_id, step)
        else:
            if drawn.problem is None and not drawn.findings and not isinstance(drawn.value, drawing.Strokes):
                self.notice.emit("info", f"{gesture.text}: the outline of {state.node.label} stays as it is.")
            self.display_changed.emit()

    def _drop_preview(self) -> None:
        if self.preview is not None:
            self.preview = None
            self.preview_changed.emit()

    def _forget_gestures(self) -> None:
        """Another picture comes: what was not worked out belongs to the one before."""
        self._gestures.clear()
        self._drawn_now.clear()
        self.outline_points_mm = None


def _strokes(known) -> tuple:
    return known.strokes if isinstance(known, drawing.Strokes) else ()
