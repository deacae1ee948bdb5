"""The days that endpoints are counted from, per node and per subject, out of the event log. Pure rules."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from app.study.clinical import standing, zone_stated_ml
from app.study.model import ABLATION_KINDS, ClinicalEvent, StudySnapshot, Visit
from app.study.months import add_months
from app.study.protocol import PlannedVisit, StudyProtocol
from app.study.schedule import anchors_of

__all__ = ["Clock", "NodeLog", "SubjectLog", "anchor_event", "clock_of", "day_of", "node_log", "subject_logs", "target_day"]


@lru_cache(maxsize=65536)
def day_of(text: str) -> dt.date:
    """An ISO date of the store as a date. A study asks for the same few thousand days again and again."""
    return dt.date.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class SubjectLog:
    """Events and visits of one subject, sorted by day. ``arm`` as the ALLOCATION event states it, None where there is none."""

    subject_id: str
    events: tuple[tuple[dt.date, ClinicalEvent], ...] = ()
    visits: tuple[Visit, ...] = ()
    arm: str | None = None

    def of(self, kinds: Iterable[str], node_id: str | None = None) -> list[tuple[dt.date, ClinicalEvent]]:
        """Events of these kinds; with ``node_id`` those of the node or of all nodes."""
        wanted = tuple(kinds)
        return [(d, e) for d, e in self.events if e.kind in wanted and (node_id is None or e.node_id in (None, node_id))]

    def first(self, kind: str) -> dt.date | None:
        """The day of the first event of a kind."""
        return next((d for d, e in self.events if e.kind == kind), None)


def subject_logs(snapshot: StudySnapshot) -> dict[str, SubjectLog]:
    """The log of every subject of the study; an event that a later one ``replaces`` is not in it."""
    events: dict[str, list] = {s.subject_id: [] for s in snapshot.subjects}
    visits: dict[str, list] = {s.subject_id: [] for s in snapshot.subjects}
    for event in standing(snapshot.events):
        events.setdefault(event.subject_id, []).append((day_of(event.date), event))
    for visit in snapshot.visits:
        visits.setdefault(visit.subject_id, []).append(visit)
    out = {}
    for subject, logged in events.items():
        logged.sort(key=lambda e: (e[0], e[1].kind, e[1].event_id))
        arm = next((str(e.detail["arm"]) for _, e in reversed(logged) if e.kind == "ALLOCATION" and e.detail.get("arm")), None)
        out[subject] = SubjectLog(subject, tuple(logged), tuple(visits.get(subject, ())), arm)
    return out


def anchor_event(protocol: StudyProtocol, name: str, log: SubjectLog, node_id: str | None = None) -> tuple[dt.date, str] | None:
    """Day and identity of the event (or visit) that a protocol's anchor names, for one node or (None) the subject; None where
    it has not happened. The rules are those of the schedule; a node's clock looks at its own events and those of all nodes."""
    events = [e for _, e in log.events if node_id is None or e.node_id in (None, node_id)]
    anchor = anchors_of(protocol, events, {v.name: v.actual_date for v in log.visits}).get(name)
    if anchor is None or anchor.date is None:
        return None
    return anchor.date, anchor.event_id or "visit"


def target_day(visit: PlannedVisit, anchor: dt.date) -> dt.date:
    """The planned day of a visit: calendar months, clamped to the month's end, or days after its anchor."""
    return anchor + dt.timedelta(days=visit.day) if visit.months is None else add_months(anchor, visit.months)


@dataclass(frozen=True, slots=True)
class Clock:
    """The window of an endpoint on one node's or subject's own clock: ``low`` and ``high`` are the first and last day that count.
    ``anchor_day`` is where time is counted from. Without a window in the protocol only the target day itself counts."""

    anchor_day: dt.date
    anchor_id: str
    target: dt.date
    low: dt.date
    high: dt.date

    def holds(self, day: dt.date) -> bool:
        """True for a scan inside the window."""
        return self.low <= day <= self.high

    def to_dict(self) -> dict:
        """ISO dates."""
        return {"anchor_id": self.anchor_id, "anchor_date": self.anchor_day.isoformat(), "target": self.target.isoformat(), "window": [self.low.isoformat(), self.high.isoformat()]}


def clock_of(protocol: StudyProtocol, endpoint: Mapping, log: SubjectLog, node_id: str | None = None) -> Clock | None:
    """The clock of an endpoint of the protocol; None where its anchor has not happened. A node's clock counts the visit's months
    or days from the node's own anchor; a subject's takes the visit where it is planned. The window is the endpoint's own, else that of its visit."""
    clock = endpoint.get("clock") or {}
    own = clock.get("of") == "node"
    start = anchor_event(protocol, clock.get("anchor", "first"), log, node_id if own else None)
    visit = protocol.visit(endpoint.get("visit") or "")
    if start is None or visit is None:
        return None
    counted = start if own or visit.anchor == clock.get("anchor") else anchor_event(protocol, visit.anchor, log)
    if counted is None:
        return None
    target = target_day(visit, counted[0])
    low, high = endpoint.get("window_days") or visit.window_days or (0, 0)
    return Clock(start[0], start[1], target, target + dt.timedelta(days=low), target + dt.timedelta(days=high))


@dataclass(frozen=True, slots=True)
class NodeLog:
    """Ablations of one node, and what is derived from them."""

    days: tuple[dt.date, ...] = ()
    ids: tuple[str, ...] = ()
    salvages: tuple[dt.date, ...] = ()
    zone_ml: float | None = None
    all_days: tuple[dt.date, ...] = field(default=())  # of the subject, whatever the node
    all_ids: tuple[str, ...] = field(default=())

    def before(self, day: dt.date) -> int:
        """Ablations on or before a day."""
        return bisect_right(self.days, day)

    def salvaged_by(self, day: dt.date) -> bool:
        """Was the node ablated again (a salvage, or on a second day) on or before this day?"""
        return any(d <= day for d in self.salvages) or len({d for d in self.days if d <= day}) > 1

    def first_salvage(self) -> dt.date | None:
        """The day of the node's second ablation."""
        again = [*self.salvages, *[d for d in self.days if d > self.days[0]]] if self.days else list(self.salvages)
        return min(again, default=None)


def node_log(log: SubjectLog, node_id: str, kinds: Iterable[str] = ABLATION_KINDS) -> NodeLog:
    """The ablations of a node: its own and those logged for all nodes of the subject. ``zone_ml`` is the ablation zone of Day 0 where an
    ablation of the node's first day states one (``clinical.zone_stated_ml``)."""
    mine, every = log.of(kinds, node_id), log.of(kinds)
    zone = zone_stated_ml((e for d, e in mine if d == mine[0][0]), node_id)
    return NodeLog(
        tuple(d for d, _ in mine), tuple(e.event_id for _, e in mine), tuple(d for d, e in mine if e.kind == "SALVAGE"), zone, tuple(d for d, _ in every), tuple(e.event_id for _, e in every)
    )
