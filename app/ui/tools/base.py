"""The shape of a mouse tool and of what a pane tells it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter

from app.ui.style import MUTED, TEXT
from app.ui.widgets.figures import interval_text, number_text, volume_decimals


@dataclass(frozen=True, slots=True, eq=False)
class PaneEvent:
    """The mouse over a pane. ``point`` is LPS mm (3) on a volume, pixels (2) on a picture;
    ``through_axis`` is the plane's ``plane_axis`` for brushes: 0, 1, 2 = across k, j, i."""

    pane: object
    x: float
    y: float
    point: np.ndarray
    modifiers: Qt.KeyboardModifier
    through_axis: int | None = None

    @property
    def on_volume(self) -> bool:
        """False on an ultrasound picture."""
        return self.through_axis is not None

    def has(self, modifier: Qt.KeyboardModifier) -> bool:
        """True while that modifier key is down."""
        return bool(self.modifiers & modifier)


class Tool:
    """A tool: nothing here is kept on screen unless it is told to the session."""

    name = ""
    cursor = Qt.CursorShape.CrossCursor
    works_on_pictures = False
    shows_anchors = False  # points of a picture's outline that can be dragged
    works_on_other_visit = False

    def __init__(self, session):
        self.session = session
        self.at: PaneEvent | None = None  # where the mouse is

    def hint(self) -> str:
        """One line that says what to do next."""
        return ""

    def press(self, event: PaneEvent) -> None:
        """Left button down."""

    def move(self, event: PaneEvent) -> None:
        """Mouse moves with the left button down."""

    def release(self, event: PaneEvent) -> None:
        """Left button up."""

    def hover(self, event: PaneEvent) -> None:
        """Mouse moves without a button."""

    def key_pressed(self, pane, key: int) -> bool:
        """A key over a pane; True where the tool took it."""
        return False

    def cancel(self) -> None:
        """Esc, or another tool was taken: drop what was begun, keep what was done."""

    def paint(self, painter: QPainter, pane) -> None:
        """Draw over a pane."""

    def live_lines(self) -> list[tuple[str, str]]:
        """Numbers beside the cursor: (text, colour)."""
        return []


def node_lines(session, *, with_axes: bool = True) -> list[tuple[str, str]]:
    """Volume with its interval, and axes, of the current node as measured last."""
    state = session.nodes.get(session.current_node_id)
    m = state.measurement if state is not None else None
    if m is None or m.voxel_count == 0:
        return []
    decimals = volume_decimals(m.voxel_volume_ml)  # the volume that the reading stores
    lines = [(f"{state.node.label}  {number_text(m.voxel_volume_ml, decimals)} ml", TEXT)]
    if m.volume_interval_ml is not None:
        lines.append((f"{interval_text(m.volume_interval_ml, decimals)} ml (95 %)", MUTED))
    if with_axes and m.long_axis_mm is not None:
        short = "" if m.short_axis_mm is None else f" × {m.short_axis_mm:.1f}"
        lines.append((f"{m.long_axis_mm:.1f}{short} mm", MUTED))
    return lines


def draft_mask(state):
    """The outline on screen of a ``NodeState`` (has ``array`` and ``geometry``), or None."""
    return None if state is None else state.draft
