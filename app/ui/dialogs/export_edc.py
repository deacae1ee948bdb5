"""Hand locked readings over: the format, what goes out and what stays behind, the first lines of each file, the receipt."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QFontDatabase, QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QSplitter,
    QStackedWidget,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import isValid

from app.ui.dialogs.audit_view import STYLE, FillTable, push_button
from app.ui.models.records import Column
from app.ui.session_audit import PREVIEW_KEY
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import ACCENT, BACKGROUND, LINE, MUTED, PANEL, PANEL_STYLE, RAISED, TEXT

# Format of ``nodus export``, its plain name, what it is for.
FORMATS = (
    ("csv", "Tables (CSV)", "Readings, volume reduction, treatments and grades as plain tables, with a data dictionary."),
    ("redcap", "REDCap", "A file for REDCap's data import tool, and the project's data dictionary, events and forms."),
    ("odm-1.3.2", "CDISC ODM 1.3.2", "For an EDC that reads ODM of version 1: forms and items under the trial's own names."),
    ("odm-2.0", "CDISC ODM 2.0", "For an EDC that reads ODM of version 2: forms and items under the trial's own names."),
    ("sdtm-xpt", "SDTM (SAS transport files)", "Datasets for submission, with their Define-XML."),
    ("dataset-json", "SDTM (Dataset-JSON)", "The same datasets as CDISC Dataset-JSON, with their Define-XML."),
    ("pdf", "Report (PDF)", "Pages of locked readings: one for each subject, for each visit, or for each reading."),
    ("plan-sheet", "Plan sheets (PDF)", "A sheet for each kept plan of electroporation."),
    ("dicom-sr", "DICOM: measurements (SR) with segmentations", "Structured reports, each naming what it was measured on."),
    ("dicom-seg", "DICOM: segmentations (SEG)", "Outlines as voxels on their series."),
    ("dicom-labelmap", "DICOM: label maps (SEG)", "Outlines as one label a voxel, where no two nodes share one."),
    ("dicom-rtstruct", "DICOM: structure sets (RTSTRUCT)", "Outlines as contours on their series."),
    ("dicom-pdf", "DICOM: report (Encapsulated PDF)", "The page of each subject."),
    ("dicom-key-image", "DICOM: key images (Secondary Capture)", "The picture kept with each locked reading."),
    ("dicom-field", "DICOM: field maps (Parametric Map)", "The field of each kept plan."),
)
MAPPED = ("redcap", "odm-1.3.2", "odm-2.0", "sdtm-xpt", "dataset-json")
BY_SUBJECT = tuple(name for name, _title, _what in FORMATS if name not in ("csv", *MAPPED))
ROW_PX = 28
CHOOSING_MS = 150  # after the last step through the list, before the preview is made
LIST_STYLE = f"""
QListWidget {{ background: {BACKGROUND}; color: {TEXT}; border: 1px solid {LINE}; border-radius: 4px; outline: none; }}
QListWidget::item {{ padding: 0 8px; }}
QListWidget::item:selected {{ background: #234860; color: {TEXT}; }}
QListWidget:focus {{ border-color: {ACCENT}; }}
QTabWidget::pane {{ border: none; }}
QTabBar::tab {{ background: {PANEL}; color: {MUTED}; border: 1px solid {LINE}; border-bottom: none; padding: 6px 14px; }}
QTabBar::tab:selected {{ background: {BACKGROUND}; color: {TEXT}; border-top: 2px solid {ACCENT}; }}
QTabBar::tab:hover, QTabBar::tab:focus {{ color: {ACCENT}; }}
QTableWidget {{ background: {BACKGROUND}; alternate-background-color: {PANEL}; color: {TEXT}; border: 1px solid {LINE}; border-radius: 4px; font-size: 11px; selection-background-color: #234860; selection-color: {TEXT}; }}
QTableWidget QHeaderView::section {{ background: {RAISED}; color: {MUTED}; border: none; border-right: 1px solid {LINE}; padding: 3px 6px; font-size: 11px; }}
"""


def receipt_columns() -> tuple[Column, ...]:
    """Files of a receipt."""
    return (
        Column(t("File"), lambda f: f["path"], weight=4, right=False),
        Column(t("Records"), lambda f: f.get("rows"), weight=1),
        Column("SHA-256", lambda f: f.get("sha256"), tip=lambda f: str(f.get("sha256") or ""), weight=7, right=False),
    )


def open_export(session, parent: QWidget | None = None) -> ExportWindow | None:
    """The dialog, or None with a notice where nothing may be exported."""
    why = t("Open a study first; exports are made from it.") if session.study is None else session.why_not("export")
    if why:
        session.notice.emit("warning", why)
        return None
    window = ExportWindow(session, parent)
    window.show()
    return window


class ExportWindow(QDialog):
    """Shows before it writes. Nothing leaves the study until Export is pressed; Esc closes it."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.mapping_file: Path | None = None
        self.preview = None
        self.receipt: dict | None = None
        self._writing = False
        self.setWindowTitle(t("Export"))
        self.setStyleSheet(PANEL_STYLE + STYLE + LIST_STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint, True)
        self.formats = QListWidget()
        self.formats.setAccessibleName(t("Format"))
        for name, title, what in FORMATS:
            item = QListWidgetItem(t(title))
            item.setData(Qt.ItemDataRole.UserRole, name)
            item.setToolTip(t(what))
            item.setSizeHint(QSize(0, ROW_PX))
            self.formats.addItem(item)
        self.formats.setMinimumWidth(290)
        self.formats.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.what = WrapLabel(tone="muted")
        self.mapping = WrapLabel()
        self.goes_out = WrapLabel()
        self.stays = WrapLabel(tone="warning", small=True)
        self.subject_only = QCheckBox(t("Only the &subject that is open"))
        self.per = QComboBox()
        self.per.setAccessibleName(t("A report for"))
        for name, title in (("subject", t("each subject")), ("visit", t("each visit")), ("reading", t("each reading"))):
            self.per.addItem(title, name)  # as ``nodus export --per`` names it
        self.files = QComboBox()
        self.files.setAccessibleName(t("File in the preview"))
        self.cells = QTableWidget()
        self.cells.setAccessibleName(t("First rows of the file"))
        self.cells.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.cells.setAlternatingRowColors(True)
        self.cells.setShowGrid(False)
        self.cells.setTabKeyNavigation(False)
        self.cells.verticalHeader().hide()
        self.cells.verticalHeader().setDefaultSectionSize(22)
        self.lines = QPlainTextEdit()
        self.lines.setReadOnly(True)
        self.lines.setTabChangesFocus(True)
        self.lines.setAccessibleName(t("First lines of the file"))
        self.lines.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.lines.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.shown = QStackedWidget()
        self.shown.addWidget(self.cells)
        self.shown.addWidget(self.lines)
        self.more = WrapLabel(tone="muted", small=True)
        self.tabs = QTabWidget()
        self.done_words = WrapLabel()
        self.hashes = WrapLabel(tone="muted", small=True)
        self.written = FillTable(receipt_columns(), t("Written files"))
        self.refused = WrapLabel(tone="danger")
        self.refused.hide()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(CHOOSING_MS)
        self._timer.timeout.connect(self.ask)
        self._build()
        self.formats.currentRowChanged.connect(lambda _n: self._chosen())
        self.subject_only.toggled.connect(lambda _on: self._chosen())
        self.files.currentIndexChanged.connect(lambda _n: self._show_file())
        session.study_changed.connect(self._still_allowed)
        session.user_changed.connect(self._still_allowed)
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)
        room = self.screen().availableGeometry()
        self.resize(min(1140, room.width() - 30), min(720, room.height() - 50))
        self.formats.setCurrentRow(0)
        self.formats.setFocus()

    def _build(self) -> None:
        self.own_mapping = push_button(t("Another &mapping…"), t("The trial's own mapping file instead of the one that ships with Nodus"), self.ask_mapping)
        self.shipped_mapping = push_button(t("Shipped one"), t("The mapping that ships with Nodus for this protocol"), lambda: self.use_mapping(None))
        self.go = push_button(t("&Export to a folder…"), t("Choose the folder; the export is noted in the audit trail"), self.ask_place)
        self.go.setProperty("primary", True)
        self.leave = push_button(t("Close"), t("Nothing is written by closing"), self.close)
        self.copy_receipt = push_button(t("&Copy receipt"), t("Copy files, counts and hashes as a table"), self.copy_words)
        mapping = QWidget()
        row = QHBoxLayout(mapping)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.mapping, 1)
        row.addWidget(self.shipped_mapping)
        row.addWidget(self.own_mapping)
        self.mapping_row = mapping
        preview = QWidget()
        box = QVBoxLayout(preview)
        box.setContentsMargins(0, 6, 0, 0)
        box.setSpacing(5)
        self.form = form = QFormLayout()
        form.setLabelAlignment(Qt.AlignmentFlag.AlignRight)
        form.setVerticalSpacing(5)
        form.addRow(t("Mapping"), mapping)
        form.addRow(t("A &report for"), self.per)
        form.addRow(t("Goes out"), self.goes_out)
        form.addRow(t("Stays"), self.stays)
        file_row = QHBoxLayout()
        label = QLabel(t("&File"))
        label.setBuddy(self.files)
        file_row.addWidget(label)
        file_row.addWidget(self.files, 1)
        box.addLayout(form)
        box.addWidget(self.subject_only)
        box.addLayout(file_row)
        box.addWidget(self.shown, 1)
        box.addWidget(self.more)
        receipt = QWidget()
        box = QVBoxLayout(receipt)
        box.setContentsMargins(0, 6, 0, 0)
        box.setSpacing(6)
        box.addWidget(self.done_words)
        box.addWidget(self.written, 1)
        box.addWidget(self.hashes)
        box.addWidget(self.copy_receipt, 0, Qt.AlignmentFlag.AlignLeft)
        self.tabs.addTab(preview, t("Preview"))
        self.tabs.addTab(receipt, t("Receipt"))
        self.tabs.setTabEnabled(1, False)
        right = QWidget()
        box = QVBoxLayout(right)
        box.setContentsMargins(6, 0, 0, 0)
        box.setSpacing(6)
        box.addWidget(self.what)
        box.addWidget(self.tabs, 1)
        box.addWidget(self.refused)
        split = QSplitter()
        split.setChildrenCollapsible(False)
        split.addWidget(self.formats)
        split.addWidget(right)
        split.setStretchFactor(1, 1)
        split.setSizes([300, 820])
        buttons = QHBoxLayout()
        buttons.addWidget(WrapLabel(t("Locked readings only. Nothing leaves the study until you export."), tone="muted", small=True), 1)
        buttons.addWidget(self.leave)
        buttons.addWidget(self.go)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(12, 10, 12, 10)
        whole.setSpacing(8)
        whole.addWidget(split, 1)
        whole.addLayout(buttons)

    # ---- choosing -----------------------------------------------------------------------------
    @property
    def format_(self) -> str:
        """The chosen format of ``nodus export``."""
        return self.formats.currentItem().data(Qt.ItemDataRole.UserRole)

    @property
    def subject_id(self) -> str | None:
        """The one subject that goes out; None for all."""
        return self.session.subject_id if self.subject_only.isChecked() and self.format_ in BY_SUBJECT else None

    def use_mapping(self, path: Path | None) -> None:
        """The trial's own mapping file, or None for the shipped one."""
        self.mapping_file = path
        self._chosen()

    def ask_mapping(self) -> None:
        """Choose a mapping file."""
        dialog = QFileDialog(self, t("Mapping of the trial"))
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilters([t("Mappings (*.json)"), t("All files (*)")])
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.use_mapping(Path(path)))
        dialog.open()

    def _chosen(self) -> None:
        name = self.format_
        self.what.setText(t(next(what for key, _title, what in FORMATS if key == name)))
        mapped = name in MAPPED
        self.form.setRowVisible(self.mapping_row, mapped)
        self.form.setRowVisible(self.per, name == "pdf")
        self.shipped_mapping.setVisible(self.mapping_file is not None)
        self.mapping.setText("" if self.mapping_file is None else self.mapping_file.name)
        self.subject_only.setVisible(name in BY_SUBJECT and self.session.subject_id is not None)
        self._clear(t("Preparing the preview…"))
        self.tabs.setCurrentIndex(0)
        self._timer.start()

    def _clear(self, words: str) -> None:
        self.preview = None
        self.refused.show_text("")
        self.goes_out.setText(words)
        self.form.setRowVisible(self.stays, False)
        self.files.clear()
        self.files.setEnabled(False)
        self._show_file()
        self.go.setEnabled(False)

    # ---- previewing ---------------------------------------------------------------------------
    def ask(self) -> None:
        """Ask for the preview of what is chosen."""
        self._timer.stop()
        self.session.ask_export_preview(self.format_, self.subject_id, self.mapping_file if self.format_ in MAPPED else None, self._take, self._preview_refused)

    def _take(self, preview) -> None:
        if not isValid(self) or preview.format_ != self.format_:
            return
        self.preview = preview
        if preview.mapping is not None:
            where = t("shipped with Nodus") if self.mapping_file is None else str(self.mapping_file.name)
            self.mapping.setText(t("{protocol}, version {version} ({where})").format(protocol=preview.mapping, version=preview.mapping_version, where=where))
        self.goes_out.setText(self._goes_words(preview))
        self.stays.setText("\n".join(f"{one.count}: {t(one.reason)}" for one in preview.left_out))
        self.form.setRowVisible(self.stays, bool(preview.left_out))
        self.files.blockSignals(True)
        for one in preview.files:
            self.files.addItem(t("{file}: {n} records").format(file=t(one.name), n=one.records))
        self.files.blockSignals(False)
        self.files.setEnabled(len(preview.files) > 1)
        self._show_file()
        self.go.setEnabled(not self._writing)

    def _goes_words(self, preview) -> str:
        if preview.format_ == "plan-sheet":
            return t("{n} kept plans; a plan without a sheet is named in the receipt").format(n=preview.files[0].records)
        words = t("{n} locked readings").format(n=preview.readings) if preview.readings != 1 else t("1 locked reading")
        if not preview.made_now:
            return words + ". " + t("Pages and objects are made when they are exported; what cannot be made is named in the receipt.")
        dates = t("dates shifted by subject") if preview.dates == "shifted" else t("dates as they are stored")
        return f"{words}, {dates}"

    def _show_file(self) -> None:
        at = self.files.currentIndex()
        one = self.preview.files[at] if self.preview is not None and 0 <= at < len(self.preview.files) else None
        self.cells.clear()
        self.cells.setRowCount(0)
        self.cells.setColumnCount(0)
        self.lines.clear()
        self.more.setText("")
        if one is None:
            return
        self.shown.setCurrentWidget(self.cells if one.head else self.lines)
        if one.head:
            self.cells.setColumnCount(len(one.head))
            self.cells.setHorizontalHeaderLabels(list(one.head))
            self.cells.setRowCount(len(one.rows))
            for r, row in enumerate(one.rows):
                for c, text in enumerate(row):
                    self.cells.setItem(r, c, QTableWidgetItem(text))
            self.cells.resizeColumnsToContents()
            for c in range(len(one.head)):
                self.cells.setColumnWidth(c, min(220, self.cells.columnWidth(c) + 6))
            self.cells.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        else:
            self.lines.setPlainText("\n".join(one.lines))
        self.more.setText(t("Only the beginning is shown here; the export holds everything.") if one.cut else t("This is the whole file.") if self.preview.made_now else "")

    def _preview_refused(self, words: str) -> None:
        if isValid(self):
            self._clear(t("nothing"))
            self.refused.show_text(t(words))

    # ---- writing ------------------------------------------------------------------------------
    def ask_place(self) -> None:
        """Choose the folder."""
        dialog = QFileDialog(self, t("Folder for the export"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda folder: self.write(Path(folder)))
        dialog.open()

    def write(self, out: Path) -> None:
        """Export what is chosen into the folder; the receipt follows."""
        self._set_writing(True)
        self.refused.show_text(t("Exporting…"), "muted")
        self.session.export_to(self.format_, out, self.subject_id, self.mapping_file if self.format_ in MAPPED else None, lambda receipt: self._take_receipt(receipt, out), self._write_refused, per=self.per.currentData() if self.format_ == "pdf" else None)

    def _set_writing(self, on: bool) -> None:
        self._writing = on
        self.formats.setEnabled(not on)
        self.go.setEnabled(not on and self.preview is not None)

    def _take_receipt(self, receipt: dict, out: Path) -> None:
        if not isValid(self):
            self.session.notice.emit("info", t("Exported {n} locked readings to {place}").format(n=receipt["readings"], place=out))
            return
        self._set_writing(False)
        self.receipt = receipt
        self.refused.show_text("", "danger")
        words = [t("Exported {n} locked readings to {place}").format(n=receipt["readings"], place=out)]
        words += [f"{' · '.join(str(one[k]) for k in ('subject', 'node', 'visit', 'plan_run') if one.get(k))}: {t(str(one['message']))}" for one in receipt.get("left_out", ())[:8]]
        left = len(receipt.get("left_out", ()))
        if left:
            words.insert(1, t("{n} left out:").format(n=left))
        self.done_words.show_text("\n".join(words), "warning" if left else "good")
        self.written.set_rows(receipt["files"])
        head = receipt.get("audit_head") or {}
        self.hashes.setText(t("Content of the study: {sha256}").format(sha256=receipt["study_sha256"]) + "\n" + t("Audit trail: event {events}, {sha256}").format(events=head.get("events"), sha256=head.get("sha256")))
        self.tabs.setTabEnabled(1, True)
        self.tabs.setCurrentIndex(1)
        self.session.readings_changed.emit()

    def _write_refused(self, words: str) -> None:
        if isValid(self):
            self._set_writing(False)
            self.refused.show_text(t(words), "danger")
        else:
            self.session.notice.emit("warning", t(words))

    def copy_words(self) -> None:
        """The receipt as text."""
        QGuiApplication.clipboard().setText("\n".join((self.done_words.text(), self.written.as_text(), self.hashes.text())))

    # ---- leaving ------------------------------------------------------------------------------
    def _still_allowed(self) -> None:
        if self.session.study is None or self.session.why_not("export"):
            self.close()
        else:
            self._chosen()

    def done(self, result: int) -> None:
        """Closed: no preview is made any more; an export that is being written goes on."""
        self._timer.stop()
        self.session.jobs.drop(PREVIEW_KEY)
        super().done(result)
