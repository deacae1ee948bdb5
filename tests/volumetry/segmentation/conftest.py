"""The tables of ``resources/docs/segmentation-accuracy.md`` are written by the runs that measured them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from app import __version__
from app.usecases.bench import machine_name

PAGE = Path(__file__).resolve().parents[3] / "resources" / "docs" / "segmentation-accuracy.md"


def filled(page: str, name: str, body: str) -> str:
    """``page`` with ``body`` between the marks of table ``name``; raises ``ValueError`` without them."""
    start, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.split(start)
    _, after = rest.split(end)
    return f"{before}{start}\n{body.rstrip()}\n{end}{after}"


@pytest.fixture
def record_table() -> Callable[[str, Iterable[str], Iterable[Iterable[str]]], None]:
    """Write one table of the page: ``record_table(name, header, rows)``."""

    def write(name: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        header = list(header)
        lines = [f"Run on {dt.datetime.now(dt.UTC):%Y-%m-%d} with Nodus {__version__} on {machine_name()}.", ""]
        lines += ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *map(list, rows))]
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), name, "\n".join(lines)), encoding="utf-8")

    return write
