"""What theory says about every mask: how numbers follow the grid, the pose, the scale and the label.

Masks are random voxels, the hardest shapes there are; grids are turned, sheared and mirrored at random.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from tests.volumetry.ellipsoids import axes_for_volume, ellipsoid_mask, ellipsoid_volume, random_rotation
from tests.volumetry.test_outline_volumes import DIRECTIONS, radii
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.measure import NodeMeasurement, measure_labels, measure_node
from volumetry.registration import RigidRegistration, resample_mask
from volumetry.segmentation.icosphere import icosphere, signed_volume
from volumetry.segmentation.rasterise import coverage_of_surface
from volumetry.segmentation.star_convex import Fan

POWERS = {
    3: ("voxel_volume_mm3", "mesh_volume_mm3", "convex_hull_volume_mm3", "ellipsoid_volume_ml"),
    2: ("surface_area_mm2",),
    1: ("max_3d_diameter_mm", "major_axis_mm", "minor_axis_mm", "least_axis_mm", "long_axis_mm", "short_axis_mm"),
    0: ("voxel_count", "pieces", "sphericity", "asphericity", "compactness_1", "compactness_2", "elongation", "flatness", "convex_hull_density"),
    -1: ("surface_to_volume_per_mm",),
}
IN_PLANE = {"long_axis_mm", "short_axis_mm"}
EVERYTHING = [(name, power) for power, names in POWERS.items() for name in names]
few = settings(max_examples=30, deadline=None)


@st.composite
def random_masks(draw, shape=(4, 5, 6)) -> np.ndarray:
    """Voxels at random, at least one of them in."""
    array = draw(arrays(np.bool_, shape, elements=st.booleans()))
    if not array.any():
        array = array.copy()
        array[1, 2, 3] = True
    return array


@st.composite
def random_affines(draw) -> np.ndarray:
    """A grid turned, sheared and mirrored at random, voxels of 0.4 to 3 mm, somewhere in the patient."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shear = np.eye(3)
    shear[:2, 2] = rng.uniform(-0.4, 0.4, 2)
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(rng) @ shear @ np.diag(rng.uniform(0.4, 3.0, 3) * rng.choice([-1, 1], 3))
    affine[:3, 3] = rng.normal(0, 100, 3)
    return affine


def measured(array: np.ndarray, affine: np.ndarray) -> NodeMeasurement:
    return measure_node(NodeMask(array, ImageGeometry(array.shape, affine)))


