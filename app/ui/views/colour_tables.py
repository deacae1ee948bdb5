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
