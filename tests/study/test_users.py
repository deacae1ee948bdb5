"""Who may do what: accounts, roles, sessions, and what is noted of attempts that failed."""

from __future__ import annotations

import datetime as dt

import pytest

from app.study.audit import verify
from app.study.model import User
from app.study.permissions import BLINDED_ROLES, READING_RIGHTS, RIGHTS, ROLE_RIGHTS, check_roles
from app.study.store import StudyStore
from app.study.users import Session, password_fits
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, Clock, add_people, as_user
from tests.study.test_store import refused


def actions(store: StudyStore) -> list[tuple[str, str]]:
    as_user(store, "monitor")
    return [(e["action"], e["user"]) for e in store.events()]


def test_that_a_study_without_users_belongs_to_the_local_account(case: CaseBuilder) -> None:
    assert not case.store.has_users()
    assert case.store.users() == []
    case.lock()
    assert case.store.events()[-1]["user"] == "tester"


def test_that_with_the_first_user_every_change_and_look_needs_one(case: CaseBuilder) -> None:
    store = case.store
    with refused("first_user_not_administrator"):
        store.add_user("site", "Sue Site", ["site_reader"], PASSWORD)
    added = store.add_user("admin", "Ann Admin", ["administrator"], PASSWORD)
    assert added == User("admin", "Ann Admin", ("administrator",), None, False, added.created_utc)
    for look in (store.subjects, store.readings, store.snapshot, store.clinical_events, store.users, store.events):
        with refused("sign_in_needed"):
            look()
    with refused("sign_in_needed"):
        store.add_subject("S-002")
    with refused("sign_in_needed"):
        case.save()
    store.sign_in("admin", PASSWORD)
    with refused("right_missing"):
        store.add_subject("S-002")
    assert [u.user_id for u in store.users()] == ["admin"]
    assert store.events()[-1]["action"] == "access_refused"
    assert verify(store).ok


def test_that_passwords_are_kept_as_salted_hashes_that_no_event_holds(store: StudyStore) -> None:
    add_people(store, "monitor")
    with store._read() as connection:
        hashes = [row[0] for row in connection.exec_driver_sql("SELECT password_hash FROM users")]
    assert len(set(hashes)) == 2
    assert all(h.startswith("$argon2id$") and password_fits(h, PASSWORD) and not password_fits(h, "another one") for h in hashes)
    assert not password_fits("damaged", PASSWORD)
    as_user(store, "monitor")
    told = repr(store.events())
    assert PASSWORD not in told
    assert not any(h in told for h in hashes)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("user_id", "name", "roles", "password", "code"),
    [
        ("new one", "N", ["monitor"], PASSWORD, "user_refused"),
        ("new", " ", ["monitor"], PASSWORD, "name_missing"),
        ("new", "N", ["boss"], PASSWORD, "role_unknown"),
        ("new", "N", [], PASSWORD, "role_unknown"),
        ("new", "N", ["central_reader", "site_reader"], PASSWORD, "roles_conflict"),
        ("new", "N", ["central_reader", "administrator"], PASSWORD, "roles_conflict"),
        ("new", "N", ["adjudicator", "central_reader"], PASSWORD, "roles_conflict"),
        ("new", "N", ["monitor"], "short", "password_refused"),
        ("new", "N", ["monitor"], "aaaaaaaaaaaaaaaa", "password_refused"),
        ("admin", "N", ["monitor"], PASSWORD, "user_exists"),
    ],
)
def test_that_accounts_that_cannot_be_are_refused(store: StudyStore, user_id: str, name: str, roles: list[str], password: str, code: str) -> None:
    add_people(store, "monitor")
    as_user(store, "admin")
    with refused(code):
        store.add_user(user_id, name, roles, password)


