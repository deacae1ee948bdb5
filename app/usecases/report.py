"""The report of one subject: one A4 page as PDF, made of locked readings, the same bytes every time."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from app import INVESTIGATIONAL_NOTICE, __version__
from app.edc.rows import study_sha256
from app.study.blobs import write_file
from app.study.errors import StudyRefused
from app.study.followup import NodeResponse, Response, counting_readings, respond
from app.study.model import ABLATION_KINDS, PlanRun, Reading, ReadingState, ReadingStatus, StudySnapshot
from app.study.protocol import protocol_from
from app.study.signing import lock_note
from app.study.store import StudyStore
from app.usecases.report_page import ALARM, GREY, INK, ChartLine, ChartPoint, Page, TableColumn, draw_chart, draw_table, fit, text_width, wrap
from app.usecases.report_text import STATUS_TEXT, axes_text, interval_text, part_rate, part_text, part_way, plan_lines, volume_text
from volumetry.quantity import quantity

MARGIN = 30.0
PICTURES = 6
PICTURE_GAP = 6.0
READER_WIDTH = 40.0
CHART_LINES = 10
LOWEST_ROW = 8.8  # points; text in a lower row cannot be read on paper


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """A key picture (PNG) of a node at a visit."""

    node: str
    visit: str
    png: bytes


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table: a reading, with its response where it is a follow-up; or, below it, its
    ``parts`` where they were assessed."""

    node: str
    place: str  # side and level
    node_number: int
    reading: Reading
    visit: str
    day: int | None  # from the node's first ablation
    response: NodeResponse | None
    is_baseline: bool
    parts: bool = False


def render_subject_report(snapshot: StudySnapshot, subject_id: str, *, pictures: Sequence[ReportPicture] = (), locked_only: bool = True) -> bytes:
    """The PDF of one subject. ``locked_only=False`` shows measured readings too, marked as not
    locked (for a preview). At most ``PICTURES`` pictures are drawn. Raises ``subject_missing``."""
    if subject_id not in {s.subject_id for s in snapshot.subjects}:
        raise StudyRefused("There is no such subject in this study.", code="subject_missing")
    response = respond(snapshot, subject_id=subject_id, locked_only=locked_only)
    rows = _rows(snapshot, subject_id, response, locked_only)
    plans = [p for p in snapshot.plan_runs if p.subject_id == subject_id]
    stream = io.BytesIO()
    canvas = Canvas(stream, pagesize=A4, invariant=1, pageCompression=1, lang="en")
    canvas.setTitle(f"Nodus report {subject_id}")
    canvas.setAuthor("Nodus")
    canvas.setSubject(INVESTIGATIONAL_NOTICE)
    canvas.setCreator(f"Nodus {__version__}")
    _Report(Page(canvas), snapshot, subject_id, response, rows, plans, list(pictures)[:PICTURES]).draw()
    canvas.showPage()
    canvas.save()
    return stream.getvalue()


