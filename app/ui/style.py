"""Colours, fonts and the style sheet: one place, so that the window and its pictures agree."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPalette, QPixmap

from app.ui.widgets.palette import ACCENT, BACKGROUND, DANGER, GOOD, LINE, MUTED, PANEL, RAISED, TEXT, WARNING
from app.ui.widgets.palette import node_colour as node_colour_name

__all__ = [
    "ACCENT", "AT_RISK_COLOUR", "BACKGROUND", "CALIPER_COLOUR", "CROSSHAIR_COLOUR", "DANGER", "GOOD", "LANDMARK_COLOUR", "LINE", "MUTED", "NEEDLE_COLOUR",
    "NEEDLE_SHAFT_COLOUR", "PANEL", "RAISED", "TEXT", "WARNING",
    "apply_style", "icon", "node_colour", "pixel_font", "shadow_text", "style_sheet",
]  # fmt: skip

CALIPER_COLOUR = "#F5F0A0"
AT_RISK_COLOUR = "#F29CB7"
CROSSHAIR_COLOUR = "#4DB6E2"
LANDMARK_COLOUR = "#7BE0C0"
NEEDLE_COLOUR = "#FFFFFF"
NEEDLE_SHAFT_COLOUR = "#B8C4CE"
# Latin letters and figures alike everywhere; then what a system has for Chinese.
FAMILIES = ("DejaVu Sans", "Microsoft YaHei UI", "PingFang SC", "Noto Sans CJK SC", "Droid Sans Fallback")
ICON_PX, FAINT = 54, 0.3  # three times the size on screen, for dense screens


def node_colour(order: int) -> QColor:
    """Colour of the n-th node of a subject; it repeats after seven, its label does not."""
    return QColor(node_colour_name(order))


def icon(name: str) -> QIcon:
    """Icon ``resources/icons/<name>.svg``, faint while what it does cannot be done."""
    made = QIcon(str(Path(str(resources.files("resources"))) / "icons" / f"{name}.svg"))
    whole = made.pixmap(ICON_PX, ICON_PX)
    if not whole.isNull():
        faint = QPixmap(whole.size())
        faint.setDevicePixelRatio(whole.devicePixelRatio())
        faint.fill(Qt.GlobalColor.transparent)
        painter = QPainter(faint)
        painter.setOpacity(FAINT)
        painter.drawPixmap(0, 0, whole)
        painter.end()
        made.addPixmap(faint, QIcon.Mode.Disabled)
    return made


def pixel_font(size_px: int = 12, *, bold: bool = False) -> QFont:
    """The interface font at an exact pixel size (Qt scales it on dense screens)."""
    font = QFont()
    font.setFamilies(list(FAMILIES))
    font.setStyleHint(QFont.StyleHint.SansSerif)
    font.setPixelSize(size_px)
    font.setBold(bold)
    return font


def apply_style(application) -> None:
    """Dark palette, font and style sheet for the whole application."""
    application.setStyle("Fusion")
    palette = QPalette()
    for role, colour in (
        (QPalette.ColorRole.Window, BACKGROUND),
        (QPalette.ColorRole.Base, BACKGROUND),
        (QPalette.ColorRole.AlternateBase, PANEL),
        (QPalette.ColorRole.Button, RAISED),
        (QPalette.ColorRole.ToolTipBase, RAISED),
        (QPalette.ColorRole.WindowText, TEXT),
        (QPalette.ColorRole.Text, TEXT),
        (QPalette.ColorRole.ButtonText, TEXT),
        (QPalette.ColorRole.ToolTipText, TEXT),
        (QPalette.ColorRole.PlaceholderText, MUTED),
        (QPalette.ColorRole.Highlight, "#245C78"),
        (QPalette.ColorRole.HighlightedText, "#FFFFFF"),
        (QPalette.ColorRole.Link, ACCENT),
    ):
        palette.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor("#6F7982"))
    application.setPalette(palette)
    application.setFont(pixel_font(12))
    application.setStyleSheet(style_sheet())


def style_sheet() -> str:
    """``resources/style/nodus.qss`` with its ``@names`` replaced by the colours above."""
    text = resources.files("resources").joinpath("style", "nodus.qss").read_text(encoding="utf-8")
    names = {
        "@background": BACKGROUND, "@panel": PANEL, "@raised": RAISED, "@border": LINE,
        "@text_dim": MUTED, "@text": TEXT, "@accent": ACCENT, "@danger": DANGER, "@warning": WARNING,
    }  # fmt: skip
    for name, value in names.items():  # longer names first where one begins with another
        text = text.replace(name, value)
    return text


def shadow_text(painter: QPainter, where: QPointF | QRectF, text: str, colour=TEXT, flags=None) -> None:
    """Text that stays readable over any picture: a dark edge under it."""
    painter.setPen(QColor(0, 0, 0, 210))
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1), (1, 1)):
        _put(painter, where, dx, dy, text, flags)
    painter.setPen(QColor(colour))
    _put(painter, where, 0, 0, text, flags)


def _put(painter: QPainter, where, dx: int, dy: int, text: str, flags) -> None:
    if isinstance(where, QRectF):
        painter.drawText(where.translated(dx, dy), flags if flags is not None else Qt.AlignmentFlag.AlignLeft, text)
    else:
        painter.drawText(where + QPointF(dx, dy), text)
