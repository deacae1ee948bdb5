"""Locked central readings by node, visit and reader, and each reader's own baseline."""

from __future__ import annotations

from collections.abc import Iterable

from app.study.model import Reading, ReadingState, ReadingStatus, StudySnapshot, Visit
from app.study.protocol import protocol_from

# A node read on one modality by one method.
Key = tuple[str, str, str]
CENTRAL = "central"


class ReaderPairs:
    """``by_node[node, modality, method][visit_id][reader]`` is the locked central reading that counts."""

    def __init__(self, snapshot: StudySnapshot) -> None:
        self._visits = {v.visit_id: v for v in snapshot.visits}
        self._labels = {n.node_id: n.label for n in snapshot.nodes}
        self._subject = {n.node_id: n.subject_id for n in snapshot.nodes}
        protocol = protocol_from(snapshot.protocol)
        self._phase = {p.name: p.phase for p in protocol.visits}
        kinds = protocol.ablation_kinds
        self._ablated: dict[str, list[tuple[str | None, str]]] = {}
        for event in snapshot.events:
            if event.kind in kinds:
                self._ablated.setdefault(event.subject_id, []).append((event.node_id, event.date))
        self.by_node: dict[Key, dict[str, dict[str, Reading]]] = {}
        self._at_visit: dict[tuple[str, str, str], set[str]] = {}
        self._first_order: dict[str, int] = {}
        self._before: dict[tuple[str, str], bool] = {}
        self._baselines: dict[tuple[str, Key], Reading | None] = {}
        for r in sorted(locked_central(snapshot.readings), key=lambda r: (r.node_id, self.order(r.visit_id), r.reader, r.reading_id)):
            self.by_node.setdefault((r.node_id, r.modality, r.method), {}).setdefault(r.visit_id, {}).setdefault(r.reader, r)
            self._at_visit.setdefault((r.visit_id, r.modality, r.method), set()).add(r.reader)
            order = self.order(r.visit_id)
            self._first_order[r.node_id] = min(order, self._first_order.get(r.node_id, order))

    def order(self, visit_id: str) -> int:
        """The visit's place in time."""
        return self._visits[visit_id].order

    def label(self, node_id: str) -> str:
        """The node's short name."""
        return self._labels[node_id]

    def readers_at(self, visit_id: str, modality: str, method: str) -> set[str]:
        """Readers with a locked reading of any node at this visit."""
        return self._at_visit.get((visit_id, modality, method), set())

    def is_before(self, visit_id: str, node_id: str) -> bool:
        """Was the visit's scan made before the node's first ablation? By dates where both are known; on the day itself,
        and without dates, by the protocol's phase; an unplanned visit counts as before where it is the node's first."""
        known = self._before.get((visit_id, node_id))
        if known is None:
            known = self._before[(visit_id, node_id)] = self._is_before(self._visits[visit_id], node_id)
        return known

    def _is_before(self, visit: Visit, node_id: str) -> bool:
        days = [date for node, date in self._ablated.get(self._subject[node_id], ()) if node in (None, node_id)]
        if visit.actual_date is not None and days and visit.actual_date != min(days):
            return visit.actual_date < min(days)
        phase = self._phase.get(visit.name)
        return phase == "pre" if phase is not None else visit.order == self._first_order.get(node_id)

    def baseline(self, reader: str, key: Key, visit_id: str) -> Reading | None:
        """The reader's last evaluable locked reading before the ablation; None for a visit that is itself before it."""
        if self.is_before(visit_id, key[0]):
            return None
        if (reader, key) not in self._baselines:
            self._baselines[(reader, key)] = self._baseline(reader, key)
        return self._baselines[(reader, key)]

    def _baseline(self, reader: str, key: Key) -> Reading | None:
        usable = [
            of_reader[reader]
            for at, of_reader in self.by_node[key].items()
            if reader in of_reader and self.is_before(at, key[0]) and of_reader[reader].status is ReadingStatus.MEASURED and of_reader[reader].volume_ml
        ]
        return max(usable, key=lambda r: (self.order(r.visit_id), self._visits[r.visit_id].actual_date or "", r.reading_id), default=None)


def locked_central(readings: Iterable[Reading]) -> list[Reading]:
    """Locked readings of central readers; superseded versions are not among them."""
    return [r for r in readings if r.role == CENTRAL and r.state is ReadingState.LOCKED]
