"""Open pictures: scan a folder, read a series as a volume or cine, give or refuse a length."""

from __future__ import annotations

from pathlib import Path

from app.jobs import JobContext
from dicom_io.masks import read_image, write_volume
from dicom_io.scan import ScanResult, SeriesSummary, scan_folder
from dicom_io.ultrasound import read_cine
from volumetry.errors import NodusError
from volumetry.image import Cine, ImageVolume
from volumetry.ultrasound_length import PictureLength, length_on_picture


def scan(path: Path, context: JobContext) -> ScanResult:
    """List the series under ``path`` (folder or file) without reading pixels."""
    if not path.exists():
        raise NodusError(f"There is no {path.name} to scan.", code="file_missing")
    return scan_folder(path, progress=context.report, should_cancel=lambda: context.token.is_cancelled)


def choose_series(result: ScanResult, series_uid: str | None, kinds: tuple[str, ...]) -> SeriesSummary:
    """The one series that was meant; refuses rather than guesses where several would do."""
    fitting = [s for s in result.series if s.kind in kinds and series_uid in (None, s.series_uid)]
    if not fitting:
        what = "no series with that UID" if series_uid else "no image series of a kind that can be used"
        raise NodusError(f"The folder holds {what}.", code="series_missing")
    if len(fitting) > 1:
        names = ", ".join(s.series_uid for s in fitting[:4])
        raise NodusError(f"The folder holds {len(fitting)} series that fit: {names}.", code="several_series", hint="Say which with --series UID.")
    return fitting[0]


def open_series_files(root: Path, summary: SeriesSummary, context: JobContext) -> ImageVolume | Cine:
    """Read one scanned series: a volume for CT, MR and PET, a cine (or still) for ultrasound."""
    from dicom_io.ct import read_volume

    base = root if root.is_dir() else root.parent
    files = [base / f for f in summary.files]
    if summary.kind in ("cine", "still"):
        return read_cine(files[0])
    return read_volume(files, progress=context.report, should_cancel=lambda: context.token.is_cancelled)


def convert(path: Path, series_uid: str | None, out: Path, context: JobContext) -> ImageVolume:
    """Write one series (or volume file) as NIfTI, NRRD or MetaImage with its exact geometry."""
    if path.is_dir():
        summary = choose_series(scan(path, context.part(0.0, 0.2)), series_uid, ("volume",))
        volume = open_series_files(path, summary, context.part(0.2, 0.9))
    else:
        volume = read_image(path)
    write_volume(volume, out)
    context.report("Written", 1.0)
    return volume


def picture_length(path: Path, start: tuple[float, float], end: tuple[float, float], frame: int) -> PictureLength:
    """Length between two points of one frame of a picture, or ``CalibrationRefused``."""
    cine = read_cine(path)
    if not 0 <= frame < cine.frame_count:
        raise NodusError(f"The picture has frames 0 to {cine.frame_count - 1}, not {frame}.", code="frame_out_of_range")
    return length_on_picture(cine.calibration, start, end)


def open_loose(path: Path, context: JobContext) -> ImageVolume | Cine:
    """Open a folder, a DICOM file or a volume file for a look, without a study.

    Of several series the largest volume is taken, else the longest cine, else the first still.
    """
    if path.is_file() and path.suffix.lower() in (".gz", ".nii", ".nrrd", ".mha", ".mhd"):
        return read_image(path)
    result = scan(path, context.part(0.0, 0.3))
    ranked = sorted((s for s in result.series if s.kind in ("volume", "cine", "still")), key=lambda s: (s.kind == "volume", s.kind == "cine", len(s.files), s.frames))
    if not ranked:
        raise NodusError("There are no pictures to show here.", code="series_missing")
    return open_series_files(path, ranked[-1], context.part(0.3, 1.0))
