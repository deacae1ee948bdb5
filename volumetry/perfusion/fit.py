"""One curve of a region, one model: the fit, its intervals, and what of it can be known from this loop.

The fit is weighted least squares within bounds by our own Levenberg-Marquardt steps with the analytic gradient,
from many starts that are read off the data; weights follow the scatter of speckle (``fit_errors.variance_of``) and
are settled in a few rounds. Times are those of the frames, evenly spaced or not.

Nothing is said that the loop does not show: a value that the frames cannot decide is None, and ``reasons`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincinv, ndtri
from scipy.stats import qmc
from scipy.stats import t as student

from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.kernels import perfusion_fit as kernels
from volumetry.perfusion.curves import TimeIntensityCurve
from volumetry.perfusion.fit_errors import FitErrors, errors_of, variance_of
from volumetry.perfusion.identifiable import LEAST_FRAMES, Judgement, judge
from volumetry.perfusion.models import DERIVED, PerfusionModel, model_named

LEVEL = 0.95
DRAWS = 1024
ROUNDS = 4  # of weights
STEPS = 200
REFILL_S = 20.0  # after a flash; at a slow 0.2/s of tissue 98 % of the bubbles are back
NARROWEST_SKEW = {0: 0.03, 1: 0.03}
WIDEST_SKEW = {0: 2.5, 1: 1.0}  # a gamma variate with alpha below 1 starts with an infinite slope


@dataclass(frozen=True, slots=True, eq=False)
class CurveFit:
    """A fitted curve. ``parameters`` and ``derived`` by name (``models``), None where this loop does not decide the
    value; ``reasons`` then gives the code. ``intervals`` and ``derived_intervals`` are 95 % intervals, None with their
    value. ``ok``: the curve can be shown and read; False: ``findings`` says why, and every value is None.

    ``r_squared`` is the plain share of the curve's variance that the model explains. ``draws`` (n, 5): shapes that
    the data allow, for values of one's own. ``shape`` and ``covariance`` are those of the fitted numbers.
    """

    model: PerfusionModel
    parameters: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]
    derived: dict[str, float | None]
    derived_intervals: dict[str, tuple[float, float] | None]
    reasons: dict[str, str]
    r_squared: float | None
    findings: tuple[Finding, ...]
    ok: bool
    shape: np.ndarray | None = None
    covariance: np.ndarray | None = None
    draws: np.ndarray | None = None
    height_factors: np.ndarray | None = None
    freedom: float = np.inf
    pattern: float = 0.0
    dark_pattern: float = 0.0

    def value(self, times_s: np.ndarray) -> np.ndarray:
        """Fitted power at ``times_s``. Raises ``NodusError`` (``no_fit``) where there is no fit."""
        return self.model.value_of_shape(times_s, self._shape())

    def band(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """95 % band (low, high) of the curve itself, point by point, at ``times_s``. Raises ``NodusError`` (``no_fit``)."""
        value, gradient = self.model.value_and_gradient_of_shape(times_s, self._shape())
        variance = np.einsum("ni,ij,nj->n", gradient, self.covariance, gradient) + (self.pattern * (value - self.shape[0])) ** 2 + (self.dark_pattern * self.shape[0]) ** 2
        half = float(student.ppf(0.5 + LEVEL / 2, self.freedom)) * np.sqrt(np.maximum(variance, 0.0))
        return value - half, value + half

    def draws_of(self, name: str) -> np.ndarray:
        """The derived value ``name`` in each of ``draws``: (n,)."""
        if self.draws is None:
            raise _no_fit()
        values = self.model.derived_of_shape(self.draws)[name]
        return values * self.height_factors if name in _AMPLITUDES else values

    def as_dict(self) -> dict:
        """The form of the command line: model, parameters and derived values, intervals, R squared, warnings."""
        return {
            "model": self.model.name,
            "parameters": {**self.parameters, **self.derived},
            "intervals": {k: None if v is None else list(v) for k, v in {**self.intervals, **self.derived_intervals}.items()},
            "reasons": dict(self.reasons),
            "r_squared": self.r_squared,
            "warnings": [f.as_warning() for f in self.findings],
        }

    def _shape(self) -> np.ndarray:
        if self.shape is None:
            raise _no_fit()
        return self.shape


_AMPLITUDES = {d.name for d in DERIVED if d.amplitude}


def _no_fit() -> NodusError:
    return NodusError("There is no fitted curve for this region.", code="no_fit")


def fit_curve(curve: TimeIntensityCurve, model: str | PerfusionModel = "lognormal") -> CurveFit:
    """Fit ``model`` to a region's curve. Never raises for what the data are; raises only for an unknown model.

    Findings: ``too_few_frames``, ``no_enhancement``, ``fit_not_converged``, ``fit_at_bound``, ``peak_not_seen``,
    ``arrival_not_seen``, ``wash_out_not_seen``, ``few_frames_on_rise``, ``gap_in_times``, ``not_identified``,
    ``ambiguous_fit``, ``low_r_squared``, ``plateau_not_seen``, and those of the curve.
    """
    model = model_named(model)
    curve, start_between = frames_for(model, curve)
    times, power = np.array(curve.times_s, dtype=np.float64), np.array(curve.power, dtype=np.float64)
    if times.size < LEAST_FRAMES or not np.isfinite(power).all() or times[-1] <= times[0]:
        return _nothing(model, curve, Finding("too_few_frames", f"The curve has {times.size} frames; a fit needs at least {LEAST_FRAMES} with a value.", "serious"))
    spread = float(np.ptp(power))
    if spread <= 1e-9 * max(float(np.abs(power).max()), 1e-300):
        return _nothing(model, curve, Finding("no_enhancement", "The curve is flat: nothing rises here.", "warning"))
    # In units of its own height the numbers are near one whatever the gain was.
    found = best_fit(model, times, power / spread, start_between)
    scale = np.array([spread, spread, 1.0, 1.0, 1.0])
    shape = found.shape * scale
    errors = replace(found.errors, covariance=found.errors.covariance * np.outer(scale, scale))
    value = model.value_of_shape(times, shape)
    r_squared = 1.0 - float(((power - value) ** 2).sum() / ((power - power.mean()) ** 2).sum())
    pattern, dark = (curve.pattern_pct or 0.0) / 100.0, (curve.dark_pattern_pct or 0.0) / 100.0
    draws, factors = _draw(found, pattern, dark)
    draws = draws * scale
    if start_between is not None:
        draws = _spread_start(draws, start_between)
    judgement = judge(model, curve, shape, found.rivals * scale, draws, found.at_bound, found.ended, found.gain, errors, r_squared, start_between is not None)
    if judgement.refused:
        return _nothing(model, curve, *judgement.findings, r_squared=r_squared)
    return _fit_of(model, curve, shape, errors, draws, factors, (pattern, dark), judgement, r_squared)


def _fit_of(model, curve, shape, errors: FitErrors, draws, factors, patterns: tuple[float, float], judgement: Judgement, r_squared: float) -> CurveFit:
    tail = 100 * (1 - LEVEL) / 2
    named, named_draws = model.parameters(shape), model.parameters(draws)
    parameters, intervals, derived, derived_intervals = {}, {}, {}, {}
    for n, name in enumerate(model.parameter_names):
        known = name not in judgement.unknown and np.isfinite(named[n])
        grows = factors if name in ("auc", "a") else 1.0
        parameters[name] = float(named[n]) if known else None
        intervals[name] = _interval(named_draws[:, n] * grows, tail) if known else None
    values, value_draws = model.derived_of_shape(shape), model.derived_of_shape(draws)
    for quantity in DERIVED:
        value = float(values[quantity.name])
        known = quantity.name not in judgement.unknown and np.isfinite(value)
        grows = factors if quantity.amplitude else 1.0
        derived[quantity.name] = value if known else None
        derived_intervals[quantity.name] = _interval(value_draws[quantity.name] * grows, tail) if known else None
    reasons = {k: v for k, v in judgement.unknown.items() if k in parameters or k in derived}
    for name, value in derived.items():
        if value is None:
            reasons.setdefault(name, "not_in_model")
    findings = (*curve.findings, *judgement.findings)
    return CurveFit(
        model, parameters, intervals, derived, derived_intervals, reasons, r_squared, findings, True,
        shape, errors.covariance, draws, factors, errors.freedom, *patterns,
    )  # fmt: skip


def _interval(values: np.ndarray, tail: float) -> tuple[float, float] | None:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return None
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _nothing(model: PerfusionModel, curve: TimeIntensityCurve, *findings: Finding, r_squared: float | None = None) -> CurveFit:
    names, derived = model.parameter_names, tuple(d.name for d in DERIVED)
    why = findings[0].code
    none = dict.fromkeys
    return CurveFit(
        model, none(names), none(names), none(derived), none(derived), none((*names, *derived), why), r_squared, (*curve.findings, *findings), False
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The best of all starts. ``rivals``: other ends of starts that are nearly as good (n, 5). ``gain``: share of the
    weighted scatter around a constant that the curve takes away."""

    shape: np.ndarray
    low: np.ndarray
    high: np.ndarray
    errors: FitErrors
    rivals: np.ndarray
    at_bound: tuple[int, ...]
    ended: int
    gain: float


