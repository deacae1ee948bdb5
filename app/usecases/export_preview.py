"""What an export would hand over, before it does: the readings, what stays behind and why, the first lines of each file.

Data formats are written by the export's own writers into a folder that is thrown away; nothing is logged, because nothing leaves the
study. Reports, plan sheets and DICOM objects are made only when they are exported.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from app.edc.csv_writer import write_csv
from app.edc.dictionary import TABLES
from app.edc.forms import ROLES_SENT, sent_readings
from app.edc.mapping import EdcMapping
from app.edc.rows import locked_readings, reading_rows
from app.study.errors import StudyRefused
from app.study.model import Reading, ReadingState, StudySnapshot
from app.study.store import StudyStore
from app.usecases.export_dicom import DICOM_FORMATS
from app.usecases.export_edc import FORMATS, MAPPED_FORMATS, mapping_of, outgoing_snapshot, write_mapped

LINES = 40  # of a file, in a preview
LINE_LONGEST = 400
BY_SUBJECT = ("pdf", "plan-sheet", *DICOM_FORMATS)  # formats that can be made of one subject
READING_COLUMNS = ("subject", "node", "visit", "reader", "role", "modality", "method", "status", "volume_ml", "locked_utc", "version")


@dataclass(frozen=True, slots=True)
class FilePreview:
    """The beginning of one file: a table's ``head`` and ``rows``, or its ``lines`` of text. ``records`` as the receipt counts them."""

    name: str
    records: int
    size_bytes: int
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    cut: bool = False  # there is more than is shown


@dataclass(frozen=True, slots=True)
class LeftOut:
    """So many readings stay behind, and why (code and sentence)."""

    count: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExportPreview:
    """What ``format_`` would hand over. ``mapping`` and ``mapping_version`` are None for formats without one; ``readings`` locked readings go out."""

    format_: str
    readings: int
    left_out: tuple[LeftOut, ...]
    files: tuple[FilePreview, ...]
    mapping: str | None
    mapping_version: str | None
    dates: str  # "as_stored" or "shifted"
    made_now: bool  # False: the files are made when they are exported, ``files`` lists the readings


def preview_export(store: StudyStore, format_: str, *, subject_id: str | None = None, mapping_file: Path | None = None) -> ExportPreview:
    """Preview ``format_`` as ``export_study`` would write it, with the same refusals; changes nothing that is kept."""
    if format_ not in FORMATS:
        raise StudyRefused(f"{format_!r} is no export format; use one of {', '.join(FORMATS)}.", code="format_unknown")
    store.require("export")
    whole = store.snapshot()
    mapping: EdcMapping | None = None
    if format_ in MAPPED_FORMATS or format_ == "csv":
        mapping = mapping_of(store, mapping_file, needed=format_ != "csv")
        snapshot = outgoing_snapshot(store, mapping, whole)
        with tempfile.TemporaryDirectory(prefix="nodus-preview-") as folder:
            receipt = write_mapped(store, format_, snapshot, mapping, Path(folder)) if mapping is not None and format_ in MAPPED_FORMATS else write_csv(snapshot, Path(folder))
            files = tuple(_beginning(Path(folder) / f["path"], f["path"], f["rows"]) for f in receipt["files"])
        shifted = "shifted" if snapshot is not whole or all(s.dates_shifted for s in whole.subjects) else "as_stored"
        sent = sent_readings(whole) if format_ in MAPPED_FORMATS else locked_readings(whole)
        return ExportPreview(format_, len(sent), left_out_of(whole, sent), files, mapping.protocol_id if mapping and format_ != "csv" else None, mapping.version if mapping and format_ != "csv" else None, shifted, True)
    mine = [r for r in locked_readings(whole) if subject_id in (None, r.subject_id)]
    if not mine and format_ != "plan-sheet":
        raise StudyRefused("There is no locked reading to export.", code="nothing_locked", hint="Lock the readings first.")
    if format_ == "plan-sheet":
        runs = [run for run in whole.plan_runs if subject_id in (None, run.subject_id)]
        rows = [(run.subject_id, run.plan_run_id, run.created_utc) for run in runs]
        listed = FilePreview("plan runs", len(rows), 0, ("subject", "plan_run_id", "created_utc"), tuple(rows[:LINES]), cut=len(rows) > LINES)
        return ExportPreview(format_, 0, (), (listed,), None, None, "as_stored", False)
    return ExportPreview(format_, len(mine), left_out_of(whole, mine, subject_id), (_listing(whole, mine),), None, None, "as_stored", False)


def left_out_of(snapshot: StudySnapshot, sent: Iterable[Reading], subject_id: str | None = None) -> tuple[LeftOut, ...]:
    """Versions of readings that do not go out, counted by reason."""
    going = {(r.reading_id, r.version) for r in sent}
    reasons = {
        "not_locked": "not locked yet: locked readings alone leave the study",
        "superseded": "replaced by a correction: the newest locked version goes out",
        "training": f"made for training: only {', '.join(ROLES_SENT)} readings go to an EDC",
        "other_subject": "of other subjects",
        "other": "not the version that counts",
    }
    counts = Counter(_why(r, subject_id) for r in snapshot.readings if (r.reading_id, r.version) not in going)
    return tuple(LeftOut(counts[code], code, words) for code, words in reasons.items() if counts[code])


def _why(r: Reading, subject_id: str | None) -> str:
    if subject_id not in (None, r.subject_id):
        return "other_subject"
    if r.state in (ReadingState.DRAFT, ReadingState.MEASURED):
        return "not_locked"
    if r.state is ReadingState.SUPERSEDED:
        return "superseded"
    return "other" if r.role in ROLES_SENT else "training"


def _listing(snapshot: StudySnapshot, mine: list[Reading]) -> FilePreview:
    names = {r.reading_id for r in mine}
    columns = {c.name: c for c in TABLES["readings.csv"]}
    rows = [tuple(columns[name].text(row[name]) for name in READING_COLUMNS) for row in reading_rows(snapshot) if row["reading_id"] in names]
    return FilePreview("readings", len(rows), 0, READING_COLUMNS, tuple(rows[:LINES]), cut=len(rows) > LINES)


def _beginning(path: Path, name: str, records: int) -> FilePreview:
    size = path.stat().st_size
    if name.endswith(".csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found = [tuple(row) for _n, row in zip(range(LINES + 2), csv.reader(file), strict=False)]
        return FilePreview(name, records, size, found[0] if found else (), tuple(found[1 : LINES + 1]), cut=len(found) > LINES + 1)
    if name.endswith(".xpt"):
        import pyreadstat

        frame, _meta = pyreadstat.read_xport(str(path))
        rows = tuple(tuple(_cell(v) for v in row) for row in frame.head(LINES).itertuples(index=False))
        return FilePreview(name, records, size, tuple(frame.columns), rows, cut=len(frame) > LINES)
    lines = _text_lines(path)
    return FilePreview(name, records, size, lines=tuple(lines[:LINES]), cut=len(lines) > LINES)


def _cell(value: object) -> str:
    return "" if value is None or value != value else f"{value:g}" if isinstance(value, float) else str(value)


def _text_lines(path: Path) -> list[str]:
    """The first lines of a text; one long line of JSON is broken at its rows."""
    with path.open(encoding="utf-8") as file:
        text = file.read(LINES * LINE_LONGEST * 4)
    if path.suffix in (".json", ".ndjson") and text.count("\n") < 3:
        text = text.replace("},{", "},\n{").replace("],[", "],\n[")
    return [line if len(line) <= LINE_LONGEST else line[: LINE_LONGEST - 1] + "…" for line in text.split("\n")[: LINES + 1]]
