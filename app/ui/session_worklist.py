"""The session's part for a reader's worklist: what there is to read in the reader's own order, one case open at a time.

For a blinded reader nothing but the case that is read is fetched: other visits, their pictures and readings are not in memory.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from app.study.model import Reading, ReadingState, Visit
from app.study.worklist import DONE, WorkItem
from app.ui.text import t

KEY = "worklist"


@dataclass(frozen=True, slots=True)
class CaseOpened:
    """What a job fetched of a case: whose it is (not shown where it is hidden), its visits in view, and own readings of this visit."""

    item: WorkItem
    subject_id: str
    visits: tuple[Visit, ...]
    readings: tuple[Reading, ...]


class WorklistPart:
    """Mixed into ``Session`` before ``OpeningPart``; uses its jobs and signals."""

    def _start_worklist(self) -> None:
        self.worklist: list[WorkItem] = []
        self.worklist_problem = ""
        self._case: CaseOpened | None = None
        self._own_locked: dict[tuple[str, int], Reading] = {}

    @property
    def case_code(self) -> str:
        """Code of the case that is read; empty where none is."""
        return "" if self._case is None else self._case.item.case

    @property
    def case_item(self) -> WorkItem | None:
        """The entry of the worklist that is read."""
        return None if self._case is None else self._case.item

    @property
    def reads_in_sequence(self) -> bool:
        """Does the protocol let a blinded reader see the earlier visits of the case that is read?"""
        return self.study is not None and self.study.protocol.section("reading").get("order") == "sequential"

    def ask_worklist(self) -> None:
        """Fetch the list; a job; ``worklist_changed`` follows."""
        store = self.study
        if store is None or self.signed_in is None:
            self.worklist, self.worklist_problem = [], t("Worklists belong to the users of a study; this one has none.") if store is not None else t("Open a study first.")
            self.worklist_changed.emit()
            return

        def done(items) -> None:
            if self.study is store:
                self.worklist, self.worklist_problem = items, ""
                self.worklist_changed.emit()

        def refused(refusal) -> None:
            self.worklist, self.worklist_problem = [], t(refusal.message)
            self.worklist_changed.emit()

        self.jobs.start("Fetching the worklist", lambda _context: store.worklist(today=dt.date.today()), key=KEY, quiet=True, on_done=done, on_refused=refused)

    def next_item(self) -> WorkItem | None:
        """The next case to read: after the one that is open in the list's order, then from its beginning."""
        here = next((n for n, item in enumerate(self.worklist) if self._case is not None and item.visit_id == self._case.item.visit_id), -1)
        there = [item for item in self.worklist[here + 1 :] + self.worklist[: here + 1] if item.state != DONE and item.waits_for is None]
        return next((item for item in there if self._case is None or item.visit_id != self._case.item.visit_id), None)

    def open_next_case(self) -> None:
        """Open the next case; says so where all is read."""
        item = self.next_item()
        if item is None:
            self.notice.emit("info", t("Every other case of your worklist is locked."))
        else:
            self.open_case(item)

    def open_case(self, item: WorkItem) -> None:
        """Open the pictures of one case; a job fetches what may be seen of it."""
        store = self.study
        if store is None or self.when_drawn(lambda: self.open_case(item)):
            return
        blinded, reader = self.is_blinded, self.reader

        def work(_context) -> CaseOpened:
            visits = store.visits()
            visit = next(v for v in visits if v.visit_id == item.visit_id)
            store.check_turn(item.visit_id)
            if not blinded:
                return CaseOpened(item, visit.subject_id, (), ())
            sequential = store.protocol.section("reading").get("order") == "sequential"
            seen = [v for v in visits if v.subject_id == visit.subject_id and (v.visit_id == visit.visit_id or (sequential and v.order < visit.order))]
            own = store.view_as(reader, visit_id=item.visit_id).snapshot.readings
            mine = [r for r in own if r.visit_id == item.visit_id and r.reader == reader]
            return CaseOpened(item, visit.subject_id, tuple(seen), tuple(mine))

        def done(case: CaseOpened) -> None:
            if self.study is store and not self.when_drawn(lambda: done(case)):
                self._show_case(case)

        self.jobs.start("Opening the case", work, key="open", on_done=done)

    def _show_case(self, case: CaseOpened) -> None:
        self._leave_visit()
        self._case = case
        self._own_locked = {(r.reading_id, r.version): r for r in case.readings if r.state == ReadingState.LOCKED}
        self.subject_id, self.visit, self.series, self.nodes, self.current_node_id = case.subject_id, None, [], {}, None
        self._reload_rail()
        self.study_changed.emit()
        self.readings_changed.emit()
        self.open_visit(case.item.visit_id)
        self.case_opened.emit()

    def _take_blinded(self, store) -> None:
        """A study in the hands of a blinded reader: nothing opens by itself, the worklist comes."""
        self._release_study()
        self.study, self.subject_id = store, None
        self._reload_rail()
        self._clear_screen()
        self.study_changed.emit()
        self.readings_changed.emit()
        self.ask_worklist()

    def _leave_case(self) -> None:
        self._case, self._own_locked, self.worklist = None, {}, []

    def _reload_rail(self) -> None:
        """For a blinded reader: the case that is read and nothing else."""
        store, case = self.study, self._case
        if not self.is_blinded:
            super()._reload_rail()
            return
        if case is None or self.subject_id is None:
            self.visits, self.series_by_visit, self.subject_nodes, self.subject_readings, self._rows = [], {}, [], [], []
            return
        kinds = ("volume", "volume_cine", "cine", "still")
        self.visits = list(case.visits)
        self.series_by_visit = {
            v.visit_id: sorted(store.series(v.visit_id), key=lambda s: (kinds.index(s.kind) if s.kind in kinds else len(kinds), s.description)) for v in case.visits
        }
        self.subject_nodes = store.nodes(case.subject_id)
        here = {v.visit_id for v in case.visits}
        # A locked reading is not given out again: the store cannot know which visit is on screen.
        in_work = [r for r in store.readings(subject_id=case.subject_id) if r.visit_id in here]
        newer = {(r.reading_id, r.version) for r in in_work}
        self.subject_readings = in_work + [r for key, r in self._own_locked.items() if key not in newer and (key[0], key[1] + 1) not in newer]
        self._rows = []

    def _reading_saved(self, reading) -> None:
        if self.is_blinded and reading.state == ReadingState.LOCKED:
            self._own_locked[reading.reading_id, reading.version] = reading
        super()._reading_saved(reading)
        if self.signed_in is not None and reading.state == ReadingState.LOCKED:
            self.ask_worklist()
