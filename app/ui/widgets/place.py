"""A field for a place on the disk: typed, chosen as a folder or as a file, or dropped onto it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from app.ui.text import t


class _Line(QLineEdit):
    """Takes dropped files as their path, not as their address."""

    def dragEnterEvent(self, event) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dropEvent(self, event) -> None:
        local = [u.toLocalFile() for u in event.mimeData().urls() if u.isLocalFile()]
        if local:
            self.setText(local[0])
            event.acceptProposedAction()
        else:
            super().dropEvent(event)


class PlaceField(QWidget):
    """Emits ``changed(text)``. ``files`` is the filter of the file chooser."""

    changed = Signal(str)

    def __init__(self, title: str, hint: str, files: str, parent: QWidget | None = None):
        super().__init__(parent)
        self._title, self._files = title, files
        self.line = _Line()
        self.line.setPlaceholderText(hint)
        self.line.setAccessibleName(title)
        self.line.textChanged.connect(self.changed)
        self.folder_button, self.file_button = (self._button(text, mode) for text, mode in ((t("&Folder…"), QFileDialog.FileMode.Directory), (t("F&ile…"), QFileDialog.FileMode.ExistingFile)))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line, 1)
        row.addWidget(self.folder_button)
        row.addWidget(self.file_button)
        self.setFocusProxy(self.line)

    def _button(self, text: str, mode: QFileDialog.FileMode) -> QPushButton:
        button = QPushButton(text)
        button.setAutoDefault(False)
        button.clicked.connect(lambda _checked=False: self._browse(mode))
        return button

    def text(self) -> str:
        """What stands in the field."""
        return self.line.text().strip()

    def setText(self, text: str) -> None:
        """Put a place into the field."""
        self.line.setText(text)

    def _browse(self, mode: QFileDialog.FileMode) -> None:
        chooser = QFileDialog(self, self._title, self.text())
        chooser.setFileMode(mode)
        if mode == QFileDialog.FileMode.Directory:
            chooser.setOption(QFileDialog.Option.ShowDirsOnly, True)
        else:
            chooser.setNameFilter(self._files)
        chooser.fileSelected.connect(self.line.setText)
        chooser.open()


def dicom_files() -> str:
    """What a file chooser offers where pictures are looked for: files without ending are DICOM more often than not."""
    return ";;".join((t("All files (*)"), t("ZIP archives (*.zip)"), t("DICOM directory (DICOMDIR)"), t("Volumes (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd)")))
