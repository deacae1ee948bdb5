"""Ultrasound pictures: frames decoded on demand, lengths from the regions, true frame times.

Regions: DICOM PS3.3 C.8.5.5. PixelSpacing is never used for an ultrasound length.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset

from dicom_io.contrast import pixels_of_colour
from dicom_io.headers import Header, integer, items, number, numbers, read_header, text, value_of
from dicom_io.pixels import FrameDecoder, cut_off
from dicom_io.sources import Source, as_source
from volumetry.calibration import Calibration, PictureRegion
from volumetry.finding import Finding
from volumetry.image import Cine, ImageSource

if TYPE_CHECKING:
    from dicom_io.scan import SeriesSummary

US_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.6.1",
        "1.2.840.10008.5.1.4.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.6",
        "1.2.840.10008.5.1.4.1.1.3",
    }
)
ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"

# Makers end a box one past the last pixel, or count from 1; more than that is another picture.
BOX_SLACK_PX = 2
# A cropped picture is believed only if its other side is still the one the regions were drawn for:
# they must reach to within this part of that side's far edge.
EDGE_SHARE = 0.05
# Regions that all lie within this part of both sides belong to a picture that was enlarged afterwards.
ENLARGED_SHARE = 0.55
# Between ultrasound microscopy and a thumbnail of the deepest picture; beyond a metre no probe looks.
POSSIBLE_MM_PER_PX, POSSIBLE_ASPECT, POSSIBLE_MM = (0.001, 5.0), 10.0, 1000.0
# Times of frames: nothing is faster than 10,000 frames a second or slower than one in a minute.
POSSIBLE_STEP_MS = (0.1, 60_000.0)
# A display rate that differs from the acquisition this much contradicts it.
RATE_APART = 50.0
SAME_WAY = 8  # so many steps in a row, each longer than the one before, are no steps


def _box(region: Dataset) -> tuple[int, int, int, int] | None:
    values = [integer(region, k) for k in ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")]
    if any(v is None for v in values):
        return None
    x0, y0, x1, y1 = (v - (1 << 32) if v >= 1 << 31 else v for v in values)  # -1, written into an unsigned number
    return (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _fit(boxes: list[tuple[int, int, int, int]], columns: int, rows: int) -> tuple[str, str] | Finding | None:
    """Do the boxes belong to a picture of this size?

    None: yes. A ``Finding``: the picture was cropped along one side, the scale still holds. A pair
    (code, message): no. Scaling a picture down makes the boxes too large on both sides (or leaves
    both sides short of the edge); cropping leaves one side exactly as it was.
    """
    reach_x, reach_y = max(b[2] for b in boxes), max(b[3] for b in boxes)
    low = min(min(b[0], b[1]) for b in boxes)
    over_x, over_y = reach_x - (columns - 1) > BOX_SLACK_PX, reach_y - (rows - 1) > BOX_SLACK_PX
    if low < -BOX_SLACK_PX:
        return ("regions_do_not_fit", "The ultrasound regions start outside the picture; its scale cannot be trusted.")
    if not over_x and not over_y:
        if reach_x < ENLARGED_SHARE * (columns - 1) and reach_y < ENLARGED_SHARE * (rows - 1):
            lie = f"The ultrasound regions lie within the upper left {reach_x + 1} x {reach_y + 1} of the picture's {columns} x {rows} pixels"
            return ("regions_do_not_fit", f"{lie}: it was enlarged, so its scale cannot be trusted.")
        return None
    refusal = (
        "regions_do_not_fit",
        f"The ultrasound regions reach to column {reach_x} and row {reach_y}, but the picture has {columns} x {rows} pixels: it was resized, so its scale cannot be trusted.",
    )
    if over_x and over_y:
        return refusal
    side, reach = (rows, reach_y) if over_x else (columns, reach_x)
    if reach < (1 - EDGE_SHARE) * (side - 1):
        return refusal
    return Finding("regions_clipped", "The picture was cropped: ultrasound regions reach beyond it and are clipped to it; the scale still holds.", "warning")


def read_calibration(ds: Dataset, columns: int, rows: int) -> Calibration:
    """Regions of a picture of ``columns`` x ``rows`` pixels, boxes clipped, deltas as absolute values.

    Regions without a legal box, or wholly outside a cropped picture, are left out; the others keep
    their place in the header's list as ``index`` (from 0). Without any length region the finding
    ``uncalibrated`` is set; where the boxes do not belong to the picture, ``refusal``.
    """
    listed = [(n, region, _box(region)) for n, region in enumerate(items(ds, "SequenceOfUltrasoundRegions"))]
    boxed = [(n, region, box) for n, region, box in listed if box is not None]
    uncalibrated = Finding("uncalibrated", "The header gives no length scale: lengths are shown in pixels only.", "warning")
    if not boxed:
        return Calibration(findings=(uncalibrated,))
    fit = _fit([box for _, _, box in boxed], columns, rows)
    findings = [fit] if isinstance(fit, Finding) else []
    regions = []
    for n, region, (x0, y0, x1, y1) in boxed:
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, columns - 1), min(y1, rows - 1)
        if x1 < x0 or y1 < y0:
            continue
        regions.append(
            PictureRegion(
                index=n,
                spatial_format=integer(region, "RegionSpatialFormat") or 0,
                data_type=integer(region, "RegionDataType") or 0,
                flags=integer(region, "RegionFlags") or 0,
                x0=x0,
                y0=y0,
                x1=x1,
                y1=y1,
                units_x=integer(region, "PhysicalUnitsXDirection") or 0,
                units_y=integer(region, "PhysicalUnitsYDirection") or 0,
                delta_x=abs(number(region, "PhysicalDeltaX") or 0.0),
                delta_y=abs(number(region, "PhysicalDeltaY") or 0.0),
            )
        )
    if isinstance(fit, tuple):
        findings.append(Finding("regions_do_not_fit", fit[1], "serious"))
        return Calibration(tuple(regions), refusal=fit, findings=tuple(findings))
    wrong = next((r for r in regions if r.is_length and not _is_possible(r)), None)
    if wrong is not None:
        x, y = wrong.mm_per_pixel
        refusal = ("implausible_scale", f"The header makes a pixel {x:.4g} x {y:.4g} mm, which no ultrasound picture of this size has; its scale is not used.")
        return Calibration(tuple(regions), refusal=refusal, findings=(*findings, Finding("implausible_scale", refusal[1], "serious")))
    if not any(r.is_length for r in regions):
        findings.append(uncalibrated)
    return Calibration(tuple(regions), findings=tuple(findings))


def _is_possible(region: PictureRegion) -> bool:
    """False for a scale that cannot be: no probe resolves so little, no pixel is so long, no body so large."""
    x, y = region.mm_per_pixel
    low, high = POSSIBLE_MM_PER_PX
    sides = (region.x1 - region.x0 + 1) * x, (region.y1 - region.y0 + 1) * y
    return low <= min(x, y) and max(x, y) <= high and max(x, y) <= POSSIBLE_ASPECT * min(x, y) and max(sides) <= POSSIBLE_MM


def read_frame_calibrations(ds: Dataset, columns: int, rows: int) -> dict[int, Calibration]:
    """Calibrations of single frames, where a multi-frame header gives a frame regions of its own.

    The standard's ultrasound objects have one list of regions for all frames; a converter that keeps a
    list with each frame means that frame by it, and the shared list must not be used there.
    """
    found = enumerate(items(ds, "PerFrameFunctionalGroupsSequence"))
    return {n: read_calibration(one, columns, rows) for n, one in found if items(one, "SequenceOfUltrasoundRegions")}


def read_frame_times(ds: Dataset, frames: int, there: int | None = None) -> tuple[np.ndarray | None, tuple[Finding, ...]]:
    """True time of each frame in ms from the first, and findings. ``frames`` is what the header declares, ``there``
    how many of them the file really has (fewer where it was cut off); as many times are given.

    The frame increment pointer chooses between vector and frame time; without it the vector, then
    the frame time, then the cine or display rate is used. None for stills and where nothing is given.
    Findings: ``frame_times_from_rate``, ``frame_times_missing``, and ``frame_times_doubtful`` where the header
    contradicts itself.
    """
    if frames < 2:
        return None, ()
    shown = frames if there is None else min(frames, there)
    pointer = text(ds, "FrameIncrementPointer") or ""
    try:
        tags = (
            {int(tag) for tag in ([ds.FrameIncrementPointer] if not hasattr(ds.FrameIncrementPointer, "__iter__") else ds.FrameIncrementPointer)}
            if pointer
            else set()
        )
    except (ValueError, TypeError):
        tags = set()
    vector, step = numbers(ds, "FrameTimeVector"), number(ds, "FrameTime")
    unread = vector is None and value_of(ds, "FrameTimeVector") is not None
    rate = number(ds, "CineRate") or number(ds, "RecommendedDisplayFrameRate")
    use_vector = vector is not None and (0x00181065 in tags or 0x00181063 not in tags or not step)
    found: tuple[Finding, ...] = ()
    if use_vector and len(vector) == frames and min(vector) >= 0 and sum(vector[1:]) > 0:
        # The standard asks for 0 as the first increment; whatever stands there, time starts at 0.
        return np.cumsum([0.0, *vector[1:]])[:shown], _doubts(np.array(vector[1:]), rate)
    if use_vector:
        found = (_doubtful(f"Its list of frame times cannot be used: {len(vector)} of them for {frames} frames, or not all of them rise."),)
    elif unread:
        found = (_doubtful("Its list of frame times holds what is no number."),)
    if step is not None and step > 0:
        return np.arange(shown) * step, (*found, *_doubts(np.array([step]), rate))
    if rate is not None and rate > 0:
        from_rate = Finding("frame_times_from_rate", "Frame times are taken from the display rate; the header gives no acquisition times.", "info")
        return np.arange(shown) * (1000.0 / rate), (*found, from_rate)
    return None, (*found, Finding("frame_times_missing", "The header gives no frame times: the loop has no true speed and no time curve.", "warning"),)


def _doubtful(why: str) -> Finding:
    return Finding("frame_times_doubtful", f"The loop's frame times are doubtful. {why}", "warning")


def _doubts(steps_ms: np.ndarray, rate: float | None) -> tuple[Finding, ...]:
    """Why the steps from frame to frame may not be what they are called."""
    mean, low, high = float(steps_ms.mean()), *POSSIBLE_STEP_MS
    if len(steps_ms) > 3 and steps_ms[0] > 0 and np.allclose(steps_ms, steps_ms[0] * np.arange(1, len(steps_ms) + 1), rtol=0.05):
        return (_doubtful("The steps between frames grow evenly, as if they were times from the start; they are used as steps, as the standard has it."),)
    change = np.diff(steps_ms)
    if len(change) >= SAME_WAY and ((change > 0).all() or (change < 0).all()):
        way = "grow" if change[0] > 0 else "shrink"
        return (_doubtful(f"The steps between frames {way} from frame to frame, as if they were times and no steps; they are used as steps, as the standard has it."),)
    if not low <= mean <= high:
        return (_doubtful(f"A frame every {mean:.4g} ms is no loop of a scanner."),)
    if rate is not None and rate > 0 and not 1 / RATE_APART <= mean * rate / 1000.0 <= RATE_APART:
        return (_doubtful(f"A frame every {mean:.4g} ms contradicts the rate of {rate:.4g} a second that it gives too."),)
    return ()


def read_cine(path: Source | str, series: SeriesSummary | None = None) -> Cine:
    """A still or loop as a ``Cine`` whose frames are decoded on demand; a loop that was cut off gives the
    frames that are whole, with the serious finding ``truncated``.

    ``path`` is one DICOM file, also one within an archive; with ``series`` the first file of that series is
    read where ``path`` is its folder. Frames come as uint8 grey or RGB whatever the file holds. Raises ``DicomRefused``
    (``codec_missing``, ``truncated``, ``header_size_mismatch``, ``not_an_image``...).
    """
    path = as_source(path)
    if series is not None and isinstance(path, Path) and path.is_dir():
        path = series.paths[0]
    return cine_from_header(read_header(path))


def cine_from_header(header: Header) -> Cine:
    """``read_cine`` for a header that was read already."""
    decoder = FrameDecoder(header, whole_only=True)
    ds, frames = header.ds, decoder.frames
    times, findings = read_frame_times(ds, header.frames, frames)
    cut = cut_off(header)
    if cut is not None:
        findings = (cut, *findings)
    per_frame: dict[int, Calibration] = {}
    if is_ultrasound(header):
        calibration = read_calibration(ds, header.columns, header.rows)
        per_frame = read_frame_calibrations(ds, header.columns, header.rows)
    else:
        calibration = Calibration(findings=(Finding("uncalibrated", "Not an ultrasound picture: lengths are shown in pixels only.", "warning"),))
    return Cine(
        frame_count=frames,
        shape=(header.rows, header.columns),
        read_frame=decoder.picture,
        calibration=calibration,
        frame_times_ms=times,
        source=replace(source_of(ds), pixels_of_colour=pixels_of_colour(header)),
        findings=(*calibration.findings, *findings),
        frame_calibrations=per_frame,
    )


def is_ultrasound(header: Header) -> bool:
    """True for ultrasound pictures, and for captures that an ultrasound machine stored; not for volumes."""
    return header.sop_class in US_SOP_CLASSES or (text(header.ds, "Modality") in ("US", "IVUS") and header.sop_class != ENHANCED_US_VOLUME)


def iso_date(value: str | None) -> str | None:
    """``YYYY-MM-DD`` from a DICOM date; None where it is not one."""
    if not value or len(value) < 8 or not (value[:8].isascii() and value[:8].isdigit()):
        return None
    year, month, day = int(value[:4]), int(value[4:6]), int(value[6:8])
    if not (1 <= month <= 12 and 1 <= day <= 31 and year >= 1900):
        return None
    return f"{year:04d}-{month:02d}-{day:02d}"


def acquired_on(ds: Dataset) -> str | None:
    """The true acquisition date, the most exact the header gives."""
    for keyword in ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate"):
        found = iso_date(text(ds, keyword))
        if found:
            return found
    return None


def source_of(ds: Dataset, sop_instance_uids: tuple[str, ...] | None = None) -> ImageSource:
    """Where a picture came from, without anything that names the patient."""
    uid = text(ds, "SOPInstanceUID")
    own_frame = text(ds, "SOPClassUID") == ENHANCED_US_VOLUME
    return ImageSource(
        series_uid=text(ds, "SeriesInstanceUID"),
        study_uid=text(ds, "StudyInstanceUID"),
        frame_of_reference_uid=(text(ds, "VolumeFrameOfReferenceUID") if own_frame else None) or text(ds, "FrameOfReferenceUID"),
        modality=text(ds, "Modality"),
        description=text(ds, "SeriesDescription"),
        acquired_on=acquired_on(ds),
        sop_instance_uids=sop_instance_uids if sop_instance_uids is not None else ((uid,) if uid else ()),
        synthetic=is_synthetic(ds),
        in_patient_space=not own_frame,
    )


def is_synthetic(ds: Dataset) -> bool:
    """True for phantoms made by this program, which say so in their header."""
    words = " ".join(text(ds, k) or "" for k in ("ImageComments", "SeriesDescription", "PatientComments", "StudyDescription", "PatientName"))
    return "SYNTHETIC" in words.upper()
