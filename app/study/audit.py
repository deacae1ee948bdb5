"""Checking the audit trail: that no event, no record and no stored file was changed behind its back.

What can be found: any altered, removed, reordered or inserted event; any record whose content is not
what its newest event vouches for; any altered or missing file. What cannot be found from inside is
the end of the trail cut off together with its records, or the whole rebuilt by somebody who knows
how: that is what an anchor (count and hash, kept elsewhere, signed where the study has a key) is for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.study import migrations, schema
from app.study.anchors import KEY_SETTING, signature_state
from app.study.blobs import BlobFolder, sha256_file
from app.study.canonical import content_sha256
from app.study.engine import transaction
from app.study.errors import StudyRefused
from app.study.places import Place, place_of
from app.study.signing import signature_faults
from app.study.trail import GENESIS, AuditHead, event_sha256

if TYPE_CHECKING:
    from app.study.store import StudyStore

ANCHOR_SCHEMA = "nodus.audit-head/1"


@dataclass(frozen=True, slots=True)
class AuditFault:
    """One thing that is not as it was recorded."""

    code: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The outcome of a check. ``anchor`` is the head that the trail was held against, or None:
    then a cut-off end or a rebuilt trail would not be found. ``anchor_signature`` is ``unsigned``, ``good`` (by
    ``anchor_key``, a fingerprint) or ``broken``; ``anchor_key_known`` says whether the study names that key."""

    events: int
    first_bad_event: int | None
    faults: tuple[AuditFault, ...]
    head_sha256: str | None
    anchor: AuditHead | None
    records_checked: int
    files_checked: int
    study_id: str | None
    signatures_checked: int = 0
    anchor_signature: str | None = None
    anchor_key: str | None = None
    anchor_key_known: bool | None = None
    study_has_key: bool = False

    @property
    def ok(self) -> bool:
        """True if nothing was found."""
        return not self.faults

    @property
    def anchor_note(self) -> str | None:
        """What the check could not say for want of a trustworthy anchor."""
        if self.anchor is None:
            return "No anchor was given: a trail cut off at its end or rebuilt as a whole would not be found."
        if self.anchor_signature == "unsigned" and self.study_has_key:
            return "The anchor is not signed: it is worth as much as the place where it was kept."
        if self.anchor_key_known is False:
            return f"The anchor is signed by key {self.anchor_key}, which the study does not name."
        return None

    def to_dict(self) -> dict[str, Any]:
        """The answer of ``nodus audit verify --json``."""
        anchor = None if self.anchor is None else {"events": self.anchor.events, "sha256": self.anchor.sha256}
        return {
            "ok": self.ok,
            "events": self.events,
            "first_bad_event": self.first_bad_event,
            "faults": [{"code": f.code, "where": f.where, "message": f.message} for f in self.faults],
            "head_sha256": self.head_sha256,
            "anchor": anchor,
            "anchor_note": self.anchor_note,
            "anchor_signature": self.anchor_signature,
            "anchor_key": self.anchor_key,
            "signatures_checked": self.signatures_checked,
            "records_checked": self.records_checked,
            "files_checked": self.files_checked,
            "study_id": self.study_id,
        }


def read_anchor(path: str | Path) -> tuple[str | None, AuditHead]:
    """Study id and head from an anchor file. Raises ``anchor_missing`` or ``anchor_refused``."""
    content = read_anchor_content(path)
    return content.get("study_id"), AuditHead(content["events"], content["sha256"])


def read_anchor_content(path: str | Path) -> dict[str, Any]:
    """The whole content of an anchor file, its signature with it. Raises ``anchor_missing`` or ``anchor_refused``."""
    try:
        content = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise StudyRefused("The anchor file is not there.", code="anchor_missing") from None
    except (OSError, ValueError) as error:
        raise StudyRefused("The anchor file cannot be read.", code="anchor_refused") from error
    if isinstance(content, dict) and isinstance(content.get("audit_head"), dict):
        content = {"schema": ANCHOR_SCHEMA, **content["audit_head"]}  # the receipt of an export is an anchor too
    if (
        not isinstance(content, dict)
        or content.get("schema") != ANCHOR_SCHEMA
        or not isinstance(content.get("events"), int)
        or not isinstance(content.get("sha256"), str)
    ):
        raise StudyRefused("This file is not an audit anchor.", code="anchor_refused")
    return content


def verify(store: StudyStore, anchor: str | Path | AuditHead | None = None, *, files: bool = True) -> AuditReport:
    """Check an open study. ``anchor`` is a file or a head known from elsewhere (a printed report);
    ``files=False`` leaves out hashing the stored pictures and masks, which takes long in a big study.
    """
    return _verify(store._engine, store.folder, anchor, files)


