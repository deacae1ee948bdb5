"""Progress events and cancellation, free of any user interface."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from volumetry.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a job: what it does now, and how much is done (0 to 1; None if unknown)."""

    message: str
    fraction: float | None = None


class CancelToken:
    """Set from any thread; jobs look at it between chunks of work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the job to stop at its next check."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        """True once somebody asked."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise ``Cancelled`` if somebody asked."""
        if self._event.is_set():
            raise Cancelled


@dataclass(slots=True)
class JobContext:
    """What a use case is handed: where to report, and whether to stop.

    ``report(message, fraction)`` may be called from any thread; it also checks for cancellation,
    so a job that reports regularly can be cancelled regularly.
    """

    listener: Callable[[Progress], None] | None = None
    token: CancelToken = field(default_factory=CancelToken)

    def report(self, message: str, fraction: float | None = None) -> None:
        """Tell the listener, then stop here if the job was cancelled."""
        self.token.check()
        if self.listener is not None:
            self.listener(Progress(message, fraction))

    def part(self, start: float, end: float) -> JobContext:
        """A context whose 0..1 fills ``start..end`` of this one."""

        def relay(event: Progress) -> None:
            if self.listener is not None:
                f = None if event.fraction is None else start + (end - start) * event.fraction
                self.listener(Progress(event.message, f))

        return JobContext(relay, self.token)
