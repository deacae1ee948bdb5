"""A table of values that takes the height it is given and scrolls, where ``ValueTable`` is as tall as its rows."""

from __future__ import annotations

from PySide6.QtWidgets import QSizePolicy

from app.ui.widgets.tables import ValueTable

MIN_PX = 60


class FillTable(ValueTable):
    """As tall as there is room for."""

    def _fit(self) -> None:
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(MIN_PX)
        self._share_width()
