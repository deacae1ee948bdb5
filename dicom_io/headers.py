"""Reading what a DICOM header says without believing it.

Values of broken files come back as None instead of raising; the place and the size of the pixel
data are taken from the file itself, so that nothing is allocated on the header's word.
"""

from __future__ import annotations

import io
import logging
import math
import stat
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from dicom_io.elements import BITES, Elements, read_elements
from dicom_io.sources import BoundedBytes, Source, ZipEntry, as_source, open_bounded
from volumetry.errors import Cancelled, NodusError

ProgressReport = Callable[[str, float | None], object]
"""``progress(message, fraction)``; the fraction runs from 0 to 1, None where unknown."""

# What says in ISO 2022 that Chinese follows (IR 58, PS3.3 C.12.1.1.2).
TO_GB2312 = "\x1b$)A"
# Values longer than this are left in the file while headers are read (private blobs, icons).
DEFER_BYTES = 4_000_000
# A single frame above this is not a medical picture but a damaged or hostile header.
MAX_FRAME_BYTES = 1 << 30

# Strange values are read as absent or said as findings; the reader's warnings on top would only
# reach a log. Set once here, as filters changed in threads would undo each other.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\..*")
logging.getLogger("pydicom").setLevel(logging.ERROR)

PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
FLOAT_PIXEL_TAGS = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09")


class DicomRefused(NodusError):
    """A file that cannot be used. Codes: ``not_dicom``, ``dicomdir``, ``unreadable``, ``truncated``,
    ``header_size_mismatch``, ``not_an_image``, ``codec_missing``, ``decode_failed``, ``too_large``."""

    default_code = "unreadable"

def check_cancelled(should_cancel: Callable[[], bool] | None) -> None:
    """Raise ``Cancelled`` where the caller asked to stop."""
    if should_cancel is not None and should_cancel():
        raise Cancelled


def report(progress: ProgressReport | None, message: str, fraction: float | None) -> None:
    """Tell the listener, where there is one."""
    if progress is not None:
        progress(message, fraction)


# --- values -----------------------------------------------------------------------------------


def text(ds: Dataset, keyword: str) -> str | None:
    """The element as stripped text; several values joined by a backslash; None if absent or unreadable."""
    value = value_of(ds, keyword)
    if value is None:
        return None
    if type(value) is str:
        return without_escapes(value).strip() or None
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(without_escapes(str(v)) for v in value).strip() or None
    return without_escapes(str(value)).strip() or None


def without_escapes(words: str) -> str:
    """Text of ISO 2022 IR 58 (Chinese) without the codes that say so: pydicom decodes it and leaves them in."""
    return words.replace(TO_GB2312, "") if TO_GB2312 in words else words


def value_of(ds: Dataset, keyword: str):
    """The element's value, None where it is absent, empty or cannot be converted."""
    try:
        value = ds.get(keyword)
    except Exception:  # a damaged value raises whatever its converter meets; it is read as absent
        return None
    if value is None or (isinstance(value, str) and value == ""):
        return None
    return value


def numbers(ds: Dataset, keyword: str, count: int | None = None) -> list[float] | None:
    """All values as finite floats; None where absent, not numbers, or not ``count`` of them."""
    value = value_of(ds, keyword)
    if value is None:
        return None
    items = value if type(value) is list else list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) else [value]
    try:
        out = list(map(float, items))
    except (ValueError, TypeError, OverflowError):
        return None
    if not all(map(math.isfinite, out)) or (count is not None and len(out) != count):
        return None
    return out


def number(ds: Dataset, keyword: str) -> float | None:
    """One finite float, or None."""
    value = value_of(ds, keyword)
    if type(value) is int:
        return float(value)
    if type(value) is str:
        try:
            one = float(value)
        except ValueError:
            return None
        return one if math.isfinite(one) else None
    out = numbers(ds, keyword)
    return out[0] if out else None


def integer(ds: Dataset, keyword: str) -> int | None:
    """One whole number, or None."""
    value = value_of(ds, keyword)
    if type(value) is int:
        return value
    out = number(ds, keyword)
    return int(out) if out is not None and out == int(out) else None


