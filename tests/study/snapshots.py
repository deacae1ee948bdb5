"""Makes a whole study as a value, without a store: for rules that work on snapshots."""

from __future__ import annotations

from typing import Any

from app.study.model import (
    ClinicalEvent,
    Reading,
    ReadingState,
    ReadingStatus,
    Side,
    StudySnapshot,
    Subject,
    TargetNode,
    Visit,
)
from app.study.protocol import load_protocol


class Trial:
    """Subjects, visits, nodes, readings and events in as few words as a test needs."""

    def __init__(self, protocol: str = "ire-cervical-ln") -> None:
        self.protocol = load_protocol(protocol)
        self.subjects: list[Subject] = []
        self.visits: list[Visit] = []
        self.nodes: list[TargetNode] = []
        self.readings: list[Reading] = []
        self.events: list[ClinicalEvent] = []

    def subject(self, name: str, visits: dict[str, str | None], nodes: dict[str, dict[str, Any]] | tuple[str, ...] = ("N1",)) -> None:
        """A subject with its visits (name -> date) and nodes (label -> fields)."""
        self.subjects.append(Subject(name))
        for number, (visit, date) in enumerate(visits.items()):
            planned = self.protocol.visit(visit)
            self.visits.append(Visit(f"{name}/{visit}", name, visit, planned.order if planned else 100 + number, date))
        for label in nodes:
            fields = nodes[label] if isinstance(nodes, dict) else {}
            self.nodes.append(TargetNode(**{"node_id": f"{name}/{label}", "subject_id": name, "label": label, "side": Side.LEFT, "level": "III", **fields}))

    def event(self, name: str, kind: str, date: str, node: str | None = None, **detail: Any) -> str:
        """Something that happened; returns its identity."""
        event_id = f"E{len(self.events):03d}"
        self.events.append(ClinicalEvent(event_id, name, kind, date, node and f"{name}/{node}", detail))
        return event_id

    def read(self, name: str, visit: str, node: str, volume_ml: float | None = None, *, reader: str = "r1", **fields: Any) -> tuple[str, int]:
        """A locked central reading, CT by voxels; without a volume but with an axis it is measured all the same. Returns its key."""
        reading_id = f"R{len(self.readings):04d}"
        if volume_ml == 0:
            fields.setdefault("status", ReadingStatus.DISAPPEARED_ASSESSED)
        values = {
            "reading_id": reading_id, "subject_id": name, "visit_id": f"{name}/{visit}", "node_id": f"{name}/{node}", "reader": reader, "role": "central", "modality": "CT", "method": "voxel",
            "status": ReadingStatus.MEASURED, "state": ReadingState.LOCKED, "volume_ml": volume_ml, "created_utc": "2027-06-01T00:00:00Z", "locked_utc": "2027-06-01T00:00:00Z",
        }  # fmt: skip
        self.readings.append(Reading(**{**values, **fields}))
        return reading_id, 1

    def snapshot(self) -> StudySnapshot:
        """The study as it stands."""
        return StudySnapshot(
            "ST-1", self.protocol.protocol_id, self.protocol.content, tuple(self.subjects), tuple(self.visits), tuple(self.nodes), tuple(self.readings), tuple(self.events)
        )
