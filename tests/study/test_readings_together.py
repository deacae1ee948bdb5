"""Readings of a visit saved and locked together: all or none, each by the rules, each with an event and a signature of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.study import users
from app.study.audit import verify
from app.study.errors import StudyRefused
from app.study.model import ReadingState, ReadingStatus
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user


@pytest.fixture
def two(case: CaseBuilder) -> tuple[CaseBuilder, list]:
    """A case with two nodes at baseline, not saved yet."""
    other = case.store.add_node("S-001", "N2", "right", "III")
    return case, [case.draft(), replace(case.draft(), node_id=other.node_id, volume_ml=1.0, volume_interval_ml=None)]


def test_that_readings_saved_together_are_those_saved_one_by_one(two) -> None:
    case, drafts = two
    before = case.store.head().events
    saved = case.store.save_readings(drafts)
    assert [(r.node_id, r.volume_ml, r.version, r.edition, r.state) for r in saved] == [(d.node_id, d.volume_ml, 1, 1, ReadingState.MEASURED) for d in drafts]
    assert case.store.readings("S-001") == saved
    assert case.store.head().events == before + 2
    again = case.store.save_readings([replace(r, volume_ml=3.0, volume_interval_ml=None) for r in saved], reason="read again")
    assert [(r.volume_ml, r.edition, r.change_reason) for r in again] == [(3.0, 2, "read again")] * 2
    assert verify(case.store).ok


def test_that_nothing_is_saved_where_one_is_refused(two) -> None:
    case, drafts = two
    wrong = [[drafts[0], replace(drafts[1], status=ReadingStatus.NOT_EVALUABLE)], [drafts[0], replace(drafts[1], visit_id="V-none")], [drafts[0], drafts[0]], [drafts[0], replace(drafts[1], state=ReadingState.LOCKED)]]
    for given, code in zip(wrong, ("status_contradicts_volume", "visit_missing", "reading_exists", "state_refused"), strict=True):
        before = case.store.head()
        with pytest.raises(StudyRefused) as caught:
            case.store.save_readings(given)
        assert caught.value.code == code
        assert (case.store.readings("S-001"), case.store.head()) == ([], before)


def test_that_readings_locked_together_have_a_signature_each(two) -> None:
    case, drafts = two
    add_people(case.store)
    as_user(case.store, "reader-a")
    saved = case.store.save_readings(drafts)
    for password, code in ((None, "reauthentication_needed"), ("another pass phrase", "password_wrong")):
        with pytest.raises(StudyRefused) as caught:
            case.store.lock_readings([r.reading_id for r in saved], "", "reading", password=password)
        assert caught.value.code == code
    with pytest.raises(StudyRefused) as caught:
        case.store.lock_readings([r.reading_id for r in saved], "", "reading", password=PASSWORD, editions={saved[1].reading_id: 9})
    assert caught.value.code == "changed_meanwhile"
    locked = case.store.lock_readings([r.reading_id for r in saved], "", "reading", password=PASSWORD, editions={r.reading_id: r.edition for r in saved})
    assert len({r.signature_id for r in locked}) == 2
    assert {r.locked_by for r in locked} == {"Dr A Reader"}
    as_user(case.store, "manager")
    assert {s.object for s in case.store.snapshot().signatures} == {f"readings:{r.reading_id}@1" for r in locked}
    assert [r.state for r in case.store.readings("S-001")] == [ReadingState.LOCKED] * 2
    report = verify(case.store)
    assert (report.ok, report.signatures_checked) == (True, 2)


def test_that_none_is_locked_where_one_cannot_be(two) -> None:
    case, drafts = two
    saved = case.store.save_readings([drafts[0], replace(drafts[1], state=ReadingState.DRAFT)])
    for ids, code in (([r.reading_id for r in saved], "state_refused"), ([saved[0].reading_id, "R-none"], "reading_missing"), ([saved[0].reading_id] * 2, "reading_locked")):
        with pytest.raises(StudyRefused) as caught:
            case.store.lock_readings(ids, "Dr Reader", "reviewed")
        assert caught.value.code == code
        assert ReadingState.LOCKED not in {r.state for r in case.store.readings("S-001")}


def test_that_readings_of_a_role_that_is_not_ones_own_are_refused_together_too(two) -> None:
    case, drafts = two
    add_people(case.store)
    as_user(case.store, "reader-a")
    with pytest.raises(StudyRefused) as caught:
        case.store.save_readings([drafts[0], replace(drafts[1], role="site")])
    assert caught.value.code == "right_missing"
    with pytest.raises(StudyRefused) as caught:
        case.store.save_readings([drafts[0], replace(drafts[1], reader="reader-b")])
    assert caught.value.code == "not_your_reading"
    as_user(case.store, "manager")
    assert case.store.readings("S-001") == []
    assert "access_refused" in {e["action"] for e in case.store.events()}


def test_that_wrong_passwords_are_counted_however_much_was_written_between(case: CaseBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_EVENTS_AT_ONCE", 3)
    store: StudyStore = case.store
    add_people(store, "reader-a", "manager")
    for _ in range(users.FAILURES):
        with pytest.raises(StudyRefused) as caught:
            store.sign_in("reader-a", "not the pass phrase")
        assert caught.value.code == "password_wrong"
        as_user(store, "manager")
        for n in range(4):
            store.log_event("opened", f"study:{n}")
    with pytest.raises(StudyRefused) as caught:
        store.sign_in("reader-a", PASSWORD)
    assert caught.value.code == "sign_in_paused"
