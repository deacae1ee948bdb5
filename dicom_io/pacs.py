"""A PACS by DIMSE: C-ECHO, C-FIND, C-GET, C-MOVE, C-STORE (PS3.4 annexes A, B, C; PS3.7), with TLS.

Pictures are taken and given as they are stored, never decoded and never recompressed on the way. Every connection is
watched: it ends where the caller asks to stop, and where the PACS falls silent.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress

import pynetdicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from dicom_io.headers import check_cancelled, text, uid_name
from dicom_io.peer import (
    LeftOut,
    Limits,
    Outgoing,
    PacsRefused,
    Peer,
    Query,
    QueryAnswer,
    QueryResult,
    ShouldCancel,
    Store,
    check_uid,
    door_context,
    result_from,
    tls_context,
    why_unreachable,
)
from dicom_io.storage_server import COMPRESSED, StorageServer
from volumetry.errors import Cancelled

# Its log would hold names of patients and requests; what matters is said by refusals.
pynetdicom._config.LOG_HANDLER_LEVEL = "none"
pynetdicom._config.LOG_REQUEST_IDENTIFIERS = pynetdicom._config.LOG_RESPONSE_IDENTIFIERS = False
pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True  # files leave as they are, in pieces
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)

NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
MAX_CONTEXTS = 128  # PS3.8 9.3.2.2: odd context identifiers up to 255
MAX_PDU = 262_144
# What a series may hold where the PACS does not tell its SOP classes.
USUAL_CLASSES = tuple(
    "1.2.840.10008.5.1.4.1.1." + tail
    for tail in ("2", "2.1", "3.1", "4", "4.1", "6.1", "6.2", "7", "20", "128", "130", "66.4", "88.11", "88.22", "88.33", "88.34", "88.59", "481.3", "104.1", "1", "1.1", "12.1", "11.1")
)
UIDS_A_REQUEST = 100  # so that a list of instances stays a short element
STUDY_KEYS = ("PatientID", "PatientName", "AccessionNumber", "StudyDate", "StudyDescription", "ModalitiesInStudy", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "StudyInstanceUID")
SERIES_KEYS = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "NumberOfSeriesRelatedInstances", "StudyInstanceUID")
PENDING = (0xFF00, 0xFF01)
CANCEL_S = 2.0  # how long a PACS may go on after it was asked to stop
SUCCESS, OUT_OF_RESOURCES, MISMATCH = 0x0000, 0xA700, 0xA900
REJECTED = {  # PS3.8 table 9-21: source, reason
    (1, 3): "it does not know our AE title {ours}",
    (1, 7): "it does not answer to the AE title {theirs}",
    (3, 1): "it is busy for the moment",
    (3, 2): "it serves too many connections for the moment",
}


class _Watch:
    """Ends a connection that fell silent, or whose user asked to stop, by shutting its socket, and sees to it that nobody
    waits on one that is over."""

    def __init__(self, should_cancel: ShouldCancel | None, idle_s: float):
        self._should_cancel, self._idle_s = should_cancel, idle_s
        self._begun = self._last = time.monotonic()
        self._ended = threading.Event()
        self._association: Association | None = None
        self._socket: socket.socket | None = None
        self.reason: str | None = None
        self._thread = threading.Thread(target=self._run, name="pacs-watch", daemon=True)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    def beat(self, _event=None) -> None:
        """Something was sent or received."""
        self._last = time.monotonic()

    def attach(self, event) -> None:
        """The connection stands."""
        self.beat()
        self._socket = event.assoc.dul.socket.socket
        self._association = event.assoc
        with suppress(OSError):  # requests are answered before the next: waiting to fill packets costs 40 ms a file
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """The connection is over."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            if self.reason is None:
                if self._should_cancel is not None and self._should_cancel():
                    self.reason = "cancelled"
                elif time.monotonic() - self._last > self._idle_s:
                    self.reason = "silent"
            if self._association is None:
                continue
            if self.reason is not None:
                self.shut()
            if not self._association.dul.is_alive():
                # A request that was made while the connection ended would be waited for in vain.
                self._association.dimse.msg_queue.put((None, None))
                return

    @property
    def is_connected(self) -> bool:
        """True once the connection stood."""
        return self._association is not None

    def shut(self) -> None:
        """Close the connection at once."""
        if self._socket is not None:
            with suppress(OSError):  # closed already is what is wanted
                self._socket.shutdown(socket.SHUT_RDWR)

    def check(self, peer: Peer) -> None:
        """Say why it was ended, where it was."""
        if self.reason == "cancelled":
            raise Cancelled
        if self.reason == "silent":
            raise PacsRefused(f"{peer.name} has not answered for {self._idle_s:g} s.", code="pacs_timeout", hint="Try again later.")


