"""Between the values of ``model`` and the rows of ``schema``."""

from __future__ import annotations

import json
from typing import Any

from app.study.canonical import canonical_json
from app.study.model import (
    Adjudication,
    ClinicalEvent,
    DeliveredPair,
    Delivery,
    PlanRun,
    Reading,
    ReadingState,
    ReadingStatus,
    SeriesRecord,
    Side,
    Signature,
    Subject,
    TargetNode,
    User,
    Visit,
)


def subject_from(row: Any) -> Subject:
    """A row of ``subjects`` as a value."""
    return Subject(row["subject_id"], bool(row["dates_shifted"]))


def visit_from(row: Any) -> Visit:
    """A row of ``visits`` as a value."""
    return Visit(row["visit_id"], row["subject_id"], row["name"], row["visit_order"], row["actual_date"])


def visit_row(visit: Visit) -> dict[str, Any]:
    """A visit as a row."""
    return {
        "visit_id": visit.visit_id,
        "subject_id": visit.subject_id,
        "name": visit.name,
        "visit_order": int(visit.order),
        "actual_date": visit.actual_date,
    }


def node_from(row: Any) -> TargetNode:
    """A row of ``nodes`` as a value."""
    seed = json.loads(row["seed_mm"]) if row["seed_mm"] else None
    return TargetNode(
        row["node_id"],
        row["subject_id"],
        row["label"],
        Side(row["side"]),
        row["level"],
        tuple(json.loads(row["high_risk"])),
        tuple(seed) if seed else None,
        row["found_by"],
    )


def node_row(node: TargetNode) -> dict[str, Any]:
    """A node as a row."""
    seed = None if node.seed_mm is None else canonical_json([float(v) for v in node.seed_mm])
    return {
        "node_id": node.node_id,
        "subject_id": node.subject_id,
        "label": node.label,
        "side": str(Side(node.side)),
        "level": node.level,
        "high_risk": canonical_json(list(node.high_risk)),
        "seed_mm": seed,
        "found_by": node.found_by,
    }


def series_from(row: Any) -> SeriesRecord:
    """A row of ``series`` as a value."""
    return SeriesRecord(
        row["series_id"],
        row["visit_id"],
        row["series_uid"],
        row["modality"],
        row["kind"],
        row["description"],
        row["folder"],
        tuple(json.loads(row["files"])),
        tuple(json.loads(row["findings"])),
    )


