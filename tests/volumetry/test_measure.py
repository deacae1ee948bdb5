"""``measure_node`` on closed forms, published masks, and under what must not matter."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.volumetry.ellipsoids import axes_for_volume, ellipsoid_mask, ellipsoid_volume, random_rotation
from volumetry.errors import GeometryRefused, MeasurementRefused
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.measure import NodeMeasurement, measure_labels, measure_node, measure_nodes, warm_up

# The fields of a node in the answer of ``nodus measure``; scripts depend on every name.
FIELDS = [
    "label",
    "name",
    "voxel_count",
    "voxel_volume_mm3",
    "voxel_volume_ml",
    "coverage_volume_ml",
    "mesh_volume_mm3",
    "surface_area_mm2",
    "surface_to_volume_per_mm",
    "sphericity",
    "asphericity",
    "max_3d_diameter_mm",
    "major_axis_mm",
    "minor_axis_mm",
    "least_axis_mm",
    "elongation",
    "flatness",
    "convex_hull_volume_mm3",
    "long_axis_mm",
    "short_axis_mm",
    "axial_slice_index",
    "ellipsoid_axes_mm",
    "ellipsoid_volume_ml",
    "centroid_mm",
    "volume_interval_ml",
    "warnings",
]

SCALARS = [
    "voxel_count",
    "voxel_volume_mm3",
    "mesh_volume_mm3",
    "surface_area_mm2",
    "sphericity",
    "asphericity",
    "compactness_1",
    "compactness_2",
    "max_3d_diameter_mm",
    "major_axis_mm",
    "minor_axis_mm",
    "least_axis_mm",
    "elongation",
    "flatness",
    "convex_hull_volume_mm3",
    "ellipsoid_volume_ml",
]
IN_PLANE = ["long_axis_mm", "short_axis_mm"]


def read_mask(path, label: int | None = None) -> NodeMask:
    """A label map as a mask in LPS; every value but zero where ``label`` is None."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return NodeMask(array != 0 if label is None else array == label, ImageGeometry(array.shape, affine))


def codes(m: NodeMeasurement) -> set[str]:
    return {w.code for w in m.warnings}


def grid(shape, spacing=(1.0, 1.0, 1.0)) -> ImageGeometry:
    return ImageGeometry.from_spacing(shape, spacing)


def assert_same(a: NodeMeasurement, b: NodeMeasurement, names, rel=1e-9) -> None:
    for name in names:
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=rel, abs=1e-9), name


@pytest.fixture(scope="module")
def node() -> NodeMask:
    """A tilted ellipsoid with a notch and a second piece, on anisotropic voxels, away from the border."""
    rng = np.random.default_rng(42)
    mask = ellipsoid_mask((14.0, 10.0, 8.0), random_rotation(rng), (0.7, 0.9, 1.6), (0.2, -0.3, 0.1))
    array = mask.array.copy()
    centre = [n // 2 for n in array.shape]
    array[centre[0] :, centre[1] + 3 :, centre[2]] = False
    array = np.pad(array, 4)
    array[2, 3, 2] = True
    return NodeMask(array, grid(array.shape, (0.7, 0.9, 1.6)))


# --- the answer itself


def test_that_the_answer_holds_every_field_of_the_interface(node):
    answer = measure_node(node).to_dict()
    assert set(FIELDS) <= set(answer)
    assert json.loads(json.dumps(answer)) == answer  # plain numbers and lists only
    assert answer["voxel_volume_ml"] == pytest.approx(answer["voxel_volume_mm3"] / 1000)
    assert answer["warnings"][0].keys() == {"code", "message"}


def test_that_an_empty_mask_is_answered_with_zero_voxels_and_a_warning():
    m = measure_node(NodeMask(np.zeros((3, 4, 5), bool), grid((3, 4, 5)), label=7, name="node 7"))
    answer = m.to_dict()
    assert set(FIELDS) <= set(answer)
    assert (answer["label"], answer["name"], answer["voxel_count"], answer["voxel_volume_ml"]) == (7, "node 7", 0, 0.0)
    assert codes(m) == {"empty"}
    assert answer["long_axis_mm"] is None
    assert answer["volume_interval_ml"] is None


def test_that_one_voxel_has_a_volume_and_a_mesh_but_no_principal_axes():
    array = np.zeros((5, 5, 5), bool)
    array[2, 2, 2] = True
    m = measure_node(NodeMask(array, grid(array.shape, (1.0, 2.0, 3.0))))
    assert m.voxel_volume_mm3 == pytest.approx(6.0)
    assert m.mesh_volume_mm3 == pytest.approx(1.0)  # an octahedron: a sixth of the box
    assert m.max_3d_diameter_mm == pytest.approx(3.0)
    assert (m.long_axis_mm, m.short_axis_mm) == (pytest.approx(2.0), pytest.approx(1.0))
    assert m.major_axis_mm is None
    assert m.elongation is None
    assert "thin" in codes(m)
    assert m.volume_interval_ml[0] < 0.006 < m.volume_interval_ml[1]


def test_that_labels_come_in_ascending_order_and_overlaps_count_separately():
    array = np.zeros((6, 6, 6), bool)
    array[1:5, 1:5, 1:5] = True
    half = array.copy()
    half[3:] = False
    found = measure_nodes([NodeMask(array, grid(array.shape), label=5), NodeMask(half, grid(array.shape), label=2, name="half")])
    assert [(m.label, m.name, m.voxel_count) for m in found] == [(2, "half", 32), (5, None, 64)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int64])
