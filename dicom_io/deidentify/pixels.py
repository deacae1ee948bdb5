"""Writing the pixels of a cleaned object frame by frame, masked where nothing may stay.

Every frame is decoded and written anew, so that nothing of the old stream is left: no comments of a JPEG, no bits
beyond those stored, no bytes behind the picture. Stills are written plain, long compressed loops without loss as
JPEG-LS; memory holds one frame.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import get_encoder
from pydicom.uid import UID, JPEGLSLossless

from dicom_io.deidentify.burned_in import Box
from dicom_io.deidentify.review import kept_mask
from dicom_io.headers import DicomRefused, Header, integer, read_header, text
from dicom_io.palette import colour_table
from dicom_io.pixels import FrameDecoder

# Up to this size compressed pictures are written plain: any reader opens them.
PLAIN_UP_TO_BYTES = 32_000_000
MOST_ELEMENT_BYTES = 0xFFFFFFFE
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """``masked_pixels`` over all frames; ``rewritten`` where the stored form changed; what reading back must find."""

    masked_pixels: int
    rewritten: bool
    frame_hashes: tuple[bytes, ...]


def _hash(array: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array), digest_size=16).digest()


class PixelSource:
    """The frames of a file as they will be written: decoded, in RGB where in colour, black outside ``boxes``."""

    def __init__(self, header: Header, boxes: tuple[Box, ...] | None):
        self.header, self.decoder = header, FrameDecoder(header, whole_only=True)
        self.colour = (integer(header.ds, "SamplesPerPixel") or 1) == 3
        self.outside = ~kept_mask(boxes, header.rows, header.columns) if boxes is not None else None
        self._black = None

    @property
    def masked_per_frame(self) -> int:
        """Pixels that are made black in each frame."""
        return 0 if self.outside is None else int(self.outside.sum())

    def _black_value(self, array: np.ndarray):
        """The darkest value of this picture's kind."""
        kind, ds = text(self.header.ds, "PhotometricInterpretation") or "", self.header.ds
        if self.colour:
            return 0
        if kind == "PALETTE COLOR":
            entries = colour_table(self.header)[: 1 << min(integer(ds, "BitsStored") or 8, 16)]
            return int(entries.astype(np.int64).sum(axis=-1).argmin())
        bits = integer(ds, "BitsStored") or 8 * array.itemsize
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if array.dtype.kind == "i" else (0, (1 << bits) - 1)
        return high if kind == "MONOCHROME1" else low

    def frame(self, index: int) -> np.ndarray:
        """Frame ``index``, ``[row, column]`` or ``[row, column, 3]``."""
        array, _ = self.decoder.raw(index, colour=self.colour)
        if self.outside is None:
            return array
        if self._black is None:
            self._black = self._black_value(array)
        array = np.array(array)
        array[self.outside] = self._black
        return array

    def frames(self) -> Iterator[np.ndarray]:
        """All frames, one at a time."""
        for index in range(self.decoder.frames):
            yield self.frame(index)


def copies_bytes(header: Header) -> bool:
    """True for pixels that are taken over as they are: packed bits of masks, and floating point maps. No picture can be among them."""
    return header.pixels is not None and not header.is_encapsulated and (integer(header.ds, "BitsAllocated") == 1 or header.pixels.vr in ("OF", "OD"))


def describe(out: Dataset, header: Header, source: PixelSource, first: np.ndarray) -> None:
    """Make the header say what will be written; a lossy past stays on record."""
    out.Rows, out.Columns = header.rows, header.columns
    out.SamplesPerPixel = 3 if source.colour else 1
    if source.colour:
        out.PhotometricInterpretation, out.PlanarConfiguration = "RGB", 0
    elif "PlanarConfiguration" in out:
        del out.PlanarConfiguration
    out.BitsAllocated = 8 * first.itemsize
    out.BitsStored = min(integer(header.ds, "BitsStored") or out.BitsAllocated, out.BitsAllocated)
    out.HighBit = out.BitsStored - 1
    out.PixelRepresentation = int(first.dtype.kind == "i")
    syntax = UID(header.transfer_syntax)
    lossy = header.is_encapsulated and not syntax.is_private and "Lossless" not in syntax.name and "RLE" not in syntax.name
    if lossy and text(out, "LossyImageCompression") != "01":
        out.LossyImageCompression = "01"


