"""When a subject is to be seen: planned day and window of each visit from its event log, which scan belongs to which, the salvage deadline.

Pure: a protocol, events, visits and a stated date in, values out. A day counts from what was logged up to the stated date, so
that a salvage moves every later target and nothing that is not known is guessed. Months are calendar months,
clamped to the month's end (``app.study.months``). Windows include both their days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.study.clinical import standing
from app.study.model import ClinicalEvent, Reading, StudySnapshot, Visit
from app.study.months import add_months
from app.study.protocol import PlannedVisit, StudyProtocol, protocol_from
from app.study.salvage import SalvageResult, salvage_result
from volumetry.finding import Finding

# What a row of the schedule can say on the stated date.
STATUSES = {
    "not_planned": "the day it counts from is not known yet",
    "planned": "its window has not opened",
    "due": "its window is open and it is not done",
    "overdue": "its window is over, the next one has not opened",
    "missed": "its window is over and the next one is open, or the treatment has begun",
    "done": "done inside its window (or, where no window is known, done)",
    "out_of_window": "done, but outside its window",
    "unscheduled": "a visit that the protocol does not plan",
    "undated": "there, without the date of its scan",
    "ended": "follow-up ended before it was done",
    "not_required": "optional or of another arm, and not done",
    "not_tracked": "no pictures are planned: whether it took place is not kept here",
    "not_known": "the subject's dates were shifted: they cannot be held against today",
}


@dataclass(frozen=True, slots=True)
class Anchor:
    """The day that visits count from, with what gave it; ``date`` None: not happened yet."""

    name: str
    date: dt.date | None
    event_id: str | None = None
    kind: str | None = None  # of the event, or "visit"


@dataclass(frozen=True, slots=True)
class PlannedDay:
    """A planned visit of one subject: target day and first and last day of the window, None where not known yet."""

    visit: PlannedVisit
    anchor: Anchor
    target: dt.date | None
    first: dt.date | None
    last: dt.date | None

    def holds(self, day: dt.date) -> bool:
        """Does the window hold that day? False without a window."""
        return self.first is not None and self.last is not None and self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which planned visit a scan belongs to by its date. ``visit`` None: unscheduled, and ``offset_days`` is from the target
    of ``nearest``. ``chosen``: of several scans in one window the one that counts (the nearest to the target; before the treatment, the last)."""

    key: str
    date: dt.date
    visit: str | None
    nearest: str | None
    offset_days: int | None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One visit of one subject, planned or not, on the stated date. Dates are ISO. ``offset_days`` is the scan's from the target,
    ``in_window`` None where it cannot be told, ``days_left`` to the window's last day (negative: days since)."""

    visit: str
    order: int
    phase: str | None
    status: str
    target_date: str | None = None
    window_first: str | None = None
    window_last: str | None = None
    actual_date: str | None = None
    offset_days: int | None = None
    in_window: bool | None = None
    days_left: int | None = None
    anchor: str | None = None
    anchor_date: str | None = None
    anchor_event_id: str | None = None
    imaging: tuple[tuple[str, ...], ...] = ()
    optional: bool = False
    visit_id: str | None = None
    belongs_to: str | None = None  # the planned visit whose window holds the scan

    def to_dict(self) -> dict[str, Any]:
        """An entry of ``schedule`` in the answer of ``nodus study status --json``."""
        return {name: getattr(self, name) for name in self.__slots__} | {"imaging": [list(g) for g in self.imaging]}


@dataclass(frozen=True, slots=True)
class SalvageDeadline:
    """Until when a salvage may be done. ``state``: ``not_started`` (no scan that it counts from), ``awaiting_result``, ``open``, ``passed``,
    ``used``, ``used_late``, ``ended`` (follow-up is over), ``not_indicated`` (nothing enhances any more, by the site's readings), ``not_known`` (shifted
    dates). ``days_left`` is negative after the deadline. ``indicated`` and ``nodes``: see ``salvage.SalvageResult``."""

    state: str
    counted_from: str
    from_date: str | None = None
    deadline: str | None = None
    days_left: int | None = None
    salvage_dates: tuple[str, ...] = ()
    allowed: int = 1
    indicated: bool | None = None
    nodes: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """``salvage`` in the answer of ``nodus study status --json``."""
        return {name: getattr(self, name) for name in self.__slots__} | {"salvage_dates": list(self.salvage_dates), "nodes": list(self.nodes)}


