"""What was planned for each pair of electrodes against what was delivered, one row a pair."""

from __future__ import annotations

from typing import Any

from app.edc.memo import once_per_snapshot
from app.study.model import Delivery, PlanRun, StudySnapshot
from planning.compare import compare_delivery


def standing_deliveries(snapshot: StudySnapshot) -> list[Delivery]:
    """Records that no later one replaces, oldest first."""
    gone = {d.replaces for d in snapshot.deliveries}
    return sorted((d for d in snapshot.deliveries if d.delivery_id not in gone), key=lambda d: (d.created_utc, d.delivery_id))


@once_per_snapshot
def treatment_rows(snapshot: StudySnapshot) -> list[dict[str, Any]]:
    """Rows of ``treatment.csv``: plans that were carried out, pair by pair, in the order of the first record.

    A plan of which nothing was recorded is no treatment and has no row. ``instance`` counts pairs within subject and
    session so that later records never renumber earlier ones. Lengths in mm, voltages in V, currents in A. Worked out once: callers must not
    change the rows.
    """
    runs = {r.plan_run_id: r for r in snapshot.plan_runs}
    nodes = {n.node_id: n.label for n in snapshot.nodes}
    visits = {v.visit_id: v.name for v in snapshot.visits}
    shifted = {s.subject_id: "Y" if s.dates_shifted else "N" for s in snapshot.subjects}
    groups: dict[str, list[Delivery]] = {}
    for delivery in standing_deliveries(snapshot):
        run = runs[delivery.plan_run_id]
        groups.setdefault(run.planned_id or run.plan_run_id, []).append(delivery)
    begun = _begun(snapshot, runs)
    lain: dict[str | None, list[PlanRun]] = {}
    for run in snapshot.plan_runs:
        lain.setdefault(run.planned_id, []).append(run)
    rank: dict[tuple[str, str | None], int] = {}
    rows: list[dict[str, Any]] = []
    for planned_id in sorted(groups, key=lambda p: (runs[p].subject_id, begun[p], p)):
        planned, records = runs[planned_id], groups[planned_id]
        key = (planned.subject_id, planned.session)
        place = rank[key] = rank.get(key, -1) + 1
        found = _actual_run(lain.get(planned_id, []), records)
        head = {
            "study": snapshot.name,
            "subject": planned.subject_id,
            "session": planned.session,
            "node": nodes.get(planned.node_id),
            "visit": visits.get(planned.visit_id),
            "visit_id": planned.visit_id,
            "treatment_date": min((d.date for d in records if d.date), default=None),
            "dates_shifted": shifted[planned.subject_id],
            "plan_run_id": planned_id,
            "actual_run_id": None if found is None else found.plan_run_id,
            "delivery_id": [d.delivery_id for d in records],
            "entered_by": records[-1].entered_by,
            "entered_utc": records[-1].created_utc,
            "reason": records[-1].reason,
            "software_version": planned.software_version,
        }
        for number, pair in enumerate(_pairs(planned, found, records), start=1):
            rows.append({**head, **pair, "pair_key": f"{planned_id}:{number}", "instance": 100 * place + number})
    return rows


def _begun(snapshot: StudySnapshot, runs: dict[str, PlanRun]) -> dict[str, str]:
    """Plan -> when the first record of it was made, replaced ones among them."""
    out: dict[str, str] = {}
    for d in snapshot.deliveries:
        run = runs[d.plan_run_id]
        planned = run.planned_id or run.plan_run_id
        out[planned] = min(out.get(planned, d.created_utc), d.created_utc)
    return out


def _actual_run(own: list[PlanRun], records: list[Delivery]) -> PlanRun | None:
    """The run with the needles as they lay, of the ``own`` ones of a plan: the one that a record names, else the newest."""
    named = {d.plan_run_id for d in records}
    return next((r for r in reversed(own) if r.plan_run_id in named), own[-1] if own else None)


def _pairs(planned: PlanRun, found: PlanRun | None, records: list[Delivery]) -> list[dict[str, Any]]:
    plan = planned.content.get("plan", {})
    delivered = [p.to_dict() for d in records for p in d.pairs]
    answer = compare_delivery(plan, delivered)
    lengths = {e.get("id"): e.get("exposure_mm") for e in plan.get("electrodes", ())}
    meant, lay = _assessed(planned), {} if found is None else _assessed(found)
    pulses = list(plan.get("pulses", ()))
    rows = []
    for pulse, pair in zip(pulses, answer["pairs"], strict=True):
        mine = [d for d in delivered if {d["anode"], d["cathode"]} == {pair["anode"], pair["cathode"]}]
        ends = frozenset((pair["anode"], pair["cathode"]))
        rows.append(
            {
                **_named(pair["anode"], pair["cathode"], lengths, meant, lay),
                "planned": True,
                "planned_v_per_cm": meant.get(ends, {}).get("v_per_cm"),
                "planned_voltage_v": pulse["voltage_v"],
                "delivered_voltage_v": pair["voltage_v"]["actual"],
                "planned_pulses": pulse["pulses"],
                "delivered_pulses": pair["pulses"]["actual"],
                "width_us": pulse.get("width_us"),
                "rate_hz": pulse.get("rate_hz"),
                "current_start_a": next((d["current_start_a"] for d in mine if d["current_start_a"] is not None), None),
                "current_end_a": pair["current_end_a"],
                "aborted": pair["aborted"] if mine else None,
                "abort_reason": pair["abort_reasons"],
                "complete": pair["complete"],
            }
        )
    for d in answer["not_planned"]:
        rows.append(
            {
                **_named(d["anode"], d["cathode"], lengths, meant, lay),
                "planned": False,
                "planned_v_per_cm": None,
                "planned_voltage_v": None,
                "delivered_voltage_v": d["voltage_v"],
                "planned_pulses": None,
                "delivered_pulses": d["pulses"],
                "width_us": None,
                "rate_hz": None,
                "current_start_a": d["current_start_a"],
                "current_end_a": d["current_end_a"],
                "aborted": d["aborted"],
                "abort_reason": [d["abort_reason"]] if d["abort_reason"] else [],
                "complete": None,
            }
        )
    return rows


def _named(anode: str, cathode: str, lengths: dict, meant: dict, lay: dict) -> dict[str, Any]:
    ends = frozenset((anode, cathode))
    return {
        "anode": anode,
        "cathode": cathode,
        "anode_exposure_mm": lengths.get(anode),
        "cathode_exposure_mm": lengths.get(cathode),
        "planned_distance_mm": meant.get(ends, {}).get("distance_mm"),
        "actual_distance_mm": lay.get(ends, {}).get("distance_mm"),
    }


def _assessed(run: PlanRun) -> dict[frozenset, dict]:
    """Pair -> its line in the run's assessment."""
    return {frozenset((p["anode"], p["cathode"])): p for p in run.content.get("assessment", {}).get("pairs", ())}
