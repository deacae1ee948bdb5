"""No safe field is established for any nerve or vessel: no text that a reader meets may say otherwise.

Looked at are all texts in the program's code that are no docstrings, the documentation, and the data with its notes. The few
places that speak of something else (files, keys, the killed program) are listed here; each is checked to be there still.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = re.compile(r"\b(spared|sparing|safe|safely|safer|safest|safety|unharmed|unaffected|harmless|risk-free|no risk|not at risk)\b", re.IGNORECASE)
# What must be spared is an aim; that something was spared would be a claim.
AIM = re.compile(r"\bmust (not )?be spared\b|\bno safe field\b|\bnever (labelled|called) .?spared\b", re.IGNORECASE)
ELSEWHERE = {
    ("app/secrets.py", "keeps secrets safely"),
    ("resources/docs/codes.md", "can be opened safely"),
    ("resources/docs/study.md", "Safe when it is killed"),
    ("resources/docs/demonstration.md", "seven harmless nodes"),  # of the made neck: without disease
}


@cache
def sayings() -> tuple[int, list[tuple[str, str]]]:
    """How many files were looked at, and ``(path, text)`` of every text in those that hold one of the words at all: code
    without docstrings, pages and data line by line."""
    out, looked_at = [], 0
    for package in ("app", "planning", "volumetry", "dicom_io"):
        for path in sorted((ROOT / package).rglob("*.py")):
            looked_at += 1
            content = path.read_text(encoding="utf-8")
            if not CLAIMS.search(content):
                continue
            tree = ast.parse(content)
            # A text that stands alone (a docstring) is for programmers.
            alone = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
                    out.append((path.relative_to(ROOT).as_posix(), node.value))
    for pattern in ("resources/docs/**/*.md", "resources/**/*.json", "README.md", "CHANGELOG.md"):
        for path in sorted(p for p in ROOT.glob(pattern) if p.parent.name != "deidentify"):  # words of the DICOM standard
            looked_at += 1
            out += [(path.relative_to(ROOT).as_posix(), line) for line in path.read_text(encoding="utf-8").splitlines()]
    return looked_at, out


def claims(texts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that hold one of the words in another sense than the known ones."""
    out = []
    for path, text in texts:
        rest = AIM.sub("", text)
        for known_path, phrase in ELSEWHERE:
            if path == known_path:
                rest = rest.replace(phrase, "")
        if CLAIMS.search(rest):
            out.append((path, text.strip()[:160]))
    return out


def test_that_nothing_says_that_a_structure_is_spared_or_safe():
    looked_at, texts = sayings()
    assert looked_at > 300  # the program's texts were really looked at
    assert claims(texts) == []


def test_that_such_a_claim_would_be_found():
    told = [("a.py", "The vagus nerve is spared."), ("a.py", "Safe distance kept"), ("app/secrets.py", "A safe needle"), ("a.py", "carotid: not at risk")]
    assert claims(told) == told
    assert claims([("a.py", "through a structure that must be spared"), ("n.json", "no safe field is established")]) == []


def test_that_the_exceptions_are_still_there():
    _, texts = sayings()
    gone = [(path, phrase) for path, phrase in ELSEWHERE if not any(p == path and phrase in text for p, text in texts)]
    assert gone == []


def test_that_no_colour_tells_a_reader_that_a_structure_is_well():
    from app.ui.models.plan import at_risk_columns
    from app.ui.widgets import palette

    calm = {"name": "left vagus nerve", "max_v_per_cm": 0.0, "volume_above_lethal_ml": 0.0, "min_distance_mm": 60.0, "volume_ml_by_v_per_cm": {}}
    colours = {column.colour(calm) for column in at_risk_columns() if column.colour is not None}
    assert colours <= {palette.MUTED, palette.DANGER, None}