def verify_folder(folder: str | Path | Place, anchor: str | Path | AuditHead | None = None, *, files: bool = True) -> AuditReport:
    """Check a study folder, or the study of a database URL, without opening it as a study, so that one that was tampered with until it
    no longer opens still gets a report. Raises ``study_missing``, ``anchor_missing``, ``anchor_refused``."""
    place = place_of(folder)
    if place.url is None and not place.database.is_file():
        raise StudyRefused("There is no study in this folder.", code="study_missing")
    engine = place.engine()
    try:
        return _verify(engine, place.folder, anchor, files)
    finally:
        engine.dispose()


def verify_connection(connection: sa.Connection, folder: Path, anchor: str | Path | AuditHead | None = None, *, files: bool = True) -> AuditReport:
    """Check the study as one open transaction sees it, what it has not committed included."""
    return _verify(connection, folder, anchor, files)


def _read_all(connection: sa.Connection, rows: list[dict[str, Any]], tables: dict[sa.Table, list[dict[str, Any]]], check: _Check) -> None:
    rows += [dict(row) for row in connection.exec_driver_sql("SELECT * FROM audit_events ORDER BY seq").mappings()]
    revision = _revision_of(connection)
    for table in schema.AUDITED:
        if _had(table.name, revision):
            tables[table] = [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table.name}").mappings()]
    _check_database(connection, check)


def _verify(engine: sa.Engine | sa.Connection, folder: Path, anchor: str | Path | AuditHead | None, files: bool) -> AuditReport:
    anchored_study, state, key = None, None, None
    if anchor is not None and not isinstance(anchor, AuditHead):
        content = read_anchor_content(anchor)
        anchored_study, anchor = content.get("study_id"), AuditHead(content["events"], content["sha256"])
        state, key = signature_state(content)
    check = _Check()
    rows: list[dict[str, Any]] = []
    tables: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in schema.AUDITED}
    try:
        if isinstance(engine, sa.Connection):
            _read_all(engine, rows, tables, check)
        else:
            with transaction(engine, write=False) as connection:  # one consistent moment, also while somebody works
                _read_all(connection, rows, tables, check)
    except StudyRefused as error:
        if error.code != "study_damaged":
            raise
        check.fault("database_damaged", "study.sqlite", error.message)
    if state == "broken":
        check.fault("anchor_signature_broken", "anchor", "The signature of the anchor does not fit: it was altered, or is not by this key.")
    _check_chain(rows, check)
    for code, where, message in signature_faults({t.name: found for t, found in tables.items()}):
        check.faults.append(AuditFault(code, where, message))
    records = _check_records(rows, tables, check)
    checked = _check_files(folder, tables, check) if files else 0
    study_id = _study_id(tables[schema.settings])
    if anchor is not None:
        _check_anchor(rows, anchor, anchored_study, study_id, check)
    return AuditReport(
        events=len(rows),
        first_bad_event=check.first_bad_event,
        faults=tuple(check.faults),
        head_sha256=rows[-1]["sha256"] if rows else None,
        anchor=anchor,
        records_checked=records,
        files_checked=checked,
        study_id=study_id,
        study_has_key=any(str(row["key"]).startswith(KEY_SETTING) for row in tables[schema.settings]),
        signatures_checked=len(tables[schema.signatures]),
        anchor_signature=state,
        anchor_key=key,
        anchor_key_known=None if key is None else any(row["key"] == KEY_SETTING + key for row in tables[schema.settings]),
    )


def _study_id(settings: list[dict[str, Any]]) -> str | None:
    for row in settings:
        if row["key"] == "study":
            try:
                return json.loads(row["value"])["study_id"]
            except (ValueError, KeyError, TypeError):
                return None  # the altered record is reported by its hash
    return None


class _Check:
    def __init__(self) -> None:
        self.faults: list[AuditFault] = []
        self.first_bad_event: int | None = None

    def fault(self, code: str, where: str, message: str, event: int | None = None) -> None:
        self.faults.append(AuditFault(code, where, message))
        if event is not None and (self.first_bad_event is None or event < self.first_bad_event):
            self.first_bad_event = event


