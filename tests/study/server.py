"""A PostgreSQL server of the tests' own: on the loopback, in a folder that goes with it, without waiting for the disk."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def program(name: str) -> str | None:
    """The server's program of that name, None where PostgreSQL is not installed."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda p: int(Path(p).parts[-3]) if Path(p).parts[-3].isdigit() else 0)
    return found[-1] if found else shutil.which(name)


class Server:
    """Started on entering, stopped by its process id on leaving."""

    def __init__(self) -> None:
        # The server refuses to run as root; the account that its package made may not enter root's own folders.
        self.account = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="nodus-pg-", dir="/tmp" if self.account else None))
        self.port = _free_port()
        self._made = 0
        self._pattern: str | None = None
        who = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}
        if self.account:
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        data = self.folder / "data"
        subprocess.run(
            [program("initdb"), "-D", str(data), "-U", "nodus", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
            check=True, capture_output=True, cwd=self.folder, **who,
        )  # fmt: skip
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "16MB"}
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [program("postgres"), "-D", str(data), *(f"-c{key}={value}" for key, value in options.items())],
            stdout=self.log, stderr=self.log, cwd=self.folder, **who,
        )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        import psycopg

        for _ in range(200):
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text(errors="replace"))
            try:
                self._control = psycopg.connect(self.address("postgres"), connect_timeout=2, autocommit=True)
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("the server does not answer")

    def address(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://nodus@127.0.0.1:{self.port}/{database}"

    def new_database(self, like: str = "template0") -> str:
        """Make a database, empty or ``like`` another one; its URL."""
        self._made += 1
        name = f"study_{self._made}"
        self._control.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        return self.address(name)

    def new_study(self, folder: Path) -> str:
        """A new study, copied from one that is made once; its URL, with ``folder`` for its files."""
        from app.study.store import StudyStore

        if self._pattern is None:
            with tempfile.TemporaryDirectory() as files:
                url = self.new_database()
                StudyStore.create(f"{url}?blobs={files}", name="study", user="tester").close()
                self._pattern = url.rpartition("/")[2]
        return f"{self.new_database(self._pattern)}?blobs={folder}"

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._control.close()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
