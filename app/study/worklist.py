"""What a reader has to read, in an order of the reader's own: randomised from a seed that stands in the audit trail."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.study import schema
from app.study.blinding import case_code, hidden_by
from app.study.canonical import canonical_json
from app.study.model import Reading, ReadingState, StudySnapshot
from app.study.permissions import BLINDED_ROLES
from app.study.protocol import StudyProtocol, protocol_from
from app.study.schedule import SalvageDeadline, by_subject, result_date_of, salvage_deadline

ORDER_PREFIX = "order/"
OPEN, IN_WORK, DONE = "open", "in_work", "locked"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One visit to read. ``case`` is what the reader sees of the subject; ``subject_id`` is None where it is hidden.
    ``state`` is open, in_work or locked (all nodes); ``salvage_deadline`` and ``salvage_days_left`` (negative: passed)
    are for readers who treat, and None for others or where no salvage can follow."""

    case: str
    visit_id: str
    visit: str
    state: str
    nodes: int
    nodes_locked: int
    subject_id: str | None = None
    salvage_deadline: str | None = None
    salvage_days_left: int | None = None

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
            )
        )
    shuffled = blinded and protocol.section("reading").get("order", "randomised") == "randomised"

    def place(item: WorkItem) -> tuple:
        if shuffled:
            return (hashlib.sha256(f"{seed}|{item.visit_id}".encode()).hexdigest(),)
        return (item.state == DONE, item.salvage_deadline or "9999", item.case, _order(snapshot, item.visit_id), item.visit_id)

    return sorted(items, key=place)


def _salvage(snapshot: StudySnapshot, protocol: StudyProtocol, today: dt.date | None) -> dict[str, SalvageDeadline]:
    """The deadline of each subject for whom a salvage can still be decided, or was missed; none for a subject whose dates were shifted."""
    if not protocol.section("salvage"):
        return {}
    events, visits, readings = (by_subject(values) for values in (snapshot.events, snapshot.visits, snapshot.readings))
    found = {}
    for s in snapshot.subjects:
        own = visits.get(s.subject_id, ())
        result = result_date_of(protocol, own, readings.get(s.subject_id, ()))
        told = None if s.dates_shifted else salvage_deadline(protocol, events.get(s.subject_id, ()), own, on=today, result_date=result)
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