def _revision_of(connection: sa.Connection) -> str:
    """The schema revision of an older study; the newest where none is told, so that nothing is excused."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return migrations.HEAD
    revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision if revision in migrations.REVISIONS else migrations.HEAD


def _had(name: str, revision: str) -> bool:
    """Whether a study of this revision has the table or rule."""
    order = migrations.REVISIONS
    return order.index(schema.SINCE.get(name, order[0])) <= order.index(revision)


def _check_database(connection: sa.Connection, check: _Check) -> None:
    dialect = connection.dialect.name
    if dialect == "sqlite":
        for (verdict,) in connection.exec_driver_sql("PRAGMA integrity_check(5)"):
            if verdict != "ok":
                check.fault("database_damaged", "study.sqlite", f"The database file is damaged: {verdict}.")
        for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            check.fault("reference_broken", f"{row[0]}:{row[1]}", f"A row refers to a missing row of {row[2]}.")
        there = {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    else:
        # A rule that was switched off is as good as gone.
        there = {
            row[0]
            for row in connection.exec_driver_sql(
                "SELECT t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = current_schema() AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
            )
        }
    revision = _revision_of(connection)
    for name in sorted(name for name in set(schema.guards(dialect)) - there if _had(name, revision)):
        check.fault("guard_removed", name, "A rule that protects the trail was removed from the database.")


def _check_chain(rows: list[dict[str, Any]], check: _Check) -> None:
    if not rows:
        check.fault("event_missing", "event 1", "The audit trail is empty.", 1)
        return
    expected, previous = 1, GENESIS
    for row in rows:
        seq = row["seq"]
        where = f"event {seq}"
        if seq != expected:
            if seq > expected:
                gap = f"event {expected}" if seq == expected + 1 else f"events {expected} to {seq - 1}"
                check.fault("event_missing", gap, "Events were removed from the trail.", expected)
            else:
                check.fault("event_inserted", where, "An event has a number that was already given.", seq)
        elif row["previous_sha256"] != previous:
            check.fault("chain_broken", where, "The event does not follow the one before it.", seq)
        if event_sha256(row) != row["sha256"]:
            check.fault("event_altered", where, "The event is not as it was written.", seq)
        expected, previous = seq + 1, row["sha256"]


def _check_records(rows: list[dict[str, Any]], tables: dict[sa.Table, list[dict[str, Any]]], check: _Check) -> int:
    vouched = {row["object"]: row for row in rows if row["content_sha256"] is not None}
    seen = set()
    for table, found in tables.items():
        for row in found:
            name = schema.object_name(table, row)
            seen.add(name)
            event = vouched.get(name)
            if event is None:
                check.fault("record_inserted", name, "The record was not made through the program.")
            elif content_sha256(row) != event["content_sha256"]:
                check.fault("record_altered", name, f"The record is not as event {event['seq']} left it.")
    for name in sorted(set(vouched) - seen):
        check.fault("record_missing", name, f"The record of event {vouched[name]['seq']} is no longer in the study.")
    return len(seen)


def _check_files(folder: Path, tables: dict[sa.Table, list[dict[str, Any]]], check: _Check) -> int:
    blobs = BlobFolder(folder / "blobs")
    named: dict[str, str] = {}
    for row in tables[schema.readings]:
        for column in ("mask_sha256", "picture_sha256", "viable_mask_sha256"):
            if row.get(column):  # an older study, checked as it lies, has no column for the parts yet
                named.setdefault(str(row[column]), schema.object_name(schema.readings, row))
    for table, column in ((schema.plan_runs, "blobs"), (schema.draft_masks, "history")):
        for row in tables[table]:
            value = _loaded(row[column])
            for sha256 in value.values() if isinstance(value, dict) else value:
                named.setdefault(str(sha256), schema.object_name(table, row))
    for sha256, where in sorted(named.items()):
        try:
            code = blobs.check(sha256)
        except StudyRefused:
            code = "blob_missing"
        if code is not None:
            what = "is missing" if code == "blob_missing" else "was altered"
            check.fault(code, f"{where} blob {sha256[:12]}", f"A stored file of this record {what}.")
    return len(named) + _check_images(folder, tables, check)


def _loaded(text: Any) -> dict | list:
    """A list or dict from its text; an empty one for tampered text, whose record's hash does not fit
    and is reported for it."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError):
        return []
    return value if isinstance(value, (dict, list)) else []


def _check_images(root: Path, tables: dict[sa.Table, list[dict[str, Any]]], check: _Check) -> int:
    checked = 0
    for row in tables[schema.series]:
        where = schema.object_name(schema.series, row)
        hashes = _loaded(row["file_sha256"])
        if not isinstance(hashes, dict):
            continue
        folder = root / str(row["folder"])
        for name, sha256 in sorted(hashes.items()):
            checked += 1
            path = folder / name
            if not path.is_file():
                check.fault("image_missing", f"{where} {name}", "A picture file is missing.")
            elif sha256_file(path) != sha256:
                check.fault("image_altered", f"{where} {name}", "A picture file was altered.")
    return checked


def _check_anchor(rows: list[dict[str, Any]], anchor: AuditHead, anchored_study: str | None, study_id: str | None, check: _Check) -> None:
    if anchored_study is not None and anchored_study != study_id:
        check.fault("anchor_of_other_study", "anchor", "The anchor belongs to another study.")
    at = next((row for row in rows if row["seq"] == anchor.events), None)
    if at is None:
        last = rows[-1]["seq"] if rows else 0
        check.fault(
            "truncated",
            f"event {last + 1}",
            f"The anchor knows {anchor.events} events, the trail ends at {last}.",
            last + 1,
        )
    elif at["sha256"] != anchor.sha256:
        check.fault(
            "anchor_mismatch", f"event {anchor.events}", "The trail is not the one that the anchor was taken of.",
            anchor.events,
        )  # fmt: skip
