"""The cohort: every node of a study at one visit, how its volume went over the visits, and the endpoint tables beside it.

``gather`` works everything out of a snapshot once (a second or so for a whole trial); ``view_of`` picks a visit, a reader and a
subset from that and is quick. Rates come from ``app.study``; nothing is worked out anew here. Filters narrow the table and the
figures, never the endpoint tables, whose sets the protocol defines.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.study.accepted import OTHER_READER, PENDING, AcceptedState, accepted_states
from app.study.clocks import NodeLog, SubjectLog, day_of, node_log, subject_logs
from app.study.endpoint_nodes import ENDED
from app.study.endpoint_tables import protocol_tables, summary
from app.study.endpoints import ACCEPTED, ENDPOINT_ROLE, left_out
from app.study.errors import StudyRefused
from app.study.followup import NodeResponse, respond
from app.study.model import ABLATION_KINDS, ReadingState, StudySnapshot, TargetNode, Visit
from app.study.protocol import StudyProtocol, protocol_from
from volumetry.response.course import NodePair, subject_rate_of
from volumetry.response.statistics import RESAMPLES, SEED

MISSING = "missing"  # status of a node without a reading at the visit
DAYS_A_MONTH = 365.25 / 12
FILTERS = ("visit", "reader", "modality", "method", "high_risk", "salvage", "status")
_YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class CohortFilter:
    """What is looked at. ``visit`` None: the visit of the primary endpoint; ``reader`` None: the accepted records where the
    protocol has a rule of acceptance, else the reader with most readings. The others None: all. ``status`` is a reading's, or ``missing``."""

    visit: str | None = None
    reader: str | None = None
    modality: str | None = None
    method: str | None = None
    high_risk: bool | None = None
    salvage: bool | None = None
    status: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in FILTERS}


def filter_from(words: Iterable[str]) -> CohortFilter:
    """A filter from ``KEY=VALUE`` words; ``high_risk`` and ``salvage`` take yes or no. Raises ``cohort_filter_refused``."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = (part.strip() for part in word.partition("="))
        if not equals or key not in FILTERS or key in found or not value:
            raise StudyRefused(f"{word!r} is no filter.", code="cohort_filter_refused", hint=f"Use KEY=VALUE, each key once, of {', '.join(FILTERS)}.")
        if key in ("high_risk", "salvage"):
            if value not in _YES_NO:
                raise StudyRefused(f"{key} is yes or no, not {value!r}.", code="cohort_filter_refused")
            found[key] = _YES_NO[value]
        else:
            found[key] = value
    return CohortFilter(**found)


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One node at one visit by one reader, modality and method. ``reasons`` say why it is in no endpoint table that goes by visits
    (empty: it is in one); for a node without a reading at the visit (``status`` missing) why there is none. ``months`` count from the
    node's first ablation. ``salvaged``: ablated again on or before the scan."""

    subject: str
    node: str
    node_id: str
    side: str
    level: str
    high_risk: tuple[str, ...]
    visit: str
    visit_order: int
    reader: str
    role: str
    modality: str
    method: str
    status: str
    volume_ml: float | None = None
    baseline_ml: float | None = None
    vrr_pct: float | None = None
    interval_pct: tuple[float, float] | None = None
    interval_note: str = ""
    comparable: bool = False
    provisional: bool = False
    salvaged: bool = False
    n_ablations: int | None = None
    months: float | None = None
    days_from_node_anchor: int | None = None
    reasons: tuple[str, ...] = ()
    reading_id: str | None = None
    version: int | None = None

    @property
    def counts(self) -> bool:
        """Stands in an endpoint table that goes by visits."""
        return self.vrr_pct is not None and not self.reasons

    @property
    def name(self) -> str:
        """Subject and node."""
        return f"{self.subject} {self.node}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**out, "high_risk": list(self.high_risk), "interval_pct": None if self.interval_pct is None else list(self.interval_pct), "reasons": list(self.reasons), "counts": self.counts}


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Everything worked out of one snapshot. ``readers`` are what may be chosen: ``accepted`` alone where it was gathered so, else each
    reader; ``choices`` is everything that could be, however it was gathered. ``rows`` are all follow-up readings; ``tables`` the
    protocol's endpoints as ``app.study`` gives them."""

    snapshot: StudySnapshot
    protocol: StudyProtocol
    accepted: bool
    rows: tuple[CohortRow, ...]
    tables: tuple[dict[str, Any], ...]
    readers: tuple[str, ...]
    choices: tuple[str, ...]
    visits: tuple[str, ...]
    as_of: dt.date | None
    seed: int
    resamples: int
    ablations: Mapping[str, NodeLog]
    logs: Mapping[str, SubjectLog]
    held_back: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (node, visit name) -> why no record is accepted
    scans: Mapping[tuple[str, str], Visit] = field(default_factory=dict)  # (subject, visit name) -> visit


