"""The session's part for what is kept of contrast loops: one draft a visit and reader, written as one works and taken up again."""

from __future__ import annotations

from app.ui.session_contrast_planes import ContrastPlanesPart
from app.usecases.contrast_draft import ContrastDraft, LoopDraft, load_contrast, save_contrast
from volumetry.errors import NodusError

DRAFT_KEY, PROPOSAL_KEY, READING_KEY = "contrast-draft", "contrast-panes", "contrast-loop"


class ContrastKeepingPart(ContrastPlanesPart):
    """Mixed into ``Session`` with the other parts for contrast loops; uses its jobs and study."""

    def _start_contrast_keeping(self) -> None:
        self._contrast_draft = ContrastDraft()
        self._contrast_of: tuple | None = None  # study, visit and reader that the draft belongs to
        self._contrast_unsaved: dict[tuple[str, str], tuple] = {}  # (visit, reader) -> study and draft not yet on disk
        self._start_contrast_planes()
        self.visit_changed.connect(self._take_up_contrast)
        self.study_changed.connect(self._take_up_contrast)

    def _contrast_refused(self) -> bool:
        """Tell why nothing can be changed now; False where it can."""
        from app.study.permissions import ANY_READER

        why = self.why_not(*ANY_READER)
        if why:
            self.notice.emit("warning", why)
        return bool(why)

    def _contrast_settled(self) -> None:
        """Something was settled: tell the views, keep it."""
        self.contrast_changed.emit()
        self._keep_contrast()

    def _loop_draft_of(self, state) -> LoopDraft:
        stated = state.range_db if state.range_source == "stated" else None
        regions = {node: tuple(rows) for node, rows in state.regions.items() if rows}
        return LoopDraft(state.panes if state.confirmed else None, stated, state.trim, dict(state.moved_marks), state.region_frame if regions else None, regions, state.in_parts, state.plane, dict(state.sections))

    def _keep_contrast(self) -> None:
        """Keep all of this visit as it is now; quiet job, the newest counts."""
        store, visit, reader = self.study, self.visit, self.reader
        if store is None or visit is None or self._contrast_of != (store, visit.visit_id, reader):
            return
        own = {s.series_id for s in self.series}
        loops = {**self._contrast_draft.loops, **{name: self._loop_draft_of(s) for name, s in self.contrast_states.items() if name in own}}
        taken = {node_id: s.contrast_taken for node_id, s in self.nodes.items() if s.contrast_taken is not None}
        gone = {node_id for node_id, s in self.nodes.items() if s.contrast_taken is None}
        taken = {**{n: r for n, r in self._contrast_draft.taken.items() if n not in gone}, **taken}
        draft = ContrastDraft({name: d for name, d in loops.items() if d != LoopDraft()}, taken, dict(self.loop_pairs))
        if draft == self._contrast_draft:
            return
        self._contrast_draft = draft
        key = (visit.visit_id, reader)
        waiting = key in self._contrast_unsaved
        self._contrast_unsaved[key] = (store, draft)
        if waiting:
            return  # the write that is in line takes the newest

        def work(_context) -> None:
            owner, newest = self._contrast_unsaved.pop(key)
            save_contrast(owner, *key, newest)

        def refused(error: NodusError) -> None:
            self.notice.emit("serious", f"What was drawn on the contrast loop could not be saved yet: {error.message} It is kept in memory.")

        self.jobs.start("Saving", work, quiet=True, write=True, on_done=lambda _: self._say_saved("contrast loop saved"), on_refused=refused)

    def _take_up_contrast(self) -> None:
        """Another visit or study: its draft is read in a quiet job, what belongs to the one before is laid aside."""
        store, visit, reader = self.study, self.visit, self.reader
        wanted = None if store is None or visit is None else (store, visit.visit_id, reader)
        if wanted is not None and wanted == self._contrast_of:
            self._give_taken()
            return
        self.contrast_states = {}
        self._contrast_of, self._contrast_draft, self.loop_pairs = None, ContrastDraft(), {}
        self.jobs.drop(PROPOSAL_KEY, READING_KEY, DRAFT_KEY)
        if wanted is None:
            return
        waiting = self._contrast_unsaved.get(wanted[1:])
        if waiting is not None or not any(s.kind == "cine" for s in self.series):
            self._contrast_of, self._contrast_draft = wanted, ContrastDraft() if waiting is None else waiting[1]
            self._give_taken()
            return

        def done(draft: ContrastDraft | None) -> None:
            if (self.study, None if self.visit is None else self.visit.visit_id, self.reader) != wanted:
                return
            self._contrast_of, self._contrast_draft = wanted, draft or ContrastDraft()
            self._give_taken()
            for state in self.contrast_states.values():
                self._apply_draft(state)
            self.contrast_changed.emit()

        def refused(error: NodusError) -> None:
            self._on_refused(error)
            done(None)

        self.jobs.start("Loading what was drawn on loops", lambda _context: load_contrast(store, visit.visit_id, reader), key=DRAFT_KEY, quiet=True, on_done=done, on_refused=refused)

    def _apply_draft(self, state) -> None:
        """What was settled of a loop at an earlier time; what the reader settled before it was there stays."""
        kept = self._contrast_draft.loops.get(state.name)
        if kept is None:
            return
        if kept.panes is not None and not state.confirmed:
            state.panes, state.confirmed = kept.panes, True
        if kept.range_db is not None and state.range_source != "stated":
            state.range_db, state.range_source = kept.range_db, "stated"
        if state.trim is None:
            state.trim = kept.frames
        state.in_parts, state.plane = state.in_parts or kept.in_parts, state.plane or kept.plane
        state.sections = {**kept.sections, **state.sections}
        state.moved_marks = {**kept.marks, **state.moved_marks}
        state.marks = {**state.marks, **state.moved_marks}
        if not any(state.regions.values()):
            state.regions = {node: tuple(rows) for node, rows in kept.regions.items()}
            state.region_frame = kept.region_frame if state.region_frame is None else state.region_frame

    def _give_taken(self) -> None:
        self.loop_pairs = {**self._contrast_draft.pairs, **self.loop_pairs}
        for node_id, record in self._contrast_draft.taken.items():
            node = self.nodes.get(node_id)
            if node is not None and node.contrast_taken is None:
                node.contrast_taken = record
                self.measurement_changed.emit(node_id)
