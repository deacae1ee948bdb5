"""Follow-up rows: every reading of a subject once, in order, with its rate against its own baseline."""

from __future__ import annotations

import pytest

from app.study.model import ReadingStatus
from app.usecases.assess_response import follow_up_rows, response_of


@pytest.fixture
def followed(case):
    """Three visits by one reader, a second node, a second reader at one visit, one ablation."""
    case.store.add_event("S-001", "IRE", "2026-01-08")
    second = case.store.add_node("S-001", "N0", "right", "IV")
    case.lock("Baseline", volume_ml=2.0, volume_interval_ml=(1.9, 2.1))
    case.lock("Day 30", volume_ml=1.5, volume_interval_ml=(1.4, 1.6))
    case.save("Month 3", volume_ml=0.5, volume_interval_ml=(0.4, 0.6))
    case.lock("Baseline", volume_ml=1.0, node_id=second.node_id, volume_interval_ml=(0.9, 1.1))
    case.lock("Day 30", node_id=second.node_id, status=ReadingStatus.DISAPPEARED_ASSESSED, volume_ml=0.0, volume_interval_ml=None, long_axis_mm=None, short_axis_mm=None)
    case.lock("Day 30", volume_ml=1.6, reader="reader-b", volume_interval_ml=(1.5, 1.7))
    return case


def row(rows, node, visit, reader="reader-a") -> dict:
    (found,) = [r for r in rows if (r["label"], r["visit_name"], r["reader"]) == (node, visit, reader)]
    return found


def test_that_every_counting_reading_is_one_row_in_the_order_of_node_and_visit(followed):
    rows = follow_up_rows(followed.store, "S-001")
    assert [(r["label"], r["visit_name"], r["reader"]) for r in rows] == [
        ("N0", "Baseline", "reader-a"), ("N0", "Day 30", "reader-a"), ("N1", "Baseline", "reader-a"),
        ("N1", "Day 30", "reader-a"), ("N1", "Day 30", "reader-b"), ("N1", "Month 3", "reader-a"),
    ]  # fmt: skip
    assert [r["is_baseline"] for r in rows] == [True, False, True, False, False, False]
    assert {(r["label"], r["side"], r["level"]) for r in rows} == {("N0", "right", "IV"), ("N1", "left", "III")}


def test_that_rates_are_against_the_same_readers_baseline(followed):
    rows = follow_up_rows(followed.store, "S-001")
    assert row(rows, "N1", "Baseline")["vrr_pct"] is None
    assert row(rows, "N1", "Day 30")["vrr_pct"] == pytest.approx(25.0)
    assert row(rows, "N1", "Month 3")["vrr_pct"] == pytest.approx(75.0)
    assert row(rows, "N0", "Day 30")["vrr_pct"] == pytest.approx(100.0)
    assert row(rows, "N1", "Day 30", "reader-b")["vrr_pct"] is None  # no baseline of that reader
    assert "no_baseline" in {w["code"] for w in row(rows, "N1", "Day 30", "reader-b")["warnings"]}


def test_that_intervals_hold_the_rate_and_a_vanished_node_has_no_false_one(followed):
    low, high = row(follow_up_rows(followed.store, "S-001"), "N1", "Day 30")["interval_pct"]
    assert low < 25.0 < high
    assert row(follow_up_rows(followed.store, "S-001"), "N0", "Day 30")["interval_pct"] is None


def test_that_what_is_not_locked_is_provisional_and_a_draft_does_not_count(followed):
    rows = follow_up_rows(followed.store, "S-001")
    assert [row(rows, "N1", v)["provisional"] for v in ("Baseline", "Day 30", "Month 3")] == [False, False, True]
    from app.study.model import ReadingState

    followed.save("Month 3", reader="reader-c", state=ReadingState.DRAFT)
    assert len(follow_up_rows(followed.store, "S-001")) == len(rows)


def test_that_a_correction_counts_only_once_it_is_locked(followed):
    reading = row(follow_up_rows(followed.store, "S-001"), "N1", "Day 30")
    followed.store.correct_reading(reading["reading_id"], "wrong slice", volume_ml=1.0)
    assert row(follow_up_rows(followed.store, "S-001"), "N1", "Day 30")["vrr_pct"] == pytest.approx(25.0)
    followed.store.lock_reading(reading["reading_id"], "Dr Reader", "confirmed")
    corrected = row(follow_up_rows(followed.store, "S-001"), "N1", "Day 30")
    assert (corrected["vrr_pct"], corrected["version"]) == (pytest.approx(50.0), 2)


def test_that_the_response_of_the_command_line_has_the_promised_fields(followed):
    answer = response_of(followed.store, "S-001")
    promised = {"subject", "node", "visit", "reader", "vrr_pct", "interval_pct", "status", "comparable", "n_ablations_before_scan", "days_from_first", "days_from_anchor"}
    assert all(promised <= set(n) for n in answer["nodes"])
    day30 = next(n for n in answer["nodes"] if (n["node"], n["visit"], n["reader"]) == ("N1", "Day 30", "reader-a"))
    assert (day30["n_ablations_before_scan"], day30["days_from_first"], day30["days_from_anchor"]) == (1, 29, 29)


def test_that_another_subject_is_another_table(followed):
    assert follow_up_rows(followed.store, "S-001")
    followed.store.add_subject("S-002")
    assert follow_up_rows(followed.store, "S-002") == []
