"""Saves readings into a study for ever, and says so after each one. Killed by ``test_kill.py``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from app.study.model import Reading, ReadingState, ReadingStatus
from app.study.store import StudyStore


def main(folder: str, run: str) -> None:
    """Each line printed names something that was confirmed before the line was written."""
    store = StudyStore.open(folder, user=f"run-{run}")
    visit, node = store.visits("S-001")[0], store.nodes("S-001")[0]
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        data = os.urandom(200_000)
        sha256 = store.put_blob(data)
        draft = Reading(
            "", "S-001", visit.visit_id, node.node_id, f"reader-{run}-{number}", "central", "CT", "voxel",
            ReadingStatus.MEASURED, ReadingState.DRAFT, volume_ml=1.0 + number, mask_sha256=sha256,
        )  # fmt: skip
        saved = store.save_reading(draft)
        print(f"draft {saved.reading_id} {sha256}", flush=True)
        store.save_reading(replace(saved, state=ReadingState.MEASURED, volume_ml=2.0 + number))
        print(f"measured {saved.reading_id} {sha256}", flush=True)
        store.lock_reading(saved.reading_id, "Dr A", "reviewed")
        print(f"locked {saved.reading_id} {sha256}", flush=True)
        step = store.save_draft_mask(node.node_id, visit.visit_id, data[:1000], reader=f"run-{run}")
        print(f"mask {step} {step}", flush=True)
        with store.stage_series() as staged:
            (staged / "1.dcm").write_bytes(data)
            record = store.add_series(visit.visit_id, series_uid=f"1.{run}.{number}", modality="CT", kind="volume", staged=staged)
        print(f"series {record.series_id} {record.series_id}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
