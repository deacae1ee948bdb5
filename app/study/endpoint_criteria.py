"""Endpoint tables by response criteria: objective response, local control, technique efficacy; and pain by its scale."""

from __future__ import annotations

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from app.study.clinical import pain_of
from app.study.clocks import Clock, SubjectLog, clock_of, day_of
from app.study.criteria import Case, Course, cases_of, mrecist_of, recist_of, tumour_courses
from app.study.endpoint_nodes import ENDED, Field
from app.study.endpoints import ReadingKey
from app.study.errors import StudyRefused
from app.study.model import StudySnapshot
from app.study.protocol import StudyProtocol, protocol_from
from volumetry.response.local_control import local_control
from volumetry.response.statistics import node_rate, subject_rate

CRITERIA_KINDS = ("ORR", "LOCAL_CONTROL", "TECHNIQUE_EFFICACY")
PAIN_KINDS = ("NRS_AUC", "NRS_SUSTAINED")
RESPONDED = ("CR", "PR")


def courses_of(every: Field, criteria: str) -> dict[str, Course]:
    """Subject -> its response by ``RECIST_1_1`` or ``MRECIST``, as this field's reader saw it; worked out once."""
    key = ("courses", criteria)
    if key not in every.known:
        made = [course_of(case, every.protocol, criteria) for case in _cases(every, criteria)]
        every.known[key] = {c.subject: c for c in made}
    return every.known[key]


def _cases(every: Field, criteria: str) -> list[Case]:
    entry = criteria_entry(every.protocol, criteria)
    key = ("cases", criteria)
    if key not in every.known:
        found = cases_of(every.snapshot, every.accepted, modalities=entry.get("modalities") or None, subject_id=every.subject_id)
        every.known[key] = [c for c in found if every.accepted is not None or c.reader == every.reader]
    return every.known[key]


def criteria_entry(protocol: StudyProtocol, criteria: str) -> Mapping[str, Any]:
    """What the protocol says of a set of criteria, empty where it does not name it."""
    return next((e for e in protocol.terms.get("response") or () if e.get("criteria") == criteria), {})


def course_of(case: Case, protocol: StudyProtocol, criteria: str) -> Course:
    """One case by one set of criteria."""
    if criteria == "MRECIST":
        return mrecist_of(case, protocol)
    return recist_of(case, protocol, confirm_days=criteria_entry(protocol, criteria).get("confirmation_days"))


def criteria_table(every: Field, endpoint: Mapping) -> dict[str, Any]:
    """Objective response at a visit: subjects with CR or PR at the scan inside the window (without a window: at the visit of that name), among
    those with measurable disease at baseline and among those of them assessed then."""
    courses = courses_of(every, endpoint.get("criteria") or "RECIST_1_1")
    rows, answers, missing = [], {}, Counter()
    not_measurable = []
    for subject in _subjects(every, endpoint):
        course = courses.get(subject)
        if course is None or not course.targets:
            not_measurable.append({"subject": subject, "reason": "not_read" if course is None else course.missing or "no_target_at_baseline"})
            continue
        log = every.logs.get(subject) or SubjectLog(subject)
        clock = clock_of(every.protocol, endpoint, log)
        at = _visit_in(course, endpoint, clock)
        overall = None if at is None else at["overall"]
        reason = None if overall not in (None, "NE") else "not_evaluable" if overall == "NE" else _ended(every, log, clock) or ("no_anchor" if clock is None else "no_scan_in_window")
        if reason is not None:
            missing[reason] += 1
        else:
            answers[subject] = overall in RESPONDED
        rows.append({"subject": subject, "response": overall, "date": None if at is None else at["date"], "missing": reason, "best": course.best, "best_confirmed": course.best_confirmed})
    every_one = [answers.get(r["subject"], False) for r in rows]
    best = [r for r in rows if r["best"] is not None]
    return {
        "n_measurable": len(rows), "n": len(answers), "missing": dict(missing), "not_measurable": not_measurable,
        "rates": {
            "subject_of_measurable": subject_rate(every_one, of="subjects with measurable disease", missing=missing).to_dict(),
            "subject_of_assessed": subject_rate(list(answers.values()), of="subjects assessed in the window", missing=missing).to_dict(),
            "best_response": subject_rate([r["best"] in RESPONDED for r in best], of="subjects with measurable disease (best response, unconfirmed)").to_dict(),
            "best_response_confirmed": subject_rate([r["best_confirmed"] in RESPONDED for r in best if r["best_confirmed"] is not None], of="subjects with measurable disease (best response, confirmed)").to_dict(),
        },
        "responses": dict(sorted(Counter(r["response"] for r in rows if r["response"]).items())),
        "subjects": rows,
    }  # fmt: skip


