"""Follow-up: every reading of a subject with its volume reduction rate, ready for table and chart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import TYPE_CHECKING

from app.study.accepted import PENDING, accepted_states
from app.study.endpoint_criteria import response_courses
from app.study.endpoint_tables import protocol_tables
from app.study.endpoints import ReadingKey
from app.study.followup import counting_readings, respond
from app.study.model import ReadingState, StudySnapshot
from app.study.protocol import protocol_from
from app.study.subject_response import course_rows, subject_rows

if TYPE_CHECKING:
    from app.study.store import StudyStore


def response_of(store: StudyStore, subject_id: str | None = None, *, as_of: dt.date | None = None) -> dict:
    """The answer of ``nodus study response``."""
    snapshot = store.snapshot()
    accepted, pending = accepted_of(snapshot)
    return response_of_snapshot(snapshot, subject_id, accepted=accepted, pending=pending, as_of=as_of)


def accepted_of(snapshot: StudySnapshot) -> tuple[set[ReadingKey] | None, frozenset[tuple[str, str]]]:
    """The accepted records of a study and what waits for an adjudicator, (node, visit). A protocol without a rule of acceptance has
    none (None): then every central reader has tables of its own."""
    if not protocol_from(snapshot.protocol).section("adjudication"):
        return None, frozenset()
    states = accepted_states(snapshot)
    taken = {(s.reading.reading_id, s.reading.version) for s in states if s.reading is not None}
    return taken, frozenset((s.node_id, s.visit_id) for s in states if s.basis == PENDING)


def response_of_snapshot(snapshot: StudySnapshot, subject_id: str | None = None, *, accepted: Collection[ReadingKey] | None = None, pending: frozenset[tuple[str, str]] = frozenset(), as_of: dt.date | None = None) -> dict:
    """The same of a snapshot: ``nodes`` (each follow-up reading), ``subjects`` (their nodes together), ``courses`` (regrowth, residual,
    salvage), ``responses`` (RECIST or mRECIST), ``endpoints`` (those of the protocol, then visit by visit) and what is in none of the latter. ``accepted`` are the
    accepted records as (reading, version); None: none are chosen, and every central reader has tables of its own."""
    answer = respond(snapshot, subject_id=subject_id, accepted=accepted)
    told = answer.to_dict()
    tables = protocol_tables(snapshot, answer, subject_id=subject_id, as_of=as_of, pending=pending)
    return {**told, "endpoints": [*tables, *told["endpoints"]], "subjects": subject_rows(snapshot, answer), "courses": course_rows(snapshot, answer), "responses": [c.to_dict() for c in response_courses(snapshot, accepted, subject_id=subject_id)], "records": "locked" if accepted is None else "accepted"}


def follow_up_rows(store: StudyStore, subject_id: str) -> list[dict]:
    """Baselines and follow-ups of one subject, ordered by node and visit.

    Each row is an entry of ``study response`` (``vrr_pct`` is None for the baseline itself) with
    ``label``, ``side``, ``level``, ``visit_name``, ``visit_order``, ``state``, ``enhancement_grade`` and ``is_baseline``.
    """
    snapshot = store.snapshot()
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    rows = [{**row.to_dict(), "is_baseline": False} for row in respond(snapshot, subject_id=subject_id).nodes]
    followed = {(r["reading_id"], r["version"]) for r in rows}
    for reading in counting_readings(snapshot.readings):
        if reading.subject_id == subject_id and (reading.reading_id, reading.version) not in followed:
            visit = visits[reading.visit_id]
            rows.append(
                {
                    "subject": subject_id, "node": nodes[reading.node_id].label, "node_id": reading.node_id, "visit": visit.name, "visit_id": visit.visit_id,
                    "visit_order": visit.order, "scan_date": visit.actual_date, "reader": reading.reader, "role": reading.role, "modality": reading.modality,
                    "method": reading.method, "reading_id": reading.reading_id, "version": reading.version, "state": str(reading.state), "status": str(reading.status),
                    "volume_ml": reading.volume_ml, "volume_interval_ml": reading.volume_interval_ml, "long_axis_mm": reading.long_axis_mm,
                    "short_axis_mm": reading.short_axis_mm, "vrr_pct": None, "interval_pct": None, "comparable": True,
                    "provisional": reading.state is not ReadingState.LOCKED, "interval_note": "", "viable_ml": reading.viable_ml,
                    "viable_from": reading.viable_from, "ablated_ml": reading.ablated_ml, "ablated_from": reading.ablated_from, "enhancing_above_hu": reading.enhancing_above_hu,
                    "vrr_viable_pct": None, "vrr_ablated_pct": None, "parts_comparable": True, "warnings": list(reading.warnings), "is_baseline": True,
                }
            )
    grades = {(r.reading_id, r.version): r.enhancement_grade for r in snapshot.readings}
    for row in rows:
        node = nodes[row["node_id"]]
        row["enhancement_grade"] = grades[row["reading_id"], row["version"]]
        row.update(label=node.label, side=str(node.side), level=node.level, visit_name=row["visit"])
    return sorted(rows, key=lambda r: (r["label"], r["visit_order"], r["reader"], r["modality"]))
