"""Outlines for drawing, and bodies from outlines drawn on a few slices."""

from __future__ import annotations

import numpy as np
import pytest

from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.segmentation.contours import outlines_in_slice, outlines_mm, surface_segments
from volumetry.segmentation.icosphere import icosphere
from volumetry.segmentation.interpolation import interpolate_slices, mask_from_contours
from volumetry.segmentation.rasterise import coverage_of_surface, mask_of_surface

GRID = ImageGeometry.from_spacing((24, 60, 60), (0.5, 0.5, 1.0), (3.0, -4.0, 5.0))


def area(line):
    x, y = line[:-1].T
    return 0.5 * abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


@pytest.mark.parametrize(("axis", "plane"), [(0, (0, 1)), (1, (0, 2)), (2, (1, 2))])
def test_that_an_outline_runs_half_way_round_its_pixels(axis, plane):
    array = np.zeros((6, 8, 10), dtype=bool)
    array[2:5, 3:6, 4:8] = True
    number = [3, 4, 5][axis]
    (line,) = outlines_in_slice(array, axis, number)
    assert (line[0] == line[-1]).all()
    assert (line[:, 2 - axis] == number).all()
    index_of = {0: array.shape[2], 1: array.shape[1], 2: array.shape[0]}
    inside = np.argwhere(array)[:, ::-1]
    for p in plane:
        assert line[:, p].min() == inside[:, p].min() - 0.5
        assert line[:, p].max() == inside[:, p].max() + 0.5
        assert line[:, p].max() < index_of[p]


def test_that_holes_and_border_pixels_are_outlined_and_empty_slices_are_not():
    array = np.zeros((3, 9, 9), dtype=bool)
    array[1] = True
    array[1, 4, 4] = False
    assert len(outlines_in_slice(array, 0, 1)) == 2
    assert outlines_in_slice(array, 0, 0) == []
    assert outlines_in_slice(array, 0, 99) == []


def test_that_outlines_in_millimetres_follow_the_grid():
    array = np.zeros(GRID.shape, dtype=bool)
    array[10, 20:30, 20:40] = True
    (line,) = outlines_mm(array, GRID, 0, 10)
    assert np.ptp(line[:, 0]) == pytest.approx(20 * 0.5)
    assert np.ptp(line[:, 1]) == pytest.approx(10 * 0.5)
    assert line[:, 2] == pytest.approx(5.0 + 10.0)


def test_that_a_surface_meets_a_plane_in_a_closed_circle():
    sphere = icosphere(8)
    centre = np.array([1.0, 2.0, 3.0])
    segments = surface_segments(centre + 5 * sphere.directions, sphere.faces, centre + np.array([0, 0, 3.0]), (0, 0, 2.0))
    assert segments[..., 2] == pytest.approx(6.0)
    radius = np.linalg.norm(segments[..., :2] - centre[:2], axis=-1)
    assert radius == pytest.approx(4.0, abs=0.05)
    assert np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1).sum() == pytest.approx(2 * np.pi * 4, rel=0.01)
    ends = np.round(segments.reshape(-1, 3), 9)
    _, counts = np.unique(ends, axis=0, return_counts=True)
    assert (counts == 2).all()
    assert len(surface_segments(centre + sphere.directions, sphere.faces, (0, 0, 50), (0, 0, 1))) == 0


@pytest.mark.parametrize("flip", [False, True])
def test_that_a_raster_holds_the_volume_of_its_surface(flip):
    affine = GRID.affine.copy()
    if flip:
        affine[:3, 2] *= -1
    grid = ImageGeometry(GRID.shape, affine)
    sphere = icosphere(8)
    centre = grid.index_to_world([30, 30, 12])
    vertices = centre + sphere.directions * [7, 6, 8]
    box, coverage = coverage_of_surface(vertices, sphere.faces, grid)
    true_mm3 = 4 / 3 * np.pi * 7 * 6 * 8 * sphere.polyhedron_ratio
    assert coverage.sum() * grid.voxel_size_mm3 == pytest.approx(true_mm3, rel=2e-3)
    mask = mask_of_surface(vertices, sphere.faces, grid)
    assert (mask[box] == (coverage >= 0.5)).all()
    assert mask.sum() == mask[box].sum()


def test_that_a_surface_beyond_the_grid_is_cut_at_the_grid():
    sphere = icosphere(4)
    vertices = GRID.index_to_world([0, 30, 12]) + 5 * sphere.directions
    mask = mask_of_surface(vertices, sphere.faces, GRID)
    half_mm3 = 4 / 3 * np.pi * 125 / 2
    assert mask.sum() * GRID.voxel_size_mm3 == pytest.approx(half_mm3, rel=0.1)


def circle(x, y, r, n=72):
    a = 2 * np.pi * np.arange(n) / n
    return np.column_stack([x + r * np.cos(a), y + r * np.sin(a)])


def test_that_a_cone_drawn_at_its_ends_is_filled_between():
    mask = mask_from_contours({2: [circle(30, 30, 16)], 12: [circle(30, 30, 6)]}, GRID)
    areas = mask.sum(axis=(1, 2))
    assert (areas[:2] == 0).all()
    assert (areas[13:] == 0).all()
    radii = np.sqrt(areas[2:13] / np.pi)
    assert radii == pytest.approx(np.linspace(16, 6, 11), abs=0.5)


def test_that_a_slanted_node_does_not_vanish_between_its_outlines():
    mask = mask_from_contours({4: [circle(15, 20, 5)], 14: [circle(45, 40, 5)]}, GRID)
    for k in range(4, 15):
        rows, columns = np.nonzero(mask[k])
        assert len(rows) == pytest.approx(np.pi * 25, rel=0.12)
        f = (k - 4) / 10
        assert columns.mean() == pytest.approx(15 + 30 * f, abs=0.6)
        assert rows.mean() == pytest.approx(20 + 20 * f, abs=0.6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_that_drawn_slices_stay_as_drawn(axis):
    array = np.zeros((20, 22, 24), dtype=bool)
    view = np.moveaxis(array, axis, 0)
    view[3, 5:12, 6:13] = True
    view[9, 6:10, 8:16] = True
    out = interpolate_slices(array, ImageGeometry.from_spacing(array.shape, (1, 1, 1)), axis=axis)
    filled = np.moveaxis(out, axis, 0)
    for n in (3, 9):
        assert (filled[n] == view[n]).all()
    assert filled[4:9].any(axis=(1, 2)).all()
    assert not filled[:3].any()
    assert not filled[10:].any()


def test_that_an_inner_outline_cuts_a_hole():
    mask = mask_from_contours({5: [circle(30, 30, 12), circle(30, 30, 4)]}, GRID, interpolate=False)
    assert not mask[5, 30, 30]
    assert mask[5, 30, 38]


@pytest.mark.parametrize(
    ("contours", "code"),
    [
        ({2: [circle(30, 30, 5)]}, "too_few_contours"),
        ({2: [np.zeros((2, 2))]}, "bad_contour"),
        ({2: [np.full((5, 2), np.nan)]}, "bad_contour"),
        ({99: [circle(30, 30, 5)]}, "bad_contour"),
    ],
)
def test_that_outlines_that_make_no_body_are_refused(contours, code):
    with pytest.raises(SegmentationRefused) as refusal:
        mask_from_contours(contours, GRID)
    assert refusal.value.code == code
