"""A PACS by DICOMweb: QIDO-RS, WADO-RS, STOW-RS (PS3.18 chapters 10.6, 10.4, 10.5), with a password or a bearer token.

Pictures come one request each, several at once, in the compression they are stored in; so what has come is known, and
a break loses no more than what was under way. The server's certificate is always checked. No address that was asked
for stands in a message or a log, because searches name patients.
"""

from __future__ import annotations

import io
import logging
import re
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from urllib.parse import urlsplit

import pydicom
import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from dicom_io.headers import check_cancelled
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
    matches,
    result_from,
    tls_context,
    why_unreachable,
)
from dicom_io.sources import open_bounded

# Addresses and headers that were sent do not belong into a log.
for _name in ("dicomweb_client", "retrying", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

AT_ONCE = 4  # requests under way together
PAGE = 500  # instances of a listing at a time
STUDY_FIELDS = ("AccessionNumber", "StudyDescription", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "ModalitiesInStudy")
SERIES_FIELDS = ("SeriesDescription", "SeriesNumber", "NumberOfSeriesRelatedInstances", "Modality")
AS_STORED = (("application/dicom", "*"),)
BUSY = frozenset({408, 429, 502, 503, 504})


class _Bearer(AuthBase):
    """Sends the token, and shows it nowhere else. As ``auth`` it is dropped when a server redirects to another host."""

    def __init__(self, token: str):
        self._token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def __repr__(self) -> str:
        return "<bearer token>"


class _Checked(HTTPAdapter):
    """Connections that trust exactly what the peer's TLS setting trusts."""

    def __init__(self, context):
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args, **kwargs) -> None:
        """With our context."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, proxy, **kwargs):
        """With our context."""
        return super().proxy_manager_for(proxy, ssl_context=self._context, **kwargs)

    def build_connection_pool_key_attributes(self, request, verify, cert=None):
        """Always checked; nothing trusted besides."""
        return super().build_connection_pool_key_attributes(request, True, None)

    def cert_verify(self, conn, url, verify, cert) -> None:
        """The context has it all."""
        conn.cert_reqs = "CERT_REQUIRED"


class DicomWebPacs:
    """A PACS spoken to by DICOMweb; see ``peer.Pacs`` for what it can do. ``secret`` is the password or token that the
    peer's ``sign_in`` asks for; it is held in memory only."""

    def __init__(self, peer: Peer, *, secret: str | None = None, limits: Limits | None = None):
        if peer.url is None:
            raise PacsRefused(f"{peer.name} has no DICOMweb address.", code="pacs_peer_invalid")
        if peer.sign_in != "none" and not secret:
            raise PacsRefused(f"{peer.name} asks for a {'password' if peer.sign_in == 'basic' else 'token'}, and none is kept.", code="pacs_token_missing", hint="Store it with nodus pacs set-token, or give it in the environment.")
        self.peer, self.limits = peer, limits or Limits()
        self._auth = None if peer.sign_in == "none" else (_Bearer(secret) if peer.sign_in == "bearer" else requests.auth.HTTPBasicAuth(peer.user, secret))
        self._context = tls_context(peer)
        parts = urlsplit(peer.url)
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._sessions: list[requests.Session] = []
        self._idle: deque[DICOMwebClient] = deque()
        weakref.finalize(self, _close_all, self._sessions)

    def __repr__(self) -> str:
        return f"DicomWebPacs({self.peer.name!r})"

    def _made(self) -> DICOMwebClient:
        session = _Session()
        self._sessions.append(session)
        session.auth = self._auth or _no_auth
        session.max_redirects = 3
        if self._context is not None:
            session.mount("https://", _Checked(self._context))
            del session.adapters["http://"]  # a redirect never leads out of the encryption
        timeout = (self.limits.connect_s, self.limits.idle_s)
        client = DICOMwebClient(self.peer.url.rstrip("/"), session=session, timeout=timeout, permissive_uid=True)
        client.set_http_retry_params(retry=False)  # we try again ourselves, and can be stopped meanwhile
        return client

    @contextmanager
    def _asking(self, what: str):
        """A client of one's own for one request (a session is not shared safely); what goes wrong, in plain words and without
        the address."""
        peer = self.peer
        try:
            try:
                client = self._idle.pop()
            except IndexError:
                client = self._made()
            try:
                yield client
            finally:
                self._idle.append(client)
        except requests.exceptions.HTTPError as error:
            raise self._refusal(error.response.status_code, what) from None
        except requests.exceptions.SSLError:
            raise why_unreachable(peer, self._host, self._port, self.limits.connect_s) from None
        except requests.exceptions.Timeout:
            raise PacsRefused(f"{peer.name} has not answered in time.", code="pacs_timeout", hint="Try again; check host, port and firewall.") from None
        except (requests.exceptions.InvalidSchema, requests.exceptions.TooManyRedirects):
            raise PacsRefused(f"{peer.name} leads to another address that is not followed.", code="pacs_refused", hint="Check the address of the PACS.") from None
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            raise PacsRefused(f"The connection to {peer.name} broke.", code="pacs_interrupted", hint="Try again.") from None
        except requests.exceptions.ConnectionError:
            raise why_unreachable(peer, self._host, self._port, self.limits.connect_s) from None
        except (ValueError, KeyError, TypeError, AttributeError, requests.exceptions.RequestException):
            # An answer that is no DICOMweb fails wherever the client first stumbles over it.
            raise PacsRefused(f"{peer.name} does not answer as DICOMweb does.", code="pacs_not_supported", hint="Check the address; it often ends in /dicom-web.") from None

    def _refusal(self, status: int, what: str) -> PacsRefused:
        name = self.peer.name
        if status in (401, 403):
            return PacsRefused(f"{name} does not accept our sign-in (HTTP {status}).", code="pacs_sign_in_refused", hint="Check the token or password; it may have run out.")
        if status in BUSY:
            return PacsRefused(f"{name} is busy (HTTP {status}).", code="pacs_busy", hint="Try again later.")
        if status == 404:
            return PacsRefused(f"{name} does not know what was asked for (HTTP 404).", code="pacs_nothing_found", hint="Check the address; it often ends in /dicom-web.")
        return PacsRefused(f"{name} refuses {what} (HTTP {status}).", code="pacs_refused", hint="Ask the PACS administrator.")

    # ---- asking ------------------------------------------------------------------------------
    def echo(self, *, should_cancel: ShouldCancel | None = None) -> float:
        """Seconds until the PACS answered a search for one study."""
        check_cancelled(should_cancel)
        start = time.monotonic()
        with self._asking("the search") as client:
            client.search_for_studies(limit=1)
        return time.monotonic() - start

    def find(self, query: Query, *, should_cancel: ShouldCancel | None = None) -> QueryAnswer:
        """Studies, or the series of one, as the PACS has them."""
        check_cancelled(should_cancel)
        fields = {"Modality": query.modality, "SeriesDescription": query.description}
        if query.level == "study":
            fields = {"PatientID": query.patient_id, "PatientName": query.patient_name, "StudyDate": query.date_range, "StudyDescription": query.description, "ModalitiesInStudy": query.modality, "AccessionNumber": query.accession}
        filters = {keyword: _plain_pattern(text) for keyword, text in fields.items() if text}
        with self._asking("the search") as client:
            if query.level == "study":
                answers = client.search_for_studies(limit=query.limit + 1, fields=STUDY_FIELDS, search_filters=filters)
            else:
                answers = client.search_for_series(query.study_uid, limit=query.limit + 1, fields=SERIES_FIELDS, search_filters=filters)
            found = [result_from(query.level, _texts(a), query.study_uid) for a in answers]
        check_cancelled(should_cancel)
        results = [r for r in found if isinstance(r, QueryResult) and query.fits(r) and _as_asked(query, filters, r)]
        return QueryAnswer(tuple(results[: query.limit]), more=len(answers) > query.limit)

    def instances(self, study_uid: str, series_uid: str, *, should_cancel: ShouldCancel | None = None) -> dict[str, str]:
        """SOP instance UID -> SOP class UID (empty where not told) of all instances of a series."""
        found: dict[str, str] = {}
        while True:
            check_cancelled(should_cancel)
            try:
                with self._asking("the list of a series") as client:
                    page = client.search_for_instances(check_uid(study_uid), check_uid(series_uid), limit=PAGE, offset=len(found))
                    texts = [_texts(a) for a in page]
            except PacsRefused as error:
                if error.code == "pacs_nothing_found" and not found:
                    return {}
                raise
            new = {get("SOPInstanceUID"): get("SOPClassUID") for get in texts} if texts else {}
            new = {check_uid(uid): sop_class for uid, sop_class in new.items() if uid and uid not in found}
            if not new:  # the end, or a server that does not page
                return found
            found |= new

    # ---- getting -----------------------------------------------------------------------------
    def fetch(self, study_uid: str, series_uid: str, wanted: Mapping[str, str], whole: bool, take: Store, *, should_cancel: ShouldCancel | None = None) -> None:
        """One try at the instances ``wanted``, several at once; they are handed over here, in this thread."""

        def one(uid: str) -> bytes:
            check_cancelled(should_cancel)
            with self._asking("a picture") as client:
                ds = client.retrieve_instance(study_uid, series_uid, uid, media_types=AS_STORED)
                buffer = io.BytesIO()
                pydicom.dcmwrite(buffer, ds)
                return buffer.getvalue()

        for content in _in_turn(one, list(wanted), should_cancel):
            take(content)

    # ---- sending -----------------------------------------------------------------------------
    def store(self, files: Sequence[Outgoing], done: Callable[[Outgoing, LeftOut | None], None], *, should_cancel: ShouldCancel | None = None) -> None:
        """One try at STOW-RS of ``files``, one request each."""
        for file in files:
            check_cancelled(should_cancel)
            try:
                with open_bounded(file.path) as fp:
                    ds = pydicom.dcmread(fp)
            except Exception as error:  # a damaged file raises whatever its parser meets
                done(file, LeftOut(file.path.name, "file_unreadable", f"{file.path.name} cannot be read ({type(error).__name__})."))
                continue
            try:
                with self._asking("a file") as client:
                    answer = client.store_instances([ds])
                    failed = [item.get("FailureReason") for item in answer.get("FailedSOPSequence", None) or ()]
            except PacsRefused as error:
                if error.code != "pacs_refused":
                    raise
                failed = [None]
            if failed:
                why = f"fault {failed[0]:04X}" if isinstance(failed[0], int) else "it gives no reason"
                done(file, LeftOut(file.path.name, "pacs_refused", f"{self.peer.name} does not take {file.path.name}: {why}."))
            else:
                done(file, None)


