"""From a plan to better ones: search with the quick model, solve the best in full, propose what differs in its trade-off."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from planning.electrode import angle_deg
from planning.errors import FieldNotConverged, PlanRefused
from planning.kernels import quick_field as kq
from planning.optimise.evaluate import (
    COVERED_PCT,
    Evaluated,
    Evaluator,
    candidate_of,
    needles_of,
    plan_of,
    scene_like,
    trimmed,
    with_volts,
)
from planning.optimise.forbids import what_forbids
from planning.optimise.limits import Breach, PlanLimits, breaches_of, find_obstacles
from planning.optimise.scene import Scene, build_scene
from planning.optimise.search import Candidate, Coding, Searcher
from planning.plan import TreatmentPlan
from volumetry.errors import Cancelled

GOAL = 1.03  # of the lethal field at every point of the target: the reserve for another grid
HIGHER = 1.02  # the goal rises by this each time that solved plans stay short of cover
RESERVES = (1.4, 1.25, 1.15)
PARALLEL_DEG = 3.0
NUMBERS_THAT_COVER = 3
TELL_S = 0.5  # how often the counts are told


@dataclass(frozen=True, slots=True, eq=False)
class Effort:
    """How much is looked at. Counts, not seconds: so that a seed gives the same answer on any machine."""

    layouts: int = 600
    generations: int = 45
    shortlist: int = 3
    solves: int = 3
    rounds: int = 4


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """One plan that breaks no limit, and why it is among the proposals: ``best``, ``most reserve``, ``fewest needles``
    or ``start`` (nothing better was found)."""

    name: str
    found: Evaluated

    def to_dict(self) -> dict:
        """As in the answer."""
        f = self.found
        return {"name": self.name, "plan": f.plan.to_dict(), "assessment": f.assessment.to_dict(), "trade_off": summary(f)}


def summary(f: Evaluated) -> dict:
    """The figures that proposals are compared by."""
    return {"coverage_pct": f.coverage_pct, "min_v_per_cm": f.lowest_v_per_cm, "at_risk_above_lethal_ml": f.risk_ml, "collateral_ml": f.collateral_ml,
            "needles": len(f.plan.electrodes), "pairs": len(f.plan.pulses), "current_sum_a": sum(f.currents_a), "current_most_a": max(f.currents_a), "limits_broken": [b.to_dict() for b in f.breaches]}


@dataclass(slots=True, eq=False)
class Optimisation:
    """The answer: ``proposals`` (best first), ``start`` (None where it cannot be solved), how much was looked at,
    ``stopped_by`` (``converged``, ``limits``, ``time``, ``cancelled``) and what forbids full cover."""

    limits: PlanLimits
    seed: int
    proposals: list[Proposal] = field(default_factory=list)
    start: Evaluated | None = None
    evaluations: int = 0
    candidates: int = 0
    stopped_by: str = "converged"
    forbidden_by: list[Breach] = field(default_factory=list)
    warnings: list[dict] = field(default_factory=list)
    spacing_mm: float = 1.0
    seconds: float = 0.0

    def to_dict(self) -> dict:
        """The answer of ``nodus optimise``."""
        return {"proposals": [p.to_dict() for p in self.proposals], "evaluations": self.evaluations, "candidates": self.candidates, "seed": self.seed,
                "stopped_by": self.stopped_by, "forbidden_by": [b.to_dict() for b in self.forbidden_by], "start": None if self.start is None else summary(self.start),
                "limits": self.limits.to_dict(), "spacing_mm": self.spacing_mm, "seconds": self.seconds, "warnings": self.warnings}


def optimise_plan(plan: TreatmentPlan, limits: PlanLimits | None = None, seed: int = 0, *, effort: Effort | None = None, seconds: float | None = None,
                  progress: Callable[[str, float], None] | None = None, should_cancel: Callable[[], bool] | None = None) -> Optimisation:
    """Move needles and voltages of a plan within hard limits for cover first.

    The plan gives the regions, the way in (mean direction of its needles), needle diameter and pulses. Needles of proposals
    are parallel. ``seconds`` stops the search, which then depends on the machine's speed; without it the answer follows from
    ``seed`` alone. Cancelling keeps the best so far. Raises ``PlanRefused`` (``no_target``).
    """
    limits = limits or PlanLimits()
    return _Run(plan, limits, seed, effort or Effort(), seconds, progress or (lambda text, part: None), should_cancel).go()


class _Run:
    """One optimisation."""

    def __init__(self, plan, limits, seed, effort, seconds, progress, should_cancel):
        self.plan, self.limits, self.effort, self.listener = plan, limits, effort, progress
        self.stage: tuple[str, float] = ("", 0.0)
        self.told_s = 0.0
        self.begun = time.perf_counter()
        self.until = None if seconds is None else self.begun + seconds
        self.cancelled = should_cancel or (lambda: False)
        self.goal = GOAL * plan.lethal_v_per_cm
        self.rng = np.random.default_rng(seed)
        self.answer = Optimisation(limits, seed)
        self.evaluator: Evaluator | None = None
        self.searcher: Searcher | None = None

    def should_stop(self) -> bool:
        return self.cancelled() or (self.until is not None and time.perf_counter() > self.until)

    def check(self) -> None:
        if self.should_stop():
            raise Cancelled
        if time.perf_counter() - self.told_s > TELL_S:
            self.progress(*self.stage)

    def progress(self, text: str, part: float) -> None:
        """Tell what is done now, with what was looked at and solved so far."""
        self.stage, self.told_s = (text, part), time.perf_counter()
        if self.searcher is not None and self.searcher.looked_at:
            text = f"{text}: {self.searcher.looked_at} arrangements looked at, {len(self.evaluator.solved)} solved"
        self.listener(text, part)

    def go(self) -> Optimisation:
        self.progress("Looking at the anatomy", 0.0)
        obstacles = find_obstacles(self.plan)
        scene = build_scene(self.plan, self.limits, obstacles)
        self.evaluator = Evaluator(scene, self.should_stop)
        self.searcher = Searcher(scene, self.rng, self.check)
        try:
            self._search(scene)
        except Cancelled:
            self.answer.stopped_by = "cancelled" if self.cancelled() else "time"
        return self._finish(scene)

    # -- the search -----------------------------------------------------------------------------

    def _search(self, scene: Scene) -> None:
        start = self._start(scene)
        if start is not None:
            scene = scene_like(scene, start, everywhere=True)
        found = self._explore(scene, start)
        self.progress("Solving the best in full", 0.35)
        best = None
        shortlist = self._shortlist(found)
        for n, candidate in enumerate(shortlist):
            self.progress(f"Solving arrangement {n + 1} of {len(shortlist)}", 0.35 + 0.3 * n / len(shortlist))
            best = _better(best, self._refine(scene, candidate))
        for n in range(self.effort.rounds):
            if best is None:
                break
            self.progress("Moving the best further", 0.65 + 0.2 * n / self.effort.rounds)
            before = best.key
            if not best.covers:
                self.goal *= HIGHER
            like = scene_like(scene, best)
            self.searcher.scene = like
            around = self.searcher.improve(candidate_of(like, best, self.goal), self.goal, sigma=0.5, generations=self.effort.generations)
            best = _better(best, self._refine(scene, around))
            if best.covers and (n >= 1 or not _much_better(best.key, before)):
                break
            if not best.covers and not _much_better(best.key, before):
                if not self._more_needles(scene, best):
                    break
                best = min((f for f in self.evaluator.solved), key=lambda f: f.key)
        if best is not None and best.covers:
            self.progress("Weighing reserve against harm", 0.88)
            self._reserve(scene, best)
            self._fewer_pairs(scene, best)
        else:
            self.progress("Asking which limit forbids", 0.88)
            self._forbids(scene, best, found)

    def _start(self, scene: Scene) -> Evaluated | None:
        try:
            self.answer.start = self.evaluator.judge(self.plan)
        except (PlanRefused, FieldNotConverged) as refusal:
            self.answer.warnings.append({"code": "start_not_solved", "message": f"The plan to begin with could not be solved: {refusal.message}"})
        return self.answer.start if self.answer.start is not None and _parallel(self.plan) else None

    def _explore(self, scene: Scene, start: Evaluated | None) -> list[Candidate]:
        """Arrangements of rising numbers of needles: the first number that covers, and two more."""
        self.searcher.scene = scene
        found: list[Candidate] = []
        covered = 0
        counts = range(self.limits.needles_least, self.limits.needles_most + 1)
        for count in counts:
            self.progress(f"Looking for {count} needles", 0.02 + 0.33 * (count - counts.start) / len(counts))
            mine = self.searcher.explore(count, self.goal, wanted=self.effort.layouts, generations=self.effort.generations)
            if start is not None and count == len(self.plan.electrodes):
                coding = Coding(scene, count)
                needles, direction, _, _ = needles_of(self.plan)
                mine += self.searcher.evolve(coding, [coding.encode(needles, direction)], 0.7, self.goal, self.effort.generations)
            found += mine
            covered += any(c.covers for c in mine)
            if covered == NUMBERS_THAT_COVER:
                break
        return found

    def _shortlist(self, found: list[Candidate]) -> list[Candidate]:
        """The best of each number of needles, then the next best; those that break a limit of place are left out."""
        usable = sorted((c for c in found if c.figures[kq.VIOLATION] <= 0 and (c.volts > 0).any()), key=lambda c: c.merit)
        first, rest = [], []
        for c in usable:
            (rest if any(len(o.needles) == len(c.needles) for o in first) else first).append(c)
        return (first + rest)[:self.effort.shortlist]

    def _solve(self, plan: TreatmentPlan | None) -> Evaluated | None:
        self.check()
        if plan is None:
            return None
        for known in self.evaluator.solved:
            if (known.plan.electrodes, known.plan.pulses) == (plan.electrodes, plan.pulses):
                return known
        try:
            return self.evaluator.judge(plan)
        except (PlanRefused, FieldNotConverged):
            return None  # a candidate that cannot be solved is no candidate

    def _refine(self, scene: Scene, candidate: Candidate) -> Evaluated | None:
        """Solve a candidate; then bring its voltages to what its solved field asks for, or move its needles where no
        voltage suffices."""
        plan = plan_of(scene, candidate.needles, candidate.direction, candidate.volts)
        best = None
        for n in range(self.effort.solves):
            found = self._solve(plan)
            if found is None:
                return best
            best = _better(best, found)
            if n == self.effort.solves - 1:
                break
            trim = trimmed(scene, self.limits, found, self.goal, self.rng)
            if trim.covers:
                if trim.change < 0.02:
                    break
                plan = with_volts(found, trim.volts)
                continue
            like = scene_like(scene, found)
            self.searcher.scene = like
            moved = self.searcher.improve(candidate_of(like, found, self.goal), self.goal, sigma=0.4, generations=self.effort.generations)
            if moved.figures[kq.VIOLATION] > 0:
                break
            plan = plan_of(scene, moved.needles, moved.direction, moved.volts)
        return best

    def _more_needles(self, scene: Scene, best: Evaluated) -> bool:
        """Where the quick model was too hopeful: more needles than were tried; False where the limit is reached."""
        count = max(len(f.plan.electrodes) for f in self.evaluator.solved) + 1
        if count > self.limits.needles_most:
            return False
        self.searcher.scene = scene_like(scene, best, everywhere=True)
        more = self.searcher.explore(max(count, self.limits.needles_least), self.goal, wanted=self.effort.layouts, generations=self.effort.generations)
        return more[0].figures[kq.VIOLATION] <= 0 and self._refine(scene, more[0]) is not None

    def _reserve(self, scene: Scene, best: Evaluated) -> None:
        """The same needles with more field in the target, as far as limits allow."""
        for reserve in RESERVES:
            trim = trimmed(scene, self.limits, best, reserve * self.plan.lethal_v_per_cm, self.rng)
            if trim.covers:
                self._solve(with_volts(best, trim.volts))
                return

    def _fewer_pairs(self, scene: Scene, best: Evaluated) -> None:
        """The same cover with as few pairs as do it."""
        trim = trimmed(scene, self.limits, best, self.goal, self.rng, pair_weight=1e3)
        if np.count_nonzero(trim.volts) < len(best.plan.pulses) and trim.covers:
            self._solve(with_volts(best, trim.volts))

    def _forbids(self, scene: Scene, best: Evaluated | None, found: list[Candidate]) -> None:
        like = scene if best is None else scene_like(scene, best)
        self.searcher.scene = like
        begin = candidate_of(like, best, self.goal) if best is not None else min(found, key=lambda c: c.merit)
        self.answer.forbidden_by = what_forbids(self.searcher, like, begin, self.goal, self.effort.generations)
        self.answer.stopped_by = "limits"

    # -- the answer -----------------------------------------------------------------------------

    def _finish(self, scene: Scene) -> Optimisation:
        answer, solved = self.answer, self.evaluator.solved
        answer.evaluations, answer.candidates = len(solved), self.searcher.looked_at
        answer.spacing_mm = self.evaluator.spacing_mm
        allowed = [f for f in solved if not f.breaches and (answer.start is None or f.key <= answer.start.key)]
        answer.proposals = [Proposal(p.name, p.found.assessed()) for p in _choose(allowed, answer.start)]
        if answer.start is not None and not answer.start.breaches and any(p.found.coverage_pct < COVERED_PCT for p in answer.proposals):
            # Where cover counts, it is compared as the assessment counts it.
            answer.start = answer.start.assessed()
            kept = [p for p in answer.proposals if p.name != "start" and p.found.key <= answer.start.key]
            answer.proposals = kept or [Proposal("start", answer.start)]
        best = answer.proposals[0].found if answer.proposals else None
        if best is None:
            breaches = list(answer.start.breaches) if answer.start is not None else breaches_of(self.plan, None, self.limits, scene.obstacles)
            text = f" (the plan to begin with: {breaches[0].message})" if breaches else ""
            answer.warnings.append({"code": "nothing_allowed", "message": f"No arrangement was found that breaks no limit{text}"})
        elif answer.proposals[0].name == "start":
            answer.warnings.append({"code": "nothing_better", "message": "Nothing better than the plan to begin with was found."})
        if answer.start is not None and answer.start.breaches:
            answer.warnings.append({"code": "start_breaks_limits", "message": "The plan to begin with breaks limits: " + " ".join(b.message for b in answer.start.breaches[:4])})
        if best is not None and best.coverage_pct < COVERED_PCT:
            why = "; ".join(b.message for b in answer.forbidden_by) or "no single limit was found that forbids more."
            answer.warnings.append({"code": "cover_not_reached", "message": f"At most {best.coverage_pct:.1f} % of the target is covered within the limits: {why}"})
        if answer.spacing_mm > self.plan.domain.spacing_mm + 1e-9:
            answer.warnings.append({"code": "solved_coarser", "message": f"Proposals were solved at {answer.spacing_mm:g} mm, the plan asks for {self.plan.domain.spacing_mm:g} mm: solve the chosen one before use."})
        if answer.stopped_by in ("cancelled", "time"):
            answer.warnings.append({"code": "search_stopped", "message": "The search was stopped early: the best so far is given, and a repetition may differ."})
        answer.seconds = time.perf_counter() - self.begun
        self.progress("Done", 1.0)
        return answer


def _parallel(plan: TreatmentPlan) -> bool:
    first = plan.electrodes[0]
    return all(angle_deg(first, e) <= PARALLEL_DEG and float(first.direction @ e.direction) > 0 for e in plan.electrodes[1:])


def _better(a: Evaluated | None, b: Evaluated | None) -> Evaluated | None:
    if a is None or b is None:
        return a or b
    return b if b.key < a.key else a


def _much_better(after: tuple, before: tuple) -> bool:
    """Fewer limits broken, a tenth of a per cent more cover, or a twentieth less harm (see ``rank_key``)."""
    if after[0] != before[0]:
        return after[0] < before[0]
    if after[1] != before[1]:
        return after[1] < before[1] - 0.1
    return after[2] < before[2] - 0.02 or (after[2] <= before[2] and after[3] < 0.95 * before[3])


def _choose(allowed: list[Evaluated], start: Evaluated | None) -> list[Proposal]:
    """The best by rank; of those that also cover, the one with most reserve and the one with fewest needles and pairs."""
    if not allowed:
        return []
    best = min(allowed, key=lambda f: f.key)
    out = [Proposal("start" if best is start else "best", best)]
    full = [f for f in allowed if f.covers] if best.covers else []
    if full:
        reserve = max(full, key=lambda f: (round(f.lowest_v_per_cm), -f.collateral_ml))
        if reserve is not best and reserve.lowest_v_per_cm > 1.05 * best.lowest_v_per_cm:
            out.append(Proposal("most reserve", reserve))
        few = min(full, key=lambda f: (len(f.plan.electrodes), len(f.plan.pulses), f.key))
        if (len(few.plan.electrodes), len(few.plan.pulses)) < (len(best.plan.electrodes), len(best.plan.pulses)):
            out.append(Proposal("fewest needles", few))
    return out


__all__ = ["Effort", "Optimisation", "Proposal", "optimise_plan"]
