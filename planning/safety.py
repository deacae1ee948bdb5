"""Limits of the device and of the anatomy: each is kept, warns or refuses; none hides the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from planning.anatomy import NEAR_MM, is_named, side_named
from planning.electrode import Electrode, angle_deg, distance_to_needle_mm, pair_distance_mm
from planning.errors import PlanRefused
from planning.field.solution import FieldSolution
from planning.plan import TreatmentPlan
from planning.surface import LevelSurface


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """What generator and needles can do. The defaults are those of the published monopolar IRE
    generator; ``resources/devices`` holds the same figures with their sources."""

    name: str = "monopolar IRE generator"
    voltage_most_v: float = 3000.0
    voltage_least_v: float = 500.0
    current_most_a: float = 50.0
    current_headroom_pct: float = 10.0
    spacing_least_mm: float = 10.0
    spacing_most_mm: float = 24.0
    angle_most_deg: float = 10.0
    exposure_least_mm: float = 5.0
    exposure_most_mm: float = 40.0
    width_least_us: float = 20.0
    width_most_us: float = 100.0
    pulses_most: float = 100.0
    needles_most: float = 6.0
    path_clearance_least_mm: float = 2.0
    depth_most_mm: float = 150.0
    cover_least_mm: float = 2.0

    @classmethod
    def from_dict(cls, d: Mapping) -> DeviceLimits:
        """Read the ``limits`` of a device file; unknown keys are refused, absent ones keep their
        default."""
        known = {f.name for f in fields(cls)}
        values = {"name": d["name"]} if "name" in d else {}
        for key, value in d.get("limits", {}).items():
            if key not in known:
                raise PlanRefused(f"Device limit {key!r} is unknown.", code="bad_device")
            values[key] = float(value)
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A limit that was met: ``level`` is ``warn`` or ``refuse``."""

    code: str
    level: str
    message: str
    value: float | None
    limit: float | None

    def to_dict(self) -> dict:
        """As in the answer of ``nodus plan``."""
        return {"code": self.code, "level": self.level, "message": self.message, "value": self.value, "limit": self.limit}


def needle_distance_mm(electrode: Electrode, reach_mm: float, surface: LevelSurface) -> float | None:
    """Smallest distance (mm) between a structure's surface and a needle's surface over
    ``reach_mm`` of it from the tip; 0 where the needle enters the structure, None without surface."""
    along = np.arange(0.0, reach_mm + 0.25, 0.25)[:, None] * electrode.direction + np.asarray(electrode.tip_mm)
    last = surface.origin_mm + surface.spacing_mm * (np.array(surface.level.shape[::-1]) - 1)
    held = ((along >= surface.origin_mm) & (along <= last)).all(1)
    if held.any() and (surface.level_at(along[held]) >= 0).any():
        return 0.0
    if len(surface.points_mm) == 0:
        return None
    d = distance_to_needle_mm(surface.points_mm, electrode, reach_mm)
    pick = np.argsort(d)[:64]
    at, best = surface.points_mm[pick], float(d[pick[0]])
    if best <= 0:
        return 0.0
    for _ in range(6):  # between the crossings: to and fro between the two surfaces
        foot = _nearest_on_needle(at, electrode, reach_mm)
        gap, at = surface.nearest(foot)
        best = min(best, float(gap.min()))
    return max(best, 0.0)


def _nearest_on_needle(points: np.ndarray, electrode: Electrode, reach_mm: float) -> np.ndarray:
    """Nearest points of a needle's surface to points outside it."""
    tip, t = np.asarray(electrode.tip_mm), electrode.direction
    s = np.clip((points - tip) @ t, 0.0, reach_mm)
    radial = points - tip - ((points - tip) @ t)[:, None] * t
    r = np.linalg.norm(radial, axis=1)
    inner = np.minimum(r, 0.5 * electrode.diameter_mm) / np.maximum(r, 1e-12)
    return tip + s[:, None] * t + radial * inner[:, None]


