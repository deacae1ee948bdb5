"""Colours of field and margin: one place for the window's panes and for the plan sheet, so that both look alike.

The field's wash runs from dark to light and reads without hue; margins stand in bands whose names go with them, since
colour is never the only sign. No band is green: none of them says that all is well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

# Nine knots of the viridis colour map (Smith and van der Walt, CC0), spaced evenly from 0 to 1.
_VIRIDIS = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
    (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip

LINE_COLOURS = ("#9FC7FF", "#FFFFFF", "#FFE08A", "#FFB46B")
LETHAL_LINE = "#FFFFFF"
UNCOVERED_RGB = (255, 74, 64)
ABOVE_HIGHEST = 1.75  # the wash ends at this multiple of the highest threshold


@cache
def field_table(start: float = 0.18) -> np.ndarray:
    """256 RGB rows, uint8. The darkest part of the map is left out: it would vanish on a scan."""
    knots = np.linspace(0, 1, len(_VIRIDIS))
    at = np.linspace(start, 1, 256)
    channels = np.array(_VIRIDIS, float)
    table = np.stack([np.interp(at, knots, channels[:, c]) for c in range(3)], 1)
    return np.ascontiguousarray(np.round(table).astype(np.uint8))


def field_range(levels: Sequence[float]) -> tuple[float, float]:
    """Where the wash begins and where it ends, V/cm."""
    return float(min(levels)), float(max(levels)) * ABOVE_HIGHEST


def shown_levels(levels: Sequence[float], lethal: float) -> list[float]:
    """The iso-lines of a picture: the plan's thresholds and the lethal one, V/cm, ascending."""
    return sorted({*(float(v) for v in levels), float(lethal)})


def line_colour(level: float, levels: Sequence[float], lethal: float) -> str:
    """Colour of the iso-line at ``level`` among those shown; the lethal one is white (and bold)."""
    return LETHAL_LINE if level == lethal else LINE_COLOURS[shown_levels(levels, lethal).index(level) % len(LINE_COLOURS)]


@dataclass(frozen=True, slots=True)
class MarginBand:
    """Margins from ``low_mm`` up to ``high_mm``, with the words and the colour of the legend."""

    low_mm: float
    high_mm: float
    text: str
    rgb: tuple[int, int, int]


MARGIN_BANDS = (
    MarginBand(-np.inf, 0.0, "< 0 mm", (214, 48, 49)),
    MarginBand(0.0, 5.0, "0–5 mm", (246, 184, 72)),
    MarginBand(5.0, 10.0, "5–10 mm", (168, 203, 234)),
    MarginBand(10.0, np.inf, "≥ 10 mm", (58, 106, 196)),
)


def margin_colours(distance_mm: np.ndarray) -> np.ndarray:
    """RGB uint8 ``(n, 3)`` of signed margins in mm by their band."""
    edges = np.array([band.low_mm for band in MARGIN_BANDS[1:]])
    table = np.array([band.rgb for band in MARGIN_BANDS], np.uint8)
    return table[np.searchsorted(edges, np.asarray(distance_mm, float), side="right")]
