"""Curves of field over volume and shares of margin over surface, against closed forms."""

import numpy as np
import pytest

from planning.field_volume import FIELD_STEPS_V_PER_CM, field_volume_histogram, margin_figures
from planning.kernels import sampling as ks
from planning.margin import MarginMap, signed_margin
from planning.surface import LevelSurface


def ball(radius_mm: float, centre=(0.0, 0.0, 0.0), half_mm: float = 14.0, spacing=(1.0, 1.0, 1.0)) -> LevelSurface:
    axes = [np.arange(-half_mm, half_mm + s / 2, s) for s in spacing]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    level = radius_mm - np.sqrt((x - centre[0] - 0.31) ** 2 + (y - centre[1] - 0.17) ** 2 + (z - centre[2] - 0.43) ** 2)  # off the grid's own symmetry
    return LevelSurface.of(level, (-half_mm,) * 3, spacing)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.7, 1.4)])
def test_that_the_pieces_of_a_surface_make_up_its_area_on_any_grid(spacing):
    assert ball(8.0, spacing=spacing).areas_mm2().sum() == pytest.approx(4 * np.pi * 64, rel=0.01)


def test_that_margin_shares_are_shares_of_area():
    # A ball of 5 mm in one of 10 mm that is shifted by 4 mm: the margin 10 - |p - c| is below 5 mm on the half of the
    # surface that looks away from the shift by more than |p - c| = 5, that is x <= 4 / 2.
    margin = signed_margin(ball(5.0, spacing=(0.4, 0.4, 0.4)), ball(10.0, (4.0, 0.0, 0.0)))
    found = margin_figures(margin)
    assert found["margin_surface_below_pct"]["0"] == 0.0
    assert found["margin_surface_below_pct"]["5"] == pytest.approx(100 * (5 + 2) / 10, abs=1.5)  # a cap's area goes with its height
    assert found["margin_surface_below_pct"]["10"] == pytest.approx(100.0, abs=0.5)
    # x is spread evenly over a sphere, so the median margin is that at x = 0.
    assert found["margin_percentiles_mm"]["50"] == pytest.approx(10 - np.sqrt(41), abs=0.1)


def test_that_a_crowded_part_of_the_grid_counts_by_its_area():
    points = np.zeros((3, 3))
    margin = MarginMap(points, np.array([-1.0, 4.0, 12.0]), np.array([1.0, 1.0, 2.0]))
    assert margin_figures(margin)["margin_surface_below_pct"] == {"0": 25.0, "5": 50.0, "10": 50.0}
    assert margin_figures(None)["margin_percentiles_mm"] is None


def test_that_the_curve_of_field_over_volume_falls_from_all_to_none():
    values = np.linspace(100.0, 900.0, 4001)
    bins = np.bincount((np.log(values / ks.LOWEST) * ks.BINS / np.log(ks.HIGHEST / ks.LOWEST)).astype(int), minlength=ks.BINS)
    curve = field_volume_histogram(bins)
    share = dict(zip(curve["v_per_cm"], curve["volume_pct"], strict=True))
    assert tuple(curve["v_per_cm"]) == FIELD_STEPS_V_PER_CM
    assert share[0] == 100.0
    assert share[500] == pytest.approx(50.0, abs=0.1)
    assert share[700] == pytest.approx(25.0, abs=0.1)
    assert share[1000] == 0.0
    assert field_volume_histogram(np.zeros(ks.BINS)) is None