def day_of(text: str) -> dt.date:
    """A stored ISO date."""
    return dt.date.fromisoformat(text)


def up_to(events: Iterable[ClinicalEvent], on: dt.date | None) -> list[ClinicalEvent]:
    """Events of one subject dated no later than ``on`` (all without it), in their order; an event that another one ``replaces`` was a mistake
    and is not among them, whenever it was mended."""
    return sorted((e for e in standing(events) if on is None or day_of(e.date) <= on), key=lambda e: (e.date, e.event_id))


def arm_of(events: Iterable[ClinicalEvent]) -> str | None:
    """The arm the subject was last allocated to, None where no allocation is logged."""
    arms = [e.detail.get("arm") for e in sorted(events, key=lambda e: (e.date, e.event_id)) if e.kind == "ALLOCATION"]
    return next((a for a in reversed(arms) if isinstance(a, str)), None)


def rounds_of(protocol: StudyProtocol, events: Iterable[ClinicalEvent]) -> list[dt.date]:
    """Days of the ablation rounds of one subject: all ablations of one day are one round."""
    return sorted({day_of(e.date) for e in events if e.kind in protocol.ablation_kinds})


def anchors_of(protocol: StudyProtocol, events: Sequence[ClinicalEvent], visit_dates: Mapping[str, str | None], *, on: dt.date | None = None) -> dict[str, Anchor]:
    """Every anchor of the protocol for one subject, from its events and the actual dates (ISO) of its visits up to ``on``."""
    known = up_to(events, on)
    arm, rounds = arm_of(known), rounds_of(protocol, known)
    out = {}
    for name, rule in protocol.terms["anchors"].items():
        rule = (rule.get("by_arm") or {}).get(arm, rule)
        if "visit" in rule:
            text = visit_dates.get(rule["visit"])
            day = None if text is None or (on is not None and day_of(text) > on) else day_of(text)
            out[name] = Anchor(name, day, None, None if day is None else "visit")
        else:
            event = _anchor_event(rule, known, rounds)
            out[name] = Anchor(name, None) if event is None else Anchor(name, day_of(event.date), event.event_id, event.kind)
    return out


def _anchor_event(rule: dict, events: list[ClinicalEvent], rounds: list[dt.date]) -> ClinicalEvent | None:
    """The event that an anchor's rule chooses; several on one day count once."""
    after = rule.get("after_rounds")
    by_day: dict[dt.date, ClinicalEvent] = {}
    for event in events:
        day = day_of(event.date)
        if event.kind not in rule["kinds"]:
            continue
        if after is not None and (len(rounds) < after or (after > 0 and day <= rounds[after - 1]) or (len(rounds) > after and day >= rounds[after])):
            continue
        by_day.setdefault(day, event)
    fit = [by_day[day] for day in sorted(by_day)][: rule.get("count_to")]
    if not fit or len(fit) < rule.get("count_from", 1):
        return None
    return fit[0] if rule["which"] == "first" else fit[-1]


def plan_visits(protocol: StudyProtocol, events: Sequence[ClinicalEvent], visit_dates: Mapping[str, str | None] | None = None, *, on: dt.date | None = None) -> tuple[PlannedDay, ...]:
    """Target and window of each visit planned for one subject, in their order; visits of another arm are left out."""
    anchors = anchors_of(protocol, events, visit_dates or {}, on=on)
    arm = arm_of(up_to(events, on))
    out = []
    for visit in sorted(protocol.visits, key=lambda v: v.order):
        if visit.arms and arm is not None and arm not in visit.arms:
            continue
        anchor = anchors[visit.anchor]
        if anchor.date is None:
            out.append(PlannedDay(visit, anchor, None, None, None))
            continue
        target = add_months(anchor.date, visit.months) if visit.months is not None else anchor.date + dt.timedelta(days=visit.day or 0)
        first, last = (None, None) if visit.window_days is None else (target + dt.timedelta(days=d) for d in visit.window_days)
        out.append(PlannedDay(visit, anchor, target, first, last))
    return tuple(out)


