"""Two readers at random work on one study: nothing confirmed is lost, no locked value changes, nothing blinded leaks, and
the audit verifies, whatever fails or is killed on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.study.audit import verify, verify_folder
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder
from tests.study.driver import Worker
from tests.study.people import PASSWORD, add_people
from tests.study.test_blinding import everything_told

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(store: StudyStore) -> Path:
    """A study with two subjects and everybody's account, closed; its folder."""
    for subject in ("S-001", "S-002"):
        case = CaseBuilder(store, subject)
        store.add_node(subject, "N2", "right", "II")
        store.add_event(subject, "IRE", "2026-01-07", node_id=case.node.node_id)
    add_people(store)
    store.close()
    return store.folder


def held_by(place: Path) -> dict[tuple[str, int], tuple[str, float | None]]:
    """What the study holds, read by somebody who may see all."""
    with StudyStore.open(place) as store:
        store.sign_in("monitor", PASSWORD)
        return {(r.reading_id, r.version): (str(r.state), r.volume_ml) for r in store.readings(history=True)}


def check_nothing_leaks(worker: Worker, other: Worker) -> None:
    """No number, name or date of the other reader is in anything that the store hands out."""
    told = everything_told(worker.store)
    assert other.reader not in told
    assert "2026-01" not in told
    for state, volume in other.confirmed.values():
        assert repr(volume) not in told, f"a {state} volume of the other reader"
    for reading in worker.store.readings(history=True):
        assert reading.reader == worker.reader


def drive(place: Path, steps: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Two users by turns, with failing writes and reopening; everything is checked on the way."""
    rng = random.Random(seed)
    workers = [Worker(place, "reader-a", seed + 1), Worker(place, "reader-b", seed + 2)]
    for number in range(1, steps + 1):
        worker = rng.choice(workers)
        chance = rng.random()
        if chance < 0.12:
            worker.fail(monkeypatch)
        elif chance < 0.15:
            worker.open()
        else:
            worker.step()
        if number % 20 == 0 or number == steps:
            report = verify(worker.store, files=number == steps)
            assert report.ok, report.faults
            assert held_by(place) == workers[0].confirmed | workers[1].confirmed
            check_nothing_leaks(workers[0], workers[1])
            check_nothing_leaks(workers[1], workers[0])
    for worker in workers:
        worker.store.close()
    return {code: sum(w.codes.get(code, 0) for w in workers) for code in {*workers[0].codes, *workers[1].codes}}


def test_that_two_readers_at_random_work_lose_and_leak_nothing(place: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    done = drive(place, 60, 7, monkeypatch)
    assert done["new"] > 5
    assert done["lock"] > 3
    assert done["change"] > 2


@pytest.mark.long
def test_that_two_readers_at_random_work_lose_and_leak_nothing_for_long(place: Path, monkeypatch: pytest.MonkeyPatch, backend: str, record_result) -> None:
    total: dict[str, int] = {}
    for seed in range(5):
        for code, count in drive(place, 300, 100 * seed, monkeypatch).items():
            total[code] = total.get(code, 0) + count
    rows = "\n".join(f"| `{code}` | {count} |" for code, count in sorted(total.items()))
    record_result(f"stateful-{backend}", f"Two readers at random work ({backend})", f"Five times 300 steps, every twentieth checked: everything confirmed was there, no locked value had changed, nothing blinded was handed out, the audit verified.\n\n| step, or code of its refusal | times |\n| --- | --- |\n{rows}")


def kill_both(place: Path, seed: int, delay_s: float) -> list[list]:
    """Two programs at work on one study, both killed; what they had confirmed, line by line."""
    started = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "study" / "driver.py"), str(place), reader, str(seed + number)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number, reader in enumerate(("reader-a", "reader-b"))
    ]  # fmt: skip
    for child in started:
        if child.stdout.readline().strip() != "ready":
            child.kill()
            pytest.fail(child.communicate()[1])
    time.sleep(delay_s)
    lines = []
    for child in started:
        child.send_signal(signal.SIGKILL)
    for child in started:
        rest, errors = child.communicate(timeout=120)
        assert errors == ""
        lines += [json.loads(line) for line in rest.split("\n")[:-1]]
    return lines


def check_after_kill(place: Path, confirmed: dict, lines: list[list]) -> None:
    for reading_id, version, state, volume in lines:
        confirmed[(reading_id, version)] = (state, volume)
        # A kill may come between a save and its line: then the version before is not known, or not as it was locked.
        before = confirmed.get((reading_id, version - 1))
        if state == "locked" and before is not None and before[0] == "locked":
            confirmed[(reading_id, version - 1)] = ("superseded", before[1])
    held = held_by(place)
    for key, (state, volume) in confirmed.items():
        # The step in which it was killed may be there or not, but whole: a reading may have moved on by one.
        assert key in held, f"{key} was lost"
        if state in ("locked", "superseded"):
            assert held[key][1] == volume, f"a locked value of {key} changed"
            assert held[key][0] in ("locked", "superseded")
    report = verify_folder(place, place / "audit-head.json")
    assert report.ok, report.faults


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_that_killing_two_readers_in_the_middle_loses_nothing(place: Path, backend: str) -> None:
    lines = kill_both(place, 1000, random.Random().uniform(0.2, 0.6))
    check_after_kill(place, {}, lines)


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_that_killing_two_readers_forty_times_loses_nothing(place: Path, backend: str, record_result) -> None:
    rng, confirmed, said = random.Random(), {}, 0
    for run in range(40):
        lines = kill_both(place, 1000 * run, rng.uniform(0.0, 1.0))
        said += len(lines)
        check_after_kill(place, confirmed, lines)
    record_result(f"kills-{backend}", f"Two readers killed at work ({backend})", f"Forty times two programs at work on one study were killed at random moments. Of {said} confirmed saves none was lost, no locked value had changed, and the audit verified against the newest anchor every time.")
