"""Secrets in a real keyring of a real system, and where there is none: kept safely or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend

from app.secrets import SecretRefused, keep_secret, read_secret
from tests import secret_service

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "t0p-s3cret-token"
KEEP = """
import sys
from app.secrets import keep_secret
from volumetry.errors import NodusError
try:
    keep_secret('archive', sys.stdin.read())
except NodusError as refusal:
    print(refusal.code, refusal.hint)
"""
READ = """
import keyring
from app.secrets import forget_secret, read_secret
print(type(keyring.get_keyring()).__module__, read_secret('archive'))
forget_secret('archive')
print(read_secret('archive'))
"""


def run(environment: dict[str, str], program: str, typed: str = "") -> list[str]:
    """Words that a program printed in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, input=typed, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def holds_token(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]


@pytest.mark.slow
def test_that_a_token_goes_into_the_systems_keyring_comes_back_and_is_forgotten(tmp_path):
    if secret_service.missing():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(secret_service.missing())
    with secret_service.secret_service(tmp_path / "home") as environment:
        assert run(environment, KEEP, TOKEN) == []
        assert holds_token(tmp_path) == []  # the keyring's own file is encrypted
        assert run(environment, READ) == ["keyring.backends.SecretService", TOKEN, "None"]


@pytest.mark.slow
def test_that_without_any_keyring_a_token_is_refused_in_a_plain_sentence_and_written_nowhere(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DBUS_", "NODUS_PACS_TOKEN", "PYTHON_KEYRING"))}
    # No bus at all: also not the one that is started where none is named.
    environment |= {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "DBUS_SESSION_BUS_ADDRESS": "unix:path=" + str(tmp_path / "absent")}
    said = run(environment, KEEP, TOKEN)
    assert said[0] == "keyring_unusable"
    assert said[-1] == "NODUS_PACS_TOKEN_ARCHIVE."
    assert holds_token(tmp_path) == []


class Ring(KeyringBackend):
    """A keyring of a test; ``priority`` 0 keeps it from being chosen by itself."""

    priority = 0

    def __init__(self, module: str):
        super().__init__()
        self.__class__ = type("Ring", (Ring,), {"__module__": module})
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        del self.kept[service, username]


@pytest.fixture
def chained(monkeypatch):
    """Make a chain of these keyrings the one in use."""
    before = keyring.get_keyring()

    def chain(*modules: str) -> list[Ring]:
        rings = [Ring(m) for m in modules]
        monkeypatch.setattr(ChainerBackend, "backends", rings)
        keyring.set_keyring(ChainerBackend())
        return rings

    yield chain
    keyring.set_keyring(before)


def test_that_of_several_keyrings_one_that_writes_a_plain_file_is_passed_over(chained):
    plain, safe = chained("keyrings.alt.file", "keyring.backends.SecretService")
    keep_secret("archive", TOKEN)
    assert (plain.kept, list(safe.kept.values())) == ({}, [TOKEN])
    assert read_secret("archive") == TOKEN


def test_that_a_chain_of_plain_files_is_no_keyring(chained):
    plain, other = chained("keyrings.alt.file", "keyrings.alt.pyfs")
    with pytest.raises(SecretRefused, match="no keyring"):
        keep_secret("archive", TOKEN)
    assert plain.kept == other.kept == {}
    assert read_secret("archive") is None
