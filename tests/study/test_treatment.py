"""Plans of two sessions, needles as they lie, and what was delivered: written once, all in the trail."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from app.study.audit import verify
from app.study.errors import StudyRefused
from app.study.model import DeliveredPair, PlanRun
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder

CONTENT = {"plan": {"electrodes": [{"id": "E1"}, {"id": "E2"}, {"id": "E3"}]}}
GIVEN = DeliveredPair("E1", "E2", 90, 2250.0, 31.5, 38.0)


def refused(call) -> str:
    with pytest.raises(StudyRefused) as caught:
        call()
    return caught.value.code


def plan(case: CaseBuilder, session: str = "day0", **more) -> PlanRun:
    return case.store.save_plan_run(CONTENT, subject_id="S-001", **{"node_id": case.node.node_id, "session": session, **more})


def test_that_a_plan_names_node_session_and_predecessor(case: CaseBuilder) -> None:
    first = plan(case)
    salvage = plan(case, "salvage", predecessor_id=first.plan_run_id)
    assert case.store.list_plan_runs("S-001") == sorted([first, salvage], key=lambda r: (r.created_utc, r.plan_run_id))
    kept = case.store.plan_run(salvage.plan_run_id)
    assert (kept.kind, kept.node_id, kept.session, kept.predecessor_id) == ("planned", case.node.node_id, "salvage", first.plan_run_id)
    assert verify(case.store).ok


def test_that_a_session_and_a_predecessor_must_fit(case: CaseBuilder) -> None:
    other = case.store.add_node("S-001", "N2", "left", "IV")
    first, salvage = plan(case), plan(case, "salvage")
    assert refused(lambda: plan(case, "day30")) == "session_refused"
    assert refused(lambda: plan(case, predecessor_id="P-none")) == "plan_run_missing"
    assert refused(lambda: plan(case, predecessor_id=salvage.plan_run_id)) == "predecessor_refused"
    assert refused(lambda: plan(case, "salvage", node_id=other.node_id, predecessor_id=first.plan_run_id)) == "predecessor_refused"
    case.store.add_subject("S-002")
    assert refused(lambda: case.store.save_plan_run(CONTENT, subject_id="S-002", predecessor_id=first.plan_run_id)) == "subject_mismatch"
    assert refused(lambda: case.store.save_plan_run(CONTENT, subject_id="S-002", node_id=other.node_id)) == "subject_mismatch"
    assert len(case.store.list_plan_runs()) == 2


def test_that_needles_as_they_lie_belong_to_their_plan(case: CaseBuilder) -> None:
    planned = plan(case)
    actual = case.store.save_plan_run(CONTENT, subject_id="S-001", kind="actual", planned_id=planned.plan_run_id)
    assert (actual.node_id, actual.session, actual.planned_id) == (planned.node_id, "day0", planned.plan_run_id)
    assert [e["action"] for e in case.store.events(object_prefix="plan_runs:")] == ["plan_saved", "placement_saved"]
    assert refused(lambda: plan(case, kind="actual")) == "plan_kind_refused"
    assert refused(lambda: plan(case, planned_id=planned.plan_run_id)) == "plan_kind_refused"
    assert refused(lambda: plan(case, "salvage", kind="actual", planned_id=planned.plan_run_id)) == "plan_kind_refused"
    assert refused(lambda: plan(case, kind="actual", planned_id=actual.plan_run_id)) == "plan_kind_refused"


def test_that_what_was_delivered_is_kept_in_order_with_who_and_when(case: CaseBuilder) -> None:
    run = plan(case)
    pairs = (GIVEN, DeliveredPair("E2", "E3", 12, 2400.0, 44.0, 50.0, True, "current limit"), DeliveredPair("E1", "E3", 0))
    kept = case.store.add_delivery(run.plan_run_id, pairs, entered_by="Dr A", date="2026-01-12", note=" second pair stopped ")
    assert case.store.deliveries(run.plan_run_id) == [kept]
    assert (kept.pairs, kept.entered_by, kept.note, kept.subject_id) == (pairs, "Dr A", "second pair stopped", "S-001")
    assert kept.created_utc.endswith("Z")
    assert case.store.snapshot().deliveries == (kept,)
    (event,) = case.store.events(object_prefix="deliveries:")
    assert event["action"] == "delivery_recorded"
    assert verify(case.store).ok


IMPOSSIBLE = (
    (DeliveredPair("E1", "E9", 90, 2000.0), "delivery_refused"),
    (DeliveredPair("E1", "E1", 90, 2000.0), "delivery_refused"),
    (replace(GIVEN, pulses=-1), "delivery_refused"),
    (replace(GIVEN, pulses=1.5), "delivery_refused"),
    (replace(GIVEN, pulses=True), "delivery_refused"),
    (replace(GIVEN, voltage_v=float("nan")), "delivery_refused"),
    (replace(GIVEN, current_end_a=-3.0), "delivery_refused"),
    (replace(GIVEN, voltage_v=None), "delivery_refused"),
    (replace(GIVEN, abort_reason="pain"), "delivery_refused"),
    (replace(GIVEN, aborted=True, abort_reason=" "), "abort_reason_missing"),
)


def test_that_delivered_values_that_cannot_be_are_refused(case: CaseBuilder) -> None:
    run = plan(case)
    found = [refused(lambda pair=pair: case.store.add_delivery(run.plan_run_id, (GIVEN, pair), entered_by="Dr A")) for pair, _ in IMPOSSIBLE]
    assert found == [code for _, code in IMPOSSIBLE]
    assert case.store.deliveries() == []


def test_that_a_delivery_needs_a_name_a_plan_and_something_delivered(case: CaseBuilder) -> None:
    run = plan(case)
    assert refused(lambda: case.store.add_delivery(run.plan_run_id, (GIVEN,), entered_by=" ")) == "name_missing"
    assert refused(lambda: case.store.add_delivery("P-none", (GIVEN,), entered_by="Dr A")) == "plan_run_missing"
    assert refused(lambda: case.store.add_delivery(run.plan_run_id, (), entered_by="Dr A")) == "delivery_refused"
    assert refused(lambda: case.store.add_delivery(run.plan_run_id, (GIVEN,), entered_by="Dr A", date="12.1.2026")) == "date_refused"


def test_that_a_correction_is_a_new_record_with_a_reason(case: CaseBuilder) -> None:
    run, other = plan(case), plan(case)
    first = case.store.add_delivery(run.plan_run_id, (GIVEN,), entered_by="Dr A")
    again = (replace(GIVEN, pulses=80),)

    def correct(run_id: str = run.plan_run_id, replaces: str = first.delivery_id, reason: str | None = "misread"):
        return case.store.add_delivery(run_id, again, entered_by="Dr A", replaces=replaces, reason=reason)

    assert refused(lambda: correct(reason=None)) == "reason_missing"
    assert refused(lambda: correct(run_id=other.plan_run_id)) == "delivery_missing"
    second = correct()
    assert refused(correct) == "delivery_replaced"
    assert case.store.deliveries(run.plan_run_id) == [second]
    assert case.store.deliveries(run.plan_run_id, replaced=True) == sorted([first, second], key=lambda d: (d.created_utc, d.delivery_id))


@pytest.mark.sqlite_only
def test_that_a_delivery_never_changes_not_even_by_sql_and_the_audit_finds_what_does(case: CaseBuilder) -> None:
    case.store.add_delivery(plan(case).plan_run_id, (GIVEN,), entered_by="Dr A")
    connection = sqlite3.connect(case.store.folder / "study.sqlite")
    for statement in ("UPDATE deliveries SET pairs = '[]'", "DELETE FROM deliveries"):
        with pytest.raises(sqlite3.IntegrityError, match="written once"):
            connection.execute(statement)
    connection.execute("DROP TRIGGER deliveries_no_update")
    connection.execute("UPDATE deliveries SET entered_by = 'Dr B'")
    connection.commit()
    connection.close()
    assert {f.code for f in verify(case.store).faults} == {"guard_removed", "record_altered"}


@pytest.mark.sqlite_only
def test_that_a_trial_that_ablates_nothing_keeps_no_plans(tmp_path) -> None:
    with StudyStore.create(tmp_path / "latc", protocol="latc-neoadjuvant") as store:
        store.add_subject("L-1")
        assert refused(lambda: store.save_plan_run({"plan": {"electrodes": []}}, subject_id="L-1")) == "nothing_to_plan"
        assert store.list_plan_runs() == []