# -- who may look ---------------------------------------------------------------------------------


def may_see_cohort(store: Any) -> bool:
    """May the user at work see all subjects together? Never a blinded one; where the study has no users, everybody."""
    if not store.has_users():
        return True
    session = store.session
    return session is not None and not session.blinded and (session.may("see_all") or session.may("see_clinical"))


def cohort_snapshot(store: Any) -> StudySnapshot:
    """The snapshot a cohort is made of. Raises ``cohort_not_shown`` for who may not see it, and what ``snapshot`` refuses."""
    if store.session is not None and not may_see_cohort(store):
        raise StudyRefused("The cohort is not shown to this user: it would tell a blinded reader of other visits and readers.", code="cohort_not_shown")
    return store.snapshot()


# -- gathering ------------------------------------------------------------------------------------


def has_accepted(snapshot: StudySnapshot) -> bool:
    """True where the protocol has a rule of acceptance and a central reading is locked: then the accepted records are what counts."""
    return bool(protocol_from(snapshot.protocol).section("adjudication")) and any(r.role == ENDPOINT_ROLE and r.state is ReadingState.LOCKED for r in snapshot.readings)


def gather(snapshot: StudySnapshot, *, accepted: bool | None = None, as_of: dt.date | None = None, seed: int = SEED, resamples: int = RESAMPLES) -> Cohort:
    """Work everything out. ``accepted`` True: the accepted records of all central readers; False: each reader alone; None: the
    former where the protocol has a rule of acceptance. ``as_of`` is the day the data were cut."""
    usual = has_accepted(snapshot)
    together = usual if accepted is None else accepted
    states = accepted_states(snapshot) if together else []
    chosen = {(s.reading.reading_id, s.reading.version) for s in states if s.reading is not None} if together else None
    response = respond(snapshot, accepted=chosen)
    pending = frozenset((s.node_id, s.visit_id) for s in states if s.basis == PENDING)
    tables = protocol_tables(snapshot, response, as_of=as_of, seed=seed, resamples=resamples, pending=pending)
    protocol = protocol_from(snapshot.protocol)
    logs = subject_logs(snapshot)
    kinds = protocol.ablation_kinds or ABLATION_KINDS
    ablations = {n.node_id: node_log(logs.get(n.subject_id) or SubjectLog(n.subject_id), n.node_id, kinds) for n in snapshot.nodes}
    nodes = {n.node_id: n for n in snapshot.nodes}
    why = {(r["reading_id"], r["version"]): tuple(r["reasons"]) for r in left_out(response.nodes, response.endpoints)}
    shown = [r for r in response.nodes if chosen is None or (r.reading_id, r.version) in chosen]
    names = reader_names((r.reader, r.role) for r in response.nodes)
    read = Counter(names[r.reader, r.role] for r in response.nodes)
    each = tuple(sorted(read, key=lambda name: (-read[name], name)))
    rows = tuple(_row(r, nodes[r.node_id], ablations[r.node_id], ACCEPTED if together else names[r.reader, r.role], why.get((r.reading_id, r.version), ())) for r in shown)
    visits = {v.visit_id: v for v in snapshot.visits}
    return Cohort(
        snapshot, protocol, together, rows, tuple(tables), (ACCEPTED,) if together else each,
        ((ACCEPTED,) if together or usual else ()) + each, _visit_names(rows), as_of, seed, resamples, ablations, logs, _held_back(states, visits, response.nodes if together else (), chosen), {(v.subject_id, v.name): v for v in snapshot.visits},
    )  # fmt: skip


