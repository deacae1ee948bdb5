"""The one-folder program that runs without Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import secret_service
from tests.dicom_io.orthanc import free_port, write_series

ROOT = Path(__file__).resolve().parents[2]


def pacs_both_ways(program: Path, environment: dict[str, str], folder: Path) -> str:
    """What the program has to bring along for a PACS: DIMSE, DICOMweb, the keyring. In words for the record."""
    port = free_port()
    environment = environment | {"NODUS_SETTINGS": str(folder / "settings.json")}

    def call(*arguments, env=environment, typed="", code=0):
        run = subprocess.run([program, "pacs", *map(str, arguments), "--json"], cwd=folder, env=env, input=typed, capture_output=True, text=True, timeout=300)
        assert run.returncode == code, run.stdout[-2000:] + run.stderr[-2000:]
        return json.loads(run.stdout)

    receiver = subprocess.Popen([program, "pacs", "receive", "--port", str(port), "--allow", "SCANNER", "--out", folder / "in", "--json"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "Listening" in receiver.stderr.readline()
        there = ("--host", "127.0.0.1", "--port", port, "--aet", "NODUS", "--our-aet", "SCANNER")
        assert call("echo", *there)["ok"] is True
        assert call("send", *there, write_series(folder / "out", slices=3))["sent"] == 3
    finally:
        receiver.terminate()
        out, _err = receiver.communicate(timeout=60)
    assert json.loads(out)["kept"] == 3
    assert call("echo", "--url", f"http://127.0.0.1:{free_port()}/dicom-web", code=3)["error"]["code"] == "pacs_unreachable"
    if secret_service.missing():
        return "works; no keyring here to try"
    with secret_service.secret_service(folder / "home") as logged_in:
        logged_in = {k: v for k, v in logged_in.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        call("add-peer", "archive", "--url", "https://pacs.example/dicom-web", "--sign-in", "bearer", env=logged_in)
        assert call("set-token", "archive", env=logged_in, typed="a token\n") == {"kept": "archive"}
        call("remove-peer", "archive", env=logged_in)
    return "works"


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_that_the_frozen_program_proves_itself_and_does_the_main_job(tmp_path, record_result):
    started = time.monotonic()
    build = subprocess.run(
        [sys.executable, "-m", "PyInstaller", "--noconfirm", "--distpath", tmp_path / "dist", "--workpath", tmp_path / "build", ROOT / "build_installer.spec"],
        cwd=ROOT, capture_output=True, text=True,
    )
    assert build.returncode == 0, build.stderr[-4000:]
    build_s = time.monotonic() - started
    program = tmp_path / "dist" / "nodus" / ("nodus.exe" if os.name == "nt" else "nodus")
    size_mb = sum(p.stat().st_size for p in program.parent.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6
    # Nothing of this checkout may help it: another folder, no PYTHONPATH, an empty cache.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path / "cache")

    def call(*arguments):
        run = subprocess.run([program, *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
        return run.stdout

    said = pacs_both_ways(program, environment, tmp_path)
    selftest = json.loads(call("selftest", "--json"))
    assert selftest["ok"] is True
    started = time.monotonic()
    call("demo", "--headless", "--out", tmp_path / "demo")
    first_s = time.monotonic() - started
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert len(summary["nodes"]) == 15
    assert {"screenshot", "pdf", "csv", "plan"} <= {a["kind"] for a in summary["artefacts"]}
    started = time.monotonic()
    call("demo", "--headless", "--out", tmp_path / "demo")
    record_result(
        "installer",
        "The one-folder program",
        f"| what | figure |\n| --- | --- |\n| build | {build_s:.0f} s |\n| size | {size_mb:.0f} MB |\n| `nodus selftest` | {len(selftest['checks'])} checks passed in {selftest['seconds']:.1f} s |\n"
        f"| `nodus pacs`: sent to its own receiver, asked by DICOMweb, token in the system's keyring | {said} |\n"
        f"| `nodus demo --headless`, empty kernel cache | {first_s:.0f} s |\n| `nodus demo --headless`, warm | {time.monotonic() - started:.0f} s |\n",
    )
