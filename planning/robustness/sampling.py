"""What may differ from the plan, drawn uniformly: tips in a ball, axes in a cone, factors and thresholds in intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from planning.electrode import Electrode
from planning.errors import PlanRefused
from planning.plan import TreatmentPlan
from planning.tissue import Conductivity

COMPARED_V_PER_CM = 700.0
REACH_MM = 25.0  # of tissue kept around metal and targets, as in a plan drawn in the window
TOLERANCE = 1e-4  # a hundredth of the doubt that sampling leaves; the page on planning has the figures
TIP_MOST_MM = 20.0
ANGLE_MOST_DEG = 45.0
ULTRASOUND_ONLY_TIP_MM = 3.0  # for a plan without an image: the frame itself is less sure


@dataclass(frozen=True, slots=True)
class Spread:
    """How far things may lie from the plan: the tip within a ball of ``tip_mm``, the axis within a cone of half angle
    ``angle_deg`` about the planned one, every tissue's conductivity within ± ``sigma_pct``, the lethal threshold within
    ``threshold_v_per_cm`` (lowest, highest). Refuses ``bad_spread``."""

    tip_mm: float = 2.0
    angle_deg: float = 5.0
    sigma_pct: float = 50.0
    threshold_v_per_cm: tuple[float, float] = (400.0, 800.0)

    def __post_init__(self) -> None:
        for name, most, closed in (("tip_mm", TIP_MOST_MM, True), ("angle_deg", ANGLE_MOST_DEG, True), ("sigma_pct", 100.0, False)):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or value > most or (value == most and not closed):
                raise PlanRefused(f"Robustness: {name} must be a number from 0 to {'' if closed else 'less than '}{most:g}, not {value:g}.", code="bad_spread")
        low, high = self.threshold_v_per_cm
        if not (math.isfinite(low) and math.isfinite(high) and 0 < low <= high):
            raise PlanRefused("Robustness: the threshold must lie between two finite numbers above 0 V/cm, the lower first.", code="bad_spread")

    def reach_mm(self, electrode: Electrode) -> tuple[float, float]:
        """How far tip and end of the exposed metal may be from their planned places (mm)."""
        return self.tip_mm, self.tip_mm + 2.0 * electrode.exposure_mm * math.sin(0.5 * math.radians(self.angle_deg))

    def to_dict(self) -> dict:
        """As in the answer."""
        return {"tip_mm": self.tip_mm, "angle_deg": self.angle_deg, "sigma_pct": self.sigma_pct, "threshold_v_per_cm": list(self.threshold_v_per_cm)}


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One sample: per needle the tip's offset (mm, LPS, ``(n, 3)``) and the new direction's angle to the old
    (degrees) and azimuth (radians); a factor per tissue; the threshold (V/cm)."""

    offset_mm: np.ndarray
    angle_deg: np.ndarray
    azimuth_rad: np.ndarray
    sigma_factor: np.ndarray
    threshold_v_per_cm: float


def draw(spread: Spread, seed: int, index: int, needles: int, tissues: int) -> Draw:
    """Sample ``index`` of a seed. It depends on nothing else: not on how many samples there are nor on who works them out.

    The same sample under another spread is the same draw, stretched: runs of one seed can be compared.
    Ball: direction of three normal numbers, radius by the cube root. Cone: uniform on the spherical cap (Archimedes: cos of the
    angle is uniform).
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    towards = rng.standard_normal((needles, 3))
    radius = np.cbrt(rng.random(needles))
    tilt, turn = rng.random(needles), rng.random(needles)
    offset = spread.tip_mm * (radius / np.linalg.norm(towards, axis=1))[:, None] * towards
    # 1 - cos by half angles: exact where the cone is closed, precise where it is narrow
    angle = 2.0 * np.arcsin(np.sqrt(tilt) * math.sin(0.5 * math.radians(spread.angle_deg)))
    factor = 1.0 + 0.01 * spread.sigma_pct * (2.0 * rng.random(tissues) - 1.0)
    low, high = spread.threshold_v_per_cm
    return Draw(offset, np.degrees(angle), 2.0 * math.pi * turn, factor, float(low + (high - low) * rng.random()))


def moved(electrode: Electrode, offset_mm: np.ndarray, angle_deg: float, azimuth_rad: float) -> Electrode:
    """The needle moved as a rigid body: its tip by ``offset_mm``, its axis turned about the tip."""
    d = electrode.direction
    side = np.cross(d, np.eye(3)[np.argmin(np.abs(d))])
    side /= np.linalg.norm(side)
    angle = math.radians(angle_deg)
    turned = (math.cos(angle) - 1.0) * d + math.sin(angle) * (math.cos(azimuth_rad) * side + math.sin(azimuth_rad) * np.cross(d, side))
    return replace(electrode, tip_mm=tuple(np.asarray(electrode.tip_mm) + offset_mm), entry_mm=tuple(np.asarray(electrode.entry_mm) + offset_mm + electrode.length_mm * turned))


def tissues_of(plan: TreatmentPlan) -> list[Conductivity]:
    """The plan's distinct conductivities, background first: regions of one law are one tissue."""
    laws = [plan.background]
    for region in plan.regions:
        if region.conductivity is not None and region.conductivity not in laws:
            laws.append(region.conductivity)
    return laws


def sampled_plan(plan: TreatmentPlan, sample: Draw, placed: int | None = None) -> TreatmentPlan:
    """The plan as the sample has it; needle ``placed`` alone lies where it was planned. Refuses as a plan does."""
    laws = tissues_of(plan)
    scaled = [law.scaled(float(f)) for law, f in zip(laws, sample.sigma_factor, strict=True)]
    regions = tuple(r if r.conductivity is None else replace(r, conductivity=scaled[laws.index(r.conductivity)]) for r in plan.regions)
    electrodes = tuple(e if n == placed else moved(e, sample.offset_mm[n], sample.angle_deg[n], sample.azimuth_rad[n]) for n, e in enumerate(plan.electrodes))
    return replace(plan, electrodes=electrodes, background=scaled[0], regions=regions)


def displacement_mm(electrode: Electrode, other: Electrode) -> float:
    """How far the middle of the exposed metal moved."""
    return float(np.linalg.norm(other.exposed_middle_mm - electrode.exposed_middle_mm))
