"""Processes that read damaged files: one file at a time, watched for time and memory, replaced when they die.

Memory: a process first reads some healthy files; what its data segments hold then (``VmData``) is the baseline, and
``RLIMIT_DATA`` is set 1 GB above it, so that an allocation beyond that fails at once whether or not its pages are touched;
a refusal with such a failure behind it counts as a failure. What was really in use is the peak resident size
(``VmHWM``, reset before each file): above 1 GB for the whole process, interpreter and libraries included, is a failure too.

Time: a file is a hang when all its targets together have used more than 5 s of wall-clock time and of processor time,
or have stood still for 15 s: neither working nor waiting for a processor (a lock that never opens). On a machine that does
other work too, wall-clock time alone would blame files for the neighbours' work; and where a whole machine stands still
its files do, so such a file is read once more and counts if it stands still again.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.fuzz.mutate import mutate
from tests.fuzz.seeds import Seed, weights

MEMORY_ABOVE_BASELINE = 1 << 30
MOST_RESIDENT_MB = 1024.0
SCRATCH, SCRATCH_BYTES = Path("/dev/shm"), 1 << 30  # where there is that much: files come and go there without waiting for a disk
HANG_S, LOCKED_S, STILL = 5.0, 15.0, "without work"
FILES_PER_PROCESS = 3000  # then a fresh one: small leaks of decoders must not add up to a false alarm
WARM_UP = 12
# The reader that a kind of file is meant for; all others are opened as a picture.
READER_OF = {
    "SEG": "masks", "RT": "masks", "SR": "report", "PDF": "pdf", "Parametric Map": "field map", "DICOMDIR": "scan and read",
    "NIfTI": "volume file", "NRRD": "volume file", "MetaImage": "volume file",
}  # fmt: skip


def damaged(seeds: list[Seed], run_seed: int, number: int) -> tuple[Seed, bytes, random.Random]:
    """Damaged file ``number`` of a run: what it was made from, its bytes, and the draw to go on with."""
    rng = random.Random(f"{run_seed}:{number}")
    seed, other = rng.choices(seeds, weights(seeds), k=2)
    return seed, mutate(seed.data, seed.family, rng, other.data), rng


@dataclass(slots=True)
class Result:
    """What became of one damaged file."""

    number: int
    seed: str
    kind: str
    outcomes: list[tuple[str, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    memory_mb: float = 0.0
    process_mb: float = 0.0

    @property
    def answer(self) -> str:
        """What became of it by the reader that its kind is meant for: ``value``, ``refused CODE`` or ``FAILED``, which
        it is too where any other reader failed."""
        return "FAILED" if self.failures else dict(self.outcomes)[READER_OF.get(self.kind, "open image")]


# --- the child -------------------------------------------------------------------------------------


def _status_kb(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def _lay_out_files(folder: Path, seed: Seed, data: bytes) -> Path:
    from tests.fuzz.targets import HEALTHY, VOLUME_SUFFIXES, healthy_neighbour

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    name = {"DICOMDIR": "DICOMDIR"}.get(seed.kind, f"damaged{seed.suffix}")
    if seed.suffix in VOLUME_SUFFIXES:
        name = Path(seed.name).name.replace(" ", "-") if seed.siblings else name
    elif seed.kind not in ("DICOMDIR", "ZIP"):
        (folder / HEALTHY).write_bytes(healthy_neighbour())
    for sibling, content in seed.siblings:
        (folder / sibling).parent.mkdir(parents=True, exist_ok=True)
        (folder / sibling).write_bytes(content)
    (folder / name).write_bytes(data)
    return folder / name


_SHORT_OF_MEMORY: list[str] = []


def _notice_lost_memory() -> None:
    """From now on remember every refusal that was made because memory could not be had, also where it is caught."""
    import sys
    import traceback

    from volumetry.errors import NodusError

    plain = NodusError.__init__

    def watched(self, *args, **named) -> None:
        plain(self, *args, **named)
        error = sys.exc_info()[1]
        while error is not None and not isinstance(error, MemoryError):
            error = error.__cause__ or error.__context__
        if error is not None:
            _SHORT_OF_MEMORY.append("".join(traceback.format_exception(error))[-3000:])

    NodusError.__init__ = watched


def read_damaged(seed: Seed, data: bytes, rng: random.Random, work: Path, now: Callable[[str], None]) -> list:
    """Every target's answer for one file laid out under ``work``; ``now`` is told which one is at work."""
    from tests.fuzz.targets import Case, ask, targets_of

    path = _lay_out_files(work / "in", seed, data)
    case = Case(path, seed.kind, Path(seed.image) if seed.image else None, work, rng)
    answers = []
    for target in targets_of(case):
        now(target)
        answers.append(ask(target, case))
    return answers