def reading_from(row: Any) -> Reading:
    """A row of ``readings`` as a value."""
    lo, hi = row["volume_lo_ml"], row["volume_hi_ml"]
    return Reading(
        reading_id=row["reading_id"],
        subject_id=row["subject_id"],
        visit_id=row["visit_id"],
        node_id=row["node_id"],
        reader=row["reader"],
        role=row["role"],
        modality=row["modality"],
        method=row["method"],
        status=ReadingStatus(row["status"]),
        state=ReadingState(row["state"]),
        version=row["version"],
        volume_ml=row["volume_ml"],
        volume_interval_ml=None if lo is None or hi is None else (lo, hi),
        long_axis_mm=row["long_axis_mm"],
        short_axis_mm=row["short_axis_mm"],
        measurement=json.loads(row["measurement"]),
        mask_sha256=row["mask_sha256"],
        picture_sha256=row["picture_sha256"],
        series_uid=row["series_uid"],
        status_reason=row["status_reason"],
        change_reason=row["change_reason"],
        protocol_version=row["protocol_version"],
        software_version=row["software_version"],
        warnings=tuple(json.loads(row["warnings"])),
        created_utc=row["created_utc"],
        locked_utc=row["locked_utc"],
        locked_by=row["locked_by"],
        lock_meaning=row["lock_meaning"],
        viable_ml=row["viable_ml"],
        viable_from=row["viable_from"],
        ablated_ml=row["ablated_ml"],
        ablated_from=row["ablated_from"],
        enhancing_above_hu=row["enhancing_above_hu"],
        enhancing_source=row["enhancing_source"],
        viable_mask_sha256=row["viable_mask_sha256"],
        enhancement_grade=row["enhancement_grade"],
        signature_id=row["signature_id"],
        edition=row["edition"],
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def reading_row(reading: Reading) -> dict[str, Any]:
    """A reading as a row; NumPy numbers become plain ones."""
    lo, hi = reading.volume_interval_ml or (None, None)
    return {
        "reading_id": reading.reading_id,
        "version": int(reading.version),
        "subject_id": reading.subject_id,
        "visit_id": reading.visit_id,
        "node_id": reading.node_id,
        "reader": reading.reader,
        "role": reading.role,
        "modality": reading.modality,
        "method": reading.method,
        "status": str(ReadingStatus(reading.status)),
        "state": str(ReadingState(reading.state)),
        "volume_ml": _number(reading.volume_ml),
        "volume_lo_ml": _number(lo),
        "volume_hi_ml": _number(hi),
        "long_axis_mm": _number(reading.long_axis_mm),
        "short_axis_mm": _number(reading.short_axis_mm),
        "measurement": canonical_json(reading.measurement),
        "mask_sha256": reading.mask_sha256,
        "picture_sha256": reading.picture_sha256,
        "series_uid": reading.series_uid,
        "status_reason": reading.status_reason,
        "change_reason": reading.change_reason,
        "protocol_version": reading.protocol_version,
        "software_version": reading.software_version,
        "warnings": canonical_json(list(reading.warnings)),
        "created_utc": reading.created_utc,
        "locked_utc": reading.locked_utc,
        "locked_by": reading.locked_by,
        "lock_meaning": reading.lock_meaning,
        "viable_ml": _number(reading.viable_ml),
        "viable_from": reading.viable_from,
        "ablated_ml": _number(reading.ablated_ml),
        "ablated_from": reading.ablated_from,
        "enhancing_above_hu": _number(reading.enhancing_above_hu),
        "enhancing_source": reading.enhancing_source,
        "viable_mask_sha256": reading.viable_mask_sha256,
        "enhancement_grade": reading.enhancement_grade,
        "signature_id": reading.signature_id,
        "edition": None if reading.edition is None else int(reading.edition),
    }


def event_from(row: Any) -> ClinicalEvent:
    """A row of ``clinical_events`` as a value."""
    return ClinicalEvent(
        row["event_id"],
        row["subject_id"],
        row["kind"],
        row["date"],
        row["node_id"],
        json.loads(row["detail"]),
    )


def plan_run_from(row: Any) -> PlanRun:
    """A row of ``plan_runs`` as a value."""
    return PlanRun(
        row["plan_run_id"],
        row["subject_id"],
        row["visit_id"],
        row["created_utc"],
        json.loads(row["content"]),
        json.loads(row["blobs"]),
        row["software_version"],
        row["kind"],
        row["node_id"],
        row["session"],
        row["predecessor_id"],
        row["planned_id"],
    )


def delivery_from(row: Any) -> Delivery:
    """A row of ``deliveries`` as a value."""
    return Delivery(
        row["delivery_id"],
        row["plan_run_id"],
        row["subject_id"],
        row["created_utc"],
        row["entered_by"],
        tuple(DeliveredPair(**pair) for pair in json.loads(row["pairs"])),
        row["date"],
        row["note"],
        row["replaces"],
        row["reason"],
        row["software_version"],
    )


def user_from(row: Any) -> User:
    """A row of ``users`` as a value, without its password."""
    return User(row["user_id"], row["full_name"], tuple(json.loads(row["roles"])), row["site"], bool(row["disabled"]), row["created_utc"])


def signature_from(row: Any) -> Signature:
    """A row of ``signatures`` as a value."""
    return Signature(
        row["signature_id"],
        row["object"],
        row["user_id"],
        row["name"],
        row["meaning"],
        row["signed_utc"],
        row["content_sha256"],
        row["software_version"],
    )


def adjudication_from(row: Any) -> Adjudication:
    """A row of ``adjudications`` as a value."""
    return Adjudication(
        row["adjudication_id"],
        row["subject_id"],
        row["node_id"],
        row["visit_id"],
        row["modality"],
        row["method"],
        row["selected_reader"],
        json.loads(row["candidates"]),
        tuple(json.loads(row["triggers"])),
        row["adjudicator"],
        row["reason"],
        row["created_utc"],
        row["signature_id"],
        row["software_version"],
    )
