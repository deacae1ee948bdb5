"""An outline in work: every step back and forth is exact, and the outline's own volume is never out of date."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.usecases.mask_draft import MaskDraft
from tests.usecases.strokes import stroke
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

GRID = ImageGeometry.from_spacing((6, 8, 10), (1.0, 1.0, 2.0))


def mask_of(seed: int, coverage_ml: float | None = None) -> NodeMask:
    return NodeMask(np.random.default_rng(seed).random(GRID.shape) > 0.6, GRID, coverage_volume_ml=coverage_ml)


def test_that_a_draft_copies_what_it_begins_with():
    first = mask_of(1, 0.5)
    draft = MaskDraft(GRID, first)
    draft.edit(np.zeros(GRID.shape, bool), "Clear")
    assert first.array.any()
    assert MaskDraft(GRID).is_empty


def test_that_a_value_handed_out_does_not_change_with_the_draft():
    draft = MaskDraft(GRID, mask_of(1, 0.5))
    out = draft.as_mask(name="N1")
    draft.edit(~draft.array, "Invert")
    assert np.array_equal(out.array, mask_of(1).array)
    assert (out.coverage_volume_ml, out.name) == (0.5, "N1")
    assert not out.array.flags.writeable


def test_that_a_new_outline_brings_its_volume_and_an_edit_drops_it():
    draft = MaskDraft(GRID)
    draft.replace(mask_of(1, 0.5), "Click")
    assert draft.coverage_volume_ml == 0.5
    draft.edit(~draft.array, "Invert")
    assert draft.coverage_volume_ml is None


def test_that_any_row_of_steps_is_undone_and_redone_exactly():
    rng = np.random.default_rng(5)
    draft = MaskDraft(GRID)
    states, steps = [(draft.array.copy(), None)], []
    for n in range(25):
        if n % 3 == 0:
            step = draft.replace(mask_of(100 + n, 0.1 * n), "Click")
        elif n % 3 == 1:
            new = draft.array.copy()
            new[tuple(rng.integers(0, s, 5) for s in GRID.shape)] ^= True
            step = draft.edit(new, "Edit")
        else:
            at = tuple(int(rng.integers(0, s)) for s in GRID.shape)
            step = stroke(draft, at, value=not draft.array[at])
        assert step is not None
        steps.append(step)
        states.append((draft.array.copy(), draft.coverage_volume_ml))
    at = len(steps)
    for move in [-1] * 25 + [1] * 25 + list(rng.choice([-1, 1], 200)):
        if move < 0 < at:
            at -= 1
            draft.undo(steps[at])
        elif move > 0 and at < len(steps):
            draft.redo(steps[at])
            at += 1
        assert np.array_equal(draft.array, states[at][0])
        assert draft.coverage_volume_ml == states[at][1]


def test_that_a_step_holds_what_changed_and_not_the_picture():
    draft = MaskDraft(GRID)
    step = stroke(draft, (2, 3, 4))
    assert step.patch.before.size == step.patch.after.size == 1


@pytest.mark.parametrize("coverage", [None, 0.5])
def test_that_nothing_changed_is_no_step_and_keeps_the_outlines_volume(coverage):
    draft = MaskDraft(GRID, mask_of(1, coverage))
    assert draft.edit(draft.array.copy(), "Fill holes") is None
    draft.begin_stroke()
    assert draft.end_stroke("Brush") is None
    inside = tuple(np.argwhere(draft.array)[0])
    assert stroke(draft, inside) is None
    assert draft.replace(mask_of(1, coverage), "Click") is None
    assert draft.coverage_volume_ml == coverage


def test_that_the_same_voxels_from_another_surface_are_a_step_all_the_same():
    draft = MaskDraft(GRID, mask_of(1, 0.5))
    step = draft.replace(replace(mask_of(1), coverage_volume_ml=0.6), "Click")
    assert draft.coverage_volume_ml == 0.6
    draft.undo(step)
    assert draft.coverage_volume_ml == 0.5
    draft.redo(step)
    assert draft.coverage_volume_ml == 0.6


def test_that_the_draft_measures_what_it_shows():
    draft = MaskDraft(GRID, mask_of(1, 0.5))
    assert draft.measure().voxel_count == int(mask_of(1).array.sum())
    assert draft.measure().volume_ml == 0.5
    draft.edit(np.eye(8, 10, dtype=bool)[None].repeat(6, 0), "Edit")
    assert draft.measure().volume_ml == pytest.approx(48 * 2.0 / 1000)
