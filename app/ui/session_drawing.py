"""The session's part for drawing on a volume: contours, scribbles, regions in a ball, cuts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from app.ui.session_gestures import Gesture, point_of
from app.usecases import drawing


class DrawingPart:
    """Mixed into ``Session``; uses its signals, jobs and ``GesturesPart``."""

    def _begin_drawing(self) -> None:
        self.scribble_radius_mm = 0.8
        self.threshold_range: tuple[float, float] | None = None  # HU on CT; None until the first click
        self.outline_points_mm: tuple | None = None  # (points (n, 3), ml each) while a cut is aimed

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
        ball = drawing.Ball(point_of(seed_mm), float(radius_mm), how, hu_range)
        self.jobs.drop("preview")
        if image is not None:
            self.set_crosshair(seed_mm)
        self._draw("Region" if hu_range is None else "Threshold", lambda _geometry: lambda before, _known: drawing.grown(before, image, ball))

    def preview_region(self, seed_mm, radius_mm: float, *, hu_range: tuple[float, float] | None = None) -> None:
        """The region while the radius is dragged: quiet job, latest wins, emits ``preview_changed``."""
        image = self.image
        if image is None:
            return
        ball = drawing.Ball(point_of(seed_mm), float(radius_mm), "anew", hu_range)

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
            self._draw("Threshold", lambda _geometry: lambda before, known: drawing.grown(drawing.without(before, known), image, ball), kind="range", instead_of="range")

    def threshold_half_way(self) -> None:
        """Move the limits half-way to what lies around the last ball's region, and fill it anew; one undo step."""
        image, state, known, limits = self.image, self.current, self.current_drawing(), self.threshold_range
        if image is None or limits is None or not isinstance(known, drawing.Ball) or known.hu_range is None:
            self.notice.emit("info", "Drag a ball with the threshold tool (T) first; then its limits can be moved half-way to the surroundings.")
            return
        copy = state.draft.copy_later()

        def done(found) -> None:
            if self.image is image and self.current is state and self.threshold_range == limits:
                self.set_threshold(*found)
                if found == limits:
                    self.notice.emit("info", "What lies around is not apart from the limits; they stay.")

        self.jobs.start("Looking around", lambda _context: drawing.half_way_range(image, copy(), limits), key="half-way", quiet=True, on_done=done)

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
        copy, geometry = state.draft.copy_later(), state.draft.geometry

        def done(points) -> None:
            self.outline_points_mm = points
            self.display_changed.emit()

        self.jobs.start("Aiming", lambda _context: drawing.outline_points(copy(), geometry), key="aim", quiet=True, on_done=done)

    # ---- working them out ----------------------------------------------------------------------
    def _has_outline(self, otherwise: str) -> bool:
        state = self.current
        if state is not None and (self.is_drawing or (state.draft is not None and not state.draft.is_empty)):
            return True
        self.notice.emit("info", otherwise)
        return False

    def _draw(self, text: str, make: Callable, **more) -> None:
        """Put a gesture in line; ``make(geometry)`` gives its work, ``more`` as for ``Gesture``."""
        if not self.can_draw():
            return
        state = self._node_for_editing()
        if state is not None:
            work = make(self.image.geometry)
            self._ask(Gesture(state, self.image, text, lambda: self._before(state)(work), **more))


def _strokes(known) -> tuple:
    return known.strokes if isinstance(known, drawing.Strokes) else ()
