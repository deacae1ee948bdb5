"""Every kernel that measures a node against its slow twin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from skimage.measure import find_contours, marching_cubes

from tests.reference import volumetry_twins as twins
from volumetry.kernels.cell_table import cell_table, surface_loops
from volumetry.kernels.extent import (
    farthest_pairs,
    longest_chord,
    planar_hull,
    slice_hulls,
    slice_outline,
    surface_corners,
)
from volumetry.kernels.scan import bounding_box, count_pieces, label_boxes, moments, pattern_counts, patterns_area


def _masks():
    rng = np.random.default_rng(11)
    for share in (0.02, 0.2, 0.5, 0.9):
        yield (rng.random((7, 9, 12)) < share).astype(np.uint8)
    smooth = np.zeros((12, 13, 14), np.uint8)
    k, j, i = np.mgrid[:12, :13, :14]
    smooth[((i - 6.3) / 5) ** 2 + ((j - 6) / 4) ** 2 + ((k - 5.5) / 3.4) ** 2 <= 1] = 1
    yield smooth
    one = np.zeros((3, 3, 3), np.uint8)
    one[1, 0, 2] = 1
    yield one
    yield np.ones((2, 3, 4), np.uint8)


@pytest.fixture(params=range(7), ids=["sparse", "fifth", "half", "dense", "smooth", "one", "full"])
def mask(request) -> np.ndarray:
    return list(_masks())[request.param]


def test_that_the_bounding_box_agrees_with_its_twin(mask):
    assert list(bounding_box(mask)) == twins.bounding_box(mask)
    assert list(bounding_box(np.zeros((3, 4, 5), np.uint8))) == [0] * 6


def test_that_the_boxes_of_all_labels_agree_with_the_twin():
    rng = np.random.default_rng(9)
    labels = (rng.integers(0, 6, (5, 6, 7)) * (rng.random((5, 6, 7)) < 0.1)).astype(np.uint8)
    boxes = label_boxes(labels, 7)
    for label in range(1, 8):
        assert list(boxes[label]) == twins.bounding_box(labels == label)


def test_that_moments_and_runs_agree_with_their_twin(mask):
    for ours, slow in zip(moments(mask), twins.moments(mask), strict=True):
        np.testing.assert_array_equal(ours, slow)


def test_that_patterns_are_counted_like_the_twin(mask):
    padded = np.pad(mask, 1)
    counts = pattern_counts(padded)
    np.testing.assert_array_equal(counts, twins.pattern_counts(padded))
    starts, cross, weights, _ = cell_table()
    shear = np.array([[1.0, 0.2, 0.0], [0.0, 0.7, 0.1], [0.3, 0.0, 2.0]])
    assert patterns_area(counts, starts, cross, weights, shear) == pytest.approx(twins.patterns_area(counts, starts, cross, weights, shear), rel=1e-12)


def test_that_pieces_are_counted_like_the_twin(mask):
    assert count_pieces(mask) == twins.count_pieces(mask)


@pytest.mark.parametrize("share", [0.03, 0.06, 0.1, 0.15, 0.3])
def test_that_pieces_of_random_masks_agree_with_the_twin(share):
    rng = np.random.default_rng(int(1000 * share))
    for _ in range(5):
        mask = (rng.random((9, 10, 17)) < share).astype(np.uint8)
        assert count_pieces(mask) == twins.count_pieces(mask)


def test_that_the_hull_of_candidates_is_the_hull_of_all_mesh_vertices(mask):
    vertices = twins.mesh_vertices(mask)
    ours = surface_corners(*slice_hulls(mask))
    every = {tuple(int(c) for c in v) for v in vertices}
    corners = ours[ConvexHull(ours).vertices]
    assert {tuple(int(c) for c in p) for p in corners} <= every  # what counts lies on the mesh
    assert ConvexHull(ours).volume == pytest.approx(ConvexHull(vertices).volume, rel=1e-12)
    assert farthest_pairs(ours.astype(float), 0.0, 1e-9, 8)[0] == pytest.approx(twins.farthest(vertices), rel=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_that_the_farthest_pair_is_exact(dimensions):
    rng = np.random.default_rng(5)
    for _ in range(20):
        points = rng.normal(size=(rng.integers(2, 80), dimensions)) * rng.uniform(0.1, 5, dimensions)
        distance, pairs = farthest_pairs(points, 0.0, 1e-9, 8)
        assert distance == pytest.approx(twins.farthest(points), rel=1e-12)
        a, b = pairs[0]
        assert np.linalg.norm(points[a] - points[b]) == pytest.approx(distance, rel=1e-9)


def test_that_nothing_is_reported_below_what_the_caller_has():
    points = np.array([[0.0, 0.0], [1.0, 0.0]])
    distance, pairs = farthest_pairs(points, 2.0, 1e-9, 4)
    assert distance == 2.0
    assert len(pairs) == 0


def test_that_the_planar_hull_keeps_every_corner():
    rng = np.random.default_rng(3)
    grid = np.array([[a, b] for a in range(5) for b in range(4)], dtype=float)
    for points in (rng.normal(size=(60, 2)), grid):
        kept = points[planar_hull(points)]
        assert ConvexHull(kept).volume == pytest.approx(ConvexHull(points).volume, rel=1e-12)


def test_that_the_outline_passes_all_edge_midpoints_and_encloses_the_same_area(mask):
    for plane in np.pad(mask, 1)[1:-1]:
        segments = slice_outline(np.ascontiguousarray(plane))
        ours = {(round(2 * a), round(2 * b)) for a, b in segments.reshape(-1, 2)}
        assert ours == twins.outline_vertices(plane)
        ends = [tuple(p) for p in segments.reshape(-1, 2)]
        assert all(ends.count(p) == 2 for p in set(ends))  # closed


def test_that_the_outline_of_a_round_slice_is_that_of_scikit_image():
    j, i = np.mgrid[:20, :22]
    plane = (((i - 10.4) / 8) ** 2 + ((j - 9.7) / 6) ** 2 <= 1).astype(np.uint8)
    (theirs,) = find_contours(plane.astype(float), 0.5)
    ours = {(a, b) for a, b in slice_outline(plane).reshape(-1, 2)}
    assert ours == {(float(c), float(r)) for r, c in theirs}


def test_that_the_longest_chord_agrees_with_its_twin():
    rng = np.random.default_rng(8)
    for _ in range(10):
        plane = np.zeros((12, 14), np.uint8)
        plane[1:-1, 1:-1] = rng.random((10, 12)) < 0.6
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        segments = (slice_outline(plane).reshape(-1, 2) @ turn.T).reshape(-1, 4)
        length, t, s0, s1 = longest_chord(segments)
        assert length == pytest.approx(twins.longest_chord(segments), rel=1e-9)
        assert s1 - s0 == pytest.approx(length)
        assert segments[:, [0, 2]].min() <= t <= segments[:, [0, 2]].max()


def test_that_the_chord_does_not_bridge_a_notch():
    plane = np.zeros((9, 12), np.uint8)
    plane[1:8, 1:11] = 1
    plane[3:6, 1:10] = 0  # two bars with a gap of three, joined at one end: the full height there
    assert longest_chord(slice_outline(plane))[0] == pytest.approx(7.0)
    plane[1:8, 10] = 0  # two bars by themselves
    assert longest_chord(slice_outline(plane))[0] == pytest.approx(2.0)


def test_that_the_table_is_the_classic_one_wherever_no_face_is_ambiguous():
    """Volume and surface of a lone 2x2x2 pattern against scikit-image's classic marching cubes."""
    starts, cross, weights, fractions = cell_table()
    identity = np.eye(3)
    compared = 0
    for pattern in range(1, 256):
        lone = np.zeros((4, 4, 4), np.uint8)
        for bit in range(8):
            lone[1 + (bit >> 2), 1 + ((bit >> 1) & 1), 1 + (bit & 1)] = (pattern >> bit) & 1
        counts = pattern_counts(lone)
        if any(counts[p] and _ambiguous(p) for p in range(256)):
            continue
        vertices, faces, _, _ = marching_cubes(lone.astype(float), 0.5, method="lorensen")
        corners = vertices[faces]
        edges = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(edges, axis=1).sum() / 2
        volume = abs(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)
        assert patterns_area(counts, starts, cross, weights, identity) == pytest.approx(area, rel=1e-5)
        assert counts @ fractions == pytest.approx(volume, rel=1e-5)
        compared += 1
    assert compared > 100


