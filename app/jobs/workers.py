"""The same work on many items: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from app import __version__
from volumetry.errors import NodusError

POLL_S = 0.2
CONNECT_S = 10.0

Run = Callable[[Sequence[Any]], Iterator[Any]]


class WorkersRefused(NodusError):
    """Workers that cannot be had or were lost."""

    default_code = "workers_refused"


@contextmanager
def local_workers(work: Callable[[Any], Any], check: Callable[[], None], count: int | None = None) -> Iterator[Run]:
    """A ``run(items)`` that gives ``work(item)`` of each, in any order, from ``count`` processes (default: one a core).

    ``work`` is pickled once a process. ``check()`` is called several times a second and may raise to stop: what waits is dropped,
    what runs is ended. Refuses ``worker_lost`` where a process dies.
    """
    count = count or usable_cores()
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(work,))

    def run(items: Sequence[Any]) -> Iterator[Any]:
        waiting = {pool.submit(_do, item) for item in items}
        while waiting:
            check()
            done, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    try:
        yield run
    except BrokenProcessPool as error:
        raise WorkersRefused("A worker process ended without an answer.", code="worker_lost", hint="Close other programs and try again, or use fewer processes.") from error
    except BaseException:
        for process in list((pool._processes or {}).values()):  # no answer of theirs is wanted any more
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_work: Callable[[Any], Any] | None = None


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started us decides
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    _work = work


def _leave_with(parent) -> None:
    """Nobody is left to hear an answer: a killed program leaves no processes behind."""
    parent.join()
    os._exit(1)


def _do(item: Any) -> Any:
    return _work(item)


@contextmanager
def dask_workers(work: Callable[[Any], Any], check: Callable[[], None], address: str) -> Iterator[Run]:
    """As ``local_workers``, on the Dask cluster whose scheduler listens at ``address`` (``tcp://`` or ``tls://``).

    ``work`` is sent once to each worker. Refuses ``dask_missing``, ``cluster_unreachable``, ``cluster_empty``, ``cluster_version``
    (a worker that runs another version would give other numbers) and ``worker_lost``.
    """
    try:
        import distributed
    except ImportError:
        raise WorkersRefused("Dask is not installed, so no cluster can be used.", code="dask_missing", hint="Install the extra 'cluster', or leave the address away to use this machine.") from None

    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise WorkersRefused(f"No Dask scheduler answers at {address}.", code="cluster_unreachable", hint="Check the address and that the scheduler runs.") from error
    futures: list = []

    def run(items: Sequence[Any]) -> Iterator[Any]:
        futures[:] = client.map(_apply, [shared] * len(items), items, pure=False)
        waiting = set(futures)
        while waiting:
            check()
            try:
                with client.as_current():  # for this thread and moment only: nobody else's client is changed
                    done = distributed.wait(list(waiting), timeout=POLL_S, return_when="FIRST_COMPLETED").done
            except (TimeoutError, distributed.TimeoutError):
                continue
            for future in done:
                waiting.discard(future)
                yield future.result()

    try:
        shared = _share(client, work)
        yield run
    except (distributed.KilledWorker, distributed.CancelledError, OSError) as error:
        raise WorkersRefused("The cluster lost a worker or its scheduler.", code="worker_lost", hint="See the cluster's own log, then try again.") from error
    finally:
        client.cancel(futures, force=True)
        client.close()


def _share(client, work: Callable[[Any], Any]):
    """The work on every worker, once all of them are known to be of this version."""
    if not client.scheduler_info().get("workers"):
        raise WorkersRefused("The Dask scheduler has no workers.", code="cluster_empty", hint="Start workers that have this version of Nodus.")
    answers = client.run(_version, on_error="return")
    other = {str(v) if isinstance(v, str) else type(v).__name__ for v in answers.values()} - {__version__}
    if other:
        raise WorkersRefused(f"Workers of the cluster do not run Nodus {__version__} but: {', '.join(sorted(other))}.", code="cluster_version", hint="Install the same version on every worker.")
    return client.scatter(work, broadcast=True, hash=False)


def _version() -> str:
    return __version__


def _apply(work: Callable[[Any], Any], item: Any) -> Any:
    return work(item)
