"""Outlines in parallel planes: areas and volumes of bodies that are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.volumetry.ellipsoids import axes_for_volume, ellipsoid_volume, random_rotation
from volumetry.errors import MeasurementRefused
from volumetry.geometry import ImageGeometry
from volumetry.planimetry import enclosed_area, plane_distance_mm, planimetry, planimetry_of_slices
from volumetry.uncertainty import READER_SIGMA_MM

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])


def circle(radius: float, z: float = 0.0, n: int = 240, centre=(0.0, 0.0)) -> np.ndarray:
    """Polygon (n, 3) of the circle's own area."""
    angle = 2 * math.pi * np.arange(n) / n
    r = radius * math.sqrt(2 * math.pi / n / math.sin(2 * math.pi / n))
    return np.column_stack([centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle), np.full(n, z)])


def ellipsoid_sections(axes_mm, rotation, heights, centre=(0.0, 0.0, 0.0), n: int = 360) -> list[np.ndarray]:
    """Where an ellipsoid (``rotation`` to its own frame) meets the planes z = ``heights``; each
    polygon has the section's exact area."""
    r = np.asarray(rotation) / (np.asarray(axes_mm) / 2)[:, None]
    m = r.T @ r
    a, b, c = m[:2, :2], m[:2, 2], m[2, 2]
    middle = -np.linalg.solve(a, b)
    root = np.linalg.inv(np.linalg.cholesky(a)).T
    out = []
    for z in np.asarray(heights, dtype=float):
        z = float(z) - centre[2]
        left = 1 - z * z * (c - b @ np.linalg.solve(a, b))
        if left > 0:
            flat = circle(math.sqrt(left), n=n)[:, :2] @ root.T + middle * z
            out.append(np.column_stack([flat + np.asarray(centre)[:2], np.full(n, z + centre[2])]))
    return out


def test_that_areas_of_figures_with_holes_crossings_and_shared_edges_are_exact():
    inner = SQUARE / 2 + 1
    assert enclosed_area([SQUARE]) == pytest.approx(16)
    assert enclosed_area([SQUARE[::-1]]) == pytest.approx(16)
    assert enclosed_area([SQUARE, inner]) == pytest.approx(12)  # a hole
    assert enclosed_area([SQUARE, inner[::-1]]) == pytest.approx(12)
    assert enclosed_area([SQUARE, inner, inner / 4 + 1]) == pytest.approx(12 + 0.25)  # an island in the hole
    assert enclosed_area([SQUARE, SQUARE + np.array([9, 0])]) == pytest.approx(32)  # two parts
    assert enclosed_area([SQUARE, SQUARE + np.array([2, 2])]) == pytest.approx(24)  # overlap counts out
    assert enclosed_area([SQUARE, SQUARE]) == pytest.approx(0)
    diamond = np.array([[2.0, -1.0], [5.0, 2.0], [2.0, 5.0], [-1.0, 2.0]])
    assert enclosed_area([SQUARE, diamond]) == pytest.approx(16 + 18 - 2 * 14)
    bow = np.array([[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]])  # crosses itself
    assert enclosed_area([bow]) == pytest.approx(2)
    keyhole = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [1, 1], [1, 3], [3, 3], [3, 1], [1, 1]], dtype=float)
    assert enclosed_area([keyhole]) == pytest.approx(12)  # a hole reached by an edge there and back
    assert enclosed_area([]) == 0


def test_that_the_signed_rule_takes_direction_for_holes():
    inner = SQUARE / 2 + 1
    assert enclosed_area([SQUARE, inner[::-1]], "signed") == pytest.approx(12)
    assert enclosed_area([SQUARE, inner], "signed") == pytest.approx(20)


def test_that_an_area_does_not_depend_on_where_or_how_it_is_turned():
    rng = np.random.default_rng(3)
    for _ in range(20):
        shape = circle(rng.uniform(1, 9), n=int(rng.integers(3, 40)))[:, :2] * rng.uniform(0.3, 1, 2)
        x, y = shape.T
        shoelace = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
        angle = rng.uniform(0, 7)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        assert enclosed_area([shape @ turn.T + rng.normal(0, 500, 2)]) == pytest.approx(shoelace, rel=1e-9)


