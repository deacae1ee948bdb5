"""The benchmark of contrast loops compares like with like."""

from __future__ import annotations

import numpy as np

from app.usecases.bench_perfusion import NAMES, _errors, _smoothed_curves, scipy_fit, speckled_bolus
from volumetry.perfusion.maps import parameter_maps
from volumetry.perfusion.models import LOGNORMAL


def test_that_the_peer_gets_the_curves_that_we_fit_and_both_find_the_truth():
    loop, truth = speckled_bolus(120, 24, 30)
    maps = parameter_maps(loop, smoothing_px=2.0)
    pixels = np.array([[12, 10], [11, 15], [12, 20]])
    times, curves = _smoothed_curves(loop, pixels, maps)
    assert times.tolist() == maps.bin_times_s.tolist()
    start = LOGNORMAL.parameters(maps.region_fit.shape)
    theirs = {n: np.full((24, 30), np.nan) for n in NAMES}
    for (y, x), power in zip(pixels, curves, strict=True):
        found = scipy_fit(times, power, start, sigma=np.maximum(LOGNORMAL.value(times, start), 0.02 * power.max()))
        for n in NAMES:
            theirs[n][y, x] = LOGNORMAL.derived(found)[n]
            assert abs(theirs[n][y, x] / maps.maps[n][y, x] - 1) < 0.05
    assert (_errors(maps.maps, truth, pixels) < 0.15).all()
    assert (_errors(theirs, truth, pixels) < 0.15).all()


def test_that_a_fit_that_gives_up_counts_as_infinitely_wrong():
    _, truth = speckled_bolus(60, 12, 12)
    nothing = {n: np.full((12, 12), np.nan) for n in NAMES}
    assert np.isinf(_errors(nothing, truth, np.array([[3, 3], [4, 4]]))).all()
