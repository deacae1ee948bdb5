"""What the samples say together: percentiles with their doubt, the needle that costs most, the map of probabilities."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from planning.robustness.sampling import COMPARED_V_PER_CM, REACH_MM, TOLERANCE, displacement_mm, moved
from volumetry.geometry import ImageGeometry

if TYPE_CHECKING:
    from planning.robustness.job import Outcome, RobustnessJob

PERCENTILES = (5, 50, 95)
CONFIDENCE = 0.95
ENOUGH = 72  # 0.95 ** 72 < 0.025: the least of so many lies under the 5th percentile
WORST_LOOKED_AT = 5
FULL_PCT = 99.9
SHIFT_MOST_PCT = 0.3  # of coverage, between the samples' box and the plan's own, that goes without a word
GAIN_LEAST_PCT = 0.01  # below it no needle is said to cost cover
KINDS = ("chosen", "compared", "drawn")


@dataclass(frozen=True, slots=True, eq=False)
class Robustness:
    """``answer`` as of ``nodus robustness``; ``samples``: one row a sample; ``probability`` and ``probability_drawn``: share of the
    solved samples whose field reaches the chosen (drawn) threshold, float32 ``[k, j, i]`` on ``geometry``."""

    answer: dict
    samples: tuple[dict, ...]
    probability: np.ndarray
    probability_drawn: np.ndarray
    geometry: ImageGeometry

    def to_dict(self) -> dict:
        """The answer object."""
        return self.answer


def percentile_interval(values: np.ndarray, pct: float, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """Interval that holds the true percentile with at least ``confidence``, whatever the distribution: order statistics with
    exact binomial ranks (Conover, Practical Nonparametric Statistics, 3.2). None where there are too few values for a bound."""
    ordered, n, p, tail = np.sort(values), len(values), pct / 100.0, 0.5 * (1.0 - confidence)
    below = stats.binom.cdf(np.arange(n), n, p)  # below[r - 1] = P(fewer than r values lie under the percentile)
    low, high = np.flatnonzero(below <= tail), np.flatnonzero(below >= 1.0 - tail)
    return (float(ordered[low[-1]]) if low.size else None), (float(ordered[high[0]]) if high.size else None)


def share_interval(hits: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact (Clopper and Pearson 1934) interval of a share."""
    tail = 0.5 * (1.0 - confidence)
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, of - hits + 1))
    high = 1.0 if hits == of else float(stats.beta.ppf(1.0 - tail, hits + 1, of - hits))
    return low, high