def _visit_in(course: Course, endpoint: Mapping, clock: Clock | None) -> dict[str, Any] | None:
    named = [v for v in course.visits if v["visit"] == endpoint.get("visit")]
    if endpoint.get("window_days") is None:
        return named[0] if named else None
    if clock is None:
        return None
    inside = [v for v in course.visits if clock.holds(day_of(v["date"]))]
    return min(inside, key=lambda v: (v["overall"] == "NE", abs((day_of(v["date"]) - clock.target).days), v["date"]), default=None)


def _subjects(every: Field, endpoint: Mapping) -> list[str]:
    arms = endpoint.get("arms") or ()
    subjects = [s.subject_id for s in every.snapshot.subjects if every.subject_id in (None, s.subject_id)]
    return [s for s in sorted(subjects) if not arms or (every.logs.get(s) or SubjectLog(s)).arm in arms]


def _ended(every: Field, log: SubjectLog, clock: Clock | None) -> str | None:
    for day, event in log.events:
        if clock is not None and event.kind in ENDED and event.kind in every.protocol.terms["ends_follow_up"] and day <= clock.high:
            return ENDED[event.kind]
    return None


# -- local control --------------------------------------------------------------------------------


def control_table(every: Field, endpoint: Mapping) -> dict[str, Any]:
    """Local control or technique efficacy at a visit, by tumour and by patient.

    Controlled: nothing viable at the control inside the window and no local tumour progression before it; residual or progression
    before the window decides it also without a control in it. Technique efficacy is ``primary`` (first course) and ``secondary`` (retreatment
    included), judged by controls up to the window's end. ``to_date`` gives residual, progression and efficacy over all controls there are.
    """
    cases = {c.subject: c for c in _cases(every, "LOCAL_CONTROL")}
    efficacy = endpoint["kind"] == "TECHNIQUE_EFFICACY"
    rows, whole = [], []
    arms = endpoint.get("arms") or ()
    for node in every.nodes:
        log = every.logs.get(node.subject_id) or SubjectLog(node.subject_id)
        if not every.ablations[node.node_id].days or (arms and log.arm not in arms):
            continue
        case = cases.get(node.subject_id) or Case(node.subject_id, every.reader, log, None, {}, {}, {}, frozenset())
        clock = clock_of(every.protocol, endpoint, log, node.node_id)
        course = tumour_courses(replace(case, nodes={node.node_id: node}), every.protocol)[node.node_id]
        whole.append(course)
        rows.append(_controlled(every, case, node, clock, efficacy, log))
    known = [r for r in rows if r["value"] is not None]
    missing = Counter(r["missing"] for r in rows if r["value"] is None)
    by_subject: dict[str, list[bool | None]] = {}
    for r in rows:
        by_subject.setdefault(r["subject"], []).append(r["value"])
    patients = [False if False in v else None if None in v else True for v in by_subject.values()]
    judged = [p for p in patients if p is not None]
    lost = {"not_all_judged": len(patients) - len(judged)} if len(patients) > len(judged) else {}
    return {
        "n_treated": len(rows), "n": len(known), "missing": dict(missing), "nodes": rows,
        "rates": {
            "node_of_treated": node_rate([bool(r["value"]) for r in rows], [r["subject"] for r in rows], of="treated tumours", missing=missing).to_dict(),
            "node_of_assessed": node_rate([r["value"] for r in known], [r["subject"] for r in known], of="tumours that could be judged", missing=missing).to_dict(),
            "subject_of_treated": subject_rate([bool(p) for p in patients], of="treated patients (all tumours)", missing=lost).to_dict(),
            "subject_of_assessed": subject_rate(judged, of="patients that could be judged", missing=lost).to_dict(),
        },
        "to_date": local_control(whole).to_dict(),
        "courses": [c.to_dict() for c in whole],
    }  # fmt: skip


