"""The study: its database (``study.sqlite`` in the folder, or on a PostgreSQL server), ``blobs/`` and ``images/``. Every
change is one transaction with its audit events; what a method returned is on the disk.

A store may be used from several threads: each call has a connection of its own, and writers queue.
"""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app import __version__
from app.study import migrations, rows, schema
from app.study.adjudication import AdjudicationPart
from app.study.anchors import KEY_SETTING, AuditSigner, signer_for
from app.study.blinding import BlindingPart, hides_setting
from app.study.blobs import BlobFolder, flush_folder, is_abandoned, is_temporary, temporary_name, write_file
from app.study.canonical import canonical_json
from app.study.engine import make_engine, transaction
from app.study.errors import StudyRefused
from app.study.ids import new_id
from app.study.model import StudySnapshot
from app.study.permissions import ANY_READER
from app.study.places import DATABASE, Place, copy_aside, place_of
from app.study.protocol import StudyProtocol, load_protocol, protocol_from
from app.study.readings import ReadingsPart
from app.study.records import RecordsPart
from app.study.sites import OTHER_SITE, SitesPart, bound_to, guard_of
from app.study.trail import SILENT_ACTIONS, AuditHead, TrailWriter
from app.study.treatment import TreatmentPart
from app.study.users import Session, UsersPart
from app.study.worklist import WorklistPart

__all__ = ["ANCHOR", "DATABASE", "StudyStore", "current_user", "utc_now"]
ANCHOR = "audit-head.json"
_ANCHOR_SCHEMA = "nodus.audit-head/1"
# Settings that anybody who reads may write: what belongs to the reader's own work. All others need the right to the study.
_OF_READERS = ("picture", "scale", "contrast_draft/", "enhancing", "stated", "layout", "uid_key")
_OF_RECORDS = ("site/",)


def utc_now() -> dt.datetime:
    """The time now, in UTC."""
    return dt.datetime.now(dt.UTC)


