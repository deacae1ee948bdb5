"""What no proposal may break: the generator, the needles, and the distance of every path to what lies around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from planning.electrode import Electrode, pair_distance_mm, segment_distance_mm
from planning.errors import PlanRefused
from planning.field.grid import FieldGrid
from planning.field.solution import FieldSolution
from planning.margin import around_needles, region_surface
from planning.plan import TreatmentPlan
from planning.safety import DeviceLimits, needle_distance_mm
from planning.shapes import inside
from planning.surface import LevelSurface

EXPOSURES_MM = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0)
LARGE_MM3 = 60_000.0
# A region of role ``tissue`` is kept clear of, too, where its tissue or its name is one of these.
HARD_TISSUES = ("bone", "cartilage", "trachea_wall", "oesophagus", "vessel_wall", "blood", "nerve")
HARD_NAMES = ("carotid", "jugular", "trachea", "larynx", "oesophagus", "esophagus", "bone", "vertebra", "mandible", "clavicle", "airway", "artery", "vein")


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """Hard limits of a search. ``exposures_mm`` are the lengths the needle can be set to; ``current_most_a`` has the
    generator's headroom taken off. ``cone_deg``: how far the common direction may turn from the plan's own."""

    voltage_least_v: float = 500.0
    voltage_most_v: float = 3000.0
    current_most_a: float = 45.0
    spacing_least_mm: float = 10.0
    spacing_most_mm: float = 24.0
    exposures_mm: tuple[float, ...] = EXPOSURES_MM
    needles_least: int = 2
    needles_most: int = 6
    path_clearance_mm: float = 2.0
    cone_deg: float = 40.0

    @classmethod
    def of_device(cls, device: DeviceLimits, exposures_mm: tuple[float, ...] = EXPOSURES_MM) -> PlanLimits:
        """The device's own limits."""
        kept = tuple(sorted(e for e in exposures_mm if device.exposure_least_mm <= e <= device.exposure_most_mm))
        return cls(device.voltage_least_v, device.voltage_most_v, device.current_most_a * (1 - device.current_headroom_pct / 100), device.spacing_least_mm,
                   device.spacing_most_mm, kept, 2, int(device.needles_most), device.path_clearance_least_mm)

    def to_dict(self) -> dict:
        """The limits that were kept, as JSON."""
        return {"voltage_v": [self.voltage_least_v, self.voltage_most_v], "current_a": self.current_most_a, "spacing_mm": [self.spacing_least_mm, self.spacing_most_mm],
                "exposure_mm": list(self.exposures_mm), "needles": [self.needles_least, self.needles_most], "path_clearance_mm": self.path_clearance_mm,
                "cone_deg": self.cone_deg}


@dataclass(frozen=True, slots=True)
class Breach:
    """A hard limit that a plan breaks, or one that stands in the way of full cover."""

    code: str
    message: str
    value: float | None
    limit: float | None

    def to_dict(self) -> dict:
        """As in the answer."""
        return {"code": self.code, "message": self.message, "value": self.value, "limit": self.limit}


