"""Volume of an ellipsoid from its three diameters, and from calipers on two ultrasound stills."""

from __future__ import annotations

import math

from volumetry.errors import MeasurementRefused


def ellipsoid_volume_ml(length_mm: float, width_mm: float, height_mm: float) -> float:
    """pi/6 L W H in ml from three full diameters in mm.

    Refuses (``bad_diameter``) what is not a positive finite number: a missing diameter is not zero.
    """
    diameters = (length_mm, width_mm, height_mm)
    for value in diameters:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise MeasurementRefused(
                f"A diameter of {value!r} mm cannot be measured: three positive lengths are needed.",
                code="bad_diameter",
                hint="Give length, width and height of the node in millimetres.",
            )
    return math.pi / 6 * length_mm * width_mm * height_mm / 1000.0
