"""What stands on every page of a report: whose it is, that it is investigational, who locked what, and the head of the audit trail."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from app import INVESTIGATIONAL_NOTICE, __version__
from app.study.model import Reading, ReadingState, StudySnapshot
from app.study.protocol import protocol_from
from app.study.signing import lock_note
from app.usecases.report_page import ALARM, GREY, INK, Page, TableColumn, draw_table, fit, wrap

MARGIN = 30.0
LEFT, WIDTH = MARGIN, A4[0] - 2 * MARGIN
RIGHT = LEFT + WIDTH
LOCKS_SHOWN = 5


def new_canvas(stream: io.BytesIO, title: str) -> Canvas:
    """A document that depends on nothing but what is drawn: no clock, no random identity."""
    canvas = Canvas(stream, pagesize=A4, invariant=1, pageCompression=1, lang="en")
    canvas.setTitle(title)
    canvas.setAuthor("Nodus")
    canvas.setSubject(INVESTIGATIONAL_NOTICE)
    canvas.setCreator(f"Nodus {__version__}")
    return canvas


def draw_head(page: Page, snapshot: StudySnapshot, title: str, text: str) -> float:
    """Title, study and protocol, and a line of ``text``; returns the lower edge."""
    y = A4[1] - MARGIN
    page.text(LEFT, y - 12, fit(title, 330, 16, True), 16, bold=True)
    page.text(RIGHT, y - 7, INVESTIGATIONAL_NOTICE, 8.5, bold=True, colour=ALARM, align="right")
    protocol = protocol_from(snapshot.protocol)
    page.text(RIGHT, y - 18, fit(protocol.title, 300, 7), 7, colour=GREY, align="right")
    page.text(LEFT, y - 25, fit(f"Study {snapshot.name}  ·  protocol {protocol.stamp}", 330, 8), 8, colour=INK)
    page.text(LEFT, y - 36, fit(text, WIDTH, 7.5), 7.5, colour=GREY)
    page.line(LEFT, y - 42, RIGHT, y - 42, colour=INK, width=0.8)
    return y - 46


def draw_foot(page: Page, snapshot: StudySnapshot, locks: Sequence[str], number: int = 1, count: int = 1) -> float:
    """Locks, the head of the audit trail, the page's number; returns the upper edge."""
    y = MARGIN - 8
    page.text(LEFT, y, f"Nodus {__version__}  ·  {INVESTIGATIONAL_NOTICE}", 6.5, colour=GREY)
    page.text(RIGHT, y, f"page {number} of {count}", 6.5, colour=GREY, align="right")
    y += 9
    signed = (snapshot.head_signature or {}).get("signature")
    key = f", signed with key {signed['fingerprint']}" if signed else ""
    page.text(LEFT, y, f"Audit head: event {snapshot.head_events}, {snapshot.head_sha256}{key}", 6.5, colour=GREY)
    y += 12 + 9.5 * (len(locks) - 1)
    top = y + 22
    for line in locks:
        page.text(LEFT, y, line, 7.5)
        y -= 9.5
    page.heading(LEFT, top - 9, "Locks", WIDTH)
    return top


def events_text(snapshot: StudySnapshot, subject_id: str, until: str | None = None) -> str:
    """What happened to a subject (up to and on a day), with a word on shifted dates."""
    labels = {n.node_id: n.label for n in snapshot.nodes}
    told = [
        f"{e.kind} {e.date}" + (f" ({labels[e.node_id]})" if e.node_id else "") for e in snapshot.events if e.subject_id == subject_id and (until is None or e.date[:10] <= until)
    ]
    return shifted_text(snapshot, subject_id) + ("Events: " + "; ".join(told) if told else "No ablation is recorded.")


def shifted_text(snapshot: StudySnapshot, subject_id: str) -> str:
    """A sentence where a subject's dates were moved, else nothing."""
    moved = any(s.dates_shifted for s in snapshot.subjects if s.subject_id == subject_id)
    return "Dates are shifted, intervals are true.  " if moved else ""


