"""Readings move by the table of states, change with a reason, and never change once locked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.study.lifecycle import TRANSITIONS, can_move
from app.study.model import ReadingState, ReadingStatus
from app.study.readings import LOCK_NOTE
from tests.study.builders import CaseBuilder
from tests.study.test_store import refused

S = ReadingState


def test_that_the_table_has_these_steps_and_no_others() -> None:
    steps = {(a, b) for a in S for b in S if can_move(a, b)}
    assert steps == {
        (S.DRAFT, S.DRAFT),
        (S.DRAFT, S.MEASURED),
        (S.MEASURED, S.MEASURED),
        (S.MEASURED, S.LOCKED),
        (S.LOCKED, S.SUPERSEDED),
    }
    assert set(TRANSITIONS) == set(S)


def test_that_a_reading_comes_back_as_it_was_saved(case: CaseBuilder) -> None:
    mask = case.store.put_blob(b"mask")
    saved = case.save(mask_sha256=mask, warnings=({"code": "few_slices", "message": "Thin."},))
    assert case.store.reading(saved.reading_id) == saved
    assert saved.version == 1
    assert saved.protocol_version == "ire-cervical-ln/2"
    assert saved.software_version
    assert saved.created_utc.endswith("Z")
    assert case.store.readings("S-001") == [saved]
    assert case.store.readings(state="locked") == []


def test_that_a_draft_changes_freely_and_a_measured_reading_with_a_reason(case: CaseBuilder) -> None:
    draft = case.save(state=S.DRAFT, volume_ml=None, volume_interval_ml=None)
    draft = case.store.save_reading(replace(draft, volume_ml=1.0))
    measured = case.store.save_reading(replace(draft, state=S.MEASURED, volume_ml=1.5))
    with refused("reason_missing"):
        case.store.save_reading(replace(measured, volume_ml=1.6))
    with refused("state_refused"):
        case.store.save_reading(replace(measured, state=S.DRAFT))
    changed = case.store.save_reading(replace(measured, volume_ml=1.6), reason="brush slipped")
    assert changed.volume_ml == 1.6
    assert changed.change_reason == "brush slipped"
    with refused("reason_missing"):  # the old reason does not cover the next change
        case.store.save_reading(replace(changed, volume_ml=1.7))
    last = case.store.events()[-1]
    assert (last["field"], last["old"], last["new"], last["reason"]) == ("volume_ml", "1.5", "1.6", "brush slipped")


def test_that_saving_the_same_again_adds_no_event(case: CaseBuilder) -> None:
    saved = case.save()
    before = case.store.head()
    assert case.store.save_reading(saved) == saved
    assert case.store.head() == before


def test_that_locking_records_name_meaning_and_time_and_says_what_it_is_not(case: CaseBuilder) -> None:
    saved = case.save()
    with refused("name_missing"):
        case.store.lock_reading(saved.reading_id, " ", "reviewed")
    with refused("meaning_missing"):
        case.store.lock_reading(saved.reading_id, "Dr A", "")
    locked = case.store.lock_reading(saved.reading_id, "Dr A", "I have reviewed this")
    assert locked.state is S.LOCKED
    assert (locked.locked_by, locked.lock_meaning) == ("Dr A", "I have reviewed this")
    assert locked.locked_utc.endswith("Z")
    assert LOCK_NOTE == "not an electronic signature"
    assert LOCK_NOTE in case.store.events()[-1]["reason"]
    assert case.store.reading(saved.reading_id) == locked


def test_that_a_draft_is_not_locked(case: CaseBuilder) -> None:
    draft = case.save(state=S.DRAFT)
    with refused("state_refused"):
        case.store.lock_reading(draft.reading_id, "Dr A", "reviewed")


def test_that_a_locked_reading_never_changes(case: CaseBuilder) -> None:
    locked = case.lock()
    with refused("reading_locked"):
        case.store.save_reading(replace(locked, state=S.MEASURED, volume_ml=3.0), reason="better")
    with refused("reading_locked"):
        case.store.lock_reading(locked.reading_id, "Dr B", "again")
    assert case.store.reading(locked.reading_id) == locked


def test_that_a_correction_is_a_new_version_and_the_old_one_counts_until_it_is_locked(case: CaseBuilder) -> None:
    store, locked = case.store, case.lock()
    with refused("reason_missing"):
        store.correct_reading(locked.reading_id, " ", volume_ml=2.5)
    second = store.correct_reading(locked.reading_id, "vessel was included", volume_ml=1.8)
    assert (second.version, second.state, second.change_reason) == (2, S.MEASURED, "vessel was included")
    with refused("not_locked"):
        store.correct_reading(locked.reading_id, "and again", volume_ml=1.7)
    assert store.readings(state="locked") == [locked]

    second = store.save_reading(replace(second, volume_ml=1.75))  # the correction's reason stands
    assert second.change_reason == "vessel was included"
    final = store.lock_reading(locked.reading_id, "Dr A", "corrected")
    assert store.readings("S-001") == [final]
    first = store.reading(locked.reading_id, version=1)
    assert first == replace(locked, state=S.SUPERSEDED)
    assert [r.version for r in store.readings("S-001", history=True)] == [1, 2]


def test_that_a_correction_does_not_change_whose_reading_it_is(case: CaseBuilder) -> None:
    locked = case.lock()
    for field, value in (("reader", "reader-b"), ("method", "ellipsoid"), ("locked_by", "x"), ("version", 9)):
        with refused("identity_fixed"):
            case.store.correct_reading(locked.reading_id, "why", **{field: value})


def test_that_one_reader_has_one_reading_of_a_node_by_one_method(case: CaseBuilder) -> None:
    first = case.save()
    with refused("reading_exists"):
        case.save(volume_ml=5.0)
    case.save(reader="reader-b")
    case.save(method="ellipsoid")
    found = case.store.find_reading(visit_id=first.visit_id, node_id=first.node_id, reader="reader-a", role="central", modality="CT", method="voxel")
    assert found == first


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"volume_ml": 0.0}, "zero_volume"),
        ({"status": ReadingStatus.TOO_SMALL, "volume_ml": 0.0}, "zero_volume"),
        ({"status": ReadingStatus.DISAPPEARED_ASSESSED}, "status_contradicts_volume"),
        ({"status": ReadingStatus.NOT_IMAGED}, "status_contradicts_volume"),
        ({"status": ReadingStatus.NOT_EVALUABLE, "volume_ml": None}, "reason_missing"),
        ({"volume_ml": None, "long_axis_mm": None}, "volume_missing"),
        ({"volume_ml": -1.0}, "value_refused"),
        ({"volume_interval_ml": (3.0, 2.0)}, "value_refused"),
        ({"modality": "XR"}, "modality_refused"),
        ({"method": "guess"}, "method_refused"),
        ({"role": "friend"}, "role_refused"),
        ({"reader": " "}, "reader_missing"),
        ({"mask_sha256": "0" * 64}, "blob_missing"),
        ({"state": S.LOCKED}, "state_refused"),
    ],
)
def test_that_a_reading_that_contradicts_itself_is_refused(case: CaseBuilder, changes: dict, code: str) -> None:
    with refused(code):
        case.save(**changes)
    assert case.store.readings() == []


def test_that_a_correction_is_checked_like_any_reading(case: CaseBuilder) -> None:
    locked = case.lock()
    with refused("zero_volume"):
        case.store.correct_reading(locked.reading_id, "gone", volume_ml=0.0)
    gone = case.store.correct_reading(
        locked.reading_id,
        "gone",
        status=ReadingStatus.DISAPPEARED_ASSESSED,
        volume_ml=None,
        volume_interval_ml=None,
        long_axis_mm=None,
        short_axis_mm=None,
    )
    assert gone.volume_ml == 0.0
