"""A proposal belongs to the visit and node whose pictures it was made from: one loop is never read for two visits, one analysis never for two nodes."""

from __future__ import annotations

from typing import Any

from app.study.model import Reading, TargetNode, Visit
from app.study.store import StudyStore
from volumetry.errors import NodusError

PICTURES = ("loop_sha256", "cine_sha256")  # hashes of what was read, by which it is known again


def bound(store: StudyStore, record: dict[str, Any], visit: Visit, node: TargetNode) -> dict[str, Any]:
    """The record as a reading of ``node`` at ``visit`` keeps it: the UID of a series stays only where it is one of the study's, so that none
    from outside comes in.

    Refuses ``proposal_of_other``: its series is stored under another visit, its pictures stand in a reading of another visit, or the
    same analysis in a reading of another node. A blinded reader's own readings are all that it is held against.
    """
    record = _own_series(store, record, visit)
    loops = (record.get("two_planes") or {}).get("loops")
    if loops is not None:
        record = {**record, "two_planes": {**record["two_planes"], "loops": [_own_series(store, loop, visit) for loop in loops]}}
    pictures = {h for part in _parts(record) for h in _pictures(part)}
    for reading in store.readings_naming(sorted({*pictures, record["input_sha256"]})):
        other = (reading.measurement or {}).get("perfusion")
        if not isinstance(other, dict):
            continue
        same_pictures = any(not pictures.isdisjoint(_pictures(part)) for part in _parts(other))
        same_analysis = any(part.get("input_sha256") == record["input_sha256"] for part in _parts(other))
        if (same_pictures or same_analysis) and reading.visit_id != visit.visit_id:
            raise NodusError("These contrast pictures were read for another visit or subject already.", code="proposal_of_other", hint=_standing(store, reading))
        if same_analysis and reading.node_id != node.node_id:
            raise NodusError("This result was taken for another node already.", code="proposal_of_other", hint=_standing(store, reading))
    return record


def _parts(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The record itself and, of two planes, both of its loops."""
    return [record, *((record.get("two_planes") or {}).get("loops") or ())]


def _pictures(record: dict[str, Any]) -> set[str]:
    post = (record.get("inputs_sha256") or {}).get("post")
    return {h for h in (*(record.get(name) for name in PICTURES), post) if h}


def _own_series(store: StudyStore, record: dict[str, Any], visit: Visit) -> dict[str, Any]:
    uid = record.get("series_uid")
    if uid is None or uid in {s.series_uid for s in store.series(visit.visit_id)}:
        return record
    if uid in {s.series_uid for s in store.series()}:
        raise NodusError("These contrast pictures were recorded at another visit or of another subject.", code="proposal_of_other", hint=_standing(store, None))
    return {**record, "series_uid": None}


def _standing(store: StudyStore, reading: Reading | None) -> str:
    """What to do, and, except to a blinded reader, where the other reading is."""
    hint = "Take the result of this node's own pictures, or put the other reading right first."
    if reading is None or store.blinded:
        return hint
    label = next((n.label for n in store.nodes(reading.subject_id) if n.node_id == reading.node_id), "")
    name = next((v.name for v in store.visits(reading.subject_id) if v.visit_id == reading.visit_id), "")
    return f"It stands in the reading of {reading.subject_id}, {name}, {label}. {hint}"
