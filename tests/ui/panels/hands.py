"""What tests of panels share: the panel's size, hands, eyes."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from app.ui.session import Session

WIDTH_PX, HEIGHT_PX = 320, 720


class Calls:
    """Replaces methods of a session by recorders."""

    def __init__(self, monkeypatch, *names: str):
        self.made: list[tuple] = []
        for name in names:
            monkeypatch.setattr(Session, name, lambda _self, *args, _name=name, **more: self.made.append((_name, *args, *more.items())))


def settle() -> None:
    """Let layouts run."""
    for _ in range(4):
        QApplication.processEvents()


def click(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def texts(table) -> list[list[str]]:
    """What the reader sees in a table."""
    return [[table.proxy.index(r, c).data() for c in range(table.proxy.columnCount()) if not table.isColumnHidden(c)] for r in range(table.proxy.rowCount())]
