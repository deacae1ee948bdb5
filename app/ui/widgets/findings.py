"""The quiet list of findings: severity as shape and colour, what each means, what can be done."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app.ui.painting import painting
from app.ui.text import t, told
from app.ui.widgets.finding_words import advice
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import ACCENT, BACKGROUND, DANGER, GOOD, MUTED, WARNING

SEVERITY_ORDER = {"serious": 0, "refuse": 0, "warning": 1, "warn": 1, "info": 2}


def severity_words() -> dict[str, str]:
    """Names of severities for people."""
    return {"serious": t("Serious"), "warning": t("Warning"), "info": t("Note"), "refuse": t("Refused"), "warn": t("Warning"), "good": t("In order")}


class SeverityIcon(QWidget):
    """An octagon, a triangle, a circle or a tick: severity told by shape as well as colour."""

    def __init__(self, severity: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setFixedSize(18, 18)
        self.severity = severity
        self.set_severity(severity)

    def set_severity(self, severity: str) -> None:
        """Show another severity."""
        self.severity = severity
        self.setAccessibleName(severity_words().get(severity, severity))
        self.setToolTip(self.accessibleName())
        self.update()

    def sizeHint(self) -> QSize:
        """A small square."""
        return QSize(18, 18)

    def paintEvent(self, event) -> None:
        """Draw the sign."""
        with painting(self) as painter:
            self._paint(painter)

    def _paint(self, p: QPainter) -> None:
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setPen(Qt.PenStyle.NoPen)
        box = QRectF(2, 2, 14, 14)
        font = QFont(self.font())
        font.setBold(True)
        font.setPixelSize(11)
        p.setFont(font)
        kind = {"refuse": "serious", "warn": "warning"}.get(self.severity, self.severity)
        if kind == "serious":
            c = 4.2
            points = [(2 + c, 2), (16 - c, 2), (16, 2 + c), (16, 16 - c), (16 - c, 16), (2 + c, 16), (2, 16 - c), (2, 2 + c)]
            p.setBrush(QColor(DANGER))
            p.drawPolygon(QPolygonF([QPointF(*xy) for xy in points]))
            mark = "!"
        elif kind == "warning":
            p.setBrush(QColor(WARNING))
            p.drawPolygon(QPolygonF([QPointF(9, 1.5), QPointF(17, 16), QPointF(1, 16)]))
            box = QRectF(2, 5, 14, 11)
            mark = "!"
        elif kind == "good":
            p.setPen(QPen(QColor(GOOD), 2.2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            p.drawPolyline(QPolygonF([QPointF(3.5, 9.5), QPointF(7.5, 13.5), QPointF(14.5, 4.5)]))
            return
        else:
            p.setBrush(QColor(ACCENT if kind == "info" else MUTED))
            p.drawEllipse(box)
            mark = "i"
        p.setPen(QColor(BACKGROUND))
        p.drawText(box, Qt.AlignmentFlag.AlignCenter, mark)


class FindingRow(QFrame):
    """One finding with its meaning and remedy folded below it."""

    def __init__(self, code: str, severity: str, message: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.setObjectName("FindingRow")
        self.setProperty("severity", severity)
        self.code, self.severity, self.message = code, severity, message
        means, can_do = advice(code)
        message = told(message, code)
        self.setAccessibleName(f"{severity_words().get(severity, severity)}: {message}")
        text = WrapLabel(message)
        self.toggle = QToolButton()
        self.toggle.setObjectName("FindingToggle")
        self.toggle.setText(t("What it means"))
        self.toggle.setArrowType(Qt.ArrowType.RightArrow)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.setCheckable(True)
        self.toggle.setAccessibleName(t("What it means and what you can do: {message}").format(message=message))
        self.toggle.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.more = WrapLabel(t("What it means: {text}").format(text=means), small=True)
        self.remedy = WrapLabel(t("What you can do: {text}").format(text=can_do), small=True)
        column = QVBoxLayout()
        column.setSpacing(3)
        column.addWidget(text)
        column.addWidget(self.toggle)
        column.addWidget(self.more)
        column.addWidget(self.remedy)
        row = QHBoxLayout(self)
        row.setContentsMargins(7, 6, 7, 5)
        row.setSpacing(7)
        row.addWidget(SeverityIcon(severity), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)
        self.toggle.toggled.connect(self._show_more)
        self._show_more(False)

    def _show_more(self, shown: bool) -> None:
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self.more.setVisible(shown)
        self.remedy.setVisible(shown)


class FindingsList(QWidget):
    """Findings, the serious ones first. An empty list says that nothing was found."""

    def __init__(self, name: str, empty_text: str | None = None, parent: QWidget | None = None):
        super().__init__(parent)
        self.setAccessibleName(name)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(5)
        self._empty = WrapLabel(empty_text if empty_text is not None else t("Nothing found."), tone="muted")
        self._layout.addWidget(self._empty)
        self.rows: list[FindingRow] = []
        self._shown: tuple = ()

    def show_findings(self, findings: Sequence) -> None:
        """``findings`` are ``Finding`` values, or dicts with code, message and maybe severity or
        level. The same list again leaves the widgets (and what is unfolded) alone."""
        plain = []
        for f in findings:
            if isinstance(f, dict):
                plain.append((f.get("code", ""), f.get("severity") or f.get("level") or "warning", f.get("message", "")))
            else:
                plain.append((f.code, f.severity, f.message))
        plain = tuple(sorted(dict.fromkeys(plain), key=lambda f: SEVERITY_ORDER.get(f[1], 3)))
        if plain == self._shown:
            return
        self._shown = plain
        for row in self.rows:
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        self.rows = [FindingRow(*f, parent=self) for f in plain]
        for row in self.rows:
            self._layout.addWidget(row)
            row.show()
        self._empty.setVisible(not self.rows and bool(self._empty.text()))