class _Sink:
    """Where instances that arrive go: handed to ``take`` one at a time, until ``close``, after which nothing is taken, whatever
    the library still has in its queues. ``fault`` is what ends the retrieve."""

    def __init__(self, take: Store):
        self._take, self._lock, self._open = take, threading.Lock(), True
        self.fault: Exception | None = None

    def __call__(self, event) -> int:
        """Take one; the status that answers it."""
        with self._lock:
            if not self._open or self.fault is not None:
                return OUT_OF_RESOURCES
            try:
                self._take(event.encoded_dataset())
            except PacsRefused as refusal:
                if refusal.code != "write_failed":
                    return MISMATCH
                self.fault = refusal
            except Cancelled as stop:
                self.fault = stop
            return SUCCESS if self.fault is None else OUT_OF_RESOURCES

    def close(self) -> None:
        """Take no more; what is being written is finished first."""
        with self._lock:
            self._open = False


class DimsePacs:
    """A PACS spoken to by DIMSE; see ``peer.Pacs`` for what it can do."""

    def __init__(self, peer: Peer, *, limits: Limits | None = None):
        self.peer, self.limits = peer, limits or Limits()

    @contextmanager
    def _association(self, contexts: Sequence[PresentationContext], *, roles: Sequence[str] = (), on_store: Callable | None = None, should_cancel: ShouldCancel | None = None) -> Iterator[tuple[Association, _Watch]]:
        """A connection for ``contexts``; what breaks it is said in plain words."""
        check_cancelled(should_cancel)
        peer = self.peer
        ae = AE(ae_title=peer.our_ae_title)
        ae.connection_timeout = ae.acse_timeout = self.limits.connect_s
        ae.dimse_timeout = ae.network_timeout = None  # silence is the watch's matter; a large picture may take its time
        ae.maximum_pdu_size = MAX_PDU
        watch = _Watch(should_cancel, self.limits.idle_s)
        handlers: list[tuple] = [(evt.EVT_CONN_OPEN, watch.attach), (evt.EVT_PDU_RECV, watch.beat), (evt.EVT_PDU_SENT, watch.beat)]
        if on_store is not None:
            handlers.append((evt.EVT_C_STORE, on_store))
        context = tls_context(peer)
        watch.start()
        association = None
        try:
            try:
                association = ae.associate(
                    peer.host, peer.port, contexts=list(contexts), ae_title=peer.ae_title, max_pdu=MAX_PDU, evt_handlers=handlers,
                    ext_neg=[build_role(uid, scp_role=True) for uid in roles], tls_args=None if context is None else (context, peer.host),
                )  # fmt: skip
            except OSError as error:
                raise why_unreachable(peer, peer.host, peer.port, self.limits.connect_s, error) from error
            watch.check(peer)
            if not association.is_established:
                raise self._why_not(association, watch)
            try:
                yield association, watch
            except RuntimeError as error:  # how a request over a connection that has gone ends
                if association.is_established:
                    raise
                raise self._lost(watch) from error
            if association.is_established and watch.reason is None:
                association.release()
        finally:
            watch.stop()
            if association is not None and association.is_alive():
                watch.shut()  # whatever was under way ends here, and leaves no thread behind
                association.kill()

    def _why_not(self, association: Association, watch: _Watch) -> PacsRefused:
        peer = self.peer
        if association.is_rejected:
            answer = association.acceptor.primitive
            source, reason = (getattr(answer, "result_source", None), getattr(answer, "diagnostic", None)) if answer is not None else (None, None)
            why = REJECTED.get((source, reason), "it gives no reason").format(ours=peer.our_ae_title, theirs=peer.ae_title)
            passing = source == 3
            hint = "Try again later." if passing else "Ask the PACS administrator to enter this computer, and check both AE titles."
            return PacsRefused(f"{peer.name} rejects the connection: {why}.", code="pacs_busy" if passing else "pacs_rejected", hint=hint)
        if association.rejected_contexts:
            return PacsRefused(f"{peer.name} does not offer this service to us.", code="pacs_not_supported", hint="Ask the PACS administrator what is offered to this computer.")
        if not watch.is_connected:
            return why_unreachable(peer, peer.host, peer.port, self.limits.connect_s)
        if watch.seconds > self.limits.connect_s:
            return PacsRefused(f"{peer.name} did not answer within {self.limits.connect_s:g} s.", code="pacs_timeout", hint="Check the port, and whether the PACS encrypts on it.")
        return PacsRefused(f"{peer.name} broke the connection off before it was agreed on.", code="pacs_interrupted", hint="Check whether the PACS encrypts on this port, and both AE titles.")

    def _lost(self, watch: _Watch) -> PacsRefused:
        watch.check(self.peer)
        return PacsRefused(f"The connection to {self.peer.name} broke.", code="pacs_interrupted", hint="Try again.")

    # ---- asking ------------------------------------------------------------------------------
    def echo(self, *, should_cancel: ShouldCancel | None = None) -> float:
        """Seconds until the PACS answered C-ECHO."""
        start = time.monotonic()
        with self._association([build_context(Verification)], should_cancel=should_cancel) as (association, watch):
            status = association.send_c_echo()
            if "Status" not in status:
                raise self._lost(watch)
            if status.Status != 0:
                raise PacsRefused(f"{self.peer.name} answers, but with the fault {status.Status:04X}.")
        return time.monotonic() - start

    def find(self, query: Query, *, should_cancel: ShouldCancel | None = None) -> QueryAnswer:
        """Studies, or the series of one, as the PACS has them."""
        level = query.level
        asked = Dataset()
        asked.QueryRetrieveLevel = level.upper()
        for keyword in STUDY_KEYS if level == "study" else SERIES_KEYS:
            setattr(asked, keyword, "")
        if level == "study":
            asked.PatientID, asked.PatientName, asked.StudyDate = query.patient_id, query.patient_name, query.date_range
            asked.StudyDescription, asked.ModalitiesInStudy, asked.AccessionNumber = query.description, query.modality, query.accession
        else:
            asked.StudyInstanceUID, asked.Modality, asked.SeriesDescription = query.study_uid, query.modality, query.description
        if not all(t.isascii() for t in (query.patient_id, query.patient_name, query.description, query.accession)):
            asked.SpecificCharacterSet = "ISO_IR 192"
        results: list[QueryResult] = []

        def take(answer: Dataset) -> bool:
            result = result_from(level, lambda keyword: text(answer, keyword) or "", query.study_uid)
            if result is not None and query.fits(result):
                results.append(result)
            return len(results) <= query.limit

        self._search(asked, take, should_cancel)
        return QueryAnswer(tuple(results[: query.limit]), more=len(results) > query.limit)

    def instances(self, study_uid: str, series_uid: str, *, should_cancel: ShouldCancel | None = None) -> dict[str, str]:
        """SOP instance UID -> SOP class UID (empty where not told) of all instances of a series."""
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        asked.StudyInstanceUID, asked.SeriesInstanceUID = check_uid(study_uid), check_uid(series_uid)
        asked.SOPInstanceUID = asked.SOPClassUID = asked.InstanceNumber = ""
        found: dict[str, str] = {}

        def take(answer: Dataset) -> bool:
            uid = text(answer, "SOPInstanceUID")
            if uid:
                found[check_uid(uid)] = text(answer, "SOPClassUID") or ""
            return True

        self._search(asked, take, should_cancel)
        return found

    def _search(self, asked: Dataset, take: Callable[[Dataset], bool], should_cancel: ShouldCancel | None) -> None:
        """C-FIND: ``take`` each answer until it says that it has enough."""
        model = StudyRootQueryRetrieveInformationModelFind
        with self._association([build_context(model)], should_cancel=should_cancel) as (association, watch):
            enough_since: float | None = None
            for status, identifier in association.send_c_find(asked, model):
                if "Status" not in status:
                    raise self._lost(watch)
                if status.Status not in PENDING:
                    if enough_since is None and status.Status != 0:
                        raise PacsRefused(f"{self.peer.name} does not answer this search (fault {status.Status:04X}).", hint="Search for less, or ask the PACS administrator.")
                    return
                if enough_since is not None:
                    if time.monotonic() - enough_since > CANCEL_S:
                        watch.shut()  # it does not heed the request to stop
                        return
                elif identifier is not None and not take(identifier):
                    association.send_c_cancel(1, query_model=model)
                    enough_since = time.monotonic()

    # ---- getting -----------------------------------------------------------------------------
    def fetch(self, study_uid: str, series_uid: str, wanted: Mapping[str, str], whole: bool, take: Store, *, should_cancel: ShouldCancel | None = None) -> None:
        """One try at the instances ``wanted``: C-GET, or C-MOVE to us, as the peer is set."""
        for asked in _requests(study_uid, series_uid, wanted, whole):
            if self.peer.retrieve == "move":
                self._move(asked, take, should_cancel)
            else:
                self._get(asked, wanted, take, should_cancel)

    def _get(self, asked: Dataset, wanted: Mapping[str, str], take: Store, should_cancel: ShouldCancel | None) -> None:
        model = StudyRootQueryRetrieveInformationModelGet
        classes = list(dict.fromkeys(c for c in wanted.values() if c)) or list(USUAL_CLASSES)
        contexts = [build_context(model), *_storage_contexts(classes)]
        sink = _Sink(take)
        with self._association(contexts, roles=classes, on_store=sink, should_cancel=should_cancel) as (association, watch), closing(sink):
            if not any(c.abstract_syntax == model for c in association.accepted_contexts):
                raise PacsRefused(f"{self.peer.name} does not offer C-GET.", code="pacs_not_supported", hint="Set this PACS to retrieve by C-MOVE.")
            self._follow(association.send_c_get(asked, model), watch, sink)

    def _move(self, asked: Dataset, take: Store, should_cancel: ShouldCancel | None) -> None:
        model = StudyRootQueryRetrieveInformationModelMove
        peer = self.peer
        sink = _Sink(take)
        door = self._door()
        with self._association([build_context(model)], should_cancel=should_cancel) as (association, watch):

            def on_store(event) -> int:
                watch.beat()  # pictures that come by the other connection are no silence
                return sink(event)

            with StorageServer(peer.our_ae_title, allow=(peer.ae_title,), on_store=on_store, host=peer.receive_host, port=peer.receive_port, tls=door), closing(sink):
                self._follow(association.send_c_move(asked, peer.our_ae_title, model), watch, sink)

    def _door(self) -> ssl.SSLContext | None:
        """What encrypts the connection by which the PACS calls back: a PACS that is spoken to encrypted never answers in clear."""
        peer = self.peer
        if peer.tls == "none":
            return None
        if not peer.certificate_file or not peer.key_file:
            raise PacsRefused(f"{peer.name} is spoken to encrypted, and C-MOVE needs a certificate of ours for its way back.", code="pacs_tls_failed", hint="Enter our certificate and key, or retrieve by C-GET.")
        return door_context(peer.certificate_file, peer.key_file, peer.ca_file)

    def _follow(self, responses, watch: _Watch, sink: _Sink) -> None:
        """Wait for the end of a retrieve and say what went wrong in it."""
        for status, _identifier in responses:
            if sink.fault is not None:
                raise sink.fault
            if "Status" not in status:
                raise self._lost(watch)
            if status.Status in PENDING:
                continue
            if status.Status == 0xA801:
                raise PacsRefused(f"{self.peer.name} does not know where to send: the AE title {self.peer.our_ae_title} is not entered there.", code="pacs_rejected", hint="Ask the PACS administrator to enter it with this computer's address and port.")
            if status.Status not in (0, 0xB000):
                raise PacsRefused(f"{self.peer.name} does not send the series (fault {status.Status:04X}).", hint="Ask the PACS administrator.")

    # ---- sending -----------------------------------------------------------------------------
    def store(self, files: Sequence[Outgoing], done: Callable[[Outgoing, LeftOut | None], None], *, should_cancel: ShouldCancel | None = None) -> None:
        """One try at C-STORE of ``files``, each as it is on the disk."""
        kinds = list(dict.fromkeys((f.sop_class, f.transfer_syntax) for f in files))
        for start in range(0, len(kinds), MAX_CONTEXTS):
            some = kinds[start : start + MAX_CONTEXTS]
            batch = [f for f in files if (f.sop_class, f.transfer_syntax) in some]
            try:
                self._store(batch, [build_context(c, s) for c, s in some], done, should_cancel)
            except PacsRefused as error:
                if error.code != "pacs_not_supported":
                    raise
                for file in batch:
                    done(file, _unwanted(file))

    def _store(self, files: list[Outgoing], contexts: list[PresentationContext], done: Callable[[Outgoing, LeftOut | None], None], should_cancel: ShouldCancel | None) -> None:
        with self._association(contexts, should_cancel=should_cancel) as (association, watch):
            accepted = {(c.abstract_syntax, c.transfer_syntax[0]) for c in association.accepted_contexts}
            for n, file in enumerate(files):
                check_cancelled(should_cancel)
                if (file.sop_class, file.transfer_syntax) not in accepted:
                    done(file, _unwanted(file))
                    continue
                try:
                    status = association.send_c_store(file.path, msg_id=n % 65535 + 1)
                except (OSError, ValueError, AttributeError) as error:
                    if watch.reason is None and association.is_established:
                        done(file, LeftOut(file.path.name, "file_unreadable", f"{file.path.name} cannot be read ({type(error).__name__})."))
                        continue
                    raise self._lost(watch) from error
                except RuntimeError as error:  # no connection any more
                    raise self._lost(watch) from error
                if "Status" not in status:
                    raise self._lost(watch)
                # Warnings (B0xx) are said of pictures that were stored (PS3.4 table B.2-1).
                fine = status.Status == 0 or 0xB000 <= status.Status <= 0xBFFF
                full = 0xA700 <= status.Status <= 0xA7FF
                why = "it has no room" if full else f"fault {status.Status:04X}"
                done(file, None if fine else LeftOut(file.path.name, "pacs_refused", f"{self.peer.name} does not take {file.path.name}: {why}."))