def device_constraints(plan: TreatmentPlan, solution: FieldSolution | None, limits: DeviceLimits) -> list[Constraint]:
    """Limits of generator and needles."""
    out = []

    def add(code, level, message, value, limit):
        out.append(Constraint(code, level, message, float(value), float(limit)))

    if len(plan.electrodes) > limits.needles_most:
        add("needles", "refuse", f"{len(plan.electrodes)} needles; the device drives at most {limits.needles_most:g}.", len(plan.electrodes), limits.needles_most)
    for e in plan.electrodes:
        if not limits.exposure_least_mm <= e.exposure_mm <= limits.exposure_most_mm:
            limit = limits.exposure_least_mm if e.exposure_mm < limits.exposure_least_mm else limits.exposure_most_mm
            add("exposure", "refuse", f"Needle {e.id}: exposure {e.exposure_mm:g} mm; the device allows {limits.exposure_least_mm:g} to {limits.exposure_most_mm:g} mm.", e.exposure_mm, limit)
        if e.exposure_mm > e.length_mm:
            add("exposure_beyond_entry", "refuse", f"Needle {e.id}: {e.exposure_mm:g} mm are exposed but only {e.length_mm:.1f} mm lie beyond the entry.", e.exposure_mm, e.length_mm)
        elif e.length_mm - e.exposure_mm < limits.cover_least_mm:
            add("exposure_near_entry", "warn", f"Needle {e.id}: bare metal begins {e.length_mm - e.exposure_mm:.1f} mm under the entry; skin that near can be burnt.", e.length_mm - e.exposure_mm, limits.cover_least_mm)
        if e.length_mm > limits.depth_most_mm:
            add("depth", "warn", f"Needle {e.id}: the tip lies {e.length_mm:.0f} mm deep; the needle's shaft is {limits.depth_most_mm:g} mm long.", e.length_mm, limits.depth_most_mm)
    for n, p in enumerate(plan.pulses):
        pair = f"Pair {p.anode}-{p.cathode}"
        a, b = plan.electrode(p.anode), plan.electrode(p.cathode)
        if p.voltage_v > limits.voltage_most_v:
            add("voltage", "refuse", f"{pair}: {p.voltage_v:.0f} V is above the generator's {limits.voltage_most_v:.0f} V.", p.voltage_v, limits.voltage_most_v)
        elif p.voltage_v < limits.voltage_least_v:
            add("voltage_low", "warn", f"{pair}: {p.voltage_v:.0f} V is below the generator's {limits.voltage_least_v:.0f} V.", p.voltage_v, limits.voltage_least_v)
        if not limits.width_least_us <= p.width_us <= limits.width_most_us:
            add("pulse_width", "refuse", f"{pair}: pulses of {p.width_us:g} us; the generator gives {limits.width_least_us:g} to {limits.width_most_us:g} us.",
                p.width_us, limits.width_least_us if p.width_us < limits.width_least_us else limits.width_most_us)
        if p.pulses > limits.pulses_most:
            add("pulse_count", "refuse", f"{pair}: {p.pulses} pulses; the generator gives at most {limits.pulses_most:g} per pair.", p.pulses, limits.pulses_most)
        distance = pair_distance_mm(a, b)
        if distance < limits.spacing_least_mm or distance > limits.spacing_most_mm:
            limit = limits.spacing_least_mm if distance < limits.spacing_least_mm else limits.spacing_most_mm
            add("spacing", "warn", f"{pair}: {distance:.1f} mm apart; {limits.spacing_least_mm:g} to {limits.spacing_most_mm:g} mm is usual.", distance, limit)
        angle = angle_deg(a, b)
        if angle > limits.angle_most_deg:
            add("parallelism", "warn", f"{pair}: needles are {angle:.0f} degrees from parallel.", angle, limits.angle_most_deg)
        if solution is not None:
            amps = abs(solution.pairs[n].current_a)
            if amps > limits.current_most_a:
                add("current", "refuse", f"{pair}: predicted {amps:.1f} A is above the generator's {limits.current_most_a:g} A.", amps, limits.current_most_a)
            elif amps > limits.current_most_a * (1 - limits.current_headroom_pct / 100):
                add("current_headroom", "warn", f"{pair}: predicted {amps:.1f} A leaves less than {limits.current_headroom_pct:g} % to the generator's {limits.current_most_a:g} A; current rises during the train.",
                    amps, limits.current_most_a * (1 - limits.current_headroom_pct / 100))
    return out


