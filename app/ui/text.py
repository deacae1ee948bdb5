"""Texts on screen: written in English in the code, looked up here in the reader's language.

``resources/i18n/<language>.json`` maps each English text to its translation (``texts``), and the
sentences that other parts of the program put together (``sentences``: refusals, findings, names of
jobs and of undo steps) with ``{}`` for each part that varies. A text without a translation is
shown in English, so a half-finished language is readable, never blank.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib import resources

from volumetry.errors import NodusError

ENGLISH = "en"
_HOLE = re.compile(r"(?:\{\})+")  # parts that vary beside each other are one
_language = ENGLISH
_texts: dict[str, str] = {}
_patterns: list[tuple[re.Pattern, str]] = []


class LanguageUnknown(NodusError):
    """A language that is not in ``resources/i18n``."""

    default_code = "language_unknown"


def languages() -> list[str]:
    """Codes of the languages that ``resources/i18n`` holds, sorted."""
    folder = resources.files("resources").joinpath("i18n")
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def language_names() -> dict[str, str]:
    """Code of each language and its name in itself."""
    return {code: _content(code)["name"] for code in languages()}


def set_language(code: str) -> None:
    """Use a language from now on; texts already on screen stay until the window is made anew.

    ``zh_CN`` names the same as ``zh-CN``. Raises ``LanguageUnknown``.
    """
    global _language, _texts, _patterns
    code = code.replace("_", "-")
    if code not in languages():
        raise LanguageUnknown(f"There is no language {code}; there are {', '.join(languages())}.")
    content = _content(code)
    sentences = content.get("sentences", {})
    _texts = {k: v for k, v in sentences.items() if "{}" not in k} | content["texts"]
    # The one that says most itself comes first: it fits best where several fit.
    filled = sorted((k for k in sentences if "{}" in k), key=lambda k: -len(_HOLE.sub("", k)))
    _patterns = [(_pattern(k), sentences[k]) for k in filled]
    _language = code
    said.cache_clear()


def language() -> str:
    """Code of the language in use."""
    return _language


def t(english: str) -> str:
    """The text in the reader's language, or the English one where there is no translation."""
    return _texts.get(english) or (said(english) if _texts else english)


@lru_cache(maxsize=2000)
def said(sentence: str) -> str:
    """A sentence put together elsewhere, in the reader's language: as it stands, by the pattern that fits it, or each of
    its sentences for itself. What no pattern fits stays as it is."""
    if not _texts or not sentence:
        return sentence
    if sentence in _texts:
        return _texts[sentence]
    stripped = sentence.strip()
    if stripped != sentence:
        return sentence.replace(stripped, said(stripped))
    for pattern, words in _patterns:
        found = pattern.fullmatch(sentence)
        if found:
            return words.format(*(said(part) for part in found.groups()))
    # Names may hold a full stop, so only a capital letter after it begins another sentence.
    parts = re.split(r"(?<=[.!?;:]) (?=[A-Z])", sentence)
    if len(parts) > 1:
        return " ".join(said(part) for part in parts)
    parts = sentence.split(", ")  # a list
    return ", ".join(said(part) for part in parts) if len(parts) > 1 else sentence


def told(message: str, code: str) -> str:
    """A finding's or refusal's sentence in the reader's language; where there is none, in English with its code, by which
    it stands in the documentation."""
    words = said(message)
    is_english = words == message and not any(ord(letter) > 0x2FFF for letter in words)
    return f"{message} [{code}]" if _texts and is_english and code else words


def _content(code: str) -> dict:
    return json.loads(resources.files("resources").joinpath("i18n", f"{code}.json").read_text(encoding="utf-8"))


def _pattern(template: str) -> re.Pattern:
    return re.compile("(.+?)".join(re.escape(part) for part in _HOLE.split(template)), re.DOTALL)
