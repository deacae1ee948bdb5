"""How nodes answered: the volume reduction rate of every follow-up reading against its baseline.

Pure rules over a ``StudySnapshot``. A rate uses one reader's baseline and follow-up only; where both
were not read by the same modality and method it is given, marked as not comparable. The baseline is
the last evaluable reading before the node's first ablation, also after a salvage. The enhancing (viable)
and the ablated part have rates of their own, each against the same part, never against the whole.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from app.study.clocks import NodeLog, SubjectLog, anchor_event, day_of, node_log, subject_logs
from app.study.endpoints import NOTE, EndpointTable, ReadingKey, endpoint_tables, left_out
from app.study.model import (
    Reading,
    ReadingState,
    ReadingStatus,
    StudySnapshot,
    TargetNode,
    Visit,
)
from app.study.protocol import StudyProtocol, protocol_from
from app.study.repeatability import Repeatability, stated_repeatability
from volumetry.finding import Finding
from volumetry.response.course import zone_rate
from volumetry.response.viable import ViableVolumes, viable_rates
from volumetry.response.vrr import MeasuredBy, comparable, volume_reduction_rate, vrr_from_intervals


@dataclass(frozen=True, slots=True)
class NodeResponse:
    """One follow-up reading of one node against its baseline.

    ``vrr_pct`` None: the node has no baseline of this reader, or no volume at this visit (``status``
    says why). ``interval_pct`` is 95 %; ``interval_from`` says whether it comes from a stated
    repeatability (``cv_pct``, ``cv_source``) or from the readings' own volume intervals, and
    ``interval_note`` tells it in a sentence, or why there is none. ``vrr_viable_pct`` and
    ``vrr_ablated_pct`` are those parts' own rates, None where a part was not assessed at both visits;
    ``parts_comparable`` whether both were come by in the same way. ``provisional``: baseline or
    follow-up is not locked yet. Days count from the node's first and the subject's last ablation before the
    scan; None where a date is unknown.
    """

    subject: str
    node: str
    node_id: str
    visit: str
    visit_id: str
    visit_order: int
    scan_date: str | None
    reader: str
    role: str
    modality: str
    method: str
    reading_id: str
    version: int
    state: str
    status: str
    volume_ml: float | None
    volume_interval_ml: tuple[float, float] | None
    long_axis_mm: float | None
    short_axis_mm: float | None
    baseline_visit: str | None
    baseline_reading_id: str | None
    baseline_version: int | None
    baseline_volume_ml: float | None
    vrr_pct: float | None
    interval_pct: tuple[float, float] | None
    interval_from: str | None
    comparable: bool
    provisional: bool
    n_ablations_before_scan: int | None
    days_from_first: int | None
    days_from_anchor: int | None
    warnings: tuple[dict, ...]
    cv_pct: float | None = None
    cv_source: str | None = None
    interval_note: str = ""
    viable_ml: float | None = None
    viable_from: str | None = None
    ablated_ml: float | None = None
    ablated_from: str | None = None
    enhancing_above_hu: float | None = None
    baseline_viable_ml: float | None = None
    baseline_ablated_ml: float | None = None
    vrr_viable_pct: float | None = None
    vrr_ablated_pct: float | None = None
    parts_comparable: bool = False
    enhancement_grade: str | None = None
    anchor_id: str | None = None  # the subject's last ablation before the scan
    node_anchor_id: str | None = None  # the node's own
    days_from_node_anchor: int | None = None
    zone_volume_ml: float | None = None  # ablation zone of Day 0, where the event states one
    vrr_zone_pct: float | None = None  # the second rate, against that zone

    def to_dict(self) -> dict[str, Any]:
        """An entry of ``nodes`` in the answer of ``nodus study response --json``."""
        out = dict(zip(_FIELDS, _values_of(self), strict=True))
        for name in ("volume_interval_ml", "interval_pct", "warnings"):
            out[name] = None if out[name] is None else list(out[name])
        return out


_FIELDS = tuple(NodeResponse.__dataclass_fields__)
_values_of = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True)
class Response:
    """Follow-up rows, the readings that count before the first ablation, and the endpoint tables; ``locked`` are the rows of locked
    readings alone, ``accepted`` the accepted records (None: not adjudicated)."""

    nodes: tuple[NodeResponse, ...]
    baselines: tuple[Reading, ...]
    endpoints: tuple[EndpointTable, ...] = ()
    locked: tuple[NodeResponse, ...] = ()
    accepted: frozenset[ReadingKey] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The part of the answer of ``nodus study response --json`` that goes visit by visit."""
        return {
            "nodes": [row.to_dict() for row in self.nodes],
            "endpoints": [table.to_dict() for table in self.endpoints],
            "endpoints_left_out": left_out(self.nodes, self.endpoints),
            "endpoints_note": NOTE,
        }