def _controlled(every: Field, case: Case, node: Any, clock: Clock | None, efficacy: bool, log: SubjectLog) -> dict[str, Any]:
    out = {"subject": node.subject_id, "node": node.label, "value": None, "missing": "no_anchor", "secondary": None}
    if clock is None:
        return out
    out.update(clock.to_dict())
    course = tumour_courses(replace(case, nodes={node.node_id: node}), every.protocol, until=clock.high).get(node.node_id)
    if course is None:
        return {**out, "missing": "no_anchor"}
    out.update(residual=course.residual, progression_date=None if course.progression_date is None else course.progression_date.isoformat(), secondary=course.secondary)
    if efficacy:
        return {**out, "value": course.primary, "missing": None if course.primary is not None else course.missing}
    if course.progression_date is not None or course.secondary is False:
        return {**out, "value": False, "missing": None}
    if course.last_control is not None and course.last_control >= clock.low and course.secondary:
        return {**out, "value": True, "missing": None}
    return {**out, "missing": _ended(every, log, clock) or course.missing or "no_control_in_window"}


# -- pain -----------------------------------------------------------------------------------------


def pain_table(every: Field, endpoint: Mapping) -> dict[str, Any]:
    """Area under the pain curve, or the share with sustained pain, over the subjects who were treated. A series with a missing value has no
    area; nothing is interpolated here."""
    pain = every.protocol.section("pain")
    treated = sorted({n.subject_id for n in every.nodes if every.ablations[n.node_id].days})
    rows, missing = [], Counter()
    for subject in treated:
        log = every.logs[subject]
        try:
            series = pain_of([e for _, e in log.events], pain)
        except StudyRefused as error:
            missing[error.code] += 1
            rows.append({"subject": subject, "auc": None, "sustained": None, "missing": error.code})
            continue
        value = series.auc if endpoint["kind"] == "NRS_AUC" else series.sustained
        reason = None if value is not None else "no_score" if len(series.missing_hours) == len(series.points) else "score_missing"
        missing.update([reason] if reason else [])
        rows.append({"subject": subject, "auc": series.auc, "time_weighted_mean": series.mean, "sustained": series.sustained, "missing": reason})
    body: dict[str, Any] = {"n_treated": len(treated), "missing": dict(missing), "subjects": rows}
    if endpoint["kind"] == "NRS_AUC":
        values = [r["auc"] for r in rows if r["auc"] is not None]
        return {**body, "n": len(values), "mean": statistics.fmean(values) if values else None, "median": statistics.median(values) if values else None, "sd": statistics.stdev(values) if len(values) > 1 else None}
    known = [r["sustained"] for r in rows if r["missing"] is None]
    return {
        **body, "n": len(known),
        "rates": {
            "subject_of_treated": subject_rate([bool(r["sustained"]) for r in rows], of="treated subjects", missing=missing).to_dict(),
            "subject_of_assessed": subject_rate(known, of="subjects whose series decides it", missing=missing).to_dict(),
        },
    }  # fmt: skip


def response_courses(snapshot: StudySnapshot, accepted: Collection[ReadingKey] | None = None, *, subject_id: str | None = None) -> list[Course]:
    """Every subject by RECIST 1.1 or mRECIST, whichever the protocol names, reader by reader or (``accepted``) by the accepted records."""
    protocol = protocol_from(snapshot.protocol)
    out = []
    for entry in protocol.terms.get("response") or ():
        if entry.get("criteria") in ("RECIST_1_1", "MRECIST"):
            cases = cases_of(snapshot, accepted, modalities=entry.get("modalities") or None, subject_id=subject_id)
            out += [course_of(case, protocol, entry["criteria"]) for case in cases]
    return out


def progressions(every: Field, criteria: str | None) -> dict[str, tuple[dt.date | None, dt.date | None]]:
    """Subject -> (first scan with progression, first new lesion) by the criteria's engine; empty where it has none."""
    if criteria not in ("RECIST_1_1", "MRECIST"):
        return {}
    return {s: (_day(c.progression), _day(c.new_lesion)) for s, c in courses_of(every, criteria).items()}


def _day(text: str | None) -> dt.date | None:
    return None if text is None else day_of(text)
