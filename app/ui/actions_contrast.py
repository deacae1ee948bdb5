"""What can be done with a contrast loop, as entries of the list in ``actions``."""

from __future__ import annotations

from collections.abc import Callable

from app.ui.actions import Action
from app.ui.models.contrast import MAPPED, mark_names
from app.ui.text import t

CONTRAST = (
    "contrast_next", "contrast_swap", "contrast_panes", "contrast_bar", "contrast_read", "contrast_region", "contrast_analyse", "contrast_first", "contrast_last", "contrast_accept", "contrast_join",
    "contrast_take", "contrast_set_arrival", "contrast_set_peak", "contrast_set_late",
)  # fmt: skip
KEYS = {"arrival": "F5", "peak": "F6", "late": "F7"}


def contrast_actions(window) -> list[Action]:
    """The way through a loop, its marks, tools and overlays for a ``MainWindow``."""
    s = window.session

    def has_loop() -> bool:
        return s.contrast is not None and s.step == "measure"

    def is_read() -> bool:
        return has_loop() and s.contrast.is_read

    def has_result() -> bool:
        return has_loop() and s.contrast_result() is not None

    def has_answer() -> bool:
        return has_result() or (has_loop() and s.loops_joined() is not None)

    def one_or_both(one: Callable[[], None], both: Callable[[], None]) -> Callable[[], None]:
        return lambda: (one if s.loops_joined() is None else both)()

    def take(tool: str) -> Callable[[], None]:
        return lambda: s.set_tool("crosshair" if s.tool == tool else tool)

    def next_map() -> None:
        at = MAPPED.index(s.contrast_map) if s.contrast_map in MAPPED else -1
        s.show_contrast_overlay(name=MAPPED[(at + 1) % len(MAPPED)])

    def mark(name: str) -> tuple[Action, Action]:
        words = mark_names()[name]
        return (
            Action(f"contrast_{name}", t("Go to the mark: {name}").format(name=words), "view", lambda: s.go_to_mark(name), (KEYS[name],), group=6, enabled=lambda: has_loop() and name in s.contrast.marks),
            Action(f"contrast_set_{name}", t("Set the mark here: {name}").format(name=words), "tools", lambda: s.set_mark(name), (f"Shift+{KEYS[name]}",), group=3, enabled=is_read),
        )

    return [
        Action("contrast_next", t("Contrast loop: next step"), "tools", s.do_contrast_next, ("J",), tip=t("Confirm the panes, read, analyse, accept, take: one after the other"), group=3, enabled=has_loop),
        Action("contrast_swap", t("Swap contrast and B-mode"), "tools", s.swap_panes, ("Shift+Q",), group=3, enabled=has_loop),
        Action("contrast_panes", t("Draw the panes"), "tools", take("contrast_panes"), ("Shift+B",), group=3, enabled=has_loop, checked=lambda: s.tool == "contrast_panes"),
        Action("contrast_bar", t("Show the colour bar"), "tools", take("contrast_bar"), ("Shift+K",), tip=t("Drag a box round the contrast's colour bar"), group=3, enabled=has_loop, checked=lambda: s.tool == "contrast_bar"),
        Action("contrast_read", t("Read the loop"), "tools", s.read_loop, ("Shift+R",), group=3, enabled=has_loop),
        Action("contrast_region", t("Region of the loop"), "tools", take("contrast_region"), ("Shift+G",), tip=t("Click corners or drag round it, in either picture; 1 to 6 choose what it stands for"), group=3, enabled=is_read, checked=lambda: s.tool == "contrast_region"),
        Action("contrast_analyse", t("Analyse the loop"), "tools", s.analyse_contrast, ("Shift+A",), group=3, enabled=is_read),
        *(action for name in KEYS for action in mark(name)),
        Action("contrast_first", t("The loop starts here"), "tools", lambda: s.trim_loop(first=s.frame_index), ("F8",), group=3, enabled=has_loop),
        Action("contrast_last", t("The loop ends here"), "tools", lambda: s.trim_loop(last=s.frame_index), ("Shift+F8",), group=3, enabled=has_loop),
        Action("contrast_corrected", t("Motion corrected picture"), "view", s.show_corrected, ("F9",), group=6, enabled=is_read, checked=lambda: s.contrast is not None and s.contrast.corrected),
        Action("contrast_enhancement", t("What enhances, over the contrast"), "view", lambda: s.show_contrast_overlay("enhancement"), ("Y",), group=6, enabled=has_result, checked=lambda: has_result() and s.contrast_overlay == "enhancement"),
        Action("contrast_map", t("Parameter map over the contrast"), "view", lambda: s.show_contrast_overlay("map"), ("Shift+Y",), group=6, enabled=has_result, checked=lambda: has_result() and s.contrast_overlay == "map"),
        Action("contrast_next_map", t("Next parameter of the map"), "view", next_map, ("Ctrl+M",), group=6, enabled=has_result),
        Action("contrast_earlier", t("Compare with Day 0, by size"), "view", s.toggle_earlier_shape, ("Shift+O",), tip=t("Zone drawn earlier, then the planned zone, then nothing: true size about the middle of today's node; two planes are never the same"), group=6, enabled=is_read, checked=lambda: s.earlier_found is not None),
        Action("contrast_join", t("Join both planes"), "tools", s.join_planes, ("Shift+J",), tip=t("What enhances of this node, by two loops at a right angle"), group=3, enabled=lambda: has_loop() and s.other_loop() is not None),
        Action("contrast_accept", t("Accept the proposed grade"), "tools", one_or_both(s.accept_grade, s.accept_joined_grade), ("Shift+U",), group=3, enabled=has_answer),
        Action("contrast_take", t("Take the loop into the reading"), "tools", one_or_both(s.take_contrast, s.take_joined), ("Shift+W",), group=3, enabled=has_answer),
    ]  # fmt: skip
