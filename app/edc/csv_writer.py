"""CSV for the trial's EDC: locked readings, volume reduction rates and a data dictionary.

The same locked readings give the same bytes: rows are sorted, nothing depends on the time of the
export. UTF-8 without a mark, comma, RFC 4180 quotes, lines end with a line feed.
"""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

from app.edc import rows as make
from app.edc.dictionary import TABLES, Column
from app.study.blobs import write_file
from app.study.errors import StudyRefused
from app.study.model import StudySnapshot


def table_bytes(columns: tuple[Column, ...], rows: list[dict[str, Any]]) -> bytes:
    """A table with a head line as CSV bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([c.name for c in columns])
    for row in rows:
        writer.writerow([c.text(row[c.name]) for c in columns])
    return text.getvalue().encode("utf-8")


def write_csv(snapshot: StudySnapshot, out: Path) -> dict[str, Any]:
    """Write ``readings.csv``, ``vrr.csv`` and ``data_dictionary.csv`` into the folder ``out``.

    Each file is written under a temporary name, moved into place and read back. Returns the
    receipt: ``{"files": [{"path", "rows", "sha256"}], "readings", "study_sha256"}`` with paths
    relative to ``out``. Raises ``export_failed``.
    """
    tables = {
        "readings.csv": make.reading_rows(snapshot),
        "vrr.csv": make.vrr_rows(snapshot),
        "data_dictionary.csv": make.dictionary_rows(),
    }
    files = []
    for name, rows in tables.items():
        data = table_bytes(TABLES[name], rows)
        path = out / name
        try:
            write_file(path, data)
            back = path.read_bytes()
        except OSError as error:
            raise StudyRefused(f"{name} could not be written: {error.strerror}.", code="export_failed") from error
        read = list(csv.reader(io.StringIO(back.decode("utf-8"))))
        if back != data or len(read) != len(rows) + 1:
            raise StudyRefused(f"{name} does not read back as it was written.", code="export_failed", hint="Check the disk and export again.")
        files.append({"path": name, "rows": len(rows), "sha256": hashlib.sha256(back).hexdigest()})
    return {
        "files": files,
        "readings": len(tables["readings.csv"]),
        "study_sha256": make.study_sha256(snapshot),
        "audit_head": {"events": snapshot.head_events, "sha256": snapshot.head_sha256},
    }
