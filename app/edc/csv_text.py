"""CSV as text: UTF-8 without a mark, comma, RFC 4180 quotes, lines end with a line feed; no text runs as a formula.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` (also as wide letters, or behind a tab or a line end). A text of
that kind gets an apostrophe in front, and so does one that has such apostrophes already: so the text itself always comes back, whole. Numbers,
dates and times are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]")
_FIRST = frozenset("'=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_QUOTED = re.compile('[,"\r\n]')


def guarded(text: str) -> str:
    """A text as it stands in a cell."""
    return f"'{text}" if text and text[0] in _FIRST and _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text of a cell that ``guarded`` wrote."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def csv_bytes(head: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A table of two columns at least. The ``csv`` module leaves a carriage return without quotes, where no reader finds the cell's end."""
    return "".join(f"{_line(cells)}\n" for cells in (head, *rows)).encode("utf-8")


def _line(cells: Sequence[str]) -> str:
    line = ",".join(cells)
    if line.count(",") == len(cells) - 1 and '"' not in line and "\n" not in line and "\r" not in line:
        return line
    return ",".join('"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells)