def _child(pipe: Connection, seeds_file: Path, log_file: Path, work: Path, run_seed: int) -> None:
    import resource

    from dicom_io import codecs

    work.mkdir(parents=True, exist_ok=True)
    log = open(log_file, "w+")  # noqa: SIM115 - open as long as the process lives
    os.dup2(log.fileno(), 2)
    faulthandler.enable(log)
    faulthandler.register(signal.SIGUSR1, log, all_threads=True)
    seeds: list[Seed] = pickle.loads(seeds_file.read_bytes())
    codecs.warm_up()  # as the program does behind its window: compiling is no file's time
    small = sorted(seeds, key=lambda s: len(s.data))
    kinds: dict[str, Seed] = {}
    for one in small:
        kinds.setdefault(one.kind, one)
    for one in [*kinds.values(), *random.Random(1).sample(small, min(WARM_UP, len(small)))]:
        read_damaged(one, one.data, random.Random(1), work, lambda _: None)
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked through again and again
    data_kb, rss_kb = _status_kb("VmData"), _status_kb("VmRSS")
    limit = data_kb * 1024 + MEMORY_ABOVE_BASELINE
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    _notice_lost_memory()
    pipe.send(("ready", data_kb, rss_kb))
    while (number := pipe.recv()) is not None:
        seed, data, rng = damaged(seeds, run_seed, number)
        Path("/proc/self/clear_refs").write_text("5")
        started, cpu = time.perf_counter(), time.process_time()
        answers = read_damaged(seed, data, rng, work, lambda target: pipe.send(("at", target)))
        peak_kb = _status_kb("VmHWM")
        result = Result(
            number,
            seed.name,
            seed.kind,
            [(a.target, a.outcome) for a in answers],
            [(a.failure, a.detail) for a in answers if a.failure],
            time.perf_counter() - started,
            time.process_time() - cpu,
            max(0.0, (peak_kb - rss_kb) / 1024),
            peak_kb / 1024,
        )
        if result.process_mb > MOST_RESIDENT_MB:
            result.failures.append(("memory above 1 GB", f"{result.process_mb:.0f} MB, {result.memory_mb:.0f} MB of it for this file"))
        if _SHORT_OF_MEMORY:
            result.failures.append(("memory above 1 GB, refused", _SHORT_OF_MEMORY[0]))
            _SHORT_OF_MEMORY.clear()
        pipe.send(("done", result))


# --- the parent ------------------------------------------------------------------------------------


