"""A simulated trial runs without a window, exports everything, and its endpoint tables are those of an independent calculation with pandas.

Of 16 subjects here; of all 85 over 24 months by ``./test long``.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import argon2
import pytest

from app.demo.trial import READER_1, READER_2
from app.demo.trial_plan import INCIDENTS, plan_subject
from app.study import users
from app.study.protocol import load_protocol
from tests.study.trial_checks import (
    EDC_FORMATS,
    VRR_TABLES,
    Made,
    check_accepted,
    check_audit,
    check_by_visit,
    check_cohort,
    check_content,
    check_export,
    check_intervals,
    check_pain,
    check_rates,
    check_survival,
    check_vrr,
    locked_readings,
)

SHORT = {"subjects": len(INCIDENTS), "nodes": (1, 2), "seed": 2026, "enrol_days": 28}
# What a whole trial must have met, or the comparison would say little.
REASONS = (
    "adjudication_pending", "died", "lost", "no_baseline", "no_scan_in_window", "not_accepted", "not_comparable", "not_evaluable", "not_imaged", "not_locked",
    "not_read", "progressed", "scan_outside_window", "too_small", "visit_without_date", "withdrew",
)  # fmt: skip


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A trial of few subjects, each with another incident."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "_HASHER", argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST))
        return Made.make(tmp_path_factory.mktemp("trial"), **SHORT)


def test_that_the_study_holds_what_happened_and_its_trail_verifies(short: Made) -> None:
    check_content(short)
    assert check_audit(short).events > 1000


def test_that_a_seed_gives_the_same_trial_and_another_seed_another() -> None:
    protocol = load_protocol("ire-cervical-ln")
    one = [plan_subject(protocol, n, 2026, (1, 10)) for n in range(4)]
    assert one == [plan_subject(protocol, n, 2026, (1, 10)) for n in range(4)]
    assert one[3] != plan_subject(protocol, 3, 2027, (1, 10))
    sides = Counter((s.subject_id, n.side) for s in (plan_subject(protocol, n, 2026, (10, 10)) for n in range(30)) for n in s.nodes)
    assert max(sides.values()) <= 6  # five a side are eligible, a new one may come


@pytest.mark.parametrize("format_", ["csv", "redcap", "odm-1.3.2", "dataset-json"])
def test_that_the_trial_exports_twice_alike_and_valid(short: Made, format_: str) -> None:
    check_export(short, format_)


def test_that_the_accepted_records_are_those_of_the_protocols_rule(short: Made) -> None:
    check_accepted(short)


@pytest.mark.parametrize("endpoint", VRR_TABLES)
def test_that_tables_of_volume_reduction_agree_with_pandas(short: Made, endpoint: str) -> None:
    check_vrr(short, endpoint)


def test_that_disappearance_recurrence_survival_and_pain_agree_with_pandas(short: Made) -> None:
    check_rates(short)
    check_survival(short)
    check_pain(short)
    check_by_visit(short)
    check_cohort(short)


def test_that_the_short_trial_has_gaps_of_many_kinds(short: Made) -> None:
    missing = Counter({k: v for name in VRR_TABLES for k, v in short.table(name)["missing"].items()})
    assert len(missing) >= 8, missing


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_that_a_trial_of_85_subjects_over_24_months_runs_exports_and_agrees_with_pandas(tmp_path: Path, record_result) -> None:
    made = Made.make(tmp_path, subjects=85, seed=2026)
    months = {v.name for s in made.record.subjects for v in s.visits}
    assert {"Baseline", "Day 30", *(f"Month {m}" for m in range(3, 25, 3))} <= months
    assert {r.reader for s in made.record.subjects for r in s.readings} == {"site", READER_1, READER_2}
    report = check_audit(made)
    check_content(made)
    for format_ in EDC_FORMATS:
        check_export(made, format_)
    check_accepted(made)
    for endpoint in VRR_TABLES:
        check_vrr(made, endpoint)
    check_rates(made)
    check_survival(made)
    check_pain(made)
    check_by_visit(made)
    check_cohort(made)
    check_intervals(made)
    missing = {k for e in made.response()["endpoints"] if e["set"] == "protocol" for k in e.get("missing") or {}}
    assert set(REASONS) <= missing, set(REASONS) - missing
    record_result("trial", "A simulated trial of 85 subjects over 24 months", page(made, report))


def page(made: Made, report) -> str:
    """The result as it stands in the documentation."""
    record = made.record
    nodes = sum(len(s.nodes) for s in record.subjects)
    central = sum(r.reader != "site" for s in record.subjects for r in s.readings)
    site = sum(r.reader == "site" for s in record.subjects for r in s.readings)
    lines = [
        f"Seed {record.seed}: {len(record.subjects)} subjects, {nodes} nodes, {sum(len(s.visits) for s in record.subjects)} visits, {central} central and {site} site readings, "
        f"{len(record.judgements)} adjudications, {report.events} events in the trail, {report.signatures_checked} signatures, {locked_readings(made)} locked readings exported. The trail verifies, every format is valid by its "
        "schema and the same bytes when exported again, and every count, reason, rate and mean of the endpoint tables is that of an independent calculation with pandas "
        "(`tests/study/trial_by_pandas.py`), from `readings.csv` and what the generator put in (each reader's response by RECIST, one of the triggers of adjudication, is taken over). Times are of a machine shared with other work; passwords were hashed with cheap parameters.",
        "",
        "| step | wall, s | CPU, s |", "| --- | ---: | ---: |",
        *(f"| {name} | {wall:.1f} | {cpu:.1f} |" for name, (wall, cpu) in made.seconds.items()),
        "",
        "| endpoint | treated | set | assessed in the window | with a rate | mean VRR of nodes, % | missing by reason |", "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]  # fmt: skip
    for name in VRR_TABLES:
        t = made.table(name)
        lines.append(f"| {t['title']} | {t['n_treated']} | {t['n_set']} | {t['n_in_window']} | {t['n']} | {t['mean_pct']:.2f} | {'; '.join(f'{k} {v}' for k, v in t['missing'].items())} |")
    lines += ["", "| rate | numerator | denominator | of | missing |", "| --- | ---: | ---: | --- | ---: |"]
    for name in ("disappearance_12m", "recurrence_12m", "nrs_sustained"):
        for rate in made.table(name)["rates"].values():
            lines.append(f"| {name} | {rate['numerator']} | {rate['denominator']} | {rate['of']} | {rate['n_missing']} |")
    for name in ("pfs", "os"):
        t = made.table(name)
        lines += ["" if name == "pfs" else None, f"{t['title']}: {t['n_events']} events in {t['n']} subjects ({', '.join(f'{k} {v}' for k, v in t['ended_by'].items())}); free of it on day {t['at_day']}: " + ("not known" if t["at_pct"] is None else f"{t['at_pct']:.1f} %") + "."]
    return "\n".join(line for line in lines if line is not None)
