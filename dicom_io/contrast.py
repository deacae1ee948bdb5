"""What the header of a contrast loop says about its numbers: dynamic range, agent, and what makes two loops comparable."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_io.headers import Header, items, number, numbers, read_header, text
from dicom_io.sources import Source, as_source

DECIBEL = 2  # Pixel Component Physical Units, DICOM PS3.3 C.8.5.5.1.18
POSSIBLE_RANGE_DB = (10.0, 150.0)
DISPLAY_LEVELS = 255.0


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
