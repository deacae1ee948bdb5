"""The command line as a stranger calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of ``nodus`` gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """Standard output as one JSON object."""
        return json.loads(self.out)


@pytest.fixture(scope="session")
def nodus():
    """Call ``nodus`` in a process of its own."""

    def call(*args, timeout: float = 280) -> Answer:
        run = subprocess.run([sys.executable, "-m", "app", *map(str, args)], capture_output=True, text=True, timeout=timeout, cwd=Path(__file__).resolve().parents[2])
        assert "Traceback" not in run.stderr, run.stderr
        return Answer(run.returncode, run.stdout, run.stderr)

    return call


@pytest.fixture(scope="session")
def demo_folder(nodus, tmp_path_factory) -> Path:
    """The whole headless main job, done once for all tests that look at its results."""
    out = tmp_path_factory.mktemp("demo") / "out"
    answer = nodus("demo", "--headless", "--out", out, timeout=290)
    assert answer.code == 0, answer.err
    return out
