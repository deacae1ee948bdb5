"""The visit board: subjects × visits on a day, today unless another is chosen, and below it what is known of the chosen subject."""

from __future__ import annotations

import datetime as dt

from PySide6.QtCore import QItemSelectionModel, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.ui.models.visit_board import CELL_ROLE, SALVAGE_COLUMN, SUBJECT_ROLE, BoardModel, Cell, legend
from app.ui.panels.visit_board import SubjectPanel
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel, set_tone
from app.ui.widgets.palette import BACKGROUND, PANEL, PANEL_STYLE, RAISED

COLUMN_PX, ROW_PX = 134, 42


class BoardTable(QTableView):
    """Arrows move, Enter opens the visit, typing goes to nothing else."""

    opened = Signal(object)  # Cell
    stands_on = Signal(str)  # subject

    def __init__(self, model: BoardModel, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("BoardTable")
        self.setModel(model)
        self.setAccessibleName(t("Visit board"))
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setWordWrap(True)
        self.setCornerButtonEnabled(False)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.horizontalHeader().setDefaultSectionSize(COLUMN_PX)
        self.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.selectionModel().currentChanged.connect(self._moved)
        self.doubleClicked.connect(self._open)

    def _moved(self, now, _before) -> None:
        if now.isValid():
            self.stands_on.emit(now.data(SUBJECT_ROLE))

    def _open(self, index) -> None:
        cell = index.data(CELL_ROLE) if index.isValid() else None
        if cell is not None:
            self.opened.emit(cell)

    def keyPressEvent(self, event) -> None:
        """Enter opens; everything else as usual."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(self.currentIndex())
            event.accept()
            return
        super().keyPressEvent(event)


class VisitBoardView(QWidget):
    """In place of the pictures; Esc goes back to them."""

    leave = Signal()

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.setStyleSheet(
            PANEL_STYLE
            + f"QTableView#BoardTable {{ background: {BACKGROUND}; gridline-color: {RAISED}; font-size: 12px; selection-background-color: #234860; }}"
            + f"QTableView#BoardTable QHeaderView::section {{ background: {PANEL}; }}"
        )
        title = QLabel(t("Visit board"))
        title.setProperty("scale", "big")
        self.words = QLabel("")
        self.words.setProperty("tone", "muted")
        self.find = QLineEdit()
        self.find.setPlaceholderText(t("Find a subject"))
        self.find.setAccessibleName(t("Find a subject"))
        self.find.setClearButtonEnabled(True)
        self.find.setFixedWidth(150)
        self.find.setToolTip(t("Find a subject (Ctrl+F)"))
        self.day = QLineEdit()
        self.day.setPlaceholderText(t("today"))
        self.day.setMaxLength(10)
        self.day.setFixedWidth(118)
        self.day.setClearButtonEnabled(True)
        self.day.setToolTip(t("Another day, written YYYY-MM-DD: what is due and overdue then (Alt+D); empty is today"))
        of_day = QLabel(t("As of &day"))
        of_day.setProperty("tone", "muted")
        of_day.setBuddy(self.day)
        self.day.setAccessibleName(of_day.text().replace("&", ""))
        self.calls_only = QCheckBox(t("Only who waits for something"))
        self.calls_only.setToolTip(t("Due, overdue, or a salvage that can still be done"))
        self.close_button = QPushButton(t("Back (Esc)"))
        self.close_button.clicked.connect(self.leave)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(title)
        head.addStretch(1)
        head.addWidget(of_day)
        head.addWidget(self.day)
        head.addWidget(self.calls_only)
        head.addWidget(self.find)
        head.addWidget(self.close_button)
        self.model = BoardModel(self)
        self.table = BoardTable(self.model)
        self.problem = WrapLabel("", tone="warning")
        signs = QLabel("&nbsp;&nbsp;&nbsp; ".join(f'<span style="color:{colour}">{sign}&nbsp;{word}</span>' for sign, word, colour in legend()))
        signs.setProperty("scale", "small")
        signs.setTextFormat(Qt.TextFormat.RichText)
        signs.setAccessibleName(t("Signs of the board"))
        upper = QWidget()
        column = QVBoxLayout(upper)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.problem)
        column.addWidget(self.table, 1)
        column.addWidget(signs)
        self.subject = SubjectPanel(session)
        self.split = QSplitter(Qt.Orientation.Vertical)
        self.split.addWidget(upper)
        self.split.addWidget(self.subject)
        self.split.setStretchFactor(0, 3)
        self.split.setStretchFactor(1, 2)
        self.split.setChildrenCollapsible(False)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 10, 16, 10)
        outer.setSpacing(6)
        outer.addLayout(head)
        outer.addWidget(self.words)
        outer.addWidget(self.split, 1)
        self.table.opened.connect(self._open)
        self.table.stands_on.connect(self._stand_on)
        self.find.textChanged.connect(self._fill)
        self.find.returnPressed.connect(self.table.setFocus)
        self.day.textChanged.connect(self._take_day)
        self.day.returnPressed.connect(self.table.setFocus)
        QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self, self._ask_words, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.calls_only.toggled.connect(self._fill)
        session.board_changed.connect(self._fill)
        self._subject: str | None = None

    def day_problem(self) -> str:
        """What is wrong with the day that was typed; empty where nothing is."""
        text = self.day.text().strip()
        try:
            dt.date.fromisoformat(text or dt.date.today().isoformat())
        except ValueError:
            return t("A day is written YYYY-MM-DD.")
        return ""

    def _take_day(self, text: str) -> None:
        """Whole days only: while one is typed the board stays as it is."""
        if not self.day_problem():
            self.session.set_board_day(dt.date.fromisoformat(text.strip()) if text.strip() else None)
        self._say()

    def _ask_words(self) -> None:
        self.find.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.find.selectAll()

    def entered(self) -> None:
        """The board as of the day that is chosen."""
        self._subject = self._subject or self.session.subject_id
        self.session.watch_board(True)
        self.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def left(self) -> None:
        """Nothing is worked out for nobody."""
        self.session.watch_board(False)

    def _fill(self, *_changed) -> None:
        board = self.session.board
        here = self.table.currentIndex()
        column = here.column() if here.isValid() else SALVAGE_COLUMN
        self.model.show_board(board, words=self.find.text(), calls_only=self.calls_only.isChecked())
        self.problem.show_text(self.session.board_problem)
        self._say()
        if self.model.rows:
            row = self.model.rows.index(self._subject) if self._subject in self.model.rows else 0
            self.table.selectionModel().setCurrentIndex(self.model.index(row, min(column, self.model.columnCount() - 1)), QItemSelectionModel.SelectionFlag.ClearAndSelect)
        else:
            self._stand_on(None)

    def _say(self) -> None:
        """What the board holds, or what is wrong with the day; a day that is not today is marked."""
        board, problem = self.session.board, self.day_problem()
        self.words.setText(problem or ("" if board is None else self._summary(board)))
        set_tone(self.words, "warning" if problem or (board is not None and board.on != dt.date.today()) else "muted")

    def _summary(self, board) -> str:
        salvage = [c for (_, visit), c in board.cells.items() if not visit and c.status == "open"]
        parts = [
            t("subjects: {n}").format(n=len(board.subjects)),
            t("overdue: {n}").format(n=board.count("overdue")),
            t("due: {n}").format(n=board.count("due")),
            t("salvage open: {n}").format(n=len(salvage)),
            (t("as of {day}") if board.on == dt.date.today() else t("as of {day}, not today")).format(day=board.on.isoformat()),
        ]
        return " · ".join(parts)

    def _stand_on(self, subject: str | None) -> None:
        if subject != self._subject or self.session.facts is None or self.session.facts.subject != subject:
            self._subject = subject or self._subject
            self.session.ask_facts(subject)

    def _open(self, cell: Cell) -> None:
        if cell.visit_id is None:
            words = t("{subject}: no salvage visit to open.").format(subject=cell.subject) if not cell.visit else t("{subject} has no pictures of {visit} yet.").format(subject=cell.subject, visit=cell.visit)
            self.session.notice.emit("info", words)
            return
        self.leave.emit()
        self.session.open_from_board(cell.subject, cell.visit_id)
