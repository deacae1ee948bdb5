"""Keep a solved plan in the study: written once, with its field, its masks and all hashes; and set it against what was found and done."""

from __future__ import annotations

import io
from dataclasses import asdict

import numpy as np

from app.study.canonical import canonical_json, sha256_text
from app.study.errors import StudyRefused
from app.study.model import DeliveredPair, PlanRun
from app.study.store import StudyStore
from app.usecases.kept_plans import is_thermal, need_electric, proposed_predecessor
from app.usecases.readings import pack_mask
from planning.compare import compare_delivery, compare_plans
from planning.safety import DeviceLimits


def save_plan_run(
    store: StudyStore,
    subject_id: str,
    visit_id: str | None,
    plan,
    solution,
    assessment,
    *,
    node_id: str | None = None,
    session: str | None = None,
    predecessor_id: str | None = None,
    planned_id: str | None = None,
    note: dict | None = None,
    robustness=None,
) -> PlanRun:
    """Store field and masks as blobs, then the plan with its assessment that names them.

    The run holds all inputs: the plan with every law and threshold, the device's limits that it was judged by, and hashes
    of plan, assessment, field and masks. With ``planned_id`` it holds the needles as they lie, for that plan.
    ``note`` says of the inputs what the plan does not: the picture it was drawn on. ``robustness`` (of
    this very plan) is kept as ``content["robustness"]`` with its map and its samples as blobs. Refusals as in
    ``StudyStore.save_plan_run``, and ``run_is_thermal`` where it names a plan of heat or cold; nothing is kept then but unnamed blobs.
    """
    for named in (planned_id, predecessor_id):
        if named is not None:
            need_electric(store.plan_run(named))
    blobs = {"field_v_per_cm": store.put_blob(pack_field(solution))}
    written, answer = plan_dict(plan, store, blobs), assessment.to_dict()
    inputs = {
        "plan_sha256": sha256_text(canonical_json(written)),
        "assessment_sha256": sha256_text(canonical_json(answer)),
        "limits": asdict(DeviceLimits()),
        "solver": answer.get("solver"),
        **(note or {}),
    }
    content = {"plan": written, "assessment": answer, "inputs": inputs}
    if robustness is not None:
        blobs["coverage_probability"] = store.put_blob(pack_probability(robustness))
        blobs["robustness_samples"] = store.put_blob(canonical_json(list(robustness.samples)).encode("utf-8"))
        content["robustness"] = robustness.to_dict()
        inputs["robustness_sha256"] = sha256_text(canonical_json(content["robustness"]))
    return store.save_plan_run(
        content, subject_id=subject_id, visit_id=visit_id, blobs=blobs,
        kind="planned" if planned_id is None else "actual", node_id=node_id, session=session, predecessor_id=predecessor_id, planned_id=planned_id,
    )  # fmt: skip


def newest_predecessor(store: StudyStore, subject_id: str, node_id: str, session: str) -> PlanRun | None:
    """The run that a new plan of this node and session most likely follows: the newest plan of the same session, else,
    for salvage, the newest of Day 0 (its needles as they lie, where those were kept)."""
    return proposed_predecessor(store.list_plan_runs(subject_id), node_id, session)


def compare_runs(store: StudyStore, actual_id: str) -> dict:
    """A run of needles as they lie against the plan it belongs to, with what was delivered where that was recorded.
    Raises ``plan_run_missing``, ``run_is_thermal``, ``plan_kind_refused`` (the run names no plan)."""
    actual = need_electric(store.plan_run(actual_id))
    if actual.planned_id is None:
        raise StudyRefused("This run holds no needles as they lie; name one that does.", code="plan_kind_refused")
    planned = store.plan_run(actual.planned_id)
    found = compare_plans(planned.content["plan"], actual.content["plan"], planned.content["assessment"], actual.content["assessment"])
    # What was delivered may have been entered for the plan or for the needles as they lie; both hold the pulses meant.
    records = store.deliveries(actual_id) or store.deliveries(planned.plan_run_id)
    delivered = [p.to_dict() for d in records for p in d.pairs]
    return {"planned": planned.plan_run_id, "actual": actual_id, **found, "delivered": compare_delivery(actual.content["plan"], delivered) if delivered else None}


def compare_any(store: StudyStore, first_id: str, second_id: str) -> dict:
    """Two kept runs of one kind, as ``compare_plans`` or ``thermal_runs.compare_thermal`` gives them. Raises
    ``plan_run_missing``, ``plan_kinds_differ``."""
    from app.usecases.thermal_runs import compare_thermal

    first, second = store.plan_run(first_id), store.plan_run(second_id)
    if is_thermal(first) or is_thermal(second):
        return compare_thermal(first, second)
    return {"first": first_id, "second": second_id, **compare_plans(first.content["plan"], second.content["plan"], first.content["assessment"], second.content["assessment"])}


def delivered_pairs(rows) -> tuple[DeliveredPair, ...]:
    """Delivered pairs from a list of objects with anode, cathode, pulses, voltage_v, current_start_a, current_end_a,
    aborted, abort_reason. Raises ``delivery_refused``: an unknown key would be a value that nobody kept."""
    known = tuple(DeliveredPair.__dataclass_fields__)
    out = []
    if not isinstance(rows, list):
        raise StudyRefused("What was delivered must be a list of pairs.", code="delivery_refused")
    for row in rows:
        if not isinstance(row, dict) or not {"anode", "cathode", "pulses"} <= set(row) <= set(known) or not isinstance(row.get("aborted", False), bool):
            raise StudyRefused("A delivered pair is not understood.", code="delivery_refused", hint=f"It has anode, cathode and pulses, and may have {', '.join(known[3:])}.")
        out.append(DeliveredPair(**row))
    return tuple(out)


def pack_field(solution) -> bytes:
    """The maximum field over pairs as compressed float32, 0 in needles, with its grid. Beside it lies what pictures show in
    needles, so that the field looks as it did when the run is opened again."""
    stream = io.BytesIO()
    field = np.nan_to_num(np.asarray(solution.shown_v_per_cm(), np.float32), nan=0.0)
    inside = np.asarray(solution.is_needle, bool)
    filled = np.asarray(solution.e_max_v_per_cm, np.float32)[inside]
    np.savez_compressed(stream, e_max_v_per_cm=field, affine=solution.geometry.affine, needle=np.packbits(inside), needle_v_per_cm=filled)
    return stream.getvalue()


def pack_probability(robustness) -> bytes:
    """Share of samples at or above the chosen threshold and at or above each sample's own, compressed float32, with their grid."""
    stream = io.BytesIO()
    np.savez_compressed(stream, probability=robustness.probability, probability_drawn=robustness.probability_drawn, affine=robustness.geometry.affine)
    return stream.getvalue()


def plan_dict(plan, store: StudyStore, blobs: dict[str, str]) -> dict:
    """The plan as JSON: a mask that was drawn on screen becomes a blob named by its hash."""
    out = plan.to_dict()
    for region, entry in zip(plan.regions, out["regions"]):
        mask = getattr(region.shape, "mask", None)
        if mask is not None:
            digest = store.put_blob(pack_mask(mask))
            blobs[f"mask: {region.name}"] = digest
            entry["shape"]["path"] = f"blob:{digest}"
    return out
