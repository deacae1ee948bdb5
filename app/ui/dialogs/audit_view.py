"""The audit trail in a window of its own: filters, pages of events, the chosen event whole, and the check of the trail."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from app.ui.models.audit_view import FAULTS_SHOWN, audit_columns, check_words, event_words, fault_columns, page_words
from app.ui.session_audit import PAGE_KEY, VERIFY_KEY
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel, set_tone
from app.ui.widgets.palette import BACKGROUND, LINE, PANEL, PANEL_STYLE, TEXT
from app.ui.widgets.tables import ValueTable
from app.usecases.audit_page import PAGE, AuditFilter, AuditPage

TYPING_MS = 250  # after the last key, before the trail is searched
STYLE = f"""
QDialog {{ background: {PANEL}; }}
QPlainTextEdit {{ background: {BACKGROUND}; color: {TEXT}; border: 1px solid {LINE}; border-radius: 4px; font-size: 11px; }}
QTableView#ValueTable::item {{ padding-left: 4px; padding-right: 4px; }}
"""


class FillTable(ValueTable):
    """A table that takes the room it is given."""

    def __init__(self, columns, name: str, least_px: int = 90):
        super().__init__(columns, name)
        self.setMinimumHeight(least_px)

    def _fit(self) -> None:
        self._share_width()


def push_button(text: str, tip: str, do) -> QPushButton:
    """A button that Enter elsewhere does not press."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setAutoDefault(False)
    button.clicked.connect(lambda _checked=False: do())
    return button


def open_audit(session, parent: QWidget | None = None) -> AuditWindow | None:
    """The trail's window, in front; None where it may not be seen."""
    why = t("Open a study first.") if session.study is None else session.why_no_audit()
    if why:
        session.notice.emit("warning", why)
        return None
    window = AuditWindow(session, parent)
    window.show()
    return window


