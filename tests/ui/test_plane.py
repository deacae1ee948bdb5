"""How a volume is cut: sides, letters and the way between pixels and millimetres."""

from __future__ import annotations

import numpy as np
import pytest

from app.ui.views.plane import PLANES, PlaneView, body_box, direction_letters, plane_axes
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume

LPS = np.eye(3)
SAGITTAL_STACK = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]], float)  # columns: i = P, j = I, k = L
FLIPPED = np.diag([-1.0, 1.0, -1.0])


def rotated(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


@pytest.mark.parametrize("direction", [LPS, SAGITTAL_STACK, FLIPPED, rotated(25)])
def test_that_the_patients_left_is_on_the_right_whatever_the_storage(direction):
    geometry = ImageGeometry.from_spacing((10, 12, 14), (0.7, 0.8, 2.0), (5.0, -3.0, 40.0), direction)
    centre = geometry.index_to_world((np.array(geometry.shape[::-1]) - 1) / 2)
    steps = {"axial": ((1, 0, 0), (0, 1, 0)), "coronal": ((1, 0, 0), (0, 0, -1)), "sagittal": ((0, 1, 0), (0, 0, -1))}
    for plane in PLANES:
        view = PlaneView(plane_axes(geometry, plane), (0, 0), 1.0, 400, 300)
        view.fit()
        x0, y0, _ = view.from_index_point(geometry.world_to_index(centre))
        to_right, to_bottom = steps[plane]
        x1, *_ = view.from_index_point(geometry.world_to_index(centre + to_right))
        _, y1, _ = view.from_index_point(geometry.world_to_index(centre + to_bottom))
        assert x1 > x0, plane
        assert y1 > y0, plane


def test_that_letters_name_the_edges():
    geometry = ImageGeometry.from_spacing((10, 12, 14), (1, 1, 2))
    assert plane_axes(geometry, "axial").letters() == ("R", "L", "A", "P")
    assert plane_axes(geometry, "coronal").letters() == ("R", "L", "S", "I")
    assert plane_axes(geometry, "sagittal").letters() == ("A", "P", "S", "I")


def test_that_an_oblique_direction_has_two_letters():
    assert direction_letters((0.9, 0.1, 0.0)) == "L"
    assert direction_letters((0.8, 0.6, 0.0)) == "LP"
    assert direction_letters((0.0, -0.6, 0.8)) == "SA"


@pytest.mark.parametrize("plane", PLANES)
def test_that_pixels_and_index_points_go_back_and_forth(plane):
    geometry = ImageGeometry.from_spacing((10, 12, 14), (0.7, 0.8, 2.0), direction=FLIPPED)
    view = PlaneView(plane_axes(geometry, plane), (3.0, 4.0), 2.5, 400, 300)
    point = view.index_point(123.0, 77.0, 4)
    x, y, number = view.from_index_point(point)
    assert (x, y, number) == (pytest.approx(123.0), pytest.approx(77.0), 4)


def test_that_a_millimetre_is_as_long_across_as_down():
    geometry = ImageGeometry.from_spacing((20, 30, 40), (0.5, 0.9, 3.0))
    view = PlaneView(plane_axes(geometry, "coronal"), (0, 0), 4.0, 400, 300)
    a, b = view.from_index_point((0, 0, 0)), view.from_index_point((2, 0, 0))
    c = view.from_index_point((0, 0, 1))
    assert b[0] - a[0] == pytest.approx(2 * 0.5 * 4.0)
    assert a[1] - c[1] == pytest.approx(3.0 * 4.0)


def test_that_zooming_keeps_the_point_under_the_mouse():
    geometry = ImageGeometry.from_spacing((20, 30, 40), (0.5, 0.9, 3.0))
    view = PlaneView(plane_axes(geometry, "sagittal"), (10.0, 5.0), 4.0, 400, 300)
    before = view.to_index(91, 200)
    view.zoom_at(1.7, 91, 200)
    assert view.to_index(91, 200) == pytest.approx(before)


@pytest.mark.parametrize("plane", PLANES)
def test_that_the_slice_on_screen_holds_the_voxels_of_its_index(plane):
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    geometry = ImageGeometry.from_spacing(array.shape, (1, 1, 1))
    axes = plane_axes(geometry, plane)
    cut = axes.slice_of(array, 2)
    assert cut.shape == (axes.rows, axes.columns)
    point = np.zeros(3, int)
    point[axes.across], point[axes.down], point[axes.through] = 3, 1, 2
    assert cut[1, 3] == array[point[2], point[1], point[0]]


def test_that_the_patient_is_found_in_a_large_field_of_view():
    array = np.full((30, 200, 200), -1000, np.int16)
    array[:, 80:140, 60:130] = 40
    array[:, 190:193, 20:180] = 100  # the table
    low, high = body_box(ImageVolume(array, ImageGeometry.from_spacing(array.shape, (1, 1, 2))))
    assert (low[:2] >= (50, 70)).all()
    assert (low[:2] <= (60, 80)).all()
    assert (high[:2] >= (129, 139)).all()
    assert (high[:2] <= (140, 150)).all()


def test_that_a_picture_without_hounsfield_units_shows_all_of_itself():
    array = np.zeros((3, 4, 5), np.float32)
    assert body_box(ImageVolume(array, ImageGeometry.from_spacing(array.shape, (1, 1, 1)), unit="a.u.")) is None


def test_that_a_volume_in_a_frame_of_its_own_has_no_left_and_no_head():
    geometry = ImageGeometry.from_spacing((4, 5, 6), (1.0, 1.0, 2.0), (-3.0, 4.0, 5.0))
    axes = plane_axes(geometry, "axial", in_patient=False)
    assert axes.letters() == ("−x", "+x", "−y", "+y")
    assert axes.title == "Plane x-y"
    assert axes.position_text((-3.0, 4.0, 5.0)) == "+z 5.0 mm"
    assert plane_axes(geometry, "axial").title == "Axial"
