"""An electronic signature stands for what was signed, and only for that."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.study.audit import verify
from app.study.model import ReadingState
from app.study.signing import A_SIGNATURE, MEANINGS, NOT_A_SIGNATURE, lock_note, meanings_of
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user
from tests.study.test_store import refused


@pytest.fixture
def signed(case: CaseBuilder):
    """A reading that a central reader signed."""
    add_people(case.store)
    as_user(case.store, "reader-a")
    saved = case.save()
    return case, case.store.lock_reading(saved.reading_id, "Dr A Reader", "reading", password=PASSWORD, edition=saved.edition)


def tamper(store, *statements: str) -> None:
    """Change the database past its rules."""
    with store._engine.execution_options(nodus_write=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            for statement in statements:
                connection.exec_driver_sql(statement)
            return
        rules = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in rules:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.exec_driver_sql(statement)
        for _, sql in rules:
            connection.exec_driver_sql(sql)


def codes(store) -> set[str]:
    return {fault.code for fault in verify(store).faults}


def test_that_a_lock_is_a_signature_with_name_time_meaning_and_content(signed) -> None:
    case, locked = signed
    store = case.store
    assert (locked.state, locked.locked_by, locked.lock_meaning) == (ReadingState.LOCKED, "Dr A Reader", MEANINGS["reading"])
    assert lock_note(locked) == A_SIGNATURE
    as_user(store, "monitor")
    (signature,) = store.snapshot().signatures
    assert (signature.signature_id, signature.object, signature.user_id) == (locked.signature_id, f"readings:{locked.reading_id}@1", "reader-a")
    assert (signature.name, signature.signed_utc, signature.meaning) == ("Dr A Reader", locked.locked_utc, locked.lock_meaning)
    report = verify(store)
    assert report.ok
    assert report.signatures_checked == 1
    assert store.reading(locked.reading_id) == locked


def test_that_signing_needs_the_password_again_the_own_name_and_a_meaning_of_the_study(case: CaseBuilder) -> None:
    store = case.store
    add_people(store)
    as_user(store, "reader-a")
    saved = case.save()
    for code, arguments in (
        ("reauthentication_needed", {"name": "", "meaning": "reading"}),
        ("password_wrong", {"name": "", "meaning": "reading", "password": "wrong"}),
        ("name_mismatch", {"name": "Somebody Else", "meaning": "reading", "password": PASSWORD}),
        ("meaning_refused", {"name": "", "meaning": "because", "password": PASSWORD}),
        ("changed_meanwhile", {"name": "", "meaning": "reading", "password": PASSWORD, "edition": 99}),
    ):
        with refused(code):
            store.lock_reading(saved.reading_id, **arguments)
    assert store.reading(saved.reading_id) == saved
    as_user(store, "monitor")
    assert [e["reason"] for e in store.events() if e["action"] == "signature_failed"] == ["wrong password"]
    assert store.snapshot().signatures == ()


def test_that_a_correction_is_signed_anew_and_the_first_signature_stands(signed) -> None:
    case, locked = signed
    store = case.store
    corrected = store.correct_reading(locked.reading_id, "slip of the brush", volume_ml=2.2, volume_interval_ml=None)
    assert corrected.signature_id is None
    again = store.lock_reading(locked.reading_id, "reader-a", "correction", password=PASSWORD)
    assert again.lock_meaning == MEANINGS["correction"]
    as_user(store, "monitor")
    report = verify(store)
    assert report.ok, report.faults
    assert report.signatures_checked == 2
    assert store.reading(locked.reading_id, 1) == replace(locked, state=ReadingState.SUPERSEDED)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE readings SET volume_ml = 0.5 WHERE state = 'locked'", "signature_broken"),
        ("UPDATE readings SET locked_by = 'Dr B Reader' WHERE state = 'locked'", "signature_broken"),
        ("UPDATE readings SET signature_id = NULL WHERE state = 'locked'", "signature_broken"),
        ("UPDATE signatures SET name = 'Dr B Reader'", "signature_broken"),
        ("UPDATE signatures SET meaning = 'x'", "signature_broken"),
        ("UPDATE signatures SET object = 'readings:R-0@1'", "signature_broken"),
        ("DELETE FROM signatures", "signature_missing"),
        ("UPDATE signatures SET user_id = 'reader-b'", "record_altered"),
        ("UPDATE users SET roles = '[\"administrator\"]' WHERE user_id = 'site'", "record_altered"),
        ("UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE user_id = 'judge') WHERE user_id = 'reader-a'", "record_altered"),
        ("DELETE FROM users WHERE user_id = 'monitor'", "record_missing"),
    ],
)
def test_that_a_touched_signature_record_or_user_is_found(signed, statement: str, code: str) -> None:
    case, _locked = signed
    tamper(case.store, statement)
    assert code in codes(case.store)


def test_that_the_database_itself_keeps_signatures_and_users(signed) -> None:
    case, _ = signed
    for statement in ("UPDATE signatures SET name = 'x'", "DELETE FROM signatures", "DELETE FROM users"):
        with pytest.raises(sa.exc.IntegrityError), case.store._engine.execution_options(nodus_write=True).begin() as connection:
            connection.exec_driver_sql(statement)


def test_that_a_study_without_users_still_says_what_its_lock_is_not(case: CaseBuilder) -> None:
    locked = case.lock()
    assert locked.signature_id is None
    assert lock_note(locked) == NOT_A_SIGNATURE


@pytest.mark.sqlite_only
def test_that_a_protocol_may_name_its_own_meanings() -> None:
    assert meanings_of({}) == MEANINGS
    assert meanings_of({"signature": {"meanings": {"gelesen": "Ich habe gelesen"}}}) == {"gelesen": "Ich habe gelesen"}


def test_that_who_saves_over_a_newer_state_is_told(case: CaseBuilder) -> None:
    store = case.store
    seen = case.save(state=ReadingState.DRAFT)
    newer = store.save_reading(replace(seen, volume_ml=2.5))
    assert newer.edition == seen.edition + 1
    with refused("changed_meanwhile"):
        store.save_reading(replace(seen, volume_ml=2.4))
    assert store.reading(seen.reading_id).volume_ml == 2.5
    assert store.save_reading(newer) == newer  # nothing changed: nothing counted
    measured = store.save_reading(replace(newer, state=ReadingState.MEASURED))
    store.lock_reading(seen.reading_id, "Dr A", "read")
    correction = store.correct_reading(seen.reading_id, "slip", volume_ml=2.6)
    for old in (seen, newer, measured):  # what was seen before the lock is not what is being corrected
        with refused("changed_meanwhile"):
            store.save_reading(replace(old, state=ReadingState.MEASURED, volume_ml=2.4), reason="late")
    assert store.reading(seen.reading_id) == correction
    assert verify(store).ok