def assert_alike(a: NodeMeasurement, b: NodeMeasurement, scale: float = 1.0, *, leave_out=frozenset()) -> None:
    """Every number of ``a`` is that of ``b`` times ``scale`` to its power."""
    for name, power in EVERYTHING:
        if name in leave_out:
            continue
        ours, theirs = getattr(a, name), getattr(b, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            assert ours == pytest.approx(theirs * scale**power, rel=1e-7, abs=1e-6), name


@few
@given(random_masks(), random_affines(), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_that_the_order_of_the_voxels_in_memory_changes_nothing(array, affine, order, flips):
    """Axes swapped and counted backwards, with the affine that keeps every voxel where it lies."""
    turned = np.flip(array.transpose(order), [n for n in range(3) if flips[n]])
    back = np.zeros((4, 4))
    back[3, 3] = 1
    for new, old in enumerate(order):  # array axis ``new`` of the turned picture is axis ``old`` of the first
        back[2 - old, 2 - new] = -1 if flips[new] else 1
        back[2 - old, 3] = turned.shape[new] - 1 if flips[new] else 0
    a, b = measured(np.ascontiguousarray(turned), affine @ back), measured(array, affine)
    assert_alike(a, b, leave_out=IN_PLANE if order[0] != 0 else frozenset())
    assert a.centroid_mm == pytest.approx(b.centroid_mm, abs=1e-9)


@few
@given(random_masks(), random_affines(), st.integers(0, 2**32 - 1))
def test_that_where_the_patient_lies_and_how_turned_changes_nothing(array, affine, seed):
    rng = np.random.default_rng(seed)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = random_rotation(rng), rng.normal(0, 300, 3)
    a, b = measured(array, motion @ affine), measured(array, affine)
    assert_alike(a, b)
    assert a.centroid_mm == pytest.approx(motion[:3, :3] @ b.centroid_mm + motion[:3, 3], abs=1e-6)
    assert a.volume_interval_ml == pytest.approx(b.volume_interval_ml, rel=1e-7)


@few
@given(random_masks(), random_affines(), st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 3))
def test_that_empty_room_around_the_node_changes_nothing(array, affine, pads):
    wide = affine.copy()
    wide[:3, 3] -= affine[:3, :3] @ [p[0] for p in pads[::-1]]
    a, b = measured(np.pad(array, pads), wide), measured(array, affine)
    assert_alike(a, b)
    assert a.axial_slice_index == b.axial_slice_index + pads[0][0]
    for name in ("centroid_mm", "volume_interval_ml", "ellipsoid_axes_mm", "slice_areas_mm2"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-7, abs=1e-7), name
    assert np.array(a.long_axis_points_mm) == pytest.approx(np.array(b.long_axis_points_mm), abs=1e-7)


@few
@given(random_masks(), random_affines(), st.floats(0.1, 10))
def test_that_a_scale_goes_in_with_its_power(array, affine, scale):
    larger = affine.copy()
    larger[:3, :3] *= scale
    assert_alike(measured(array, larger), measured(array, affine), scale)


@few
@given(random_masks(), random_affines(), st.tuples(*[st.floats(0.3, 3)] * 3))
def test_that_stretching_the_grid_stretches_every_volume_alike(array, affine, stretch):
    """Voxels, mesh and hull follow a linear map by its determinant, whatever the shape."""
    matrix = affine.copy()
    matrix[:3, :3] = np.diag(stretch) @ affine[:3, :3]
    a, b = measured(array, matrix), measured(array, affine)
    for name in ("voxel_volume_mm3", "mesh_volume_mm3", "convex_hull_volume_mm3"):
        assert getattr(a, name) == pytest.approx(getattr(b, name) * math.prod(stretch), rel=1e-7), name
    assert a.voxel_count == b.voxel_count


@few
@given(arrays(np.uint8, (5, 6, 7), elements=st.integers(0, 3)), random_affines())
def test_that_labels_measured_together_are_labels_measured_one_by_one(labels, affine):
    geometry = ImageGeometry(labels.shape, affine)
    together = measure_labels(labels, geometry)
    assert [m.label for m in together] == [int(n) for n in np.unique(labels[labels > 0])]
    for m in together:
        assert m.to_dict() == measure_node(NodeMask(labels == m.label, geometry, label=m.label)).to_dict()


@few
@given(random_masks((5, 5, 6)), random_affines())
def test_that_every_number_agrees_with_its_definition(array, affine):
    """Worked out again in plain NumPy and SciPy, without any of the program's kernels."""
    m = measured(array, affine)
    index = np.argwhere(array)[:, ::-1]
    points = index @ affine[:3, :3].T + affine[:3, 3]
    voxel_mm3 = abs(np.linalg.det(affine[:3, :3]))
    assert m.voxel_count == len(points)
    assert m.voxel_volume_mm3 == pytest.approx(len(points) * voxel_mm3)
    assert m.centroid_mm == pytest.approx(points.mean(axis=0), abs=1e-7)
    assert m.slice_areas_mm2 == pytest.approx([n * np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1])) for n in np.trim_zeros(array.sum(axis=(1, 2)))])
    if len(points) > 1:
        spread = np.sort(np.linalg.eigvalsh(np.cov(points.T, ddof=1)))[::-1]
        for ours, value in zip((m.major_axis_mm, m.minor_axis_mm, m.least_axis_mm), spread, strict=True):
            assert ours == pytest.approx(4 * math.sqrt(max(value, 0.0)), rel=1e-6, abs=1e-5)
    # vertices of the mesh at one half: the midpoints between a voxel inside and a neighbour outside
    padded = np.pad(array, 1)
    middles = []
    for axis, step in itertools.product(range(3), (-1, 1)):
        beside = np.roll(padded, -step, axis)[1:-1, 1:-1, 1:-1]
        moved = index[~beside[array]].astype(float)
        moved[:, 2 - axis] += step / 2
        middles.append(moved)
    vertices = np.unique(np.concatenate(middles), axis=0) @ affine[:3, :3].T
    assert m.max_3d_diameter_mm == pytest.approx(pdist(vertices).max())
    assert m.convex_hull_volume_mm3 == pytest.approx(ConvexHull(vertices).volume)
    long_axis = 0.0
    for k in np.unique(index[:, 2]):
        edge = [p for p in np.unique(np.concatenate([v for n, v in enumerate(middles) if n > 1]), axis=0) if p[2] == k]
        long_axis = max(long_axis, pdist(np.array(edge) @ affine[:3, :3].T).max())
    assert m.long_axis_mm == pytest.approx(long_axis)


