"""A table that sorts by its headings, copies as text, and is as tall as its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QModelIndex, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QDoubleSpinBox, QHeaderView, QStyledItemDelegate, QTableView, QWidget

from app.ui.models.records import ROW_ROLE, Column, NoneLastProxy, RecordsModel
from app.ui.text import t


class NumberDelegate(QStyledItemDelegate):
    """A spin box for number cells, with the limits of the column."""

    def __init__(self, low: float, high: float, step: float, decimals: int, parent=None):
        super().__init__(parent)
        self._range = low, high, step, decimals

    def createEditor(self, parent, option, index):
        """A spin box within the limits."""
        low, high, step, decimals = self._range
        box = QDoubleSpinBox(parent)
        box.setDecimals(decimals)
        box.setRange(low, high)
        box.setSingleStep(step)
        box.setFrame(False)
        return box

    def setEditorData(self, editor, index) -> None:
        """Start from the present value."""
        editor.setValue(float(index.data(Qt.ItemDataRole.EditRole) or 0))

    def setModelData(self, editor, model, index) -> None:
        """Hand over the number that was typed."""
        editor.interpretText()
        model.setData(index, editor.value(), Qt.ItemDataRole.EditRole)


class ChoiceDelegate(QStyledItemDelegate):
    """A choice of a few words for a cell."""

    def __init__(self, choices: Sequence[str], parent=None):
        super().__init__(parent)
        self._choices = tuple(choices)

    def createEditor(self, parent, option, index):
        """The choices, the present one taken."""
        box = QComboBox(parent)
        box.addItems(self._choices)
        box.setFrame(False)
        return box

    def setEditorData(self, editor, index) -> None:
        """Start from the present value."""
        editor.setCurrentIndex(editor.findText(str(index.data(Qt.ItemDataRole.EditRole))))

    def setModelData(self, editor, model, index) -> None:
        """Hand over the choice."""
        model.setData(index, editor.currentText(), Qt.ItemDataRole.EditRole)


class ValueTable(QTableView):
    """Rows of values under sortable headings.

    ``chosen(row)`` when the reader makes a row current; ``activated_row(row)`` on Enter or a
    double click.
    """

    chosen = Signal(object)
    activated_row = Signal(object)

    def __init__(self, columns: Sequence[Column], name: str, *, max_rows: int = 8, row_height: int = 24, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("ValueTable")
        self.setAccessibleName(name)
        self.model_ = RecordsModel(columns, self)
        self.proxy = NoneLastProxy(self)
        self.proxy.setSourceModel(self.model_)
        self.setModel(self.proxy)
        self._max_rows = max_rows
        self._filling = False
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)  # as given, until a heading is pressed
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed | QAbstractItemView.EditTrigger.AnyKeyPressed)
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(18)
        self.verticalHeader().setDefaultSectionSize(row_height)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(20)
        header.setStretchLastSection(False)
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self._copy = QAction(t("Copy rows"), self)
        self._copy.setShortcut(QKeySequence.StandardKey.Copy)
        self._copy.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        self._copy.triggered.connect(self.copy_selection)
        self._copy_all = QAction(t("Copy table"), self)
        self._copy_all.triggered.connect(self.copy_all)
        self.addActions([self._copy, self._copy_all])
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.selectionModel().currentRowChanged.connect(self._on_current)
        self.doubleClicked.connect(self._on_activated)
        for n, column in enumerate(columns):
            self.setColumnHidden(n, column.hidden)
        self._fit()

    def set_rows(self, rows: Sequence, is_current: Callable | None = None) -> None:
        """Show rows; ``is_current(row)`` marks the one to select without telling ``chosen``."""
        self._filling = True
        try:
            self.model_.set_rows(rows)
            if is_current is not None:
                at = next((n for n, row in enumerate(self.model_.rows) if is_current(row)), None)
                if at is None:
                    self.clearSelection()
                else:
                    self.selectRow(self.proxy.mapFromSource(self.model_.index(at, 0)).row())
        finally:
            self._filling = False
        self._fit()

    def current_row(self):
        """The row the reader stands on, or None."""
        index = self.currentIndex()
        return index.data(ROW_ROLE) if index.isValid() else None

    def copy_selection(self) -> None:
        """Selected rows as tab-separated text with headings; everything where none is selected."""
        picked = sorted({index.row() for index in self.selectionModel().selectedRows()})
        QGuiApplication.clipboard().setText(self.as_text(picked or None))

    def copy_all(self) -> None:
        """The whole table as tab-separated text with headings."""
        QGuiApplication.clipboard().setText(self.as_text())

    def as_text(self, rows: Sequence[int] | None = None) -> str:
        """Tab-separated text: headings with units, then raw values in screen order."""
        columns = range(self.proxy.columnCount())
        lines = ["\t".join(str(self.proxy.headerData(c, Qt.Orientation.Horizontal)) for c in columns)]
        for r in range(self.proxy.rowCount()) if rows is None else rows:
            values = [self.proxy.index(r, c).data(Qt.ItemDataRole.EditRole) for c in columns]
            lines.append("\t".join("" if v is None else str(v) for v in values))
        return "\n".join(lines)

    def resizeEvent(self, event) -> None:
        """Share the width among the columns by weight."""
        super().resizeEvent(event)
        self._share_width()

    def changeEvent(self, event) -> None:
        """Heights follow the font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def keyPressEvent(self, event) -> None:
        """Enter tells ``activated_row``; everything else as usual."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.state() != QAbstractItemView.State.EditingState:
            self._on_activated(self.currentIndex())
            return
        super().keyPressEvent(event)

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if not self._filling and index.isValid():
            self.chosen.emit(index.data(ROW_ROLE))

    def _on_activated(self, index: QModelIndex) -> None:
        if index.isValid() and not index.flags() & Qt.ItemFlag.ItemIsEditable:
            self.activated_row.emit(index.data(ROW_ROLE))

    def _share_width(self) -> None:
        weights = [(n, c.weight) for n, c in enumerate(self.model_.columns) if not c.hidden]
        room, total = self.viewport().width(), sum(weight for _, weight in weights)
        used = 0
        for n, weight in weights:
            width = room - used if n == weights[-1][0] else room * weight // total
            self.setColumnWidth(n, width)
            used += width

    def _fit(self) -> None:
        rows = max(1, min(self._max_rows, self.model_.rowCount()))
        height = self.horizontalHeader().sizeHint().height() + rows * self.verticalHeader().defaultSectionSize() + 2 * self.frameWidth() + 2
        self.setFixedHeight(height)
        self._share_width()
