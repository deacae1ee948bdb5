"""Chart zones of a thermal plan put together, and what they cover: per round and over all rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from planning.electrode import Electrode
from planning.errors import PlanRefused
from planning.field.grid import FieldGrid
from planning.safety import Constraint, needle_distance_mm
from planning.shapes import Ellipsoid, Shape
from planning.surface import LevelSurface
from planning.thermal.chart import PRIOR, zone_of
from planning.thermal.liver import LiverShare, fraction_constraint, liver_share, shares
from planning.thermal.margins import MarginFigures, capsule_near, grid_around, margins, surface_of
from planning.thermal.plan import Application, ThermalPlan
from planning.tissue_map import cell_points
from volumetry.errors import Cancelled

SIZE_MOST_MM = 600.0
PAD_MM = 4.0
FINEST_PER_LESION = 12  # cells across the thinnest lesion
CELLS_ACROSS = 24  # of a lesion where its own volume is counted
FAR_OUTSIDE_MM = -1e3


@dataclass(frozen=True, slots=True, eq=False)
class ZoneLevels:
    """A zone as levels (mm near its surface, positive inside) on one grid: over all rounds, of each round alone, and with all
    diameters smaller and larger by their spread."""

    grid: FieldGrid
    whole: np.ndarray
    by_round: dict[int, np.ndarray]
    small: np.ndarray | None = None
    large: np.ndarray | None = None

    def share(self, level: np.ndarray) -> np.ndarray:
        """How much of each cell lies inside."""
        return shares(level, self.grid.spacing_mm)

    def at(self, level: np.ndarray, points_mm: np.ndarray) -> np.ndarray:
        """Level at any points ``(..., 3)``, linear between cells."""
        index = (points_mm - np.asarray(self.grid.origin_mm)) / self.grid.spacing_mm
        return ndimage.map_coordinates(level, np.moveaxis(index[..., ::-1], -1, 0), order=1, mode="nearest")

    def surface(self, level: np.ndarray) -> LevelSurface:
        """The zone's surface."""
        return LevelSurface.of(level, np.asarray(self.grid.origin_mm), self.grid.spacing_mm)

    def ml(self, share: np.ndarray) -> float:
        """Volume of shares of cells."""
        return float(share.sum(dtype=np.float64)) * self.grid.spacing_mm**3 / 1000.0

    def cumulative(self, number: int) -> np.ndarray:
        """Level of all zones up to and with a round."""
        return np.maximum.reduce([level for n, level in self.by_round.items() if n <= number])


def chart_zone(plan: ThermalPlan, application: Application, spread: float = 0.0) -> Ellipsoid:
    """The chart's ellipsoid of an application in the plan's frame."""
    return zone_of(plan.row(application), *plan.placed(application), application.pull_back_mm, spread)


def thinnest_mm(shape: Shape) -> float:
    """Smallest side of a shape's bounding box."""
    return float(np.min(np.subtract(*shape.bounds_mm()[::-1])))


def plan_spacing_mm(plan: ThermalPlan) -> float:
    """The plan's spacing, finer where a lesion would have fewer than 12 cells across."""
    thinnest = min((thinnest_mm(p.shape) for p in plan.lesions), default=np.inf)
    return max(0.3, min(plan.spacing_mm, thinnest / FINEST_PER_LESION))


def chart_levels(plan: ThermalPlan, should_cancel: Callable[[], bool] | None = None, spacing_mm: float | None = None) -> ZoneLevels:
    """The union of all chart ellipsoids over needles, pull-backs, sessions and rounds. Raises ``Cancelled``."""
    boxes = [chart_zone(plan, a, 1.0).bounds_mm() for a in plan.applications] + [p.shape.bounds_mm() for p in plan.lesions]
    low, high = np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)
    if not (high - low).max() <= SIZE_MOST_MM:
        raise PlanRefused(f"Lesions and zones lie over more than {SIZE_MOST_MM:g} mm.", code="bad_domain", hint="Check their coordinates: all are LPS millimetres of one frame.")
    grid = grid_around(low, high, spacing_mm or plan_spacing_mm(plan), PAD_MM)
    new = lambda: np.full(grid.shape, FAR_OUTSIDE_MM, np.float32)  # noqa: E731
    by_round, small, large = {n: new() for n in plan.rounds}, new(), new()
    for application in plan.applications:
        if should_cancel is not None and should_cancel():
            raise Cancelled
        for spread, level in ((0.0, by_round[application.round]), (-1.0, small), (1.0, large)):
            add_shape(level, grid, chart_zone(plan, application, spread))
    return ZoneLevels(grid, np.maximum.reduce(list(by_round.values())), by_round, small, large)


