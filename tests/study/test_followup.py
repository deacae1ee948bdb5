"""Which volumes are compared, and against what."""

from __future__ import annotations

import pytest

from app.study.followup import counting_readings, respond
from app.study.model import ReadingState, ReadingStatus
from tests.study.builders import CaseBuilder


def rows(case: CaseBuilder, **options) -> list:
    """Response rows of the case."""
    return list(respond(case.store.snapshot(), **options).nodes)


def test_that_a_rate_compares_one_readers_volumes_with_its_own_baseline(case: CaseBuilder) -> None:
    case.store.add_event("S-001", "IRE", "2026-01-07")
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Baseline", reader="reader-b", volume_ml=4.0)
    case.lock("Month 3", volume_ml=0.5, volume_interval_ml=None)
    case.lock("Month 3", reader="reader-b", volume_ml=0.5, volume_interval_ml=None)
    found = rows(case)
    assert [(r.reader, r.vrr_pct, r.baseline_volume_ml) for r in found] == [("reader-a", 75.0, 2.0), ("reader-b", 87.5, 4.0)]
    assert all(r.comparable and not r.provisional for r in found)
    assert [(r.n_ablations_before_scan, r.days_from_first, r.days_from_anchor) for r in found] == [(1, 93, 93)] * 2


def test_that_a_reader_without_a_baseline_gets_no_rate(case: CaseBuilder) -> None:
    case.lock("Baseline")
    case.lock("Day 30", reader="reader-b", volume_ml=1.0)
    (row,) = rows(case)
    assert row.vrr_pct is None
    assert not row.comparable
    assert "no_baseline" in {w["code"] for w in row.warnings}


def test_that_another_method_is_shown_but_not_comparable(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", modality="US", method="ellipsoid", volume_ml=1.0)
    (row,) = rows(case)
    assert row.vrr_pct == 50.0
    assert not row.comparable
    assert row.interval_pct is None
    assert {"unlike_modality"} <= {w["code"] for w in row.warnings}


def test_that_the_same_method_goes_before_a_later_baseline_of_another(case: CaseBuilder) -> None:
    case.visits["Screening"] = case.store.add_visit("S-001", "Screening", actual_date="2025-12-20")
    case.lock("Screening", modality="US", method="ellipsoid", volume_ml=4.0)
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", modality="US", method="ellipsoid", volume_ml=1.0)
    case.lock("Day 30", volume_ml=1.0)
    assert [(r.method, r.baseline_visit, r.vrr_pct, r.comparable) for r in rows(case)] == [
        ("voxel", "Baseline", 50.0, True),
        ("ellipsoid", "Screening", 75.0, True),
    ]


def test_that_the_baseline_is_the_last_evaluable_one_before_the_first_ablation(case: CaseBuilder) -> None:
    case.visits["Screening"] = case.store.add_visit("S-001", "Screening", actual_date="2025-12-20")
    case.lock("Screening", volume_ml=3.0)
    case.lock("Baseline", status=ReadingStatus.NOT_EVALUABLE, status_reason="motion", volume_ml=None, volume_interval_ml=None)
    case.lock("Day 30", volume_ml=1.5)
    (row,) = rows(case)
    assert (row.baseline_visit, row.vrr_pct) == ("Screening", 50.0)


def test_that_dates_decide_what_was_before_the_ablation_where_they_are_known(case: CaseBuilder) -> None:
    # The ablation was postponed: what the plan calls Day 30 was scanned before it.
    case.store.add_event("S-001", "IRE", "2026-02-20")
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=2.5)
    case.lock("Month 3", volume_ml=0.5)
    (row,) = rows(case)
    assert (row.visit, row.baseline_visit, row.vrr_pct, row.days_from_first) == ("Month 3", "Day 30", 80.0, 49)


def test_that_a_salvage_moves_the_anchor_but_not_the_baseline(case: CaseBuilder) -> None:
    case.store.add_event("S-001", "IRE", "2026-01-07", node_id=case.node.node_id)
    case.store.add_event("S-001", "SALVAGE", "2026-02-16", node_id=case.node.node_id)
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.6)
    case.lock("Month 3", volume_ml=0.4)
    first, second = rows(case)
    assert (first.n_ablations_before_scan, first.days_from_first, first.days_from_anchor) == (1, 30, 30)
    assert (second.n_ablations_before_scan, second.days_from_first, second.days_from_anchor) == (2, 93, 53)
    assert second.baseline_volume_ml == 2.0
    assert second.vrr_pct == pytest.approx(80.0)


def test_that_an_ablation_of_another_node_moves_only_the_subjects_anchor(case: CaseBuilder) -> None:
    other = case.store.add_node("S-001", "N2", "right", "II")
    case.store.add_event("S-001", "IRE", "2026-01-07", node_id=case.node.node_id)
    case.store.add_event("S-001", "IRE", "2026-02-01", node_id=other.node_id)
    case.lock("Baseline")
    case.lock("Day 30", volume_ml=1.0)
    (row,) = rows(case)
    assert (row.n_ablations_before_scan, row.days_from_first, row.days_from_anchor) == (1, 30, 5)


def test_that_swelling_is_negative_and_a_disappeared_node_is_100(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=3.0)
    gone = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None}
    case.lock("Month 3", status=ReadingStatus.DISAPPEARED_ASSESSED, **gone)
    assert [(r.vrr_pct, r.status) for r in rows(case)] == [(-50.0, "measured"), (100.0, "disappeared_assessed")]