def test_that_a_label_map_is_measured_like_its_labels_one_by_one(dtype):
    rng = np.random.default_rng(6)
    labels = np.zeros((14, 16, 18), dtype)
    for n, corner in ((3, (1, 1, 1)), (1, (6, 7, 8)), (200, (0, 9, 2))):
        box = tuple(slice(c, c + 6) for c in corner)
        labels[box][rng.random((6, 6, 6)) < 0.7] = n
    geometry = grid(labels.shape, (0.8, 0.8, 2.0))
    found = measure_labels(labels, geometry, {3: "third", 7: "missing"})
    assert [(m.label, m.name) for m in found] == [(1, None), (3, "third"), (7, "missing"), (200, None)]
    assert codes(found[2]) == {"empty"}
    for m in (found[0], found[1], found[3]):
        alone = measure_node(NodeMask(labels == m.label, geometry, label=m.label, name=m.name))
        assert m.to_dict() == alone.to_dict()


def test_that_labels_that_are_no_whole_numbers_are_refused():
    for bad in (np.full((2, 2, 2), 0.5), np.full((2, 2, 2), -1), np.full((2, 2, 2), 70000)):
        with pytest.raises(MeasurementRefused) as refused:
            measure_labels(bad, grid((2, 2, 2)))
        assert refused.value.code == "bad_labels"
    with pytest.raises(MeasurementRefused):
        measure_labels(np.ones((2, 2, 3), np.uint8), grid((2, 2, 2)))


def test_that_pieces_border_and_thin_nodes_are_named(node):
    assert "several_pieces" in codes(measure_node(node))
    assert "touches_border" not in codes(measure_node(node))
    array = np.zeros((9, 9, 9), bool)
    array[:2, 3:6, 3:6] = True
    found = codes(measure_node(NodeMask(array, grid(array.shape))))
    assert {"touches_border", "thin"} <= found
    assert "several_pieces" not in found


def test_that_corners_touching_are_one_piece():
    array = np.zeros((6, 6, 6), bool)
    array[2, 2, 2] = array[3, 3, 3] = True
    m = measure_node(NodeMask(array, grid(array.shape)))
    assert m.pieces == 1


def test_that_the_outline_volume_is_kept_and_leads():
    array = np.zeros((9, 9, 9), bool)
    array[2:7, 2:7, 2:7] = True
    m = measure_node(NodeMask(array, grid(array.shape), coverage_volume_ml=0.118))
    assert m.coverage_volume_ml == 0.118
    assert m.volume_ml == 0.118
    assert m.voxel_volume_ml == pytest.approx(0.125)
    # The interval stands beside the voxel volume, which is what a reading stores.
    low, high = m.volume_interval_ml
    assert low < 0.125 < high


@pytest.mark.parametrize("spacing", [(0.0, 1.0, 1.0), (-1.0, 1.0, 1.0), (math.nan, 1.0, 1.0)])
def test_that_a_bad_spacing_never_reaches_the_measurement(spacing):
    with pytest.raises(GeometryRefused) as refused:
        grid((3, 3, 3), spacing)
    assert refused.value.code == "bad_spacing"


def test_that_a_mask_that_does_not_fit_its_grid_is_refused():
    with pytest.raises(MeasurementRefused):
        NodeMask(np.ones((2, 2, 2), bool), grid((3, 3, 3)))


# --- closed forms


