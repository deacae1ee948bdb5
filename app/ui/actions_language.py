"""The languages of the window, as entries of the View menu."""

from __future__ import annotations

from app.ui.text import language, language_names


def language_actions(window) -> list:
    """One entry a language, each named in itself: whoever cannot read the present one finds the way back."""
    from app.ui.actions import Action

    return [
        Action(f"language_{code}", name, "view", lambda code=code: window.change_language(code), group=6, checked=lambda code=code: language() == code) for code, name in language_names().items()
    ]
