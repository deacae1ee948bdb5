"""Stacks that are no plain box: sheared ones are measured by true positions, uneven ones too or refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from app.usecases.measure import measure_file
from dicom_io.volume_files import write_array
from tests.dicom_io.made import base, ct_slice, save, seg_file, uid
from tests.volumetry.ellipsoids import ellipsoid_volume, random_rotation
from tests.volumetry.test_planimetry import circle, ellipsoid_sections
from volumetry.errors import GeometryRefused, MeasurementRefused
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.measure import NodeMeasurement, measure_node
from volumetry.planimetry import planimetry

AXES_MM = (24.0, 18.0, 13.0)


# --- sheared stacks


def sheared_ellipsoid(turn: np.ndarray, shear_mm=(0.0, 0.33), spacing=(0.5, 0.5, 1.0), axes_mm=AXES_MM) -> NodeMask:
    """Ellipsoid (``turn`` to its own frame) about the origin on a stack whose slices step ``shear_mm`` along x, y."""
    affine = np.diag([*spacing, 1.0])
    affine[:2, 2] = shear_mm
    reach = max(axes_mm) / 2 + 2
    shape = [math.ceil(2 * reach / spacing[2])]
    shape += [math.ceil((2 * reach + abs(s) * shape[0]) / p) for s, p in zip(shear_mm[::-1], spacing[1::-1], strict=True)]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    geometry = ImageGeometry(tuple(shape), affine)
    k, j, i = np.indices(geometry.shape)
    points = geometry.index_to_world(np.stack([i, j, k], axis=-1)) @ np.asarray(turn).T
    return NodeMask(((points / (np.array(axes_mm) / 2)) ** 2).sum(axis=-1) <= 1, geometry)


def ellipsoid_surface_mm2(axes_mm) -> float:
    """Surface of an ellipsoid of full axes, by midpoint sums over both angles."""
    a, b, c = (v / 2 for v in axes_mm)
    t, p = np.meshgrid((np.arange(300) + 0.5) * math.pi / 300, (np.arange(600) + 0.5) * math.pi / 300)
    part = np.sqrt((b * c * np.sin(t) * np.cos(p)) ** 2 + (a * c * np.sin(t) * np.sin(p)) ** 2 + (a * b * np.cos(t)) ** 2)
    return float((part * np.sin(t)).sum() * (math.pi / 300) ** 2)


def assert_an_ellipsoid(m: NodeMeasurement, axes_mm=AXES_MM, voxel_mm: float = 1.2) -> None:
    """Volumes, axes, diameters and surface of the ellipsoid, to what voxels of that size allow."""
    truth = ellipsoid_volume(axes_mm)
    assert m.voxel_volume_ml == pytest.approx(truth, rel=0.006)
    assert m.mesh_volume_mm3 / 1000 == pytest.approx(truth, rel=0.015)
    for ours, axis in zip((m.major_axis_mm, m.minor_axis_mm, m.least_axis_mm), axes_mm, strict=True):
        assert ours == pytest.approx(axis * 2 / math.sqrt(5), rel=0.012)
    for ours, axis in zip(m.ellipsoid_axes_mm, axes_mm, strict=True):
        assert -0.4 * voxel_mm < ours - axis < voxel_mm
    assert m.max_3d_diameter_mm == m.ellipsoid_axes_mm[0]
    assert 1.0 < m.convex_hull_volume_mm3 / 1000 / truth < 1.10  # steps of voxels stand out on every side
    assert m.centroid_mm == pytest.approx((0, 0, 0), abs=0.05)
    assert m.volume_interval_ml[0] < truth < m.volume_interval_ml[1]
    assert sum(m.slice_areas_mm2) > 0


@pytest.mark.parametrize("shear_mm", [(0.0, 0.0), (0.0, 0.33), (-0.4, 0.25), (0.0, -0.9)])
@pytest.mark.parametrize("seed", [0, 1])
def test_that_an_ellipsoid_on_a_sheared_stack_keeps_all_its_numbers(shear_mm, seed):
    turn = random_rotation(np.random.default_rng(seed))
    m = measure_node(sheared_ellipsoid(turn, shear_mm))
    assert_an_ellipsoid(m)
    assert ("sheared" in {w.code for w in m.warnings}) is (shear_mm != (0.0, 0.0))
    straight = measure_node(sheared_ellipsoid(turn, (0.0, 0.0)))
    assert m.convex_hull_volume_mm3 == pytest.approx(straight.convex_hull_volume_mm3, rel=0.025)
    # Steps of whole voxels have more surface than the body, the more so the farther the slices are shifted:
    # 10 to 14 % here on a straight stack, up to 25 % at 25 degrees and 30 % at 42.
    smooth = ellipsoid_surface_mm2(AXES_MM)
    assert 1.05 < m.surface_area_mm2 / smooth < 1.30
    assert m.sphericity == pytest.approx((36 * math.pi * m.mesh_volume_mm3**2) ** (1 / 3) / m.surface_area_mm2)
    assert m.long_axis_mm == pytest.approx(straight.long_axis_mm, abs=0.6)  # the planes are the same planes
    assert m.short_axis_mm == pytest.approx(straight.short_axis_mm, abs=0.6)
    assert m.slice_areas_mm2 == pytest.approx(straight.slice_areas_mm2, abs=4.0)
    # in and out of the plane, the interval counts the distance between planes, not the longer way along the stack
    assert m.volume_interval_ml == pytest.approx(straight.volume_interval_ml, rel=0.02)


def test_that_drawn_points_of_a_sheared_stack_lie_where_the_node_is():
    mask = sheared_ellipsoid(np.eye(3), (0.0, 0.6))
    m = measure_node(mask)
    for a, b in (m.long_axis_points_mm, m.max_3d_diameter_points_mm):
        for point in (a, b):
            assert sum((c / (axis / 2)) ** 2 for c, axis in zip(point, AXES_MM, strict=True)) == pytest.approx(1.0, abs=0.2)
    assert np.array(m.long_axis_points_mm)[:, 2] == pytest.approx([m.centroid_mm[2]] * 2, abs=0.6)


def test_that_a_sheared_nifti_is_measured_by_its_true_positions(tmp_path):
    mask = sheared_ellipsoid(random_rotation(np.random.default_rng(3)), (0.2, 0.5))
    path = write_array(mask.array.astype(np.uint8), mask.geometry, tmp_path / "tilted.nii.gz")
    (node,) = measure_file(path, None, None)
    ours = measure_node(mask)
    assert node["voxel_volume_ml"] == pytest.approx(ellipsoid_volume(AXES_MM), rel=0.006)
    assert node["voxel_volume_ml"] == pytest.approx(ours.voxel_volume_ml, rel=1e-5)
    assert node["ellipsoid_axes_mm"] == pytest.approx(ours.ellipsoid_axes_mm, rel=1e-4)
    assert "sheared" in [w["code"] for w in node["warnings"]]
    # as a plain box of the stated spacings it would be too large
    boxed = node["voxel_count"] * math.prod(mask.geometry.spacing_mm) / 1000
    assert boxed > 1.05 * node["voxel_volume_ml"]


# --- uneven stacks: outlines of a structure set


def structure_set(contours) -> Dataset:
    """RTSTRUCT with one ROI drawn by hand on series 1."""
    ds = base("1.2.840.10008.5.1.4.1.1.481.3", uid(80, 1), uid(80), "RTSTRUCT")
    series, study, frame, roi, drawn = (Dataset() for _ in range(5))
    series.SeriesInstanceUID = uid(1)
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = uid(9, 9)
    frame.RTReferencedStudySequence = Sequence([study])
    roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = 1, "node", "MANUAL"
    items = []
    for contour in contours:
        item = Dataset()
        item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(contour)
        item.ContourData = [f"{v:.4f}" for v in np.ravel(contour)]
        items.append(item)
    drawn.ReferencedROINumber, drawn.ContourSequence = 1, Sequence(items)
    ds.ReferencedFrameOfReferenceSequence = Sequence([frame])
    ds.StructureSetROISequence, ds.ROIContourSequence = Sequence([roi]), Sequence([drawn])
    return ds


def measured(tmp_path, heights, contours) -> dict:
    """The node of a structure set drawn on a series with slices at ``heights``."""
    for n, z in enumerate(heights, 1):
        save(ct_slice((-16.0, -16.0, float(z)), n, pixel_spacing=(0.5, 0.5), array=np.zeros((64, 64), np.uint16)), tmp_path / "ct" / f"{n}.dcm")
    (node,) = measure_file(save(structure_set(contours), tmp_path / "rs.dcm"), tmp_path / "ct", None)
    return node


UNEVEN = {
    "threes then ones": [-16, -13, -10, -7, -4, -1, 0, *range(1, 15)],
    "twos and threes": np.cumsum([0] + [2, 3] * 7) - 17.0,
    "ones and threes": np.cumsum([0] + [1, 3] * 9) - 18.0,
    "as they fell": [-16, -14.3, -12.1, -10.8, -8.2, -6.1, -4.9, -2.7, -0.4, 1.3, 3.5, 5.1, 7.9, 9.6, 11.8, 14.1, 15.9],
    "one slice lost": [z for z in range(-16, 17, 2) if z != 2],
    "two slices lost": [z for z in range(-16, 17, 2) if z not in (0, 2)],
}


@pytest.mark.parametrize("name", UNEVEN)
def test_that_outlines_on_uneven_slices_count_by_true_positions(tmp_path, name):
    """An ellipsoid of 20 x 16 x 24 mm (4.02 ml). Counted slice by slice as if evenly spaced, these stacks
    would be 13 to 50 % too small."""
    axes = (20.0, 16.0, 24.0)
    node = measured(tmp_path, UNEVEN[name], ellipsoid_sections(axes, np.eye(3), UNEVEN[name], n=120))
    codes = {w["code"] for w in node["warnings"]}
    assert codes <= {"uneven_spacing", "missing_slice"}  # told, and not torn into pieces
    assert len(codes) == 1
    assert node["coverage_volume_ml"] == pytest.approx(ellipsoid_volume(axes), rel=0.025)
    assert node["voxel_volume_ml"] == pytest.approx(ellipsoid_volume(axes), rel=0.025)
    low, high = node["volume_interval_ml"]
    assert low < ellipsoid_volume(axes) < high
    assert node["uncertainty"]["outlined"] == "manual"
    assert node["uncertainty"]["slices"] == sum(abs(z) < 12 for z in UNEVEN[name])  # as drawn, not as filled in


def test_that_a_slice_nobody_drew_on_is_not_bridged(tmp_path):
    heights = UNEVEN["twos and threes"]
    sections = [circle(6.0, float(z)) for z in heights if -9 < z < 9 and z != 3.0]
    node = measured(tmp_path, heights, sections)
    assert node["coverage_volume_ml"] == pytest.approx(math.pi * 36 * 2.5 * len(sections) / 1000, rel=0.03)
    assert {"contour_gaps", "uneven_spacing", "several_pieces"} <= {w["code"] for w in node["warnings"]}


@pytest.mark.parametrize(("heights", "code"), [([*range(-16, -1), *range(3, 17)], "missing_slice"), ([-12, -11, -10.7, -2, 0, 9], "uneven_spacing")])
def test_that_gaps_too_wide_to_bridge_are_refused(tmp_path, heights, code):
    with pytest.raises(GeometryRefused) as refusal:
        measured(tmp_path, heights, [circle(6.0, float(z)) for z in heights])
    assert refusal.value.code == code


def test_that_an_even_stack_carries_no_such_doubt(tmp_path):
    axes = (20.0, 16.0, 24.0)
    heights = np.arange(-16, 17, 2.0)
    node = measured(tmp_path, heights, ellipsoid_sections(axes, np.eye(3), heights, n=120))
    assert node["warnings"] == []
    assert node["coverage_volume_ml"] == pytest.approx(ellipsoid_volume(axes), rel=0.01)
    assert json.loads(json.dumps(node)) == node


# --- uneven stacks: outlines by themselves, and segmentations


def test_that_slices_of_a_stack_reach_half_way_to_one_another():
    heights = np.array([0.0, 1.0, 3.0, 7.0, 8.0])
    points = np.column_stack([np.full(5, 4.0), np.full(5, -2.0), heights])
    all_drawn = planimetry([circle(2.0, z) for z in heights], slices_at_mm=points[::-1])
    assert [p.extent_mm for p in all_drawn.planes] == pytest.approx([1.0, 1.5, 3.0, 2.5, 1.0])
    assert all_drawn.findings == ()
    # a slice nobody drew on counts as empty, and two outlines on one slice share it
    some = planimetry([circle(2.0, z) for z in (0.0, 2.9, 3.1, 8.0)], slices_at_mm=points)
    assert [p.extent_mm for p in some.planes] == pytest.approx([1.0, 1.5, 1.5, 1.0])
    assert [f.code for f in some.findings] == ["contour_gaps"]
    assert planimetry([circle(2.0, 3.0)], slices_at_mm=points).volume_ml == pytest.approx(math.pi * 4 * 3.0 / 1000)
    for bad in (points[:1], points[[2, 2]], np.full((3, 3), np.nan)):
        with pytest.raises(MeasurementRefused) as refusal:
            planimetry([circle(2.0)], slices_at_mm=bad)
        assert refusal.value.code == "bad_spacing"


def test_that_true_positions_of_a_turned_uneven_stack_give_the_ellipsoids_volume():
    rng = np.random.default_rng(8)
    ratios = []
    for _ in range(40):
        axes = np.array([24.0, 17.0, 14.0])
        heights = np.cumsum(rng.uniform(0.8, 2.4, 40))
        heights -= heights.mean()
        to_world, away = random_rotation(rng), rng.normal(0, 100, 3)
        sections = ellipsoid_sections(axes, random_rotation(rng), heights, n=60)
        points = np.column_stack([np.zeros((40, 2)), heights])
        found = planimetry([c @ to_world.T + away for c in sections], slices_at_mm=points @ to_world.T + away)
        ratios.append(found.volume_ml / ellipsoid_volume(axes))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.004)
    assert np.std(ratios) < 0.02


def test_that_a_segmentation_with_uneven_planes_is_doubted_or_refused(tmp_path):
    plane = np.zeros((8, 8), dtype=bool)
    plane[2:6, 2:6] = True

    def file(heights, **more):
        return save(seg_file([(1, z, plane) for z in heights], segments=[1], **more), tmp_path / "seg.dcm")

    (uneven,) = measure_file(file([0.0, 1.0, 2.0, 5.0, 8.0]), None, None)
    assert "uneven_spacing" in {w["code"] for w in uneven["warnings"]}
    (stated,) = measure_file(file([0.0, 1.0, 2.0, 5.0, 8.0], spacing_between=1.0), None, None)
    assert "uneven_spacing" not in {w["code"] for w in stated["warnings"]}
    assert stated["voxel_volume_mm3"] == uneven["voxel_volume_mm3"]
    (even,) = measure_file(file([0.0, 2.0, 4.0]), None, None)
    assert "uneven_spacing" not in {w["code"] for w in even["warnings"]}
    with pytest.raises(GeometryRefused) as refusal:
        measure_file(file([0.0, 1.0, 2.0, 2.0 + math.sqrt(2)]), None, None)
    assert refusal.value.code == "uneven_spacing"
