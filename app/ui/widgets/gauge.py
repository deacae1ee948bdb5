"""A bar for a predicted current against the generator's limit."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.painting import painting
from app.ui.text import t
from app.ui.widgets.figures import number_text
from app.ui.widgets.palette import ACCENT, BACKGROUND, DANGER, LINE, MUTED, TEXT, WARNING


class CurrentGauge(QWidget):
    """``E1 → E2  23.4 A`` over a bar whose end is the limit; above it the bar is hatched and says so."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(34)
        self.title, self.current_a, self.limit_a = "", None, None

    def show_current(self, title: str, current_a: float | None, limit_a: float | None, reason: str = "") -> None:
        """A current in ampere, or None with the reason why it is unknown."""
        self.title, self.current_a, self.limit_a = title, current_a, limit_a
        words = [f"{title}: {self.text}"]
        if limit_a is not None:
            words.append(t("Limit of the generator: {limit} A").format(limit=number_text(limit_a, 0)))
        if current_a is None and reason:
            words.append(reason)
        else:
            words.append(t("Predicted by the field solver; the measured current may differ."))
        self.setToolTip("\n".join(words))
        self.setAccessibleName(t("Predicted current {title}").format(title=title))
        self.setAccessibleDescription(self.toolTip())
        self.update()

    @property
    def is_over(self) -> bool:
        """True where the predicted current passes the limit."""
        return None not in (self.current_a, self.limit_a) and self.current_a > self.limit_a

    @property
    def text(self) -> str:
        """The number with its unit."""
        if self.current_a is None:
            return "–"
        text = f"{number_text(self.current_a, 1)} A"
        return t("{current}, over the limit").format(current=text) if self.is_over else text

    def sizeHint(self) -> QSize:
        """Two lines high."""
        return QSize(200, 34)

    def paintEvent(self, event) -> None:
        """Draw title, number and bar."""
        with painting(self) as painter:
            self._paint(painter)

    def _paint(self, p: QPainter) -> None:
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = p.font()
        font.setPixelSize(11)
        p.setFont(font)
        top = QRectF(0, 0, self.width(), 18)
        p.setPen(QColor(MUTED))
        number_width = p.fontMetrics().horizontalAdvance(self.text) + 6
        title = p.fontMetrics().elidedText(self.title, Qt.TextElideMode.ElideRight, int(top.width() - number_width))
        p.drawText(top, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)
        p.setPen(QColor(DANGER if self.is_over else TEXT))
        p.drawText(top, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, self.text)
        bar = QRectF(0.5, 20.5, self.width() - 1, 9)
        p.setPen(QPen(QColor(LINE)))
        p.setBrush(QColor(BACKGROUND))
        p.drawRoundedRect(bar, 3, 3)
        if self.current_a is None:
            return
        end = 1.25 * (self.limit_a or max(self.current_a, 1.0))
        fill = QRectF(bar)
        fill.setWidth(max(2.0, bar.width() * min(1.0, self.current_a / end)))
        p.setPen(Qt.PenStyle.NoPen)
        near = self.limit_a is not None and self.current_a > 0.9 * self.limit_a
        p.setBrush(QColor(DANGER if self.is_over else WARNING if near else ACCENT))
        p.drawRoundedRect(fill, 3, 3)
        if self.is_over:
            p.setBrush(QBrush(QColor(BACKGROUND), Qt.BrushStyle.BDiagPattern))
            p.drawRoundedRect(fill, 3, 3)
        if self.limit_a is not None:
            x = bar.left() + bar.width() * self.limit_a / end
            p.setPen(QPen(QColor(TEXT), 1.5))
            p.drawLine(int(x), 18, int(x), 32)
