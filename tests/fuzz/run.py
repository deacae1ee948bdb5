"""A long run in portions, what it counted, and the page that is written about it."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.seeds import Seed, gather
from tests.fuzz.workers import Fuzz, Result, Tally, damaged

ROOT = Path(__file__).resolve().parents[2]
KEPT_OF_A_KIND = 3
REPORT_EVERY_S = 15.0


def shared_folder() -> Path | None:
    """The folder of real files, None where it is absent."""
    root = Path(os.environ.get("NODUS_TEST_DATA") or ROOT.parent / "shared" / "data")
    return root if root.is_dir() else None


def load(folder: Path) -> Tally:
    """What earlier portions counted."""
    kept = folder / "tally.pickle"
    return pickle.loads(kept.read_bytes()) if kept.is_file() else Tally()


def _keep(folder: Path, tally: Tally) -> None:
    partial = folder / "tally.partial"
    partial.write_bytes(pickle.dumps(tally))
    os.replace(partial, folder / "tally.pickle")


class _Listener:
    """Counts results, keeps files that failed, and says how far it is."""

    def __init__(self, folder: Path, tally: Tally, seeds: list[Seed], run_seed: int, files: int, keeps: bool):
        self.folder, self.tally, self.seeds, self.run_seed, self.files, self.keeps = folder, tally, seeds, run_seed, files, keeps
        self.before, self.started = tally.files, time.monotonic()
        self.last = self.started

    def __call__(self, result: Result) -> None:
        known = set(self.tally.failures)
        self.tally.add(result)
        for failure, _ in result.failures:
            if len(self.tally.failures[failure]) <= KEPT_OF_A_KIND:
                seed, data, _ = damaged(self.seeds, self.run_seed, result.number)
                (self.folder / f"failed-{result.number}{seed.suffix}").write_bytes(data)
            if failure not in known:
                print(f"NEW {result.number} [{result.seed}] {failure}", flush=True)
        if time.monotonic() - self.last > REPORT_EVERY_S:
            self.last = time.monotonic()
            rate = (self.tally.files - self.before) / (self.last - self.started)
            print(
                f"{self.tally.files} of {self.files}, {rate:.1f} a second, {len(self.tally.failures)} kinds of failure, "
                f"largest {self.tally.largest[0]:.0f} MB, slowest {self.tally.slowest[0]:.2f} s",
                flush=True,
            )
            if self.keeps:
                _keep(self.folder, self.tally)


def portion(folder: Path, run_seed: int, files: int, minutes: float | None = None, processes: int = 2, only: list[int] | None = None) -> tuple[Tally, Fuzz]:
    """Go on with the run kept in ``folder``: first the files that failed are read again, then the next ones up to
    ``files`` in all or for ``minutes``. With ``only`` just these files of it are read, and nothing is kept of that."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = gather(folder / "made", shared_folder())
    tally = load(folder) if only is None else Tally()
    fuzz = Fuzz(seeds, folder, run_seed, processes)
    numbers = [*sorted(tally.bad), *range(tally.files, files)] if only is None else only
    for number in list(tally.bad):
        tally.take_back(number)
    if numbers:
        listener = _Listener(folder, tally, seeds, run_seed, files, only is None)
        before = signal.signal(signal.SIGTERM, lambda *_: setattr(fuzz, "stopping", True))
        try:
            fuzz.run(numbers, listener, None if minutes is None else time.monotonic() + 60 * minutes)
        finally:
            signal.signal(signal.SIGTERM, before)
    if only is None:
        _keep(folder, tally)
    return tally, fuzz


def _row(name: str, counts: str | None, outcomes: Counter) -> str:
    """A line of a table: how often read, refused (each code with its number) and failed."""
    refused = {o.removeprefix("refused "): n for o, n in outcomes.items() if o.startswith("refused ") and n}
    codes = ", ".join(f"`{code}` {n}" for code, n in sorted(refused.items(), key=lambda r: (-r[1], r[0])))
    return f"| {name} | {f'{counts} | ' if counts else ''}{outcomes['value']} | {sum(refused.values())} | {outcomes['FAILED']} | {codes} |"


def page(tally: Tally, seeds: list[Seed], run_seed: int) -> str:
    """What the documentation says of a run."""
    crashes = sum(len(found) for failure, found in tally.failures.items() if "died" in failure)
    hangs = sum(len(found) for failure, found in tally.failures.items() if "hang" in failure)
    memory = sum(len(found) for failure, found in tally.failures.items() if "emory" in failure)
    failed = len({number for found in tally.failures.values() for number, _, _ in found})
    lines = [
        f"{tally.files} damaged files (run seed {run_seed}: the same seed makes the same files) out of {len(seeds)} healthy ones: "
        f"{failed} were not read cleanly (crashes {crashes}, hangs over 5 s {hangs}, memory above 1 GB {memory}).",
        "",
        f"Slowest file: {tally.slowest[0]:.2f} s of processor time ({tally.slowest[1]:.2f} s on the clock of a machine that did other work too) for all its readers together "
        f"(file {tally.slowest[2]}, from {tally.slowest[3]}). Largest: {tally.largest[0]:.0f} MB in use by the whole process, {tally.largest[1]:.0f} MB of it for the file "
        f"(file {tally.largest[2]}, from {tally.largest[3]}).",
        "",
        *([f"{tally.mended} of these files failed when they were first read, and were read again by the mended code.", ""] if tally.mended else []),
        "How it is measured: `tests/fuzz/workers.py`. Each file is read in every way that the program can, in a process that is watched from outside. Allowed are a value, a "
        "finding and a typed refusal. Failures are: any other exception, a process that dies, a hang (more than 5 s on the clock and of processor time for all readers together, or "
        "15 s of standing still), more than 1 GB in use by the process or an allocation of more than 1 GB whether used or not, a healthy neighbour in the same folder that is lost, "
        "and a value that contradicts itself. Every failure found on the way became a test (`tests/dicom_io/test_damaged_files.py`, `test_lossless_jpeg.py`, `test_jpeg_ls.py`, "
        "`test_text_headers.py`). Besides, 200 000 damaged streams go straight to the decoders that are compiled here, with every index checked (`tests/fuzz/streams.py`): "
        "one that reaches beyond its arrays ends the long run.",
        "",
        "What became of each file, by the reader that its kind is meant for:",
        "",
        "| made from | healthy files | damaged files | read | refused | failed | refused as |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        *(_row(kind, f"{sum(s.kind == kind for s in seeds)} | {count}", tally.answers[kind]) for kind, count in sorted(tally.by_kind.items(), key=lambda k: -k[1])),
        "",
        "The same by reader; most files are handed to several:",
        "",
        "| reader | read | refused | failed | refused as |",
        "| --- | ---: | ---: | ---: | --- |",
        *(_row(target, None, outcomes) for target, outcomes in tally.outcomes.items()),
    ]
    if tally.failures:
        lines += ["", "| failure | files |", "| --- | ---: |", *(f"| {failure} | {len(found)} |" for failure, found in tally.failures.items())]
    return "\n".join(lines)
