"""How sure a volume is: an interval from the boundary and the number of slices."""

from __future__ import annotations

import math


def volume_interval_ml(volume_ml, surface_mm2, in_plane_mm, slices_across):
    """First form: boundary shift in quadrature with the slice effect."""
    boundary = 1.96 * max(in_plane_mm / (2 * math.sqrt(3)), 0.15) * surface_mm2 / 1000.0
    slices = min(1.0, 1.0 / slices_across**2) * volume_ml
    half = math.hypot(boundary, slices)
    return max(0.0, volume_ml - half), volume_ml + half
