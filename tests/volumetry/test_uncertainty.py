"""The printed interval: its factors worked out again, and its cover on known ellipsoids."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.volumetry.ellipsoids import axes_for_volume, ellipsoid_mask, ellipsoid_volume, random_rotation
from volumetry.errors import MeasurementRefused
from volumetry.measure import measure_node
from volumetry.uncertainty import READER_SIGMA_MM, boundary_sigma_mm, slice_factors, volume_interval_ml


def _ratios() -> dict[int, np.ndarray]:
    """True / measured volume of a parabola of sections by the number of slices that hit it, over
    all positions of the slices and extents of 0.15 to 14 slices, log-uniform."""
    found: dict[int, list] = {}
    phases = (np.arange(200) + 0.5) / 200
    for extent in np.exp(np.linspace(math.log(0.15), math.log(14), 1500)):
        z = phases[:, None] + np.arange(16)
        area = np.where(z < extent, 6 * z * (extent - z) / extent**3, 0.0)
        hits = (z < extent).sum(axis=1)
        for n in np.unique(hits[hits > 0]):
            found.setdefault(int(n), []).append(1 / area[hits == n].sum(axis=1))
    return {n: np.concatenate(v) for n, v in found.items()}


def test_that_the_slice_factors_are_the_percentiles_of_every_ellipsoid():
    ratios = _ratios()
    for n in range(1, 11):
        low, high = np.percentile(ratios[n], [2.5, 97.5])
        below, above = slice_factors(n)
        if n <= 3:
            assert (below, above) == (pytest.approx(low, rel=0.02), pytest.approx(high, rel=0.02))
        assert below <= low + 2e-3  # at least as wide as needed
        assert above >= high - 2e-3
        assert (above - below) <= 1.25 * (high - low)  # and not wider than it has to be


def test_that_no_slice_is_refused():
    with pytest.raises(MeasurementRefused):
        slice_factors(0)


def test_that_manual_outlines_are_less_sure_than_semi_automatic_ones():
    spacing = (0.5, 0.5, 1.0)
    assert boundary_sigma_mm(spacing, "manual") > boundary_sigma_mm(spacing) > 0.15
    # 5.9 and 15.9 % of the volume of a ball of 15 mm, as the source of the boundary term found
    for how, volume_cv in (("semi_automatic", 0.059), ("manual", 0.159)):
        assert 3 * READER_SIGMA_MM[how] / 7.5 == pytest.approx(volume_cv, abs=0.002)


def test_that_the_interval_widens_with_pixel_slice_and_surface():
    base = volume_interval_ml(1.0, 500.0, (0.5, 0.5, 1.0), (24, 24, 12))
    for wider in (
        volume_interval_ml(1.0, 700.0, (0.5, 0.5, 1.0), (24, 24, 12)),
        volume_interval_ml(1.0, 500.0, (1.0, 1.0, 1.0), (12, 12, 12)),
        volume_interval_ml(1.0, 500.0, (0.5, 0.5, 5.0), (24, 24, 3)),
    ):
        assert wider[0] < base[0] < 1.0 < base[1] < wider[1]


def test_that_the_interval_never_goes_below_zero():
    low, high = volume_interval_ml(0.02, 60.0, (1.0, 1.0, 5.0), (2, 2, 1))
    assert low == 0.0
    assert high > 0.02


def test_that_the_order_of_the_axes_does_not_matter():
    a = volume_interval_ml(1.0, 500.0, (0.5, 0.6, 3.0), (24, 20, 4))
    b = volume_interval_ml(1.0, 500.0, (3.0, 0.5, 0.6), (4, 24, 20))
    assert a == pytest.approx(b)


def _sample(count: int, seed: int, rule: str, low_ml: float = 0.05, high_ml: float = 50.0):
    """(truth ml, slice mm, measurement) of random ellipsoids on slices of 1, 3 and 5 mm."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        volume = math.exp(rng.uniform(math.log(low_ml), math.log(high_ml)))
        pixel, slice_mm = (0.5, 0.7)[n % 2], (1.0, 3.0, 5.0)[n % 3]
        axes = axes_for_volume(volume, rng)
        mask = ellipsoid_mask(axes, random_rotation(rng), (pixel, pixel, slice_mm), rng.uniform(-0.5, 0.5, 3), rule, samples=4)
        yield ellipsoid_volume(axes), slice_mm, measure_node(mask)


@pytest.mark.parametrize(("rule", "count", "high_ml"), [("centre", 500, 50.0), ("coverage", 150, 3.0)])
def test_that_the_interval_holds_the_truth_in_95_of_100_ellipsoids(rule, count, high_ml):
    held, half_widths = [], []
    for truth, slice_mm, m in _sample(count, 20, rule, high_ml=high_ml):
        low, high = m.volume_interval_ml or (0.0, 0.0)
        held.append(low <= truth <= high)
        if truth >= 0.5 and slice_mm <= 3:
            half_widths.append((high - low) / 2 / m.voxel_volume_ml)
    assert np.mean(held) >= 0.95
    assert np.median(half_widths) <= (0.15 if high_ml > 10 else 0.22)


def test_that_nodes_below_a_fifth_of_a_millilitre_are_held_too():
    held = [m.volume_interval_ml[0] <= truth <= m.volume_interval_ml[1] for truth, slice_mm, m in _sample(150, 3, "centre", 0.05, 0.2) if slice_mm <= 3]
    assert np.mean(held) >= 0.98


def test_that_a_wrongly_placed_outline_is_held_as_promised():
    """The whole outline shifted in or out by the stated boundary error: the interval still holds the truth."""
    rng = np.random.default_rng(12)
    held = []
    for _ in range(120):
        axes = axes_for_volume(math.exp(rng.uniform(math.log(0.1), math.log(5))), rng)
        spacing = (0.5, 0.5, 1.0)
        drawn = axes + 2 * rng.normal() * boundary_sigma_mm(spacing)
        m = measure_node(ellipsoid_mask(drawn, random_rotation(rng), spacing, rng.uniform(-0.5, 0.5, 3)))
        held.append(m.volume_interval_ml[0] <= ellipsoid_volume(axes) <= m.volume_interval_ml[1])
    assert np.mean(held) >= 0.93  # 95 % less the scatter of 120 cases


def test_that_voxel_counting_is_unbiased():
    errors = [m.voxel_volume_ml / truth - 1 for truth, slice_mm, m in _sample(240, 8, "centre", 0.5, 20.0) if slice_mm <= 3]
    assert abs(np.mean(errors)) < 0.004
