"""Small file habits: everything is written beside its place and moved into it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from volumetry.errors import NodusError

DIGITS_MOST = 300


class FileRefused(NodusError):
    """A file that is missing, unreadable or not what was asked for."""

    default_code = "file_refused"


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path):
    """Yield a temporary path beside ``path``; on success flush it to disk and move it into place,
    on any failure remove it, so that no reader ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept whole (.nii.gz), because writers choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix="".join(path.suffixes[-2:]) or ".part")
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def ensure_folder(folder: Path) -> Path:
    """Make the folder where it is absent; refuse (``file_unusable``) where it cannot be one or be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise FileRefused(f"Nothing can be written into {folder}: {problem.strerror}.", code="file_unusable", hint="Choose another folder.") from None
    return folder


def ensure_place(path: Path) -> Path:
    """Make the folder that a file will be written into; refuse (``file_unusable``) where that cannot be, or where the file's own
    name is a folder's."""
    if path.is_dir():
        raise FileRefused(f"{path} is a folder, not a file.", code="file_unusable", hint="Name the file to be written.")
    ensure_folder(path.resolve().parent)
    return path


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    """Write bytes whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(data)
    return path


def write_json(path: Path, value) -> Path:
    """Write JSON whole or not at all; NaN and infinity are refused because JSON has none."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _object_once(pairs: list[tuple[str, object]]) -> dict:
    """An object of JSON; a key that stands twice is refused: nobody can say which of the two was meant."""
    out: dict = {}
    for key, value in pairs:
        if key in out:
            raise ValueError(f"the key {key!r} stands twice in one object")
        out[key] = value
    return out


def _whole(digits: str) -> int:
    """A whole number of JSON; one that no calculation could take as a number is refused here, once for all readers."""
    if len(digits) > DIGITS_MOST:
        raise ValueError(f"a whole number has {len(digits)} digits")
    return int(digits)


def read_json(path: Path, code: str = "not_json"):
    """Parse a UTF-8 JSON file (a byte order mark is passed over), or refuse with ``code`` and a sentence."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_object_once, parse_int=_whole)
    except FileNotFoundError:
        raise FileRefused(f"There is no file {path.name}.", code="file_missing") from None
    except (UnicodeDecodeError, ValueError) as problem:
        raise FileRefused(f"{path.name} is not a JSON file: {problem}", code=code) from None
    except RecursionError:
        raise FileRefused(f"{path.name} is not a JSON file that can be read: it is nested too deep.", code=code) from None
    except OSError as problem:
        raise FileRefused(f"{path.name} could not be read: {problem.strerror}.", code="file_unreadable") from None
