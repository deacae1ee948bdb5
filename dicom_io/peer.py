"""A PACS as a value: where it is and how to speak to it, what is asked of it, what it answers, how it refuses.

Both ways of speaking (``pacs`` for DIMSE, ``dicomweb`` for DICOMweb) take and give these, so that nobody above them
needs to know which one a hospital has.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from dicom_io.headers import ProgressReport, without_escapes
from volumetry.errors import NodusError

ShouldCancel = Callable[[], bool]
UID_PATTERN = re.compile(r"[0-9](?:[0-9.]{0,62}[0-9])?")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,31}")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Trouble that may be over in a moment: worth another try.
PASSING = frozenset({"pacs_unreachable", "pacs_interrupted", "pacs_timeout", "pacs_busy"})


class PacsRefused(NodusError):
    """A PACS that cannot be used, or does not do what was asked. Codes: ``pacs_unreachable``, ``pacs_timeout``,
    ``pacs_rejected`` (it does not know us), ``pacs_refused`` (it knows us and does not do it), ``pacs_not_supported``,
    ``pacs_interrupted``, ``pacs_busy``, ``pacs_incomplete``, ``pacs_nothing_found``, ``pacs_tls_failed``,
    ``pacs_sign_in_refused``, ``pacs_token_missing``, ``pacs_token_in_clear``, ``pacs_peer_invalid``, ``pacs_mismatch``,
    ``pacs_stray_files``, ``pacs_port_taken``, ``pacs_request_invalid``, ``write_failed``, ``nothing_to_send``."""

    default_code = "pacs_refused"

    @property
    def is_passing(self) -> bool:
        """True where trying again may help."""
        return self.code in PASSING


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait (seconds) and how often to try. ``idle_s`` is silence, not the length of a transfer. ``attempts`` are
    tries in a row that bring nothing new; the pause between them doubles from ``pause_s``."""

    connect_s: float = 8.0
    idle_s: float = 60.0
    attempts: int = 3
    pause_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Peer:
    """One PACS. With ``url`` it is spoken to by DICOMweb, else by DIMSE at ``host``, ``port`` and ``ae_title``.

    ``tls``: ``none``; ``system`` trusts what the computer trusts; ``own`` trusts ``ca_file`` alone and, where
    ``certificate_file`` and ``key_file`` are given, proves us by them. A certificate is always checked, with the host's
    name. ``retrieve`` is ``get`` (C-GET) or ``move`` (C-MOVE to us at ``receive_host`` and ``receive_port``, which the PACS
    must know under ``our_ae_title``). ``sign_in`` (DICOMweb) is ``none``, ``basic`` (with ``user``) or ``bearer``; the
    password or token is no part of this value. Raises ``PacsRefused`` (``pacs_peer_invalid``) where it cannot be one.
    """

    name: str
    host: str = ""
    port: int = 104
    ae_title: str = ""
    our_ae_title: str = "NODUS"
    tls: Literal["none", "system", "own"] = "none"
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    retrieve: Literal["get", "move"] = "get"
    receive_host: str = "127.0.0.1"
    receive_port: int = 11112
    url: str | None = None
    sign_in: Literal["none", "basic", "bearer"] = "none"
    user: str | None = None

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise _invalid("A PACS needs a short name of letters, digits, dash, dot or space.")
        if self.tls not in ("none", "system", "own") or self.retrieve not in ("get", "move") or self.sign_in not in ("none", "basic", "bearer"):
            raise _invalid(f"{self.name}: the way to encrypt, retrieve or sign in is none of those known.")
        if self.url is not None:
            self._check_url()
        else:
            if not self.host or any(c.isspace() for c in self.host):
                raise _invalid(f"{self.name} needs the host name or address of the PACS.")
            check_port(self.port, self.name)
            check_port(self.receive_port, self.name)
            check_ae_title(self.ae_title, "the PACS")
            check_ae_title(self.our_ae_title, "this computer")
        if bool(self.certificate_file) != bool(self.key_file):
            raise _invalid(f"{self.name}: a certificate of our own and its key belong together.")

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            host, _port = parts.hostname, parts.port
        except ValueError:
            host, parts = None, None
        if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            raise _invalid(f"{self.name}: the address must look like https://host/dicom-web.")
        if parts.username or parts.password:
            raise _invalid(f"{self.name}: a password does not belong into the address; it is kept in the system's keyring.")
        if self.sign_in == "basic" and not self.user:
            raise _invalid(f"{self.name}: signing in with a password needs a user name.")
        if self.sign_in != "none" and parts.scheme == "http" and host not in LOOPBACK:
            raise PacsRefused(f"{self.name}: a password or token is not sent without encryption.", code="pacs_token_in_clear", hint="Use an https address.")

    @property
    def protocol(self) -> Literal["dimse", "dicomweb"]:
        """How this PACS is spoken to."""
        return "dimse" if self.url is None else "dicomweb"

    @property
    def place(self) -> str:
        """Where it is, as people read it."""
        return self.url if self.url is not None else f"{self.ae_title} at {self.host}:{self.port}"