def assign_scans(days: Sequence[PlannedDay], scans: Iterable[tuple[str, dt.date]]) -> tuple[Assignment, ...]:
    """Each scan ``(key, date)`` to the visit with the nearest target whose window holds it; the earlier visit where two are equally near."""
    imaged = [d for d in days if d.target is not None and d.visit.imaging]
    found = []
    for key, date in scans:

        def distance(planned: PlannedDay, date: dt.date = date) -> tuple[int, int]:
            return (abs((date - planned.target).days), planned.visit.order)

        fit = min((d for d in imaged if d.holds(date)), key=distance, default=None)
        near = fit or min(imaged, key=distance, default=None)
        found.append(Assignment(key, date, fit and fit.visit.name, near and near.visit.name, None if near is None else (date - near.target).days))
    chosen = set()
    for planned in imaged:
        own = [a for a in found if a.visit == planned.visit.name]
        if own:
            best = max(own, key=lambda a: a.date) if planned.visit.phase == "pre" else min(own, key=lambda a: (abs(a.offset_days or 0), a.date))
            chosen.add(best.key)
    return tuple(Assignment(a.key, a.date, a.visit, a.nearest, a.offset_days, a.key in chosen) for a in found)


def schedule(protocol: StudyProtocol, events: Sequence[ClinicalEvent], visits: Sequence[Visit], *, on: dt.date | None) -> tuple[ScheduleRow, ...]:
    """Every planned and every other visit of one subject on the stated day; ``on`` None: the dates were shifted, so none is held against a calendar."""
    stored = {v.name: v for v in visits if on is None or v.actual_date is None or day_of(v.actual_date) <= on}
    days = plan_visits(protocol, events, {v.name: v.actual_date for v in stored.values()}, on=on)
    belongs = {a.key: a for a in assign_scans(days, ((v.visit_id, day_of(v.actual_date)) for v in stored.values() if v.actual_date))}
    known = up_to(events, on)
    treated = _treated_from(protocol, known, anchors_of(protocol, known, {}, on=on))
    out = []
    for number, planned in enumerate(days):
        later = [d.first for d in days[number + 1 :] if d.first is not None and d.visit.imaging and not d.visit.optional]
        out.append(_planned_row(planned, stored.get(planned.visit.name), known, on, min(later, default=None), treated, belongs))
    names = {d.visit.name for d in days}
    for visit in stored.values():
        if visit.name not in names:
            where = belongs.get(visit.visit_id)
            other_arm = protocol.visit(visit.name)
            out.append(
                ScheduleRow(
                    visit.name, visit.order, other_arm and other_arm.phase, "unscheduled", actual_date=visit.actual_date, offset_days=where and where.offset_days,
                    visit_id=visit.visit_id, belongs_to=where and where.visit,
                )
            )  # fmt: skip
    return tuple(sorted(out, key=lambda r: (r.order, r.visit)))


def _treated_from(protocol: StudyProtocol, events: list[ClinicalEvent], anchors: dict[str, Anchor]) -> dt.date | None:
    """The day after which a visit before the treatment can no longer be made up for."""
    rounds = rounds_of(protocol, events)
    return rounds[0] if rounds else anchors[protocol.section("reading")["baseline"]["before"]].date if not protocol.ablation_kinds else None


