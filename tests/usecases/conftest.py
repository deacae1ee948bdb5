"""A small study and one measured node to work on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.study.store import StudyStore
from tests.factories import EllipsoidCT, ellipsoid_image
from tests.study.builders import CaseBuilder


@pytest.fixture
def store(tmp_path) -> Iterator[StudyStore]:
    """A new, empty study."""
    with StudyStore.create(tmp_path / "study", user="tester") as made:
        yield made


@pytest.fixture
def case(store) -> CaseBuilder:
    """A study with one subject, three visits and one node."""
    return CaseBuilder(store)


@pytest.fixture(scope="session")
def ct() -> EllipsoidCT:
    """A CT of one ellipsoid in memory, with its true mask."""
    return ellipsoid_image()
