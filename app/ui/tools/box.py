"""All tools of a window; the one in hand follows ``session.tool``."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.ui.tools.base import Tool
from app.ui.tools.brush import BrushTool
from app.ui.tools.caliper import CaliperTool, EllipsoidTool
from app.ui.tools.contour import ContourTool
from app.ui.tools.contrast_bar import ContrastBarTool
from app.ui.tools.contrast_region import ContrastPanesTool, ContrastRegionTool
from app.ui.tools.crosshair import CrosshairTool
from app.ui.tools.cut import CutTool
from app.ui.tools.landmark import LandmarkTool
from app.ui.tools.livewire import LivewireTool
from app.ui.tools.model import ModelTool
from app.ui.tools.needle import NeedleTool
from app.ui.tools.node import NodeTool
from app.ui.tools.picture_outline import PictureOutlineTool
from app.ui.tools.region import RegionTool, ThresholdTool
from app.ui.tools.scale import ScaleTool
from app.ui.tools.scribble import ScribbleTool
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
                ContourTool(session),
                ScribbleTool(session),
                RegionTool(session),
                ThresholdTool(session),
                CutTool(session),
                CaliperTool(session),
                EllipsoidTool(session),
                NeedleTool(session),
                StructureTool(session),
                ModelTool(session),
                LivewireTool(session),
                LandmarkTool(session),
                ScaleTool(session),
                ContrastRegionTool(session),
                ContrastPanesTool(session),
                ContrastBarTool(session),
            )
        }
        self._on_pictures: dict[str, Tool] = {"node": PictureOutlineTool(session)}
        self._had_picture = session.picture is not None
        self._name = session.tool
        session.picture_changed.connect(self._take_picture)
        session.image_changed.connect(self._take_image)
        session.outlines_changed.connect(self.changed)  # what to do next follows what is drawn
        session.contrast_changed.connect(self.changed)
        session.tool_changed.connect(self._take)

    @property
    def current(self) -> Tool:
        """The tool in hand."""
        tool = self.tools[self._name]
        return self._on_pictures.get(self._name, tool) if self._had_picture else tool

    def _take_picture(self) -> None:
        """A picture came or went: what was begun on the one before is dropped."""
        self.current.cancel()
        self._had_picture = self.session.picture is not None
        self.changed.emit()

    def _take_image(self) -> None:
        """Another volume, or none: what was begun on the one before is dropped, and nothing is under the mouse yet."""
        self.current.cancel()
        for tool in (*self.tools.values(), *self._on_pictures.values()):
            tool.at = None
        self.changed.emit()

    def is_outlining(self) -> bool:
        """True while a radius is dragged or the outline that followed it is still being made. A
        preview that comes in later than that must not stay on screen."""
        dragging = any(self.tools[name].is_dragging for name in ("node", "region", "threshold"))
        return dragging or self.session.is_drawing

    def escape(self) -> None:
        """Drop what was begun and put the tool away."""
        self.current.cancel()
        self.session.set_tool("crosshair")
        self.changed.emit()

    def release(self) -> None:
        """The panes are going: drop what was begun, and nothing is under the mouse any more."""
        self.current.cancel()
        for tool in (*self.tools.values(), *self._on_pictures.values()):
            tool.at = None

    def _take(self, name: str) -> None:
        if name != self._name:  # also told when only the brush changed
            self.current.cancel()
            at = self.current.at
            self._name = name
            self.current.at = at
        self.changed.emit()
