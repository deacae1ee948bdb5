"""What can be done with a user's own network, as entries of the list in ``actions``."""

from __future__ import annotations

from app.ui.actions import Action
from app.ui.text import t


def model_actions(window) -> list[Action]:
    """Ask for a proposal, take it, discard it, choose the model, for a ``MainWindow``."""
    s = window.session

    def may() -> bool:
        return s.model_is_on and s.image is not None and s.picture is None

    def waits() -> bool:
        return s.proposal is not None

    def choose() -> None:
        from app.ui.dialogs.model_slot import open_model_dialog

        open_model_dialog(s, window)

    return [
        Action("model", t("Outline by model"), "tools", s.outline_by_model, ("Shift+N",), tip=t("Your own network proposes an outline at the crosshair; off unless switched on under Tools"), group=3, checked=lambda: s.tool == "model", enabled=may),
        Action("model_accept", t("Take the proposed outline"), "tools", s.accept_proposal, ("Return", "Enter"), tip=t("One undo step; the model is recorded with the reading"), group=3, enabled=waits),
        Action("model_discard", t("Discard the proposed outline"), "tools", window.toolbox.escape, tip=t("Esc does the same"), group=3, enabled=lambda: waits() or s.model_is_working),
        Action("model_slot", t("Model for outlines…"), "tools", choose, tip=t("Choose a trained network of your own and switch it on or off"), group=3),
    ]  # fmt: skip
