"""Mean echo power of a region over time, and what may be compared with what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from volumetry.finding import Finding
from volumetry.kernels.perfusion_sample import region_over_time
from volumetry.perfusion.gain import told_on_curve
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused
from volumetry.perfusion.motion import Motion

MANY_CLIPPED_PCT = 5.0  # at the brightest tenth of the frames; more than this bends the peak visibly
DARK_SHARE = 0.02  # of the curve's range above its darkest: frames without contrast
LEAST_SEEN = 0.5  # a frame that shows less of the region than this does not speak for it
SMALL_REGION_PIXELS = 50
CHUNK_FRAMES = 64
HALF_S = 2.0  # stretches of the loop that go to one half and the other by turns: bubbles have moved on by then


@dataclass(frozen=True, slots=True)
class AcquisitionFacts:
    """What a curve's amplitude depends on besides perfusion; None: not known. Depth is that of the region's middle
    below the upper edge of the pane, mm; gain dB; frequency MHz."""

    depth_mm: float | None = None
    lateral_mm: float | None = None
    system: str | None = None
    transducer: str | None = None
    range_db: float | None = None
    gain_db: float | None = None
    mechanical_index: float | None = None
    frequency_mhz: float | None = None
    loop: str | None = None  # identity of the loop; two regions of one loop share their settings


@dataclass(frozen=True, slots=True, eq=False)
class TimeIntensityCurve:
    """Mean echo power of a region in the frames that take part.

    ``times_s`` and ``power`` (arbitrary unit of the loop's table) are one per frame of ``frames`` (numbers within
    the loop); ``sd`` is the spread over the region's pixels, ``pixels`` how many were seen, ``low_pct`` and
    ``high_pct`` which share lies at the black and white end of the display, where power is only a bound.
    ``pattern_pct``: relative standard error (%) of the height that stays the same in all frames, because a region
    holds few speckles; it is not seen in the curve's own scatter. None where it could not be worked out.
    ``dark_pattern_pct``: the same for what is there without contrast (tissue that leaks into the pane).
    ``flash_times_s``: times of the loop's flashes, after which bubbles flow in anew.
    """

    times_s: np.ndarray
    power: np.ndarray
    sd: np.ndarray
    pixels: np.ndarray
    low_pct: np.ndarray
    high_pct: np.ndarray
    frames: np.ndarray
    pattern_pct: float | None = None
    dark_pattern_pct: float | None = None
    flash_times_s: tuple[float, ...] = ()
    facts: AcquisitionFacts = field(default_factory=AcquisitionFacts)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.times_s, self.power, self.sd, self.pixels, self.low_pct, self.high_pct, self.frames):
            if array.shape != self.times_s.shape:
                raise PerfusionRefused("The parts of a curve speak of different frames.", code="bad_shape")
            array.setflags(write=False)

    @classmethod
    def of_values(cls, times_s, power, facts: AcquisitionFacts | None = None) -> TimeIntensityCurve:
        """A curve from times and powers alone, such as one that was measured elsewhere."""
        times, power = np.array(times_s, dtype=np.float64), np.array(power, dtype=np.float64)
        zero = np.zeros_like(times)
        return cls(times, power, np.full_like(times, np.nan), np.ones(times.size, np.int64), zero, zero.copy(), np.arange(times.size), facts=facts or AcquisitionFacts())


def used_frames(loop: ContrastLoop, motion: Motion) -> np.ndarray:
    """Numbers of the frames that take part: accepted, and no flash. int64."""
    if motion.frames != loop.frame_count:
        raise PerfusionRefused("The motion belongs to another loop: it has another number of frames.", code="bad_shape")
    used = motion.accepted.copy()
    used[list(loop.flash_frames)] = False
    return np.flatnonzero(used)


def _flashes(loop: ContrastLoop, motion: Motion) -> list[int]:
    """Frames of a flash, by the loop or by the motion, which looks for them too."""
    return sorted({*loop.flash_frames, *(n for n, why in enumerate(motion.reasons) if why == "flash")})


def motion_arrays(loop: ContrastLoop, motion: Motion) -> tuple:
    """(matrices, field, has_field, drawn, has_drawn) as the kernels take them."""
    has_field, has_drawn = motion.field is not None, loop.drawn is not None
    displacement = np.ascontiguousarray(motion.field, dtype=np.float32) if has_field else np.zeros((1, 2, 2, 2), np.float32)
    drawn = np.ascontiguousarray(loop.drawn) if has_drawn else np.zeros((1, 1), np.bool_)
    matrices = np.ascontiguousarray(motion.matrices, dtype=np.float64)
    arrays = [a.view() for a in (matrices, displacement, drawn)]
    for array in arrays:  # read-only in every case, so that the kernels are compiled once
        array.setflags(write=False)
    return arrays[0], arrays[1], has_field, arrays[2], has_drawn


def region_curve(loop: ContrastLoop, mask: np.ndarray, motion: Motion | None = None, *, facts: AcquisitionFacts | None = None, progress=None) -> TimeIntensityCurve:
    """Mean power of the region over time; the region moves with the tissue.

    ``mask``: bool ``[row, column]`` on the reference frame of ``motion`` (None: the loop is taken as still).
    Power is linear echo power, averaged over the region's pixels in each frame; frames that motion rejected and
    flashes are left out, as are frames in which less than half of the region is seen. ``progress(message,
    fraction)`` may raise to cancel. Findings: ``clipped_high``, ``clipped_low``, ``small_region``,
    ``region_leaves_pane``, ``gain_changed``, ``gain_change_unsure``. Raises ``PerfusionRefused``: ``bad_shape``, ``empty_region``, ``too_few_frames``.
    """
    motion = Motion.still(loop.frame_count) if motion is None else motion
    if mask.shape != loop.shape:
        raise PerfusionRefused("The region was drawn on another picture: it has another size than the pane.", code="bad_shape")
    ys, xs = (a.astype(np.int64) for a in np.nonzero(mask))
    if ys.size == 0:
        raise PerfusionRefused("The region is empty.", code="empty_region")
    frames = used_frames(loop, motion)
    sums, seen = np.zeros((frames.size, 5)), np.zeros((ys.size, 4))
    halves = (loop.times_s[frames] // HALF_S).astype(np.int64) % 2
    arrays = motion_arrays(loop, motion)
    for start in range(0, frames.size, CHUNK_FRAMES):
        if progress is not None:
            progress("Reading the curve", start / frames.size)
        part = slice(start, start + CHUNK_FRAMES)
        region_over_time(loop.levels, loop.power_table, frames[part], halves[part], *arrays, ys, xs, sums[part], seen)
    keep = sums[:, 0] >= LEAST_SEEN * ys.size
    if not keep.any():
        raise PerfusionRefused("No frame that takes part shows this region.", code="too_few_frames", hint="Draw the region inside the pane, away from text, or accept more frames.")
    count, total, squares, black, white = sums[keep].T
    power = total / count
    sd = np.sqrt(np.maximum(squares / count - power**2, 0.0))
    low, high = 100 * black / count, 100 * white / count
    findings = [*_findings(ys.size, power, low, high, keep), *told_on_curve(motion)]
    if facts is None:
        facts = AcquisitionFacts(range_db=loop.range_db)
    if facts.depth_mm is None and loop.mm_per_pixel is not None:
        facts = replace(facts, depth_mm=float(ys.mean() * loop.mm_per_pixel[1]), lateral_mm=float((xs.mean() - (loop.shape[1] - 1) / 2) * loop.mm_per_pixel[0]))
    chosen = frames[keep]
    dark = chosen[power < np.quantile(power, 0.05) + DARK_SHARE * np.ptp(power)]
    seen_dark = np.zeros_like(seen)
    region_over_time(loop.levels, loop.power_table, dark, np.arange(dark.size) % 2, *arrays, ys, xs, np.zeros((dark.size, 5)), seen_dark)
    return TimeIntensityCurve(
        loop.times_s[chosen].copy(), power, sd, count.astype(np.int64), low, high, chosen, pattern_pct(ys, xs, seen), pattern_pct(ys, xs, seen_dark),
        tuple(float(loop.times_s[n]) for n in _flashes(loop, motion)), facts, tuple(findings),
    )  # fmt: skip


def _findings(pixels: int, power: np.ndarray, low: np.ndarray, high: np.ndarray, keep: np.ndarray) -> list[Finding]:
    found = []
    bright = power >= np.quantile(power, 0.9)
    top, bottom = float(high[bright].mean()), float(low[bright].mean())
    if top > MANY_CLIPPED_PCT:
        found.append(Finding("clipped_high", f"At the peak {top:.0f} % of the region's pixels are at the white end of the display: peak and areas are too low by an unknown amount."))
    if bottom > 50.0:
        found.append(Finding("clipped_low", f"Even at the peak {bottom:.0f} % of the region's pixels are black: what lies below the display is not measured.", "info"))
    if pixels < SMALL_REGION_PIXELS:
        found.append(Finding("small_region", f"The region has only {pixels} pixels; speckle alone changes its mean."))
    lost = int(keep.size - keep.sum())
    if lost:
        found.append(Finding("region_leaves_pane", f"In {lost} of {keep.size} frames more than half of the region lies outside the pane or under text; they are left out."))
    return found


def pattern_pct(ys: np.ndarray, xs: np.ndarray, seen: np.ndarray) -> float | None:
    """Relative standard error (%) of the region's mean that comes from its own standing pattern of speckle.

    What two halves of the loop (``seen`` as the kernel fills it) show alike in a pixel stands still; their covariance
    over the region is the pattern's variance, free of the scatter that changes from frame to frame. Divided by the
    number of independent places (from the pattern's own autocorrelation at short lags) it is the variance of the
    region's mean. Slow trends (depth, uneven perfusion) belong to the region and are taken out as a surface of
    second order. None for regions too small to say.
    """
    ok = (seen[:, 0] > 0) & (seen[:, 2] > 0)
    if ok.sum() < 30:
        return None
    y, x = ys[ok], xs[ok]
    first, second = seen[ok, 1] / seen[ok, 0], seen[ok, 3] / seen[ok, 2]
    if not (first.mean() > 0 and second.mean() > 0):
        return None
    v, u = (y - y.mean()) / max(np.ptp(y), 1), (x - x.mean()) / max(np.ptp(x), 1)
    surface = np.linalg.qr(np.stack([np.ones(y.size), v, u, v * v, u * v, u * u], axis=1))[0]
    box = (int(np.ptp(y)) + 1, int(np.ptp(x)) + 1)
    size = [2 * n for n in box]
    spectra = []
    for half in (first / first.mean(), second / second.mean(), np.ones(y.size)):
        picture = np.zeros(box)
        picture[y - y.min(), x - x.min()] = half - surface @ (surface.T @ half) if len(spectra) < 2 else half
        spectra.append(np.fft.rfft2(picture, size))
    sums = np.fft.irfft2(spectra[0] * np.conj(spectra[1]), size)
    pairs = np.maximum(np.fft.irfft2(np.abs(spectra[2]) ** 2, size), 0.0)
    variance = sums[0, 0] / y.size
    own = np.fft.irfft2(np.abs(spectra[0]) ** 2 + np.abs(spectra[1]) ** 2, size) / 2
    places = own[0, 0] ** 2 / max(float((own**2).sum()), 1e-300) * y.size  # independent ones, of what the halves show
    if variance <= 2 * own[0, 0] / y.size / np.sqrt(max(places, 1.0)):  # no more alike than chance makes two pictures
        return 0.0
    correlation = np.where(pairs > 0.5, sums / np.maximum(pairs, 1.0) / variance, 0.0)
    reach_y, reach_x = (min(_first_lag_gone(c), max(n / 5, 1.0)) for c, n in ((correlation[: box[0], 0], box[0]), (correlation[0, : box[1]], box[1])))
    lag_y, lag_x = np.abs(np.fft.fftfreq(size[0], 1 / size[0])), np.abs(np.fft.fftfreq(size[1], 1 / size[1]))
    near = (lag_y[:, None] / reach_y) ** 2 + (lag_x[None, :] / reach_x) ** 2 <= 1.0
    # variance of a mean: the sum of the covariances of all pairs over the square of their number
    total = float((correlation * pairs)[near].sum()) * variance / y.size**2
    return 100.0 * float(np.sqrt(max(total, variance / y.size)))


def _first_lag_gone(correlation: np.ndarray) -> float:
    below = np.flatnonzero(correlation < 0.05)
    return float(max(below[0] if below.size else correlation.size, 1))
