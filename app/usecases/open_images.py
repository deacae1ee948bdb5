"""Open pictures: scan a folder, read a series as a volume or cine, give or refuse a length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.jobs import JobContext
from dicom_io.ct import read_volume
from dicom_io.masks import choose_series, open_image, read_image
from dicom_io.scan import ScanResult, SeriesSummary, scan_folder
from dicom_io.ultrasound import read_cine
from dicom_io.volume_files import sniff_volume_file, write_volume
from volumetry.calibration import CalibrationRefused, ReaderScale, ScaleLine, calibrated_by_reader
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import Cine, ImageVolume
from volumetry.ultrasound_length import PictureLength, length_on_picture


def scan(path: Path, context: JobContext) -> ScanResult:
    """List the series under ``path`` (folder, file, ZIP archive or DICOMDIR) without reading pixels."""
    if not path.exists():
        raise NodusError(f"There is no {path.name} to scan.", code="file_missing")
    return scan_folder(path, progress=context.report, should_cancel=lambda: context.token.is_cancelled)


def open_picture(path: Path, context: JobContext, series_uid: str | None = None) -> ImageVolume | Cine:
    """Whatever lies at ``path``: a volume, or an ultrasound still or cine; refuses rather than guesses."""
    return open_image(path, series_uid=series_uid, progress=context.report, should_cancel=lambda: context.token.is_cancelled)


def look(path: Path, context: JobContext) -> ImageVolume | Cine | ScanResult:
    """What lies at ``path``: opened where it is one thing, else the list to choose from (then ``open_series``).
    Refuses where there is no picture."""
    if path.is_file() and sniff_volume_file(path) is not None:
        return open_picture(path, context)
    found = scan(path, context.part(0.0, 0.5))
    pictures = [s for s in found.series if s.kind != "other"]
    if len(pictures) > 1:
        return found
    return open_series(choose_series(found), context.part(0.5, 1.0))


def open_series(series: SeriesSummary, context: JobContext) -> ImageVolume | Cine:
    """One series of a scan: a volume where its slices have a place in the patient, else a still or cine."""
    if series.slices:
        return read_volume(series, progress=context.report, should_cancel=lambda: context.token.is_cancelled)
    return read_cine(series.paths[0])


def convert(path: Path, series_uid: str | None, out: Path, context: JobContext) -> ImageVolume:
    """Write one series (or volume file) as NIfTI, NRRD or MetaImage with its exact geometry; that of a tilted stack is
    sheared, which the finding ``sheared`` says."""
    part = context.part(0.0, 0.9)
    volume = read_image(path, series_uid=series_uid, progress=part.report, should_cancel=lambda: context.token.is_cancelled)
    write_volume(volume, out)
    context.report("Written", 1.0)
    if not volume.geometry.is_sheared:
        return volume
    excess = 100 * (float(np.prod(volume.geometry.spacing_mm)) / volume.geometry.voxel_size_mm3 - 1)
    told = f"The slices are sheared, and so is the file's grid. A program that multiplies its three spacings gets volumes {excess:.2f} % too large; some refuse the file."
    return replace(volume, findings=(*volume.findings, Finding("sheared", told, "warning")))


def picture_length(
    path: Path,
    start: tuple[float, float],
    end: tuple[float, float],
    frame: int,
    *,
    scale: Sequence[tuple[tuple[float, float], tuple[float, float], float]] = (),
    scale_box: Sequence[tuple[float, float]] | None = None,
) -> PictureLength:
    """Length between two points of one frame of a picture, or ``CalibrationRefused``.

    ``scale`` is what a reader states of a scale drawn into the picture: one or two (end, end, mm); ``scale_box``
    two corners of the part that it holds for. It is refused where the header gives lengths.
    """
    if not path.is_file():
        raise NodusError(f"There is no picture file at {path}.", code="file_missing")
    if start == end:
        raise NodusError("Both ends of the caliper are the same point.", code="bad_caliper", hint="Set the two ends apart.")
    cine = read_cine(path)
    if not 0 <= frame < cine.frame_count:
        raise NodusError(f"The picture has frames 0 to {cine.frame_count - 1}, not {frame}.", code="frame_out_of_range")
    calibration = cine.calibration_at(frame)
    if scale:
        box = None
        if scale_box is not None:
            (xa, ya), (xb, yb) = scale_box
            box = (min(xa, xb), min(ya, yb), max(xa, xb), max(ya, yb))
        calibration = calibrated_by_reader(calibration, ReaderScale(tuple(ScaleLine(*line) for line in scale), box))
        rows, columns = cine.shape
        ends = [end for line in scale for end in line[:2]] + [start, end]
        if not all(-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5 for x, y in ends):
            raise CalibrationRefused(f"The scale and the line must lie inside the picture of {columns} x {rows} pixels.", code="outside_regions")
    return length_on_picture(calibration, start, end)
