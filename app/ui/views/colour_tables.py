"""Perceptually even colours for the field: dark to light, readable without hue."""

from __future__ import annotations

from functools import cache

import numpy as np

# Nine knots of the viridis colour map (Smith and van der Walt, CC0), spaced evenly from 0 to 1.
_VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip


@cache
def field_table(start: float = 0.18) -> np.ndarray:
    """256 RGB rows, uint8. The darkest part of the map is left out: it would vanish on a scan."""
    knots = np.linspace(0, 1, len(_VIRIDIS))
    at = np.linspace(start, 1, 256)
    channels = np.array(_VIRIDIS, float)
    table = np.stack([np.interp(at, knots, channels[:, c]) for c in range(3)], 1)
    return np.ascontiguousarray(np.round(table).astype(np.uint8))


MARGIN_RANGE_MM = (-5.0, 10.0)
# Uncovered surface is red and darker the deeper; covered runs from pale yellow through green to blue.
_MARGIN = ((-5.0, (140, 20, 30)), (-0.01, (255, 84, 70)), (0.0, (255, 240, 150)), (5.0, (70, 190, 150)), (10.0, (60, 110, 200)))


def margin_colours(distance_mm: np.ndarray) -> np.ndarray:
    """RGB uint8 ``(n, 3)`` of margins in mm; beyond MARGIN_RANGE_MM the end colours hold."""
    stops = np.array([stop for stop, _ in _MARGIN])
    channels = np.array([rgb for _, rgb in _MARGIN], float)
    values = np.clip(distance_mm, *MARGIN_RANGE_MM)
    return np.stack([np.interp(values, stops, channels[:, c]) for c in range(3)], -1).round().astype(np.uint8)
