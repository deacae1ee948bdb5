"""Every kernel that measures a node against its slow twin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from skimage.measure import find_contours, marching_cubes

from tests.reference import volumetry_twins as twins
from volumetry.geometry import ImageGeometry
from volumetry.kernels.cell_table import cell_table, surface_loops
from volumetry.kernels.convex_hull import convex_hull
from volumetry.kernels.diameters import longest_in_slices, own_axes
from volumetry.kernels.extent import far_points, farthest_pairs, layer_corners, longest_chord, planar_hull, rising_order, row_extremes, slice_outline
from volumetry.kernels.scan import count_pieces, pattern_areas, pattern_counts, row_edges, scan_labels, voxels_per_slice
from volumetry.node_numbers import GridFacts, count_nodes, laid_out, scan


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


def read(labels: np.ndarray, label: int = 1):
    """(starts, edges, nk, nj, ni) of a label in its box, by the kernels' own way in."""
    arguments = laid_out(labels)
    box = np.array(twins.label_row(labels == label)[10:])
    return *row_edges(*arguments, label, box), *(int(n) for n in np.diff(box)[::2])


def boxed(mask: np.ndarray) -> np.ndarray:
    k0, k1, j0, j1, i0, i1 = twins.label_row(mask)[10:]
    return mask[k0:k1, j0:j1, i0:i1]


def corners_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts, edges, nk, nj, _ = read(mask)
    return layer_corners(row_extremes(starts, edges), nk, nj)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_that_one_pass_counts_all_labels_like_the_twin(kind, threads):
    rng = np.random.default_rng(9)
    for _ in range(30):
        shape = rng.integers(1, 90, 3) if rng.random() < 0.2 else rng.integers(1, 20, 3)
        labels = (rng.integers(0, 6, shape) * (rng.random(shape) < rng.random())).astype(kind)
        table = scan(labels, threads)
        for label in range(1, 8):
            assert table[label].tolist() == twins.label_row(labels == label)
        assert not table[0].any()
        assert scan_labels(*laid_out(labels), 3, 0, 1)[1] == labels.max()


def test_that_a_map_of_more_labels_than_guessed_is_read_again():
    labels = np.zeros((2, 3, 9), np.uint16)
    labels[1, 2, 3:5] = 40_000
    labels[0, 0, 0] = 7
    table = scan(labels)
    assert table[40_000].tolist() == twins.label_row(labels == 40_000)
    assert table[7].tolist() == twins.label_row(labels == 7)


def test_that_memory_that_is_not_aligned_is_read_right():
    buffer = np.zeros(9 * 10 * 11 + 3, np.uint8)
    labels = buffer[3:].reshape(9, 10, 11)
    labels[2:5, 3:9, 1:10] = 3
    assert scan(labels)[3].tolist() == twins.label_row(labels == 3)
    assert scan(np.asfortranarray(labels))[3].tolist() == twins.label_row(labels == 3)


def test_that_edges_of_runs_agree_with_their_twin(mask):
    starts, edges, *_ = read(mask)
    assert [edges[a:b].tolist() for a, b in itertools.pairwise(starts)] == twins.row_edges(boxed(mask))


def test_that_only_the_asked_label_is_read():
    rng = np.random.default_rng(2)
    for kind in (np.uint8, np.uint16):
        labels = rng.integers(0, 3, (6, 7, 40)).astype(kind)
        starts, edges, *_ = read(labels, 2)
        assert [edges[a:b].tolist() for a, b in itertools.pairwise(starts)] == twins.row_edges(boxed(labels == 2))


def test_that_voxels_per_slice_are_counted_like_the_twin(mask):
    starts, edges, nk, nj, _ = read(mask)
    np.testing.assert_array_equal(voxels_per_slice(starts, edges, nk, nj), boxed(mask).sum(axis=(1, 2)))


def test_that_patterns_are_counted_like_the_twin(mask):
    counts = pattern_counts(*read(mask))
    np.testing.assert_array_equal(counts, twins.pattern_counts(np.pad(boxed(mask), 1)))
    starts, cross, weights, _ = cell_table()
    shear = np.array([[1.0, 0.2, 0.0], [0.0, 0.7, 0.1], [0.3, 0.0, 2.0]])
    np.testing.assert_allclose(pattern_areas(starts, cross, weights, shear), twins.pattern_areas(starts, cross, weights, shear), rtol=1e-12)


def test_that_pieces_are_counted_like_the_twin(mask):
    assert count_pieces(*read(mask)[:4]) == twins.count_pieces(mask)


@pytest.mark.parametrize("share", [0.03, 0.06, 0.1, 0.15, 0.3])
def test_that_pieces_of_random_masks_agree_with_the_twin(share):
    rng = np.random.default_rng(int(1000 * share))
    for _ in range(5):
        mask = (rng.random((9, 10, 17)) < share).astype(np.uint8)
        assert count_pieces(*read(mask)[:4]) == twins.count_pieces(mask)