def keep_whole_frames(out: Dataset, frames: int) -> None:
    """Make the header of a loop that was cut off speak of the frames that are there."""
    out.NumberOfFrames = frames
    for keyword in ("FrameTimeVector", "PerFrameFunctionalGroupsSequence"):
        listed = out.get(keyword)
        if listed is not None and hasattr(listed, "__len__") and len(listed) > frames:
            setattr(out, keyword, list(listed)[:frames])
    if (integer(out, "StopTrim") or 0) > frames:
        out.StopTrim = frames
    for keyword in ("StartTrim", "RepresentativeFrameNumber"):
        if (integer(out, keyword) or 0) > frames:
            delattr(out, keyword)


def _packs(header: Header, first: np.ndarray, frames: int) -> bool:
    """True where the frames are written as JPEG-LS."""
    total = first.nbytes * frames
    fits = first.itemsize <= 2 and first.dtype.kind == "u"
    return header.is_encapsulated and fits and total > PLAIN_UP_TO_BYTES and get_encoder(JPEGLSLossless).is_available


def plan(header: Header, boxes: tuple[Box, ...] | None, out: Dataset) -> tuple[PixelSource, np.ndarray, bool]:
    """Prepare ``out`` (and its transfer syntax) for the pixels of ``header``: source, its first frame, whether it is packed."""
    source = PixelSource(header, boxes)
    first = source.frame(0)
    describe(out, header, source, first)
    if source.decoder.frames < header.frames:
        keep_whole_frames(out, source.decoder.frames)
    packed = _packs(header, first, source.decoder.frames)
    if packed:
        out.file_meta.TransferSyntaxUID = JPEGLSLossless
    elif first.nbytes * source.decoder.frames > MOST_ELEMENT_BYTES:
        raise DicomRefused(f"{header.path.name} is more than 4 GB when written plain; DICOM cannot hold that.", code="too_large")
    return source, first, packed


def append_frames(stream: BinaryIO, out: Dataset, source: PixelSource, packed: bool, after_frame: Callable[[int], None]) -> Written:
    """Write the pixel data element behind a header in ``stream``; ``after_frame(n)`` may raise to stop."""
    hashes = []
    if packed:
        stream.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0))
    else:
        size = out.Rows * out.Columns * out.SamplesPerPixel * (out.BitsAllocated // 8) * source.decoder.frames
        vr = b"OB" if out.BitsAllocated <= 8 else b"OW"
        stream.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, vr, 0, size + size % 2))
    for index, array in enumerate(source.frames()):
        hashes.append(_hash(array))
        if packed:
            data = _encoded(array, out)
            data += b"\0" * (len(data) % 2)
            stream.write(struct.pack("<HHL", 0xFFFE, 0xE000, len(data)) + data)
        else:
            stream.write(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes())
        after_frame(index)
    if packed:
        stream.write(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    elif size % 2:
        stream.write(b"\0")
    rewritten = source.header.is_encapsulated or source.colour
    return Written(source.masked_per_frame * source.decoder.frames, rewritten, tuple(hashes))


def _encoded(array: np.ndarray, out: Dataset) -> bytes:
    return get_encoder(JPEGLSLossless).encode(
        np.ascontiguousarray(array), rows=out.Rows, columns=out.Columns, samples_per_pixel=out.SamplesPerPixel, number_of_frames=1,
        photometric_interpretation=out.PhotometricInterpretation, bits_allocated=out.BitsAllocated, bits_stored=out.BitsStored,
        pixel_representation=out.PixelRepresentation, planar_configuration=0 if out.SamplesPerPixel == 3 else None,
    )  # fmt: skip


def append_bytes(stream: BinaryIO, header: Header) -> None:
    """Write the declared part of pixels that are taken over as they are."""
    block = header.pixels
    need = min(block.length, int(-(-header.frame_bytes() * header.frames // 1))) if header.frame_bytes() else 0
    tag = {"OF": 0x0008, "OD": 0x0009}.get(block.vr, 0x0010)
    vr = block.vr.encode() if block.vr in ("OF", "OD", "OB") else b"OW"
    stream.write(struct.pack("<HH2sHL", 0x7FE0, tag, vr, 0, need + need % 2))
    if block.inline is not None:
        stream.write(block.inline[:need])
    else:
        with header.path.open("rb") as source:
            source.seek(block.start)
            left = need
            while left:
                data = source.read(min(left, _CHUNK))
                if not data:
                    raise DicomRefused(f"{header.path.name} ended while it was read.", code="truncated")
                stream.write(data)
                left -= len(data)
    stream.write(b"\0" * (need % 2))


def reads_back(path: Path, hashes: tuple[bytes, ...]) -> bool:
    """True where the file's frames are those that were written."""
    decoder = FrameDecoder(read_header(path))
    return decoder.frames == len(hashes) and all(_hash(decoder.raw(n, colour=decoder.header.is_encapsulated)[0]) == h for n, h in enumerate(hashes))
