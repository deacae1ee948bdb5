"""Where the bytes of a file come from: the disk, or an entry of a ZIP archive.

An entry is read from within its archive and never unpacked to the disk. It offers what of
``pathlib.Path`` the readers need: ``name``, ``parent``, ``open``, ``stat``.
"""

from __future__ import annotations

import io
import os
import re
import struct
import threading
import zipfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from volumetry.errors import NodusError

# A packed entry above this is not held in memory to be looked at; stored ones have no limit.
MAX_ENTRY_BYTES = 1 << 29
# Unpacked entries that are kept, all together: the frames of a loop are read one by one.
KEPT_BYTES = 1 << 29
# Deflate cannot pack better than about 1032 to 1; a header that claims more is lying.
BEST_RATIO = 1100
# A whole archive that grows this much is not made of pictures.
BOMB_RATIO, BOMB_BYTES = 100, 20 << 30
MAX_ENTRIES = 500_000
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
END_RECORD = struct.Struct("<4s4H2LH")


class ArchiveRefused(NodusError):
    """An archive or an entry that is not read. Codes: ``zip_damaged``, ``zip_encrypted``,
    ``zip_unsafe``, ``zip_bomb``, ``zip_method``, ``too_large``, ``truncated``."""

    default_code = "zip_damaged"


