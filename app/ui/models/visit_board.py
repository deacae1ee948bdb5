"""Subjects × visits on a stated day: what each cell says in words, sign and colour, and the table of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, Qt
from PySide6.QtGui import QColor

from app.ui.text import t
from app.ui.widgets.palette import ACCENT, DANGER, GOOD, MUTED, TEXT, WARNING

CELL_ROLE = Qt.ItemDataRole.UserRole + 1
SUBJECT_ROLE = Qt.ItemDataRole.UserRole + 2
SALVAGE_COLUMN = 0
# status -> (sign, word, colour); the sign and the word say it without the colour. Red and blue wait for somebody; amber is what
# went another way than planned and can no longer be changed.
LOOKS = {
    "overdue": ("!", "Overdue", DANGER),
    "due": ("◐", "Due", ACCENT),
    "missed": ("✕", "Missed", WARNING),
    "out_of_window": ("≠", "Out of window", WARNING),
    "unscheduled": ("+", "Unscheduled", WARNING),
    "undated": ("?", "No date", WARNING),
    "done": ("✓", "Done", GOOD),
    "planned": ("○", "Planned", TEXT),
    "not_planned": ("…", "Not dated yet", MUTED),
    "ended": ("■", "Ended", MUTED),
    "not_required": ("–", "Not required", MUTED),
    "not_tracked": ("–", "Not tracked", MUTED),
    "not_known": ("?", "Dates shifted", MUTED),
}
SALVAGE_LOOKS = {
    "open": ("◐", "Still open", ACCENT),
    "indicated": ("◐", "Still enhances", ACCENT),  # open, and what is left was found
    "passed": ("■", "Passed", MUTED),
    "awaiting_result": ("◐", "Awaits the result", ACCENT),
    "used": ("✓", "Done", GOOD),
    "used_late": ("≠", "Done late", WARNING),
    "not_started": ("…", "No scan yet", MUTED),
    "ended": ("■", "Ended", MUTED),
    "not_known": ("?", "Dates shifted", MUTED),
    "not_indicated": ("✓", "Nothing enhances", MUTED),
}
CALLS = ("overdue", "due")  # what somebody has to do something about
SALVAGE_CALLS = ("open", "awaiting_result")
_GROUNDS = {"overdue": "#34161A", "due": "#10283A", "open": "#10283A", "awaiting_result": "#10283A"}  # behind what waits, to be found in passing
SOON_DAYS = 7  # a salvage deadline this near is told as a warning


@dataclass(frozen=True, slots=True)
class Cell:
    """One subject at one visit (or its salvage, ``visit`` empty): two lines, their colour, the whole story on hover."""

    subject: str
    visit: str
    status: str
    sign: str
    word: str
    line: str
    colour: str
    tip: str
    visit_id: str | None = None

    @property
    def text(self) -> str:
        """Both lines, the sign before the word."""
        return f"{self.sign} {self.word}" + (f"\n{self.line}" if self.line else "")


@dataclass(frozen=True, slots=True)
class Board:
    """The table as worked out for one day: visits in their order, a row of cells a subject (salvage first)."""

    on: dt.date
    visits: tuple[str, ...]
    subjects: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    arms: dict[str, str]
    warnings: dict[str, tuple[str, ...]]

    def calls(self, subject: str) -> bool:
        """Does anything of this subject wait for somebody?"""
        own = [self.cells.get((subject, v)) for v in self.visits]
        salvage = self.cells.get((subject, ""))
        return any(c is not None and c.status in CALLS for c in own) or (salvage is not None and salvage.status in SALVAGE_CALLS)

    def count(self, status: str) -> int:
        """How many visits stand at a status."""
        return sum(c.status == status for (_, visit), c in self.cells.items() if visit)


def board_of(schedules: dict[str, dict[str, Any]], on: dt.date, anchors: Mapping[str, Any] | None = None) -> Board:
    """The board of ``study_schedule``'s answer; ``anchors`` are the protocol's, each with its meaning in words."""
    meanings = {name: str(anchor.get("meaning") or name) for name, anchor in (anchors or {}).items()}
    orders: dict[str, int] = {}
    cells: dict[tuple[str, str], Cell] = {}
    for subject, of in schedules.items():
        for row in of["schedule"]:
            orders[row["visit"]] = min(row["order"], orders.get(row["visit"], row["order"]))
            cells[subject, row["visit"]] = visit_cell(subject, row, meanings)
        if of["salvage"] is not None:
            cells[subject, ""] = salvage_cell(subject, of["salvage"])
    return Board(
        on, tuple(sorted(orders, key=lambda v: (orders[v], v))), tuple(sorted(schedules)), cells,
        {s: of["arm"] or "" for s, of in schedules.items()}, {s: tuple(f["message"] for f in of["treatment_findings"]) for s, of in schedules.items()},
    )  # fmt: skip


def days(n: int) -> str:
    """A number of days with its unit."""
    return t("1 day") if abs(n) == 1 else t("{n} days").format(n=abs(n))


def offset_words(n: int | None) -> str:
    """How far a scan lies from its target day."""
    return "" if n is None else (f"+{n}" if n > 0 else f"−{-n}" if n else "±0") + " " + t("d")


def visit_cell(subject: str, row: dict[str, Any], meanings: Mapping[str, str] | None = None) -> Cell:
    """A cell of one visit from a row of the schedule; ``meanings`` say what its anchor is."""
    anchor = t((meanings or {}).get(row["anchor"], row["anchor"] or ""))
    sign, word, colour = LOOKS[row["status"]]
    left, last = row["days_left"], row["window_last"]
    if row["actual_date"]:
        line = row["actual_date"] + (f"  {offset_words(row['offset_days'])}" if row["offset_days"] is not None else "")
    elif row["status"] == "due" and left is not None:
        line = t("{days} left").format(days=days(left)) if left else t("last day")
    elif row["status"] in ("overdue", "missed") and left is not None:
        line = t("since {days}").format(days=days(left))
    elif row["status"] in ("planned", "not_tracked") and row["target_date"]:
        line = row["target_date"]
    else:
        line = ""
    story = [
        f"{subject} · {row['visit']}: {t(word)}",
        t("Target day {day}, window {first} to {last}").format(day=row["target_date"], first=row["window_first"], last=last) if row["target_date"] and row["window_first"]
        else t("Target day {day}, no window").format(day=row["target_date"]) if row["target_date"] else "",
        t("Scan on {day}").format(day=row["actual_date"]) if row["actual_date"] else "",
        t("Counts from {anchor} on {day}").format(anchor=anchor, day=row["anchor_date"]) if row["anchor_date"]
        else t("Counts from {anchor}, which has not happened yet").format(anchor=anchor) if row["anchor"] else "",
        t("By its date it belongs to {visit}").format(visit=row["belongs_to"]) if row["belongs_to"] and row["belongs_to"] != row["visit"] else "",
        t("Optional") if row["optional"] else "",
    ]  # fmt: skip
    return Cell(subject, row["visit"], row["status"], sign, t(word), line, colour, "\n".join(s for s in story if s), row["visit_id"])


def salvage_cell(subject: str, salvage: dict[str, Any]) -> Cell:
    """The cell of the salvage deadline."""
    # Once a reader who treats found a residual, it is more than a window that stands open.
    sign, word, colour = SALVAGE_LOOKS["indicated" if salvage["state"] == "open" and salvage.get("indicated") else salvage["state"]]
    left, deadline = salvage["days_left"], salvage["deadline"]
    line = ", ".join(salvage["salvage_dates"])
    if salvage["state"] == "open":
        line = t("{days} left").format(days=days(left)) if left else t("last day")
        colour = WARNING if left <= SOON_DAYS else colour
    elif salvage["state"] == "passed":
        line = t("since {days}").format(days=days(left))
    story = [
        f"{subject} · {t('Salvage')}: {t(word)}",
        t("Last day {day}, counted from {start} on {day0}").format(day=deadline, start=t(salvage["counted_from"]), day0=salvage["from_date"]) if deadline
        else t("Counted from {start}").format(start=t(salvage["counted_from"])),
        t("{n} allowed").format(n=salvage["allowed"]),
        *(t("{node}: grade {grade}").format(node=n["node"], grade=n["grade"]) + ("" if n["viable_ml"] is None else " · " + t("{ml} ml enhance").format(ml=f"{n['viable_ml']:.2f}")) for n in salvage.get("nodes", ()) if n["grade"]),
    ]  # fmt: skip
    return Cell(subject, "", salvage["state"], sign, t(word), line, colour, "\n".join(story))


class BoardModel(QAbstractTableModel):
    """A ``Board`` as a table: salvage, then the visits; a row a subject."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.board: Board | None = None
        self.rows: list[str] = []

    def show_board(self, board: Board | None, *, words: str = "", calls_only: bool = False) -> None:
        """Take a board; only subjects with ``words`` in their pseudonym, or that wait for something."""
        self.beginResetModel()
        self.board = board
        wanted = words.strip().casefold()
        self.rows = [] if board is None else [s for s in board.subjects if wanted in s.casefold() and (not calls_only or board.calls(s))]
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Subjects in view."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Salvage and visits."""
        return 0 if self.board is None or (parent is not None and parent.isValid()) else 1 + len(self.board.visits)

    def cell(self, row: int, column: int) -> Cell | None:
        """What stands at a place; None where the visit is not of this subject."""
        if self.board is None or not 0 <= row < len(self.rows):
            return None
        return self.board.cells.get((self.rows[row], "" if column == SALVAGE_COLUMN else self.board.visits[column - 1]))

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Words, colour and story of a cell."""
        cell = self.cell(index.row(), index.column())
        if role == SUBJECT_ROLE:
            return self.rows[index.row()]
        if cell is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.text
        if role == Qt.ItemDataRole.ForegroundRole:
            return QColor(cell.colour)
        if role == Qt.ItemDataRole.BackgroundRole:
            ground = _GROUNDS.get(cell.status)
            return QColor(ground) if ground else None
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.AccessibleDescriptionRole):
            return cell.tip
        return cell if role == CELL_ROLE else None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Visits above, subjects at the left."""
        if role != Qt.ItemDataRole.DisplayRole or self.board is None:
            return None
        if orientation == Qt.Orientation.Horizontal:
            return t("Salvage") if section == SALVAGE_COLUMN else self.board.visits[section - 1]
        subject = self.rows[section]
        arm = self.board.arms.get(subject)
        return f"{subject}\n{arm}" if arm else subject


def legend() -> Sequence[tuple[str, str, str]]:
    """(sign, word, colour) of what may stand on the board, once each."""
    return [(sign, t(word), colour) for status, (sign, word, colour) in LOOKS.items() if status not in ("not_tracked", "not_known", "undated")]
