"""A plan drawn in the window says where it lies and which vessels its reader knows of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.usecases.plan import NeedleDraft, PlanDraft, draft_to_plan, tissue_presets
from app.usecases.structures import NECK_STRUCTURES, SIDED, structure_name
from planning.anatomy import REQUIRED, is_named, side_named
from planning.safety import anatomy_constraints


def draft(**more) -> PlanDraft:
    out = PlanDraft(**more)
    for n, x in enumerate((0.0, 15.0)):
        out = out.with_needle(NeedleDraft(f"E{n + 1}", (x, 0.0, -7.5), (x, 0.0, 60.0), 15.0))
    return out


def codes(of: PlanDraft) -> list[str]:
    return [c.code for c in anatomy_constraints(draft_to_plan(of), {})]


def test_that_a_drawn_plan_refuses_until_both_vessels_are_answered():
    plan = draft(side="left")
    assert codes(plan) == ["structure_unknown"] * 2
    plan = plan.with_stated_clear("left carotid", "Dr A", utc="2026-01-05T08:00:00Z")
    assert codes(plan) == ["structure_unknown"]
    plan = plan.with_stated_clear("left jugular", "Dr A", farther_than_mm=20.0)
    assert codes(plan) == []
    assert codes(plan.without_stated_clear("carotid")) == ["structure_unknown"]


def test_that_a_statement_ends_when_a_needle_moves_or_is_added():
    plan = draft(side="left").with_stated_clear("carotid", "Dr A", farther_than_mm=20.0).with_stated_clear("jugular", "Dr A", farther_than_mm=20.0)
    first = plan.needles[0]
    assert codes(plan.with_needle(replace(first, tip_mm=(0.0, 4.0, -7.5)))) == []
    assert codes(plan.with_needle(replace(first, tip_mm=(0.0, 6.0, -7.5)))) == ["structure_unknown"] * 2
    assert codes(plan.with_needle(NeedleDraft("E3", (7.0, 12.0, -7.5), (7.0, 12.0, 60.0), 15.0))) == ["structure_unknown"] * 2


def test_that_a_plan_for_the_liver_asks_for_no_vessel_of_the_neck():
    plan = draft_to_plan(draft(site="liver"))
    assert plan.anatomy.site == "liver"
    assert anatomy_constraints(plan, {}) == []


@pytest.mark.parametrize("side", ["left", "right", "unknown"])
def test_that_names_offered_for_structures_are_understood_by_the_rule(side):
    presets = tissue_presets()
    for kind, preset in NECK_STRUCTURES:
        assert preset in presets
        name = structure_name(kind, side)
        assert side_named(name) == (side if kind in SIDED and side != "unknown" else None)
        assert is_named(name, kind)
    assert set(REQUIRED["neck"]) <= {kind for kind, _ in NECK_STRUCTURES}
    assert is_named(structure_name("carotid", "left", ("left carotid",)), "carotid")


def test_that_a_name_that_is_taken_gets_a_number():
    assert structure_name("carotid", "left", ("left carotid", "left carotid 2")) == "left carotid 3"
