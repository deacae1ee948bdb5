"""The PACS that are kept: enter one, ask whether it answers, change it, remove it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton, QSpinBox, QWidget

from app.ui.dialogs.base import Question
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from dicom_io.peer import Peer
from volumetry.errors import NodusError

TLS_NAMES = {"none": "Not encrypted", "system": "TLS, trusted by this computer", "own": "TLS, with the file of its authority"}
SIGN_INS = {"none": "No sign-in", "basic": "User and password", "bearer": "Token"}
RETRIEVES = {"get": "C-GET (over the same connection)", "move": "C-MOVE (it calls this computer)"}


class PacsPeersDialog(Question):
    """Emits ``changed(name)`` when one was kept or removed."""

    changed = Signal(str)

    def __init__(self, session, name: str = "", parent: QWidget | None = None):
        super().__init__(t("PACS list"), t("The PACS administrator gives you these, and must enter this computer there too."), t("Save"), parent)
        self.session = session
        self._gone = False
        self.which = QComboBox()
        self.name, self.host, self.ae_title, self.our_ae_title, self.url, self.user, self.secret, self.receive_host = (QLineEdit() for _ in range(8))
        self.port, self.receive_port = QSpinBox(), QSpinBox()
        for field in (self.port, self.receive_port):
            field.setRange(1, 65535)
        self.kind, self.tls, self.sign_in, self.retrieve = QComboBox(), QComboBox(), QComboBox(), QComboBox()
        self.kind.addItem("DIMSE (C-FIND, C-GET, C-STORE)", "dimse")
        self.kind.addItem("DICOMweb (QIDO, WADO, STOW)", "dicomweb")
        for box, names in ((self.tls, TLS_NAMES), (self.sign_in, SIGN_INS), (self.retrieve, RETRIEVES)):
            for key, text in names.items():
                box.addItem(t(text), key)
        for field in (self.ae_title, self.our_ae_title):
            field.setMaxLength(16)
        self.name.setPlaceholderText(t("Radiology"))
        self.host.setPlaceholderText("pacs.example")
        self.url.setPlaceholderText("https://pacs.example/dicom-web")
        self.secret.setEchoMode(QLineEdit.EchoMode.Password)
        self.secret.setPlaceholderText(t("kept in the system's keyring"))
        self.files = {"ca_file": QLineEdit(), "certificate_file": QLineEdit(), "key_file": QLineEdit()}
        self.add_field(t("&PACS"), self.which)
        self.add_field(t("&Name"), self.name)
        self.add_field(t("&Speaks"), self.kind)
        self._rows: dict[QWidget, QWidget] = {}
        for label, field in (
            (t("&Host"), self.host), (t("P&ort"), self.port), (t("Its &AE title"), self.ae_title), (t("O&ur AE title"), self.our_ae_title), (t("&Retrieve by"), self.retrieve),
            (t("We listen at"), self.receive_host), (t("on port"), self.receive_port), (t("A&ddress"), self.url), (t("S&ign in"), self.sign_in), (t("User"), self.user), (t("Pass&word or token"), self.secret), (t("&Encryption"), self.tls),
        ):  # fmt: skip
            self.add_field(label, field)
            self._rows[field] = field
        for key, label in (("ca_file", t("Its authority's file")), ("certificate_file", t("Our certificate")), ("key_file", t("Its key"))):
            self._add_file(key, label)
        self.answer = WrapLabel(tone="muted", small=True)
        self.form.addRow(self.answer)
        self.test_button = self._extra(t("&Test"), self._test)
        self.remove_button = self._extra(t("Remo&ve"), self._remove)
        self.which.currentIndexChanged.connect(self._load)
        for box in (self.kind, self.tls, self.sign_in, self.retrieve):
            box.currentIndexChanged.connect(self.check)
        for field in (self.name, self.host, self.ae_title, self.our_ae_title, self.url, self.user, self.receive_host, *self.files.values()):
            field.textChanged.connect(self.check)
        self.finished.connect(self._leave)
        self._fill(name)

    def _extra(self, text: str, work) -> QPushButton:
        button = self.buttons.addButton(text, self.buttons.ButtonRole.ActionRole)
        button.setAutoDefault(False)
        button.clicked.connect(work)
        return button

    def _add_file(self, key: str, label: str) -> None:
        field = self.files[key]
        browse = QPushButton(t("Browse…"))
        browse.setAutoDefault(False)
        browse.clicked.connect(lambda: self._browse(field))
        place = QWidget()
        row = QHBoxLayout(place)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(field, 1)
        row.addWidget(browse)
        place.setFocusProxy(field)
        field.setAccessibleName(label)
        self.form.addRow(QLabel(label), place)
        self._rows[field] = place

    def _browse(self, field: QLineEdit) -> None:
        chooser = QFileDialog(self, t("Certificate file (PEM)"), field.text())
        chooser.fileSelected.connect(field.setText)
        chooser.open()

    # ---- which -----------------------------------------------------------------------
    def _fill(self, name: str = "") -> None:
        self.which.blockSignals(True)
        self.which.clear()
        for peer in self.session.pacs_peers():
            self.which.addItem(peer.name, peer)
        self.which.addItem(t("New PACS …"), None)
        self.which.setCurrentIndex(self.which.findText(name) if name and self.which.findText(name) >= 0 else self.which.count() - 1)
        self.which.blockSignals(False)
        self._load()

    def _load(self, *_changed) -> None:
        kept = self.which.currentData()
        peer = kept or Peer("new", "localhost", 104, "PACS")
        self.name.setText(kept.name if kept else "")
        self.name.setReadOnly(kept is not None)
        for box, key in ((self.kind, peer.protocol), (self.tls, peer.tls), (self.sign_in, peer.sign_in), (self.retrieve, peer.retrieve)):
            box.setCurrentIndex(box.findData(key))
        self.host.setText(kept.host if kept else "")
        self.ae_title.setText(kept.ae_title if kept else "")
        self.our_ae_title.setText(peer.our_ae_title)
        self.port.setValue(peer.port)
        self.receive_host.setText(peer.receive_host)
        self.receive_port.setValue(peer.receive_port)
        self.url.setText(peer.url or "")
        self.user.setText(peer.user or "")
        self.secret.clear()
        for key, field in self.files.items():
            field.setText(getattr(peer, key) or "")
        self.remove_button.setEnabled(kept is not None)
        self.answer.show_text("")
        self.check()

    def peer(self) -> Peer:
        """What is entered. Raises ``NodusError`` where it cannot be a PACS."""
        files = {key: field.text().strip() or None for key, field in self.files.items()} if self.tls.currentData() == "own" else {}
        common = {"tls": self.tls.currentData(), **files}
        if self.kind.currentData() == "dicomweb":
            return Peer(self.name.text().strip(), url=self.url.text().strip(), sign_in=self.sign_in.currentData(), user=self.user.text().strip() or None, **common)
        return Peer(
            self.name.text().strip(), self.host.text().strip(), self.port.value(), self.ae_title.text().strip(), self.our_ae_title.text().strip(),
            retrieve=self.retrieve.currentData(), receive_host=self.receive_host.text().strip() or "127.0.0.1", receive_port=self.receive_port.value(), **common,
        )  # fmt: skip

    def problem(self) -> str:
        """Why it cannot be kept as it is entered."""
        if not self.name.text().strip():
            return t("Give the PACS a name you will recognise.")
        if self.tls.currentData() == "own" and not self.files["ca_file"].text().strip():
            return t("Choose the file of the authority that signed the certificate of the PACS.")
        try:
            self.peer()
        except NodusError as refusal:
            return refusal.message + (f" {refusal.hint}" if refusal.hint else "")
        return ""

    def check(self, *_changed) -> None:
        """Show the fields that matter, and what is missing."""
        web, move = self.kind.currentData() == "dicomweb", self.retrieve.currentData() == "move"
        shown = {
            self.host: not web, self.port: not web, self.ae_title: not web, self.our_ae_title: not web, self.retrieve: not web, self.receive_host: not web and move,
            self.receive_port: not web and move, self.url: web, self.sign_in: web, self.user: web and self.sign_in.currentData() == "basic", self.secret: web and self.sign_in.currentData() != "none",
            self.tls: True, **{field: self.tls.currentData() == "own" for field in self.files.values()},
        }  # fmt: skip
        for field, row in self._rows.items():
            self.form.setRowVisible(row, shown[field])
        super().check()
        self.test_button.setEnabled(not self.problem())

    # ---- what buttons do -------------------------------------------------------------
    def _test(self) -> None:
        peer = self.peer()
        if self.secret.text():
            self.answer.show_text(t("Save it first: the password or token is read from the keyring."), "warning")
            return
        self.answer.show_text(t("Asking {name} …").format(name=peer.name), "muted")
        self.session.check_pacs(peer, self._unless_gone(lambda seconds: self.answer.show_text(t("{name} answers ({seconds:.2f} s).").format(name=peer.name, seconds=seconds), "good")), self._unless_gone(self._refused))

    def _remove(self) -> None:
        name = self.which.currentData().name
        self.session.forget_pacs(name, lambda: self._done(""), self._unless_gone(self._refused))

    def accept(self) -> None:
        """Keep it; the dialog stays until it is kept."""
        if self.problem():
            return
        peer = self.peer()
        self.accept_button.setEnabled(False)
        self.session.keep_pacs(peer, self.secret.text(), lambda: self._done(peer.name), self._unless_gone(self._refused))

    def _done(self, name: str) -> None:
        if self._gone:
            return
        self.changed.emit(name)
        if name:
            self.done(self.DialogCode.Accepted)
        else:
            self._fill()

    def _refused(self, refusal: NodusError) -> None:
        self.answer.show_text(refusal.message + (f" {refusal.hint}" if refusal.hint else ""), "danger")
        self.check()

    def _unless_gone(self, work):
        return lambda value: None if self._gone else work(value)

    def _leave(self, *_how) -> None:
        self._gone = True