def reader_names(found: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(reader, role) -> the name it is chosen by: the reader's, with the role where one person has read in several."""
    pairs = sorted(set(found))
    several = {reader for reader, n in Counter(reader for reader, _ in pairs).items() if n > 1}
    return {(reader, role): f"{reader} ({role})" if reader in several else reader for reader, role in pairs}


def _row(r: NodeResponse, node: TargetNode, done: NodeLog, reader: str, reasons: tuple[str, ...]) -> CohortRow:
    scan = None if r.scan_date is None else day_of(r.scan_date)
    return CohortRow(
        r.subject, r.node, r.node_id, str(node.side), node.level, node.high_risk, r.visit, r.visit_order, reader, r.role, r.modality, r.method, r.status,
        r.volume_ml, r.baseline_volume_ml, r.vrr_pct, r.interval_pct, r.interval_note, r.comparable, r.provisional, scan is not None and done.salvaged_by(scan), r.n_ablations_before_scan,
        None if r.days_from_first is None else r.days_from_first / DAYS_A_MONTH, r.days_from_node_anchor, reasons, r.reading_id, r.version,
    )  # fmt: skip


def _visit_names(rows: Iterable[CohortRow]) -> tuple[str, ...]:
    """Visits after baseline that were read, in their order."""
    return tuple(name for _, name in sorted({(r.visit_order, r.visit) for r in rows}))


def _held_back(states: Sequence[AcceptedState], visits: Mapping[str, Visit], rows: Iterable[NodeResponse], accepted: set | None) -> dict[tuple[str, str], str]:
    """Why a node that somebody read has no accepted record at a visit."""
    out = {(r.node_id, r.visit): "not_locked" for r in rows if r.provisional and r.role == ENDPOINT_ROLE}
    for s in states:
        if s.reading is None and s.basis in (PENDING, OTHER_READER):
            out[s.node_id, visits[s.visit_id].name] = s.basis
    return out


# -- looking --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpiderLine:
    """One node over time: rows with a rate and a date, by one reader, modality and method."""

    subject: str
    node: str
    modality: str
    method: str
    points: tuple[CohortRow, ...]

    @property
    def name(self) -> str:
        """Subject and node."""
        return f"{self.subject} {self.node}"


@dataclass(frozen=True, slots=True)
class Box:
    """The rates of one visit. Quartiles by linear interpolation; whiskers reach the last value within 1.5 quartile distances of the box
    (Tukey), what lies beyond is in ``outliers``. ``n_unlike`` rates are not comparable with their baseline and are in none of it."""

    visit: str
    visit_order: int
    n: int
    n_subjects: int
    n_unlike: int
    mean_pct: float
    min_pct: float
    q1_pct: float
    median_pct: float
    q3_pct: float
    max_pct: float
    whisker_low_pct: float
    whisker_high_pct: float
    outliers: tuple[float, ...]
    values: tuple[float, ...]  # all of them, sorted

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__ if name != "values"}, "outliers": list(self.outliers)}


@dataclass(frozen=True, slots=True)
class SubjectLine:
    """A subject's nodes together at the visit. ``missing`` is by node."""

    subject: str
    modality: str
    method: str
    sum_pct: float | None
    mean_pct: float | None
    n_nodes: int
    nodes: tuple[str, ...]
    missing: Mapping[str, str]
    all_gone: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "nodes": list(self.nodes), "missing": dict(self.missing)}


@dataclass(frozen=True, slots=True, eq=False)
class CohortView:
    """A cohort as it is looked at. ``chosen`` has visit and reader filled in. ``table``: the nodes at the visit; ``bars``: those with a
    rate, the smallest first; ``lines`` and ``boxes``: the same nodes over all visits; ``kinds``: how they were read."""

    cohort: Cohort
    chosen: CohortFilter
    table: tuple[CohortRow, ...]
    subjects: tuple[SubjectLine, ...]
    bars: tuple[CohortRow, ...]
    lines: tuple[SpiderLine, ...]
    boxes: tuple[Box, ...]
    kinds: tuple[tuple[str, str], ...]
    undated: int  # rates without a place on the axis of months
    summary: Mapping[str, Any]  # of the comparable rates at the visit: mean with the interval of resampled subjects

    @property
    def counts(self) -> dict[str, Any]:
        """How many nodes, rates, rates that count, and what is left out by reason (a node may have several)."""
        reasons = Counter(reason for r in self.table for reason in r.reasons)
        return {
            "subjects": len({r.subject for r in self.table}), "nodes": len({r.node_id for r in self.table}), "with_rate": len(self.bars), "counting": sum(r.counts for r in self.table),
            "missing": sum(r.status == MISSING for r in self.table), "left_out": dict(sorted(reasons.items())),
        }  # fmt: skip