def limits_from_dict(d: Mapping | None, device: DeviceLimits | None = None, exposures_mm: tuple[float, ...] = EXPOSURES_MM) -> PlanLimits:
    """Read a plan file's ``limits``.

    One number is the most (``exposure_mm``: the longest), two are least and most; three or more exposures are the
    lengths allowed. What is not given is the device's; nothing may go beyond the device. Besides the five keys of the
    interface there are ``path_clearance_mm`` (more than the device's default only) and ``cone_deg`` (1 to 80). Raises
    ``PlanRefused`` (``bad_limits``).
    """
    own = PlanLimits.of_device(device or DeviceLimits(), exposures_mm)
    if d is None:
        return own
    if not isinstance(d, Mapping):
        raise PlanRefused("The plan's limits must be an object.", code="bad_limits")
    known = ("spacing_mm", "voltage_v", "current_a", "exposure_mm", "needles", "path_clearance_mm", "cone_deg")
    for key in d:
        if key not in known:
            raise PlanRefused(f"Limit {key!r} is unknown.", code="bad_limits", hint=f"Known limits: {', '.join(known)}.")
    more: dict = {}
    for key, least, most in (("voltage_v", "voltage_least_v", "voltage_most_v"), ("spacing_mm", "spacing_least_mm", "spacing_most_mm"), ("needles", "needles_least", "needles_most")):
        if key in d:
            low, high = _range(d[key], key, getattr(own, least), getattr(own, most))
            more |= {least: low, most: high}
    if "current_a" in d:
        more["current_most_a"] = _range(d["current_a"], "current_a", 0.0, own.current_most_a)[1]
    if "needles" in d:
        if any(v != int(v) for v in (more["needles_least"], more["needles_most"])):
            raise PlanRefused("The limit on needles must be whole numbers.", code="bad_limits")
        more |= {k: int(more[k]) for k in ("needles_least", "needles_most")}
    if "exposure_mm" in d:
        more["exposures_mm"] = _exposures(d["exposure_mm"], own.exposures_mm)
    if "path_clearance_mm" in d:
        more["path_clearance_mm"] = max(own.path_clearance_mm, _one(d["path_clearance_mm"], "path_clearance_mm"))
    if "cone_deg" in d:
        more["cone_deg"] = _one(d["cone_deg"], "cone_deg")
        if not 1 <= more["cone_deg"] <= 80:
            raise PlanRefused("The limit cone_deg must lie between 1 and 80.", code="bad_limits")
    return replace(own, **more)


