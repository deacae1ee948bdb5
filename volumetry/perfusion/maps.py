"""Maps of the fitted numbers: one curve in every pixel of a moving pane.

Every pixel's power is read along its own path (motion), gathered in time bins that are narrow where the bolus
comes and goes, and averaged over its surroundings with a Gaussian (``smoothing_px``; speckle makes a single pixel's
power scatter by 100 %). The mean is over what lies in the mask and was seen. Then the model is fitted, from the best
curve of a dictionary, by the same steps as a region's curve. A pixel that cannot be fitted has no value and a code.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numba
import numpy as np

from volumetry.finding import Finding
from volumetry.kernels import perfusion_maps as kernels
from volumetry.perfusion.curves import motion_arrays, region_curve, used_frames
from volumetry.perfusion.fit import NARROWEST_SKEW, WIDEST_SKEW, CurveFit, fit_curve, frames_for
from volumetry.perfusion.fit_errors import LEAST_SHARE
from volumetry.perfusion.identifiable import LEAST_FRAMES, SEEN_FALL
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused
from volumetry.perfusion.models import DERIVED_NAMES, PerfusionModel, model_named
from volumetry.perfusion.motion import Motion

# Why a pixel has no value; the number stands in ``ParameterMaps.code``.
CODES = ("", "outside", "not_seen", "no_enhancement", "fit_not_converged", "peak_not_seen", "wash_out_not_seen")
MOST_BINS = 96
SMOOTHING_MM = 0.5
SMOOTHING_PX = 2.0  # where the picture has no scale
BAND_ROWS = 32
LEAST_SEEN = 0.6  # share of the time bins
SURE = 4.0
STEPS = 14
AFTER_PEAK = ("fall_time_s", "mtt_s", "wash_out_rate", "auc", "wo_auc")
PLACE_WEIGHT = 0.1  # floor of a bin's weight in the first rounds, as a share of the region's height


@dataclass(frozen=True, slots=True, eq=False)
class ParameterMaps:
    """``maps``: float32 ``[row, column]`` by name (``models.DERIVED``, ``baseline``), on the reference frame, NaN where
    there is no value. ``code``: uint8, 0 where the fit is valid, else index into ``CODES``; at ``wash_out_not_seen`` what
    comes before the peak still has its value. ``r_squared``: of the smoothed curve. ``smoothing_px``: standard deviation
    of the Gaussian. ``bin_times_s``: times of the time bins. ``region_fit``: fit of the mask's own curve."""

    model: PerfusionModel
    maps: dict[str, np.ndarray]
    code: np.ndarray
    r_squared: np.ndarray
    smoothing_px: float
    bin_times_s: np.ndarray
    region_fit: CurveFit
    findings: tuple[Finding, ...] = ()

    @property
    def valid(self) -> np.ndarray:
        """Bool ``[row, column]``: every value of the pixel is there."""
        return self.code == kernels.VALID

    def share_valid_pct(self) -> float:
        """Of the mask's pixels, how many have a valid fit, %."""
        inside = self.code != kernels.OUTSIDE
        return 100.0 * float(self.valid.sum()) / max(int(inside.sum()), 1)


def parameter_maps(
    loop: ContrastLoop,
    motion: Motion | None = None,
    mask: np.ndarray | None = None,
    model: str | PerfusionModel = "lognormal",
    progress: Callable[[str, float], None] | None = None,
    *,
    smoothing_px: float | None = None,
    threads: int | None = None,
) -> ParameterMaps:
    """Fit ``model`` in every pixel of ``mask`` (bool ``[row, column]`` on the reference frame; None: the whole pane).

    ``smoothing_px``: standard deviation of the Gaussian over space, 0 for none; None: 0.5 mm (2 pixels without a
    scale). ``progress(message, fraction)`` is called between bands of rows and may raise to cancel. Raises
    ``PerfusionRefused``: ``bad_shape``, ``empty_region``, ``too_few_frames``. Finding: ``few_pixels_fitted``.
    """
    model = model_named(model)
    motion = Motion.still(loop.frame_count) if motion is None else motion
    mask = np.ones(loop.shape, bool) if mask is None else mask
    if progress is not None:
        progress("Reading the region's curve", 0.0)
    region = region_curve(loop, _thinned(mask), motion)
    part, _ = frames_for(model, region)
    region_fit = fit_curve(region, model)
    wanted = np.isin(used_frames(loop, motion), part.frames) if part is not region else np.ones(used_frames(loop, motion).size, bool)
    frames = used_frames(loop, motion)[wanted]
    if frames.size < LEAST_FRAMES:
        raise PerfusionRefused(f"Only {frames.size} frames take part; maps need at least {LEAST_FRAMES}.", code="too_few_frames")
    if smoothing_px is None:
        smoothing_px = SMOOTHING_PX if loop.mm_per_pixel is None else SMOOTHING_MM / math.sqrt(loop.mm_per_pixel[0] * loop.mm_per_pixel[1])
    work = _Work.prepare(loop, motion, mask, model, frames, region_fit, smoothing_px)
    _run(work, progress, threads or numba.config.NUMBA_NUM_THREADS)
    return work.result(region_fit, region.findings)


