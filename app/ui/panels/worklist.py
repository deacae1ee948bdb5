"""The reader's worklist, and the node map that a blinded reader has in place of the visits."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QImage, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from app.study.worklist import DONE
from app.ui.models.worklist import MapEntry, columns, node_map
from app.ui.style import MUTED, pixel_font
from app.ui.text import t
from app.ui.widgets.fill_table import FillTable
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import PANEL_STYLE

NEXT_KEY = "F4"
ICON_PX = 64
MAP_KEY = "node_map"


class WorklistView(QWidget):
    """Cases in the reader's own order; Enter opens the one that is chosen, one key the next."""

    leave = Signal()

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.setStyleSheet(PANEL_STYLE)
        self.title = QLabel(t("Worklist"))
        self.title.setProperty("scale", "big")
        self.words = WrapLabel("", tone="muted")
        self.close_button = QPushButton(t("Back (Esc)"))
        self.close_button.clicked.connect(self.leave)
        self.next_button = QPushButton("")
        self.next_button.setProperty("primary", True)
        self.next_button.clicked.connect(session.open_next_case)
        self.table: FillTable | None = None
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.next_button)
        head.addWidget(self.close_button)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(20, 14, 20, 14)
        self.column.setSpacing(8)
        self.column.addLayout(head)
        self.column.addWidget(self.words)
        self.column.addStretch(1)
        self._blinded: bool | None = None
        self._takes_focus = False  # once the list is there
        session.worklist_changed.connect(self.show_list)
        self.show_list()

    def entered(self) -> None:
        """The list as it is now."""
        self._takes_focus = True
        self.session.ask_worklist()
        self.show_list()

    def left(self) -> None:
        """The focus goes elsewhere."""
        self._takes_focus = False

    def show_list(self) -> None:
        """Fill the table; say how many are left."""
        s = self.session
        items, blinded = s.worklist, s.is_blinded
        self._make_table(items, blinded)
        self.table.setVisible(bool(items))
        here = s.case_item
        self.table.set_rows(items, lambda item: item.visit_id == (here.visit_id if here is not None else (s.next_item() or item).visit_id))
        left = sum(i.state != DONE for i in items)
        if s.worklist_problem or not items:
            self.words.show_text(s.worklist_problem or t("Nothing to read: no visit has pictures yet."))
        else:
            in_turn = blinded and s.reads_in_sequence
            order = t("Cases in your own random order, their visits one after the other.") if in_turn else t("In your own random order, drawn once and kept in the audit trail.") if blinded else t("The nearest salvage deadline first.")
            self.words.show_text(t("{n} of {m} visits to read.").format(n=left, m=len(items)) + " " + order)
        following = s.next_item()
        self.next_button.setText(t("Next case ({key})").format(key=NEXT_KEY))
        self.next_button.setToolTip("" if following is None else f"{following.case} · {following.visit}")
        self.next_button.setEnabled(following is not None)
        if self._takes_focus and items:
            self._takes_focus = False
            self.table.setFocus(Qt.FocusReason.OtherFocusReason)

    def _make_table(self, items, blinded: bool) -> None:
        before = self.table
        wanted = columns(items, blinded=blinded)
        titles = [c.title for c in wanted]
        if before is not None and blinded == self._blinded and titles == [c.title for c in before.model_.columns] and [i.visit_id for i in items] == [i.visit_id for i in before.model_.rows]:
            return
        focused = before is not None and before.hasFocus()
        table = FillTable(wanted, t("Worklist"), row_height=28)
        table.setStyleSheet("QTableView#ValueTable { font-size: 12px; } QTableView#ValueTable::item { padding-left: 8px; padding-right: 8px; } QTableView#ValueTable QHeaderView::section { padding-left: 8px; padding-right: 8px; }")
        table.activated_row.connect(lambda item: item is not None and self.session.open_case(item))
        if before is None:
            self.column.insertWidget(2, table, 100)
        else:
            self.column.replaceWidget(before, table)
            before.deleteLater()
        self.table, self._blinded = table, blinded
        if focused:
            table.setFocus(Qt.FocusReason.OtherFocusReason)


