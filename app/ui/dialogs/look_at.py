"""Look at pictures without a study: where they lie, and which of several series."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from app.ui.dialogs.base import Question
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.place import PlaceField, dicom_files
from dicom_io.scan import ScanResult, SeriesSummary

LIST_WIDTH_PX, LIST_HEIGHT_PX = 860, 300
KINDS = {"volume": "Volume", "volume_cine": "Volumes over time", "cine": "Cine", "still": "Still"}
SEVERITIES = ("serious", "warning", "info")


class LookDialog(Question):
    """Emits ``chosen(path)``."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(t("Look at images"), t("Nothing is copied and nothing is saved."), t("Look"), parent)
        self.place = PlaceField(t("Pictures to look at"), t("Folder, ZIP, DICOMDIR or file"), dicom_files())
        self.add_field(t("&Place"), self.place)
        self.place.changed.connect(self.check)
        self.accepted.connect(lambda: self.chosen.emit(self.place.text()))
        self.check()

    def problem(self) -> str:
        """What is still missing."""
        if not self.place.text():
            return t("Choose where the pictures lie.")
        return "" if Path(self.place.text()).exists() else t("There is nothing there.")


def size_text(series: SeriesSummary) -> str:
    """Pixels, slices or frames, and spacing in words."""
    if series.shape is None:
        return ""
    columns, rows, slices = series.shape
    if series.kind in ("volume", "volume_cine"):
        spacing = series.spacing_mm
        steps = "" if spacing is None or None in spacing else ", " + " × ".join(f"{v:.3g}" for v in spacing) + " mm"
        return f"{columns} × {rows} × {slices}{steps}"
    return f"{columns} × {rows}" + (", " + t("{n} frames").format(n=series.frames) if series.frames > 1 else "")


class SeriesDialog(Question):
    """Which of several series to look at; emits ``chosen(series)``. The first volume is chosen at the start."""

    chosen = Signal(object)

    def __init__(self, result: ScanResult, parent: QWidget | None = None):
        super().__init__(t("Which series?"), t("Several series lie there."), t("Look"), parent)
        self.series = [s for kind in KINDS for s in result.series if s.kind == kind]
        self.list = QTreeWidget()
        self.list.setStyleSheet("QTreeView::item { padding: 4px 0; }")
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setHeaderLabels([t("Kind"), t("Modality"), t("Size"), t("Date"), t("Files"), t("Noticed")])
        self.list.setMinimumSize(LIST_WIDTH_PX, LIST_HEIGHT_PX)
        self.list.setAccessibleName(t("Series"))
        for one in self.series:
            worst = sorted(one.findings, key=lambda f: SEVERITIES.index(f.severity) if f.severity in SEVERITIES else 0)
            noticed = t(worst[0].message) if worst else ""
            row = QTreeWidgetItem([t(KINDS[one.kind]), one.modality or "", size_text(one), one.acquired_on or "", one.files[0], noticed])
            row.setToolTip(4, "\n".join(one.files[:20]) + ("\n…" if len(one.files) > 20 else ""))
            row.setToolTip(5, "\n".join(t(f.message) for f in one.findings))
            self.list.addTopLevelItem(row)
        header = self.list.header()
        for n in range(4):
            header.setSectionResizeMode(n, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(4, QHeaderView.ResizeMode.Interactive)
        self.list.setColumnWidth(4, 170)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.form.addRow(self.list)
        left_out = len(result.skipped)
        if left_out:
            self.form.addRow(WrapLabel(t("{n} files are left out; the first: {why}").format(n=left_out, why=t(result.skipped[0].message)), tone="muted", small=True))
        self.list.itemDoubleClicked.connect(lambda *_: self.accept())
        self.list.currentItemChanged.connect(self.check)
        if self.series:
            self.list.setCurrentItem(self.list.topLevelItem(0))
        self.list.setFocus()
        self.accepted.connect(lambda: self.chosen.emit(self.series[self.list.indexOfTopLevelItem(self.list.currentItem())]))
        self.check()

    def problem(self) -> str:
        """What is still missing."""
        return "" if self.list.currentItem() is not None else t("Choose a series.")
