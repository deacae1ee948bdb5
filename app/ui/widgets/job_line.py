"""A running job inside the panel that started it: what it does, how far it is, and a key to stop it."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from app.ui.text import said, t
from app.ui.widgets.labels import WrapLabel


class JobLine(QWidget):
    """Follows the job of one title; hidden while there is none. ``stop`` is called by the key."""

    def __init__(self, session, title: str, stop_text: str, stop_tip: str, stop, parent: QWidget | None = None):
        super().__init__(parent)
        self.title = title
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setAccessibleName(t("Progress"))
        self.text = WrapLabel(small=True)
        self.stop = QPushButton(stop_text)
        self.stop.setToolTip(stop_tip)
        self.stop.setAccessibleName(stop_text)
        self.stop.clicked.connect(lambda _checked=False: self._stop(stop))
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self.bar, 1)
        line.addWidget(self.stop)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(3)
        box.addLayout(line)
        box.addWidget(self.text)
        session.jobs.progressed.connect(self._moved)
        self.hide()

    def begin(self) -> None:
        """Show that the job was asked for."""
        self.bar.setRange(0, 0)
        self.text.setText(t("Starting"))
        self.stop.setEnabled(True)
        self.show()

    def _stop(self, stop) -> None:
        self.stop.setEnabled(False)
        self.text.setText(t("Stopping"))
        stop()

    def _moved(self, event) -> None:
        if event.title != self.title or event.finished:
            return
        known = bool(event.fraction)  # at nothing done the bar shows that work is under way
        self.bar.setRange(0, 1000 if known else 0)
        if known:
            self.bar.setValue(round(1000 * event.fraction))
        if event.message and self.stop.isEnabled():
            self.text.setText(said(event.message))
            self.text.updateGeometry()
