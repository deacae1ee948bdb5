"""Which locked central reading is the accepted record of a node at a visit in one modality, as every export flags it.

The study answers reader by reader and method by method (``app.study.accepted``: adjudication, else the protocol's rule). An
export flags exactly one record a node, visit, modality and measurement, so of several methods one is kept here: the first
in the protocol's list that the node's earliest accepted visit has, and at a visit without it the first that is there.
"""

from __future__ import annotations

from collections.abc import Collection

from app.edc.memo import once_per_snapshot
from app.study.accepted import accepted_basis
from app.study.followup import counting_readings
from app.study.model import METHODS, Reading, StudySnapshot

CENTRAL = "central"
STATED = "stated"  # the caller named the record
RULE_NOTE = "As adjudicated; without a difference, the reader that the protocol names. Of several methods, the first in the protocol's list."


def first_locks(snapshot: StudySnapshot) -> dict[str, str]:
    """Reading -> when its first version was locked (UTC). A correction moves nothing."""
    first: dict[str, str] = {}
    for reading in snapshot.readings:
        if reading.locked_utc is not None:
            first[reading.reading_id] = min(first.get(reading.reading_id, reading.locked_utc), reading.locked_utc)
    return first


def accepted_records(snapshot: StudySnapshot, accepted: Collection[tuple[str, int]] | None = None) -> dict[tuple[str, int], str]:
    """(reading, version) of every accepted record -> why it counts: ``adjudicated``, ``no_difference``, ``only_reader``,
    or ``stated`` where ``accepted`` names it and the study does not.

    ``accepted`` None: what the study says. At most one a node, visit and modality; none where adjudication is pending.
    """
    return _records(snapshot, None if accepted is None else frozenset(accepted))


@once_per_snapshot
def _records(snapshot: StudySnapshot, accepted: frozenset[tuple[str, int]] | None) -> dict[tuple[str, int], str]:
    said = accepted_basis(snapshot)
    chosen = set(said) if accepted is None else accepted
    central = [r for r in counting_readings(snapshot.readings, locked_only=True) if r.role == CENTRAL and (r.reading_id, r.version) in chosen]
    order = {v.visit_id: (v.order, v.visit_id) for v in snapshot.visits}
    listed = [*(snapshot.protocol.get("reading") or {}).get("methods", ()), *METHODS]

    def place(r: Reading) -> tuple:
        return (order[r.visit_id], listed.index(r.method), r.reader, r.reading_id)

    leading: dict[tuple[str, str], str] = {}
    groups: dict[tuple[str, str, str], list[Reading]] = {}
    for reading in sorted(central, key=place):
        leading.setdefault((reading.node_id, reading.modality), reading.method)
        groups.setdefault((reading.node_id, reading.visit_id, reading.modality), []).append(reading)
    out: dict[tuple[str, int], str] = {}
    for (node_id, _visit, modality), readings in groups.items():
        one = next((r for r in readings if r.method == leading[node_id, modality]), readings[0])
        key = (one.reading_id, one.version)
        out[key] = said.get(key, STATED)
    return out
