"""Curves of a contrast loop over true time: what was read, what was fitted, its 95 % band; linear or in dB."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from app.ui.models.contrast import ROLE_LOOKS, magnitude_text, region_name, unit_words
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import ACCENT, BACKGROUND, LINE, MUTED, TEXT

POINTS = 220  # of a fitted line
GLYPHS = {"o": "●", "s": "■", "t": "▼", "d": "◆", "p": "⬟", "h": "⬢", "star": "★"}


class ContrastChart(QWidget):
    """Points, line and band of each region; a click on the chart goes to the frame of that time."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.setAccessibleName(t("Echo power over time by region"))
        self._result = None
        self.plot = pg.PlotWidget(background=BACKGROUND)
        self.plot.setFixedHeight(210)
        self.plot.setMenuEnabled(False)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.showGrid(x=True, y=True, alpha=0.18)
        self.plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.enableAutoSIPrefix(False)
            axis.setPen(LINE)
            axis.setTextPen(TEXT)
            font = self.font()
            font.setPixelSize(10)
            axis.setStyle(tickFont=font)
        self.plot.setLabel("bottom", t("Time (s)"), color=MUTED, **{"font-size": "11px"})
        self.plot.scene().sigMouseMoved.connect(self._hover)
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        self.now = pg.InfiniteLine(angle=90, pen=pg.mkPen(ACCENT, width=1))
        self.legend = WrapLabel(small=True)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.value = WrapLabel(small=True, tone="muted")
        self.value.setMinimumHeight(30)  # two lines, so that nothing moves while the mouse does
        self.unit = QComboBox()
        self.unit.addItem(t("Linear"), "linear")
        self.unit.addItem(t("dB above black"), "db")
        self.unit.setAccessibleName(t("Vertical axis"))
        self.unit.currentIndexChanged.connect(lambda _n: self._draw())
        self.copy_button = QPushButton(t("Copy numbers"))
        self.copy_button.setToolTip(t("Copy the curves as a table"))
        self.copy_button.clicked.connect(self.copy_numbers)
        row = QHBoxLayout()
        row.addWidget(self.unit, 1)
        row.addWidget(self.copy_button, 1)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(4)
        box.addWidget(self.legend)
        box.addWidget(self.plot)
        box.addWidget(self.value)
        box.addLayout(row)
        session.frame_changed.connect(self._show_now)

    def show_result(self, result) -> None:
        """Draw the curves of an analysis (a ``PerfusionResult``), or none."""
        if result is not self._result:
            self._result = result
            self._draw()
        self._show_now()

    def as_text(self) -> str:
        """Every curve as tab-separated rows."""
        lines = ["\t".join((t("Region"), t("Time (s)"), t("Frame"), t("Power (a.u.)"), t("Fitted"), t("Low (95 %)"), t("High (95 %)")))]
        for region in self._curves():
            curve, fit = region.curve, region.fit
            fitted = fit.value(curve.times_s) if fit is not None and fit.ok else None
            band = fit.band(curve.times_s) if fitted is not None else None
            for n, (when, power) in enumerate(zip(curve.times_s, curve.power, strict=True)):
                more = ("", "", "") if fitted is None else (f"{fitted[n]:.6g}", f"{band[0][n]:.6g}", f"{band[1][n]:.6g}")
                lines.append("\t".join((region.name, f"{when:.3f}", str(int(self._result.loop.frame_numbers[curve.frames[n]])), f"{power:.6g}", *more)))
        return "\n".join(lines)

    def copy_numbers(self) -> None:
        """Put the numbers on the clipboard."""
        text = self.as_text()
        QGuiApplication.clipboard().setText(text)
        self.value.setText(t("Copied {n} rows.").format(n=text.count("\n")))

    def _curves(self) -> list:
        return [] if self._result is None else [r for r in self._result.regions if r.curve is not None]

    def _scaled(self, power: np.ndarray) -> np.ndarray:
        # Black is 1; what noise takes below it has no dB.
        return 10 * np.log10(np.maximum(power, 1e-3)) if self.unit.currentData() == "db" else np.asarray(power, float)

    def _draw(self) -> None:
        self.plot.clear()
        db = self.unit.currentData() == "db"
        self.plot.setLabel("left", t("Echo power (dB above black)") if db else t("Echo power (a.u.)"), color=MUTED, **{"font-size": "11px"})
        names, low, high, last = [], np.inf, -np.inf, 1.0
        for region in self._curves():
            colour, dash, symbol = ROLE_LOOKS[region.role]
            curve, fit = region.curve, region.fit
            values = self._scaled(curve.power)
            low, high, last = min(low, float(values.min())), max(high, float(values.max())), max(last, float(curve.times_s[-1]))
            faint = QColor(colour)
            faint.setAlpha(150)
            if fit is not None and fit.ok:
                at = np.linspace(float(curve.times_s[0]), float(curve.times_s[-1]), POINTS)
                bands = [pg.PlotDataItem(at, self._scaled(v)) for v in fit.band(at)]
                wash = QColor(colour)
                wash.setAlpha(55)
                self.plot.addItem(pg.FillBetweenItem(*bands, brush=pg.mkBrush(wash)))
            self.plot.addItem(pg.ScatterPlotItem(curve.times_s, values, symbol=symbol, size=4, pen=None, brush=pg.mkBrush(faint)))
            if fit is not None and fit.ok:
                pen = pg.mkPen(colour, width=1.8)
                if dash:
                    pen.setDashPattern(list(dash))
                self.plot.addItem(pg.PlotDataItem(at, self._scaled(fit.value(at)), pen=pen))
            names.append(f'<span style="color:{colour}">{GLYPHS[symbol]}</span> {region_name(region)}')
        self.legend.setText(" &nbsp; ".join(names))
        self.value.setText(t("Points: each frame that counts. Line: {model}, band: 95 %.").format(model=model_names().get(self._result.choice.model.name, "")) if names else "")
        if np.isfinite(low):
            pad = 0.06 * max(high - low, 1e-6)
            self.plot.setYRange(low - pad, high + pad, padding=0)
            self.plot.setXRange(0, last, padding=0.02)
        self.plot.addItem(self.now)

    def _show_now(self, *_) -> None:
        state = self.session.contrast
        at = None if state is None else state.index_of(self.session.frame_index)
        self.now.setVisible(at is not None)
        if at is not None:
            self.now.setValue(float(state.loop.times_s[at]))

    def _place(self, position) -> tuple[float, float]:
        place = self.plot.getPlotItem().vb.mapSceneToView(position)
        return place.x(), place.y()

    def _hover(self, position) -> None:
        if not self._curves():
            return
        x, _y = self._place(position)
        words = []
        for region in self._curves():
            n = int(np.abs(region.curve.times_s - x).argmin())
            value = float(self._scaled(region.curve.power[n : n + 1])[0])
            words.append(f"{region_name(region)} {magnitude_text(value, 'power')} " + ("dB" if self.unit.currentData() == "db" else unit_words("power")))
        self.value.setText(f"{max(x, 0):.1f} s: " + ", ".join(words))

    def _clicked(self, event) -> None:
        state = self.session.contrast
        if state is None or not state.is_read or not self._curves():
            return
        x, _y = self._place(event.scenePos())
        self.session.set_frame(int(state.loop.frame_numbers[int(np.abs(state.loop.times_s - x).argmin())]))


def model_names() -> dict[str, str]:
    """The curves that are fitted."""
    return {"lognormal": t("lognormal"), "gamma_variate": t("gamma variate"), "replenishment": t("replenishment")}
