"""Place the needles of a plan file anew: read its limits and seed, search, write the best proposal."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path

from app import __version__
from app.jobs import JobContext
from app.jobs.aside import run_aside
from app.usecases.files import read_json, write_json
from app.usecases.plan import load_plan
from planning.errors import PlanRefused
from planning.optimise import Effort, Optimisation, PlanLimits, limits_from_dict, optimise_plan
from planning.plan import TreatmentPlan
from planning.safety import DeviceLimits
from volumetry.errors import Cancelled

SEED_MOST = 2**63 - 1


@cache
def device() -> tuple[DeviceLimits, tuple[float, ...]]:
    """Limits of the generator and the needle's exposures, from ``resources/devices``."""
    folder = resources.files("resources").joinpath("devices")
    generator, needle = (json.loads(folder.joinpath(name).read_text(encoding="utf-8")) for name in ("ire_generator.json", "needle_monopolar_19g.json"))
    return DeviceLimits.from_dict(generator), tuple(float(v) for v in needle["exposures_mm"])


def read_limits(d: Mapping | None) -> PlanLimits:
    """A plan file's ``limits`` within those of the device."""
    return limits_from_dict(d, *device())


def load_request(path: Path) -> tuple[TreatmentPlan, PlanLimits, int]:
    """``(plan, limits, seed)`` of a plan file; refuses as ``load_plan`` does, and ``bad_limits``, ``bad_seed``."""
    content = read_json(path, code="not_a_plan")
    plan = load_plan(path)
    return plan, read_limits(content.get("limits")), check_seed(content.get("seed", 0))


def check_seed(seed) -> int:
    """A whole number, 0 or more, or a refusal."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= SEED_MOST:
        raise PlanRefused("The seed must be a whole number, 0 or more.", code="bad_search_seed")
    return seed


def optimise(plan: TreatmentPlan, limits: PlanLimits, seed: int, context: JobContext, *, seconds: float | None = None, effort: Effort | None = None) -> Optimisation:
    """Search within the limits. Cancelling the context ends the search and keeps the best so far; it does not raise."""

    def tell(text: str, part: float) -> None:
        with suppress(Cancelled):  # the search itself looks at the token
            context.report(text, part)

    return optimise_plan(plan, limits, seed, effort=effort, seconds=seconds, progress=tell, should_cancel=lambda: context.token.is_cancelled)


def optimise_aside(plan: TreatmentPlan, limits: PlanLimits, seed: int, context: JobContext, *, effort: Effort | None = None) -> dict:
    """As ``optimise``, in a process of its own (``run_aside``); gives the answer of ``nodus optimise``. The same numbers as there."""
    return run_aside(_answer, (plan, limits, seed, effort), context)


def _answer(plan: TreatmentPlan, limits: PlanLimits, seed: int, effort: Effort | None, context: JobContext) -> dict:
    return optimise(plan, limits, seed, context, effort=effort).to_dict()


def write_best(result: Optimisation, source: Path, out: Path) -> Path | None:
    """Write the first proposal as a plan file that can be solved and optimised again; None where there is none.

    Masks keep their place: their paths are made relative to the new file.
    """
    if not result.proposals:
        return None
    best = result.proposals[0].found
    plan = best.plan.to_dict()
    for region in plan["regions"]:
        path = region["shape"].get("path")
        if path is not None:
            there = (source.parent / path).resolve()
            try:
                region["shape"]["path"] = Path(os.path.relpath(there, out.resolve().parent)).as_posix()
            except ValueError:  # another drive
                region["shape"]["path"] = there.as_posix()
    limits = result.limits.to_dict()
    if len(result.limits.exposures_mm) == 2:  # two numbers would be read as a range
        limits["exposure_mm"] = [*result.limits.exposures_mm, result.limits.exposures_mm[-1]]
    out.parent.mkdir(parents=True, exist_ok=True)
    return write_json(out, {**plan, "limits": limits, "seed": result.seed, "assessment": best.assessment.to_dict(), "software_version": __version__})