def test_that_a_cylinder_a_tube_and_two_cylinders_have_their_volumes():
    heights = np.arange(5) * 2.0
    tube = [c for z in heights for c in (circle(6, z), circle(2, z))]
    assert planimetry([circle(6, z) for z in heights]).volume_ml == pytest.approx(math.pi * 36 * 10 / 1000)
    assert planimetry(tube).volume_ml == pytest.approx(math.pi * 32 * 10 / 1000)
    pair = [c for z in heights for c in (circle(3, z), circle(2, z, centre=(9, 1)))]
    assert planimetry(pair[::-1]).volume_ml == pytest.approx(math.pi * 13 * 10 / 1000)


def test_that_uneven_planes_count_by_their_true_positions():
    found = planimetry([circle(1, z) for z in (7.0, 0.0, 1.0, 3.0)])
    assert [p.position_mm for p in found.planes] == pytest.approx([0, 1, 3, 7])
    assert [p.extent_mm for p in found.planes] == pytest.approx([1, 1.5, 3, 4])  # ends reach out as far as in
    assert found.volume_ml == pytest.approx(math.pi * 9.5 / 1000)
    assert [f.code for f in found.findings] == ["contour_gaps"]
    # a cone through unevenly drawn planes, finely enough drawn
    heights = (np.arange(120) + np.random.default_rng(2).uniform(0, 0.8, 120)) / 4
    cone = planimetry([circle(z / 3, z, n=60) for z in heights])
    assert cone.volume_ml == pytest.approx(math.pi * 100 * 30 / 3 / 1000, rel=0.01)


def test_that_with_a_slice_distance_nothing_is_invented_between_drawn_slices():
    planes = [circle(1, z) for z in (0.0, 2.0, 8.0)]
    found = planimetry(planes, slice_mm=2.0)
    assert [p.extent_mm for p in found.planes] == pytest.approx([2, 2, 2])
    assert [f.code for f in found.findings] == ["contour_gaps"]
    assert planimetry(planes[:1], slice_mm=2.0).volume_ml == pytest.approx(2 * math.pi / 1000)
    dense = planimetry([circle(1, z) for z in np.arange(6) * 1.0], slice_mm=2.0)  # drawn between slices too
    assert dense.volume_ml == pytest.approx(6 * math.pi / 1000)