def usual_visit(cohort: Cohort) -> str | None:
    """The visit of the primary endpoint where it was read, else the last one that was; None where none was."""
    primary = next((e.get("visit") for e in cohort.protocol.endpoints if e.get("rank") == "primary"), None)
    return primary if primary in cohort.visits else cohort.visits[-1] if cohort.visits else None


def view_of(cohort: Cohort, chosen: CohortFilter | None = None) -> CohortView:
    """Pick from a cohort. A visit or a reader that it does not have is refused, ``cohort_filter_refused``."""
    chosen = _filled(cohort, chosen or CohortFilter())
    mine = [r for r in cohort.rows if r.reader == chosen.reader and chosen.modality in (None, r.modality) and chosen.method in (None, r.method) and chosen.high_risk in (None, bool(r.high_risk))]
    here = [r for r in mine if r.visit == chosen.visit]
    here += _without(cohort, chosen, {r.node_id for r in here})
    table = tuple(sorted((r for r in here if chosen.salvage in (None, r.salvaged) and chosen.status in (None, r.status)), key=lambda r: (r.subject, natural(r.node), r.modality, r.method)))
    kept = {r.node_id for r in table}
    over = [r for r in mine if r.node_id in kept and r.vrr_pct is not None]
    bars = tuple(sorted((r for r in table if r.vrr_pct is not None), key=lambda r: (r.vrr_pct, r.subject, r.node, r.modality, r.method)))
    kinds = tuple(sorted({(r.modality, r.method) for r in over}))
    alike = [r for r in bars if r.comparable]
    mean = summary([r.vrr_pct for r in alike], [r.subject for r in alike], seed=cohort.seed, resamples=cohort.resamples)
    return CohortView(cohort, chosen, table, _subjects(table), bars, _lines(over), _boxes(over), kinds, sum(r.months is None for r in over), mean)


def natural(label: str) -> tuple:
    """A key that puts N2 before N10."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", label) if part)


def _filled(cohort: Cohort, chosen: CohortFilter) -> CohortFilter:
    for what, value, known in (("visit", chosen.visit, cohort.visits), ("reader", chosen.reader, cohort.readers)):
        if value is not None and known and value not in known:
            raise StudyRefused(f"No node was read at the {what} {value!r}." if what == "visit" else f"There is no reader {value!r} here.", code="cohort_filter_refused", hint=f"There are: {', '.join(known)}.")
    return replace(chosen, visit=chosen.visit or usual_visit(cohort), reader=chosen.reader or (cohort.readers[0] if cohort.readers else None))


def _without(cohort: Cohort, chosen: CohortFilter, read: set[str]) -> list[CohortRow]:
    """A row for every node without a reading at the visit, with the reason."""
    if chosen.visit is None:
        return []
    order = next((r.visit_order for r in cohort.rows if r.visit == chosen.visit), 0)
    out = []
    for n in cohort.snapshot.nodes:
        if n.node_id in read or chosen.high_risk not in (None, bool(n.high_risk)):
            continue
        visit = cohort.scans.get((n.subject_id, chosen.visit))
        done = cohort.ablations[n.node_id]
        scan = None if visit is None or visit.actual_date is None else day_of(visit.actual_date)
        salvaged = done.first_salvage() is not None if scan is None else done.salvaged_by(scan)
        reason = _why_none(cohort, n, visit, chosen)
        out.append(CohortRow(n.subject_id, n.label, n.node_id, str(n.side), n.level, n.high_risk, chosen.visit, order, chosen.reader or "", "", "", "", MISSING, salvaged=salvaged, reasons=(reason,)))
    return out


def _why_none(cohort: Cohort, node: TargetNode, visit: Visit | None, chosen: CohortFilter) -> str:
    """``adjudication_pending``, ``other_reader_counts``, ``not_locked``; the scan is there but was not read (so): ``not_read``; the end of
    follow-up in the words of the endpoint tables; ``no_ablation``; else ``no_scan``."""
    held = cohort.held_back.get((node.node_id, chosen.visit))
    if held is not None:
        return held
    if visit is not None and visit.actual_date is not None:
        return "not_read"
    log = cohort.logs.get(node.subject_id) or SubjectLog(node.subject_id)
    ends = cohort.protocol.terms.get("ends_follow_up") or tuple(ENDED)
    over = next((e.kind for _, e in log.events if e.kind in ENDED and e.kind in ends and e.node_id in (None, node.node_id)), None)
    if over is not None:
        return ENDED[over]
    if cohort.protocol.ablation_kinds and not cohort.ablations[node.node_id].days:
        return "no_ablation"
    return "no_scan"


def _subjects(table: Sequence[CohortRow]) -> tuple[SubjectLine, ...]:
    """Sum and mean of each subject's nodes, by modality and method; a node that has no row of the kind is missing there."""
    nodes: dict[str, dict[str, CohortRow]] = {}
    kinds: dict[str, set[tuple[str, str]]] = {}
    groups: dict[tuple[str, str, str], dict[str, CohortRow]] = {}
    for r in table:
        nodes.setdefault(r.subject, {}).setdefault(r.node, r)
        if r.status == MISSING:
            kinds.setdefault(r.subject, set())
        else:
            kinds.setdefault(r.subject, set()).add((r.modality, r.method))
            groups.setdefault((r.subject, r.modality, r.method), {})[r.node] = r
    out = []
    for subject in sorted(nodes):
        for modality, method in sorted(kinds[subject]) or [("", "")]:
            read = groups.get((subject, modality, method), {})
            rate = subject_rate_of([_pair(label, read.get(label), any_row) for label, any_row in sorted(nodes[subject].items())])
            out.append(SubjectLine(subject, modality, method, rate.sum_pct, rate.mean_pct, len(nodes[subject]), rate.counted, rate.missing, rate.all_gone))
    return tuple(out)


