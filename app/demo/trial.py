"""A simulated trial in a real study: sites, two blinded central readers and an adjudicator work through 24 months by the store's own rules,
with sign-in, signatures, corrections and adjudication. Made up throughout, from a seed; only the program's own identities (of signatures,
case codes, the study) differ from run to run.

Time goes as it would: sites enter and sign what happened every two weeks, central readers read every four, the adjudicator selects
every twelve. The clock of the store is the trial's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from app.demo.trial_plan import ENROL_DAYS, METHOD, READER_1, READER_2, SITE, SITES, SimReading, SimSubject, SimVisit, plan_subject
from app.jobs.progress import JobContext
from app.study.adjudication import open_differences, reader_codes
from app.study.clinical import check_detail
from app.study.model import DeliveredPair, Reading, ReadingState, ReadingStatus
from app.study.protocol import load_protocol
from app.study.store import StudyStore

PROTOCOL = "ire-cervical-ln"
# Every account of a simulated trial has this password: it protects nothing.
PASSWORD = "simulated trial"
MANAGER, JUDGE, ADMINISTRATOR = "manager", "adjudicator", "administrator"
SITE_DAYS, READ_DAYS, JUDGE_DAYS = 14, 28, 84
JUDGED = 0.95  # share of what waits that the adjudicator gets round to
NAMES = {"reader-1": "First Reader", "reader-2": "Second Reader", MANAGER: "Trial Manager", JUDGE: "Third Reader", ADMINISTRATOR: "Study Administrator"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the adjudicator selected, in the order of selection."""

    subject_id: str
    node: str
    visit: str
    modality: str
    reader: str


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """What was put into the study, to hold its exports and tables against. ``last_day`` is the day the data were cut."""

    seed: int
    subjects: tuple[SimSubject, ...]
    judgements: tuple[Judgement, ...]
    last_day: dt.date

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for ``trial.json``."""
        return {"schema": "nodus.simulated-trial/1", **_plain(asdict(self))}


class Pictures(Protocol):
    """Gives a simulated subject pictures: whoever can write and read them."""

    def at_visit(self, store: StudyStore, subject: SimSubject, visit: SimVisit, visit_id: str) -> None:
        """Store the pictures of a visit; the site is signed in."""

    def outlined(self, store: StudyStore, subject: SimSubject, seen: SimReading, reading: Reading) -> Reading:
        """The reading with an outline on those pictures, or as it is."""


class TrialClock:
    """The trial's time: set to a day, then a second passes at every look."""

    def __init__(self, day: dt.date) -> None:
        self.set(day)

    def set(self, day: dt.date) -> None:
        """Eight in the morning of a day, never back."""
        self.now = max(dt.datetime.combine(day, dt.time(8), dt.UTC), getattr(self, "now", dt.datetime.min.replace(tzinfo=dt.UTC)))

    def __call__(self) -> dt.datetime:
        self.now += dt.timedelta(seconds=1)
        return self.now


def simulate_trial(study: Path, *, subjects: int = 85, nodes: tuple[int, int] = (1, 10), seed: int = 2026, enrol_days: int = ENROL_DAYS, context: JobContext | None = None, pictures: Pictures | None = None) -> TrialRecord:
    """Make a study in the empty folder ``study`` and fill it with a trial of ``subjects`` with ``nodes`` (fewest, most) each, treated within
    ``enrol_days`` of each other; returns what was put in. Raises what ``StudyStore.create`` refuses."""
    context = context or JobContext()
    protocol = load_protocol(PROTOCOL)
    planned = tuple(plan_subject(protocol, number, seed, nodes, enrol_days) for number in range(subjects))
    first = min(v.date for s in planned for v in s.visits)
    clock = TrialClock(first - dt.timedelta(30))
    with StudyStore.create(study, name="Simulated trial", protocol=PROTOCOL, user="simulation", clock=clock) as store:
        run = _Run(store, clock, planned, seed, pictures)
        run.accounts()
        days = run.days()
        for number, day in enumerate(days):
            context.report(f"Simulated trial, {day}", number / len(days))
            run.period(day)
    return TrialRecord(seed, planned, tuple(run.judgements), days[-1])