def frames_for(model: PerfusionModel, curve: TimeIntensityCurve) -> tuple[TimeIntensityCurve, tuple[float, float] | None]:
    """The frames that the model speaks of, where the loop has flashes. A bolus leaves out what follows each flash, until
    the bubbles are back; a replenishment takes the longest stretch after a flash, and its start lies between the flash
    and the first frame after it (second value). Finding: ``flash_in_bolus``."""
    flashes, times = curve.flash_times_s, curve.times_s
    if not flashes or times.size == 0:
        return curve, None
    if model.has_peak:
        keep = np.ones(times.size, dtype=bool)
        for at in flashes:
            keep &= (times < at) | (times > at + REFILL_S)
        if keep.all():
            return curve, None
        told = Finding("flash_in_bolus", f"{int((~keep).sum())} frames within {REFILL_S:g} s after a flash are left out of the fit: the bubbles were flowing in anew.")
        return _part(curve, keep, told), None
    starts = [at for n, at in enumerate(flashes) if n + 1 == len(flashes) or ((times > at) & (times < flashes[n + 1])).sum() >= LEAST_FRAMES]
    ends = [min([at for at in flashes if at > start], default=np.inf) for start in starts]
    start, end = max(zip(starts, ends, strict=True), key=lambda s: ((times > s[0]) & (times < s[1])).sum())
    keep = (times > start) & (times < end)
    if not keep.any():
        return curve, None
    part = curve if keep.all() else _part(curve, keep)
    return part, (start, float(part.times_s[0]))


