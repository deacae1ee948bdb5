"""Every element that was changed, and never what stood there."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pydicom.tag import BaseTag, Tag

ACTIONS = ("removed", "emptied", "replaced", "mapped", "shifted", "masked", "rewritten", "added")


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one element, ``count`` times. ``keyword`` is empty where the dictionary has none."""

    tag: str
    keyword: str
    action: str
    count: int = 1

    def to_dict(self) -> dict:
        """As in the answer of ``nodus deidentify``."""
        return asdict(self)


class ChangeLog:
    """Counts changes by element and kind."""

    def __init__(self) -> None:
        self._found: Counter[tuple[int, str, str]] = Counter()

    def add(self, tag: BaseTag | int, keyword: str, action: str, count: int = 1) -> None:
        """Note one change. ``action`` is one of ``ACTIONS``."""
        self._found[(int(tag), keyword, action)] += count

    def changes(self) -> tuple[Change, ...]:
        """All changes, by tag. Private elements are told by group and element only, as their names could say something."""
        return tuple(Change(_name(tag), keyword, action, n) for (tag, keyword, action), n in sorted(self._found.items()))


def _name(tag: int) -> str:
    return f"({Tag(tag).group:04X},{Tag(tag).elem:04X})"


def merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes of several files as one list, by tag."""
    total: Counter[tuple[str, str, str]] = Counter()
    for c in changes:
        total[(c.tag, c.keyword, c.action)] += c.count
    return tuple(Change(*key, n) for key, n in sorted(total.items()))


def as_csv(changes: Iterable[Change]) -> str:
    """The list as a table: tag, keyword, action, count."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(("tag", "keyword", "action", "count"))
    table.writerows((c.tag, c.keyword, c.action, c.count) for c in changes)
    return out.getvalue()
