"""Find studies at a PACS and retrieve them into a subject's visit: what a radiologist knows from every archive's client."""

from __future__ import annotations

import datetime as dt
import math
from importlib import resources
from pathlib import Path

from PySide6.QtCore import QDate, Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDateEdit,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)
from PySide6.QtWidgets import QVBoxLayout as Column
from shiboken6 import isValid

from app.ui.dialogs.pacs_target import TargetFields
from app.ui.dialogs.review_pictures import look_first
from app.ui.models.pacs import DATE_NAMES, MODALITIES, begins, days_of, person, within
from app.ui.text import t
from app.ui.widgets.labels import ElidedLabel, WrapLabel
from app.ui.widgets.palette import ACCENT, BACKGROUND, LINE, PANEL_STYLE
from app.usecases.pacs import Wanted
from dicom_io.peer import Peer, Query, QueryResult
from volumetry.errors import NodusError

ICONS = (Path(str(resources.files("resources"))) / "icons").as_posix()
RESULT, SORT = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
COLUMNS = ("Patient", "Patient ID", "Date", "Modality", "Description", "Accession", "Series", "Images")
WIDTHS = (180, 104, 92, 80, 0, 100, 56, 62)  # 0 takes the rest


# Room between the rows, and date fields like the others.
STYLE = f"""
QTreeView::item {{ padding: 4px 0; }}
QDateEdit {{ background: {BACKGROUND}; border: 1px solid {LINE}; border-radius: 3px; padding: 3px 5px; min-height: 18px; }}
QDateEdit:focus {{ border-color: {ACCENT}; }}
QDateEdit::drop-down {{ border: none; width: 18px; background: transparent; }}
QDateEdit::down-arrow {{ image: url("{ICONS}/arrow-down.svg"); width: 8px; height: 5px; }}
"""


def _looking(session, window: QWidget):
    """Shows what may name somebody before it is imported; the dialog may be closed by then, the window is there. Without any
    such pictures are left out, and told."""

    def look(folder: Path, go_on) -> None:
        if isValid(window):
            look_first(session, window, folder, go_on)
        else:
            go_on({})

    return look


class _Row(QTreeWidgetItem):
    """Studies sort by values, numbers as numbers; series always by their numbers."""

    def __lt__(self, other) -> bool:
        if self.parent() is not None:
            upwards = self.treeWidget().header().sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
            mine, theirs = (math.inf if r.data(0, RESULT).series_number is None else r.data(0, RESULT).series_number for r in (self, other))
            return mine < theirs if upwards else theirs < mine
        column = max(0, self.treeWidget().sortColumn())
        mine, theirs = self.data(column, SORT), other.data(column, SORT)
        return theirs is not None and (mine is None or mine < theirs)


