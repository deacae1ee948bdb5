"""Painting that ends its painter whatever happens: a widget or picture that goes while it is painted on ends the program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QWidget

from app.ui.style import DANGER, pixel_font
from app.ui.text import t

_TOLD = "_paint_failures"  # of a widget: places that were told already


@contextmanager
def painting(widget: QWidget) -> Iterator[QPainter]:
    """A painter on ``widget``, for its ``paintEvent``. An error in it is handed to ``sys.excepthook`` with its traceback (once for
    each place in the program and widget: a widget is painted many times a second), and the widget says that it could not be
    drawn in place of a picture that may be half of one."""
    painter = QPainter(widget)
    try:
        yield painter
    except Exception as error:
        painter.end()  # the traceback holds the frame that holds the painter
        _say_not_drawn(widget)
        _tell(widget, error)
    finally:
        if painter.isActive():
            painter.end()


def _tell(widget: QWidget, error: Exception) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (type(error).__name__, "" if trace is None else trace.tb_frame.f_code.co_filename, 0 if trace is None else trace.tb_lineno)
    told: set = widget.__dict__.setdefault(_TOLD, set())
    if place not in told:
        told.add(place)
        sys.excepthook(type(error), error, error.__traceback__)


def _say_not_drawn(widget: QWidget) -> None:
    painter = QPainter(widget)
    painter.fillRect(widget.rect(), QColor("#0A0C0D"))
    painter.setPen(QColor(DANGER))
    painter.setFont(pixel_font(12))
    painter.drawText(widget.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, t("This could not be drawn. What happened is in the log."))
    painter.end()