def _thinned(mask: np.ndarray) -> np.ndarray:
    """A part of a large mask that is enough for its mean."""
    step = max(1, int(math.sqrt(mask.sum() / 3_000)))
    thin = np.zeros_like(mask)
    thin[::step, ::step] = mask[::step, ::step]
    return thin if thin.any() else mask


def time_bins(times_s: np.ndarray, fit: CurveFit, most: int = MOST_BINS) -> np.ndarray:
    """Bin number of each frame, from 0 without gaps: three quarters of the bins where the region's bolus comes and
    goes, the rest evenly over the loop. With no more frames than bins every frame is one."""
    if times_s.size <= most:
        return np.arange(times_s.size)
    span = times_s[-1] - times_s[0]
    crowd = (times_s - times_s[0]) / span
    rise, peak = fit.derived.get("rise_time_s"), fit.derived.get("ttp_s")
    if rise is not None and peak is not None:
        start, end = max(peak - 2 * rise, times_s[0]), min(peak + 2.5 * rise, times_s[-1])
        crowd = 0.25 * crowd + 0.75 * np.clip((times_s - start) / max(end - start, 1e-9), 0, 1)
    raw = np.minimum((crowd * most).astype(np.int64), most - 1)
    return np.concatenate([[0], np.cumsum(np.diff(raw) > 0)]).astype(np.int64)


@dataclass(slots=True)
class _Work:
    """All that a band needs, and where it writes."""

    loop: ContrastLoop
    arrays: tuple
    mask: np.ndarray
    model: PerfusionModel
    frames: np.ndarray
    bins: np.ndarray
    times: np.ndarray
    taps: np.ndarray
    smoothing_px: float
    shapes: np.ndarray
    curves: np.ndarray
    first_weight: np.ndarray
    low: np.ndarray
    high: np.ndarray
    box: tuple[int, int, int, int]
    shape: np.ndarray
    r_squared: np.ndarray
    code: np.ndarray

    @classmethod
    def prepare(cls, loop, motion, mask, model, frames, fit, smoothing_px) -> _Work:
        at = loop.times_s[frames]
        bins = time_bins(at, fit)
        times = np.bincount(bins, at) / np.bincount(bins)
        half = math.ceil(2.5 * smoothing_px) if smoothing_px > 0 else 0
        taps = np.exp(-0.5 * (np.arange(-half, half + 1) / max(smoothing_px, 1e-6)) ** 2)
        shapes = dictionary(model, times, fit)
        curves = np.stack([model.value_of_shape(times, np.array([0.0, 1.0, *s])) for s in shapes])
        first_weight = np.ones(times.size)
        if fit.shape is not None:
            height = fit.shape[1]
            first_weight = 1.0 / (fit.value(times) ** 2 + (PLACE_WEIGHT * height) ** 2) * height**2
        span, step = times[-1] - times[0], float(np.median(np.diff(times)))
        if model.has_peak:
            low = np.array([0, 0, times[0] - 0.5 * span, 0.3 * step, NARROWEST_SKEW[model.kind]])
            high = np.array([0, 0, times[-1] + span, 2 * span, min(WIDEST_SKEW[model.kind], 1.5)])
        else:
            low, high = np.array([0, 0, times[0] - span, 0.02 / span, 1.0]), np.array([0, 0, times[-1], 10 / step, 1.0])
        ys, xs = np.nonzero(mask)
        box = (int(ys.min()), int(ys.max()) + 1, int(xs.min()), int(xs.max()) + 1)
        size = (box[1] - box[0], box[3] - box[2])
        return cls(
            loop, motion_arrays(loop, motion), np.ascontiguousarray(mask[box[0] : box[1], box[2] : box[3]]), model, frames, bins, times,
            (taps / taps.sum()).astype(np.float32), smoothing_px, shapes, curves, first_weight, low, high, box,
            np.full((*size, 5), np.nan), np.full(size, np.nan), np.full(size, kernels.OUTSIDE, np.uint8),
        )  # fmt: skip

    def band(self, first: int, last: int) -> None:
        """Rows ``first`` to ``last`` of the box."""
        half = self.taps.size // 2
        top, bottom = max(first - half, 0), min(last + half, self.mask.shape[0])
        mask = self.mask[top:bottom]
        total = np.zeros((self.times.size, *mask.shape), np.float32)
        count = np.zeros_like(total)
        kernels.bin_band(self.loop.levels, self.loop.power_table, self.frames, self.bins, *self.arrays, mask, top + self.box[0], self.box[2], total, count)
        if half:
            work = np.empty(mask.shape, np.float32)
            kernels.smooth_band(total, self.taps, work)
            kernels.smooth_band(count, self.taps, work)
        rows = slice(first, last)
        kernels.fit_band(
            self.model.kind, self.times, total, count, self.mask[rows], first - top, self.shapes, self.curves, self.first_weight,
            self.low, self.high, 20.0, LEAST_SHARE, LEAST_SEEN, SURE, SEEN_FALL, STEPS, self.shape[rows], self.r_squared[rows], self.code[rows],
        )  # fmt: skip

    def result(self, fit: CurveFit, findings: tuple[Finding, ...]) -> ParameterMaps:
        """The maps on the whole pane."""
        code = np.full(self.loop.shape, kernels.OUTSIDE, np.uint8)
        y0, y1, x0, x1 = self.box
        code[y0:y1, x0:x1] = self.code
        early = (self.code == kernels.VALID) | (self.code == kernels.WASH_OUT_NOT_SEEN)
        late = self.code == kernels.VALID
        derived = self.model.derived_of_shape(self.shape[early])
        maps = {}
        for name in (*DERIVED_NAMES, "baseline"):
            values = self.shape[early][:, 0] if name == "baseline" else derived[name]
            if not np.isfinite(values).any():
                continue
            small = np.full(self.code.shape, np.nan, np.float32)
            small[early] = values
            if name in AFTER_PEAK:
                small[~late] = np.nan
            maps[name] = np.full(code.shape, np.nan, np.float32)
            maps[name][y0:y1, x0:x1] = small
        r_squared = np.full(code.shape, np.nan, np.float32)
        r_squared[y0:y1, x0:x1] = self.r_squared
        found = list(findings)
        share = 100.0 * float(late.sum()) / max(int((self.code != kernels.OUTSIDE).sum()), 1)
        if share < 50.0:
            found.append(Finding("few_pixels_fitted", f"Only {share:.0f} % of the region's pixels have a curve that can be fitted; the others have no value.", "info"))
        for array in (*maps.values(), code, r_squared):
            array.setflags(write=False)
        return ParameterMaps(self.model, maps, code, r_squared, self.smoothing_px, self.times, fit, tuple(found))


