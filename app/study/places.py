"""Where a study lies: a folder with an SQLite database, or a PostgreSQL database with a folder for its files beside it."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.study import migrations
from app.study.blobs import write_file
from app.study.engine import make_engine, transaction
from app.study.errors import StudyRefused

DATABASE = "study.sqlite"
# Beside the files of a study on a server: which database they belong to, without a password.
SERVER_FILE = "study-database.json"
_SERVER_SCHEMA = "nodus.study-database/1"
# A path made of a URL has lost a slash or gained backslashes on the way.
_URL = re.compile(r"(?:postgresql|postgres)(?:\+psycopg)?:[/\\]{1,2}")
# Up to this size the database is read through on opening; larger ones are checked by the audit.
_CHECK_ON_OPEN_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Place:
    """``folder`` holds ``blobs``, ``images`` and the audit head; ``url`` is the server's database, None: ``study.sqlite``
    in the folder."""

    folder: Path
    url: sa.URL | None = None

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / DATABASE

    @property
    def label(self) -> str:
        """How the place is told to people: never with a password."""
        return str(self.folder) if self.url is None else self.url.render_as_string(hide_password=True)

    def engine(self) -> sa.Engine:
        """A new engine for this place."""
        return make_engine(self.database if self.url is None else self.url)

    def revision(self) -> str | None:
        """The schema revision of the database, without touching it; None where there is no study. Raises
        ``study_damaged``, ``study_busy``, ``study_unreachable``."""
        if self.url is None:
            return _sqlite_revision(self.database) if self.database.is_file() else None
        engine = self.engine()
        try:
            with transaction(engine, write=False) as connection:
                if not sa.inspect(connection).has_table("alembic_version"):
                    return None
                found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
        finally:
            engine.dispose()
        if len(found) != 1:
            raise damaged("its schema is unknown")
        return found[0][0]

    def write_server_file(self) -> None:
        """Note beside the files which database they belong to, so that the folder opens the study too."""
        if self.url is None or (self.folder / SERVER_FILE).exists():
            return
        content = {"schema": _SERVER_SCHEMA, "url": self.url.set(password=None).render_as_string()}
        write_file(self.folder / SERVER_FILE, (json.dumps(content, indent=2) + "\n").encode())


def place_of(study: str | Path | Place, blobs: str | Path | None = None) -> Place:
    """The place that a folder or URL names. A URL needs a folder for pictures and outlines: ``?blobs=DIR`` in it, or
    ``blobs``. Raises ``blobs_folder_missing``, ``study_url_refused``."""
    if isinstance(study, Place):
        return study
    if _URL.match(str(study)):
        return _server_place(str(study), blobs)
    folder = Path(study)
    server = folder / SERVER_FILE
    if not server.is_file() or (folder / DATABASE).exists():
        return Place(folder)
    try:
        content = json.loads(server.read_text("utf-8"))
        if content["schema"] != _SERVER_SCHEMA:
            raise KeyError
        return Place(folder, _url(content["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise StudyRefused("The file that names the study's database cannot be read.", code="study_url_refused", hint="Open the study by its database URL.") from None


def is_url(study: str | Path) -> bool:
    """True for a database URL."""
    return _URL.match(str(study)) is not None


def _server_place(text: str, blobs: str | Path | None) -> Place:
    url = _url(_URL.sub("postgresql://", text.replace("\\", "/"), count=1))
    named = url.query.get("blobs")
    folder = blobs if blobs is not None else named
    if not folder or not isinstance(folder, str | Path):
        raise StudyRefused(
            "A study in a database needs a folder for its pictures and outlines.",
            code="blobs_folder_missing",
            hint="Add ?blobs=FOLDER to the URL.",
        )
    return Place(Path(folder), url.difference_update_query(["blobs"]))


def _url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise StudyRefused("This is not a database URL.", code="study_url_refused", hint="Like postgresql://user@host/study?blobs=FOLDER") from None
    if not url.drivername.startswith("postgres") or not url.database:
        raise StudyRefused("The URL must name a PostgreSQL database.", code="study_url_refused", hint="Like postgresql://user@host/study?blobs=FOLDER")
    return url.set(drivername="postgresql+psycopg")


def _sqlite_revision(path: Path) -> str:
    try:
        connection = sqlite3.connect(path, timeout=30)
        try:
            if path.stat().st_size <= _CHECK_ON_OPEN_BYTES:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(verdict)
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise StudyRefused("Another program holds this study.", code="study_busy") from error
        raise damaged(error) from error
    except sqlite3.DatabaseError as error:
        raise damaged(error) from error
    if len(found) != 1:
        raise damaged("its schema is unknown")
    return found[0][0]


def damaged(why: object) -> StudyRefused:
    """The refusal of a database that cannot be trusted."""
    return StudyRefused(
        f"The study database is damaged: {why}.",
        code="study_damaged",
        hint="Restore the newest backup; keep this folder for inspection.",
    )


def copy_aside(place: Place, revision: str) -> Path:
    """A copy of the database as it was before a migration, as SQLite, in ``backups``."""
    folder = place.folder / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / f"before-migration-from-{revision}-{secrets.token_hex(4)}.sqlite"
    copy_database(place, copy, revision)
    return copy


def copy_database(place: Place, path: Path, revision: str = migrations.HEAD) -> None:
    """Copy the database of ``place`` into a new SQLite file, as of one moment, while others may go on working."""
    if place.url is None:
        source, target = sqlite3.connect(place.database), sqlite3.connect(path)
        try:
            source.backup(target)
        finally:
            source.close()
            target.close()
        return
    source, target = place.engine(), make_engine(path)
    try:
        with transaction(target, write=True) as to:
            migrations.upgrade(to, revision)
        with transaction(source, write=False) as out, transaction(target, write=True) as to:
            copy_rows(out, to)
        with target.connect() as connection:  # one file is the whole database
            connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.connection.dbapi_connection.execute("PRAGMA journal_mode=DELETE")
    finally:
        source.dispose()
        target.dispose()


def copy_rows(out: sa.Connection, to: sa.Connection) -> None:
    """Copy every row of every table of the study, in an order that references allow. Both have the same schema."""
    found = sa.MetaData()
    found.reflect(out)
    for table in found.sorted_tables:
        if table.name == "alembic_version":
            continue
        plain = sa.table(table.name, *(sa.column(c.name) for c in table.columns))
        order = [plain.c[c.name] for c in table.primary_key.columns]
        rows = [dict(row) for row in out.execute(sa.select(plain).order_by(*order)).mappings()]
        for start in range(0, len(rows), 1000):
            to.execute(plain.insert(), rows[start : start + 1000])
