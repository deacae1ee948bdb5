"""Viable share over a long- and a short-axis section: closed forms of ellipsoids, cut and counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from volumetry.errors import NodusError
from volumetry.perfusion.enhancement import EnhancementAssessment
from volumetry.perfusion.planes import PlaneShare, share_of_assessments, share_of_two_planes

MM = (0.05, 0.05)
A, B, C = 8.0, 6.0, 5.0  # half axes in mm: length, width, depth


def disc(across_mm: float, depth_mm: float, off_mm: float = 0.0) -> np.ndarray:
    """A filled ellipse of these half axes in the middle of a section."""
    y, x = np.ogrid[-140:141, -200:201]
    return ((x * MM[0] - off_mm) / across_mm) ** 2 + (y * MM[1] / depth_mm) ** 2 <= 1


def section(node: np.ndarray, viable: np.ndarray, spread_pct: float = 3.0, grade: str = "2") -> EnhancementAssessment:
    empty = np.zeros(node.shape, bool)
    area = MM[0] * MM[1]
    pct = 100.0 * (viable & node).sum() / node.sum()
    return EnhancementAssessment(
        grade, (), node, np.zeros(node.shape, np.float32), viable & node, empty, node.sum() * area, (viable & node).sum() * area, 0.0, pct,
        (max(0.0, pct - spread_pct), min(100.0, pct + spread_pct)), None, None, None, 0.1, 10.0, None,
    )  # fmt: skip


def both(long_part: np.ndarray, short_part: np.ndarray, **how):
    return share_of_assessments(section(disc(A, C), long_part), section(disc(B, C), short_part), (MM, MM), **how)


def codes(found) -> set[str]:
    return {f.code for f in found.findings}


@pytest.mark.parametrize(("p", "q", "r"), [(0.5, 0.5, 0.5), (0.6, 0.5, 0.7), (0.9, 0.4, 0.6), (0.35, 0.8, 0.9), (0.5, 0.5, 0.9)])
def test_that_a_part_in_the_middle_has_its_share_of_the_volume_as_a_solid(p, q, r):
    found = both(disc(p * A, r * C), disc(q * B, r * C), node_ml=1.0)
    assert found.inside == "viable"
    assert found.solid_pct == pytest.approx(100 * p * q * r, rel=0.03)
    low, high = found.volume_interval_pct
    assert low <= 100 * p * q * r <= high
    assert found.viable_pct > found.solid_pct  # the share of area is too large for what lies in the middle
    assert "part_lies_inside" in codes(found)


def test_that_the_formula_is_the_volume_that_voxels_of_the_ellipsoids_count():
    p, q, r = 0.6, 0.5, 0.7
    z, y, x = np.ogrid[-1:1:81j, -1:1:81j, -1:1:81j]  # in half axes of the node
    counted = ((x / p) ** 2 + (y / q) ** 2 + (z / r) ** 2 <= 1).sum() / (x**2 + y**2 + z**2 <= 1).sum()
    assert both(disc(p * A, r * C), disc(q * B, r * C)).solid_pct == pytest.approx(100 * counted, rel=0.03)


@pytest.mark.parametrize("k", [0.4, 0.7])
def test_that_a_share_of_area_is_too_large_for_a_like_core_and_too_small_for_what_lies_round_it(k):
    core = both(disc(k * A, k * C), disc(k * B, k * C))
    assert core.viable_pct == pytest.approx(100 * k**2, rel=0.01)
    assert core.volume_interval_pct[0] <= core.solid_pct == pytest.approx(100 * k**3, rel=0.02)
    round_it = both(disc(A, C) & ~disc(k * A, k * C), disc(B, C) & ~disc(k * B, k * C))
    assert round_it.inside == "ablated"
    assert round_it.viable_pct == pytest.approx(100 * (1 - k**2), rel=0.01)
    assert round_it.solid_pct == pytest.approx(100 * (1 - k**3), rel=0.01)
    assert round_it.viable_pct < round_it.solid_pct <= round_it.volume_interval_pct[1]


def test_that_a_part_that_reaches_through_alike_keeps_its_share_of_area_and_volume():
    near = np.zeros((281, 401), bool)
    near[:140] = True
    found = both(near, near, node_ml=1.2)
    assert found.viable_pct == pytest.approx(50.0, abs=0.5)
    assert found.viable_ml == pytest.approx(0.6, abs=0.01)
    assert found.viable_ml + found.ablated_ml == pytest.approx(1.2)
    assert found.solid_pct is None
    assert found.viable_interval_ml[0] < 0.6 < found.viable_interval_ml[1]
    assert codes(found) == {"share_of_two_planes"}


def test_that_the_larger_section_weighs_more_and_the_interval_spans_both():
    one, two = PlaneShare("2", 300.0, None, 20.0, (15.0, 25.0)), PlaneShare("3", 100.0, None, 40.0, (24.0, 48.0))
    found = share_of_two_planes(one, two)
    assert found.viable_pct == pytest.approx(25.0)
    assert found.viable_interval_pct == (15.0, 48.0)
    assert found.grade == "3"
    assert found.viable_ml is None
    assert "planes_disagree" not in codes(found)
    apart = share_of_two_planes(one, replace(two, viable_interval_pct=(26.0, 48.0)))
    assert "planes_disagree" in codes(apart)


def test_that_a_part_at_one_end_is_seen_by_one_plane_alone_and_said():
    found = both(disc(A, C) & disc(2.0, 4.0, off_mm=6.0), np.zeros((281, 401), bool), node_ml=1.0)
    assert "planes_disagree" in codes(found)
    assert found.solid_pct is None
    assert 0 < found.viable_ml < 0.1


def test_that_a_part_off_the_middle_is_not_taken_for_a_solid():
    assert both(disc(3.0, 2.0, off_mm=0.5), disc(2.5, 2.0)).solid_pct is not None
    assert both(disc(3.0, 2.0, off_mm=1.5), disc(2.5, 2.0)).solid_pct is None


def test_that_unlike_depths_of_the_node_are_told():
    found = share_of_assessments(section(disc(A, 5.0), disc(3.0, 2.0)), section(disc(B, 3.5), disc(2.5, 2.0)), (MM, MM))
    assert "common_diameter_differs" in codes(found)
    assert "common_diameter_differs" not in codes(share_of_assessments(section(disc(A, 5.0), disc(3.0, 2.0)), section(disc(B, 3.5), disc(2.5, 2.0)), (None, MM)))


@pytest.mark.parametrize(("grade", "expected"), [("0", "NE"), ("1", "NE"), ("2", "2"), ("3", "3")])
def test_that_a_plane_that_cannot_be_judged_gives_no_volume_and_hides_no_residual(grade, expected):
    found = share_of_two_planes(PlaneShare(grade, 100.0, None, 10.0, (8.0, 12.0)), PlaneShare("NE", 80.0, None, None, None), node_ml=1.0)
    assert found.viable_ml is None
    assert found.viable_interval_ml is None
    assert found.grade == expected
    assert codes(found) == {"plane_not_evaluable"}


@pytest.mark.parametrize("ml", [0.0, -1.0, float("nan")])
def test_that_a_node_without_a_volume_is_refused(ml):
    one = PlaneShare("0", 100.0, None, 0.0, (0.0, 0.0))
    with pytest.raises(NodusError) as told:
        share_of_two_planes(one, one, node_ml=ml)
    assert told.value.code == "bad_volume"


def test_that_the_share_is_between_the_bounds_for_random_parts_in_the_middle():
    rng = np.random.default_rng(7)
    for p, q, r in rng.uniform(0.3, 0.95, (12, 3)):
        found = both(disc(p * A, r * C), disc(q * B, r * C))
        one, two = (plane.viable_pct for plane in found.planes)
        assert one * two / 100 <= found.solid_pct <= min(one, two)
        assert found.volume_interval_pct[0] <= 100 * p * q * r <= found.volume_interval_pct[1]
        assert found.solid_pct == pytest.approx(100 * p * q * r, rel=0.04)
        assert found.as_dict()["solid_pct"] == found.solid_pct
