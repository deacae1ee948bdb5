"""Time to an event: when progression-free survival ends and when it is cut short, overall survival, Kaplan-Meier.

The date of an event is the date of the first scan that shows it, never that of the reading. Censoring follows FDA's guidance
on endpoints for cancer drugs, appendices 2 and 3.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from volumetry.errors import MeasurementRefused
from volumetry.response.statistics import Z95

MISSED_VISITS = 2


@dataclass(frozen=True, slots=True)
class Assessment:
    """One imaging assessment: its scan date, whether it could be judged, whether it shows progression."""

    date: dt.date
    evaluable: bool = True
    progression: bool = False


@dataclass(frozen=True, slots=True)
class TimeToEvent:
    """Days from ``start`` to ``date``; ``event`` False is censored. ``reason`` says by what the time ended: ``progression``,
    ``new_lesion``, ``death``, or why it was censored: ``no_event``, ``no_post_baseline``, ``other_therapy``, ``missed_visits``,
    ``alive``. ``missed_visits`` counts planned visits without an evaluable scan just before the end."""

    start: dt.date
    date: dt.date
    event: bool
    reason: str
    missed_visits: int = 0

    @property
    def days(self) -> int:
        """Whole days."""
        return (self.date - self.start).days

    def to_dict(self) -> dict:
        """Plain values."""
        return {"start": self.start.isoformat(), "date": self.date.isoformat(), "days": self.days, "event": self.event, "reason": self.reason, "missed_visits": self.missed_visits}


def progression_free(
    start: dt.date,
    assessments: Sequence[Assessment],
    *,
    new_lesion: dt.date | None = None,
    death: dt.date | None = None,
    other_therapy: dt.date | None = None,
    planned: Sequence[dt.date] = (),
    max_missed: int | None = None,
) -> TimeToEvent:
    """Progression-free survival of one subject.

    The event is the earliest of the first evaluable scan with progression, the first detection of a new lesion
    (``new_lesion``, also where it was confirmed later) and death. With no event the time is censored at the last evaluable
    assessment, with none after the start on the start itself (Day 0). ``other_therapy`` censors at the last evaluable assessment on or
    before it. ``max_missed`` (2 for the sensitivity table, None for the main one): an event just after that many or more
    ``planned`` visits without an evaluable scan is censored at the last evaluable assessment before them. A date before
    the start is refused, ``date_before_start``.
    """
    after = sorted((a for a in assessments if a.evaluable and a.date >= start), key=lambda a: a.date)
    for what in (new_lesion, death):
        if what is not None and what < start:
            raise MeasurementRefused(f"An event on {what} lies before the start on {start}.", code="date_before_start", hint="Check the event log.")
    events = [(a.date, 0, "progression") for a in after if a.progression][:1]
    if new_lesion is not None:
        events.append((new_lesion, 1, "new_lesion"))
    if death is not None:
        events.append((death, 2, "death"))
    first = min(events, default=None)
    if other_therapy is not None and other_therapy >= start and (first is None or first[0] > other_therapy):
        return _censored(start, [a for a in after if a.date <= other_therapy], "other_therapy")
    if first is None:
        return _censored(start, after, "no_event")
    date, _, reason = first
    seen = [a for a in after if a.date < date]
    last = seen[-1].date if seen else start
    missed = sum(last < p < date for p in planned)
    if max_missed is not None and missed >= max_missed:
        kept = _censored(start, seen, "missed_visits")
        return TimeToEvent(start, kept.date, False, "missed_visits", missed)
    return TimeToEvent(start, date, True, reason, missed)


def _censored(start: dt.date, seen: Sequence[Assessment], reason: str) -> TimeToEvent:
    return TimeToEvent(start, seen[-1].date, False, reason) if seen else TimeToEvent(start, start, False, "no_post_baseline")


def overall(start: dt.date, *, death: dt.date | None = None, last_known_alive: dt.date | None = None) -> TimeToEvent:
    """Overall survival: death is the event; else censored on the last day that the subject was known to be alive."""
    if death is not None:
        if death < start:
            raise MeasurementRefused(f"A death on {death} lies before the start on {start}.", code="date_before_start", hint="Check the event log.")
        return TimeToEvent(start, death, True, "death")
    last = start if last_known_alive is None or last_known_alive < start else last_known_alive
    return TimeToEvent(start, last, False, "alive" if last > start else "no_post_baseline")


@dataclass(frozen=True, slots=True, eq=False)
class KaplanMeier:
    """A product-limit curve. ``time`` holds the distinct times (events and censorings) in their unit, ``at_risk``,
    ``events`` and ``censored`` the counts there, ``survival`` the share just after, ``low`` and ``high`` its 95 % band (NaN where it
    does not exist: before the first event and at 0)."""

    time: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    censored: np.ndarray
    survival: np.ndarray
    standard_error: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def median(self) -> float | None:
        """The first time at which the share is one half or less; None where it never is."""
        below = np.nonzero(self.survival <= 0.5 + 1e-12)[0]
        return float(self.time[below[0]]) if len(below) else None

    def at(self, time: float) -> float:
        """The share free of the event just after ``time``. Beyond the last time it is not known: NaN unless 0."""
        if len(self.time) and time > self.time[-1] and self.survival[-1] > 0:
            return math.nan
        before = np.nonzero(self.time <= time)[0]
        return float(self.survival[before[-1]]) if len(before) else 1.0

    def to_dict(self) -> dict:
        """Plain lists of equal length, ``median`` and the number of subjects."""
        columns = {name: getattr(self, name).tolist() for name in ("time", "at_risk", "events", "censored", "survival", "standard_error", "low", "high")}
        return {**{k: [None if isinstance(v, float) and math.isnan(v) else v for v in values] for k, values in columns.items()}, "median": self.median, "n": int(self.at_risk[0]) if len(self.at_risk) else 0}


def kaplan_meier(times: Sequence[float], event: Sequence[bool]) -> KaplanMeier:
    """Product-limit estimate (Kaplan and Meier 1958) of ``times`` (>= 0, any unit) with ``event`` False where censored.

    A subject censored at a time is still at risk of the events at that time. Variance after Greenwood, band by the
    complementary log-log transform (Kalbfleisch and Prentice). Refuses ``count_not_valid``.
    """
    t, e = np.asarray(times, dtype=float), np.asarray(event, dtype=bool)
    if t.shape != e.shape or t.ndim != 1 or not np.all(np.isfinite(t)) or np.any(t < 0):
        raise MeasurementRefused("Survival needs one time of zero or more for every subject.", code="count_not_valid")
    distinct = np.unique(t)
    deaths = np.array([np.count_nonzero(e & (t == x)) for x in distinct], dtype=int)
    lost = np.array([np.count_nonzero(~e & (t == x)) for x in distinct], dtype=int)
    risk = np.array([np.count_nonzero(t >= x) for x in distinct], dtype=int)
    share = np.cumprod(1 - deaths / np.maximum(risk, 1)) if len(distinct) else np.empty(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(deaths / (risk * (risk - deaths).astype(float)))
        error = share * np.sqrt(greenwood)
        theta = Z95 * np.sqrt(greenwood) / np.log(share)
        low, high = share ** np.exp(-theta), share ** np.exp(theta)
    none = ~np.isfinite(low) | ~np.isfinite(high) | (share <= 0) | (share >= 1)
    error = np.where(share <= 0, np.nan, error)
    low, high = np.where(none, np.nan, low), np.where(none, np.nan, high)
    return KaplanMeier(distinct, risk, deaths, lost, share, error, np.fmin(low, high), np.fmax(low, high))
