"""A subject's nodes together at each visit, and the course of each node; the whole answer of the command."""

from __future__ import annotations

import pytest

from app.study.followup import respond
from app.study.model import ReadingStatus
from app.study.subject_response import course_rows, subject_rows
from app.usecases.assess_response import response_of_snapshot
from tests.study.snapshots import Trial


@pytest.fixture
def trial() -> Trial:
    """N1 4.0 -> 1.0 -> 1.6 ml, enhancing at Day 30 and salvaged; N2 1.0 -> 0.9 ml -> gone; N3 1.0 ml, never read again."""
    made = Trial()
    made.subject("S-1", {"Baseline": "2026-02-20", "Day 30": "2026-03-31", "Month 3": "2026-07-01", "Month 6": "2026-10-01"}, ("N1", "N2", "N3"))
    made.event("S-1", "IRE", "2026-03-01")
    made.event("S-1", "SALVAGE", "2026-04-05", "N1")
    for node, ml in (("N1", 4.0), ("N2", 1.0), ("N3", 1.0)):
        made.read("S-1", "Baseline", node, ml)
    made.read("S-1", "Day 30", "N1", 3.0, enhancement_grade="2")
    made.read("S-1", "Month 3", "N1", 1.0, enhancement_grade="0")
    made.read("S-1", "Month 6", "N1", 1.6, enhancement_grade="2")
    made.read("S-1", "Day 30", "N2", 0.9)
    made.read("S-1", "Month 3", "N2", 0.0)
    made.read("S-1", "Month 6", "N2", status=ReadingStatus.NOT_IMAGED)
    return made


def test_that_a_subjects_rate_names_what_is_missing(trial: Trial) -> None:
    rows = {r["visit"]: r for r in subject_rows(trial.snapshot(), respond(trial.snapshot()))}
    # Month 3: N1 4.0 -> 1.0 and N2 1.0 -> 0: together 5.0 -> 1.0 ml, 80 %; mean of 75 and 100.
    assert (rows["Month 3"]["sum_pct"], rows["Month 3"]["mean_pct"], rows["Month 3"]["all_gone"]) == (80.0, 87.5, False)
    assert rows["Month 6"]["missing"] == {"N2": "not_imaged", "N3": "not_read"}
    assert (rows["Month 3"]["missing"], rows["Month 3"]["complete"]) == ({"N3": "not_read"}, False)
    assert rows["Day 30"]["sum_pct"] == pytest.approx(22.0)  # 5.0 -> 3.9 ml


def test_that_the_course_tells_residual_salvage_regrowth_and_disappearance(trial: Trial) -> None:
    rows = {r["node"]: r for r in course_rows(trial.snapshot(), respond(trial.snapshot()))}
    one, two = rows["N1"], rows["N2"]
    assert (one["residual"], one["salvaged"], one["n_ablations"]) == (True, True, 2)
    assert [(s["kind"], s["visit"]) for s in one["signs"]] == [("enhancement_back", "Month 6"), ("regrowth", "Month 6")]
    assert (two["residual"], two["salvaged"], two["disappeared_date"], two["signs"]) == (None, False, "2026-07-01", [])


def test_that_the_answer_holds_the_fixed_fields_and_says_which_records_count(trial: Trial) -> None:
    answer = response_of_snapshot(trial.snapshot())
    assert {"nodes", "endpoints", "endpoints_left_out", "subjects", "courses", "responses"} <= set(answer)
    assert answer["records"] == "locked"
    assert [e["endpoint"] for e in answer["endpoints"] if e["set"] == "protocol"][:2] == ["vrr_12m_single_ire", "vrr_12m_single_or_salvage"]
    assert {e["visit"] for e in answer["endpoints"] if e["set"] == "visit"} == {"Day 30", "Month 3", "Month 6"}
    taken = {(r.reading_id, r.version) for r in trial.readings if "Month 3" in r.visit_id}
    some = response_of_snapshot(trial.snapshot(), accepted=taken)
    assert {e["visit"] for e in some["endpoints"] if e["set"] == "visit"} == {"Month 3"}
    assert {tuple(r["reasons"]) for r in some["endpoints_left_out"] if r["visit"] == "Day 30"} == {("not_accepted",)}


def test_that_the_command_prints_every_endpoint_with_its_counts(trial: Trial) -> None:
    from app.cli.responding import human

    text = human(response_of_snapshot(trial.snapshot()))
    # No Month 12 scan yet: N1 (salvaged) is out, N2 and N3 are missing.
    assert "Node volume reduction rate at 12 months after a single IRE [vrr_12m_single_ire, primary, reader r1]" in text
    assert "0 of 2 nodes of the set, 0 assessed in the window; 3 treated, 1 salvaged and left out; missing: 2 no_scan_in_window" in text
    assert "0 events in 1 subjects, median not reached" in text
    assert "seed 20260101" in text


def test_that_two_missed_visits_before_death_move_only_the_sensitivity_table() -> None:
    # Scans at Day 30 and Month 3 (1 June 2026); death on 15 January 2027: Months 6 (1 September) and 9 (1 December) were missed.
    made = Trial()
    made.subject("S-1", {"Baseline": "2026-02-20", "Day 30": "2026-03-31", "Month 3": "2026-06-01"})
    made.event("S-1", "IRE", "2026-03-01")
    made.event("S-1", "DEATH", "2027-01-15")
    for visit in ("Baseline", "Day 30", "Month 3"):
        made.read("S-1", visit, "N1", 1.0)
    pfs = next(e for e in response_of_snapshot(made.snapshot())["endpoints"] if e["endpoint"] == "pfs")
    (main,), (strict,) = pfs["subjects"], pfs["sensitivity"]["subjects"]
    assert (main["event"], main["days"], main["reason"], main["missed_visits"]) == (True, 320, "death", 2)
    assert (strict["event"], strict["days"], strict["reason"]) == (False, 92, "missed_visits")
    assert pfs["sensitivity"]["changed"] == ["S-1"]


def test_that_the_store_answers_with_accepted_records(case) -> None:
    from app.usecases.assess_response import response_of

    case.store.add_event("S-001", "IRE", "2026-01-07")
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.0)
    answer = response_of(case.store)
    assert answer["records"] == "accepted"
    assert [(e["reader"], e["n"], e["mean_pct"]) for e in answer["endpoints"] if e["set"] == "visit"] == [("accepted", 1, 50.0)]
    assert {e["reader"] for e in answer["endpoints"] if e["set"] == "protocol"} == {"accepted"}