def _invalid(message: str) -> PacsRefused:
    return PacsRefused(message, code="pacs_peer_invalid")


def check_port(port: int, whose: str) -> None:
    """Raise ``PacsRefused`` (``pacs_peer_invalid``) for what is no port number."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise _invalid(f"{whose}: a port is a whole number from 1 to 65535.")


def check_ae_title(title: str, whose: str) -> None:
    """Raise ``PacsRefused`` (``pacs_peer_invalid``) for what is no AE title (PS3.5 table 6.2-1: 1 to 16 characters, no
    backslash, no control characters, not only spaces)."""
    if not title.strip() or len(title) > 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise _invalid(f"The AE title of {whose} must have 1 to 16 plain characters.")


def tls_context(peer: Peer) -> ssl.SSLContext | None:
    """What encrypts the connection, None without TLS. Raises ``PacsRefused`` (``pacs_tls_failed``) for files that
    cannot be used."""
    if peer.tls == "none" and not (peer.url or "").startswith("https:"):
        return None
    own = peer.tls == "own"
    if own and not peer.ca_file:  # otherwise it would trust whatever this computer does
        raise PacsRefused(f"{peer.name} is to be trusted by a file of its authority, and none is named.", code="pacs_tls_failed", hint="Name that file, or trust what this computer trusts.")
    try:
        context = ssl.create_default_context(cafile=peer.ca_file if own else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if own and peer.certificate_file and peer.key_file:
            context.load_cert_chain(peer.certificate_file, peer.key_file, password=_no_password)
    except (OSError, ValueError) as error:  # ssl's own errors are OSErrors
        raise PacsRefused(f"{peer.name}: the certificate files cannot be used.", code="pacs_tls_failed", hint="They must be PEM files; the key without a password.") from error
    return context


class _DoorContext(ssl.SSLContext):
    """Agrees on the encryption in the connection's own thread, so that a caller who says nothing holds up nobody else."""

    def wrap_socket(self, sock, server_side=False, **how):  # as pynetdicom calls it
        """As the library's own, without waiting for the caller."""
        return super().wrap_socket(sock, server_side=server_side, **{**how, "do_handshake_on_connect": False})


def door_context(certificate_file: str, key_file: str, ca_file: str | None = None) -> ssl.SSLContext:
    """What encrypts connections that others open to us; with ``ca_file`` only callers whose certificate that authority signed
    come in. Raises ``PacsRefused`` (``pacs_tls_failed``) for files that cannot be used."""
    try:
        context = _DoorContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        raise PacsRefused("The certificate files of this computer cannot be used.", code="pacs_tls_failed", hint="They must be PEM files; the key without a password.") from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")  # and nothing is asked on a terminal


