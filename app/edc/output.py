"""Writing an export: every file whole or not at all, read back, and told in the receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.edc.accepted import RULE_NOTE, accepted_records
from app.edc.rows import study_sha256
from app.study.blobs import write_file
from app.study.errors import StudyRefused
from app.study.followup import counting_readings
from app.study.model import StudySnapshot


@dataclass(frozen=True, slots=True)
class OutFile:
    """A file to be written: its name within the folder, its bytes, and how many records it holds."""

    name: str
    data: bytes
    rows: int


def write_files(out: Path, files: Iterable[OutFile], snapshot: StudySnapshot, *, readings: int, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write all files into the folder ``out``; returns the receipt with paths relative to ``out``.

    ``{"files": [{"path", "rows", "sha256"}], "readings", "study_sha256", "audit_head", "accepted"}``. Each file is
    written under a temporary name, moved into place and read back. Raises ``export_failed``.
    """
    listed = []
    for file in files:
        path = out / file.name
        try:
            write_file(path, file.data)
            back = path.read_bytes()
        except OSError as error:
            raise StudyRefused(f"{file.name} could not be written: {error.strerror}.", code="export_failed") from error
        if back != file.data:
            raise StudyRefused(f"{file.name} does not read back as it was written.", code="export_failed", hint="Check the disk and export again.")
        listed.append({"path": file.name, "rows": file.rows, "sha256": hashlib.sha256(back).hexdigest()})
    bases = accepted_records(snapshot, accepted)
    return {
        "files": listed,
        "readings": readings,
        "study_sha256": study_sha256(snapshot, accepted),
        "audit_head": snapshot.audit_head,
        "accepted": {"records": len(bases), "adjudicated": sum(b == "adjudicated" for b in bases.values()), "rule": RULE_NOTE if accepted is None else "as stated by whoever exported"},
    }


def created_utc(snapshot: StudySnapshot) -> str:
    """When the content of an export came about: the newest lock, or the newest record of a delivery. Never the clock,
    so that the same content gives the same bytes. Raises ``nothing_locked``."""
    times = [r.locked_utc for r in counting_readings(snapshot.readings, locked_only=True) if r.locked_utc]
    if not times:
        raise StudyRefused("No reading is locked yet: there is nothing to export.", code="nothing_locked")
    return max(times + [d.created_utc for d in snapshot.deliveries])
