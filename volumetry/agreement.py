"""How well readers agree: intraclass correlation, Bland-Altman, repeatability.

Formulas: Shrout and Fleiss, Psychol Bull 1979;86:420 and McGraw and Wong, Psychol Methods 1996;1:30
(ICC with intervals); Bland and Altman, Lancet 1986;1:307 (limits and their intervals) and BMJ
1996;313:744 (within-subject standard deviation, repeatability 1.96 sqrt(2) wSD = 2.77 wSD).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding

REPEATABILITY = 1.96 * math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval; None where it does not exist (no variation at all)."""

    value: float | None
    interval: tuple[float, float] | None

    def to_dict(self) -> dict:
        """``{"value", "interval"}``."""
        return {"value": self.value, "interval": None if self.interval is None else list(self.interval)}


@dataclass(frozen=True, slots=True)
class MeanSquares:
    """Two-way analysis of variance of items x readers: between items, within items, between
    readers, residual; with the number of items and readers."""

    between_items: float
    within_items: float
    between_readers: float
    residual: float
    items: int
    readers: int


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Differences first - second: mean, standard deviation, limits of agreement and the intervals of
    mean and limits. With ``log`` they are differences of natural logarithms; ``ratios`` gives the
    back-transformed mean and limits as first / second."""

    mean: float
    sd: float
    limits: tuple[float, float]
    mean_interval: tuple[float, float]
    limits_intervals: tuple[tuple[float, float], tuple[float, float]]
    pairs: int
    log: bool = False

    @property
    def ratios(self) -> tuple[float, float, float] | None:
        """(mean, lower limit, upper limit) of first / second; None unless ``log``."""
        return tuple(math.exp(v) for v in (self.mean, *self.limits)) if self.log else None

    def to_dict(self) -> dict:
        """Plain numbers for JSON."""
        out = {
            "mean": self.mean,
            "sd": self.sd,
            "limits": list(self.limits),
            "mean_interval": list(self.mean_interval),
            "limits_intervals": [list(v) for v in self.limits_intervals],
            "pairs": self.pairs,
        }
        if self.log:
            out["ratios"] = list(self.ratios)
        return out


def mean_squares(table) -> MeanSquares:
    """Mean squares of ``table`` (items, readers). Refuses less than two items or readers
    (``too_few``) and anything but finite numbers (``not_a_number``)."""
    x = np.asarray(table, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise MeasurementRefused("Agreement needs at least two items read by at least two readers.", code="too_few")
    if not np.isfinite(x).all():
        raise MeasurementRefused("A reading is missing or not a number.", code="not_a_number")
    n, k = x.shape
    grand = x.mean()
    items = k * ((x.mean(axis=1) - grand) ** 2).sum()
    readers = n * ((x.mean(axis=0) - grand) ** 2).sum()
    within = ((x - x.mean(axis=1, keepdims=True)) ** 2).sum()
    residual = ((x - x.mean(axis=1, keepdims=True) - x.mean(axis=0, keepdims=True) + grand) ** 2).sum()
    return MeanSquares(items / (n - 1), within / (n * (k - 1)), readers / (k - 1), residual / ((n - 1) * (k - 1)), n, k)


def intraclass_correlations(table) -> dict[str, Estimate]:
    """The six forms of Shrout and Fleiss with 95 % intervals, from ``table`` (items, readers)."""
    m = mean_squares(table)
    n, k = m.items, m.readers
    b, w, j, e = m.between_items, m.within_items, m.between_readers, m.residual
    names = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")
    if not b > 0 or not w > 0:  # all items alike, or all readers: the ratio or its interval does not exist
        only = 1.0 if b > 0 else None
        return dict.fromkeys(names, Estimate(only, None))
    one = (b - w) / (b + (k - 1) * w)
    two = (b - e) / (b + (k - 1) * e + k * (j - e) / n)
    three = (b - e) / (b + (k - 1) * e)

    def ratio_interval(within: float, within_df: int) -> tuple[float, float] | None:
        """Interval of the single-reader ICC from F = between / within."""
        if within <= 0:
            return None
        f = b / within
        low = f / stats.f.ppf(0.975, n - 1, within_df)
        high = f * stats.f.ppf(0.975, within_df, n - 1)
        return (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)

    def two_way_interval() -> tuple[float, float] | None:
        """ICC(2,1): Satterthwaite's degrees of freedom for the denominator (Shrout and Fleiss)."""
        if e <= 0:
            return None
        f = j / e
        a = n * (1 + (k - 1) * two) - k * two
        v = (k - 1) * (n - 1) * (k * two * f + a) ** 2 / ((n - 1) * k**2 * two**2 * f**2 + a**2)
        up, down = stats.f.ppf(0.975, n - 1, v), stats.f.ppf(0.975, v, n - 1)
        rest = k * j + (k * n - k - n) * e
        return n * (b - up * e) / (up * rest + n * b), n * (down * b - e) / (rest + n * down * b)

    def of_mean(value: float) -> float:
        """Spearman-Brown: from one reader to the mean of k."""
        return k * value / (1 + (k - 1) * value)

    intervals = (ratio_interval(w, n * (k - 1)), two_way_interval(), ratio_interval(e, (n - 1) * (k - 1)))
    single = [Estimate(float(v), None if i is None else (float(i[0]), float(i[1]))) for v, i in zip((one, two, three), intervals)]
    mean = [Estimate(of_mean(s.value), None if s.interval is None else (of_mean(s.interval[0]), of_mean(s.interval[1]))) for s in single]
    return dict(zip(names, single + mean))


