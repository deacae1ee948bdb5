"""Which numbers of a fitted curve the loop's frames can decide, and why not the others.

A fit always returns numbers. Here each is held against what was seen: whether the loop shows the time before
arrival, the peak and the wash-out, whether there are frames where the curve bends, whether another curve fits as
well, and how wide the interval is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from volumetry.finding import Finding
from volumetry.kernels import perfusion_fit as kernels
from volumetry.perfusion.curves import TimeIntensityCurve
from volumetry.perfusion.fit_errors import FitErrors
from volumetry.perfusion.models import DERIVED, PerfusionModel

LEAST_FRAMES = 12
WIDEST_RELATIVE = 0.5  # half of the 95 % interval over the value; beyond, a number says nothing
SEEN_FALL = 0.7  # at the loop's end the curve must be below this share of its peak for areas and transit times
LEAST_ON_RISE = 3
FEW_ON_RISE = 6
LOW_R_SQUARED = 0.5
LEAST_GAIN_SD = 4.0  # the height must stand above zero by this many of its standard errors

AFTER_PEAK = ("fall_time_s", "wash_out_rate", "auc", "wo_auc", "mtt_s")
BEFORE_PEAK = ("arrival_s", "rise_time_s", "wash_in_rate", "wi_auc", "baseline", "t0_s")
SHAPE_OF = {kernels.LOGNORMAL: ("t0_s", "mu", "sigma"), kernels.GAMMA_VARIATE: ("t0_s", "a", "alpha", "beta_s"), kernels.REPLENISHMENT: ()}
_POSITIVE = {d.name for d in DERIVED} - {"arrival_s", "ttp_s"}


@dataclass(slots=True)
class Judgement:
    """``unknown``: name of a value -> code of the reason. ``refused``: there is no curve to show at all."""

    refused: bool = False
    findings: list[Finding] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    def say(self, finding: Finding, names=()) -> None:
        """A finding, and the values that it takes away."""
        self.findings.append(finding)
        for name in names:
            self.unknown.setdefault(name, finding.code)


def _rises(curve: TimeIntensityCurve) -> bool:
    """Whether the curve itself, without a model, rises by half its floor and four times its scatter from frame to frame (as of a reference in ``enhancement``)."""
    smooth = ndimage.median_filter(curve.power, 5, mode="nearest")
    rise, floor = float(np.ptp(smooth)), float(smooth.min())
    return rise >= 0.5 * floor and rise >= 4 * float(np.median(np.abs(np.diff(curve.power))))


def judge(
    model: PerfusionModel, curve: TimeIntensityCurve, shape: np.ndarray, rivals: np.ndarray, draws: np.ndarray,
    at_bound: tuple[int, ...], ended: int, gain: float, errors: FitErrors, r_squared: float, start_known: bool = False,
) -> Judgement:  # fmt: skip
    """Judge one fit. ``shape`` (5,), ``rivals`` and ``draws`` (n, 5) as in ``fit``; ``gain`` the share of the weighted
    scatter that the curve explains; ``start_known``: a replenishment starts at a flash of the loop."""
    out = Judgement()
    error = float(np.sqrt(max(errors.covariance[1, 1], 0.0)))
    height_unknown = 1 in at_bound and shape[1] <= 0
    if height_unknown or shape[1] <= 0 or gain <= _gain_of_chance(curve.times_s.size, errors):
        out.refused = True
        if _rises(curve):
            out.say(Finding("curve_unlike_model", "The curve rises clearly, but its course is none that this model describes; no numbers are given."))
        else:
            out.say(Finding("no_enhancement", "No enhancement stands out of the scatter of this curve."))
        return out
    if not np.isfinite(shape).all() or not np.isfinite(errors.covariance).all() or (ended == kernels.NO_WAY_DOWN and gain < 0.01):
        out.refused = True
        out.say(Finding("fit_not_converged", "The fit did not settle; no numbers are given.", "serious"))
        return out
    every = (*model.parameter_names, *(d.name for d in DERIVED))
    values = model.derived_of_shape(shape)
    if model.has_peak:
        _judge_bolus(out, model, curve, shape, values, at_bound, every)
    else:
        _judge_replenishment(out, curve, shape, at_bound, every, start_known)
    if ended == kernels.STEPS_USED_UP:
        out.say(Finding("fit_not_converged", "The fit did not settle to its last digit: the data leave one direction open."))
    _judge_rivals(out, model, values, rivals)
    _judge_widths(out, model, values, draws, error, shape)
    if r_squared < LOW_R_SQUARED:
        out.say(Finding("low_r_squared", f"The model explains only {100 * max(r_squared, 0):.0f} % of this curve's variance; look at the curve before using its numbers."))
    return out


def _gain_of_chance(frames: int, errors: FitErrors) -> float:
    # four shape numbers fitted to scatter alone explain about 4 / n of it; frames that err together count once
    independent = max(frames / errors.correlation_frames, 5.0)
    return min(4 * LEAST_GAIN_SD / independent, 0.9)


def _judge_bolus(out: Judgement, model: PerfusionModel, curve: TimeIntensityCurve, shape, values, at_bound, every) -> None:
    times = curve.times_s
    first, last = float(times[0]), float(times[-1])
    arrival, peak, rise = (float(values[n]) for n in ("arrival_s", "ttp_s", "rise_time_s"))
    step = float(np.median(np.diff(times)))
    if 2 in at_bound or 3 in at_bound or 1 in at_bound:
        out.say(Finding("fit_at_bound", "The fitted curve runs to the edge of what is looked for: these frames do not decide it."), every)
    elif 4 in at_bound:
        steepest = float(shape[4]) > 0.5  # at the widest the onset is a jump, and all before the peak hangs on it
        out.say(Finding("fit_at_bound", "The skewness of the curve is at the edge of what is looked for; onset and shape parameters are not given.", "info"), (*SHAPE_OF[model.kind], *(BEFORE_PEAK[:4] if steepest else ())))
    if not first + step < peak < last - step:
        side = "before the first" if peak <= first + step else "after the last"
        out.say(Finding("peak_not_seen", f"The peak lies {side} frame: nothing that depends on it is given."), [n for n in every if n != "arrival_s"])
        if peak <= first + step:
            out.unknown["arrival_s"] = "peak_not_seen"
        return
    if first > arrival + 0.25 * rise:
        out.say(Finding("arrival_not_seen", "The loop starts after the contrast agent arrived: rise time, wash-in and what lies above a baseline are not given."), (*BEFORE_PEAK, "auc", "mtt_s"))
    else:
        on_rise = int(((times >= arrival) & (times <= peak)).sum())
        if on_rise < LEAST_ON_RISE:
            out.say(Finding("few_frames_on_rise", f"Only {on_rise} frames lie between arrival and peak; the rise is not given."), BEFORE_PEAK[:4])
        elif on_rise < FEW_ON_RISE:
            out.say(Finding("few_frames_on_rise", f"Only {on_rise} frames lie between arrival and peak; the rise is coarse."))
    end = (float(model.value_of_shape(times[-1:], shape)[0]) - shape[0]) / shape[1]
    if end > SEEN_FALL:
        out.say(Finding("wash_out_not_seen", f"At the end of the loop the signal is still {100 * end:.0f} % of its peak: wash-out, areas and transit time are not given."), AFTER_PEAK)
    bends = np.concatenate([[max(arrival - rise, first)], times[(times > arrival - rise) & (times < peak + rise)], [min(peak + rise, last)]])
    gap = float(np.diff(bends).max())
    if gap > 0.5 * rise and gap > 3 * step:
        out.say(Finding("gap_in_times", f"Frames are missing for {gap:.1f} s around the rise; the values that depend on it are less sure than their intervals say."))


def _judge_replenishment(out: Judgement, curve: TimeIntensityCurve, shape, at_bound, every, start_known: bool) -> None:
    times = curve.times_s
    if {1, 2, 3} & set(at_bound):
        out.say(Finding("fit_at_bound", "The fitted curve runs to the edge of what is looked for: these frames do not decide it."), every)
        return
    reached = 1 - float(np.exp(-shape[3] * (times[-1] - shape[2])))
    if reached < SEEN_FALL:
        out.say(Finding("plateau_not_seen", f"The loop ends at {100 * reached:.0f} % of the refilling; plateau and rate are not given, their product is."), ("a", "beta_per_s", "peak", "rise_time_s", "mtt_s", "wi_auc"))
    if (times < shape[2]).sum() < LEAST_ON_RISE and not start_known:
        out.say(
            Finding("arrival_not_seen", "The loop does not show the time before refilling began: start, baseline and what lies above it are not given."),
            ("t0_s", "arrival_s", "baseline", "a", "peak", "wash_in_rate", "wi_auc"),
        )


def _judge_rivals(out: Judgement, model: PerfusionModel, values, rivals: np.ndarray) -> None:
    if len(rivals) < 2:
        return
    others = model.derived_of_shape(rivals)
    scale = float(values["rise_time_s"])
    if float(np.nanmax(np.abs(others["rise_time_s"] - scale))) > 0.5 * scale:
        out.say(Finding("ambiguous_fit", "A clearly different curve fits these frames as well; rise and arrival are not given."), BEFORE_PEAK[:4])


def _judge_widths(out: Judgement, model: PerfusionModel, values, draws: np.ndarray, error: float, shape) -> None:
    """Take away what the interval leaves open: half its width over half of the value (times: over half the rise time, at least)."""
    spread = model.derived_of_shape(draws)
    lost = []
    for quantity in DERIVED:
        name = quantity.name
        value = float(values[name])
        if name in out.unknown or not np.isfinite(value):
            continue
        low, high = np.nanpercentile(spread[name], [2.5, 97.5])
        scale = abs(value) if name in _POSITIVE else float(values["rise_time_s"])
        if not (high - low) / 2 <= WIDEST_RELATIVE * scale:
            out.unknown[name] = "not_identified"
            lost.append(quantity.label.split(",")[0].lower())
    named, named_spread = model.parameters(shape), model.parameters(draws)
    open_ones = []
    for n, name in enumerate(model.parameter_names):
        if name in out.unknown or name == "baseline":
            continue
        low, high = np.nanpercentile(named_spread[:, n], [2.5, 97.5])
        scale = abs(float(named[n])) if name in ("auc", "a", "sigma", "alpha", "beta_s", "beta_per_s") else 1.0 if name == "mu" else 2 * float(values["rise_time_s"])
        if not (high - low) / 2 <= max(WIDEST_RELATIVE * scale, 1e-300):
            out.unknown[name] = "not_identified"
            open_ones.append(name)
    if lost:
        out.say(Finding("not_identified", f"These frames do not decide {', '.join(lost)}: the interval is wider than half of the value."))
    elif open_ones:
        out.say(Finding("not_identified", f"The model's own numbers {', '.join(open_ones)} are open; what is read off the curve is not.", "info"))
