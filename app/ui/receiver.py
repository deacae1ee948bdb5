"""The receiver behind the window: opened and closed beside it, and heard of in the window's own thread.

It belongs to the session, not to a dialog: what a scanner sends goes on coming while the reader works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal

from app.usecases.pacs_receive import Receiver, inbox, save_receiver
from dicom_io.storage_server import Received, StorageServer
from volumetry.errors import NodusError

CALM_MS = 300  # a scanner sends tens of pictures a second; the screen needs a few looks


class Receiving(QObject):
    """``changed`` when it was opened or closed, something came, or a sender has gone."""

    changed = Signal()
    _heard = Signal()  # from the server's threads

    def __init__(self, jobs, parent: QObject | None = None):
        super().__init__(parent)
        self._jobs = jobs
        self._lock, self._ended = threading.Lock(), False
        self._server: StorageServer | None = None
        self.receiver: Receiver | None = None  # how it listens, while it does
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM_MS)
        self._calm.timeout.connect(self.changed)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self.changed)
        self._heard.connect(lambda: None if self._calm.isActive() else self._calm.start())

    @property
    def is_on(self) -> bool:
        """True while it listens."""
        return self._server is not None

    @property
    def is_open_to_network(self) -> bool:
        """True while other computers can reach it."""
        server = self._server
        return server is not None and server.is_open_to_network

    @property
    def arriving(self) -> frozenset[str]:
        """Studies of which more may come."""
        server = self._server
        return frozenset() if server is None else server.arriving

    @property
    def received(self) -> Received:
        """How much has come since it was opened."""
        server = self._server
        return Received() if server is None else server.received

    def start(self, receiver: Receiver, then: Callable[[], object], refused: Callable[[NodusError], object]) -> None:
        """Begin to listen, and keep how; a job."""

        def work(_context) -> None:
            save_receiver(receiver)
            server = receiver.server(inbox(), lambda _received: self._heard.emit()).start()
            with self._lock:
                if not self._ended and self._server is None:
                    self._server, self.receiver = server, receiver
                    return
            server.close()  # the window went meanwhile

        def done(_none) -> None:
            self.changed.emit()
            then()

        self._jobs.start("Opening the receiver", work, quiet=True, on_done=done, on_refused=refused)

    def look_later(self, after_ms: int) -> None:
        """Say ``changed`` after a while, unless something else says it before."""
        if not self._calm.isActive() and not self._later.isActive():
            self._later.start(after_ms)

    def stop(self) -> None:
        """Stop listening; a job."""

        def done(_none) -> None:
            self.changed.emit()

        self._jobs.start("Closing the receiver", lambda _context: self._close(), quiet=True, on_done=done)

    def end(self) -> None:
        """Stop listening for good, before this returns."""
        with self._lock:
            self._ended = True
        self._close()

    def _close(self) -> None:
        with self._lock:
            server, self._server, self.receiver = self._server, None, None
        if server is not None:
            server.close()
