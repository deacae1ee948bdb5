"""The binding between Python and Qt, where a fault of its own would end the program in use."""

from __future__ import annotations

import sys

from PySide6.QtWidgets import QLabel


def test_that_calls_into_qt_lose_no_reference_to_none(qtbot):
    # PySide6 6.12.0 on CPython 3.11 lost one a call; some 65,000 calls later Python aborts.
    label = QLabel()
    qtbot.addWidget(label)
    before = sys.getrefcount(None)
    for n in range(2000):
        label.setText(str(n))
    assert abs(sys.getrefcount(None) - before) < 200
