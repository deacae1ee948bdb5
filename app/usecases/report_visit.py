"""The report of one visit: what every reader found in every node, which record counts, the key pictures. The same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.edc.accepted import CENTRAL, accepted_records
from app.edc.memo import once_per_snapshot
from app.edc.rows import locked_response
from app.study.errors import StudyRefused
from app.study.followup import Response
from app.study.model import StudySnapshot, Visit
from app.usecases.report_frame import LEFT, WIDTH, Sheets, events_text, sheets_bytes
from app.usecases.report_page import GREY, TableColumn, fit
from app.usecases.report_table import Line, Notes, lines_of

COLUMNS = (
    TableColumn("Node", 46), TableColumn("Reader", 40), TableColumn("Role", 40), TableColumn("Method", 48), TableColumn("Volume, ml (95 %)", 88, "right"), TableColumn("Axes, mm", 52, "right"),
    TableColumn("VRR, % (95 %)", 84, "right"), TableColumn("Grade", 27, "right"), TableColumn("Status", 52), TableColumn("Counts", 32), TableColumn("Notes", 26.27, "right"),
)  # fmt: skip
CELLS = ("Node", "Reader", "Role", "Method", "Volume", "Axes", "VRR", "Grade", "Status", "Counts", "Notes")
BASES = {"adjudicated": "chosen", "no_difference": "alike", "only_reader": "only one", "stated": "stated"}
BASES_TOLD = "Counts: the central record that is accepted, and why: chosen by an adjudicator; alike, the readers did not differ; only one reader. – not this one, or none yet."
PICTURES_IN_A_ROW = 4
PICTURE_GAP = 8.0


@dataclass(frozen=True, slots=True)
class NodePicture:
    """A key picture (PNG) of a node by one reader."""

    node: str
    reader: str
    png: bytes


@once_per_snapshot
def subject_lines(snapshot: StudySnapshot, subject_id: str) -> tuple[list[Line], Response]:
    """The lines of all locked readings of a subject, and its response. Worked out once: callers must not change them."""
    whole = locked_response(snapshot)
    response = replace(whole, nodes=tuple(n for n in whole.nodes if n.subject == subject_id))
    return lines_of(snapshot, subject_id, response, True), response


def lines_at(snapshot: StudySnapshot, subject_id: str, visit_id: str) -> list[Line]:
    """The lines of a visit."""
    return [line for line in subject_lines(snapshot, subject_id)[0] if line.reading.visit_id == visit_id]


def render_visit_report(snapshot: StudySnapshot, visit_id: str, *, pictures: Sequence[NodePicture] = ()) -> bytes:
    """The PDF of one visit. Raises ``visit_missing``, and ``nothing_locked`` where no reading of it is locked."""
    visit = next((v for v in snapshot.visits if v.visit_id == visit_id), None)
    if visit is None:
        raise StudyRefused("There is no such visit in this study.", code="visit_missing")
    lines = lines_at(snapshot, visit.subject_id, visit_id)
    if not lines:
        raise StudyRefused("There is no locked reading to report.", code="nothing_locked", hint="Lock the readings first.")
    response = subject_lines(snapshot, visit.subject_id)[1]
    notes = Notes(lines, replace(response, nodes=tuple(line.response for line in lines if line.response is not None and not line.parts)))
    bases = accepted_records(snapshot)
    rows = [_row(line, notes, bases) for line in lines]

    def fill(sheets: Sheets) -> None:
        sheets.table(COLUMNS, rows, [line.node_number for line in lines])
        sheets.y -= 2
        for sentence in (BASES_TOLD, *notes.below(most=40)):
            sheets.paragraph(sentence, size=6.5, colour=GREY)
        _pictures(sheets, pictures)

    whole = [line.reading for line in lines if not line.parts]
    return sheets_bytes(snapshot, f"Subject {visit.subject_id}  ·  {visit.name}", _text(snapshot, visit, lines), whole, fill)


def _row(line: Line, notes: Notes, bases: dict[tuple[str, int], str]) -> list[Any]:
    cells = notes.cells(line)
    if line.parts:
        cells["Reader"] = cells["Visit"]
    else:
        r = line.reading
        basis = bases.get((r.reading_id, r.version))
        cells |= {"Role": r.role, "Grade": r.enhancement_grade or "–", "Counts": BASES[basis] if basis else "–" if r.role == CENTRAL else ""}
    return [cells.get(name, "") for name in CELLS]


def _text(snapshot: StudySnapshot, visit: Visit, lines: Sequence[Line]) -> str:
    """What is known of the visit beside its readings."""
    days = sorted({line.day for line in lines if line.day is not None})
    since = "" if not days else f", day {days[0]} from the first ablation" if len(days) == 1 else f", day {days[0]} to {days[-1]} from a node's first ablation"
    scanned = f"Scan {visit.actual_date}{since}.  " if visit.actual_date else "The day of the scan is not known.  "
    return scanned + events_text(snapshot, visit.subject_id, visit.actual_date)


def _pictures(sheets: Sheets, pictures: Sequence[NodePicture]) -> None:
    if not pictures:
        return
    size = min((WIDTH - PICTURE_GAP * (PICTURES_IN_A_ROW - 1)) / PICTURES_IN_A_ROW, 150.0)
    sheets.y -= 8
    sheets.heading("Key pictures", size + 14)
    for start in range(0, len(pictures), PICTURES_IN_A_ROW):
        sheets.need(size + 14)
        for place, one in enumerate(pictures[start : start + PICTURES_IN_A_ROW]):
            x = LEFT + place * (size + PICTURE_GAP)
            sheets.page.picture(x, sheets.y - size, size, size, one.png)
            sheets.page.text(x, sheets.y - size - 9, fit(f"{one.node} · {one.reader}", size, 7), 7)
        sheets.y -= size + 16
