"""What a blinded reader gets of a study, through the store: nothing that the protocol hides."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from dataclasses import replace

import pytest

from app.study.blinding import EVERYTHING, blind, case_code
from app.study.model import ClinicalEvent, ReadingStatus
from app.study.schedule import study_schedule
from app.study.store import StudyStore
from app.study.worklist import worklist_of
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user
from tests.study.test_store import refused

SITE_VOLUME, B_VOLUME, A_BASELINE = 1.234567, 2.345678, 3.456789


@pytest.fixture
def trial(case: CaseBuilder) -> CaseBuilder:
    """A subject that two central readers and a site have read, with dates, events, a plan, users and an arm."""
    store = case.store
    store.set_setting("site/S-001", {"id": "SITE-77", "name": "North"})
    store.set_setting("arm/S-001", "ARM-Z")
    store.add_event("S-001", "IRE", "2026-01-07")
    store.save_plan_run({"plan": {"electrodes": []}}, subject_id="S-001")
    add_people(store)
    for name, visit, values in (
        ("site", "Baseline", {"role": "site", "volume_ml": SITE_VOLUME}),
        ("reader-b", "Baseline", {"volume_ml": B_VOLUME}),
        ("reader-b", "Month 3", {"volume_ml": B_VOLUME}),
        ("reader-a", "Baseline", {"volume_ml": A_BASELINE}),
    ):
        as_user(store, name)
        saved = case.save(visit, reader=name, volume_interval_ml=None, **values)
        store.lock_reading(saved.reading_id, "", "reading", password=PASSWORD)
    as_user(store, "reader-b")
    store.add_node("S-001", "N-secret", "right", "II")
    as_user(store, "reader-a")
    case.save("Month 3", reader="reader-a", volume_ml=0.5, volume_interval_ml=None)
    return case


def everything_told(store: StudyStore) -> str:
    """All that the store hands out to who is signed in, as text."""
    told = [
        store.snapshot(), store.readings(history=True), store.visits(), store.nodes(), store.clinical_events(), store.list_plan_runs(), store.deliveries(), store.worklist(),
        [store.get_setting(key, None) for key in ("site/S-001", "arm/S-001", "order/reader-b")],
    ]  # fmt: skip
    return json.dumps(told, default=lambda v: dataclasses.asdict(v) if dataclasses.is_dataclass(v) else str(v))


def test_that_a_blinded_reader_gets_none_of_what_the_protocol_hides(trial: CaseBuilder) -> None:
    store = trial.store
    told = everything_told(store)
    for secret in ("SITE-77", "North", "ARM-Z", "2026-01", "2026-04-10", str(SITE_VOLUME), str(B_VOLUME), str(A_BASELINE), "reader-b", "N-secret", "Dr B"):
        assert secret not in told, secret
    assert [r.volume_ml for r in store.readings()] == [0.5]
    shot = store.snapshot()
    assert "S-001" not in repr(shot)
    assert {s.subject_id for s in shot.subjects} == {v.subject_id for v in shot.visits} == {case_code(store.order_seed("reader-a"), "S-001")}
    assert [n.label for n in store.nodes()] == ["N1"]
    for look in (store.events, lambda: store.view_as("reader-b"), lambda: store.worklist("reader-b"), store.users):
        with refused("right_missing"):
            look()


def test_that_a_blinded_reader_may_change_a_find_of_their_own_until_somebody_else_has_read_it(trial: CaseBuilder) -> None:
    store = trial.store
    found = store.add_node("S-001", "N-mine", "unknown", "unknown")
    trial.save("Month 3", reader="reader-a", node_id=found.node_id)
    changed = store.update_node(found.node_id, reason="the side was not stated", side="left", level="III")
    assert (str(changed.side), changed.level, changed.found_by) == ("left", "III", "reader-a")
    secret = next(n for n in store._whole_snapshot().nodes if n.label == "N-secret")
    for other in (trial.node.node_id, secret.node_id):  # the site's, and another reader's
        with refused("right_missing"):
            store.update_node(other, reason="x", level="II")
    with refused("identity_fixed"):
        store.update_node(found.node_id, reason="x", found_by=None)
    with refused("reason_missing"):
        store.update_node(found.node_id, reason=" ", level="II")
    as_user(store, "site")
    trial.save("Month 3", reader="site", role="site", node_id=found.node_id)
    as_user(store, "reader-a")
    with refused("find_in_use"):
        store.update_node(found.node_id, reason="x", level="II")
    as_user(store, "manager")
    assert store.update_node(found.node_id, reason="told by the reader", level="II").level == "II"
    noted = [(e["user"], e["field"], e["new"]) for e in store.events(object_prefix=f"nodes:{found.node_id}") if e["action"] == "node_changed"]
    assert noted == [("reader-a", "level", "III"), ("reader-a", "side", "left"), ("manager", "level", "II")]


def test_that_what_is_hidden_cannot_be_asked_for_by_name_either(trial: CaseBuilder) -> None:
    store = trial.store
    of_b = next(r for r in store._whole_snapshot().readings if r.reader == "reader-b")
    with refused("reading_missing"):
        store.reading(of_b.reading_id)
    with refused("reading_missing"):
        store.reading(of_b.reading_id, 1)
    at = trial.visits["Baseline"].visit_id
    with refused("not_your_reading"):
        store.find_reading(visit_id=at, node_id=trial.node.node_id, reader="reader-b", role="central", modality="CT", method="voxel")
    with refused("not_your_reading"):
        store.load_draft_mask(trial.node.node_id, at, reader="reader-b")
    with refused("right_missing"):
        store.plan_run("P-any")


def test_that_who_treats_sees_dates_and_events_and_no_central_reading(trial: CaseBuilder) -> None:
    store = as_user(trial.store, "site")
    assert [r.role for r in store.readings(history=True)] == ["site"]
    assert [r.role for r in store.snapshot().readings] == ["site"]
    assert store.snapshot().events
    assert store.visit(trial.visits["Baseline"].visit_id).actual_date == "2026-01-05"


def test_that_a_manager_sees_all_and_looks_through_a_readers_eyes(trial: CaseBuilder) -> None:
    store = as_user(trial.store, "manager")
    assert {r.reader for r in store.snapshot().readings} == {"site", "reader-a", "reader-b"}
    view = store.view_as("reader-a")
    assert {r.reader for r in view.snapshot.readings} == {"reader-a"}
    case = view.case_of("S-001")
    assert view.subject_of(case) == "S-001"
    with refused("case_missing"):
        view.subject_of("C-00000000")


def test_that_an_adjudicator_sees_the_pairs_that_wait_and_no_name(trial: CaseBuilder) -> None:
    store = as_user(trial.store, "reader-a")
    (own,) = store.readings()
    store.lock_reading(own.reading_id, "", "reading", password=PASSWORD)
    as_user(store, "judge")
    shot = store.snapshot()
    assert {r.reader for r in shot.readings} == {"Reader A", "Reader B"}
    assert len(shot.readings) == 4  # both baselines and both readings of Month 3
    assert sorted(r.volume_ml for r in store.readings()) == sorted([A_BASELINE, B_VOLUME, B_VOLUME, 0.5])
    told = everything_told(store)
    for secret in ("reader-a", "reader-b", "Dr A", "Dr B", "2026-01", "SITE-77", str(SITE_VOLUME)):
        assert secret not in told, secret
    store.adjudicate(trial.node.node_id, trial.visits["Month 3"].visit_id, "A", reason="clear rim", password=PASSWORD)
    assert store.readings() == []


@pytest.mark.sqlite_only
def test_that_the_protocol_decides_what_is_hidden(case: CaseBuilder) -> None:
    case.lock("Baseline", reader="reader-a")
    case.lock("Baseline", reader="reader-b")
    case.store.add_event("S-001", "IRE", "2026-01-07")
    shot = case.store.snapshot()

    def hiding(*what: str):
        content = {**shot.protocol, "reading": {**shot.protocol["reading"], "hide": list(what)}}
        return blind(dataclasses.replace(shot, protocol=content), "reader-a", "seed").snapshot

    open_ = hiding()
    assert (open_.subjects, open_.visits, open_.readings, open_.events) == (shot.subjects, shot.visits, shot.readings, shot.events)
    for what in EVERYTHING:
        seen = hiding(what)
        assert (seen.subjects != shot.subjects) == (what == "identity")
        assert (seen.visits[0].actual_date is None) == (what == "dates")
        assert ("reader-b" in {r.reader for r in seen.readings}) == (what != "other_reader")
        assert ("reader-a" in {r.reader for r in seen.readings}) == (what != "earlier_volumes")
        assert bool(seen.events) == (what not in ("dates", "arm", "clinical_data"))
    at = case.visits["Baseline"].visit_id
    assert [r.reader for r in blind(shot, "reader-a", "seed", visit_id=at).snapshot.readings] == ["reader-a"]


def test_that_each_reader_has_an_order_of_their_own_that_stays_and_is_in_the_trail(case: CaseBuilder) -> None:
    store = case.store
    for number in range(2, 8):
        CaseBuilder(store, f"S-{number:03d}")
    for r in ("reader-a", "reader-b"):
        for subject in store.subjects():
            for visit in store.visits(subject.subject_id):
                node = store.nodes(subject.subject_id)[0]
                case.save(reader=r, visit_id=visit.visit_id, node_id=node.node_id, subject_id=subject.subject_id)
    first, second = store.worklist("reader-a"), store.worklist("reader-b")
    assert store.worklist("reader-a") == first
    assert {i.visit_id for i in first} == {i.visit_id for i in second} == {v.visit_id for v in store.visits()}
    assert [i.visit_id for i in first] != [i.visit_id for i in second]
    assert {i.case for i in first}.isdisjoint({i.case for i in second})
    assert all(i.subject_id is None and i.salvage_days_left is None for i in first)
    assert {i.state for i in first} == {"in_work"}
    drawn = [e["object"] for e in store.events() if e["action"] == "reading_order_drawn"]
    assert drawn == ["settings:order/reader-a", "settings:order/reader-b"]


@pytest.mark.sqlite_only
def test_that_a_sites_list_counts_the_days_left_for_a_salvage(case: CaseBuilder) -> None:
    store = case.store
    store.add_event("S-001", "IRE", "2026-01-07")
    case.save("Day 30", reader="site-1", role="site", status=ReadingStatus.MEASURED)
    (item,) = store.worklist("site-1", today=dt.date(2026, 2, 10))
    assert (item.subject_id, item.visit, item.salvage_deadline, item.salvage_days_left) == ("S-001", "Day 30", "2026-02-20", 10)
    assert store.worklist("site-1", today=dt.date(2026, 2, 25))[0].salvage_days_left == -5
    store.add_event("S-001", "SALVAGE", "2026-02-12")
    assert store.worklist("site-1", today=dt.date(2026, 2, 13))[0].salvage_deadline is None


@pytest.mark.sqlite_only
def test_that_the_list_and_the_schedule_have_one_deadline(case: CaseBuilder) -> None:
    # Counted from the result: nothing before the site reader has signed, then 14 days from that day (10 March 2026), whatever the day of the scan.
    store = case.store
    store.add_event("S-001", "IRE", "2026-01-07")
    content = {**store.protocol.content, "salvage": {**store.protocol.content["salvage"], "counted_from": "result"}}
    case.save("Day 30", reader="site-1", role="site")
    shot, today = replace(store.snapshot(), protocol=content), dt.date(2026, 3, 15)

    def deadline(shot) -> tuple:
        (item,) = [i for i in worklist_of(shot, "site-1", seed="s", blinded=False, read_visits={v.visit_id for v in shot.visits}, today=today) if i.visit == "Day 30"]
        salvage = study_schedule(shot, on=today)["S-001"]["salvage"]
        assert (item.salvage_deadline, item.salvage_days_left) == (salvage["deadline"], salvage["days_left"])
        return item.salvage_deadline, item.salvage_days_left

    assert deadline(shot) == (None, None)
    signed = replace(shot, readings=tuple(replace(r, locked_utc="2026-03-10T10:00:00Z") for r in shot.readings))
    assert deadline(signed) == ("2026-03-24", 9)
    ended = replace(signed, events=(*signed.events, ClinicalEvent("E-x", "S-001", "WITHDRAWAL", "2026-03-12")))
    items = worklist_of(ended, "site-1", seed="s", blinded=False, read_visits={v.visit_id for v in shot.visits}, today=today)
    assert {i.salvage_deadline for i in items} == {None}
    moved = replace(signed, subjects=tuple(replace(s, dates_shifted=True) for s in signed.subjects))
    assert {i.salvage_deadline for i in worklist_of(moved, "site-1", seed="s", blinded=False, read_visits={v.visit_id for v in shot.visits}, today=today)} == {None}
