"""A Qt platform for tests: the X server where there is one, else Qt's own off-screen one."""

from __future__ import annotations

import os
import sys

import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture
def session(qapp):
    """A session with nothing open; its threads end with the test."""
    from app.ui.session import Session
    from app.ui.style import apply_style

    apply_style(qapp)
    made = Session()
    yield made
    made.jobs.close()
    made.deleteLater()