class AuditWindow(QDialog):
    """Reads the trail in pages, in jobs. Esc closes it; it changes nothing in the study."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.page: AuditPage | None = None
        self.setWindowTitle(t("Audit trail"))
        self.setStyleSheet(PANEL_STYLE + STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint, True)
        self.text = QLineEdit()
        self.text.setPlaceholderText(t("Any words in user, object, values, reason"))
        self.text.setClearButtonEnabled(True)
        self.user, self.action, self.kind = QComboBox(), QComboBox(), QComboBox()
        self.first_day, self.last_day = QLineEdit(), QLineEdit()
        self.table = FillTable(audit_columns(), t("Events of the audit trail"), 160)
        for records in (self.table, self.user, self.action, self.kind):
            records.setProperty("holdsRecords", True)  # as they lie in the trail, in no language of the window
        self.whole = QPlainTextEdit()
        self.whole.setReadOnly(True)
        self.whole.setTabChangesFocus(True)
        self.whole.setAccessibleName(t("The chosen event, whole"))
        self.whole.setPlaceholderText(t("Choose an event to read it whole."))
        self.words = WrapLabel(tone="muted", small=True)
        self.outcome = WrapLabel()
        self.outcome.hide()
        self.faults = FillTable(fault_columns(), t("Faults"), 90)
        self.faults.hide()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(TYPING_MS)
        self._timer.timeout.connect(self.ask)
        self._build()
        self.table.chosen.connect(lambda event: self.whole.setPlainText(event_words(event)))
        session.study_changed.connect(self._still_allowed)
        session.user_changed.connect(self._still_allowed)
        QShortcut(QKeySequence.StandardKey.Find, self, self.text.setFocus)
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)
        room = self.screen().availableGeometry()
        self.resize(min(1240, room.width() - 30), min(740, room.height() - 50))
        self.ask()

    def _build(self) -> None:
        filters = QHBoxLayout()
        filters.setSpacing(6)
        for caption, field, stretch in (
            (t("&Find"), self.text, 3), (t("&Who"), self.user, 1), (t("&Action"), self.action, 1), (t("&Object"), self.kind, 1), (t("Fro&m"), self.first_day, 0), (t("&To"), self.last_day, 0),
        ):  # fmt: skip
            label = QLabel(caption)
            label.setBuddy(field)
            label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)  # never cut: the fields give way
            field.setAccessibleName(caption.replace("&", ""))
            filters.addWidget(label)
            filters.addWidget(field, stretch)
        for box, everything in ((self.user, t("everybody")), (self.action, t("all actions")), (self.kind, t("all objects"))):
            box.addItem(everything, "")
            box.setMinimumContentsLength(9)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.activated.connect(lambda _n: self.ask())
        for day in (self.first_day, self.last_day):
            day.setPlaceholderText("YYYY-MM-DD")
            day.setMaxLength(10)
            day.setFixedWidth(92)
            day.textChanged.connect(lambda _text: self._timer.start())
        self.text.textChanged.connect(lambda _text: self._timer.start())
        self.reset = push_button(t("Clear"), t("Clear every filter"), self.clear_filters)
        filters.addWidget(self.reset)
        self.newer = push_button(t("Ne&wer"), t("The page of newer events (Alt+Left)"), lambda: self.ask(self.page.offset - PAGE))
        self.older = push_button(t("Ol&der"), t("The page of older events (Alt+Right)"), lambda: self.ask(self.page.offset + PAGE))
        self.newer.setShortcut("Alt+Left")
        self.older.setShortcut("Alt+Right")
        self.copy = push_button(t("&Copy rows"), t("Copy the chosen rows as a table, or the whole page (Ctrl+C)"), self.table.copy_selection)
        self.verify = push_button(t("&Verify"), t("Check every event, record, signature and stored file, without an anchor"), lambda: self.check(None))
        self.verify_with = push_button(t("Verify with anchor…"), t("Check against a head of the trail that was kept elsewhere: an anchor file or a receipt"), self.ask_anchor)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.words, 1)
        for button in (self.newer, self.older, self.copy, self.verify, self.verify_with):
            row.addWidget(button)
        split = QSplitter(Qt.Orientation.Vertical)
        split.setChildrenCollapsible(False)
        for part in (self.table, self.whole, self.faults):
            split.addWidget(part)
        split.setSizes([460, 110, 130])
        split.setStretchFactor(0, 1)
        box = QVBoxLayout(self)
        box.setContentsMargins(10, 10, 10, 8)
        box.setSpacing(6)
        box.addLayout(filters)
        box.addWidget(split, 1)
        box.addWidget(self.outcome)
        box.addLayout(row)
        self._enable()

    # ---- reading ------------------------------------------------------------------------------
    def day_problem(self) -> str:
        """What is wrong with the days that were typed; empty where nothing is."""
        for field in (self.first_day, self.last_day):
            if field.text().strip():
                try:
                    dt.date.fromisoformat(field.text().strip())
                except ValueError:
                    return t("A day is written YYYY-MM-DD.")
        return ""

    def chosen(self) -> AuditFilter:
        """The filter as it stands."""
        return AuditFilter(self.text.text(), self.user.currentData() or "", self.action.currentData() or "", self.kind.currentData() or "", self.first_day.text().strip(), self.last_day.text().strip())

    def clear_filters(self) -> None:
        """Everything again."""
        for field in (self.text, self.first_day, self.last_day):
            field.clear()
        for box in (self.user, self.action, self.kind):
            box.setCurrentIndex(0)
        self.ask()

    def ask(self, offset: int = 0) -> None:
        """Fetch the page at ``offset``."""
        self._timer.stop()
        problem = self.day_problem()
        if problem:
            self._say(problem, "warning")
            return
        self.session.ask_audit_page(self.chosen(), max(0, offset), self._take, self._refused)

    def _take(self, page: AuditPage) -> None:
        if not isValid(self):
            return
        self.page = page
        for box, names in ((self.user, page.users), (self.action, page.actions), (self.kind, page.kinds)):
            if box.count() != len(names) + 1:
                now = box.currentData()
                while box.count() > 1:
                    box.removeItem(1)
                for name in names:
                    box.addItem(name, name)
                box.setCurrentIndex(max(0, box.findData(now)))
        self.table.clearSelection()
        self.table.set_rows(page.rows)
        self.table.scrollToTop()
        self.whole.clear()
        self._say(page_words(page), "muted")
        self._enable()

    def _refused(self, words: str) -> None:
        if isValid(self):
            self._say(t(words), "warning")

    def _say(self, words: str, tone: str) -> None:
        self.words.setText(words)
        set_tone(self.words, tone)

    def _enable(self) -> None:
        page = self.page
        self.newer.setEnabled(page is not None and page.offset > 0)
        self.older.setEnabled(page is not None and page.offset + len(page.rows) < page.found)
        self.copy.setEnabled(page is not None and bool(page.rows))

    # ---- checking -----------------------------------------------------------------------------
    def ask_anchor(self) -> None:
        """Choose the anchor file."""
        dialog = QFileDialog(self, t("Anchor of the audit trail"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters([t("Anchors and receipts (*.json)"), t("All files (*)")])
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.check(Path(path)))
        dialog.open()

    def check(self, anchor: Path | None) -> None:
        """Check the trail; the outcome stands below the events."""
        self._checking(True)
        self.outcome.show_text(t("Checking every event, record and file…"), "muted")
        self.faults.hide()
        self.session.ask_audit_check(anchor, self._take_report, self._check_refused)

    def _checking(self, on: bool) -> None:
        self.verify.setEnabled(not on)
        self.verify_with.setEnabled(not on)

    def _take_report(self, report) -> None:
        if not isValid(self):
            return
        self._checking(False)
        tone, words = check_words(report, None if self.page is None else self.page.since_utc)
        self.outcome.show_text(words, tone)
        self.faults.set_rows(report.faults[:FAULTS_SHOWN])
        self.faults.setVisible(not report.ok)

    def _check_refused(self, words: str) -> None:
        if isValid(self):
            self._checking(False)
            self.outcome.show_text(t(words), "danger")

    # ---- leaving ------------------------------------------------------------------------------
    def _still_allowed(self) -> None:
        """Another study, or somebody else at work: what must not be seen is not on screen a moment longer."""
        if self.session.study is None or self.session.why_no_audit():
            self.close()
            return
        self._checking(False)
        self.outcome.show_text("")
        self.faults.hide()
        self.ask()

    def done(self, result: int) -> None:
        """Closed: nothing is read or checked any more."""
        self.session.jobs.drop(PAGE_KEY, VERIFY_KEY)
        super().done(result)
