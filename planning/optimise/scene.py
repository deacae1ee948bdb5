"""What the quick model sees of a plan: points that stand for target, structures and tissue, and where needles may go."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from planning.errors import PlanRefused
from planning.field.grid import FieldGrid
from planning.field.solution import FieldSolution
from planning.kernels import quick_field as kq
from planning.margin import region_surface
from planning.optimise.limits import Obstacles, PlanLimits
from planning.plan import TreatmentPlan
from planning.shapes import inside

TARGET_POINTS = 700
SURFACE_POINTS = 300
RISK_POINTS = 700
COUNTED_POINTS = 30_000
LATTICE_MOST = 700_000
TISSUE_POINTS = 900
OBSTACLE_APART_MM = 1.5
OBSTACLE_SLACK_MM = 0.25  # between points that far apart a surface may come this much nearer
REACH_MM = 60.0  # obstacles further from the target are left to the exact check
BELOW_MM = 35.0
NEAR_MM = 14.0  # tissue is looked at this far around the target
SKIN_MM = 2.0  # bare metal stays this far under the skin
WALL_MM = 1.0  # bare metal stays this far inside the domain
FACTOR_RANGE = (0.6, 1.7)
CURRENT_SPARE = 0.98  # of the limit, as far as the quick model predicts


@dataclass(frozen=True, slots=True, eq=False)
class PointSet:
    """``points`` ``(3, m)`` LPS mm, volume of each in ml, and the factor from the quick to the true field."""

    points: np.ndarray
    ml: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, total_ml: float) -> PointSet:
        """Equal shares of a volume."""
        points = np.ascontiguousarray(np.asarray(points, float).reshape(-1, 3).T)
        m = points.shape[1]
        return cls(points, np.full(m, total_ml / max(m, 1)), np.ones(m))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The quick model's view. ``base`` is the unit vector from the target outwards (mean of the plan's own needles),
    ``plane`` the point and normal that exposed metal stays under, ``entry_mm`` a point of the plane where
    needles are said to enter if no air tells it, ``sigma_s_per_m`` the conductivity that currents are
    predicted with. ``counted_*``: many more points, by which solved fields are counted, of each target ``(3, m)`` and of
    all structures at risk (``counted_risk_ml``: volume of one point)."""

    plan: TreatmentPlan
    limits: PlanLimits
    obstacles: Obstacles
    center_mm: np.ndarray
    base: np.ndarray
    plane: np.ndarray
    entry_mm: np.ndarray
    diameter_mm: float
    target: PointSet
    risk: PointSet
    tissue: PointSet
    obstacle_points: np.ndarray
    obstacle_region: np.ndarray
    skin_points: np.ndarray
    sigma_s_per_m: float
    counted_targets: tuple[np.ndarray, ...]
    target_ml: tuple[float, ...]
    counted_risk: np.ndarray
    counted_risk_ml: float

    def place(self) -> np.ndarray:
        """Limits of place as the kernel takes them."""
        low, high = self.plan.domain.low_mm + WALL_MM, self.plan.domain.high_mm - WALL_MM
        clear = self.limits.path_clearance_mm + OBSTACLE_SLACK_MM
        point = self.plane[0] - SKIN_MM * self.plane[1]
        return np.array([low, high, point, self.plane[1], (clear, SKIN_MM + OBSTACLE_SLACK_MM, self.limits.spacing_least_mm), (self.limits.spacing_most_mm, 0.0, 0.0)])

    def electric(self) -> np.ndarray:
        """Limits of the generator as the kernel takes them."""
        return np.array([self.limits.voltage_most_v, self.limits.voltage_least_v, CURRENT_SPARE * self.limits.current_most_a, 4 * math.pi * self.sigma_s_per_m])

    def score(self, needles: np.ndarray, directions: np.ndarray, goal: float, **other) -> tuple[np.ndarray, np.ndarray]:
        """``(figures (c, FIGURES), volts (c, p))`` of ``needles (c, n, 4)`` with ``directions (c, 3)``.

        ``other`` replaces ``place``, ``electric`` or ``obstacles`` for a question of what if.
        """
        pairs = all_pairs(needles.shape[1])
        figures, volts = np.zeros((len(needles), kq.FIGURES)), np.zeros((len(needles), len(pairs)))
        kq.score_candidates(np.ascontiguousarray(needles, float), np.ascontiguousarray(directions, float), pairs, 0.5 * self.diameter_mm,
                            other.get("place", self.place()), other.get("obstacles", self.obstacle_points), self.skin_points, other.get("electric", self.electric()),
                            self.target.points, self.target.factor, self.risk.points, self.risk.factor, self.risk.ml,
                            self.tissue.points, self.tissue.factor, self.tissue.ml, float(goal), self.plan.lethal_v_per_cm, figures, volts)
        return figures, volts


def all_pairs(n: int) -> np.ndarray:
    """Every pair of ``n`` needles once."""
    return np.array([(a, b) for a in range(n) for b in range(a + 1, n)], np.int64)


