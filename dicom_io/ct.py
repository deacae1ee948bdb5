"""CT, MR and PET slices or enhanced files to one volume in the patient.

Sorted by position, spacing from positions and never from SliceThickness, rescaled slice by slice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dicom_io.enhanced_us import is_enhanced_us, unit_of
from dicom_io.grouping import ct_unit, one_unit
from dicom_io.headers import DicomRefused, Header, ProgressReport, check_cancelled, integer, number, report, text
from dicom_io.pixels import FrameDecoder
from dicom_io.planes import FramePlane
from dicom_io.scan import SeriesSummary, group, read_facts
from dicom_io.sources import Source, ZipEntry
from dicom_io.stack import StackLayout, lay_out
from dicom_io.ultrasound import source_of
from volumetry.errors import GeometryRefused, NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume

# A volume above this would not fit beside its views on a reading workstation.
MAX_VOLUME_BYTES = 8 << 30
LARGE_BYTES = 1 << 28
INT16 = np.iinfo(np.int16)


def stacks_of_files(files: Sequence[Source]) -> list[SeriesSummary]:
    """The stacks that these files (or entries of an archive) hold, in the order of a scan. Raises ``NodusError``:
    ``not_an_image`` where none has a place in the patient, or the files' own refusal."""
    if not files:
        raise NodusError("No files were given.", code="not_an_image")
    sources = [p if isinstance(p, ZipEntry) else Path(p).resolve() for p in files]
    root = Path(os.path.commonpath([p.parent for p in sources]))
    facts = [read_facts(p, p.entry if isinstance(p, ZipEntry) else p.relative_to(root).as_posix()) for p in sources]
    series, _ = group(root, facts, [])
    stacks = [s for s in series if s.slices]
    if not stacks:
        raise NodusError("These files give no position in the patient; they are pictures, not a volume.", code="not_an_image")
    return stacks


def series_of_files(files: Sequence[Source], *, part: int | None = None, on_grid: ImageGeometry | None = None) -> SeriesSummary:
    """The one stack that these files are. Where they hold several, ``part`` (from 1) or the grid ``on_grid``
    says which. Raises ``NodusError``: ``mixed_series`` where nothing does, and as ``stacks_of_files``."""
    stacks = stacks_of_files(files)
    if len(stacks) == 1:
        return stacks[0]
    if part is not None and 1 <= part <= len(stacks):
        return stacks[part - 1]
    if on_grid is not None:
        for stack in stacks:
            if stack.shape[:2] == on_grid.shape[:0:-1] and _lies_on(stack, on_grid):
                return stack
    raise NodusError(f"These files are {len(stacks)} separate stacks, not one volume.", code="mixed_series", hint="Choose one series.")


def _lies_on(stack: SeriesSummary, grid: ImageGeometry) -> bool:
    try:
        return read_geometry(stack).same_grid(grid)
    except NodusError:
        return False


def _load_planes(series: SeriesSummary) -> tuple[tuple[Header, ...], list[tuple[int, FramePlane]]]:
    """Headers of the series' files, and (file index, plane) of each slice in order of position.

    Files that changed since the scan are refused: their slices may lie elsewhere now.
    """
    for header, name in zip(series.headers, series.files, strict=True):
        if not header.is_fresh:
            raise DicomRefused(f"{name} changed on disk since it was listed.", code="file_changed", hint="Scan the folder again.")
    return series.headers, [(file, plane) for (file, _), plane in zip(series.slices, series.planes, strict=True)]


def stack_geometry(planes: Sequence[FramePlane], rows: int, columns: int) -> tuple[ImageGeometry, StackLayout]:
    """Grid of planes sorted by position, and how they lie; a tilted stack gets a sheared affine.

    A single slice takes SliceThickness, else 1 mm, as third spacing (its series carries
    ``spacing_unknown``). Raises ``GeometryRefused`` (``missing_slice``, ``uneven_spacing``) where
    the gaps are too wide to be interpolated.
    """
    positions = np.array([p.position_mm for p in planes])
    orientation = np.array(planes[0].orientation)
    layout = lay_out(positions, orientation)
    row_mm, column_mm = planes[0].pixel_spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * column_mm
    affine[:3, 1] = orientation[3:] * row_mm
    affine[:3, 3] = positions[layout.order[0]]
    if len(planes) == 1:
        normal = np.cross(orientation[:3], orientation[3:])
        affine[:3, 2] = normal * (planes[0].thickness_mm or 1.0)
        return ImageGeometry((1, rows, columns), affine), layout
    if layout.step_mm is None:
        worst = next(f for f in layout.findings if f.severity == "serious")
        raise GeometryRefused(worst.message, code=worst.code, hint="Send the complete series again.")
    affine[:3, 2] = layout.step_mm
    return ImageGeometry((layout.count, rows, columns), affine), layout