# --- resampling: the same body on another grid


def motion_about(centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """4x4 of a random turn about ``centre`` and a shift of up to 20 mm."""
    turn = random_rotation(rng)
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = centre - turn @ centre + rng.uniform(-20, 20, 3)
    return matrix


def grid_around(points_mm: np.ndarray, spacing_mm, rng: np.random.Generator) -> ImageGeometry:
    """A grid of that spacing that holds the points with room, at no particular phase."""
    low, high = points_mm.min(axis=0) - 4, points_mm.max(axis=0) + 4
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 2
    return ImageGeometry.from_spacing(tuple(shape[::-1]), spacing_mm, low - rng.uniform(0, 1, 3) * spacing_mm)


def test_that_a_turned_and_resampled_mask_keeps_its_volume():
    """A rotation by resampling costs a node of 0.5 to 8 ml on 0.7 x 0.7 x 1 mm less than 2 % of its volume,
    and 0.4 % on average."""
    rng = np.random.default_rng(14)
    ratios = []
    for _ in range(40):
        axes = axes_for_volume(math.exp(rng.uniform(math.log(0.5), math.log(8))), rng)
        mask = ellipsoid_mask(axes, random_rotation(rng), (0.7, 0.7, 1.0), rng.uniform(-0.5, 0.5, 3))
        first = measure_node(mask)
        matrix = motion_about(np.array(first.centroid_mm), rng)  # from the new picture to the old
        corners = np.array(list(itertools.product(*[(0, n - 1) for n in mask.array.shape[::-1]])), dtype=float)
        there = mask.geometry.index_to_world(corners) @ np.linalg.inv(matrix)[:3, :3].T + np.linalg.inv(matrix)[:3, 3]
        carried = resample_mask(mask, RigidRegistration(matrix, "landmarks", None), grid_around(there, np.array([0.7, 0.7, 1.0]), rng))
        second = measure_node(carried)
        ratios.append(second.voxel_volume_ml / first.voxel_volume_ml)
        back = matrix[:3, :3] @ second.centroid_mm + matrix[:3, 3]
        assert np.linalg.norm(back - first.centroid_mm) < 0.15
        assert second.major_axis_mm == pytest.approx(first.major_axis_mm, rel=0.02)
        low, high = second.volume_interval_ml
        assert low < ellipsoid_volume(axes) < high
    assert np.abs(np.array(ratios) - 1).max() < 0.02
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.007)


@pytest.mark.parametrize("slice_mm", [1.0, 3.0, 5.0])
def test_that_the_volume_of_an_outline_hardly_feels_the_grid_it_is_counted_on(slice_mm):
    """The same star-convex surface turned and shifted over the grid: parts of voxels give its volume far
    closer than whole voxels do."""
    rng = np.random.default_rng(int(slice_mm))
    cover, whole = [], []
    for _ in range(25):
        axes = axes_for_volume(math.exp(rng.uniform(math.log(0.5), math.log(8))), rng)
        fan = Fan(icosphere(DIRECTIONS), np.zeros(3), np.eye(3))
        surface = fan.points_mm(radii(fan.rays_mm, np.zeros(3), axes, np.eye(3)))
        truth = signed_volume(surface, fan.sphere.faces)
        matrix = motion_about(np.zeros(3), rng)
        moved = surface @ matrix[:3, :3].T + matrix[:3, 3]
        grid = grid_around(moved, np.array([0.7, 0.7, slice_mm]), rng)
        _, share = coverage_of_surface(moved, fan.sphere.faces, grid)
        cover.append(share.sum() * grid.voxel_size_mm3 / truth)
        whole.append((share >= 0.5).sum() * grid.voxel_size_mm3 / truth)
    cover, whole = np.array(cover) - 1, np.array(whole) - 1
    assert abs(cover.mean()) < 0.001
    assert np.abs(cover).max() < {1.0: 0.001, 3.0: 0.004, 5.0: 0.008}[slice_mm]
    assert np.abs(cover).max() < 0.1 * np.abs(whole).max()
