"""Every segmentation kernel against its slow twin, and the fixed geometry of the fan of rays."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference.segmentation_twins import (
    closed_path_by_trying_all,
    convex_coverage_by_sampling,
    sample_slowly,
    weigh_layers_slowly,
)
from volumetry.kernels.segmentation_layers import weigh_layers
from volumetry.kernels.segmentation_path import closed_path
from volumetry.kernels.segmentation_raster import surface_coverage
from volumetry.kernels.segmentation_sample import sample
from volumetry.segmentation.closure import cheapest_surface
from volumetry.segmentation.icosphere import harmonics, icosphere, signed_volume


def test_that_trilinear_reading_agrees_with_its_twin():
    rng = np.random.default_rng(1)
    volume = rng.normal(size=(4, 5, 6)).astype(np.float32)
    points = rng.uniform(-1, 7, size=(60, 3))
    assert np.allclose(sample(volume, points), sample_slowly(volume, points), atol=1e-5)


def test_that_surface_coverage_agrees_with_sampling_every_voxel():
    sphere = icosphere(3)
    vertices = sphere.directions * [2.3, 1.7, 1.4] + [3.1, 3.4, 2.8]
    coverage = np.zeros((6, 7, 7))
    surface_coverage(np.ascontiguousarray(vertices), sphere.faces, coverage.shape, 8, coverage)
    slow = convex_coverage_by_sampling(vertices, sphere.faces, coverage.shape, 12)
    assert np.abs(coverage - slow).max() < 0.04
    assert coverage.sum() == pytest.approx(signed_volume(vertices, sphere.faces), rel=5e-3)


def test_that_coverage_counts_a_line_through_an_edge_once():
    # corners on the sampling lines: every line meets an edge or a corner
    sphere = icosphere(1)
    vertices = np.round(sphere.directions * 4) + 6.0
    coverage = np.zeros((13, 13, 13))
    surface_coverage(vertices, sphere.faces, coverage.shape, 1, coverage)
    assert coverage.min() > -1e-9
    assert coverage.max() < 1 + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_that_the_closed_path_is_the_cheapest_of_all(seed):
    cost = np.random.default_rng(seed).normal(size=(6, 4))
    path, total = closed_path(cost, 1, 0.2)
    slow_path, slow_total = closed_path_by_trying_all(cost, 1, 0.2)
    assert total == pytest.approx(slow_total)
    assert (path == slow_path).all()


def test_that_weighing_layers_agrees_with_plain_ridge_fits():
    rng = np.random.default_rng(5)
    places, kinds, offsets, depth, part = 7, 3, 11, -1.5, 0.3
    u, v, f = rng.normal(size=(places, offsets)), rng.normal(size=(places, kinds, offsets)), rng.normal(size=(places, kinds, offsets))
    weight = rng.uniform(0.5, 1.0, offsets)
    y = rng.normal(size=(4, offsets))
    pull, chance = rng.uniform(0, 0.1, places), np.array([0.5, 0.3, 0.2])
    out = np.empty((4, 6))
    dot = lambda a, b: (a * b) @ weight  # noqa: E731
    yv, yf = (np.einsum("ro,pho,o->rph", y, t, weight) for t in (v, f))
    weigh_layers(
        dot(y, y), np.einsum("ro,po,o->rp", y, u, weight), yv, yf,
        dot(u, u) + 0.05, dot(v, v) + 0.01, dot(u[:, None], v), dot(f, f), dot(u[:, None], f), dot(f, v),
        depth, pull, chance, part, 1.0, out,
    )  # fmt: skip
    for r in range(4):
        slow = weigh_layers_slowly(y[r], u, v, f, depth, 0.05, 0.01, pull, chance, part, weight)
        assert np.allclose(out[r, :5], slow, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("frequency", "count"), [(1, 12), (4, 162), (8, 642)])
def test_that_the_fan_of_rays_covers_the_sphere_once(frequency, count):
    sphere = icosphere(frequency)
    assert len(sphere.directions) == count
    assert sphere.solid_angle.sum() == pytest.approx(4 * np.pi)
    assert len(sphere.edges) == 3 * count - 6  # Euler
    assert signed_volume(sphere.directions, sphere.faces) > 0


def test_that_the_harmonics_are_orthonormal_over_the_fan():
    basis, order = harmonics(8, 8)
    gram = (basis.T * icosphere(8).solid_angle) @ basis / (4 * np.pi)
    assert np.abs(gram - np.eye(len(order))).max() < 0.01


def test_that_the_closure_finds_the_cheapest_surface_of_a_tiny_fan():
    # three rays in a ring: the closure against enumeration
    rng = np.random.default_rng(2)
    edges = np.array([[0, 1], [1, 2], [0, 2]])
    for _ in range(10):
        cost = np.round(rng.normal(size=(3, 5)), 3)
        found = cheapest_surface(cost, edges, jump=1, smoothness=0.1)

        def price(path, cost=cost):
            moves = [abs(path[a] - path[b]) for a, b in edges]
            return np.inf if max(moves) > 1 else sum(cost[n, s] for n, s in enumerate(path)) + 0.1 * sum(moves)

        assert price(found) == pytest.approx(min(price(p) for p in np.ndindex(5, 5, 5)), abs=5e-3)
