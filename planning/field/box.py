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
FINEST_MM = 0.5
CELLS_MOST = 8_000_000
WIDER_MM = 20.0  # on every side
MATTERS_FROM_PCT = 1.0
SOFT_EDGE = 0.3  # width of the threshold, as a part of it: two cells or so where the field falls to it


def box_effect_pct(plan: TreatmentPlan, should_cancel: Callable[[], bool] | None = None) -> float | None:
    """By how much (%) the wall of the plan's box changes the lethal volume, against a box 20 mm wider on every side,
    both at 2 mm with resting conductivities; finer where needles lie nearer than two such cells, or the box is narrow.

    None where that cannot be solved either, where the boxes have too many cells, or nothing is lethal. The tissue beyond the
    box is taken as the background.
    """
    spacing = CHECK_SPACING_MM
    while spacing >= FINEST_MM:
        try:
            inner, outer = (_cells_above(solve_at_rest(p, should_cancel), plan.lethal_v_per_cm) for p in _boxes(plan, spacing))
        except (PlanRefused, FieldNotConverged):  # needles too near each other, or a box too narrow, for such cells
            spacing /= 2
            continue
        return 100.0 * (inner / outer - 1.0) if outer > 0 else None
    return None


def _boxes(plan: TreatmentPlan, spacing_mm: float) -> tuple[TreatmentPlan, TreatmentPlan]:
    """The plan in its own box and in the wider one, in whole cells. Raises ``PlanRefused``."""
    low, high = plan.domain.low_mm, plan.domain.high_mm
    counts = np.maximum(np.ceil((high - low) / spacing_mm - 1e-6), 1)
    center = tuple(float(v) for v in 0.5 * (low + high))
    wider = 2 * round(WIDER_MM / spacing_mm)
    if float(np.prod(counts + wider)) > CELLS_MOST:
        raise PlanRefused("The box is too large to be solved twice.", code="domain_too_fine")
    own, wide = (Domain(center, tuple(float(n) * spacing_mm for n in counts + more), spacing_mm) for more in (0, wider))
    return replace(plan, domain=own), replace(plan, domain=wide)


def _cells_above(solution: FieldSolution, lethal_v_per_cm: float) -> float:
    """Cells of tissue above the threshold, those near it in part: a count that moves smoothly with the field."""
    part = np.clip((solution.e_max_v_per_cm / lethal_v_per_cm - 1.0) / SOFT_EDGE + 0.5, 0.0, 1.0)
    return float(part[~(solution.is_needle | solution.is_air)].sum())
