"""JPEG with eight bits a sample (transfer syntaxes .50 and .51) straight to grey or to red, green and blue.

pydicom asks the library within Pillow for luminance and colour differences and converts them itself, which takes twice
as long as all the decoding; the library's own conversion gives the same colours. It also converts a second time where
a maker's marker (Adobe) made the library do it already. Format: ISO 10918-1 annex B, colours: ISO 10918-5 and -6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

SYNTAXES = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
FRAMES, START_OF_SCAN = (0xC0, 0xC1, 0xC2), 0xDA  # Huffman coded: baseline, extended, progressive
TABLES = (0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0))  # whatever may stand before the first scan of an ordinary stream
JFIF, ADOBE = 0xE0, 0xEE
RGB_NAMES = (b"RGB", b"rgb")


@dataclass(frozen=True, slots=True)
class Stream:
    """What the head of an ordinary stream says."""

    rows: int
    columns: int
    names: bytes  # of the components, one byte each
    jfif: bool
    transform: int | None  # of the maker's marker (0: none was made), None without it


def head(data: bytes) -> Stream | None:
    """The head of a stream that leaves no doubt; None for any other.

    The decoder sets its rows aside by the size given here, so a stream that could be understood in two ways
    (fill between its segments, segments of other kinds, a second description) is not answered.
    """
    if data[:2] != b"\xff\xd8":
        return None
    at, found, jfif, transform = 2, None, False, None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        body = at + 4
        at += 2 + length
        if length < 2 or at > len(data):
            return None
        if marker in FRAMES:
            if found is not None or length < 8:
                return None
            bits, rows, columns, count = struct.unpack_from(">BHHB", data, body)
            if bits != 8 or length != 8 + 3 * count:
                return None
            found = rows, columns, data[body + 6 : body + 6 + 3 * count : 3]
        elif marker == START_OF_SCAN:
            return None if found is None else Stream(*found, jfif, transform)
        elif marker not in TABLES:
            return None
        elif marker == JFIF and length >= 16 and data[body : body + 5] == b"JFIF\0":
            jfif = True
        elif marker == ADOBE and length >= 14 and data[body : body + 5] == b"Adobe":
            transform = data[body + 11]
    return None


def holds_ybr(stream: Stream, photometric: str) -> bool:
    """True where three components are luminance and colour differences: by their names, else by the header, and where
    that speaks of RGB by what the stream says (its markers, as every JPEG program reads them)."""
    if stream.names in RGB_NAMES:
        return False
    if photometric.startswith("YBR") or stream.jfif:
        return True
    return bool(stream.transform)


def decode(data: bytes, rows: int, columns: int, samples: int, photometric: str) -> np.ndarray | None:
    """Grey (uint8 ``[row, column]``) or RGB (``[row, column, 3]``) of a frame whose header says ``photometric``.

    None where the stream is not an ordinary one of this size or cannot be decoded; nothing is said about why.
    """
    stream = head(data)
    if stream is None or (stream.rows, stream.columns, len(stream.names)) != (rows, columns, samples) or samples not in (1, 3):
        return None
    mode = "L" if samples == 1 else "RGB"
    stored = "L" if samples == 1 else "YCbCr" if holds_ybr(stream, photometric) else "RGB"
    try:
        picture = Image.frombytes(mode, (columns, rows), data, "jpeg", mode, stored)
    except (ValueError, OSError):
        return None
    return np.array(picture)