def tissue_constraints(plan: TreatmentPlan) -> list[Constraint]:
    """One warning for each tissue whose conductivity no measurement backs."""
    out, seen = [], []
    for name, law in [("background", plan.background)] + [(r.name, r.conductivity) for r in plan.regions if r.conductivity is not None]:
        if law.assumed and law not in seen:
            seen.append(law)
            words = f"preset {law.preset}" if law.preset else "written into the plan without a source"
            spread = f", give or take {law.spread_pct:g} %" if law.spread_pct else ""
            out.append(Constraint("conductivity_assumed", "warn", f"Conductivity of {name} is assumed ({words}{spread}).", law.sigma0_s_per_m, None))
    return out


def path_constraints(clearances: Mapping[str, list[dict]], limits: DeviceLimits) -> list[Constraint]:
    """Needle paths through or near structures at risk; ``clearances`` as in the answer."""
    out = []
    for needle, rows in clearances.items():
        for row in rows:
            d = row["distance_mm"]
            if d is None:
                continue
            if d <= 0:
                out.append(Constraint("path_crosses", "refuse", f"Needle {needle} passes through {row['name']}.", d, limits.path_clearance_least_mm))
            elif d < limits.path_clearance_least_mm:
                out.append(Constraint("path_clearance", "warn", f"Needle {needle} passes {d:.1f} mm from {row['name']}.", d, limits.path_clearance_least_mm))
    return out


def anatomy_constraints(plan: TreatmentPlan, clearances: Mapping[str, list[dict]]) -> list[Constraint]:
    """Structures that the plan's anatomy requires and that are neither outlined nor stated to be far: ``structure_unknown``
    refuses. ``clearances`` as in the answer.

    A region of role ``at_risk`` answers by its name. The node's side asks for the structure of that side; a name that says
    the other side does not answer, one that says none does. At the midline both sides are asked for. Where the side is not
    known one outline answers, and a warning (``side_unstated``) says that nobody can tell whether it is the near one.
    """
    anatomy, out = plan.anatomy, []
    if anatomy is None:
        return out
    names = [r.name for r in plan.regions if r.role == "at_risk"]
    for structure in anatomy.required:
        stated = [s for s in anatomy.stated_clear if is_named(s.name, structure)]
        moved = {id for s in stated for id in s.no_longer_holds_for(plan.electrodes)}
        holding = [s for s in stated if not s.no_longer_holds_for(plan.electrodes)]
        outlined = [n for n in names if is_named(n, structure)]
        sides = {"left": ["left"], "right": ["right"], "midline": ["left", "right"]}.get(anatomy.side, [None])
        for side in _not_answered(sides, [side_named(n) for n in outlined], [side_named(s.name) for s in holding]):
            which = f"{side} {structure}" if side else structure
            if moved:
                words = f"The {which} is not outlined, and needle{'s' if len(moved) > 1 else ''} {', '.join(sorted(moved))} moved since it was stated to be far from every needle."
            else:
                words = f"The {which} is not outlined, and nobody states that it lies farther than {NEAR_MM:g} mm from every needle."
            out.append(Constraint("structure_unknown", "refuse", words, None, NEAR_MM))
        if anatomy.side == "unknown" and anatomy.required and outlined:
            out.append(Constraint("side_unstated", "warn", f"The plan does not say on which side the node lies: whether {outlined[0]} is the {structure} near it cannot be checked.", None, None))
    out += _contradicted(plan, clearances)
    return out


def _not_answered(sides: list[str | None], outlined: list[str | None], stated: list[str | None]) -> list[str | None]:
    """Sides that neither an outline nor a statement answers. A statement without a side holds for both; an outline
    without one for a single side."""
    if None in stated or (sides == [None] and (outlined or stated)):
        return []
    left = [s for s in sides if s not in outlined and s not in stated]
    return left[outlined.count(None):]


def _contradicted(plan: TreatmentPlan, clearances: Mapping[str, list[dict]]) -> list[Constraint]:
    """Statements that an outline in the same plan disproves."""
    out = []
    for stated in plan.anatomy.stated_clear:
        for structure in plan.anatomy.required:
            if not is_named(stated.name, structure):
                continue
            for needle, rows in clearances.items():
                for row in rows:
                    d, other = row["distance_mm"], {side_named(row["name"]), side_named(stated.name)} == {"left", "right"}
                    if d is not None and d < NEAR_MM and is_named(row["name"], structure) and not other:
                        out.append(Constraint("stated_clear_wrong", "refuse", f"{stated.by} states that {stated.name} is farther than {stated.farther_than_mm:g} mm from every needle; its outline {row['name']} lies {d:.1f} mm from needle {needle}.", d, NEAR_MM))
    return out
