"""The session's part for outlines: one click and its anchor points, brush strokes, repairs of the whole, live numbers."""

from __future__ import annotations

import numpy as np

from app.ui.session_gestures import Gesture, point_of
from app.usecases import drawing
from app.usecases.mask_draft import MaskDraft
from volumetry.mask import NodeMask
from volumetry.segmentation.history import OutlineClick


class OutlinesPart:
    """Mixed into ``Session``; uses its signals, jobs, undo stack and study."""

    _stroke: tuple[str, str] | None = None  # (node_id, text) while a brush or eraser is down
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
        state, image = self._node_for_editing(), self.image
        if state is not None:
            click = OutlineClick(point_of(seed_mm), float(radius_mm), tuple(point_of(a) for a in anchors_mm))
            self._ask(Gesture(state, image, text, lambda: lambda: drawing.clicked(image, click), anew=True, kind="click", instead_of="click"))

    # ---- anchor points -----------------------------------------------------------------------
    def add_anchor(self, point_mm) -> None:
        """Pull the surface of the last click through a point; one undo step."""
        new = point_of(point_mm)
        self._pull("Pull by a point", lambda anchors: (*anchors, new), new)

    def move_anchor(self, index: int, point_mm) -> None:
        """Move one anchor point of the outline; one undo step."""
        old, new = self._anchor(index), point_of(point_mm)
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
        """Outline the current node again with changed points."""
        state, image, refusal = self.current, self.image, None
        if state is None or image is None or state.click is None:
            refusal = "Outline the node with a click first; then points pull its surface."
        elif point_mm is not None and not self.anchor_in_reach(point_mm):
            refusal = f"This point is too far from {state.node.label} to pull its outline; drag from inside a node to outline anew."
        if refusal is not None or self._refuse_locked(state):
            self._drop_preview()
            if refusal is not None:
                self.notice.emit("info", refusal)
            return

        def begin():
            click = state.click
            if click is None:
                self.notice.emit("info", f"The outline of {state.node.label} was changed meanwhile; the point was not used.")
                return None
            return lambda: drawing.clicked(image, click._replace(anchors_mm=change(click.anchors_mm)))

        self._ask(Gesture(state, image, text, begin, kind="click"))

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
        draft = self.nodes[node_id].draft
        if draft.box is not None:
            self._measure_later(node_id, draft, draft.mask_in_stroke())

    # ---- brush -------------------------------------------------------------------------------
    @property
    def is_painting(self) -> bool:
        """True while a brush or eraser is down."""
        return self._stroke is not None

    def begin_stroke(self, text: str) -> None:
        """A brush or eraser stroke begins; all dabs until ``end_stroke`` are one undo step."""
        state = self._node_for_editing()
        self._stroke = None
        if state is None or self.image is None:
            return
        self._draft_of(state).begin_stroke()
        self._stroke, self._stroke_waits = (state.node.node_id, text), False

    def dab(self, point_mm, add: bool, plane_axis: int | None) -> None:
        """Paint or erase at a point; ``plane_axis`` 0, 1, 2 = disc in the slice across k, j, i;
        None = ball."""
        if self._stroke is None:
            return
        node_id = self._stroke[0]
        if self.nodes[node_id].draft.paint(point_mm, self.brush_radius_mm, value=add, plane_axis=plane_axis) is not None:
            self.mask_changed.emit(node_id)
            self._measure_stroke()

    def end_stroke(self) -> None:
        """The stroke ends: push the undo step, measure, autosave."""
        if self._stroke is None:
            return
        (node_id, text), self._stroke = self._stroke, None
        step = self.nodes[node_id].draft.end_stroke(text)
        if step is not None:
            self._did(node_id, step)
        self._next_gesture()  # what waited for the hand

    # ---- repairs of the whole ----------------------------------------------------------------
    def edit_mask(self, operation: str) -> None:
        """``fill``, ``keep_largest``, ``grow``, ``shrink``, ``smooth`` or ``clear``; one undo step
        each. Asked for again before the last one is done, it waits its turn: no press is lost."""
        state = self._node_for_editing() if self.current is not None and self.image is not None else None
        if state is None or (not self.is_drawing and (state.draft is None or state.draft.is_empty)):
            self.notice.emit("info", "There is no outline to change yet: click into the node with the node tool (N).")
            return
        step_mm = max(0.5, min(self.image.geometry.spacing_mm))  # less than a voxel would change nothing
        text = {
            "fill": "Fill holes", "keep_largest": "Keep largest piece", "grow": f"Grow {step_mm:.2g} mm", "shrink": f"Shrink {step_mm:.2g} mm",
            "smooth": "Smooth", "clear": "Clear outline",
        }[operation]  # fmt: skip
        geometry = self.image.geometry
        self._ask(Gesture(state, self.image, text, lambda: self._before(state)(lambda before, _known: drawing.repaired(before, geometry, operation, step_mm))))
