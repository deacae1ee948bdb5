"""The report of one subject: one A4 page as PDF, made of locked readings, the same bytes every time."""

from __future__ import annotations

import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.study.errors import StudyRefused
from app.study.followup import NodeResponse, Response, counting_readings, respond
from app.study.model import PlanRun, Reading, StudySnapshot
from app.study.store import StudyStore
from app.usecases.report_frame import LEFT, WIDTH, draw_foot, draw_head, events_text, lock_lines, new_canvas
from app.usecases.report_page import ALARM, GREY, ChartLine, ChartPoint, Page, TableColumn, draw_chart, draw_table, fit, wrap
from app.usecases.report_table import READER_WIDTH, Line, Notes, lines_of, natural
from app.usecases.report_text import plan_lines

PICTURES = 6
PICTURE_GAP = 6.0
CHART_LINES = 10
LOWEST_ROW = 8.8  # points; text in a lower row cannot be read on paper


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """A key picture (PNG) of a node at a visit."""

    node: str
    visit: str
    png: bytes


def render_subject_report(snapshot: StudySnapshot, subject_id: str, *, pictures: Sequence[ReportPicture] = (), locked_only: bool = True) -> bytes:
    """The PDF of one subject. ``locked_only=False`` shows measured readings too, marked as not
    locked (for a preview). At most ``PICTURES`` pictures are drawn. Raises ``subject_missing``."""
    if subject_id not in {s.subject_id for s in snapshot.subjects}:
        raise StudyRefused("There is no such subject in this study.", code="subject_missing")
    response = respond(snapshot, subject_id=subject_id, locked_only=locked_only)
    lines = lines_of(snapshot, subject_id, response, locked_only)
    plans = [p for p in snapshot.plan_runs if p.subject_id == subject_id]
    stream = io.BytesIO()
    canvas = new_canvas(stream, f"Nodus report {subject_id}")
    _Report(Page(canvas), snapshot, subject_id, response, lines, plans, list(pictures)[:PICTURES]).draw()
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
    for reading in sorted(counting, key=lambda r: (natural(nodes[r.node_id].label), visits[r.visit_id].order, r.reader, r.reading_id)):
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
    cells_of = ("Node", "Visit", "Day", "Volume", "Axes", "VRR", "Method", "Status", "Reader", "Notes")

    def __init__(
        self,
        page: Page,
        snapshot: StudySnapshot,
        subject_id: str,
        response: Response,
        lines: list[Line],
        plans: list[PlanRun],
        pictures: list[ReportPicture],
    ) -> None:
        self.page = page
        self.snapshot = snapshot
        self.subject_id = subject_id
        self.response = response
        self.rows = lines
        self.plans = plans
        self.pictures = pictures
        self.left = LEFT
        self.width = WIDTH
        self.notes = Notes(lines, response)

    def draw(self) -> None:
        top = draw_head(self.page, self.snapshot, f"Subject {self.subject_id}", events_text(self.snapshot, self.subject_id))
        foot = draw_foot(self.page, self.snapshot, lock_lines(line.reading for line in self.rows if not line.parts)) + 6
        # Notes are collected while the table's cells are made, and drawn below it.
        told = [self.notes.cells(line) for line in self.rows]
        cells = [[one.get(name, "") for name in self.cells_of] for one in told]
        note_lines = self.notes.below()
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

    # -- the table --------------------------------------------------------------------------------

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
        usable.sort(key=lambda r: (natural(r.node), r.visit_order))
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