def _planned_row(planned: PlannedDay, stored: Visit | None, events: list[ClinicalEvent], on: dt.date | None, next_opens: dt.date | None, treated: dt.date | None, belongs: dict[str, Assignment]) -> ScheduleRow:
    visit, actual = planned.visit, stored.actual_date if stored else None
    inside = None if actual is None or planned.first is None else planned.holds(day_of(actual))
    if stored is not None:
        status = "undated" if actual is None else "out_of_window" if inside is False else "done"
    else:
        status = _open_status(planned, events, on, next_opens, treated)
    assigned = belongs.get(stored.visit_id) if stored else None
    return ScheduleRow(
        visit=visit.name,
        order=visit.order,
        phase=visit.phase,
        status=status,
        target_date=_iso(planned.target),
        window_first=_iso(planned.first),
        window_last=_iso(planned.last),
        actual_date=actual,
        offset_days=None if actual is None or planned.target is None else (day_of(actual) - planned.target).days,
        in_window=inside,
        days_left=None if on is None or planned.last is None or actual is not None else (planned.last - on).days,
        anchor=visit.anchor,
        anchor_date=_iso(planned.anchor.date),
        anchor_event_id=planned.anchor.event_id,
        imaging=visit.imaging,
        optional=visit.optional,
        visit_id=stored.visit_id if stored else None,
        belongs_to=assigned.visit if assigned else None,
    )


def _open_status(planned: PlannedDay, events: list[ClinicalEvent], on: dt.date | None, next_opens: dt.date | None, treated: dt.date | None) -> str:
    """The status of a planned visit that is not there."""
    visit = planned.visit
    ended = min((day_of(e.date) for e in events if e.kind in visit.ends_with), default=None)
    if planned.target is None:
        return "ended" if ended is not None else "not_planned"
    first, last = planned.first or planned.target, planned.last or planned.target
    if ended is not None and last >= ended:
        return "ended"
    if on is None:
        return "not_known"
    if on < first:
        return "planned"
    if not visit.imaging:
        return "not_tracked"
    if on <= last:
        return "due"
    if visit.optional:
        return "not_required"
    if visit.phase == "pre":
        return "missed" if treated is not None and on > treated else "overdue"
    return "missed" if ended is not None or (next_opens is not None and next_opens <= on) else "overdue"


def salvage_deadline(
    protocol: StudyProtocol, events: Sequence[ClinicalEvent], visits: Sequence[Visit], *, on: dt.date | None, result_date: str | None = None, result: SalvageResult | None = None
) -> SalvageDeadline | None:
    """Until when a salvage may be done, with days left on the stated day; None where the protocol knows no salvage. ``result``: what the
    visit found; where nothing is left, no salvage is open.

    The protocol says whether its days count from the scan of ``after_visit`` or from that scan's result (``result_date``, ISO). The
    last day still counts: 14 days from the 1st end with the 15th.
    """
    rule = protocol.section("salvage")
    if not rule:
        return None
    known = up_to(events, on)
    done = tuple(sorted({e.date for e in known if e.kind == "SALVAGE"}))
    scan = next((v.actual_date for v in visits if v.name == rule["after_visit"] and v.actual_date and (on is None or day_of(v.actual_date) <= on)), None)
    start = scan if rule["counted_from"] == "scan" else None if result_date is None or (on is not None and day_of(result_date) > on) else result_date
    counted = f"{rule['after_visit']} {rule['counted_from']}"
    found = {} if result is None else {"indicated": result.indicated, "nodes": result.nodes}
    if start is None:
        ended = any(e.kind in protocol.terms["ends_follow_up"] for e in known)
        state = "used" if done else "ended" if ended else "awaiting_result" if scan is not None else "not_started"
        return SalvageDeadline(state, counted, salvage_dates=done, allowed=rule["allowed"], **found)
    deadline = day_of(start) + dt.timedelta(days=rule["within_days"])
    if done:
        state = "used_late" if day_of(done[0]) > deadline else "used"
    elif any(e.kind in protocol.terms["ends_follow_up"] for e in known):
        state = "ended"
    elif result is not None and result.indicated is False:
        state = "not_indicated"
    elif on is None:
        state = "not_known"
    else:
        state = "open" if on <= deadline else "passed"
    left = None if on is None or state not in ("open", "passed") else (deadline - on).days
    return SalvageDeadline(state, counted, start, deadline.isoformat(), left, done, rule["allowed"], **found)


