"""RECIST 1.1, mRECIST and local control of a study's subjects, put together from readings and events.

What a reader states of a lesion beyond its axes lies in the reading's ``measurement["lesion"]``, every key optional:
``role`` (target, non_target, new), ``organ``, ``nodal``, ``treated`` and ``progressed`` (locally, before baseline or since), ``state`` of a non-target
(gone, present, progressed, not_evaluated), ``parts_mm`` of a split lesion, ``viable_diameter_mm`` (arterially enhancing), ``control`` of an
ablated one (complete, viable, not_evaluable), ``new_lesion_certain`` (false: suspected only). What is not stated comes from axes and status, never from a guess.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.study.clocks import SubjectLog, anchor_event, day_of, node_log, subject_logs
from app.study.control import control_of
from app.study.endpoints import ACCEPTED, ENDPOINT_ROLE, ReadingKey
from app.study.followup import counting_readings
from app.study.lesions import lesion_said as stated
from app.study.model import LEVELS, Reading, ReadingStatus, StudySnapshot, TargetNode, Visit
from app.study.protocol import StudyProtocol, protocol_from
from volumetry.finding import Finding
from volumetry.response import mrecist, recist
from volumetry.response.local_control import Control, TreatedTumour, TumourCourse, tumour_course

S = ReadingStatus


@dataclass(frozen=True, slots=True)
class Case:
    """One subject as one reader (or the accepted records) saw it. ``before`` and ``after``: per node its readings before and after the start
    of treatment, each with its visit, in the order of scans. Readings without a date of their scan are in neither (``undated``)."""

    subject: str
    reader: str
    log: SubjectLog
    start: dt.date | None
    nodes: Mapping[str, TargetNode]
    before: Mapping[str, tuple[tuple[Visit, Reading], ...]]
    after: Mapping[str, tuple[tuple[Visit, Reading], ...]]
    seen_before_by_anybody: frozenset[str]
    undated: int = 0


def cases_of(snapshot: StudySnapshot, accepted: Collection[ReadingKey] | None = None, *, modalities: Collection[str] | None = None, subject_id: str | None = None, subjects: Collection[str] | None = None) -> list[Case]:
    """Every subject by every central reader with locked readings (with accepted records: one case a subject). The split is the day that the
    protocol's baseline lies before; a scan on the day itself goes by the phase of its visit."""
    protocol = protocol_from(snapshot.protocol)
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    logs = subject_logs(snapshot)
    name = protocol.section("reading")["baseline"]["before"]
    central = [r for r in counting_readings(snapshot.readings, locked_only=True) if r.role == ENDPOINT_ROLE and subject_id in (None, r.subject_id) and (subjects is None or r.subject_id in subjects)]
    groups: dict[tuple[str, str], list[Reading]] = {}
    early: dict[str, set[str]] = {}
    starts: dict[tuple[str, str], dt.date | None] = {}
    for r in central:
        place = (r.subject_id, r.node_id)
        if place not in starts:
            found = anchor_event(protocol, name, logs[r.subject_id], r.node_id)
            starts[place] = None if found is None else found[0]
        if _is_before(protocol, visits[r.visit_id], starts[place]):
            early.setdefault(r.subject_id, set()).add(r.node_id)
        if (modalities is None or r.modality in modalities) and (accepted is None or (r.reading_id, r.version) in accepted):
            groups.setdefault((r.subject_id, r.reader if accepted is None else ACCEPTED), []).append(r)
    out = []
    for (subject, reader), readings in sorted(groups.items()):
        before: dict[str, list] = {}
        after: dict[str, list] = {}
        undated = 0
        for r in readings:
            visit = visits[r.visit_id]
            if visit.actual_date is None:
                undated += 1
                continue
            side = before if _is_before(protocol, visit, starts[subject, r.node_id]) else after
            side.setdefault(r.node_id, []).append((visit, r))
        mine = {r.node_id: nodes[r.node_id] for r in readings}
        known = [d for (s, _), d in starts.items() if s == subject and d is not None]
        out.append(Case(subject, reader, logs[subject], min(known, default=None), mine, _sorted(before), _sorted(after), frozenset(early.get(subject, ())), undated))
    return out


def _is_before(protocol: StudyProtocol, visit: Visit, start: dt.date | None) -> bool:
    if visit.actual_date is not None and start is not None and day_of(visit.actual_date) != start:
        return day_of(visit.actual_date) < start
    planned = protocol.visit(visit.name)
    return planned is not None and planned.phase == "pre"


