"""Nodes of a subject together, and what shows that a node is back."""

from __future__ import annotations

import pytest

from volumetry.errors import MeasurementRefused
from volumetry.response.course import (
    NodePair,
    Point,
    local_recurrence,
    residual_at,
    signs_of_return,
    subject_rate_of,
    zone_rate,
)


def test_that_sum_and_mean_differ_and_each_is_named():
    # 4 to 1 ml (75 %) and 1 to 0.9 ml (10 %): together 5 to 1.9 ml, 62 %; mean 42.5 %.
    made = subject_rate_of([NodePair("N1", 4.0, 1.0), NodePair("N2", 1.0, 0.9)])
    assert (made.sum_pct, made.mean_pct) == (pytest.approx(62.0), pytest.approx(42.5))
    assert (made.counted, made.complete, made.all_gone) == (("N1", "N2"), True, False)


def test_that_a_missing_node_is_left_out_of_both_sums_and_named():
    made = subject_rate_of([NodePair("N1", 4.0, 1.0), NodePair("N2", 10.0, None, missing="not_imaged")])
    assert (made.sum_pct, dict(made.missing), made.complete) == (75.0, {"N2": "not_imaged"}, False)
    assert subject_rate_of([NodePair("N1", 4.0, None)]).sum_pct is None


def test_that_all_gone_hangs_on_every_node():
    gone = NodePair("N1", 2.0, 0.0, disappeared=True)
    assert subject_rate_of([gone]).all_gone is True
    assert subject_rate_of([gone, NodePair("N2", 1.0, None)]).all_gone is None
    assert subject_rate_of([gone, NodePair("N2", 1.0, 0.1)]).all_gone is False
    with pytest.raises(MeasurementRefused) as refused:
        NodePair("N1", 2.0, 0.0)
    assert refused.value.code == "zero_volume"


def test_that_the_zone_of_day_0_gives_a_rate_of_its_own():
    assert zone_rate(5.0, 1.0) == pytest.approx(80.0)


def volumes(*ml) -> list[Point]:
    return [Point(f"visit {n}", v, disappeared=v == 0) for n, v in enumerate(ml)]


def test_that_regrowth_is_more_than_half_above_the_smallest():
    assert signs_of_return(volumes(1.0, 0.4, 0.6)) == ()  # exactly 50 %
    (sign,) = signs_of_return(volumes(1.0, 0.4, 0.5, 0.61, 2.0))
    assert (sign.kind, sign.point.when, sign.smallest_ml) == ("regrowth", "visit 3", 0.4)
    assert sign.above_smallest_pct == pytest.approx(52.5)
    assert signs_of_return(volumes(1.0, None, 0.9)) == ()


def test_that_a_node_that_was_gone_and_is_seen_again_has_reappeared():
    assert [s.kind for s in signs_of_return(volumes(1.0, 0, 0.05))] == ["reappeared"]


def test_that_the_enhancing_part_shows_it_earlier_than_the_whole():
    points = [Point("a", 2.0, 0.4), Point("b", 1.5, 0.1), Point("c", 1.2, 0.16), Point("d", 1.9, 0.8)]
    assert [(s.kind, s.point.when) for s in signs_of_return(points)] == [("viable_rise", "c"), ("regrowth", "d")]
    assert local_recurrence(signs_of_return(points)).sign == "regrowth"
    assert local_recurrence(signs_of_return(points), counted=("viable_rise",)).sign == "viable_rise"


def test_that_enhancement_after_none_is_a_sign_and_at_the_first_look_it_is_residual():
    complete, back = Point("a", 1.0, enhancing=False), Point("b", 0.9, enhancing=True)
    assert [s.kind for s in signs_of_return([complete, back])] == ["enhancement_back"]
    assert signs_of_return([back, back]) == ()
    assert (residual_at(back), residual_at(complete), residual_at(Point("c", 1.0)), residual_at(None)) == (True, False, None, None)
    assert local_recurrence(()) is None
