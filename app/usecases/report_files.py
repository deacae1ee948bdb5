"""Reports as files: one for each subject, visit or reading with locked readings, with a receipt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.edc.rows import study_sha256
from app.study.blobs import write_file
from app.study.errors import StudyRefused
from app.study.followup import counting_readings
from app.study.model import Reading, StudySnapshot
from app.study.store import StudyStore
from app.usecases.report import choose_pictures, render_subject_report
from app.usecases.report_reading import render_reading_report
from app.usecases.report_table import natural
from app.usecases.report_visit import NodePicture, lines_at, render_visit_report

SUBJECT, VISIT, READING = "subject", "visit", "reading"
PER = (SUBJECT, VISIT, READING)  # what a report can be of


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report to be made: the name of its file, how many readings it tells, what it is of, and its bytes on demand."""

    name: str
    rows: int
    of: dict[str, str]
    data: Callable[[], bytes]


def export_reports(
    store: StudyStore, snapshot: StudySnapshot, out: Path, *, per: str | None = None, subject_id: str | None = None, visit: str | None = None, reading_id: str | None = None
) -> dict[str, Any]:
    """Reports of locked readings in the folder ``out``: ``report-SUBJECT.pdf`` of every subject, ``visit-SUBJECT-VISIT.pdf`` of every visit, or
    ``reading-SUBJECT-NODE-VISIT-ID.pdf`` of every reading, narrowed to a subject, the visits of a name, or one reading. ``per`` (of ``PER``) None: as
    fine as what it is narrowed to. An ``out`` ending in .pdf names the file itself where there is one. Returns the receipt of an export.

    Raises ``report_kind_refused``, ``visit_missing``, ``reading_missing``, ``nothing_locked``, ``several_subjects``, ``export_failed``.
    """
    wanted = wanted_reports(store, snapshot, per=per, subject_id=subject_id, visit=visit, reading_id=reading_id)
    if not wanted:
        raise StudyRefused("There is no locked reading to report.", code="nothing_locked", hint="Lock the readings first.")
    if out.suffix.lower() == ".pdf":
        if len(wanted) > 1:
            what = "subjects" if "visit" not in wanted[0].of else "reports"
            raise StudyRefused(f"There are several {what}; one file holds one of them.", code="several_subjects", hint="Give a folder, or name the one that is wanted.")
        paths = [out]
    else:
        paths = [out / one.name for one in wanted]
    files = [_write(path, one) for path, one in zip(paths, wanted, strict=True)]
    return {"files": files, "readings": sum(f["rows"] for f in files), "study_sha256": study_sha256(snapshot), "audit_head": snapshot.audit_head}


def wanted_reports(
    store: StudyStore, snapshot: StudySnapshot, *, per: str | None = None, subject_id: str | None = None, visit: str | None = None, reading_id: str | None = None
) -> list[Wanted]:
    """The reports that ``export_reports`` writes, in order: by subject, then visit, node and reader."""
    finest = READING if reading_id is not None else VISIT if visit is not None else SUBJECT
    per = per or finest
    if per not in PER or PER.index(per) < PER.index(finest):
        raise StudyRefused(f"A report of one {finest} cannot be made per {per}.", code="report_kind_refused", hint=f"Reports are per {', '.join(PER)}.")
    if visit is not None and visit not in {v.name for v in snapshot.visits if subject_id in (None, v.subject_id)}:
        raise StudyRefused(f"There is no visit {visit!r}.", code="visit_missing")
    if reading_id is not None and reading_id not in {r.reading_id for r in snapshot.readings if subject_id in (None, r.subject_id)}:
        raise StudyRefused("There is no such reading in this study.", code="reading_missing")
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n.label for n in snapshot.nodes}
    locked = [
        r for r in counting_readings(snapshot.readings, locked_only=True)
        if subject_id in (None, r.subject_id) and visit in (None, visits[r.visit_id].name) and reading_id in (None, r.reading_id)
    ]  # fmt: skip
    locked.sort(key=lambda r: (r.subject_id, visits[r.visit_id].order, r.visit_id, natural(nodes[r.node_id]), r.reader, r.modality, r.method, r.reading_id))
    if per == SUBJECT:
        return [_of_subject(store, snapshot, subject, [r for r in locked if r.subject_id == subject]) for subject in sorted({r.subject_id for r in locked})]
    if per == VISIT:
        groups: dict[str, list[Reading]] = {}
        for r in locked:
            groups.setdefault(r.visit_id, []).append(r)
        names: set[str] = set()
        return [_of_visit(store, snapshot, visits[visit_id], len(of), names) for visit_id, of in groups.items()]
    return [_of_reading(store, snapshot, r, nodes[r.node_id], visits[r.visit_id].name) for r in locked]


def _of_subject(store: StudyStore, snapshot: StudySnapshot, subject: str, readings: list[Reading]) -> Wanted:
    def data() -> bytes:
        return render_subject_report(snapshot, subject, pictures=choose_pictures(store, snapshot, subject))

    return Wanted(f"report-{subject}.pdf", len(readings), {"subject": subject}, data)


def _of_visit(store: StudyStore, snapshot: StudySnapshot, visit: Any, rows: int, names: set[str]) -> Wanted:
    name = f"visit-{file_part(visit.subject_id)}-{file_part(visit.name)}"
    name = f"{name}-{file_part(visit.visit_id)}.pdf" if name in names else f"{name}.pdf"
    names.add(name.removesuffix(".pdf"))

    def data() -> bytes:
        readings = [line for line in lines_at(snapshot, visit.subject_id, visit.visit_id) if not line.parts and line.reading.picture_sha256]
        return render_visit_report(snapshot, visit.visit_id, pictures=[NodePicture(n.node, n.reading.reader, store.get_blob(n.reading.picture_sha256 or "")) for n in readings])

    return Wanted(name, rows, {"subject": visit.subject_id, "visit": visit.name}, data)


def _of_reading(store: StudyStore, snapshot: StudySnapshot, r: Reading, node: str, visit: str) -> Wanted:
    def data() -> bytes:
        return render_reading_report(snapshot, r.reading_id, picture=store.get_blob(r.picture_sha256) if r.picture_sha256 else None)

    name = "-".join(file_part(part) for part in ("reading", r.subject_id, node, visit, r.reading_id))
    return Wanted(f"{name}.pdf", 1, {"subject": r.subject_id, "node": node, "visit": visit, "reading_id": r.reading_id}, data)


def file_part(text: str) -> str:
    """A name as part of a file's name on any system: letters and digits of any script, dots and dashes; a space becomes an underscore."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "_"


def _write(path: Path, one: Wanted) -> dict[str, Any]:
    """Write a report and read it back; returns its line in the receipt."""
    data = one.data()
    try:
        write_file(path, data)
        back = path.read_bytes()
    except OSError as error:
        raise StudyRefused(f"The report could not be written: {error.strerror}.", code="export_failed") from error
    if back != data:
        raise StudyRefused("The report does not read back as it was written.", code="export_failed")
    return {"path": path.name, "rows": one.rows, "sha256": hashlib.sha256(back).hexdigest(), **one.of}