class PacsQueryDialog(QDialog):
    """Stays beside the window; searches and retrieves are jobs. Closing it stops a search, not a retrieve."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.setWindowTitle(t("Query the PACS"))
        self.setStyleSheet(PANEL_STYLE + STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(1080, 640)
        self.setMinimumSize(920, 440)
        self._gone = False
        self._asked: Peer | None = None  # whose answers are shown
        self._job: int | None = None
        self._search = 0
        box = Column(self)
        box.setContentsMargins(16, 14, 16, 14)
        box.setSpacing(10)
        box.addLayout(self._places())
        box.addLayout(self._criteria())
        self.results = self._table()
        box.addWidget(self.results, 1)
        self.state = WrapLabel(t("Fill in what you know and press Search."), tone="muted")
        box.addWidget(self.state)
        box.addLayout(self._target())
        self.finished.connect(self._leave)
        session.jobs.progressed.connect(self._show_job)
        self._fill_peers()
        self._check()
        self.patient_name.setFocus()

    # ---- parts -----------------------------------------------------------------------
    def _places(self) -> QHBoxLayout:
        self.peer = QComboBox()
        self.peer.setMinimumWidth(260)
        self.peer.setAccessibleName(t("PACS"))
        self.peer.currentIndexChanged.connect(self._check)
        self.test_button = self._button(t("&Test"), self._test, t("Ask whether it answers"))
        self.list_button = self._button(t("PACS &list…"), self._edit_list, t("Add, change or remove a PACS"))
        row = QHBoxLayout()
        row.addWidget(self._caption(t("P&ACS"), self.peer))
        row.addWidget(self.peer)
        row.addWidget(self.test_button)
        row.addWidget(self.list_button)
        row.addStretch(1)
        return row

    def _criteria(self) -> QGridLayout:
        self.patient_name, self.patient_id, self.description, self.accession = (QLineEdit() for _ in range(4))
        self.patient_name.setPlaceholderText(t("begins with …  (* and ? allowed)"))
        self.patient_id.setPlaceholderText(t("exactly  (* and ? allowed)"))
        self.description.setPlaceholderText(t("contains …"))
        self.accession.setPlaceholderText(t("exactly"))
        for field in (self.patient_name, self.patient_id, self.description, self.accession):
            field.setMaxLength(60)
            field.returnPressed.connect(self.search)
            field.textChanged.connect(self._check)
        self.modality = QComboBox()
        for name in MODALITIES:
            self.modality.addItem(name or t("Any"), name)
        self.dates = QComboBox()
        for name, title in DATE_NAMES.items():
            self.dates.addItem(t(title), name)
        self.first, self.last = QDateEdit(), QDateEdit()
        for field, day in ((self.first, QDate.currentDate().addMonths(-1)), (self.last, QDate.currentDate())):
            field.setCalendarPopup(True)
            field.setDisplayFormat("yyyy-MM-dd")
            field.setDate(day)
            field.dateChanged.connect(self._check)
        self.first.setAccessibleName(t("First day"))
        self.last.setAccessibleName(t("Last day"))
        self.dates.currentIndexChanged.connect(self._check)
        days = QHBoxLayout()
        days.setSpacing(6)
        days.addWidget(self.dates, 1)
        days.addWidget(self.first)
        days.addWidget(self.last)
        self.search_button = QPushButton(t("Searc&h"))
        self.search_button.setProperty("primary", True)
        self.search_button.setDefault(True)
        self.search_button.clicked.connect(self.search)
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(8)
        for row, column, caption, field in ((0, 0, t("Patient &name"), self.patient_name), (0, 2, t("Patient &ID"), self.patient_id), (0, 4, t("Acce&ssion"), self.accession), (1, 2, t("D&escription"), self.description), (1, 4, t("&Modality"), self.modality)):
            grid.addWidget(self._caption(caption, field), row, column)
            grid.addWidget(field, row, column + 1)
        grid.addWidget(self._caption(t("&Date"), self.dates), 1, 0)
        grid.addLayout(days, 1, 1)
        grid.addWidget(self._button(t("Clea&r"), self._clear, t("Any patient, any date")), 0, 6)
        grid.addWidget(self.search_button, 1, 6)
        for column, share in ((1, 4), (3, 3), (5, 3)):
            grid.setColumnStretch(column, share)
        return grid

    def _table(self) -> QTreeWidget:
        table = QTreeWidget()
        table.setAccessibleName(t("Studies found"))
        table.setHeaderLabels([t(c) for c in COLUMNS])
        table.setAlternatingRowColors(True)
        table.setUniformRowHeights(True)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setSortingEnabled(True)
        header = table.header()
        header.setStretchLastSection(False)
        for n, width in enumerate(WIDTHS):
            header.setSectionResizeMode(n, QHeaderView.ResizeMode.Interactive if width else QHeaderView.ResizeMode.Stretch)
            if width:
                table.setColumnWidth(n, width)
        table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
        table.itemExpanded.connect(self._expand)
        table.itemSelectionChanged.connect(self._check)
        return table

    def _target(self) -> Column:
        self.target = TargetFields(self.session)
        self.subject, self.visit = self.target.subject, self.target.visit
        self.target.changed.connect(self._check)
        self.retrieve_button = QPushButton(t("&Retrieve"))
        self.retrieve_button.setProperty("primary", True)
        self.retrieve_button.setAutoDefault(False)
        self.retrieve_button.clicked.connect(self.retrieve)
        self.close_button = self._button(t("Close"), self.reject)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.target)
        row.addStretch(1)
        row.addWidget(self.close_button)
        row.addWidget(self.retrieve_button)
        self.progress = QProgressBar()
        self.progress.setRange(0, 100)
        self.progress.setTextVisible(False)
        self.progress_text = ElidedLabel("")
        self.cancel_button = self._button(t("&Cancel"), self._cancel, t("What has come is kept for the next try; nothing is imported"))
        self.running = QWidget()
        under_way = QHBoxLayout(self.running)
        under_way.setContentsMargins(0, 0, 0, 0)
        under_way.addWidget(self.progress_text, 2)
        under_way.addWidget(self.progress, 1)
        under_way.addWidget(self.cancel_button)
        self.running.hide()
        self.why_not = WrapLabel(tone="muted", small=True)
        column = Column()
        column.setSpacing(6)
        column.addLayout(row)
        column.addWidget(self.why_not)
        column.addWidget(self.running)
        return column

    def _button(self, text: str, work, tip: str = "") -> QPushButton:
        button = QPushButton(text)
        button.setAutoDefault(False)
        button.setToolTip(tip)
        button.clicked.connect(work)
        return button

    def _caption(self, text: str, field: QWidget) -> QLabel:
        caption = QLabel(text)
        caption.setBuddy(field)
        field.setAccessibleName(text.replace("&", ""))
        return caption

    # ---- which PACS ------------------------------------------------------------------
    def _fill_peers(self, choose: str | None = None) -> None:
        wanted = choose or self.peer.currentText()
        self.peer.blockSignals(True)
        self.peer.clear()
        for peer in self.session.pacs_peers():
            self.peer.addItem(peer.name, peer)
            self.peer.setItemData(self.peer.count() - 1, peer.place, Qt.ItemDataRole.ToolTipRole)
        self.peer.setCurrentIndex(max(0, self.peer.findText(wanted)) if self.peer.count() else -1)
        self.peer.blockSignals(False)
        if not self.peer.count():
            self.state.show_text(t("No PACS is kept yet: press “PACS list…” and enter what its administrator gave you."), "warning")
        self._check()

    def _edit_list(self) -> None:
        from app.ui.dialogs.pacs_peers import PacsPeersDialog

        dialog = PacsPeersDialog(self.session, self.peer.currentText(), self)
        dialog.changed.connect(self._fill_peers)
        dialog.open()

    def _test(self) -> None:
        peer = self.peer.currentData()
        self.state.show_text(t("Asking {name} …").format(name=peer.name), "muted")
        self.session.check_pacs(peer, self._unless_gone(lambda seconds: self.state.show_text(t("{name} answers ({seconds:.2f} s).").format(name=peer.name, seconds=seconds), "good")), self._unless_gone(self._refused))

    # ---- searching -------------------------------------------------------------------
    def query(self) -> Query:
        """What is typed. Raises ``NodusError`` where it cannot be asked."""
        first, last = days_of(self.dates.currentData(), dt.date.today(), self.first.date().toPython(), self.last.date().toPython())
        return Query(self.patient_id.text().strip(), begins(self.patient_name.text()), first, last, self.modality.currentData(), within(self.description.text()), accession=self.accession.text().strip())

    def _clear(self) -> None:
        for field in (self.patient_name, self.patient_id, self.accession, self.description):
            field.clear()
        self.modality.setCurrentIndex(0)
        self.dates.setCurrentIndex(0)
        self.patient_name.setFocus()

    def search(self) -> None:
        """Ask for studies; the answer replaces what is shown."""
        peer = self.peer.currentData()
        if peer is None:
            return
        try:
            query = self.query()
        except NodusError as refusal:
            self._refused(refusal)
            return
        self._search += 1
        search = self._search
        self.results.clear()
        self._asked = peer
        self.state.show_text(t("Searching {name} …").format(name=peer.name), "muted")
        self._check()
        self.session.find_in_pacs(peer, query, self._unless_gone(lambda answer: self._show(answer) if search == self._search else None), self._unless_gone(self._refused))

    def _show(self, answer) -> None:
        self.results.setSortingEnabled(False)
        for result in answer.results:
            row = self._row(result)
            self.results.addTopLevelItem(row)
            row.setChildIndicatorPolicy(QTreeWidgetItem.ChildIndicatorPolicy.ShowIndicator)
        self.results.setSortingEnabled(True)
        count = len(answer.results)
        if answer.more:
            self.state.show_text(t("The first {count} studies; there are more. Narrow the search.").format(count=count), "warning")
        elif count:
            self.state.show_text(t("{count} studies. Choose studies or, after opening one, series.").format(count=count) if count > 1 else t("1 study. Choose it or, after opening it, some of its series."), "")
        else:
            self.state.show_text(t("Nothing was found."), "warning")
        self._check()

    def _row(self, result: QueryResult) -> _Row:
        is_study = result.level == "study"
        number = result.series_number
        values = (
            (person(result.patient_name) if is_study else t("Series {number}").format(number="–" if number is None else number)),
            result.patient_id if is_study else "",
            (result.study_date or "") if is_study else "",
            result.modality.replace("\\", " "),
            result.description,
            result.accession,
            result.series_count if is_study else None,
            result.instance_count,
        )
        row = _Row([("" if v is None else str(v)) for v in values])
        for n, value in enumerate(values):
            row.setData(n, SORT, value.casefold() if isinstance(value, str) else value)
            row.setToolTip(n, str(value) if isinstance(value, str) and value else "")
            if n >= COLUMNS.index("Series"):
                row.setTextAlignment(n, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.setData(0, RESULT, result)
        return row

    def _expand(self, row: QTreeWidgetItem) -> None:
        """Ask for the series of a study, once."""
        study = row.data(0, RESULT)
        if row.childCount() or study is None or study.level != "study":
            return
        waiting = QTreeWidgetItem([t("Asking for its series …")])
        waiting.setFlags(Qt.ItemFlag.ItemIsEnabled)
        row.addChild(waiting)
        search = self._search

        def show(answer) -> None:
            if search == self._search:
                row.takeChildren()
                row.addChildren([self._row(r) for r in answer.results])
                row.sortChildren(0, self.results.header().sortIndicatorOrder())

        def refused(refusal: NodusError) -> None:
            if search == self._search:
                row.takeChildren()
                row.setExpanded(False)
                self._refused(refusal)

        self.session.find_in_pacs(self._asked, Query(study_uid=study.study_uid, limit=5000), self._unless_gone(show), self._unless_gone(refused))

    # ---- retrieving ------------------------------------------------------------------
    def chosen(self) -> list[QueryResult]:
        """Selected studies and series; a series of a selected study is in it already."""
        found = [r for r in (row.data(0, RESULT) for row in self.results.selectedItems()) if r is not None]
        whole = {r.study_uid for r in found if r.level == "study"}
        return [r for r in found if r.level == "study" or r.study_uid not in whole]

    def _patients(self) -> set[tuple[str, str]]:
        patients = set()
        for row in self.results.selectedItems():
            study = (row.parent() or row).data(0, RESULT)
            if study is not None:
                patients.add((study.patient_id, study.patient_name))
        return patients

    def problem(self) -> str:
        """What keeps the selection from being retrieved; empty when nothing does."""
        if self._job is not None:
            return t("A retrieve is under way.")
        if self.session.study is None:
            return t("Open or make a study first; pictures are retrieved into it.")
        if not self.chosen():
            return t("Choose one or more studies or series.")
        if len(self._patients()) > 1:
            return t("The selection holds pictures of several patients. Choose those of one.")
        return self.target.problem()

    def _check(self, *_changed) -> None:
        problem = self.problem()
        self.retrieve_button.setEnabled(not problem)
        has_peer = self.peer.currentData() is not None
        self.search_button.setEnabled(has_peer)
        self.test_button.setEnabled(has_peer)
        between = self.dates.currentData() == "between"
        self.first.setVisible(between)
        self.last.setVisible(between)
        if problem:
            self.why_not.show_text(problem, "muted")
            return
        ((patient_id, name),) = self._patients()
        chosen = self.chosen()
        studies = sum(r.level == "study" for r in chosen)
        what = " + ".join(x for x in (t("{count} studies").format(count=studies) if studies > 1 else t("1 study") if studies else "", t("{count} series").format(count=len(chosen) - studies) if len(chosen) > studies else "") if x)
        self.why_not.show_text(
            t("{what} of {name} ({id}) into {subject}, {visit}. The study keeps a copy without identifying header values.").format(
                what=what, name=person(name) or t("a patient without a name"), id=patient_id or t("no ID"), subject=self.target.subject_id, visit=self.target.visit_name
            ),
            "",
        )

    def retrieve(self) -> None:
        """Fetch what is chosen, then import it; two jobs."""
        if self.problem() or self._asked is None:
            return
        wanted = [Wanted(r.study_uid, r.series_uid) for r in self.chosen()]
        self.state.show_text(t("Retrieving from {name} …").format(name=self._asked.name), "muted")
        self._job = self.session.retrieve_from_pacs(self._asked, wanted, self.target.subject_id, self.target.visit_name, self._unless_gone(self._refused, or_else=self.session._on_refused), _looking(self.session, self.parentWidget() or self), self._unless_gone(self._imported))
        self.running.setVisible(self._job is not None)
        self._check()

    def _imported(self, result) -> None:
        self.state.show_text(t("{n} series imported.").format(n=len(result.series)), "good")

    def _cancel(self) -> None:
        if self._job is not None:
            self.progress_text.setText(t("Stopping …"))
            self.state.show_text(t("Stopped. What has come is kept for the next try; nothing was imported."), "warning")
            self.session.jobs.cancel(self._job)

    def _show_job(self, event) -> None:
        if event.job_id != self._job:
            return
        if event.finished:
            self._job = None
            self.running.hide()
            if self.state.property("tone") == "muted":
                self.state.show_text(t("All pictures have come; they are being imported."), "good")
            self._check()
            return
        self.progress.setRange(0, 0 if event.fraction is None else 100)
        if event.fraction is not None:
            self.progress.setValue(round(100 * event.fraction))
        self.progress_text.setText(t(event.message or event.title))

    # ---- end -------------------------------------------------------------------------
    def _refused(self, refusal: NodusError) -> None:
        self.state.show_text(refusal.message + (f" {refusal.hint}" if refusal.hint else ""), "danger")
        self._check()

    def _unless_gone(self, work, or_else=None):
        """``work``, unless the dialog was closed meanwhile; then ``or_else``."""

        def call(value) -> None:
            if not self._gone:
                work(value)
            elif or_else is not None:
                or_else(value)

        return call

    def _leave(self, *_how) -> None:
        self._gone = True
        self.session.stop_pacs_search()
