"""What must hold of every course, whatever its sizes."""

from __future__ import annotations

import datetime as dt

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from volumetry.response.recist import Lesion, Response, Seen, Target, VisitFindings, follow
from volumetry.response.statistics import clustered_bootstrap, wilson
from volumetry.response.survival import kaplan_meier

SIZES = st.lists(st.floats(10, 120), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.lists(st.lists(st.one_of(st.none(), st.just(0.0), st.floats(1, 150)), min_size=3, max_size=3), min_size=1, max_size=5))
def test_that_progression_by_size_always_rests_on_5_mm_and_20_percent_and_the_smallest_sum_never_grows(first, later):
    lesions = [Lesion(f"L{n}", f"organ {n}") for n in range(len(first))]

    def found(lesion: Lesion, mm: float | None) -> Target:
        return Target(lesion, Seen.NOT_EVALUATED) if mm is None else Target(lesion, Seen.MEASURED, mm) if mm else Target(lesion, Seen.ABSENT)

    visits = [VisitFindings(dt.date(2026, 1, 1) + dt.timedelta(30 * n), tuple(found(x, mm) for x, mm in zip(lesions, row))) for n, row in enumerate(later)]
    answers = follow([found(x, mm) for x, mm in zip(lesions, first)], visits)
    complete = False
    for answer in answers:
        change = answer.change
        grown = change.evaluated_mm - change.nadir_mm
        if answer.target is Response.PD and not complete:
            assert grown >= 5 - 1e-6
            assert grown >= 0.2 * change.nadir_mm - 1e-6
        if answer.target is Response.CR:
            assert change.sum_mm == 0
        if change.sum_mm is None:
            assert answer.target in (Response.NE, Response.PD)
        complete = complete or answer.overall is Response.CR
    nadirs = [a.change.nadir_mm for a in answers]
    assert nadirs == sorted(nadirs, reverse=True)
    assert follow([found(x, mm) for x, mm in zip(lesions, first)], visits[::-1]) == answers  # their order as given does not matter


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.data())
def test_that_wilsons_interval_holds_its_share_and_stays_between_none_and_all(total, data):
    yes = data.draw(st.integers(0, total))
    low, high = wilson(yes, total)
    assert 0 <= low <= yes / total <= high <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=40))
def test_that_a_survival_curve_falls_only_at_events_and_its_band_holds_it(rows):
    curve = kaplan_meier([t for t, _ in rows], [e for _, e in rows])
    assert np.all(np.diff(np.concatenate([[1.0], curve.survival])) <= 1e-12)
    assert np.all((np.diff(np.concatenate([[1.0], curve.survival])) < 0) == (curve.events > 0))
    known = ~np.isnan(curve.low)
    assert np.all(curve.low[known] <= curve.survival[known] + 1e-12)
    assert np.all(curve.high[known] >= curve.survival[known] - 1e-12)
    assert curve.events.sum() + curve.censored.sum() == len(rows)


def test_that_resampling_agrees_with_drawing_subjects_one_by_one():
    rng = np.random.default_rng(11)
    subjects = np.repeat(np.arange(12), rng.integers(1, 6, 12))
    values = rng.normal(60, 20, len(subjects))
    made = clustered_bootstrap(values.tolist(), subjects.astype(str).tolist(), resamples=20000)
    slow = []
    for _ in range(4000):
        drawn = rng.integers(0, 12, 12)
        slow.append(np.concatenate([values[subjects == s] for s in drawn]).mean())
    assert np.allclose(made.interval, np.percentile(slow, [2.5, 97.5]), atol=1.2)
