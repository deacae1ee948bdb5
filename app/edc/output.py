"""Writing an export: every file whole or not at all, read back, and told in the receipt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.edc.accepted import RULE_NOTE, accepted_records
from app.edc.rows import study_sha256
from app.study.blobs import flush_folder, sha256_file, temporary_name
from app.study.errors import StudyRefused
from app.study.followup import counting_readings
from app.study.model import StudySnapshot


@dataclass(frozen=True, slots=True)
class OutFile:
    """A file to be written: its name within the folder, its bytes (or the pieces that they are made of, one after the other), and how
    many records it holds. ``check`` looks at the file before it gets its name and raises where it must not be handed over."""

    name: str
    data: bytes | Iterable[bytes]
    rows: int
    check: Callable[[Path], None] | None = None


def write_files(out: Path, files: Iterable[OutFile], snapshot: StudySnapshot, *, readings: int, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write all files into the folder ``out``; returns the receipt with paths relative to ``out``.

    ``{"files": [{"path", "rows", "sha256"}], "readings", "study_sha256", "audit_head", "accepted"}``. Every file is written under a
    temporary name, flushed and checked before the first one is moved into place; what has moved is read back. Raises ``export_failed``
    and what a check raises: what does not fit stops the export before any of its files has its name.
    """
    new_folders = [folder for folder in (out, *out.parents) if not folder.exists()]
    staged: list[tuple[OutFile, Path, str]] = []
    try:
        for file in files:
            path = out / temporary_name(file.name)
            staged.append((file, path, ""))
            staged[-1] = (file, path, _stage(path, file))
            if file.check is not None:
                file.check(path)
        listed = [_move(out, *one) for one in staged]
        if staged:
            flush_folder(out)
    except BaseException:
        for _file, path, _sha256 in staged:
            path.unlink(missing_ok=True)
        for folder in new_folders:
            with suppress(OSError):  # not ours alone any more
                folder.rmdir()
        raise
    bases = accepted_records(snapshot, accepted)
    return {
        "files": listed,
        "readings": readings,
        "study_sha256": study_sha256(snapshot, accepted),
        "audit_head": snapshot.audit_head,
        "accepted": {"records": len(bases), "adjudicated": sum(b == "adjudicated" for b in bases.values()), "rule": RULE_NOTE if accepted is None else "as stated by whoever exported"},
    }


def _stage(path: Path, file: OutFile) -> str:
    """Write a file under its temporary name; returns the hash of what was handed to the disk."""
    sha256 = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as handle:
            for piece in (file.data,) if isinstance(file.data, bytes) else file.data:
                sha256.update(piece)
                handle.write(piece)
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        raise StudyRefused(f"{file.name} could not be written: {error.strerror}.", code="export_failed") from error
    return sha256.hexdigest()


def _move(out: Path, file: OutFile, staged: Path, sha256: str) -> dict[str, Any]:
    """Give a file its name and read it back; returns its line in the receipt."""
    path = out / file.name
    try:
        os.replace(staged, path)
        back = sha256_file(path)
    except OSError as error:
        raise StudyRefused(f"{file.name} could not be written: {error.strerror}.", code="export_failed") from error
    if back != sha256:
        raise StudyRefused(f"{file.name} does not read back as it was written.", code="export_failed", hint="Check the disk and export again.")
    return {"path": file.name, "rows": file.rows, "sha256": back}


def created_utc(snapshot: StudySnapshot) -> str:
    """When the content of an export came about: the newest lock, or the newest record of a delivery. Never the clock,
    so that the same content gives the same bytes. Raises ``nothing_locked``."""
    times = [r.locked_utc for r in counting_readings(snapshot.readings, locked_only=True) if r.locked_utc]
    if not times:
        raise StudyRefused("No reading is locked yet: there is nothing to export.", code="nothing_locked")
    return max(times + [d.created_utc for d in snapshot.deliveries])
