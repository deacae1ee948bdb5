"""The voxels behind a text header (NRRD, MetaImage): found, unpacked within limits, counted.

Read here and not by a library: ITK's reader ends the whole program on some damaged headers and fills in what a
header does not say.
"""

from __future__ import annotations

import bz2
import zlib
from pathlib import Path

import numpy as np

from volumetry.errors import GeometryRefused, NodusError

MAX_BYTES = 8 << 30
HEADER_BYTES = 1 << 20
# gzip never packs better than about 1032 to 1.
BEST_RATIO = 1100
CHUNK = 1 << 24


def unreadable(path: Path, why: str, code: str = "unreadable") -> NodusError:
    """The refusal of a volume file."""
    return NodusError(f"{path.name}: {why}", code=code)


def bad_spacing(path: Path, stated: str | None) -> GeometryRefused:
    """The refusal of a header without a voxel size, or with an impossible one."""
    if stated is None:
        return GeometryRefused(f"{path.name} does not state the size of its voxels.", code="bad_spacing")
    return GeometryRefused(f"{path.name} states a voxel size of {stated[:80]} mm.", code="bad_spacing")


def head_of(path: Path) -> bytes:
    """The first bytes of a file, enough for any header."""
    try:
        with open(path, "rb") as fp:
            return fp.read(HEADER_BYTES)
    except OSError as error:
        raise unreadable(path, f"it cannot be read ({error.strerror or error}).") from error


def whole_numbers(path: Path, text: str, what: str) -> list[int]:
    """Whole numbers written side by side. Raises ``unreadable``."""
    try:
        return [int(word) for word in text.split()]
    except ValueError as error:
        raise unreadable(path, f"its {what} makes no sense ({text[:40]}).") from error


def numbers_of(text: str) -> list[float] | None:
    """Numbers written side by side or between commas; None where one of them is none."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        return None


def sides_of(path: Path, stated: list[int], itemsize: int) -> int:
    """Voxels of an array with these sides; refused where a side is impossible or all of it beyond any volume."""
    if not stated or min(stated) < 1:
        raise unreadable(path, "its sides make no sense.")
    count = 1
    for side in stated:
        count *= side
    if count * itemsize > MAX_BYTES:
        raise unreadable(path, "its header declares more voxels than the file can hold.", "truncated")
    return count


def beside(path: Path, name: str) -> Path:
    """The file of voxels that a header names; it must lie in the header's own folder or below."""
    found = path.parent / name.strip().replace("\\", "/")
    try:
        inside = "\0" not in name and found.resolve().is_relative_to(path.parent.resolve())
        there = inside and found.is_file()
    except OSError as error:  # a name that no file can have
        raise unreadable(path, f"its voxels cannot be looked for ({error.strerror}).") from error
    if not inside:
        raise unreadable(path, "it names voxels outside its own folder.")
    if not there:
        raise unreadable(path, f"its voxels ({found.name[:60]}) are not there.", "file_missing")
    return found


def read_voxels(path: Path, source: Path, offset: int, encoding: str, dtype: np.dtype, count: int, packed_bytes: int | None = None) -> np.ndarray:
    """``count`` voxels of ``source`` from byte ``offset`` on (negative: the last bytes of the file), flat and in the
    machine's byte order. ``encoding`` is ``raw``, ``gzip``, ``zlib``, ``bzip2`` or ``text``. Raises ``truncated``, ``unreadable``."""
    need = count * dtype.itemsize
    cut = unreadable(path, "it was cut off: it holds fewer voxels than its header declares.", "truncated")
    stored = source.stat().st_size
    if encoding == "raw" and offset < 0:
        offset = max(0, stored - need)
    left = max(0, stored - max(0, offset))
    if left * (1 if encoding in ("raw", "text") else BEST_RATIO) < (count if encoding == "text" else need):
        raise cut
    try:
        with open(source, "rb") as fp:
            fp.seek(max(0, offset))
            if encoding == "raw":
                data = fp.read(need)
            elif encoding == "text":
                return _from_text(path, fp.read(), dtype, count)
            else:
                data = _unpacked(fp, encoding, need, packed_bytes)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise unreadable(path, f"its voxels cannot be unpacked ({error}).") from error
    if len(data) < need:
        raise cut
    array = np.frombuffer(data, dtype, count)
    return array.astype(dtype.newbyteorder("="))


def _unpacked(fp, encoding: str, need: int, packed_bytes: int | None) -> bytes:
    """At most ``need`` bytes out of a packed stream."""
    engine = bz2.BZ2Decompressor() if encoding == "bzip2" else zlib.decompressobj(31 if encoding == "gzip" else 15)
    out, size, left = [], 0, packed_bytes if packed_bytes is not None else 1 << 62
    while size < need and left > 0 and not engine.eof:
        chunk = getattr(engine, "unconsumed_tail", b"")
        if not chunk and getattr(engine, "needs_input", True):
            chunk = fp.read(min(CHUNK, left))
            left -= len(chunk)
            if not chunk:
                break
        piece = engine.decompress(chunk, min(CHUNK, need - size))
        out.append(piece)
        size += len(piece)
    return b"".join(out)


def _from_text(path: Path, data: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    words = data.split()
    if len(words) < count:
        raise unreadable(path, "it was cut off: it holds fewer voxels than its header declares.", "truncated")
    try:
        values = np.array([float(w) for w in words[:count]])
    except ValueError as error:
        raise unreadable(path, "one of its voxels is no number.") from error
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    if not np.isfinite(values).all() or (limits is not None and not ((values >= limits.min) & (values <= limits.max) & (values == np.round(values))).all()):
        raise unreadable(path, "one of its voxels does not fit its type.")
    return values.astype(dtype.newbyteorder("="))