def test_that_a_box_has_the_numbers_of_a_box():
    array = np.zeros((9, 12, 16), bool)
    array[2:7, 2:10, 2:14] = True  # 5 x 8 x 12 voxels
    s = (0.5, 0.75, 2.0)
    m = measure_node(NodeMask(array, grid(array.shape, s)))
    assert m.voxel_volume_mm3 == pytest.approx(5 * 8 * 12 * 0.75)
    assert m.centroid_mm == pytest.approx(((2 + 5.5) * 0.5, (2 + 3.5) * 0.75, (2 + 2) * 2.0))
    # extents between voxel centres plus a half step at one end of each
    assert m.long_axis_mm == pytest.approx(max(math.hypot(12 * 0.5, 7 * 0.75), math.hypot(11 * 0.5, 8 * 0.75)))
    assert m.axial_slice_index == 4  # all slices alike: the middle one
    n = 480
    assert m.major_axis_mm == pytest.approx(4 * math.sqrt(n / (n - 1) * 4.0 * (25 - 1) / 12))
    assert m.slice_areas_mm2 == pytest.approx([96 * 0.375] * 5)


def test_that_drawn_end_points_are_as_far_apart_as_the_axes_say(node):
    m = measure_node(node)
    a, b = (np.array(p) for p in m.long_axis_points_mm)
    c, d = (np.array(p) for p in m.short_axis_points_mm)
    assert np.linalg.norm(a - b) == pytest.approx(m.long_axis_mm)
    assert np.linalg.norm(c - d) == pytest.approx(m.short_axis_mm)
    assert (b - a) @ (d - c) == pytest.approx(0.0, abs=1e-9)
    for p in (a, b, c, d):
        assert node.geometry.world_to_index(p)[2] == pytest.approx(m.axial_slice_index)
    e, f = (np.array(p) for p in m.max_3d_diameter_points_mm)
    assert np.linalg.norm(e - f) == pytest.approx(m.max_3d_diameter_mm)
    assert m.ellipsoid_axes_mm[0] == m.max_3d_diameter_mm


@pytest.mark.parametrize("seed", range(6))
def test_that_a_finely_sampled_ellipsoid_has_the_numbers_of_an_ellipsoid(seed):
    rng = np.random.default_rng(seed)
    axes = (rng.uniform(22, 28), rng.uniform(15, 19), rng.uniform(9, 13))
    m = measure_node(ellipsoid_mask(axes, random_rotation(rng), (0.4, 0.4, 0.5), rng.uniform(-0.5, 0.5, 3)))
    truth = ellipsoid_volume(axes)
    assert m.voxel_volume_ml == pytest.approx(truth, rel=4e-3)
    assert m.mesh_volume_mm3 / 1000 == pytest.approx(truth, rel=6e-3)
    for ours, axis in zip((m.major_axis_mm, m.minor_axis_mm, m.least_axis_mm), sorted(axes, reverse=True), strict=True):
        assert ours == pytest.approx(axis * 2 / math.sqrt(5), rel=0.01)
    # mesh vertices lie up to half a voxel outside: a little long, never short by more than rounding
    for ours, axis in zip(m.ellipsoid_axes_mm, axes, strict=True):
        assert -0.25 < ours - axis < 0.8
    assert m.ellipsoid_volume_ml == pytest.approx(truth, rel=0.12)
    assert m.convex_hull_density > 0.93
    assert m.sphericity == pytest.approx((36 * math.pi * (truth * 1000) ** 2) ** (1 / 3) / m.surface_area_mm2, rel=0.01)


def test_that_the_recist_pair_of_an_ellipsoid_lies_in_its_widest_slice():
    m = measure_node(ellipsoid_mask((24.0, 14.0, 10.0), np.eye(3), (0.25, 0.25, 1.0)))
    assert m.long_axis_mm == pytest.approx(24.0, abs=0.3)
    assert m.short_axis_mm == pytest.approx(14.0, abs=0.3)
    assert m.centroid_mm[2] == pytest.approx(m.axial_slice_index * 1.0)


# --- what must not matter


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_that_flips_change_nothing(node, axes):
    flipped = NodeMask(np.flip(node.array, axes).copy(), node.geometry)
    assert_same(measure_node(flipped), measure_node(node), [*SCALARS, *IN_PLANE, "ellipsoid_axes_mm", "volume_interval_ml"])


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_that_permuting_the_axes_changes_nothing_that_is_not_tied_to_a_plane(node, order):
    spacing = np.array(node.geometry.spacing_mm)[::-1][list(order)][::-1]
    turned = NodeMask(np.ascontiguousarray(node.array.transpose(order)), grid([node.array.shape[a] for a in order], spacing))
    names = [*SCALARS, "ellipsoid_axes_mm"] + (IN_PLANE if order[0] == 0 else [])
    assert_same(measure_node(turned), measure_node(node), names)


