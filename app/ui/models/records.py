"""A Qt table over a list of plain values, described by columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QBrush, QColor

SORT_ROLE = Qt.ItemDataRole.UserRole + 1
ROW_ROLE = Qt.ItemDataRole.UserRole + 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how a row is shown, sorted, explained and, where ``edit`` is given, changed.

    ``value(row)`` is the raw value (sorting and copying), ``text(row)`` what is shown. ``unit``
    stands in the heading. ``edit(row, number_or_text)`` is called with what was typed.
    """

    title: str
    value: Callable[[Any], Any]
    text: Callable[[Any], str] | None = None
    unit: str = ""
    tip: Callable[[Any], str] | None = None
    colour: Callable[[Any], str | None] | None = None
    edit: Callable[[Any, Any], None] | None = None
    heading_tip: str = ""
    weight: int = 1
    hidden: bool = False  # copied with the table, not shown
    right: bool | None = None  # aligned right; None: where the value is a number

    def shown(self, row) -> str:
        """The text in the cell."""
        if self.text is not None:
            return self.text(row)
        value = self.value(row)
        return "–" if value is None else str(value)


class RecordsModel(QAbstractTableModel):
    """Rows are any values; columns say how to read them."""

    def __init__(self, columns: Sequence[Column], parent=None):
        super().__init__(parent)
        self.columns = tuple(columns)
        self.rows: list = []

    def set_rows(self, rows: Sequence) -> None:
        """Replace the rows; selection survives where their number stays."""
        rows = list(rows)
        if len(rows) == len(self.rows):
            self.rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(self.columns) - 1))
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole):
        """Titles with units."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{column.title} {column.unit}" if column.unit else column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.heading_tip or None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int((Qt.AlignmentFlag.AlignRight if column.unit or column.right else Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter)
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole):
        """What Qt asks of one cell."""
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.shown(row)
        if role == Qt.ItemDataRole.EditRole or role == SORT_ROLE:
            return column.value(row)
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip(row) if column.tip else column.shown(row)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{self.headerData(index.column(), Qt.Orientation.Horizontal)}: {column.shown(row)}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            right = column.right if column.right is not None else bool(column.unit) or isinstance(column.value(row), (int, float))
            side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
            return int(side | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and column.colour is not None:
            name = column.colour(row)
            return QBrush(QColor(name)) if name else None
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Editable where the column says so."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.isValid() and self.columns[index.column()].edit is not None:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: QModelIndex, value, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Hand what was typed to the column."""
        column = self.columns[index.column()]
        if role != Qt.ItemDataRole.EditRole or column.edit is None:
            return False
        row = self.rows[index.row()]
        if value != column.value(row):
            column.edit(row, value)
        return True


class NoneLastProxy(QSortFilterProxyModel):
    """Sorts by the raw value; unknown values stay at the end in both directions."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setSortRole(SORT_ROLE)
        self.setDynamicSortFilter(True)

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        """Compare two cells."""
        a, b = left.data(SORT_ROLE), right.data(SORT_ROLE)
        if a is None or b is None:
            ascending = self.sortOrder() == Qt.SortOrder.AscendingOrder
            return (b is None and a is not None) if ascending else (a is None and b is not None)
        if type(a) is not type(b) and not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
            return str(a) < str(b)
        return a < b