class Worker:
    """One child process and the file it is at."""

    def __init__(self, seeds_file: Path, log_file: Path, work: Path, run_seed: int):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.log_file, self.work, self.number, self.target, self.done = log_file, work, None, "start", 0
        self.given_at = self.cpu_at = self.queued_at = 0.0
        self.process = context.Process(target=_child, args=(theirs, seeds_file, log_file, work, run_seed), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False
        self.again: int | None = None  # a file to be read once more before any other

    def give(self, number: int) -> None:
        """Hand it the next file."""
        self.number, self.target = number, "?"
        self.given_at, self.cpu_at, self.queued_at = time.perf_counter(), self._cpu_s(), self._queued_s()
        self.pipe.send(number)

    def _cpu_s(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _queued_s(self) -> float:
        """How long its threads have stood in the queue for a processor."""
        waited = 0
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"):
            try:
                waited += int(task.read_text().split()[1])
            except (OSError, IndexError):  # a thread that has just ended, or a system that does not count
                continue
        return waited / 1e9

    def overdue(self) -> str | None:
        """Why its file counts as a hang; None while it does not."""
        if self.number is None or not self.ready:
            return None
        wall, cpu = time.perf_counter() - self.given_at, self._cpu_s() - self.cpu_at
        if wall > HANG_S and cpu > HANG_S:
            return f"hang over 5 s: {wall:.0f} s, {cpu:.0f} s of processor time"
        if wall > LOCKED_S and wall - cpu - (self._queued_s() - self.queued_at) > LOCKED_S:
            return f"hang over 5 s: {wall:.0f} s {STILL}"
        return None

    def last_words(self) -> str:
        """What it wrote as it died."""
        try:
            return self.log_file.read_text(errors="replace")[-5000:]
        except OSError:
            return ""

    def stop(self) -> None:
        """End it and wait."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join(10)
        self.pipe.close()


def _scratch() -> Path | None:
    """A folder in memory with room enough; None for the system's own place."""
    if SCRATCH.is_dir() and os.access(SCRATCH, os.W_OK) and shutil.disk_usage(SCRATCH).free > SCRATCH_BYTES:
        return SCRATCH
    return None


class Fuzz:
    """A run of damaged files over some processes."""

    def __init__(self, seeds: list[Seed], folder: Path, run_seed: int, processes: int = 2):
        folder.mkdir(parents=True, exist_ok=True)
        self.seeds, self.folder, self.run_seed, self.processes = seeds, folder, run_seed, processes
        self.seeds_file = folder / "seeds.pickle"
        self.seeds_file.write_bytes(pickle.dumps(seeds))
        self.baseline_mb = 0.0
        self._scratch = folder
        self._stood_still: set[int] = set()
        self.stopping = False  # hands out no more files, and ends when those under way are read

    def run(self, numbers: Iterable[int], heard: Callable[[Result], None], until: float | None = None) -> None:
        """Read these files; ``heard`` is told each result. ``until`` (``time.monotonic``) hands out no more files."""
        todo = iter(numbers)
        self._scratch = Path(tempfile.mkdtemp(prefix="nodus-fuzz-", dir=_scratch()))
        workers = [self._start(n) for n in range(self.processes)]
        try:
            while workers:
                for connection in wait([w.pipe for w in workers], timeout=0.25):
                    worker = next(w for w in workers if w.pipe is connection)
                    self._hear(worker, workers, todo, heard, until)
                for worker in list(workers):
                    reason = worker.overdue()
                    if reason is not None and STILL in reason and worker.number not in self._stood_still:
                        self._stood_still.add(worker.number)
                        workers.remove(worker)
                        worker.stop()
                        self._replace(worker, workers).again = worker.number
                    elif reason is not None:
                        os.kill(worker.process.pid, signal.SIGUSR1)
                        time.sleep(0.3)
                        self._lost(worker, workers, reason, heard)
        finally:
            for worker in workers:
                worker.stop()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _start(self, n: int) -> Worker:
        return Worker(self.seeds_file, self._scratch / f"worker{n}.txt", self._scratch / f"worker{n}", self.run_seed)

    def _hear(self, worker: Worker, workers: list[Worker], todo, heard, until) -> None:
        try:
            word, *said = worker.pipe.recv()
        except (EOFError, ConnectionError):
            worker.process.join(10)
            self._lost(worker, workers, f"the process died (exit code {worker.process.exitcode})", heard)
            return
        if word == "at":
            worker.target = said[0]
            return
        if word == "ready":
            worker.ready = True
            self.baseline_mb = max(self.baseline_mb, said[1] / 1024)
        else:
            heard(said[0])
            worker.number = None
            worker.done += 1
        over = self.stopping or (until is not None and time.monotonic() > until)
        number, worker.again = worker.again, None
        if number is None:
            number = None if over else next(todo, None)
        if number is None:
            workers.remove(worker)
            worker.stop()
            return
        if worker.done >= FILES_PER_PROCESS:
            workers.remove(worker)
            worker.stop()
            fresh = self._replace(worker, workers)
            fresh.number = number
            word = fresh.pipe.recv()  # ready
            fresh.ready = True
            fresh.give(number)
            return
        worker.give(number)

    def _replace(self, worker: Worker, workers: list[Worker]) -> Worker:
        fresh = Worker(self.seeds_file, worker.log_file, worker.work, self.run_seed)
        workers.append(fresh)
        return fresh

    def _lost(self, worker: Worker, workers: list[Worker], reason: str, heard) -> None:
        workers.remove(worker)
        number, target = worker.number, worker.target
        words = worker.last_words()
        worker.stop()
        if number is None:
            raise RuntimeError(f"a process died before its first file: {reason}\n{words}")
        seed, _, _ = damaged(self.seeds, self.run_seed, number)
        where = _innermost(words)
        failed = Result(number, seed.name, seed.kind, [(target, "FAILED")], [(f"{target}: {reason.split(':')[0]}{where}", f"{reason}\n{words}")])
        failed.wall_s = time.perf_counter() - worker.given_at
        heard(failed)
        self._replace(worker, workers)


def _innermost(words: str) -> str:
    """The first place of our own in a dump of all threads."""
    for line in words.splitlines():
        if any(f"/{room}/" in line for room in ("dicom_io", "volumetry")) and "File" in line:
            parts = line.split('"')
            return f" at {Path(parts[1]).name}:{parts[2].split()[1].strip(',')}" if len(parts) > 2 else ""
    return ""


@dataclass(slots=True)
class Tally:
    """Counts of a run, and one of each kind of failure."""

    files: int = 0
    by_kind: Counter = field(default_factory=Counter)
    answers: dict[str, Counter] = field(default_factory=dict)
    outcomes: dict[str, Counter] = field(default_factory=dict)
    failures: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    slowest: tuple[float, float, int, str] = (0.0, 0.0, 0, "")
    largest: tuple[float, float, int, str] = (0.0, 0.0, 0, "")
    bad: dict[int, Result] = field(default_factory=dict)
    mended: int = 0

    def add(self, result: Result) -> None:
        """Count one file."""
        self.files += 1
        self.by_kind[result.kind] += 1
        self.answers.setdefault(result.kind, Counter())[result.answer] += 1
        for target, outcome in result.outcomes:
            self.outcomes.setdefault(target, Counter())[outcome] += 1
        for failure, detail in result.failures:
            self.failures.setdefault(failure, []).append((result.number, result.seed, detail))
        if result.failures:
            self.bad[result.number] = result
        self.slowest = max(self.slowest, (result.cpu_s, result.wall_s, result.number, result.seed))
        self.largest = max(self.largest, (result.process_mb, result.memory_mb, result.number, result.seed))

    def take_back(self, number: int) -> None:
        """Forget a file that failed, as it is about to be read again by mended code."""
        old = self.bad.pop(number)
        self.files -= 1
        self.by_kind[old.kind] -= 1
        self.answers[old.kind][old.answer] -= 1
        for target, outcome in old.outcomes:
            self.outcomes[target][outcome] -= 1
        kept = {failure: [f for f in found if f[0] != number] for failure, found in self.failures.items()}
        self.failures = {failure: found for failure, found in kept.items() if found}
        self.mended += 1