@dataclass(frozen=True, slots=True)
class EntryStat:
    """The two facts of a file's status that readers ask for."""

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file within an archive. Opening it raises ``ArchiveRefused``."""

    archive: Path
    entry: str
    offset: int
    packed_bytes: int
    size: int
    crc: int
    stored: bool

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.entry).name

    @property
    def parent(self) -> Path:
        """The archive."""
        return self.archive

    def stat(self) -> EntryStat:
        """Its unpacked size, and when the archive was last changed."""
        return EntryStat(self.size, os.stat(self.archive).st_mtime_ns)

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        """The unpacked bytes as a seekable stream."""
        if mode != "rb":
            raise ValueError("entries of an archive are only read")
        if self.stored:
            return io.BufferedReader(_Window(self.archive, self._data_offset(), self.size))
        return io.BytesIO(_kept(self))

    def head(self, count: int) -> bytes:
        """The first ``count`` bytes, unpacking no more than that."""
        with open(self.archive, "rb") as fp:
            fp.seek(self._data_offset(fp))
            if self.stored:
                return fp.read(min(count, self.size))
            engine, out, left = zlib.decompressobj(-zlib.MAX_WBITS), b"", self.packed_bytes
            try:
                while len(out) < count and left > 0 and not engine.eof:
                    packed = fp.read(min(left, max(1024, count)))
                    if not packed:
                        break
                    left -= len(packed)
                    out += engine.decompress(packed, count - len(out))
            except zlib.error as error:
                raise ArchiveRefused(f"{self.name} is damaged within {self.archive.name}.") from error
            return out

    def unpack(self) -> bytes:
        """All its bytes, checked against the sum in the archive and never more than it declares."""
        if self.size > MAX_ENTRY_BYTES:
            raise ArchiveRefused(
                f"{self.name} is too large ({self.size >> 20} MB) to be read from within {self.archive.name}.", code="too_large", hint="Unpack the archive and open the folder."
            )
        if self.size > LARGE_BYTES:
            with _ONE_LARGE:  # several of them at once could fill the memory
                return self._unpacked()
        return self._unpacked()

    def _unpacked(self) -> bytes:
        with open(self.archive, "rb") as fp:
            fp.seek(self._data_offset(fp))
            packed = fp.read(min(self.packed_bytes, os.fstat(fp.fileno()).st_size))  # what an archive claims may be gigabytes
        if self.stored:
            out = packed
        else:
            engine = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                out = engine.decompress(packed, self.size + 1)
            except zlib.error as error:
                raise ArchiveRefused(f"{self.name} is damaged within {self.archive.name}.") from error
        if len(out) != self.size or zlib.crc32(out) != self.crc:
            raise ArchiveRefused(f"{self.name} is damaged within {self.archive.name}.")
        return out

    def _data_offset(self, fp: BinaryIO | None = None) -> int:
        """Where its bytes start, behind its own header in the archive."""
        if fp is None:
            with open(self.archive, "rb") as own:
                return self._data_offset(own)
        fp.seek(self.offset)
        raw = fp.read(LOCAL_HEADER.size)
        if len(raw) < LOCAL_HEADER.size or raw[:4] != b"PK\x03\x04":
            raise ArchiveRefused(f"{self.archive.name} is damaged: {self.name} is not where its list of contents says.")
        fields = LOCAL_HEADER.unpack(raw)
        return self.offset + LOCAL_HEADER.size + fields[9] + fields[10]


Source = Path | ZipEntry


def as_source(source: Source | str) -> Source:
    """A path as ``Path``; an entry as it is."""
    return source if isinstance(source, ZipEntry) else Path(source)


class ReadInCircles(ValueError):
    """A parser went over the same bytes again and again."""


def _most_read(size: int) -> int:
    """Bytes that a parser may take from a stream of this size, all its steps back included."""
    return 8 * size + (16 << 20)


class Bounded(io.BufferedReader):
    """A stream that is never asked for more bytes than it has, nor for all of them again and again.

    A parser that reads the length a damaged header declares would have gigabytes set aside before it finds that they
    are not there. One that looks for the end of each of thousands of open elements behind one another, goes through
    the rest of the file for every one of them, which takes hours for a long loop: ``ReadInCircles``. Sound files are
    read about once, with a few steps back.
    """

    SMALL = 1 << 20

    def __init__(self, raw: io.RawIOBase):
        super().__init__(raw)
        self._end = self.seek(0, io.SEEK_END)
        self._left = _most_read(self._end)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.SMALL:
            size = min(size, max(0, self._end - self.tell()))
        out = super().read(size)
        self._left -= len(out)
        if self._left < 0:
            raise ReadInCircles("its elements have no ends")
        return out


class BoundedBytes(io.BytesIO):
    """``Bounded`` for what is in memory already."""

    def __init__(self, data: bytes):
        super().__init__(data)
        self._left = _most_read(len(data))

    def read(self, size: int | None = -1, /) -> bytes:
        out = super().read(size)
        self._left -= len(out)
        if self._left < 0:
            raise ReadInCircles("its elements have no ends")
        return out


def open_bounded(source: Source) -> BinaryIO:
    """The bytes of a source as a seekable stream for parsers (see ``Bounded``)."""
    fp = source.open("rb")
    return Bounded(fp.detach()) if isinstance(fp, io.BufferedReader) else BoundedBytes(fp.getvalue())


class _Window(io.RawIOBase):
    """A part of a file as a stream of its own."""

    def __init__(self, path: Path, start: int, size: int):
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed with this stream
        self._start, self._size, self._at = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer) -> int:
        want = min(len(buffer), max(0, self._size - self._at))
        if want == 0:
            return 0
        self._file.seek(self._start + self._at)
        got = self._file.readinto(memoryview(buffer)[:want])
        self._at += got
        return got

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


_LOCK = threading.Lock()
_ONE_LARGE = threading.Lock()
LARGE_BYTES = 64 << 20
_KEPT: OrderedDict[tuple, bytes] = OrderedDict()


def _kept(entry: ZipEntry) -> bytes:
    """The entry's bytes, from the few that are kept or unpacked now."""
    key = (entry, entry.stat().st_mtime_ns)
    with _LOCK:
        if key in _KEPT:
            _KEPT.move_to_end(key)
            return _KEPT[key]
    out = entry.unpack()
    with _LOCK:
        _KEPT[key] = out
        while len(_KEPT) > 1 and sum(map(len, _KEPT.values())) > KEPT_BYTES:
            _KEPT.popitem(last=False)
    return out