def summarise(job: RobustnessJob, planned: Outcome, whole: Outcome | None, samples: list[Outcome], put_right: dict[tuple[int, int], Outcome], counts: np.ndarray) -> Robustness:
    """Percentiles, worst needle and maps of a finished run. ``counts``: ``(2, k, j, i)`` solved samples at or above the threshold."""
    ok = np.array([o.code is None for o in samples])
    solved = int(ok.sum())
    # A needle that cannot be solved where it landed covers nothing: the cautious figures count it so.
    joint = np.array([_joint_pct(o) if o.code is None else (0.0, 0.0, 0.0) for o in samples])
    rows = []
    for n, name in enumerate(job.names):
        values = np.array([_target_pct(o, n) if o.code is None else (0.0, 0.0, 0.0) for o in samples])
        rows.append({"name": name, **_figures(values, ok, _target_pct(planned, n))})
    full = int((joint[:, 0] >= FULL_PCT).sum())
    needles = _needles(job, samples, put_right, joint, ok)
    worst = max(needles, key=lambda r: (r["gain_if_placed_pct"] or 0.0, r["gain_if_placed_compared_pct"] or 0.0))
    costs = max(worst["gain_if_placed_pct"] or 0.0, worst["gain_if_placed_compared_pct"] or 0.0) > GAIN_LEAST_PCT
    currents = np.array([o.current_most_a for o in samples if o.code is None])
    warnings = [] if job.plan.source is None else job.plan.source.warnings()
    if solved < len(samples):
        warnings.append({"code": "samples_failed", "message": f"{len(samples) - solved} of {len(samples)} samples could not be solved: they count as uncovered."})
    uncut = _joint_pct(whole) if whole is not None and whole.code is None else None
    shift = 0.0 if uncut is None else max((b - a for a, b in zip(uncut[:2], _joint_pct(planned)[:2], strict=True)), key=abs)
    if abs(shift) > SHIFT_MOST_PCT:
        warnings.append({"code": "box_cut", "message": f"In the samples' smaller box the plan's own coverage differs by {shift:+.1f} % from that in its whole box: read the percentiles with that shift."})
    if len(samples) < ENOUGH:
        warnings.append({"code": "few_samples", "message": f"{len(samples)} samples are too few to bound the 5th percentile from below; take {ENOUGH} or more."})
    answer = {
        "samples": len(samples), "solved": solved, "failed": dict(Counter(o.code for o in samples if o.code is not None)), "seed": job.seed,
        "spread": job.spread.to_dict(), "lethal_v_per_cm": job.plan.lethal_v_per_cm, "compared_v_per_cm": COMPARED_V_PER_CM,
        "coverage_pct": _figures(joint, ok, _joint_pct(planned)),
        "targets": rows,
        "full_cover": {"at_least_pct": FULL_PCT, "share": full / len(samples), "interval_95": list(share_interval(full, len(samples)))},
        "needles": needles, "worst_needle": worst["id"] if costs else None, "worst_samples": sorted({i for i, _ in put_right}),
        "current_most_a": {"planned": planned.current_most_a, **({f"p{p}": float(np.percentile(currents, p)) for p in PERCENTILES} if solved else {})},
        "map": {"samples": solved, "interval_95_at_half": list(share_interval(solved // 2, solved)) if solved else None},
        "planned_in_whole_box_pct": None if uncut is None else dict(zip(KINDS[:2], uncut, strict=False)),
        "grid": {"shape": list(job.grid.shape[::-1]), "spacing_mm": job.grid.spacing_mm, "tolerance": TOLERANCE, "reach_mm": REACH_MM},
        "warnings": warnings,
    }  # fmt: skip
    share = (counts / max(solved, 1)).astype(np.float32)
    share.setflags(write=False)
    return Robustness(answer, tuple(_row(job, o) for o in samples), share[0], share[1], job.grid.geometry)


def _target_pct(o: Outcome, n: int) -> tuple[float, ...]:
    return tuple(100.0 * c / o.volume_ml[n] if o.volume_ml[n] > 0 else 0.0 for c in o.covered_ml[n])


def _joint_pct(o: Outcome) -> tuple[float, ...]:
    """All targets as one."""
    volume = sum(o.volume_ml)
    return tuple(100.0 * sum(c[n] for c in o.covered_ml) / volume if volume > 0 else 0.0 for n in range(3))


def _figures(values: np.ndarray, ok: np.ndarray, planned: tuple[float, ...]) -> dict:
    """Percentiles of ``(samples, 3)`` coverages by kind of threshold."""
    out = {}
    for n, kind in enumerate(KINDS):
        column = values[:, n]
        out[kind] = {"planned": planned[n], **{f"p{p}": float(np.percentile(column, p)) for p in PERCENTILES}, "least": float(column.min()),
                     "p5_interval_95": list(percentile_interval(column, 5)),
                     "p5_without_failed": float(np.percentile(column[ok], 5)) if ok.any() else None}
    out["drawn"].pop("planned")  # the plan has no drawn threshold
    return out


def _needles(job, samples, put_right, joint, ok) -> list[dict]:
    """For each needle: what cover the worst samples would win (mean) had it alone been placed as planned, and how cover ranks with
    its displacement over all samples."""
    draws = [job.draw(n) for n in range(len(samples))]
    out = []
    for n, e in enumerate(job.plan.electrodes):
        gains = np.array([np.subtract(_joint_pct(o), joint[i]) for (i, placed), o in sorted(put_right.items()) if placed == n and o.code is None]).reshape(-1, len(KINDS))
        away = np.array([displacement_mm(e, moved(e, d.offset_mm[n], d.angle_deg[n], d.azimuth_rad[n])) for d in draws])
        varied = ok.sum() > 2 and np.ptp(away[ok]) > 0 and np.ptp(joint[ok, 0]) > 0
        mean = [float(v) for v in gains.mean(axis=0)] if len(gains) else [None] * len(KINDS)
        out.append({"id": e.id, "gain_if_placed_pct": mean[0], "gain_if_placed_compared_pct": mean[1],
                    "rank_correlation": float(stats.spearmanr(away[ok], joint[ok, 0]).statistic) if varied else None})
    return out


def _row(job, o) -> dict:
    d = job.draw(o.item.index)
    row = {"index": o.item.index, "code": o.code, "message": o.message, "threshold_v_per_cm": d.threshold_v_per_cm, "sigma_factors": [float(f) for f in d.sigma_factor],
           "needles": [{"id": e.id, "offset_mm": [float(v) for v in d.offset_mm[n]], "angle_deg": float(d.angle_deg[n]), "azimuth_rad": float(d.azimuth_rad[n])} for n, e in enumerate(job.plan.electrodes)],
           "current_most_a": o.current_most_a, "coverage_pct": None, "targets": None}  # fmt: skip
    if o.code is None:
        row["coverage_pct"] = dict(zip(KINDS, _joint_pct(o), strict=True))
        row["targets"] = [dict(zip(KINDS, _target_pct(o, n), strict=True)) for n in range(len(o.volume_ml))]
    return row
