"""Readings of a study: drafted, measured, locked, corrected. A locked value never changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from app import __version__
from app.study import rows, rules, schema
from app.study.errors import StudyRefused
from app.study.ids import new_id
from app.study.lifecycle import check_move
from app.study.model import Reading, ReadingState, ReadingStatus
from app.study.permissions import READING_RIGHTS
from app.study.records import need
from app.study.signing import NOT_A_SIGNATURE, check_meaning, signed_sha256, write_signature
from app.study.trail import TrailWriter
from app.study.users import sign_in_needed

LOCK_NOTE = NOT_A_SIGNATURE
# What the store itself fills in; everything else is the reader's.
_STORE_FIELDS = (
    "reading_id", "version", "created_utc", "locked_utc", "locked_by", "lock_meaning", "protocol_version",
    "software_version", "change_reason", "state", "signature_id", "edition",
)  # fmt: skip
_IDENTITY = ("subject_id", "visit_id", "node_id", "reader", "role", "modality", "method")


def _one_reading(*names: str) -> sa.Select:
    """The newest reading with these columns as given. Built once: building it anew took longer than the database took to answer."""
    table = schema.readings
    return sa.select(table).where(*(table.c[name] == sa.bindparam(name) for name in names)).order_by(table.c.version.desc()).limit(1)


_NEWEST = _one_reading("reading_id")
# With the visit's subject: readings have an index of their subjects, and without it every save reads the whole table.
_SAME_KEY = _one_reading("visit_id", "node_id", "reader", "role", "modality", "method").where(
    schema.readings.c.state != str(ReadingState.SUPERSEDED),
    schema.readings.c.subject_id == sa.select(schema.visits.c.subject_id).where(schema.visits.c.visit_id == sa.bindparam("visit_id")).scalar_subquery(),
)


class ReadingsPart:
    """The part of ``StudyStore`` that keeps what was measured."""

    def new_reading_id(self) -> str:
        """An identity for a reading not yet saved."""
        return new_id("R")

    def save_reading(self, reading: Reading, *, reason: str | None = None) -> Reading:
        """Save a draft or a measured reading; returns it as stored.

        An empty ``reading_id`` gets a new one. A draft may be saved again and again; once saved as
        measured, any change needs ``reason`` (a correction's own reason stands until it is locked).
        A node that disappeared gets volume 0. Who saves a reading that was saved by somebody else since it was read gets
        ``changed_meanwhile``. In a study with users a reader saves readings of their own only (``not_your_reading``). Raises ``reading_locked``, ``reading_exists``,
        ``reason_missing``, ``zero_volume``, ``status_contradicts_volume``, ``volume_missing``,
        ``value_refused``, ``subject_mismatch``, ``blob_missing`` and the ``..._missing`` codes.
        """
        return self.save_readings((reading,), reason=reason)[0]

    def save_readings(self, readings: Sequence[Reading], *, reason: str | None = None) -> list[Reading]:
        """Save several readings, as a visit's nodes, in one transaction: all or none, each by the rules and with the refusals of
        ``save_reading`` and with events of its own; returns them as stored."""
        wanted = []
        for reading in readings:
            if reading.state not in (ReadingState.DRAFT, ReadingState.MEASURED):
                raise StudyRefused("A reading is saved as draft or measured; locking is a step of its own.", code="state_refused")
            rules.check_reading(reading, self.blobs.exists)
            if reading.status is ReadingStatus.DISAPPEARED_ASSESSED:
                reading = replace(reading, volume_ml=0.0)
            self.check_own(reading.reader)
            wanted.append(reading)
        for visit_id in dict.fromkeys(r.visit_id for r in wanted):
            self.check_turn(visit_id)
        saved = []
        with self._write_readings({r.role for r in wanted}) as trail:
            known: set[tuple[str, str, str]] = set()
            for reading in wanted:
                place = (reading.subject_id, reading.visit_id, reading.node_id)
                if place not in known:
                    self._check_belongs(trail.connection, reading)
                    known.add(place)
                old = self._newest(trail.connection, reading.reading_id) if reading.reading_id else None
                saved.append(self._insert(trail, reading, reason) if old is None else self._update(trail, old, reading, reason))
        return saved

    def _write_readings(self, roles: set[str]) -> AbstractContextManager[TrailWriter]:
        """A write transaction of who may make readings of all these roles."""
        rights = sorted(READING_RIGHTS[role] for role in roles)
        for right in rights[1:]:
            self._check_may(right)
        return self._write(*rights[:1])

    def _insert(self, trail: TrailWriter, reading: Reading, reason: str | None) -> Reading:
        self._check_free(trail.connection, reading)
        new = replace(
            reading,
            reading_id=reading.reading_id or new_id("R"),
            version=1,
            created_utc=trail.utc,
            protocol_version=self.protocol.stamp,
            software_version=__version__,
            change_reason=reason,
            locked_utc=None,
            locked_by=None,
            lock_meaning=None,
            signature_id=None,
            edition=1,
        )
        trail.insert(schema.readings, rows.reading_row(new), action=f"reading_{new.state}", reason=reason)
        return new

    def _update(self, trail: TrailWriter, old: Reading, reading: Reading, reason: str | None) -> Reading:
        check_move(old.state, reading.state)
        if reading.edition is not None and (reading.version, reading.edition) != (old.version, old.edition):
            raise changed_meanwhile()
        if any(getattr(old, name) != getattr(reading, name) for name in _IDENTITY):
            raise StudyRefused(
                "Subject, visit, node, reader, role, modality and method of a reading are fixed.",
                code="identity_fixed",
                hint="Make a new reading.",
            )
        before = rows.reading_row(old)
        after = rows.reading_row(reading)
        changed = any(before[k] != after[k] for k in before if k not in _STORE_FIELDS)
        reason = (reason or "").strip() or None
        if changed and old.state is ReadingState.MEASURED and reason is None:
            if old.version == 1:
                raise StudyRefused("This reading was saved before; please give a reason for the change.", code="reason_missing")
            reason = old.change_reason
        new = replace(
            reading,
            version=old.version,
            created_utc=old.created_utc,
            protocol_version=old.protocol_version,
            software_version=__version__ if changed else old.software_version,
            change_reason=reason or old.change_reason,
            locked_utc=None,
            locked_by=None,
            lock_meaning=None,
            signature_id=None,
            edition=old.edition,
        )
        if new != old:
            new = replace(new, edition=(old.edition or 0) + 1)
        key = {"reading_id": new.reading_id, "version": new.version}
        trail.update(schema.readings, key, rows.reading_row(new), action=f"reading_{new.state}", reason=reason)
        return new

    def lock_reading(self, reading_id: str, name: str, meaning: str, *, password: str | None = None, edition: int | None = None) -> Reading:
        """Lock the newest version of a measured reading.

        In a study with users this is an electronic signature: who signed in gives the ``password`` again, ``name`` is
        their full or short name (or empty), ``meaning`` one of the study's. Without users a typed name and any meaning
        are kept, noted as "not an electronic signature". ``edition`` is the one that was looked at. The version it
        corrects, if any, becomes superseded in the same transaction. Raises ``reading_missing``, ``state_refused`` (a
        draft), ``reading_locked``, ``name_missing``, ``meaning_missing``, ``changed_meanwhile``; signing:
        ``reauthentication_needed``, ``password_wrong``, ``name_mismatch``, ``meaning_refused``, ``not_your_reading``.
        """
        return self.lock_readings((reading_id,), name, meaning, password=password, editions=None if edition is None else {reading_id: edition})[0]

    def lock_readings(self, reading_ids: Sequence[str], name: str, meaning: str, *, password: str | None = None, editions: Mapping[str, int] | None = None) -> list[Reading]:
        """Lock several measured readings, as a visit's nodes, with the password given once: all or none, each with a signature
        of its own bound to its own record. ``editions`` are those that were looked at. Otherwise as ``lock_reading``."""
        signing = self.has_users()
        if signing:
            meaning = check_meaning(meaning, self.protocol.content)
            self.check_again(password)
            name = self.signing_name(name)
        name = rules.check_text(name, "your name", "name_missing")
        meaning = rules.check_text(meaning, "what locking means", "meaning_missing")
        with self._write_readings(self._roles_of(reading_ids)) as trail:
            locked = [self._lock(trail, reading_id, name, meaning, signing, (editions or {}).get(reading_id)) for reading_id in reading_ids]
        self.write_anchor()
        return locked

    def _lock(self, trail: TrailWriter, reading_id: str, name: str, meaning: str, signing: bool, edition: int | None) -> Reading:
        old = self._need_reading(trail.connection, reading_id)
        self.check_own(old.reader)
        check_move(old.state, ReadingState.LOCKED)
        if edition is not None and edition != old.edition:
            raise changed_meanwhile()
        rules.check_reading(old, self.blobs.exists)
        if old.version > 1:
            trail.update(
                schema.readings,
                {"reading_id": reading_id, "version": old.version - 1},
                {"state": str(ReadingState.SUPERSEDED)},
                action="reading_superseded",
                reason=old.change_reason,
            )
        signature_id = new_id("SG") if signing else None
        new = replace(
            old, state=ReadingState.LOCKED, locked_utc=trail.utc, locked_by=name, lock_meaning=meaning, signature_id=signature_id, edition=(old.edition or 0) + 1
        )
        key = {"reading_id": reading_id, "version": old.version}
        note = meaning if signing else f"{meaning} ({LOCK_NOTE})"
        trail.update(schema.readings, key, rows.reading_row(new), action="reading_locked", reason=note)
        if signature_id is not None:
            content = signed_sha256(trail.stored(schema.readings, key))
            write_signature(trail, signature_id, schema.object_name(schema.readings, key), content, user_id=self.user, name=name, meaning=meaning)
        return new

    def signing_name(self, typed: str | None) -> str:
        """The full name of who signed in; a typed one must be theirs. Raises ``sign_in_needed``, ``name_mismatch``."""
        if self.session is None:
            raise sign_in_needed()
        given = (typed or "").strip().casefold()
        if given and given not in (self.session.full_name.casefold(), self.session.user_id.casefold()):
            raise StudyRefused("The typed name is not the name of who signed in.", code="name_mismatch", hint=f"You are signed in as {self.session.full_name}.")
        return self.session.full_name

    def _roles_of(self, reading_ids: Sequence[str]) -> set[str]:
        with self._read() as connection:
            found = [self._newest(connection, reading_id) for reading_id in reading_ids]
        return {r.role for r in found if r is not None}

    def correct_reading(self, reading_id: str, reason: str, /, **changes: Any) -> Reading:
        """Begin a correction of a locked reading: version n + 1, measured, with the given fields
        changed. The locked version keeps counting until the new one is locked.
        Raises ``reading_missing``, ``not_locked``, ``reason_missing``, ``field_unknown`` and those
        of ``save_reading``."""
        reason = rules.check_text(reason, "a reason for the correction", "reason_missing")
        fixed = sorted(set(changes) & {*_IDENTITY, *_STORE_FIELDS})
        if fixed:
            raise StudyRefused(f"A correction cannot change: {', '.join(fixed)}.", code="identity_fixed")
        with self._write() as trail:
            old = self._need_reading(trail.connection, reading_id)
            if old.state is not ReadingState.LOCKED:
                raise StudyRefused("Only a locked reading is corrected; this one can still be changed.", code="not_locked")
            try:
                changed = replace(old, **changes)
            except TypeError:
                raise StudyRefused("A reading has no such field.", code="field_unknown") from None
            if changed.status is ReadingStatus.DISAPPEARED_ASSESSED:
                changed = replace(changed, volume_ml=0.0)
            new = replace(
                changed,
                state=ReadingState.MEASURED,
                version=old.version + 1,
                change_reason=reason,
                created_utc=trail.utc,
                protocol_version=self.protocol.stamp,
                software_version=__version__,
                locked_utc=None,
                locked_by=None,
                lock_meaning=None,
                signature_id=None,
                edition=(old.edition or 0) + 1,
            )
            rules.check_reading(new, self.blobs.exists)
            trail.insert(schema.readings, rows.reading_row(new), action="reading_corrected", reason=reason)
        return new

    # -- looking up -------------------------------------------------------------------------------

    def reading(self, reading_id: str, version: int | None = None) -> Reading:
        """One reading, by default its newest version. Raises ``reading_missing``; so does one that is not to be seen."""
        self._check_may()
        with self._read() as connection:
            if version is None:
                return self.seen_reading(self._need_reading(connection, reading_id))
            table = schema.readings
            query = sa.select(table).where(table.c.reading_id == reading_id, table.c.version == version)
            row = connection.execute(query).mappings().first()
        if row is None:
            raise StudyRefused("There is no such reading in this study.", code="reading_missing")
        return self.seen_reading(rows.reading_from(row))

    def readings(
        self,
        subject_id: str | None = None,
        *,
        visit_id: str | None = None,
        node_id: str | None = None,
        state: ReadingState | str | None = None,
        reader: str | None = None,
        history: bool = False,
    ) -> list[Reading]:
        """Readings in the order of subject, visit, node, reader. Superseded versions are left out
        unless ``history`` or ``state`` asks for them; a locked reading under correction appears with
        both versions."""
        table, visits, nodes = schema.readings, schema.visits, schema.nodes
        query = (
            sa.select(table)
            .join(visits, visits.c.visit_id == table.c.visit_id)
            .join(nodes, nodes.c.node_id == table.c.node_id)
            .order_by(
                table.c.subject_id, visits.c.visit_order, visits.c.visit_id, nodes.c.label, table.c.reader,
                table.c.reading_id, table.c.version,
            )
        )  # fmt: skip
        for column, value in (
            (table.c.subject_id, subject_id),
            (table.c.visit_id, visit_id),
            (table.c.node_id, node_id),
            (table.c.reader, reader),
            (table.c.state, None if state is None else str(ReadingState(state))),
        ):
            if value is not None:
                query = query.where(column == value)
        if state is None and not history:
            query = query.where(table.c.state != str(ReadingState.SUPERSEDED))
        self._check_may()
        with self._read() as connection:
            return self.seen_readings(rows.reading_from(row) for row in connection.execute(query).mappings())

    def readings_naming(self, texts: Iterable[str]) -> list[Reading]:
        """Newest versions of the readings whose measurement holds one of some texts of letters and digits, such as hashes."""
        table, newer = schema.readings, schema.readings.alias()
        named = sa.or_(*(table.c.measurement.contains(text, autoescape=True) for text in texts))
        is_old = sa.exists().where(newer.c.reading_id == table.c.reading_id, newer.c.version > table.c.version)
        query = sa.select(table).where(named, ~is_old).order_by(table.c.reading_id)
        self._check_may()
        with self._read() as connection:
            return self.seen_readings([rows.reading_from(row) for row in connection.execute(query).mappings()])

    def find_reading(self, *, visit_id: str, node_id: str, reader: str, role: str, modality: str, method: str) -> Reading | None:
        """The newest version of the one reading that this reader has of this node, or None."""
        self._check_may()
        if self.blinded:
            self.check_own(reader)
        with self._read() as connection:
            found = self._same_key(
                connection,
                {"visit_id": visit_id, "node_id": node_id, "reader": reader, "role": role, "modality": modality, "method": method},
            )
        return found if found is None or self.of_site([found]) else None

    @staticmethod
    def _same_key(connection: sa.Connection, key: dict[str, str]) -> Reading | None:
        row = connection.execute(_SAME_KEY, key).mappings().first()
        return None if row is None else rows.reading_from(row)

    def _check_free(self, connection: sa.Connection, reading: Reading) -> None:
        key = {name: getattr(reading, name) for name in _IDENTITY if name != "subject_id"}
        there = self._same_key(connection, key)
        if there is not None:
            raise StudyRefused(
                "This reader already has a reading of this node at this visit by this method.",
                code="reading_exists",
                hint=f"Change it with a reason, or correct it if it is locked ({there.reading_id}).",
            )

    @staticmethod
    def _check_belongs(connection: sa.Connection, reading: Reading) -> None:
        need(connection, schema.subjects, reading.subject_id, "subject")
        visit = need(connection, schema.visits, reading.visit_id, "visit")
        node = need(connection, schema.nodes, reading.node_id, "node")
        if visit["subject_id"] != reading.subject_id or node["subject_id"] != reading.subject_id:
            raise StudyRefused("Visit and node must belong to the reading's subject.", code="subject_mismatch")

    @staticmethod
    def _newest(connection: sa.Connection, reading_id: str) -> Reading | None:
        row = connection.execute(_NEWEST, {"reading_id": reading_id}).mappings().first()
        return None if row is None else rows.reading_from(row)

    def _need_reading(self, connection: sa.Connection, reading_id: str) -> Reading:
        found = self._newest(connection, reading_id)
        if found is None:
            raise StudyRefused("There is no such reading in this study.", code="reading_missing")
        return found


def changed_meanwhile() -> StudyRefused:
    """The refusal of a save over something newer."""
    return StudyRefused("This was changed by another program since you opened it; nothing was saved.", code="changed_meanwhile", hint="Look at it as it is now, then change it.")
