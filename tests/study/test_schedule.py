"""Visits are planned from the event log: months, windows, anchors, salvage, and what is due on a stated day."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from app.study.model import ClinicalEvent, Reading, ReadingState, ReadingStatus, Visit
from app.study.months import add_months
from app.study.protocol import StudyProtocol, load_protocol, protocol_from
from app.study.schedule import (
    STATUSES,
    anchors_of,
    assign_scans,
    day_of,
    plan_visits,
    result_date_of,
    salvage_deadline,
    schedule,
    subject_schedule,
    treatment_findings,
)

D = dt.date.fromisoformat


@pytest.fixture(scope="module")
def ire() -> StudyProtocol:
    return load_protocol("ire-cervical-ln")


@pytest.fixture(scope="module")
def crlm() -> StudyProtocol:
    return load_protocol("rfa-crlm")


def event(kind: str, date: str, node: str | None = None, **detail) -> ClinicalEvent:
    return ClinicalEvent(f"E-{kind}-{date}-{node}", "S-1", kind, date, node, detail)


def visit(name: str, date: str | None, order: int = 50) -> Visit:
    return Visit(f"V-{name}", "S-1", name, order, date)


def rows(protocol, events, visits=(), on="2026-01-01"):
    return {r.visit: r for r in schedule(protocol, events, visits, on=on and D(on))}


@pytest.mark.parametrize(
    ("start", "months", "expected"),
    [
        ("2025-01-31", 1, "2025-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2025-01-31", 2, "2025-03-31"),  # from the anchor, not month by month
        ("2024-02-29", 12, "2025-02-28"),
        ("2024-02-29", 48, "2028-02-29"),
        ("2025-11-30", 3, "2026-02-28"),
        ("2023-11-30", 3, "2024-02-29"),
        ("2025-12-31", 1, "2026-01-31"),
        ("2025-08-31", 1, "2025-09-30"),
        ("2025-03-31", -1, "2025-02-28"),
        ("2025-01-15", -1, "2024-12-15"),
        ("2100-01-31", 1, "2100-02-28"),  # no leap year
        ("2025-05-20", 24, "2027-05-20"),
    ],
)
def test_that_months_are_calendar_months_clamped_to_their_end(start: str, months: int, expected: str) -> None:
    assert add_months(D(start), months) == D(expected)


def test_that_targets_and_windows_follow_the_first_ablation(ire) -> None:
    planned = {p.visit.name: p for p in plan_visits(ire, [event("IRE", "2025-01-31")])}
    assert planned["Day 30"].target == D("2025-03-02")
    assert (planned["Day 30"].first, planned["Day 30"].last) == (D("2025-02-23"), D("2025-03-09"))
    assert planned["Month 3"].target == D("2025-04-30")
    assert planned["Month 12"].target == D("2026-01-31")
    assert (planned["Month 12"].first, planned["Month 12"].last) == (D("2026-01-03"), D("2026-02-28"))
    assert planned["Month 24"].target == D("2027-01-31")
    assert (planned["Baseline"].first, planned["Baseline"].last) == (D("2025-01-03"), D("2025-01-31"))


def test_that_a_salvage_moves_later_visits_and_leaves_day_30_where_it_was(ire) -> None:
    events = [event("IRE", "2025-01-31"), event("SALVAGE", "2025-03-10")]
    planned = {p.visit.name: p for p in plan_visits(ire, events)}
    assert planned["Day 30"].target == D("2025-03-02")
    assert planned["Month 3"].target == D("2025-06-10")
    assert planned["Month 12"].target == D("2026-03-10")
    assert planned["Month 12"].anchor.kind == "SALVAGE"
    assert planned["Month 12"].anchor.event_id == events[1].event_id
    # on a day before the salvage it is not known yet
    before = {p.visit.name: p for p in plan_visits(ire, events, on=D("2025-03-09"))}
    assert before["Month 3"].target == D("2025-04-30")


def test_that_quarterly_windows_of_14_days_never_overlap() -> None:
    for ordinal in range(D("2024-01-01").toordinal(), D("2028-01-01").toordinal()):
        day = dt.date.fromordinal(ordinal)
        targets = [add_months(day, m) for m in range(3, 25, 3)]
        assert all((b - a).days > 28 for a, b in itertools.pairwise(targets))


def test_that_the_windows_of_every_shipped_trial_never_overlap() -> None:
    ablated = {"ire-cervical-ln": "IRE", "mtt-liver": "CRYO_RF", "rfa-crlm": "RFA", "latc-neoadjuvant": "SYSTEMIC"}
    for name, kind in ablated.items():
        protocol = load_protocol(name)
        for start in ("2024-01-31", "2024-02-29", "2025-11-30", "2025-02-28"):
            days = [p for p in plan_visits(protocol, [event(kind, start), event("ENROLMENT", start)]) if p.first and p.visit.imaging and p.visit.anchor in ("first", "last")]
            assert len(days) >= 3
            assert all(a.last < b.first for a, b in itertools.pairwise(days)), (name, start)


def test_that_a_scan_goes_to_the_nearest_target_inside_its_window(ire) -> None:
    days = plan_visits(ire, [event("IRE", "2025-01-31")])
    scans = [("a", "2025-04-16"), ("b", "2025-04-15"), ("c", "2025-05-14"), ("d", "2025-03-09"), ("e", "2025-05-01"), ("f", "2025-01-10"), ("g", "2025-01-20")]
    found = {a.key: a for a in assign_scans(days, [(k, D(v)) for k, v in scans])}
    assert (found["a"].visit, found["a"].offset_days) == ("Month 3", -14)
    assert (found["b"].visit, found["b"].nearest, found["b"].offset_days) == (None, "Month 3", -15)
    assert (found["c"].visit, found["c"].offset_days) == ("Month 3", 14)
    assert (found["d"].visit, found["d"].offset_days) == ("Day 30", 7)
    # of several the nearest to the target counts; before the ablation the last
    assert [k for k in "ace" if found[k].chosen] == ["e"]
    assert {k: found[k].visit for k in "fg"} == {"f": "Baseline", "g": "Baseline"}
    assert [k for k in "fg" if found[k].chosen] == ["g"]
    assert assign_scans(plan_visits(ire, []), [("x", D("2025-01-01"))])[0] .nearest is None


@pytest.mark.parametrize(
    ("on", "expected"),
    [("2025-02-22", "planned"), ("2025-02-23", "due"), ("2025-03-09", "due"), ("2025-03-10", "overdue"), ("2025-04-15", "overdue"), ("2025-04-16", "missed")],
)
def test_that_status_follows_the_stated_day(ire, on: str, expected: str) -> None:
    row = rows(ire, [event("IRE", "2025-01-31")], [visit("Baseline", "2025-01-20")], on)["Day 30"]
    assert row.status == expected
    assert row.days_left == (D("2025-03-09") - D(on)).days
    assert row.status in STATUSES


def test_that_done_late_unscheduled_and_undated_visits_are_told_apart(ire) -> None:
    there = [visit("Baseline", "2025-01-20"), visit("Day 30", "2025-03-20"), visit("Extra", "2025-05-02"), visit("Month 6", None)]
    told = rows(ire, [event("IRE", "2025-01-31")], there, "2025-08-20")
    assert (told["Baseline"].status, told["Baseline"].in_window) == ("done", True)
    assert (told["Day 30"].status, told["Day 30"].offset_days, told["Day 30"].in_window) == ("out_of_window", 18, False)
    assert (told["Extra"].status, told["Extra"].belongs_to, told["Extra"].offset_days) == ("unscheduled", "Month 3", 2)
    assert (told["Month 3"].status, told["Month 6"].status) == ("missed", "undated")
    assert told["Screening"].status == "not_tracked"
    # a visit of later than the stated day has not happened on it
    assert rows(ire, [event("IRE", "2025-01-31")], there, "2025-03-01")["Day 30"].status == "due"


def test_that_nothing_is_guessed_before_the_first_ablation(ire) -> None:
    told = rows(ire, [], [visit("Baseline", "2025-01-20")], "2025-02-01")
    assert (told["Month 3"].status, told["Month 3"].target_date) == ("not_planned", None)
    assert (told["Baseline"].status, told["Baseline"].in_window) == ("done", None)


def test_that_a_baseline_is_missed_once_the_ablation_was_done(ire) -> None:
    assert rows(ire, [event("IRE", "2025-01-31")], [], "2025-01-31")["Baseline"].status == "due"
    assert rows(ire, [event("IRE", "2025-01-31")], [], "2025-02-01")["Baseline"].status == "missed"


def test_that_after_the_end_of_follow_up_nothing_is_asked_for(ire) -> None:
    events = [event("IRE", "2025-01-31"), event("DEATH", "2025-08-05")]
    told = rows(ire, events, [visit("Baseline", "2025-01-20"), visit("Month 3", "2025-05-01")], "2026-06-01")
    assert [told[n].status for n in ("Day 30", "Month 3", "Month 6", "Month 9", "Month 24")] == ["missed", "done", "ended", "ended", "ended"]


def test_that_shifted_dates_are_never_held_against_today(ire) -> None:
    told = subject_schedule(ire, [event("IRE", "2025-01-31")], [visit("Baseline", "2025-01-20"), visit("Day 30", "2025-03-01")], [], on=D("2031-01-01"), dates_shifted=True)
    status = {r["visit"]: r["status"] for r in told["schedule"]}
    assert (status["Baseline"], status["Day 30"], status["Month 3"]) == ("done", "done", "not_known")
    assert (told["salvage"]["state"], told["salvage"]["days_left"], told["salvage"]["deadline"]) == ("not_known", None, "2025-03-15")


@pytest.mark.parametrize(("on", "state", "left"), [("2025-03-02", "open", 13), ("2025-03-15", "open", 0), ("2025-03-16", "passed", -1)])
def test_that_the_salvage_deadline_counts_days_from_the_scan(ire, on: str, state: str, left: int) -> None:
    told = salvage_deadline(ire, [event("IRE", "2025-01-31")], [visit("Day 30", "2025-03-01")], on=D(on))
    assert (told.state, told.days_left, told.deadline, told.counted_from) == (state, left, "2025-03-15", "Day 30 scan")


def test_that_the_salvage_deadline_counts_from_the_result_where_the_protocol_says_so(ire) -> None:
    by_result = protocol_from({**ire.content, "salvage": {**ire.content["salvage"], "counted_from": "result"}})
    events, visits = [event("IRE", "2025-01-31")], [visit("Day 30", "2025-03-01")]
    assert salvage_deadline(by_result, events, visits, on=D("2025-03-20")).state == "awaiting_result"

    def signed(role: str, utc: str | None) -> Reading:
        state = ReadingState.LOCKED if utc else ReadingState.MEASURED
        return Reading("R", "S-1", "V-Day 30", "N", "a", role, "CEUS", "ellipsoid", ReadingStatus.MEASURED, state, locked_utc=utc)

    assert result_date_of(by_result, visits, [signed("central", "2025-03-02T10:00:00Z"), signed("site", None)]) is None
    result = result_date_of(by_result, visits, [signed("site", "2025-03-06T10:00:00Z"), signed("site", "2025-03-05T23:00:00Z")])
    assert result == "2025-03-05"
    told = salvage_deadline(by_result, events, visits, on=D("2025-03-18"), result_date=result)
    assert (told.deadline, told.days_left, told.state) == ("2025-03-19", 1, "open")


def test_that_a_salvage_that_was_done_is_used_late_or_over(ire) -> None:
    visits, first = [visit("Day 30", "2025-03-01")], event("IRE", "2025-01-31")
    assert salvage_deadline(ire, [first], [], on=D("2025-02-10")).state == "not_started"
    assert salvage_deadline(ire, [first, event("SALVAGE", "2025-03-15")], visits, on=D("2025-04-01")).state == "used"
    assert salvage_deadline(ire, [first, event("SALVAGE", "2025-03-16")], visits, on=D("2025-04-01")).state == "used_late"
    assert salvage_deadline(ire, [first, event("WITHDRAWAL", "2025-03-03")], visits, on=D("2025-03-05")).state == "ended"
    assert salvage_deadline(load_protocol("mtt-liver"), [first], visits, on=D("2025-03-05")) is None


def test_that_rounds_of_rfa_and_cycles_give_the_liver_calendar(crlm) -> None:
    cycles = [event("SYSTEMIC", d) for d in ("2025-01-06", "2025-01-27", "2025-02-17")]
    before = anchors_of(crlm, cycles[:1], {})
    assert (before["start"].date, before["induction"].date) == (D("2025-01-06"), None)  # two cycles at least
    assert anchors_of(crlm, cycles, {})["induction"].date == D("2025-02-17")
    five = [*cycles, event("SYSTEMIC", "2025-03-10"), event("SYSTEMIC", "2025-03-31")]
    assert anchors_of(crlm, five, {})["induction"].date == D("2025-03-10")  # the fourth, not the fifth
    events = [*cycles, event("RFA", "2025-03-20", "N1"), event("RFA", "2025-03-20", "N2"), event("SYSTEMIC", "2025-04-01"), event("RFA", "2025-05-01", "N3"), event("RFA", "2025-05-01", "N4")]
    found = anchors_of(crlm, events, {})
    assert (found["between_1_2"].date, found["between_2_3"].date) == (D("2025-04-01"), None)
    assert (found["first"].date, found["last"].date) == (D("2025-03-20"), D("2025-05-01"))
    planned = {p.visit.name: p.target for p in plan_visits(crlm, events)}
    assert planned["Response scan 1"] == D("2025-03-10")
    assert planned["Response scan 2"] == D("2025-04-22")
    assert planned["Response scan 3"] is None
    assert (planned["Month 1"], planned["Month 36"]) == (D("2025-06-01"), D("2028-05-01"))
    told = rows(crlm, events, [], "2025-07-01")
    assert (told["Response scan 1"].status, told["Response scan 2"].status, told["Response scan 3"].status) == ("missed", "not_required", "not_planned")


def test_that_the_control_arm_counts_from_its_response_scan(crlm) -> None:
    events = [event("ALLOCATION", "2025-01-02", arm="control"), event("SYSTEMIC", "2025-01-06"), event("SYSTEMIC", "2025-01-27")]
    told = rows(crlm, events, [visit("Response scan 1", "2025-02-20")], "2025-03-25")
    assert "Response scan 2" not in told
    assert (told["Month 1"].target_date, told["Month 1"].anchor_event_id, told["Month 1"].status) == ("2025-03-20", None, "due")
    assert rows(crlm, events, [], "2025-03-25")["Month 1"].status == "not_planned"


def test_that_departures_of_the_treatment_are_told(crlm, ire) -> None:
    fine = [event("RFA", "2025-03-20", n) for n in ("N1", "N2")]
    assert treatment_findings(crlm, [*fine, event("SYSTEMIC", "2025-03-13")]) == ()
    near = treatment_findings(crlm, [*fine, event("SYSTEMIC", "2025-03-14")])
    assert [f.code for f in near] == ["near_systemic"]
    assert [f.code for f in treatment_findings(crlm, [event("RFA", "2025-03-20", "N1")])] == ["lesions_per_round"]
    assert treatment_findings(crlm, [event("RFA", "2025-03-20")]) == ()  # how many is not known: nothing is said
    four = [event("RFA", f"2025-0{m}-20") for m in (3, 4, 5, 6)]
    assert [f.code for f in treatment_findings(crlm, four)] == ["rounds_exceeded"]
    twice = [event("SALVAGE", "2025-03-05"), event("SALVAGE", "2025-03-09")]
    assert [f.code for f in treatment_findings(ire, twice)] == ["salvages_exceeded"]


def test_that_the_neoadjuvant_arms_have_visits_of_their_own() -> None:
    latc = load_protocol("latc-neoadjuvant")
    upfront = [event("ALLOCATION", "2025-01-02", arm="upfront"), event("SURGERY", "2025-02-01")]
    planned = {p.visit.name: p.target for p in plan_visits(latc, upfront)}
    assert planned["Baseline"] == D("2025-02-01")
    assert "Restaging 1" not in planned
    treated = [event("SYSTEMIC", "2024-12-31")]
    planned = {p.visit.name: p.target for p in plan_visits(latc, treated)}
    assert (planned["Restaging 1"], planned["Preoperative"]) == (D("2025-02-28"), None)
    assert rows(latc, treated, [], "2025-01-01")["Baseline"].status == "missed"


def test_that_a_study_of_the_earlier_schema_is_planned_alike(ire) -> None:
    old = {
        "schema": "nodus.protocol/1", "id": "old", "version": "1", "title": "An earlier study", "treatment": "IRE",
        "visits": [
            {"name": "Screening", "phase": "pre", "order": -1, "anchor": "first", "day": -28, "months": None, "window_days": [0, 28]},
            {"name": "Baseline", "phase": "pre", "order": 0, "anchor": "first", "day": 0, "months": None, "window_days": [-28, 0]},
            {"name": "Day 30", "phase": "post", "order": 1, "anchor": "first", "day": 30, "months": None, "window_days": [-7, 7]},
            {"name": "Month 3", "phase": "post", "order": 2, "anchor": "last", "day": None, "months": 3, "window_days": [-14, 14]},
        ],
        "salvage": {"allowed": 1, "within_days": 14, "counted_from": "day_30_scan"},
        "reading": {"modalities": ["CT"], "methods": ["voxel"]},
    }  # fmt: skip
    protocol = protocol_from(old)
    assert protocol.content is old
    events = [event("IRE", "2025-01-31"), event("SALVAGE", "2025-03-10")]
    told = rows(protocol, events, [visit("Day 30", "2025-03-01")], "2025-06-12")
    assert (told["Month 3"].target_date, told["Month 3"].status, told["Screening"].status) == ("2025-06-10", "due", "not_tracked")
    assert salvage_deadline(protocol, events, [visit("Day 30", "2025-03-01")], on=D("2025-06-12")).deadline == "2025-03-15"
    assert day_of("2025-01-31") == D("2025-01-31")


def replaced(wrong: ClinicalEvent, kind: str, date: str, **detail) -> ClinicalEvent:
    return event(kind, date, replaces=wrong.event_id, **detail)


def test_that_an_event_that_was_replaced_moves_no_visit_and_no_deadline(ire) -> None:
    wrong = event("IRE", "2025-01-13")
    right = replaced(wrong, "IRE", "2025-01-31")
    told = rows(ire, [wrong, right], [], "2025-02-03")
    assert (told["Day 30"].target_date, told["Month 3"].target_date) == ("2025-03-02", "2025-04-30")
    assert rows(ire, [wrong, right], [], "2025-01-20")["Day 30"].status == "not_planned"  # that it had been done by then was the mistake
    salvage = event("SALVAGE", "2025-03-05")
    undone = replaced(salvage, "SYSTEMIC", "2025-03-05")
    visits = [visit("Day 30", "2025-03-01")]
    assert salvage_deadline(ire, [right, salvage], visits, on=D("2025-03-10")).state == "used"
    assert salvage_deadline(ire, [right, salvage, undone], visits, on=D("2025-03-10")).state == "open"
    assert rows(ire, [right, salvage, undone], visits, "2025-03-10")["Month 3"].target_date == "2025-04-30"


def test_that_departures_and_arms_follow_the_event_that_stands(crlm, ire) -> None:
    twice = [event("SALVAGE", "2025-03-05"), event("SALVAGE", "2025-03-09")]
    assert treatment_findings(ire, [*twice, replaced(twice[1], "SYSTEMIC", "2025-03-09")]) == ()
    wrong = event("ALLOCATION", "2025-01-02", arm="control")
    told = rows(crlm, [wrong, replaced(wrong, "ALLOCATION", "2025-01-01", arm="rfa"), event("SYSTEMIC", "2025-01-06")], [], "2025-01-10")
    assert "Response scan 2" in told  # a visit of the other arm
