"""What can be drawn on a volume, as entries of the list in ``actions``."""

from __future__ import annotations

from collections.abc import Callable

from app.ui.actions import Action
from app.ui.text import t


def drawing_actions(window, has_volume: Callable[[], bool], has_outline: Callable[[], bool]) -> list[Action]:
    """Contour, scribble, region, threshold and cut for a ``MainWindow``, and filling between slices."""
    s = window.session

    def tool(name: str, title: str, key: str, tip: str, enabled: Callable[[], bool], icon: str = "") -> Action:
        return Action(name, title, "tools", lambda: s.set_tool("crosshair" if s.tool == name else name), (key,), icon, tip, checked=lambda: s.tool == name, enabled=enabled)

    return [
        tool("contour", t("Contour"), "O", t("Draw the outline on a few slices, then fill between them (I)"), has_volume, "contour"),
        Action("fill_between", t("Fill between drawn slices"), "tools", s.fill_between, ("I",), "between", t("By shape: slices between drawn ones follow from them"), enabled=has_outline),
        tool("scribble", t("Scribble"), "S", t("Strokes inside, with Ctrl outside; the border between is found"), has_volume, "scribble"),
        tool("region", t("Region"), "G", t("Grow what is like the click, within a ball"), has_volume, "region"),
        tool("threshold", t("Threshold"), "T", t("Take a range of values, within a ball"), has_volume, "threshold"),
        Action("half_way", t("Limits half-way to the surroundings"), "tools", s.threshold_half_way, ("H",), tip=t("Of the threshold: takes in the blurred rim"), enabled=lambda: s.tool == "threshold" and s.threshold_range is not None),
        tool("cut", t("Cut"), "Shift+X", t("Drag a line across the outline; the smaller side goes"), has_outline, "cut"),
    ]
