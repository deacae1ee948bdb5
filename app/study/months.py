"""Calendar months, clamped to the month's end: 31 January and one month is 28 or 29 February."""

from __future__ import annotations

import calendar
import datetime as dt


def add_months(day: dt.date, months: int) -> dt.date:
    """``day`` moved by whole calendar months (negative: back), the day of the month kept where the month has it, else its last.

    Always count from the anchor, never month by month: 31 January plus two months is 31 March, but
    plus one month twice is 28 March.
    """
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month0 + 1, min(day.day, calendar.monthrange(year, month0 + 1)[1]))
