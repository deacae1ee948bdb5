"""The cohort, as an entry of the list in ``actions``."""

from __future__ import annotations

from app.ui.actions import Action
from app.ui.panels.cohort import open_cohort
from app.ui.text import t


def cohort_actions(window) -> list[Action]:
    """The way to the cohort for a ``MainWindow``."""
    s = window.session
    return [Action("cohort", t("Cohort…"), "view", lambda: open_cohort(s, window), ("Ctrl+Alt+C",), tip=t("All subjects together: figures, tables, endpoints"), group=3, enabled=s.may_see_cohort)]