def test_that_the_hull_of_candidates_is_the_hull_of_all_mesh_vertices(mask):
    vertices = twins.mesh_vertices(boxed(mask))
    starts, ours = corners_of(mask)
    assert starts[-1] == len(ours)
    assert all((ours[a:b, 2] == n - 1).all() for n, (a, b) in enumerate(itertools.pairwise(starts)))
    every = {tuple(int(c) for c in v) for v in vertices}
    corners = ours[ConvexHull(ours).vertices]
    assert {tuple(int(c) for c in p) for p in corners} <= every  # what counts lies on the mesh
    assert ConvexHull(ours).volume == pytest.approx(ConvexHull(vertices).volume, rel=1e-12)
    assert farthest_pairs(ours.astype(float), 0.0, 1e-9, 8)[0] == pytest.approx(twins.farthest(vertices), rel=1e-12)


def test_that_the_whole_number_hull_is_that_of_qhull():
    rng = np.random.default_rng(12)
    for trial in range(200):
        reach = int(rng.integers(1, 9))
        points = rng.integers(-reach, reach + 1, (int(rng.integers(4, 120)), 3))
        if trial % 3 == 0:  # a ball of lattice points: whole families in one plane
            points = points[(points**2).sum(axis=1) <= reach * reach]
        corners, six = convex_hull(points)
        if len(points) < 4 or np.linalg.matrix_rank(points - points[0]) < 3:
            assert six == 0
            assert corners.tolist() == list(range(len(points)))
            continue
        slow = ConvexHull(points)
        assert six / 6 == pytest.approx(slow.volume, rel=1e-9)
        assert ConvexHull(points[corners]).volume == pytest.approx(slow.volume, rel=1e-9)
        assert {tuple(p) for p in points[_strict_corners(points)]} <= {tuple(p) for p in points[corners]}


def _strict_corners(points: np.ndarray) -> list[int]:
    """Points that are the only one farthest out in some direction of a fine set."""
    rng = np.random.default_rng(1)
    unique = np.unique(points, axis=0, return_index=True)[1]
    heights = points[unique] @ rng.normal(size=(3, 400))
    return [int(unique[n]) for n in set(heights.argmax(axis=0).tolist())]


SHEARED = np.array([[0.7, 0.1, 0.0], [0.0, 0.8, 0.3], [0.05, 0.0, 1.6]])


@pytest.mark.parametrize("step", [np.diag([0.7, 0.7, 1.25]), SHEARED], ids=["straight", "sheared"])
def test_that_diameters_agree_with_their_twins(mask, step):
    starts, edges, nk, nj, ni = read(mask)
    layers, points = corners_of(mask)
    long, short, k, ends = longest_in_slices(starts, edges, nk, nj, ni, layers, points, step)
    slow_long, slow_short = twins.longest_in_slices(boxed(mask), step)
    assert (long, short) == (pytest.approx(slow_long, rel=1e-12), pytest.approx(slow_short, rel=1e-7))
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(long)
    assert np.linalg.norm(ends[3] - ends[2]) == pytest.approx(short)
    assert (ends[1] - ends[0]) @ (ends[3] - ends[2]) == pytest.approx(0.0, abs=1e-6 * long * short)
    assert np.linalg.solve(step, ends.T)[2] == pytest.approx([k] * 4, abs=1e-9)
    lengths, (a, b), directions, hull = own_axes(points, step)
    assert [*lengths, hull] == pytest.approx(twins.own_axes(boxed(mask), step), rel=1e-9)
    assert np.linalg.norm(b - a) == pytest.approx(lengths[0])
    assert directions @ directions.T == pytest.approx(np.eye(3), abs=1e-9)
    assert (b - a) @ directions[0] == pytest.approx(lengths[0])


def test_that_all_nodes_of_a_map_are_numbered_like_each_by_itself():
    rng = np.random.default_rng(4)
    labels = np.zeros((20, 30, 40), np.uint8)
    for label, mask in enumerate(_masks(), start=1):
        k, j, i = (rng.integers(0, n - m + 1) for n, m in zip(labels.shape, mask.shape))
        view = labels[k : k + mask.shape[0], j : j + mask.shape[1], i : i + mask.shape[2]]
        view[(mask > 0) & (view == 0)] = label
    geometry = ImageGeometry.from_spacing(labels.shape, (1.0, 1.0, 1.0))
    affine = geometry.affine.copy()
    affine[:3, :3] = SHEARED
    grid = GridFacts.of(ImageGeometry(labels.shape, affine))
    answers = [count_nodes(labels, grid, threads) for threads in (1, 2, 3)]
    assert len(answers[0]) > 4
    for label, one in answers[0].items():
        for other in answers[1:]:  # not by a digit, however many threads
            assert (one.box, one.count, one.sums, one.slice_counts, one.pieces) == (
                other[label].box,
                other[label].count,
                other[label].sums,
                other[label].slice_counts,
                other[label].pieces,
            )
            for name in ("pattern_counts", "planar", "own"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other[label], name))
        mask = boxed(labels == label).astype(np.uint8)
        np.testing.assert_array_equal(one.pattern_counts, twins.pattern_counts(np.pad(mask, 1)))
        assert [one.count, *one.sums, *one.box] == twins.label_row(labels == label)
        assert list(one.slice_counts) == mask.sum(axis=(1, 2)).tolist()
        assert one.planar[:2] == pytest.approx(twins.longest_in_slices(mask, SHEARED), rel=1e-7)
        assert one.own[[0, 1, 2, 18]] == pytest.approx(twins.own_axes(mask, SHEARED), rel=1e-9)
        assert one.pieces == twins.count_pieces(mask)


