"""Locked readings of a study as rows for a table, in a fixed order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.edc.accepted import CENTRAL, accepted_records
from app.edc.dictionary import TABLES
from app.edc.memo import once_per_snapshot
from app.edc.perfusion_columns import perfusion_columns
from app.edc.treatment_rows import treatment_rows
from app.study.canonical import canonical_json, sha256_text
from app.study.endpoints import left_out
from app.study.followup import Response, counting_readings, respond
from app.study.model import Reading, StudySnapshot
from app.study.readings import LOCK_NOTE
from volumetry.outline_origin import origin_from

SIGNED_NOTE = "electronic signature, bound to the hash of the record"


@once_per_snapshot
def locked_readings(snapshot: StudySnapshot) -> list[Reading]:
    """The locked readings that count, by subject, node, visit, reader and method. Worked out once: callers must not change the list."""
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}

    def place(r: Reading) -> tuple:
        visit = visits[r.visit_id]
        return (r.subject_id, nodes[r.node_id].label, visit.order, visit.visit_id, r.reader, r.role, r.modality, r.method, r.reading_id)

    return sorted(counting_readings(snapshot.readings, locked_only=True), key=place)


def reading_rows(snapshot: StudySnapshot, accepted: Collection[tuple[str, int]] | None = None) -> list[dict[str, Any]]:
    """Rows of ``readings.csv``; ``accepted``: see ``accepted_records``. Worked out once: callers must not change them."""
    return _reading_rows(snapshot, None if accepted is None else frozenset(accepted))


@once_per_snapshot
def _reading_rows(snapshot: StudySnapshot, accepted: frozenset[tuple[str, int]] | None) -> list[dict[str, Any]]:
    bases = accepted_records(snapshot, accepted)
    places = Places(snapshot)
    return [places.row(r, bases) for r in locked_readings(snapshot)]


class Places:
    """Looks up what surrounds a reading, once for all rows."""

    def __init__(self, snapshot: StudySnapshot) -> None:
        self.study = snapshot.name
        self.visits = {v.visit_id: v for v in snapshot.visits}
        self.nodes = {n.node_id: n for n in snapshot.nodes}
        self.shifted = dates_shifted(snapshot)

    def row(self, r: Reading, bases: dict[tuple[str, int], str]) -> dict[str, Any]:
        """One reading as a row of ``readings.csv``."""
        visit, node = self.visits[r.visit_id], self.nodes[r.node_id]
        lo, hi = r.volume_interval_ml or (None, None)
        basis = bases.get((r.reading_id, r.version))
        return {
            "study": self.study,
            "subject": r.subject_id,
            "node": node.label,
            "side": str(node.side),
            "level": node.level,
            "high_risk": node.high_risk,
            "visit": visit.name,
            "visit_order": visit.order,
            "scan_date": visit.actual_date,
            "dates_shifted": self.shifted[r.subject_id],
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
            "lock_note": LOCK_NOTE if r.signature_id is None else SIGNED_NOTE,
            "signature_id": r.signature_id,
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
            "accepted": (basis is not None) if r.role == CENTRAL else None,
            "accepted_basis": basis,
            "enhancement_grade": r.enhancement_grade,
            **outline_columns(r),
            **perfusion_columns(r),
        }


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


@once_per_snapshot
def locked_response(snapshot: StudySnapshot) -> Response:
    """The response of locked readings."""
    return respond(snapshot, locked_only=True)


@once_per_snapshot
def vrr_rows(snapshot: StudySnapshot) -> list[dict[str, Any]]:
    """Rows of ``vrr.csv``: follow-up readings against their baselines, both locked."""
    rows = []
    shifted = dates_shifted(snapshot)
    answer = locked_response(snapshot)
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


def grade_rows(snapshot: StudySnapshot, accepted: Collection[tuple[str, int]] | None = None) -> list[dict[str, Any]]:
    """Rows of ``grades.csv``: the site's grade of residual enhancement beside that of the accepted central reading.
    The two are never mixed; a row stands wherever one of them was given."""
    counts: dict[tuple, dict[str, list[dict[str, Any]]]] = {}
    for row in reading_rows(snapshot, accepted):
        if row["enhancement_grade"] is not None and (row["role"] == "site" or row["accepted"]):
            key = (row["subject"], row["node"], row["visit_order"], row["visit"], row["modality"])
            counts.setdefault(key, {}).setdefault("site" if row["role"] == "site" else "central", []).append(row)
    rows = []
    for key in sorted(counts):
        central = next(iter(counts[key].get("central", ())), None)
        for site in counts[key].get("site", [None]):
            one = {"study": snapshot.name, "subject": key[0], "node": key[1], "visit": key[3], "modality": key[4], "agree": None}
            for name, reading in (("site", site), ("central", central)):
                found = reading or {}
                one |= {f"{name}_reader": found.get("reader"), f"{name}_grade": found.get("enhancement_grade"), f"{name}_reading_id": found.get("reading_id")}
            if site is not None and central is not None:
                one["agree"] = one["site_grade"] == one["central_grade"]
            rows.append(one)
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


def study_sha256(snapshot: StudySnapshot, accepted: Collection[tuple[str, int]] | None = None) -> str:
    """One hash for everything that an export of locked readings is made of; it changes only when
    that content does."""
    return sha256_text(canonical_json([snapshot.study_id, _texts(reading_rows(snapshot, accepted)), _texts(vrr_rows(snapshot)), _texts(treatment_rows(snapshot))]))


def _texts(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Rows as ``name=value`` in the order of these texts, which is that of ``name=``: no name holds the sign."""
    if not rows:
        return []
    order = sorted(rows[0], key=lambda name: f"{name}=")
    names = frozenset(order)
    return [[f"{name}={row[name]!r}" for name in (order if row.keys() == names else sorted(row, key=lambda n: f"{n}=")) if row[name] is not None] for row in rows]