def _pair(label: str, row: CohortRow | None, other: CohortRow) -> NodePair:
    if row is None:
        return NodePair(label, None, None, missing=other.reasons[0] if other.status == MISSING else "read_otherwise")
    if row.vrr_pct is None or not row.comparable:
        return NodePair(label, None, None, missing=row.status if row.volume_ml is None else "no_baseline" if row.baseline_ml is None else "not_comparable")
    return NodePair(label, row.baseline_ml, row.volume_ml, row.status == "disappeared_assessed")


def _lines(rows: Iterable[CohortRow]) -> tuple[SpiderLine, ...]:
    groups: dict[tuple[str, str, str, str, str], list[CohortRow]] = {}
    for r in rows:
        if r.months is not None:
            groups.setdefault((r.subject, r.node, r.node_id, r.modality, r.method), []).append(r)
    return tuple(SpiderLine(key[0], key[1], key[3], key[4], tuple(sorted(each, key=lambda r: (r.months, r.visit_order)))) for key, each in sorted(groups.items()))


def _boxes(rows: Iterable[CohortRow]) -> tuple[Box, ...]:
    groups: dict[tuple[int, str], list[CohortRow]] = {}
    for r in rows:
        groups.setdefault((r.visit_order, r.visit), []).append(r)
    return tuple(box for (order, visit), each in sorted(groups.items()) if (box := _box(visit, order, each)) is not None)


def _box(visit: str, order: int, rows: Sequence[CohortRow]) -> Box | None:
    alike = [r for r in rows if r.comparable]
    if not alike:
        return None
    values = np.sort(np.array([r.vrr_pct for r in alike], dtype=float))
    q1, median, q3 = (float(q) for q in np.percentile(values, [25, 50, 75]))
    reach = 1.5 * (q3 - q1)
    inside = values[(values >= q1 - reach) & (values <= q3 + reach)]
    beyond = values[(values < q1 - reach) | (values > q3 + reach)]
    return Box(
        visit, order, len(values), len({r.subject for r in alike}), len(rows) - len(alike), float(values.mean()), float(values[0]), q1, median, q3, float(values[-1]),
        float(inside[0]), float(inside[-1]), tuple(float(v) for v in beyond), tuple(float(v) for v in values),
    )  # fmt: skip