def add_shape(level: np.ndarray, grid: FieldGrid, shape: Shape) -> None:
    """Join a shape to a level, in place, in the box around it; beyond, its level stays far outside."""
    box = grid.box_of(*shape.bounds_mm(), pad_cells=3)
    if box is not None:
        level[box] = np.maximum(level[box], shape.level_mm(cell_points(grid, box)))


@dataclass(frozen=True, slots=True, eq=False)
class ZoneAssessment:
    """What zones cover. ``answer``: as ``nodus thermal`` gives it; ``margin_maps``: by the lesion's name."""

    answer: dict
    constraints: tuple[Constraint, ...]
    margin_maps: dict[str, MarginFigures]


def assess_zones(plan: ThermalPlan, levels: ZoneLevels, should_cancel: Callable[[], bool] | None = None) -> ZoneAssessment:
    """Cover, margins, collateral, structures at risk, liver share and limits of any zones on one grid."""
    def check() -> None:
        if should_cancel is not None and should_cancel():
            raise Cancelled

    grid = levels.grid
    zone, zone_surface = levels.share(levels.whole), levels.surface(levels.whole)
    points = cell_points(grid, tuple(slice(0, n) for n in grid.shape))
    lesion_shares = {p.name: levels.share(p.shape.level_mm(points).astype(np.float32)) for p in plan.lesions}
    fine = {p.name: _Fine.of(p, grid.spacing_mm) for p in plan.lesions}
    check()
    rows, maps = [], {}
    for part in plan.lesions:
        row, figures = _lesion(plan, levels, part, fine[part.name], zone_surface)
        rows.append(row)
        if figures is not None:
            maps[part.name] = figures
        check()
    shapes = tuple(p.shape for p in plan.lesions)
    all_lesions = np.maximum.reduce(list(lesion_shares.values())) if lesion_shares else np.zeros(grid.shape)
    liver = high = None
    if plan.liver is not None:
        liver = liver_share(plan.liver, shapes, grid, zone)
        if levels.large is not None:
            high = LiverShare(liver.volume_ml, liver_share(plan.liver, shapes, grid, levels.share(levels.large)).ablated_ml)
    check()
    at_risk = [_at_risk(plan, levels, part, points, zone, zone_surface) for part in plan.at_risk]
    answer = {
        "zone_ml": levels.ml(zone),
        "zone_ml_spread": None if levels.small is None else [levels.ml(levels.share(levels.small)), levels.ml(levels.share(levels.large))],
        "collateral_ml": levels.ml(np.maximum(zone - all_lesions, 0.0)),
        "rounds": [_round(plan, levels, number, fine, liver, shapes) for number in plan.rounds],
        "lesions": rows,
        "at_risk": at_risk,
        "liver": None if liver is None else {"volume_ml": liver.volume_ml, "ablated_ml": liver.ablated_ml, "ablated_fraction": liver.fraction,
                                             "ablated_fraction_large": None if high is None else high.fraction},
        "spacing_mm": grid.spacing_mm,
    }
    constraints = (*fraction_constraint(liver, high, plan.limits.liver_fraction), *plan_constraints(plan), *_cover_constraints(plan, rows, at_risk))
    return ZoneAssessment(answer, constraints, maps)