def test_that_the_facts_of_a_grid_follow_its_affine():
    affine = np.eye(4)
    affine[:3, :3] = SHEARED
    grid = GridFacts.of(ImageGeometry((4, 5, 6), affine))
    assert grid.voxel_size_mm3 == pytest.approx(abs(np.linalg.det(SHEARED)))
    assert grid.pixel_mm2 * grid.spacing_mm[2] == pytest.approx(grid.voxel_size_mm3)
    assert grid.is_sheared
    assert grid.pattern_areas_mm2[[0, 255]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_that_the_farthest_pair_is_exact(dimensions):
    rng = np.random.default_rng(5)
    for _ in range(20):
        points = rng.normal(size=(rng.integers(2, 80), dimensions)) * rng.uniform(0.1, 5, dimensions)
        distance, pairs = farthest_pairs(points, 0.0, 1e-9, 8)
        assert distance == pytest.approx(twins.farthest(points), rel=1e-12)
        a, b = pairs[0]
        assert np.linalg.norm(points[a] - points[b]) == pytest.approx(distance, rel=1e-9)


def test_that_the_order_is_that_of_a_stable_sort():
    rng = np.random.default_rng(13)
    for n in (0, 1, 2, 3, 17, 64, 100):
        values = rng.integers(0, 20, n).astype(float)
        np.testing.assert_array_equal(rising_order(values), np.argsort(values, kind="stable"))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_that_no_far_point_drops_out(dimensions):
    rng = np.random.default_rng(6)
    for _ in range(20):
        points = rng.integers(0, 7, (int(rng.integers(2, 60)), dimensions)).astype(float)
        kept, radii = far_points(points, 0.0, 1e-9)
        distance = np.linalg.norm(points[:, None] - points, axis=2)
        assert set(np.argwhere(distance >= distance.max() * (1 - 1e-9)).ravel().tolist()) <= set(kept.tolist()) or distance.max() == 0
        np.testing.assert_allclose(radii, np.linalg.norm(points - points.mean(axis=0), axis=1)[kept])
        assert (np.diff(radii) <= 0).all()
        assert far_points(points, 100.0, 1e-9)[0].size == 0  # nothing can be as long as that


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
        length, t, s0, s1 = longest_chord(segments, 0.0)
        assert length == pytest.approx(twins.longest_chord(segments), rel=1e-9)
        assert s1 - s0 == pytest.approx(length)
        assert segments[:, [0, 2]].min() <= t <= segments[:, [0, 2]].max()


def test_that_the_chord_does_not_bridge_a_notch():
    plane = np.zeros((9, 12), np.uint8)
    plane[1:8, 1:11] = 1
    plane[3:6, 1:10] = 0  # two bars with a gap of three, joined at one end: the full height there
    assert longest_chord(slice_outline(plane), 0.0)[0] == pytest.approx(7.0)
    plane[1:8, 10] = 0  # two bars by themselves
    assert longest_chord(slice_outline(plane), 0.0)[0] == pytest.approx(2.0)


def test_that_of_equal_chords_the_one_nearest_the_middle_is_drawn():
    plane = np.zeros((8, 24), np.uint8)
    plane[1:7, 1:23] = 1  # a bar: the same height all along
    for middle in (2.2, 11.0, 20.9):
        length, t, _, _ = longest_chord(slice_outline(plane), middle)
        assert length == pytest.approx(6.0)
        assert abs(t - middle) <= 0.5


def test_that_the_table_is_the_classic_one_wherever_no_face_is_ambiguous():
    """Volume and surface of a lone 2x2x2 pattern against scikit-image's classic marching cubes."""
    starts, cross, weights, fractions = cell_table()
    identity = np.eye(3)
    compared = 0
    for pattern in range(1, 256):
        lone = np.zeros((4, 4, 4), np.uint8)
        for bit in range(8):
            lone[1 + (bit >> 2), 1 + ((bit >> 1) & 1), 1 + (bit & 1)] = (pattern >> bit) & 1
        counts = twins.pattern_counts(lone)
        if any(counts[p] and _ambiguous(p) for p in range(256)):
            continue
        vertices, faces, _, _ = marching_cubes(lone.astype(float), 0.5, method="lorensen")
        corners = vertices[faces]
        edges = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(edges, axis=1).sum() / 2
        volume = abs(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)
        assert counts @ pattern_areas(starts, cross, weights, identity) == pytest.approx(area, rel=1e-5)
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
