"""Eligibility in words: what a limit asks, where a value is from, what is missing, in the reader's language."""

from __future__ import annotations

from typing import Any

from app.ui.text import t

# How a limit begins, as the study writes it -> the sentence it is shown as.
_LIMITS = {"at most": "at most {limit}", "at least": "at least {limit}", "below": "below {limit}", "above": "above {limit}"}


def limit_text(row: dict[str, Any]) -> str:
    """What the limit asks; a limit in the protocol's own words as it is translated, else as it is written."""
    return ", ".join(_one(part) for part in row["limit"].split(", ")) if row["limit"].startswith(tuple(_LIMITS)) else t(row["limit"])


def _one(limit: str) -> str:
    for begins, sentence in _LIMITS.items():
        if limit.startswith(begins + " "):
            return t(sentence).format(limit=t(limit.removeprefix(begins + " ")))
    return t(limit)


def value_text(row: dict[str, Any]) -> str:
    """A criterion's value with its unit."""
    value = row["value"]
    if value is None:
        return "–"
    words = f"{value:.1f}" if isinstance(value, float) else t(value) if isinstance(value, str) else str(value)
    return f"{words} {t(row['unit'])}".strip()


def criterion_text(row: dict[str, Any]) -> str:
    """The criterion in words."""
    name = row["criterion"].replace("_", " ")
    return t(name[:1].upper() + name[1:])


def eligibility_tip(row: dict[str, Any]) -> str:
    """Limit, source and what is missing."""
    return "\n".join(x for x in (f"{criterion_text(row)}: {value_text(row)}, {t('limit')} {limit_text(row)}", t(row["source"]), t(row["note"])) if x)
