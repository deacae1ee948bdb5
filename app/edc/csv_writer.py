"""CSV for the trial's EDC: locked readings, volume reduction rates and a data dictionary.

The same locked readings give the same bytes: rows are sorted, nothing depends on the time of the
export. UTF-8 without a mark, comma, RFC 4180 quotes, lines end with a line feed. No text runs as a formula in a spreadsheet
(``app.edc.csv_text``).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from app.edc import rows as make
from app.edc.csv_text import csv_bytes, guarded
from app.edc.dictionary import TABLES, Column, text_of
from app.edc.output import OutFile, write_files
from app.edc.treatment_rows import treatment_rows
from app.study.model import StudySnapshot


def table_bytes(columns: tuple[Column, ...], rows: list[dict[str, Any]]) -> bytes:
    """A table with a head line as CSV bytes."""
    told = [(c.name, guarded if c.kind == "text" else str) for c in columns]
    return csv_bytes([c.name for c in columns], ([safe(text_of(row[name])) for name, safe in told] for row in rows))


def write_csv(snapshot: StudySnapshot, out: Path, *, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write ``readings.csv``, ``vrr.csv``, ``treatment.csv``, ``grades.csv`` and ``data_dictionary.csv`` into the folder ``out``.

    Each file is written under a temporary name, moved into place and read back. Returns the
    receipt: ``{"files": [{"path", "rows", "sha256"}], "readings", "study_sha256"}`` with paths
    relative to ``out``. Raises ``export_failed``.
    """
    tables = {
        "readings.csv": make.reading_rows(snapshot, accepted),
        "vrr.csv": make.vrr_rows(snapshot),
        "treatment.csv": treatment_rows(snapshot),
        "grades.csv": make.grade_rows(snapshot, accepted),
        "data_dictionary.csv": make.dictionary_rows(),
    }
    made = [OutFile(name, table_bytes(TABLES[name], rows), len(rows)) for name, rows in tables.items()]
    return write_files(out, made, snapshot, readings=len(tables["readings.csv"]), accepted=accepted)
