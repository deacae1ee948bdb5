"""Which rates an endpoint table may hold, and why the others are not in it."""

from __future__ import annotations

from app.study.followup import respond
from app.study.model import ReadingStatus
from tests.study.builders import CaseBuilder


def answer(case: CaseBuilder) -> dict:
    """What ``nodus study response --json`` says of the case, visit by visit."""
    return respond(case.store.snapshot()).to_dict()


def reasons(found: dict) -> dict[tuple, list[str]]:
    """(visit, reader, role, modality) -> why the reading is in no table."""
    modality = {n["reading_id"]: n["modality"] for n in found["nodes"]}
    return {(r["visit"], r["reader"], r["role"], modality[r["reading_id"]]): r["reasons"] for r in found["endpoints_left_out"]}


def test_that_a_table_gives_number_mean_and_every_node_it_is_made_of(case: CaseBuilder) -> None:
    second = case.store.add_node("S-001", "N2", "right", "II")
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.0)
    case.lock("Baseline", node_id=second.node_id, volume_ml=1.0)
    case.lock("Day 30", node_id=second.node_id, volume_ml=0.1)
    found = answer(case)
    (table,) = found["endpoints"]
    assert (table["visit"], table["reader"], table["n"], table["mean_pct"], table["median_pct"]) == ("Day 30", "reader-a", 2, 70.0, 70.0)
    assert [(n["node"], n["value_pct"]) for n in table["nodes"]] == [("N1", 50.0), ("N2", 90.0)]
    assert found["endpoints_left_out"] == []


def test_that_what_was_read_by_another_modality_or_method_is_shown_and_left_out(case: CaseBuilder) -> None:
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Day 30", modality="US", method="ellipsoid", volume_ml=1.0)
    case.lock("Month 3", method="contour", volume_ml=0.5)
    found = answer(case)
    assert [(n["vrr_pct"], n["comparable"], n["interval_pct"]) for n in found["nodes"]] == [(50.0, False, None), (75.0, False, None)]
    assert found["endpoints"] == []
    assert [r["reasons"] for r in found["endpoints_left_out"]] == [["not_comparable"], ["not_comparable"]]


def test_that_only_central_readers_count_and_a_site_never(case: CaseBuilder) -> None:
    for role in ("central", "site", "training", "adjudicator"):
        case.lock("Baseline", reader=f"reader-{role}", role=role, volume_ml=2.0)
        case.lock("Day 30", reader=f"reader-{role}", role=role, volume_ml=1.0)
    found = answer(case)
    assert [t["reader"] for t in found["endpoints"]] == ["reader-central"]
    assert {key[2]: why for key, why in reasons(found).items()} == {"site": ["role"], "training": ["role"], "adjudicator": ["role"]}


def test_that_a_person_who_reads_for_site_and_centre_is_two_readers(case: CaseBuilder) -> None:
    case.lock("Baseline", role="site", volume_ml=4.0)
    case.lock("Baseline", role="central", volume_ml=2.0)
    case.lock("Day 30", role="central", volume_ml=1.0)
    (table,) = answer(case)["endpoints"]
    assert [n["value_pct"] for n in table["nodes"]] == [50.0]


def test_that_nothing_open_counts_and_an_open_baseline_does_not_hide_a_locked_one(case: CaseBuilder) -> None:
    case.visits["Screening"] = case.store.add_visit("S-001", "Screening", actual_date="2025-12-20")
    case.lock("Screening", volume_ml=4.0)
    case.save("Baseline", volume_ml=2.0)
    case.lock("Day 30", volume_ml=1.0)
    case.save("Month 3", volume_ml=0.5)
    found = answer(case)
    assert [(n["visit"], n["vrr_pct"], n["provisional"]) for n in found["nodes"]] == [("Day 30", 50.0, True), ("Month 3", 75.0, True)]
    assert [(t["visit"], t["nodes"][0]["value_pct"]) for t in found["endpoints"]] == [("Day 30", 75.0)]
    assert reasons(found) == {("Month 3", "reader-a", "central", "CT"): ["not_locked"]}


def test_that_a_reading_without_volume_or_baseline_is_listed_with_its_reason(case: CaseBuilder) -> None:
    case.lock("Baseline")
    case.lock("Day 30", status=ReadingStatus.NOT_IMAGED, volume_ml=None, volume_interval_ml=None)
    case.lock("Month 3", reader="reader-b", volume_ml=1.0)
    found = answer(case)
    assert found["endpoints"] == []
    assert [r["reasons"] for r in found["endpoints_left_out"]] == [["no_volume"], ["no_baseline"]]


def test_that_a_vanished_node_counts_with_100_percent(case: CaseBuilder) -> None:
    gone = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None}
    case.lock("Baseline", volume_ml=2.0)
    case.lock("Month 3", status=ReadingStatus.DISAPPEARED_ASSESSED, **gone)
    (table,) = answer(case)["endpoints"]
    assert table["mean_pct"] == 100.0


def test_that_the_enhancing_part_has_a_table_of_its_own(case: CaseBuilder) -> None:
    by_hu = {"viable_from": "hu_threshold", "ablated_from": "derived", "enhancing_above_hu": 70.0}
    case.lock("Baseline", volume_ml=2.0, viable_ml=1.6, ablated_ml=0.4, **by_hu)
    case.lock("Day 30", volume_ml=1.8, viable_ml=0.4, ablated_ml=1.4, **by_hu)
    case.lock("Month 3", volume_ml=1.0, viable_ml=0.2, ablated_ml=0.8, **{**by_hu, "enhancing_above_hu": 90.0})
    tables = {(t["endpoint"], t["visit"]): t["mean_pct"] for t in answer(case)["endpoints"]}
    assert {key: round(value, 6) for key, value in tables.items()} == {("vrr_pct", "Day 30"): 10.0, ("vrr_viable_pct", "Day 30"): 75.0, ("vrr_pct", "Month 3"): 50.0}
