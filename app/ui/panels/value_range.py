"""The limits of the threshold tool, shown while it is in hand."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from app.ui.session import Session
from app.ui.text import t


class RangeRow(QWidget):
    """From … to …, in the picture's unit; each change fills the last ball anew."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        self.from_label, self.to_label, self.unit = QLabel(t("&Range")), QLabel(t("to")), QLabel()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for label, box, name, tip in (
            (self.from_label, self.low, t("Lower limit"), t("Lowest value that is taken ([ and ] change both limits)")),
            (self.to_label, self.high, t("Upper limit"), t("Highest value that is taken ([ and ] change both limits)")),
        ):
            box.setRange(-32768.0, 65535.0)
            box.setDecimals(0)
            box.setSingleStep(5.0)
            box.setKeyboardTracking(False)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            box.setAccessibleName(name)
            box.setToolTip(tip)
            label.setBuddy(box)
            row.addWidget(label)
            row.addWidget(box, 1)
        row.addWidget(self.unit)
        self.half = QToolButton()
        self.half.setObjectName("ToolKey")
        self.half.setText("½")
        self.half.setAccessibleName(t("Half-way to the surroundings"))
        self.half.setToolTip(t("Move the limits half-way to what lies around, where a blurred border stands: its rim is taken in (H)"))
        self.half.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.half.clicked.connect(session.threshold_half_way)
        row.addWidget(self.half)
        self.low.valueChanged.connect(lambda value: self._changed(self.low, value))
        self.high.valueChanged.connect(lambda value: self._changed(self.high, value))
        self.setVisible(False)

    def refresh(self, shown: bool) -> None:
        """Show the limits as they are; before the first click there are none."""
        limits, image = self.session.threshold_range, self.session.image
        self.setVisible(shown)
        if not shown:
            return
        self.half.setEnabled(limits is not None)
        self.unit.setText("" if image is None else image.unit)
        for box, value in ((self.low, None if limits is None else limits[0]), (self.high, None if limits is None else limits[1])):
            box.setEnabled(value is not None)
            if value is not None and box.value() != value:
                box.blockSignals(True)
                box.setValue(value)
                box.blockSignals(False)

    def _changed(self, box: QDoubleSpinBox, value: float) -> None:
        limits = self.session.threshold_range
        if limits is None:
            return
        if box is self.low:
            self.session.set_threshold(low=min(value, limits[1]))
        else:
            self.session.set_threshold(high=max(value, limits[0]))
        self.refresh(self.isVisible())
