"""How nodes answered: the volume reduction rate of every follow-up reading against its baseline.

Pure rules over a ``StudySnapshot``. A rate uses one reader's baseline and follow-up only; where both
were not read by the same modality and method it is given, marked as not comparable. The baseline is
the last evaluable reading before the node's first ablation, also after a salvage. The enhancing (viable)
and the ablated part have rates of their own, each against the same part, never against the whole.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from app.study.endpoints import NOTE, EndpointTable, endpoint_tables, left_out
from app.study.model import (
    ABLATION_KINDS,
    ClinicalEvent,
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

    def to_dict(self) -> dict[str, Any]:
        """An entry of ``nodes`` in the answer of ``nodus study response --json``."""
        out = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("volume_interval_ml", "interval_pct", "warnings"):
            out[name] = None if out[name] is None else list(out[name])
        return out


@dataclass(frozen=True, slots=True)
class Response:
    """Follow-up rows, the readings that count before the first ablation, and the endpoint tables."""

    nodes: tuple[NodeResponse, ...]
    baselines: tuple[Reading, ...]
    endpoints: tuple[EndpointTable, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer of ``nodus study response --json``."""
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


def respond(snapshot: StudySnapshot, *, subject_id: str | None = None, locked_only: bool = False) -> Response:
    """The response of every node (of one subject, or of all), ordered by subject, node, visit, reader.
    Endpoint tables are worked out of the locked readings alone, whatever else is shown."""
    rows, baselines = _follow(snapshot, subject_id, locked_only)
    of_locked = rows if locked_only else _follow(snapshot, subject_id, True)[0]
    return Response(tuple(rows), tuple(baselines), endpoint_tables(of_locked))


def _follow(snapshot: StudySnapshot, subject_id: str | None, locked_only: bool) -> tuple[list[NodeResponse], list[Reading]]:
    protocol = protocol_from(snapshot.protocol)
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    ablations = [e for e in snapshot.events if e.kind in ABLATION_KINDS]
    per_reader: dict[tuple[str, str, str], list[Reading]] = {}
    for reading in counting_readings(snapshot.readings, locked_only=locked_only):
        if subject_id is None or reading.subject_id == subject_id:
            per_reader.setdefault((reading.node_id, reading.reader, reading.role), []).append(reading)
    rows: list[NodeResponse] = []
    baselines: list[Reading] = []
    for (node_id, _reader, _role), readings in per_reader.items():
        one = _OneReader(nodes[node_id], visits, ablations, protocol, readings)
        rows += one.rows()
        baselines += one.before
    rows.sort(key=lambda r: (r.subject, r.node, r.visit_order, r.visit_id, r.reader, r.role, r.modality, r.method, r.reading_id))
    baselines.sort(key=lambda r: (r.subject_id, nodes[r.node_id].label, visits[r.visit_id].order, r.reader, r.reading_id))
    return rows, baselines


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
    volumes = parts_of(reading)
    gone = reading.status is ReadingStatus.DISAPPEARED_ASSESSED
    if reading.viable_ml is None and reading.ablated_ml is None and not gone:
        return _Parts(volumes)
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
    words = {"outlined": "its own outline", "stated": "a stated volume"}
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
        ablations: list[ClinicalEvent],
        protocol: StudyProtocol,
        readings: list[Reading],
    ) -> None:
        self.node = node
        self.visits = visits
        self.protocol = protocol
        of_subject = [e for e in ablations if e.subject_id == node.subject_id]
        self.node_days = sorted(_day(e.date) for e in of_subject if e.node_id in (None, node.node_id))
        self.subject_days = sorted(_day(e.date) for e in of_subject)
        readings = sorted(readings, key=self._when)
        first_order = min((visits[r.visit_id].order for r in readings), default=0)
        self.before = [r for r in readings if self._is_before(visits[r.visit_id], first_order)]
        self.after = [r for r in readings if not self._is_before(visits[r.visit_id], first_order)]

    def _when(self, reading: Reading) -> tuple:
        visit = self.visits[reading.visit_id]
        return (visit.order, visit.actual_date or "", reading.reading_id)

    def _is_before(self, visit: Visit, first_order: int) -> bool:
        """Was the visit's scan made before the node's first ablation? By its date where both are
        known; on the day itself, and without dates, by the protocol's phase of the visit; for a visit
        the protocol does not know, the reader's earliest counts as before."""
        planned = self.protocol.visit(visit.name)
        if visit.actual_date is not None and self.node_days:
            scan = _day(visit.actual_date)
            if scan != self.node_days[0]:
                return scan < self.node_days[0]
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
            unlike = comparable(MeasuredBy(baseline.modality, baseline.method), MeasuredBy(reading.modality, reading.method))
            alike = unlike is None
            if unlike is not None:
                warnings.append(unlike.as_warning())
            if reading.volume_ml is not None:
                rate = self._rate(baseline, reading, alike)
                parts = part_rates(baseline, reading, alike)
                warnings += [f.as_warning() for f in parts.findings]
        if not self.node_days:
            warnings.append(_warn("ablation_not_recorded", "No ablation of this node is recorded."))
        provisional = reading.state is not ReadingState.LOCKED or (baseline is not None and baseline.state is not ReadingState.LOCKED)
        count, from_first, from_anchor = self._clock(visit)
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
            n_ablations_before_scan=count,
            days_from_first=from_first,
            days_from_anchor=from_anchor,
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
        plain = volume_reduction_rate(baseline.volume_ml, reading.volume_ml).vrr_pct
        if not alike:
            return _Rate(plain, note="No interval: none covers a change of modality or method.")
        if reading.volume_ml == 0:
            return _Rate(plain, note="No interval: a node that has disappeared has no volume that could vary.")
        stated = stated_repeatability(self.protocol, reading.modality, reading.method)
        if stated is not None:
            made = volume_reduction_rate(baseline.volume_ml, reading.volume_ml, stated.cv_pct)
            return _Rate(plain, made.interval_pct, "repeatability", stated, f"Interval from stated repeatability: CV {stated.cv_pct:g} % ({stated.source}).")
        own = reading.volume_interval_ml
        if own is not None and baseline.volume_interval_ml is not None:
            made = vrr_from_intervals(baseline.volume_ml, baseline.volume_interval_ml, reading.volume_ml, own)
            return _Rate(plain, made.interval_pct, "volume intervals", None, "Interval from the two volumes' own intervals: no repeatability is stated for this modality and method.")
        return _Rate(plain, note=f"No interval: no repeatability is stated for {reading.modality} by {reading.method}, and a volume has none of its own.")

    def _clock(self, visit: Visit) -> tuple[int | None, int | None, int | None]:
        """Ablations of this node before the scan, days from its first one, days from the subject's
        last one. A follow-up scan on the day of an ablation counts as made after it."""
        if visit.actual_date is None:
            return None, None, None
        scan = _day(visit.actual_date)
        done = [d for d in self.node_days if d <= scan]
        anchors = [d for d in self.subject_days if d <= scan]
        return (
            len(done),
            (scan - self.node_days[0]).days if self.node_days else None,
            (scan - anchors[-1]).days if anchors else None,
        )


def _day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _warn(code: str, message: str) -> dict:
    return {"code": code, "message": message}
