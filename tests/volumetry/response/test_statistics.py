"""Intervals of rates: Wilson's against published values, resampling by subject against what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from volumetry.errors import MeasurementRefused
from volumetry.response.statistics import clustered_bootstrap, node_rate, subject_rate, wilson


@pytest.mark.parametrize(("r", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_that_wilsons_interval_is_that_of_newcombes_worked_examples(r, n, low, high):
    # Newcombe, Stat Med 1998;17:857, table I, score method without continuity correction.
    assert wilson(r, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("r", "n"), [(0, 1), (1, 1), (7, 9), (40, 85), (85, 85)])
def test_that_wilsons_interval_agrees_with_scipy(r, n):
    peer = binomtest(r, n).proportion_ci(method="wilson")
    assert wilson(r, n) == pytest.approx((peer.low, peer.high), abs=1e-12)


def test_that_no_subjects_have_no_interval_and_more_than_all_is_refused():
    assert wilson(0, 0) is None
    with pytest.raises(MeasurementRefused) as refused:
        wilson(3, 2)
    assert refused.value.code == "count_not_valid"


def test_that_a_rate_prints_what_it_is_made_of():
    told = subject_rate([True, True, False, True], of="subjects", missing={"died": 1, "no_scan_in_window": 2}).to_dict()
    assert (told["numerator"], told["denominator"], told["pct"], told["n_missing"]) == (3, 4, 75.0, 3)
    assert told["missing"] == {"died": 1, "no_scan_in_window": 2}
    assert told["interval_from"] == "Wilson"
    assert subject_rate([], of="subjects").pct is None


def test_that_resampling_gives_the_same_numbers_for_a_seed_in_any_order():
    values, subjects = [80.0, 60.0, 40.0, 90.0, 70.0], ["S-1", "S-1", "S-2", "S-3", "S-3"]
    one = clustered_bootstrap(values, subjects, seed=7)
    other = clustered_bootstrap(values[::-1], subjects[::-1], seed=7)
    assert (one.value, one.interval) == (68.0, other.interval)
    assert (one.seed, one.clusters) == (7, 3)
    many = ([float(n) for n in range(40)], [f"S-{n}" for n in range(40)])
    assert clustered_bootstrap(*many, seed=7).interval != clustered_bootstrap(*many, seed=8).interval


def test_that_nodes_of_one_subject_are_not_independent():
    # Ten subjects whose nodes are all alike: the spread is that of ten numbers, however many nodes each has.
    rng = np.random.default_rng(3)
    levels = rng.normal(70, 15, 10)
    few = clustered_bootstrap(levels.tolist(), [f"S{n}" for n in range(10)])
    many = clustered_bootstrap(np.repeat(levels, 10).tolist(), [f"S{n}" for n in range(10) for _ in range(10)])
    assert many.interval == pytest.approx(few.interval)
    alone = clustered_bootstrap(np.repeat(levels, 10).tolist(), [f"N{n}" for n in range(100)])
    assert np.diff(alone.interval)[0] < 0.5 * np.diff(many.interval)[0]


def test_that_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        subject = rng.normal(70, 10, 40)
        values = np.repeat(subject, 3) + rng.normal(0, 8, 120)
        low, high = clustered_bootstrap(values.tolist(), np.repeat(np.arange(40), 3).astype(str).tolist(), seed=trial, resamples=400).interval
        held += low <= 70 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_that_one_subject_and_nodes_all_alike_claim_no_interval():
    assert clustered_bootstrap([1.0, 2.0], ["S-1", "S-1"]).interval is None
    assert "one subject" in clustered_bootstrap([1.0, 2.0], ["S-1", "S-1"]).note
    alike = node_rate([True] * 6, ["S-1", "S-1", "S-2", "S-2", "S-3", "S-3"], of="nodes")
    assert (alike.pct, alike.interval_pct, alike.interval_from) == (100.0, None, "none: all nodes alike")
    assert node_rate([], [], of="nodes").pct is None
