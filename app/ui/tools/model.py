"""Show what the user's own network proposes; Enter takes it, Esc discards it, a click asks again there."""

from __future__ import annotations

from PySide6.QtGui import QColor, QPainter

from app.ui.style import ACCENT, MUTED, TEXT, WARNING
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.views import overlays
from app.ui.widgets.figures import number_text, volume_decimals


class ModelTool(Tool):
    """The proposal is drawn dashed until somebody takes it; putting the tool away discards it."""

    name = "model"

    def __init__(self, session):
        super().__init__(session)
        session.image_changed.connect(session.drop_proposal)
        session.picture_changed.connect(session.drop_proposal)

    def hint(self) -> str:
        """What waits, and what can be done with it."""
        session = self.session
        if session.proposal is not None:
            state = session.current
            whose = t("a new node") if state is None else state.node.label
            return t("Enter: outline of {node} · Esc: discard · click: ask anew").format(node=whose)
        if session.model_is_working:
            return t("The model is working · Esc: stop it")
        return t("Click inside a node: the model proposes its outline")

    def press(self, event: PaneEvent) -> None:
        """Ask for an outline here."""
        self.at = event
        if event.on_volume:
            self.session.outline_by_model(event.point)

    def hover(self, event: PaneEvent) -> None:
        """The numbers follow the mouse."""
        self.at = event

    def cancel(self) -> None:
        """Discard the proposal; its process ends."""
        self.session.drop_proposal()

    def paint(self, painter: QPainter, pane) -> None:
        """The proposal, dashed."""
        proposal = self.session.proposal
        if proposal is None or getattr(pane, "geometry", None) is None or getattr(pane, "is_other_visit", False):
            return
        segments = overlays.outline_segments(proposal.mask, pane.geometry, pane.view, pane.slice_number)
        overlays.draw_segments(painter, pane.view, segments, QColor(ACCENT), 2.0, dotted=True)
        overlays.label_outline(painter, pane.view, segments, t("proposal"), QColor(ACCENT))

    def live_lines(self) -> list[tuple[str, str]]:
        """What is proposed, by which model, and that nobody has taken it."""
        proposal = self.session.proposal
        if proposal is None:
            return []
        volume = f"{number_text(proposal.volume_ml, volume_decimals(proposal.volume_ml))} ml"
        return [(t("proposal") + f"  {volume}", TEXT), (proposal.model, MUTED), (t("Enter: take it · Esc: discard"), WARNING)]