def counting_readings(readings: tuple[Reading, ...] | list[Reading], *, locked_only: bool = False) -> list[Reading]:
    """The version of each reading that counts: the locked one where there is one, else (unless
    ``locked_only``) the measured one. Drafts and superseded versions never count."""
    best: dict[str, Reading] = {}
    for reading in readings:
        if reading.state is ReadingState.LOCKED or (reading.state is ReadingState.MEASURED and not locked_only):
            known = best.get(reading.reading_id)
            if known is None or known.state is not ReadingState.LOCKED:
                best[reading.reading_id] = reading
    return list(best.values())


def respond(snapshot: StudySnapshot, *, subject_id: str | None = None, locked_only: bool = False, accepted: Collection[ReadingKey] | None = None) -> Response:
    """The response of every node (of one subject, or of all), ordered by subject, node, visit, reader.

    Endpoint tables are worked out of the locked readings alone, whatever else is shown. ``accepted`` holds (reading, version) of the
    accepted records: then only these count. None: every locked central reading counts, in a table of its own reader.
    """
    rows, baselines = _follow(snapshot, subject_id, locked_only)
    of_locked = rows if locked_only or not any(r.provisional for r in rows) else _follow(snapshot, subject_id, True)[0]
    return Response(tuple(rows), tuple(baselines), endpoint_tables(of_locked, accepted), tuple(of_locked), None if accepted is None else frozenset(accepted))


def _follow(snapshot: StudySnapshot, subject_id: str | None, locked_only: bool) -> tuple[list[NodeResponse], list[Reading]]:
    protocol = protocol_from(snapshot.protocol)
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    logs = subject_logs(snapshot)
    per_reader: dict[tuple[str, str, str], list[Reading]] = {}
    for reading in counting_readings(snapshot.readings, locked_only=locked_only):
        if subject_id is None or reading.subject_id == subject_id:
            per_reader.setdefault((reading.node_id, reading.reader, reading.role), []).append(reading)
    rows: list[NodeResponse] = []
    baselines: list[Reading] = []
    logged: dict[str, tuple[NodeLog, dt.date | None]] = {}
    for (node_id, _reader, _role), readings in per_reader.items():
        node = nodes[node_id]
        log = logs.get(node.subject_id) or SubjectLog(node.subject_id)
        if node_id not in logged:
            logged[node_id] = (node_log(log, node_id), _start_of(protocol, log, node_id))
        one = _OneReader(node, visits, *logged[node_id], protocol, readings)
        rows += one.rows()
        baselines += one.before
    rows.sort(key=lambda r: (r.subject, r.node, r.visit_order, r.visit_id, r.reader, r.role, r.modality, r.method, r.reading_id))
    baselines.sort(key=lambda r: (r.subject_id, nodes[r.node_id].label, visits[r.visit_id].order, r.reader, r.reading_id))
    return rows, baselines


def _start_of(protocol: StudyProtocol, log: SubjectLog, node_id: str) -> dt.date | None:
    """The day that baselines lie before, by the protocol: in a trial whose treatment is no ablation, that of its therapy."""
    name = protocol.section("reading")["baseline"]["before"]
    found = anchor_event(protocol, name, log, node_id) if name else None
    return None if found is None else found[0]


@dataclass(frozen=True, slots=True)
class _Rate:
    """The rate of the whole, its interval, and the sentence about it."""

    vrr_pct: float | None = None
    interval_pct: tuple[float, float] | None = None
    source: str | None = None
    stated: Repeatability | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Parts:
    """Volumes of the follow-up, and the parts' own rates; None where not assessed at both visits."""

    volumes: ViableVolumes | None = None
    viable_pct: float | None = None
    ablated_pct: float | None = None
    comparable: bool = False
    findings: tuple[Finding, ...] = ()


def parts_of(reading: Reading) -> ViableVolumes | None:
    """The three volumes of a reading, kept apart; None where it has no volume at all."""
    if reading.status is ReadingStatus.DISAPPEARED_ASSESSED:
        return ViableVolumes.disappeared()
    return None if reading.volume_ml is None else ViableVolumes(reading.volume_ml, reading.ablated_ml, reading.viable_ml)


def part_rates(baseline: Reading, reading: Reading, alike: bool) -> _Parts:
    """Rates of the enhancing and the ablated part, each against the same part at baseline.

    Where a part was come by in another way than at baseline (outlined, or another threshold) the rates
    are given, marked as not comparable (``unlike_part``). A part that only the follow-up has says so.
    """
    gone = reading.status is ReadingStatus.DISAPPEARED_ASSESSED
    if reading.viable_ml is None and reading.ablated_ml is None and not gone:
        return _Parts()
    volumes = parts_of(reading)
    rates = viable_rates(parts_of(baseline), volumes)
    shown = () if gone else tuple(f for f in rates.findings if f.code == "part_not_assessed")
    unlike = None if gone or baseline.viable_from is None else _unlike_part(baseline, reading)
    return _Parts(
        volumes,
        None if rates.viable is None else rates.viable.vrr_pct,
        None if rates.ablated is None else rates.ablated.vrr_pct,
        alike and unlike is None and (rates.viable or rates.ablated) is not None,
        (*shown, *(() if unlike is None else (unlike,))),
    )


