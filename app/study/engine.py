"""Connections to the study database: SQLite with a write-ahead log, every commit on the disk; or PostgreSQL.

Writers of one study queue in both, so that the audit trail is one chain: by SQLite's own lock, by an advisory lock there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from app.study.errors import StudyRefused

BUSY_TIMEOUT_MS = 30_000


# Any number does, as long as every program takes the same.
_WRITERS_LOCK = 0x6E6F647573


def make_engine(place: Path | sa.URL) -> sa.Engine:
    """An engine that may be used from any thread. Transactions are begun by us, not by the driver,
    so that a writer takes its lock at the start and never fails half-way for want of it."""
    return _sqlite_engine(place) if isinstance(place, Path) else _server_engine(place)


def _server_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, pool_pre_ping=True, pool_size=4, max_overflow=12, connect_args={"connect_timeout": 10, "application_name": "nodus"})

    @event.listens_for(engine, "begin")
    def _on_begin(connection) -> None:
        if connection.get_execution_options().get("nodus_write", False):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {BUSY_TIMEOUT_MS}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    return engine


def _sqlite_engine(path: Path) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        poolclass=sa.pool.QueuePool,
    )

    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection, _record) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "recursive_triggers=ON",  # REPLACE must not slip past the no-delete triggers
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection) -> None:
        writing = connection.get_execution_options().get("nodus_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextmanager
def transaction(engine: sa.Engine, *, write: bool) -> Iterator[sa.Connection]:
    """One transaction, committed on leaving without an error; the database's own complaints come
    out as ``StudyRefused`` with the codes ``study_busy``, ``study_write_failed``, ``study_conflict``,
    ``study_unreachable`` or ``study_damaged``."""
    try:
        with engine.connect().execution_options(nodus_write=write) as connection, connection.begin():
            yield connection
    except IntegrityError as error:
        raise StudyRefused(f"The study does not accept this: {_reason(error)}.", code="study_conflict") from error
    except OperationalError as error:
        raise refusal_of(error) from error
    except DatabaseError as error:
        if getattr(error.orig, "sqlstate", None) == "42501":
            raise StudyRefused("The database does not let this account do that.", code="study_write_failed", hint="Ask the server's administrator for the right.") from error
        raise StudyRefused(
            f"The study database is damaged: {_reason(error)}.",
            code="study_damaged",
            hint="Restore the newest backup; keep this folder for inspection.",
        ) from error


def refusal_of(error: OperationalError) -> StudyRefused:
    """What an ``OperationalError`` means to the person at the screen."""
    text = _reason(error)
    state = getattr(error.orig, "sqlstate", None)
    if "locked" in text or "busy" in text or state == "55P03":
        return StudyRefused(
            "Another program is writing to this study; nothing was saved.",
            code="study_busy",
            hint="Close the other program, or try again.",
        )
    if "malformed" in text or "disk image" in text or "no such table" in text or "no such column" in text:
        return StudyRefused(
            f"The study database is damaged: {text}.",
            code="study_damaged",
            hint="Restore the newest backup; keep this folder for inspection.",
        )
    if hasattr(error.orig, "sqlstate") and (state is None or state[:2] in ("08", "57", "3D", "28")):
        return StudyRefused(
            "The database server of this study does not answer; nothing was saved.",
            code="study_unreachable",
            hint="Check the network and the server's address; what was confirmed before is there.",
        )
    return StudyRefused(
        f"The study could not be written or read: {text}.",
        code="study_write_failed",
        hint="Check free space and permissions of the study folder; nothing was half-saved.",
    )


def _reason(error: DatabaseError) -> str:
    return str(error.orig).strip().rstrip(".")