def _close_all(sessions: list[requests.Session]) -> None:
    for session in sessions:
        session.close()


class _Session(requests.Session):
    """Leaves the wildcards of a search as they are (they may stand in an address, RFC 3986 3.4), for the same servers."""

    def request(self, method, url, *args, **kwargs):
        """As the library's own, with plain wildcards."""
        place, mark, asked = url.partition("?")
        return super().request(method, place + mark + asked.replace("%2A", "*").replace("%3F", "?"), *args, **kwargs)


def _no_auth(request):
    """Instead of a password that a file on this computer may name for the host."""
    return request


def _plain_pattern(text: str) -> str:
    """A pattern that finds at least what ``text`` does and needs no encoding in an address, because some servers do not
    undo it: a wildcard stands for each run of spaces, carets and letters beyond ASCII. What was found is compared here."""
    return re.sub(r"[^A-Za-z0-9._~*?-]+", "*", text)


def _as_asked(query: Query, filters: dict[str, str], result: QueryResult) -> bool:
    """Whether a result fits the texts that were asked for more widely."""
    told = {"PatientID": (query.patient_id, result.patient_id), "PatientName": (query.patient_name, result.patient_name)}
    return all(matches(text, asked) for keyword, (asked, text) in told.items() if filters.get(keyword, asked) != asked)


def _texts(answer: dict) -> Callable[[str], str]:
    """Elements of a DICOM JSON object (PS3.18 annex F) as texts, by keyword; several values joined by backslashes."""

    def get(keyword: str) -> str:
        element = answer.get(f"{pydicom.datadict.tag_for_keyword(keyword):08X}") or {}
        values = []
        for value in element.get("Value") or ():
            if isinstance(value, dict):  # a person's name
                value = value.get("Alphabetic") or value.get("Ideographic") or value.get("Phonetic")
            if value is not None:
                values.append(str(value))
        return "\\".join(values).strip()

    return get


def _in_turn(work: Callable[[str], bytes], uids: list[str], should_cancel: ShouldCancel | None) -> Iterable[bytes]:
    """Results of ``work`` as they come in order, a few under way at once and never more held. One who stops does not wait
    for those under way."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="dicomweb")
    under_way: deque[Future] = deque()
    todo = iter(uids)
    try:
        while True:
            while len(under_way) < AT_ONCE and (uid := next(todo, None)) is not None:
                under_way.append(pool.submit(work, uid))
            if not under_way:
                return
            check_cancelled(should_cancel)
            if wait(list(under_way)[:1], timeout=0.05).done:
                yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
