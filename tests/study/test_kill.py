"""Killed in the middle of a save, a study opens again with everything that had been confirmed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.study.audit import verify
from app.study.blobs import is_temporary
from app.study.model import ReadingState
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder

ROOT = Path(__file__).resolve().parents[2]
KILLS = 12
ORDER = [ReadingState.DRAFT, ReadingState.MEASURED, ReadingState.LOCKED]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")


def start(*arguments: str) -> subprocess.Popen:
    """A child process that runs Python code of this repository."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_after(child: subprocess.Popen, delay_s: float) -> list[list[str]]:
    """Kill the child ``delay_s`` after it is ready; the complete lines it had printed, as words."""
    assert child.stdout is not None
    assert child.stderr is not None
    first = child.stdout.readline()
    if first.strip() != "ready":
        child.kill()
        pytest.fail(f"the child did not start: {child.stderr.read()}")
    time.sleep(delay_s)
    child.send_signal(signal.SIGKILL)
    rest, errors = child.communicate(timeout=120)
    assert errors == ""
    return [line.split() for line in rest.split("\n")[:-1]]


@pytest.mark.slow
def test_that_a_dozen_kills_at_random_moments_lose_nothing_that_was_confirmed(case: CaseBuilder, tmp_path: Path) -> None:
    store = case.store
    folder = store.folder
    store.close()
    rng = random.Random()  # truly random: each run of the tests kills at other moments
    confirmed: dict[str, dict[str, str]] = {kind: {} for kind in ("draft", "measured", "locked", "mask", "series")}
    for run in range(KILLS):
        child = start(str(ROOT / "tests" / "study" / "kill_child.py"), str(folder), str(run))
        lines = kill_after(child, rng.uniform(0.0, 0.25))
        for kind, name, sha256 in lines:
            confirmed[kind][name] = sha256
        with StudyStore.open(folder, user="tester") as again:
            states = {r.reading_id: r for r in again.readings()}
            for place, kind in enumerate(("draft", "measured", "locked")):
                for name, sha256 in confirmed[kind].items():
                    assert ORDER.index(states[name].state) >= place, f"{kind} {name} was lost"
                    assert states[name].mask_sha256 == sha256
            for sha256 in confirmed["mask"]:
                assert again.blobs.exists(sha256)
            assert set(confirmed["series"]) <= {s.series_id for s in again.series()}
            leftovers = [p for p in folder.rglob("*") if is_temporary(p.name)]
            assert leftovers == []
            report = verify(again, folder / "audit-head.json", files=run == KILLS - 1)
            assert report.ok, report.faults
    with StudyStore.open(folder, user="tester") as again:
        for sha256 in confirmed["locked"].values():
            assert len(again.get_blob(sha256)) == 200_000
        history = again.draft_mask_history(case.node.node_id, case.visits["Baseline"].visit_id, reader="run-0")
        assert set(history) <= {p.name for p in (folder / "blobs").rglob("*")}
    assert len(confirmed["draft"]) >= KILLS / 4, "the kills came before anything was saved"


def test_that_a_kill_while_a_study_is_made_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    code = "import sys\nfrom app.study.store import StudyStore\nprint('ready', flush=True)\nStudyStore.create(sys.argv[1]).close()\nprint('made', flush=True)"
    rng = random.Random()
    for run in range(5):
        folder = tmp_path / f"study-{run}"
        lines = kill_after(start("-c", code, str(folder)), rng.uniform(0.0, 0.5))
        if (folder / "study.sqlite").exists():
            with StudyStore.open(folder) as store:
                assert verify(store).ok
        else:
            assert lines == []
            with StudyStore.create(folder) as store:  # the next attempt is not in the way of the last
                assert verify(store).ok
        assert not [p for p in folder.rglob("*") if is_temporary(p.name)]
