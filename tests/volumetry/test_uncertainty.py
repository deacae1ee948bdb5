"""The printed interval: its factors worked out again, and its cover on known ellipsoids."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.volumetry.ellipsoids import axes_for_volume, ellipsoid_mask, ellipsoid_volume, random_rotation
from volumetry.caliper import Caliper
from volumetry.ellipsoid import ellipsoid_from_calipers
from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding
from volumetry.measure import measure_node
from volumetry.outline_origin import OutlineOrigin
from volumetry.planimetry import planimetry
from volumetry.uncertainty import (
    READER_SIGMA_MM,
    boundary_sigma_mm,
    ellipsoid_uncertainty,
    outlined_of,
    outlining,
    slice_factors,
    volume_interval_ml,
    volume_uncertainty,
)


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


# --- what the interval is made of


def test_that_the_causes_add_up_to_the_interval():
    found = volume_uncertainty(2.0, 800.0, (0.5, 0.5, 3.0), (30, 28, 6), "manual")
    even = math.sqrt(found.boundary_pct**2 + found.calibration_pct**2 + found.method_pct**2)
    low, high = found.interval_ml
    assert 100 * (1 - low / 2.0) == pytest.approx(math.hypot(even, 100 * 0.485 / 36))
    assert 100 * (high / 2.0 - 1) == pytest.approx(math.hypot(even, 100 * 0.84 / 36))
    assert found.slices_pct == pytest.approx(100 * 0.84 / 36)
    assert found.slices == 6
    assert found.method_pct == pytest.approx(100 * 1.96 * 0.40 * 800 / 2000, rel=1e-3)
    assert found.calibration_pct == pytest.approx(1.96 * 0.5 / math.sqrt(3), rel=1e-3)


def test_that_each_cause_grows_with_what_causes_it_and_with_nothing_else():
    base = volume_uncertainty(1.0, 500.0, (0.5, 0.5, 1.0), (24, 24, 12), "star_convex")
    hand = volume_uncertainty(1.0, 500.0, (0.5, 0.5, 1.0), (24, 24, 12), "manual")
    few = volume_uncertainty(1.0, 500.0, (0.5, 0.5, 1.0), (24, 24, 2), "star_convex")
    coarse = volume_uncertainty(1.0, 500.0, (1.0, 1.0, 1.0), (24, 24, 12), "star_convex")
    assert (hand.boundary_pct, hand.slices_pct, hand.calibration_pct) == (base.boundary_pct, base.slices_pct, base.calibration_pct)
    assert hand.method_pct > 2.5 * base.method_pct
    assert (few.boundary_pct, few.method_pct) == (base.boundary_pct, base.method_pct)
    assert few.slices_pct == pytest.approx(48.7)
    assert (coarse.slices_pct, coarse.method_pct) == (base.slices_pct, base.method_pct)
    assert coarse.boundary_pct > base.boundary_pct


def test_that_the_interval_follows_how_the_outline_came_to_be():
    rng = np.random.default_rng(1)
    mask = ellipsoid_mask((16.0, 12.0, 10.0), random_rotation(rng), (0.5, 0.5, 1.0))

    def width(**more) -> float:
        m = measure_node(replace(mask, **more))
        return m.volume_interval_ml[1] - m.volume_interval_ml[0]

    click = width(origin=OutlineOrigin("star_convex"))
    assert click == width() == width(origin=OutlineOrigin("file"))
    by_hand = [width(origin=o) for o in (OutlineOrigin("contours"), OutlineOrigin("brush"), OutlineOrigin("star_convex", edited=True), OutlineOrigin("model"))]
    carried = width(origin=OutlineOrigin("propagated", edited=True))
    assert carried == width(findings=(Finding("propagated", "Carried over."),))
    assert min(by_hand) == max(by_hand)
    assert 2 * click < by_hand[0] < carried
    m = measure_node(mask, outlined="manual")
    assert m.volume_interval_ml[1] - m.volume_interval_ml[0] == by_hand[0]
    assert m.to_dict()["uncertainty"].keys() == {"outlined", "method_source", "boundary_pct", "slices_pct", "calibration_pct", "method_pct", "slices"}
    assert (m.uncertainty.outlined, m.uncertainty.slices) == ("manual", int(mask.array.any(axis=(1, 2)).sum()))


def test_that_every_origin_an_outline_can_have_is_known():
    for method in ("star_convex", "polar", "region_growing", "threshold", "scribbles", "contours", "livewire", "brush", "by_hand", "propagated", "model", "file", "not_recorded"):
        for edited in (False, True):
            how = outlined_of(OutlineOrigin(method, edited))
            assert len(outlining(how).source) > 10
            assert outlining(how).sigma_mm >= (0.40 if edited else 0.15)
    with pytest.raises(MeasurementRefused) as refused:
        measure_node(ellipsoid_mask((9.0, 8.0, 7.0), np.eye(3), (1.0, 1.0, 1.0)), outlined="guessed")
    assert refused.value.code == "unknown_method"


def test_that_a_file_is_taken_at_its_word():
    stated = {w: outlined_of(OutlineOrigin("file", details={"generation": w})) for w in ("MANUAL", "semiautomatic", "AUTOMATIC", "MAGIC")}
    assert list(stated.values()) == ["manual", "semi_automatic", "model", "unstated"]


def test_that_slices_filled_in_between_drawn_ones_do_not_count_as_seen():
    rng = np.random.default_rng(1)
    mask = ellipsoid_mask((16.0, 12.0, 10.0), random_rotation(rng), (0.5, 0.5, 1.0))
    seen = {}
    for axis, count in ((0, 2), (1, 3), (0, 99)):
        origin = OutlineOrigin("contours", details={"axis": axis, "drawn_slices": list(range(count))})
        seen[axis, count] = measure_node(replace(mask, origin=origin))
    assert [m.uncertainty.slices for m in seen.values()] == [2, 3, int(mask.array.any(axis=(1, 2)).sum())]
    assert seen[0, 2].uncertainty.slices_pct == pytest.approx(48.7)
    assert seen[0, 2].volume_interval_ml[1] > seen[0, 99].volume_interval_ml[1] == measure_node(mask, outlined="contours").volume_interval_ml[1]


def test_that_the_hand_of_a_carried_outline_is_no_steadier_than_its_registration():
    assert READER_SIGMA_MM["propagated"] == pytest.approx(math.hypot(0.40, 1 / math.sqrt(3)))


def test_that_an_ellipsoid_names_its_causes_and_coarse_pixels_widen_it():
    plain, pixels = ellipsoid_uncertainty(2.0), ellipsoid_uncertainty(2.0, (1, 1, 2), (2.0, 4.0, 5.0))
    assert (plain.boundary_pct, plain.slices_pct, plain.slices) == (None, None, None)
    assert plain.method_pct == pytest.approx(1.96 * 22.3, rel=1e-3)
    assert plain.calibration_pct == pytest.approx(1.96 * math.sqrt(3 * (7.3 / 1.96) ** 2 + 0.6**2), rel=1e-3)
    # both ends uniform in their pixel: worked out again by drawing them
    rng = np.random.default_rng(0)
    ends = rng.uniform(-0.5, 0.5, (6, 400_000))
    shares = [2.0 * (ends[0] - ends[1]), 4.0 * (ends[2] - ends[3]), 5.0 * (ends[4] - ends[5]) / math.sqrt(2)]
    assert pixels.boundary_pct == pytest.approx(1.96 * np.std(sum(shares)), rel=0.01)
    coarse = ellipsoid_uncertainty(2.0, (1, 1, 2), (20.0, 20.0, 20.0))
    assert coarse.interval_ml[1] > pixels.interval_ml[1]
    assert ellipsoid_from_calipers(*four_calipers(10)).uncertainty.boundary_pct > ellipsoid_from_calipers(*four_calipers(100)).uncertainty.boundary_pct


def four_calipers(pixels: int) -> list[Caliper]:
    """Calipers of 20, 12, 14 and 12 mm that span 1, 0.6, 0.7, 0.6 times so many pixels."""
    shares = ((20.0, "longitudinal", "A"), (12.0, "longitudinal", "A"), (14.0, "transverse", "B"), (12.0, "transverse", "B"))
    return [Caliper(((5.0, 5.0), (5.0 + pixels * mm / 20, 5.0)), mm, plane, still) for mm, plane, still in shares]


def test_that_outlines_drawn_by_hand_and_masks_agree_about_the_hand():
    ball = planimetry([np.column_stack([r * np.cos(a), r * np.sin(a), np.full(90, z)]) for z, r, a in _ball_sections(8.0)], slice_mm=1.0)
    drawn = ball.uncertainty()
    assert drawn.boundary_pct is None  # no voxels
    assert drawn.method_pct == pytest.approx(100 * 1.96 * 0.40 * 3 / 8.0, rel=0.02)
    assert drawn.interval_ml == ball.interval_ml("manual") != ball.interval_ml("star_convex")


def _ball_sections(radius: float):
    angle = 2 * math.pi * np.arange(90) / 90
    return [(z, math.sqrt(radius**2 - z * z), angle) for z in np.arange(-radius + 0.5, radius)]
