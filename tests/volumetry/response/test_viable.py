"""Total, ablated and viable volume: kept apart, never guessed."""

from __future__ import annotations

import math

import pytest

from volumetry.errors import MeasurementRefused
from volumetry.response.viable import ViableVolumes, viable_rates
from volumetry.response.vrr import volume_reduction_rate


def test_that_the_missing_part_is_worked_out_and_named():
    one = ViableVolumes.measured(5.28, viable_ml=2.69)  # a published reading: 51 % residual vital ratio
    assert (one.ablated_ml, one.derived) == (pytest.approx(2.59), "ablated")
    assert one.viable_share_pct == pytest.approx(51, abs=0.1)
    other = ViableVolumes.measured(5.28, ablated_ml=2.59)
    assert (other.viable_ml, other.derived) == (pytest.approx(2.69), "viable")
    assert other.ablated_share_pct == pytest.approx(100 - other.viable_share_pct)
    assert ViableVolumes.measured(1.0, ablated_ml=1.05).viable_ml == 0.0  # two outlines, one a hair larger


def test_that_without_contrast_no_part_is_known_and_none_is_zero():
    plain = ViableVolumes.measured(2.0)
    assert (plain.ablated_ml, plain.viable_ml, plain.ablated_share_pct, plain.viable_share_pct) == (None, None, None, None)
    rates = viable_rates(ViableVolumes.before_ablation(4.0), plain)
    assert rates.total.vrr_pct == pytest.approx(50)
    assert (rates.ablated, rates.viable) == (None, None)
    assert [f.code for f in rates.findings] == ["part_not_assessed", "part_not_assessed"]


def test_that_each_part_has_its_own_rate():
    before = ViableVolumes.before_ablation(2.0)
    day0 = ViableVolumes.measured(5.0, ablated_ml=4.5)
    month6 = ViableVolumes.measured(1.0, ablated_ml=0.9)
    rates = viable_rates(before, month6)
    assert (rates.total.vrr_pct, rates.viable.vrr_pct) == pytest.approx((50, 95))
    assert rates.ablated is None
    assert [f.code for f in rates.findings] == ["no_baseline_part"]
    again = viable_rates(day0, month6, cv_pct=10)
    assert (again.total.vrr_pct, again.ablated.vrr_pct, again.viable.vrr_pct) == pytest.approx((80, 80, 80))
    assert again.total.interval_pct == volume_reduction_rate(5.0, 1.0, 10).interval_pct
    assert viable_rates(before, day0).total.vrr_pct == pytest.approx(-150)  # the zone is larger than the node was


def test_that_a_node_that_still_enhances_has_a_negative_rate_unclipped():
    rates = viable_rates(ViableVolumes.before_ablation(1.0), ViableVolumes.measured(3.0, viable_ml=1.6))
    assert rates.viable.vrr_pct == pytest.approx(-60)


def test_that_a_node_is_gone_only_when_somebody_looked():
    gone = ViableVolumes.disappeared()
    rates = viable_rates(ViableVolumes.measured(5.0, ablated_ml=4.0), gone)
    assert (rates.total.vrr_pct, rates.ablated.vrr_pct, rates.viable.vrr_pct) == (100, 100, 100)
    assert (gone.viable_share_pct, gone.ablated_share_pct) == (None, None)
    with pytest.raises(MeasurementRefused) as refusal:
        ViableVolumes.measured(0.0)
    assert refusal.value.code == "zero_volume"
    with pytest.raises(MeasurementRefused) as refusal:
        viable_rates(gone, ViableVolumes.measured(1.0))
    assert refusal.value.code == "baseline_not_positive"
    with pytest.raises(MeasurementRefused) as refusal:
        ViableVolumes(1.0, disappearance_assessed=True)
    assert refusal.value.code == "status_contradicts_volume"


def test_that_a_node_without_enhancement_is_not_a_node_that_is_gone():
    cold = ViableVolumes.measured(3.0, viable_ml=0.0)
    rates = viable_rates(ViableVolumes.before_ablation(2.0), cold)
    assert rates.viable.vrr_pct == 100
    assert rates.total.vrr_pct == pytest.approx(-50)
    assert not cold.disappearance_assessed


def test_that_parts_which_contradict_the_whole_are_told_or_refused():
    both = ViableVolumes.measured(4.0, ablated_ml=2.0, viable_ml=1.0)
    assert [f.code for f in both.findings] == ["parts_do_not_add"]
    assert (both.ablated_ml, both.viable_ml, both.derived) == (2.0, 1.0, None)  # as measured
    assert "parts_do_not_add" in [f.code for f in viable_rates(ViableVolumes.before_ablation(4.0), both).findings]
    assert ViableVolumes.measured(4.0, ablated_ml=2.9, viable_ml=1.0).findings == ()
    for parts in ({"ablated_ml": 5.0}, {"viable_ml": 5.0}):
        with pytest.raises(MeasurementRefused) as refusal:
            ViableVolumes.measured(4.0, **parts)
        assert refusal.value.code == "part_exceeds_total"


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, None, "2", True])
def test_that_what_is_no_volume_is_refused(value):
    with pytest.raises(MeasurementRefused) as refusal:
        ViableVolumes.measured(value)
    assert refusal.value.code == "value_refused"