def test_that_a_wrong_password_a_disabled_and_an_unknown_user_are_told_and_noted(store: StudyStore) -> None:
    add_people(store, "reader-a", "monitor")
    for name, password in (("reader-a", "wrong"), ("reader-a", ""), ("nobody", PASSWORD)):
        with refused("password_wrong"):
            store.sign_in(name, password)
    as_user(store, "admin").disable_user("reader-a", reason="left the trial")
    store.sign_out()
    with refused("user_disabled"):
        store.sign_in("reader-a", PASSWORD)
    as_user(store, "admin").enable_user("reader-a", reason="came back")
    assert store.sign_in("reader-a", PASSWORD).full_name == "Dr A Reader"
    found = actions(store)
    assert found.count(("sign_in_failed", "reader-a")) == 3
    assert ("sign_in_failed", "tester") in found
    assert ("user_disabled", "admin") in found
    assert ("user_enabled", "admin") in found
    assert ("user_added", "admin") in found
    assert verify(store).ok


def test_that_a_guessed_account_rests(new_place) -> None:
    clock = Clock()
    with StudyStore.create(new_place(), user="tester", clock=clock) as store:
        add_people(store, "reader-a")
        for _ in range(5):
            with refused("password_wrong"):
                store.sign_in("reader-a", "guess")
        with refused("sign_in_paused"):
            store.sign_in("reader-a", PASSWORD)
        clock.pass_s(301)
        assert store.sign_in("reader-a", PASSWORD).user_id == "reader-a"


def test_that_a_session_locks_after_inactivity_and_goes_on_with_the_password(new_place) -> None:
    clock = Clock()
    with StudyStore.create(new_place(), user="tester", clock=clock) as store:
        case = CaseBuilder(store)
        add_people(store, "reader-a")
        store.sign_in("reader-a", PASSWORD)
        clock.pass_s(14 * 60)
        case.save()
        clock.pass_s(14 * 60)  # counted from the save
        store.touch()
        clock.pass_s(14 * 60)
        assert not store.session.is_locked(clock())
        clock.pass_s(61)
        assert store.session.is_locked(clock())
        assert store.touch().is_locked(clock())
        with refused("session_locked"):
            case.save("Day 30")
        with refused("session_locked"):
            store.readings()
        with refused("password_wrong"):
            store.unlock("wrong")
        assert store.unlock(PASSWORD).left_s(clock()) == 15 * 60
        case.save("Day 30")


@pytest.mark.sqlite_only
def test_that_the_session_value_counts_down_and_never_wakes_by_itself() -> None:
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    session = Session("a", "A", ("central_reader",), at, at, 60.0)
    assert session.left_s(at + dt.timedelta(seconds=59)) == 1.0
    late = at + dt.timedelta(seconds=60)
    assert session.is_locked(late)
    assert session.touched(late) is session
    assert not session.touched(at + dt.timedelta(seconds=59)).is_locked(late)
    assert session.blinded
    assert session.left_s(at - dt.timedelta(hours=1)) == 60.0  # a clock set back locks nobody out


def test_that_a_change_of_roles_holds_at_once_and_is_noted(case: CaseBuilder) -> None:
    store = case.store
    add_people(store)
    with StudyStore.open(store.folder, user="second") as other:
        other.sign_in("site", PASSWORD)
        other.add_subject("S-002")
        as_user(store, "admin").set_roles("site", ["monitor"], reason="changed post")
        with refused("right_missing"):
            other.add_subject("S-003")
        store.disable_user("site", reason="left")
        with refused("user_disabled"):
            other.add_subject("S-003")
    events = [e for e in store.events() if e["action"] == "user_roles_changed"]
    assert [(e["user"], e["old"], e["new"], e["reason"]) for e in events] == [("admin", '["site_reader"]', '["monitor"]', "changed post")]
    assert verify(store).ok