def read_geometry(series: SeriesSummary) -> ImageGeometry:
    """The grid of a series, without reading a pixel. Refusals as in ``read_volume``."""
    return read_stack(series)[0]


def read_stack(series: SeriesSummary) -> tuple[ImageGeometry, StackLayout]:
    """The grid of a series and how its stored slices lie on it (``source_index`` where they are uneven),
    without reading a pixel. Refusals as in ``read_volume``."""
    if not series.slices or series.shape is None:
        raise NodusError("This series gives no position in the patient; it is not a volume.", code="not_an_image")
    _, planes = _load_planes(series)
    return stack_geometry([p for _, p in planes], series.shape[1], series.shape[0])


def _slice_into(out: np.ndarray, decoder: FrameDecoder, plane: FramePlane) -> np.ndarray | None:
    """One slice of real values into ``out`` (int16) where all are whole numbers that fit; else they are
    returned as float32 and ``out`` means nothing."""
    whole = all(float(v).is_integer() and abs(v) <= INT16.max**2 for v in (plane.slope, plane.intercept))
    direct = whole and decoder.plain is not None and decoder.plain.itemsize == 2 and decoder.plain.isnative
    if direct:
        # Bytes go from the file into the volume; no copy in between.
        frame = out.view(decoder.plain)
        low, high = decoder.read_plain(plane.frame, frame)
    else:
        frame, _ = decoder.raw(plane.frame)
        low, high = (int(frame.min()), int(frame.max())) if frame.dtype.kind in "iu" else (0, 0)
        whole = whole and frame.dtype.kind in "iu"
    if whole:
        slope, intercept = int(plane.slope), int(plane.intercept)
        ends = (low * slope + intercept, high * slope + intercept)
        if min(ends) >= INT16.min and max(ends) <= INT16.max:
            # The result fits, so arithmetic that wraps on the way still ends up right.
            if not direct:
                out[...] = frame.astype(np.int16)
            if slope != 1:
                out *= np.array(slope).astype(np.int16)
            if intercept:
                out += np.array(intercept).astype(np.int16)
            return None
    return (frame.astype(np.float64) * plane.slope + plane.intercept).astype(np.float32)


