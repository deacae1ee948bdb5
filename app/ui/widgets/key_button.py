"""A compact button that shares a line with others."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSizePolicy, QToolButton


def key_button(text: str, tip: str = "", *, tab_only: bool = False) -> QToolButton:
    """A button as wide as its share of the line; ``tab_only`` leaves the focus where it is when it is clicked."""
    button = QToolButton()
    button.setObjectName("ToolKey")
    button.setText(text)
    button.setToolTip(tip)
    button.setAccessibleName(text)
    button.setAccessibleDescription(tip)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    button.setMinimumHeight(28)
    if tab_only:
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button
