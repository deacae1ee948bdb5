"""A paint that raises: told once with its traceback, the painter ended, the widget says so, and the program goes on."""

from __future__ import annotations

import gc
import sys
import traceback

import pytest
from PySide6.QtWidgets import QWidget

from app.ui.painting import painting
from app.ui.widgets.gauge import CurrentGauge


class Broken(QWidget):
    """Paints half of something and raises."""

    def __init__(self):
        super().__init__()
        self.fails, self.held = True, []

    def paintEvent(self, event) -> None:
        with painting(self) as painter:
            self.held.append(painter)
            painter.fillRect(self.rect(), "#00FF00")
            if self.fails:
                raise ValueError("no such level")


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: lines.append((kind, error, "".join(traceback.format_tb(trace)))))
    return lines


def test_that_a_raising_paint_is_told_once_with_its_place_and_the_picture_is_freed(qtbot, styled_qapp, told):
    widget = Broken()
    qtbot.addWidget(widget)
    widget.resize(160, 60)
    for _ in range(3):
        picture = widget.grab()  # the picture is painted on, and goes while the painter is still held
        assert not any(p.isActive() for p in widget.held)
        assert picture.toImage().pixelColor(2, 2).name() == "#0a0c0d"  # not half of what it was to be
        del picture
        gc.collect()
    ((kind, error, trace),) = told
    assert (kind, str(error)) == (ValueError, "no such level")
    assert "paintEvent" in trace
    widget.fails = False
    assert widget.grab().toImage().pixelColor(2, 2).name() == "#00ff00"
    assert len(told) == 1


def test_that_the_apps_own_widgets_paint_so(qtbot, styled_qapp, told):
    gauge = CurrentGauge()
    qtbot.addWidget(gauge)
    gauge.show_current("E1 → E2", 20.0, 50.0, "")
    gauge.current_a = "20"  # what a bug may leave
    assert not gauge.grab().isNull()
    assert len(told) == 1
    assert told[0][0] is ValueError


def test_that_every_paint_event_goes_through_it():
    from pathlib import Path

    import app.ui

    for place in Path(app.ui.__file__).parent.rglob("*.py"):
        if place.name != "painting.py":
            assert "= QPainter(self)" not in place.read_text(encoding="utf-8"), f"{place.name} paints without painting()"
