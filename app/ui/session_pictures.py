"""The session's part for outlines on ultrasound pictures: by a click, by a wire along edges.

An outline belongs to a node and a still: the name of a picture and a frame of it. Planes and the
diameters that come from an outline are in ``session_stills``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from app.usecases.outline_picture import MeasuredOutline, PictureOutline, PictureWire, anchors_with, measured_outline, outline_click
from volumetry.errors import NodusError

PREVIEW_KEY = "picture-preview"
Still = tuple[str, int]


class PicturesPart:
    """Mixed into ``Session``; uses its signals, jobs and undo stack.

    ``picture_outlines`` maps (node_id, picture, frame) to a ``MeasuredOutline``; ``picture_preview`` is
    (still, MeasuredOutline or None, path (n, 2) or None) while something is drawn; ``open_wires`` maps
    (node_id, picture, frame) to the clicks of a wire that is not closed yet.
    """

    def _start_pictures(self) -> None:
        """Nothing is outlined yet."""
        self.picture_outlines: dict[tuple[str, str, int], MeasuredOutline] = {}
        self.picture_preview: tuple[Still, MeasuredOutline | None, np.ndarray | None] | None = None
        self.open_wires: dict[tuple[str, str, int], tuple[tuple[float, float], ...]] = {}
        self._wire: tuple[object, int, PictureWire] | None = None
        self._outlining: set[tuple[str, str, int]] = set()  # outlines under way that will be kept
        self._start_stills()
        self.picture_changed.connect(self.drop_picture_preview)

    # ---- where ---------------------------------------------------------------------------
    @property
    def still(self) -> Still | None:
        """The still on screen."""
        return None if self.picture is None else (self.picture_name, self.frame_index)

    def still_of(self, frame: int) -> Still:
        """A frame of the picture on screen."""
        return self.picture_name, frame

    def outline_on(self, still: Still | None = None, node_id: str | None = None) -> MeasuredOutline | None:
        """The outline of a node (the current one) on a still (the one on screen), or None."""
        still = still or self.still
        node_id = node_id or self.current_node_id
        return None if still is None or node_id is None else self.picture_outlines.get((node_id, *still))

    def wire_on(self, still: Still | None = None) -> tuple[tuple[float, float], ...]:
        """The clicks of the current node's open wire on a still."""
        still = still or self.still
        return () if still is None or self.current_node_id is None else self.open_wires.get((self.current_node_id, *still), ())

    # ---- by a click ------------------------------------------------------------------------
    def preview_picture_click(self, frame: int, seed_px, radius_px: float) -> None:
        """Outline while the radius is dragged: quiet job, latest wins, emits ``outlines_changed``."""
        cine = self.picture
        if cine is not None:
            self._preview(frame, lambda: measured_outline(outline_click(cine, seed_px, radius_px, frame=frame), cine.calibration_at(frame)))

    def commit_picture_click(self, frame: int, seed_px, radius_px: float) -> None:
        """Outline the current node on this still (a new one is made if none is current); one undo step."""
        cine = self.picture
        if cine is not None:
            self._commit(frame, "Outline on the picture", lambda: measured_outline(outline_click(cine, seed_px, radius_px, frame=frame), cine.calibration_at(frame)))

    # ---- anchors -----------------------------------------------------------------------------
    def preview_picture_anchors(self, frame: int, anchors_px) -> None:
        """The outline pulled through other anchors while one is dragged; quiet, latest wins."""
        work = self._with_anchors(frame, anchors_px)
        if work is not None:
            self._preview(frame, work)

    def set_picture_anchors(self, frame: int, anchors_px, text: str = "Move a point of the outline") -> None:
        """Pull the outline through these anchors; one undo step."""
        work = self._with_anchors(frame, anchors_px)
        if work is not None:
            self._commit(frame, text, work)

    def add_picture_anchor(self, frame: int, point_px) -> None:
        """Pull the outline through a further point; one undo step."""
        measured = self.outline_on(self.still_of(frame))
        if measured is not None:
            self.set_picture_anchors(frame, anchors_with(measured.outline, point_px), "Pull the outline")

    def drop_picture_anchor(self, frame: int) -> None:
        """Take the last anchor of a clicked outline back; one undo step."""
        measured = self.outline_on(self.still_of(frame))
        if measured is not None and measured.outline.method == "polar" and measured.outline.anchors_px:
            self.set_picture_anchors(frame, measured.outline.anchors_px[:-1], "Take a point back")

    def _with_anchors(self, frame: int, anchors_px) -> Callable[[], MeasuredOutline] | None:
        measured, cine = self.outline_on(self.still_of(frame)), self.picture
        if measured is None or cine is None:
            return None
        outline, anchors = measured.outline, tuple(tuple(float(v) for v in a) for a in anchors_px)
        if outline.method == "livewire":
            wire = self._wire_of(frame)
            return lambda: measured_outline(wire.closed(anchors), cine.calibration_at(frame))
        return lambda: measured_outline(outline_click(cine, outline.seed_px, outline.radius_px, frame=frame, anchors_px=anchors), cine.calibration_at(frame))

    # ---- by a wire ---------------------------------------------------------------------------
    def add_wire_point(self, frame: int, point_px) -> None:
        """Click a point of the wire; the first one begins it."""
        state = self._node_for_editing()
        if state is None or self.picture is None:
            return
        key = (state.node.node_id, *self.still_of(frame))
        self._set_wire(key, (*self.open_wires.get(key, ()), tuple(float(v) for v in point_px)))
        self.preview_wire(frame)

    def drop_wire_point(self, frame: int) -> None:
        """Take the last click of the open wire back."""
        points = self.wire_on(self.still_of(frame))
        if points:
            self._set_wire((self.current_node_id, *self.still_of(frame)), points[:-1])
            self.preview_wire(frame)

    def preview_wire(self, frame: int, cursor_px=None) -> None:
        """The open wire on to the cursor; quiet, latest wins. What it would hold if it were closed by a
        straight line is measured along."""
        points, cine = self.wire_on(self.still_of(frame)), self.picture
        if cine is None or not points:
            self.drop_picture_preview()
            return
        wire = self._wire_of(frame)
        rows, columns = cine.shape
        way = points if cursor_px is None else (*points, (min(max(float(cursor_px[0]), 0.0), columns - 1.0), min(max(float(cursor_px[1]), 0.0), rows - 1.0)))

        def work():
            path = wire.path(way)
            try:
                return measured_outline(PictureOutline(path, cine.shape, "livewire"), cine.calibration_at(frame)), path
            except NodusError:
                return None, path  # too short to hold anything yet

        self._preview(frame, work, is_wire=True)

    def close_wire(self, frame: int) -> None:
        """Close the open wire: the node's outline on this still; one undo step."""
        still, cine = self.still_of(frame), self.picture
        points = self.wire_on(still)
        if cine is None or not points:
            return
        if len(points) < 3:
            self.notice.emit("info", "Click at least three points round the node, then close the wire.")
            return
        wire, key = self._wire_of(frame), (self.current_node_id, *still)

        def closed() -> None:
            if self.open_wires.get(key) == points:  # nothing was clicked meanwhile
                self._set_wire(key, ())

        self._commit(frame, "Wire on the picture", lambda: measured_outline(wire.closed(points), cine.calibration_at(frame)), closed)

    def _set_wire(self, key, points) -> None:
        self.open_wires.pop(key, None)
        if points:
            self.open_wires[key] = points
        self.outlines_changed.emit()

    def _wire_of(self, frame: int) -> PictureWire:
        if self._wire is None or self._wire[0] is not self.picture or self._wire[1] != frame:
            self._wire = (self.picture, frame, PictureWire(self.picture, frame))
        return self._wire[2]

    # ---- previews and steps ------------------------------------------------------------------
    def drop_picture_preview(self) -> None:
        """Nothing is being drawn any more."""
        self.jobs.drop(PREVIEW_KEY)
        if self.picture_preview is not None:
            self.picture_preview = None
            self.outlines_changed.emit()

    def _preview(self, frame: int, work, *, is_wire: bool = False) -> None:
        cine, still = self.picture, self.still_of(frame)

        def done(result) -> None:
            if self.picture is cine:
                self.picture_preview = (still, *result) if is_wire else (still, result, None)
                self.outlines_changed.emit()

        def refused(_error) -> None:
            if self.picture is cine:
                self.picture_preview = None
                self.outlines_changed.emit()

        self.jobs.start("Outlining", lambda _context: work(), key=PREVIEW_KEY, quiet=True, on_done=done, on_refused=refused)

    def _commit(self, frame: int, text: str, work, on_put: Callable[[], None] | None = None) -> None:
        """Make an outline and keep it under the current node and this still; a job, one undo step."""
        still = self.still_of(frame)
        state = self._node_for_editing()
        self.jobs.drop(PREVIEW_KEY)
        if state is None:
            self.drop_picture_preview()
            return
        node_id = state.node.node_id
        key = (node_id, *still)
        self._outlining.add(key)

        def done(measured: MeasuredOutline) -> None:
            self._outlining.discard(key)
            if self.nodes.get(node_id) is not state:
                return  # another visit is on screen by now
            if not self._refuse_locked(state):
                for finding in measured.outline.findings:
                    self.notice.emit(finding.severity, finding.message)
                self._put_outline(text, state, still, measured)
                if on_put is not None:
                    on_put()
            self.drop_picture_preview()

        def refused(error) -> None:
            self._outlining.discard(key)
            self.drop_picture_preview()
            self._on_refused(error)

        self.jobs.start("Outlining on the picture", lambda _context: work(), key=f"picture-outline-{key}", on_done=done, on_refused=refused)

    def is_outlining_picture(self, node_id: str) -> bool:
        """True while an outline of this node on a picture is still being worked out."""
        return any(key[0] == node_id and self.jobs.is_busy(f"picture-outline-{key}") for key in self._outlining)

    def remove_picture_outline(self) -> None:
        """Take the current node's outline on the still on screen away; one undo step."""
        if self.outline_on() is not None and not self._refuse_locked(self.current):
            self._put_outline("Remove the outline", self.current, self.still, None)

    def _put_outline(self, text: str, state, still: Still, measured: MeasuredOutline | None) -> None:
        node_id = state.node.node_id
        key = (node_id, *still)
        before = self.picture_outlines.get(key)

        def put(now: MeasuredOutline | None) -> None:
            self.picture_outlines.pop(key, None)
            if now is not None:
                self.picture_outlines[key] = now
            self.outlines_changed.emit()
            self._keep_pictures(node_id)

        put(measured)
        self._push(f"{text} ({state.node.label})", lambda: put(measured), lambda: put(before), self._unless_locked(state))

    def _unless_locked(self, state) -> Callable[[], bool]:
        """May a step on this node still be taken back? Not once its reading was locked after it."""
        steps = state.lock_count

        def is_valid() -> bool:
            if state.lock_count == steps:
                return True
            self.notice.emit("info", f"The reading of {state.node.label} was locked after this step; it stays.")
            return False

        return is_valid
