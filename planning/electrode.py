"""Needles: where they lie and what of them conducts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planning.errors import PlanRefused

DIAMETER_LEAST_MM = 0.01


@dataclass(frozen=True, slots=True)
class Electrode:
    """A straight needle with a flat tip.

    ``tip_mm`` and ``entry_mm`` are LPS points; the last ``exposure_mm`` before the tip are bare
    metal, the rest of the shaft is an insulator of the same ``diameter_mm`` that goes straight on
    beyond the entry. Refuses non-finite numbers, a tip on the entry, zero exposure or diameter.
    """

    id: str
    tip_mm: tuple[float, float, float]
    entry_mm: tuple[float, float, float]
    exposure_mm: float
    diameter_mm: float

    def __post_init__(self) -> None:
        for name in ("tip_mm", "entry_mm"):
            point = tuple(float(v) for v in getattr(self, name))
            if len(point) != 3 or not all(math.isfinite(v) for v in point):
                raise PlanRefused(f"Needle {self.id}: {name} must be three finite numbers.", code="not_a_number")
            object.__setattr__(self, name, point)
        if not (math.isfinite(self.exposure_mm) and math.isfinite(self.diameter_mm)):
            raise PlanRefused(f"Needle {self.id}: exposure and diameter must be finite numbers.", code="not_a_number")
        if self.exposure_mm <= 0:
            raise PlanRefused(f"Needle {self.id} has no exposed metal.", code="zero_exposure",
                              hint="Set the exposure length to more than 0 mm.")
        if self.diameter_mm < DIAMETER_LEAST_MM:
            raise PlanRefused(f"Needle {self.id} has no thickness: {self.diameter_mm:g} mm.", code="bad_diameter", hint="A needle of 19 G measures 1.1 mm.")
        if self.length_mm < 1e-6:
            raise PlanRefused(f"Needle {self.id}: tip and entry are the same point.", code="no_direction",
                              hint="Place the entry away from the tip.")

    @property
    def length_mm(self) -> float:
        """From entry to tip."""
        return math.dist(self.tip_mm, self.entry_mm)

    @property
    def direction(self) -> np.ndarray:
        """Unit vector from the tip to the entry."""
        d = np.subtract(self.entry_mm, self.tip_mm)
        return d / np.linalg.norm(d)

    @property
    def exposed_end_mm(self) -> np.ndarray:
        """Where bare metal ends and insulation begins."""
        return np.asarray(self.tip_mm) + self.exposure_mm * self.direction

    @property
    def exposed_middle_mm(self) -> np.ndarray:
        """Midpoint of the exposed segment: distances between needles are measured here."""
        return np.asarray(self.tip_mm) + 0.5 * self.exposure_mm * self.direction

    def kernel_row(self) -> np.ndarray:
        """(tip xyz, direction xyz, radius, exposure) as the embedding kernels take it."""
        return np.array([*self.tip_mm, *self.direction, 0.5 * self.diameter_mm, self.exposure_mm])

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"id": self.id, "tip_mm": list(self.tip_mm), "entry_mm": list(self.entry_mm),
                "exposure_mm": self.exposure_mm, "diameter_mm": self.diameter_mm}


def pair_distance_mm(a: Electrode, b: Electrode) -> float:
    """Distance between the midpoints of two needles' exposed segments."""
    return float(np.linalg.norm(a.exposed_middle_mm - b.exposed_middle_mm))


def angle_deg(a: Electrode, b: Electrode) -> float:
    """Angle between two needles' axes, 0 to 90 degrees."""
    return math.degrees(math.acos(min(1.0, abs(float(a.direction @ b.direction)))))


def on_one_shaft(a: Electrode, b: Electrode) -> bool:
    """Whether two electrodes share one axis and one diameter with bare parts that do not overlap: the electrodes of a
    bipolar probe."""
    d = a.direction
    off = np.subtract(b.tip_mm, a.tip_mm)
    if float(d @ b.direction) < 1 - 1e-6 or np.linalg.norm(off - (off @ d) * d) > 1e-3 or abs(a.diameter_mm - b.diameter_mm) > 1e-3:
        return False
    s = float(off @ d)  # of b's tip along a's shaft
    return s >= a.exposure_mm - 1e-9 or -s >= b.exposure_mm - 1e-9


def bipolar_electrodes(probe: Mapping, id: str, tip_mm, entry_mm) -> tuple[Electrode, Electrode]:
    """The two collinear electrodes of a bipolar probe (``resources/devices``, kind ``bipolar``): ``id`` + "a" at the
    tip, ``id`` + "b" above the gap. A ``TreatmentPlan`` refuses them (``one_shaft``): the solver sets bare metal only
    at a shaft's tip. Raises ``PlanRefused`` (``bad_device``)."""
    try:
        exposure, gap, diameter = (float(probe[key]) for key in ("electrode_mm", "gap_mm", "diameter_mm"))
    except (KeyError, TypeError, ValueError):
        raise PlanRefused("A bipolar probe needs electrode_mm, gap_mm and diameter_mm.", code="bad_device") from None
    if probe.get("kind") != "bipolar" or min(exposure, gap, diameter) <= 0:
        raise PlanRefused("This is no bipolar probe.", code="bad_device")
    low = Electrode(id + "a", tip_mm, entry_mm, exposure, diameter)
    return low, Electrode(id + "b", tuple(np.asarray(low.tip_mm) + (exposure + gap) * low.direction), entry_mm, exposure, diameter)


def segment_distance_mm(p0, p1, q0, q1) -> float:
    """Smallest distance between the segments p0-p1 and q0-q1 (Ericson, Real-Time Collision
    Detection, 5.1.9)."""
    p0, p1, q0, q1 = (np.asarray(v, float) for v in (p0, p1, q0, q1))
    d1, d2, r = p1 - p0, q1 - q0, p0 - q0
    a, e, f = d1 @ d1, d2 @ d2, d2 @ r
    c, b = d1 @ r, d1 @ d2
    denominator = a * e - b * b
    s = min(max((b * f - c * e) / denominator, 0.0), 1.0) if denominator > 1e-12 * a * e else 0.0
    t = (b * s + f) / e
    if t < 0.0:
        t, s = 0.0, min(max(-c / a, 0.0), 1.0)
    elif t > 1.0:
        t, s = 1.0, min(max((b - c) / a, 0.0), 1.0)
    return float(np.linalg.norm(p0 + s * d1 - q0 - t * d2))


def distance_to_needle_mm(points: np.ndarray, electrode: Electrode, reach_mm: float) -> np.ndarray:
    """Distance (mm) of ``(..., 3)`` LPS points to the surface of a needle taken as a flat-ended
    cylinder from its tip to ``reach_mm`` along the shaft; negative inside."""
    d = np.asarray(points, float) - np.asarray(electrode.tip_mm)
    s = d @ electrode.direction
    r = np.sqrt(np.maximum((d * d).sum(-1) - s * s, 0.0)) - 0.5 * electrode.diameter_mm
    q = np.abs(s - 0.5 * reach_mm) - 0.5 * reach_mm
    return np.minimum(np.maximum(r, q), 0.0) + np.hypot(np.maximum(r, 0.0), np.maximum(q, 0.0))