def _one(value, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e12:
        raise PlanRefused(f"The limit {key} must be a number above 0.", code="bad_limits")
    return float(value)


def _range(value, key: str, least: float, most: float) -> tuple[float, float]:
    """Least and most, inside the device's own."""
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise PlanRefused(f"The limit {key} must be one number (the most) or two (least and most).", code="bad_limits")
        low, high = (_one(v, key) for v in value)
    else:
        low, high = least, _one(value, key)
    low, high = max(low, least), min(high, most)
    if low > high:
        raise PlanRefused(f"The limit {key} leaves nothing: the device allows {least:g} to {most:g}.", code="bad_limits")
    return low, high


def _exposures(value, allowed: tuple[float, ...]) -> tuple[float, ...]:
    if isinstance(value, list | tuple) and len(value) != 2:
        if not value:
            raise PlanRefused("The limit exposure_mm is an empty list.", code="bad_limits")
        wanted = sorted({_one(v, "exposure_mm") for v in value})
        kept = tuple(v for v in wanted if allowed[0] <= v <= allowed[-1])
    else:
        low, high = _range(value, "exposure_mm", allowed[0], allowed[-1])
        kept = tuple(v for v in allowed if low <= v <= high) or (low,)
    if not kept:
        raise PlanRefused(f"No exposure is left: the needle allows {allowed[0]:g} to {allowed[-1]:g} mm.", code="bad_limits")
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class Obstacles:
    """Surfaces that paths keep clear of, by region number, and the air outside the skin (numbers of its regions)."""

    surfaces: dict[int, LevelSurface]
    names: dict[int, str]
    outside: tuple[int, ...]


def find_obstacles(plan: TreatmentPlan) -> Obstacles:
    """Everything of role ``at_risk``, and what by tissue or name is vessel, airway, gullet, bone or nerve.

    Air that the plan's own needles end in on their way out is the air around the patient and no obstacle; other air is
    an airway. Surfaces are sampled at 0.5 mm (1 mm for
    large structures), finer where a structure would slip through.
    """
    outside = tuple(n for n, r in enumerate(plan.regions) if r.role == "tissue" and r.conductivity is not None and r.conductivity.is_air
                    and any(bool(inside(r.shape, _just_within(plan, e))) for e in plan.electrodes))
    surfaces, names, room = {}, {}, around_needles(plan)
    for n, region in enumerate(plan.regions):
        if n in outside or region.role == "target" or not is_obstacle(region):
            continue
        names[n] = region.name
        low, high = region.shape.bounds_mm()
        large = float(np.prod(np.minimum(high, plan.domain.high_mm) - np.maximum(low, plan.domain.low_mm))) > LARGE_MM3
        for spacing in (1.0, 0.5, 0.25) if large else (0.5, 0.25, 0.125):
            surfaces[n] = region_surface(plan, n, FieldGrid.around(plan.domain.center_mm, plan.domain.size_mm, spacing), room_mm=room)
            if len(surfaces[n].points_mm):
                break
    return Obstacles(surfaces, names, outside)


def is_obstacle(region) -> bool:
    """True for what a needle must not touch."""
    if region.role == "at_risk":
        return True
    law = region.conductivity
    if region.role == "target":
        return False
    words = region.name.lower()
    return (law is not None and (law.is_air or law.preset in HARD_TISSUES)) or any(w in words for w in HARD_NAMES)


def _just_within(plan: TreatmentPlan, e: Electrode) -> np.ndarray:
    """The last point of a needle's shaft inside the domain."""
    return np.asarray(e.tip_mm) + (plan.shaft_reach_mm(e) - 0.25) * e.direction


def breaches_of(plan: TreatmentPlan, solution: FieldSolution | None, limits: PlanLimits, obstacles: Obstacles) -> list[Breach]:
    """Every hard limit that a plan breaks; currents are judged where it is solved. Distances are exact to the surface
    and taken over the whole path, from the tip to the wall of the domain or the entry, whichever is further."""
    out = []

    def add(code, message, value, limit):
        out.append(Breach(code, message, float(value), float(limit)))

    count = len(plan.electrodes)
    if not limits.needles_least <= count <= limits.needles_most:
        add("needles", f"{count} needles; {limits.needles_least} to {limits.needles_most} are allowed.", count, limits.needles_most if count > limits.needles_most else limits.needles_least)
    for e in plan.electrodes:
        if not any(abs(e.exposure_mm - v) < 1e-6 for v in limits.exposures_mm):
            add("exposure", f"Needle {e.id}: exposure {e.exposure_mm:g} mm is none of those allowed.", e.exposure_mm, limits.exposures_mm[-1])
        if e.exposure_mm > e.length_mm:
            add("exposure_beyond_entry", f"Needle {e.id} is exposed beyond its entry.", e.exposure_mm, e.length_mm)
        reach = max(plan.shaft_reach_mm(e), e.length_mm)
        for n, surface in obstacles.surfaces.items():
            d = needle_distance_mm(e, reach, surface)
            if d is not None and d < limits.path_clearance_mm:
                add("path_crosses" if d <= 0 else "path_clearance", f"Needle {e.id} passes {d:.1f} mm from {obstacles.names[n]}.", d, limits.path_clearance_mm)
    for n, a in enumerate(plan.electrodes):
        for b in plan.electrodes[:n]:
            gap = segment_distance_mm(a.tip_mm, plan.shaft_end_mm(a), b.tip_mm, plan.shaft_end_mm(b))
            if gap < limits.spacing_least_mm - 0.05:
                add("spacing", f"Needles {b.id} and {a.id} come within {gap:.1f} mm.", gap, limits.spacing_least_mm)
    for n, p in enumerate(plan.pulses):
        pair = f"Pair {p.anode}-{p.cathode}"
        distance = pair_distance_mm(plan.electrode(p.anode), plan.electrode(p.cathode))
        if distance > limits.spacing_most_mm + 0.05:
            add("spacing", f"{pair}: {distance:.1f} mm apart.", distance, limits.spacing_most_mm)
        if not limits.voltage_least_v <= p.voltage_v <= limits.voltage_most_v:
            add("voltage" if p.voltage_v > limits.voltage_most_v else "voltage_low", f"{pair}: {p.voltage_v:.0f} V.", p.voltage_v,
                limits.voltage_most_v if p.voltage_v > limits.voltage_most_v else limits.voltage_least_v)
        if solution is not None and abs(solution.pairs[n].current_a) > limits.current_most_a:
            add("current", f"{pair}: predicted {abs(solution.pairs[n].current_a):.1f} A.", abs(solution.pairs[n].current_a), limits.current_most_a)
    return out