def _unlike_part(baseline: Reading, reading: Reading) -> Finding | None:
    def way(r: Reading) -> tuple[frozenset[str], float | None]:
        return frozenset(s for s in (r.viable_from, r.ablated_from) if s not in (None, "derived")), r.enhancing_above_hu

    if way(baseline) == way(reading):
        return None
    return Finding("unlike_part", f"The enhancing part was found by {_way_words(baseline)} at baseline and by {_way_words(reading)} here: its rate is shown but not used for endpoints.")


def _way_words(reading: Reading) -> str:
    if reading.enhancing_above_hu is not None:
        return f"{reading.enhancing_above_hu:g} HU and above"
    words = {"outlined": "its own outline", "stated": "a stated volume", "enhancing_share": "its share on contrast pictures", "contrast_pair": "a pair of CTs"}
    return " and ".join(sorted({words.get(s, s) for s in (reading.viable_from, reading.ablated_from) if s not in (None, "derived")})) or "another way"


def _why_no_rate(baseline: Reading | None, reading: Reading) -> str:
    if baseline is None:
        return "No rate: this reader has no evaluable baseline of this node."
    return f"No rate: the node has no volume at this visit ({str(reading.status).replace('_', ' ')})."


class _OneReader:
    """One reader's readings of one node, split at the node's first ablation."""

    def __init__(
        self,
        node: TargetNode,
        visits: dict[str, Visit],
        ablations: NodeLog,
        start: dt.date | None,
        protocol: StudyProtocol,
        readings: list[Reading],
    ) -> None:
        self.node = node
        self.visits = visits
        self.protocol = protocol
        self.ablations = ablations
        self.start = start if start is not None else ablations.days[0] if ablations.days else None
        readings = sorted(readings, key=self._when)
        first_order = min((visits[r.visit_id].order for r in readings), default=0)
        early = [self._is_before(visits[r.visit_id], first_order) for r in readings]
        self.before = [r for r, is_early in zip(readings, early, strict=True) if is_early]
        self.after = [r for r, is_early in zip(readings, early, strict=True) if not is_early]

    def _when(self, reading: Reading) -> tuple:
        visit = self.visits[reading.visit_id]
        return (visit.order, visit.actual_date or "", reading.reading_id)

    def _is_before(self, visit: Visit, first_order: int) -> bool:
        """Was the visit's scan made before the node's first ablation? By its date where both are
        known; on the day itself, and without dates, by the protocol's phase of the visit; for a visit
        the protocol does not know, the reader's earliest counts as before."""
        if visit.actual_date is not None and self.start is not None:
            scan = day_of(visit.actual_date)
            if scan != self.start:
                return scan < self.start
        planned = self.protocol.visit(visit.name)
        if planned is not None:
            return planned.phase == "pre"
        return visit.order == first_order

    def _baseline_for(self, reading: Reading) -> Reading | None:
        """Last evaluable reading before the ablation; same modality and method go before all others."""
        usable = [r for r in self.before if r.status is ReadingStatus.MEASURED and r.volume_ml]
        alike = [r for r in usable if (r.modality, r.method) == (reading.modality, reading.method)]
        return (alike or usable or [None])[-1]

    def rows(self) -> list[NodeResponse]:
        return [self._row(reading, self._baseline_for(reading)) for reading in self.after]

    def _row(self, reading: Reading, baseline: Reading | None) -> NodeResponse:
        visit = self.visits[reading.visit_id]
        warnings = list(reading.warnings)
        rate, parts = _Rate(note=_why_no_rate(baseline, reading)), _Parts()
        alike = False
        if baseline is None:
            warnings.append(_warn("no_baseline", "This reader has no evaluable baseline of this node."))
        else:
            same = baseline.modality == reading.modality and baseline.method == reading.method
            unlike = None if same else comparable(MeasuredBy(baseline.modality, baseline.method), MeasuredBy(reading.modality, reading.method))
            alike = unlike is None
            if unlike is not None:
                warnings.append(unlike.as_warning())
            if reading.volume_ml is not None:
                rate = self._rate(baseline, reading, alike)
                parts = part_rates(baseline, reading, alike)
                warnings += [f.as_warning() for f in parts.findings]
        if not self.ablations.days and self.protocol.ablation_kinds:
            warnings.append(_warn("ablation_not_recorded", "No ablation of this node is recorded."))
        provisional = reading.state is not ReadingState.LOCKED or (baseline is not None and baseline.state is not ReadingState.LOCKED)
        clock = self._clock(visit)
        zone = self.ablations.zone_ml
        return NodeResponse(
            subject=reading.subject_id,
            node=self.node.label,
            node_id=self.node.node_id,
            visit=visit.name,
            visit_id=visit.visit_id,
            visit_order=visit.order,
            scan_date=visit.actual_date,
            reader=reading.reader,
            role=reading.role,
            modality=reading.modality,
            method=reading.method,
            reading_id=reading.reading_id,
            version=reading.version,
            state=str(reading.state),
            status=str(reading.status),
            volume_ml=reading.volume_ml,
            volume_interval_ml=reading.volume_interval_ml,
            long_axis_mm=reading.long_axis_mm,
            short_axis_mm=reading.short_axis_mm,
            baseline_visit=None if baseline is None else self.visits[baseline.visit_id].name,
            baseline_reading_id=None if baseline is None else baseline.reading_id,
            baseline_version=None if baseline is None else baseline.version,
            baseline_volume_ml=None if baseline is None else baseline.volume_ml,
            vrr_pct=rate.vrr_pct,
            interval_pct=rate.interval_pct,
            interval_from=rate.source,
            comparable=alike,
            provisional=provisional,
            **clock,
            zone_volume_ml=zone,
            vrr_zone_pct=None if zone is None or reading.volume_ml is None else zone_rate(zone, reading.volume_ml),
            enhancement_grade=reading.enhancement_grade,
            warnings=tuple(warnings),
            cv_pct=None if rate.stated is None else rate.stated.cv_pct,
            cv_source=None if rate.stated is None else rate.stated.source,
            interval_note=rate.note,
            viable_ml=parts.volumes.viable_ml if parts.volumes else reading.viable_ml,
            viable_from=reading.viable_from,
            ablated_ml=parts.volumes.ablated_ml if parts.volumes else reading.ablated_ml,
            ablated_from=reading.ablated_from,
            enhancing_above_hu=reading.enhancing_above_hu,
            baseline_viable_ml=None if baseline is None else baseline.viable_ml,
            baseline_ablated_ml=None if baseline is None else baseline.ablated_ml,
            vrr_viable_pct=parts.viable_pct,
            vrr_ablated_pct=parts.ablated_pct,
            parts_comparable=parts.comparable,
        )

    def _rate(self, baseline: Reading, reading: Reading, alike: bool) -> _Rate:
        """VRR with the interval of the stated repeatability, else of the readings' own intervals;
        none where the two are not comparable, because neither covers a change of method, nor for a
        node that is gone: a share of nothing is nothing, which is no certainty."""
        stated = stated_repeatability(self.protocol, reading.modality, reading.method) if alike and reading.volume_ml else None
        made = volume_reduction_rate(baseline.volume_ml, reading.volume_ml, None if stated is None else stated.cv_pct)
        plain = made.vrr_pct
        if not alike:
            return _Rate(plain, note="No interval: none covers a change of modality or method.")
        if reading.volume_ml == 0:
            return _Rate(plain, note="No interval: a node that has disappeared has no volume that could vary.")
        if stated is not None:
            return _Rate(plain, made.interval_pct, "repeatability", stated, f"Interval from stated repeatability: CV {stated.cv_pct:g} % ({stated.source}).")
        own = reading.volume_interval_ml
        if own is not None and baseline.volume_interval_ml is not None:
            made = vrr_from_intervals(baseline.volume_ml, baseline.volume_interval_ml, reading.volume_ml, own)
            return _Rate(plain, made.interval_pct, "volume intervals", None, "Interval from the two volumes' own intervals: no repeatability is stated for this modality and method.")
        return _Rate(plain, note=f"No interval: no repeatability is stated for {reading.modality} by {reading.method}, and a volume has none of its own.")

    def _clock(self, visit: Visit) -> dict[str, Any]:
        """Ablations of this node before the scan, days from its first one and its last, days from the subject's last one, and which
        events these were. A follow-up scan on the day of an ablation counts as made after it."""
        log = self.ablations
        if visit.actual_date is None:
            return {"n_ablations_before_scan": None, "days_from_first": None, "days_from_anchor": None}
        scan = day_of(visit.actual_date)
        own, every = log.before(scan), bisect_right(log.all_days, scan)
        return {
            "n_ablations_before_scan": own,
            "days_from_first": (scan - log.days[0]).days if log.days else None,
            "days_from_anchor": (scan - log.all_days[every - 1]).days if every else None,
            "anchor_id": log.all_ids[every - 1] if every else None,
            "node_anchor_id": log.ids[own - 1] if own else None,
            "days_from_node_anchor": (scan - log.days[own - 1]).days if own else None,
        }


def _warn(code: str, message: str) -> dict:
    return {"code": code, "message": message}
