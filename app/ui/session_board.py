"""The session's part for the visit board: who is due, what a subject's eligibility and pain say, events logged from there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.study.schedule import study_schedule
from app.ui.models.visit_board import Board, board_of
from app.ui.text import t
from volumetry.errors import NodusError

KEY, FACTS_KEY = "visit_board", "subject_facts"
BOARD_RIGHTS = ("see_all", "see_clinical")


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """What stands below the board: rows of eligibility, pain, events, nodes; ``*_problem`` says why one is not there."""

    subject: str
    eligibility: dict[str, Any] | None
    eligibility_problem: str
    pain: dict[str, Any] | None
    pain_problem: str
    events: tuple
    nodes: tuple[tuple[str, str], ...]  # (label, words)
    labels: Mapping[str, str] = field(default_factory=dict)  # node id -> label


class BoardPart:
    """Mixed into ``Session``; uses its jobs, study and signals."""

    def _start_board(self) -> None:
        self.board: Board | None = None
        self.board_problem = ""
        self.board_day: dt.date | None = None  # None: today
        self.facts: SubjectFacts | None = None
        self._board_watched = False
        self._facts_of: str | None = None
        for signal in (self.study_changed, self.readings_changed):
            signal.connect(self._board_is_stale)

    def why_no_board(self) -> str:
        """Why there is no board for who is at work; empty where there is one."""
        if self.study is None:
            return t("Open a study first.")
        if self.is_blinded:
            return t("A blinded reader sees no dates and no subjects.")
        return self.why_not(*BOARD_RIGHTS)

    def watch_board(self, watched: bool) -> None:
        """Somebody begins or ends to look."""
        self._board_watched = watched
        if watched:
            self.ask_board()
        else:
            self.jobs.drop(KEY, FACTS_KEY)

    def set_board_day(self, day: dt.date | None) -> None:
        """Show the board as of another day; None: today, whatever day that is."""
        if day != self.board_day:
            self.board_day = day
            self._board_is_stale()

    def _day(self) -> dt.date:
        return self.board_day or dt.date.today()

    def ask_board(self) -> None:
        """Work out the schedule of all subjects as of the chosen day; a job."""
        store, why = self.study, self.why_no_board()
        if why:
            self.board, self.board_problem, self.facts = None, why, None
            self.board_changed.emit()
            return

        def done(board: Board) -> None:
            if self.study is store:
                self.board, self.board_problem = board, ""
                self.board_changed.emit()

        def refused(refusal: NodusError) -> None:
            self.board, self.board_problem = None, t(refusal.message)
            self.board_changed.emit()

        on = self._day()
        self.jobs.start("Working out who is due", lambda _context: board_of(study_schedule(store.snapshot(), on=on), on, store.protocol.section("anchors")), key=KEY, quiet=True, on_done=done, on_refused=refused)

    def ask_facts(self, subject: str | None) -> None:
        """Eligibility, pain and events of one subject; a job. ``facts_changed`` follows."""
        store, on = self.study, self._day()
        self._facts_of = subject
        if store is None or subject is None or self.why_no_board():
            self.facts = None
            self.facts_changed.emit()
            return

        def done(facts: SubjectFacts) -> None:
            if self.study is store and self._facts_of == subject:
                self.facts = facts
                self.facts_changed.emit()

        self.jobs.start("Looking at a subject", lambda _context: facts_of(store, subject, on), key=FACTS_KEY, quiet=True, on_done=done)

    def open_from_board(self, subject: str, visit_id: str) -> None:
        """Go to a subject's visit."""
        if self.study is None or self.when_drawn(lambda: self.open_from_board(subject, visit_id)):
            return
        if self.subject_id != subject:
            self._leave_visit()
            self.subject_id, self.visit, self.series, self.nodes, self.current_node_id = subject, None, [], {}, None
            self._reload_rail()
            self.study_changed.emit()
            self.readings_changed.emit()
        self.open_visit(visit_id)

    def log_clinical_event(self, subject: str, kind: str, date: str, *, node: str | None, detail: dict[str, Any], zones_ml: Mapping[str, float] | None = None) -> None:
        """Log an event of a subject, with the zone of each ablated node (label -> ml) where it was measured; a job. ``event_logged`` follows with an empty text, or with why it was refused."""
        from app.usecases.subject_values import log_event

        store = self.study
        if store is None:
            return

        def done(_event) -> None:
            if self.study is not store:
                return
            self.event_logged.emit("")
            self._say_saved("event logged")
            if subject == self.subject_id:
                self._reload_rail()
                self.readings_changed.emit()
            elif self._board_watched:
                self._board_is_stale()

        def refused(refusal: NodusError) -> None:
            self.event_logged.emit(" ".join(t(x) for x in (refusal.message, refusal.hint) if x))

        self.jobs.start("Logging an event", lambda _context: log_event(store, subject, kind, date, node=node, detail=detail, zones_ml=zones_ml), write=True, on_done=done, on_refused=refused)

    def _board_is_stale(self) -> None:
        if self._board_watched:
            self.ask_board()
            if self._facts_of is not None:
                self.ask_facts(self._facts_of)


def facts_of(store, subject: str, on: dt.date) -> SubjectFacts:
    """Gather what stands below the board; a part that is refused says why and leaves the others."""
    from app.study.clinical import standing
    from app.usecases.subject_values import eligibility_of, pain_of_subject

    def part(work) -> tuple[Any, str]:
        try:
            return work(), ""
        except NodusError as refusal:
            return None, " ".join(t(x) for x in (refusal.message, refusal.hint) if x)

    eligibility, why_not = part(lambda: eligibility_of(store, subject, on=on))
    pain, why_no_pain = part(lambda: pain_of_subject(store, subject))
    found = store.nodes(subject)
    nodes = tuple((n.label, f"{n.label} · {t(str(n.side))} {n.level}") for n in found)
    return SubjectFacts(subject, eligibility, why_not, pain, why_no_pain, tuple(standing(store.clinical_events(subject))), nodes, {n.node_id: n.label for n in found})
