"""Labels that never clip: they wrap, or end in an ellipsis with the whole text on hover."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QStyle, QStyleOption, QVBoxLayout, QWidget

from app.ui.painting import painting
from app.ui.text import said, t
from app.ui.widgets.figures import Figure


def set_tone(widget: QWidget, tone: str) -> None:
    """Give a label one of the style sheet's tones (muted, warning, danger, good, accent or none)."""
    if widget.property("tone") != tone:
        widget.setProperty("tone", tone)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


class WrapLabel(QLabel):
    """A paragraph that takes the width it is given and as many lines as it needs."""

    _GUESS_PX = 260

    def __init__(self, text: str = "", tone: str = "", small: bool = False, parent: QWidget | None = None):
        super().__init__(said(text), parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        if small:
            self.setProperty("scale", "small")
        if tone:
            self.setProperty("tone", tone)

    def setText(self, text: str) -> None:
        """The text; a sentence that other parts of the program put together comes in the reader's language."""
        super().setText(said(text))

    def hasHeightForWidth(self) -> bool:
        """No: layouts would guess the height at a width that is not ours. We ask for it ourselves."""
        return False

    def sizeHint(self) -> QSize:
        """As high as the text is at the present width."""
        return QSize(self._GUESS_PX, self._height())

    def minimumSizeHint(self) -> QSize:
        """Any width; never less than the whole text."""
        return QSize(40, self._height())

    def resizeEvent(self, event) -> None:
        """Another width needs another height."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def _height(self) -> int:
        # Before it was laid out once, the width is Qt's default and means nothing.
        width = self.width() if self.testAttribute(Qt.WidgetAttribute.WA_Resized) or self.isVisible() else self._GUESS_PX
        return max(self.heightForWidth(width), self.fontMetrics().height())

    def show_text(self, text: str, tone: str | None = None) -> None:
        """Set the text (hidden while empty) and, where given, the tone."""
        self.setText(text)
        self.setVisible(bool(text))
        if tone is not None:
            set_tone(self, tone)


class ElidedLabel(QLabel):
    """One line; what does not fit becomes an ellipsis, the whole text stands in the tooltip."""

    def __init__(self, text: str = "", parent: QWidget | None = None, mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight):
        super().__init__(text, parent)
        self._mode = mode
        self._tip = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_tip(self, tip: str) -> None:
        """A tooltip instead of the text itself."""
        self._tip = tip
        self.setToolTip(tip)

    def minimumSizeHint(self) -> QSize:
        """Any width will do."""
        return QSize(20, super().minimumSizeHint().height())

    def paintEvent(self, event) -> None:
        """Draw what fits."""
        with painting(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        option = QStyleOption()
        option.initFrom(self)
        self.style().drawPrimitive(QStyle.PrimitiveElement.PE_Widget, option, painter, self)
        box = self.contentsRect()
        text = QFontMetrics(self.font()).elidedText(self.text(), self._mode, box.width())
        if not self._tip:
            self.setToolTip(self.text() if text != self.text() else "")
        self.style().drawItemText(painter, box, int(self.alignment()), self.palette(), self.isEnabled(), text, self.foregroundRole())


class BigFigure(QFrame):
    """The number that counts: large, with unit, interval and method under it."""

    def __init__(self, title: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("FigureBox")
        self._title = ElidedLabel(title)
        self._title.setProperty("tone", "muted")
        self._number = QLabel("–")
        self._number.setProperty("scale", "big")
        self._unit = QLabel("")
        self._unit.setProperty("scale", "unit")
        self._interval = WrapLabel(small=False)
        self._method = WrapLabel(tone="muted", small=True)
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self._number, 0, Qt.AlignmentFlag.AlignBottom)
        line.addWidget(self._unit, 0, Qt.AlignmentFlag.AlignBottom)
        line.addStretch(1)
        box = QVBoxLayout(self)
        box.setContentsMargins(10, 6, 10, 8)
        box.setSpacing(2)
        box.addWidget(self._title)
        box.addLayout(line)
        box.addWidget(self._interval)
        box.addWidget(self._method)
        self.figure = Figure(title, None)

    def show_figure(self, figure: Figure) -> None:
        """Show a value; an unknown one is a dash with its reason written out."""
        self.figure = figure
        self._title.setText(figure.label)
        self._number.setText(figure.number)
        self._unit.setText(figure.unit if figure.value is not None else "")
        known = figure.value is not None
        self._interval.show_text(figure.interval_line if known and figure.interval else ((t("95 % interval not known") if figure.needs_interval else "") if known else figure.reason))
        set_tone(self._interval, "" if known and figure.interval else "muted")
        self._method.show_text(figure.source)
        self.setToolTip(figure.tip)
        self.setAccessibleName(figure.label)
        self.setAccessibleDescription(figure.tip)
