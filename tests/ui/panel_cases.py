"""A session filled by hand: one subject, three nodes, five visits, no study on disk."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from app.study.model import Reading, ReadingState, ReadingStatus, Side, TargetNode, Visit
from app.study.protocol import load_protocol
from app.ui.session import NodeState
from app.usecases.mask_draft import MaskDraft
from app.usecases.plan import NeedleDraft, PlanDraft
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask
from volumetry.measure import measure_node

VISITS = ("Baseline", "Day 30", "Month 3", "Month 6", "Month 12")


def ellipsoid_mask(half_axes_mm=(9.0, 6.0, 6.0)) -> NodeMask:
    """An ellipsoid on a CT-like grid, about its middle."""
    shape = (24, 40, 40)
    grid = ImageGeometry.from_spacing(shape, (0.7, 0.7, 1.25), (-14.0, -14.0, -14.5))
    k, j, i = np.indices(shape)
    points = grid.index_to_world(np.stack([i, j, k], -1))
    return NodeMask(((points / half_axes_mm) ** 2).sum(-1) < 1, grid, name="N1")


def reading(node_id: str, visit_id: str, volume_ml: float | None, state=ReadingState.LOCKED, status=ReadingStatus.MEASURED, **more) -> Reading:
    """A CT reading of Reader A."""
    interval = None if volume_ml is None else (volume_ml * 0.9, volume_ml * 1.1)
    locked = {"locked_utc": "2026-02-05T09:41:22Z", "locked_by": "A. Example", "lock_meaning": "I made this reading and stand by it"} if state == ReadingState.LOCKED else {}
    return Reading(
        f"{node_id}-{visit_id}", "S-014", visit_id, node_id, "Reader A", "central", "CT", "voxel", status, state, volume_ml=volume_ml, volume_interval_ml=interval, **locked, **more
    )


def fill(session) -> None:
    """Put the case into a session: N1 outlined and open, N2 locked, N3 without a reading."""
    mask = ellipsoid_mask()
    session.image = ImageVolume(np.zeros(mask.array.shape, np.int16), mask.geometry, source=ImageSource(modality="CT", description="Neck with contrast", synthetic=True))
    session.findings = [
        Finding("synthetic", "Made by a program.", "info"),
        Finding("gantry_tilt", "The slices are tilted by 12° against the table.", "warning"),
        Finding("missing_slice", "One slice is missing.", "serious"),
    ]
    session.subject_id = "S-014"
    session.study = SimpleNamespace(close=lambda: None, protocol=load_protocol("ire-cervical-ln"), get_setting=lambda key, default=None: default, session=None, has_users=lambda: False)
    session.visits = [Visit(f"v{n}", "S-014", name, n) for n, name in enumerate(VISITS)]
    session.visit = session.visits[1]
    session.subject_nodes = [
        TargetNode("a", "S-014", "N1", Side.LEFT, "II"),
        TargetNode("b", "S-014", "N2", Side.RIGHT, "III", ("cystic",)),
        TargetNode("c", "S-014", "N3", Side.LEFT, "IV"),
    ]
    open_reading, locked = reading("a", "v1", 1.24, ReadingState.MEASURED), reading("b", "v1", 0.183)
    session.nodes = {
        "a": NodeState(session.subject_nodes[0], MaskDraft(mask.geometry, mask), measure_node(mask), open_reading),
        "b": NodeState(session.subject_nodes[1], reading=locked),
        "c": NodeState(session.subject_nodes[2]),
    }
    session.current_node_id = "a"
    session.subject_readings = [reading("a", "v0", 2.31), reading("b", "v0", 0.8), reading("c", "v0", 0.5), open_reading, locked]
    session._rows = follow_up_rows()


def follow_up_rows() -> list[dict]:
    """Rows as ``Session.follow_up_rows`` gives them; N2 disappears, one row is not comparable."""
    rows = []
    for node, label, volumes in (("a", "N1", (2.31, 1.24, 0.71)), ("b", "N2", (0.8, 0.183, 0.0)), ("c", "N3", (0.5, 0.55, 0.49))):
        for n, volume in enumerate(volumes):
            vrr = None if n == 0 else 100 * (1 - volume / volumes[0])
            rows.append(
                {
                    "subject": "S-014", "node": node, "label": label, "visit": f"v{n}", "visit_name": VISITS[n], "visit_order": n, "reader": "Reader A",
                    "vrr_pct": vrr, "interval_pct": None if vrr is None else [vrr - 8, vrr + 8], "volume_ml": volume, "volume_interval_ml": [volume * 0.9, volume * 1.1],
                    "status": "measured" if volume else "disappeared_assessed", "state": "locked" if n < 2 else "measured", "comparable": not (label == "N3" and n == 2),
                    "days_from_first": (0, 31, 92)[n],
                }
            )  # fmt: skip
    return rows


def plan_of_needles(count: int = 2) -> PlanDraft:
    """Parallel needles 15 mm apart."""
    plan = PlanDraft()
    for n in range(count):
        plan = plan.with_needle(NeedleDraft(f"E{n + 1}", (-7.5 + 15 * (n % 2), 15.0 * (n // 2), -10.0), (-7.5 + 15 * (n % 2), 15.0 * (n // 2), 60.0)))
    return plan


def answer(plan: PlanDraft, current_a: float = 23.4) -> dict:
    """An assessment in the form of ``nodus plan --json``."""
    constraints = [{"code": "current_over_limit", "level": "refuse", "message": "The predicted current is above the generator's limit.", "value": current_a, "limit": 50.0}]
    return {
        "pairs": [{"anode": p.anode, "cathode": p.cathode, "distance_mm": 15.0, "voltage_v": 2250.0, "v_per_cm": 1500.0, "current_a": current_a, "resistance_ohm": 96.0} for p in plan.pairs],
        "targets": [
            {
                "name": "N1", "volume_ml": 1.24, "coverage_pct": 98.3, "coverage_pct_by_v_per_cm": {"400": 100.0, "500": 98.3, "600": 91.2, "800": 70.1},
                "min_v_per_cm": 471.2, "minimal_margin_mm": -0.8, "margin_coverage_pct": 61.2,
            }
        ],
        "at_risk": [{"name": "carotid", "max_v_per_cm": 812.0, "volume_above_lethal_ml": 0.31, "volume_ml_by_v_per_cm": {"100": 1.2, "200": 0.9}, "min_distance_mm": 3.2}],
        "ablation_ml": 8.9, "collateral_ml": 7.7,
        "constraints": constraints if current_a > 50 else [],
        "solver": {"shape": [90, 90, 120], "spacing_mm": 1.0, "iterations": 14, "relative_residual": 3e-9, "nonlinear_steps": 6, "current_balance": 1e-6, "seconds": 1.2},
        "warnings": [{"code": "assumed_tissue", "message": "Lymph node: assumed conductivity."}],
    }  # fmt: skip


def with_state(session, node_id: str, **changes) -> None:
    """Swap fields of a node's state."""
    session.nodes[node_id] = replace(session.nodes[node_id], **changes)