def bland_altman(first, second, log: bool = False, multiplier: float = 1.96) -> BlandAltman:
    """Limits of agreement of paired readings ``first - second`` (at least three pairs).

    Standard errors: s / sqrt(n) of the mean and s sqrt(3 / n) of a limit, with Student's t on n - 1
    degrees of freedom (Bland and Altman 1986). ``log`` works on logarithms and refuses readings
    that are not positive (``not_positive``).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or a.size < 3:
        raise MeasurementRefused("Bland and Altman's limits need at least three pairs of readings.", code="too_few")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise MeasurementRefused("A reading is missing or not a number.", code="not_a_number")
    if log:
        if min(a.min(), b.min()) <= 0:
            raise MeasurementRefused("Ratios need volumes larger than zero.", code="not_positive")
        a, b = np.log(a), np.log(b)
    d = a - b
    n, mean, sd = d.size, float(d.mean()), float(d.std(ddof=1))
    t = float(stats.t.ppf(0.975, n - 1))
    of_mean, of_limit = t * sd / math.sqrt(n), t * sd * math.sqrt(3 / n)
    low, high = mean - multiplier * sd, mean + multiplier * sd
    return BlandAltman(
        mean,
        sd,
        (low, high),
        (mean - of_mean, mean + of_mean),
        ((low - of_limit, low + of_limit), (high - of_limit, high + of_limit)),
        n,
        log,
    )


def within_subject_sd(groups: Iterable[Iterable[float]]) -> float:
    """Within-subject standard deviation: root of the pooled variance of repeated readings.

    ``groups`` are the repeats of one item each; groups of one reading do not count. Refuses
    ``too_few`` where nothing was read twice.
    """
    squares, freedom = 0.0, 0
    for group in groups:
        x = np.asarray(list(group), dtype=np.float64)
        if x.size > 1:
            squares += float(((x - x.mean()) ** 2).sum())
            freedom += x.size - 1
    if freedom == 0:
        raise MeasurementRefused("Repeatability needs items that were read at least twice.", code="too_few")
    return math.sqrt(squares / freedom)


def agreement_from_rows(rows: Iterable[tuple[str, str, str, float]]) -> dict:
    """The answer of ``nodus agreement``: from rows ``(item, reader, replicate, value)``.

    ICC and Bland-Altman use each reader's first replicate of the items that every reader has read
    (the others are counted in a warning); readers stand in the order in which they first appear,
    differences are first minus second. Bland-Altman is for the first two readers; with more readers
    every pair is under ``bland_altman_pairs``. ``bland_altman_log`` is None where a reading is not
    positive. The within-subject SD is that of replicates by one reader where there are any, else
    between readers (``within_subject_of`` says which).
    """
    values: dict[tuple[str, str], list[tuple[str, float]]] = {}
    items: dict[str, None] = {}
    readers: dict[str, None] = {}
    for item, reader, replicate, value in rows:
        number = float(value)
        if not math.isfinite(number):
            raise MeasurementRefused(f"The reading of {item} by {reader} is not a number.", code="not_a_number")
        items.setdefault(item)
        readers.setdefault(reader)
        repeats = values.setdefault((item, reader), [])
        if any(r == replicate for r, _ in repeats):
            raise MeasurementRefused(f"{reader} has two readings {replicate} of {item}.", code="duplicate_reading")
        repeats.append((replicate, number))
    if len(readers) < 2:
        raise MeasurementRefused("Agreement needs at least two readers.", code="too_few")
    first = {key: repeats[0][1] for key, repeats in values.items()}
    complete = [i for i in items if all((i, r) in first for r in readers)]
    warnings = []
    if len(complete) < len(items):
        warnings.append(Finding("incomplete_items", f"{len(items) - len(complete)} of {len(items)} items were not read by every reader and are left out."))
    table = np.array([[first[i, r] for r in readers] for i in complete])
    if len(complete) < 2:
        raise MeasurementRefused("Fewer than two items were read by every reader.", code="too_few")
    names = list(readers)
    pairs = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    enough = len(complete) >= 3
    plain = [bland_altman(table[:, a], table[:, b]) for a, b in pairs] if enough else []
    logs = [bland_altman(table[:, a], table[:, b], log=True) for a, b in pairs] if enough and table.min() > 0 else []
    if not enough:
        warnings.append(Finding("too_few_pairs", "Limits of agreement need at least three items."))
    replicated = [[v for _, v in repeats] for repeats in values.values()]
    by_reader = any(len(g) > 1 for g in replicated)
    wsd = within_subject_sd(replicated if by_reader else table)
    out = {
        "icc": {name: e.to_dict() for name, e in intraclass_correlations(table).items()},
        "bland_altman": plain[0].to_dict() if plain else None,
        "bland_altman_log": logs[0].to_dict() if logs else None,
        "within_subject_sd": wsd,
        "within_subject_of": "replicates" if by_reader else "readers",
        "repeatability_coefficient": REPEATABILITY * wsd,
        "items": len(complete),
        "readers": names,
        "warnings": [w.as_warning() for w in warnings],
    }
    if len(pairs) > 1 and plain:
        out["bland_altman_pairs"] = [{"readers": [names[a], names[b]], **p.to_dict()} for (a, b), p in zip(pairs, plain)]
    return out
