"""A small study to work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.study.store import StudyStore
from tests.study.builders import CaseBuilder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StudyStore]:
    """A new, empty study."""
    with StudyStore.create(tmp_path / "study", user="tester") as made:
        yield made


@pytest.fixture
def case(store: StudyStore) -> CaseBuilder:
    """A study with one subject, two visits and one node."""
    return CaseBuilder(store)
