"""The rail at the left: visits with the state of their readings, series with thumbnails."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QIcon, QImage, QPainter, QPixmap
from PySide6.QtWidgets import QLabel, QListWidget, QListWidgetItem, QMenu, QToolButton, QVBoxLayout, QWidget

from app.study.model import ReadingState
from app.ui.panels.worklist import NodeMap
from app.ui.style import MUTED, pixel_font
from app.ui.text import t

THUMB = QSize(44, 34)
ID = Qt.ItemDataRole.UserRole


class Rail(QWidget):
    """Choosing a visit or a series opens it; a visit can also be laid beside the one on screen."""

    def __init__(self, session, parent=None):
        super().__init__(parent)
        self.session = session
        self.setObjectName("rail")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(176)
        self._thumbs: dict[str, QPixmap] = {}
        self._asked: set[str] = set()
        self.visits = self._list(t("Visits"))
        self.series = self._list(t("Series"))
        self.series.setIconSize(THUMB)
        self.series.setWordWrap(True)
        self.empty = QLabel(t("No study is open.\n\nStudy ▾ opens the demonstration case, a study or a folder of images."))
        self.empty.setWordWrap(True)
        self.empty.setProperty("role", "hint")
        self._titles = []
        box = QVBoxLayout(self)
        box.setContentsMargins(8, 8, 4, 8)
        box.setSpacing(4)
        self.node_map = NodeMap(session)
        box.addWidget(self.node_map)
        for title, widget, stretch in ((t("Visits"), self.visits, 0), (t("Series"), self.series, 1)):
            label = QLabel(title)
            label.setProperty("role", "section")
            self._titles.append(label)
            box.addWidget(label)
            box.addWidget(widget, stretch)
            if widget is self.visits:
                box.addWidget(self._compare_button())
        box.addWidget(self.empty)
        self._rest = QWidget()
        box.addWidget(self._rest, 1)
        self.visits.itemActivated.connect(self._visit_chosen)
        self.visits.itemClicked.connect(self._visit_chosen)
        self.series.itemActivated.connect(self._series_chosen)
        self.series.itemClicked.connect(self._series_chosen)
        for signal in (session.study_changed, session.visit_changed, session.readings_changed, session.nodes_changed):
            signal.connect(self.refresh)
        self.visits.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.visits.customContextMenuRequested.connect(self._visit_menu)
        session.comparison_changed.connect(self.refresh)
        session.image_changed.connect(self._opened)
        session.picture_changed.connect(self._opened)
        self.refresh()

    def _list(self, name: str) -> QListWidget:
        widget = QListWidget()
        widget.setAccessibleName(name)
        widget.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        widget.setTextElideMode(Qt.TextElideMode.ElideRight)
        return widget

    # ---- visits ----------------------------------------------------------------------
    def visit_state(self, visit_id: str) -> tuple[str, str]:
        """(mark, what it means): how many of the subject's nodes have a locked reading at a visit."""
        nodes = {n.node_id for n in self.session.subject_nodes}
        readings = [r for r in self.session.subject_readings if r.visit_id == visit_id and r.state != ReadingState.SUPERSEDED]
        locked = {r.node_id for r in readings if r.state == ReadingState.LOCKED} & nodes
        started = {r.node_id for r in readings} & nodes
        if nodes and locked == nodes:
            return "✓", t("every node has a locked reading")
        if started:
            return f"{len(locked)}/{len(nodes)}", t("{n} of {m} nodes have a locked reading").format(n=len(locked), m=len(nodes))
        return ("!", t("no reading yet")) if nodes else ("", t("no nodes yet"))

    def refresh(self) -> None:
        """Build both lists anew."""
        s = self.session
        shown = bool(s.visits)
        self._fill_visits()
        self._fill_series()
        for widget in (*self._titles, self.visits, self.series):
            widget.setVisible(shown)
        if s.is_blinded and not s.reads_in_sequence:  # other visits do not exist
            self._titles[0].hide()
            self.visits.hide()
        self._offer_comparison()
        self.empty.setVisible(not shown)
        self._rest.setVisible(not shown)

    def _fill_visits(self) -> None:
        self.visits.blockSignals(True)
        self.visits.clear()
        for visit in self.session.visits:
            mark, meaning = self.visit_state(visit.visit_id)
            beside = self.session.comparison is not None and self.session.comparison.visit.visit_id == visit.visit_id
            item = QListWidgetItem(f"{visit.name}   {mark}".rstrip() + ("  ⇄" if beside else ""))
            item.setData(ID, visit.visit_id)
            item.setToolTip(f"{visit.name}: {meaning}" + (f"\n{visit.actual_date}" if visit.actual_date else ""))
            self.visits.addItem(item)
            if self.session.visit is not None and visit.visit_id == self.session.visit.visit_id:
                self.visits.setCurrentItem(item)
        self.visits.blockSignals(False)
        rows = min(8, max(1, self.visits.count()))
        self.visits.setFixedHeight(rows * max(24, self.visits.sizeHintForRow(0)) + 4)

    def _visit_chosen(self, item: QListWidgetItem) -> None:
        visit_id = item.data(ID)
        if self.session.visit is None or visit_id != self.session.visit.visit_id:
            self.session.open_visit(visit_id)

    # ---- comparison ------------------------------------------------------------------
    def _compare_button(self) -> QToolButton:
        self.compare = QToolButton()
        self.compare.setText(t("Compare with") + " ▾")
        self.compare.setAccessibleName(t("Compare with another visit"))
        self.compare.setToolTip(t("Another visit beside the one on screen, registered and linked (Ctrl+Alt+B)"))
        self.compare.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.compare.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.compare.setMenu(QMenu(self.compare))
        return self.compare

    def _offer_comparison(self) -> None:
        """Visits that can be laid beside; no button where there are none or the protocol forbids it."""
        offered, c = self.session.comparable_visits(), self.session.comparison
        menu = self.compare.menu()
        menu.clear()
        for visit in offered:
            entry = menu.addAction(visit.name)
            entry.setCheckable(True)
            entry.setChecked(c is not None and c.visit.visit_id == visit.visit_id)
            entry.triggered.connect(lambda _checked=False, visit_id=visit.visit_id: self.session.compare_with(visit_id))
        if c is not None:
            menu.addSeparator()
            menu.addAction(t("End the comparison")).triggered.connect(self.session.end_comparison)
        self.compare.setVisible(bool(offered))

    def _visit_menu(self, place) -> None:
        """What can be done with the visit under the mouse."""
        item = self.visits.itemAt(place)
        if item is None:
            return
        self.menu = QMenu(self)
        self.menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.menu.addAction(t("Open this visit")).triggered.connect(lambda: self._visit_chosen(item))
        if any(v.visit_id == item.data(ID) for v in self.session.comparable_visits()):
            visit_id = item.data(ID)
            self.menu.addAction(t("Compare with the visit on screen")).triggered.connect(lambda: self.session.compare_with(visit_id))
        self.menu.popup(self.visits.viewport().mapToGlobal(place))

    # ---- series ----------------------------------------------------------------------
    def _fill_series(self) -> None:
        self.series.blockSignals(True)
        self.series.clear()
        for record in sorted(self.session.series, key=lambda r: (r.kind != "volume", r.description)):
            name = t(record.description or "series")
            item = QListWidgetItem(QIcon(self._thumb(record)), f"{record.modality} · {name}")
            item.setData(ID, record.series_id)
            item.setToolTip(f"{record.modality} · {name}\n{t(record.kind)}, " + t("{n} files").format(n=len(record.files)) + "".join(f"\n! {t(f['message'])}" for f in record.findings))
            self.series.addItem(item)
            if record.series_id == self.session.current_series_id:
                self.series.setCurrentItem(item)
        self.series.blockSignals(False)

    def _series_chosen(self, item: QListWidgetItem) -> None:
        if item.data(ID) != self.session.current_series_id or self.session.picture is not None or self.session.image is None:
            self.session.open_series(item.data(ID))

    def _opened(self) -> None:
        """The open series now shows its own picture."""
        self._fill_series()
        self._offer_comparison()

    def _thumb(self, record) -> QPixmap:
        if record.series_id in self._thumbs:
            return self._thumbs[record.series_id]
        if record.series_id not in self._asked and self.session.study is not None:
            self._asked.add(record.series_id)
            from app.usecases.thumbnail import thumbnail

            store = self.session.study
            self.session.jobs.start(
                t("Thumbnail"), lambda _: (record.series_id, thumbnail(store, record, (THUMB.height() * 2, THUMB.width() * 2))),
                quiet=True, on_done=self._take_thumb, on_refused=lambda _error: None,
            )  # fmt: skip
        return self._letters(record.modality)

    def _take_thumb(self, result) -> None:
        series_id, grey = result
        h, w = grey.shape
        grey = np.ascontiguousarray(grey)
        picture = QPixmap.fromImage(QImage(grey.data, w, h, w, QImage.Format.Format_Grayscale8).copy())
        picture.setDevicePixelRatio(2.0)
        self._thumbs[series_id] = picture
        for row in range(self.series.count()):
            if self.series.item(row).data(ID) == series_id:
                self.series.item(row).setIcon(QIcon(picture))

    def _letters(self, modality: str) -> QPixmap:
        """What stands in until the thumbnail is there, or where there is none."""
        picture = QPixmap(THUMB * 2)
        picture.setDevicePixelRatio(2.0)
        picture.fill(QColor("#0A0C0D"))
        painter = QPainter(picture)
        painter.setPen(QColor(MUTED))
        painter.setFont(pixel_font(12, bold=True))
        painter.drawText(0, 0, THUMB.width(), THUMB.height(), Qt.AlignmentFlag.AlignCenter, modality)
        painter.end()
        return picture
