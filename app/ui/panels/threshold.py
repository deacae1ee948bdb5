"""Which field counts as lethal: one of the published thresholds, or a number of one's own."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QSizePolicy, QWidget

from app.ui.text import t

THRESHOLDS_V_PER_CM = (400.0, 500.0, 600.0, 800.0)


class ThresholdChooser(QWidget):
    """``changed(v_per_cm)`` when the reader chose another lethal field."""

    changed = Signal(float)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.choice = QComboBox()
        self.choice.setAccessibleName(t("Lethal field"))
        self.choice.setToolTip(t("Field at or above which tissue counts as ablated"))
        for value in THRESHOLDS_V_PER_CM:
            self.choice.addItem(f"{value:.0f} V/cm", value)
        self.choice.addItem(t("Other…"), None)
        self.own = QDoubleSpinBox()
        self.own.setRange(50, 3000)
        self.own.setSingleStep(50)
        self.own.setDecimals(0)
        self.own.setSuffix(" V/cm")
        self.own.setKeyboardTracking(False)
        self.own.setAccessibleName(t("Lethal field, own value"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.choice, 1)
        row.addWidget(self.own, 1)
        for box in (self.choice, self.own):  # side by side they would ask for more than the panel has
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.choice.activated.connect(self._chosen)
        self.own.valueChanged.connect(self.changed)
        self.own.setVisible(False)

    def value(self) -> float:
        """The lethal field in V/cm."""
        chosen = self.choice.currentData()
        return self.own.value() if chosen is None else chosen

    def show_value(self, v_per_cm: float) -> None:
        """Show a value without telling ``changed``."""
        if self.value() == v_per_cm:
            return
        at = self.choice.findData(v_per_cm)
        self.choice.setCurrentIndex(at if at >= 0 else self.choice.count() - 1)
        self.own.blockSignals(True)
        self.own.setValue(v_per_cm)
        self.own.blockSignals(False)
        self.own.setVisible(at < 0)

    def _chosen(self, _index: int) -> None:
        value = self.choice.currentData()
        self.own.setVisible(value is None)
        if value is None:
            self.own.setFocus()
            self.own.selectAll()
        else:
            self.changed.emit(value)