class NodeMap(QWidget):
    """Side, level, number and a small picture with an arrow of each node of the case; no volumes, no outlines."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.entries: list[MapEntry] = []
        self._of: tuple | None = None
        title = QLabel(t("Node map"))
        title.setProperty("role", "section")
        title.setToolTip(t("Where each node lay at the first visit; nothing else of other visits is shown"))
        self.list = QListWidget()
        self.list.setAccessibleName(t("Node map"))
        self.list.setIconSize(QSize(ICON_PX, ICON_PX))
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemClicked.connect(lambda item: session.select_node(item.data(Qt.ItemDataRole.UserRole)))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(title)
        column.addWidget(self.list)
        for signal in (session.study_changed, session.nodes_changed, session.user_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Ask for the map of another case, or after a node was added."""
        s = self.session
        self.setVisible(s.is_blinded and s.subject_id is not None)
        if not (s.is_blinded and s.subject_id is not None):
            self._of, self.entries = None, []
            self.list.clear()
            return
        of = (s.study, s.subject_id, tuple((n.node_id, n.side, n.level) for n in s.subject_nodes))
        if of == self._of:
            return
        self._of = of
        store, subject = s.study, s.subject_id

        def done(entries: list[MapEntry]) -> None:
            if self._of == of:
                self._show(entries)

        s.jobs.start("Fetching the node map", lambda context: node_map(store, subject, context), key=MAP_KEY, quiet=True, on_done=done)

    def _show(self, entries: list[MapEntry]) -> None:
        self.entries = entries
        self.list.clear()
        for entry in entries:
            item = QListWidgetItem(QIcon(arrowed(entry.picture)), f"{entry.label}\n{t(entry.side)} {entry.level}")
            item.setData(Qt.ItemDataRole.UserRole, entry.node_id)
            item.setToolTip(entry.words + ("" if entry.picture is not None else "\n" + t("No picture: its place was not kept, or the first visit does not hold it.")))
            self.list.addItem(item)
        self.list.setFixedHeight(min(5, max(1, len(entries))) * (ICON_PX + 12) + 4)


def arrowed(picture: np.ndarray | None) -> QPixmap:
    """The picture with an arrow at its middle; a dash where there is none."""
    size = 2 * ICON_PX
    made = QPixmap(size, size)
    made.setDevicePixelRatio(2.0)
    made.fill(QColor("#0A0C0D"))
    painter = QPainter(made)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if picture is None:
        painter.setPen(QColor(MUTED))
        painter.setFont(pixel_font(14, bold=True))
        painter.drawText(0, 0, ICON_PX, ICON_PX, Qt.AlignmentFlag.AlignCenter, "–")
    else:
        grey = np.ascontiguousarray(picture)
        height, width = grey.shape
        painter.drawImage(made.rect().adjusted(0, 0, -ICON_PX, -ICON_PX), QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8))
        _arrow(painter, ICON_PX / 2.0)
    painter.end()
    return made


def _arrow(painter: QPainter, middle: float) -> None:
    """An arrow from the lower left whose point ends beside the middle."""
    angle = math.radians(135.0)
    tip = QPointF(middle + 4.0 * math.cos(angle), middle + 4.0 * math.sin(angle))
    tail = QPointF(middle + 24.0 * math.cos(angle), middle + 24.0 * math.sin(angle))
    wings = [QPointF(tip.x() + 8.0 * math.cos(angle + turn), tip.y() + 8.0 * math.sin(angle + turn)) for turn in (-0.45, 0.45)]
    for colour, width in (("#000000", 4.0), ("#F5F0A0", 2.0)):
        painter.setPen(QPen(QColor(colour), width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawLine(tail, tip)
        for wing in wings:
            painter.drawLine(wing, tip)
