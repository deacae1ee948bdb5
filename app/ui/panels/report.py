"""Step 5: what leaves the study, and what has left it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

from app import INVESTIGATIONAL_NOTICE
from app.study.model import ReadingState
from app.ui.models.records import Column
from app.ui.models.report import export_counts, missing_readings
from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.role_gate import RoleGate
from app.ui.widgets.sections import Section, StepPanel
from app.ui.widgets.tables import ValueTable

DICOM_KINDS = (  # format, name, what it is
    ("dicom-sr", "Measurements (SR) with segmentations", "Structured reports, each naming the segmentation or the lines it was measured on"),
    ("dicom-seg", "Segmentations (SEG)", "Outlines as voxels on their series"),
    ("dicom-labelmap", "Label maps (SEG)", "Outlines as one label a voxel, where no two nodes share one"),
    ("dicom-rtstruct", "Structure sets (RTSTRUCT)", "Outlines as contours on their series"),
    ("dicom-pdf", "Report (Encapsulated PDF)", "The page of each subject"),
    ("dicom-key-image", "Key images (Secondary Capture)", "The picture kept with each locked reading"),
    ("dicom-field", "Field maps (Parametric Map, V/m)", "The field of each kept plan"),
)


class ReportPanel(StepPanel):
    """Counts, what misses, the exports."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(session, "report", parent)
        self.dialog: QFileDialog | None = None
        contents = Section(t("What will be exported"))
        contents.body.addWidget(WrapLabel(t("Locked readings only. Drafts and open readings stay in the study."), tone="muted", small=True))
        self.counts = FigureTable(t("What will be exported"), max_rows=8)
        contents.body.addWidget(self.counts)
        self.missing_section = Section(t("Not in the export"))
        self.nothing_missing = WrapLabel(t("Every node has a locked reading at every visit."), tone="good")
        self.missing = ValueTable(
            (
                Column(t("Node"), lambda r: r.label, weight=3),
                Column(t("Visit"), lambda r: r.visit_order, lambda r: r.visit, tip=lambda r: r.visit, weight=5, right=False),
                Column(t("Why"), lambda r: r.why, tip=lambda r: r.why, weight=8),
            ),
            t("Readings that are not in the export"),
            max_rows=9,
        )
        self.missing.activated_row.connect(self._open_missing)
        self.missing_section.body.addWidget(self.nothing_missing)
        self.missing_section.body.addWidget(self.missing)
        out = Section(t("Export"))
        self.csv_button = QPushButton(t("Export CSV…"))
        self.csv_button.setAccessibleName(t("Export CSV"))
        self.csv_button.setToolTip(t("Readings, volume reduction and data dictionary as CSV files in a folder"))
        self.csv_button.clicked.connect(lambda: self.ask_place("csv"))
        out.body.addWidget(self.csv_button)
        self.dicom_button = QPushButton(t("Export DICOM"))
        self.dicom_button.setAccessibleName(t("Export DICOM"))
        kinds = QMenu(self.dicom_button)
        kinds.setToolTipsVisible(True)
        for kind, title, tip in DICOM_KINDS:
            entry = kinds.addAction(t(title) + "…")
            entry.setToolTip(t(tip))
            entry.triggered.connect(lambda _checked=False, kind=kind: self.ask_place(kind))
        self.dicom_button.setMenu(kinds)
        out.body.addWidget(self.dicom_button)
        done = Section(t("Last exports"))
        self.no_exports = WrapLabel(t("Nothing exported in this session."), tone="muted")
        self.exports = ValueTable(
            (
                Column(t("File"), lambda r: r["path"], lambda r: Path(r["path"]).name, tip=lambda r: f"{r['path']}\nSHA-256 {r.get('sha256', '–')}", weight=8),
                Column(t("Rows"), lambda r: r.get("rows"), weight=3),
                Column("SHA-256", lambda r: r.get("sha256"), lambda r: (r.get("sha256") or "–")[:8], tip=lambda r: r.get("sha256") or "–", weight=5),
            ),
            t("Files of the last exports"),
            max_rows=8,
        )
        done.body.addWidget(self.no_exports)
        done.body.addWidget(self.exports)
        for section in (contents, self.missing_section, out, done):
            self.content.addWidget(section)
        self.content.addWidget(WrapLabel(t(INVESTIGATIONAL_NOTICE), tone="muted", small=True))
        self.content.addStretch(1)
        self.primary.clicked.connect(lambda: self.ask_place("pdf"))
        for signal in (session.readings_changed, session.study_changed, session.nodes_changed):
            signal.connect(self.refresh)
        session.jobs.progressed.connect(self._show_buttons)
        self.refresh()
        self.gate = RoleGate(session, (self.csv_button, self.dicom_button, self.primary), ("export",), self.refresh)

    def refresh(self) -> None:
        """Count again."""
        session = self.session
        self.counts.show_figures(export_counts(session))
        missing = missing_readings(session)
        self.missing.set_rows(missing)
        self.missing.setVisible(bool(missing))
        self.missing_section.setVisible(bool(session.subject_nodes))
        self.nothing_missing.setVisible(not missing)
        self.missing_section.set_title(t("Not in the export ({n})").format(n=len(missing)) if missing else t("Not in the export"))
        files = [f for receipt in getattr(session, "last_exports", []) for f in receipt.get("files", [])][::-1]
        self.exports.set_rows(files)
        self.exports.setVisible(bool(files))
        self.no_exports.setVisible(not files)
        self._show_buttons()
        self.show_needs()

    def ask_place(self, kind: str) -> None:
        """Ask where to write; the dialog does not block the window."""
        into_folder = kind != "pdf"
        title = t("Folder for the CSV files") if kind == "csv" else t("Folder for the DICOM files") if into_folder else t("Export PDF")
        chooser = QFileDialog(self.window(), title)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if into_folder:
            chooser.setFileMode(QFileDialog.FileMode.Directory)
            chooser.setOption(QFileDialog.Option.ShowDirsOnly, True)
        else:
            chooser.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
            chooser.setDefaultSuffix("pdf")
            chooser.setNameFilter(t("PDF files (*.pdf)"))
            chooser.selectFile(f"{self.session.subject_id or 'subject'}.pdf")
        chooser.fileSelected.connect(lambda path: self.session.export(kind, path))
        self.dialog = chooser
        chooser.open()

    def _show_buttons(self) -> None:
        session = self.session
        locked = sum(1 for r in session.subject_readings if r.state == ReadingState.LOCKED)
        busy = session.jobs.is_busy("export")
        why = t("Open a study first.") if session.study is None else t("Lock a reading first: only locked readings are exported.") if not locked else t("An export is being written.") if busy else ""
        self.csv_button.setEnabled(not why)
        self.csv_button.setToolTip(why or t("Readings, volume reduction and data dictionary as CSV files in a folder"))
        self.dicom_button.setEnabled(not why)
        self.dicom_button.setToolTip(why or t("All subjects of the study; every file is read back and compared before it counts"))
        self.set_primary(t("Writing export…") if busy else t("Export PDF…"), not why, why or t("One page for this subject, with pictures"))

    def _open_missing(self, row) -> None:
        session = self.session
        if session.visit is None or session.visit.visit_id != row.visit_id:
            session.open_visit(row.visit_id)
        session.select_node(row.node_id)
        session.set_step("measure")
