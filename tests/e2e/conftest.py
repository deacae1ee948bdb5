"""The command line as a stranger calls it."""

from __future__ import annotations

import contextlib
import io
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


# Commands whose next word is a command of its own.
WITH_VERBS = {"study", "audit", "pacs"}


def in_a_process(arguments: list[str], timeout_s: float) -> Answer:
    """``nodus`` in a process of its own."""
    run = subprocess.run([sys.executable, "-m", "app", *arguments], capture_output=True, text=True, timeout=timeout_s, cwd=Path(__file__).resolve().parents[2])
    return Answer(run.returncode, run.stdout, run.stderr)


def in_this_process(arguments: list[str]) -> Answer:
    """The same entry without a new start, which takes seconds of importing."""
    from app.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def nodus():
    """Call ``nodus``: each command (and verb) of a run in a process of its own the first time, and
    wherever ``own_process`` asks for it, later by the entry of the command line in this process."""
    started: set[tuple[str, ...]] = set()

    def call(*args, timeout: float = 280, own_process: bool = False) -> Answer:
        arguments = [str(a) for a in args]
        command = tuple(arguments[: 2 if arguments[0] in WITH_VERBS else 1])
        if own_process or command not in started:
            started.add(command)
            answer = in_a_process(arguments, timeout)
        else:
            answer = in_this_process(arguments)
        assert "Traceback" not in answer.err, answer.err
        return answer

    return call


@pytest.fixture(scope="session")
def demo_folder(nodus, tmp_path_factory) -> Path:
    """The whole headless main job, done once for all tests that look at its results."""
    out = tmp_path_factory.mktemp("demo") / "out"
    answer = nodus("demo", "--headless", "--out", out, timeout=290)
    assert answer.code == 0, answer.err
    return out
