"""The session's part for keeping outlines: saved after every step with their undo steps, taken up again."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from app.ui.commands import StepCommand
from app.usecases.mask_draft import MaskDraft
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.mask import NodeMask
from volumetry.segmentation.history import EditHistory, EditStep

AUTOSAVE_KEY = "autosave"


class UnsavedDraft(NamedTuple):
    """An outline that is not confirmed on disk yet; ``number`` tells older from newer."""

    store: object
    mask: NodeMask
    number: int
    history: EditHistory | None = None


class DraftsPart:
    """Mixed into ``Session``; uses its signals, jobs, undo stack and study."""

    # ---- taking up ----------------------------------------------------------------------------
    def _attach_drafts(self) -> None:
        """Load outlines kept for this visit (autosaved draft first, else the reading's) onto the image,
        with their undo steps; a job."""
        store, visit, image, reader = self.study, self.visit, self.image, self.reader
        if store is None or visit is None or image is None:
            return
        readings = {node_id: s.reading for node_id, s in self.nodes.items()}
        labels = {node_id: s.node.label for node_id, s in self.nodes.items()}
        # What is not on disk yet is newer than what is.
        waiting = {key[0]: entry for key, entry in self._unsaved.items() if key[1:] == (visit.visit_id, reader) and entry.store is store}

        def work(_context):
            found, told = {}, []
            for node_id, reading in readings.items():
                locks = sum(r.locked_utc is not None for r in store.readings(visit_id=visit.visit_id, node_id=node_id, reader=reader, history=True))
                try:
                    draft, trouble = kept_draft(store, visit.visit_id, node_id, reader, reading, locks, waiting.get(node_id))
                except NodusError as problem:  # one that cannot be read does not keep the others away
                    told.append(("serious", f"The outline of {labels[node_id]} could not be taken up: {problem.message}" + (f" {problem.hint}" if problem.hint else "")))
                    continue
                if trouble is not None:
                    told.append((trouble.severity, f"{labels[node_id]}: {trouble.message}"))
                if draft is not None and draft.geometry.same_grid(image.geometry):
                    found[node_id] = (draft, None if draft.is_empty else draft.measure(), locks)
            return found, told

        def done(result) -> None:
            found, told = result
            if self.image is not image or self.visit is not visit:
                return
            taken = []
            for node_id, (draft, measurement, locks) in found.items():
                state = self.nodes.get(node_id)
                if state is not None and state.draft is None:
                    state.draft, state.measurement = draft, measurement
                    state.lock_count = max(state.lock_count, locks)
                    taken.append(node_id)
            self._restore_steps(taken)
            for node_id in taken:
                self.mask_changed.emit(node_id)
                self.measurement_changed.emit(node_id)
            self.nodes_changed.emit()
            for severity, text in told:
                self.notice.emit(severity, text)
            if found:
                self._centre_crosshair()

        self.jobs.start("Loading outlines", work, key="outlines", quiet=True, on_done=done)

    def _restore_steps(self, node_ids: list[str]) -> None:
        """Put the kept steps of these nodes on the undo stack, in the order they were done in, as if they
        had been done just now; what was undone can be redone. Steps already on the stack stay above them."""
        done, undone = [], []
        for node_id in node_ids:
            history = self.nodes[node_id].draft.history
            done.append([(node_id, step) for step in history.steps[: history.done_count]])
            undone.append([(node_id, step) for step in history.steps[history.done_count :]])
        done, undone = (list(heapq.merge(*rows, key=lambda pair: pair[1].done_utc_s)) for rows in (done, undone))
        if done:  # a step taken back is gone for good once another was done after it
            undone = [(node_id, step) for node_id, step in undone if step.done_utc_s >= done[-1][1].done_utc_s]
        if not done and not undone:
            return
        stack = self.undo_stack
        already = [stack.command(n) for n in range(stack.index())]
        if not all(isinstance(command, StepCommand) for command in already):
            return  # a group of steps cannot be put on anew; the kept steps come back at the next visit
        above = [command.again() for command in already]
        if above:
            undone = []
        stack.clear()
        for node_id, step in done:
            stack.push(self._step_command(node_id, step))
        for command in above:
            stack.push(command)
        place = stack.index()
        for node_id, step in undone:
            stack.push(self._step_command(node_id, step, is_done=False))
        stack.setIndex(place)

    def _lay_outlines_aside(self) -> None:
        """Another grid comes on screen: outlines of the old one are kept in the study, not shown on it."""
        self.flush_drafts()
        self.undo_stack.clear()
        for state in self.nodes.values():
            state.draft = state.measurement = state.outline_surface = None
            self.mask_changed.emit(state.node.node_id)
            self.measurement_changed.emit(state.node.node_id)

    # ---- keeping ------------------------------------------------------------------------------
    def _autosave(self, node_id: str, mask: NodeMask | None = None) -> None:
        """Keep the outline and its steps in the study after every step: quiet job; an older step never
        lands on a newer one. ``mask`` is the outline as it stands, where the caller has it already."""
        store, visit, state, reader = self.study, self.visit, self.nodes.get(node_id), self.reader
        if store is None or visit is None or state is None or state.draft is None:
            return
        key = (node_id, visit.visit_id, reader)
        self._step_number += 1
        entry = UnsavedDraft(store, mask if mask is not None else state.draft.as_mask(), self._step_number, state.draft.history.copy())
        self._unsaved[key] = entry
        self._newest_step[key] = self._step_number
        self._start_draft_write(key, entry, state.node.label)

    def _start_draft_write(self, key: tuple[str, str, str], entry: UnsavedDraft, label: str) -> None:
        """Put the write of a draft in line. What the study refuses stays in memory and is tried
        again with the next step, at the next visit and on closing."""

        def done(_result) -> None:
            if self._unsaved.get(key) is entry:
                del self._unsaved[key]
            self._say_saved(f"{label} saved")

        def refused(error) -> None:
            self.notice.emit("serious", f"The outline of {label} could not be saved yet: {error.message} It is kept in memory and tried again.")

        self.jobs.start("Saving", lambda _context: self._write_draft(key, entry), key=AUTOSAVE_KEY, quiet=True, write=True, on_done=done, on_refused=refused)

    def _write_draft(self, key: tuple[str, str, str], entry: UnsavedDraft) -> None:
        """Write a draft unless a newer one is there or on its way; in any thread, one at a time."""
        from app.usecases.mask_draft import pack_draft

        node_id, visit_id, reader = key
        with self._saving:
            if self._newest_step[key] == entry.number:
                entry.store.save_draft_mask(node_id, visit_id, pack_draft(entry.mask, entry.history), reader=reader)

    def flush_drafts(self) -> None:
        """End a stroke under way, and try again to write outlines that the study refused before."""
        self.keep_typed.emit()
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

    # ---- steps --------------------------------------------------------------------------------
    def _did(self, node_id: str, step: EditStep, surface: tuple | None = None) -> None:
        """A step was applied to a draft: make it undoable, tell the views, measure, autosave.
        ``surface`` (vertices_mm, faces) is the sub-voxel surface of the outline, where it has one."""
        state = self.nodes[node_id]
        draft = state.draft
        if draft.history.locks != state.lock_count:
            draft.history.begin_anew(state.lock_count, keep_last=1)
        before, state.outline_surface = state.outline_surface, surface
        self.undo_stack.push(self._step_command(node_id, step, before, surface))
        self._mask_edited(node_id)

    def _step_command(self, node_id: str, step: EditStep, before: tuple | None = None, after: tuple | None = None, *, is_done: bool = True) -> StepCommand:
        """The undo stack's command for a step of the node's outline; surfaces before and after it."""
        state = self.nodes[node_id]
        draft, locks = state.draft, state.lock_count

        def redo() -> None:
            draft.redo(step)
            state.outline_surface = after
            self._mask_edited(node_id)

        def undo() -> None:
            draft.undo(step)
            state.outline_surface = before
            self._mask_edited(node_id)

        def is_valid() -> bool:
            # What was locked since then is not taken back, also not after a correction began.
            if state.lock_count == locks:
                return True
            self.notice.emit("info", f"The outline of {state.node.label} was locked after this step; it stays.")
            return False

        return StepCommand(f"{step.text} ({state.node.label})", redo, undo, is_valid, is_done=is_done)


def kept_draft(store, visit_id: str, node_id: str, reader: str, reading, locks: int, waiting: UnsavedDraft | None) -> tuple[MaskDraft | None, Finding | None]:
    """The outline to go on with: not yet written, autosaved, or of the reading; and what was amiss with
    its undo steps. ``locks`` is how often this reader has locked the node at this visit."""
    from app.usecases.mask_draft import unpack_draft
    from app.usecases.readings import mask_of_reading

    if waiting is not None:
        return MaskDraft.resumed(waiting.mask, None if waiting.history is None else waiting.history.copy(), locks=locks), None
    kept = store.load_draft_mask(node_id, visit_id, reader=reader)
    if kept is not None:
        return unpack_draft(kept, locks=locks)
    mask = None if reading is None else mask_of_reading(store, reading)
    return (None if mask is None else MaskDraft.resumed(mask, None, locks=locks)), None