def test_that_not_imaged_is_not_disappeared(case: CaseBuilder) -> None:
    case.lock("Baseline")
    case.lock("Day 30", status=ReadingStatus.NOT_IMAGED, volume_ml=None, volume_interval_ml=None)
    (row,) = rows(case)
    assert row.vrr_pct is None
    assert row.status == "not_imaged"


def test_that_a_locked_version_counts_until_its_correction_is_locked(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0)
    follow = case.lock("Day 30", volume_ml=1.0)
    case.store.correct_reading(follow.reading_id, "slip", volume_ml=0.5)
    assert [(r.vrr_pct, r.version) for r in rows(case)] == [(50.0, 1)]
    case.store.lock_reading(follow.reading_id, "Dr A", "ok")
    assert [(r.vrr_pct, r.version) for r in rows(case)] == [(75.0, 2)]


def test_that_an_unlocked_reading_is_provisional_and_a_draft_does_not_count(case: CaseBuilder) -> None:
    case.lock("Baseline")
    case.save("Day 30", volume_ml=1.0)
    case.save("Month 3", volume_ml=0.5, state=ReadingState.DRAFT)
    (row,) = rows(case)
    assert row.visit == "Day 30"
    assert row.provisional
    assert rows(case, locked_only=True) == []
    assert {r.state for r in counting_readings(case.store.readings())} == {ReadingState.LOCKED, ReadingState.MEASURED}


def test_that_the_interval_comes_from_the_volumes_where_no_repeatability_is_stated(case: CaseBuilder) -> None:
    case.lock("Baseline", modality="MR", volume_ml=2.0, volume_interval_ml=(1.8, 2.2))
    case.lock("Day 30", modality="MR", volume_ml=1.0, volume_interval_ml=(0.9, 1.1))
    (row,) = rows(case)
    lo, hi = row.interval_pct
    assert (row.interval_from, row.cv_pct, row.cv_source) == ("volume intervals", None, None)
    assert "no repeatability is stated" in row.interval_note
    assert lo < row.vrr_pct < hi
    assert hi - row.vrr_pct == pytest.approx(100 * (0.05**2 + (0.5 * 0.1) ** 2) ** 0.5)


def test_that_a_stated_repeatability_gives_the_interval(case: CaseBuilder) -> None:
    from dataclasses import replace

    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.0)
    snapshot = case.store.snapshot()
    protocol = {**snapshot.protocol, "reading": {**snapshot.protocol["reading"], "repeatability_cv_pct": {"CT/voxel": 10.0}}}
    (row,) = respond(replace(snapshot, protocol=protocol)).nodes
    half = 1.96 * 2**0.5 * 10 * 0.5
    assert row.interval_pct == pytest.approx((50 - half, 50 + half))
    assert row.interval_from == "repeatability"
    assert (row.cv_pct, row.cv_source) == (10.0, "protocol ire-cervical-ln/2")


def test_that_a_published_repeatability_stands_in_with_its_source(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.0)
    (row,) = rows(case)
    half = 1.96 * 2**0.5 * 15.9 * 0.5
    assert row.interval_pct == pytest.approx((50 - half, 50 + half))
    assert row.interval_from == "repeatability"
    assert row.interval_note.startswith("Interval from stated repeatability: CV 15.9 % (IEEE Trans Med Imaging 2013;32:888")


def test_that_every_row_has_an_interval_or_the_reason_why_not(case: CaseBuilder) -> None:
    gone = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None}
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Baseline", modality="CEUS", method="ellipsoid", volume_ml=2.0, volume_interval_ml=None)
    case.lock("Day 30", volume_ml=1.0)
    case.lock("Day 30", modality="US", method="ellipsoid", volume_ml=1.0)
    case.lock("Day 30", modality="CEUS", method="ellipsoid", volume_ml=1.0, volume_interval_ml=None)
    case.lock("Day 30", reader="reader-b", volume_ml=1.0)
    case.lock("Month 3", status=ReadingStatus.DISAPPEARED_ASSESSED, **gone)
    case.lock("Month 3", modality="CEUS", method="ellipsoid", status=ReadingStatus.NOT_IMAGED, **gone)
    told = {(r.visit, r.reader, r.modality): (r.vrr_pct, r.interval_pct, r.interval_note) for r in rows(case)}
    assert {key for key, (_, interval, _) in told.items() if interval is not None} == {("Day 30", "reader-a", "CT")}
    for key, word in {
        ("Day 30", "reader-a", "US"): "change of modality",
        ("Day 30", "reader-a", "CEUS"): "no repeatability is stated for CEUS by ellipsoid",
        ("Day 30", "reader-b", "CT"): "no evaluable baseline",
        ("Month 3", "reader-a", "CT"): "has disappeared",
        ("Month 3", "reader-a", "CEUS"): "not imaged",
    }.items():
        assert word in told[key][2], key


def test_that_the_answer_has_the_fixed_names(case: CaseBuilder) -> None:
    case.lock("Baseline")
    case.lock("Day 30", volume_ml=1.0)
    answer = respond(case.store.snapshot(), subject_id="S-001").to_dict()
    fixed = {
        "subject", "node", "visit", "reader", "vrr_pct", "interval_pct", "status", "comparable",
        "n_ablations_before_scan", "days_from_first", "days_from_anchor",
    }  # fmt: skip
    assert fixed <= set(answer["nodes"][0])
    assert {"ablated_ml", "viable_ml", "vrr_viable_pct", "vrr_ablated_pct"} <= set(answer["nodes"][0])
    assert [(e["endpoint"], e["visit"], e["n"]) for e in answer["endpoints"]] == [("vrr_pct", "Day 30", 1)]
    assert respond(case.store.snapshot(), subject_id="S-999").nodes == ()
