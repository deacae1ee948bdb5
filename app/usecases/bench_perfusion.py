"""``nodus bench perfusion``: maps and curves of contrast loops against SciPy on the same data.

SciPy gets what is good for it: curves already read along the motion and smoothed, one start that is near, no bounds; in the
first row it is called as it is by default, in the others it has the analytic gradient, too. Its time is taken on some of the pixels and scaled to all. ``same_result`` asks for the
truth: our median error of time to peak, rise time and area is not worse than SciPy's.
"""

from __future__ import annotations

import numpy as np

from app.usecases.bench_chain import bench_chain
from app.usecases.bench_motion import bench_motion
from app.usecases.bench_rows import Row, best_of, compare
from volumetry.perfusion.curves import TimeIntensityCurve
from volumetry.perfusion.fit import fit_curve
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.maps import ParameterMaps, parameter_maps
from volumetry.perfusion.models import LOGNORMAL

FRAMES, ROWS, COLUMNS = 400, 120, 160
RANGE_DB = 60.0
PEER_PIXELS = 60
NAMES = ("ttp_s", "rise_time_s", "auc")
PEERS = (  # in our time bins, with the analytic gradient, what it is called
    (False, False, "SciPy curve_fit per pixel as called by default, near start, curves given smoothed, all frames"),
    (False, True, "SciPy curve_fit per pixel, plain, analytic gradient, curves given smoothed, all frames"),
    (True, True, "SciPy curve_fit per pixel, weighted, analytic gradient, curves given smoothed and in our time bins"),
)


def speckled_bolus(frames: int = FRAMES, rows: int = ROWS, columns: int = COLUMNS, seed: int = 5) -> tuple[ContrastLoop, dict[str, np.ndarray]]:
    """A still loop of 40 s, of speckle that is new in each frame, whose bolus changes from left to right, and the truth in each pixel."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames) * (40.0 / frames)
    across = np.linspace(0.0, 1.0, columns)
    parameters = np.stack([np.full(columns, 20.0), 2e5 * (0.5 + across), 4.0 + 2.0 * across, 2.2 + 0.3 * across, np.full(columns, 0.5)], axis=1)
    levels = np.empty((frames, rows, columns), np.uint8)
    curves = np.stack([LOGNORMAL.value(times, p) for p in parameters], axis=1)
    speckle_db = 10 * np.log10(rng.exponential(size=(min(frames, 40), rows, columns))).astype(np.float32)
    for n in range(frames):  # forty pictures of speckle, shifted anew each time
        moved = np.roll(speckle_db[n % len(speckle_db)], tuple(rng.integers(0, (rows, columns))), axis=(0, 1))
        levels[n] = np.clip(np.rint(255 / RANGE_DB * (10 * np.log10(curves[n]) + moved)), 0, 255)
    truth = {k: np.broadcast_to(v, (rows, columns)) for k, v in LOGNORMAL.derived(parameters).items()}
    return ContrastLoop(levels, None, times, RANGE_DB, (0.25, 0.25)), truth


def bench_perfusion() -> list[Row]:
    """Maps against SciPy in every pixel, one region's curve against SciPy, a long loop's maps by themselves; motion against peers."""
    return [*_maps_against_scipy(), *_region_against_scipy(), *_long_loop(), *bench_motion()]


def _errors(values: dict[str, np.ndarray], truth: dict[str, np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Median absolute error of each of ``NAMES`` over ``pixels`` (n, 2), as a share of the truth; of failed fits: infinite."""
    at = tuple(pixels.T)
    return np.array([np.median(np.nan_to_num(np.abs(values[n][at] / truth[n][at] - 1), nan=np.inf)) for n in NAMES])


def scipy_fit(times: np.ndarray, power: np.ndarray, start: np.ndarray, *, gradient: bool = True, **kwargs) -> np.ndarray:
    """``curve_fit`` of the lognormal in its own parameters, with the analytic ``gradient`` or its own differences; NaN
    where it gives up."""
    from scipy.optimize import OptimizeWarning, curve_fit

    def value(t, *q):
        s = np.maximum(t - q[2], 1e-9)
        z = (np.log(s) - q[3]) / q[4]
        return q[0] + q[1] / (np.sqrt(2 * np.pi) * q[4] * s) * np.exp(-0.5 * z * z)

    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return curve_fit(value, times, power, p0=start, jac=(lambda t, *q: LOGNORMAL.gradient(t, np.array(q))) if gradient else None, **kwargs)[0]
        except RuntimeError:
            return np.full(5, np.nan)


