"""One long piece of work in a process of its own: the window's own process keeps its hands free."""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from app.jobs.progress import CancelToken, JobContext, Progress
from app.jobs.workers import WorkersRefused
from volumetry.errors import Cancelled, NodusError

POLL_S = 0.1
END_S = 2.0
POLITE = 5  # nice value: a window that is drawn comes first


class AsideFailed(RuntimeError):
    """The work ended in a bug; the text is its traceback."""


def run_aside(work: Callable[..., Any], arguments: tuple, context: JobContext) -> Any:
    """``work(*arguments, context)`` in a process of its own; gives what it returns.

    ``work`` and ``arguments`` are pickled. Its reports reach ``context`` here; cancelling ``context`` cancels its own token, and
    what ``work`` then returns is still given, so that the best so far can be kept. Raises what the work raises of
    ``NodusError``, ``Cancelled`` where it raised that, ``AsideFailed`` for a bug, and refuses ``worker_lost`` where the process
    ended without an answer.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    cancelled = spawn.Event()
    process = spawn.Process(target=_serve, args=(there, cancelled, work, arguments), daemon=True)
    try:
        process.start()
        there.close()
        while True:
            if context.token.is_cancelled:
                cancelled.set()
            if here.poll(POLL_S):
                kind, value = here.recv()
                if kind == "progress":
                    with suppress(Cancelled):  # the work is told by its own token
                        context.report(*value)
                elif kind == "done":
                    return value
                elif kind == "raised":
                    raise value
                else:
                    raise AsideFailed(value)
            elif not process.is_alive() and not here.poll(0):
                raise EOFError
    except (EOFError, OSError) as error:
        raise WorkersRefused("A worker process ended without an answer.", code="worker_lost", hint="Close other programs and try again.") from error
    finally:
        here.close()
        process.join(END_S)
        if process.is_alive():
            process.kill()
            process.join()


class _Told(CancelToken):
    """A token that the other process sets."""

    def __init__(self, event):
        self._event = event


def _serve(pipe: Connection, cancelled, work: Callable[..., Any], arguments: tuple) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(POLITE)

    def listen(event: Progress) -> None:
        pipe.send(("progress", (event.message, event.fraction)))

    try:
        answer = ("done", work(*arguments, JobContext(listen, _Told(cancelled))))
    except (NodusError, Cancelled) as refusal:
        answer = ("raised", refusal)
    except Exception:  # told whole to the process that asked
        answer = ("failed", traceback.format_exc())
    pipe.send(answer)
    pipe.close()


def _leave_with(parent) -> None:
    """Nobody is left to hear an answer: a killed program leaves no processes behind."""
    parent.join()
    os._exit(1)
