"""What a reader has to read, in an order of the reader's own: randomised from a seed that stands in the audit trail."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.study import schema
from app.study.blinding import case_code, hidden_by
from app.study.canonical import canonical_json
from app.study.errors import StudyRefused
from app.study.model import Reading, ReadingState, SeriesRecord, StudySnapshot, Visit
from app.study.permissions import BLINDED_ROLES
from app.study.protocol import StudyProtocol, protocol_from
from app.study.salvage import salvage_result
from app.study.schedule import SalvageDeadline, by_subject, result_date_of, salvage_deadline

ORDER_PREFIX = "order/"
OPEN, IN_WORK, DONE = "open", "in_work", "locked"
SEQUENTIAL = "sequential"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One visit to read. ``case`` is what the reader sees of the subject; ``subject_id`` is None where it is hidden.
    ``state`` is open, in_work or locked (all nodes); ``salvage_deadline`` and ``salvage_days_left`` (negative: passed)
    are for readers who treat, and None for others or where no salvage can follow. ``waits_for`` is the earlier visit of the case that must be
    locked before this one is opened, where the protocol has visits read in order."""

    case: str
    visit_id: str
    visit: str
    state: str
    nodes: int
    nodes_locked: int
    subject_id: str | None = None
    salvage_deadline: str | None = None
    salvage_days_left: int | None = None
    waits_for: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """An entry of ``worklist`` in an answer of the command line."""
        return {name: getattr(self, name) for name in self.__slots__}


def worklist_of(snapshot: StudySnapshot, reader: str, *, seed: str, blinded: bool, read_visits: set[str], today: dt.date | None = None) -> list[WorkItem]:
    """Visits to read by ``reader``, in the order of the seed for a blinded reader, else the nearest salvage deadline
    first. ``read_visits`` are the visits that have pictures."""
    protocol = protocol_from(snapshot.protocol)
    hide = hidden_by(snapshot.protocol) if blinded else frozenset()
    own: dict[tuple[str, str], list[Reading]] = {}
    for r in snapshot.readings:
        if r.reader == reader and (r.role == "site") != blinded and r.state is not ReadingState.SUPERSEDED:
            own.setdefault((r.visit_id, r.node_id), []).append(r)
    nodes: dict[str, list[str]] = {}
    for n in snapshot.nodes:
        if not blinded or n.found_by in (None, reader):
            nodes.setdefault(n.subject_id, []).append(n.node_id)
    salvages = {} if blinded else _salvage(snapshot, protocol, today)
    waits = waiting_visits(snapshot, reader, read_visits) if blinded else {}
    items = []
    for v in snapshot.visits:
        if v.visit_id not in read_visits:
            continue
        of_visit = [own.get((v.visit_id, node_id), []) for node_id in nodes.get(v.subject_id, [])]
        locked = sum(any(r.state is ReadingState.LOCKED for r in rs) and all(r.state is ReadingState.LOCKED for r in rs) for rs in of_visit)
        state = DONE if of_visit and locked == len(of_visit) else IN_WORK if any(of_visit) else OPEN
        deadline = salvages.get(v.subject_id)
        items.append(
            WorkItem(
                case=case_code(seed, v.subject_id) if "identity" in hide else v.subject_id,
                visit_id=v.visit_id,
                visit=v.name,
                state=state,
                nodes=len(of_visit),
                nodes_locked=locked,
                subject_id=None if "identity" in hide else v.subject_id,
                salvage_deadline=None if deadline is None else deadline.deadline,
                salvage_days_left=None if deadline is None else deadline.days_left,
                waits_for=waits[v.visit_id].name if v.visit_id in waits else None,
            )
        )
    shuffled = blinded and protocol.section("reading").get("order", "randomised") == "randomised"

    def place(item: WorkItem) -> tuple:
        if shuffled:
            return (hashlib.sha256(f"{seed}|{item.visit_id}".encode()).hexdigest(),)
        return (item.state == DONE, item.salvage_deadline or "9999", item.case, _order(snapshot, item.visit_id), item.visit_id)

    return sorted(items, key=place)


def waiting_visits(snapshot: StudySnapshot, reader: str, read_visits: Collection[str]) -> dict[str, Visit]:
    """Visits that a blinded reader may not open yet, each with the earlier visit that comes first; none where the protocol does not have visits
    read in order (``reading.order`` sequential).

    A visit is done with when every node that everybody knows is locked there, and every node that the reader found and has read there or
    earlier; or when the reader went on to a later visit: what was found afterwards does not open what was closed.
    """
    if protocol_from(snapshot.protocol).section("reading").get("order") != SEQUENTIAL:
        return {}
    own = [r for r in snapshot.readings if r.reader == reader and r.role != "site"]
    locked = {(r.visit_id, r.node_id) for r in own if r.state is ReadingState.LOCKED}
    orders = {v.visit_id: v.order for v in snapshot.visits}
    furthest: dict[str, int] = {}
    for r in own:
        furthest[r.subject_id] = max(orders[r.visit_id], furthest.get(r.subject_id, orders[r.visit_id]))
    nodes = by_subject(n for n in snapshot.nodes if n.found_by in (None, reader))
    read_from: dict[str, int] = {}
    for r in own:
        read_from[r.node_id] = min(orders[r.visit_id], read_from.get(r.node_id, orders[r.visit_id]))
    found: dict[str, Visit] = {}
    for subject, visits in by_subject(v for v in snapshot.visits if v.visit_id in read_visits).items():
        first: Visit | None = None
        for visit in sorted(visits, key=lambda v: (v.order, v.visit_id)):
            if first is not None:
                found[visit.visit_id] = first
                continue
            known = [n for n in nodes.get(subject, ()) if n.found_by is None or read_from.get(n.node_id, visit.order + 1) <= visit.order]
            closed = bool(known) and all((visit.visit_id, n.node_id) in locked for n in known)
            if not closed and furthest.get(subject, visit.order) <= visit.order:
                first = visit
    return found


