"""When the target cannot be covered: which limit stands in the way, found by lifting one after the other."""

from __future__ import annotations

import math

import numpy as np

from planning.kernels import quick_field as kq
from planning.optimise.limits import Breach
from planning.optimise.scene import SKIN_MM, Scene
from planning.optimise.search import Candidate, Searcher

FREED = 0.5  # of the shortfall: what a limit must give back to be named


def what_forbids(searcher: Searcher, scene: Scene, begin: Candidate, goal: float, generations: int) -> list[Breach]:
    """Limits that, lifted alone, let the quick model cover the target, else those that at least halve what is missing.
    ``begin`` is the best arrangement within all limits."""
    limits = scene.limits
    count = len(begin.needles)
    place, electric = scene.place(), scene.electric()
    questions: list[tuple[str, str, float | None, int, dict]] = []

    def ask(code: str, message: str, limit: float | None, needles: int = count, **other) -> None:
        questions.append((code, message, limit, needles, other))

    stronger = electric.copy()
    stronger[2] *= 3.0
    ask("current", f"the current limit of {limits.current_most_a:g} A a pair", limits.current_most_a, electric=stronger)
    stronger = electric.copy()
    stronger[0] *= 3.0
    ask("voltage", f"the voltage limit of {limits.voltage_most_v:g} V", limits.voltage_most_v, electric=stronger)
    wider = place.copy()
    wider[4, 2], wider[5, 0] = 5.0, 60.0
    ask("spacing", f"needle spacing of {limits.spacing_least_mm:g} to {limits.spacing_most_mm:g} mm", limits.spacing_most_mm, place=wider)
    ask("needles", f"at most {limits.needles_most} needles", limits.needles_most, limits.needles_most + 2)
    for n in np.unique(scene.obstacle_region):
        kept = np.ascontiguousarray(scene.obstacle_points[:, scene.obstacle_region != n])
        ask("path_clearance", f"{scene.obstacles.names[int(n)]}, which needle paths keep {limits.path_clearance_mm:g} mm from", limits.path_clearance_mm, obstacles=kept)
    if len(scene.obstacles.names) > 1:
        ask("path_clearance", f"structures around, which needle paths keep {limits.path_clearance_mm:g} mm from (only together: {', '.join(scene.obstacles.names.values())})",
            limits.path_clearance_mm, obstacles=np.zeros((3, 0)))
    together = len(questions) - 1 if len(scene.obstacles.names) > 1 else -1
    free = place.copy()
    free[0:2] = [[-1e6] * 3, [1e6] * 3]
    free[2] = scene.plane[0] + 1e6 * scene.base
    free[4, 1] = -1e6
    ask("needle_outside_domain", f"the walls of the solved box, and the skin that bare metal stays {SKIN_MM:g} mm under", None, place=free)

    answers = [_missing(searcher, begin, goal, generations, needles, other) for _, _, _, needles, other in questions]
    now = _missing(searcher, begin, goal, generations, count, {})
    least = min(answers, default=math.inf)
    wanted = 0.0 if least <= 0 else FREED * now
    named = [(a, q) for a, q in zip(answers, questions, strict=True) if a <= wanted and a < now]
    if together >= 0 and sum(q[0] == "path_clearance" for _, q in named) > 1:  # a single structure says more
        named = [n for n in named if n[1] is not questions[together]]
    if not named and now > 0 and len(questions) > 0:
        everything = {"place": free, "electric": stronger, "obstacles": np.zeros((3, 0))}
        if _missing(searcher, begin, goal, generations, max(count, limits.needles_most), everything) < now:
            return [Breach("cover_not_reached", "several limits together: lifting any single one does not free the target", 100.0 * now, None)]
    return [Breach(q[0], q[1], None, q[2]) for _, q in sorted(named, key=lambda n: n[0])]


def _missing(searcher: Searcher, begin: Candidate, goal: float, generations: int, count: int, other: dict) -> float:
    """Mean shortfall that is left with a limit lifted; 1 where no arrangement fits at all."""
    found = searcher.explore(count, goal, starts=1, wanted=300, generations=generations, **other)
    if count == len(begin.needles):
        found.append(searcher.improve(begin, goal, generations=generations, **other))
    best = min(found, key=lambda c: c.merit)
    return 1.0 if best.figures[kq.VIOLATION] > 0 else float(best.figures[kq.SHORTFALL])
