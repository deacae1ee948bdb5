"""Readings as lines of a report's table: cells, and the notes below that say what does not count and why."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.study.followup import NodeResponse, Response, counting_readings
from app.study.model import ABLATION_KINDS, Reading, ReadingState, ReadingStatus, StudySnapshot
from app.usecases.report_page import ALARM, GREY, INK, text_width
from app.usecases.report_text import STATUS_TEXT, axes_text, interval_text, part_rate, part_text, part_way, volume_text
from volumetry.quantity import quantity

READER_WIDTH = 40.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: a reading, with its response where it is a follow-up; or, below it, its ``parts`` where they were assessed."""

    node: str
    place: str  # side and level
    node_number: int
    reading: Reading
    visit: str
    day: int | None  # from the node's first ablation
    response: NodeResponse | None
    is_baseline: bool
    parts: bool = False


def lines_of(snapshot: StudySnapshot, subject_id: str, response: Response, locked_only: bool, visit_id: str | None = None) -> list[Line]:
    """The lines of a subject (at one visit, or at all): every reading that counts, by node, visit and reader; below it its parts where they were assessed."""
    visits = {v.visit_id: v for v in snapshot.visits}
    nodes = {n.node_id: n for n in snapshot.nodes}
    by_reading = {(r.reading_id, r.version): r for r in response.nodes}
    used = {(r.baseline_reading_id, r.baseline_version) for r in response.nodes}
    labels = sorted({n.label for n in snapshot.nodes if n.subject_id == subject_id}, key=natural)
    lines = []
    for reading in counting_readings(snapshot.readings, locked_only=locked_only):
        if reading.subject_id == subject_id and visit_id in (None, reading.visit_id):
            key = (reading.reading_id, reading.version)
            node, visit = nodes[reading.node_id], visits[reading.visit_id]
            day = day_of(snapshot, reading, visit.actual_date)
            lines.append(Line(node.label, place_text(node), labels.index(node.label), reading, visit.name, day, by_reading.get(key), key in used))
    lines.sort(key=lambda n: (n.node_number, visits[n.reading.visit_id].order, n.reading.reader, n.reading.modality, n.reading.method, n.reading.reading_id))
    return [one for line in lines for one in ((line, replace(line, parts=True)) if line.reading.viable_from or line.reading.ablated_from else (line,))]


def place_text(node: Any) -> str:
    """Side and level of a node, as they stand beside its label: ``L III``."""
    return f"{str(node.side)[0].upper()} {node.level}"


def day_of(snapshot: StudySnapshot, reading: Reading, scan_date: str | None) -> int | None:
    """Days from the node's first ablation to the scan; negative before it."""
    ablations = [e.date for e in snapshot.events if e.subject_id == reading.subject_id and e.kind in ABLATION_KINDS and e.node_id in (None, reading.node_id)]
    if scan_date is None or not ablations:
        return None
    return (dt.date.fromisoformat(scan_date) - dt.date.fromisoformat(min(ablations))).days