def _salvage(snapshot: StudySnapshot, protocol: StudyProtocol, today: dt.date | None) -> dict[str, SalvageDeadline]:
    """The deadline of each subject for whom a salvage can still be decided, or was missed; none for a subject whose dates were shifted."""
    if not protocol.section("salvage"):
        return {}
    events, visits, readings = (by_subject(values) for values in (snapshot.events, snapshot.visits, snapshot.readings))
    found = {}
    for s in snapshot.subjects:
        own = visits.get(s.subject_id, ())
        log, read = events.get(s.subject_id, ()), readings.get(s.subject_id, ())
        found_there, signed = salvage_result(protocol, log, own, read), result_date_of(protocol, own, read)
        told = None if s.dates_shifted else salvage_deadline(protocol, log, own, on=today, result_date=signed, result=found_there)
        if told is not None and told.deadline is not None and told.state in ("open", "passed", "not_known"):
            found[s.subject_id] = told
    return found


def _order(snapshot: StudySnapshot, visit_id: str) -> int:
    return next(v.order for v in snapshot.visits if v.visit_id == visit_id)


class WorklistPart:
    """The part of ``StudyStore`` that knows what is to be read."""

    def order_seed(self, reader: str) -> str:
        """The seed of a reader's order and case codes: made once, kept in the study and its trail."""
        key = ORDER_PREFIX + reader
        known = self._stored_setting(key)
        if known is None:
            with self._write_lock, self._plain_write() as trail:
                query = sa.select(schema.settings.c.key).where(schema.settings.c.key == key)
                if trail.connection.execute(query).first() is None:
                    row = {"key": key, "value": canonical_json({"seed": secrets.token_hex(8)})}
                    trail.insert(schema.settings, row, action="reading_order_drawn")
            known = self._stored_setting(key)
        return known["seed"]

    @property
    def _reads_in_turn(self) -> bool:
        """Does who is at work read blinded, visit after visit?"""
        return self.blinded and not self._is_adjudicator and self.protocol.section("reading").get("order") == SEQUENTIAL

    def in_turn(self, series: list[SeriesRecord]) -> list[SeriesRecord]:
        """Without the pictures of visits whose turn has not come: they are not handed out."""
        places = {s.visit_id for s in series}
        if not self._reads_in_turn or not places:
            return series
        if len(places) == 1:
            return [] if self.waits_for(*places) is not None else series
        shot = self._whole_snapshot()
        waiting = waiting_visits(shot, self._looks, places | {r.visit_id for r in shot.readings})
        return [s for s in series if s.visit_id not in waiting]

    def waits_for(self, visit_id: str) -> Visit | None:
        """The earlier visit that the blinded reader at work must lock before this one is opened, read or drawn on; None where none is left."""
        if not self._reads_in_turn:
            return None
        with self._read() as connection:
            visits = schema.visits
            subject = connection.execute(sa.select(visits.c.subject_id).where(visits.c.visit_id == visit_id)).scalar_one_or_none()
            if subject is None:
                return None
            shot = self._snapshot_in(connection, subject)
            pictured = {row[0] for row in connection.execute(sa.select(schema.series.c.visit_id).distinct())}
        return waiting_visits(shot, self._looks, pictured | {r.visit_id for r in shot.readings} | {visit_id}).get(visit_id)

    def check_turn(self, visit_id: str) -> None:
        """Refuse a visit whose turn has not come: ``earlier_visit_open``."""
        earlier = self.waits_for(visit_id)
        if earlier is not None:
            raise StudyRefused(f"The visit {earlier.name} of this case is not locked yet.", code="earlier_visit_open", hint="The protocol has visits read in order: lock the earlier one first.")

    def worklist(self, reader: str | None = None, *, today: dt.date | None = None) -> list[WorkItem]:
        """What ``reader`` (by default who is at work) has to read; one's own list, or another's with the right to it."""
        own = reader or self.user
        if self.has_users() and (self.session is None or self.session.user_id != own):
            self.require("see_as")
        else:
            self._check_may()
        blinded = self.blinded if self.session is not None and own == self.session.user_id else self._reads_blinded(own)
        with self._read() as connection:
            pictured = {row[0] for row in connection.execute(sa.select(schema.series.c.visit_id).distinct())}
        shot = self.site_snapshot(self._whole_snapshot(), own if self._account_roles(own) is not None else None)
        read = pictured | {r.visit_id for r in shot.readings}
        return worklist_of(shot, own, seed=self.order_seed(own), blinded=blinded, read_visits=read, today=today or self._clock().date())

    def _reads_blinded(self, reader: str) -> bool:
        """Whether another reader reads blinded: by the account's roles, else by the roles of their readings."""
        account = self._account_roles(reader)
        if account is not None:
            return bool(set(account) & set(BLINDED_ROLES))
        with self._read() as connection:
            roles = {row[0] for row in connection.execute(sa.select(schema.readings.c.role).where(schema.readings.c.reader == reader))}
        return "site" not in roles
