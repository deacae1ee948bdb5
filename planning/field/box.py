"""Whether the insulating wall of the solved box matters: the same plan in a larger box, coarse and linear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planning.errors import FieldNotConverged, PlanRefused
from planning.field.solution import FieldSolution
from planning.field.solve import solve_at_rest
from planning.plan import Domain, TreatmentPlan

CHECK_SPACING_MM = 2.0
WIDER_CELLS = 10  # on every side: 20 mm
MATTERS_FROM_PCT = 1.0
SOFT_EDGE = 0.3  # width of the threshold, as a part of it: two cells or so where the field falls to it


def box_effect_pct(plan: TreatmentPlan, should_cancel: Callable[[], bool] | None = None) -> float | None:
    """By how much (%) the wall of the plan's box changes the lethal volume, against a box 20 mm wider on every side,
    both at 2 mm with resting conductivities.

    None where that cannot be solved (needles nearer than two coarse cells) or nothing is lethal. The tissue beyond the
    box is taken as the background.
    """
    low, high = plan.domain.low_mm, plan.domain.high_mm
    counts = np.maximum(np.ceil((high - low) / CHECK_SPACING_MM - 1e-6), 1)
    center = tuple(float(v) for v in 0.5 * (low + high))
    own = replace(plan, domain=Domain(center, tuple(float(n) * CHECK_SPACING_MM for n in counts), CHECK_SPACING_MM))
    wide = replace(plan, domain=Domain(center, tuple(float(n + 2 * WIDER_CELLS) * CHECK_SPACING_MM for n in counts), CHECK_SPACING_MM))
    try:
        inner, outer = (_cells_above(solve_at_rest(p, should_cancel), plan.lethal_v_per_cm) for p in (own, wide))
    except (PlanRefused, FieldNotConverged):
        return None
    return 100.0 * (inner / outer - 1.0) if outer > 0 else None


def _cells_above(solution: FieldSolution, lethal_v_per_cm: float) -> float:
    """Cells of tissue above the threshold, those near it in part: a count that moves smoothly with the field."""
    part = np.clip((solution.e_max_v_per_cm / lethal_v_per_cm - 1.0) / SOFT_EDGE + 0.5, 0.0, 1.0)
    return float(part[~(solution.is_needle | solution.is_air)].sum())