def dictionary(model: PerfusionModel, times: np.ndarray, fit: CurveFit) -> np.ndarray:
    """Times, widths and skews (k, 3) among which a pixel's fit starts: over the whole loop, and closer together around
    the region's own."""
    span = float(times[-1] - times[0])
    around = None if fit.shape is None else fit.shape[2:]
    if model.has_peak:
        spread = [(t, w, 0.45) for t in times[0] + span * np.linspace(0.06, 0.98, 10) for w in (span / 24, span / 10, span / 4)]
        if around is not None:
            t, w, s = around
            spread += [(t + dt * w, w * k, min(max(s, 0.15), 0.9)) for dt in (-1.0, -0.4, 0.0, 0.5, 1.2, 2.0) for k in (0.65, 1.0, 1.5)]
    else:
        spread = [(t, r, 1.0) for t in times[0] + span * np.linspace(-0.02, 0.8, 12) for r in (2 / span, 6 / span, 20 / span)]
        if around is not None:
            t, r, _ = around
            spread += [(t, r * k, 1.0) for k in (0.5, 0.8, 1.0, 1.3, 2.0)]
    return np.array(spread, dtype=np.float64)


def _run(work: _Work, progress: Callable[[str, float], None] | None, threads: int) -> None:
    """Bands of rows on several threads; the kernels let go of the interpreter. Stops early when ``progress`` raises."""
    rows = work.mask.shape[0]
    size = min(BAND_ROWS, max(4, -(-rows // (4 * threads))))
    bands = [(n, min(n + size, rows)) for n in range(0, rows, size)]
    stop = threading.Event()

    def one(band: tuple[int, int]) -> None:
        if not stop.is_set():
            work.band(*band)

    with ThreadPoolExecutor(threads, thread_name_prefix="perfusion") as pool:
        waiting = [pool.submit(one, band) for band in bands]
        try:
            for n, done in enumerate(as_completed(waiting), start=1):
                done.result()
                if progress is not None:
                    progress("Fitting every pixel", n / len(bands))
        except BaseException:
            stop.set()
            raise
