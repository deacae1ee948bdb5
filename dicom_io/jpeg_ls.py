"""JPEG-LS (transfer syntaxes .80 and .81), decoded here.

The library that usually does it (CharLS) never comes back from some damaged streams. Format: ISO 14495-1 | ITU-T T.87,
without mapping tables, restarts and the makers' own colour transforms, which no DICOM picture has. Registered with pydicom
as one of its decoders.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from dicom_io.lossless_jpeg import RESTARTS, START_OF_SCAN, StreamDamaged, segments

SYNTAXES = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("numba",))
FRAME, PARAMETERS, MAKERS = 0xF7, 0xF8, 0xE8
REASONS = {1: "it ends too early", 2: "it holds a code that does not exist", 3: "a run leaves its line", 4: "it goes on behind its last pixel"}
BY_PLANE, BY_LINE, BY_SAMPLE = 0, 1, 2


def is_available(uid: str) -> bool:
    """True for the transfer syntaxes decoded here (asked by pydicom)."""
    return uid in SYNTAXES


@dataclass(slots=True)
class _Picture:
    """What the stream said so far; zeros among the parameters stand for their defaults."""

    precision: int = 0
    components: list[int] = field(default_factory=list)
    parameters: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


def default_thresholds(most: int, near: int) -> tuple[int, int, int]:
    """Thresholds of the gradients where the stream gives none (C.2.4.1.1)."""

    def clamp(value: int, low: int) -> int:
        return low if value > most or value < low else value

    if most >= 128:
        factor = (min(most, 4095) + 128) // 256
        first = clamp(factor + 2 + 3 * near, near + 1)
        second = clamp(factor * 4 + 3 + 5 * near, first)
        return first, second, clamp(factor * 17 + 4 + 7 * near, second)
    factor = 256 // (most + 1)
    first = clamp(max(2, 3 // factor + 3 * near), near + 1)
    second = clamp(max(3, 7 // factor + 5 * near), first)
    return first, second, clamp(max(4, 21 // factor + 7 * near), second)


def _frame(body: bytes, picture: _Picture, rows: int, columns: int, samples: int) -> None:
    if len(body) < 6 or picture.components:
        raise StreamDamaged("its description of the picture is damaged")
    picture.precision, high, wide, count = struct.unpack_from(">BHHB", body)
    picture.components = list(body[6 : 6 + 3 * count : 3])
    if not 2 <= picture.precision <= 16 or count != samples or len(body) < 6 + 3 * count or len(set(picture.components)) != count:
        raise StreamDamaged("its description of the picture is damaged")
    if (high, wide) != (rows, columns):
        raise StreamDamaged("it is of another size")
    if any(s != 0x11 for s in body[7 : 6 + 3 * count : 3]):
        raise StreamDamaged("its colours are stored more coarsely than its pixels")


def decode(data: bytes, rows: int, columns: int, samples: int) -> tuple[np.ndarray, int]:
    """Samples of a JPEG-LS stream as uint16 ``[row, column, sample]`` and their precision in bits.

    Raises ``StreamDamaged`` where the stream is not of this size, is damaged or ends too early.
    """
    from dicom_io.kernels.jpeg_ls import DONE, decode_scan

    if data[:2] != b"\xff\xd8":
        raise StreamDamaged("it does not begin as a picture does")
    picture, missing, at = _Picture(), set(range(samples)), 2
    out = np.zeros((rows, columns, samples), dtype=np.uint16)
    bytes_ = np.frombuffer(data, np.uint8)
    while missing:
        scan = None
        for marker, start, end in segments(data, at):
            body = data[start:end]
            if marker == FRAME:
                _frame(body, picture, rows, columns, samples)
            elif marker == PARAMETERS:
                if len(body) < 11 or body[0] != 1:
                    raise StreamDamaged("it uses tables that are not read")
                picture.parameters = struct.unpack_from(">5H", body, 1)
            elif marker == MAKERS and body[:4] == b"mrfx" and body[4:5] not in (b"\0", b""):
                raise StreamDamaged("its colours are transformed in a maker's own way")
            elif marker == RESTARTS and any(body):
                raise StreamDamaged("it has restarts, which are not read")
            elif marker == START_OF_SCAN:
                scan, at = body, end
        if scan is None or not picture.components:
            raise StreamDamaged("it ends too early")
        places, near, order = _scan(scan, picture)
        most, *thresholds, reset = picture.parameters
        most = most or (1 << picture.precision) - 1
        usual = default_thresholds(most, near)
        t1, t2, t3 = (given or default for given, default in zip(thresholds, usual, strict=True))
        if not (1 <= most < 1 << picture.precision and near <= min(255, most // 2) and near + 1 <= t1 <= t2 <= t3 <= most and (reset or 64) >= 3):
            raise StreamDamaged("its parameters contradict each other")
        code, at = decode_scan(bytes_, at, places, order == BY_SAMPLE, near, most, t1, t2, t3, reset or 64, out)
        if code != DONE:
            raise StreamDamaged(REASONS[code])
        missing -= set(places.tolist())
        while missing and at + 1 < len(data) and not (data[at] == 0xFF and data[at + 1] >= 0x80):
            at += 1
    return out, picture.precision


def _scan(body: bytes, picture: _Picture) -> tuple[np.ndarray, int, int]:
    """Places of the components, allowed error and interleaving of a scan's header."""
    count = body[0] if body else 0
    if not 1 <= count <= len(picture.components) or len(body) < 4 + 2 * count:
        raise StreamDamaged("the header of its scan is damaged")
    names, tables = body[1 : 1 + 2 * count : 2], body[2 : 2 + 2 * count : 2]
    near, order, shift = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count]
    if any(n not in picture.components for n in names) or len(set(names)) != count or any(tables) or shift:
        raise StreamDamaged("the header of its scan is damaged")
    if order > BY_SAMPLE or (order == BY_PLANE) != (count == 1 and order == BY_PLANE):
        raise StreamDamaged("the header of its scan is damaged")
    return np.array([picture.components.index(n) for n in names], dtype=np.int64), near, order


def decode_frame(src: bytes, runner) -> bytes:
    """pydicom's form: one frame as bytes of the width its precision needs, colours pixel by pixel."""
    array, precision = decode(src, runner.rows, runner.columns, runner.samples_per_pixel)
    if runner.samples_per_pixel > 1:
        runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 if precision <= 8 else 16)
    return array.astype(np.uint8).tobytes() if precision <= 8 else array.astype("<u2", copy=False).tobytes()
