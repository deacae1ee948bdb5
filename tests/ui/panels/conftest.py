"""A panel shown at the width it has in the window."""

from __future__ import annotations

import pytest

from app.ui.panels import make_panel
from tests.ui.panels.hands import HEIGHT_PX, WIDTH_PX


@pytest.fixture
def show(qtbot, session):
    """Shows a step's panel at the width it has in the window."""

    def make(step: str):
        panel = make_panel(step, session)
        qtbot.addWidget(panel)
        panel.resize(WIDTH_PX, HEIGHT_PX)
        panel.show()
        qtbot.waitExposed(panel)
        return panel

    return make