def _ambiguous(pattern: int) -> bool:
    faces = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))
    bits = [[(pattern >> c) & 1 for c in f] for f in faces]
    return any(b in ([1, 0, 1, 0], [0, 1, 0, 1]) for b in bits)


def test_that_the_table_is_closed_and_the_same_from_every_side():
    starts, cross, weights, fractions = cell_table()
    area = np.array([(weights[a:b] * np.linalg.norm(cross[a:b], axis=1)).sum() / 2 for a, b in itertools.pairwise(starts)])
    for order in itertools.permutations(range(3)):
        for flip in itertools.product((0, 1), repeat=3):
            for pattern in range(256):
                other = 0
                for bit in range(8):
                    at = [bit & 1, (bit >> 1) & 1, bit >> 2]
                    to = [at[order[axis]] ^ flip[axis] for axis in range(3)]
                    other |= ((pattern >> bit) & 1) << (to[0] + 2 * to[1] + 4 * to[2])
                assert area[other] == pytest.approx(area[pattern], abs=1e-12)
                assert fractions[other] == pytest.approx(fractions[pattern], abs=1e-12)
    assert fractions[0] == 0
    assert fractions[255] == pytest.approx(1)
    assert all(len(loop) >= 3 for p in range(256) for loop in surface_loops(p))
