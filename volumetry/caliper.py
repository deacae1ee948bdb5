"""A caliper: two points a reader set, the plane they lie in, and the length between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding

Plane = Literal["longitudinal", "transverse", "axial", "coronal", "sagittal", "other"]
PLANES = ("longitudinal", "transverse", "axial", "coronal", "sagittal", "other")


@dataclass(frozen=True, slots=True)
class Caliper:
    """One length in mm with its end points.

    ``points`` are two LPS points in mm (three numbers each) on a volume, or two (column, row)
    points in pixels on an ultrasound picture, where ``length_mm`` comes from the picture's
    calibration. ``plane`` is what the reader said the picture shows. ``picture`` names the still
    (SOP instance UID and frame), so that one still cannot serve as two planes.
    """

    points: tuple[tuple[float, ...], tuple[float, ...]]
    length_mm: float
    plane: Plane = "other"
    picture: str | None = None
    frame: int = 0
    warnings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        points = tuple(tuple(float(v) for v in p) for p in self.points)
        sizes = {len(p) for p in points}
        if len(points) != 2 or len(sizes) != 1 or not sizes <= {2, 3} or not all(math.isfinite(v) for p in points for v in p):
            raise MeasurementRefused("A caliper needs two end points on one picture.", code="bad_caliper")
        if not math.isfinite(self.length_mm) or self.length_mm <= 0:
            raise MeasurementRefused(
                f"A caliper of {self.length_mm} mm cannot be used: its ends must lie apart.",
                code="bad_diameter",
                hint="Set both ends of the caliper on the edge of the node.",
            )
        if self.plane not in PLANES:
            raise MeasurementRefused(f"The plane {self.plane!r} is not known.", code="bad_plane", hint="Use " + ", ".join(PLANES) + ".")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "length_mm", float(self.length_mm))

    @classmethod
    def in_space(cls, a_mm, b_mm, plane: Plane = "other", picture: str | None = None) -> Caliper:
        """Caliper between two LPS points in mm; the length follows from them."""
        a, b = (tuple(float(v) for v in p) for p in (a_mm, b_mm))
        return cls((a, b), math.dist(a, b), plane, picture)

    @property
    def still(self) -> tuple[str | None, int]:
        """Which picture the caliper was set on."""
        return self.picture, self.frame