def is_archive(path: Path) -> bool:
    """True for a file that starts as a ZIP archive does."""
    try:
        with open(path, "rb") as fp:
            return fp.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def _declared_entries(path: Path) -> int:
    """How many entries the archive says it has, before anything is made of them."""
    with open(path, "rb") as fp:
        size = fp.seek(0, os.SEEK_END)
        fp.seek(max(0, size - END_RECORD.size - 65535))
        tail = fp.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + END_RECORD.size > len(tail):
            return 0
        count = END_RECORD.unpack_from(tail, at)[4]
        wide = tail.rfind(b"PK\x06\x06", 0, at)
        if count == 0xFFFF and wide >= 0 and wide + 40 <= len(tail):
            count = struct.unpack_from("<Q", tail, wide + 32)[0]
        return count


def _safe(name: str) -> bool:
    """True for a name that stays within the folder it would be unpacked to, on any system."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and not (name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name) or ".." in parts or "\0" in name)


def list_archive(path: Path) -> tuple[list[ZipEntry], list[tuple[str, ArchiveRefused]]]:
    """Entries of an archive, and (name, reason) of those that are not read.

    Nothing is unpacked. Raises ``ArchiveRefused`` for the whole: damaged, all of it encrypted, or
    made to burst the memory (``zip_bomb``: entries that overlap, too many of them, or sizes no
    packing gives).
    """
    bomb = ArchiveRefused(f"{path.name} is not opened: it is built to grow beyond all measure when unpacked.", code="zip_bomb")
    try:
        if _declared_entries(path) > MAX_ENTRIES:
            raise bomb
        with zipfile.ZipFile(path) as archive:
            infos = [i for i in archive.infolist() if not i.filename.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise ArchiveRefused(f"{path.name} is a damaged archive: its list of contents cannot be read.") from error
    except OSError as error:
        raise ArchiveRefused(f"{path.name} cannot be read: {error.strerror or error}.") from error
    unpacked, packed = sum(i.file_size for i in infos), sum(i.compress_size for i in infos)
    if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * max(packed, 1):
        raise bomb
    end = -1
    for info in sorted(infos, key=lambda i: i.header_offset):
        if info.header_offset < end:
            raise bomb
        end = info.header_offset + LOCAL_HEADER.size + info.compress_size
    if infos and all(i.flag_bits & 1 for i in infos):
        raise ArchiveRefused(f"{path.name} is encrypted.", code="zip_encrypted", hint="Unpack it with its password and open the folder.")
    entries, refused, names = [], [], set()
    for info in infos:
        reason = _refusal(path, info)
        if info.filename in names:
            reason = ArchiveRefused(f"{path.name} holds two entries of the name {info.filename}; only the first is read.", code="zip_unsafe")
        names.add(info.filename)
        if reason is not None:
            refused.append((info.filename, reason))
            continue
        entries.append(ZipEntry(path, info.filename, info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type == zipfile.ZIP_STORED))
    return entries, refused


def _refusal(path: Path, info: zipfile.ZipInfo) -> ArchiveRefused | None:
    if not _safe(info.filename):
        return ArchiveRefused(f"{path.name} holds an entry whose name leads out of its folder.", code="zip_unsafe")
    if info.flag_bits & 1:
        return ArchiveRefused(f"{info.filename} is encrypted within {path.name}.", code="zip_encrypted", hint="Unpack it with its password and open the folder.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return ArchiveRefused(f"{info.filename} is packed in a way that is not read (method {info.compress_type}).", code="zip_method", hint="Unpack the archive and open the folder.")
    if info.file_size > BEST_RATIO * max(info.compress_size, 1) or (info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size):
        return ArchiveRefused(f"{info.filename} claims to unpack to more than its packed bytes can hold.", code="zip_bomb")
    return None