@dataclass(frozen=True, slots=True, eq=False)
class _Fine:
    """A lesion on a grid of its own, fine enough for its volume."""

    points_mm: np.ndarray
    spacing_mm: float
    inside: np.ndarray

    @classmethod
    def of(cls, part, coarse_mm: float) -> _Fine:
        wanted = max(0.25, min(coarse_mm, thinnest_mm(part.shape) / CELLS_ACROSS))
        grid = grid_around(*part.shape.bounds_mm(), wanted, wanted)
        points = cell_points(grid, tuple(slice(0, n) for n in grid.shape))
        inside = shares(part.shape.level_mm(points), grid.spacing_mm)
        if not inside.any():
            raise PlanRefused(f"Lesion {part.name!r} is too small for the grid.", code="lesion_too_small", hint="Outline it larger, or leave it out.")
        return cls(points, grid.spacing_mm, inside)

    @property
    def ml(self) -> float:
        return float(self.inside.sum()) * self.spacing_mm**3 / 1000.0

    def covered_pct(self, levels: ZoneLevels, level: np.ndarray) -> float:
        zone = shares(levels.at(level, self.points_mm), self.spacing_mm)
        return 100.0 * float(np.minimum(self.inside, zone).sum() / self.inside.sum())


def _lesion(plan, levels, part, fine, zone_surface) -> tuple[dict, MarginFigures | None]:
    row = {"name": part.name, "volume_ml": fine.ml, "coverage_pct": fine.covered_pct(levels, levels.whole),
           "coverage_pct_spread": None if levels.small is None else [fine.covered_pct(levels, level) for level in (levels.small, levels.large)]}
    figures = margins(surface_of(part.shape, min(levels.grid.spacing_mm, max(0.3, thinnest_mm(part.shape) / FINEST_PER_LESION))), zone_surface)
    none = MarginFigures(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    row |= (figures or none).to_dict(plan.margin_mm)
    row["without_capsule"] = None
    if plan.liver is not None and figures is not None:
        capsule = capsule_near(plan.liver, *part.shape.bounds_mm(), plan.capsule_mm, levels.grid.spacing_mm)
        row["without_capsule"] = figures.away_from(capsule, plan.capsule_mm).to_dict(plan.margin_mm)
    return row, figures


def _round(plan, levels, number, fine, liver, shapes) -> dict:
    own, together = levels.share(levels.by_round[number]), levels.share(levels.cumulative(number))
    done = [a for a in plan.applications if a.round == number]
    return {
        "round": number, "sessions": sorted({a.session for a in done}), "applications": len(done), "zone_ml": levels.ml(own), "cumulative_ml": levels.ml(together),
        "cumulative_liver_fraction": None if liver is None else liver_share_of(plan, levels, together, liver, shapes),
        "lesions": [{"name": name, "coverage_pct": f.covered_pct(levels, levels.by_round[number]), "cumulative_coverage_pct": f.covered_pct(levels, levels.cumulative(number))}
                    for name, f in fine.items()],
    }


def liver_share_of(plan: ThermalPlan, levels: ZoneLevels, share: np.ndarray, liver: LiverShare, shapes) -> float:
    """Share of the liver that a part of the zones takes."""
    return liver_share(plan.liver, shapes, levels.grid, share).ablated_ml / liver.volume_ml


def _at_risk(plan, levels, part, points, zone, zone_surface) -> dict:
    inside = levels.share(part.shape.level_mm(points))
    surface = surface_of(part.shape, min(1.0, thinnest_mm(part.shape) / FINEST_PER_LESION))
    deepest = None
    if zone_surface.tree is not None and surface.tree is not None:
        deepest = float(zone_surface.signed_distance(surface.points_mm).max())
        if deepest < 0:  # apart: the nearest points of either surface
            deepest = max(deepest, -float(surface.nearest(zone_surface.points_mm)[0].min()))
    distances = []
    for application in plan.applications:
        tip, entry = plan.placed(application)
        needle = Electrode(application.needle, tuple(tip), tuple(entry), 1.0, plan.device(application).diameter.value)
        distances.append(needle_distance_mm(needle, needle.length_mm, surface))
    known = [d for d in distances if d is not None]
    return {"name": part.name, "overlap_ml": levels.ml(np.minimum(inside, zone)), "zone_distance_mm": None if deepest is None else -deepest,
            "needle_distance_mm": min(known) if known else None}


def plan_constraints(plan: ThermalPlan) -> list[Constraint]:
    """Limits on rounds, lesions and their size."""
    out, limits = [], plan.limits
    if limits.rounds_most is not None and len(plan.rounds) > limits.rounds_most:
        out.append(Constraint("rounds", "refuse", f"The plan has {len(plan.rounds)} rounds; the limit is {limits.rounds_most:g}.", len(plan.rounds), limits.rounds_most))
    if limits.lesions_per_session_most is not None:
        for key in sorted({(a.round, a.session) for a in plan.applications}):
            zones = [chart_zone(plan, a) for a in plan.applications if (a.round, a.session) == key]
            meant = [p.name for p in plan.lesions if any((z.level_mm(surface_of(p.shape, 1.5).points_mm) >= 0).any() for z in zones)]
            if len(meant) > limits.lesions_per_session_most:
                out.append(Constraint("lesions_per_session", "refuse", f"Session {key[1]} of round {key[0]} reaches {len(meant)} lesions; the limit is {limits.lesions_per_session_most:g}.",
                                      len(meant), limits.lesions_per_session_most))
    if limits.lesion_longest_mm is not None:
        for part in plan.lesions:
            points = surface_of(part.shape, 1.5).points_mm
            spread = points - points.mean(0) if len(points) else np.zeros((1, 3))
            longest = 2.0 * float(np.linalg.norm(spread, axis=1).max())
            if longest > limits.lesion_longest_mm * 1.005:
                out.append(Constraint("lesion_long", "warn", f"{part.name} is about {longest:.0f} mm across; the limit is {limits.lesion_longest_mm:g} mm.", longest, limits.lesion_longest_mm))
    return out


def _cover_constraints(plan: ThermalPlan, rows: list[dict], at_risk: list[dict]) -> list[Constraint]:
    out = []
    for row in rows:
        least = row["minimal_margin_mm"]
        if row["coverage_pct"] < 99.9:
            out.append(Constraint("lesion_uncovered", "warn", f"{row['name']}: the zones cover {row['coverage_pct']:.1f} % of it.", row["coverage_pct"], 99.9))
        elif least is not None and least < plan.margin_mm:
            out.append(Constraint("thin_margin", "warn", f"{row['name']}: the smallest margin is {_signed(least)} mm; {plan.margin_mm:g} mm are aimed at.", least, plan.margin_mm))
    for row in at_risk:
        if row["overlap_ml"] > 0 and row["zone_distance_mm"] is not None and row["zone_distance_mm"] < 0:
            out.append(Constraint("zone_reaches", "warn", f"The zones reach {-row['zone_distance_mm']:.1f} mm into {row['name']} ({row['overlap_ml']:.2f} ml).", row["zone_distance_mm"], 0.0))
        if row["needle_distance_mm"] == 0.0:
            out.append(Constraint("path_crosses", "refuse", f"A needle passes through {row['name']}.", 0.0, 0.0))
    return out


def _signed(mm: float) -> str:
    return f"{mm:.1f}".replace("-", "\N{MINUS SIGN}")


def warnings_of(plan: ThermalPlan) -> list[dict]:
    """What every answer says: that charts are a prior, and what in them is assumed."""
    out = [{"code": PRIOR[0], "message": PRIOR[1]}] + [{"code": code, "message": message} for code, message in plan.notes]
    used = {(a.device, a.setting): (plan.device(a), plan.row(a)) for a in plan.applications}
    for device in {d.id: d for d, _ in used.values()}.values():
        if not device.vendor_chart:
            out.append({"code": "chart_unverified", "message": f"{device.title}: the figures are no manufacturer's chart and unverified."})
    for device, row in used.values():
        if row.to_dict()["assumed"]:
            out.append({"code": "chart_assumed", "message": f"{device.title}, {row.setting}: size or place of the zone is assumed."})
    if not plan.lesions:
        out.append({"code": "no_target", "message": "The plan has no lesion: cover and margin are not known."})
    return out


def applications_answer(plan: ThermalPlan) -> list[dict]:
    """Each application with its row of the chart."""
    out = []
    for application in plan.applications:
        zone = chart_zone(plan, application)
        out.append(application.to_dict() | {"chart": plan.row(application).to_dict(), "center_mm": list(zone.center_mm), "device_title": plan.device(application).title,
                                            "vendor_chart": plan.device(application).vendor_chart})
    return out