def why_unreachable(peer: Peer, host: str, port: int, connect_s: float, error: BaseException | None = None) -> PacsRefused:
    """Find out why a connection did not come about, by trying once more and looking closely."""
    if error is None:
        try:
            with socket.create_connection((host, port), timeout=connect_s) as plain:
                context = tls_context(peer)
                if context is not None:
                    with context.wrap_socket(plain, server_hostname=host):
                        pass
        except (OSError, ValueError) as found:
            error = found
    if isinstance(error, ssl.SSLCertVerificationError):
        return PacsRefused(f"{peer.name}: the certificate of the PACS is not trusted ({error.verify_message}).", code="pacs_tls_failed", hint="Ask for its certificate authority's file; do not switch the check off.")
    if isinstance(error, ssl.SSLError):
        return PacsRefused(f"{peer.name}: no encrypted connection could be agreed on.", code="pacs_tls_failed", hint="Check whether the PACS encrypts on this port and expects a certificate of ours.")
    if isinstance(error, socket.gaierror):
        return PacsRefused(f"{peer.name}: no computer has the name {host}.", code="pacs_unreachable", hint="Check the host name and the network.")
    if isinstance(error, TimeoutError):
        return PacsRefused(f"{peer.name} did not answer within {connect_s:g} s.", code="pacs_timeout", hint="Check host, port and firewall.")
    if isinstance(error, ConnectionRefusedError):
        return PacsRefused(f"{peer.name}: nothing listens at {host}:{port}.", code="pacs_unreachable", hint="Check the port, and whether the PACS is running.")
    if error is None:  # by now it listens
        return PacsRefused(f"{peer.name} broke the connection off.", code="pacs_interrupted", hint="Try again; check whether the PACS encrypts on this port.")
    return PacsRefused(f"{peer.name} cannot be reached: {getattr(error, 'strerror', None) or 'no connection'}.", code="pacs_unreachable", hint="Check the network.")


# ---- asking --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for; empty means any. ``*`` and ``?`` are wildcards in the texts; dates are inclusive. With
    ``study_uid`` the series of that study are meant, else studies. At most ``limit`` answers are taken."""

    patient_id: str = ""
    patient_name: str = ""
    date_from: dt.date | None = None
    date_to: dt.date | None = None
    modality: str = ""
    description: str = ""
    study_uid: str = ""
    limit: int = 200
    accession: str = ""

    def __post_init__(self) -> None:
        for text in (self.patient_id, self.patient_name, self.modality, self.description, self.accession):
            if "\\" in text or not all(c.isprintable() for c in text) or len(text) > 64:
                raise PacsRefused("A search text has up to 64 plain characters and no backslash.", code="pacs_request_invalid")
        if self.date_from and self.date_to and self.date_from > self.date_to:
            raise PacsRefused("The first day lies after the last.", code="pacs_request_invalid")
        if self.study_uid:
            check_uid(self.study_uid)
        if not 1 <= self.limit <= 10_000:
            raise PacsRefused("Between 1 and 10000 answers can be asked for.", code="pacs_request_invalid")

    @property
    def level(self) -> Literal["study", "series"]:
        """What is asked for."""
        return "series" if self.study_uid else "study"

    @property
    def date_range(self) -> str:
        """The dates as DICOM writes a range; empty for any (PS3.4 C.2.2.2.5)."""
        if self.date_from is None and self.date_to is None:
            return ""
        if self.date_from == self.date_to:
            return f"{self.date_from:%Y%m%d}"
        return "-".join("" if day is None else f"{day:%Y%m%d}" for day in (self.date_from, self.date_to))

    def fits(self, result: QueryResult) -> bool:
        """False for an answer that a PACS gave because it ignores modality, description, accession number or dates (they may be)."""
        if self.modality and result.modality and not any(matches(m, self.modality) for m in result.modality.split("\\")):
            return False
        if self.description and result.description and not matches(result.description, self.description):
            return False
        if self.accession and result.accession and not matches(result.accession, self.accession):
            return False
        if result.study_date:
            day = dt.date.fromisoformat(result.study_date)
            return not ((self.date_from and day < self.date_from) or (self.date_to and day > self.date_to))
        return True


def matches(text: str, pattern: str) -> bool:
    """Whether a text fits a pattern with ``*`` and ``?``; small and capital letters are the same, absent parts at the end of a
    name count as empty."""
    # Brackets mean themselves in DICOM.
    return fnmatch.fnmatchcase(text.lower().rstrip("^"), pattern.lower().rstrip("^").replace("[", "[[]"))


@dataclass(frozen=True, slots=True)
class QueryResult:
    """One study, or one series of it, as the PACS describes it. ``study_date`` is YYYY-MM-DD; patient and description are
    as sent. ``modality`` of a study may be several, with backslashes. Counts are None where the PACS does not tell."""

    level: Literal["study", "series"]
    study_uid: str
    series_uid: str | None = None
    patient_id: str = ""
    patient_name: str = ""
    study_date: str | None = None
    description: str = ""
    modality: str = ""
    series_number: int | None = None
    series_count: int | None = None
    instance_count: int | None = None
    accession: str = ""


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What was found; ``more`` where the limit cut it off."""

    results: tuple[QueryResult, ...]
    more: bool = False


