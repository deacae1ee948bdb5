"""What can be done with two visits side by side, as entries of the list in ``actions``."""

from __future__ import annotations

from app.ui.actions import Action
from app.ui.text import t
from app.ui.views.pane_grid import COMPARE
from app.ui.views.plane import PLANES


def compare_actions(window) -> list[Action]:
    """Layout, plane, landmarks, link and copy for a ``MainWindow``."""
    s, panes = window.session, window.panes

    def compares() -> bool:
        return s.comparison is not None

    def may() -> bool:
        return compares() or bool(s.comparable_visits())

    def next_plane() -> None:
        s.set_compare_plane(PLANES[(PLANES.index(s.compare_plane) + 1) % len(PLANES)])

    def switch() -> None:
        s.use_link("landmarks" if s.comparison.method == "automatic" else "automatic")

    def has_both() -> bool:
        return compares() and s.comparison.automatic is not None and s.comparison.by_landmarks is not None

    return [
        Action("layout_compare", t("Baseline | follow-up"), "view", panes.compare, ("Ctrl+Alt+B",), "compare", tip=t("Another visit beside this one, registered and linked"), group=3, enabled=may, checked=lambda: window.layout_on_screen == COMPARE),
        Action("compare_plane", t("Next plane of both visits"), "view", next_plane, ("Shift+P",), tip=t("Axial, coronal, sagittal"), group=3, enabled=compares),
        Action("compare_switch", t("Link by landmarks, or automatically"), "view", switch, ("Shift+M",), group=3, enabled=has_both),
        Action("compare_end", t("End the comparison"), "view", s.end_comparison, group=3, enabled=compares),
        Action("landmark", t("Landmark"), "tools", lambda: s.set_tool("crosshair" if s.tool == "landmark" else "landmark"), ("M",), tip=t("The same anatomical point in both visits; three or more register them"), checked=lambda: s.tool == "landmark", enabled=compares),
        Action("drop_landmark", t("Remove the last landmark"), "edit", s.remove_landmark, ("Shift+Delete",), group=2, enabled=lambda: compares() and bool(s.comparison.landmarks.pairs or s.comparison.landmarks.half)),
        Action("copy_outline", t("Copy outline from the other visit"), "edit", s.copy_outline, ("Ctrl+Alt+V",), tip=t("As a draft marked propagated, where the protocol allows it"), group=3, enabled=compares),
    ]  # fmt: skip
