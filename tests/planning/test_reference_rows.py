"""Finite needles against an independent finite-element code (order 2, insulated box 80 mm wide on
each side): current +-1 %, volumes +-2 %, mid-field +-1.5 %, sizes +-0.5 mm."""

from __future__ import annotations

import numpy as np
import pytest

from planning import assess_plan, solve_plan
from tests.planning.helpers import LIVER, make_plan

# row: diameter mm, background, current A, mid-field V/cm, 500 V/cm W D H mm and cm3, 680 V/cm W D H and cm3
ROWS = {
    "F1": (1.0, None, 51.78, 818, (26.2, 12.3, 27.3), 5.82, (23.8, 9.6, 25.8), 3.67),
    "F2": (1.27, None, 56.54, 885, (26.9, 13.1, 27.8), 6.51, (24.4, 10.3, 26.2), 4.22),
    "F6": (1.0, LIVER, 13.77, 940, (25.4, 17.2, 29.4), 8.15, (21.6, 11.1, 25.5), 4.09),
}


def extent(mask_line: np.ndarray, h: float, level: np.ndarray) -> float:
    """Full length along a line profile where it is at or above the level, ends interpolated."""
    hits = np.flatnonzero(mask_line >= level)
    a, b = hits[0], hits[-1]
    low = a - (mask_line[a] - level) / (mask_line[a] - mask_line[a - 1])
    high = b + (mask_line[b] - level) / (mask_line[b] - mask_line[b + 1])
    return (high - low) * h


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_that_finite_needles_agree_with_finite_elements(row):
    diameter, background, current, middle, size500, v500, size680, v680 = ROWS[row]
    plan = make_plan(diameter=diameter, background=background, spacing=0.5, box=112.0)
    solution = solve_plan(plan)
    answer = assess_plan(plan, solution).answer
    assert answer["pairs"][0]["current_a"] == pytest.approx(current, rel=0.01)
    assert answer["isovolumes_ml"]["500"] == pytest.approx(v500, rel=0.02)
    assert answer["isovolumes_ml"]["680"] == pytest.approx(v680, rel=0.02)
    e, h = solution.e_max_v_per_cm, 0.5
    n = e.shape[0] // 2
    assert e[n - 1:n + 1, n - 1:n + 1, n - 1:n + 1].mean() == pytest.approx(middle, rel=0.015)
    for level, (width, depth, height) in ((500.0, size500), (680.0, size680)):
        above = np.where(e >= level, e, 0)
        # the largest extents: over all lines, as the finite-element code measured them
        spans = []
        for axis in (2, 1, 0):
            profile = above.max(axis=tuple(a for a in range(3) if a != axis))
            field = e.max(axis=tuple(a for a in range(3) if a != axis))
            spans.append(extent(np.where(profile > 0, field, field), h, level))
        assert spans == pytest.approx([width, depth, height], abs=0.5)
    assert answer["solver"]["current_balance"] < 1e-3
    assert answer["solver"]["relative_residual"] <= 1e-6