class StudyStore(UsersPart, SitesPart, BlindingPart, WorklistPart, AdjudicationPart, RecordsPart, ReadingsPart, TreatmentPart):
    """One open study. Made by ``create`` or ``open``; also a context manager."""

    def __init__(self, place: Place, engine: sa.Engine, user: str, clock: Callable[[], dt.datetime]) -> None:
        self.place = place
        self.folder = place.folder
        self.session: Session | None = None
        self.signer: AuditSigner | None = None
        self._account = user
        self._users_known = False
        self.blobs = BlobFolder(place.folder / "blobs")
        self._engine = engine
        self._clock = clock
        self._write_lock = threading.RLock()
        self._anchor_stale = False
        study = self.get_setting("study")
        content = self.get_setting("protocol")
        if not isinstance(study, dict) or not isinstance(content, dict):
            raise StudyRefused("The study database holds no study.", code="study_damaged")
        self.study_id: str = study["study_id"]
        self.name: str = study["name"]
        self.protocol: StudyProtocol = protocol_from(content)

    # -- opening and closing ------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: str | Path | Place,
        *,
        name: str | None = None,
        protocol: str | Path = "ire-cervical-ln",
        user: str | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> StudyStore:
        """Make a new study in ``folder`` (absent or empty), or in the database of a PostgreSQL URL, and open it.

        Raises ``study_exists``, ``folder_not_empty``, ``protocol_missing``, ``protocol_refused``.
        The database gets its name only when it is complete.
        """
        place = place_of(folder)
        folder = place.folder
        trial = load_protocol(protocol)
        if place.url is not None and place.revision() is not None:
            raise StudyRefused("There is already a study in this database.", code="study_exists")
        if place.database.exists() or (place.url is None and (folder / "study-database.json").exists()):
            raise StudyRefused("There is already a study in this folder.", code="study_exists")
        if folder.exists() and (not folder.is_dir() or any(not _is_ours_and_empty(p) for p in folder.iterdir())):
            raise StudyRefused(
                "A new study needs an empty folder; this one holds other files.",
                code="folder_not_empty",
                hint="Choose a new folder name.",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "blobs").mkdir(exist_ok=True)
            (folder / "images").mkdir(exist_ok=True)
        except OSError as error:
            raise StudyRefused(f"The study folder cannot be made: {error.strerror}.", code="study_write_failed") from error
        user = user or current_user()
        study = {"study_id": new_id("ST"), "name": name or folder.name, "created_utc": _stamp(clock()), "software_version": __version__}
        half = folder / temporary_name(DATABASE)
        engine = make_engine(half) if place.url is None else place.engine()
        try:
            # One transaction on a server; in SQLite the file has no name yet.
            with transaction(engine, write=True) as connection:
                if place.url is not None and sa.inspect(connection).has_table("alembic_version"):
                    raise StudyRefused("There is already a study in this database.", code="study_exists")
                migrations.upgrade(connection)
                if place.url is not None:
                    _begin_trail(connection, study, trial, user)
            if place.url is None:
                with transaction(engine, write=True) as connection:
                    _begin_trail(connection, study, trial, user)
                # Leave the write-ahead mode for the rename, so that one file is the whole database.
                with engine.connect() as connection:
                    connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            engine.dispose()
        if place.url is None:
            os.replace(half, folder / DATABASE)
        flush_folder(folder)
        store = cls.open(place, user=user, clock=clock)
        store.write_anchor()
        return store

    @classmethod
    def open(
        cls,
        folder: str | Path | Place,
        *,
        user: str | None = None,
        clock: Callable[[], dt.datetime] = utc_now,
    ) -> StudyStore:
        """Open the study in ``folder``, or the one that a PostgreSQL URL names; leftovers of killed writers are removed.

        Raises ``study_missing``, ``study_newer``, ``study_damaged``, ``study_busy``, ``study_unreachable``,
        ``blobs_folder_missing``, ``blobs_folder_other``. An older schema is migrated after a copy of the database was
        put aside.
        """
        place = place_of(folder)
        revision = place.revision()
        if revision is None:
            raise StudyRefused(
                "There is no study in this folder." if place.url is None else "There is no study in this database.",
                code="study_missing",
                hint="Create one with: nodus study init FOLDER",
            )
        if revision not in migrations.REVISIONS:
            raise StudyRefused(
                "This study was written by a newer version of Nodus.",
                code="study_newer",
                hint=f"Open it with the newer version; this one ({__version__}) leaves it untouched.",
            )
        if revision != migrations.HEAD:
            copy_aside(place, revision)
        engine = place.engine()
        try:
            if revision != migrations.HEAD:
                with transaction(engine, write=True) as connection:
                    migrations.upgrade(connection)
            _remove_leftovers(place.folder)
            store = cls(place, engine, user or current_user(), clock)
            if place.url is not None:
                store._check_folder()
            store.signer = signer_for(store._audit_keys())
            return store
        except BaseException:
            engine.dispose()
            raise

    def _audit_keys(self) -> dict[str, Any]:
        """Fingerprint -> what the study says of each key that signs its heads."""
        table = schema.settings
        with self._read() as connection:
            found = connection.execute(sa.select(table).where(table.c.key.startswith(KEY_SETTING, autoescape=True)))
            return {row.key.removeprefix(KEY_SETTING): json.loads(row.value) for row in found}

    def _check_folder(self) -> None:
        """That the folder beside a server's database is this study's: pictures of another would be taken for its own."""
        for name in ("blobs", "images"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        try:
            found = json.loads((self.folder / ANCHOR).read_text("utf-8"))["study_id"]
        except (OSError, ValueError, KeyError, TypeError):
            found = self.study_id  # none was written yet, or it is damaged, which the audit tells
        if found != self.study_id:
            raise StudyRefused("This folder holds the files of another study.", code="blobs_folder_other", hint="Name the folder that was given when the study was made.")
        self.place.write_server_file()

    @property
    def user(self) -> str:
        """Who stands in the trail: who signed in, else the local account."""
        return self._account if self.session is None else self.session.user_id

    def close(self) -> None:
        """Write the audit head beside the database and let go of the files."""
        if self._anchor_stale:
            self.write_anchor()
        self._engine.dispose()

    def __enter__(self) -> StudyStore:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- transactions ---------------------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        """A read transaction: one consistent moment of the study."""
        with transaction(self._engine, write=False) as connection:
            yield connection

    @contextmanager
    def _write(self, *rights: str) -> Iterator[TrailWriter]:
        """A write transaction with its trail; all or nothing. In a study with users it needs one of ``rights`` (none
        named: anybody who signed in); a refused attempt leaves an event and nothing else."""
        with self._write_lock:
            try:
                with transaction(self._engine, write=True) as connection:
                    trail = TrailWriter(connection, user=self.user, utc=_stamp(self._clock()))
                    refusal = self.refusal(connection, tuple(r for r in rights if r))
                    if refusal is None:
                        trail.guard = None if self.session is None else guard_of(bound_to(connection, self.session.user_id))
                        yield trail
                    else:
                        trail.append("access_refused", "study", new={"code": refusal.code, "needs": list(rights)})
                    self._anchor_stale = True
            except StudyRefused as error:
                if error.code == OTHER_SITE:  # noticed in the middle of the work: that is undone, the attempt is noted
                    self._append("access_refused", "study", user=self.user, new={"code": error.code, "needs": list(rights)})
                raise
            if refusal is not None:
                raise refusal
            self.touch()

    @contextmanager
    def _plain_write(self) -> Iterator[TrailWriter]:
        """A write that needs no right of the user: what the program itself notes."""
        with self._write_lock, transaction(self._engine, write=True) as connection:
            yield TrailWriter(connection, user=self.user, utc=_stamp(self._clock()))
            self._anchor_stale = True

    def _append(self, action: str, object_: str, *, user: str, new: Any = None, reason: str | None = None) -> None:
        """An event of signing in and out, which needs no right."""
        with self._write_lock, transaction(self._engine, write=True) as connection:
            TrailWriter(connection, user=user, utc=_stamp(self._clock())).append(action, object_, new=new, reason=reason)
            self._anchor_stale = True

    # -- settings and log -----------------------------------------------------------------------

    def get_setting(self, key: str, default: Any = None) -> Any:
        """A stored setting (any JSON value); a blinded user gets the default for what says where or how a subject is
        treated, and for what another reader stated."""
        if (self.blinded and hides_setting(key, self.user)) or self.hides_site(key):
            return default
        return self._stored_setting(key, default)

    def _stored_setting(self, key: str, default: Any = None) -> Any:
        with self._read() as connection:
            text = connection.execute(sa.select(schema.settings.c.value).where(schema.settings.c.key == key)).scalar_one_or_none()
        return default if text is None else json.loads(text)

    def set_setting(self, key: str, value: Any, *, reason: str | None = None) -> None:
        """Store a setting (any JSON value). ``study`` and ``protocol`` are fixed at creation."""
        if key in ("study", "protocol"):
            raise StudyRefused("This is fixed when the study is created.", code="setting_fixed")
        text = canonical_json(value)
        rights = (*ANY_READER, "records", "images", "study") if key.startswith(_OF_READERS) else ("records", "study") if key.startswith(_OF_RECORDS) else ("study",)
        with self._write(*rights) as trail:
            there = trail.connection.execute(sa.select(schema.settings.c.key).where(schema.settings.c.key == key)).first()
            row = {"key": key, "value": text}
            if there is None:
                trail.insert(schema.settings, row, action="setting_set", reason=reason)
            else:
                trail.update(schema.settings, {"key": key}, row, action="setting_set", reason=reason)

    def log_event(self, action: str, object_: str, *, new: Any = None, reason: str | None = None) -> None:
        """Add an event that changes no record: an export, a sign-in, a failed check."""
        with self._write() as trail:
            trail.append(action, object_, new=new, reason=reason)

    def events(self, *, object_prefix: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """Audit events as dicts, oldest first; ``limit`` keeps the newest ones. They hold what readers must not see, so
        in a study with users they need a right of their own."""
        self._check_may("see_audit")
        table = schema.audit_events
        query = sa.select(table).order_by(table.c.seq.desc())
        if object_prefix:
            query = query.where(table.c.object.startswith(object_prefix, autoescape=True))
        if limit is not None:
            query = query.limit(limit)
        with self._read() as connection:
            found = [dict(row) for row in connection.execute(query).mappings()]
        return found[::-1]

    # -- audit head -----------------------------------------------------------------------------

    def head(self, *, silent: bool = True) -> AuditHead:
        """The newest audit event; ``silent=False`` passes over exports and other events that change
        nothing, so that it stays the same while the content does."""
        with self._read() as connection:
            return _head(connection, silent=silent)

    def anchor(self) -> dict[str, Any]:
        """Count and hash of the newest event, signed where the study has a key: for a receipt, a report or a file."""
        head = self.head()
        content = {
            "schema": _ANCHOR_SCHEMA,
            "study_id": self.study_id,
            "events": head.events,
            "sha256": head.sha256,
            "written_utc": _stamp(self._clock()),
        }
        return content if self.signer is None else self.signer.sign(content)

    def write_anchor(self, path: str | Path | None = None) -> Path:
        """Write count and hash of the newest event outside the database: by default to
        ``audit-head.json`` in the study folder, for a trustworthy anchor to another disk."""
        path = Path(path) if path is not None else self.folder / ANCHOR
        with self._write_lock:
            content = self.anchor()
            write_file(path, (json.dumps(content, indent=2) + "\n").encode())
            self._anchor_stale = False
        return path

    # -- blobs ----------------------------------------------------------------------------------

    def put_blob(self, data: bytes) -> str:
        """Store bytes by their content; returns the SHA-256 that names them."""
        return self.blobs.put(data)

    def get_blob(self, sha256: str) -> bytes:
        """The bytes of a stored blob, verified. Raises ``blob_missing`` or ``blob_altered``."""
        return self.blobs.get(sha256)

    # -- everything at once ---------------------------------------------------------------------

    def snapshot(self) -> StudySnapshot:
        """All records in one consistent moment, in a fixed order; what a blinded reader may see of them, where one is
        signed in."""
        self._check_may()
        return self.as_seen(self._whole_snapshot())

    def _whole_snapshot(self) -> StudySnapshot:
        with self._read() as connection:
            return self._snapshot_in(connection)

    def _snapshot_in(self, connection: sa.Connection, subject_id: str | None = None) -> StudySnapshot:
        """All records, or those of one subject alone (without signatures): what is decided of one subject must not take longer the
        more others there are."""

        def all_of(table: sa.Table, make: Callable, *order: str) -> tuple:
            query = sa.select(table).order_by(*(table.c[name] for name in order))
            if subject_id is not None:
                query = query.where(table.c.subject_id == subject_id)
            return tuple(make(row) for row in connection.execute(query).mappings())

        head = _head(connection, silent=False)
        return StudySnapshot(
            study_id=self.study_id,
            name=self.name,
            protocol=self.protocol.content,
            subjects=all_of(schema.subjects, rows.subject_from, "subject_id"),
            visits=all_of(schema.visits, rows.visit_from, "subject_id", "visit_order", "visit_id"),
            nodes=all_of(schema.nodes, rows.node_from, "subject_id", "label"),
            readings=all_of(schema.readings, rows.reading_from, "subject_id", "reading_id", "version"),
            events=all_of(schema.clinical_events, rows.event_from, "subject_id", "date", "event_id"),
            plan_runs=all_of(schema.plan_runs, rows.plan_run_from, "subject_id", "created_utc", "plan_run_id"),
            deliveries=all_of(schema.deliveries, rows.delivery_from, "subject_id", "created_utc", "delivery_id"),
            head_events=head.events,
            head_sha256=head.sha256,
            head_signature=None if self.signer is None else self.signer.sign({"schema": _ANCHOR_SCHEMA, "study_id": self.study_id, "events": head.events, "sha256": head.sha256}),
            signatures=() if subject_id is not None else all_of(schema.signatures, rows.signature_from, "signed_utc", "signature_id"),
            adjudications=all_of(schema.adjudications, rows.adjudication_from, "created_utc", "adjudication_id"),
            settings={
                row.key: json.loads(row.value)
                for row in connection.execute(sa.select(schema.settings).where(schema.settings.c.key.startswith("order/", autoescape=True) | (schema.settings.c.key == "first_reader")))
            },
        )


def _begin_trail(connection: sa.Connection, study: dict[str, Any], trial: StudyProtocol, user: str) -> None:
    trail = TrailWriter(connection, user=user, utc=study["created_utc"])
    for key, value in (("study", study), ("protocol", trial.content)):
        trail.insert(schema.settings, {"key": key, "value": canonical_json(value)}, action="study_created")


def _is_ours_and_empty(path: Path) -> bool:
    """True for what a killed ``create`` leaves behind: temporary files, empty folders."""
    if path.is_dir():
        return path.name in ("blobs", "images") and not any(path.iterdir())
    return is_temporary(path.name)


def current_user() -> str:
    """The name of the local account."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without an entry, as in some containers
        return "local"


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _head(connection: sa.Connection, *, silent: bool) -> AuditHead:
    table = schema.audit_events
    query = sa.select(table.c.seq, table.c.sha256).order_by(table.c.seq.desc()).limit(1)
    if not silent:
        query = query.where(table.c.action.not_in(SILENT_ACTIONS))
    row = connection.execute(query).first()
    return AuditHead(row.seq, row.sha256) if row else AuditHead(0, "0" * 64)


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files whose writer is gone; nothing ever refers to them."""
    places = [folder, folder / "images", *(p for p in (folder / "blobs").glob("*") if p.is_dir())]
    for place in places:
        if not place.is_dir():
            continue
        for path in place.iterdir():
            if not is_abandoned(path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
