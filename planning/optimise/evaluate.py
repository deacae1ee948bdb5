"""A candidate solved in full: its plan, its assessment, what it breaks and how it ranks; and its voltages brought down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planning.assessment import PlanAssessment, assess_plan
from planning.electrode import Electrode
from planning.field.solution import FieldSolution
from planning.field.solve import solve_plan
from planning.kernels import quick_field as kq
from planning.optimise.limits import Breach, PlanLimits, breaches_of
from planning.optimise.scene import Scene, all_pairs, calibrated, entry_length_mm, field_at
from planning.optimise.search import WEIGHTS, Candidate
from planning.plan import TreatmentPlan
from planning.pulse import PulsePair

COVERED_PCT = 99.9
FINEST_MM = 1.0
CELLS_MOST = 1_100_000
VOLTS_STEP = 10.0
CURRENT_SPARE = 0.985  # of the limit, when voltages are changed by proportion: tissue that opens draws more
ORDERS = 12


def evaluation_spacing_mm(plan: TreatmentPlan) -> float:
    """The grid that candidates are solved on: the plan's own, but not finer than 1 mm, and coarser in a large domain."""
    return max(plan.domain.spacing_mm, FINEST_MM, round((math.prod(plan.domain.size_mm) / CELLS_MOST) ** (1 / 3) + 0.005, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A solved and judged plan. ``key`` sorts: lower is better. ``solution`` is kept for the search only."""

    plan: TreatmentPlan
    assessment: PlanAssessment
    breaches: tuple[Breach, ...]
    key: tuple
    solution: FieldSolution

    @property
    def coverage_pct(self) -> float:
        """Of the worst target."""
        return min((t["coverage_pct"] or 0.0) for t in self.assessment.answer["targets"])

    @property
    def lowest_v_per_cm(self) -> float:
        """Smallest field in any target."""
        return min((t["min_v_per_cm"] or 0.0) for t in self.assessment.answer["targets"])

    @property
    def covers(self) -> bool:
        """Within the limits and at least 99.9 % covered."""
        return not self.breaches and self.coverage_pct >= COVERED_PCT

    @property
    def risk_ml(self) -> float:
        """Volume of structures at risk at or above the lethal threshold."""
        return sum(r["volume_above_lethal_ml"] or 0.0 for r in self.assessment.answer["at_risk"])

    @property
    def collateral_ml(self) -> float:
        """Ablation outside all targets."""
        return self.assessment.answer["collateral_ml"]

    @property
    def current_a(self) -> float:
        """Sum over the pairs."""
        return sum(abs(p["current_a"]) for p in self.assessment.answer["pairs"])


def rank_key(answer: dict, breaches) -> tuple:
    """Hard limits, cover (up to 99.9 %), structures at risk, healthy tissue, pairs, current. Volumes are rounded to what
    the grid tells apart."""
    coverage = min((t["coverage_pct"] or 0.0) for t in answer["targets"])
    risk = sum(r["volume_above_lethal_ml"] or 0.0 for r in answer["at_risk"])
    return (len(breaches), -min(round(coverage, 2), COVERED_PCT), round(risk, 2), round(answer["collateral_ml"], 1), len(answer["pairs"]),
            round(sum(abs(p["current_a"]) for p in answer["pairs"]), 1))


def plan_of(scene: Scene, needles: np.ndarray, direction: np.ndarray, volts: np.ndarray) -> TreatmentPlan:
    """The start plan with other needles and pulses; needles of no pair are left out. Tips are rounded to 0.01 mm,
    voltages up to 10 V."""
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
    pulses = tuple(PulsePair(names[int(a)], names[int(b)], min(most, math.ceil(v / VOLTS_STEP - 1e-6) * VOLTS_STEP), like.pulses, like.width_us, like.rate_hz)
                   for (a, b), v in zip(pairs, volts, strict=True) if v > 0)
    return replace(start, electrodes=tuple(electrodes), pulses=pulses)


def needles_of(plan: TreatmentPlan) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]], np.ndarray]:
    """``(needles (n, 4), mean direction, pairs, volts)`` of a plan, the last two in the order of its pulses."""
    ids = [e.id for e in plan.electrodes]
    needles = np.array([[*e.tip_mm, e.exposure_mm] for e in plan.electrodes])
    direction = np.mean([e.direction for e in plan.electrodes], axis=0)
    return (needles, direction / max(float(np.linalg.norm(direction)), 1e-9), [(ids.index(p.anode), ids.index(p.cathode)) for p in plan.pulses],
            np.array([p.voltage_v for p in plan.pulses]))


class Evaluator:
    """Solves plans on one grid and counts them."""

    def __init__(self, scene: Scene, should_stop: Callable[[], bool]):
        self.scene, self.should_stop = scene, should_stop
        self.spacing_mm = evaluation_spacing_mm(scene.plan)
        self.solved: list[Evaluated] = []

    def judge(self, plan: TreatmentPlan) -> Evaluated:
        """Solve, assess and rank; remembered. Raises ``PlanRefused``, ``FieldNotConverged``, ``Cancelled``."""
        solution = solve_plan(plan, spacing_mm=self.spacing_mm, keep_pair_fields=True, should_cancel=self.should_stop)
        assessment = assess_plan(plan, solution)
        breaches = tuple(breaches_of(plan, solution, self.scene.limits, self.scene.obstacles))
        out = Evaluated(plan, assessment, breaches, rank_key(assessment.answer, breaches), solution)
        self.solved.append(out)
        return out


def scene_like(scene: Scene, found: Evaluated, *, everywhere: bool = False) -> Scene:
    """The scene in which the quick model repeats a solved plan (see ``calibrated``)."""
    needles, direction, pairs, volts = needles_of(found.plan)
    return calibrated(scene, needles, direction, pairs, volts, found.solution, everywhere=everywhere)


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
              for s in (scene.target, scene.risk, scene.tissue)]
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


def with_volts(found: Evaluated, volts: np.ndarray) -> TreatmentPlan:
    """The plan with other voltages, pairs and needles without any left out."""
    plan = found.plan
    pulses = tuple(replace(p, voltage_v=math.ceil(v / VOLTS_STEP - 1e-6) * VOLTS_STEP) for p, v in zip(plan.pulses, volts, strict=True) if v > 0)
    used = {name for p in pulses for name in (p.anode, p.cathode)}
    return replace(plan, pulses=pulses, electrodes=tuple(e for e in plan.electrodes if e.id in used))
