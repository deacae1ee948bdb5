"""How this computer listens for what scanners send: title, port, address, who may, and whether it is encrypted."""

from __future__ import annotations

import re

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSpinBox, QWidget

from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.usecases.pacs_receive import Receiver
from dicom_io.peer import LOOPBACK
from volumetry.errors import NodusError

HERE, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # the latter is never the default, and warned of
ENCRYPTIONS = {"none": "Not encrypted", "ours": "TLS with our certificate", "both": "TLS, senders prove themselves"}


def titles_of(text: str) -> tuple[str, ...]:
    """AE titles out of what was typed, between commas, semicolons or spaces."""
    return tuple(dict.fromkeys(x for x in re.split(r"[,;\s]+", text.strip()) if x))


class DoorFields(QWidget):
    """Fields of a ``Receiver``; ``changed`` when any is another."""

    changed = Signal()

    def __init__(self, kept: Receiver | None = None, parent: QWidget | None = None):
        super().__init__(parent)
        self.title, self.allow, self.address = QLineEdit(), QLineEdit(), QLineEdit()
        self.title.setMaxLength(16)
        self.allow.setPlaceholderText(t("AE titles of the scanners, for example CT1, US2"))
        self.address.setPlaceholderText("192.0.2.17")
        self.port = QSpinBox()
        self.port.setRange(1, 65535)
        self.where, self.encryption = QComboBox(), QComboBox()
        for text, host in ((t("This computer only"), HERE), (t("All networks of this computer"), EVERYWHERE), (t("One address …"), "")):
            self.where.addItem(text, host)
        for key, text in ENCRYPTIONS.items():
            self.encryption.addItem(t(text), key)
        self.files = {"certificate_file": QLineEdit(), "key_file": QLineEdit(), "ca_file": QLineEdit()}
        self.warning = WrapLabel(tone="warning", small=True)
        self._lay_out()
        self.show_receiver(kept)
        for field in (self.title, self.allow, self.address, *self.files.values()):
            field.textChanged.connect(self._check)
        self.port.valueChanged.connect(self._check)
        for box in (self.where, self.encryption):
            box.currentIndexChanged.connect(self._check)
        self._check()

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(8)
        places = QHBoxLayout()
        places.setSpacing(6)
        places.addWidget(self.where, 1)
        places.addWidget(self.address, 1)
        for row, column, caption, field in (
            (0, 0, t("&Our AE title"), self.title), (0, 2, t("&Port"), self.port), (0, 4, t("Listen &at"), self.where),
            (1, 0, t("&May send"), self.allow), (1, 4, t("&Encryption"), self.encryption),
        ):  # fmt: skip
            label = QLabel(caption)
            label.setBuddy(field)
            field.setAccessibleName(caption.replace("&", ""))
            grid.addWidget(label, row, column)
            if field is self.where:
                grid.addLayout(places, row, column + 1)
            elif field is self.allow:
                grid.addWidget(field, row, column + 1, 1, 3)
            else:
                grid.addWidget(field, row, column + 1)
        self._file_rows: dict[str, tuple[QWidget, ...]] = {}
        for n, (key, caption) in enumerate((("certificate_file", t("Our certificate")), ("key_file", t("Its key")), ("ca_file", t("Senders' authority")))):
            label, field, browse = QLabel(caption), self.files[key], QPushButton(t("Browse…"))
            field.setAccessibleName(caption)
            browse.setAutoDefault(False)
            browse.clicked.connect(lambda _checked=False, f=field: self._browse(f))
            grid.addWidget(label, 2 + n, 0)
            grid.addWidget(field, 2 + n, 1, 1, 4)
            grid.addWidget(browse, 2 + n, 5, Qt.AlignmentFlag.AlignLeft)
            self._file_rows[key] = (label, field, browse)
        grid.addWidget(self.warning, 5, 0, 1, 6)
        for column, share in ((1, 3), (3, 1), (5, 4)):
            grid.setColumnStretch(column, share)
        self.address.setAccessibleName(t("Address"))

    def _browse(self, field: QLineEdit) -> None:
        chooser = QFileDialog(self, t("Certificate file (PEM)"), field.text())
        chooser.fileSelected.connect(field.setText)
        chooser.open()

    def show_receiver(self, kept: Receiver | None) -> None:
        """Fill the fields with how it listened last."""
        self.title.setText(kept.ae_title if kept else "NODUS")
        self.port.setValue(kept.port if kept else 11112)
        self.allow.setText(", ".join(kept.allow) if kept else "")
        host = kept.host if kept else HERE
        known = self.where.findData(host)
        self.where.setCurrentIndex(known if known >= 0 else self.where.count() - 1)
        self.address.setText("" if known >= 0 else host)
        kind = "none" if kept is None or not kept.certificate_file else ("both" if kept.ca_file else "ours")
        self.encryption.setCurrentIndex(self.encryption.findData(kind))
        for key, field in self.files.items():
            field.setText((getattr(kept, key) if kept else None) or "")

    def host(self) -> str:
        """The address to listen at."""
        return self.where.currentData() or self.address.text().strip()

    def _wanted(self) -> tuple[str, ...]:
        """The files that the chosen encryption needs."""
        return {"none": (), "ours": ("certificate_file", "key_file"), "both": tuple(self.files)}[self.encryption.currentData()]

    def receiver(self) -> Receiver:
        """What is entered. Raises ``PacsRefused`` where it cannot be."""
        files = {key: self.files[key].text().strip() or None for key in self._wanted()}
        return Receiver(self.title.text().strip(), self.port.value(), self.host(), titles_of(self.allow.text()), **files)

    def problem(self) -> str:
        """What is still missing or wrong; empty when it can listen."""
        if not titles_of(self.allow.text()):
            return t("Name the AE titles that may send; nobody else comes in.")
        if not self.host():
            return t("Give the address of this computer to listen at.")
        if any(not self.files[key].text().strip() for key in self._wanted()):
            return t("Choose the files that the encryption needs.")
        try:
            self.receiver()
        except NodusError as refusal:
            return refusal.message + (f" {refusal.hint}" if refusal.hint else "")
        return ""

    def _check(self, *_changed) -> None:
        wanted = self._wanted()
        for key, row in self._file_rows.items():
            for part in row:
                part.setVisible(key in wanted)
        self.address.setVisible(not self.where.currentData())
        open_to_all = bool(self.host()) and self.host() not in LOOPBACK
        words = ""
        if open_to_all and not wanted:
            words = t("Other computers can reach this port, and what they send is not encrypted. An AE title proves nobody. Use it on a network that you trust.")
        elif open_to_all and "ca_file" not in wanted:
            words = t("Other computers can reach this port. An AE title proves nobody; certificates of the senders do.")
        self.warning.show_text(words)
        self.warning.setVisible(bool(words))
        self.changed.emit()
