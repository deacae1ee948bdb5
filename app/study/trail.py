"""Writing the audit trail: one event after the other, each holding the hash of the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from app import __version__
from app.study import schema
from app.study.canonical import NOT_CONTENT, canonical_json, content_sha256, sha256_text

GENESIS = "0" * 64
# Events that record no change of the study's content: an export must not alter what it exports.
SILENT_ACTIONS = ("exported", "verified", "opened", "signed_in", "signed_out", "sign_in_failed", "access_refused", "signature_failed")
_HASHED = (
    "seq", "utc", "user", "software_version", "action", "object", "field", "old", "new", "reason",
    "content_sha256", "previous_sha256",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest event: how many there are, and the hash that stands for all of them."""

    events: int
    sha256: str


def event_sha256(row: dict[str, Any]) -> str:
    """Hash of an event over its canonical JSON, the previous event's hash included."""
    return sha256_text(canonical_json({name: row[name] for name in _HASHED}))


def text_of(value: Any) -> str | None:
    """How a value stands in the columns ``old`` and ``new``: text as it is, all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return canonical_json(value)


# Statements are built once: building them anew took longer than the database took to answer.
@lru_cache(maxsize=64)
def _insert_into(table: sa.Table) -> sa.Insert:
    return table.insert()


@lru_cache(maxsize=512)
def _change_of(table: sa.Table, names: tuple[str, ...]) -> sa.Update:
    """An update of these columns of one row: parameters ``key_`` and ``new_`` before the columns' names."""
    where = sa.and_(*(column == sa.bindparam(f"key_{column.name}") for column in table.primary_key.columns))
    return table.update().where(where).values({table.c[name]: sa.bindparam(f"new_{name}") for name in names})


@lru_cache(maxsize=64)
def _row_of(table: sa.Table) -> sa.TextClause:
    """Every column that the database has of one row, also those this program does not know."""
    where = " AND ".join(f"{column.name} = :{column.name}" for column in table.primary_key.columns)
    return sa.text(f"SELECT * FROM {table.name} WHERE {where}")


class TrailWriter:
    """Appends events inside one open write transaction."""

    def __init__(self, connection: sa.Connection, *, user: str, utc: str) -> None:
        self.connection = connection
        self.user = user
        self.utc = utc
        self.guard: Callable[[sa.Connection, sa.Table, dict[str, Any]], None] | None = None  # refuses a row of another site
        last = connection.exec_driver_sql("SELECT seq, sha256 FROM audit_events ORDER BY seq DESC LIMIT 1").first()
        self.head = AuditHead(last.seq, last.sha256) if last else AuditHead(0, GENESIS)

    def append(
        self,
        action: str,
        object_: str,
        *,
        field: str | None = None,
        old: Any = None,
        new: Any = None,
        reason: str | None = None,
        content: str | None = None,
    ) -> None:
        """Add one event."""
        row = {
            "seq": self.head.events + 1,
            "utc": self.utc,
            "user": self.user,
            "software_version": __version__,
            "action": action,
            "object": object_,
            "field": field,
            "old": text_of(old),
            "new": text_of(new),
            "reason": reason,
            "content_sha256": content,
            "previous_sha256": self.head.sha256,
        }
        row["sha256"] = event_sha256(row)
        self.connection.execute(_insert_into(schema.audit_events), row)
        self.head = AuditHead(row["seq"], row["sha256"])

    def insert(self, table: sa.Table, row: dict[str, Any], *, action: str, reason: str | None = None) -> None:
        """Insert a row of an audited table and the event that vouches for it."""
        if self.guard is not None:
            self.guard(self.connection, table, row)
        self.connection.execute(_insert_into(table), row)
        stored = self.stored(table, row)
        secret = schema.SECRET_COLUMNS.get(table.name, ())
        whole = {k: "set" if k in secret else v for k, v in stored.items() if v is not None}
        self.append(action, schema.object_name(table, row), new=whole, reason=reason, content=content_sha256(stored))

    def update(
        self,
        table: sa.Table,
        key: dict[str, Any],
        changes: dict[str, Any],
        *,
        action: str,
        reason: str | None = None,
    ) -> bool:
        """Change columns of one row, with one event for each that really changed. False if none did."""
        before = self.stored(table, key)
        changed = {k: v for k, v in changes.items() if before[k] != v}
        if not changed:
            return False
        if self.guard is not None:
            self.guard(self.connection, table, {**before, **changed})
        values = {f"new_{name}": value for name, value in changed.items()} | {f"key_{c.name}": key[c.name] for c in table.primary_key.columns}
        self.connection.execute(_change_of(table, tuple(sorted(changed))), values)
        after = self.stored(table, key)
        content = content_sha256(after)
        secret = schema.SECRET_COLUMNS.get(table.name, ())
        for name in sorted(name for name in changed if name not in NOT_CONTENT):
            self.append(
                action,
                schema.object_name(table, key),
                field=name,
                old="set" if name in secret else before[name],
                new="set anew" if name in secret else after[name],
                reason=reason,
                content=content,
            )
        return True

    def stored(self, table: sa.Table, key: dict[str, Any]) -> dict[str, Any]:
        """The row as it lies in the database, read back: what is hashed is what was stored."""
        found = self.connection.execute(_row_of(table), {c.name: key[c.name] for c in table.primary_key.columns})
        return dict(found.mappings().one())
