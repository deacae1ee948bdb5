"""An outline in work with its undo steps in the study: together or not at all, and exact after any row of edits and reopenings."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from app.study.audit import verify
from app.study.backup import backup, restore
from app.study.store import StudyStore
from app.usecases.mask_draft import MaskDraft, fingerprint, pack_draft, unpack_draft
from app.usecases.readings import pack_mask, unpack_mask, unpack_undo
from tests.study.builders import CaseBuilder
from tests.usecases.strokes import stroke
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin
from volumetry.segmentation.editing import bounding_box
from volumetry.segmentation.history import EditHistory, OutlineClick

GRID = ImageGeometry.from_spacing((6, 8, 10), (1.0, 1.0, 2.0))
CARRIED = Finding("propagated", "This outline was carried over from another visit: check it slice by slice.", "warning")
CLICK = OutlineClick((1.0, 2.0, 3.0), 5.0, ((2.0, 2.0, 2.0),))


def mask_of(seed: int, **more) -> NodeMask:
    return NodeMask(np.random.default_rng(seed).random(GRID.shape) > 0.6, GRID, **more)


def drawn(seed: int = 0) -> MaskDraft:
    """A click, a repair, a stroke; the last step taken back."""
    draft = MaskDraft(GRID)
    draft.replace(mask_of(seed, coverage_volume_ml=0.5, origin=OutlineOrigin("star_convex")), "Outline by click", click=CLICK)
    draft.edit(np.roll(draft.array, 1, axis=1), "Smooth")
    draft.undo(stroke(draft, (2, 3, 4), value=not draft.array[2, 3, 4]))
    return draft


def reopened(draft: MaskDraft, **more) -> MaskDraft:
    again, trouble = unpack_draft(pack_draft(draft.as_mask(), draft.history), **more)
    assert trouble is None
    return again


# ---- the bytes -------------------------------------------------------------------------------------


def test_that_steps_go_on_where_they_stood_after_a_reopening():
    draft = drawn()
    again = reopened(draft)
    assert np.array_equal(again.array, draft.array)
    assert (again.history.undo_text, again.history.redo_text) == ("Smooth", "Brush")
    for move in ("redo", "undo", "undo", "undo"):
        for d in (draft, again):
            at = d.history.done_count
            getattr(d, move)(d.history.steps[at if move == "redo" else at - 1])
        assert np.array_equal(again.array, draft.array)
        assert again.note == draft.note
    assert again.is_empty


def test_that_the_click_and_its_points_are_known_again_while_they_describe_the_outline():
    draft = MaskDraft(GRID)
    draft.replace(mask_of(1), "Outline by click", click=CLICK)
    assert reopened(draft).click == CLICK
    draft.edit(~draft.array, "Invert")
    again = reopened(draft)
    assert again.click is None
    again.undo(again.history.steps[-1])
    assert again.click == CLICK


def test_that_an_outline_kept_without_steps_is_taken_up_as_before():
    mask = mask_of(1, coverage_volume_ml=0.5)
    again, trouble = unpack_draft(pack_mask(mask), locks=2)
    assert trouble is None
    assert np.array_equal(again.array, mask.array)
    assert (again.history.steps, again.history.locks) == ((), 2)


def test_that_whatever_reads_masks_reads_an_outline_with_steps():
    draft = drawn()
    data = pack_draft(draft.as_mask(), draft.history)
    assert np.array_equal(unpack_mask(data).array, draft.array)
    assert unpack_undo(pack_mask(draft.as_mask())) is None


@pytest.mark.parametrize("change", ["voxel", "place", "shape"])
def test_that_steps_of_another_outline_are_told_and_never_used(change):
    draft = drawn()
    other = draft.array.copy()
    other[0, 0, 0] ^= True
    mask = {
        "voxel": NodeMask(other, GRID),
        "place": NodeMask(draft.array.copy(), ImageGeometry.from_spacing(GRID.shape, (1.0, 1.0, 2.0), (0.5, 0, 0))),
        "shape": NodeMask(np.pad(draft.array, ((0, 1), (0, 0), (0, 0))), ImageGeometry.from_spacing((7, 8, 10), (1.0, 1.0, 2.0))),
    }[change]
    data = pack_mask(mask, undo=draft.history.to_bytes(fingerprint(draft.as_mask())))
    again, trouble = unpack_draft(data)
    assert trouble.code == "undo_not_restored"
    assert "another outline" in trouble.message
    assert np.array_equal(again.array, mask.array)
    assert again.history.steps == ()


def test_that_damaged_steps_do_not_cost_the_outline():
    draft = drawn()
    undo = bytearray(draft.history.to_bytes(fingerprint(draft.as_mask())))
    undo[len(undo) // 2] ^= 0xFF
    again, trouble = unpack_draft(pack_mask(draft.as_mask(), undo=bytes(undo)))
    assert trouble.code == "undo_not_restored"
    assert np.array_equal(again.array, draft.array)


def test_that_steps_before_a_lock_do_not_come_back():
    draft = drawn()
    again = reopened(draft, locks=1)
    assert again.history.steps == ()
    assert again.history.locks == 1
    assert again.note == draft.note


# ---- what was noticed ------------------------------------------------------------------------------


def test_that_findings_and_name_are_packed_with_the_mask():
    mask = mask_of(1, name="N1", findings=(CARRIED, Finding("registration_loose", "The visits fit badly.", "serious")))
    back = unpack_mask(pack_mask(mask))
    assert (back.name, back.findings) == (mask.name, mask.findings)


def test_that_a_mask_with_nothing_to_tell_packs_to_the_same_bytes_as_ever():
    assert pack_mask(mask_of(1)) == pack_mask(mask_of(1, findings=()))
    with np.load(io.BytesIO(pack_mask(mask_of(1)))) as z:
        assert set(z.files) == {"bits", "crop_shape", "start", "shape", "affine", "label", "coverage_volume_ml"}


def test_that_no_repair_by_hand_takes_the_mark_of_a_copy_away():
    draft = MaskDraft(GRID)
    draft.replace(mask_of(1, findings=(CARRIED,), origin=OutlineOrigin("propagated")), "Copy outline")
    draft.edit(np.roll(draft.array, 1, axis=0), "Smooth")
    assert stroke(draft, *np.argwhere(draft.array[:5]), value=False) is not None
    for d in (draft, reopened(draft)):
        assert d.as_mask().findings == (CARRIED,)
        assert (d.origin.method, d.origin.edited) == ("propagated", True)


@pytest.mark.parametrize("how", ["click", "by hand on nothing"])
def test_that_the_mark_goes_with_the_copy_itself_and_undo_brings_both_back(how):
    draft = MaskDraft(GRID, mask_of(1, findings=(CARRIED,), origin=OutlineOrigin("propagated")))
    copied = draft.array.copy()
    if how == "click":
        draft.replace(mask_of(2, origin=OutlineOrigin("star_convex")), "Outline by click")
    else:
        draft.edit(np.zeros_like(draft.array), "Clear outline")
        assert draft.findings == (CARRIED,)
        stroke(draft, (2, 2, 2), (2, 3, 3), (2, 4, 4))
    assert draft.as_mask().findings == ()
    assert draft.origin.method != "propagated"
    again = reopened(draft)
    while again.history.done_count:
        again.undo(again.history.steps[again.history.done_count - 1])
    assert np.array_equal(again.array, copied)
    assert (again.findings, again.origin.method) == ((CARRIED,), "propagated")


# ---- in the study ----------------------------------------------------------------------------------


def kept_in(store: StudyStore, case: CaseBuilder) -> MaskDraft:
    draft, trouble = unpack_draft(store.load_draft_mask(case.node.node_id, case.visits["Baseline"].visit_id, reader="tester"))
    assert trouble is None
    return draft


def test_that_a_backup_carries_the_steps_and_the_audit_knows_them(case: CaseBuilder, tmp_path: Path):
    draft = drawn()
    case.store.save_draft_mask(case.node.node_id, case.visits["Baseline"].visit_id, pack_draft(draft.as_mask(), draft.history))
    backup(case.store, tmp_path / "copy")
    with restore(tmp_path / "copy", tmp_path / "again") as store:
        again = kept_in(store, case)
        assert verify(store).ok
    again.redo(again.history.steps[again.history.done_count])
    draft.redo(draft.history.steps[draft.history.done_count])
    assert np.array_equal(again.array, draft.array)


def test_that_a_write_that_fails_leaves_the_older_outline_with_its_own_steps(case: CaseBuilder, monkeypatch):
    store, key = case.store, (case.node.node_id, case.visits["Baseline"].visit_id)
    draft = drawn()
    store.save_draft_mask(*key, pack_draft(draft.as_mask(), draft.history))
    old = draft.array.copy()
    draft.edit(~draft.array, "Invert")

    def full(*_args, **_kwargs):
        raise NodusError("The disk is full.", code="study_write_failed")

    for part in ("put_blob", "_write"):
        with monkeypatch.context() as patch:
            patch.setattr(store, part, full)
            with pytest.raises(NodusError):
                store.save_draft_mask(*key, pack_draft(draft.as_mask(), draft.history))
        again = kept_in(store, case)
        assert np.array_equal(again.array, old)
        assert again.history.undo_text == "Smooth"
    store.save_draft_mask(*key, pack_draft(draft.as_mask(), draft.history))
    assert kept_in(store, case).history.undo_text == "Invert"


class Editing(RuleBasedStateMachine):
    """Random edits, undo, redo, failing writes and reopenings against a plain list of arrays."""

    template: Path

    def __init__(self):
        super().__init__()
        self.folder = Path(str(self.template) + "-run")
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        self.store = StudyStore.open(self.folder, user="tester")
        self.key = (self.store.nodes()[0].node_id, self.store.visits()[0].visit_id)
        self.states, self.at, self.saved = [], 0, None

    @initialize(seed=st.integers(0, 99), carried=st.booleans())
    def begin(self, seed, carried):
        self.draft = MaskDraft(GRID)
        self.states = [(self.draft.array.copy(), self.draft.note)]
        self.did(self.draft.replace(mask_of(seed, findings=(CARRIED,) if carried else ()), "Outline", click=None if carried else CLICK))
        self.save()

    def did(self, step):
        if step is not None:
            self.states = [*self.states[: self.at + 1], (self.draft.array.copy(), self.draft.note)]
            self.at += 1

    @rule(seed=st.integers(0, 9), click=st.sampled_from([None, CLICK, CLICK._replace(radius_mm=6.0)]))
    def outline(self, seed, click):
        self.did(self.draft.replace(mask_of(seed, coverage_volume_ml=seed / 10), "Outline by click", click=click))

    @rule(box=st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, 4)) for n in GRID.shape)), value=st.booleans(), looked=st.booleans())
    def repair(self, box, value, looked):
        new = self.draft.copy_array()
        new[tuple(slice(a, a + n) for a, n in box)] = value
        self.did(self.draft.edit(new, "Repair", **({"box": bounding_box(new)} if looked else {})))

    @rule(dabs=st.lists(st.tuples(*(st.integers(0, n - 1) for n in GRID.shape)), max_size=4), value=st.booleans(), radius_mm=st.sampled_from([0.1, 1.5, 4.0]))
    def paint(self, dabs, value, radius_mm):
        self.did(stroke(self.draft, *dabs, value=value, radius_mm=radius_mm))

    @precondition(lambda self: self.at > 0)
    @rule()
    def undo(self):
        self.draft.undo(self.draft.history.steps[self.draft.history.done_count - 1])
        self.at -= 1

    @precondition(lambda self: self.at + 1 < len(self.states))
    @rule()
    def redo(self):
        self.draft.redo(self.draft.history.steps[self.draft.history.done_count])
        self.at += 1

    @rule()
    def save(self):
        self.store.save_draft_mask(*self.key, pack_draft(self.draft.as_mask(), self.draft.history))
        self.saved = (list(self.states), self.at)

    @rule()
    def fail_to_save(self):
        whole, self.store.put_blob = self.store.put_blob, self.refuse
        with pytest.raises(NodusError):
            self.store.save_draft_mask(*self.key, pack_draft(self.draft.as_mask(), self.draft.history))
        self.store.put_blob = whole

    @staticmethod
    def refuse(_data):
        raise NodusError("The disk is full.", code="study_write_failed")

    @rule()
    def crash_and_reopen(self):
        """What was not saved is gone; what was saved is there with every step."""
        self.store.close()
        self.store = StudyStore.open(self.folder, user="tester")
        self.draft, trouble = unpack_draft(self.store.load_draft_mask(*self.key))
        assert trouble is None
        self.states, self.at = list(self.saved[0]), self.saved[1]

    @rule()
    def walk_to_both_ends(self):
        here = self.at
        while self.at:
            self.undo()
            self.matches()
        while self.at + 1 < len(self.states):
            self.redo()
            self.matches()
        while self.at > here:
            self.undo()

    @invariant()
    def matches(self):
        if self.states:
            array, note = self.states[self.at]
            assert np.array_equal(self.draft.array, array)
            assert np.array_equal(self.draft.copy_array(), array)
            assert self.draft.is_empty == (not array.any())
            assert self.draft.box == bounding_box(array)
            assert self.draft.note == note
            assert self.draft.history.done_count == self.at
            assert len(self.draft.history.steps) == len(self.states) - 1

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def test_that_any_row_of_edits_saves_and_reopenings_undoes_and_redoes_exactly(case: CaseBuilder, tmp_path: Path):
    case.store.close()
    machine = type("Editing", (Editing,), {"template": case.store.folder})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    )


def test_that_a_hundred_and_fifty_steps_are_kept_as_the_last_hundred(case: CaseBuilder):
    draft = MaskDraft(GRID)
    states = [draft.array.copy()]
    for n in range(150):
        draft.replace(replace(mask_of(n), coverage_volume_ml=float(n)), f"Step {n}")
        states.append(draft.array.copy())
    again = reopened(draft)
    assert len(again.history.steps) == 100
    while again.history.done_count:
        again.undo(again.history.steps[again.history.done_count - 1])
    assert np.array_equal(again.array, states[50])
    assert again.coverage_volume_ml == 49.0


def test_that_a_copy_of_a_history_goes_its_own_way():
    draft = drawn()
    kept = draft.history.copy()
    draft.edit(~draft.array, "Invert")
    assert (kept.redo_text, len(kept.steps)) == ("Brush", 3)
    assert isinstance(kept, EditHistory)
