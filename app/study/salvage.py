"""What the visit before a salvage found: which nodes still enhance by the readers who treat, and so whether a salvage is indicated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.study.control import control_of
from app.study.model import ClinicalEvent, Reading, ReadingState, Visit
from app.study.protocol import StudyProtocol


@dataclass(frozen=True, slots=True)
class SalvageResult:
    """``indicated``: True where a node still enhances, False where every node that was ablated was judged and none does, None where that
    is not known yet. ``nodes``: of each node read its ``node_id``, ``residual`` (True, False or None), ``grade``, ``viable_ml``, ``reader`` and ``locked``."""

    indicated: bool | None
    nodes: tuple[dict[str, Any], ...] = ()


def salvage_result(protocol: StudyProtocol, events: Sequence[ClinicalEvent], visits: Sequence[Visit], readings: Iterable[Reading]) -> SalvageResult:
    """The result of the protocol's salvage visit by the site's readings of it (all of one subject): grade 2 or 3, or without a grade an enhancing part
    above 0, is a residual; grade 0 or 1 is none. Of a node's readings a locked one counts before one that is not; readings that contradict each
    other leave the residual standing."""
    name = protocol.section("salvage").get("after_visit")
    there = {v.visit_id for v in visits if v.name == name}
    own: dict[str, list[Reading]] = {}
    for r in readings:
        if r.visit_id in there and r.role == "site" and r.state in (ReadingState.MEASURED, ReadingState.LOCKED):
            own.setdefault(r.node_id, []).append(r)
    nodes = []
    for node_id, found in sorted(own.items()):
        locked = [r for r in found if r.state is ReadingState.LOCKED]
        judged = [(control_of(r), r) for r in locked or found]
        said = [(left, r) for left, r in judged if left is not None] or judged
        left, reading = max(said, key=lambda entry: bool(entry[0]))
        nodes.append(
            {"node_id": node_id, "residual": left, "grade": reading.enhancement_grade, "viable_ml": reading.viable_ml, "reader": reading.reader, "locked": bool(locked)}
        )
    if any(n["residual"] for n in nodes):
        return SalvageResult(True, tuple(nodes))
    treated = {e.node_id for e in events if e.kind in protocol.ablation_kinds and e.node_id is not None}
    known = bool(nodes) and all(n["residual"] is False for n in nodes) and treated <= set(own)
    return SalvageResult(False if known else None, tuple(nodes))
