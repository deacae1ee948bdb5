"""The documentation's pages are there, say what they must and lead nowhere that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import INVESTIGATIONAL_NOTICE

DOCS = Path(__file__).resolve().parents[2] / "resources" / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_that_every_link_of_a_page_leads_to_a_page(page):
    targets = re.findall(r"\]\(([^)#]+\.(?:md|png))", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_that_every_page_says_investigational_use_only(page):
    assert INVESTIGATIONAL_NOTICE.split(" –")[0].split(".")[0].lower() in page.read_text(encoding="utf-8").lower()


def test_that_the_index_names_every_page():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert [p.name for p in PAGES if p.name != "index.md" and f"({p.name})" not in index] == []
