"""Volume reduction rate: how much smaller a node is than at baseline, and how sure that is.

VRR = (V0 - Vt) / V0 x 100. It is never clipped: a swollen ablation zone gives a negative rate, and
only a node assessed as gone has Vt = 0 and 100 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding


@dataclass(frozen=True, slots=True)
class VRR:
    """Volume reduction rate in percent; ``interval_pct`` is its 95 % interval in percentage points,
    None where no repeatability was stated."""

    vrr_pct: float
    interval_pct: tuple[float, float] | None = None

    def to_dict(self) -> dict:
        """The answer of ``nodus vrr --json``."""
        return {"vrr_pct": self.vrr_pct, "interval_pct": None if self.interval_pct is None else list(self.interval_pct)}


@dataclass(frozen=True, slots=True)
class MeasuredBy:
    """What decides whether two volumes may be compared: ``modality`` (CT, US, CEUS, MR) and
    ``method`` (voxel, coverage, ellipsoid, ...) of one reading, as stored."""

    modality: str
    method: str


def volume_reduction_rate(baseline_ml: float, followup_ml: float, cv_pct: float | None = None) -> VRR:
    """VRR of one node from its baseline and follow-up volume in ml.

    ``cv_pct`` is the coefficient of variation of one volume reading (same at both visits). The
    interval is VRR -+ 1.96 sqrt(2) CV Vt/V0 percentage points: to first order the variance of Vt/V0
    is (Vt/V0)^2 (CV^2 + CV^2). Refuses ``baseline_not_positive``, ``followup_not_valid`` (negative
    or not finite) and ``cv_not_valid``.
    """
    baseline = _number(baseline_ml)
    followup = _number(followup_ml)
    if baseline is None or baseline <= 0:
        raise MeasurementRefused(
            f"A baseline volume of {baseline_ml} ml gives no reduction rate: it must be larger than zero.",
            code="baseline_not_positive",
            hint="Check the baseline reading of this node.",
        )
    if followup is None or followup < 0:
        raise MeasurementRefused(
            f"A follow-up volume of {followup_ml} ml cannot be: it must be zero or larger.",
            code="followup_not_valid",
            hint="A node that was not assessed has no volume; leave it out instead of giving a number.",
        )
    ratio = followup / baseline
    vrr = (1.0 - ratio) * 100.0
    if cv_pct is None:
        return VRR(vrr)
    cv = _number(cv_pct)
    if cv is None or cv < 0:
        raise MeasurementRefused(f"A repeatability of {cv_pct} % cannot be: it must be zero or larger.", code="cv_not_valid")
    half = 1.96 * math.sqrt(2.0) * cv * ratio
    return VRR(vrr, (vrr - half, vrr + half))


def vrr_from_intervals(baseline_ml: float, baseline_interval_ml, followup_ml: float, followup_interval_ml) -> VRR:
    """VRR with an interval from the two volumes' own 95 % intervals ``(low, high)`` in ml.

    Each side of a volume's interval is taken as 1.96 standard deviations of its logarithm's first
    order; both visits count as independent, so for one reader's steady bias this is too wide, never
    too narrow. The upper bound is at most 100: a volume is not negative.
    """
    plain = volume_reduction_rate(baseline_ml, followup_ml)
    ratio = followup_ml / baseline_ml
    low0, high0 = baseline_interval_ml
    low1, high1 = followup_interval_ml
    more = math.hypot((high1 - followup_ml) / baseline_ml, ratio * (baseline_ml - low0) / baseline_ml)
    less = math.hypot((followup_ml - low1) / baseline_ml, ratio * (high0 - baseline_ml) / baseline_ml)
    return VRR(plain.vrr_pct, (plain.vrr_pct - 100 * more, min(100.0, plain.vrr_pct + 100 * less)))


def comparable(baseline: MeasuredBy, followup: MeasuredBy) -> Finding | None:
    """None where the two readings may be compared, else the finding that says why not.

    Volumes of unlike modality or method differ by more than a node changes (2D ellipsoid against
    3D: 18 against 4 % mean error on neck nodes, Ying and Pang), so such a rate is computed and
    shown but left out of endpoints.
    """
    for what, a, b in (("modality", baseline.modality, followup.modality), ("method", baseline.method, followup.method)):
        if a.strip().lower() != b.strip().lower():
            return Finding(
                f"unlike_{what}",
                f"Baseline was read by {a} and follow-up by {b}: the rate is shown but not used for endpoints.",
            )
    return None


def _number(value) -> float | None:
    """``value`` as a finite float, None where it is not one."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
