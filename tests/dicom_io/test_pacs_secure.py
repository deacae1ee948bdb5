"""Encryption and signing in: a certificate that is not trusted ends the talk, and a secret goes to nobody else."""

from __future__ import annotations

import logging
import ssl
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dicom_io.dicomweb import DicomWebPacs
from dicom_io.pacs import DimsePacs
from dicom_io.peer import Limits, PacsRefused, Peer, Query
from dicom_io.transfer import retrieve_series, send_files
from tests.conftest import skip_or_fail
from tests.dicom_io.certificates import Authority
from tests.dicom_io.orthanc import OURS, SERIES, SLICES, STUDY, Orthanc, missing, peer_for, write_series

pytestmark = pytest.mark.slow
LIMITS = Limits(connect_s=5.0, idle_s=10.0, attempts=1)
TOKEN = "t0ken-of-the-test"
PEM = serialization.Encoding.PEM


# ---- certificates --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "ours", "authority of the hospital")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "strangers", "authority of a stranger")


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    return write_series(tmp_path_factory.mktemp("series"))


def started(folder: Path, **options):
    if missing():
        skip_or_fail(missing())
    server = Orthanc(folder, **options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class Gate(ThreadingHTTPServer):
    """A guard before the PACS that lets through whoever shows the token; it counts what is fetched and can send elsewhere."""

    daemon_threads = True

    def __init__(self, target: str, *, token: str | None = TOKEN, tls: ssl.SSLContext | None = None):
        self.target, self.token, self.is_https = target, token, tls is not None
        self.fetched, self.seen, self.elsewhere = 0, [], None
        super().__init__(("127.0.0.1", 0), _Guard)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_how) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"{'https://localhost' if self.is_https else 'http://127.0.0.1'}:{self.server_address[1]}/dicom-web"


class _Guard(BaseHTTPRequestHandler):
    def _pass_on(self) -> None:
        gate: Gate = self.server
        gate.seen.append(self.headers.get("Authorization"))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        if gate.elsewhere is not None:
            self.send_response(302)
            self.send_header("Location", gate.elsewhere)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if gate.token is not None and self.headers.get("Authorization") != f"Bearer {gate.token}":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        named = {k: v for k, v in self.headers.items() if k in ("Accept", "Content-Type")}
        request = urllib.request.Request(gate.target + self.path, data=body, headers=named, method=self.command)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
            gate.fetched += self.path.count("/instances/") and self.command == "GET"
            self.send_response(answer.status)
            for name in ("Content-Type",):
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _pass_on

    def log_message(self, *_what) -> None:
        """Nothing on the test's output."""


class Encrypted:
    """A PACS that encrypts both ways of speaking: DIMSE by itself, DICOMweb behind a guard (Debian's Orthanc 1.10.1 ends with a
    segmentation fault at the first HTTPS connection)."""

    def __init__(self, server: Orthanc, certificate: tuple[str, str]):
        self.server = server
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.gate = Gate(f"http://127.0.0.1:{server.http_port}", token=None, tls=context)

    def speak(self, how: str, **changes):
        peer = peer_for(self.server, how, **({"url": self.gate.url} if how == "web" else {"host": "localhost"}), **changes)
        return DicomWebPacs(peer, limits=LIMITS) if how == "web" else DimsePacs(peer, limits=LIMITS)


def encrypting(folder: Path, ours: Authority, host: str):
    """Its callback by C-MOVE is encrypted, too (``UseDicomTls``)."""
    certificate = ours.certificate(host.replace(".", "-"), host)
    back = {"ours": {"AET": OURS, "Host": "localhost", "Port": None, "UseDicomTls": True, "AllowEcho": True, "AllowFind": True, "AllowGet": True, "AllowMove": True, "AllowStore": True}}
    for server in started(folder, DicomModalities=back, DicomTlsEnabled=True, DicomTlsCertificate=certificate[0], DicomTlsPrivateKey=certificate[1], DicomTlsTrustedCertificates=ours.ca_file, DicomTlsRemoteCertificateRequired=True):
        made = Encrypted(server, certificate)
        with made.gate:
            yield made


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory, ours):
    """A PACS that encrypts and, by DIMSE, asks callers for a certificate."""
    yield from encrypting(tmp_path_factory.mktemp("encrypted") / "o", ours, "localhost")


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory, ours):
    """A PACS whose certificate is trusted but belongs to another host."""
    yield from encrypting(tmp_path_factory.mktemp("misnamed") / "o", ours, "elsewhere.example")


