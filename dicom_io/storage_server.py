"""A door for pictures that a scanner or PACS sends to us (Storage SCP, PS3.4 annex B).

It listens on this computer only unless told otherwise, opens to the AE titles on its list and to nobody else, and writes
into one folder only, by names made of checked UIDs. A picture is answered for only when it lies whole on the disk, under its
name: what was confirmed survives a power cut, what was not the sender still has.
"""

from __future__ import annotations

import logging
import shutil
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from dicom_io.headers import text
from dicom_io.peer import LOOPBACK, PacsRefused, check_ae_title, check_port
from dicom_io.transfer import PARTIAL, identity_of, sync_folder, write_whole

LOG = logging.getLogger("nodus.pacs")
NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
COMPRESSED = tuple(
    UID("1.2.840.10008.1.2." + tail)
    for tail in ("4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "5", "1.99", "4.100", "4.101", "4.102", "4.103")
)  # JPEG baseline, extended, lossless; JPEG-LS; JPEG 2000; RLE; deflated; MPEG
SPARE_BYTES = 512 * 1024 * 1024  # a disk is never filled to its end
SILENCE_S = 60.0  # a sender that stops in the middle of a picture is let go
SUCCESS, OUT_OF_RESOURCES, MISMATCH, DUPLICATE = 0x0000, 0xA700, 0xA900, 0x0111


@dataclass(frozen=True, slots=True)
class Received:
    """How much has come: instances kept, ones that were there already, and ones refused."""

    kept: int = 0
    already_there: int = 0
    refused: int = 0
    rejected_callers: int = 0


class StorageServer:
    """Listens from ``start`` (or ``with``) to ``close``, encrypted where ``tls`` is given (``peer.door_context``).

    Files go to ``folder/<study UID>/<series UID>/<SOP instance UID>.dcm``, or to ``on_store(event) -> status`` where that is
    given. ``allow`` lists the AE titles that may call; it cannot be empty. ``on_change(Received)`` is called from the
    server's threads. Raises ``PacsRefused`` (``pacs_peer_invalid``, ``pacs_allow_list_empty``, ``pacs_port_taken``).
    """

    def __init__(self, ae_title: str, *, allow: Sequence[str], port: int, folder: Path | str | None = None, on_store: Callable | None = None, host: str = "127.0.0.1", on_change: Callable[[Received], object] | None = None, tls: ssl.SSLContext | None = None):
        check_ae_title(ae_title, "this computer")
        check_port(port, "The receiver")
        if not allow:
            raise PacsRefused("Nobody is on the list of those who may send.", code="pacs_allow_list_empty", hint="Name the AE title of each sender.")
        for title in allow:
            check_ae_title(title, "a sender")
        if (folder is None) == (on_store is None):
            raise ValueError("either a folder or on_store")
        self.ae_title, self.allow, self.host, self.port = ae_title, tuple(allow), host, port
        self.folder = None if folder is None else Path(folder).resolve()
        self._on_store, self._on_change = on_store or self._keep, on_change
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._server, self._tls = None, tls
        self._sending: dict[object, set[str]] = {}  # by open connection: the studies that came over it
        self.received = Received()

    @property
    def is_open_to_network(self) -> bool:
        """True where other computers can reach it."""
        return self.host not in LOOPBACK

    @property
    def is_encrypted(self) -> bool:
        """True where nobody on the way can read what is sent."""
        return self._tls is not None

    @property
    def arriving(self) -> frozenset[str]:
        """Studies of which more may come: the connection that brought pictures of them is still open."""
        with self._lock:
            return frozenset(uid for studies in self._sending.values() for uid in studies)

    def start(self) -> StorageServer:
        """Begin to listen. What a receiver that was killed left half-written is removed first."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.rglob(PARTIAL + "*"):
                path.unlink(missing_ok=True)
        ae = AE(ae_title=self.ae_title)
        ae.require_called_aet = True
        ae.require_calling_aet = list(self.allow)
        ae.maximum_pdu_size = 262_144
        ae.network_timeout = 60.0
        ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax, [*NATIVE, *COMPRESSED])
        handlers: list[tuple] = [
            (evt.EVT_C_STORE, self._on_store), (evt.EVT_C_ECHO, lambda _event: SUCCESS), (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_CONN_OPEN, _limit_silence), (evt.EVT_CONN_CLOSE, self._gone),
        ]  # fmt: skip
        try:
            self._server = ae.start_server((self.host, self.port), block=False, evt_handlers=handlers, ssl_context=self._tls)
        except OSError as error:
            raise PacsRefused(f"Port {self.port} cannot be listened on: {error.strerror or error}.", code="pacs_port_taken", hint="Choose another port; another program may use this one.") from error
        return self

    def close(self) -> None:
        """End all connections and stop listening. A picture that is being written is finished first; its sender may not hear
        of it and send it again, which does no harm."""
        if self._server is not None:
            self._server.shutdown()
            self._server.ae.shutdown()
            self._server = None
            with self._writing, self._lock:
                self._sending.clear()

    def __enter__(self) -> StorageServer:
        return self.start()

    def __exit__(self, *_how) -> None:
        self.close()

    def _count(self, what: str) -> None:
        with self._lock:
            values = {name: getattr(self.received, name) for name in Received.__dataclass_fields__}
            self.received = Received(**{**values, what: values[what] + 1})
        if self._on_change is not None:
            self._on_change(self.received)

    def _rejected(self, event) -> None:
        caller = "".join(c for c in str(event.assoc.requestor.ae_title) if c.isascii() and c.isprintable()).strip()[:16]
        LOG.warning("A connection from the AE title '%s' at %s was rejected: it is not on the list, or called another title.", caller, event.assoc.requestor.address)
        self._count("rejected_callers")

    def _gone(self, event) -> None:
        with self._lock:
            had = self._sending.pop(event.assoc, None)
        if had and self._on_change is not None:
            self._on_change(self.received)

    def _keep(self, event) -> int:
        """Write one instance, whole or not at all; the status that answers it."""
        try:
            content = event.encoded_dataset()
            ds = identity_of(content)
            if text(ds, "SOPInstanceUID") != event.request.AffectedSOPInstanceUID:
                return self._refused("A picture does not have the identity it was announced with.", MISMATCH)
            # The identity was checked to be UIDs: digits and dots, so that it names nothing outside the folder.
            study = text(ds, "StudyInstanceUID")
            place = self.folder / study / text(ds, "SeriesInstanceUID") / f"{text(ds, 'SOPInstanceUID')}.dcm"
            with self._lock:
                self._sending.setdefault(event.assoc, set()).add(study)
            with self._writing:
                if place.exists():
                    if place.read_bytes() != content:
                        return self._refused("A picture came with the identity of another one that is here already.", DUPLICATE)
                    self._count("already_there")
                    return SUCCESS
                self.folder.mkdir(parents=True, exist_ok=True)
                if shutil.disk_usage(self.folder).free < SPARE_BYTES + len(content):
                    return self._refused("A picture was refused because the disk is nearly full.", OUT_OF_RESOURCES)
                new = [p for p in (place.parent, place.parent.parent) if not p.is_dir()]
                write_whole(content, place)
                for folder in (place.parent, *(p.parent for p in new)):
                    sync_folder(folder)  # the name, too, is on the disk before the sender may forget the picture
        except PacsRefused as refusal:
            return self._refused(f"A picture was refused [{refusal.code}].", OUT_OF_RESOURCES if refusal.code == "write_failed" else MISMATCH)
        except OSError as error:
            return self._refused(f"A picture could not be written ({type(error).__name__}).", OUT_OF_RESOURCES)
        self._count("kept")
        return SUCCESS

    def _refused(self, line: str, status: int) -> int:
        LOG.warning("%s", line)
        self._count("refused")
        return status


def _limit_silence(event) -> None:
    """So that one who stops in the middle of a picture is not waited for without end."""
    event.assoc.dul.socket.socket.settimeout(SILENCE_S)
