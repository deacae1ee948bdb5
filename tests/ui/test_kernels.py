"""The painting kernels against their slow twins, and iso-lines against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from app.ui import kernels
from app.ui.views.colour_tables import field_table
from tests.reference import ui_kernels as twins


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize(("du", "dv"), [(0.37, 0.81), (-0.63, 0.4), (1.9, -1.3)])
def test_that_a_painted_slice_agrees_with_its_twin(rng, dtype, linear, du, dv):
    volume = rng.integers(0, 250, (6, 9, 11)).astype(dtype)
    volume.setflags(write=False)
    for plane in (volume[2], volume[:, 4], volume[:, :, 3], volume[1].T):
        u0, v0 = plane.shape[1] * (0.1 if du > 0 else 0.9) - 1.7, plane.shape[0] * (0.1 if dv > 0 else 0.9) + 0.23
        out = np.empty((14, 17), np.uint32)
        kernels.paint_grey(plane, u0, du, v0, dv, 40.0, 120.0, linear, 0xFF010203, out)
        expected = twins.paint_grey(plane, u0, du, v0, dv, 40.0, 120.0, linear, 0xFF010203, out.shape)
        grey, twin = (out & 255).astype(int), (expected & 255).astype(int)
        assert np.abs(grey - twin).max() <= 1
        assert ((out == 0xFF010203) == (expected == 0xFF010203)).all()


def test_that_a_value_that_is_no_number_is_painted_black():
    out = np.empty((1, 1), np.uint32)
    kernels.paint_grey(np.full((1, 1), np.nan, np.float32), 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, True, 0, out)
    assert out[0, 0] == 0xFF000000


def test_that_sampling_a_volume_agrees_with_its_twin(rng):
    volume = rng.normal(size=(4, 5, 6)).astype(np.float32)
    start, right, below = np.array([-0.7, 0.2, 3.1]), np.array([0.41, 0.13, -0.2]), np.array([0.1, 0.37, -0.11])
    out = np.empty((12, 15), np.float32)
    kernels.sample_volume(volume, start, right, below, out)
    np.testing.assert_allclose(out, twins.sample_volume(volume, start, right, below, out.shape), atol=1e-5)
    assert np.isnan(out).any()
    assert np.isfinite(out).any()


def test_that_the_colour_wash_agrees_with_its_twin_and_leaves_low_values_clear(rng):
    field = rng.uniform(200, 1600, (9, 13)).astype(np.float32)
    field[0, 0] = np.nan
    out = np.empty(field.shape, np.uint32)
    kernels.colour_wash(field, field_table(), 400.0, 1400.0, 0.45, out)
    assert (out == twins.colour_wash(field, field_table(), 400.0, 1400.0, 0.45)).all()
    assert (out[~(field >= 400)] == 0).all()
    assert (out[field >= 400] >> 24 == 115).all()


def test_that_hatching_agrees_with_its_twin_and_counts_what_is_uncovered(rng):
    field = rng.uniform(300, 700, (20, 24)).astype(np.float32)
    plane = (rng.uniform(size=(8, 9)) > 0.4).astype(np.uint8)
    out = np.empty(field.shape, np.uint32)
    count = kernels.hatch_uncovered(field, plane, -0.8, 0.41, 0.3, 0.37, 500.0, 8, np.uint32(0xFFFF0000), out)
    expected, expected_count = twins.hatch_uncovered(field, plane, -0.8, 0.41, 0.3, 0.37, 500.0, 8, 0xFFFF0000)
    assert count == expected_count > 0
    assert (out == expected).all()


def test_that_the_iso_line_of_a_cone_is_a_circle_of_its_radius():
    v, u = np.indices((41, 41))
    grid = np.hypot(u - 20.3, v - 19.6).astype(np.float32)
    lines = kernels.contour_segments(grid, 12.0)
    radius = np.hypot(lines[:, [0, 2]] - 20.3, lines[:, [1, 3]] - 19.6)
    assert np.abs(radius - 12).max() < 0.02
    length = np.hypot(lines[:, 2] - lines[:, 0], lines[:, 3] - lines[:, 1]).sum()
    assert length == pytest.approx(2 * np.pi * 12, rel=0.005)


def test_that_a_saddle_is_split_by_its_middle():
    # Corners high at top left and bottom right; their mean decides whether they are joined.
    for middle, joined in ((0.45, False), (0.55, True)):
        low = 2 * middle - 1
        lines = kernels.contour_segments(np.array([[1, low], [low, 1]], np.float32), 0.5)
        assert len(lines) == 2
        around_top_right = [{"top", "right"} == {_side(*line[:2]), _side(*line[2:])} for line in lines]
        assert any(around_top_right) is joined


def _side(u, v):
    return {(True, False, False, False): "top", (False, True, False, False): "right", (False, False, True, False): "bottom"}.get((v == 0, u == 1, v == 1, u == 0), "left")


def test_that_cells_without_a_value_have_no_line():
    grid = np.array([[0, 1], [0, np.nan]], np.float32)
    assert len(kernels.contour_segments(grid, 0.5)) == 0
