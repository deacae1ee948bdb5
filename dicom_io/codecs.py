"""The decoders of compressed pictures, and what is asked of a stream before one of them sees it.

They are programs of other people in other languages. What a damaged stream makes them raise is a refusal of that
frame; but one of them (GDCM) ends the whole process where it meets what it thinks impossible, and all of them set
memory aside by what the stream itself declares. So the stream's own header is read here first.
"""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from dicom_io.headers import DicomRefused

LOG = logging.getLogger(__name__)
# Measured on the same files: several times faster than the order pydicom tries them in.
FAST_CODECS = ("pylibjpeg", "pillow", "pyjpegls", "pydicom")
# Only for what no other decoder reads (JPEG lossless).
LAST_CODEC = "gdcm"
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
# Decoders work in 32-bit numbers and several copies: 64 million samples (8192 x 8192) stay below 1 GB. The largest
# radiographs have half of that.
MAX_SAMPLES = 1 << 26
SIZE_MARKERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)
BARE_MARKERS = (0x01, *range(0xD0, 0xD9))


def codec_available(transfer_syntax: str | None) -> bool:
    """True where this installation can decode the transfer syntax."""
    if not transfer_syntax:
        return False
    try:
        return bool(get_decoder(UID(transfer_syntax)).is_available)
    except (NotImplementedError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class StreamSize:
    """What a JPEG, JPEG-LS or JPEG 2000 stream says of its picture."""

    rows: int
    columns: int
    samples: int
    bits: int


def _segments(data: bytes):
    """(marker, start of its contents, end) of a JPEG stream up to its first scan; ends early where it is none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in BARE_MARKERS:
            at += 2
        else:
            end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
            if end < at + 4 or end > len(data):
                return
            yield marker, at + 4, end
            if marker == 0xDA:
                return
            at = end


def stream_size(data: bytes) -> StreamSize | None:
    """Size that a stream itself declares; None where it does not say or is of another kind."""
    at = data.find(b"\xff\x4f\xff\x51", 0, 512)
    if at >= 0:
        if len(data) < at + 43:
            return None
        x1, y1, x0, y0 = struct.unpack_from(">4L", data, at + 8)
        return StreamSize(y1 - y0, x1 - x0, struct.unpack_from(">H", data, at + 40)[0], (data[at + 42] & 0x7F) + 1)
    if data[:2] != b"\xff\xd8":
        return None
    for marker, start, end in _segments(data):
        if marker in SIZE_MARKERS and end - start >= 6:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, start)
            return StreamSize(rows, columns, samples, bits)
    return None


def _lossless_fault(data: bytes, samples: int) -> str | None:
    """What is wrong with the header of a lossless JPEG stream; None where it is sound (ISO 10918-1 B.2 and H)."""
    tables: set[int] = set()
    components: list[int] = []
    for marker, start, end in _segments(data):
        body = data[start:end]
        if marker == 0xC4:
            while body:
                counts, values = body[1:17], body[17 : 17 + sum(body[1:17])]
                if len(counts) < 16 or len(values) < sum(counts) or len(values) > 256 or body[0] & 15 > 3:
                    return "a table of codes"
                if body[0] < 4 and any(v > 16 for v in values):  # lengths of differences
                    return "a table of codes"
                code = 0
                for bits, count in enumerate(counts, start=1):
                    code = 2 * code + count
                    if code > 1 << bits:
                        return "a table of codes"
                tables.add(body[0])
                body = body[17 + sum(counts) :]
        elif marker in SIZE_MARKERS:
            if marker != 0xC3 or components or len(body) < 6 or len(body) != 6 + 3 * body[5] or body[5] != samples or not 2 <= body[0] <= 16:
                return "its description of the picture"
            if any(body[n] != 0x11 for n in range(7, len(body), 3)):
                return "its sampling"
            components = [body[n] for n in range(6, len(body), 3)]
            if len(set(components)) != len(components):
                return "its components"
        elif marker == 0xDA:
            if not components or len(body) != 4 + 2 * body[0] or body[0] not in (1, len(components)):
                return "its scan"
            if any(body[n] not in components or body[n + 1] >> 4 not in tables for n in range(1, 1 + 2 * body[0], 2)):
                return "its scan"
            predictor, _, low = body[-3:]
            return None if 1 <= predictor <= 7 and low & 15 < 16 else "its scan"
    return "its scan"


class FrameCodec:
    """Decodes the compressed frames of one transfer syntax. Raises ``DicomRefused`` (``codec_missing``)."""

    def __init__(self, transfer_syntax: str, name: str):
        if not codec_available(transfer_syntax):
            raise DicomRefused(
                f"{name} is compressed as {UID(transfer_syntax).name}, which cannot be decoded here.",
                code="codec_missing",
                hint="Ask for the picture in an uncompressed or a JPEG form.",
            )
        self._syntax, self._name = transfer_syntax, name
        self._decoder = get_decoder(UID(transfer_syntax))
        there = self._decoder.available_plugins
        self._plugins = [p for p in FAST_CODECS if p in there] or [p for p in (LAST_CODEC,) if p in there]

    def check(self, data: bytes, rows: int, columns: int, samples: int, bits_allocated: int) -> None:
        """Refuse a stream that contradicts the header it came with (``header_size_mismatch``), is too large
        (``too_large``) or cannot be handed to a decoder (``decode_failed``)."""
        if rows * columns * samples > MAX_SAMPLES:
            raise DicomRefused(f"{self._name} declares a compressed picture of {columns} x {rows}, more than is opened here.", code="too_large")
        size = stream_size(data)
        if size is not None and (size.rows, size.columns) != (rows, columns):
            raise DicomRefused(f"{self._name}: the compressed picture is {size.columns} x {size.rows}, the header says {columns} x {rows}.", code="header_size_mismatch")
        if size is not None and size.samples != samples:
            raise DicomRefused(f"{self._name}: the compressed picture has {size.samples} values a pixel, the header says {samples}.", code="header_size_mismatch")
        if self._syntax in JPEG_LOSSLESS:
            fault = "its beginning" if data[:2] != b"\xff\xd8" else "its depth" if bits_allocated not in (8, 16) else _lossless_fault(data, samples)
            if fault is not None:
                raise DicomRefused(f"{self._name}: the compressed picture is damaged ({fault}).", code="decode_failed")

    def decode(self, ds: Dataset, *, raw: bool) -> tuple[np.ndarray, dict]:
        """The one frame of ``ds``, by the first decoder that can. Raises ``DicomRefused`` (``decode_failed``)."""
        last: BaseException | None = None
        for plugin in self._plugins or ("",):
            try:
                return self._decoder.as_array(ds, index=0, raw=raw, decoding_plugin=plugin)
            except (KeyboardInterrupt, SystemExit, MemoryError):
                raise
            except BaseException as error:  # each has its own kinds; a panic of one in Rust is not even an Exception
                LOG.debug("%s cannot decode %s: %s", plugin or "the decoder", self._name, error)
                last = error
        raise DicomRefused(f"{self._name}: a frame cannot be decoded ({type(last).__name__}).", code="decode_failed") from last