def read_volume(
    series: SeriesSummary | Sequence[Source],
    *,
    part: int | None = None,
    progress: ProgressReport | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> ImageVolume:
    """Decode a series into ``array[k, j, i]``: int16 where every value is a whole number that fits,
    else float32; CT in HU.

    ``series`` comes from ``scan_folder``, or is a list of files that are one stack (or ``part`` of them,
    from 1, where they hold several). Frames are
    decoded in threads; ``should_cancel()`` is asked between them (raises ``Cancelled``). Padding
    keeps its stored value and is told by the finding ``padding``. Small gaps between slices are
    interpolated onto a regular grid and carry a serious finding. Raises ``GeometryRefused``
    (``missing_slice``, ``uneven_spacing``), ``DicomRefused`` (``codec_missing``, ``decode_failed``...).
    """
    if not isinstance(series, SeriesSummary):
        series = series_of_files(list(series), part=part)
    if not series.slices or series.shape is None:
        raise NodusError("This series gives no position in the patient; it is not a volume.", code="not_an_image")
    report(progress, "Reading headers", 0.0)
    headers, placed = _load_planes(series)
    columns, rows, _ = series.shape
    count = len(placed)
    geometry, layout = stack_geometry([p for _, p in placed], rows, columns)
    if 4 * rows * columns * max(count, layout.count) > MAX_VOLUME_BYTES:
        raise DicomRefused(f"The volume of {columns} x {rows} x {count} voxels is too large to open.", code="too_large")
    check_cancelled(should_cancel)
    decoders = [FrameDecoder(h) for h in headers]
    if integer(headers[0].ds, "SamplesPerPixel") not in (None, 1):
        raise NodusError("The slices are colour pictures; no volume of measured values can be made of them.", code="not_an_image")

    if headers[0].is_encapsulated and 2 * rows * columns * count > LARGE_BYTES:
        decoders[placed[0][0]].raw(placed[0][1].frame)  # one must be as large as all of them say before memory is set aside
    array = np.empty((count, rows, columns), dtype=np.int16)

    def one(n: int) -> np.ndarray | None:
        check_cancelled(should_cancel)
        file, plane = placed[n]
        values = _slice_into(array[n], decoders[file], plane)
        filling = _filling(headers[file], plane)
        if filling is not None and filling not in filled and _holds(array[n] if values is None else values, filling):
            filled.add(filling)
        return values

    other: dict[int, np.ndarray] = {}
    filled: set[tuple[float, float]] = set()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="decode") as pool:
        for n, values in enumerate(pool.map(one, range(count))):
            if values is not None:
                other[n] = values
            report(progress, f"Reading slice {n + 1} of {count}", (n + 1) / count)
    if other:
        array = array.astype(np.float32)
        for n, values in other.items():
            array[n] = values
    if layout.source_index is not None:
        array = _interpolated(array, layout.source_index)
    ds = headers[0].ds
    findings = [*series.findings, *_padding(filled)]
    uids = tuple(text(headers[f].ds, "SOPInstanceUID") or "" for f, _ in placed)
    return ImageVolume(
        array,
        geometry,
        unit=_unit(series, headers[0], [p for _, p in placed]),
        source=source_of(ds, tuple(dict.fromkeys(u for u in uids if u))),
        findings=tuple(findings),
    )


def _unit(series: SeriesSummary, header: Header, planes: Sequence[FramePlane]) -> str:
    """What a voxel holds."""
    if is_enhanced_us(header):
        return unit_of(planes[0].group)
    if series.modality == "CT":
        return ct_unit({p.rescaled_to for p in planes})
    if series.modality == "PT" and not one_unit({p.rescaled_to for p in planes}):
        return "1"
    return text(header.ds, "Units") or text(header.ds, "RescaleType") or "1"


def _interpolated(array: np.ndarray, source_index: np.ndarray) -> np.ndarray:
    """Slices at fractional places between the stored ones, linear along k."""
    out = np.empty((len(source_index), *array.shape[1:]), dtype=array.dtype)
    for k, place in enumerate(source_index):
        low = int(place)
        share = place - low
        if share == 0:
            out[k] = array[low]
            continue
        mixed = array[low] * np.float32(1 - share) + array[low + 1] * np.float32(share)
        out[k] = np.rint(mixed) if array.dtype.kind == "i" else mixed
    return out


def _filling(header: Header, plane: FramePlane) -> tuple[float, float] | None:
    """Lowest and highest value that stand for "no measurement" after rescaling; None where the header names none.

    They are written as signed or unsigned words by whatever the writer pleased; the pixels say which is meant.
    """
    value, limit = number(header.ds, "PixelPaddingValue"), number(header.ds, "PixelPaddingRangeLimit")
    if value is None:
        return None
    bits, signed = integer(header.ds, "BitsAllocated") or 16, integer(header.ds, "PixelRepresentation") == 1
    stored = [value, value if limit is None else limit]
    for n, one in enumerate(stored):
        if signed and one >= 1 << (bits - 1):
            stored[n] = one - (1 << bits)
        elif not signed and one < 0:
            stored[n] = one + (1 << bits)
    low, high = sorted(one * plane.slope + plane.intercept for one in stored)
    return low, high


def _holds(values: np.ndarray, filling: tuple[float, float]) -> bool:
    low, high = (int(v) if float(v).is_integer() and values.dtype.kind in "iu" else v for v in filling)
    if low == high:
        return bool((values == (low if values.dtype.kind in "iu" else np.float32(low))).any())
    return bool(((values >= low) & (values <= high)).any())


def _padding(filled: set[tuple[float, float]]) -> list[Finding]:
    """Say which values stand for "no measurement", of those that occur."""
    said = [f"the filling value {low:g}" if low == high else f"filling values from {low:g} to {high:g}" for low, high in sorted(filled)]
    return [Finding("padding", f"Voxels outside the scanned field hold {' and '.join(said)}.", "info")] if said else []
