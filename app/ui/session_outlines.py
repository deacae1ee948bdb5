"""The session's part for outlines: one click and its anchor points, brush strokes, repairs of the whole, live numbers."""

from __future__ import annotations

import numpy as np

from app.usecases.mask_draft import MaskDraft
from volumetry.mask import NodeMask
from volumetry.segmentation.history import OutlineClick


class OutlinesPart:
    """Mixed into ``Session``; uses its signals, jobs, undo stack and study."""

    _stroke_box: tuple[slice, slice, slice] | None = None  # holds the outline and every dab of the stroke
    _stroke_was_empty = False
    _segmenting: object | None = None  # the picture that a click or point is being worked out on
    _pulls: tuple = ()  # (state, change, text) of points that wait their turn
    _stroke_waits = False  # dabs came while the numbers of earlier ones were worked out

    # ---- one click ---------------------------------------------------------------------------
    def preview_segmentation(self, seed_mm, radius_mm: float, anchors_mm=()) -> None:
        """Outline while the radius or an anchor is dragged: quiet job, latest wins, emits ``preview_changed``."""
        from app.usecases.segment import segment_volume

        image = self.image
        if image is None:
            return

        def done(result) -> None:
            if self.image is image:
                self.preview = (result.mask, result.vertices_mm, result.faces)
                self.preview_changed.emit()

        def refused(_error) -> None:
            self.preview = None
            self.preview_changed.emit()

        self.jobs.start("Outlining", lambda _context: segment_volume(image, seed_mm, radius_mm, anchors_mm), key="preview", quiet=True, on_done=done, on_refused=refused)

    def commit_segmentation(self, seed_mm, radius_mm: float, anchors_mm=(), text: str = "Outline by click") -> None:
        """Outline the current node (a new one is made if none is current); one undo step named ``text``."""
        if self.image is None:
            self.notice.emit("warning", "Open a CT volume first; a click outlines a node on it.")
            return
        self.set_crosshair(seed_mm)
        state = self._node_for_editing()
        if state is not None:
            self._pulls = ()
            self._segment(state, OutlineClick(_point(seed_mm), float(radius_mm), tuple(_point(a) for a in anchors_mm)), text)

    def _segment(self, state, click: OutlineClick, text: str, instead_of: OutlineClick | None = None) -> None:
        """Outline a node by a click and its anchors; a job. With ``instead_of`` only while the outline is
        still the one of that click: what a hand did meanwhile is not overwritten."""
        from app.usecases.segment import segment_volume

        image, node_id = self.image, state.node.node_id

        def done(result) -> None:
            if self.image is image and self.nodes.get(node_id) is state:
                take(result)
                go_on()

        def go_on() -> None:
            self._segmenting = None
            if instead_of is not None:
                self._pulls = self._pulls[1:]
            self._next_pull()

        def take(result) -> None:
            self.preview = None
            self.preview_changed.emit()
            if self._refuse_locked(state):
                return
            if instead_of is not None and state.click != instead_of:
                self.notice.emit("info", f"The outline of {state.node.label} was changed meanwhile; the point was not used.")
                return
            if state.draft is None:
                state.draft = MaskDraft(image.geometry)
            step = state.draft.replace(result.mask, text, click=click)
            for finding in result.findings:
                self.notice.emit(finding.severity, finding.message)
            if step is not None:
                self._did(node_id, step, (result.vertices_mm, result.faces))

        def refused(error) -> None:
            self.preview = None
            self.preview_changed.emit()
            self._on_refused(error)
            go_on()

        self._segmenting = image
        self.jobs.start("Outlining the node", lambda _context: segment_volume(image, *click), key="segment", on_done=done, on_refused=refused)

    # ---- anchor points -----------------------------------------------------------------------
    def add_anchor(self, point_mm) -> None:
        """Pull the surface of the last click through a point; one undo step."""
        new = _point(point_mm)
        self._pull("Pull by a point", lambda anchors: (*anchors, new), new)

    def move_anchor(self, index: int, point_mm) -> None:
        """Move one anchor point of the outline; one undo step."""
        old, new = self._anchor(index), _point(point_mm)
        if old is not None:
            self._pull("Move a point", lambda anchors: tuple(new if a == old else a for a in anchors), new)

    def remove_anchor(self, index: int) -> None:
        """Take one anchor point of the outline away; one undo step."""
        old = self._anchor(index)
        if old is not None:
            self._pull("Remove a point", lambda anchors: tuple(a for a in anchors if a != old))

    def anchor_in_reach(self, point_mm) -> bool:
        """True where the current outline's click is near enough for a point there to pull it."""
        from volumetry.segmentation.star_convex import REACH

        click = None if self.current is None else self.current.click
        return click is not None and float(np.linalg.norm(np.subtract(point_mm, click.seed_mm))) <= REACH * click.radius_mm

    def _anchor(self, index: int) -> tuple[float, float, float] | None:
        click = None if self.current is None else self.current.click
        return click.anchors_mm[index] if click is not None and 0 <= index < len(click.anchors_mm) else None

    def _pull(self, text: str, change, point_mm=None) -> None:
        """Outline the current node again with changed points. Asked for again before the last one is
        done, it waits its turn: no gesture is lost."""
        state, refusal = self.current, None
        if state is None or state.click is None or self.image is None:
            refusal = "Outline the node with a click first; then points pull its surface."
        elif point_mm is not None and not self.anchor_in_reach(point_mm):
            refusal = f"This point is too far from {state.node.label} to pull its outline; drag from inside a node to outline anew."
        if refusal is not None or self._refuse_locked(state):
            self.preview = None
            self.preview_changed.emit()
            if refusal is not None:
                self.notice.emit("info", refusal)
            return
        if self._segmenting is self.image and self.jobs.is_busy("segment"):
            self._pulls = (*self._pulls, (state, change, text))
        else:  # nothing is under way; what still waits belongs to a job that was dropped
            self._pulls = ((state, change, text),)
            self._next_pull()

    def _next_pull(self) -> None:
        """Work on the first waiting change of points, on the points as they are by then."""
        while self._pulls:
            state, change, text = self._pulls[0]
            click = state.click
            if self.nodes.get(state.node.node_id) is state and click is not None:
                self._segment(state, click._replace(anchors_mm=change(click.anchors_mm)), text, click)
                return
            self._pulls = self._pulls[1:]

    # ---- numbers -----------------------------------------------------------------------------
    def _mask_edited(self, node_id: str) -> None:
        """An outline changed: tell the views, measure, autosave; all of one copy."""
        self.mask_changed.emit(node_id)
        self._target_edited(node_id)
        mask = self.nodes[node_id].draft.as_mask()
        self._measure(node_id, mask)
        self._autosave(node_id, mask)

    def _measure(self, node_id: str, mask: NodeMask | None = None) -> None:
        """Numbers of the outline as it stands: quiet job, latest wins."""
        state = self.nodes[node_id]
        draft = state.draft
        if draft is None or draft.is_empty:
            self.jobs.drop(f"measure-{node_id}")
            state.measurement = None
            self.measurement_changed.emit(node_id)
            return
        mask = mask if mask is not None else draft.as_mask()
        self._measure_later(node_id, draft, lambda: mask)

    def _measure_later(self, node_id: str, draft: MaskDraft, mask_of) -> None:
        """Measure ``mask_of()`` in a thread and show it, if it is still the newest."""

        def work(_context):
            from volumetry.measure import measure_node

            return measure_node(mask_of())

        def done(measurement) -> None:
            if node_id not in self.nodes or self.nodes[node_id].draft is not draft:
                return
            self.nodes[node_id].measurement = measurement
            self.measurement_changed.emit(node_id)
            if self._stroke is not None and self._stroke[0] == node_id and self._stroke_waits:
                self._measure_stroke()

        self.jobs.start("Measuring", work, key=f"measure-{node_id}", quiet=True, on_done=done)

    def _measure_stroke(self) -> None:
        """Numbers in the middle of a stroke: one measurement at a time, and again for the dabs that came
        meanwhile, so that what stands beside the cursor is never older than that. Only the box around
        the outline is copied; on a large picture the whole would hold the brush up."""
        node_id = self._stroke[0]
        if self.jobs.is_busy(f"measure-{node_id}"):
            self._stroke_waits = True
            return
        self._stroke_waits = False
        if self._stroke_box is not None:
            draft = self.nodes[node_id].draft
            self._measure_later(node_id, draft, draft.mask_in_stroke(self._stroke_box, self._stroke_was_empty))

    # ---- brush -------------------------------------------------------------------------------
    def begin_stroke(self, text: str) -> None:
        """A brush or eraser stroke begins; all dabs until ``end_stroke`` are one undo step."""
        state = self._node_for_editing()
        self._stroke = None
        if state is None or self.image is None:
            return
        if state.draft is None:
            state.draft = MaskDraft(self.image.geometry)
        draft = state.draft
        self._stroke = (state.node.node_id, draft.array.copy(), draft.coverage_volume_ml, text)
        self._stroke_box = NodeMask(draft.array.view(), draft.geometry).bounding_slices()
        self._stroke_was_empty, self._stroke_waits = self._stroke_box is None, False

    def dab(self, point_mm, add: bool, plane_axis: int | None) -> None:
        """Paint or erase at a point; ``plane_axis`` 0, 1, 2 = disc in the slice across k, j, i;
        None = ball."""
        from volumetry.segmentation.editing import paint

        if self._stroke is None:
            return
        node_id = self._stroke[0]
        draft = self.nodes[node_id].draft
        touched = paint(draft.array, draft.geometry, point_mm, self.brush_radius_mm, value=add, plane_axis=plane_axis)
        if touched is None:
            return
        self._stroke_box = touched if self._stroke_box is None else tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(self._stroke_box, touched, strict=True))
        self.mask_changed.emit(node_id)
        self._measure_stroke()

    def end_stroke(self) -> None:
        """The stroke ends: push the undo step, measure, autosave."""
        if self._stroke is None:
            return
        node_id, before, coverage_ml, text = self._stroke
        self._stroke = self._stroke_box = None
        step = self.nodes[node_id].draft.finish_stroke(before, coverage_ml, text)
        if step is not None:
            self._did(node_id, step)

    # ---- repairs of the whole ----------------------------------------------------------------
    def edit_mask(self, operation: str) -> None:
        """``fill``, ``keep_largest``, ``grow``, ``shrink``, ``smooth`` or ``clear``; one undo step
        each. Asked for again before the last one is done, it waits its turn: no press is lost."""
        state = self._node_for_editing() if self.current is not None else None
        if state is None or state.draft is None or state.draft.is_empty:
            self.notice.emit("info", "There is no outline to change yet: click into the node with the node tool (N).")
            return
        self._edits.append((state.node.node_id, state.draft, operation))
        if len(self._edits) == 1:
            self._next_edit()

    def _next_edit(self) -> None:
        """Work on the first waiting edit, on the outline as it is by then."""
        from volumetry.segmentation import editing

        if not self._edits:
            return
        node_id, draft, operation = self._edits[0]
        before, geometry = draft.array.copy(), draft.geometry
        step_mm = max(0.5, min(geometry.spacing_mm))  # less than a voxel would change nothing
        text, work = {
            "fill": ("Fill holes", lambda: editing.fill_holes(before)),
            "keep_largest": ("Keep largest piece", lambda: editing.keep_largest(before)),
            "grow": (f"Grow {step_mm:.2g} mm", lambda: editing.grow(before, geometry, step_mm)),
            "shrink": (f"Shrink {step_mm:.2g} mm", lambda: editing.grow(before, geometry, -step_mm)),
            "smooth": ("Smooth", lambda: editing.smooth(before, geometry)),
            "clear": ("Clear outline", lambda: np.zeros_like(before)),
        }[operation]

        def done(new) -> None:
            if not self._edits or self._edits[0][1] is not draft:
                return  # another visit is on screen by now
            state = self.nodes.get(node_id)
            if state is None or state.draft is not draft:
                self._edits.clear()
                return
            if not np.array_equal(draft.array, before):
                self._next_edit()  # the reader's hand was on it meanwhile: do it again on what is there now
                return
            self._edits.pop(0)
            step = draft.edit(new, text)
            if step is not None:
                self._did(node_id, step)
            else:
                self.notice.emit("info", f"{text}: the outline of {state.node.label} stays as it is.")
            self._next_edit()

        def refused(error) -> None:
            self._edits.clear()
            self._on_refused(error)

        self.jobs.start(text, lambda _context: work(), key="edit", quiet=True, on_done=done, on_refused=refused)


def _point(values) -> tuple[float, float, float]:
    """A point as plain numbers, as outlines keep it."""
    x, y, z = (float(v) for v in values)
    return x, y, z
