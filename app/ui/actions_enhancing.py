"""The enhancing part by a pair of CTs, as entries of the list in ``actions``."""

from __future__ import annotations

from app.ui.actions import Action
from app.ui.text import t

KEYS = {"enhancing_pair": "Ctrl+Alt+P", "enhancing_take": "Ctrl+Alt+W", "enhancing_leave": "Ctrl+Alt+X"}


def enhancing_actions(window) -> list[Action]:
    """Work it out, take it, leave it, for a ``MainWindow``."""
    s = window.session

    def measuring() -> bool:
        return s.step == "measure" and s.current is not None and s.image is not None

    return [
        Action("enhancing_pair", t("Enhancing part from the pair of CTs"), "tools", s.work_out_pair, (KEYS["enhancing_pair"],), tip=t("The CT before contrast is taken off the one on screen"), group=3, enabled=measuring),
        Action("enhancing_take", t("Take the enhancing part of the pair"), "tools", s.take_pair, (KEYS["enhancing_take"],), group=3, enabled=measuring),
        Action("enhancing_leave", t("Leave the enhancing part of the pair"), "tools", s.leave_pair, (KEYS["enhancing_leave"],), group=3, enabled=measuring),
    ]  # fmt: skip
