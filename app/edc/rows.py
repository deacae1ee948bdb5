"""Locked readings of a study as rows for a table, in a fixed order."""

from __future__ import annotations

from typing import Any

from app.edc.dictionary import TABLES
from app.study.canonical import canonical_json, sha256_text
from app.study.endpoints import left_out
from app.study.followup import counting_readings, respond
from app.study.model import Reading, StudySnapshot
from app.study.readings import LOCK_NOTE
from volumetry.outline_origin import origin_from


def locked_readings(snapshot: StudySnapshot) -> list[Reading]:
    """The locked readings that count, by subject, node, visit, reader and method."""
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}

    def place(r: Reading) -> tuple:
        visit = visits[r.visit_id]
        return (r.subject_id, nodes[r.node_id].label, visit.order, visit.visit_id, r.reader, r.role, r.modality, r.method, r.reading_id)

    return sorted(counting_readings(snapshot.readings, locked_only=True), key=place)


def reading_rows(snapshot: StudySnapshot) -> list[dict[str, Any]]:
    """Rows of ``readings.csv``."""
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    shifted = dates_shifted(snapshot)
    rows = []
    for r in locked_readings(snapshot):
        visit, node = visits[r.visit_id], nodes[r.node_id]
        lo, hi = r.volume_interval_ml or (None, None)
        rows.append(
            {
                "study": snapshot.name,
                "subject": r.subject_id,
                "node": node.label,
                "side": str(node.side),
                "level": node.level,
                "high_risk": node.high_risk,
                "visit": visit.name,
                "visit_order": visit.order,
                "scan_date": visit.actual_date,
                "dates_shifted": shifted[r.subject_id],
                "reader": r.reader,
                "role": r.role,
                "modality": r.modality,
                "method": r.method,
                "status": str(r.status),
                "status_reason": r.status_reason,
                "volume_ml": r.volume_ml,
                "volume_lo_ml": lo,
                "volume_hi_ml": hi,
                "long_axis_mm": r.long_axis_mm,
                "short_axis_mm": r.short_axis_mm,
                "warnings": [w["code"] for w in r.warnings],
                "version": r.version,
                "change_reason": r.change_reason,
                "locked_by": r.locked_by,
                "locked_utc": r.locked_utc,
                "lock_meaning": r.lock_meaning,
                "lock_note": LOCK_NOTE,
                "protocol_version": r.protocol_version,
                "software_version": r.software_version,
                "series_uid": r.series_uid,
                "mask_sha256": r.mask_sha256,
                "reading_id": r.reading_id,
                "viable_ml": r.viable_ml,
                "viable_from": r.viable_from,
                "ablated_ml": r.ablated_ml,
                "ablated_from": r.ablated_from,
                "enhancing_above_hu": r.enhancing_above_hu,
                "enhancing_source": r.enhancing_source,
                "viable_mask_sha256": r.viable_mask_sha256,
                **outline_columns(r),
            }
        )
    return rows


def dates_shifted(snapshot: StudySnapshot) -> dict[str, str]:
    """Subject -> Y where the dates were moved before they reached the study, N where they are true."""
    return {s.subject_id: "Y" if s.dates_shifted else "N" for s in snapshot.subjects}


def outline_columns(reading: Reading) -> dict[str, Any]:
    """How a reading's outline came about, and which trained model proposed it where one did."""
    origin = origin_from(reading.measurement.get("segmentation"))
    model = {} if origin is None else origin.model or {}
    return {
        "outlined_by": None if origin is None else origin.method,
        "outline_edited": None if origin is None else origin.edited,
        "model_name": f"{model['name']} {model['version']}" if model else None,
        "model_licence": model.get("licence"),
        "model_sha256": model.get("sha256"),
    }


def vrr_rows(snapshot: StudySnapshot) -> list[dict[str, Any]]:
    """Rows of ``vrr.csv``: follow-up readings against their baselines, both locked."""
    rows = []
    shifted = dates_shifted(snapshot)
    answer = respond(snapshot, locked_only=True)
    out = {(r["reading_id"], r["version"]): r["reasons"] for r in left_out(answer.nodes, answer.endpoints)}
    for response in answer.nodes:
        row = response.to_dict()
        lo, hi = response.interval_pct or (None, None)
        reasons = out.get((response.reading_id, response.version))
        part_rates = (response.vrr_viable_pct, response.vrr_ablated_pct)
        row.update(
            parts_comparable=None if part_rates == (None, None) else response.parts_comparable,
            in_endpoints=reasons is None,
            left_out_because=reasons,
            dates_shifted=shifted[response.subject],
            study=snapshot.name,
            vrr_lo_pct=lo,
            vrr_hi_pct=hi,
            warnings=[w["code"] for w in response.warnings],
        )
        rows.append(row)
    return rows


def dictionary_rows() -> list[dict[str, Any]]:
    """Rows of ``data_dictionary.csv``."""
    return [
        {
            "file": file,
            "column": column.name,
            "position": position,
            "label": column.label,
            "type": column.kind,
            "unit": column.unit,
            "codes": column.codes,
        }
        for file, columns in TABLES.items()
        for position, column in enumerate(columns, start=1)
    ]


def study_sha256(snapshot: StudySnapshot) -> str:
    """One hash for everything that an export of locked readings is made of; it changes only when
    that content does."""
    return sha256_text(canonical_json([snapshot.study_id, _texts(reading_rows(snapshot)), _texts(vrr_rows(snapshot))]))


def _texts(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [sorted(f"{key}={value!r}" for key, value in row.items() if value is not None) for row in rows]
