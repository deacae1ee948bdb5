"""The decoders of compressed pictures, and what is asked of a stream before one of them sees it.

They are programs of other people in other languages. What a damaged stream makes them raise is a refusal of that
frame; but some of them end the whole process where they meet what they think impossible (GDCM) or never come back
(CharLS), and all of them set memory aside by what the stream itself declares. So those two are not used, and the stream's
own header is read here first.
"""

from __future__ import annotations

import functools
import logging
import os
import struct
import threading
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from dicom_io import jpeg_ls, lossless_jpeg, rle
from dicom_io.headers import DicomRefused
from dicom_io.lossless_jpeg import segments

LOG = logging.getLogger(__name__)
# Measured on the same files: several times faster than the order pydicom tries them in.
CODECS = ("nodus", "pylibjpeg", "pillow")
# Every decoder of JPEG 2000 keeps the interpreter to itself while it works, so threads of ours do not speed it up; the
# library within Pillow works on all cores where it is told to, the other copy was built without that.
JPEG_2000, JPEG_2000_CODECS = "1.2.840.10008.1.2.4.9", ("pillow",)
os.environ.setdefault("OPJ_NUM_THREADS", "ALL_CPUS")
# Decoders work in 32-bit numbers and several copies: 64 million samples (8192 x 8192) stay below 1 GB. The largest
# radiographs have half of that.
MAX_SAMPLES = 1 << 26
# Frames above this are decoded one at a time: four threads with one each would not stay below it.
LARGE_SAMPLES = 1 << 23
_ONE_LARGE = threading.Lock()
SIZE_MARKERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7)

for _own in (lossless_jpeg, jpeg_ls):
    for _syntax in _own.SYNTAXES:
        get_decoder(UID(_syntax)).add_plugin("nodus", (_own.__name__, "decode_frame"))

# The shortest streams that reach the two compiled decoders; neither holds a pixel.
_SHORTEST = (
    (lossless_jpeg, "ffd8ffc3000b080001000101011100ffc400140001" + 15 * "00" + "00ffda0008010100010000ffd9"),
    (jpeg_ls, "ffd8fff7000b080001000101011100ffda0008010100000000ffd9"),
)
# A run-length coded pixel of three samples.
_ONE_PIXEL = struct.pack("<16L", 3, 64, 66, 68, *12 * [0]) + 3 * b"\x00\x07"


def warm_up() -> None:
    """Compile the decoders that are ours, so that the first such picture does not wait for it."""
    for own, stream in _SHORTEST:
        try:
            own.decode(bytes.fromhex(stream), 1, 1, 1)
        except lossless_jpeg.StreamDamaged as short:
            LOG.debug("%s is ready: %s", own.__name__, short)
    from dicom_io.kernels.colour import ybr_to_rgb

    pixel = rle.decode(_ONE_PIXEL, 1, 1, 3, np.dtype(np.uint8))
    ybr_to_rgb(pixel.reshape(-1, 3))


@functools.cache
def codec_available(transfer_syntax: str | None) -> bool:
    """True where this installation can decode the transfer syntax."""
    if not transfer_syntax:
        return False
    try:
        decoder = get_decoder(UID(transfer_syntax))
    except (NotImplementedError, ValueError):
        return False
    return not decoder.is_encapsulated or any(p in decoder.available_plugins for p in CODECS)


@dataclass(frozen=True, slots=True)
class StreamSize:
    """What a JPEG, JPEG-LS or JPEG 2000 stream says of its picture."""

    rows: int
    columns: int
    samples: int
    bits: int


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
    for marker, start, end in segments(data, 2):
        if marker in SIZE_MARKERS and end - start >= 6:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, start)
            return StreamSize(rows, columns, samples, bits)
    return None


class FrameCodec:
    """Decodes the compressed frames of one transfer syntax. Raises ``DicomRefused`` (``codec_missing``)."""

    def __init__(self, transfer_syntax: str, name: str):
        if not codec_available(transfer_syntax):
            raise DicomRefused(
                f"{name} is compressed as {UID(transfer_syntax).name}, which cannot be decoded here.",
                code="codec_missing",
                hint="Ask for the picture in an uncompressed or a JPEG form.",
            )
        self._name = name
        self._decoder = get_decoder(UID(transfer_syntax))
        there = self._decoder.available_plugins
        first = JPEG_2000_CODECS if transfer_syntax.startswith(JPEG_2000) else ()
        self._plugins = [p for p in dict.fromkeys((*first, *CODECS)) if p in there]

    def check(self, data: bytes, rows: int, columns: int, samples: int) -> None:
        """Refuse a stream that contradicts the header it came with (``header_size_mismatch``); the header itself was
        looked at before (``storage_fault``)."""
        size = stream_size(data)
        if size is not None and (size.rows, size.columns) != (rows, columns):
            raise DicomRefused(f"{self._name}: the compressed picture is {size.columns} x {size.rows}, the header says {columns} x {rows}.", code="header_size_mismatch")
        if size is not None and size.samples != samples:
            raise DicomRefused(f"{self._name}: the compressed picture has {size.samples} values a pixel, the header says {samples}.", code="header_size_mismatch")

    def decode(self, ds: Dataset, *, raw: bool) -> tuple[np.ndarray, dict]:
        """The one frame of ``ds``, by the first decoder that can. Raises ``DicomRefused`` (``decode_failed``)."""
        if self._plugins and ds.Rows * ds.Columns * ds.SamplesPerPixel > LARGE_SAMPLES:
            with _ONE_LARGE:
                return self._decode(ds, raw)
        return self._decode(ds, raw)

    def _decode(self, ds: Dataset, raw: bool) -> tuple[np.ndarray, dict]:
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
