"""A kept plan whose predicted zone is an ellipsoid: nothing is solved."""

from __future__ import annotations

import io

import numpy as np

from planning.plan import TreatmentPlan
from tests.planning.helpers import plan_dict
from volumetry.geometry import ImageGeometry

ZONE_MM, NODE_MM = (30.0, 24.0, 20.0), (20.0, 12.0, 10.0)


def keep_zone(store, subject: str, *, label: str = "N1", node_mm=NODE_MM, **names):
    """A run of a node of these axes (the longest along x) with a zone of ``ZONE_MM`` about the same middle."""
    target = {"name": label, "role": "target", "shape": {"type": "ellipsoid", "center_mm": [1, 2, 3], "axes_mm": list(node_mm)}}
    plan = TreatmentPlan.from_dict(plan_dict(spacing=3.0, regions=[target]), {})
    grid = ImageGeometry.from_spacing((30, 34, 40), (1.0, 1.0, 1.0), (-18.5, -14.5, -11.5))
    k, j, i = np.indices(grid.shape)
    away = (grid.index_to_world(np.stack([i, j, k], -1)) - (1, 2, 3)) / (0.5 * np.array(ZONE_MM))
    stream = io.BytesIO()
    np.savez_compressed(stream, e_max_v_per_cm=(plan.lethal_v_per_cm * np.exp(1 - np.sqrt((away**2).sum(-1)))).astype(np.float32), affine=grid.affine)
    content = {"plan": plan.to_dict(), "assessment": {"ablation_ml": np.pi / 6 * np.prod(ZONE_MM) / 1000, "constraints": []}}
    return store.save_plan_run(content, subject_id=subject, blobs={"field_v_per_cm": store.put_blob(stream.getvalue())}, **names)
