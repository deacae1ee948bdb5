"""The session's part for nodes, their outlines and calipers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.study.model import UNKNOWN_LEVEL, ReadingState, Side
from app.usecases.mask_draft import DraftStep, MaskDraft
from volumetry.errors import NodusError

AUTOSAVE_KEY = "autosave"


class NodesPart:
    """Mixed into ``Session``; uses its signals, jobs, undo stack and study."""

    # ---- nodes -----------------------------------------------------------------------------
    def _load_nodes(self) -> None:
        """States of all the subject's nodes at the current visit, with this reader's readings."""
        from app.ui.session import NodeState

        own = {}
        for reading in self.subject_readings:
            if self.visit is None or reading.visit_id != self.visit.visit_id or reading.reader != self.reader or reading.state == ReadingState.SUPERSEDED:
                continue
            if reading.node_id not in own or reading.version > own[reading.node_id].version:
                own[reading.node_id] = reading
        self.nodes = {n.node_id: NodeState(n, reading=own.get(n.node_id)) for n in self.subject_nodes}
        if self.current_node_id not in self.nodes:
            self.current_node_id = next(iter(self.nodes), None)
        self.preview = None
        self.nodes_changed.emit()

    def _lay_outlines_aside(self) -> None:
        """Another grid comes on screen: outlines of the old one are kept in the study, not shown on it."""
        self.flush_drafts()
        self.undo_stack.clear()
        for state in self.nodes.values():
            state.draft = state.measurement = state.outline_surface = state.click = None
            self.mask_changed.emit(state.node.node_id)
            self.measurement_changed.emit(state.node.node_id)

    def _attach_drafts(self) -> None:
        """Load outlines kept for this visit (autosaved draft first, else the reading's) onto the image; a job."""
        store, visit, image, reader = self.study, self.visit, self.image, self.reader
        if store is None or visit is None or image is None:
            return
        readings = {node_id: s.reading for node_id, s in self.nodes.items()}
        # What is not on disk yet is newer than what is.
        waiting = {key[0]: entry[1] for key, entry in self._unsaved.items() if key[1:] == (visit.visit_id, reader) and entry[0] is store}

        def work(_context):
            from app.usecases.readings import mask_of_reading, unpack_mask

            found = {}
            for node_id, reading in readings.items():
                kept = None if node_id in waiting else store.load_draft_mask(node_id, visit.visit_id, reader=reader)
                if node_id in waiting:
                    mask = waiting[node_id]
                elif kept is not None:
                    mask = unpack_mask(kept)
                else:
                    mask = mask_of_reading(store, reading) if reading is not None else None
                if mask is not None and mask.geometry.same_grid(image.geometry):
                    draft = MaskDraft(image.geometry, mask)
                    found[node_id] = (draft, None if draft.is_empty else draft.measure())
            return found

        def done(found) -> None:
            if self.image is not image or self.visit is not visit:
                return
            for node_id, (draft, measurement) in found.items():
                if node_id in self.nodes and self.nodes[node_id].draft is None:
                    self.nodes[node_id].draft = draft
                    self.nodes[node_id].measurement = measurement
                    self.mask_changed.emit(node_id)
                    self.measurement_changed.emit(node_id)
            self.nodes_changed.emit()
            if found:
                self._centre_crosshair()

        self.jobs.start("Loading outlines", work, key="outlines", quiet=True, on_done=done)

    def add_node(self, label: str, side: str, level: str) -> None:
        """New target node, same identity at every visit; becomes current at once. The study gets it
        by a job; where it refuses, the node goes again and the reason is shown."""
        from app.study.ids import new_id
        from app.study.model import TargetNode
        from app.ui.session import NodeState

        store, subject = self.study, self.subject_id
        node = TargetNode(new_id("N"), subject or "", label, Side(side), level)
        self.subject_nodes = [*self.subject_nodes, node]
        self.nodes[node.node_id] = NodeState(node)
        self.current_node_id = node.node_id
        self.nodes_changed.emit()
        if store is None or subject is None:
            return

        def refused(error) -> None:
            self.subject_nodes = [n for n in self.subject_nodes if n.node_id != node.node_id]
            self.nodes.pop(node.node_id, None)
            self.current_node_id = next(iter(self.nodes), None)
            self.nodes_changed.emit()
            self._on_refused(error)

        self.jobs.start(
            f"Adding node {label}", lambda _context: store.add_node(subject, label, side, level, node_id=node.node_id), quiet=True, write=True,
            on_done=lambda _node: self._say_saved(f"node {label} added"), on_refused=refused,
        )

    def set_node(self, node_id: str, side: str, level: str, reason: str) -> None:
        """State or change a node's side and level, with a reason; a job."""
        store, state = self.study, self.nodes.get(node_id)
        if state is None:
            return

        def done(node) -> None:
            self.subject_nodes = [node if n.node_id == node_id else n for n in self.subject_nodes]
            if node_id in self.nodes:
                self.nodes[node_id].node = node
            self.nodes_changed.emit()
            self._say_saved(f"side and level of {node.label} saved")

        if store is None:
            done(replace(state.node, side=Side(side), level=level))
            return
        self.jobs.start(f"Saving node {state.node.label}", lambda _context: store.update_node(node_id, reason=reason, side=side, level=level), quiet=True, write=True, on_done=done)

    def next_node_label(self) -> str:
        """N1, N2 … the first that is free."""
        used = {n.label for n in self.subject_nodes}
        return next(f"N{i}" for i in range(1, 1000) if f"N{i}" not in used)

    def select_node(self, node_id: str | None) -> None:
        """Make a node current; the crosshair goes to it where it has an outline."""
        if node_id is not None and node_id not in self.nodes:
            return
        self.current_node_id = node_id
        self.nodes_changed.emit()
        if node_id is not None and self.image is not None:
            state = self.nodes[node_id]
            if state.measurement is not None and state.measurement.centroid_mm is not None:
                self.set_crosshair(state.measurement.centroid_mm)
            elif state.node.seed_mm is not None and self.image.geometry.contains(state.node.seed_mm):
                self.set_crosshair(state.node.seed_mm)

    @property
    def current(self):
        """The current NodeState, or None."""
        return self.nodes.get(self.current_node_id or "")

    def _node_for_editing(self):
        """The current node, made where there is none; None where it is locked (said aloud). Side and
        level of a node made by a click are unknown, and asked for; nothing is guessed."""
        if self.current is None:
            self.add_node(self.next_node_label(), Side.UNKNOWN, UNKNOWN_LEVEL)
            self.node_details_needed.emit(self.current_node_id)
        return None if self._refuse_locked(self.current) else self.current

    def _refuse_locked(self, state) -> bool:
        """True, and said aloud, where the node's reading is locked."""
        if state.reading is None or state.reading.state != ReadingState.LOCKED:
            return False
        self.notice.emit("warning", f"The reading of {state.node.label} at this visit is locked; begin a correction with a reason to change it.")
        return True

    # ---- one click ---------------------------------------------------------------------------
    def preview_segmentation(self, seed_mm, radius_mm: float) -> None:
        """Outline while the radius is dragged: quiet job, latest wins, emits ``preview_changed``."""
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

        self.jobs.start("Outlining", lambda _context: segment_volume(image, seed_mm, radius_mm), key="preview", quiet=True, on_done=done, on_refused=refused)

    def commit_segmentation(self, seed_mm, radius_mm: float, anchors_mm=()) -> None:
        """Outline the current node (a new one is made if none is current); one undo step."""
        from app.usecases.segment import segment_volume

        image = self.image
        if image is None:
            self.notice.emit("warning", "Open a CT volume first; a click outlines a node on it.")
            return
        self.set_crosshair(seed_mm)
        state = self._node_for_editing()
        if state is None:
            return
        node_id = state.node.node_id
        anchors = tuple(tuple(float(v) for v in a) for a in anchors_mm)

        def work(_context):
            result = segment_volume(image, seed_mm, radius_mm, anchors)
            return result

        def done(result) -> None:
            if self.image is not image or self.nodes.get(node_id) is not state:
                return
            self.preview = None
            self.preview_changed.emit()
            if self._refuse_locked(state):
                return
            if state.draft is None:
                state.draft = MaskDraft(image.geometry)
            before = (state.outline_surface, state.click)
            after = ((result.vertices_mm, result.faces), (tuple(float(v) for v in seed_mm), float(radius_mm), anchors))
            step = state.draft.replace(result.mask, "Outline by click")
            for finding in result.findings:
                self.notice.emit(finding.severity, finding.message)
            if step is not None:
                self._did(node_id, step, before, after)

        def refused(error) -> None:
            self.preview = None
            self.preview_changed.emit()
            self._on_refused(error)

        self.jobs.start("Outlining the node", work, key="segment", on_done=done, on_refused=refused)

    def add_anchor(self, point_mm) -> None:
        """Pull the surface of the last click through a point; one undo step."""
        state = self.current
        if state is None or state.click is None:
            self.notice.emit("info", "Outline the node with a click first; then anchor points pull its surface.")
            return
        seed, radius, anchors = state.click
        self.commit_segmentation(seed, radius, (*anchors, tuple(float(v) for v in point_mm)))

    def _did(self, node_id: str, step: DraftStep, before=None, after=None) -> None:
        """A step was applied to a draft: make it undoable, tell the views, measure, autosave."""
        state = self.nodes[node_id]
        draft = state.draft
        before = before or (state.outline_surface, state.click)
        after = after or (None, None)
        state.outline_surface, state.click = after

        def redo() -> None:
            draft.redo(step)
            state.outline_surface, state.click = after
            self._mask_edited(node_id)

        def undo() -> None:
            draft.undo(step)
            state.outline_surface, state.click = before
            self._mask_edited(node_id)

        steps = state.lock_count

        def is_valid() -> bool:
            # What was locked since then is not taken back, also not after a correction began.
            if state.lock_count == steps:
                return True
            self.notice.emit("info", f"The outline of {state.node.label} was locked after this step; it stays.")
            return False

        self._push(f"{step.text} ({state.node.label})", redo, undo, is_valid)
        self._mask_edited(node_id)

    def _mask_edited(self, node_id: str) -> None:
        self.mask_changed.emit(node_id)
        self._target_edited(node_id)
        self._measure(node_id)
        self._autosave(node_id)

    def _measure(self, node_id: str) -> None:
        """Numbers of the outline as it stands: quiet job, latest wins."""
        state = self.nodes[node_id]
        draft = state.draft
        if draft is None or draft.is_empty:
            state.measurement = None
            self.measurement_changed.emit(node_id)
            return
        mask = draft.as_mask()

        def work(_context):
            from volumetry.measure import measure_node

            return measure_node(mask)

        def done(measurement) -> None:
            if node_id in self.nodes and self.nodes[node_id].draft is draft:
                self.nodes[node_id].measurement = measurement
                self.measurement_changed.emit(node_id)

        self.jobs.start("Measuring", work, key=f"measure-{node_id}", quiet=True, on_done=done)

    # ---- brush -------------------------------------------------------------------------------
    def begin_stroke(self, text: str) -> None:
        """A brush or eraser stroke begins; all dabs until ``end_stroke`` are one undo step."""
        state = self._node_for_editing()
        self._stroke = None
        if state is None or self.image is None:
            return
        if state.draft is None:
            state.draft = MaskDraft(self.image.geometry)
        self._stroke = (state.node.node_id, state.draft.array.copy(), state.draft.coverage_volume_ml, text)

    def dab(self, point_mm, add: bool, plane_axis: int | None) -> None:
        """Paint or erase at a point; ``plane_axis`` 0, 1, 2 = disc in the slice across k, j, i;
        None = ball."""
        from volumetry.segmentation.editing import paint

        if self._stroke is None:
            return
        node_id = self._stroke[0]
        draft = self.nodes[node_id].draft
        paint(draft.array, draft.geometry, point_mm, self.brush_radius_mm, value=add, plane_axis=plane_axis)
        self.mask_changed.emit(node_id)
        if not self.jobs.is_busy(f"measure-{node_id}"):
            self._measure(node_id)

    def end_stroke(self) -> None:
        """The stroke ends: push the undo step, measure, autosave."""
        if self._stroke is None:
            return
        node_id, before, coverage_ml, text = self._stroke
        self._stroke = None
        step = self.nodes[node_id].draft.finish_stroke(before, coverage_ml, text)
        if step is not None:
            self._did(node_id, step)

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

    # ---- keeping ------------------------------------------------------------------------------
    def _autosave(self, node_id: str) -> None:
        """Keep the outline in the study after every step: quiet job; an older step never lands on a newer one."""
        store, visit, state, reader = self.study, self.visit, self.nodes.get(node_id), self.reader
        if store is None or visit is None or state is None or state.draft is None:
            return
        key = (node_id, visit.visit_id, reader)
        self._step_number += 1
        entry = (store, state.draft.as_mask(), self._step_number)
        self._unsaved[key] = entry
        self._newest_step[key] = self._step_number

        self._start_draft_write(key, entry, state.node.label)

    def _start_draft_write(self, key: tuple[str, str, str], entry: tuple, label: str) -> None:
        """Put the write of a draft in line. What the study refuses stays in memory and is tried
        again with the next step, at the next visit and on closing."""

        def done(_result) -> None:
            if self._unsaved.get(key) is entry:
                del self._unsaved[key]
            self._say_saved(f"{label} saved")

        def refused(error) -> None:
            self.notice.emit("serious", f"The outline of {label} could not be saved yet: {error.message} It is kept in memory and tried again.")

        self.jobs.start("Saving", lambda _context: self._write_draft(key, entry), key=AUTOSAVE_KEY, quiet=True, write=True, on_done=done, on_refused=refused)

    def _write_draft(self, key: tuple[str, str, str], entry: tuple) -> None:
        """Write a draft unless a newer one is there or on its way; in any thread, one at a time."""
        from app.usecases.readings import pack_mask

        (node_id, visit_id, reader), (store, mask, number) = key, entry
        with self._saving:
            if self._newest_step[key] == number:
                store.save_draft_mask(node_id, visit_id, pack_mask(mask), reader=reader)

    def flush_drafts(self) -> None:
        """End a stroke under way, and try again to write outlines that the study refused before."""
        if self._stroke is not None:
            self.end_stroke()
        if not self.jobs.is_busy(AUTOSAVE_KEY):
            for key, entry in list(self._unsaved.items()):
                self._start_draft_write(key, entry, "a node")

    def write_drafts_now(self) -> list[NodusError]:
        """On closing, when no job runs any more: write what is not on disk; returns what was refused."""
        problems = []
        for key, entry in list(self._unsaved.items()):
            try:
                self._write_draft(key, entry)
                del self._unsaved[key]
            except NodusError as problem:
                problems.append(problem)
        return problems