def natural(label: str) -> list[tuple[int, int, str]]:
    """Sort key that puts N10 after N9."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", label) if part]


class Notes:
    """The cells of lines, and what is said below them. ``readers`` maps a reader to the short name in the table: where a name would be cut
    it stands below, a number in its place."""

    def __init__(self, lines: Sequence[Line], response: Response) -> None:
        self.lines = list(lines)
        self.responses = response.nodes
        self.notes: dict[str, str] = {}  # sentence -> letter
        names = sorted({line.reading.reader for line in self.lines})
        too_long = any(text_width(name, 7.4) > READER_WIDTH - 4 for name in names)
        self.readers = {name: f"R{n}" if too_long else name for n, name in enumerate(names, start=1)}

    def _letter(self, sentence: str) -> str:
        if sentence not in self.notes:
            number = len(self.notes)
            self.notes[sentence] = chr(ord("a") + number) if number < 26 else f"z{number - 25}"
        return self.notes[sentence]

    def cells(self, line: Line) -> dict[str, Any]:
        """The cells of a line by the title of their column; what a line has no cell for is empty."""
        if line.parts:
            return self._part_cells(line)
        r, response = line.reading, line.response
        # What "not comparable" means stands below the table once, under its dagger.
        warnings = [w for w in (response.warnings if response else r.warnings) if not w["code"].startswith(("unlike_", "part_not_assessed"))]
        letters = [self._letter(w["message"]) for w in warnings]
        if r.status_reason:
            letters.append(self._letter(f"{STATUS_TEXT[r.status]}: {r.status_reason}"))
        if r.version > 1:
            letters.append(self._letter(f"{line.node} {line.visit}: version {r.version}, {r.change_reason}"))
        status: Any = STATUS_TEXT[r.status]
        if r.state is not ReadingState.LOCKED:
            if r.status is not ReadingStatus.MEASURED:
                letters.append(self._letter(f"{line.node} {line.visit}: {status}, not locked"))
            status = ("not locked", True, ALARM)
        return {
            "Node": (f"{line.node}  {line.place}", True, INK),
            "Visit": line.visit,
            "Day": "–" if line.day is None else str(line.day),
            "Volume": volume_text(r),
            "Axes": axes_text(r),
            "VRR": rate_cell(line),
            "Method": f"{r.modality} {r.method}",
            "Status": status,
            "Reader": self.readers[r.reader],
            "Notes": ",".join(sorted(set(letters))),
        }

    @staticmethod
    def _part_cells(line: Line) -> dict[str, Any]:
        """The two parts of the node below its whole: volumes, their own rates, how they were come by."""
        r, response = line.reading, line.response
        rates: Any = ""
        if response is not None:
            rates = f"{part_rate(response.vrr_viable_pct)} | {part_rate(response.vrr_ablated_pct)}"
            if (response.vrr_viable_pct, response.vrr_ablated_pct) != (None, None) and not response.parts_comparable:
                rates = (f"{rates} ‡", False, GREY)
        return {"Visit": ("enh. | not", False, GREY), "Volume": f"{part_text(r.viable_ml)} | {part_text(r.ablated_ml)}", "VRR": rates, "Method": (part_way(r), False, GREY)}

    def below(self, most: int = 7) -> list[str]:
        """The sentences below the table, once all cells are made; of those with a letter, at most ``most`` lines."""
        lines = [f"{letter}  {sentence}" for sentence, letter in self.notes.items()]
        if any(r.response and r.response.vrr_pct is not None and not r.response.comparable for r in self.lines):
            lines.insert(0, "†  Baseline by another modality or method: shown, but not comparable and not used for endpoints.")
        if any(r.parts for r in self.lines):
            unlike = any(r.parts and r.response and r.response.vrr_viable_pct is not None and not r.response.parts_comparable for r in self.lines)
            lines.insert(0, "enh. | not: enhancing and not enhancing part, each with its own VRR against the same part at baseline; – not assessed, or none there." + (" ‡ Not comparable." if unlike else ""))
        if len(lines) > most:
            lines = [*lines[: most - 1], f"and {len(lines) - most + 1} more notes; see the warnings in readings.csv"]
        sources = sorted({r.interval_from for r in self.responses if r.interval_from})
        told = {"repeatability": "the stated repeatability", "volume intervals": "the intervals of its two volumes"}
        stated = dict.fromkeys(f"Stated repeatability: CV {r.cv_pct:g} % ({r.cv_source})." for r in self.responses if r.cv_pct is not None)
        lines = [*stated, *lines]
        if self.readers and list(self.readers) != list(self.readers.values()):
            lines.insert(0, "Readers: " + "; ".join(f"{short} {name}" for name, short in self.readers.items()))
        if sources:
            lines.insert(0, f"Day: from the node's first ablation. Intervals are 95 %; that of a VRR comes from {' or '.join(told[s] for s in sources)}.")
        return lines


def rate_cell(line: Line) -> Any:
    """The rate of a line against its baseline, or why it has none."""
    response = line.response
    if response is None:
        return ("baseline" if line.is_baseline else "before ablation", False, GREY)
    if response.vrr_pct is None:
        return "–"
    text = interval_text(response.vrr_pct, response.interval_pct, quantity("vrr_pct").decimals)
    return (text, False, INK) if response.comparable else (f"{text} †", False, GREY)
