"""Response beside the endpoint tables: a subject's nodes together at each visit, and the course of each node after ablation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.study.endpoint_nodes import courses, point_of
from app.study.followup import NodeResponse, Response
from app.study.model import ReadingStatus, StudySnapshot
from app.study.protocol import protocol_from
from volumetry.response.course import NodePair, residual_at, signs_of_return, subject_rate_of


def subject_rows(snapshot: StudySnapshot, response: Response) -> list[dict[str, Any]]:
    """Sum and mean of the rates of a subject's nodes, at each visit by each reader, modality and method. A node that this reader has a
    baseline of but no comparable volume at the visit is named under ``missing`` with its reason, and is in neither."""
    groups: dict[tuple, list[NodeResponse]] = {}
    for row in response.nodes:
        groups.setdefault((row.subject, row.visit_order, row.visit_id, row.reader, row.role, row.modality, row.method), []).append(row)
    expected: dict[tuple, set[str]] = {}
    labels = {n.node_id: n.label for n in snapshot.nodes}
    for reading in response.baselines:
        if reading.status is ReadingStatus.MEASURED and reading.volume_ml:
            expected.setdefault((reading.subject_id, reading.reader, reading.role, reading.modality, reading.method), set()).add(reading.node_id)
    out = []
    for (subject, _order, _visit, reader, role, modality, method), rows in sorted(groups.items()):
        pairs = {r.node: _pair(r) for r in rows}
        for node_id in expected.get((subject, reader, role, modality, method), ()):
            if labels[node_id] not in pairs:
                pairs[labels[node_id]] = NodePair(labels[node_id], None, None, missing="not_read")
        rate = subject_rate_of([pairs[k] for k in sorted(pairs)])
        out.append(
            {
                "subject": subject, "visit": rows[0].visit, "visit_order": rows[0].visit_order, "scan_date": rows[0].scan_date, "reader": reader, "role": role, "modality": modality, "method": method,
                "sum_pct": rate.sum_pct, "mean_pct": rate.mean_pct, "nodes": list(rate.counted), "missing": dict(rate.missing), "complete": rate.complete, "all_gone": rate.all_gone,
                "provisional": any(r.provisional for r in rows),
            }
        )  # fmt: skip
    return out


def _pair(row: NodeResponse) -> NodePair:
    if row.vrr_pct is None or not row.comparable:
        reason = "not_comparable" if row.vrr_pct is not None else row.status if row.volume_ml is None else "no_baseline"
        return NodePair(row.node, None, None, missing=reason)
    return NodePair(row.node, row.baseline_volume_ml, row.volume_ml, row.status == "disappeared_assessed", None, row.vrr_pct)


def course_rows(snapshot: StudySnapshot, response: Response) -> list[dict[str, Any]]:
    """The course of each node after its ablations, one row a reader, modality and method: what was left at the first look
    (``residual``), whether it was ablated again (``salvaged``), when it first disappeared, and each sign that it is back since its last ablation."""
    above = protocol_from(snapshot.protocol).section("definitions").get("regrowth_above_smallest_pct")
    options: Mapping[str, float] = {} if above is None else {"above_pct": float(above)}
    by_node: dict[str, list[NodeResponse]] = {}
    for row in response.nodes:
        by_node.setdefault(row.node_id, []).append(row)
    out = []
    for rows in by_node.values():
        for (reader, modality, method), same in courses(rows).items():
            for role in sorted({r.role for r in same}):
                out.append(_course([r for r in same if r.role == role], reader, modality, method, options))
    return sorted(out, key=lambda r: (r["subject"], r["node"], r["reader"], r["role"], r["modality"], r["method"]))


def _course(rows: Iterable[NodeResponse], reader: str, modality: str, method: str, options: Mapping[str, float]) -> dict[str, Any]:
    rows = sorted(rows, key=lambda r: (r.scan_date or "9999", r.visit_order))
    last = max((r.n_ablations_before_scan or 0 for r in rows), default=0)
    first = [r for r in rows if (r.n_ablations_before_scan or 0) <= 1]
    after = [r for r in rows if (r.n_ablations_before_scan or 0) == last]
    signs = signs_of_return([point_of(r) for r in after], **options)
    gone = next((r for r in rows if r.status == "disappeared_assessed"), None)
    known = [r for r in rows if r.volume_ml is not None]
    return {
        "subject": rows[0].subject, "node": rows[0].node, "reader": reader, "role": rows[0].role, "modality": modality, "method": method,
        "n_ablations": last, "salvaged": last > 1, "residual": residual_at(point_of(first[0]) if first else None), "residual_visit": first[0].visit if first else None,
        "disappeared_visit": gone.visit if gone else None, "disappeared_date": gone.scan_date if gone else None,
        "smallest_ml": min((r.volume_ml for r in known), default=None), "last_visit": rows[-1].visit, "last_status": rows[-1].status,
        "signs": [{"kind": s.kind, "visit": s.point.when, "date": None if s.point.date is None else s.point.date.isoformat(), "smallest_ml": s.smallest_ml, "above_smallest_pct": s.above_smallest_pct} for s in signs],
    }  # fmt: skip
