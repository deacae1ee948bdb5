"""The cohort in a window of its own: filters above, figures in the middle, tables below. It stays open beside the pictures."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLabel, QPushButton, QSplitter, QStyledItemDelegate, QTabWidget, QVBoxLayout, QWidget

from app.ui.models.cohort import counts_words, endpoint_columns, node_columns, notes_words, reader_words, subject_columns, what_is_shown
from app.ui.text import t
from app.ui.views.cohort_filters import CohortFilters
from app.ui.widgets.box_plot import BoxPlot
from app.ui.widgets.cohort_figure import CohortFigure
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import ACCENT, BACKGROUND, LINE, MUTED, PANEL, PANEL_STYLE, TEXT
from app.ui.widgets.spider import Spider
from app.ui.widgets.survival_plot import SurvivalPlot
from app.ui.widgets.tables import ValueTable
from app.ui.widgets.waterfall import Waterfall
from app.usecases.cohort import CohortRow
from app.usecases.cohort_tables import TIME_KINDS, figure_tables, tab_text

STYLE = f"""
QDialog#CohortWindow {{ background: {PANEL}; }}
QTabWidget::pane {{ border: none; }}
QTabBar::tab {{ background: {PANEL}; color: {MUTED}; border: 1px solid {LINE}; border-bottom: none; padding: 7px 14px; }}
QTabBar::tab:selected {{ background: {BACKGROUND}; color: {TEXT}; border-top: 2px solid {ACCENT}; }}
QTabBar::tab:hover, QTabBar::tab:focus {{ color: {ACCENT}; }}
QTableView#ValueTable::item {{ padding-left: 4px; padding-right: 4px; }}
QTableView#ValueTable QHeaderView::section {{ padding: 3px 8px; }}
"""


def _in_no_endpoint() -> str:
    return t("This reader's readings are in no endpoint: only locked central readings are.")


class MiddleDelegate(QStyledItemDelegate):
    """A cell that is shortened in its middle."""

    def initStyleOption(self, option, index) -> None:
        """As usual, but for the ellipsis."""
        super().initStyleOption(option, index)
        option.textElideMode = Qt.TextElideMode.ElideMiddle


class FillTable(ValueTable):
    """A table that takes the room it is given."""

    def __init__(self, columns, name: str):
        super().__init__(columns, name)
        self.setMinimumHeight(90)

    def _fit(self) -> None:
        self._share_width()


class CohortWindow(QDialog):
    """All subjects together. It asks the session, which works beside the window; Esc closes it, nothing is lost."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.setObjectName("CohortWindow")
        self.setWindowTitle(t("Cohort"))
        self.setStyleSheet(PANEL_STYLE + STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint, True)
        self.filters = CohortFilters(session)
        self.words = WrapLabel()
        self.notes = WrapLabel(tone="warning", small=True)
        self.waterfall, self.spider, self.box_plot, self.survival = Waterfall(), Spider(), BoxPlot(), SurvivalPlot()
        self.nodes = FillTable(node_columns(), t("Nodes at the visit"))
        self.subjects = FillTable(subject_columns(), t("Subjects at the visit"))
        self.endpoints = FillTable(endpoint_columns(), t("Endpoint tables of the whole study"))
        self.endpoints.setItemDelegateForColumn(0, MiddleDelegate(self.endpoints))  # titles differ at their end
        self.figures, self.tables = QTabWidget(), QTabWidget()
        for figure, title in ((self.waterfall, t("Waterfall")), (self.spider, t("Spider")), (self.box_plot, t("Box plot")), (self.survival, t("Survival"))):
            self.figures.addTab(figure, title)
        for page, title in ((self.nodes, t("Nodes")), (self.subjects, t("Subjects")), (self._endpoint_page(), t("Endpoint tables"))):
            self.tables.addTab(page, title)
        self._stale: set[QWidget] = set()
        self._build()
        self.figures.currentChanged.connect(lambda _n: self._draw())
        self.tables.currentChanged.connect(lambda _n: self._draw())
        self.nodes.chosen.connect(lambda row: self._highlight(row))
        self.nodes.activated_row.connect(self._open_row)
        session.cohort_changed.connect(self.refresh)
        session.study_changed.connect(self._still_allowed)
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)
        self._fit_to_screen()
        self.refresh()

    def _endpoint_page(self) -> QWidget:
        """The endpoint tables, with a line where there are none."""
        self.no_endpoint = WrapLabel(tone="muted")
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.no_endpoint)
        column.addWidget(self.endpoints, 1)
        return page

    def current_table(self) -> FillTable:
        """The table on screen."""
        return (self.nodes, self.subjects, self.endpoints)[self.tables.currentIndex()]

    def _build(self) -> None:
        self.copy_figure = self._button(t("Copy numbers"), t("Copy the numbers of this figure as a table"), self.copy_numbers)
        self.csv_figure = self._button(t("Numbers (CSV)…"), t("Write the numbers of this figure as CSV"), lambda: self._ask_folder(self.current_figure().table_names))
        self.picture_figure = self._button(t("Picture (PNG)…"), t("Write this figure as it is on screen"), self.ask_picture)
        self.copy_table = self._button(t("Copy table"), t("Copy this table; Ctrl+C copies the chosen rows"), lambda: self.current_table().copy_all())
        self.csv_all = self._button(t("All numbers (CSV)…"), t("Write every table and figure as CSV into a folder"), lambda: self._ask_folder(None))
        for tabs, buttons in ((self.figures, (self.copy_figure, self.csv_figure, self.picture_figure)), (self.tables, (self.copy_table, self.csv_all))):
            corner = QWidget()
            row = QHBoxLayout(corner)
            row.setContentsMargins(0, 0, 6, 3)
            row.setSpacing(4)
            for button in buttons:
                row.addWidget(button)
            tabs.setCornerWidget(corner, Qt.Corner.TopRightCorner)
        self.split = QSplitter(Qt.Orientation.Vertical)
        self.split.addWidget(self.figures)
        self.split.addWidget(self.tables)
        self.split.setChildrenCollapsible(False)
        self.split.setStretchFactor(0, 3)
        self.split.setStretchFactor(1, 2)
        self.split.setSizes([620, 380])
        self.state = QLabel()
        self.state.setProperty("tone", "muted")
        self.state.setProperty("scale", "small")
        self.state.setSizePolicy(self.words.sizePolicy())
        whole = QVBoxLayout(self)
        whole.setContentsMargins(8, 8, 8, 6)
        whole.setSpacing(5)
        for part in (self.filters, self.words, self.notes):
            whole.addWidget(part)
        whole.addWidget(self.split, 1)
        whole.addWidget(self.state)

    @staticmethod
    def _button(text: str, tip: str, do) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _checked=False: do())
        return button

    def _fit_to_screen(self) -> None:
        room = self.screen().availableGeometry()
        self.resize(min(1500, room.width() - 40), min(980, room.height() - 60))

    # ---- showing ------------------------------------------------------------------------------
    def showEvent(self, event) -> None:
        """Looked at: worked out from now on."""
        super().showEvent(event)
        self.session.watch_cohort(True)

    def done(self, result: int) -> None:
        """Closed: nothing is worked out any more."""
        self.session.watch_cohort(False)
        super().done(result)

    def _still_allowed(self) -> None:
        """Another study, or somebody else at work: what must not be seen is not on screen a moment longer."""
        if not self.session.may_see_cohort():
            self.close()

    def refresh(self) -> None:
        """Draw what the session has worked out."""
        shown = self.session.cohort_shown
        self.filters.refresh()
        for button in (self.copy_figure, self.csv_figure, self.picture_figure, self.copy_table, self.csv_all):
            button.setEnabled(shown is not None)
        if shown is None:
            self.words.setText(self.session.cohort_problem or t("Working out the cohort…"))
            self.notes.show_text("")
            for figure in (self.waterfall, self.spider, self.box_plot, self.survival):
                figure.clear()
            for table in (self.nodes, self.subjects, self.endpoints):
                table.set_rows([])
            self.state.setText("")
            return
        view = shown.view
        self.words.setText(counts_words(view))
        self.notes.show_text(notes_words(view))
        self._stale = {self.waterfall, self.spider, self.box_plot, self.survival, self.nodes, self.subjects, self.endpoints}
        self._draw()
        as_of = view.cohort.as_of
        self.state.setText(
            t("Protocol {protocol} · as of {date} · endpoint tables and survival are of the whole study · worked out in {s} s").format(
                protocol=view.cohort.protocol.stamp, date=as_of.isoformat() if as_of else "–", s=f"{shown.seconds:.2f}"
            )
        )

    def _draw(self) -> None:
        """Fill what is on screen and was not filled yet; the other pages wait until somebody turns to them."""
        shown = self.session.cohort_shown
        if shown is None:
            return
        view = shown.view
        what, note, reader = what_is_shown(view), notes_words(view), reader_words(view.chosen.reader)
        over = what_is_shown(view, at_visit=False) + " · " + t("nodes of the table below")
        fill = {
            self.waterfall: lambda: self.waterfall.show_rows(view.bars, f"{self.waterfall.name} · {what}", note),
            self.spider: lambda: self.spider.show_lines(view.lines, f"{self.spider.name} · {over}", note),
            self.box_plot: lambda: self.box_plot.show_boxes(view.boxes, f"{self.box_plot.name} · {over}", note),
            self.survival: lambda: self.survival.show_curves(shown.survival, f"{self.survival.name} · {reader}", self._why_no_survival()),
            self.nodes: lambda: self.nodes.set_rows(view.table),
            self.subjects: lambda: self.subjects.set_rows(view.subjects),
            self.endpoints: lambda: self._fill_endpoints(shown.lines),
        }
        for part in (self.figures.currentWidget(), self.current_table()):
            if part in self._stale:
                self._stale.discard(part)
                fill[part]()

    def _fill_endpoints(self, lines) -> None:
        self.endpoints.set_rows(lines)
        stated = self.session.cohort_shown.view.cohort.protocol.endpoints
        self.no_endpoint.show_text("" if lines else _in_no_endpoint() if stated else t("The protocol of this study states no endpoint."))

    def _why_no_survival(self) -> str:
        kinds = {e["kind"] for e in self.session.cohort_shown.view.cohort.protocol.endpoints}
        return _in_no_endpoint() if kinds & set(TIME_KINDS) else t("The protocol of this study states no endpoint in time.")

    def _highlight(self, row: CohortRow) -> None:
        for figure in (self.waterfall, self.spider):
            figure.highlight(row.node_id)

    def _open_row(self, row: CohortRow) -> None:
        """Enter or a double click: the subject and the visit in the main window."""
        shown, session = self.session.cohort_shown, self.session
        visit = shown.view.cohort.scans.get((row.subject, row.visit)) if shown is not None else None
        if session.subject_id != row.subject:
            session.select_subject(row.subject)
        if visit is not None and (session.visit is None or session.visit.visit_id != visit.visit_id):
            session.open_visit(visit.visit_id)

    # ---- out ----------------------------------------------------------------------------------
    def current_figure(self) -> CohortFigure:
        """The figure on screen."""
        return self.figures.currentWidget()

    def copy_numbers(self) -> None:
        """The numbers of the figure on screen, on the clipboard."""
        shown = self.session.cohort_shown
        if shown is None:
            return
        every = figure_tables(shown.view)
        QGuiApplication.clipboard().setText("\n\n".join(tab_text(every[name]) for name in self.current_figure().table_names))
        self.state.setText(t("Copied {n} rows.").format(n=sum(len(every[name][1]) for name in self.current_figure().table_names)))

    def _ask_folder(self, only: tuple[str, ...] | None) -> None:
        dialog = QFileDialog(self, t("Folder for the numbers"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda folder: self.session.save_cohort(folder, only))
        dialog.open()

    def ask_picture(self) -> None:
        """Where the picture of the figure goes."""
        dialog = QFileDialog(self, t("Picture of the figure"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter("PNG (*.png)")
        dialog.setDefaultSuffix("png")
        dialog.selectFile(f"{self.figures.tabText(self.figures.currentIndex()).lower().replace(' ', '-')}.png")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.save_picture)
        dialog.open()

    def save_picture(self, path) -> None:
        """Write the figure as it is on screen; a job."""
        image = self.current_figure().picture().toImage()

        def work(_context) -> Path:
            from app.ui.views.cohort_filters import write_png

            return write_png(image, Path(path))

        self.session.jobs.start(t("Writing the picture"), work, write=True, on_done=lambda place: self.session.notice.emit("info", t("Written: {files}").format(files=place)))