def lock_lines(readings: Iterable[Reading]) -> list[str]:
    """Who locked how many readings, when, with what meaning, and whether that is an electronic signature."""
    groups: dict[tuple[str, str, str], list[Reading]] = {}
    for r in readings:
        if r.state is ReadingState.LOCKED:
            groups.setdefault((r.locked_by or "", r.lock_meaning or "", lock_note(r)), []).append(r)
    lines = []
    for (name, meaning, note), of_name in sorted(groups.items()):
        times = sorted(r.locked_utc or "" for r in of_name)
        first, last = (t[:19].replace("T", " ") for t in (times[0], times[-1]))
        same_day = first[:10] == last[:10]
        when = f"{first} UTC" if first == last else f"{first} to {last[11:] if same_day else last} UTC"
        count = "1 reading" if len(of_name) == 1 else f"{len(of_name)} readings"
        lines.append(f"{count} locked by {fit(name, 240, 7.5)}, “{fit(meaning, 480, 7.5)}”, {when}; {note}")
    if not lines:
        return ["No reading is locked."]
    if len(lines) > LOCKS_SHOWN:
        lines = [*lines[: LOCKS_SHOWN - 1], f"and {len(lines) - LOCKS_SHOWN + 1} more; see readings.csv"]
    return [piece for line in lines for piece in wrap(line, WIDTH, 7.5, 3)]


class Sheets:
    """Pages of a report that are filled from the top down; every one has the head and the foot."""

    def __init__(self, canvas: Canvas, snapshot: StudySnapshot, title: str, text: str, locks: Sequence[str], count: int) -> None:
        self.page = Page(canvas)
        self._of = (snapshot, title, text)
        self._locks, self._count = locks, count
        self.number = 0
        self._begin()

    def _begin(self) -> None:
        self.number += 1
        self.y = draw_head(self.page, *self._of) - 6
        self.floor = draw_foot(self.page, self._of[0], self._locks, self.number, self._count) + 6

    @property
    def room(self) -> float:
        """Points that are left on this page."""
        return self.y - self.floor

    def next_page(self) -> None:
        """Go on at the top of another page."""
        self.page.canvas.showPage()
        self._begin()

    def need(self, height: float) -> None:
        """Go on on another page where less than ``height`` points are left."""
        if self.room < height:
            self.next_page()

    def heading(self, text: str, below: float = 12.0) -> None:
        """A heading with at least ``below`` points of what it is for on the same page."""
        self.need(22 + below)
        self.page.heading(LEFT, self.y - 10, text, WIDTH)
        self.y -= 22

    def paragraph(self, text: str, *, size: float = 7.0, colour=INK, bold: bool = False, lines: int = 6) -> None:
        """A text over the full width, in as many lines as it takes (``lines`` at most)."""
        for piece in wrap(text, WIDTH - 4, size, lines, bold):
            self.need(size + 2)
            self.y -= size + 2
            self.page.text(LEFT + 2, self.y, piece, size, colour=colour, bold=bold)

    def table(self, columns: Sequence[TableColumn], rows: Sequence[Sequence[Any]], groups: Sequence[int], row_height: float = 13.0) -> None:
        """A table; what does not fit on a page goes on on the next, under the same head."""
        done = 0
        while done < len(rows):
            take = min(len(rows) - done, int((self.room - row_height - 4) // row_height))
            if take < min(len(rows) - done, 3):
                self.next_page()
                continue
            self.y = draw_table(self.page, LEFT, self.y, columns, rows[done : done + take], row_height=row_height, groups=groups[done : done + take])
            done += take


def sheets_bytes(snapshot: StudySnapshot, title: str, text: str, readings: Iterable[Reading], fill: Callable[[Sheets], None]) -> bytes:
    """The PDF that ``fill`` makes, the same bytes every time. It is filled twice: only then the number of pages is known."""
    locks = lock_lines(readings)

    def filled(count: int) -> tuple[bytes, int]:
        stream = io.BytesIO()
        canvas = new_canvas(stream, f"Nodus report {title}")
        sheets = Sheets(canvas, snapshot, title, text, locks, count)
        fill(sheets)
        canvas.showPage()
        canvas.save()
        return stream.getvalue(), sheets.number

    data, count = filled(1)
    return data if count == 1 else filled(count)[0]
