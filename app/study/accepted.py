"""Which record counts: for each node, visit, modality and method exactly one locked central reading, or none yet.

One reader counts for a node at all its visits, because a rate uses one reader's baseline and follow-up only: the reader
that an adjudicator selected, else the one that the protocol names for readings without a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.study.adjudication import compare_readers, settled
from app.study.model import Reading, StudySnapshot
from app.study.pairs import CENTRAL, Key, ReaderPairs
from app.study.protocol import protocol_from

FIRST_READER_SETTING = "first_reader"
# Why a record counts, or why none does.
ADJUDICATED = "adjudicated"
AGREED = "no_difference"
ONLY_ONE = "only_reader"
PENDING = "adjudication_pending"
OTHER_READER = "other_reader_counts"


@dataclass(frozen=True, slots=True)
class AcceptedState:
    """One node at one visit by one modality and method: the record that counts, or None, with the reason."""

    node_id: str
    visit_id: str
    modality: str
    method: str
    reading: Reading | None
    basis: str


def accepted_states(snapshot: StudySnapshot) -> list[AcceptedState]:
    """Every node, visit, modality and method with a locked central reading, in a fixed order."""
    pairs = ReaderPairs(snapshot)
    rule = protocol_from(snapshot.protocol).section("adjudication").get("without_trigger") or "reader_1"
    fixed = settled(snapshot)
    waiting: dict[tuple[Key, str], bool] = {(d.key, d.visit_id): bool(d.triggers) for d in compare_readers(snapshot, pairs=pairs)}
    order = reader_order(snapshot)
    first_lock: dict[tuple[Key, str], str] = {}
    for r in _ever_locked(snapshot):
        at = ((r.node_id, r.modality, r.method), r.reader)
        first_lock[at] = min(r.locked_utc or "", first_lock.get(at, r.locked_utc or ""))
    states = []
    for key, by_visit in pairs.by_node.items():
        reader = fixed[key].selected_reader if key in fixed else _unadjudicated(rule, order, by_visit, {r: at for (k, r), at in first_lock.items() if k == key} if rule == "earliest_locked" else {})
        for visit_id, of_reader in by_visit.items():
            reading, basis = of_reader.get(reader), OTHER_READER
            if key in fixed:
                basis = ADJUDICATED if reading is not None else OTHER_READER
            elif waiting.get((key, visit_id), False) or (rule == "adjudicate_always" and len(of_reader) > 1):
                reading, basis = None, PENDING
            elif reading is not None:
                basis = AGREED if len(of_reader) > 1 else ONLY_ONE
            states.append(AcceptedState(key[0], visit_id, key[1], key[2], reading, basis))
    return states


def accepted_records(snapshot: StudySnapshot) -> set[tuple[str, int]]:
    """(reading id, version) of every record that counts."""
    return {(s.reading.reading_id, s.reading.version) for s in accepted_states(snapshot) if s.reading is not None}


def accepted_basis(snapshot: StudySnapshot) -> dict[tuple[str, int], str]:
    """Why each accepted record counts: ``adjudicated``, ``no_difference`` or ``only_reader``."""
    return {(s.reading.reading_id, s.reading.version): s.basis for s in accepted_states(snapshot) if s.reading is not None}


def reader_order(snapshot: StudySnapshot) -> list[str]:
    """Central readers, reader 1 first: whom the study's setting ``first_reader`` names, then in the order of their first
    reading in the study, which never changes."""
    first: dict[str, tuple[str, str]] = {}
    for r in _ever_locked(snapshot):
        mark = (r.created_utc or "", r.reading_id)
        first[r.reader] = min(mark, first.get(r.reader, mark))
    named = snapshot.settings.get(FIRST_READER_SETTING)
    return sorted(first, key=lambda reader: (reader != named, first[reader]))


def _ever_locked(snapshot: StudySnapshot) -> list[Reading]:
    """Every version that was locked once: a correction must not change who came first."""
    return [r for r in snapshot.readings if r.role == CENTRAL and r.locked_utc is not None]


def _unadjudicated(rule: str, order: list[str], by_visit: dict[str, dict[str, Reading]], first_lock: dict[str, str]) -> str:
    readers = [reader for reader in order if any(reader in of_reader for of_reader in by_visit.values())]
    if rule == "reader_2" and len(readers) > 1:
        return readers[1]
    if rule == "earliest_locked":
        return min(readers, key=lambda reader: (first_lock.get(reader, ""), order.index(reader)))
    return readers[0]
