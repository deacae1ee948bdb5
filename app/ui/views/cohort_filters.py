"""The row of filters above the cohort, and how its pictures are written."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from app.ui.models.cohort import reader_words, status_words
from app.ui.text import t
from app.usecases.cohort import MISSING, Cohort


def write_png(image: QImage, path: Path) -> Path:
    """Write a picture whole or not at all. Raises ``file_unusable``."""
    from app.usecases.files import ensure_place, write_bytes

    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return write_bytes(ensure_place(path), bytes(buffer.data()))


class CohortFilters(QWidget):
    """One box a key of the filter; choosing asks the session at once."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self._known: Cohort | None = None
        self.boxes: dict[str, QComboBox] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        titles = (
            ("visit", t("&Visit"), 3), ("reader", t("&Reader"), 3), ("modality", t("&Modality"), 2), ("method", t("Me&thod"), 2), ("high_risk", t("&High risk"), 2), ("salvage", t("&Salvage"), 2), ("status", t("Stat&us"), 3),
        )  # fmt: skip
        for key, title, stretch in titles:
            box = QComboBox()
            box.setAccessibleName(title.replace("&", ""))
            box.setMinimumContentsLength(5)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.activated.connect(lambda _n, key=key: self.session.choose_cohort(**{key: self.boxes[key].currentData()}))
            caption = QLabel(title)
            caption.setBuddy(box)
            caption.setProperty("tone", "muted")
            caption.setProperty("scale", "small")
            column = QVBoxLayout()
            column.setSpacing(1)
            column.addWidget(caption)
            column.addWidget(box)
            row.addLayout(column, stretch)
            self.boxes[key] = box
        self.boxes["salvage"].setToolTip(t("Ablated again on or before the scan at the visit"))
        self.boxes["status"].setToolTip(t("What the reader saw of the node at the visit; figures over the visits follow the nodes of the table"))
        self.boxes["reader"].setToolTip(t("Readings of different readers are never joined into one rate; accepted records count where several have read"))
        self.reset = QPushButton(t("All"))
        self.reset.setToolTip(t("Take every filter away"))
        self.reset.setAutoDefault(False)
        self.reset.clicked.connect(lambda _checked=False: session.reset_cohort())
        column = QVBoxLayout()
        column.setSpacing(1)
        column.addWidget(QLabel(""))
        column.addWidget(self.reset)
        row.addLayout(column)

    def refresh(self) -> None:
        """Offer what the cohort holds, and show what is chosen."""
        shown, chosen = self.session.cohort_shown, self.session.cohort_chosen
        self.setEnabled(shown is not None or bool(self.session.cohort_problem))
        if shown is None:
            return
        cohort = shown.view.cohort
        if cohort is not self._known:
            self._known = cohort
            every, yes_no = (t("all"), None), ((t("all"), None), (t("yes"), True), (t("no"), False))
            statuses = sorted({r.status for r in cohort.rows})
            self._offer("visit", [(v, v) for v in cohort.visits])
            self._offer("reader", [(reader_words(r), r) for r in cohort.choices])
            self._offer("modality", [every, *((m, m) for m in sorted({r.modality for r in cohort.rows}))])
            self._offer("method", [every, *((t(m), m) for m in sorted({r.method for r in cohort.rows}))])
            self._offer("high_risk", yes_no)
            self._offer("salvage", yes_no)
            self._offer("status", [every, *((status_words(s), s) for s in (*statuses, MISSING))])
        for key, box in self.boxes.items():
            box.setCurrentIndex(box.findData(getattr(chosen, key)))

    def _offer(self, key: str, entries) -> None:
        box = self.boxes[key]
        box.clear()
        for text, value in entries:
            box.addItem(text, value)