def test_that_a_body_turned_in_space_keeps_its_volume():
    rng = np.random.default_rng(9)
    body = [circle(3 + math.sin(z), z, n=90) for z in np.arange(8) * 1.5]
    plain = planimetry(body)
    for _ in range(10):
        turn, shift = random_rotation(rng), rng.normal(0, 200, 3)
        assert planimetry([c @ turn.T + shift for c in body]).volume_ml == pytest.approx(plain.volume_ml, rel=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_that_outlines_on_slices_of_any_direction_follow_the_grid(axis):
    affine = np.eye(4)
    affine[:3, :3] = random_rotation(np.random.default_rng(5)) @ np.diag([0.7, 0.9, 2.5])
    grid = ImageGeometry((20, 30, 40), affine)
    area = {0: 0.7 * 0.9, 1: 0.7 * 2.5, 2: 0.9 * 2.5}[axis] * 16
    step = {0: 2.5, 1: 0.9, 2: 0.7}[axis]
    found = planimetry_of_slices({4: [SQUARE + 3], 5: [SQUARE + 3], 8: [SQUARE + 3]}, grid, axis=axis, only_drawn=True)
    assert found.volume_ml == pytest.approx(3 * area * step / 1000)
    assert planimetry_of_slices({4: [SQUARE], 8: [SQUARE]}, grid, axis=axis).volume_ml == pytest.approx(8 * area * step / 1000)


def test_that_a_sheared_stack_counts_the_distance_between_its_planes():
    affine = np.diag([0.8, 0.8, 3.0, 1.0])
    affine[1, 2] = 1.2
    grid = ImageGeometry((10, 20, 20), affine)
    assert plane_distance_mm(grid) == pytest.approx(3.0)
    assert planimetry_of_slices({n: [SQUARE] for n in range(4)}, grid).volume_ml == pytest.approx(16 * 4 * grid.voxel_size_mm3 / 1000)


@pytest.mark.parametrize(
    ("contours", "options", "code"),
    [
        ([], {}, "bad_contour"),
        ([[[0, 0, 0], [1, 1, 1]]], {}, "bad_contour"),
        ([[[0, 0, 0], [1, 1, math.nan], [2, 0, 0]]], {}, "bad_contour"),
        ([[[0, 0, 0], [1, 0, 0], [2, 0, 0]]], {"slice_mm": 1.0}, "bad_contour"),
        ([circle(3)], {}, "too_few_contours"),
        ([circle(3), circle(2)], {}, "too_few_contours"),
        ([circle(3)], {"slice_mm": 0.0}, "bad_spacing"),
        ([circle(3), circle(3, 2)[:, [0, 2, 1]]], {}, "contours_not_parallel"),
        ([circle(3), circle(3, 2) + circle(3)[:, [2, 2, 0]] * 0.05], {}, "contours_not_parallel"),
        ([circle(3), circle(3, 2) + np.where(np.arange(240) % 2, 1.0, 0.0)[:, None] * [0, 0, 1.5]], {}, "contour_not_in_plane"),
    ],
)
def test_that_outlines_which_give_no_volume_are_refused(contours, options, code):
    with pytest.raises(MeasurementRefused) as refusal:
        planimetry(contours, **options)
    assert refusal.value.code == code


@pytest.mark.parametrize("slice_mm", [1.0, 3.0, 5.0])
def test_that_outlines_of_ellipsoids_give_their_volume_without_bias(slice_mm):
    """Random pose, 0.05 to 50 ml; each ellipsoid is cut at evenly spread places of the first slice."""
    rng = np.random.default_rng(int(slice_mm) + 40)
    ratios = []
    for volume in np.exp(np.linspace(math.log(0.05), math.log(50), 24)):
        axes, turn = axes_for_volume(volume, rng), random_rotation(rng)
        phases = 20
        measured = []
        for n in range(phases):
            heights = (np.arange(-40, 41) + (n + rng.random()) / phases) * slice_mm
            sections = ellipsoid_sections(axes, turn, heights[np.abs(heights) < axes.max()], n=24)
            measured.append(planimetry(sections, slice_mm=slice_mm).volume_ml if sections else 0.0)  # missed by every slice
        ratios.append(np.mean(measured) / ellipsoid_volume(axes))
    assert abs(np.mean(ratios) - 1) < 0.003


def test_that_the_surface_of_a_ball_follows_from_its_outlines():
    ball = planimetry([circle(math.sqrt(100 - z * z), z, n=120) for z in np.arange(-9.75, 10, 0.5)])
    assert ball.surface_mm2 == pytest.approx(4 * math.pi * 100, rel=0.01)
    assert ball.volume_ml == pytest.approx(4 / 3 * math.pi, rel=0.003)


def test_that_the_interval_holds_the_truth_of_ellipsoids_drawn_by_an_unsteady_hand():
    """Each outline follows an ellipsoid that is too small or too large by the reader's stated error."""
    rng = np.random.default_rng(30)
    held, half_widths = [], []
    for n in range(300):
        slice_mm = (1.0, 3.0, 5.0)[n % 3]
        axes, turn = axes_for_volume(math.exp(rng.uniform(math.log(0.05), math.log(50))), rng), random_rotation(rng)
        drawn = np.maximum(axes + 2 * READER_SIGMA_MM["manual"] * rng.normal(), 1.0)
        heights = (np.arange(-60, 61) + rng.random()) * slice_mm
        sections = ellipsoid_sections(drawn, turn, heights[np.abs(heights) < drawn.max()], n=24)
        if not sections:
            continue  # seen in no slice: there is nothing to measure
        found = planimetry(sections, slice_mm=slice_mm)
        low, high = found.interval_ml()
        held.append(low <= ellipsoid_volume(axes) <= high)
        if ellipsoid_volume(axes) >= 0.5 and slice_mm <= 3:
            half_widths.append((high - low) / 2 / found.volume_ml)
    assert np.mean(held) >= 0.95 - 1.96 * math.sqrt(0.95 * 0.05 / len(held))
    assert np.median(half_widths) < 0.35


def test_that_unevenly_drawn_planes_are_less_sure_and_a_steadier_hand_surer():
    even = planimetry([circle(5, z) for z in np.arange(10) * 2.0])
    uneven = planimetry([circle(5, z) for z in (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 15.5, 18)])
    wide, narrow, steady = uneven.interval_ml(), even.interval_ml(), even.interval_ml("semi_automatic")
    assert (wide[1] - wide[0]) / uneven.volume_ml > (narrow[1] - narrow[0]) / even.volume_ml
    assert narrow[0] < steady[0] < even.volume_ml < steady[1] < narrow[1]
