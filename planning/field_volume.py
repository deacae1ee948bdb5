"""Field over volume and margin over surface: the curves and shares behind coverage and minimal margin."""

from __future__ import annotations

import numpy as np

from planning.kernels import sampling as ks
from planning.margin import MarginMap

FIELD_STEPS_V_PER_CM = tuple(range(0, 2001, 25))
MARGIN_PERCENTILES = (1, 5, 25, 50, 75, 95)
MARGIN_LIMITS_MM = (0.0, 5.0, 10.0)


def field_volume_histogram(histogram: np.ndarray, steps_v_per_cm=FIELD_STEPS_V_PER_CM) -> dict | None:
    """``{"v_per_cm": [...], "volume_pct": [...]}``: the share of a structure at or above each field (V/cm, percent).

    ``histogram`` counts the structure's points in logarithmic bins from ``LOWEST`` to ``HIGHEST`` (points below count in
    the first bin); within a bin they lie evenly. None where it is empty.
    """
    total = float(histogram.sum())
    if total <= 0:
        return None
    edges = ks.LOWEST * (ks.HIGHEST / ks.LOWEST) ** (np.arange(ks.BINS + 1) / ks.BINS)
    below = np.concatenate([[0.0], np.cumsum(histogram)])
    share = 100.0 * (1.0 - np.interp(np.asarray(steps_v_per_cm, float), edges, below) / total)
    share[np.asarray(steps_v_per_cm, float) <= edges[0]] = 100.0
    return {"v_per_cm": [float(v) for v in steps_v_per_cm], "volume_pct": [round(float(v), 4) for v in share]}


def margin_figures(margin: MarginMap | None) -> dict:
    """``margin_percentiles_mm`` {p: the margin below which p % of the target's surface lies} and
    ``margin_surface_below_pct`` {limit mm: share of the surface with a smaller margin}, both by area; None without a map."""
    if margin is None:
        return {"margin_percentiles_mm": None, "margin_surface_below_pct": None}
    order = np.argsort(margin.distance_mm, kind="stable")
    distance, area = margin.distance_mm[order], margin.area_mm2[order]
    middle = (np.cumsum(area) - 0.5 * area) / area.sum() * 100.0
    return {
        "margin_percentiles_mm": {f"{p:g}": float(np.interp(p, middle, distance)) for p in MARGIN_PERCENTILES},
        "margin_surface_below_pct": {f"{limit:g}": float(100.0 * area[distance < limit].sum() / area.sum()) for limit in MARGIN_LIMITS_MM},
    }
