"""Where each frame of a compressed file lies: fragments to frames, by the file's own tables or by the streams.

DICOM PS3.5 A.4: frames are items (fragments) one after the other; a Basic Offset Table, or the Extended
Offset Table in the header for files beyond 4 GB, says where each frame begins. Many files have neither.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from pydicom.dataset import Dataset

from dicom_io.headers import DicomRefused, Header, PixelBlock, value_of

RLE = "1.2.840.10008.1.2.5"
ITEM_HEAD = 8  # bytes of tag and length before an item's value

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FrameSpans:
    """``spans[n]`` are the (offset, length) of frame ``n``'s fragments; only frames that are there whole."""

    spans: tuple[tuple[Span, ...], ...]
    declared: int

    @property
    def is_cut(self) -> bool:
        """True where the file ends before its last frame does."""
        return len(self.spans) < self.declared


def frame_spans(header: Header) -> FrameSpans:
    """The fragments of each frame of an encapsulated file, without reading a frame.

    Of a file that was cut off only the frames that are whole. Raises ``DicomRefused``
    (``header_size_mismatch``) where the pieces cannot be told apart into the declared frames.
    """
    block, frames = header.pixels, header.frames
    parts = list(block.fragments)
    if block.complete and len(parts) == frames:
        return FrameSpans(tuple((part,) for part in parts), frames)
    if frames == 1:
        return FrameSpans((tuple(parts),) if parts and block.complete else (), 1)
    if not parts:
        return FrameSpans((), frames)
    grouped = _by_table(header, parts)
    if grouped is None:
        grouped = _by_streams(header, parts)
    if block.complete and len(grouped) != frames:
        raise DicomRefused(f"{header.path.name}: its {len(parts)} compressed pieces cannot be told apart into {frames} frames.", code="header_size_mismatch")
    return FrameSpans(tuple(tuple(g) for g in grouped[:frames]), frames)


def _starts(ds: Dataset, block: PixelBlock, frames: int, base: int) -> list[int] | None:
    """File offset of each frame's first item by a table with an entry a frame; None without a usable one."""
    extended = value_of(ds, "ExtendedOffsetTable")
    if isinstance(extended, bytes) and len(extended) == 8 * frames:
        offsets = struct.unpack(f"<{frames}Q", extended)
    elif len(block.offset_table) == frames:
        offsets = block.offset_table
    else:
        return None
    if offsets[0] != 0 or any(a >= b for a, b in pairwise(offsets)):
        return None
    return [base + offset for offset in offsets]


def _by_table(header: Header, parts: list[Span]) -> list[list[Span]] | None:
    """Frames by an offset table (counted from the first item after the basic table); None where there is none or
    where it does not point at items. The last frame of a file that was cut counts only where the next begins."""
    block = header.pixels
    starts = _starts(header.ds, block, header.frames, parts[0][0] - ITEM_HEAD)
    if starts is None:
        return None
    items = {offset - ITEM_HEAD for offset, _ in parts}
    end = parts[-1][0] + parts[-1][1]
    if any(start < end and start not in items for start in starts):
        return None
    out: list[list[Span]] = []
    index = 0
    for n, start in enumerate(starts):
        if start >= end:
            break
        stop = starts[n + 1] if n + 1 < len(starts) else None
        mine = []
        while index < len(parts) and (stop is None or parts[index][0] - ITEM_HEAD < stop):
            mine.append(parts[index])
            index += 1
        is_whole = block.complete or (stop is not None and stop <= end) or (stop is None and _ends(header, mine[-1]))
        if is_whole:
            out.append(mine)
    return out


def _by_streams(header: Header, parts: list[Span]) -> list[list[Span]]:
    """Frames by where a fragment opens a new stream. Of a file that was cut the last frame counts only where every
    frame is one piece, which then is whole, or where its stream is closed."""
    out: list[list[Span]] = []
    with header.path.open("rb") as fp:
        for offset, length in parts:
            fp.seek(offset)
            if not out or _opens(fp.read(min(length, ITEM_HEAD)), header.transfer_syntax):
                out.append([])
            out[-1].append((offset, length))
    if not header.pixels.complete and any(len(g) > 1 for g in out) and not _ends(header, out[-1][-1]):
        out.pop()
    return out


def _opens(lead: bytes, transfer_syntax: str | None) -> bool:
    """True where a fragment that begins so opens a JPEG, JPEG-LS, JPEG 2000 or RLE stream."""
    if transfer_syntax == RLE:
        if len(lead) < 8:
            return False
        segments, first = struct.unpack("<LL", lead)
        return 1 <= segments <= 15 and first == 64
    return lead[:3] == b"\xff\xd8\xff" or lead[:4] == b"\xff\x4f\xff\x51"


def _ends(header: Header, part: Span) -> bool:
    """True where a fragment closes a JPEG, JPEG-LS or JPEG 2000 stream (all end in FF D9, a pad byte aside)."""
    if header.transfer_syntax == RLE:
        return False
    offset, length = part
    with header.path.open("rb") as fp:
        fp.seek(offset + max(0, length - 3))
        return b"\xff\xd9" in fp.read(min(length, 3))
