"""The panel at the right of the pictures, one a step."""

from __future__ import annotations

from importlib import import_module

from PySide6.QtWidgets import QWidget

from app.ui.session import STEPS, Session

_PLACES = {
    "images": ("app.ui.panels.images", "ImagesPanel"),
    "measure": ("app.ui.panels.measure", "MeasurePanel"),
    "plan": ("app.ui.panels.plan", "PlanPanel"),
    "follow_up": ("app.ui.panels.follow_up", "FollowUpPanel"),
    "report": ("app.ui.panels.report", "ReportPanel"),
}


def make_panel(step: str, session: Session) -> QWidget:
    """The panel of one of ``STEPS``. Modules are loaded when first asked for, so that the window
    opens before the chart library is read."""
    if step not in STEPS:
        raise ValueError(f"There is no step {step!r}; the steps are {', '.join(STEPS)}.")
    module, name = _PLACES[step]
    return getattr(import_module(module), name)(session)
