"""What was planned against what was found or done: needles, pairs, cover, structures at risk, delivered pulses."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from planning.electrode import Electrode, angle_deg, pair_distance_mm

TARGET_KEYS = ("coverage_pct", "min_v_per_cm", "minimal_margin_mm", "margin_coverage_pct")
RISK_KEYS = ("max_v_per_cm", "volume_above_lethal_ml", "min_distance_mm")
PAIR_KEYS = ("voltage_v", "v_per_cm", "current_a")


def compare_plans(planned: Mapping, actual: Mapping, planned_answer: Mapping, actual_answer: Mapping) -> dict:
    """Differences of two solved plans, each given as its ``nodus.plan/1`` object and its answer.

    Needles, pairs and structures are matched by id and name; those of one plan only are listed. Every figure is
    ``{"planned", "actual", "difference"}``, the difference actual less planned, None where either is not known. Needles:
    ``tip_shift_mm`` between the tips, of it ``deeper_mm`` along the planned needle (positive: deeper) and ``aside_mm``
    across it; ``angle_deg`` between the axes.
    """
    first, second = _needles(planned), _needles(actual)
    both = [id for id in first if id in second]
    refused = {c["code"] for c in planned_answer.get("constraints", ()) if c["level"] == "refuse"}
    return {
        "needles": [_needle(first[id], second[id]) for id in both],
        "needles_only_planned": [id for id in first if id not in second],
        "needles_only_actual": [id for id in second if id not in first],
        "spacing": [_spacing(first, second, a, b) for n, a in enumerate(both) for b in both[n + 1 :]],
        "pairs": _matched(planned_answer, actual_answer, "pairs", PAIR_KEYS, lambda r: frozenset((r["anode"], r["cathode"])), ("anode", "cathode")),
        "targets": _matched(planned_answer, actual_answer, "targets", TARGET_KEYS, lambda r: r["name"], ("name",)),
        "at_risk": _matched(planned_answer, actual_answer, "at_risk", RISK_KEYS, lambda r: r["name"], ("name",)),
        "ablation_ml": both_of(planned_answer.get("ablation_ml"), actual_answer.get("ablation_ml")),
        "collateral_ml": both_of(planned_answer.get("collateral_ml"), actual_answer.get("collateral_ml")),
        "newly_refused": [c for c in actual_answer.get("constraints", ()) if c["level"] == "refuse" and c["code"] not in refused],
    }


def compare_delivery(plan: Mapping, delivered: list[Mapping]) -> dict:
    """Delivered against planned pulses. ``delivered`` rows have anode, cathode, pulses, voltage_v, current_start_a,
    current_end_a, aborted, abort_reason; a pair given in parts counts together, its highest end current stands.

    A pair counts as ``complete`` with all its pulses at the planned voltage (within 1 V) or above.
    """
    rows, left = [], list(delivered)
    for p in plan.get("pulses", ()):
        pair = {p["anode"], p["cathode"]}
        mine = [d for d in left if {d["anode"], d["cathode"]} == pair]
        left = [d for d in left if {d["anode"], d["cathode"]} != pair]
        given = sum(d["pulses"] for d in mine)
        volts = [d["voltage_v"] for d in mine if d["pulses"] > 0]
        rows.append({
            "anode": p["anode"], "cathode": p["cathode"], "pulses": both_of(p["pulses"], given), "voltage_v": both_of(p["voltage_v"], min(volts, default=None)),
            "current_end_a": max((d["current_end_a"] for d in mine if d["current_end_a"] is not None), default=None),
            "aborted": any(d["aborted"] for d in mine), "abort_reasons": [d["abort_reason"] for d in mine if d["abort_reason"]],
            "complete": bool(volts) and given >= p["pulses"] and min(volts) >= p["voltage_v"] - 1.0,
        })  # fmt: skip
    return {"pairs": rows, "not_planned": [dict(d) for d in left], "complete": bool(rows) and all(r["complete"] for r in rows)}


def both_of(planned: float | None, actual: float | None) -> dict:
    """A figure of both, and how much it differs."""
    return {"planned": planned, "actual": actual, "difference": None if planned is None or actual is None else actual - planned}


def _needles(plan: Mapping) -> dict[str, Electrode]:
    return {e["id"]: Electrode(e["id"], tuple(e["tip_mm"]), tuple(e["entry_mm"]), e["exposure_mm"], e["diameter_mm"]) for e in plan["electrodes"]}


def _needle(a: Electrode, b: Electrode) -> dict:
    shift = np.subtract(b.tip_mm, a.tip_mm)
    deeper = -float(shift @ a.direction)
    return {
        "id": a.id, "tip_shift_mm": float(np.linalg.norm(shift)), "deeper_mm": deeper, "aside_mm": math.sqrt(max(float(shift @ shift) - deeper**2, 0.0)),
        "angle_deg": angle_deg(a, b), "depth_mm": both_of(a.length_mm, b.length_mm), "exposure_mm": both_of(a.exposure_mm, b.exposure_mm),
    }  # fmt: skip


def _spacing(first: dict[str, Electrode], second: dict[str, Electrode], a: str, b: str) -> dict:
    return {"needles": [a, b], "distance_mm": both_of(pair_distance_mm(first[a], first[b]), pair_distance_mm(second[a], second[b])),
            "angle_deg": both_of(angle_deg(first[a], first[b]), angle_deg(second[a], second[b]))}


def _matched(planned: Mapping, actual: Mapping, group: str, keys, key_of, names) -> list[dict]:
    """Rows of both answers side by side: those of the plan in their order, then those of the other alone. A key that
    stands more than once is matched in order."""
    left, out = list(actual.get(group, ())), []
    for row in planned.get(group, ()):
        other = next((r for r in left if key_of(r) == key_of(row)), None)
        if other is not None:
            left.remove(other)
        out.append({n: row[n] for n in names} | {k: both_of(row.get(k), None if other is None else other.get(k)) for k in keys})
    return out + [{n: row[n] for n in names} | {k: both_of(None, row.get(k)) for k in keys} for row in left]
