"""The audit trail in pages, the newest event first, narrowed by what somebody looks for."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from app.study import schema
from app.study.store import StudyStore

PAGE = 200  # events a page
_SEARCHED = ("user", "action", "object", "field", "old", "new", "reason")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is looked for; an empty part asks for nothing. ``kind`` is the part of an object's name before the colon;
    ``first_day`` and ``last_day`` are ISO dates (UTC), both included."""

    text: str = ""
    user: str = ""
    action: str = ""
    kind: str = ""
    first_day: str = ""
    last_day: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event as it stands in the trail. ``old`` and ``new`` are texts, a whole record as JSON."""

    seq: int
    utc: str
    user: str
    action: str
    object: str
    field: str | None
    old: str | None
    new: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some events, newest first; ``found`` fit the filter, ``events`` are in the trail. ``users``, ``actions`` and ``kinds`` are all that occur in it."""

    rows: tuple[AuditEvent, ...]
    offset: int
    found: int
    events: int
    since_utc: str | None
    users: tuple[str, ...]
    actions: tuple[str, ...]
    kinds: tuple[str, ...]


def audit_page(store: StudyStore, chosen: AuditFilter | None = None, *, offset: int = 0, size: int = PAGE) -> AuditPage:
    """Events ``offset`` to ``offset + size`` of those that fit, in one consistent moment. Raises ``right_missing``."""
    store._check_may("see_audit")
    chosen = chosen or AuditFilter()
    table = schema.audit_events
    with store._read() as connection:
        kind = _kind(connection.dialect.name)
        fits = _conditions(chosen, kind)

        def all_of(column) -> tuple[str, ...]:
            return tuple(sorted(connection.execute(sa.select(column).distinct()).scalars()))

        whole, since = connection.execute(sa.select(sa.func.count(), sa.func.min(table.c.utc)).select_from(table)).one()
        found = connection.execute(sa.select(sa.func.count()).select_from(table).where(*fits)).scalar_one()
        names = list(AuditEvent.__dataclass_fields__)
        query = sa.select(*(table.c[name] for name in names)).where(*fits).order_by(table.c.seq.desc()).limit(size).offset(offset)
        rows = tuple(AuditEvent(**row) for row in connection.execute(query).mappings())
        return AuditPage(rows, offset, found, whole, since, all_of(table.c.user), all_of(table.c.action), all_of(kind))


def _kind(dialect: str):
    """An object's name up to its colon, as the database works it out."""
    name = schema.audit_events.c.object
    at = (sa.func.instr if dialect == "sqlite" else sa.func.strpos)(name, ":")
    return sa.case((at > 1, sa.func.substr(name, 1, at - 1)), else_=name)


def _conditions(chosen: AuditFilter, kind) -> list:
    c = schema.audit_events.c
    fits = []
    if chosen.text.strip():
        wanted = chosen.text.strip().lower()
        fits.append(sa.or_(*(sa.func.lower(c[name]).contains(wanted, autoescape=True) for name in _SEARCHED)))
    for column, value in ((c.user, chosen.user), (c.action, chosen.action), (kind, chosen.kind)):
        if value:
            fits.append(column == value)
    if chosen.first_day:
        fits.append(c.utc >= chosen.first_day)
    if chosen.last_day:
        fits.append(c.utc <= chosen.last_day + "T99")  # any time of that day sorts before it
    return fits
