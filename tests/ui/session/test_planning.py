"""The plan, its field, and what leaves the study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from app.usecases.plan import NeedleDraft
from app.usecases.readings import unpack_mask
from tests.ui.session.hands import CENTRE, WAIT_MS, lock, settle, solved, two_needles


def test_that_a_plan_is_solved_for_the_outlined_node(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    answer = outlined.assessment.to_dict()
    assert answer["targets"][0]["name"] == "N1"
    assert 0.0 < answer["targets"][0]["coverage_pct"] <= 100.0
    assert not outlined.field_is_preview


def test_that_a_moved_needle_drops_the_field_and_undo_puts_the_needle_back(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    before = outlined.plan
    first = before.needles[0]
    outlined.set_plan(before.with_needle(replace(first, tip_mm=(first.tip_mm[0] - 1.0, *first.tip_mm[1:]))), "Move E1")
    assert outlined.assessment is None
    assert outlined.solution is None
    outlined.undo_stack.undo()
    assert outlined.plan == before
    assert outlined.assessment is None  # solved again, not remembered


def test_that_numbers_vanish_as_soon_as_a_needle_is_dragged_and_the_drag_is_one_step(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    before, steps = outlined.plan, outlined.undo_stack.count()
    first = before.needles[0]
    for n in range(1, 4):
        outlined.set_plan(before.with_needle(replace(first, tip_mm=(first.tip_mm[0] - n, *first.tip_mm[1:]))), live=True)
        assert outlined.assessment is None
    qtbot.waitUntil(lambda: outlined.solution is not None, timeout=WAIT_MS)
    assert outlined.field_is_preview
    assert outlined.assessment is None
    outlined.set_plan(outlined.plan, "Move E1")
    assert outlined.undo_stack.count() == steps + 1
    outlined.undo_stack.undo()
    assert outlined.plan == before


def test_that_a_needle_pressed_but_not_moved_keeps_the_field(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    steps = outlined.undo_stack.count()
    outlined.set_plan(outlined.plan, "Move E1")
    assert outlined.assessment is not None
    assert outlined.undo_stack.count() == steps


def test_that_an_edit_of_the_target_drops_what_was_solved_for_the_old_outline(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    outlined.edit_mask("grow")
    qtbot.waitUntil(lambda: outlined.assessment is None, timeout=WAIT_MS)


def test_that_a_field_solved_for_needles_that_moved_meanwhile_is_dropped(qtbot, outlined):
    two_needles(outlined)
    outlined.solve()
    first = outlined.plan.needles[0]
    outlined.set_plan(outlined.plan.with_needle(replace(first, exposure_mm=10.0)), "Exposure")
    settle(qtbot, outlined)
    assert outlined.solution is None
    assert outlined.assessment is None


def test_that_one_needle_is_refused_with_a_sentence(qtbot, outlined, told):
    outlined.set_plan(outlined.plan.with_needle(NeedleDraft("E1", CENTRE, (CENTRE[0], CENTRE[1], CENTRE[2] + 40.0))), "One")
    outlined.solve()
    settle(qtbot, outlined)
    assert told.has("at least two needles")


def test_that_a_plan_belongs_to_its_visit(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    plan, assessment = outlined.plan, outlined.assessment
    first, second = (v.visit_id for v in outlined.visits)
    outlined.open_visit(second)
    settle(qtbot, outlined)
    assert outlined.plan.needles == ()
    assert outlined.solution is None
    assert outlined.assessment is None
    outlined.open_visit(first)
    settle(qtbot, outlined)
    assert outlined.plan is plan
    assert outlined.assessment is assessment


def test_that_a_solved_plan_is_kept_in_the_study(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    outlined.set_plan_session("day0")
    outlined.save_plan()
    settle(qtbot, outlined)
    (run,) = outlined.study.list_plan_runs("S-001")
    assert run.content["assessment"]["targets"][0]["coverage_pct"] == outlined.assessment.to_dict()["targets"][0]["coverage_pct"]
    mask = unpack_mask(outlined.study.get_blob(run.blobs["mask: N1"]))
    assert np.array_equal(mask.array, outlined.current.draft.array)


def test_that_a_table_is_exported_of_locked_readings_only(qtbot, outlined, told, tmp_path):
    outlined.keep_reading(outlined.current_node_id)
    settle(qtbot, outlined)
    outlined.export("csv", tmp_path / "out")
    settle(qtbot, outlined)
    assert told.has("Exported 0 locked readings")
    lock(qtbot, outlined)
    outlined.export("csv", tmp_path / "out")
    settle(qtbot, outlined)
    assert told.has("Exported 1 locked readings")


def test_that_a_plan_in_the_neck_is_refused_until_the_vessels_are_outlined_or_stated_far(qtbot, outlined):
    def unknown() -> list[str]:
        solved(qtbot, outlined)
        return [c["message"] for c in outlined.assessment.to_dict()["constraints"] if c["code"] == "structure_unknown"]

    two_needles(outlined)
    assert len(unknown()) == 2
    outlined.state_clear("carotid", True)
    outlined.state_clear("jugular", True)
    assert unknown() == []
    assert {s.by for s in outlined.solved_plan.anatomy.stated_clear} == {outlined.reader}
    first = outlined.plan.needles[0]
    outlined.set_plan(outlined.plan.with_needle(replace(first, tip_mm=(first.tip_mm[0] - 1.0, *first.tip_mm[1:]))), "Move E1")
    assert len(unknown()) == 2  # said of the needles as they lay
    outlined.undo_stack.undo()
    outlined.state_clear("jugular", False)
    assert len(unknown()) == 1
