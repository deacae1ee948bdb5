"""The session's part for the cohort: all subjects together, worked out beside the window while somebody looks at it."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, replace
from pathlib import Path

from app.study.endpoints import ACCEPTED
from app.ui.text import t
from app.usecases.cohort import Cohort, CohortFilter, CohortView, cohort_snapshot, may_see_cohort, view_of
from app.usecases.cohort_tables import EndpointLine, Survival, cohort_for, endpoint_lines, export_cohort, survival_of, tables_of
from volumetry.errors import NodusError

COHORT = "Working out the cohort"  # title of the job
KEY = "cohort"


@dataclass(frozen=True, slots=True, eq=False)
class CohortShown:
    """A view of the cohort with what is drawn of it, and how long it took to work out, in s."""

    view: CohortView
    survival: tuple[Survival, ...]
    lines: tuple[EndpointLine, ...]
    seconds: float


class CohortPart:
    """Mixed into ``Session``; uses its jobs, study and signals."""

    def _start_cohort(self) -> None:
        self.cohort_chosen = CohortFilter()
        self.cohort_shown: CohortShown | None = None
        self.cohort_problem = ""
        self._cohort: Cohort | None = None
        self._cohort_watched = False
        self._cohort_right: tuple | None = None
        self.study_changed.connect(self._cohort_of_another)
        self.readings_changed.connect(self.ask_cohort)

    def may_see_cohort(self) -> bool:
        """May whoever is at work see all subjects together? Never a blinded reader; nobody without a study."""
        store = self.study
        if store is None:
            return False
        known = self._cohort_right
        if known is None or known[0] is not store or known[1] is not store.session:
            known = self._cohort_right = (store, store.session, may_see_cohort(store))
        return known[2]

    def watch_cohort(self, watched: bool) -> None:
        """Somebody begins or ends to look; worked out only meanwhile."""
        self._cohort_watched = watched
        if watched:
            self.ask_cohort()
        else:
            self.jobs.drop(KEY)
            self._cohort = self.cohort_shown = None

    def choose_cohort(self, **changes) -> None:
        """Change the filter; what was gathered is used again where it holds the reader that is asked for."""
        self.cohort_chosen = replace(self.cohort_chosen, **changes)
        self.ask_cohort()

    def reset_cohort(self) -> None:
        """No filter."""
        self.cohort_chosen = CohortFilter()
        self.ask_cohort()

    def ask_cohort(self) -> None:
        """Work out what the filter asks for; a job, the latest wins."""
        store, chosen, cohort = self.study, self.cohort_chosen, self._cohort
        if not self._cohort_watched:
            return
        if store is None or not self.may_see_cohort():
            self._cohort = self.cohort_shown = None
            self.cohort_problem = t("Open a study first.") if store is None else t("The cohort is not shown in a blinded session.")
            self.cohort_changed.emit()
            return

        def work(context) -> CohortShown:
            begun = time.perf_counter()
            found, today = cohort, dt.date.today()
            if found is None or not _holds(found, chosen.reader) or found.as_of != today or found.snapshot.head_sha256 != store.head(silent=False).sha256:
                snapshot = cohort_snapshot(store)
                context.token.check()
                found = cohort_for(snapshot, chosen, as_of=today)
                context.token.check()
            view = view_of(found, _still_there(found, chosen))
            return CohortShown(view, survival_of(view), endpoint_lines(tables_of(view)), time.perf_counter() - begun)

        def done(shown: CohortShown) -> None:
            if self.study is not store:
                return
            self._cohort, self.cohort_shown, self.cohort_problem = shown.view.cohort, shown, ""
            self.cohort_chosen = shown.view.chosen
            self.cohort_changed.emit()

        def refused(refusal: NodusError) -> None:
            self.cohort_shown, self.cohort_problem = None, refusal.message
            self.cohort_changed.emit()

        self.jobs.start(COHORT, work, key=KEY, quiet=True, on_done=done, on_refused=refused)

    def save_cohort(self, folder, only: tuple[str, ...] | None = None) -> None:
        """Write the tables of what is on screen (or some of them, by name) into a folder; a job; a notice tells what and where."""
        store, shown = self.study, self.cohort_shown
        if store is None or shown is None:
            return

        def done(receipt: dict) -> None:
            names = ", ".join(f["path"] for f in receipt["files"])
            self.notice.emit("info", t("Written: {files} and cohort.json in {place}").format(files=names, place=folder))

        self.jobs.start(t("Writing the cohort's numbers"), lambda _context: export_cohort(store, shown.view, Path(folder), only=only), write=True, on_done=done)

    def _cohort_of_another(self) -> None:
        """Another study, or subjects and events of this one changed (what is unchanged is not gathered again)."""
        store = self.study
        if self._cohort is not None and (store is None or self._cohort.snapshot.study_id != store.study_id):
            self.cohort_chosen = CohortFilter()
            self._cohort = None
        self.ask_cohort()


def _holds(cohort: Cohort, reader: str | None) -> bool:
    """Was the cohort gathered for this reader (None: the usual one)?"""
    return reader in cohort.readers if reader is not None else cohort.accepted == (ACCEPTED in cohort.choices)


def _still_there(cohort: Cohort, chosen: CohortFilter) -> CohortFilter:
    """The filter without a visit or reader that are gone since it was chosen."""
    visit = chosen.visit if chosen.visit in cohort.visits else None
    return replace(chosen, visit=visit, reader=chosen.reader if chosen.reader in cohort.readers else None)
