"""What tests of the contrast workspace share: a small loop with known answers, and hands."""

from __future__ import annotations

from functools import cache

import numpy as np
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest

from app.demo.contrast_cine import SyntheticCine
from tests.ui import mouse
from tests.ui.session.hands import settle
from tests.usecases.contrast_loops import ellipse, made

FRAMES, RANGE_DB = 40, 60.0


@cache
def the_cine() -> SyntheticCine:
    """A node with a nodule left of it, in a loop that breathes and leaves the plane."""
    return made(5, frames=FRAMES, frame_s=1.2, residual="nodule", viable_fraction=0.25, out_of_plane=0.1)


def keys(window, *sequences: str) -> None:
    """Press keys as they are written on them."""
    for sequence in sequences:
        QTest.keySequence(window, QKeySequence(sequence))


def screen(window, point) -> tuple[float, float]:
    """Where a picture pixel lies in the pane."""
    return window.panes.picture.frame.screen_of(point)


def read(qtbot, window) -> None:
    """Confirm, state the range, read."""
    session = window.session
    keys(window, "J")
    session.state_range(RANGE_DB)
    keys(window, "J")
    settle(qtbot, session)
    assert session.contrast.is_read


def draw(window, role: str, points) -> None:
    """Draw a region with the mouse: a click a corner, the first one again closes."""
    session = window.session
    session.set_region_role(role)
    session.set_tool("contrast_region")
    for point in (*points, points[0]):
        mouse.click(window.panes.picture.frame, screen(window, point))
    session.set_tool("crosshair")


def node_outline(pane: str = "bmode", size: float = 1.0) -> list[tuple[float, float]]:
    """Corners of the node in the frame where its true outline lies."""
    return list(np.array(ellipse(the_cine(), pane, size))[::4])


def truth_frame() -> int:
    """The frame in which the truth was made."""
    return the_cine().truth.motion.reference_frame