def build_scene(plan: TreatmentPlan, limits: PlanLimits, obstacles: Obstacles) -> Scene:
    """Sample a plan. Raises ``PlanRefused`` (``no_target``) without a target."""
    targets = [n for n, r in enumerate(plan.regions) if r.role == "target"]
    if any(plan.regions[n].conductivity is not None and plan.regions[n].conductivity.is_air for n in targets):
        raise PlanRefused("A target is air and holds no tissue.", code="target_empty")
    if not targets:
        raise PlanRefused("Needles are placed for a target, and the plan has none.", code="no_target", hint="Give a region the role target.")
    grid = FieldGrid.around(plan.domain.center_mm, plan.domain.size_mm, 1.0)
    low = np.min([plan.regions[n].shape.bounds_mm()[0] for n in targets], axis=0)
    high = np.max([plan.regions[n].shape.bounds_mm()[1] for n in targets], axis=0)
    owner = _Owner(plan)
    interior, volume = _lattice(low, high, TARGET_POINTS, lambda p: np.isin(owner.of(p), targets))
    if len(interior) == 0:
        raise PlanRefused("The target holds no tissue: later regions cover it.", code="no_target")
    rim = np.concatenate([region_surface(plan, n, grid).points_mm for n in targets])
    rim = _thinned(rim, SURFACE_POINTS)
    target = PointSet.of(np.concatenate([interior, rim]), volume)
    center = interior.mean(0)

    near_low, near_high = np.maximum(low - NEAR_MM, plan.domain.low_mm), np.minimum(high + NEAR_MM, plan.domain.high_mm)
    silent = [n for n, r in enumerate(plan.regions) if r.conductivity is not None and r.conductivity.is_air]
    at_risk = [n for n, r in enumerate(plan.regions) if r.role == "at_risk" and n not in silent]
    risk_points, risk_ml = _lattice(near_low, near_high, RISK_POINTS, lambda p: np.isin(owner.of(p), at_risk)) if at_risk else (np.zeros((0, 3)), 0.0)
    tissue_points, tissue_ml = _lattice(near_low, near_high, TISSUE_POINTS, lambda p: ~np.isin(owner.of(p), targets + silent))

    counted = [_lattice(*plan.regions[n].shape.bounds_mm(), COUNTED_POINTS, lambda p, n=n: owner.of(p) == n) for n in targets]
    many, many_ml = _lattice(near_low, near_high, COUNTED_POINTS, lambda p: np.isin(owner.of(p), at_risk)) if at_risk else (np.zeros((0, 3)), 0.0)

    base = np.mean([e.direction for e in plan.electrodes], axis=0)
    if np.linalg.norm(base) < 0.3:  # needles from opposite sides: the first decides
        base = plan.electrodes[0].direction
    base = base / np.linalg.norm(base)
    heights = (np.array([e.entry_mm for e in plan.electrodes]) - center) @ base
    skin = [p for p in (region_surface(plan, n, grid).points_mm for n in obstacles.outside) if len(p)]
    wall = float(np.maximum((plan.domain.low_mm - center) * base, (plan.domain.high_mm - center) * base).sum())
    height = float(heights.min())
    if skin or height < float(((target.points.T - center) @ base).max()):
        # The air itself says where the skin is, however slanting; and entries beside the target say nothing.
        height = wall
    plane = np.array([center + height * base, base])
    entry = center + (float(heights.mean()) if height < wall else wall) * base

    points, region = [np.zeros((0, 3))], [np.zeros(0, np.int64)]
    for n, surface in obstacles.surfaces.items():
        p = _apart(surface.points_mm, OBSTACLE_APART_MM)
        p = p[(np.linalg.norm(p - center, axis=1) < REACH_MM) & ((p - center) @ base > -BELOW_MM)]
        points.append(p)
        region.append(np.full(len(p), n))
    skin_points = _apart(np.concatenate(skin), OBSTACLE_APART_MM) if skin else np.zeros((0, 3))
    skin_points = skin_points[np.linalg.norm(skin_points - center, axis=1) < REACH_MM]
    sigma = float(np.mean([plan.background.sigma0_s_per_m, *[(plan.regions[n].conductivity or plan.background).sigma0_s_per_m for n in targets]]))
    return Scene(plan, limits, obstacles, center, base, plane, entry, plan.electrodes[0].diameter_mm, target, PointSet.of(risk_points, risk_ml), PointSet.of(tissue_points, tissue_ml),
                 np.ascontiguousarray(np.concatenate(points).T), np.concatenate(region), np.ascontiguousarray(skin_points.T), sigma,
                 tuple(np.ascontiguousarray(p.T) for p, _ in counted), tuple(ml for _, ml in counted), np.ascontiguousarray(many.T), many_ml / max(len(many), 1))


class _Owner:
    """Which region a point belongs to: the last that holds it; -1 for the background."""

    def __init__(self, plan: TreatmentPlan):
        self.shapes = [r.shape for r in plan.regions]

    def of(self, points: np.ndarray) -> np.ndarray:
        out = np.full(len(points), -1)
        for n, shape in enumerate(self.shapes):
            out[inside(shape, points)] = n
        return out