def _part(curve: TimeIntensityCurve, keep: np.ndarray, *findings: Finding) -> TimeIntensityCurve:
    arrays = {name: getattr(curve, name)[keep] for name in ("times_s", "power", "sd", "pixels", "low_pct", "high_pct", "frames")}
    return replace(curve, **arrays, findings=(*curve.findings, *findings))


def best_fit(model: PerfusionModel, times: np.ndarray, power: np.ndarray, start_between: tuple[float, float] | None = None) -> _Best:
    """Fit in units of the curve's height; see ``fit_curve``."""
    low, high = bounds_of(model, times, power)
    if start_between is not None:
        low[2] = high[2] = sum(start_between) / 2  # the frames do not say where between; ``_spread_start`` adds that
    smooth = _smooth(power, max(3, power.size // 40))
    weight = 1 / (smooth**2 + 0.01)
    ends = []
    for start in starts_of(model, times, smooth, power, weight):
        p = np.clip(start, low, high)
        cost, _, _ = kernels.fit_bounded(model.kind, times, power, weight, p, low, high, 30, 1e-4)
        ends.append((cost, p))
    ends.sort(key=lambda e: e[0])
    shape = ends[0][1].copy()
    ended = 0
    for _ in range(ROUNDS):
        curve = model.value_of_shape(times, shape)
        weight = 1 / variance_of(power - curve, curve, shape[1])[1]
        weight /= weight.mean()
        _, _, ended = kernels.fit_bounded(model.kind, times, power, weight, shape, low, high, STEPS, 1e-10)
    rivals, best_cost = [], np.inf
    for _, p in ends[: min(4, len(ends))]:
        q = p.copy()
        cost, _, how = kernels.fit_bounded(model.kind, times, power, weight, q, low, high, STEPS, 1e-10)
        rivals.append((cost, q))
        if cost < best_cost:
            best_cost, best, how_best = cost, q, how
    own = float((weight * (power - model.value_of_shape(times, shape)) ** 2).sum())
    if best_cost < own * (1 - 1e-9):
        shape, ended, own = best, how_best, best_cost
    value, gradient = model.value_and_gradient_of_shape(times, shape)
    variance, _ = variance_of(power - value, value, shape[1])
    at_bound = tuple(n for n in range(5) if low[n] < high[n] and (shape[n] <= low[n] or shape[n] >= high[n]))
    free = np.array([low[n] < shape[n] < high[n] for n in range(5)])
    errors = errors_of(gradient, power - value, variance, weight, free)
    middle = float((weight * power).sum() / weight.sum())
    around = float((weight * (power - middle) ** 2).sum())
    close = [q for cost, q in rivals if cost <= own * (1 + 6 / times.size * errors.correlation_frames) and cost > 0]
    return _Best(shape, low, high, errors, np.array(close).reshape(-1, 5), at_bound, ended, 1 - own / around if around > 0 else 0.0)


def bounds_of(model: PerfusionModel, times: np.ndarray, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest shape that is looked for: wide enough that only a curve that these frames cannot decide meets them."""
    span, step = times[-1] - times[0], float(np.median(np.diff(times)))
    top = float(power.max() - power.min())
    if model.has_peak:
        low = np.array([power.min() - top, 0.0, times[0] - span, 0.2 * step, NARROWEST_SKEW[model.kind]])
        high = np.array([power.max(), 20 * top, times[-1] + 2 * span, 3 * span, WIDEST_SKEW[model.kind]])
    else:
        low = np.array([power.min() - top, 0.0, times[0] - span, 0.02 / span, 1.0])
        high = np.array([power.max(), 20 * top, times[-1], 20 / step, 1.0])
    return low, high


def starts_of(model: PerfusionModel, times: np.ndarray, smooth: np.ndarray, power: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    """Starts from the data: peak and width of the smoothed curve with several skews and sizes; baseline and height
    follow from each by linear least squares."""
    span = times[-1] - times[0]
    base, top = float(np.quantile(smooth, 0.05)), float(smooth.max())
    above = smooth > base + 0.5 * (top - base)
    peak = float(times[int(smooth.argmax())])
    half = max(float(np.gradient(times)[above].sum()), 2 * float(np.median(np.diff(times))))
    grid = []
    if model.has_peak:
        width = half / 2.355
        centre = float((times * above).sum() / max(above.sum(), 1))
        for skew in (0.15, 0.4, 0.8):
            grid += [(at, width * size, min(skew, WIDEST_SKEW[model.kind])) for at in (peak, centre) for size in (0.6, 1.0)]
        grid += [(times[-1], span / 3, 0.5), (times[-1] + span / 2, span / 2, 0.5), (times[0] + span / 4, span / 8, 0.5)]
    else:
        half_at = float(times[int(np.argmax(smooth > base + 0.5 * (top - base)))])
        for rise in (half_at - times[0], span / 20, span / 5, span):
            rise = max(rise, 2 * float(np.median(np.diff(times))))
            grid += [(half_at - share * rise, 0.7 / rise, 1.0) for share in (0.3, 1.0, 2.0)]
    starts = []
    for p2, p3, p4 in grid:
        f = model.value_of_shape(times, np.array([0.0, 1.0, p2, p3, p4]))
        sw, sf, sff = weight.sum(), float(weight @ f), float((weight * f) @ f)
        sy, sfy = float(weight @ power), float((weight * f) @ power)
        determinant = sw * sff - sf * sf
        height = (sw * sfy - sf * sy) / determinant if determinant > 1e-12 * sw * sff else 0.0
        height = height if height > 0 else 0.3 * (top - base)
        starts.append(np.array([(sy - height * sf) / sw, height, p2, p3, p4]))
    return starts


def _smooth(power: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(power, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


def _draw(best: _Best, pattern: float, dark: float) -> tuple[np.ndarray, np.ndarray]:
    """Shapes that the data allow (n, 5), and factors (n,) for the height from the standing pattern. The same numbers
    come out each time: the points are those of a fixed Sobol sequence. Positive numbers are drawn by logarithm."""
    shape, errors = best.shape, best.errors
    points = qmc.Sobol(8, seed=20100607).random(DRAWS)
    normal = ndtri(points[:, :7])
    wide = np.sqrt(errors.freedom / np.maximum(_chi_square(points[:, 7], errors.freedom), 1e-12)) if np.isfinite(errors.freedom) else 1.0
    logs = np.array([False, True, False, True, True]) & (shape > 0)
    slope = np.where(logs, 1 / np.where(logs, shape, 1.0), 1.0)
    covariance = errors.covariance * np.outer(slope, slope)
    values, vectors = np.linalg.eigh(covariance)
    moves = (normal[:, :5] * np.sqrt(np.maximum(values, 0.0))) @ vectors.T * np.reshape(wide, (-1, 1))
    moves = np.where(logs, np.clip(moves, -20, 20), moves)
    drawn = np.where(logs, shape * np.exp(np.where(logs, moves, 0.0)), shape + moves)
    drawn[:, 0] += dark * shape[0] * normal[:, 6]
    return np.clip(drawn, best.low, best.high), np.exp(pattern * normal[:, 5])


def _spread_start(draws: np.ndarray, between: tuple[float, float]) -> np.ndarray:
    """Replenishments whose start lies anywhere ``between``: the same curve where there are frames, another height above
    another baseline."""
    start = between[0] + (between[1] - between[0]) * (np.random.default_rng(7).permutation(len(draws)) + 0.5) / len(draws)
    height = draws[:, 1] * np.exp(-draws[:, 3] * (start - draws[:, 2]))
    return np.stack([draws[:, 0] + draws[:, 1] - height, height, start, draws[:, 3], draws[:, 4]], axis=1)


def _chi_square(share: np.ndarray, freedom: float) -> np.ndarray:
    return 2 * gammaincinv(freedom / 2, np.clip(share, 1e-9, 1 - 1e-9))
