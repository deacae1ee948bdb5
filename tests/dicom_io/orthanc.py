"""A real PACS for tests: Orthanc with its DICOMweb plug-in, on loopback, in a temporary folder, ended by its process id."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

PROGRAM = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
AE_TITLE, OURS = "ORTHANC", "NODUS"


def missing() -> str | None:
    """Why there is no PACS to test with, None where there is one."""
    if not Path(PROGRAM).is_file():
        return "Orthanc is not installed (package orthanc)"
    return None if PLUGIN.is_file() else "Orthanc's DICOMweb plug-in is not installed (package orthanc-dicomweb)"


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Orthanc:
    """Started by ``start``; ``kill`` ends it as a power cut would, ``stop`` as an administrator does; its pictures stay."""

    def __init__(self, folder: Path, **options):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.dicom_port, self.http_port, self.move_port = free_port(), free_port(), free_port()
        self.process: subprocess.Popen | None = None
        self.config = {
            "Name": "test", "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "store"),
            "DicomAet": AE_TITLE, "DicomPort": self.dicom_port, "HttpPort": self.http_port, "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomCheckCalledAet": True, "DicomAlwaysAllowEcho": False, "DicomAlwaysAllowStore": False,
            "DicomModalities": {"ours": {"AET": OURS, "Host": "127.0.0.1", "Port": self.move_port, "AllowEcho": True, "AllowFind": True, "AllowGet": True, "AllowMove": True, "AllowStore": True}},
            "DicomCheckModalityHost": False, "DicomAlwaysAllowFind": False, "DicomAlwaysAllowGet": False, "DicomAlwaysAllowMove": False,
            "Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True}, "OverwriteInstances": False, "ConcurrentJobs": 2, "HttpThreadsCount": 8,
            **options,
        }  # fmt: skip
        for modality in self.config["DicomModalities"].values():
            modality["Port"] = self.move_port

    @property
    def url(self) -> str:
        """Where DICOMweb is."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def start(self) -> Orthanc:
        """Start it and wait until it answers."""
        place = self.folder / "orthanc.json"
        place.write_text(json.dumps(self.config))
        log = (self.folder / "log.txt").open("ab")
        with log:
            self.process = subprocess.Popen([PROGRAM, str(place)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert self.process.poll() is None, (self.folder / "log.txt").read_text(errors="replace")[-2000:]
            if all(_listens(port) for port in (self.dicom_port, self.http_port)):
                return self
            time.sleep(0.05)
        raise AssertionError("Orthanc did not start within 30 s")

    def kill(self) -> None:
        """As a power cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an administrator."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.kill(self.process.pid, signal.SIGKILL)
                self.process.wait(10)
        self.process = None

    def rest(self, path: str, method: str = "GET", body: bytes | None = None):
        """Orthanc's own interface, for looking behind the protocols (without TLS and passwords)."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def count(self) -> int:
        """Instances it holds."""
        return self.rest("/statistics")["CountInstances"]

    def empty(self) -> None:
        """Remove everything it holds."""
        for patient in self.rest("/patients"):
            self.rest(f"/patients/{patient}", "DELETE")


def _listens(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(0.5)
        return s.connect_ex(("127.0.0.1", port)) == 0


# ---- what the tests put into it ------------------------------------------------------------------
STUDY, SERIES, SLICES = "2.25.1.9.1", "2.25.1.1", 12


def write_series(folder: Path, *, slices: int = SLICES, series: int = 1, **elements) -> Path:
    """A CT series of an invented patient."""
    from tests.dicom_io.made import ct_slice, save

    told = {"PatientID": "INV-77", "PatientName": "Erfunden^Änne", "StudyDate": "20250113", "StudyDescription": "CT neck", "AccessionNumber": "A24-00310", "SeriesDescription": "axial", "SeriesNumber": 3, "SpecificCharacterSet": "ISO_IR 192"}
    for n in range(slices):
        save(ct_slice((0.0, 0.0, 2.0 * n), n + 1, series=series, **(told | elements)), folder / f"slice{n:03d}.dcm")
    return folder


def peer_for(server: Orthanc, how: str, **changes):
    """The peer that speaks to ``server`` by ``get``, ``move`` or ``web``."""
    from dicom_io.peer import Peer

    if how == "web":
        return Peer(**{"name": "test", "url": server.url, **changes})
    return Peer(**{"name": "test", "host": "127.0.0.1", "port": server.dicom_port, "ae_title": AE_TITLE, "our_ae_title": OURS, "retrieve": how, "receive_port": server.move_port, **changes})