def items(ds: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; empty where it is absent or damaged."""
    value = value_of(ds, keyword)
    if value is None or isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return []
    try:
        return [item for item in value if isinstance(item, (Dataset, Elements))]
    except Exception:  # as in value_of
        return []


def item(ds: Dataset, keyword: str) -> Dataset | None:
    """The first item of a sequence, or None."""
    out = items(ds, keyword)
    return out[0] if out else None


def uid_name(uid: str | None) -> str | None:
    """The dictionary's name of a UID where it has one, else the UID."""
    return UID(uid).name if uid else None


# --- where the pixels lie ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PixelBlock:
    """The pixel data element as it lies in the file.

    ``start`` is the offset of its value, ``length`` the stored bytes (for encapsulated data up to
    the delimiter), ``declared`` the length its own header gives (None where undefined).
    ``fragments`` are ``(offset, length)`` of the encapsulated items after the offset table;
    ``complete`` is False where the file ends before the element does. ``inline`` holds the bytes
    of a deflated file, whose offsets mean nothing on disk.
    """

    start: int
    length: int
    declared: int | None
    vr: str
    fragments: tuple[tuple[int, int], ...] = ()
    offset_table: tuple[int, ...] = ()
    complete: bool = True
    inline: bytes | None = None


SLIM_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "VolumeFrameOfReferenceUID",
    "Modality",
    "SeriesDescription",
    "StudyDescription",
    "ImageComments",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "ContentDate",
    "SeriesDate",
    "StudyDate",
    "Units",
    "RescaleType",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ExtendedOffsetTable",
)


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """One DICOM file read up to its pixels. ``ds`` answers ``get(keyword)``: a pydicom data set, the
    quick reader's elements, or the few values that are kept for long."""

    path: Source
    ds: Dataset | Elements | dict
    transfer_syntax: str | None
    pixels: PixelBlock | None
    file_bytes: int
    mtime_ns: int = 0

    @property
    def is_fresh(self) -> bool:
        """True while the file on disk is the one that was read."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.file_bytes, self.mtime_ns)

    def slimmed(self) -> Header:
        """The same header with only what decoding and naming a volume need, to be kept for long."""
        values = {keyword: value_of(self.ds, keyword) for keyword in SLIM_KEYWORDS if keyword in self.ds}
        ds = {keyword: value for keyword, value in values.items() if value is not None}
        return Header(self.path, ds, self.transfer_syntax, self.pixels, self.file_bytes, self.mtime_ns)

    @property
    def sop_class(self) -> str | None:
        return text(self.ds, "SOPClassUID") or text(getattr(self.ds, "file_meta", {}), "MediaStorageSOPClassUID")

    @property
    def frames(self) -> int:
        """Declared number of frames, 1 where absent or unreadable."""
        n = integer(self.ds, "NumberOfFrames")
        return n if n and n > 0 else 1

    @property
    def rows(self) -> int | None:
        return integer(self.ds, "Rows")

    @property
    def columns(self) -> int | None:
        return integer(self.ds, "Columns")

    @property
    def is_encapsulated(self) -> bool:
        return self.pixels is not None and self.pixels.declared is None

    def frame_bytes(self) -> float | None:
        """Bytes of one uncompressed frame by the header (fractional for packed bits), or None."""
        full = self.full_frame_bytes()
        if full is None or self.is_encapsulated or integer(self.ds, "SamplesPerPixel") != 3 or not (text(self.ds, "PhotometricInterpretation") or "").startswith("YBR_FULL_422"):
            return full
        if self.pixels is not None and self.pixels.length >= full * self.frames:
            return full  # called halved (422) though every pixel has its colours: the bytes decide
        return full * 2 / 3

    def full_frame_bytes(self) -> float | None:
        """The same with every sample of every pixel stored."""
        rows, columns, bits = self.rows, self.columns, integer(self.ds, "BitsAllocated")
        samples = integer(self.ds, "SamplesPerPixel") or 1
        if not rows or not columns or not bits or rows < 1 or columns < 1 or bits < 1 or samples < 1:
            return None
        return rows * columns * samples * bits / 8


def _walk_fragments(fp, start: int, end: int, big: bool) -> tuple[list[tuple[int, int]], int, bool]:
    """(offset, length) of each encapsulated item, the end of the last, and whether a delimiter closes them."""
    code = ">HHL" if big else "<HHL"
    out, at = [], start
    while at + 8 <= end:
        fp.seek(at)
        group, element, length = struct.unpack(code, fp.read(8))
        if (group, element) == (0xFFFE, 0xE0DD):
            return out, at, True
        if (group, element) != (0xFFFE, 0xE000) or length == 0xFFFFFFFF or at + 8 + length > end:
            return out, at, False
        out.append((at + 8, length))
        at += 8 + length
    return out, at, False


def _find_pixels(fp, file_bytes: int, syntax: str | None) -> PixelBlock | None:
    """Look at the element the reader stopped at; None where the header ends without pixel data."""
    at = fp.tell()
    fp.seek(at)
    return _pixel_block(fp.read(12), at, fp, file_bytes, syntax)


def _pixel_block(head: bytes, at: int, fp, file_bytes: int, syntax: str | None) -> PixelBlock | None:
    """The pixel data whose first bytes are ``head``, at ``at``; ``fp`` is only asked for compressed data."""
    if len(head) < 8 or head[:4] not in PIXEL_TAGS + FLOAT_PIXEL_TAGS:
        return None
    big = head[0] == 0x7F
    if syntax == "1.2.840.10008.1.2":
        vr, declared, start = "OW", struct.unpack("<L", head[4:8])[0], at + 8
    elif head[4:6].isalpha():
        vr = head[4:6].decode("ascii")
        if len(head) < 12:
            return PixelBlock(file_bytes, 0, 0, vr, complete=False)
        declared, start = struct.unpack(">L" if big else "<L", head[8:12])[0], at + 12
    else:  # implicit data under an explicit transfer syntax
        vr, declared, start = "OW", struct.unpack("<L", head[4:8])[0], at + 8
    if declared != 0xFFFFFFFF:
        stored = min(declared, file_bytes - start)
        return PixelBlock(start, stored, declared, vr, complete=stored == declared)
    parts, end, closed = _walk_fragments(fp, start, file_bytes, big)
    table: tuple[int, ...] = ()
    if parts:
        offset, length = parts[0]
        fp.seek(offset)
        raw = fp.read(min(length, 4_000_000))
        table = struct.unpack(f"<{len(raw) // 4}L", raw[: len(raw) // 4 * 4])
    return PixelBlock(start, end - start, None, vr, tuple(parts[1:]), table, closed)


def _read_deflated(path: Path, raw: bytes) -> tuple[Dataset, PixelBlock | None]:
    """Inflate a deflated file once, within a limit, as its offsets mean nothing on disk.

    The deflated stream starts after the file meta group, whose length is its first element.
    """
    start = 144 + struct.unpack("<L", raw[140:144])[0]
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    body = engine.decompress(raw[start:], MAX_FRAME_BYTES)
    if engine.unconsumed_tail:
        raise DicomRefused(f"{path.name} would unpack to more than 1 GB.", code="too_large")
    stream = BoundedBytes(body)
    meta = FileMetaDataset(read_dataset(io.BytesIO(raw[132:start]), is_implicit_VR=False, is_little_endian=True))
    ds = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag == 0x7FE00010)
    block = _find_pixels(stream, len(body), None)
    ds.file_meta = meta
    if block is not None:
        inline = body[block.start : block.start + block.length]
        block = PixelBlock(0, block.length, block.declared, block.vr, complete=block.complete, inline=inline)
    return ds, block


def _is_bare(fp) -> bool:
    """True where a file has no preamble but starts with an element of group 0002 or 0008, as some
    old exports do."""
    fp.seek(128)
    if fp.read(4) == b"DICM":
        return False
    fp.seek(0)
    head = fp.read(8)
    return len(head) == 8 and head[:2] in (b"\x08\x00", b"\x02\x00") and head[3] == 0


def _refuse_cut_values(path: Path, ds: Dataset, file_bytes: int) -> None:
    """Values left in the file because of their length must at least fit into it."""
    for raw in list(ds.values()):
        if isinstance(raw, RawDataElement) and raw.value is None and raw.length and raw.value_tell + raw.length > file_bytes:
            raise DicomRefused(f"{path.name} ends in the middle of its header.", code="truncated")


def _regular(path: Source) -> tuple[int, int]:
    """Size and time of change; refused where opening it could wait for ever (pipes, devices)."""
    status = path.stat()
    if isinstance(path, Path) and not stat.S_ISREG(status.st_mode):
        raise DicomRefused(f"{path.name} is not a file with contents of its own.")
    return status.st_size, status.st_mtime_ns


def look_at_header(path: Source | str) -> Header:
    """``read_header`` for many files: an ordinary file is read by the quick reader, any other by the
    full parser. The same refusals."""
    path = as_source(path)
    try:
        file_bytes, mtime_ns = _regular(path)
        if isinstance(path, ZipEntry):
            found = next((f for f in (read_elements(io.BytesIO(path.head(size))) for size in BITES[:2]) if f is not None), None)
            if found is not None:
                fp = path.open() if found[2][8:12] == b"\xff\xff\xff\xff" else None
                block = _pixel_block(found[2], found[1], fp, file_bytes, found[0].file_meta["TransferSyntaxUID"])
        else:
            with open(path, "rb", buffering=0) as fp:
                found = read_elements(fp)
                if found is not None:
                    block = _pixel_block(found[2], found[1], fp, file_bytes, found[0].file_meta["TransferSyntaxUID"])
    except OSError as error:
        raise DicomRefused(f"{path.name} cannot be read: {error.strerror or error}.", code="unreadable") from error
    except struct.error:
        found = None
    if found is None or block is None:
        return read_header(path)
    return Header(path, found[0], found[0].file_meta["TransferSyntaxUID"], block, file_bytes, mtime_ns)


def read_header(path: Source | str) -> Header:
    """Read one file up to its pixels.

    Raises ``DicomRefused`` with a plain reason: not DICOM, a directory file, unreadable, ended too
    early inside the header. Never raises for strange values, which are read as absent later.
    """
    path = as_source(path)
    try:
        file_bytes, mtime_ns = _regular(path)
        with open_bounded(path) as fp:
            if str(DeflatedExplicitVRLittleEndian).encode() in fp.read(1024):
                fp.seek(0)
                ds, block = _read_deflated(path, fp.read())
            else:
                bare = _is_bare(fp)
                fp.seek(0)
                ds = pydicom.dcmread(fp, stop_before_pixels=True, defer_size=DEFER_BYTES, force=bare)
                if bare and "SOPClassUID" not in ds:
                    raise InvalidDicomError
                block = _find_pixels(fp, file_bytes, text(ds.file_meta, "TransferSyntaxUID"))
            syntax = text(ds.file_meta, "TransferSyntaxUID")
            if syntax is None and bare and block is not None and block.declared is not None:
                # Without file meta only the plain encodings are possible; the parser found out which.
                implicit, little = ds.original_encoding
                syntax = "1.2.840.10008.1.2" + ("" if implicit else ".1" if little else ".2")
    except InvalidDicomError:
        raise DicomRefused(f"{path.name} is not a DICOM file.", code="not_dicom") from None
    except OSError as error:
        raise DicomRefused(f"{path.name} cannot be read: {error.strerror or error}.", code="unreadable") from error
    except EOFError as error:
        raise DicomRefused(f"{path.name} ends in the middle of its header.", code="truncated") from error
    except NodusError:
        raise
    except Exception as error:  # whatever a damaged header makes the parser raise is a reason to skip this file
        raise DicomRefused(f"{path.name} has a damaged header ({type(error).__name__}).", code="unreadable") from error
    _refuse_cut_values(path, ds, file_bytes)
    sop_class = text(ds.file_meta, "MediaStorageSOPClassUID")
    if sop_class == "1.2.840.10008.1.3.10":
        raise DicomRefused(f"{path.name} is a DICOM directory; the files it lists are read themselves.", code="dicomdir")
    return Header(path, ds, syntax, block, file_bytes, mtime_ns)
