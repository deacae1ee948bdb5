"""Fixtures shared by all tests: where outside data lies, and what CI may never skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.settings import prepare_process

# As the program itself starts, and before anything imports Numba: threads that wait do not spin on
# the cores of the other half of the suite, and ``./test`` finds the kernels that it compiled ahead.
# Single rooms tested by hand keep their kernels beside the sources, where a change of one kernel
# compiles that one anew and not all.
if "NODUS_TEST_SHARED" not in os.environ:
    os.environ.setdefault("NUMBA_CACHE_DIR", "")
prepare_process()

IN_CI = os.environ.get("CI", "").lower() == "true"


def skip_or_fail(reason: str) -> None:
    """Skip where something outside the repository is missing; on CI that is a failure."""
    if IN_CI:
        pytest.fail(f"not available on CI: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real files with known answers: NODUS_TEST_DATA, else ../shared/data."""
    root = Path(os.environ.get("NODUS_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not root.is_dir():
        skip_or_fail("the shared data folder is absent (set NODUS_TEST_DATA)")
    return root


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server for this run of the tests."""
    from tests.study.server import Server, program

    if os.name != "posix" or program("initdb") is None or program("postgres") is None:
        skip_or_fail("PostgreSQL is not installed")
    started = Server()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def demo_case(tmp_path_factory):
    """The whole demonstration case on disk, made once for all processes of a run. Read only.

    ``NODUS_TEST_SHARED`` names the folder that runs side by side share."""
    from tests.factories import shared_demo_case

    base = tmp_path_factory.getbasetemp()
    together = os.environ.get("NODUS_TEST_SHARED")
    return shared_demo_case(Path(together) if together else base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base)


@pytest.fixture
def record_result():
    """Write the dated result of a long run to ``resources/docs/results/NAME.md``."""
    import datetime as dt

    from app import __version__
    from app.usecases.bench import machine_name

    def write(name: str, title: str, body: str) -> None:
        folder = Path(__file__).resolve().parents[1] / "resources" / "docs" / "results"
        folder.mkdir(parents=True, exist_ok=True)
        head = f"# {title}\n\nRun on {dt.datetime.now(dt.UTC):%Y-%m-%d} with Nodus {__version__} on {machine_name()}, by `./test long`.\n\n"
        (folder / f"{name}.md").write_text(head + body.rstrip() + "\n", encoding="utf-8")

    return write


# Tests that open windows, start programs, generate the whole case or register volumes: the inner
# loop (``./test fast``) leaves them out, the ordinary suite runs them all.
SLOW_ROOMS = (
    "tests/demo/",
    "tests/e2e/",
    "tests/fuzz/",
    "tests/ui/",
    "tests/usecases/",
    "tests/study/test_kill.py",
    "tests/volumetry/segmentation/test_star_convex.py",
    "tests/volumetry/test_registration.py",
    "tests/volumetry/test_planimetry.py",
)


def pytest_collection_modifyitems(items) -> None:
    """Mark the rooms above as slow."""
    for item in items:
        if item.nodeid.startswith(SLOW_ROOMS):
            item.add_marker(pytest.mark.slow)
