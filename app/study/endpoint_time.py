"""Endpoints in time: progression-free and overall survival of the study's subjects, with curve and sensitivity table."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from app.study.clocks import SubjectLog, anchor_event, day_of, target_day
from app.study.endpoint_criteria import progressions
from volumetry.response.survival import (
    MISSED_VISITS,
    Assessment,
    TimeToEvent,
    kaplan_meier,
    overall,
    progression_free,
)

if TYPE_CHECKING:
    from app.study.endpoint_nodes import Field

LOOKED_AT = ("measured", "too_small", "disappeared_assessed", "merged_into", "split_from")


def time_table(every: Field, endpoint: Mapping) -> dict[str, Any]:
    """Survival of every subject whose clock has started; the others are counted under ``missing``. ``sensitivity`` (progression-free
    survival) censors events after two or more missed visits at the last evaluable assessment before them."""
    subjects = _population(every, endpoint)
    judged = progressions(every, endpoint.get("criteria"))
    name = (endpoint.get("clock") or {}).get("anchor", "first")
    rows, strict, missing = [], [], Counter()
    for subject in subjects:
        log = every.logs.get(subject) or SubjectLog(subject)
        start = anchor_event(every.protocol, name, log)
        if start is None:
            missing["no_anchor"] += 1
            continue
        first = start[0]
        death = log.first("DEATH")
        if death is not None and death < first:
            missing["date_before_start"] += 1
            continue
        if endpoint["kind"] == "OS":
            rows.append((subject, overall(first, death=death, last_known_alive=_last_seen(log))))
            continue
        looked, new_lesion = _assessments(every, endpoint, subject, log, first, judged.get(subject, (None, None)))
        if any(d < first for d in (new_lesion,) if d is not None):
            missing["date_before_start"] += 1
            continue
        options = {"new_lesion": new_lesion, "death": death if "DEATH" in (endpoint.get("events") or ("DEATH",)) else None}
        planned = _planned(every, log, first)
        rows.append((subject, progression_free(first, looked, planned=planned, **options)))
        strict.append((subject, progression_free(first, looked, planned=planned, max_missed=MISSED_VISITS, **options)))
    body = {"n_subjects": len(subjects), "missing": dict(missing), **_curve(every, endpoint, rows)}
    if endpoint["kind"] == "PFS":
        changed = [s for (s, a), (_, b) in zip(rows, strict, strict=True) if a != b]
        body["sensitivity"] = {"handling": f"events after {MISSED_VISITS} or more missed visits censored", "changed": changed, **_curve(every, endpoint, strict)}
    return body


def _population(every: Field, endpoint: Mapping) -> list[str]:
    """Subjects of the endpoint: enrolled are all, treated those with an ablation; ``arms`` keeps only these."""
    arms = endpoint.get("arms") or ()
    subjects = sorted({n.subject_id for n in every.nodes} | {s.subject_id for s in every.snapshot.subjects if every.subject_id in (None, s.subject_id)})
    if endpoint.get("population") == "subjects_treated":
        treated = {n.subject_id for n in every.nodes if every.ablations[n.node_id].days}
        subjects = [s for s in subjects if s in treated]
    return [s for s in subjects if not arms or (every.logs.get(s) or SubjectLog(s)).arm in arms]


def _assessments(every: Field, endpoint: Mapping, subject: str, log: SubjectLog, start: dt.date, judged: tuple[dt.date | None, dt.date | None]) -> tuple[list[Assessment], dt.date | None]:
    """Scans of a subject as assessments: evaluable where some node was looked at. Progression comes from PROGRESSION events (their
    date is the scan's) of the types that the endpoint counts, and from the endpoint's criteria where it names RECIST or mRECIST; a new lesion is one of type ``new_node``, ``new_lesion`` or ``distant``."""
    counted = tuple(endpoint.get("events") or ("PROGRESSION", "DEATH"))
    seen: dict[dt.date, bool] = {}
    for node in every.by_subject.get(subject, ()):
        for row in every.rows.get(node, ()):
            if row.scan_date is not None and day_of(row.scan_date) >= start:
                day = day_of(row.scan_date)
                seen[day] = seen.get(day, False) or row.status in LOOKED_AT
    looked = [Assessment(d, evaluable) for d, evaluable in sorted(seen.items())]
    new_lesion = None
    for day, event in log.of(("PROGRESSION",)):
        kind = str(event.detail.get("type") or "untyped")
        elsewhere = kind in ("new_node", "new_lesion", "distant")
        if elsewhere and ("PROGRESSION" in counted or "NEW_LESION" in counted):
            new_lesion = day if new_lesion is None else min(new_lesion, day)
        elif not elsewhere and ("PROGRESSION" in counted or (kind == "local" and "LOCAL_PROGRESSION" in counted)) and day >= start:
            looked.append(Assessment(day, True, True))
    progression, seen_new = judged
    if seen_new is not None and ("PROGRESSION" in counted or "NEW_LESION" in counted):
        new_lesion = seen_new if new_lesion is None else min(new_lesion, seen_new)
    if progression is not None and progression != seen_new and ("PROGRESSION" in counted or "LOCAL_PROGRESSION" in counted):
        looked.append(Assessment(progression, True, True))
    return looked, new_lesion


def _planned(every: Field, log: SubjectLog, start: dt.date) -> list[dt.date]:
    """Planned days of the visits with pictures after the start."""
    anchors: dict[str, tuple[dt.date, str] | None] = {}
    days = []
    for visit in every.protocol.visits:
        if visit.phase != "post" or not visit.imaging or visit.optional or (visit.arms and log.arm is not None and log.arm not in visit.arms):
            continue
        if visit.anchor not in anchors:
            anchors[visit.anchor] = anchor_event(every.protocol, visit.anchor, log)
        anchor = anchors[visit.anchor]
        if anchor is not None and (day := target_day(visit, anchor[0])) > start:
            days.append(day)
    return sorted(days)


def _last_seen(log: SubjectLog) -> dt.date | None:
    """The last day on which a subject was known to be alive: a scan or an event other than death and being lost."""
    days = [day_of(v.actual_date) for v in log.visits if v.actual_date] + [d for d, e in log.events if e.kind not in ("DEATH", "LOST")]
    return max(days, default=None)


def _curve(every: Field, endpoint: Mapping, rows: list[tuple[str, TimeToEvent]]) -> dict[str, Any]:
    curve = kaplan_meier([t.days for _, t in rows], [t.event for _, t in rows])
    visit = every.protocol.visit(endpoint.get("visit") or "")
    months = None if visit is None or visit.months is None else visit.months
    day = None if months is None else round(months * 365.25 / 12)
    at = None if day is None or not rows else curve.at(day)
    return {
        "n": len(rows), "n_events": sum(t.event for _, t in rows), "ended_by": dict(sorted(Counter(t.reason for _, t in rows).items())), "median_days": curve.median,
        "at_day": day, "at_pct": None if at is None or at != at else 100 * at, "curve": curve.to_dict(), "subjects": [{"subject": s, **t.to_dict()} for s, t in rows],
    }  # fmt: skip