def test_that_the_last_administrator_stays(store: StudyStore) -> None:
    add_people(store, "monitor")
    as_user(store, "admin")
    with refused("last_administrator"):
        store.disable_user("admin", reason="x")
    with refused("last_administrator"):
        store.set_roles("admin", ["monitor"], reason="x")
    with refused("reason_missing"):
        store.set_roles("monitor", ["administrator"], reason=" ")
    store.set_roles("monitor", ["administrator"], reason="second one")
    store.disable_user("admin", reason="holiday")
    with refused("user_disabled"):
        store.users()


def test_that_a_password_changes_with_the_old_one_or_by_an_administrator(store: StudyStore) -> None:
    add_people(store, "reader-a", "reader-b")
    as_user(store, "reader-a")
    with refused("password_wrong"):
        store.set_password("reader-a", "another long phrase", current="wrong")
    with refused("right_missing"):
        store.set_password("reader-b", "another long phrase")
    store.set_password("reader-a", "another long phrase", current=PASSWORD)
    store.sign_out()
    with refused("password_wrong"):
        store.sign_in("reader-a", PASSWORD)
    as_user(store, "admin").set_password("reader-a", "a third long phrase")
    store.sign_out()
    assert store.sign_in("reader-a", "a third long phrase").user_id == "reader-a"
    assert verify(store).ok


def test_that_each_role_does_what_its_row_says_and_no_more(case: CaseBuilder) -> None:
    store = case.store
    run = store.save_plan_run({"plan": {"electrodes": []}}, subject_id="S-001")
    add_people(store)
    number = iter(range(100))
    attempts = {
        "users": lambda: store.add_user(f"u{next(number)}", "Somebody", ["monitor"], PASSWORD),
        "study": lambda: store.set_setting("first_reader", "reader-a"),
        "records": lambda: store.add_subject(f"T-{next(number)}"),
        "add_nodes": lambda: store.add_node("S-001", f"M{next(number)}", "left", "II"),
        "plan": lambda: store.save_plan_run({}, subject_id="S-001"),
        "see_audit": lambda: store.events(limit=1),
        "backup": lambda: store.require("backup"),
        "export": lambda: store.require("export"),
        "see_as": lambda: store.view_as("reader-b" if store.user == "reader-a" else "reader-a"),
    }
    for name, roles in (("admin", "administrator"), ("manager", "trial_manager"), ("site", "site_reader"), ("reader-a", "central_reader"), ("judge", "adjudicator"), ("monitor", "monitor")):
        as_user(store, name)
        for right, attempt in attempts.items():
            if right in ROLE_RIGHTS[roles]:
                attempt()
            else:
                with refused("right_missing"):
                    attempt()
        for role, right in READING_RIGHTS.items():
            draft = {"reader": name, "role": role, "modality": "US", "method": "ellipsoid"}
            if right in ROLE_RIGHTS[roles]:
                case.save(**draft)
            else:
                with refused("right_missing"):
                    case.save(**draft)
    as_user(store, "site")
    assert store.plan_run(run.plan_run_id) == run
    assert verify(store).ok


@pytest.mark.sqlite_only
def test_that_every_right_of_a_role_is_explained_and_blinded_roles_have_none_to_look() -> None:
    assert {right for rights in ROLE_RIGHTS.values() for right in rights} == set(RIGHTS)
    for role in BLINDED_ROLES:
        assert not ROLE_RIGHTS[role] & {"see_all", "see_clinical", "see_audit", "see_as", "export", "backup", "users"}
    assert check_roles(("monitor", "administrator", "monitor")) == ("administrator", "monitor")


def test_that_nobody_saves_or_locks_under_another_readers_name(case: CaseBuilder) -> None:
    store = case.store
    add_people(store)
    as_user(store, "reader-a")
    with refused("not_your_reading"):
        case.save(reader="reader-b")
    saved = case.save(reader="reader-a")
    as_user(store, "reader-b")
    with refused("not_your_reading"):
        store.lock_reading(saved.reading_id, "", "reading", password=PASSWORD)
    with refused("not_your_reading"):
        store.save_draft_mask(case.node.node_id, case.visits["Baseline"].visit_id, b"x", reader="reader-a")
