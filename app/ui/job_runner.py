"""Run use cases beside the window: one worker thread a job, events back on the GUI thread.

``start`` returns at once. Results arrive through Qt's queue on the GUI thread. A job started under
a ``key`` makes an earlier one of the same key stale: it is cancelled and its result dropped, so
that fast drags never show an old picture.

Jobs that write into the study are another matter: started with ``write=True`` they wait in line,
one after the other, are never made stale, and are finished before the runner closes.
"""

from __future__ import annotations

import itertools
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, QRunnable, QThreadPool, QTimer, Signal

from app.jobs import CancelToken, JobContext, Progress
from volumetry.errors import Cancelled, NodusError

QUIET_MS = 1500  # a quiet job that lasts longer is shown


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What the status bar shows of a job. ``fraction`` is 0 to 1 or None; ``finished`` ends it."""

    job_id: int
    title: str
    message: str
    fraction: float | None
    finished: bool = False


class _Relay(QObject):
    progressed = Signal(object)
    ended = Signal(object, object, object)  # job, result, problem


class _Job(QRunnable):
    def __init__(self, job_id: int, key: str | None, title: str, work, relay: _Relay, quiet: bool, write: bool):
        super().__init__()
        self.setAutoDelete(False)
        self.write = write
        self.problem: Exception | None = None
        self.job_id, self.key, self.title, self.work, self.relay, self.quiet = job_id, key, title, work, relay, quiet
        self.token = CancelToken()
        self.stale = False
        self.on_done: Callable | None = None
        self.on_refused: Callable | None = None
        self.on_lost: Callable | None = None
        self._last_event = 0.0

    def _report(self, event: Progress) -> None:
        # A solver may report hundreds of times a second; the screen needs about twenty.
        now = time.monotonic()
        if now - self._last_event > 0.05 or event.fraction in (None, 1.0):
            self._last_event = now
            self.relay.progressed.emit(JobEvent(self.job_id, self.title, event.message, event.fraction))

    def run(self) -> None:
        result, problem = None, None
        try:
            result = self.work(JobContext(self._report, self.token))
        except Exception as error:  # handed over whole to the GUI thread, which tells refusals from bugs
            self.problem = problem = error
        self.relay.ended.emit(self, result, problem)


class JobRunner(QObject):
    """Starts jobs and reports them. ``progressed`` carries ``JobEvent``; ``refused`` a
    ``NodusError``; ``failed`` the exception and its traceback text (a bug); ``ended`` the key of a
    job of which nothing more comes."""

    progressed = Signal(object)
    refused = Signal(object)
    failed = Signal(object, str)
    ended = Signal(object)  # key, after whoever asked has its answer

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(3)
        self._writer = QThreadPool(self)  # one thread: writes land in the order they were asked for
        self._writer.setMaxThreadCount(1)
        self._ids = itertools.count(1)
        self._running: dict[int, _Job] = {}
        self._relay = _Relay(self)
        self._relay.progressed.connect(self._on_progress)
        self._relay.ended.connect(self._on_end)
        self._closed = False

    @property
    def running_titles(self) -> list[str]:
        """Titles of jobs that a person should know about, oldest first."""
        return [j.title for j in self._running.values() if not j.quiet]

    def start(self, title: str, work: Callable[[JobContext], object], *, key: str | None = None, quiet: bool = False, write: bool = False, on_done: Callable | None = None, on_refused: Callable | None = None, on_lost: Callable | None = None) -> int:
        """Run ``work(context)`` in a thread; ``on_done(result)`` follows on the GUI thread.

        ``quiet`` keeps live updates out of the status bar, unless they last (``QUIET_MS``): then they can be
        seen there, and cancelled. ``write`` puts the job in the line of
        writes instead of replacing an earlier one of its key. ``on_refused(error)`` replaces the
        general ``refused`` signal for this job; ``on_lost()`` follows where it was cancelled or ended in a bug.
        """
        if key is not None and not write:
            self.drop(key)
        job = _Job(next(self._ids), key, title, work, self._relay, quiet, write)
        job.on_done, job.on_refused, job.on_lost = on_done, on_refused, on_lost
        self._running[job.job_id] = job
        if not quiet:
            self.progressed.emit(JobEvent(job.job_id, title, "", None))
        elif not write:
            QTimer.singleShot(QUIET_MS, self, lambda: self._show_late(job))
        (self._writer if write else self._pool).start(job)
        return job.job_id

    def drop(self, *keys: str) -> None:
        """Cancel running jobs of these keys; whatever they still bring is thrown away."""
        for job in self._running.values():
            if job.key in keys and not job.write:
                job.stale = True
                job.token.cancel()

    def cancel(self, job_id: int | None = None) -> None:
        """Ask one job (or all) to stop."""
        for job in self._running.values():
            if job_id in (None, job.job_id):
                job.token.cancel()

    def is_busy(self, key: str | None = None) -> bool:
        """True while any job (of that key) runs."""
        return any(key in (None, j.key) for j in self._running.values())

    def close(self) -> list[Exception]:
        """Cancel what only reads or computes, let what writes finish, wait for all; no callback
        follows. Returns what went wrong in writes that nobody has been told about."""
        self._closed = True
        for job in self._running.values():
            if not job.write:
                job.token.cancel()
        self._pool.waitForDone()
        self._writer.waitForDone()
        problems = [job.problem for job in self._running.values() if job.write and job.problem is not None]
        self._running.clear()
        return problems

    def reopen(self) -> None:
        """Take jobs again after ``close``, because the owner could not close after all."""
        self._closed = False

    def _show_late(self, job: _Job) -> None:
        """A quiet job that still runs is no live update any more."""
        if job.job_id in self._running and not job.stale:
            job.quiet = False
            self.progressed.emit(JobEvent(job.job_id, job.title, "", None))

    def _on_progress(self, event: JobEvent) -> None:
        job = self._running.get(event.job_id)
        if job is not None and not job.quiet and not job.stale:
            self.progressed.emit(event)

    def _on_end(self, job: _Job, result, problem) -> None:
        if self._running.pop(job.job_id, None) is None or self._closed:
            return
        if not job.quiet:
            self.progressed.emit(JobEvent(job.job_id, job.title, "", 1.0, finished=True))
        try:
            if not job.stale:
                self._answer(job, result, problem)
        finally:
            self.ended.emit(job.key)

    def _answer(self, job: _Job, result, problem) -> None:
        if problem is None:
            if job.on_done is not None:
                job.on_done(result)
            return
        if isinstance(problem, NodusError) and not isinstance(problem, Cancelled):
            (job.on_refused or self.refused.emit)(problem)
            return
        if not isinstance(problem, Cancelled):
            self.failed.emit(problem, "".join(traceback.format_exception(problem)))
        if job.on_lost is not None:
            job.on_lost()
