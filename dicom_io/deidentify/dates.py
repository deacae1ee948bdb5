"""Dates and times that keep their intervals and nothing else (PS3.15 E.3.6, modified dates).

All dates of a subject move by one number of whole days, so that intervals between visits stay exact. Times of
day are hidden too: a study is told as if it had begun at noon, and everything else in it keeps its distance
from that beginning. Without a study time there is nothing to count from, and times are taken out.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_io.deidentify.uids import days_back
from dicom_io.headers import text

_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")
_MOMENT = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?(?:[+-]\d{4})?")
_DAY = dt.timedelta(days=1)
NOON = dt.timedelta(hours=12)


def parse_date(value: str) -> dt.date | None:
    """A DICOM date (``YYYYMMDD``, or the old ``YYYY.MM.DD``); None where it is not one."""
    plain = value.strip().replace(".", "")
    try:
        return dt.datetime.strptime(plain, "%Y%m%d").date() if re.fullmatch(r"\d{8}", plain) else None
    except ValueError:
        return None


def parse_time(value: str) -> tuple[dt.timedelta, int] | None:
    """A DICOM time as the time since midnight and its number of decimals; None where it is not one."""
    found = _TIME.fullmatch(value.strip())
    if not found:
        return None
    hours, minutes, seconds, fraction = found.groups()
    since = dt.timedelta(hours=int(hours), minutes=int(minutes or 0), seconds=int(seconds or 0), microseconds=int((fraction or "0").ljust(6, "0")))
    return (since, len(fraction or "")) if since < _DAY and int(minutes or 0) < 60 and int(seconds or 0) <= 60 else None


def _time_text(since: dt.timedelta, decimals: int) -> str:
    whole, micro = divmod(round(since / dt.timedelta(microseconds=1)), 1_000_000)
    plain = f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}"
    return plain + (f".{micro:06d}"[: decimals + 1] if decimals else "")


@dataclass(frozen=True, slots=True)
class DateShift:
    """How the dates of one file move: ``days`` back, and by ``clock`` within the day (None: times are not known)."""

    days: int
    clock: dt.timedelta | None

    def date(self, value: str) -> str | None:
        """A date moved by whole days; None where it cannot be read."""
        day = parse_date(value)
        return None if day is None or day.toordinal() <= self.days else f"{day - self.days * _DAY:%Y%m%d}"

    def time(self, value: str) -> str | None:
        """A time of day on its own, moved around the clock; None where it cannot be read or told."""
        found = parse_time(value)
        return None if found is None or self.clock is None else _time_text((found[0] + self.clock) % _DAY, found[1])

    def pair(self, date: str, time: str) -> tuple[str | None, str | None]:
        """A date and the time that belongs to it, moved as one moment."""
        day, since = parse_date(date), parse_time(time)
        if day is None or since is None or self.clock is None:
            return self.date(date), self.time(time)
        carried, rest = divmod(since[0] + self.clock, _DAY)
        return self.date(f"{day + carried * _DAY:%Y%m%d}"), _time_text(rest, since[1])

    def moment(self, value: str) -> str | None:
        """A date-time moved as one; its zone goes, and its time where times are not known."""
        found = _MOMENT.fullmatch(value.strip())
        if not found:
            return None
        date, time = found.groups()
        moved, clock = self.pair(date, time) if time else (self.date(date), None)
        return None if moved is None else moved + (clock or "")


def shift_of(ds: Dataset, subject: str, key: bytes) -> DateShift:
    """The shift of a file: the subject's days, and the clock that makes its study begin at noon."""
    began = parse_time(text(ds, "StudyTime") or "")
    return DateShift(days_back(subject, key), None if began is None else NOON - began[0])


def shift_iso(value: str | None, days: int) -> str | None:
    """An ISO date, or the date of an ISO time stamp, moved back by ``days``; None stays None."""
    if value is None:
        return None
    return f"{dt.date.fromisoformat(value[:10]) - days * _DAY:%Y-%m-%d}{value[10:]}"


def partner(keyword: str) -> str | None:
    """The element that tells the time of a date: ``StudyTime`` for ``StudyDate``; None where there can be none."""
    return keyword.replace("Date", "Time") if "Date" in keyword and "DateTime" not in keyword else None
