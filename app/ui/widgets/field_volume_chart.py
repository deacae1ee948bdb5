"""Field over volume: for each structure the share of its tissue at or above a field, with hover values and numbers to copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from app.ui.text import t
from app.ui.widgets.figures import number_text
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import BACKGROUND, LINE, MUTED, TEXT, node_colour

AT_RISK_COLOURS = ("#F29CB7", "#C9A2F2", "#F2C39C", "#9CD8F2")
STYLES = (Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine, Qt.PenStyle.DashDotDotLine)
HIGHEST_V_PER_CM = 1500.0
HEIGHT = 170


@dataclass(frozen=True, slots=True)
class FieldVolumeCurve:
    """``volume_pct`` of a structure at or above each of ``v_per_cm``; ``role`` is ``target`` or ``at_risk``."""

    name: str
    role: str
    v_per_cm: tuple[float, ...]
    volume_pct: tuple[float, ...]

    def at(self, v_per_cm: float) -> float:
        """The share at a field, linear between steps."""
        return float(np.interp(v_per_cm, self.v_per_cm, self.volume_pct))


def curves_of(answer: dict) -> list[FieldVolumeCurve]:
    """The curves of an answer, targets first; structures without one are left out."""
    out = []
    for role, rows in (("target", answer.get("targets") or ()), ("at_risk", answer.get("at_risk") or ())):
        for row in rows:
            curve = row.get("field_volume_histogram")
            if curve:
                out.append(FieldVolumeCurve(row["name"], role, tuple(curve["v_per_cm"]), tuple(curve["volume_pct"])))
    return out


class FieldVolumeChart(QWidget):
    """The chart with its legend, the value under the mouse and the button that copies its numbers."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAccessibleName(t("Chart of field over volume"))
        self.curves: list[FieldVolumeCurve] = []
        self._lethal = 0.0
        self.plot = pg.PlotWidget(background=BACKGROUND)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMenuEnabled(False)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.showGrid(x=True, y=True, alpha=0.18)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for side, title in (("left", t("Volume (%)")), ("bottom", t("Field at or above (V/cm)"))):
            axis = self.plot.getAxis(side)
            axis.setPen(LINE)
            axis.setTextPen(TEXT)
            font = self.font()
            font.setPixelSize(10)
            axis.setStyle(tickFont=font)
            self.plot.setLabel(side, title, color=MUTED, **{"font-size": "11px"})
        self.plot.scene().sigMouseMoved.connect(self._hover)
        self.legend = WrapLabel(small=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.value = WrapLabel(small=True)
        self.value.setMinimumHeight(30)  # two lines, so that nothing moves while the mouse does
        self.copy_button = QPushButton(t("Copy numbers"))
        self.copy_button.setToolTip(t("Copy the chart's numbers as a table"))
        self.copy_button.clicked.connect(self.copy_numbers)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        for part in (self.legend, self.plot, self.value, self.copy_button):
            box.addWidget(part)

    def show_curves(self, curves: Sequence[FieldVolumeCurve], thresholds_v_per_cm: Sequence[float], lethal_v_per_cm: float) -> None:
        """Draw these curves with a line at each threshold, the lethal one bold and named."""
        self.curves, self._lethal = list(curves), lethal_v_per_cm
        self.plot.clear()
        for value in sorted({*thresholds_v_per_cm, lethal_v_per_cm}):
            lethal = value == lethal_v_per_cm
            line = pg.InfiniteLine(value, angle=90, pen=pg.mkPen(TEXT if lethal else MUTED, width=1.6 if lethal else 0.7))
            self.plot.addItem(line)
        names = []
        for n, curve in enumerate(self.curves):
            colour, style, glyph = self._look(n, curve)
            self.plot.plot(np.array(curve.v_per_cm), np.array(curve.volume_pct), pen=pg.mkPen(colour, width=2.0, style=style))
            role = "" if curve.role == "target" else f" <span style='color:{MUTED}'>{t('at risk')}</span>"
            names.append(f'<span style="color:{colour}">{glyph}</span> {curve.name}{role}')
        self.legend.setText("&nbsp;&nbsp; ".join(names))
        most = max([HIGHEST_V_PER_CM, 1.2 * lethal_v_per_cm])
        self.plot.setXRange(0, most, padding=0)
        self.plot.setYRange(0, 104, padding=0)
        self.plot.getAxis("left").setTicks([[(v, str(v)) for v in (0, 25, 50, 75, 100)]])
        step = 250 if most <= 1600 else 500
        self.plot.getAxis("bottom").setTicks([[(v, str(v)) for v in range(0, int(most) - step // 4, step)]])
        self._show_value(lethal_v_per_cm, lethal=True)

    def _look(self, n: int, curve: FieldVolumeCurve) -> tuple:
        same = [c for c in self.curves[:n] if c.role == curve.role]
        if curve.role == "target":
            return node_colour(len(same)), Qt.PenStyle.SolidLine, "━━"
        order = len(same)
        return AT_RISK_COLOURS[order % len(AT_RISK_COLOURS)], STYLES[order % len(STYLES)], ("╌╌", "┈┈", "─·", "─··")[order % 4]

    def words(self, v_per_cm: float) -> str:
        """Each structure's share at a field."""
        return " · ".join(f"{c.name} {number_text(c.at(v_per_cm), 1)} %" for c in self.curves)

    def _show_value(self, v_per_cm: float, *, lethal: bool = False) -> None:
        if not self.curves:
            self.value.setText("")
            return
        head = t("Lethal, {v} V/cm:") if lethal else t("At or above {v} V/cm:")
        self.value.setText(head.format(v=number_text(v_per_cm, 0)) + " " + self.words(v_per_cm))

    def _hover(self, position) -> None:
        place = self.plot.getPlotItem().vb.mapSceneToView(position)
        if 0 <= place.x() <= self.plot.viewRange()[0][1] and -5 <= place.y() <= 108:
            self._show_value(place.x())
        else:
            self._show_value(self._lethal, lethal=True)

    def as_text(self) -> str:
        """The numbers as tab-separated text."""
        lines = ["\t".join((t("Field (V/cm)"), *(f"{c.name} (%)" for c in self.curves)))]
        for n, v in enumerate(self.curves[0].v_per_cm if self.curves else ()):
            lines.append("\t".join((f"{v:g}", *(f"{c.volume_pct[n]:g}" for c in self.curves))))
        return "\n".join(lines)

    def copy_numbers(self) -> None:
        """Put the numbers on the clipboard."""
        QGuiApplication.clipboard().setText(self.as_text())
        self.value.setText(t("Copied {n} rows.").format(n=len(self.as_text().splitlines()) - 1))
