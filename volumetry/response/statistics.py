"""Rates and means with everything that a reader needs to judge them: counts, missing by reason, interval, how it was made.

Subjects are independent of each other, their nodes are not: a rate over subjects has Wilson's interval, anything over
nodes has an interval from resampling whole subjects, whose seed travels with the number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from volumetry.errors import MeasurementRefused

SEED = 20260101
RESAMPLES = 2000
Z95 = 1.959963984540054  # 97.5 % point of the normal distribution


def wilson(successes: int, total: int, z: float = Z95) -> tuple[float, float] | None:
    """Wilson's score interval of a proportion as two shares between 0 and 1; None where ``total`` is 0.

    (p + z²/2n -+ z √(p(1-p)/n + z²/4n²)) / (1 + z²/n) (Wilson, J Am Stat Assoc 1927;22:209). Refuses ``count_not_valid``.
    """
    if not (0 <= successes <= total):
        raise MeasurementRefused(f"{successes} of {total} is no share.", code="count_not_valid")
    if total == 0:
        return None
    share = successes / total
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # At 0 and at all, rounding must not push the bound past the share itself.
    low = 0.0 if successes == 0 else (middle - half) / scale
    high = 1.0 if successes == total else (middle + half) / scale
    return low, high


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A mean over nodes and its 95 % percentile interval from resampling subjects. ``interval`` is None with fewer than
    two subjects, whose spread nobody can know; ``note`` says so."""

    value: float | None
    interval: tuple[float, float] | None
    seed: int
    resamples: int
    clusters: int
    note: str = ""

    def to_dict(self) -> dict:
        """Plain values."""
        return {
            "value": self.value, "interval": None if self.interval is None else list(self.interval), "interval_from": "subject-clustered bootstrap",
            "seed": self.seed, "resamples": self.resamples, "subjects": self.clusters, "note": self.note,
        }  # fmt: skip


@lru_cache(maxsize=16)
def _draws(subjects: int, seed: int, resamples: int) -> np.ndarray:
    """How often each subject is drawn, [resample, subject]: the same for every table of that many subjects."""
    drawn = np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples).astype(float)
    drawn.setflags(write=False)
    return drawn


def clustered_bootstrap(values: Sequence[float], clusters: Sequence[str], *, seed: int = SEED, resamples: int = RESAMPLES) -> Bootstrap:
    """Mean of ``values`` (one a node, any unit) with the 95 % percentile interval of resampled subjects.

    ``clusters`` names each value's subject. Subjects are drawn with replacement, with all their nodes; the mean of a draw
    weighs every node alike (Field and Welsh, J R Stat Soc B 2007;69:369). The order of the values does not matter: subjects
    are sorted by name, and the seed fixes the draws. Refuses ``count_not_valid`` where the lengths differ.
    """
    if len(values) != len(clusters):
        raise MeasurementRefused("Every value needs its subject.", code="count_not_valid")
    if not values:
        return Bootstrap(None, None, seed, resamples, 0, "No value.")
    names, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    numbers = np.asarray(values, dtype=float)
    mean = math.fsum(numbers.tolist()) / len(numbers)
    if len(names) < 2:
        return Bootstrap(mean, None, seed, resamples, len(names), "No interval: one subject alone shows no spread between subjects.")
    totals = np.bincount(index, weights=numbers, minlength=len(names))
    counts = np.bincount(index, minlength=len(names)).astype(float)
    drawn = _draws(len(names), seed, resamples)
    means = (drawn @ totals) / (drawn @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return Bootstrap(mean, (float(low), float(high)), seed, resamples, len(names))


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with what it is made of. ``missing`` counts by reason what is neither in numerator nor denominator, or (for a
    denominator that holds everybody treated) what is in it without having been assessed. Shares in percent."""

    numerator: int
    denominator: int
    of: str
    missing: Mapping[str, int] = field(default_factory=dict)
    interval_pct: tuple[float, float] | None = None
    interval_from: str | None = None
    seed: int | None = None

    @property
    def pct(self) -> float | None:
        """The share; None where the denominator is 0."""
        return None if self.denominator == 0 else 100.0 * self.numerator / self.denominator

    def to_dict(self) -> dict:
        """Plain values; ``missing`` by reason, and in all."""
        return {
            "numerator": self.numerator, "denominator": self.denominator, "of": self.of, "pct": self.pct,
            "interval_pct": None if self.interval_pct is None else list(self.interval_pct), "interval_from": self.interval_from, "seed": self.seed,
            "missing": dict(sorted(self.missing.items())), "n_missing": sum(self.missing.values()),
        }  # fmt: skip


def subject_rate(yes: Sequence[bool], *, of: str, missing: Mapping[str, int] | None = None) -> Rate:
    """The share of subjects for whom something holds, with Wilson's interval."""
    interval = wilson(sum(yes), len(yes))
    percent = None if interval is None else (100 * interval[0], 100 * interval[1])
    return Rate(sum(yes), len(yes), of, dict(missing or {}), percent, None if percent is None else "Wilson")


def node_rate(yes: Sequence[bool], subjects: Sequence[str], *, of: str, missing: Mapping[str, int] | None = None, seed: int = SEED, resamples: int = RESAMPLES) -> Rate:
    """The share of nodes for which something holds, with the interval of resampled subjects. Where all nodes or none have
    it, resampling shows no spread and its interval would claim certainty: none is given, and ``interval_from`` says so."""
    if len(yes) and len(set(yes)) == 1:
        return Rate(sum(yes), len(yes), of, dict(missing or {}), None, "none: all nodes alike", seed)
    made = clustered_bootstrap([float(y) for y in yes], subjects, seed=seed, resamples=resamples)
    percent = None if made.interval is None else (100 * made.interval[0], 100 * made.interval[1])
    return Rate(sum(yes), len(yes), of, dict(missing or {}), percent, "subject-clustered bootstrap" if percent else made.note or None, seed)