def own(authority: Authority, *, with_certificate: bool = True) -> dict:
    cert, key = authority.certificate("nodus")
    return {"tls": "own", "ca_file": authority.ca_file} | ({"certificate_file": cert, "key_file": key} if with_certificate else {})


def refused(code: str):
    return pytest.raises(PacsRefused, check=lambda error: error.code == code)


@pytest.mark.parametrize("how", ["get", "move", "web"])
def test_that_a_series_goes_there_and_back_encrypted(encrypted, ours, series, tmp_path, how):
    pacs = encrypted.speak(how, **own(ours))
    done = send_files(pacs, [series])
    assert done.sent + done.already_there == SLICES
    assert retrieve_series(pacs, STUDY, SERIES, tmp_path).fetched == SLICES


def test_that_c_move_never_comes_back_in_clear(ours):
    taken: list[bytes] = []
    peer = Peer("a", "localhost", 104, "PACS", tls="own", ca_file=ours.ca_file, retrieve="move")
    with refused("pacs_tls_failed") as caught:
        DimsePacs(peer, limits=LIMITS).fetch(STUDY, SERIES, {"2.25.1": ""}, True, taken.append)
    assert "way back" in caught.value.message
    assert taken == []


def test_that_an_authority_of_our_own_is_never_replaced_by_what_the_computer_trusts():
    with refused("pacs_tls_failed"):
        DimsePacs(Peer("a", "localhost", 104, "PACS", tls="own"), limits=LIMITS).echo()


@pytest.mark.parametrize("how", ["get", "web"])
@pytest.mark.parametrize("trust", ["stranger", "system"])
def test_that_a_certificate_that_is_not_trusted_ends_the_talk(encrypted, strangers, how, trust):
    changes = own(strangers) if trust == "stranger" else {"tls": "system"}
    with refused("pacs_tls_failed") as caught:
        encrypted.speak(how, **changes).echo()
    assert "not trusted" in caught.value.message


@pytest.mark.parametrize("how", ["get", "web"])
def test_that_a_certificate_of_another_host_ends_the_talk(misnamed, ours, how):
    with refused("pacs_tls_failed"):
        misnamed.speak(how, **own(ours)).echo()


def test_that_a_pacs_that_asks_for_our_certificate_refuses_us_without_one(encrypted, ours):
    with pytest.raises(PacsRefused) as caught:
        encrypted.speak("get", **own(ours, with_certificate=False)).echo()
    assert caught.value.code in ("pacs_tls_failed", "pacs_interrupted")


def test_that_speaking_plainly_to_an_encrypting_port_is_given_up(encrypted):
    with pytest.raises(PacsRefused) as caught:
        encrypted.speak("get").echo()
    assert caught.value.code in ("pacs_interrupted", "pacs_timeout")


