"""What the header of a contrast loop says about its numbers: dynamic range, agent, and what makes two loops comparable."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_io.headers import Header, items, number, numbers, read_header, text
from dicom_io.sources import Source, as_source

DECIBEL = 2  # Pixel Component Physical Units, DICOM PS3.3 C.8.5.5.1.18
POSSIBLE_RANGE_DB = (10.0, 150.0)
DISPLAY_LEVELS = 255.0
# Start-of-frame markers of JPEG (ITU-T T.81, table B.1): all of FFC0 to FFCF but DHT, JPG and DAC. Before it stand tables, at most a few kilobytes.
FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ContrastFacts:
    """``range_db``: dynamic range of the display, None where the header does not say it (most scanners keep it in a field of
    their own or print it into the picture: then it is asked, never guessed); ``range_source`` names the field. ``gain_db``,
    ``depth_mm``, ``mechanical_index``, ``maker``, ``model``, ``transducer``: curves of loops that differ in them are
    not comparable. ``agent``: as it was entered."""

    range_db: float | None = None
    range_source: str | None = None
    gain_db: float | None = None
    depth_mm: float | None = None
    mechanical_index: float | None = None
    maker: str | None = None
    model: str | None = None
    transducer: str | None = None
    agent: str | None = None

    def differences(self, other: ContrastFacts) -> tuple[str, ...]:
        """Names of the settings that both loops state and that differ."""
        named = ("maker", "model", "transducer", "depth_mm", "gain_db", "mechanical_index", "range_db", "agent")
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in named]
        return tuple(name for name, a, b in pairs if a is not None and b is not None and a != b)


def contrast_facts(header: Header) -> ContrastFacts:
    """The facts of a header that was read already."""
    ds = header.ds
    range_db, source = _range_of(ds)
    depth = number(ds, "DepthOfScanField")  # mm
    transducer = text(ds, "TransducerData")
    return ContrastFacts(
        range_db, source, _within(number(ds, "TotalGain"), -200.0, 200.0), _within(depth, 1.0, 1000.0),
        _within(number(ds, "MechanicalIndex"), 0.0, 10.0), text(ds, "Manufacturer"), text(ds, "ManufacturerModelName"),
        transducer, text(ds, "ContrastBolusAgent"),
    )  # fmt: skip


def read_contrast_facts(path: Source | str) -> ContrastFacts:
    """The facts of one DICOM file, also one within an archive. Raises ``DicomRefused`` as ``read_cine`` does."""
    return contrast_facts(read_header(as_source(path)))


def pixels_of_colour(header: Header) -> tuple[int, int] | None:
    """How many pixels (across, down) share one colour in the file, by the sampling factors of its first JPEG frame (ITU-T T.81, B.2.2) or by
    YBR_FULL_422 without compression; None where every pixel has its own, or the stream does not tell."""
    block = header.pixels
    if block is None:
        return None
    if not header.is_encapsulated:
        stored, full = header.frame_bytes(), header.full_frame_bytes()
        return (2, 1) if stored is not None and full is not None and stored < full else None
    if not block.fragments:
        return None
    start, length = block.fragments[0]
    if block.inline is not None:
        head = block.inline[start : start + min(length, HEAD_BYTES)]
    else:
        with header.path.open("rb") as fp:
            fp.seek(start)
            head = fp.read(min(length, HEAD_BYTES))
    factors = _sampling_factors(head)
    if factors is None or len(factors) != 3:
        return None
    across, down = max(h for h, _ in factors), max(v for _, v in factors)
    shared = across // min(h for h, _ in factors[1:]), down // min(v for _, v in factors[1:])
    return None if shared == (1, 1) else shared


def _sampling_factors(head: bytes) -> list[tuple[int, int]] | None:
    """(horizontal, vertical) of each component from the start of a JPEG stream; None for anything else."""
    if head[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        (size,) = struct.unpack_from(">H", head, at + 2)
        if marker in FRAME_MARKERS:
            count = head[at + 9] if at + 9 < len(head) else 0
            pairs = [(head[k] >> 4, head[k] & 15) for k in range(at + 11, min(at + 11 + 3 * count, len(head)), 3)]
            return pairs if len(pairs) == count and all(h and v for h, v in pairs) else None
        if marker == 0xDA or size < 2:  # the scan begins
            return None
        at += 2 + size
    return None


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None


def _range_of(ds: Dataset) -> tuple[float | None, str | None]:
    """Dynamic range in dB and the field it comes from.

    A region may map its pixel values to dB by break points (C.8.5.5.1.15 to 21); else Dynamic Range (0018,5030),
    which the standard has retired and some scanners still write. Regions that contradict each other say nothing.
    """
    found = {r for r in (_region_range(item) for item in items(ds, "SequenceOfUltrasoundRegions")) if r is not None}
    if len(found) == 1:
        return found.pop(), "TableOfYBreakPoints"
    stated = _within(number(ds, "DynamicRange"), *POSSIBLE_RANGE_DB)
    return (stated, "DynamicRange") if stated is not None and not found else (None, None)


def _region_range(region: Dataset) -> float | None:
    if number(region, "PixelComponentPhysicalUnits") != DECIBEL:
        return None
    x, y = numbers(region, "TableOfXBreakPoints"), numbers(region, "TableOfYBreakPoints")
    if x is None or y is None:
        x, y = numbers(region, "TableOfPixelValues"), numbers(region, "TableOfParameterValues")
    if x is None or y is None or len(x) != len(y) or len(x) < 2 or max(x) == min(x):
        return None
    slopes = {round((b - a) / (d - c), 4) for a, b, c, d in zip(y, y[1:], x, x[1:], strict=False) if d != c}
    if len(slopes) != 1:  # not one straight line: no single range tells it
        return None
    range_db = round(slopes.pop() * DISPLAY_LEVELS, 1)
    return _within(range_db, *POSSIBLE_RANGE_DB)
