"""Makes subjects, visits, nodes and readings in a study, with as few words as a test needs."""

from __future__ import annotations

from typing import Any

from app.study.model import Reading, ReadingState, ReadingStatus
from app.study.store import StudyStore


class CaseBuilder:
    """One subject with a baseline, a Day 30 and a Month 3 visit and one node."""

    def __init__(self, store: StudyStore, subject_id: str = "S-001") -> None:
        self.store = store
        self.subject_id = subject_id
        store.add_subject(subject_id)
        dates = {"Baseline": "2026-01-05", "Day 30": "2026-02-06", "Month 3": "2026-04-10"}
        self.visits = {name: store.add_visit(subject_id, name, actual_date=day) for name, day in dates.items()}
        self.node = store.add_node(subject_id, "N1", "left", "III", high_risk=("carotid",), seed_mm=(1.0, 2.0, 3.5))

    def draft(self, visit: str = "Baseline", **changes: Any) -> Reading:
        """A reading not yet saved: CT by voxels, 2 ml."""
        values: dict[str, Any] = {
            "reading_id": "",
            "subject_id": self.subject_id,
            "visit_id": self.visits[visit].visit_id,
            "node_id": self.node.node_id,
            "reader": "reader-a",
            "role": "central",
            "modality": "CT",
            "method": "voxel",
            "status": ReadingStatus.MEASURED,
            "state": ReadingState.MEASURED,
            "volume_ml": 2.0,
            "volume_interval_ml": (1.9, 2.1),
            "long_axis_mm": 20.5,
            "short_axis_mm": 12.25,
            "measurement": {"voxel_count": 2000},
        }
        return Reading(**{**values, **changes})

    def save(self, visit: str = "Baseline", *, reason: str | None = None, **changes: Any) -> Reading:
        """Save such a reading."""
        return self.store.save_reading(self.draft(visit, **changes), reason=reason)

    def lock(self, visit: str = "Baseline", **changes: Any) -> Reading:
        """Save and lock it."""
        return self.store.lock_reading(self.save(visit, **changes).reading_id, "Dr Reader", "I have reviewed this")
