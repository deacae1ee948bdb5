"""All tools of a window; the one in hand follows ``session.tool``."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.ui.tools.base import Tool
from app.ui.tools.brush import BrushTool
from app.ui.tools.caliper import CaliperTool, EllipsoidTool
from app.ui.tools.crosshair import CrosshairTool
from app.ui.tools.needle import NeedleTool
from app.ui.tools.node import NodeTool
from app.ui.tools.structure import StructureTool


class ToolBox(QObject):
    """Hands panes the tool in hand. ``changed`` asks them to paint anew."""

    changed = Signal()

    def __init__(self, session, parent=None, *, centre_all=None):
        super().__init__(parent)
        self.session = session
        self.tools: dict[str, Tool] = {
            tool.name: tool
            for tool in (
                CrosshairTool(session, centre_all),
                NodeTool(session),
                BrushTool(session, add=True),
                BrushTool(session, add=False),
                CaliperTool(session),
                EllipsoidTool(session),
                NeedleTool(session),
                StructureTool(session),
            )
        }
        self._name = session.tool
        session.tool_changed.connect(self._take)

    @property
    def current(self) -> Tool:
        """The tool in hand."""
        return self.tools[self._name]

    def is_outlining(self) -> bool:
        """True while a radius is dragged or the outline that followed it is still being made. A
        preview that comes in later than that must not stay on screen."""
        return self.tools["node"].is_dragging or self.session.jobs.is_busy("segment")

    def escape(self) -> None:
        """Drop what was begun and put the tool away."""
        self.current.cancel()
        self.session.set_tool("crosshair")
        self.changed.emit()

    def _take(self, name: str) -> None:
        if name != self._name:  # also told when only the brush changed
            self.current.cancel()
            at = self.current.at
            self._name = name
            self.current.at = at
        self.changed.emit()
