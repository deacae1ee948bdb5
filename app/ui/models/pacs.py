"""Words of a PACS query: names as people read them, searches as people type them."""

from __future__ import annotations

import datetime as dt

MODALITIES = ("", "CT", "US", "MR", "PT")
DATE_NAMES = {"any": "Any date", "today": "Today", "week": "Last 7 days", "month": "Last 30 days", "year": "Last 12 months", "between": "Between …"}
DAYS_BACK = {"today": 0, "week": 6, "month": 29, "year": 364}


def person(name: str) -> str:
    """A DICOM person name as people read it: family name, given names."""
    parts = [p.strip() for p in name.split("=")[0].split("^")]
    given = " ".join(p for p in parts[1:3] if p)
    return ", ".join(p for p in (parts[0], given) if p)


def begins(text: str) -> str:
    """A typed name as a search: from its beginning, unless wildcards were typed."""
    text = "^".join(p.strip() for p in text.strip().split(","))
    return text if not text or "*" in text or "?" in text else text + "*"


def within(text: str) -> str:
    """A typed description as a search: anywhere, unless wildcards were typed."""
    text = text.strip()
    return text if not text or "*" in text or "?" in text else f"*{text}*"


def days_of(kind: str, today: dt.date, first: dt.date, last: dt.date) -> tuple[dt.date | None, dt.date | None]:
    """First and last day of one of ``DATE_NAMES``, both included; None for open."""
    if kind == "any":
        return None, None
    if kind == "between":
        return first, last
    return today - dt.timedelta(days=DAYS_BACK[kind]), today
