"""Endpoint tables: the rates that may count, visit by visit, and every other one with the reason why not.

Only locked readings of central readers count, each against that reader's own locked central baseline of
the same modality and method. A site's reading never does.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.study.followup import NodeResponse

ENDPOINT_ROLE = "central"
ReadingKey = tuple[str, int]  # reading_id and version of a record
ACCEPTED = "accepted"  # stands for the reader where the accepted records of several readers make one table
NOTE = (
    "Entries with set 'protocol' follow the protocol: its populations, each node's own clock, its windows, salvage. "
    "Entries with set 'visit' go node by node at each visit as it is named, whatever its date. Both hold locked central readings that compare with "
    "their own reader's baseline; where records are adjudicated, the accepted ones alone. Nothing missing is filled in."
)
# Endpoint -> the field of a response row, and the one that says whether it compares.
MEASURES = {"vrr_pct": ("vrr_pct", "comparable"), "vrr_viable_pct": ("vrr_viable_pct", "parts_comparable")}


@dataclass(frozen=True, slots=True)
class EndpointTable:
    """One rate at one visit, by one reader, modality and method."""

    endpoint: str
    visit: str
    reader: str
    modality: str
    method: str
    rows: tuple[NodeResponse, ...]

    def to_dict(self) -> dict[str, Any]:
        """An entry of ``endpoints`` in the answer of ``nodus study response --json``."""
        values = [getattr(r, MEASURES[self.endpoint][0]) for r in self.rows]
        return {
            "set": "visit",
            "endpoint": self.endpoint,
            "visit": self.visit,
            "reader": self.reader,
            "modality": self.modality,
            "method": self.method,
            "n": len(values),
            "mean_pct": statistics.fmean(values),
            "median_pct": statistics.median(values),
            "min_pct": min(values),
            "max_pct": max(values),
            "nodes": [
                {
                    "subject": r.subject, "node": r.node, "value_pct": value, "reading_id": r.reading_id, "version": r.version,
                    "baseline_reading_id": r.baseline_reading_id, "baseline_version": r.baseline_version,
                    "n_ablations_before_scan": r.n_ablations_before_scan, "days_from_first": r.days_from_first,
                }
                for r, value in zip(self.rows, values, strict=True)
            ],
        }  # fmt: skip


def counts(row: NodeResponse, accepted: Collection[ReadingKey] | None = None) -> bool:
    """May this row stand in an endpoint table: central, locked like its baseline, comparable with it, accepted where records are?"""
    return row.role == ENDPOINT_ROLE and not row.provisional and (accepted is None or (row.reading_id, row.version) in accepted)


def endpoint_tables(locked: Iterable[NodeResponse], accepted: Collection[ReadingKey] | None = None) -> tuple[EndpointTable, ...]:
    """Tables from rows that were worked out of locked readings alone; what may not count is left out."""
    groups: dict[tuple, list[NodeResponse]] = {}
    for row in locked:
        for endpoint, (field, compares) in MEASURES.items():
            if counts(row, accepted) and getattr(row, compares) and getattr(row, field) is not None:
                reader = row.reader if accepted is None else ACCEPTED
                groups.setdefault((row.visit_order, row.visit, endpoint, reader, row.modality, row.method), []).append(row)
    return tuple(
        EndpointTable(endpoint, visit, reader, modality, method, tuple(rows))
        for (_order, visit, endpoint, reader, modality, method), rows in sorted(groups.items(), key=lambda g: g[0])
    )


def left_out(every: Iterable[NodeResponse], tables: Iterable[EndpointTable]) -> list[dict[str, Any]]:
    """Every follow-up reading whose VRR is in no table, with its reasons: ``role``, ``not_locked``,
    ``not_comparable``, ``no_baseline``, ``no_volume``, ``not_accepted``."""
    counted = {(r.reading_id, r.version) for t in tables if t.endpoint == "vrr_pct" for r in t.rows}
    return [
        {"subject": r.subject, "node": r.node, "visit": r.visit, "reader": r.reader, "role": r.role, "reading_id": r.reading_id, "version": r.version, "status": r.status, "reasons": _reasons(r)}
        for r in every
        if (r.reading_id, r.version) not in counted
    ]


def _reasons(row: NodeResponse) -> list[str]:
    reasons = []
    if row.role != ENDPOINT_ROLE:
        reasons.append("role")
    if row.provisional:
        reasons.append("not_locked")
    if row.baseline_reading_id is None:
        reasons.append("no_baseline")
    elif not row.comparable:
        reasons.append("not_comparable")
    if row.volume_ml is None:
        reasons.append("no_volume")
    return reasons or ["not_accepted"]