def result_from(level: Literal["study", "series"], get: Callable[[str], str], study_uid: str = "") -> QueryResult | None:
    """A result out of an answer; ``get(keyword)`` gives an element's text. None where it names nothing usable."""
    study, series = get("StudyInstanceUID") or study_uid, get("SeriesInstanceUID") or None
    if not UID_PATTERN.fullmatch(study) or (level == "series" and not UID_PATTERN.fullmatch(series or "")):
        return None
    day = get("StudyDate")
    try:
        date = dt.datetime.strptime(day, "%Y%m%d").date().isoformat()
    except ValueError:
        date = None
    is_study = level == "study"
    return QueryResult(
        level=level,
        study_uid=study,
        series_uid=None if is_study else series,
        patient_id=get("PatientID"),
        patient_name=without_escapes(get("PatientName")),
        study_date=date,
        description=without_escapes(get("StudyDescription" if is_study else "SeriesDescription")),
        modality=get("ModalitiesInStudy" if is_study else "Modality"),
        series_number=None if is_study else _count(get("SeriesNumber")),
        series_count=_count(get("NumberOfStudyRelatedSeries")) if is_study else None,
        instance_count=_count(get("NumberOfStudyRelatedInstances" if is_study else "NumberOfSeriesRelatedInstances")),
        accession=get("AccessionNumber") if is_study else "",
    )


def _count(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def check_uid(uid: str) -> str:
    """The UID itself. Raises ``PacsRefused`` (``pacs_request_invalid``) for what is none, so that no name of a file or address is ever
    made of it."""
    if not UID_PATTERN.fullmatch(uid):
        raise PacsRefused("That is not a UID of a study, a series or a picture.", code="pacs_request_invalid")
    return uid


# ---- getting and sending ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to send, and what its header says it is."""

    path: Path
    sop_class: str
    sop_uid: str
    transfer_syntax: str
    study_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that was not sent, and why."""

    file: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RetrieveResult:
    """A whole series in ``folder``: ``fetched`` now, ``already_there`` from before; together all the PACS has."""

    study_uid: str
    series_uid: str
    folder: Path
    fetched: int
    already_there: int

    @property
    def instances(self) -> int:
        """How many there are."""
        return self.fetched + self.already_there


@dataclass(frozen=True, slots=True)
class SendResult:
    """What the PACS has confirmed, what it had before, and what was left out, with the reason."""

    sent: int
    already_there: int
    left_out: tuple[LeftOut, ...] = ()


Store = Callable[[bytes], None]
"""``take(content)``: keep one whole instance that arrived; raises ``PacsRefused`` for one that was not asked for."""


class Pacs(Protocol):
    """What both ways of speaking can do. All raise ``PacsRefused``, and ``Cancelled`` where asked to stop."""

    peer: Peer
    limits: Limits

    def echo(self, *, should_cancel: ShouldCancel | None = None) -> float:
        """Seconds until the PACS answered."""

    def find(self, query: Query, *, should_cancel: ShouldCancel | None = None) -> QueryAnswer:
        """Studies, or the series of one."""

    def instances(self, study_uid: str, series_uid: str, *, should_cancel: ShouldCancel | None = None) -> dict[str, str]:
        """SOP instance UID -> SOP class UID (empty where not told) of all instances of a series."""

    def fetch(self, study_uid: str, series_uid: str, wanted: Mapping[str, str], whole: bool, take: Store, *, should_cancel: ShouldCancel | None = None) -> None:
        """One try at ``wanted`` (``whole``: that is all of the series); each that arrives is handed to ``take`` in this thread."""

    def store(self, files: Sequence[Outgoing], done: Callable[[Outgoing, LeftOut | None], None], *, should_cancel: ShouldCancel | None = None) -> None:
        """One try at sending; ``done`` is called for each file that was confirmed, or refused with a reason."""


__all__ = [
    "LeftOut", "Limits", "Outgoing", "Pacs", "PacsRefused", "Peer", "ProgressReport", "Query", "QueryAnswer", "QueryResult", "RetrieveResult",
    "SendResult", "ShouldCancel", "Store", "check_ae_title", "check_port", "check_uid", "door_context", "matches", "result_from", "tls_context", "why_unreachable",
]  # fmt: skip
