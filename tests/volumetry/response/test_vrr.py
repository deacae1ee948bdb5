"""Volume reduction rate, its interval, and what may be compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from volumetry.errors import MeasurementRefused
from volumetry.response.vrr import MeasuredBy, comparable, volume_reduction_rate, vrr_from_intervals


def test_that_the_rate_is_the_share_that_is_gone():
    assert volume_reduction_rate(2.0, 0.5).to_dict() == {"vrr_pct": 75.0, "interval_pct": None}
    assert volume_reduction_rate(2.0, 0.0).vrr_pct == 100.0


def test_that_swelling_is_a_negative_rate_and_not_clipped():
    assert volume_reduction_rate(1.0, 2.5).vrr_pct == pytest.approx(-150.0)


def test_that_the_interval_follows_the_stated_repeatability():
    rate = volume_reduction_rate(2.0, 0.5, 10)
    half = 1.96 * math.sqrt(2) * 10 * 0.25
    assert rate.interval_pct == pytest.approx((75 - half, 75 + half))


@pytest.mark.parametrize(("vrr", "points"), [(20, 36), (50, 22), (80, 9), (95, 2)])
def test_that_a_cv_of_16_percent_gives_the_published_half_widths(vrr, points):
    low, high = volume_reduction_rate(1.0, 1 - vrr / 100, 16).interval_pct
    assert (high - low) / 2 == pytest.approx(points, abs=0.6)


@pytest.mark.parametrize("baseline", [0, -1.0, math.nan, math.inf, None, "x"])
def test_that_a_baseline_that_is_not_positive_is_refused(baseline):
    with pytest.raises(MeasurementRefused) as refused:
        volume_reduction_rate(baseline, 1.0)
    assert refused.value.code == "baseline_not_positive"


@pytest.mark.parametrize(("followup", "cv", "code"), [(-0.1, None, "followup_not_valid"), (math.nan, None, "followup_not_valid"), (0.5, -1, "cv_not_valid")])
def test_that_impossible_follow_ups_and_repeatabilities_are_refused(followup, cv, code):
    with pytest.raises(MeasurementRefused) as refused:
        volume_reduction_rate(1.0, followup, cv)
    assert refused.value.code == code


def test_that_the_interval_from_two_volumes_covers_their_scatter():
    rng = np.random.default_rng(1)
    v0, vt, sd0, sdt = 2.0, 0.6, 0.1, 0.06
    held = 0
    for _ in range(2000):
        a, b = rng.normal(v0, sd0), rng.normal(vt, sdt)
        rate = vrr_from_intervals(a, (a - 1.96 * sd0, a + 1.96 * sd0), b, (b - 1.96 * sdt, b + 1.96 * sdt))
        held += rate.interval_pct[0] <= 70.0 <= rate.interval_pct[1]
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


def test_that_the_upper_bound_from_two_volumes_is_at_most_all_of_it():
    rate = vrr_from_intervals(1.0, (0.5, 1.5), 0.05, (0.0, 0.2))
    assert rate.interval_pct[1] <= 100.0


def test_that_unlike_modality_or_method_is_not_comparable():
    ct = MeasuredBy("CT", "voxel")
    assert comparable(ct, MeasuredBy("ct", " Voxel ")) is None
    assert comparable(ct, MeasuredBy("US", "voxel")).code == "unlike_modality"
    assert comparable(ct, MeasuredBy("CT", "ellipsoid")).code == "unlike_method"
    assert "ellipsoid" in comparable(ct, MeasuredBy("CT", "ellipsoid")).message
