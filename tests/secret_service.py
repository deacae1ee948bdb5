"""A real Secret Service for tests: GNOME's keyring on a session bus of its own, with a home of its own; ended by process id."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("dbus-daemon", "gnome-keyring-daemon")


def missing() -> str | None:
    """Why there is none to test with, None where there is."""
    absent = [p for p in PROGRAMS if shutil.which(p) is None]
    return f"{', '.join(absent)} not installed (packages dbus and gnome-keyring)" if absent else None


@contextmanager
def secret_service(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a person who is logged in, with the keyring unlocked."""
    (home / "run").mkdir(parents=True, mode=0o700)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DBUS_", "NODUS_PACS_TOKEN", "PYTHON_KEYRING"))}
    environment |= {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "XDG_CONFIG_HOME": str(home / "config"), "XDG_RUNTIME_DIR": str(home / "run"), "NODUS_SETTINGS": str(home / "settings.json")}
    started: list[subprocess.Popen] = []
    try:
        bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", "--print-address"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(bus)
        environment["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().strip()
        ring = subprocess.Popen(["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        started.append(ring)
        ring.stdin.write("password of the login")
        ring.stdin.close()
        until = time.monotonic() + 30
        while not (home / "data" / "keyrings" / "login.keyring").exists() and time.monotonic() < until:
            time.sleep(0.02)
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(10)
        bus.stdout.close()
