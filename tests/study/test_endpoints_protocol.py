"""The protocol's own endpoint tables: a subject worked by hand, every reason for a missing value, and salvage."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from app.study.endpoint_tables import protocol_tables
from app.study.followup import respond
from app.study.model import ReadingState, ReadingStatus
from app.study.months import add_months
from app.usecases.bench_study import simulated_trial as simulated
from tests.study.snapshots import Trial

PRIMARY, SECONDARY, RISK, GONE, BACK = "vrr_12m_single_ire", "vrr_12m_single_or_salvage", "vrr_12m_high_risk", "disappearance_12m", "recurrence_12m"


def tables(trial, *, accepted=None, **options) -> dict:
    """Endpoint -> table, of a trial with one reader or with accepted records."""
    snapshot = trial.snapshot() if isinstance(trial, Trial) else trial
    made = protocol_tables(snapshot, respond(snapshot, accepted=accepted), **options)
    assert len({t["reader"] for t in made}) == 1
    return {t["endpoint"]: t for t in made}


@pytest.fixture
def by_hand() -> Trial:
    """One subject, first IRE on 31 January 2026.

    N1 2.0 -> 0.2 at Month 3 -> 0.5 ml at Month 12; N2 4.0 -> 3.0 at Day 30, salvaged 10 March, -> 1.0 ml; N3 1.0 ml, not imaged at
    Month 12; N4 1.0 ml, gone at Month 12. The Month 12 scan is on 20 February 2027: 20 days after 31 January 2027 (first IRE, the
    window ends 28 February) and 18 days before 10 March 2027 (N2's last).
    """
    trial = Trial()
    trial.subject(
        "S-1",
        {"Baseline": "2026-01-20", "Day 30": "2026-03-02", "Month 3": "2026-06-10", "Month 12": "2027-02-20"},
        {"N1": {"high_risk": ("carotid",)}, "N2": {"high_risk": ("vagus",)}, "N3": {}, "N4": {}},
    )
    trial.event("S-1", "IRE", "2026-01-31")
    trial.event("S-1", "SALVAGE", "2026-03-10", "N2")
    for node, ml in {"N1": 2.0, "N2": 4.0, "N3": 1.0, "N4": 1.0}.items():
        trial.read("S-1", "Baseline", node, ml)
    trial.read("S-1", "Day 30", "N2", 3.0)
    trial.read("S-1", "Month 3", "N1", 0.2)
    trial.read("S-1", "Month 12", "N1", 0.5)
    trial.read("S-1", "Month 12", "N2", 1.0)
    trial.read("S-1", "Month 12", "N3", status=ReadingStatus.NOT_IMAGED)
    trial.read("S-1", "Month 12", "N4", 0.0)
    return trial


def test_that_the_primary_table_of_a_subject_worked_by_hand_comes_out(by_hand: Trial) -> None:
    # Set: N1, N3, N4 (N2 salvaged). Values: N1 75, N4 100; node mean 87.5.
    # Subject: N1 and N4 together 3.0 -> 0.5 ml, 83.33 %; mean of both 87.5 %; N3 missing.
    found = tables(by_hand)[PRIMARY]
    assert (found["n_treated"], found["n_excluded"], found["n_set"], found["n"], found["n_in_window"]) == (4, 1, 3, 2, 2)
    assert found["missing"] == {"not_imaged": 1}
    assert [(o["node"], o["value_pct"], o["days_from_target"]) for o in found["nodes"]] == [("N1", 75.0, 20), ("N3", None, 20), ("N4", 100.0, 20)]
    assert found["nodes"][0]["window"] == ["2027-01-03", "2027-02-28"]
    assert (found["units"]["node"]["mean_pct"], found["units"]["node"]["n"]) == (87.5, 2)
    assert found["units"]["subject_sum"]["mean_pct"] == pytest.approx(100 * 2.5 / 3)
    assert found["units"]["subject_mean"]["mean_pct"] == 87.5
    assert (found["units"]["subject_sum"]["n_partial"], found["units"]["subject_sum"]["mean_of_complete_pct"]) == (1, None)
    assert found["subjects"][0]["missing"] == {"N3": "not_imaged"}
    treated, assessed = found["coverage"]["of_treated"], found["coverage"]["of_in_window"]
    assert (treated["numerator"], treated["denominator"], treated["missing"]) == (2, 3, {"not_imaged": 1})
    assert (assessed["numerator"], assessed["denominator"]) == (2, 2)


def test_that_a_salvaged_node_is_left_out_counted_listed_and_carried_in_the_sensitivity_table(by_hand: Trial) -> None:
    # N2 before its salvage: 4.0 -> 3.0 ml, 25 %. With it: nodes (75 + 100 + 25) / 3; sum 7.0 -> 3.5 ml, 50 %.
    found = tables(by_hand)[PRIMARY]
    (out,) = found["excluded"]
    assert (out["node"], out["reason"], out["n_ablations_before_scan"]) == ("N2", "salvaged", 2)
    other = found["sensitivity"]
    assert (other["n_carried"], other["n_without"]) == (1, 0)
    assert other["nodes"][0]["visit"] == "Day 30"
    assert other["units"]["node"]["mean_pct"] == pytest.approx(200 / 3)
    assert other["units"]["subject_sum"]["mean_pct"] == pytest.approx(50.0)
    assert other["units"]["subject_mean"]["mean_pct"] == pytest.approx(200 / 3)


def test_that_single_or_salvage_counts_each_node_from_its_own_last_ablation(by_hand: Trial) -> None:
    # N1 75, N2 75 (target 10 March 2027, 18 days early), N4 100: mean 83.33; sum 7.0 -> 1.5 ml, 78.57 %.
    found = tables(by_hand)[SECONDARY]
    assert {o["node"]: (o["target"], o["days_from_target"], o["value_pct"]) for o in found["nodes"] if o["value_pct"] is not None} == {
        "N1": ("2027-01-31", 20, 75.0), "N2": ("2027-03-10", -18, 75.0), "N4": ("2027-01-31", 20, 100.0),
    }  # fmt: skip
    assert found["units"]["node"]["mean_pct"] == pytest.approx(250 / 3)
    assert found["units"]["subject_sum"]["mean_pct"] == pytest.approx(100 * 5.5 / 7)
    assert found["units"]["subject_mean"]["mean_pct"] == pytest.approx(250 / 3)
    assert "sensitivity" not in found
    assert tables(by_hand)[RISK]["units"]["node"]["mean_pct"] == 75.0
    assert tables(by_hand)[RISK]["n_treated"] == 2


def test_that_disappearance_and_recurrence_have_both_denominators(by_hand: Trial) -> None:
    # Gone: N4 of four treated, of three assessed. Recurrence: N1, 0.2 -> 0.5 ml is 150 % above its smallest.
    gone = tables(by_hand)[GONE]["rates"]
    assert {k: (r["numerator"], r["denominator"], r["n_missing"]) for k, r in gone.items()} == {
        "node_of_treated": (1, 4, 1), "node_of_in_window": (1, 3, 1), "subject_of_treated": (0, 1, 0), "subject_of_assessed": (0, 1, 0),
    }  # fmt: skip
    back = tables(by_hand)[BACK]
    assert {k: (r["numerator"], r["denominator"]) for k, r in back["rates"].items()} == {
        "node_of_treated": (1, 4), "node_of_in_window": (1, 3), "subject_of_treated": (1, 1), "subject_of_assessed": (1, 1),
    }  # fmt: skip
    assert back["recurrences"] == [{"subject": "S-1", "node": "N1", "kind": "local", "sign": "regrowth", "date": "2027-02-20"}]


def test_that_survival_of_the_subject_worked_by_hand_comes_out(by_hand: Trial) -> None:
    # Last evaluable scan 20 February 2027: 385 days after 31 January 2026; a regrown volume is no logged progression.
    found = tables(by_hand)
    (row,) = found["pfs"]["subjects"]
    assert (row["days"], row["event"], row["reason"]) == (385, False, "no_event")
    assert found["os"]["subjects"][0]["days"] == 385
    by_hand.event("S-1", "PROGRESSION", "2027-02-20", type="distant")
    (row,) = tables(by_hand)["pfs"]["subjects"]
    assert (row["days"], row["event"], row["reason"]) == (385, True, "new_lesion")
    assert tables(by_hand)[BACK]["subjects_by_kind"] == {"distant": 1, "local": 1}


def one_node(**dates) -> Trial:
    """A subject with one node, ablated on 1 March 2026, a baseline of 2 ml and the visits given."""
    trial = Trial()
    trial.subject("S-1", {"Baseline": "2026-02-20", **{k.replace("_", " "): v for k, v in dates.items()}})
    trial.event("S-1", "IRE", "2026-03-01")
    trial.read("S-1", "Baseline", "N1", 2.0)
    return trial


def missing(trial: Trial, **options) -> dict:
    return tables(trial, **options)[PRIMARY]["missing"]


def test_that_every_missing_value_has_its_reason() -> None:
    trial = one_node()
    assert missing(trial) == {"no_scan_in_window": 1}
    assert missing(trial, as_of=dt.date(2027, 3, 1)) == {"window_not_over": 1}
    for kind, word in (("DEATH", "died"), ("WITHDRAWAL", "withdrew"), ("LOST", "lost"), ("PROGRESSION", "progressed")):
        ended = one_node()
        ended.event("S-1", kind, "2026-09-01")
        assert missing(ended) == {word: 1}
    assert missing(one_node(Month_12="2027-03-01")) == {"not_read": 1}
    outside = one_node(Month_12="2027-03-30")  # a day after the window of 28 days
    outside.read("S-1", "Month 12", "N1", 1.0)
    assert missing(outside) == {"scan_outside_window": 1}
    undated = one_node(Month_12=None)
    undated.read("S-1", "Month 12", "N1", 1.0)
    assert missing(undated) == {"visit_without_date": 1}
    for fields, word in (
        ({"status": ReadingStatus.NOT_EVALUABLE}, "not_evaluable"),
        ({"status": ReadingStatus.MERGED_INTO}, "merged_into"),
        ({"volume_ml": 1.0, "modality": "US", "method": "ellipsoid"}, "not_comparable"),
        ({"volume_ml": 1.0, "state": ReadingState.MEASURED}, "not_locked"),
        ({"volume_ml": 1.0, "reader": "r1", "long_axis_mm": 9.0, "status": ReadingStatus.TOO_SMALL}, None),
    ):
        seen = one_node(Month_12="2027-03-01")
        seen.read("S-1", "Month 12", "N1", **fields)
        assert missing(seen) == ({} if word is None else {word: 1}), word
    unread = one_node(Month_12="2027-03-01")
    unread.readings.clear()
    unread.read("S-1", "Month 12", "N1", 1.0)
    assert missing(unread) == {"no_baseline": 1}


def test_that_the_last_day_of_the_window_counts_and_an_unscheduled_scan_inside_it_too() -> None:
    trial = one_node(Month_12="2027-03-29")
    trial.read("S-1", "Month 12", "N1", 1.0)
    assert tables(trial)[PRIMARY]["nodes"][0]["days_from_target"] == 28
    extra = one_node(Extra="2027-02-20")
    extra.read("S-1", "Extra", "N1", 1.0)
    assert tables(extra)[PRIMARY]["nodes"][0]["value_pct"] == 50.0


def test_that_of_two_scans_in_the_window_the_nearest_with_a_value_counts() -> None:
    trial = one_node(Month_12="2027-03-02", Extra="2027-03-10")
    trial.read("S-1", "Month 12", "N1", status=ReadingStatus.NOT_EVALUABLE)
    trial.read("S-1", "Extra", "N1", 0.5)
    assert [(o["visit"], o["value_pct"]) for o in tables(trial)[PRIMARY]["nodes"]] == [("Extra", 75.0)]


def test_that_a_node_never_ablated_is_in_no_set_and_listed() -> None:
    trial = Trial()
    trial.subject("S-1", {"Baseline": "2026-02-20", "Month 12": "2027-03-01"}, ("N1", "N2"))
    trial.event("S-1", "IRE", "2026-03-01", "N1")
    for node in ("N1", "N2"):
        trial.read("S-1", "Baseline", node, 2.0)
        trial.read("S-1", "Month 12", node, 1.0)
    found = tables(trial)[PRIMARY]
    assert (found["n_treated"], found["not_treated"]) == (1, [{"subject": "S-1", "node": "N2"}])


def test_that_a_salvage_after_the_scan_takes_nothing_from_it() -> None:
    trial = one_node(Month_12="2027-03-01")
    trial.read("S-1", "Month 12", "N1", 1.0)
    trial.event("S-1", "SALVAGE", "2027-03-05", "N1")
    assert (tables(trial)[PRIMARY]["n_excluded"], tables(trial)[PRIMARY]["n"]) == (0, 1)


def test_that_only_accepted_records_count_each_against_its_own_readers_baseline() -> None:
    trial = one_node(Month_12="2027-03-01")
    trial.read("S-1", "Baseline", "N1", 4.0, reader="r2")
    trial.read("S-1", "Month 12", "N1", 1.0)
    chosen = trial.read("S-1", "Month 12", "N1", 1.0, reader="r2")
    found = tables(trial, accepted={chosen})[PRIMARY]
    assert (found["reader"], found["nodes"][0]["reader"], found["nodes"][0]["value_pct"]) == ("accepted", "r2", 75.0)
    assert tables(trial, accepted=set())[PRIMARY]["missing"] == {"not_accepted": 1}
    waiting = frozenset({("S-1/N1", "S-1/Month 12")})
    assert tables(trial, accepted=set(), pending=waiting)[PRIMARY]["missing"] == {"adjudication_pending": 1}
    snapshot = trial.snapshot()
    assert [t["reader"] for t in protocol_tables(snapshot, respond(snapshot)) if t["endpoint"] == PRIMARY] == ["r1", "r2"]


def test_that_a_site_reading_never_counts() -> None:
    trial = one_node(Month_12="2027-03-01")
    trial.read("S-1", "Baseline", "N1", 2.0, role="site", reader="site")
    trial.read("S-1", "Month 12", "N1", 0.1, role="site", reader="site")
    assert tables(trial)[PRIMARY]["missing"] == {"not_read": 1}


def test_that_the_exported_columns_say_what_was_before_the_scan(by_hand: Trial) -> None:
    rows = {(r.node, r.visit): r for r in respond(by_hand.snapshot()).nodes}
    salvaged, plain = rows["N2", "Month 12"], rows["N1", "Month 12"]
    assert (salvaged.n_ablations_before_scan, salvaged.node_anchor_id, salvaged.days_from_first, salvaged.days_from_node_anchor) == (2, "E001", 385, 347)
    assert (plain.n_ablations_before_scan, plain.node_anchor_id, plain.anchor_id, plain.days_from_anchor) == (1, "E000", "E001", 347)


def test_that_the_zone_of_day_0_gives_a_second_rate() -> None:
    trial = Trial()
    trial.subject("S-1", {"Baseline": "2026-02-20", "Month 12": "2027-03-01"})
    trial.event("S-1", "IRE", "2026-03-01", "N1", zone_volume_ml=5.0)
    trial.read("S-1", "Baseline", "N1", 2.0)
    trial.read("S-1", "Month 12", "N1", 1.0)
    (row,) = respond(trial.snapshot()).nodes
    assert (row.vrr_pct, row.zone_volume_ml, row.vrr_zone_pct) == (50.0, 5.0, 80.0)


def test_that_a_replaced_event_does_not_count() -> None:
    trial = one_node(Month_12="2027-03-01")
    trial.read("S-1", "Month 12", "N1", 1.0)
    wrong = trial.event("S-1", "SALVAGE", "2026-04-10", "N1")
    assert tables(trial)[PRIMARY]["n_excluded"] == 1
    trial.event("S-1", "LAB", "2026-04-10", replaces=wrong)
    assert tables(trial)[PRIMARY]["n_excluded"] == 0


def test_that_the_tables_of_a_simulated_trial_agree_with_an_independent_calculation() -> None:
    snapshot = simulated(subjects=20, nodes=4, seed=7)
    taken = {(r.reading_id, r.version) for r in snapshot.readings if r.reader == "r2"}
    found = tables(snapshot, accepted=taken, resamples=200)
    dates = {v.visit_id: (v.name, pd.Timestamp(v.actual_date)) for v in snapshot.visits}
    frame = pd.DataFrame(
        [{"subject": r.subject_id, "node": r.node_id, "visit": dates[r.visit_id][0], "scan": dates[r.visit_id][1], "ml": r.volume_ml, "gone": r.volume_ml == 0} for r in snapshot.readings if r.reader == "r2"]
    )
    base = frame[frame.visit == "Baseline"].set_index("node").ml
    later = frame[frame.visit != "Baseline"].copy()
    first = {n.node_id: next(e.date for e in snapshot.events if e.subject_id == n.subject_id and e.kind == "IRE") for n in snapshot.nodes}
    again = {e.node_id: e.date for e in snapshot.events if e.kind == "SALVAGE"}
    later["vrr"] = 100 * (1 - later.ml / later.node.map(base))

    def at_month_12(clock: dict) -> pd.DataFrame:
        target = later.node.map({n: pd.Timestamp(add_months(dt.date.fromisoformat(d), 12)) for n, d in clock.items()})
        off = (later.scan - target).dt.days
        inside = later[off.abs() <= 28].assign(off=off.abs())
        return inside.sort_values("off").groupby("node").first()

    single = at_month_12(first)
    single = single[~single.index.isin(again)]
    table = found[PRIMARY]
    assert (table["n"], table["n_excluded"], table["n_treated"]) == (len(single), len(again), len(snapshot.nodes))
    assert table["units"]["node"]["mean_pct"] == pytest.approx(single.vrr.mean())
    assert table["units"]["node"]["sd_pct"] == pytest.approx(single.vrr.std())
    sums = single.assign(base=single.index.map(base)).groupby("subject").agg(base=("base", "sum"), ml=("ml", "sum"))
    assert table["units"]["subject_sum"]["mean_pct"] == pytest.approx((100 * (1 - sums.ml / sums.base)).mean())
    assert table["units"]["subject_mean"]["mean_pct"] == pytest.approx(single.groupby("subject").vrr.mean().mean())
    both = at_month_12({**first, **again})
    assert found[SECONDARY]["units"]["node"]["mean_pct"] == pytest.approx(both.vrr.mean())
    assert found[GONE]["rates"]["node_of_in_window"]["numerator"] == int(both.gone.sum()) > 0
    assert sum(found[SECONDARY]["missing"].values()) == len(snapshot.nodes) - len(both)
    risky = {n.node_id for n in snapshot.nodes if n.high_risk}
    assert found[RISK]["units"]["node"]["mean_pct"] == pytest.approx(both[both.index.isin(risky)].vrr.mean())


def test_that_the_order_of_records_does_not_change_a_number() -> None:
    snapshot = simulated(subjects=4, nodes=3, seed=3)
    turned = replace(snapshot, readings=snapshot.readings[::-1], events=snapshot.events[::-1], visits=snapshot.visits[::-1])
    one, two = ([t for t in protocol_tables(s, respond(s), resamples=100) if t["kind"] == "VRR"] for s in (snapshot, turned))
    assert [t["units"] for t in one] == [t["units"] for t in two]
    assert Counter(t["reader"] for t in one) == {"r1": 3, "r2": 3}


def test_that_months_end_at_the_months_end_and_a_salvage_moves_the_clock() -> None:
    # 29 February 2024 and 12 months is 28 February 2025; a salvage on 31 March moves the node's last clock to 31 March 2025.
    trial = Trial()
    trial.subject("S-1", {"Baseline": "2024-02-20"})
    trial.event("S-1", "IRE", "2024-02-29")
    trial.read("S-1", "Baseline", "N1", 2.0)
    assert tables(trial)[SECONDARY]["nodes"][0]["window"] == ["2025-01-31", "2025-03-28"]
    trial.event("S-1", "SALVAGE", "2024-03-31", "N1")
    found = tables(trial)
    assert (found[SECONDARY]["nodes"][0]["anchor_id"], found[SECONDARY]["nodes"][0]["target"]) == ("E001", "2025-03-31")
    assert found[PRIMARY]["excluded"][0]["target"] == "2025-02-28"


def test_that_a_reading_that_waits_is_told_before_the_end_of_follow_up() -> None:
    trial = one_node(Month_12="2027-03-01")
    trial.read("S-1", "Month 12", "N1", 1.0, state=ReadingState.MEASURED)
    trial.event("S-1", "PROGRESSION", "2027-03-01")
    assert missing(trial) == {"not_locked": 1}
