"""Send to a PACS: which one, and what."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from app.ui.dialogs.base import Question
from app.ui.panels.report import DICOM_KINDS
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel

EXPORTS_SAY = "Locked readings only, under the subjects' pseudonyms. What the PACS has already is not sent again."
FOLDER_SAYS = "These files leave as they are, with every name and date in them."


class PacsSendDialog(Question):
    """Starts the sending in the session; progress is in the status bar."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Send to the PACS"), t("What is sent stays at the PACS; Nodus cannot take it back."), t("Send"), parent)
        self.session = session
        self.pacs = QComboBox()
        self.what = QComboBox()
        if session.study is not None:
            for format_, name, tip in DICOM_KINDS:
                self.what.addItem(t(name), format_)
                self.what.setItemData(self.what.count() - 1, t(tip), Qt.ItemDataRole.ToolTipRole)
        self.what.addItem(t("A folder of DICOM files"), "")
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(t("Folder of DICOM files"))
        browse = QPushButton(t("&Browse…"))
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        self.place = QWidget()
        row = QHBoxLayout(self.place)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        self.place.setFocusProxy(self.folder)
        lists = QPushButton(t("PACS &list…"))
        lists.setAutoDefault(False)
        lists.clicked.connect(self._edit_list)
        which = QWidget()
        line = QHBoxLayout(which)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.pacs, 1)
        line.addWidget(lists)
        which.setFocusProxy(self.pacs)
        self.add_field(t("&PACS"), which)
        self.pacs.setAccessibleName(t("PACS"))
        self.add_field(t("&What"), self.what)
        self.add_field(t("&Folder"), self.place)
        self.folder.setAccessibleName(t("Folder"))
        self.says = WrapLabel(tone="muted", small=True)
        self.form.addRow(self.says)
        self.what.currentIndexChanged.connect(self.check)
        self.pacs.currentIndexChanged.connect(self.check)
        self.folder.textChanged.connect(self.check)
        self.accepted.connect(lambda: session.send_to_pacs(self.pacs.currentData(), self.what.currentData(), self.folder.text().strip()))
        self._fill()

    def _fill(self, name: str = "") -> None:
        self.pacs.clear()
        for peer in self.session.pacs_peers():
            self.pacs.addItem(peer.name, peer)
        self.pacs.setCurrentIndex(max(0, self.pacs.findText(name)) if self.pacs.count() else -1)
        self.check()

    def _edit_list(self) -> None:
        from app.ui.dialogs.pacs_peers import PacsPeersDialog

        dialog = PacsPeersDialog(self.session, self.pacs.currentText(), self)
        dialog.changed.connect(self._fill)
        dialog.open()

    def _browse(self) -> None:
        chooser = QFileDialog(self, t("Folder of DICOM files"), self.folder.text())
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setOption(QFileDialog.Option.ShowDirsOnly, True)
        chooser.fileSelected.connect(self.folder.setText)
        chooser.open()

    def check(self, *_changed) -> None:
        """Show the folder where it matters, and what leaves."""
        is_folder = not self.what.currentData()
        self.form.setRowVisible(self.place, is_folder)
        self.says.show_text(t(FOLDER_SAYS if is_folder else EXPORTS_SAY), "warning" if is_folder else "muted")
        super().check()

    def problem(self) -> str:
        """What is still missing."""
        if self.pacs.currentData() is None:
            return t("No PACS is kept yet: press “PACS list…”.")
        if not self.what.currentData():
            folder = self.folder.text().strip()
            if not folder or not Path(folder).is_dir():
                return t("Choose the folder that holds the files.")
        return ""
