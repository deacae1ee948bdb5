"""Files of a study named by their content: masks, pictures, fields. Written once, never changed.

A blob is complete on the disk (temporary name, flushed, moved into place) before the transaction
that mentions it; a kill in between leaves a file that nothing refers to, never a reference to a
file that is not there.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
from pathlib import Path

from app.study.errors import StudyRefused

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.tmp-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]+(-wal|-shm|-journal)?$")
_STALE_S = 24 * 3600.0
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def temporary_name(final_name: str) -> str:
    """A name beside ``final_name`` that says who is writing, so that leftovers can be told apart."""
    return f"{final_name}.tmp-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}"


def is_temporary(name: str) -> bool:
    """True for names made by ``temporary_name``."""
    return _TEMPORARY.search(name) is not None


def is_abandoned(path: Path) -> bool:
    """True for a temporary file or folder whose writer is gone: a dead process of this machine, or
    anything older than a day."""
    found = _TEMPORARY.search(path.name)
    if found is None:
        return False
    try:
        age_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if age_s > _STALE_S:
        return True
    # Signal 0 asks whether a process lives; on Windows it would end it, so there only age counts.
    if os.name != "posix" or found["host"] != _HOST or int(found["pid"]) == os.getpid():
        return False
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def flush_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut (where the system can)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, data: bytes) -> None:
    """Write under a temporary name, flush, move into place, flush the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name(path.name))
    try:
        with open(temporary, "xb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class BlobFolder:
    """``blobs/<first two digits>/<sha256>`` under one root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where a blob lies. Raises ``blob_name_bad`` for anything that is not a hash."""
        if not _SHA256.fullmatch(sha256):
            raise StudyRefused("This is not the name of a stored file.", code="blob_name_bad")
        return self.root / sha256[:2] / sha256

    def put(self, data: bytes) -> str:
        """Store bytes, return their hash. Storing the same bytes twice writes once."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        # A blob that is there but not whole (somebody touched it) is put right by writing it again.
        if not (path.is_file() and path.stat().st_size == len(data) and sha256_file(path) == sha256):
            try:
                write_file(path, data)
                flush_folder(self.root)
            except OSError as error:
                raise StudyRefused(
                    f"The file could not be stored: {error.strerror}.",
                    code="study_write_failed",
                    hint="Check free space and permissions of the study folder.",
                ) from error
        return sha256

    def get(self, sha256: str) -> bytes:
        """The bytes, checked against their name. Raises ``blob_missing`` or ``blob_altered``."""
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise StudyRefused(f"The stored file {sha256[:12]} is missing.", code="blob_missing", hint="Restore a backup.") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StudyRefused(
                f"The stored file {sha256[:12]} was altered on the disk.",
                code="blob_altered",
                hint="Restore a backup.",
            )
        return data

    def check(self, sha256: str) -> str | None:
        """None if the blob is whole, else ``blob_missing`` or ``blob_altered``."""
        path = self.path(sha256)
        if not path.is_file():
            return "blob_missing"
        return None if sha256_file(path) == sha256 else "blob_altered"

    def exists(self, sha256: str) -> bool:
        """True if a file of that name is there (its content is checked on reading)."""
        return self.path(sha256).is_file()