def test_that_a_shift_moves_only_the_place(node):
    array = np.pad(node.array, ((3, 0), (0, 5), (7, 2)))
    moved = measure_node(NodeMask(array, grid(array.shape, node.geometry.spacing_mm)))
    still = measure_node(node)
    assert_same(moved, still, [*SCALARS, *IN_PLANE, "ellipsoid_axes_mm", "volume_interval_ml"])
    assert moved.axial_slice_index == still.axial_slice_index + 3
    assert np.array(moved.centroid_mm) - still.centroid_mm == pytest.approx((7 * 0.7, 0.0, 3 * 1.6))


def test_that_a_turned_patient_changes_nothing(node):
    rng = np.random.default_rng(4)
    turned = ImageGeometry.from_spacing(node.array.shape, node.geometry.spacing_mm, (12.0, -40.0, 7.0), random_rotation(rng))
    a, b = measure_node(NodeMask(node.array, turned)), measure_node(node)
    assert_same(a, b, [*SCALARS, *IN_PLANE, "ellipsoid_axes_mm"])
    assert a.centroid_mm == pytest.approx(turned.index_to_world(node.geometry.world_to_index(b.centroid_mm)))


def test_that_a_left_handed_grid_changes_nothing(node):
    mirrored = ImageGeometry.from_spacing(node.array.shape, node.geometry.spacing_mm, direction=np.diag([1.0, 1.0, -1.0]))
    assert_same(measure_node(NodeMask(node.array, mirrored)), measure_node(node), [*SCALARS, *IN_PLANE])


def test_that_memory_layout_changes_nothing(node):
    fortran = NodeMask(np.asfortranarray(node.array), node.geometry)
    numbers = NodeMask(node.array.astype(np.int16) * 9, node.geometry)
    for other in (fortran, numbers):
        assert measure_node(other).to_dict() == measure_node(node).to_dict()


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, (4, 5, 6), elements=st.booleans()), st.sampled_from([(0,), (1,), (2,), (0, 2), (0, 1, 2)]))
def test_that_flips_change_nothing_on_any_small_mask(array, axes):
    if not array.any():
        array = array.copy()
        array[1, 2, 3] = True
    spacing = (0.8, 1.1, 2.3)
    a = measure_node(NodeMask(array, grid(array.shape, spacing)))
    b = measure_node(NodeMask(np.flip(array, axes).copy(), grid(array.shape, spacing)))
    assert_same(a, b, [n for n in [*SCALARS, *IN_PLANE, "ellipsoid_axes_mm"] if getattr(a, n) is not None], rel=1e-7)


# --- sheared stacks


def test_that_a_sheared_stack_is_measured_by_true_positions():
    """The same ellipsoid on a straight and on a tilted-gantry grid (each slice moved along its columns)."""
    axes, spacing = np.array([18.0, 14.0, 11.0]), np.array([0.5, 0.5, 1.0])
    shape = (21, 70, 60)
    affine = np.diag([*spacing, 1.0])
    affine[1, 2] = 0.33
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    sheared = ImageGeometry(shape, affine)
    k, j, i = np.indices(shape)
    points = sheared.index_to_world(np.stack([i, j, k], axis=-1))
    inside = ((points / (axes / 2)) ** 2).sum(axis=-1) <= 1
    m = measure_node(NodeMask(inside, sheared))
    assert "sheared" in codes(m)
    assert m.voxel_volume_ml == pytest.approx(ellipsoid_volume(axes), rel=0.01)
    assert m.mesh_volume_mm3 / 1000 == pytest.approx(ellipsoid_volume(axes), rel=0.02)
    assert m.max_3d_diameter_mm == pytest.approx(18.0, abs=0.6)
    assert m.major_axis_mm == pytest.approx(18.0 * 2 / math.sqrt(5), rel=0.01)
    assert m.least_axis_mm == pytest.approx(11.0 * 2 / math.sqrt(5), rel=0.01)
    straight = measure_node(ellipsoid_mask(axes, np.eye(3), spacing))
    assert m.surface_area_mm2 == pytest.approx(straight.surface_area_mm2, rel=0.02)


# --- published numbers


@pytest.fixture(scope="module")
def phantom(shared_data) -> NodeMeasurement:
    return measure_node(read_mask(shared_data / "reference_values/ibsi_1_digital_phantom/nifti/mask/mask.nii.gz"))


