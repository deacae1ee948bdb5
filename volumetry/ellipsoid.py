"""Volume of an ellipsoid from its three diameters, and from calipers on two ultrasound stills.

V = pi/6 L W H. The factor is pi/6 for nodes; 0.479 (Brunn) is a correction for thyroid lobes and
not used here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from volumetry.caliper import Caliper
from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding
from volumetry.uncertainty import VolumeUncertainty, ellipsoid_uncertainty

# The depth seen in both planes must agree within one of these, else the planes are doubtful.
COMMON_DEPTH_PCT = 15.0
COMMON_DEPTH_MM = 1.5


@dataclass(frozen=True, slots=True)
class EllipsoidMeasurement:
    """Volume of a node from length and depth (longitudinal still) and width and depth (transverse).

    ``height_mm`` is the mean of the two depths. ``interval_ml`` is the 95 % interval and
    ``uncertainty`` its causes: caliper placement and pixel spacing, pixels at both ends, and the node
    not being an ellipsoid.
    """

    length_mm: float
    width_mm: float
    height_mm: float
    volume_ml: float
    interval_ml: tuple[float, float]
    calipers: tuple[Caliper, ...] = ()
    warnings: tuple[Finding, ...] = ()
    uncertainty: VolumeUncertainty | None = None

    @property
    def axes_mm(self) -> tuple[float, float, float]:
        """(L, W, H) as used in the formula."""
        return self.length_mm, self.width_mm, self.height_mm


def ellipsoid_volume_ml(length_mm: float, width_mm: float, height_mm: float) -> float:
    """pi/6 L W H in ml from three full diameters in mm.

    Refuses (``bad_diameter``) what is not a positive finite number: a missing diameter is not zero.
    """
    values = []
    for value in (length_mm, width_mm, height_mm):
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or number <= 0:
            raise MeasurementRefused(
                f"A diameter of {value} mm gives no volume: three lengths larger than zero are needed.",
                code="bad_diameter",
                hint="Give length, width and height of the node in millimetres.",
            )
        values.append(number)
    return math.pi / 6.0 * values[0] * values[1] * values[2] / 1000.0


def ellipsoid_interval_ml(volume_ml: float, independent_diameters: tuple[int, ...] = (1, 1, 1)) -> tuple[float, float]:
    """95 % interval of an ellipsoid volume: ``volumetry.uncertainty.ellipsoid_uncertainty``.

    ``independent_diameters`` counts how many readings each of the three diameters is the mean of.
    """
    return ellipsoid_uncertainty(volume_ml, independent_diameters).interval_ml


def measure_ellipsoid(length_mm: float, width_mm: float, height_mm: float) -> EllipsoidMeasurement:
    """Ellipsoid from three diameters given as numbers."""
    volume = ellipsoid_volume_ml(length_mm, width_mm, height_mm)
    sure = ellipsoid_uncertainty(volume)
    return EllipsoidMeasurement(float(length_mm), float(width_mm), float(height_mm), volume, sure.interval_ml, uncertainty=sure)


def depths_differ(one_mm: float, two_mm: float) -> bool:
    """True where the depth measured in two planes differs by more than 15 % of its mean and by more than 1.5 mm."""
    apart_mm = abs(one_mm - two_mm)
    return apart_mm > COMMON_DEPTH_PCT / 100.0 * (one_mm + two_mm) / 2.0 and apart_mm > COMMON_DEPTH_MM


def _pixel_pct(*calipers: Caliper) -> float | None:
    """Size of a pixel in percent of a diameter, the mean over the calipers it was read with; None for
    calipers in space."""
    if any(len(c.points[0]) != 2 for c in calipers):
        return None
    return sum(100.0 / math.dist(*c.points) for c in calipers) / len(calipers)


def ellipsoid_from_calipers(length: Caliper, depth_longitudinal: Caliper, width: Caliper, depth_transverse: Caliper) -> EllipsoidMeasurement:
    """Ellipsoid from two calipers on a longitudinal and two on a transverse still.

    Refused: ``wrong_plane`` (the reader's statement of the plane does not fit), ``one_still_twice``
    (the same picture serves as both planes), ``calipers_on_different_stills`` (the two calipers of
    one plane lie on two pictures). Warning ``common_diameter_differs`` where the depth measured
    twice differs by more than 15 % of its mean and by more than 1.5 mm.
    """
    pairs = (("longitudinal", length, depth_longitudinal), ("transverse", width, depth_transverse))
    for plane, first, second in pairs:
        for caliper in (first, second):
            if caliper.plane != plane:
                raise MeasurementRefused(
                    f"This caliper belongs on a {plane} still, but the still is marked {caliper.plane}.",
                    code="wrong_plane",
                    hint="State the plane of each still: longitudinal or transverse.",
                )
        if first.still != second.still:
            raise MeasurementRefused(
                f"The two calipers of the {plane} plane lie on different stills.",
                code="calipers_on_different_stills",
                hint="Set both calipers of a plane on one still.",
            )
    if length.picture is not None and length.still == width.still:
        raise MeasurementRefused(
            "One still cannot serve as longitudinal and transverse plane.",
            code="one_still_twice",
            hint="Choose a second still, taken at a right angle to the first.",
        )
    warnings = [w for c in (length, depth_longitudinal, width, depth_transverse) for w in c.warnings]
    one, two = depth_longitudinal.length_mm, depth_transverse.length_mm
    height = (one + two) / 2.0
    if depths_differ(one, two):
        warnings.append(
            Finding(
                "common_diameter_differs",
                f"The depth is {one:.1f} mm in the longitudinal and {two:.1f} mm in the transverse still: are both through the node's centre?",
            )
        )
    volume = ellipsoid_volume_ml(length.length_mm, width.length_mm, height)
    pixels = (_pixel_pct(length), _pixel_pct(width), _pixel_pct(depth_longitudinal, depth_transverse))
    sure = ellipsoid_uncertainty(volume, (1, 1, 2), pixels if None not in pixels else ())
    return EllipsoidMeasurement(
        length.length_mm,
        width.length_mm,
        height,
        volume,
        sure.interval_ml,
        (length, depth_longitudinal, width, depth_transverse),
        tuple(dict.fromkeys(warnings)),
        sure,
    )
