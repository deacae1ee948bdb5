"""Subjects, visits, nodes, series, clinical events and drafts of a study."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.study import rows, rules, schema
from app.study.blobs import flush_folder, sha256_file, temporary_name
from app.study.canonical import canonical_json
from app.study.errors import StudyRefused
from app.study.ids import new_id
from app.study.model import EVENT_KINDS, ClinicalEvent, SeriesRecord, Side, Subject, TargetNode, Visit
from app.study.permissions import ANY_READER, NODE_RIGHTS, OWN_FIND_RIGHTS
from app.study.sites import claim

DRAFT_STEPS = 50  # how many autosaved steps of a mask can be stepped back after a crash


def need(connection: sa.Connection, table: sa.Table, key: str, what: str) -> Any:
    """The row with this key, or refused: ``subject_missing``, ``visit_missing`` ..."""
    column = next(iter(table.primary_key.columns))
    row = connection.execute(sa.select(table).where(column == key)).mappings().first()
    if row is None:
        raise StudyRefused(f"There is no such {what} in this study.", code=f"{what}_missing")
    return row


class RecordsPart:
    """The part of ``StudyStore`` that keeps who, when and where."""

    # -- subjects ---------------------------------------------------------------------------------

    def add_subject(self, subject_id: str, *, dates_shifted: bool = False) -> Subject:
        """Add a participant by pseudonym. Raises ``pseudonym_refused``, ``subject_exists``."""
        rules.check_pseudonym(subject_id)
        with self._write("records") as trail:
            query = sa.select(schema.subjects.c.subject_id).where(schema.subjects.c.subject_id == subject_id)
            if trail.connection.execute(query).first():
                raise StudyRefused("This subject is already in the study.", code="subject_exists")
            claim(trail, subject_id, self.site_limit())  # a subject that a bound user adds is one of the user's site
            row = {"subject_id": subject_id, "dates_shifted": int(dates_shifted), "created_utc": trail.utc}
            trail.insert(schema.subjects, row, action="subject_added")
        return Subject(subject_id, dates_shifted)

    def mark_dates_shifted(self, subject_id: str, *, reason: str) -> None:
        """Note that a subject's dates were moved before they reached the study; every export says so. Raises
        ``subject_missing``, ``reason_missing``."""
        reason = rules.check_text(reason, "a reason for the change", "reason_missing")
        with self._write("records") as trail:
            need(trail.connection, schema.subjects, subject_id, "subject")
            trail.update(schema.subjects, {"subject_id": subject_id}, {"dates_shifted": 1}, action="subject_changed", reason=reason)

    def subjects(self) -> list[Subject]:
        """All subjects, by pseudonym."""
        query = sa.select(schema.subjects).order_by(schema.subjects.c.subject_id)
        self._check_may()
        with self._read() as connection:
            return self.of_site(rows.subject_from(row) for row in connection.execute(query).mappings())

    # -- visits -----------------------------------------------------------------------------------

    def add_visit(
        self,
        subject_id: str,
        name: str,
        *,
        order: int | None = None,
        actual_date: str | None = None,
        visit_id: str | None = None,
    ) -> Visit:
        """Add a visit. ``order`` comes from the protocol where it plans a visit of that name, else
        the visit goes to the end. Raises ``subject_missing``, ``visit_exists``, ``date_refused``."""
        name = rules.check_text(name, "the visit's name", "visit_name_missing")
        actual_date = rules.check_date(actual_date, "visit date")
        planned = self.protocol.visit(name)
        with self._write("records", "images") as trail:
            need(trail.connection, schema.subjects, subject_id, "subject")
            there = [rows.visit_from(r) for r in self._visit_rows(trail.connection, subject_id)]
            if any(v.name == name for v in there):
                raise StudyRefused(f"This subject already has a visit {name!r}.", code="visit_exists")
            if order is None and planned is not None:
                order = planned.order
            if order is None:
                last = max([v.order for v in there] + [v.order for v in self.protocol.visits])
                order = last + 1
            visit = Visit(visit_id or new_id("V"), subject_id, name, order, actual_date)
            trail.insert(schema.visits, rows.visit_row(visit), action="visit_added")
        return visit

    def update_visit(self, visit_id: str, /, *, reason: str, **changes: Any) -> Visit:
        """Change ``actual_date``, ``name`` or ``order`` of a visit; a reason is required."""
        return self._change(schema.visits, visit_id, "visit", reason, changes, rows.visit_from, rows.visit_row)

    def visits(self, subject_id: str | None = None) -> list[Visit]:
        """Visits in their order."""
        self._check_may()
        with self._read() as connection:
            return self.seen_visits(rows.visit_from(row) for row in self._visit_rows(connection, subject_id))

    def visit(self, visit_id: str) -> Visit:
        """One visit. Raises ``visit_missing``."""
        self._check_may()
        with self._read() as connection:
            found = self.seen_visits([rows.visit_from(need(connection, schema.visits, visit_id, "visit"))])
        if not found:
            raise StudyRefused("There is no such visit in this study.", code="visit_missing")
        return found[0]

    @staticmethod
    def _visit_rows(connection: sa.Connection, subject_id: str | None) -> list[Any]:
        table = schema.visits
        query = sa.select(table).order_by(table.c.subject_id, table.c.visit_order, table.c.visit_id)
        if subject_id is not None:
            query = query.where(table.c.subject_id == subject_id)
        return list(connection.execute(query).mappings())

    # -- nodes ------------------------------------------------------------------------------------

    def add_node(
        self,
        subject_id: str,
        label: str,
        side: Side | str,
        level: str,
        *,
        high_risk: tuple[str, ...] = (),
        seed_mm: tuple[float, float, float] | None = None,
        node_id: str | None = None,
    ) -> TargetNode:
        """Add a node that keeps its identity over all visits. Raises ``subject_missing``,
        ``node_exists``, ``side_refused``, ``level_refused``."""
        label = rules.check_text(label, "the node's label", "node_label_missing")
        rules.check_level(level)
        found_by = self.user if self.session is not None and self.session.blinded else None
        node = TargetNode(node_id or new_id("N"), subject_id, label, _side(side), level, tuple(high_risk), seed_mm, found_by)
        with self._write("add_nodes") as trail:
            need(trail.connection, schema.subjects, subject_id, "subject")
            table = schema.nodes
            query = sa.select(table.c.node_id).where(table.c.subject_id == subject_id, table.c.label == label)
            if trail.connection.execute(query).first():
                raise StudyRefused(f"This subject already has a node {label!r}.", code="node_exists")
            trail.insert(table, rows.node_row(node), action="node_added")
        return node

    def update_node(self, node_id: str, /, *, reason: str, **changes: Any) -> TargetNode:
        """Change ``label``, ``side``, ``level``, ``high_risk`` or ``seed_mm`` of a node, with a reason.

        A blinded reader may change a find of their own until somebody else has read it: then ``find_in_use``. Raises ``node_missing``,
        ``right_missing``, ``identity_fixed``, ``field_unknown``, ``reason_missing``.
        """
        if "found_by" in changes:
            raise StudyRefused("Who found a node never changes.", code="identity_fixed")
        if "level" in changes:
            rules.check_level(changes["level"])
        if "side" in changes:
            changes["side"] = _side(changes["side"])
        rights = OWN_FIND_RIGHTS if self._is_own_find(node_id) else NODE_RIGHTS
        return self._change(schema.nodes, node_id, "node", reason, changes, rows.node_from, rows.node_row, rights=rights, check=self._check_find_unused)

    def _is_own_find(self, node_id: str) -> bool:
        """Was this node found by the blinded reader at work? Who found a node never changes."""
        if self.session is None or not self.session.blinded:
            return False
        with self._read() as connection:
            found_by = connection.execute(sa.select(schema.nodes.c.found_by).where(schema.nodes.c.node_id == node_id)).scalar_one_or_none()
        return found_by == self.session.user_id

    def _check_find_unused(self, connection: sa.Connection, node: TargetNode) -> None:
        """Refuse a blinded reader a find of their own that somebody else rests on: ``find_in_use``. By whom and how is not told."""
        if self.session is None or not self.session.blinded:
            return
        readings, adjudications = schema.readings, schema.adjudications
        for query in (
            sa.select(readings.c.reading_id).where(readings.c.subject_id == node.subject_id, readings.c.node_id == node.node_id, readings.c.reader != self.session.user_id),
            sa.select(adjudications.c.adjudication_id).where(adjudications.c.node_id == node.node_id),
        ):
            if connection.execute(query.limit(1)).first() is not None:
                raise StudyRefused("This node is in use elsewhere in the study: what it is called and where it lies is no longer yours to change.", code="find_in_use", hint="Ask the study's manager.")

    def nodes(self, subject_id: str | None = None) -> list[TargetNode]:
        """Nodes by subject and label."""
        table = schema.nodes
        query = sa.select(table).order_by(table.c.subject_id, table.c.label)
        if subject_id is not None:
            query = query.where(table.c.subject_id == subject_id)
        self._check_may()
        with self._read() as connection:
            return self.seen_nodes(rows.node_from(row) for row in connection.execute(query).mappings())

    def _change(self, table, key, what, reason, changes, make, to_row, *, rights=("records",), check=None):
        reason = rules.check_text(reason, "a reason for the change", "reason_missing")
        key_name = next(iter(table.primary_key.columns)).name
        with self._write(*rights) as trail:
            old = make(need(trail.connection, table, key, what))
            if check is not None:
                check(trail.connection, old)
            if {key_name, "subject_id"} & set(changes):
                raise StudyRefused(f"The identity of a {what} never changes.", code="identity_fixed")
            try:
                new = replace(old, **changes)
            except TypeError:
                raise StudyRefused(f"A {what} has no such field.", code="field_unknown") from None
            if "actual_date" in changes:
                rules.check_date(changes["actual_date"], "visit date")
            trail.update(table, {key_name: key}, to_row(new), action=f"{what}_changed", reason=reason)
        return new

    # -- series -----------------------------------------------------------------------------------

    @contextmanager
    def stage_series(self) -> Iterator[Path]:
        """A folder of its own inside the study to write a series' files into, before ``add_series``
        moves it into place. Whatever is left in it afterwards is removed."""
        folder = self.folder / "images" / temporary_name("series")
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            if folder.exists():
                shutil.rmtree(folder)

    def add_series(
        self,
        visit_id: str,
        *,
        series_uid: str,
        modality: str,
        kind: str,
        description: str = "",
        staged: Path | None = None,
        findings: tuple[dict, ...] = (),
        series_id: str | None = None,
    ) -> SeriesRecord:
        """Add a picture series; its files come from the folder given by ``stage_series``.

        The files are flushed and hashed, moved to ``images/<visit>/<series>/`` and recorded in one
        transaction. Raises ``visit_missing``, ``series_exists``.
        """
        series_id = series_id or new_id("I")
        relative = Path("images") / visit_id / series_id
        hashes: dict[str, str] = {}
        if staged is not None:
            for path in sorted(p for p in staged.rglob("*") if p.is_file()):
                with open(path, "rb") as handle:
                    os.fsync(handle.fileno())
                hashes[path.relative_to(staged).as_posix()] = sha256_file(path)
            flush_folder(staged)
        record = SeriesRecord(
            series_id, visit_id, series_uid, modality, kind, description, relative.as_posix(),
            tuple(hashes), tuple(findings),
        )  # fmt: skip
        target = self.folder / relative
        moved = False
        try:
            with self._write("images") as trail:
                need(trail.connection, schema.visits, visit_id, "visit")
                table = schema.series
                query = sa.select(table.c.series_id).where(table.c.visit_id == visit_id, table.c.series_uid == series_uid)
                if trail.connection.execute(query).first():
                    raise StudyRefused("This series is already in the visit.", code="series_exists")
                row = {
                    "series_id": series_id,
                    "visit_id": visit_id,
                    "series_uid": series_uid,
                    "modality": modality,
                    "kind": kind,
                    "description": description,
                    "folder": record.folder,
                    "files": canonical_json(list(hashes)),
                    "findings": canonical_json(list(findings)),
                    "file_sha256": canonical_json(hashes),
                }
                trail.insert(table, row, action="series_added")
                if staged is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(staged, target)
                    moved = True
                    flush_folder(target.parent)
        except BaseException:
            if moved:
                shutil.rmtree(target)
            raise
        return record

    def series(self, visit_id: str | None = None) -> list[SeriesRecord]:
        """Series, by visit."""
        table = schema.series
        query = sa.select(table).order_by(table.c.visit_id, table.c.series_id)
        if visit_id is not None:
            query = query.where(table.c.visit_id == visit_id)
        self._check_may()
        with self._read() as connection:
            found = [rows.series_from(row) for row in connection.execute(query).mappings()]
        found = self.in_turn(found)
        if self.site_limit() is None:
            return found
        own = {v.visit_id for v in self.visits()}
        return [s for s in found if s.visit_id in own]

    def holds_pictures(self) -> bool:
        """Has any picture series come into the study, whoever may see it?"""
        self._check_may()
        with self._read() as connection:
            return connection.execute(sa.select(schema.series.c.series_id).limit(1)).first() is not None

    def series_folder(self, record: SeriesRecord) -> Path:
        """Where a series' files lie."""
        return self.folder / record.folder

    # -- clinical events --------------------------------------------------------------------------

    def add_event(
        self,
        subject_id: str,
        kind: str,
        date: str,
        *,
        node_id: str | None = None,
        detail: dict | None = None,
        event_id: str | None = None,
    ) -> ClinicalEvent:
        """Log an ablation, a progression and the like. ``node_id`` None: all nodes of the subject.
        Raises ``subject_missing``, ``node_missing``, ``event_kind_refused``, ``date_refused``."""
        if kind not in EVENT_KINDS:
            raise StudyRefused(f"Use one of {', '.join(EVENT_KINDS)}.", code="event_kind_refused")
        if rules.check_date(date, "event date") is None:
            raise StudyRefused("An event needs a date.", code="date_refused")
        event = ClinicalEvent(event_id or new_id("E"), subject_id, kind, date, node_id, detail or {})
        with self._write("records") as trail:
            need(trail.connection, schema.subjects, subject_id, "subject")
            if node_id is not None:
                same_subject(need(trail.connection, schema.nodes, node_id, "node"), subject_id, "node")
            row = {
                "event_id": event.event_id,
                "subject_id": subject_id,
                "node_id": node_id,
                "kind": kind,
                "date": date,
                "detail": canonical_json(event.detail),
            }
            trail.insert(schema.clinical_events, row, action="event_added")
        return event

    def clinical_events(self, subject_id: str | None = None) -> list[ClinicalEvent]:
        """Clinical events by subject and date."""
        table = schema.clinical_events
        query = sa.select(table).order_by(table.c.subject_id, table.c.date, table.c.event_id)
        if subject_id is not None:
            query = query.where(table.c.subject_id == subject_id)
        self._check_may()
        if self.blinded:
            return []  # when and how often a subject was treated is not the reader's to know
        with self._read() as connection:
            return self.of_site(rows.event_from(row) for row in connection.execute(query).mappings())

    # -- mask drafts ------------------------------------------------------------------------------

    def save_draft_mask(self, node_id: str, visit_id: str, npz: bytes, *, reader: str | None = None) -> str:
        """Autosave a mask in work; the last ``DRAFT_STEPS`` steps stay reachable. Returns its hash."""
        reader = reader or self.user
        self.check_own(reader)
        self.check_turn(visit_id)
        sha256 = self.put_blob(npz)
        table = schema.draft_masks
        key = {"visit_id": visit_id, "node_id": node_id, "reader": reader}
        with self._write(*ANY_READER) as trail:
            need(trail.connection, schema.visits, visit_id, "visit")
            need(trail.connection, schema.nodes, node_id, "node")
            history = self._draft_history(trail.connection, key)
            row = {**key, "updated_utc": trail.utc}
            if history is None:
                row["history"] = canonical_json([sha256])
                trail.insert(table, row, action="draft_saved")
            elif not history or history[-1] != sha256:
                row["history"] = canonical_json([*history, sha256][-DRAFT_STEPS:])
                trail.update(table, key, row, action="draft_saved")
        return sha256

    def draft_mask_history(self, node_id: str, visit_id: str, *, reader: str | None = None) -> list[str]:
        """Hashes of the autosaved steps, oldest first; empty where there is no draft."""
        key = {"visit_id": visit_id, "node_id": node_id, "reader": reader or self.user}
        self._check_may()
        if self.blinded:
            self.check_own(key["reader"])
        if self.site_limit() is not None:
            self.visit(visit_id)  # refused where it is another site's
        with self._read() as connection:
            return self._draft_history(connection, key) or []

    def load_draft_mask(self, node_id: str, visit_id: str, *, reader: str | None = None) -> bytes | None:
        """The newest autosaved mask, or None."""
        history = self.draft_mask_history(node_id, visit_id, reader=reader)
        return self.get_blob(history[-1]) if history else None

    def clear_draft_mask(self, node_id: str, visit_id: str, *, reader: str | None = None) -> None:
        """Forget a draft, because its reading was saved or the reader threw it away."""
        key = {"visit_id": visit_id, "node_id": node_id, "reader": reader or self.user}
        self.check_own(key["reader"])
        with self._write(*ANY_READER) as trail:
            if self._draft_history(trail.connection, key):
                changes = {"history": "[]", "updated_utc": trail.utc}
                trail.update(schema.draft_masks, key, changes, action="draft_cleared")

    @staticmethod
    def _draft_history(connection: sa.Connection, key: dict[str, str]) -> list[str] | None:
        table = schema.draft_masks
        query = sa.select(table.c.history).where(*(table.c[k] == v for k, v in key.items()))
        text = connection.execute(query).scalar_one_or_none()
        return None if text is None else json.loads(text)


def same_subject(row: Any, subject_id: str, what: str) -> None:
    """Refuse a row of another subject: ``subject_mismatch``."""
    if row["subject_id"] != subject_id:
        raise StudyRefused(f"This {what} belongs to another subject.", code="subject_mismatch")


def _side(side: Side | str) -> Side:
    try:
        return Side(side)
    except ValueError:
        raise StudyRefused(f"{side!r} is no side; use left, right or midline.", code="side_refused") from None
