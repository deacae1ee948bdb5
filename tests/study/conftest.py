"""A small study to work on, in a folder or on a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import argon2
import pytest

from app.study import users
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder

# Modules whose tests say the same of both databases. A test that opens the SQLite file itself is marked so.
ON_BOTH = ("test_store", "test_sites", "test_readings", "test_readings_together", "test_treatment", "test_users", "test_signing", "test_blinding", "test_adjudication", "test_stateful", "test_tampering", "test_backup")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on both databases where that says something."""
    if "backend" in metafunc.fixturenames:
        both = metafunc.module.__name__.rpartition(".")[2] in ON_BOTH and metafunc.definition.get_closest_marker("sqlite_only") is None
        metafunc.parametrize("backend", ["sqlite", "postgresql"] if both else ["sqlite"], indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """Which database: ``sqlite`` or ``postgresql``."""
    return request.param


@pytest.fixture
def new_place(backend: str, tmp_path: Path, request: pytest.FixtureRequest):
    """Where a new study may be made: called with a name, gives a folder or a URL."""
    if backend == "sqlite":
        return lambda name="study": tmp_path / name
    server = request.getfixturevalue("server")
    return lambda name="study": f"{server.new_database()}?blobs={tmp_path / name}"


@pytest.fixture
def store(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StudyStore]:
    """A new, empty study."""
    if backend == "sqlite":
        made = StudyStore.create(tmp_path / "study", user="tester")
    else:
        made = StudyStore.open(request.getfixturevalue("server").new_study(tmp_path / "study"), user="tester")
    with made:
        yield made


@pytest.fixture
def case(store: StudyStore) -> CaseBuilder:
    """A study with one subject, two visits and one node."""
    return CaseBuilder(store)


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing as cheap as the library allows: the tests sign hundreds of times."""
    monkeypatch.setattr(users, "_HASHER", argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST))
