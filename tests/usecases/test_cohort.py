"""The cohort: every node at a visit, with the reason where it is left out, and figures that hold the same numbers."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from app.cli import main
from app.study.endpoint_tables import protocol_tables
from app.study.errors import StudyRefused
from app.study.followup import respond
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.study.users import Session
from app.usecases.assess_response import accepted_of, response_of_snapshot
from app.usecases.cohort import MISSING, CohortFilter, filter_from, gather, may_see_cohort, natural, view_of
from app.usecases.cohort_tables import cohort_of, csv_text, endpoint_lines, figure_tables, survival_of, tables_of, write_cohort
from tests.study.builders import CaseBuilder
from tests.study.trials import trial


@pytest.fixture(scope="module")
def snapshot():
    return trial(14, 4)


@pytest.fixture(scope="module")
def cohort(snapshot):
    return gather(snapshot)


def test_that_every_node_stands_in_the_table_once_with_a_rate_or_a_reason(snapshot, cohort):
    view = view_of(cohort)
    assert view.chosen.visit == "Month 12"
    assert view.chosen.reader == "accepted"
    assert sorted(r.node_id for r in view.table) == sorted(n.node_id for n in snapshot.nodes)
    assert all(r.counts or r.reasons for r in view.table)
    assert 0 < view.counts["missing"] < view.counts["nodes"]
    assert view.counts["with_rate"] + sum(r.vrr_pct is None for r in view.table) == len(view.table)


def test_that_the_tenth_node_comes_after_the_second():
    assert sorted(["N10", "N2", "N1", "B", "2"], key=natural) == ["2", "B", "N1", "N2", "N10"]


def test_that_a_missing_node_says_why(snapshot, cohort):
    dead = {e.subject_id: e.date for e in snapshot.events if e.kind == "DEATH"}
    at_visit = {v.subject_id for v in snapshot.visits if v.name == "Month 24"}
    rows = [r for r in view_of(cohort, CohortFilter(visit="Month 24")).table if r.status == MISSING]
    assert {r.reasons for r in rows if r.subject not in at_visit} == {("died",)}
    assert {r.subject for r in rows if r.reasons == ("died",)} <= set(dead)
    assert {r.reasons for r in rows if r.subject in at_visit} <= {("not_read",)}


def test_that_rates_are_those_of_the_study(snapshot, cohort):
    known = {(r.reading_id, r.version): r for r in respond(snapshot).nodes}
    view = view_of(cohort)
    assert view.bars
    for row in view.bars:
        of_study = known[row.reading_id, row.version]
        assert (row.vrr_pct, row.interval_pct, row.comparable) == (of_study.vrr_pct, of_study.interval_pct, of_study.comparable)


def test_that_bars_go_from_the_smallest_rate_to_the_largest(cohort):
    values = [r.vrr_pct for r in view_of(cohort).bars]
    assert values == sorted(values)
    assert values[0] < 0 < values[-1]  # the made-up trial has a node that grows


def test_that_filters_narrow_table_and_figures_but_no_endpoint_table(cohort):
    whole, part = view_of(cohort), view_of(cohort, CohortFilter(high_risk=True, salvage=False))
    assert {bool(r.high_risk) for r in part.table} == {True}
    assert {r.salvaged for r in part.table} == {False}
    kept = {(r.subject, r.node) for r in part.table}
    assert {(line.subject, line.node) for line in part.lines} <= kept
    assert sum(b.n for b in part.boxes) < sum(b.n for b in whole.boxes)
    assert [x.to_dict() for x in endpoint_lines(tables_of(part))] == [x.to_dict() for x in endpoint_lines(tables_of(whole))]
    assert survival_of(part)[0].free_pct == survival_of(whole)[0].free_pct


def test_that_a_status_filter_finds_what_is_gone_and_what_is_missing(cohort):
    gone = view_of(cohort, CohortFilter(status="disappeared_assessed"))
    assert {r.vrr_pct for r in gone.table} == {100.0}
    assert {r.status for r in view_of(cohort, CohortFilter(status=MISSING)).table} == {MISSING}


def test_that_boxes_hold_the_quartiles_of_the_rates(cohort):
    view = view_of(cohort)
    box = next(b for b in view.boxes if b.visit == "Month 12")
    values = np.array([r.vrr_pct for r in view.table if r.vrr_pct is not None])
    assert box.n == len(values)
    assert (box.q1_pct, box.median_pct, box.q3_pct) == pytest.approx(tuple(np.quantile(values, [0.25, 0.5, 0.75])))
    assert box.min_pct <= box.whisker_low_pct <= box.q1_pct <= box.q3_pct <= box.whisker_high_pct <= box.max_pct
    assert len(box.outliers) == np.count_nonzero((values < box.whisker_low_pct) | (values > box.whisker_high_pct))


def test_that_lines_go_in_time_of_the_nodes_own_clock(cohort):
    for line in view_of(cohort).lines:
        months = [p.months for p in line.points]
        assert months == sorted(months)
        assert months[0] > 0


def test_that_subject_sums_are_of_the_volumes_in_the_table(cohort):
    view = view_of(cohort)
    line = next(s for s in view.subjects if len(s.nodes) == s.n_nodes)
    rows = [r for r in view.table if r.subject == line.subject]
    before, after = sum(r.baseline_ml for r in rows), sum(r.volume_ml for r in rows)
    assert line.sum_pct == pytest.approx(100 * (before - after) / before)
    assert all(s.n_nodes == len(s.nodes) + len(s.missing) for s in view.subjects)


def test_that_endpoint_lines_print_the_numbers_of_the_tables(snapshot):
    cohort = gather(snapshot, accepted=False)
    tables = [e for e in protocol_tables(snapshot, respond(snapshot)) if e["reader"] == "reader-b"]
    lines = endpoint_lines(tables_of(view_of(cohort, CohortFilter(reader="reader-b"))))
    gone = next(e for e in tables if e["kind"] == "DISAPPEARANCE")
    rate = gone["rates"]["node_of_treated"]
    line = next(x for x in lines if x.endpoint == gone["endpoint"] and x.of == rate["of"])
    assert (line.numerator, line.denominator, line.value, line.missing, line.seed) == (rate["numerator"], rate["denominator"], rate["pct"], rate["missing"], rate["seed"])
    primary = next(e for e in tables if e["rank"] == "primary")
    mean = next(x for x in lines if x.endpoint == primary["endpoint"] and x.quantity == "mean VRR" and x.of == "nodes")
    assert mean.numerator + sum(mean.missing.values()) == mean.denominator == primary["n_set"]
    assert mean.value == primary["units"]["node"]["mean_pct"]
    assert [mean.low, mean.high] == primary["units"]["node"]["interval_pct"]


def test_that_the_tables_are_those_of_the_study_response(snapshot, cohort):
    accepted, pending = accepted_of(snapshot)
    told = response_of_snapshot(snapshot, accepted=accepted, pending=pending)
    assert list(cohort.tables) == [e for e in told["endpoints"] if e["set"] == "protocol"]
    assert {r["value_pct"] for e in told["endpoints"] if e["set"] == "visit" and e["endpoint"] == "vrr_pct" and e["visit"] == "Month 12" for r in e["nodes"]} == {r.vrr_pct for r in view_of(cohort).bars}


def test_that_numbers_at_risk_fall_from_everybody(cohort):
    for curve in survival_of(view_of(cohort)):
        at_risk = [n for _, n in curve.ticks]
        assert at_risk[0] == curve.n
        assert at_risk == sorted(at_risk, reverse=True)
        assert curve.n_events == sum(curve.events)
    assert {c.kind for c in survival_of(view_of(cohort))} == {"PFS", "OS"}


def test_that_a_reader_is_looked_at_alone_or_through_accepted_records(snapshot, cohort):
    assert cohort.readers == ("accepted",)
    each = gather(snapshot, accepted=False)
    assert set(each.readers) == {"reader-a", "reader-b"}
    one = view_of(each, CohortFilter(reader="reader-b"))
    assert {r.reading_id.rsplit("-", 1)[1] for r in one.bars} == {"b"}
    assert len({r.node_id for r in view_of(cohort).bars}) == len(view_of(cohort).bars)


def test_that_a_reading_that_is_not_locked_is_shown_and_left_out(snapshot):
    first = next(r for r in snapshot.readings if r.visit_id.endswith("-5") and r.volume_ml)
    readings = tuple(replace(r, state=ReadingState.MEASURED, locked_utc=None, locked_by=None) if r is first else r for r in snapshot.readings if r.reader == "reader-a")
    chosen = CohortFilter(visit=next(v.name for v in snapshot.visits if v.visit_id == first.visit_id))
    held = next(r for r in view_of(gather(replace(snapshot, readings=readings)), chosen).table if r.node_id == first.node_id)
    assert (held.status, held.reasons) == (MISSING, ("not_locked",))
    view = view_of(gather(replace(snapshot, readings=readings), accepted=False), chosen)
    row = next(r for r in view.table if r.reading_id == first.reading_id)
    assert row.reasons == ("not_locked",)
    assert row in view.bars
    assert not row.counts


def test_that_files_hold_every_number_and_no_date(snapshot, cohort, tmp_path):
    view = view_of(cohort, CohortFilter(visit="Month 6"))
    receipt = write_cohort(view, tmp_path / "one")
    write_cohort(view, tmp_path / "two")
    assert {f["path"] for f in receipt["files"]} >= {"nodes.csv", "subjects.csv", "waterfall.csv", "spider.csv", "box_plot.csv", "endpoints.csv", "survival_pfs.csv", "at_risk_pfs.csv", "survival_os.csv"}
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
        if file.suffix == ".csv":
            assert not any(v.actual_date in file.read_text() for v in snapshot.visits)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "one" / "waterfall.csv").read_text())))
    assert [float(r["vrr_pct"]) for r in rows] == [r.vrr_pct for r in view.bars]
    told = json.loads((tmp_path / "one" / "cohort.json").read_text())
    assert told["filter"]["visit"] == "Month 6"
    assert told["seed"] == cohort.seed


def test_that_an_empty_study_has_empty_tables():
    view = view_of(gather(trial(0, 0)))
    assert view.table == view.bars == view.boxes == ()
    assert view.chosen.visit is None
    assert all(csv_text(table).count("\n") == 1 + len(table[1]) for table in figure_tables(view).values())


def test_that_no_text_of_a_table_runs_as_a_formula_and_numbers_stay():
    text = csv_text((("subject", "vrr_pct"), [("=1+1", -12.5), ("S-01", None)]))
    assert text == "subject,vrr_pct\n'=1+1,-12.5\nS-01,\n"


@pytest.mark.parametrize("words", [["visit"], ["colour=red"], ["visit=Day 30", "visit=Month 3"], ["salvage=perhaps"], ["reader="]])
def test_that_a_filter_that_is_none_is_refused(words):
    with pytest.raises(StudyRefused) as refusal:
        filter_from(words)
    assert refusal.value.code == "cohort_filter_refused"


def test_that_a_visit_nobody_read_is_refused(cohort):
    with pytest.raises(StudyRefused) as refusal:
        view_of(cohort, CohortFilter(visit="Month 99"))
    assert refusal.value.code == "cohort_filter_refused"


def test_that_the_command_line_answers_and_writes(tmp_path, capsys):
    with StudyStore.create(tmp_path / "study") as store:
        case = CaseBuilder(store)
        store.add_event("S-001", "IRE", "2026-01-07")
        case.lock()
        case.lock("Month 3", volume_ml=0.5, volume_interval_ml=(0.4, 0.6))
    assert main(["study", "cohort", str(tmp_path / "study"), "--filter", "visit=Month 3", "--filter", "high_risk=yes", "--out", str(tmp_path / "out"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [n["vrr_pct"] for n in answer["nodes"]] == [75.0]
    assert answer["filter"] == {"visit": "Month 3", "reader": "accepted", "modality": None, "method": None, "high_risk": True, "salvage": None, "status": None}
    assert {f["path"] for f in answer["files"]} == {p.name for p in (tmp_path / "out").glob("*.csv")}
    with StudyStore.open(tmp_path / "study") as store:
        assert [e["object"] for e in store.events(limit=1)] == ["export:cohort"]
    assert main(["study", "cohort", str(tmp_path / "study"), "--filter", "status=missing", "--filter", "visit=Month 3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"] == []
    assert main(["study", "cohort", str(tmp_path / "study"), "--filter", "visit=Day 30"]) == 3


@pytest.mark.parametrize(("role", "may"), [("central_reader", False), ("adjudicator", False), ("trainee", False), ("administrator", False), ("monitor", True), ("trial_manager", True), ("site_reader", True)])
def test_that_no_blinded_role_has_a_cohort(role, may):
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert may_see_cohort(SimpleNamespace(has_users=lambda: True, session=Session("who", "Dr Who", (role,), now, now))) is may
    assert not may_see_cohort(SimpleNamespace(has_users=lambda: True, session=None))
    assert may_see_cohort(SimpleNamespace(has_users=lambda: False, session=None))


def test_that_a_blinded_user_is_refused_the_cohort(tmp_path):
    password = "a long word of 4 parts"
    with StudyStore.create(tmp_path / "study") as store:
        CaseBuilder(store).lock()
        assert cohort_of(store).chosen.visit is None
        store.add_user("admin", "Admin", ["administrator"], password)
        store.sign_in("admin", password)
        store.add_user("who", "Dr Who", ["central_reader"], password)
        store.sign_out()
        store.sign_in("who", password)
        with pytest.raises(StudyRefused) as refusal:
            cohort_of(store)
        assert refusal.value.code == "cohort_not_shown"