class _Run:
    """Puts planned subjects into a study, period by period."""

    def __init__(self, store: StudyStore, clock: TrialClock, planned: tuple[SimSubject, ...], seed: int, pictures: Pictures | None) -> None:
        self.store, self.clock, self.planned, self.pictures = store, clock, planned, pictures
        self.rng = np.random.default_rng([seed, 1_000_000])
        self.protocol = store.protocol
        self.visit_ids: dict[tuple[str, str], str] = {}
        self.node_ids: dict[tuple[str, str], str] = {}
        self.waiting: dict[str, list[tuple[SimSubject, SimVisit]]] = {READER_1: [], READER_2: []}
        self.corrections: dict[str, list[tuple[str, SimReading]]] = {READER_1: [], READER_2: []}
        self.judgements: list[Judgement] = []
        self.passed_over: set[tuple[str, str]] = set()
        self.start = clock.now.date()

    # -- people and time ----------------------------------------------------------------------------

    def accounts(self) -> None:
        """The administrator first, who adds everybody else."""
        self.store.add_user(ADMINISTRATOR, NAMES[ADMINISTRATOR], ("administrator",), PASSWORD)
        self._as(ADMINISTRATOR)
        for user, role in ((MANAGER, "trial_manager"), (READER_1, "central_reader"), (READER_2, "central_reader"), (JUDGE, "adjudicator")):
            self.store.add_user(user, NAMES[user], (role,), PASSWORD)
        for site in SITES:
            self.store.add_user(site_reader(site), f"Radiologist {site.title()}", ("site_reader",), PASSWORD, site=site)
        self._as(MANAGER)
        self.store.set_setting("first_reader", READER_1)

    def _as(self, user: str) -> None:
        self.store.sign_out()
        self.store.sign_in(user, PASSWORD)

    def days(self) -> list[dt.date]:
        """Last days of the sites' periods, until everything was entered, read twice and adjudicated."""
        last = max([v.date for s in self.planned for v in s.visits] + [e.date for s in self.planned for e in s.events])
        count = -(-(last - self.start).days // SITE_DAYS) + 1
        return [self.start + dt.timedelta(SITE_DAYS * n) for n in range(1, count + 2 * JUDGE_DAYS // SITE_DAYS)]

    def period(self, day: dt.date) -> None:
        """What sites, readers and adjudicator do on the last day of a period."""
        self.clock.set(day)
        for site in SITES:
            self._site(site, day)
        passed = (day - self.start).days
        if passed % READ_DAYS == 0:
            for reader in (READER_1, READER_2):
                self._reader(reader)
        if passed % JUDGE_DAYS == 0:
            self._adjudicate()

    # -- a site -------------------------------------------------------------------------------------

    def _site(self, site: str, day: dt.date) -> None:
        def now(when: dt.date) -> bool:
            return day - dt.timedelta(SITE_DAYS) < when <= day

        work = [(s, [v for v in s.visits if now(v.date)], [e for e in s.events if now(e.date)]) for s in self.planned if s.site == site]
        work = [(s, visits, events) for s, visits, events in work if visits or events]
        if not work:
            return
        self._as(site_reader(site))
        saved: list[Reading] = []
        for subject, visits, events in work:
            if (subject.subject_id, "Screening") not in self.visit_ids:
                self._enrol(subject, visits)
            for event in events:
                node = None if event.node is None else self._node_id(subject, event.node)
                self.store.add_event(subject.subject_id, event.kind, event.date.isoformat(), node_id=node, detail=check_detail(event.kind, event.detail))
                if event.kind == "IRE":
                    self._deliver(subject, event.node, event.date)
            for visit in visits:
                self._add_visit(subject, visit)
                self._known_nodes(subject, visit)
                if self.pictures is not None and visit.modalities:
                    self.pictures.at_visit(self.store, subject, visit, self.visit_ids[subject.subject_id, visit.name])
                saved += self._save(subject, visit, SITE)
                if visit.modalities:
                    for reader in self.waiting:
                        self.waiting[reader].append((subject, visit))
        if saved:
            self.store.lock_readings([r.reading_id for r in saved], "", "reading", password=PASSWORD)

    def _enrol(self, subject: SimSubject, visits: Iterable[SimVisit]) -> None:
        self.store.add_subject(subject.subject_id)
        self._add_visit(subject, next(v for v in visits if v.name == "Screening"))
        self._known_nodes(subject, subject.visits[0])

    def _add_visit(self, subject: SimSubject, visit: SimVisit) -> None:
        key = (subject.subject_id, visit.name)
        if key not in self.visit_ids:
            stated = None if visit.stated is None else visit.stated.isoformat()
            self.visit_ids[key] = self.store.add_visit(subject.subject_id, visit.name, actual_date=stated).visit_id

    def _known_nodes(self, subject: SimSubject, visit: SimVisit) -> None:
        """Nodes that the site knows by this visit."""
        for node in subject.nodes:
            if node.found_by is None and node.added <= visit.date:
                self._add_node(subject, node.label)

    def _add_node(self, subject: SimSubject, label: str) -> None:
        key = (subject.subject_id, label)
        if key not in self.node_ids:
            node = next(n for n in subject.nodes if n.label == label)
            self.node_ids[key] = self.store.add_node(subject.subject_id, label, node.side, node.level, high_risk=node.high_risk).node_id

    def _node_id(self, subject: SimSubject, label: str) -> str:
        self._add_node(subject, label)
        return self.node_ids[subject.subject_id, label]

    def _deliver(self, subject: SimSubject, label: str | None, date: dt.date) -> None:
        """A plan with one pair of needles and what the generator gave, for the node (or the subject's first)."""
        node = self._node_id(subject, label or subject.nodes[0].label)
        volts = 1500.0
        plan = {
            "plan": {
                "electrodes": [{"id": i, "exposure_mm": 15.0, "tip_mm": [x, 0.0, 0.0], "entry_mm": [x, 0.0, 60.0], "diameter_mm": 1.0} for i, x in (("E1", -5.0), ("E2", 5.0))],
                "pulses": [{"anode": "E1", "cathode": "E2", "voltage_v": volts, "pulses": 90, "width_us": 90.0, "rate_hz": 1.0}],
            },
            "assessment": {"pairs": [{"anode": "E1", "cathode": "E2", "distance_mm": 10.0, "v_per_cm": volts}]},
        }
        run = self.store.save_plan_run(plan, subject_id=subject.subject_id, node_id=node, session="day0")
        short = self.rng.random() < 0.05
        pair = DeliveredPair("E1", "E2", 60 if short else 90, volts, 18.0, 24.0, short, "over current" if short else None)
        self.store.add_delivery(run.plan_run_id, (pair,), entered_by=f"Radiologist {subject.site.title()}", date=date.isoformat())

    # -- readings -----------------------------------------------------------------------------------

    def _save(self, subject: SimSubject, visit: SimVisit, reader: str) -> list[Reading]:
        """Save what a reader saw at a visit, and (of a central reader) note what is corrected later; returns what is to be locked."""
        seen = [r for r in subject.readings if r.visit == visit.name and r.reader == reader]
        if not seen:
            return []
        for r in seen:
            self._add_node(subject, r.node)  # one that this reader found
        saved = self.store.save_readings([self._reading(subject, r) for r in seen])
        if reader != SITE:
            self.corrections[reader] += [(s.reading_id, r) for s, r in zip(saved, seen, strict=True) if r.correction_ml is not None and r.locked]
        return [s for s, r in zip(saved, seen, strict=True) if r.locked]

    def _reading(self, subject: SimSubject, seen: SimReading) -> Reading:
        site = seen.reader == SITE
        made = Reading(
            "", subject.subject_id, self.visit_ids[subject.subject_id, seen.visit], self.node_ids[subject.subject_id, seen.node], site_reader(subject.site) if site else seen.reader, "site" if site else "central",
            seen.modality, METHOD[seen.modality], ReadingStatus(seen.status), ReadingState.MEASURED, volume_ml=seen.volume_ml, long_axis_mm=seen.long_axis_mm, short_axis_mm=seen.short_axis_mm,
            volume_interval_ml=None if seen.volume_ml is None else (round(seen.volume_ml * 0.9, 4), round(seen.volume_ml * 1.1, 4)), measurement={"simulated": True},
            enhancement_grade=seen.grade, viable_ml=seen.viable_ml, viable_from=None if seen.viable_ml is None else "stated", status_reason=seen.status_reason,
        )  # fmt: skip
        return made if self.pictures is None else self.pictures.outlined(self.store, subject, seen, made)

    def _reader(self, reader: str) -> None:
        """One sitting of a central reader: what came in since the last, in an order of their own, signed together; then corrections."""
        work, fix = self.waiting[reader], self.corrections[reader]
        if not work and not fix:
            return
        self.waiting[reader], self.corrections[reader] = [], []
        self._as(reader)
        saved: list[Reading] = []
        for n in self.rng.permutation(len(work)):
            saved += self._save(*work[n], reader)
        if saved:
            self.store.lock_readings([r.reading_id for r in saved], "", "reading", password=PASSWORD)
        for reading_id, seen in fix:
            self.store.correct_reading(reading_id, "a vessel was taken in", volume_ml=seen.correction_ml, volume_interval_ml=None, viable_ml=None, viable_from=None)
        if fix:
            self.store.lock_readings([reading_id for reading_id, _ in fix], "", "correction", password=PASSWORD)

    # -- adjudication -------------------------------------------------------------------------------

    def _adjudicate(self) -> None:
        """The manager looks what waits; the adjudicator selects, under codes, all but a few."""
        self._as(MANAGER)
        snapshot = self.store.snapshot()
        waiting = [d for d in open_differences(snapshot) if (d.node_id, d.visit_id) not in self.passed_over]
        if not waiting:
            return
        labels, names = {n.node_id: n.label for n in snapshot.nodes}, {v.visit_id: v.name for v in snapshot.visits}
        self._as(JUDGE)
        done: set[tuple] = set()
        for d in waiting:
            if d.key in done:
                continue
            if self.rng.random() >= JUDGED:
                self.passed_over.add((d.node_id, d.visit_id))
                continue
            codes = reader_codes(d.node_id, d.readings)
            chosen = sorted(d.readings)[int(self.rng.integers(len(d.readings)))]
            self.store.adjudicate(d.node_id, d.visit_id, codes[chosen], reason="the outline follows the node", modality=d.modality, method=d.method, password=PASSWORD)
            done.add(d.key)
            self.judgements.append(Judgement(d.subject_id, labels[d.node_id], names[d.visit_id], d.modality, chosen))


def site_reader(site: str) -> str:
    """The account of a site's radiologist."""
    return f"site-{site}"


def _plain(value: Any) -> Any:
    """Dates as ISO text, all else as it is."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
