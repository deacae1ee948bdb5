"""What each node gives to an endpoint: the scan inside the window of the node's own clock, or the reason why there is none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.study.clocks import Clock, NodeLog, SubjectLog, clock_of, day_of, node_log, subject_logs
from app.study.endpoints import ENDPOINT_ROLE, ReadingKey, counts
from app.study.followup import NodeResponse, Response
from app.study.model import ABLATION_KINDS, StudySnapshot, TargetNode
from app.study.protocol import StudyProtocol, protocol_from
from volumetry.response.course import Point, Recurrence, local_recurrence, signs_of_return

SALVAGED = "salvaged"
# Why follow-up of a subject ended, in the words of a missing value.
ENDED = {"DEATH": "died", "WITHDRAWAL": "withdrew", "LOST": "lost", "PROGRESSION": "progressed"}
UNASSESSED = ("not_imaged", "not_evaluable", "merged_into", "split_from")
GRADE_COMPLETE, GRADE_LEFT = ("0", "1"), ("2", "3")  # residual enhancement: none or a smooth rim; nodular or more


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """One node in one endpoint. ``value_pct`` None: missing, for ``reason``. ``scan`` is the row that counts (also one
    without a volume). ``carried`` is the last row before a salvage, for the sensitivity table."""

    node: TargetNode
    clock: Clock | None
    scan: NodeResponse | None = None
    reason: str | None = None
    salvaged: bool = False
    carried: NodeResponse | None = None

    @property
    def value_pct(self) -> float | None:
        """The rate that counts."""
        return None if self.scan is None or self.reason else self.scan.vrr_pct

    @property
    def assessed(self) -> bool:
        """Was the node looked at in the window, so that one can say whether it is gone?"""
        return self.scan is not None and self.scan.status not in UNASSESSED

    @property
    def disappeared(self) -> bool:
        """Looked for and not there any more."""
        return self.scan is not None and self.scan.status == "disappeared_assessed"

    def to_dict(self) -> dict[str, Any]:
        """One node of a table."""
        out: dict[str, Any] = {"subject": self.node.subject_id, "node": self.node.label, "value_pct": self.value_pct, "missing": self.reason, "salvaged": self.salvaged}
        if self.clock is not None:
            out.update(self.clock.to_dict())
        return {**out, **scan_words(self.scan, self.clock)}


def scan_words(row: NodeResponse | None, clock: Clock | None) -> dict[str, Any]:
    """Where a value comes from: reading, baseline, days."""
    if row is None:
        return {}
    offset = None if clock is None or row.scan_date is None else (day_of(row.scan_date) - clock.target).days
    return {
        "visit": row.visit, "scan_date": row.scan_date, "days_from_target": offset, "status": row.status, "reader": row.reader, "modality": row.modality, "method": row.method,
        "volume_ml": row.volume_ml, "baseline_volume_ml": row.baseline_volume_ml, "reading_id": row.reading_id, "version": row.version, "baseline_reading_id": row.baseline_reading_id,
        "baseline_version": row.baseline_version, "n_ablations_before_scan": row.n_ablations_before_scan, "days_from_first": row.days_from_first, "days_from_anchor": row.days_from_anchor,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """Everything that the endpoints of a study look at, sorted once. ``rows``: per node the locked central rows that may count (one
    reader's, or the accepted ones), in the order of scans; ``open_nodes``: nodes with a central reading that is not locked, by visit."""

    protocol: StudyProtocol
    snapshot: StudySnapshot
    logs: Mapping[str, SubjectLog]
    nodes: tuple[TargetNode, ...]
    ablations: Mapping[str, NodeLog]
    rows: Mapping[str, tuple[NodeResponse, ...]]
    other: Mapping[str, tuple[NodeResponse, ...]] = field(default_factory=dict)
    accepted: frozenset[ReadingKey] | None = None
    as_of: dt.date | None = None
    subject_id: str | None = None  # only this subject
    reader: str = ""
    pending: frozenset[tuple[str, str]] = frozenset()  # (node, visit) that wait for an adjudicator
    by_subject: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # subject -> its nodes
    known: dict[tuple, Any] = field(default_factory=dict)  # outcomes worked out once: several endpoints share a clock


def fields_of(snapshot: StudySnapshot, response: Response, *, subject_id: str | None = None, as_of: dt.date | None = None, pending: frozenset[tuple[str, str]] = frozenset()) -> dict[str, Field]:
    """One field a central reader; with accepted records a single one, of all readers (``accepted``)."""
    protocol = protocol_from(snapshot.protocol)
    logs = subject_logs(snapshot)
    nodes = tuple(n for n in snapshot.nodes if subject_id is None or n.subject_id == subject_id)
    kinds = protocol.ablation_kinds or ABLATION_KINDS
    ablations = {n.node_id: node_log(logs.get(n.subject_id) or SubjectLog(n.subject_id), n.node_id, kinds) for n in nodes}
    central = [r for r in response.locked if r.role == ENDPOINT_ROLE]
    by_subject: dict[str, tuple[str, ...]] = {}
    for n in nodes:
        by_subject[n.subject_id] = (*by_subject.get(n.subject_id, ()), n.node_id)
    readers = ["accepted"] if response.accepted is not None else sorted({r.reader for r in (*response.nodes, *response.baselines) if r.role == ENDPOINT_ROLE}) or [""]
    out = {}
    for reader in readers:
        mine = [r for r in central if counts(r, response.accepted) and (response.accepted is not None or r.reader == reader)]
        theirs = [r for r in response.nodes if r.role == ENDPOINT_ROLE and (response.accepted is not None or r.reader == reader)]
        out[reader] = Field(protocol, snapshot, logs, nodes, ablations, _by_node(mine), _by_node(theirs), response.accepted, as_of, subject_id, reader, pending, by_subject)
    return out


def _by_node(rows: Iterable[NodeResponse]) -> dict[str, tuple[NodeResponse, ...]]:
    groups: dict[str, list[NodeResponse]] = {}
    for row in rows:
        groups.setdefault(row.node_id, []).append(row)
    return {node: tuple(sorted(each, key=lambda r: (r.scan_date or "9999", r.visit_order, r.reading_id))) for node, each in groups.items()}


def outcome(every: Field, endpoint: Mapping, node: TargetNode) -> NodeOutcome:
    """What one node gives to an endpoint that is read at a visit."""
    clock = endpoint.get("clock") or {}
    key = ("outcome", clock.get("of"), clock.get("anchor"), endpoint.get("visit"), str(endpoint.get("window_days")), node.node_id)
    if key not in every.known:
        every.known[key] = _outcome(every, endpoint, node)
    return every.known[key]


def _outcome(every: Field, endpoint: Mapping, node: TargetNode) -> NodeOutcome:
    log = every.logs.get(node.subject_id) or SubjectLog(node.subject_id)
    done = every.ablations[node.node_id]
    clock = clock_of(every.protocol, endpoint, log, node.node_id)
    if clock is None:
        return NodeOutcome(node, None, reason="no_anchor")
    rows = every.rows.get(node.node_id, ())
    inside = [r for r in rows if r.scan_date is not None and clock.holds(day_of(r.scan_date))]
    best = min(inside, key=lambda r: _preference(every.protocol, clock, r), default=None)
    if best is None or best.vrr_pct is None or not best.comparable:
        reason = _why(best) if best is not None else _why_no_scan(every, endpoint, node, clock, log)
    else:
        reason = None
    last_day = day_of(best.scan_date) if best is not None else clock.high
    salvaged = done.salvaged_by(last_day)
    carried = None
    if salvaged:
        salvage = done.first_salvage()
        before = [r for r in rows if r.comparable and r.vrr_pct is not None and r.scan_date is not None and day_of(r.scan_date) < salvage]
        carried = max(before, key=lambda r: (r.scan_date, tuple(-x for x in _rank(every.protocol, r))), default=None)
    return NodeOutcome(node, clock, best, reason, salvaged, carried)


def _rank(protocol: StudyProtocol, row: NodeResponse) -> tuple[int, int]:
    """The protocol's order of modalities and methods; what it does not name comes last."""
    reading = protocol.section("reading")

    def place(key: str, value: str) -> int:
        named = list(reading.get(key, ()))
        return named.index(value) if value in named else len(named)

    return place("modalities", row.modality), place("methods", row.method)


def _preference(protocol: StudyProtocol, clock: Clock, row: NodeResponse) -> tuple:
    """Of several readings in the window: one with a value, nearest to the target (the earlier of two), by the protocol's order of
    modalities and methods. A value is never looked at."""
    offset = (day_of(row.scan_date) - clock.target).days
    return (row.vrr_pct is None or not row.comparable, abs(offset), offset, *_rank(protocol, row), row.reader, row.reading_id)


def _why(row: NodeResponse) -> str:
    if row.volume_ml is None:
        return row.status if row.status != "measured" else "no_volume"
    return "no_baseline" if row.baseline_reading_id is None else "not_comparable"


def _why_no_scan(every: Field, endpoint: Mapping, node: TargetNode, clock: Clock, log: SubjectLog) -> str:
    """Why nothing that may count lies in the window: a reading not locked or not accepted, the end of follow-up, a scan not read or
    outside of it, a visit without a date, a window that is not over yet."""
    mine = every.other.get(node.node_id, ())
    inside = [r for r in mine if r.scan_date is not None and clock.holds(day_of(r.scan_date))]
    if any((r.node_id, r.visit_id) in every.pending for r in inside):
        return "adjudication_pending"
    if inside:
        return "not_locked" if all(r.provisional for r in inside) else "not_accepted"
    for day, event in log.events:
        if event.kind in ENDED and event.kind in every.protocol.terms["ends_follow_up"] and day <= clock.high and event.node_id in (None, node.node_id):
            return ENDED[event.kind]
    dated = [v for v in log.visits if v.actual_date is not None]
    if any(clock.holds(day_of(v.actual_date)) for v in dated):
        return "not_read"
    if any(v.name == endpoint.get("visit") for v in dated):
        return "scan_outside_window"
    if any(r.visit == endpoint.get("visit") and r.scan_date is None for r in mine):
        return "visit_without_date"
    if every.as_of is not None and every.as_of <= clock.high:
        return "window_not_over"
    return "no_scan_in_window"


def point_of(row: NodeResponse) -> Point:
    """A row as a look at the node's course."""
    grade = row.enhancement_grade
    enhancing = False if grade in GRADE_COMPLETE else True if grade in GRADE_LEFT else None
    gone = row.status == "disappeared_assessed"
    return Point(row.visit, row.volume_ml, row.viable_ml, gone, enhancing, None if row.scan_date is None else day_of(row.scan_date))


def courses(rows: Iterable[NodeResponse]) -> dict[tuple[str, str, str], list[NodeResponse]]:
    """Rows of one node as the courses that may be compared: by reader, modality and method."""
    out: dict[tuple[str, str, str], list[NodeResponse]] = {}
    for row in rows:
        out.setdefault((row.reader, row.modality, row.method), []).append(row)
    return out


def recurrence_of(every: Field, node: TargetNode, until: dt.date) -> Recurrence | None:
    """The first local recurrence of a node up to a day: signs after its last ablation before that day, or a PROGRESSION event that
    names the node (``detail`` type ``local`` or none). What the protocol's definition does not count is left out."""
    defined = every.protocol.section("definitions")
    if "local" not in defined.get("recurrence", ("local",)):
        return None
    log = every.logs.get(node.subject_id) or SubjectLog(node.subject_id)
    found = []
    last = max((d for d in every.ablations[node.node_id].days if d <= until), default=None)
    after = [r for r in every.rows.get(node.node_id, ()) if r.scan_date is not None and (last is None or day_of(r.scan_date) > last) and day_of(r.scan_date) <= until]
    above = defined.get("regrowth_above_smallest_pct")
    for same in courses(after).values():
        sign = local_recurrence(signs_of_return([point_of(r) for r in same], **({} if above is None else {"above_pct": above})))
        if sign is not None:
            found.append(sign)
    found += [Recurrence("local", d, "event") for d, e in log.of(("PROGRESSION",)) if e.node_id == node.node_id and d <= until and e.detail.get("type", "local") == "local"]
    return min(found, key=lambda r: (r.date or dt.date.max, r.sign), default=None)


def subject_recurrences(every: Field, subject: str, until: dt.date) -> list[Recurrence]:
    """Recurrences of a subject that belong to no treated node: PROGRESSION events of the types ``new_node`` and ``distant``
    that the protocol's definition counts. One without a type is ``untyped``: told, and counted as it is an imaging progression."""
    counted = every.protocol.section("definitions").get("recurrence", ("local", "new_node", "distant"))
    log = every.logs.get(subject) or SubjectLog(subject)
    out = []
    for day, event in log.of(("PROGRESSION",)):
        kind = str(event.detail.get("type") or "untyped")
        if day <= until and (kind in counted or kind == "untyped") and not (event.node_id and kind in ("local", "untyped")):
            out.append(Recurrence(kind, day, "event"))
    return out


def population_of(every: Field, endpoint: Mapping) -> tuple[list[TargetNode], list[TargetNode]]:
    """Nodes of the endpoint's population before salvage is looked at, and those that are not in it because no ablation of them is
    recorded. ``nodes_assessed`` asks for no ablation. ``arms`` of the endpoint keep only subjects of these arms."""
    arms = endpoint.get("arms") or ()
    nodes = [n for n in every.nodes if not arms or (every.logs.get(n.subject_id) or SubjectLog("")).arm in arms]
    population = endpoint.get("population")
    if population == "nodes_high_risk":
        nodes = [n for n in nodes if n.high_risk]
    if population == "nodes_assessed" or not every.protocol.ablation_kinds:
        return nodes, []
    treated = [n for n in nodes if every.ablations[n.node_id].days]
    return treated, [n for n in nodes if not every.ablations[n.node_id].days]