def treatment_findings(protocol: StudyProtocol, events: Sequence[ClinicalEvent]) -> tuple[Finding, ...]:
    """Where the logged treatment of one subject departs from the protocol: rounds, lesions a round, distance from systemic therapy, salvages."""
    events = up_to(events, None)
    rule, rounds = protocol.section("ablation"), rounds_of(protocol, events)
    out = []
    if rule.get("rounds_max") is not None and len(rounds) > rule["rounds_max"]:
        out.append(Finding("rounds_exceeded", f"{len(rounds)} ablation rounds are logged; the protocol allows {rule['rounds_max']}."))
    for day in rounds:
        named = [e.node_id for e in events if e.kind in protocol.ablation_kinds and day_of(e.date) == day]
        span = rule.get("lesions_per_round")
        if span and None not in named and not span[0] <= len(set(named)) <= span[1]:
            out.append(Finding("lesions_per_round", f"{len(set(named))} lesions were ablated on {day.isoformat()}; the protocol asks for {span[0]} to {span[1]} a round."))
        apart = rule.get("days_from_systemic_from")
        for event in events:
            if apart and event.kind == "SYSTEMIC" and abs((day_of(event.date) - day).days) < apart:
                out.append(Finding("near_systemic", f"The ablation on {day.isoformat()} lies less than {apart} days from systemic therapy on {event.date}."))
    salvage = protocol.section("salvage")
    done = {e.date for e in events if e.kind == "SALVAGE"}
    if salvage and len(done) > salvage["allowed"]:
        out.append(Finding("salvages_exceeded", f"{len(done)} salvages are logged; the protocol allows {salvage['allowed']}."))
    return tuple(out)


def result_date_of(protocol: StudyProtocol, visits: Sequence[Visit], readings: Iterable[Reading]) -> str | None:
    """The UTC day on which the result of the salvage visit was first signed by a site reader, None while it was not."""
    name = protocol.section("salvage").get("after_visit")
    there = {v.visit_id for v in visits if v.name == name}
    return min((r.locked_utc[:10] for r in readings if r.visit_id in there and r.role == "site" and r.locked_utc), default=None)


def subject_schedule(
    protocol: StudyProtocol, events: Sequence[ClinicalEvent], visits: Sequence[Visit], readings: Iterable[Reading], *, on: dt.date, dates_shifted: bool = False
) -> dict[str, Any]:
    """``arm``, ``schedule``, ``salvage`` and ``treatment_findings`` of one subject (everything given is of that subject), as ``nodus study
    status --json`` prints them. Shifted dates are compared with each other, never with ``on``."""
    day = None if dates_shifted else on
    readings = tuple(readings)
    result = salvage_result(protocol, up_to(events, day), visits, readings)
    salvage = salvage_deadline(protocol, events, visits, on=day, result_date=result_date_of(protocol, visits, readings), result=result)
    return {
        "arm": arm_of(up_to(events, day)),
        "dates_shifted": dates_shifted,
        "schedule": [row.to_dict() for row in schedule(protocol, events, visits, on=day)],
        "salvage": None if salvage is None else salvage.to_dict(),
        "treatment_findings": [f.as_dict() for f in treatment_findings(protocol, up_to(events, day))],
    }


def study_schedule(snapshot: StudySnapshot, *, on: dt.date) -> dict[str, dict[str, Any]]:
    """``subject_schedule`` of every subject of a study, by pseudonym."""
    protocol = protocol_from(snapshot.protocol)
    events, visits, readings = (by_subject(values) for values in (snapshot.events, snapshot.visits, snapshot.readings))
    labels = {n.node_id: n.label for n in snapshot.nodes}
    told = {
        s.subject_id: subject_schedule(
            protocol, events.get(s.subject_id, ()), visits.get(s.subject_id, ()), readings.get(s.subject_id, ()), on=on, dates_shifted=s.dates_shifted
        )
        for s in snapshot.subjects
    }  # fmt: skip
    for of in told.values():
        if of["salvage"] is not None:
            of["salvage"]["nodes"] = [{"node": labels[n["node_id"]], **n} for n in of["salvage"]["nodes"]]
    return told


def by_subject(values: Iterable[Any]) -> dict[str, list[Any]]:
    """Visits, events or readings by pseudonym."""
    out: dict[str, list[Any]] = {}
    for value in values:
        out.setdefault(value.subject_id, []).append(value)
    return out


def _iso(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()