@pytest.mark.parametrize("spoil", ["absent", "garbage", "password"])
def test_that_certificate_files_that_cannot_be_used_are_said_and_nothing_is_asked(tmp_path, ours, spoil):
    cert, key = ours.certificate("spoiled")
    if spoil == "absent":
        key = str(tmp_path / "absent.key")
    elif spoil == "garbage":
        key = str(tmp_path / "garbage.key")
        Path(key).write_text("no key")
    else:
        private = ec.generate_private_key(ec.SECP256R1())
        Path(key).write_bytes(private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")))
    peer = Peer("a", "localhost", 104, "PACS", tls="own", ca_file=ours.ca_file, certificate_file=cert, key_file=key)
    with refused("pacs_tls_failed"):
        DimsePacs(peer, limits=LIMITS).echo()


# ---- signing in ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A PACS that asks for a user and a password."""
    yield from started(tmp_path_factory.mktemp("guarded") / "o", AuthenticationEnabled=True, RegisteredUsers={"reader": "pass word"})


def test_that_a_password_opens_the_door_and_a_wrong_one_does_not(guarded, series, tmp_path):
    peer = peer_for(guarded, "web", sign_in="basic", user="reader")
    pacs = DicomWebPacs(peer, secret="pass word", limits=LIMITS)
    assert send_files(pacs, [series]).sent == SLICES
    assert retrieve_series(pacs, STUDY, SERIES, tmp_path).fetched == SLICES
    for other in (DicomWebPacs(peer, secret="wrong", limits=LIMITS), DicomWebPacs(peer_for(guarded, "web"), limits=LIMITS)):
        with refused("pacs_sign_in_refused"):
            other.find(Query())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    yield from started(tmp_path_factory.mktemp("plain") / "o")


@pytest.fixture
def gate(plain):
    with Gate(f"http://127.0.0.1:{plain.http_port}") as made:
        yield made


def test_that_a_token_is_shown_with_every_request_and_stands_in_no_log(gate, series, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG):
        pacs = DicomWebPacs(Peer("test", url=gate.url, sign_in="bearer"), secret=TOKEN, limits=LIMITS)
        send_files(pacs, [series])
        assert retrieve_series(pacs, STUDY, SERIES, tmp_path).fetched == SLICES
        pacs.find(Query(patient_name="Erf*"))
        with refused("pacs_sign_in_refused") as caught:
            DicomWebPacs(Peer("test", url=gate.url, sign_in="bearer"), secret="another", limits=LIMITS).find(Query(patient_id="INV-77"))
    assert set(gate.seen) == {f"Bearer {TOKEN}", "Bearer another"}
    everything = "\n".join(r.getMessage() for r in caplog.records) + caught.value.message + str(caught.value.hint)
    for secret in (TOKEN, "Erf", "INV-77", "another"):
        assert secret not in everything


def test_that_each_picture_is_fetched_once_and_only_the_rest_the_second_time(gate, series, tmp_path):
    pacs = DicomWebPacs(Peer("test", url=gate.url, sign_in="bearer"), secret=TOKEN, limits=LIMITS)
    send_files(pacs, [series])
    retrieve_series(pacs, STUDY, SERIES, tmp_path)
    assert gate.fetched == SLICES
    for path in sorted((tmp_path / SERIES).iterdir())[:3]:
        path.unlink()
    retrieve_series(pacs, STUDY, SERIES, tmp_path)
    assert gate.fetched == SLICES + 3


def test_that_a_token_does_not_follow_a_redirect_to_another_server(gate):
    with Gate("http://127.0.0.1:9") as other:
        gate.elsewhere = other.url.replace("127.0.0.1", "localhost")
        with pytest.raises(PacsRefused):
            DicomWebPacs(Peer("test", url=gate.url, sign_in="bearer"), secret=TOKEN, limits=LIMITS).echo()
        assert other.seen
        assert other.seen == [None] * len(other.seen)


@pytest.mark.parametrize("how", ["https", "http"])
def test_that_a_redirect_never_leads_out_of_the_encryption(encrypted, ours, how):
    with Gate("http://127.0.0.1:9", token=None) as other:
        encrypted.gate.elsewhere = other.url if how == "http" else None
        try:
            pacs = encrypted.speak("web", **own(ours))
            if how == "https":
                assert pacs.echo() > 0
            else:
                with refused("pacs_refused"):
                    pacs.echo()
            assert other.seen == []
        finally:
            encrypted.gate.elsewhere = None


def test_that_a_password_file_of_this_computer_is_not_used_behind_our_back(gate, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with refused("pacs_sign_in_refused"):
        DicomWebPacs(Peer("test", url=gate.url), limits=LIMITS).echo()
    assert gate.seen == [None]