def _sorted(groups: Mapping[str, list]) -> dict[str, tuple]:
    return {node: tuple(sorted(each, key=lambda p: (p[0].actual_date, p[0].order, p[1].reading_id))) for node, each in groups.items()}


# -- RECIST 1.1 -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Course:
    """The response of one case by one set of criteria: visits in order, the best response, and what stands beside it. ``visits`` are entries with
    ``date`` and ``overall``; ``progression`` is the date of the first scan with progression, ``new_lesion`` that of a first new lesion."""

    subject: str
    reader: str
    criteria: str
    targets: tuple[str, ...] = ()
    visits: tuple[dict[str, Any], ...] = ()
    best: str | None = None
    best_confirmed: str | None = None
    best_date: str | None = None
    progression: str | None = None
    new_lesion: str | None = None
    missing: str | None = None
    findings: tuple[Finding, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        out = {name: getattr(self, name) for name in self.__slots__ if name != "findings"}
        return {**out, "targets": list(self.targets), "visits": list(self.visits), "warnings": [f.as_warning() for f in self.findings]}


def lesion_of(node: TargetNode, reading: Reading) -> recist.Lesion:
    """A node or lesion by what is stated; unstated, what has a level of the neck is a node, anything else is none."""
    said = stated(reading)
    nodal = said.get("nodal", node.level in LEVELS)
    return recist.Lesion(node.label, str(said.get("organ") or ("neck" if nodal else "not stated")), bool(nodal), bool(said.get("treated", False)), bool(said.get("progressed", False)))


def recist_of(case: Case, protocol: StudyProtocol, *, confirm_days: int | None = None, stable_days: int = 42) -> Course:
    """RECIST 1.1 of one case. Lesions measured at baseline are targets by their axes, at most five and two an organ (the largest, where
    the reader chose none); the others are non-targets. A lesion ablated on study is not evaluable from then on unless its reader states that it
    progressed. Readings by ultrasound have no part in it."""
    found: list[Finding] = []
    sized: list[tuple[recist.Lesion, float, str]] = []
    others: dict[str, recist.Lesion] = {}
    for node_id, looks in case.before.items():
        reading = next((r for _, r in reversed(looks) if r.modality in recist.MODALITIES and r.status is S.MEASURED), None)
        if reading is None:
            continue
        lesion = lesion_of(case.nodes[node_id], reading)
        size = reading.short_axis_mm if lesion.nodal else reading.long_axis_mm
        if not size:
            found.append(Finding("axis_missing", f"{lesion.lesion_id} has no {'short' if lesion.nodal else 'long'} axis at baseline: RECIST cannot follow it."))
            continue
        role, why = recist.role_of(lesion, modality=reading.modality, long_axis_mm=reading.long_axis_mm, short_axis_mm=reading.short_axis_mm)
        found += [why] if why is not None and why.severity != "info" else []
        if role is recist.Role.TARGET and stated(reading).get("role", "target") == "target":
            sized.append((lesion, size, node_id))
        elif role is not recist.Role.NORMAL:
            others[node_id] = lesion
    chosen = {x.lesion_id for x in recist.choose_targets([(x, mm) for x, mm, _ in sized])}
    targets = {node_id: (x, mm) for x, mm, node_id in sized if x.lesion_id in chosen}
    others.update({node_id: x for x, _, node_id in sized if x.lesion_id not in chosen})
    names = tuple(sorted(x.lesion_id for x, _ in targets.values()))
    if not targets and not others:
        return Course(case.subject, case.reader, "RECIST_1_1", missing="no_lesion_at_baseline", findings=tuple(found))
    visits = [_visit_findings(case, protocol, day, at, targets, others) for day, at in _visit_days(case, recist.MODALITIES)]
    answers = recist.follow([recist.Target(x, recist.Seen.MEASURED, mm) for x, mm in targets.values()], visits)
    told = tuple({**a.to_dict(), "visit": name, "visit_id": visit} for a, (_, name, visit) in zip(answers, _visit_names(case, recist.MODALITIES), strict=True))
    pairs = [(a.date, a.overall) for a in answers]
    start = case.start or (answers[0].date if answers else dt.date.min)
    plain = recist.best_overall(start, pairs, stable_days=stable_days)
    confirmed = None if confirm_days is None else recist.best_overall(start, pairs, confirm_days=confirm_days, stable_days=stable_days)
    shown = confirmed or plain
    new = next((a.date for a in answers if a.new_lesion), None)
    return Course(
        case.subject, case.reader, "RECIST_1_1", names, told, str(plain.response), None if confirmed is None else str(confirmed.response), _iso(shown.date), _iso(plain.progression), _iso(new),
        None if answers else "no_follow_up", tuple(found),
    )  # fmt: skip


def _visit_days(case: Case, modalities: Collection[str]) -> list[tuple[dt.date, dict[str, Reading]]]:
    """Scans after the start in order, each with this case's reading of each node (the first modality of a day counts)."""
    by_visit: dict[str, tuple[dt.date, str, dict[str, Reading]]] = {}
    for node_id, looks in case.after.items():
        for visit, reading in looks:
            if reading.modality in modalities:
                by_visit.setdefault(visit.visit_id, (day_of(visit.actual_date), visit.name, {}))[2].setdefault(node_id, reading)
    return [(day, at) for day, _, at in sorted(by_visit.values(), key=lambda v: (v[0], v[1]))]


def _visit_names(case: Case, modalities: Collection[str]) -> list[tuple[dt.date, str, str]]:
    names = {v.visit_id: (day_of(v.actual_date), v.name, v.visit_id) for looks in case.after.values() for v, r in looks if r.modality in modalities}
    return sorted(names.values())


def _visit_findings(case: Case, protocol: StudyProtocol, day: dt.date, at: Mapping[str, Reading], targets: Mapping, others: Mapping) -> recist.VisitFindings:
    def treated(node_id: str) -> bool:
        return bool(protocol.ablation_kinds) and node_log(case.log, node_id, protocol.ablation_kinds).before(day) > 0

    looked = tuple(_target(lesion, at.get(node_id), treated(node_id)) for node_id, (lesion, _) in targets.items())
    rest = tuple(_non_target(lesion, at.get(node_id)) for node_id, lesion in others.items())
    return recist.VisitFindings(day, looked, rest, any(_is_new(case, node_id, reading, targets, others) for node_id, reading in at.items()))


def _target(lesion: recist.Lesion, reading: Reading | None, treated: bool) -> recist.Target:
    seen = recist.Seen
    if reading is None or reading.status in (S.NOT_EVALUABLE, S.NOT_IMAGED):
        return recist.Target(lesion, seen.NOT_EVALUATED)
    said = stated(reading)
    if treated and not said.get("progressed", False) and reading.status is not S.DISAPPEARED_ASSESSED:
        return recist.Target(lesion, seen.NOT_EVALUATED)
    if reading.status is S.DISAPPEARED_ASSESSED:
        return recist.Target(lesion, seen.ABSENT)
    if reading.status is S.TOO_SMALL:
        return recist.Target(lesion, seen.TOO_SMALL)
    if reading.status is S.MERGED_INTO:
        return recist.Target(lesion, seen.MERGED)
    parts = tuple(float(p) for p in said.get("parts_mm", ()) if p)
    if parts:
        return recist.Target(lesion, seen.SPLIT, parts_mm=parts)
    size = reading.short_axis_mm if lesion.nodal else reading.long_axis_mm
    return recist.Target(lesion, seen.MEASURED, size) if size else recist.Target(lesion, seen.NOT_EVALUATED)


def _non_target(lesion: recist.Lesion, reading: Reading | None) -> recist.NonTarget:
    state = recist.NonTarget
    if reading is None or reading.status in (S.NOT_EVALUABLE, S.NOT_IMAGED):
        return state.NOT_EVALUATED
    said = stated(reading).get("state")
    if said in [s.value for s in state]:
        return state(said)
    if reading.status is S.DISAPPEARED_ASSESSED or (lesion.nodal and reading.short_axis_mm is not None and reading.short_axis_mm < recist.NODE_NORMAL_MM):
        return state.GONE
    return state.PRESENT


def _is_new(case: Case, node_id: str, reading: Reading, targets: Mapping, others: Mapping) -> bool:
    """Is it a new lesion: stated so, or seen after the start and by nobody before it? A node below 10 mm is none."""
    if node_id in targets or node_id in others or reading.status not in (S.MEASURED, S.TOO_SMALL):
        return False
    said = stated(reading)
    if said.get("new_lesion_certain", True) is False:
        return False
    if said.get("role") != "new" and node_id in case.seen_before_by_anybody:
        return False
    nodal = lesion_of(case.nodes[node_id], reading).nodal
    return not (nodal and reading.short_axis_mm is not None and reading.short_axis_mm < recist.NODE_NORMAL_MM)


# -- mRECIST --------------------------------------------------------------------------------------


def viable_diameter(reading: Reading | None) -> float | None:
    """The arterially enhancing diameter in mm: as stated, 0 where the lesion is gone or the reader graded no residual enhancement, else None."""
    if reading is None:
        return None
    said = stated(reading).get("viable_diameter_mm")
    if isinstance(said, (int, float)) and not isinstance(said, bool) and said >= 0:
        return float(said)
    if reading.status is S.DISAPPEARED_ASSESSED or reading.enhancement_grade == "0" or reading.viable_ml == 0:
        return 0.0
    return None


def mrecist_of(case: Case, protocol: StudyProtocol) -> Course:
    """mRECIST of one case: lesions with an arterially enhancing diameter of 10 mm and more at baseline are targets. Lesions without a stated one are
    not judged, and said so."""
    found: list[Finding] = []
    sized: list[tuple[recist.Lesion, float, str]] = []
    others: list[str] = []
    for node_id, looks in case.before.items():
        reading = looks[-1][1]
        label, size = case.nodes[node_id].label, viable_diameter(looks[-1][1])
        if size is None:
            found.append(Finding("viable_not_stated", f"{label} has no stated enhancing diameter at baseline: mRECIST cannot follow it."))
            continue
        why = mrecist.may_be_target(label, size, arterially_enhancing=size > 0)
        if why is None:
            sized.append((lesion_of(case.nodes[node_id], reading), size, node_id))
        else:
            found.append(why)
            others.append(node_id)
    chosen = {x.lesion_id for x in recist.choose_targets([(x, mm) for x, mm, _ in sized])}
    targets = {node_id: (x.lesion_id, mm) for x, mm, node_id in sized if x.lesion_id in chosen}
    others += [node_id for x, _, node_id in sized if x.lesion_id not in chosen]
    if not targets:
        return Course(case.subject, case.reader, "MRECIST", missing="no_target_at_baseline", findings=tuple(found))
    visits = []
    for day, at in _visit_days(case, ("CT", "MR")):
        looked = tuple(mrecist.ViableTarget(label, viable_diameter(at.get(node_id))) for node_id, (label, _) in targets.items())
        rest = tuple(None if (mm := viable_diameter(at.get(node_id))) is None else mm > 0 for node_id in others)
        progressed = any(stated(at[n]).get("state") == "progressed" for n in others if n in at)
        visits.append(mrecist.ViableVisit(day, looked, rest, progressed, any(_is_new(case, n, r, targets, dict.fromkeys(others)) for n, r in at.items())))
    answers = mrecist.follow_viable([mrecist.ViableTarget(label, mm) for label, mm in targets.values()], visits)
    best, when = mrecist.best_viable([(a.date, a.overall) for a in answers])
    told = tuple({**a.to_dict(), "visit": name, "visit_id": visit} for a, (_, name, visit) in zip(answers, _visit_names(case, ("CT", "MR")), strict=True))
    return Course(
        case.subject, case.reader, "MRECIST", tuple(sorted(label for label, _ in targets.values())), told, str(best), None, _iso(when),
        _iso(next((a.date for a in answers if a.overall is mrecist.Answer.PD), None)), _iso(next((a.date for a in answers if a.new_lesion), None)),
        None if answers else "no_follow_up", tuple(found),
    )  # fmt: skip


# -- local control --------------------------------------------------------------------------------


def tumour_courses(case: Case, protocol: StudyProtocol, *, until: dt.date | None = None, every_node: Sequence[TargetNode] = ()) -> dict[str, TumourCourse]:
    """The course of every ablated node or tumour of a case (also of those in ``every_node`` that nobody read), by node. ``until`` cuts controls and ablations."""
    out = {}
    for node in {n.node_id: n for n in (*every_node, *case.nodes.values())}.values():
        done = [(d, e) for d, e in case.log.of(protocol.ablation_kinds, node.node_id) if until is None or d <= until]
        if not done:
            continue
        controls = tuple(Control(day_of(v.actual_date), control_of(r)) for v, r in case.after.get(node.node_id, ()) if until is None or day_of(v.actual_date) <= until)
        out[node.node_id] = tumour_course(TreatedTumour(node.label, case.subject, tuple((d, d.isoformat()) for d in sorted({d for d, _ in done})), controls))
    return out


def _iso(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()
