"""Agreement from a study's own readings: who is compared with whom, and what is missing."""

from __future__ import annotations

import pytest

from app.study.model import ReadingStatus
from app.usecases.agreement import agreement_of_readings
from volumetry.agreement import agreement_from_rows

VOLUMES = {"N1": (2.0, 2.2), "N2": (1.0, 0.9), "N3": (0.5, 0.55), "N4": (3.0, 2.7)}


def lock_all(case, count: int, reader: str = "reader-b", **changes) -> None:
    """Reader A and another one lock the first ``count`` nodes at Baseline."""
    nodes = {n.label: n for n in case.store.nodes("S-001")}
    for label in list(VOLUMES)[:count]:
        node = nodes.get(label) or case.store.add_node("S-001", label, "left", "II")
        if nodes.get(label) is None or not case.store.readings("S-001", node_id=node.node_id, reader="reader-a"):
            case.lock("Baseline", node_id=node.node_id, volume_ml=VOLUMES[label][0])
        case.lock("Baseline", node_id=node.node_id, reader=reader, volume_ml=VOLUMES[label][1], **changes)


def test_that_the_numbers_are_those_of_the_same_table(case):
    lock_all(case, 4)
    found = agreement_of_readings(case.store.snapshot())
    (pair,) = found["pairs"]
    rows = [(label, reader, "1", VOLUMES[label][n]) for n, reader in enumerate(("reader-a", "reader-b")) for label in VOLUMES]
    expected = agreement_from_rows(rows)
    assert {k: pair[k] for k in expected} == expected
    assert (pair["readers"], pair["nodes"], pair["items"], pair["modality"], pair["method"]) == (["reader-a", "reader-b"], 4, 4, "CT", "voxel")
    assert found["missing"] is None
    assert [(v["node"], v["first_ml"], v["second_ml"]) for v in pair["values"]] == [(label, *both) for label, both in VOLUMES.items()]
    assert pair["bland_altman"]["mean"] == pytest.approx(sum(a - b for a, b in VOLUMES.values()) / 4)


def test_that_two_visits_of_one_node_are_two_items_but_one_node(case):
    lock_all(case, 2)
    for reader, volume in (("reader-a", 1.0), ("reader-b", 1.1)):
        case.lock("Day 30", reader=reader, volume_ml=volume)
    found = agreement_of_readings(case.store.snapshot())
    assert found["pairs"] == []
    assert found["missing"].endswith("reader-a and reader-b have both locked 2 of 3 nodes by CT voxel.")


def test_that_it_says_who_is_missing(case):
    assert "nobody has locked a volume" in agreement_of_readings(case.store.snapshot())["missing"]
    case.lock("Baseline")
    assert "only reader-a has locked volumes" in agreement_of_readings(case.store.snapshot())["missing"]
    case.lock("Baseline", reader="reader-b", modality="US", method="ellipsoid")
    assert "no node was read by two of them alike" in agreement_of_readings(case.store.snapshot())["missing"]


def test_that_what_is_not_locked_not_central_or_unlike_does_not_count(case):
    lock_all(case, 3)
    lock_all(case, 4, "reader-c", role="site")
    lock_all(case, 4, "reader-d", modality="US", method="ellipsoid")
    nodes = case.store.nodes("S-001")
    for node in nodes:
        case.save("Baseline", node_id=node.node_id, reader="reader-e")
    assert [p["readers"] for p in agreement_of_readings(case.store.snapshot())["pairs"]] == [["reader-a", "reader-b"]]


def test_that_of_three_readers_every_pair_is_given_the_one_with_most_items_first(case):
    lock_all(case, 3, "reader-c")
    lock_all(case, 4, "reader-b")
    found = agreement_of_readings(case.store.snapshot())["pairs"]
    assert [(p["readers"], p["items"]) for p in found] == [(["reader-a", "reader-b"], 4), (["reader-a", "reader-c"], 3), (["reader-b", "reader-c"], 3)]


def test_that_a_vanished_node_counts_as_0_and_has_no_ratio(case):
    lock_all(case, 3)
    gone = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None, "status": ReadingStatus.DISAPPEARED_ASSESSED}
    for reader in ("reader-a", "reader-b"):
        case.lock("Month 3", reader=reader, **gone)
    (pair,) = agreement_of_readings(case.store.snapshot())["pairs"]
    assert pair["items"] == 4
    assert pair["bland_altman"] is not None
    assert pair["bland_altman_log"] is None