def _unwanted(file: Outgoing) -> LeftOut:
    return LeftOut(file.path.name, "pacs_not_supported", f"The PACS does not take {uid_name(file.sop_class)} as {uid_name(file.transfer_syntax)}.")


def _requests(study_uid: str, series_uid: str, wanted: Mapping[str, str], whole: bool) -> Iterator[Dataset]:
    """The series at once, or the instances that are missing by their UIDs."""
    uids = [""] if whole else list(wanted)
    for start in range(0, len(uids), UIDS_A_REQUEST):
        asked = Dataset()
        asked.QueryRetrieveLevel = "SERIES" if whole else "IMAGE"
        asked.StudyInstanceUID, asked.SeriesInstanceUID = check_uid(study_uid), check_uid(series_uid)
        if not whole:
            asked.SOPInstanceUID = uids[start : start + UIDS_A_REQUEST]
        yield asked


def _storage_contexts(classes: Sequence[str]) -> list[PresentationContext]:
    """One context for what is not compressed and one for every compression, so that each picture can come as it is stored."""
    syntaxes: list[list] = [NATIVE, *([s] for s in COMPRESSED)]
    room = (MAX_CONTEXTS - 1) // max(1, len(classes))
    return [build_context(c, s) for c in classes[: MAX_CONTEXTS - 1] for s in syntaxes[: max(1, min(room, len(syntaxes)))]]
