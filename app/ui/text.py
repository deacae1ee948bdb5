"""Texts on screen: written in English in the code, looked up here in the reader's language.

``resources/i18n/<language>.json`` maps each English text to its translation. A text without one is
shown in English, so a half-finished language is readable, never blank.
"""

from __future__ import annotations

import json
from importlib import resources

_language = "en"
_texts: dict[str, str] = {}


def languages() -> list[str]:
    """Codes of the languages that ``resources/i18n`` holds, sorted."""
    folder = resources.files("resources").joinpath("i18n")
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def set_language(code: str) -> None:
    """Use a language from now on; texts already on screen stay until the window is made anew.

    Raises ``FileNotFoundError`` for a language that is not there.
    """
    global _language, _texts
    entry = resources.files("resources").joinpath("i18n", f"{code}.json")
    _texts = json.loads(entry.read_text(encoding="utf-8"))["texts"]
    _language = code


def language() -> str:
    """Code of the language in use."""
    return _language


def t(english: str) -> str:
    """The text in the reader's language, or the English one where there is no translation."""
    return _texts.get(english, english)
