"""The wire along edges: it follows a node in speckle, at once, and says no to nonsense."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from tests.volumetry.segmentation.test_polar import speckled
from volumetry.errors import SegmentationRefused
from volumetry.segmentation.livewire import Livewire

CENTRE, AXES, TURN = np.array([130.0, 110.0]), np.array([40.0, 24.0]), np.radians(25.0)


def on_ellipse(angle):
    """(n, 2) points of the node's true outline in ``speckled()``."""
    u, v = AXES[0] * np.cos(angle), AXES[1] * np.sin(angle)
    return CENTRE + np.column_stack([u * np.cos(TURN) - v * np.sin(TURN), u * np.sin(TURN) + v * np.cos(TURN)])


DENSE = on_ellipse(np.linspace(0, 2 * np.pi, 3000))


def off_px(points):
    """Distance of each point from the true outline."""
    return np.linalg.norm(points[:, None] - DENSE[None], axis=2).min(axis=1)


def drawn_round(wire, anchors, snap_px=0.0):
    """The wire led through all anchors, open at the end."""
    points = [np.array([wire.set_anchor(anchors[0], snap_px=snap_px)])]
    for anchor in anchors[1:]:
        points.append(wire.path_to(anchor)[1:])
        wire.set_anchor(anchor)
    return np.vstack(points)


@pytest.mark.parametrize("seed", range(20))
def test_that_the_wire_follows_a_node_in_speckle_between_few_anchors(seed):
    picture, truth = speckled(seed=seed)
    anchors = on_ellipse(2 * np.pi * np.arange(5) / 5) + np.random.default_rng(seed).normal(0, 0.7, (5, 2))
    wire = Livewire(picture)
    points = wire.closed(drawn_round(wire, anchors))
    assert off_px(points).mean() < 2.0
    mask = wire.close(drawn_round(wire, anchors))
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.92


def test_that_the_wire_bends_where_a_straight_line_would_cut_the_node():
    picture, _ = speckled(seed=1)
    wire = Livewire(picture)
    start, end = on_ellipse(np.array([0.4, 2.7]))
    wire.set_anchor(start)
    straight = start + np.linspace(0, 1, 60)[:, None] * (end - start)
    assert off_px(wire.path_to(end)).mean() < 0.3 * off_px(straight).mean()


def test_that_the_wire_starts_at_the_anchor_and_ends_at_the_cursor():
    wire = Livewire(speckled(seed=2)[0])
    wire.set_anchor((90.25, 100.5))
    for cursor in ((90.25, 100.5), (91, 100), (150.75, 130.25), (0, 0), (259, 219)):
        points = wire.path_to(cursor)
        assert points[0] == pytest.approx((90.25, 100.5))
        assert points[-1] == pytest.approx(cursor)
        assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() < 3


def test_that_following_the_cursor_is_a_look_up():
    wire = Livewire(np.random.default_rng(0).normal(size=(480, 640)))
    wire.set_anchor((320, 240))
    wire.path_to((400, 300))
    start = time.perf_counter()
    for n in range(50):
        wire.path_to((300 + 2 * n, 200 + n))
    assert (time.perf_counter() - start) / 50 < 0.016


def test_that_a_cursor_far_from_the_anchor_is_reached_too():
    picture = np.zeros((60, 900), np.float32)
    picture[30:] = 100.0
    wire = Livewire(picture)
    wire.set_anchor((10, 30))
    points = wire.path_to((880, 30))
    assert np.abs(points[:, 1] - 29.5).max() < 1.5
    assert points[:, 0].min() == 10
    assert points[:, 0].max() == 880


def test_that_an_anchor_snaps_to_the_edge_beside_it():
    picture = ndimage.gaussian_filter(np.where(np.arange(80)[None, :] < 40, 20.0, 90.0) * np.ones((60, 1)), 1.0)
    wire = Livewire(picture)
    assert wire.set_anchor((43.0, 30.0), snap_px=5)[0] == pytest.approx(39.5, abs=0.6)
    assert wire.set_anchor((43.0, 30.0)) == (43.0, 30.0)


def test_that_a_flat_picture_gives_a_straight_wire():
    wire = Livewire(np.full((50, 70), 7.0))
    wire.set_anchor((5, 25))
    assert np.abs(wire.path_to((60, 25))[:, 1] - 25).max() < 1e-9


def refusal(call) -> str:
    with pytest.raises(SegmentationRefused) as refused:
        call()
    assert refused.value.message.endswith(".")
    return refused.value.code


def test_that_nonsense_is_refused_in_words():
    wire = Livewire(np.arange(2500.0).reshape(50, 50))
    assert refusal(lambda: Livewire(np.zeros((5, 50)))) == "not_a_picture"
    assert refusal(lambda: Livewire(np.zeros((50, 50, 3)))) == "not_a_picture"
    assert refusal(lambda: Livewire(np.full((50, 50), np.nan))) == "nan"
    assert refusal(lambda: wire.path_to((3, 3))) == "wire_not_begun"
    assert refusal(lambda: wire.set_anchor((99, 3))) == "seed_outside"
    assert refusal(lambda: wire.set_anchor((np.nan, 3))) == "nan"
    assert refusal(lambda: wire.close([(1, 1), (2, 2)])) == "bad_contour"
    wire.set_anchor((3, 3))
    assert refusal(lambda: wire.path_to((3, 99))) == "seed_outside"


def test_that_the_wire_does_not_cut_corners():
    """The cheapest way runs to the inner side of a bend; what is left of it is stated (the area comes out small)."""
    lost_pct = []
    for seed in range(8):
        picture, _ = speckled(seed=seed)
        anchors = on_ellipse(2 * np.pi * np.arange(5) / 5) + np.random.default_rng(seed).normal(0, 0.7, (5, 2))
        wire = Livewire(picture)
        x, y = wire.closed(drawn_round(wire, anchors)).T
        area = 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
        lost_pct.append(100 * (1 - area / (np.pi * AXES.prod())))
    assert abs(np.mean(lost_pct)) < 4.0


def test_that_an_outline_on_the_edge_stays_on_the_edge():
    picture, _ = speckled(seed=3)
    wire = Livewire(picture)
    wire.set_anchor(on_ellipse(np.array([0.0]))[0])
    assert off_px(wire._settled(on_ellipse(np.linspace(0, np.pi, 120)))).mean() < 0.6
