"""Lossless JPEG (transfer syntaxes .57 and .70), decoded here.

The library that usually does it (GDCM) ends the whole program on some damaged streams and hands back a half-filled
picture, without a word, for streams that end too early. Format: ISO 10918-1, annexes B, C and H. Registered with
pydicom as one of its decoders.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

SYNTAXES = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("numba",))
START_OF_SCAN, TABLES, RESTARTS, LOSSLESS, END = 0xDA, 0xC4, 0xDD, 0xC3, 0xD9
OTHER_FRAMES = (0xC0, 0xC1, 0xC2, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
ALONE = (0x01, *range(0xD0, 0xD9))
REASONS = {1: "it ends too early", 2: "it holds a code that does not exist", 3: "a restart marker is missing"}


class StreamDamaged(ValueError):
    """A lossless JPEG stream that cannot be decoded, and why."""


def is_available(uid: str) -> bool:
    """True for the transfer syntaxes decoded here (asked by pydicom)."""
    return uid in SYNTAXES


@dataclass(slots=True)
class _Picture:
    """What the stream said so far."""

    precision: int = 0
    rows: int = 0
    columns: int = 0
    components: list[int] = field(default_factory=list)
    tables: dict[int, np.ndarray] = field(default_factory=dict)
    restart_every: int = 0


def segments(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """(marker, start of its contents, end) from ``at`` on, up to a scan's header or where no marker follows."""
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == END:
            return
        elif marker in ALONE:
            at += 2
        else:
            end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
            if end < at + 4 or end > len(data):
                return
            yield marker, at + 4, end
            if marker == START_OF_SCAN:
                return
            at = end


def _tables(body: bytes, tables: dict[int, np.ndarray]) -> None:
    """Read a segment of Huffman tables into one lookup of 16 bits each; see ``decode_scan``."""
    while body:
        counts, values = body[1:17], body[17 : 17 + sum(body[1:17])]
        if len(counts) < 16 or len(values) < sum(counts) or body[0] & 15 > 3:
            raise StreamDamaged("its table of codes is damaged")
        if body[0] >> 4 == 0:
            lookup = np.full(1 << 16, -1, dtype=np.int16)
            place = used = 0
            for length, count in enumerate(counts, start=1):
                for value in values[used : used + count]:
                    step = 1 << (16 - length)
                    if value > 16 or place + step > 1 << 16:
                        raise StreamDamaged("its table of codes is damaged")
                    lookup[place : place + step] = value << 5 | length
                    place += step
                used += count
            tables[body[0]] = lookup
        body = body[17 + len(values) :]


def _frame(body: bytes, picture: _Picture, samples: int) -> None:
    if len(body) < 6 or picture.components:
        raise StreamDamaged("its description of the picture is damaged")
    picture.precision, picture.rows, picture.columns, count = struct.unpack_from(">BHHB", body)
    picture.components = list(body[6 : 6 + 3 * count : 3])
    sampling = body[7 : 6 + 3 * count : 3]
    if not 2 <= picture.precision <= 16 or count != samples or len(body) < 6 + 3 * count or len(set(picture.components)) != count:
        raise StreamDamaged("its description of the picture is damaged")
    if count > 1 and any(s != 0x11 for s in sampling):
        raise StreamDamaged("its colours are stored more coarsely than its pixels")


def decode(data: bytes, rows: int, columns: int, samples: int) -> tuple[np.ndarray, int]:
    """Samples of a lossless JPEG stream as uint16 ``[row, column, sample]`` and their precision in bits.

    Raises ``StreamDamaged`` where the stream is not of this size, is damaged or ends too early.
    """
    from dicom_io.kernels.lossless_jpeg import DONE, decode_scan

    if data[:2] != b"\xff\xd8":
        raise StreamDamaged("it does not begin as a picture does")
    picture, out, missing, at = _Picture(), None, set(range(samples)), 2
    bytes_ = np.frombuffer(data, np.uint8)
    while missing:
        scan = None
        for marker, start, end in segments(data, at):
            body = data[start:end]
            if marker == TABLES:
                _tables(body, picture.tables)
            elif marker == LOSSLESS:
                _frame(body, picture, samples)
                if (picture.rows, picture.columns) != (rows, columns):
                    raise StreamDamaged("it is of another size")
                out = np.zeros((rows, columns, samples), dtype=np.uint16)
            elif marker in OTHER_FRAMES:
                raise StreamDamaged("it is not a lossless picture")
            elif marker == RESTARTS and len(body) >= 2:
                picture.restart_every = struct.unpack_from(">H", body)[0]
            elif marker == START_OF_SCAN:
                scan, at = body, end
        if scan is None or out is None:
            raise StreamDamaged("it ends too early")
        places, tables, predictor, shift = _scan(scan, picture)
        code, at = decode_scan(bytes_, at, tables, places, predictor, picture.precision, shift, picture.restart_every, out)
        if code != DONE:
            raise StreamDamaged(REASONS[code])
        if shift:
            out[:, :, places] <<= np.uint16(shift)
        missing -= set(places.tolist())
        while missing and at + 1 < len(data) and not (data[at] == 0xFF and data[at + 1] not in (0, 0xFF)):
            at += 1  # the bits that fill the last byte
    return out, picture.precision


def _scan(body: bytes, picture: _Picture) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Places of the components, their lookups, predictor and point transform of a scan's header."""
    count = body[0] if body else 0
    if not 1 <= count <= len(picture.components) or len(body) < 4 + 2 * count:
        raise StreamDamaged("the header of its scan is damaged")
    names, chosen = body[1 : 1 + 2 * count : 2], [v >> 4 for v in body[2 : 2 + 2 * count : 2]]
    predictor, shift = body[1 + 2 * count], body[3 + 2 * count] & 15
    if any(n not in picture.components for n in names) or len(set(names)) != count or any(t not in picture.tables for t in chosen):
        raise StreamDamaged("the header of its scan is damaged")
    if not 1 <= predictor <= 7 or shift >= picture.precision:
        raise StreamDamaged("the header of its scan is damaged")
    places = np.array([picture.components.index(n) for n in names], dtype=np.int64)
    return places, np.stack([picture.tables[t] for t in chosen]), predictor, shift


def decode_frame(src: bytes, runner) -> bytes:
    """pydicom's form: one frame as bytes of the allocated width, colours pixel by pixel."""
    samples = runner.samples_per_pixel
    array, precision = decode(src, runner.rows, runner.columns, samples)
    if runner.bits_allocated not in (8, 16) or precision > runner.bits_allocated:
        raise StreamDamaged(f"it has {precision} bits a sample where {runner.bits_allocated} are allocated")
    if samples > 1:
        runner.set_option("planar_configuration", 0)
    return array.astype(np.uint8).tobytes() if runner.bits_allocated == 8 else array.astype("<u2", copy=False).tobytes()