# Consensus of the Image Biomarker Standardisation Initiative for its digital phantom: value, tolerance.
IBSI_DIGITAL = {
    "voxel_volume_mm3": (592, 4),
    "mesh_volume_mm3": (556, 4),
    "surface_area_mm2": (388, 3),
    "surface_to_volume_per_mm": (0.698, 0.004),
    "compactness_1": (0.0411, 0.0003),
    "compactness_2": (0.599, 0.004),
    "sphericity": (0.843, 0.005),
    "asphericity": (0.186, 0.001),
    "max_3d_diameter_mm": (13.1, 0.1),
    "major_axis_mm": (11.4, 0.1),
    "minor_axis_mm": (9.31, 0.06),
    "least_axis_mm": (8.54, 0.05),
    "elongation": (0.816, 0.005),
    "flatness": (0.749, 0.005),
    "convex_hull_density": (0.961, 0.006),
}


@pytest.mark.parametrize("name", IBSI_DIGITAL)
def test_that_the_ibsi_digital_phantom_is_reproduced(phantom, name):
    value, tolerance = IBSI_DIGITAL[name]
    assert getattr(phantom, name) == pytest.approx(value, abs=tolerance)


def test_that_the_ibsi_phantom_has_74_voxels_and_touches_the_border(phantom):
    assert phantom.voxel_count == 74
    assert "touches_border" in codes(phantom)


@pytest.mark.parametrize("case", ["brain1", "breast1", "lung1"])
def test_that_the_pyradiomics_baselines_are_reproduced(shared_data, case):
    folder = shared_data / "reference_values/pyradiomics"
    with open(folder / "baseline_shape_columns.csv", newline="") as file:
        rows = {row[0]: row for row in csv.reader(file)}
    header = next(row for row in rows.values() if case in row)
    column = header.index(case)
    want = {name.rsplit("_", 1)[-1]: row[column] for name, row in rows.items()}
    m = measure_node(read_mask(folder / f"{case}_label.nrrd", 1))
    assert m.voxel_volume_mm3 == pytest.approx(float(want["VoxelVolume"]), rel=1e-6)
    assert m.mesh_volume_mm3 == pytest.approx(float(want["MeshVolume"]), rel=1e-3)
    assert m.surface_area_mm2 == pytest.approx(float(want["SurfaceArea"]), rel=6e-3)
    assert m.max_3d_diameter_mm == pytest.approx(float(want["Maximum3DDiameter"]), rel=1e-6)
    assert m.sphericity == pytest.approx(float(want["Sphericity"]), rel=6e-3)
    # That program divides the covariance by N, the standard and we by N - 1.
    shrink = math.sqrt((m.voxel_count - 1) / m.voxel_count)
    for ours, name in ((m.major_axis_mm, "MajorAxisLength"), (m.minor_axis_mm, "MinorAxisLength"), (m.least_axis_mm, "LeastAxisLength")):
        assert ours * shrink == pytest.approx(float(want[name]), rel=1e-6)


def test_that_the_sarcoma_mask_has_its_published_volume(shared_data):
    m = measure_node(read_mask(shared_data / "ct_rtstruct/STS_002/nifti/CT_mask.nii.gz"))
    assert m.voxel_count == 17090
    assert m.voxel_volume_ml == pytest.approx(53.2954, rel=2e-4)
    assert m.voxel_volume_ml == pytest.approx(53.27, rel=1e-3)  # planimetry of the same contours


@pytest.mark.parametrize(
    ("name", "oncologist", "radiographer"),
    [("Lacrimal-Rt", 269, 223), ("Submandibular-Lt", 3147, 3379), ("Submandibular-Rt", 4035, 4447)],
)
def test_that_two_observers_masks_have_their_counts(shared_data, name, oncologist, radiographer):
    folder = shared_data / "reference_values/headneck_two_observers/0522c0057"
    for who, count in (("oncologist", oncologist), ("radiographer", radiographer)):
        assert measure_node(read_mask(folder / f"{name}_{who}.nrrd")).voxel_count == count


def test_that_warming_up_leaves_nothing_to_compile():
    warm_up()
    from volumetry.kernels import node, scan

    kernels = (scan.scan_labels, scan.join_tables, scan.pattern_areas, node.number_node)
    before = [f.signatures for f in kernels]
    assert [len(s) for s in before] == [1] * 4
    rng = np.random.default_rng(2)
    mask = ellipsoid_mask(axes_for_volume(0.4, rng), random_rotation(rng), (0.5, 0.5, 1.0))
    measure_node(mask)
    for labels in (mask.array.astype(np.uint8), mask.array.astype(np.uint16), np.asfortranarray(mask.array.astype(np.int32)), mask.array[:, ::-1].astype(np.uint16)):
        labels.setflags(write=False)
        measure_labels(labels, mask.geometry)
    assert [f.signatures for f in kernels] == before
