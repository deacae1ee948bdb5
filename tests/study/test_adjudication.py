"""What needs a third person, what that person may choose, and which records count in the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.study.accepted import accepted_basis, accepted_records, accepted_states, reader_order
from app.study.adjudication import DEFAULT_TRIGGERS, compare_readers, open_differences, reader_codes
from app.study.audit import verify
from app.study.blinding import reader_statistics
from app.study.model import ReadingStatus
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user
from tests.study.test_store import refused

GONE = {"status": ReadingStatus.DISAPPEARED_ASSESSED, "volume_ml": None, "volume_interval_ml": None}
UNSEEN = {"status": ReadingStatus.NOT_EVALUABLE, "volume_ml": None, "volume_interval_ml": None, "status_reason": "motion"}


def read(case: CaseBuilder, visit: str, a: dict | float, b: dict | float) -> None:
    """Both central readers lock the node at this visit."""
    for reader, given in (("reader-a", a), ("reader-b", b)):
        values = given if isinstance(given, dict) else {"volume_ml": given, "volume_interval_ml": None}
        case.lock(visit, reader=reader, **values)


def triggers(case: CaseBuilder, visit: str) -> tuple[str, ...]:
    wanted = case.visits[visit].visit_id
    return next(d.triggers for d in compare_readers(case.store.snapshot()) if d.visit_id == wanted)


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("baseline", "follow_up", "expected"),
    [
        ((2.0, 2.0), (1.2, 1.2), ()),
        ((2.0, 2.0), (1.20, 1.49), ()),  # 40 and 25.5 %: 14.5 points
        ((2.0, 2.0), (1.80, 1.50), ("vrr_difference",)),  # 10 and 25 %: 15 points exactly
        ((2.0, 2.0), (1.00, 1.02), ("vrr_class_differs",)),  # 50 and 49 %
        ((2.0, 2.0), (0.100, 0.140), ()),  # 33 % apart, 0.04 ml: too small to matter
        ((2.0, 2.0), (0.150, 0.205), ("volume_difference",)),  # 31 % of the mean and 0.055 ml
        ((2.0, 2.0), (0.150, 0.200), ()),  # 28.6 % of the mean
        ((2.0, 3.0), (1.0, 1.5), ("volume_difference",)),  # the same rate from volumes 40 % apart
    ],
)
def test_that_figures_differ_as_the_protocol_says(case: CaseBuilder, baseline, follow_up, expected) -> None:
    read(case, "Baseline", *baseline)
    read(case, "Month 3", *follow_up)
    assert triggers(case, "Month 3") == expected


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (GONE, GONE, ()),
        (GONE, 0.04, ("disappearance_differs", "response_differs")),
        (UNSEEN, 1.0, ("evaluability_differs", "response_differs")),
        ({"volume_ml": 1.0, "volume_interval_ml": None, "enhancement_grade": "0"}, {"volume_ml": 1.0, "volume_interval_ml": None, "enhancement_grade": "2"}, ("residual_enhancement_differs",)),
        ({"volume_ml": 1.0, "volume_interval_ml": None, "enhancement_grade": "1"}, {"volume_ml": 1.0, "volume_interval_ml": None}, ()),
    ],
)
def test_that_what_was_seen_differs_as_the_protocol_says(case: CaseBuilder, a, b, expected) -> None:
    read(case, "Baseline", 2.0, 2.0)
    read(case, "Month 3", a, b)
    assert triggers(case, "Month 3") == expected


@pytest.mark.sqlite_only
def test_that_a_lesion_that_one_reader_found_and_an_answer_that_differs_are_triggers(case: CaseBuilder) -> None:
    store = case.store
    read(case, "Baseline", 2.0, 2.0)
    read(case, "Month 3", 1.0, 1.0)
    new = store.add_node("S-001", "N9", "left", "II")
    case.lock("Month 3", node_id=new.node_id, reader="reader-b")
    at = case.visits["Month 3"].visit_id
    # A new lesion is progression for who has seen it: what was read beside it has another response as well.
    found = {d.node_id: d.triggers for d in open_differences(store.snapshot())}
    assert found == {new.node_id: ("new_lesion_differs",), case.node.node_id: ("response_differs", "response_date_differs")}
    said = {("S-001", at, "reader-a"): ("PR", "2026-04-10"), ("S-001", at, "reader-b"): ("PD", "2026-04-10")}
    assert ("response_differs",) in [d.triggers for d in compare_readers(store.snapshot(), said)]
    said[("S-001", at, "reader-b")] = ("PR", "2026-04-11")
    assert ("response_date_differs",) in [d.triggers for d in compare_readers(store.snapshot(), said)]


@pytest.mark.sqlite_only
def test_that_the_shipped_protocols_and_the_default_say_the_same_of_the_main_trial(case: CaseBuilder) -> None:
    assert case.store.protocol.section("adjudication")["triggers"] == DEFAULT_TRIGGERS


def test_that_exactly_one_record_counts_for_each_node_and_visit(case: CaseBuilder) -> None:
    store = case.store
    read(case, "Baseline", 2.0, 2.1)
    read(case, "Day 30", 1.5, 1.55)
    read(case, "Month 3", 1.0, 0.4)
    case.lock("Month 3", reader="site-1", role="site", volume_ml=0.9, volume_interval_ml=None)
    shot = store.snapshot()
    states = {(s.visit_id, s.basis): s.reading and s.reading.reader for s in accepted_states(shot)}
    at = {name: v.visit_id for name, v in case.visits.items()}
    assert states == {(at["Baseline"], "no_difference"): "reader-a", (at["Day 30"], "no_difference"): "reader-a", (at["Month 3"], "adjudication_pending"): None}
    chosen = store.adjudicate(case.node.node_id, at["Month 3"], "reader-b", reason="the rim was taken for the node", adjudicator="Dr J")
    assert set(chosen.triggers) == {"volume_difference", "vrr_difference"}
    shot = store.snapshot()
    counted = accepted_records(shot)
    of = {(r.reading_id, r.version): r for r in shot.readings}
    assert [(of[key].reader, of[key].role) for key in counted] == [("reader-b", "central")] * 3  # its baseline stays with it
    assert len({of[key].visit_id for key in counted}) == 3
    assert set(accepted_basis(shot).values()) == {"adjudicated"}
    assert verify(store).ok


def test_that_after_a_choice_the_baseline_is_fixed_and_a_choice_is_made_once(case: CaseBuilder) -> None:
    store, node = case.store, case.node.node_id
    at = {name: v.visit_id for name, v in case.visits.items()}
    read(case, "Baseline", 2.0, 2.0)
    read(case, "Day 30", 1.8, 0.5)
    with refused("adjudication_not_needed"):
        store.adjudicate(node, at["Baseline"], "reader-a", reason="x")
    with refused("reader_not_candidate"):
        store.adjudicate(node, at["Day 30"], "reader-c", reason="x")
    with refused("reason_missing"):
        store.adjudicate(node, at["Day 30"], "reader-a", reason=" ")
    with refused("adjudicator_is_reader"):
        store.adjudicate(node, at["Day 30"], "reader-a", reason="x", adjudicator="reader-b")
    code = reader_codes(node, ["reader-a", "reader-b"])["reader-a"]
    assert store.adjudicate(node, at["Day 30"], code, reason="x", adjudicator="J").selected_reader == "reader-a"
    read(case, "Month 3", 1.0, 0.1)
    assert open_differences(store.snapshot()) == []
    with refused("adjudication_exists"):
        store.adjudicate(node, at["Day 30"], "reader-b", reason="x", adjudicator="J")
    with refused("baseline_fixed"):
        store.adjudicate(node, at["Month 3"], "reader-b", reason="x", adjudicator="J")
    assert {r.reader for r in store.readings() if (r.reading_id, r.version) in accepted_records(store.snapshot())} == {"reader-a"}


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("rule", "expected"), [("reader_1", "reader-b"), ("reader_2", "reader-a"), ("earliest_locked", "reader-b"), ("adjudicate_always", None)])
def test_that_the_protocol_says_what_counts_without_a_difference(case: CaseBuilder, rule: str, expected: str | None) -> None:
    for reader in ("reader-b", "reader-a"):  # the first reader of the study is who read first, not who sorts first
        for visit in ("Baseline", "Month 3"):
            case.lock(visit, reader=reader)
    shot = case.store.snapshot()
    content = {**shot.protocol, "adjudication": {**shot.protocol["adjudication"], "without_trigger": rule}}
    states = accepted_states(replace(shot, protocol=content))
    assert {s.reading and s.reading.reader for s in states} == {expected}
    assert len(open_differences(replace(shot, protocol=content))) == (2 if expected is None else 0)


@pytest.mark.sqlite_only
def test_that_a_named_first_reader_goes_first_and_a_lone_reading_counts(case: CaseBuilder) -> None:
    case.lock("Baseline", reader="reader-b")
    case.lock("Baseline", reader="reader-a")
    case.lock("Month 3", reader="reader-b")
    assert reader_order(case.store.snapshot()) == ["reader-b", "reader-a"]
    basis = {s.visit_id: s.basis for s in accepted_states(case.store.snapshot())}
    assert basis == {case.visits["Baseline"].visit_id: "no_difference", case.visits["Month 3"].visit_id: "only_reader"}
    case.store.set_setting("first_reader", "reader-a")
    basis = {s.visit_id: (s.basis, s.reading and s.reading.reader) for s in accepted_states(case.store.snapshot())}
    # Reader A has no reading at Month 3, and the rate of one reader is never made of another's baseline.
    assert basis == {case.visits["Baseline"].visit_id: ("no_difference", "reader-a"), case.visits["Month 3"].visit_id: ("other_reader_counts", None)}


def test_that_an_adjudicators_choice_is_signed_and_written_once(case: CaseBuilder) -> None:
    store = case.store
    read(case, "Baseline", 2.0, 2.0)
    read(case, "Month 3", 1.0, 0.1)
    add_people(store)
    at = case.visits["Month 3"].visit_id
    as_user(store, "reader-a")
    with refused("right_missing"):
        store.adjudicate(case.node.node_id, at, "A", reason="x", password=PASSWORD)
    as_user(store, "judge")
    with refused("reauthentication_needed"):
        store.adjudicate(case.node.node_id, at, "A", reason="x")
    made = store.adjudicate(case.node.node_id, at, "A", reason="rim", password=PASSWORD)
    assert made.adjudicator == "Dr J Judge"
    as_user(store, "monitor")
    (signature,) = store.snapshot().signatures
    assert (signature.object, signature.signature_id) == (f"adjudications:{made.adjudication_id}", made.signature_id)
    report = verify(store)
    assert report.ok, report.faults


@pytest.mark.sqlite_only
def test_that_readers_are_counted_with_numerators_denominators_and_their_drift(case: CaseBuilder) -> None:
    store = case.store
    nodes = [case.node, *(store.add_node("S-001", f"N{n}", "left", "II") for n in range(2, 5))]
    for number, node in enumerate(nodes):
        for reader, volume in (("reader-a", 1.0), ("reader-b", 1.0 if number < 2 else 1.5)):
            case.lock("Baseline", reader=reader, node_id=node.node_id, volume_ml=volume, volume_interval_ml=None)
    for node in nodes[2:]:
        store.adjudicate(node.node_id, case.visits["Baseline"].visit_id, "reader-a", reason="x", adjudicator="J")
    answer = reader_statistics(store.snapshot())
    (pair,) = answer["pairs"]
    assert (pair["read_by_both"], pair["differ"], pair["adjudicated"], pair["agreement_rate"], pair["adjudication_rate"]) == (4, 2, 2, 0.5, 0.5)
    a, b = answer["readers"]
    assert (a["reader"], a["adjudicated"], a["disagreement_index"], b["disagreement_index"]) == ("reader-a", 2, 0.0, 1.0)
    assert b["mean_difference_pct"] == pytest.approx(20.0)
    assert b["drift_pct"] == pytest.approx(40.0)
    assert a["drift_pct"] == pytest.approx(-40.0)
