"""Keep a solved plan in the study: written once, with its field, its masks and all hashes."""

from __future__ import annotations

import io

import numpy as np

from app.study.model import PlanRun
from app.study.store import StudyStore
from app.usecases.readings import pack_mask


def save_plan_run(store: StudyStore, subject_id: str, visit_id: str | None, plan, solution, assessment) -> PlanRun:
    """Store field and masks as blobs, then the plan with its assessment that names them."""
    blobs = {"field_v_per_cm": store.put_blob(pack_field(solution))}
    content = {"plan": plan_dict(plan, store, blobs), "assessment": assessment.to_dict()}
    return store.save_plan_run(content, subject_id=subject_id, visit_id=visit_id, blobs=blobs)


def pack_field(solution) -> bytes:
    """The maximum field over pairs as compressed float32, with its grid."""
    stream = io.BytesIO()
    field = np.nan_to_num(np.asarray(solution.shown_v_per_cm(), np.float32), nan=0.0)
    np.savez_compressed(stream, e_max_v_per_cm=field, affine=solution.geometry.affine)
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
