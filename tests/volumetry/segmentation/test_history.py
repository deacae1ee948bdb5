"""Undo steps that are saved: bounded, never another outline's, never half read."""

from __future__ import annotations

import numpy as np
import pytest

from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.mask import MaskPatch
from volumetry.outline_origin import OutlineOrigin
from volumetry.segmentation.history import KEPT_BYTES, EditHistory, EditStep, OutlineClick, OutlineNote

SHAPE = (6, 9, 11)
CLICK = OutlineClick((1.5, -2.25, 3.0), 8.0, ((4.0, 5.0, 6.5), (7.0, 8.0, 9.125)))
FULL = OutlineNote(1.2345678901234, OutlineOrigin("propagated", True, {"from": "Baseline"}), (Finding("propagated", "Look — slice by slice.", "warning"),), CLICK)


def walked(count: int, seed: int = 0, *, undone: int = 0) -> tuple[EditHistory, np.ndarray, list[np.ndarray]]:
    """A history of random edits, the array as it stands, and the array after every step."""
    rng = np.random.default_rng(seed)
    array, history = np.zeros(SHAPE, bool), EditHistory(None, locks=3)
    states = [array.copy()]
    for n in range(count):
        before = array.copy()
        array ^= rng.random(SHAPE) > 0.9
        array[tuple(rng.integers(0, s) for s in SHAPE)] ^= True
        patch = MaskPatch.between(before, array)
        history.push(EditStep(f"Step {n}", patch, FULL if n % 3 else OutlineNote(), OutlineNote() if n % 2 else FULL, 1e9 + n))
        states.append(array.copy())
    for _ in range(undone):
        history.undo(array)
    return history, array, states


def refusal(data: bytes, belongs_to: str = "x", shape=SHAPE) -> str:
    with pytest.raises(SegmentationRefused) as refused:
        EditHistory.from_bytes(data, np.zeros(shape, bool), belongs_to)
    return refused.value.code


@pytest.mark.parametrize("undone", [0, 4, 12])
def test_that_a_saved_history_is_the_same_history(undone):
    history, array, states = walked(12, undone=undone)
    again = EditHistory.from_bytes(history.to_bytes("x"), array, "x")
    assert (again.locks, again.done_count) == (3, 12 - undone)
    for old, new in zip(history.steps, again.steps, strict=True):
        assert (old.text, old.before, old.after, old.done_utc_s, old.patch.box) == (new.text, new.before, new.after, new.done_utc_s, new.patch.box)
        assert (old.patch.before == new.patch.before).all()
        assert (old.patch.after == new.patch.after).all()
    while again.redo(array):
        assert (array == states[again.done_count]).all()
    while again.undo(array):
        assert (array == states[again.done_count]).all()
    assert not array.any()


def test_that_a_step_without_voxels_is_kept():
    history = EditHistory(None)
    history.push(EditStep("Pull by a point", None, OutlineNote(), FULL))
    (step,) = EditHistory.from_bytes(history.to_bytes(), np.zeros(SHAPE, bool)).steps
    assert step.patch is None
    assert step.after == FULL


def test_that_a_long_history_is_saved_from_its_newest_end():
    history, array, states = walked(30)
    short = EditHistory.from_bytes(history.to_bytes(max_steps=10), array)
    assert [s.text for s in short.steps] == [f"Step {n}" for n in range(20, 30)]
    while short.undo(array):
        pass
    assert (array == states[20]).all()
    assert len(history.steps) == 30  # what is on screen is not shortened


def test_that_what_was_taken_back_is_left_out_last():
    history, array, states = walked(30, undone=25)
    short = EditHistory.from_bytes(history.to_bytes(max_steps=10), array)
    assert (short.done_count, [s.text for s in short.steps]) == (0, [f"Step {n}" for n in range(5, 15)])
    while short.redo(array):
        pass
    assert (array == states[15]).all()


@pytest.mark.parametrize("limit", [0, 300, 2000, 8000])
def test_that_the_size_is_bounded_and_the_rest_still_fits(limit):
    history, array, states = walked(60)
    data = history.to_bytes(max_bytes=limit)
    assert len(data) < limit + 200
    short = EditHistory.from_bytes(data, array)
    kept = len(short.steps)
    assert kept == 0 if limit == 0 else True
    while short.undo(array):
        pass
    assert (array == states[60 - kept]).all()


def test_that_a_hundred_steps_on_a_large_node_are_small():
    """Balls of 20 voxels radius, moved about: far more than a brush changes."""
    shape = (200, 300, 300)
    array, history, rng = np.zeros(shape, bool), EditHistory(None), np.random.default_rng(1)
    k, j, i = np.ogrid[-20:21, -20:21, -20:21]
    ball = k * k + j * j + i * i <= 400
    for n in range(150):
        box = tuple(slice(a - 20, a + 21) for a in rng.integers(100, 110, 3))
        before = array[box].copy()
        array[box] = (before | ball) if n % 2 else (before & ~ball)
        history.push(EditStep(f"{n}", MaskPatch(box, before, array[box].copy())))
    data = history.to_bytes()
    assert len(data) < KEPT_BYTES / 2
    assert len(EditHistory.from_bytes(data, array).steps) == 100


def test_that_steps_of_another_outline_are_refused():
    data = walked(3)[0].to_bytes("one mask")
    assert refusal(data, "another mask") == "history_of_other_mask"


def test_that_damage_is_refused_whatever_byte_it_hits():
    data = walked(4)[0].to_bytes("x")
    for n in range(0, len(data), 7):
        assert refusal(data[:n]) == "bad_history"
        broken = bytearray(data)
        broken[n] ^= 0x5A
        assert refusal(bytes(broken)) == "bad_history"
    assert refusal(b"PK\x03\x04" + bytes(40)) == "bad_history"


def test_that_a_step_beyond_the_picture_is_refused():
    assert refusal(walked(4)[0].to_bytes("x"), shape=(6, 9, 5)) == "bad_history"


def test_that_a_lock_leaves_only_what_came_after_it():
    history, array, states = walked(5, undone=2)
    history.begin_anew(4, keep_last=1)
    assert (history.locks, history.done_count, [s.text for s in history.steps]) == (4, 1, ["Step 2"])
    history.undo(array)
    assert (array == states[2]).all()
    assert history.undo_text is None