def _maps_against_scipy() -> list[Row]:
    loop, truth = speckled_bolus()
    task = f"time to peak, rise time, area in each of {ROWS}x{COLUMNS} pixels of {FRAMES} frames, smoothed by 2 pixels"
    small = ContrastLoop(loop.levels[:, :8, :8].copy(), None, loop.times_s, RANGE_DB, loop.mm_per_pixel)
    parameter_maps(small, smoothing_px=2.0)  # kernels compiled
    ours_s, maps = best_of(lambda: parameter_maps(loop, smoothing_px=2.0), 3)
    chosen = np.stack([np.random.default_rng(1).integers(10, ROWS - 10, PEER_PIXELS), np.linspace(10, COLUMNS - 10, PEER_PIXELS).astype(int)], axis=1)
    rows = []
    for bins, gradient, peer in PEERS:
        times, curves = _smoothed_curves(loop, chosen, maps if bins else None)
        start = LOGNORMAL.parameters(maps.region_fit.shape)

        def one(power, times=times, start=start, bins=bins, gradient=gradient):
            sigma = np.maximum(LOGNORMAL.value(times, start), 0.02 * power.max()) if bins else None
            return scipy_fit(times, power, start, gradient=gradient, sigma=sigma, maxfev=2000)

        peer_s, found = best_of(lambda curves=curves, one=one: np.array([one(power) for power in curves]), 2)
        theirs = {n: np.full((ROWS, COLUMNS), np.nan) for n in NAMES}
        fitted = np.isfinite(found).all(axis=1) & (found[:, 4] > 0)
        derived = LOGNORMAL.derived(found[fitted])
        for n in NAMES:
            theirs[n][tuple(chosen[fitted].T)] = derived[n]
        same = bool((_errors(maps.maps, truth, chosen) <= _errors(theirs, truth, chosen) * 1.02 + 1e-4).all())
        rows.append(compare(task, ours_s, peer, peer_s * ROWS * COLUMNS / PEER_PIXELS, same))
    return rows


def _smoothed_curves(loop: ContrastLoop, pixels: np.ndarray, maps: ParameterMaps | None) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) and the smoothed power (pixels, n) of some pixels, in the time bins of ``maps`` or frame by frame."""
    reach = 5
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / 2.0) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    powers = np.stack([(loop.power_table[loop.levels[:, y - reach : y + reach + 1, x - reach : x + reach + 1]] * window).sum(axis=(1, 2)) for y, x in pixels])
    if maps is None:
        return loop.times_s, powers
    middles = maps.bin_times_s
    bins = np.searchsorted((middles[1:] + middles[:-1]) / 2, loop.times_s)
    counts = np.bincount(bins)
    return middles, np.stack([np.bincount(bins, p) / counts for p in powers])


def _region_against_scipy() -> list[Row]:
    rng = np.random.default_rng(3)
    times = np.arange(1000) / 14.0
    true = np.array([50.0, 20000.0, 5.0, 2.5, 0.55])
    curves = [TimeIntensityCurve.of_values(times, LOGNORMAL.value(times, true) * (1 + 0.05 * rng.standard_normal(times.size))) for _ in range(5)]
    fit_curve(curves[0])
    ours_s, ours = best_of(lambda: [fit_curve(c) for c in curves], 3)
    start = np.array([0.0, 15000.0, 3.0, 2.3, 0.5])
    peer_s, theirs = best_of(lambda: [scipy_fit(times, c.power, start) for c in curves], 3)
    truth = LOGNORMAL.derived(true)
    mine = np.mean([abs(f.derived["ttp_s"] - truth["ttp_s"]) for f in ours])
    other = np.mean([abs(LOGNORMAL.derived(q)["ttp_s"] - truth["ttp_s"]) for q in theirs])
    peer = "SciPy curve_fit from one near start, without weights, intervals of derived values or checks"
    return [compare("lognormal of a region's curve of 1,000 frames with intervals and checks", ours_s / len(curves), peer, peer_s / len(curves), bool(mine <= other))]


def _long_loop() -> list[Row]:
    loop, _ = speckled_bolus(1000, 600, 400)
    ours_s, _ = best_of(lambda: parameter_maps(loop, smoothing_px=5.0), 1)
    return [compare("maps of a whole pane of 600x400 pixels, 1,000 frames, smoothed by 5 pixels", ours_s), *bench_chain(loop)]