def _lattice(low, high, wanted: int, belongs) -> tuple[np.ndarray, float]:
    """About ``wanted`` lattice points of a box for which ``belongs(points)`` holds, and their volume in ml. The lattice
    is body-centred, so that it has no planes along the needles' usual ways."""
    size = np.maximum(np.asarray(high, float) - low, 1e-3)
    for count in (4 * wanted, 20 * wanted, 100 * wanted):
        if count > LATTICE_MOST:
            break
        step = (size.prod() * 2 / count) ** (1 / 3)
        axes = [low[a] + (np.arange(max(1, math.ceil(size[a] / step))) + 0.25) * size[a] / max(1, math.ceil(size[a] / step)) for a in range(3)]
        cell = np.array([size[a] / len(axes[a]) for a in range(3)])
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        points = np.concatenate([points, points + 0.5 * cell])
        points = points[belongs(points)]
        share = cell.prod() / 2 / 1000.0
        if len(points) >= wanted:
            break
    volume = len(points) * share
    return _thinned(points, wanted), volume


def _thinned(points: np.ndarray, most: int) -> np.ndarray:
    """At most that many, evenly through the list."""
    return points if len(points) <= most else points[np.linspace(0, len(points) - 1, most).astype(int)]


def _apart(points: np.ndarray, step_mm: float) -> np.ndarray:
    """One point of each cube of that side."""
    if len(points) == 0:
        return np.zeros((0, 3))
    _, first = np.unique(np.floor(points / step_mm).astype(np.int64), axis=0, return_index=True)
    return points[np.sort(first)]


def field_at(volume: np.ndarray, solution: FieldSolution, points: np.ndarray) -> np.ndarray:
    """Trilinear values of a solution's array at ``(3, m)`` points."""
    index = solution.geometry.world_to_index(points.T)[:, ::-1].T
    return ndimage.map_coordinates(volume, index, order=1, mode="nearest")


def calibrated(scene: Scene, needles: np.ndarray, direction: np.ndarray, pairs: list[tuple[int, int]], volts: np.ndarray, solution: FieldSolution,
               *, everywhere: bool = False) -> Scene:
    """A scene in which the quick model repeats a solved plan: factors of its points (largest field over the pairs, solved
    over quick), and the conductivity with which no pair's current is predicted lower than it was solved.

    ``needles (n, 4)``; ``pairs`` and ``volts`` in the order of the solution's pairs. ``everywhere``: one factor for each set of
    points, for arrangements unlike the solved one.
    """
    index = np.array(pairs, np.int64)
    needles, direction, volts = np.ascontiguousarray(needles, float), np.ascontiguousarray(direction, float), np.asarray(volts, float)
    share, distance = np.zeros(len(index)), np.zeros(len(index))
    kq.pair_shares(needles, direction, index, 0.5 * scene.diameter_mm, 0.0, 1e9, share, distance)
    sets = []
    for points in (scene.target, scene.risk, scene.tissue):
        m = points.points.shape[1]
        factor = np.ones(m)
        if m:
            lines, unit, quick = np.zeros((len(needles), 3, m)), np.zeros((len(index), m)), np.zeros(m)
            kq.pair_fields(points.points, np.ones(m), needles, direction, index, share, lines, unit)
            kq.strongest(unit, volts, quick)
            true = field_at(solution.e_max_v_per_cm, solution, points.points)
            factor = np.clip(true / np.maximum(quick, 1e-6), *FACTOR_RANGE)
            telling = (quick > 150.0) & (quick < 1500.0)
            middle = float(np.median(factor[telling])) if telling.any() else 1.0
            # beside the metal, and far away, the ratio tells of the grid and of the walls
            factor = np.where(telling & (not everywhere), factor, middle)
        sets.append(replace(points, factor=factor))
    ratio = [abs(r.current_a) / (4 * math.pi * 1e-3 * s * v) for r, s, v in zip(solution.pairs, share, volts, strict=True) if s > 0 and v > 0]
    return replace(scene, target=sets[0], risk=sets[1], tissue=sets[2], sigma_s_per_m=max(ratio) if ratio else scene.sigma_s_per_m)


def entry_length_mm(scene: Scene, tip: np.ndarray, direction: np.ndarray, exposure_mm: float) -> float:
    """How far from the tip a needle enters the patient: where outside air begins, else at the plane of the plan's own
    entries, else at the domain's wall; never within the exposed metal."""
    plan = scene.plan
    with np.errstate(divide="ignore"):
        walls = np.where(direction > 0, plan.domain.high_mm, plan.domain.low_mm)
        steps = np.where(np.abs(direction) > 1e-9, (walls - tip) / np.where(np.abs(direction) > 1e-9, direction, 1.0), np.inf)
    reach = float(steps.min())
    along = np.arange(exposure_mm, max(reach, exposure_mm + 0.5), 0.25)
    points = tip + along[:, None] * direction
    for n in scene.obstacles.outside:
        within = np.asarray(inside(plan.regions[n].shape, points))
        if within.any():
            return float(along[int(np.argmax(within))])
    level = float((scene.entry_mm - tip) @ scene.base) / max(float(direction @ scene.base), 0.1)
    return max(level, exposure_mm)
