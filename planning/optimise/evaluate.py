"""A candidate solved in full: its plan, its assessment, what it breaks and how it ranks; and its voltages brought down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planning.assessment import PlanAssessment, assess_plan
from planning.electrode import Electrode
from planning.errors import PlanRefused
from planning.field.solution import FieldSolution
from planning.field.solve import solve_plan
from planning.kernels import quick_field as kq
from planning.optimise.limits import Breach, PlanLimits, breaches_of
from planning.optimise.scene import PointSet, Scene, all_pairs, calibrated, entry_length_mm, field_at
from planning.optimise.search import WEIGHTS, Candidate
from planning.plan import TreatmentPlan

COVERED_PCT = 99.9
COUNTING_PCT = 0.02
FINEST_MM = 1.0
CELLS_MOST = 1_100_000
VOLTS_STEP = 10.0
CURRENT_SPARE = 0.985  # of the limit, when voltages are changed by proportion: tissue that opens draws more
ORDERS = 12
WEAKEST = 250


def evaluation_spacing_mm(plan: TreatmentPlan) -> float:
    """The grid that candidates are solved on: the plan's own, but not finer than 1 mm, and coarser in a large domain."""
    return max(plan.domain.spacing_mm, FINEST_MM, round((math.prod(plan.domain.size_mm) / CELLS_MOST) ** (1 / 3) + 0.005, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A solved plan, counted on the scene's points: cover of the worst target, smallest field in any target, volumes of
    structures at risk and of tissue outside the targets at or above the lethal field (air is neither). ``key`` sorts:
    lower is better. ``solution`` is for the search, ``assessment`` filled for what is proposed."""

    plan: TreatmentPlan
    solution: FieldSolution
    breaches: tuple[Breach, ...]
    coverage_pct: float
    lowest_v_per_cm: float
    risk_ml: float
    collateral_ml: float
    assessment: PlanAssessment | None = None

    @property
    def key(self) -> tuple:
        """How it ranks."""
        return rank_key(self.breaches, self.coverage_pct, self.risk_ml, self.collateral_ml, self.currents_a)

    @property
    def currents_a(self) -> list[float]:
        """Of every pair."""
        return [abs(r.current_a) for r in self.solution.pairs]

    @property
    def covers(self) -> bool:
        """Within the limits and covered, with a little in hand for another way of counting."""
        return not self.breaches and self.coverage_pct >= COVERED_PCT + COUNTING_PCT

    def assessed(self) -> Evaluated:
        """With its assessment, and cover as that counts it."""
        if self.assessment is not None:
            return self
        got = assess_plan(self.plan, self.solution)
        return replace(self, assessment=got, coverage_pct=min((t["coverage_pct"] or 0.0) for t in got.answer["targets"]),
                       lowest_v_per_cm=min((t["min_v_per_cm"] or 0.0) for t in got.answer["targets"]))


def rank_key(breaches, coverage_pct: float, risk_ml: float, collateral_ml: float, currents_a) -> tuple:
    """Hard limits, cover (up to 99.9 %), structures at risk, healthy tissue, pairs, current. Volumes are rounded to what
    the grid tells apart."""
    return (len(breaches), -min(round(coverage_pct, 2), COVERED_PCT), round(risk_ml, 2), round(collateral_ml, 1), len(currents_a), round(sum(currents_a), 1))


def count_field(scene: Scene, plan: TreatmentPlan, solution: FieldSolution) -> tuple[float, float, float, float]:
    """``(cover of the worst target in %, smallest field in any, structures at risk ml, tissue outside targets ml)``.

    Targets and structures by points, metal and shafts left out; healthy tissue by whole cells, air left out.
    """
    lethal = plan.lethal_v_per_cm
    worst, lowest, covered_ml = 100.0, math.inf, 0.0
    for points, volume in zip(scene.counted_targets, scene.target_ml, strict=True):
        points = points[:, ~_in_needles(plan, points)]
        e = field_at(solution.e_max_v_per_cm, solution, points)
        share = float((e >= lethal).mean()) if e.size else 0.0
        worst, lowest, covered_ml = min(worst, 100.0 * share), min(lowest, float(e.min(initial=math.inf))), covered_ml + share * volume
    e = field_at(solution.e_max_v_per_cm, solution, scene.counted_risk)
    risk = float((e >= lethal).sum()) * scene.counted_risk_ml
    hot = (solution.e_max_v_per_cm >= lethal) & ~solution.is_needle & ~solution.is_air
    return worst, lowest, risk, max(float(np.count_nonzero(hot)) * solution.geometry.voxel_size_mm3 / 1000.0 - covered_ml, 0.0)


def _in_needles(plan: TreatmentPlan, points: np.ndarray) -> np.ndarray:
    """True for ``(3, m)`` points in metal or shaft."""
    out = np.zeros(points.shape[1], bool)
    for e in plan.electrodes:
        off = points.T - e.tip_mm
        along = off @ e.direction
        out |= (along >= 0) & ((off**2).sum(1) - along**2 < (0.5 * e.diameter_mm) ** 2)
    return out


def plan_of(scene: Scene, needles: np.ndarray, direction: np.ndarray, volts: np.ndarray) -> TreatmentPlan | None:
    """The start plan with other needles and pulses, None where that is no plan; needles of no pair are left out. Tips are
    rounded to 0.01 mm, voltages up to 10 V."""
    start = scene.plan
    pairs = all_pairs(len(needles))
    used = sorted({int(i) for p, v in zip(pairs, volts, strict=True) if v > 0 for i in p})
    names = {i: f"E{n + 1}" for n, i in enumerate(used)}
    electrodes = []
    for i in used:
        tip = np.round(needles[i, :3], 2)
        length = math.ceil(10 * max(entry_length_mm(scene, tip, direction, float(needles[i, 3])), float(needles[i, 3]))) / 10
        electrodes.append(Electrode(names[i], tuple(tip), tuple(np.round(tip + length * direction, 3)), float(needles[i, 3]), scene.diameter_mm))
    like = start.pulses[0]
    most = scene.limits.voltage_most_v
    pulses = tuple(replace(like, anode=names[int(a)], cathode=names[int(b)], voltage_v=min(most, math.ceil(v / VOLTS_STEP - 1e-6) * VOLTS_STEP))
                   for (a, b), v in zip(pairs, volts, strict=True) if v > 0)
    return _replaced(start, tuple(electrodes), pulses)


def needles_of(plan: TreatmentPlan) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]], np.ndarray]:
    """``(needles (n, 4), mean direction, pairs, volts)`` of a plan, the last two in the order of its pulses."""
    ids = [e.id for e in plan.electrodes]
    needles = np.array([[*e.tip_mm, e.exposure_mm] for e in plan.electrodes])
    direction = np.mean([e.direction for e in plan.electrodes], axis=0)
    return (needles, direction / max(float(np.linalg.norm(direction)), 1e-9), [(ids.index(p.anode), ids.index(p.cathode)) for p in plan.pulses],
            np.array([p.voltage_v for p in plan.pulses]))


class Evaluator:
    """Solves plans on one grid and remembers them."""

    def __init__(self, scene: Scene, should_stop: Callable[[], bool]):
        self.scene, self.should_stop = scene, should_stop
        self.spacing_mm = evaluation_spacing_mm(scene.plan)
        self.solved: list[Evaluated] = []

    def judge(self, plan: TreatmentPlan) -> Evaluated:
        """Solve, count and rank; remembered. Raises ``PlanRefused``, ``FieldNotConverged``, ``Cancelled``."""
        solution = solve_plan(plan, spacing_mm=self.spacing_mm, keep_pair_fields=True, should_cancel=self.should_stop)
        breaches = tuple(breaches_of(plan, solution, self.scene.limits, self.scene.obstacles))
        out = Evaluated(plan, solution, breaches, *count_field(self.scene, plan, solution))
        self.solved.append(out)
        return out


def scene_like(scene: Scene, found: Evaluated, *, everywhere: bool = False) -> Scene:
    """The scene in which the quick model repeats a solved plan (see ``calibrated``) and also looks at the points of the
    targets where that plan is weakest."""
    needles, direction, pairs, volts = needles_of(found.plan)
    if not everywhere:
        scene = replace(scene, target=with_weakest(scene, found))
    return calibrated(scene, needles, direction, pairs, volts, found.solution, everywhere=everywhere)


def with_weakest(scene: Scene, found: Evaluated) -> PointSet:
    """The target's points and those counted points of the targets that have least field in a solved plan: the few that
    stand for a shape are not always the worst."""
    weakest = [scene.target.points]
    for points in scene.counted_targets:
        e = field_at(found.solution.e_max_v_per_cm, found.solution, points)
        weakest.append(points[:, np.argsort(e, kind="stable")[:WEAKEST]])
    points = np.ascontiguousarray(np.concatenate(weakest, axis=1))
    return PointSet(points, np.zeros(points.shape[1]), np.ones(points.shape[1]))


def candidate_of(scene: Scene, found: Evaluated, goal: float) -> Candidate:
    """A solved plan as a candidate of a scene (the quick model's own voltages)."""
    needles, direction, _, _ = needles_of(found.plan)
    figures, volts = scene.score(needles[None], direction[None], goal)
    return Candidate(needles, direction, volts[0], figures[0], math.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Trim:
    """Voltages for the pulses of a solved plan: whether they are expected to hold the target at the goal, and the
    largest change against the present ones (share)."""

    volts: np.ndarray
    covers: bool
    change: float


def trimmed(scene: Scene, limits: PlanLimits, found: Evaluated, goal: float, rng: np.random.Generator, *, pair_weight: float = 1.0) -> Trim:
    """The voltages, within the limits, that hold every point of the target at ``goal`` with least harm, taking each pair's
    solved field in proportion to its voltage. Several orders of the pairs are tried; where the goal cannot be met
    the most that is allowed is given."""
    volts = np.array([p.voltage_v for p in found.plan.pulses])
    amps = np.array([abs(r.current_a) for r in found.solution.pairs])
    cap = np.minimum(limits.voltage_most_v, volts * CURRENT_SPARE * limits.current_most_a / np.maximum(amps, 1e-6))
    cap = np.where(cap < limits.voltage_least_v, 0.0, np.floor(cap / VOLTS_STEP) * VOLTS_STEP)
    fields = [np.array([field_at(r.e_v_per_cm, found.solution, s.points) / r.voltage_v for r in found.solution.pairs]) if s.points.shape[1] else np.zeros((len(volts), 0))
              for s in (with_weakest(scene, found), scene.risk, scene.tissue)]
    target, risk, tissue = (np.ascontiguousarray(f) for f in fields)
    lethal = found.plan.lethal_v_per_cm
    most = np.zeros(target.shape[1])
    kq.strongest(target, cap, most)
    covers = bool((most >= goal).all())
    best, best_harm = cap, math.inf
    orders = [np.argsort(-cap * amps, kind="stable"), np.argsort(-amps / np.maximum(volts, 1), kind="stable"), *(rng.permutation(len(volts)) for _ in range(ORDERS))]
    for order in orders:
        v, others = cap.copy(), np.zeros(target.shape[1])
        kq.least_voltages(target, cap, limits.voltage_least_v, float(goal), order, 2, v, others)
        harm = WEIGHTS["pairs"] * pair_weight * np.count_nonzero(v) + WEIGHTS["current_a"] * float((amps * v / volts).sum())
        if risk.shape[1]:
            top = (risk * v[:, None]).max(0) / lethal
            harm += WEIGHTS["risk_ml"] * float((scene.risk.ml * np.clip((top - 0.9) / 0.2, 0, 1)).sum()) + WEIGHTS["risk_mean"] * float(np.minimum(top**2, 4).mean())
        harm += WEIGHTS["collateral_ml"] * float((scene.tissue.ml * np.clip(((tissue * v[:, None]).max(0) / lethal - 0.9) / 0.2, 0, 1)).sum())
        if harm < best_harm:
            best, best_harm = v, harm
    return Trim(best, covers, float(np.abs(best / volts - 1).max()))


def with_volts(found: Evaluated, volts: np.ndarray) -> TreatmentPlan | None:
    """The plan with other voltages, pairs and needles without any left out; None where nothing is left."""
    plan = found.plan
    pulses = tuple(replace(p, voltage_v=math.ceil(v / VOLTS_STEP - 1e-6) * VOLTS_STEP) for p, v in zip(plan.pulses, volts, strict=True) if v > 0)
    used = {name for p in pulses for name in (p.anode, p.cathode)}
    return _replaced(plan, tuple(e for e in plan.electrodes if e.id in used), pulses)


def _replaced(plan: TreatmentPlan, electrodes: tuple, pulses: tuple) -> TreatmentPlan | None:
    try:
        return replace(plan, electrodes=electrodes, pulses=pulses)
    except PlanRefused:  # needles out of the box, or no pulses: a candidate that is no plan
        return None
