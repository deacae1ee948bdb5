"""Kept runs side by side: needles as they lie against their plan, delivered pulses, any two plans."""

from __future__ import annotations

from dataclasses import dataclass

from app.study.model import Delivery, PlanRun
from app.study.store import StudyStore
from app.usecases.kept_plans import is_thermal, open_run
from app.usecases.plan import PlanDraft
from planning.compare import compare_delivery, compare_plans
from planning.plan import TreatmentPlan


@dataclass(frozen=True, slots=True, eq=False)
class LookedAt:
    """A run with what is known of it. ``found``: as ``compare_plans`` gives it, for needles as they lie; ``delivered``: as
    ``compare_delivery``, where values were recorded for this run."""

    run: PlanRun
    deliveries: tuple[Delivery, ...]
    found: dict | None
    delivered: dict | None


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of two plans: ``run`` is None for the one on screen. ``field`` has ``geometry`` and ``e_max_v_per_cm``; ``draft``
    is what is drawn of the plan."""

    run: PlanRun | None
    visit_id: str | None
    plan: TreatmentPlan
    draft: PlanDraft
    field: object | None
    answer: dict


@dataclass(frozen=True, slots=True, eq=False)
class SideBySide:
    """Two plans and their differences, second less first. ``same_visit``: both lie on the pictures of one visit; places of
    needles are compared only then."""

    first: Side
    second: Side
    found: dict
    same_visit: bool


def look_at_run(store: StudyStore, plan_run_id: str) -> LookedAt:
    """What is known of a run; of a plan of heat or cold nothing more than itself. Raises ``plan_run_missing``."""
    run = store.plan_run(plan_run_id)
    if is_thermal(run):
        return LookedAt(run, (), None, None)
    found = None
    if run.planned_id is not None:
        planned = store.plan_run(run.planned_id)
        found = compare_plans(planned.content["plan"], run.content["plan"], planned.content["assessment"], run.content["assessment"])
    records = tuple(store.deliveries(plan_run_id))
    given = [p.to_dict() for d in records for p in d.pairs]
    return LookedAt(run, records, found, compare_delivery(run.content["plan"], given) if given else None)


def side_of_run(store: StudyStore, plan_run_id: str) -> Side:
    """A kept run as one of two sides. Refusals as in ``open_run``."""
    opened = open_run(store, plan_run_id)
    return Side(opened.run, opened.run.visit_id, opened.plan, opened.draft, opened.field, opened.answer.to_dict())


def side_by_side(first: Side, second: Side) -> SideBySide:
    """Differences of two plans. Targets of other names are of other nodes and stay in rows of their own."""
    found = compare_plans(first.plan.to_dict(), second.plan.to_dict(), first.answer, second.answer)
    same = first.visit_id is not None and first.visit_id == second.visit_id
    if not same:
        found |= {"needles": []}  # two visits, two frames: a distance between points of both says nothing
    return SideBySide(first, second, found, same)
