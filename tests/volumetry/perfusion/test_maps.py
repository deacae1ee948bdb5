"""Maps: every pixel's own curve along its path, fitted as a region's is, or a code why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.reference.perfusion_twins import binned_slowly, fit_slowly
from tests.volumetry.perfusion.test_curves import RANGE_DB, box, levels_of, moving
from volumetry.errors import NodusError
from volumetry.kernels import perfusion_fit, perfusion_maps, perfusion_quick
from volumetry.perfusion.curves import motion_arrays
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.maps import CODES, parameter_maps
from volumetry.perfusion.models import LOGNORMAL, MODELS
from volumetry.perfusion.motion import Motion

TIMES = np.cumsum(np.r_[0.0, np.tile([0.5, 0.6, 0.7], 40)])[:100]
LEFT = {"baseline": 20.0, "auc": 40000.0, "t0_s": 5.0, "mu": 2.3, "sigma": 0.5}
RIGHT = {"baseline": 20.0, "auc": 25000.0, "t0_s": 7.0, "mu": 2.7, "sigma": 0.6}


def two_halves(rng=None, looks=6.0, shape=(20, 30)):
    """Left and right half with a bolus each; the lower rows have none. ``looks``: speckle of that many looks."""
    power = np.full((TIMES.size, *shape), 20.0)
    power[:, : shape[0] - 5, : shape[1] // 2] = LOGNORMAL.value(TIMES, LEFT)[:, None, None]
    power[:, : shape[0] - 5, shape[1] // 2 :] = LOGNORMAL.value(TIMES, RIGHT)[:, None, None]
    if rng is not None:
        power = power * rng.gamma(looks, 1 / looks, power.shape)
    return ContrastLoop(levels_of(power), None, TIMES, RANGE_DB, (0.3, 0.3))


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_that_the_quick_equations_are_those_of_the_slow_ones(kind):
    rng = np.random.default_rng(1)
    work, ints = np.full((perfusion_quick.WORK_ROWS, 120), np.nan), np.zeros((1, 120), np.int64)
    for n in (97, 8):
        times, weight = np.sort(rng.uniform(0, 60, n)), rng.uniform(0.5, 2, n)
        p = np.array([3.0, 40.0, rng.uniform(10, 30), rng.uniform(2, 9), rng.uniform(0.05, 1.2)])
        if kind == 2:
            p[3] = rng.uniform(0.05, 0.6)
        power = 20 + 10 * rng.standard_normal(n)
        a, b, slow_a, slow_b = np.zeros((5, 5)), np.zeros(5), np.zeros((5, 5)), np.zeros(5)
        slow = perfusion_fit.normal_equations(kind, times, power, weight, p, slow_a, slow_b)
        perfusion_quick.quick_shape(kind, times, p, work, ints)
        quick = perfusion_quick.quick_equations(power, weight, p, work, a, b)
        assert quick == pytest.approx(slow, rel=1e-9)
        assert np.abs(a - slow_a).max() < 1e-8 * np.abs(slow_a).max()
        assert np.abs(b - slow_b).max() < 1e-8 * np.abs(slow_b).max()


def test_that_logarithm_and_exponential_are_right_over_their_range():
    x = np.exp(np.random.default_rng(2).uniform(-30, 30, 1000))
    mantissa, out = np.empty(1000), np.empty(1000)
    perfusion_quick.log_of(x, x.view(np.int64), mantissa, mantissa.view(np.int64), np.empty(1000, np.int64), out)
    assert np.abs(out - np.log(x)).max() < 1e-12
    y, power = np.linspace(-590, 30, 1000), np.empty(1000)
    perfusion_quick.exp_of(y, power, power.view(np.int64), out)
    assert np.abs(out / np.exp(y) - 1).max() < 1e-10


@pytest.mark.parametrize("field", [False, True])
def test_that_a_band_is_binned_along_the_motion_and_smoothed_within_the_mask(field):
    rng = np.random.default_rng(3)
    drawn = np.zeros((24, 30), bool)
    drawn[10, 14] = True
    loop = ContrastLoop(rng.integers(0, 256, (8, 24, 30)).astype(np.uint8), None, np.arange(8.0), RANGE_DB, None, drawn=drawn)
    motion, mask = moving(8, rng, field=field), rng.random((24, 30)) < 0.7
    frames, bins = np.array([0, 1, 2, 4, 5, 7]), np.array([0, 0, 1, 1, 1, 2])
    taps = np.array([0.2, 0.6, 0.2], np.float32)
    total = np.zeros((3, 24, 30), np.float32)
    count = np.zeros_like(total)
    perfusion_maps.bin_band(loop.levels, loop.power_table, frames, bins, *motion_arrays(loop, motion), mask, 0, 0, total, count)
    for array in (total, count):
        perfusion_maps.smooth_band(array, taps, np.empty((24, 30), np.float32))
    expected = binned_slowly(loop, motion, mask, frames, bins, taps)
    seen = count > 1e-3
    assert (seen == np.isfinite(expected)).all()
    assert total[seen] / count[seen] == pytest.approx(expected[seen], rel=1e-4)


def test_that_maps_show_each_half_its_own_curve():
    maps = parameter_maps(two_halves(), smoothing_px=0.0)
    assert (maps.code[:15] == 0).all()
    assert (maps.code[15:] == CODES.index("no_enhancement")).all()
    for truth, part in ((LEFT, np.s_[:15, :15]), (RIGHT, np.s_[:15, 15:])):
        for name, value in LOGNORMAL.derived(truth).items():
            # grey levels are steps of 0.24 dB = 2.7 % each
            tolerance = {"abs": 0.15} if name in ("ttp_s", "arrival_s") else {"rel": 0.03}
            assert maps.maps[name][part] == pytest.approx(np.full((15, 15), float(value)), **tolerance)
    assert maps.r_squared[:15].min() > 0.999
    assert np.isnan(maps.maps["ttp_s"][15:]).all()
    assert maps.share_valid_pct() == pytest.approx(75.0)


@pytest.mark.parametrize("model", list(MODELS))
def test_that_a_pixel_is_fitted_as_well_as_by_scipy(model):
    rng = np.random.default_rng(4)
    chosen = MODELS[model]
    true = chosen.shape(np.array({"lognormal": [20, 40000, 5, 2.3, 0.5], "gamma_variate": [20, 8, 5, 3.0, 4.0], "replenishment": [20, 2000, 5, 0.2]}[model]))
    power = chosen.value_of_shape(TIMES, true)[:, None, None] * rng.gamma(30, 1 / 30, (TIMES.size, 5, 6))
    loop = ContrastLoop(levels_of(power), None, TIMES, RANGE_DB, None)
    maps = parameter_maps(loop, model=model, smoothing_px=0.0)
    assert (maps.code == 0).mean() > 0.8
    seen = loop.power_table[loop.levels].astype(float)
    low, high = np.array([-1e6, 0, -50, 0.2, 0.03]), np.array([1e6, 1e8, 100, 100, 1.0])
    if model == "replenishment":
        low[3:], high[3:] = (0.01, 1.0), (5.0, 1.0)
    for y, x in ((0, 0), (2, 3), (4, 5)):
        p = true.copy()
        for _ in range(4):
            value = chosen.value_of_shape(TIMES, p)
            _, p = fit_slowly(chosen.kind, TIMES, seen[:, y, x], 1 / (value**2 + (0.02 * p[1]) ** 2), p, low, high)
        peer = chosen.derived_of_shape(p)
        for name in ("peak", "rise_time_s", "arrival_s"):
            assert maps.maps[name][y, x] == pytest.approx(float(peer[name]), rel=0.05, abs=0.1)


def test_that_maps_follow_the_motion():
    rng = np.random.default_rng(5)
    still = two_halves()
    motion = Motion.still(TIMES.size)
    matrices = motion.matrices.copy()
    matrices[:, 0, 2] = np.rint(3 * np.sin(TIMES))
    moved = np.stack([np.roll(still.levels[n], int(matrices[n, 0, 2]), axis=1) for n in range(TIMES.size)])
    loop = ContrastLoop(moved, None, TIMES, RANGE_DB, (0.3, 0.3))
    followed = Motion(matrices, None, motion.correlation, motion.accepted.copy(), motion.reasons, 0)
    mask = box((20, 30), 2, 12, 4, 26) & (rng.random((20, 30)) < 0.9)
    ours, plain = parameter_maps(loop, followed, mask, smoothing_px=1.0), parameter_maps(still, None, mask, smoothing_px=1.0)
    assert (ours.code == plain.code).all()
    assert (ours.code[~mask] == CODES.index("outside")).all()
    assert ours.maps["ttp_s"][mask] == pytest.approx(plain.maps["ttp_s"][mask], abs=1e-3)


def test_that_threads_and_bands_change_no_number():
    loop = two_halves(np.random.default_rng(6))
    one, many = parameter_maps(loop, threads=1), parameter_maps(loop, threads=3)
    assert (one.code == many.code).all()
    for name, values in one.maps.items():
        assert np.array_equal(values, many.maps[name], equal_nan=True)


def test_that_smoothing_settles_speckle_and_is_stated():
    loop = two_halves(np.random.default_rng(7), looks=1.5)
    truth = float(LOGNORMAL.derived(LEFT)["ttp_s"])
    errors = []
    for smoothing in (0.5, 2.0):
        maps = parameter_maps(loop, smoothing_px=smoothing)
        assert maps.smoothing_px == smoothing
        part = maps.maps["ttp_s"][3:12, 3:10]
        errors.append(np.nanmedian(np.abs(part - truth)))
    assert errors[1] < errors[0]
    assert errors[1] < 0.5
    assert parameter_maps(loop).smoothing_px == pytest.approx(0.5 / 0.3)
    assert parameter_maps(replace(loop, mm_per_pixel=None)).smoothing_px == 2.0


def test_that_more_frames_than_bins_are_binned_without_moving_the_peak():
    times = np.arange(0, 70, 0.1)
    power = LOGNORMAL.value(times, LEFT)[:, None, None] * np.ones((1, 4, 5))
    maps = parameter_maps(ContrastLoop(levels_of(power), None, times, RANGE_DB, None), smoothing_px=0.0)
    assert len(maps.bin_times_s) <= 96
    truth = LOGNORMAL.derived(LEFT)
    assert maps.maps["ttp_s"] == pytest.approx(np.full((4, 5), float(truth["ttp_s"])), abs=0.1)
    assert maps.maps["rise_time_s"] == pytest.approx(np.full((4, 5), float(truth["rise_time_s"])), rel=0.02)


def test_that_a_loop_that_ends_early_keeps_the_rise_and_withholds_the_areas():
    loop = two_halves()
    cut = int(np.searchsorted(TIMES, float(LOGNORMAL.derived(LEFT)["ttp_s"]) + 1.5))
    maps = parameter_maps(ContrastLoop(loop.levels[:cut].copy(), None, TIMES[:cut], RANGE_DB, None), mask=box((20, 30), 0, 15, 0, 15), smoothing_px=0.0)
    assert (maps.code[:15, :15] == CODES.index("wash_out_not_seen")).all()
    assert np.isfinite(maps.maps["ttp_s"][:15, :15]).all()
    assert "auc" not in maps.maps or np.isnan(maps.maps["auc"]).all()
    assert "few_pixels_fitted" in {f.code for f in maps.findings}


def test_that_maps_tell_how_far_they_are_and_can_be_cancelled():
    loop, told = two_halves(), []
    parameter_maps(loop, progress=lambda message, fraction: told.append(fraction))
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert told == sorted(told)

    class Stop(Exception):
        pass

    def stop(_message, fraction):
        if fraction > 0.2:
            raise Stop

    with pytest.raises(Stop):
        parameter_maps(loop, progress=stop)


def test_that_maps_of_too_few_frames_or_no_pixels_are_refused():
    loop = two_halves()
    short = ContrastLoop(loop.levels[:8].copy(), None, TIMES[:8], RANGE_DB, None)
    for given, mask, code in ((short, None, "too_few_frames"), (loop, np.zeros((20, 30), bool), "empty_region"), (loop, np.ones((2, 2), bool), "bad_shape")):
        with pytest.raises(NodusError) as refusal:
            parameter_maps(given, mask=mask)
        assert refusal.value.code == code
