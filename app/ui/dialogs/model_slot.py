"""Choose a trained network of one's own, see what it is, and switch it on or off."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from app.ui.dialogs.base import Question
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel, set_tone

FACTS = ("name", "version", "licence", "made_for", "hash")


class ModelSlotDialog(Question):
    """Emits ``chosen(folder, on)``. ``describe(folder, then)`` verifies a folder beside the window and hands
    ``then`` a ``ModelSlot``; what cannot be verified cannot be switched on."""

    chosen = Signal(str, bool)

    def __init__(self, folder: str, on: bool, describe, parent: QWidget | None = None):
        super().__init__(t("Model for outlines"), t("A trained network of your own can propose outlines. It runs on this computer only, and nothing is taken without you."), t("Save"), parent)
        self._describe = describe
        self._slot, self._gone = None, False
        self.folder = QLineEdit(folder)
        self.folder.setPlaceholderText(t("Folder with the model and its manifest"))
        browse = QPushButton(t("&Browse…"))
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        place = QWidget()
        row = QHBoxLayout(place)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        place.setFocusProxy(self.folder)
        self.add_field(t("&Folder"), place)
        self.folder.setAccessibleName(t("Folder"))
        self.facts = {name: WrapLabel("–") for name in FACTS}
        titles = {"name": t("Name"), "version": t("Version"), "licence": t("Licence"), "made_for": t("Made for"), "hash": t("SHA-256")}
        for name, label in self.facts.items():
            label.setAccessibleName(titles[name])
            self.form.addRow(QLabel(titles[name]), label)
        self.on = QCheckBox(t("Let this model &propose outlines (Shift+N)"))
        self.on.setChecked(on)
        self.form.addRow(self.on)
        self.form.addRow(
            WrapLabel(
                t("Off unless switched on. A proposal is drawn dashed: Enter takes it, Esc discards it. Name, version, licence and hash stay with the reading. In a study the protocol must allow it."),
                tone="muted",
                small=True,
            )
        )
        self.form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        self.folder.textChanged.connect(self._look)
        self.on.toggled.connect(self.check)
        self.finished.connect(self._leave)
        self.accepted.connect(lambda: self.chosen.emit(self.folder.text().strip(), self.on.isChecked()))
        self._look()

    @property
    def is_checking(self) -> bool:
        """True while the folder is being verified."""
        return bool(self.folder.text().strip()) and self._slot is None

    def problem(self) -> str:
        """What keeps the model from being switched on; a model that is off may be anything."""
        if not self.on.isChecked():
            return ""
        if not self.folder.text().strip():
            return t("Choose the model's folder first.")
        if self._slot is None:
            return t("The model is being checked…")
        if not self._slot.usable:
            return t("This model cannot be switched on.")
        return ""

    def _look(self, *_changed) -> None:
        """Verify the folder anew; what was known of another one is gone."""
        folder = self.folder.text().strip()
        self._slot = None
        for label in self.facts.values():
            label.show_text("–", "muted")
        self.check()
        if folder:
            self._describe(folder, lambda slot: self._show(folder, slot))

    def _leave(self, *_how) -> None:
        self._gone = True

    def _show(self, folder: str, slot) -> None:
        if self._gone or folder != self.folder.text().strip():
            return
        self._slot = slot
        m = slot.manifest
        if m is not None:
            texts = {
                "name": m.name,
                "version": m.version,
                "licence": m.licence,
                "made_for": f"{m.modality} · " + " × ".join(f"{s:g}" for s in m.spacing_mm) + " mm",
                "hash": f"{m.sha256[:16]}… " + t("verified"),
            }
            for name, text in texts.items():
                self.facts[name].setText(text)
                set_tone(self.facts[name], "good" if name == "hash" else "")
            self.facts["hash"].setToolTip(m.sha256)
        if slot.refusal is not None:
            refused = self.facts["hash"]
            refused.setText(t("Refused: {why}").format(why=slot.refusal.message + (f" {slot.refusal.hint}" if slot.refusal.hint else "")))
            set_tone(refused, "danger")
        self.check()

    def _browse(self) -> None:
        chooser = QFileDialog(self, t("Folder with the model and its manifest"), self.folder.text())
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.fileSelected.connect(self.folder.setText)
        chooser.open()


def open_model_dialog(session, window: QWidget) -> ModelSlotDialog:
    """The dialog over the window, which stays alive behind it."""
    settings = session.settings
    dialog = ModelSlotDialog(settings.model_folder or "", settings.model_on, session.describe_model, window)
    dialog.chosen.connect(session.set_model)
    dialog.open()
    return dialog