def choose_pictures(store: StudyStore, snapshot: StudySnapshot, subject_id: str, *, locked_only: bool = True) -> list[ReportPicture]:
    """Key pictures for the page: of each node its baseline and its newest visit with a picture, as
    many nodes as there is room for; with one or two nodes the visits in between as well."""
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    per_node: dict[str, dict[str, Reading]] = {}
    counting = counting_readings(snapshot.readings, locked_only=locked_only)
    for reading in sorted(counting, key=lambda r: (_natural(nodes[r.node_id].label), visits[r.visit_id].order, r.reader, r.reading_id)):
        if reading.subject_id == subject_id and reading.picture_sha256:
            per_node.setdefault(reading.node_id, {}).setdefault(reading.visit_id, reading)
    if not per_node:
        return []
    room = max(2, PICTURES // len(per_node))
    chosen: list[Reading] = []
    for of_node in per_node.values():
        readings = list(of_node.values())
        if len(readings) > room:
            readings = [*readings[: room - 1], readings[-1]]
        chosen += readings
    return [ReportPicture(nodes[r.node_id].label, visits[r.visit_id].name, store.get_blob(r.picture_sha256)) for r in chosen[:PICTURES] if r.picture_sha256]


def write_report(
    store: StudyStore, subject_id: str, path: Path, *, snapshot: StudySnapshot | None = None, pictures: Sequence[ReportPicture] | None = None
) -> dict[str, Any]:
    """Write one subject's report and read it back; returns ``{"path", "rows", "sha256"}``."""
    snapshot = snapshot or store.snapshot()
    if pictures is None:
        pictures = choose_pictures(store, snapshot, subject_id)
    data = render_subject_report(snapshot, subject_id, pictures=pictures)
    try:
        write_file(path, data)
        back = path.read_bytes()
    except OSError as error:
        raise StudyRefused(f"The report could not be written: {error.strerror}.", code="export_failed") from error
    if back != data:
        raise StudyRefused("The report does not read back as it was written.", code="export_failed")
    rows = sum(r.subject_id == subject_id for r in counting_readings(snapshot.readings, locked_only=True))
    return {"path": path.name, "rows": rows, "sha256": hashlib.sha256(back).hexdigest()}


def export_reports(store: StudyStore, snapshot: StudySnapshot, out: Path, *, subject_id: str | None = None) -> dict[str, Any]:
    """Reports of every subject with locked readings (or of one subject) as ``report-SUBJECT.pdf`` in
    the folder ``out``; ``out`` ending in .pdf names the file itself where there is one subject.
    Returns the receipt of an export. Raises ``nothing_locked``, ``several_subjects``."""
    locked = counting_readings(snapshot.readings, locked_only=True)
    subjects = sorted({r.subject_id for r in locked if subject_id in (None, r.subject_id)})
    if not subjects:
        raise StudyRefused("There is no locked reading to report.", code="nothing_locked", hint="Lock the readings first.")
    if out.suffix.lower() == ".pdf":
        if len(subjects) > 1:
            raise StudyRefused("There are several subjects; one file holds one of them.", code="several_subjects", hint="Give a folder, or name the subject.")
        paths = [out]
    else:
        paths = [out / f"report-{subject}.pdf" for subject in subjects]
    files = [write_report(store, subject, path, snapshot=snapshot) for subject, path in zip(subjects, paths, strict=True)]
    return {
        "files": files,
        "readings": sum(f["rows"] for f in files),
        "study_sha256": study_sha256(snapshot),
        "audit_head": snapshot.audit_head,
    }


def _rows(snapshot: StudySnapshot, subject_id: str, response: Response, locked_only: bool) -> list[_Row]:
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    by_reading = {(r.reading_id, r.version): r for r in response.nodes}
    used = {(r.baseline_reading_id, r.baseline_version) for r in response.nodes}
    labels = sorted({n.label for n in snapshot.nodes if n.subject_id == subject_id}, key=_natural)
    rows = []
    for reading in counting_readings(snapshot.readings, locked_only=locked_only):
        if reading.subject_id == subject_id:
            key = (reading.reading_id, reading.version)
            node, visit = nodes[reading.node_id], visits[reading.visit_id]
            place = f"{str(node.side)[0].upper()} {node.level}"
            day = _day_of(snapshot, reading, visit.actual_date)
            number = labels.index(node.label)
            rows.append(_Row(node.label, place, number, reading, visit.name, day, by_reading.get(key), key in used))
    rows.sort(key=lambda r: (r.node_number, visits[r.reading.visit_id].order, r.reading.reader, r.reading.modality, r.reading.method, r.reading.reading_id))
    return [line for row in rows for line in ((row, replace(row, parts=True)) if row.reading.viable_from or row.reading.ablated_from else (row,))]


def _day_of(snapshot: StudySnapshot, reading: Reading, scan_date: str | None) -> int | None:
    """Days from the node's first ablation to the scan; negative before it."""
    ablations = [e.date for e in snapshot.events if e.subject_id == reading.subject_id and e.kind in ABLATION_KINDS and e.node_id in (None, reading.node_id)]
    if scan_date is None or not ablations:
        return None
    return (dt.date.fromisoformat(scan_date) - dt.date.fromisoformat(min(ablations))).days


def _natural(label: str) -> list[tuple[int, int, str]]:
    """Sort key that puts N10 after N9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", label) if part]


class _Report:
    """The page, drawn from the top down; what is at the foot of the page is measured first."""

    columns = (
        TableColumn("Node", 48),
        TableColumn("Visit", 44),
        TableColumn("Day", 22, "right"),
        TableColumn("Volume, ml (95 %)", 92, "right"),
        TableColumn("Long × short, mm", 66, "right"),
        TableColumn("VRR, % (95 %)", 92, "right"),
        TableColumn("Method", 50),
        TableColumn("Status", 56),
        TableColumn("Reader", READER_WIDTH),
        TableColumn("Notes", 25.27, "right"),
    )

    def __init__(
        self,
        page: Page,
        snapshot: StudySnapshot,
        subject_id: str,
        response: Response,
        rows: list[_Row],
        plans: list[PlanRun],
        pictures: list[ReportPicture],
    ) -> None:
        self.page = page
        self.snapshot = snapshot
        self.subject_id = subject_id
        self.response = response
        self.rows = rows
        self.plans = plans
        self.pictures = pictures
        self.left = MARGIN
        self.width = A4[0] - 2 * MARGIN
        self.notes: dict[str, str] = {}  # sentence -> letter
        names = sorted({row.reading.reader for row in rows})
        too_long = any(text_width(name, 7.4) > READER_WIDTH - 4 for name in names)
        # A name that would be cut stands below the table, a number in its place.
        self.readers = {name: f"R{n}" if too_long else name for n, name in enumerate(names, start=1)}

    def draw(self) -> None:
        top = self._header()
        foot = self._footer() + 6
        # Notes are collected while the table's cells are made, and drawn below it.
        cells = [self._cells(row) for row in self.rows]
        note_lines = self._note_lines()
        notes_height = 8.2 * len(note_lines)
        middle_height = 170.0
        pictures_height = 104.0 if self.pictures else 0.0
        room = top - foot - middle_height - pictures_height - notes_height - 34
        height = min(13.0, (room - 15) / max(len(cells), 1))
        dropped = 0
        if height < LOWEST_ROW:
            height = LOWEST_ROW
            cells, dropped = self._the_newest(cells, int((room - 24) // height))
        y = self._table(top, cells, height, dropped, note_lines) - 14
        # What is left over goes to the pictures up to their full width, then to the chart.
        left = y - foot - middle_height - 8
        if self.pictures:
            pictures_height = min(self._picture_size() + 26, max(left, pictures_height))
        middle_height += min(max(left - pictures_height, 0.0), 90.0)
        self._middle(y, middle_height)
        if self.pictures:
            self._pictures(y - middle_height - 8, pictures_height)

    # -- head and foot ----------------------------------------------------------------------------

    def _header(self) -> float:
        page, left, right = self.page, self.left, self.left + self.width
        y = A4[1] - MARGIN
        page.text(left, y - 12, f"Subject {self.subject_id}", 16, bold=True)
        page.text(right, y - 7, INVESTIGATIONAL_NOTICE, 8.5, bold=True, colour=ALARM, align="right")
        protocol = protocol_from(self.snapshot.protocol)
        page.text(right, y - 18, fit(protocol.title, 300, 7), 7, colour=GREY, align="right")
        page.text(left, y - 25, fit(f"Study {self.snapshot.name}  ·  protocol {protocol.stamp}", 330, 8), 8, colour=INK)
        events = [e for e in self.snapshot.events if e.subject_id == self.subject_id]
        labels = {n.node_id: n.label for n in self.snapshot.nodes}
        told = [f"{e.kind} {e.date}" + (f" ({labels[e.node_id]})" if e.node_id else "") for e in events]
        text = "Events: " + "; ".join(told) if told else "No ablation is recorded."
        if any(s.dates_shifted for s in self.snapshot.subjects if s.subject_id == self.subject_id):
            text = f"Dates are shifted, intervals are true.  {text}"
        page.text(left, y - 36, fit(text, self.width, 7.5), 7.5, colour=GREY)
        page.line(left, y - 42, right, y - 42, colour=INK, width=0.8)
        return y - 46

    def _footer(self) -> float:
        """Signatures, audit head; returns the upper edge."""
        page, left, right = self.page, self.left, self.left + self.width
        y = MARGIN - 8
        page.text(left, y, f"Nodus {__version__}  ·  {INVESTIGATIONAL_NOTICE}", 6.5, colour=GREY)
        page.text(right, y, "page 1 of 1", 6.5, colour=GREY, align="right")
        y += 9
        signed = (self.snapshot.head_signature or {}).get("signature")
        key = f", signed with key {signed['fingerprint']}" if signed else ""
        page.text(left, y, f"Audit head: event {self.snapshot.head_events}, {self.snapshot.head_sha256}{key}", 6.5, colour=GREY)
        lines = self._signatures()
        y += 12 + 9.5 * (len(lines) - 1)
        top = y + 22
        for line in lines:
            page.text(left, y, line, 7.5)
            y -= 9.5
        page.heading(left, top - 9, "Locks", self.width)
        return top

    def _signatures(self) -> list[str]:
        groups: dict[tuple[str, str, str], list[Reading]] = {}
        for row in self.rows:
            r = row.reading
            if r.state is ReadingState.LOCKED and not row.parts:
                groups.setdefault((r.locked_by or "", r.lock_meaning or "", lock_note(r)), []).append(r)
        lines = []
        for (name, meaning, note), readings in sorted(groups.items()):
            times = sorted(r.locked_utc or "" for r in readings)
            first, last = (t[:19].replace("T", " ") for t in (times[0], times[-1]))
            same_day = first[:10] == last[:10]
            when = f"{first} UTC" if first == last else f"{first} to {last[11:] if same_day else last} UTC"
            count = "1 reading" if len(readings) == 1 else f"{len(readings)} readings"
            lines.append(f"{count} locked by {fit(name, 240, 7.5)}, “{fit(meaning, 480, 7.5)}”, {when}; {note}")
        if not lines:
            return ["No reading is locked."]
        if len(lines) > 5:
            lines = [*lines[:4], f"and {len(lines) - 4} more; see readings.csv"]
        return [piece for line in lines for piece in wrap(line, self.width, 7.5, 3)]

    # -- the table --------------------------------------------------------------------------------

    def _letter(self, sentence: str) -> str:
        if sentence not in self.notes:
            number = len(self.notes)
            self.notes[sentence] = chr(ord("a") + number) if number < 26 else f"z{number - 25}"
        return self.notes[sentence]

    def _part_cells(self, row: _Row) -> list[Any]:
        """The two parts of the node below its whole: volumes, their own rates, how they were come by."""
        r, response = row.reading, row.response
        rates: Any = ""
        if response is not None:
            rates = f"{part_rate(response.vrr_viable_pct)} | {part_rate(response.vrr_ablated_pct)}"
            if (response.vrr_viable_pct, response.vrr_ablated_pct) != (None, None) and not response.parts_comparable:
                rates = (f"{rates} ‡", False, GREY)
        volumes = f"{part_text(r.viable_ml)} | {part_text(r.ablated_ml)}"
        return ["", ("enh. | not", False, GREY), "", volumes, "", rates, (part_way(r), False, GREY), "", "", ""]

    def _cells(self, row: _Row) -> list[Any]:
        if row.parts:
            return self._part_cells(row)
        r, response = row.reading, row.response
        # What "not comparable" means stands below the table once, under its dagger.
        warnings = [w for w in (response.warnings if response else r.warnings) if not w["code"].startswith(("unlike_", "part_not_assessed"))]
        letters = [self._letter(w["message"]) for w in warnings]
        if r.status_reason:
            letters.append(self._letter(f"{STATUS_TEXT[r.status]}: {r.status_reason}"))
        if r.version > 1:
            letters.append(self._letter(f"{row.node} {row.visit}: version {r.version}, {r.change_reason}"))
        status: Any = STATUS_TEXT[r.status]
        if r.state is not ReadingState.LOCKED:
            if r.status is not ReadingStatus.MEASURED:
                letters.append(self._letter(f"{row.node} {row.visit}: {status}, not locked"))
            status = ("not locked", True, ALARM)
        return [
            (f"{row.node}  {row.place}", True, INK),
            row.visit,
            "–" if row.day is None else str(row.day),
            volume_text(r),
            axes_text(r),
            self._vrr_cell(row),
            f"{r.modality} {r.method}",
            status,
            self.readers[r.reader],
            ",".join(sorted(set(letters))),
        ]

    def _vrr_cell(self, row: _Row) -> Any:
        response = row.response
        if response is None:
            return ("baseline" if row.is_baseline else "before ablation", False, GREY)
        if response.vrr_pct is None:
            return "–"
        text = interval_text(response.vrr_pct, response.interval_pct, quantity("vrr_pct").decimals)
        return (text, False, INK) if response.comparable else (f"{text} †", False, GREY)

    def _note_lines(self) -> list[str]:
        lines = [f"{letter}  {sentence}" for sentence, letter in self.notes.items()]
        if any(r.response and r.response.vrr_pct is not None and not r.response.comparable for r in self.rows):
            lines.insert(0, "†  Baseline by another modality or method: shown, but not comparable and not used for endpoints.")
        if any(r.parts for r in self.rows):
            unlike = any(r.parts and r.response and r.response.vrr_viable_pct is not None and not r.response.parts_comparable for r in self.rows)
            lines.insert(0, "enh. | not: enhancing and not enhancing part, each with its own VRR against the same part at baseline; – not assessed, or none there." + (" ‡ Not comparable." if unlike else ""))
        if len(lines) > 7:
            lines = [*lines[:6], f"and {len(lines) - 6} more notes; see the warnings in readings.csv"]
        sources = sorted({r.interval_from for r in self.response.nodes if r.interval_from})
        told = {"repeatability": "the stated repeatability", "volume intervals": "the intervals of its two volumes"}
        stated = dict.fromkeys(f"Stated repeatability: CV {r.cv_pct:g} % ({r.cv_source})." for r in self.response.nodes if r.cv_pct is not None)
        lines = [*stated, *lines]
        if self.readers and list(self.readers) != list(self.readers.values()):
            lines.insert(0, "Readers: " + "; ".join(f"{short} {name}" for name, short in self.readers.items()))
        if sources:
            lines.insert(0, f"Day: from the node's first ablation. Intervals are 95 %; that of a VRR comes from {' or '.join(told[s] for s in sources)}.")
        return lines

    def _the_newest(self, cells: list[list[Any]], keep: int) -> tuple[list[list[Any]], int]:
        """As many readings as fit, each with the lines of its parts: every node's baseline, then the
        newest visits of all nodes. Returns their cells and how many readings are left out."""
        orders = {v.visit_id: v.order for v in self.snapshot.visits}
        wholes = [i for i, row in enumerate(self.rows) if not row.parts]
        lines = {i: range(i, after) for i, after in zip(wholes, [*wholes[1:], len(self.rows)], strict=True)}
        ranked = sorted(wholes, key=lambda i: (not self.rows[i].is_baseline, -orders[self.rows[i].reading.visit_id], i))
        kept: list[int] = []
        shown = 0
        for i in ranked:
            if len(kept) + len(lines[i]) > keep:
                break
            kept += lines[i]
            shown += 1
        self.rows_shown = [self.rows[i] for i in sorted(kept)]
        return [cells[i] for i in sorted(kept)], len(wholes) - shown

    def _table(self, top: float, cells: list[list[Any]], height: float, dropped: int, note_lines: list[str]) -> float:
        page = self.page
        if not cells:
            page.text(self.left, top - 14, "No locked reading of this subject.", 9, colour=GREY)
            return top - 20
        rows = getattr(self, "rows_shown", self.rows)
        y = draw_table(page, self.left, top, self.columns, cells, row_height=height, groups=[r.node_number for r in rows])
        if dropped:
            y -= 9
            text = f"{dropped} of {sum(not r.parts for r in self.rows)} readings do not fit on this page (shown: baselines and the newest); all are in readings.csv."
            page.text(self.left + 2, y, text, 7, bold=True, colour=ALARM)
        for line in note_lines:
            y -= 8.2
            page.text(self.left + 2, y, fit(line, self.width - 4, 6.5), 6.5, colour=GREY)
        return y

    # -- chart and plan ---------------------------------------------------------------------------

    def _middle(self, top: float, height: float) -> None:
        chart_width = self.width * 0.57
        plan_left = self.left + chart_width + 12
        lines, ticks, title, which = self._chart()
        self.page.heading(self.left, top - 8, f"Volume reduction rate{which}", chart_width)
        if lines:
            draw_chart(self.page, self.left, top - height, chart_width, height - 14, lines, ticks, axis_title=title)
        else:
            self.page.text(self.left, top - 24, "No comparable follow-up reading yet.", 8, colour=GREY)
        self._plan(plan_left, top, self.left + self.width - plan_left, height)

    def _chart(self) -> tuple[list[ChartLine], list[tuple[float, str]], str, str]:
        """Lines of comparable follow-ups, starting at 0 % at baseline; over days where all are
        known, else visit by visit. With more lines than can be told apart, those of one reader.
        Returns lines, ticks, the axis' title, and what to add to the heading."""
        usable = [r for r in self.response.nodes if r.vrr_pct is not None and r.comparable]
        usable.sort(key=lambda r: (_natural(r.node), r.visit_order))
        which = ""
        everybody = sorted({r.reader for r in usable})
        if len(everybody) > 1 and len({(r.node, r.reader, r.role, r.modality, r.method) for r in usable}) > CHART_LINES:
            usable = [r for r in usable if r.reader == everybody[0]]
            which = f", {everybody[0]} (1 of {len(everybody)} readers)"
        by_days = bool(usable) and all(r.days_from_first is not None for r in usable)
        orders = sorted({(r.visit_order, r.visit) for r in usable})
        place = {name: float(n) for n, (_order, name) in enumerate(orders, start=1)}
        readers = {(r.reader, r.role) for r in usable}
        methods = {(r.modality, r.method) for r in usable}
        groups: dict[tuple[str, ...], list[NodeResponse]] = {}
        for r in usable:
            groups.setdefault((r.node, r.reader, r.role, r.modality, r.method), []).append(r)
        lines = []
        for (node, reader, _role, modality, method), found in groups.items():
            name = node + (f" · {reader}" if len(readers) > 1 else "") + (f" · {modality} {method}" if len(methods) > 1 else "")
            points = [ChartPoint(float(r.days_from_first or 0) if by_days else place[r.visit], r.vrr_pct or 0.0, r.interval_pct) for r in found]
            lines.append(ChartLine(name, (ChartPoint(0.0, 0.0), *sorted(points, key=lambda p: p.x))))
        if by_days:
            ticks = [(statistics.median([float(r.days_from_first or 0) for r in usable if r.visit == name]), name) for _order, name in orders]
            return lines, sorted([(0.0, "Baseline"), *ticks]), "days from the node's first ablation; bars: 95 % interval", which
        return lines, [(0.0, "Baseline"), *((place[name], name) for _order, name in orders)], "visits, not to scale; bars: 95 % interval", which

    def _plan(self, x: float, top: float, width: float, height: float) -> None:
        page = self.page
        page.heading(x, top - 8, "Plan", width)
        y = top - 22
        floor = top - height + 4
        if not self.plans:
            page.text(x, y, "No plan is stored for this subject.", 8, colour=GREY)
            return
        for text, bold, colour in plan_lines(self.plans[-1], len(self.plans)):
            for line in wrap(text, width, 7.2, 2, bold):
                if y < floor + 9:
                    page.text(x, y, "… more in the stored plan", 7.2, colour=GREY)
                    return
                page.text(x, y, line, 7.2, bold=bold, colour=colour)
                y -= 9.4

    def _pictures(self, top: float, height: float) -> None:
        page = self.page
        page.heading(self.left, top - 8, "Key pictures", self.width)
        size = min(self._picture_size(), height - 26)
        x = self.left
        for picture in self.pictures:
            page.picture(x, top - 14 - size, size, size, picture.png)
            page.text(x, top - 22 - size, fit(f"{picture.node} · {picture.visit}", size, 7), 7)
            x += size + PICTURE_GAP

    def _picture_size(self) -> float:
        """The side of a picture where all stand in one row, at most 150 points."""
        count = len(self.pictures)
        return min((self.width - PICTURE_GAP * (count - 1)) / count, 150.0)
