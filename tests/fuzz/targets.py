"""Reading one file in every way the program can, and judging what came out.

Allowed are a value, a finding and a typed refusal (``NodusError``). Values are looked at too: sizes that do not agree,
numbers that no file can hold, or a healthy neighbour that is lost are failures like an exception is.
"""

from __future__ import annotations

import functools
import io
import json
import random
import shutil
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.usecases.open_images import picture_length
from dicom_io.ct import read_volume
from dicom_io.deidentify import clean_copy
from dicom_io.document import read_pdf
from dicom_io.masks import open_image, read_masks
from dicom_io.parametric_map import read_field_map
from dicom_io.report import read_report
from dicom_io.rtstruct_write import write_rtstruct
from dicom_io.scan import ScanResult, scan_folder
from dicom_io.seg_write import write_seg
from dicom_io.transfer import outgoing
from dicom_io.ultrasound import read_cine
from dicom_io.volume_files import read_image_file, read_volume_file
from tests.dicom_io.made import STAMP, ct_slice
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine, ImageVolume
from volumetry.mask import NodeMask

MOST_VOXELS_OUTLINED = 300_000
MOST_FRAMES = 40  # of a long loop the first and the last ones are decoded
HEALTHY = "healthy.dcm"
VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr")


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged file on disk: where it lies, what it was made from, the picture of an RTSTRUCT."""

    path: Path
    kind: str
    image: Path | None
    work: Path
    rng: random.Random

    @property
    def is_volume_file(self) -> bool:
        """True for NIfTI, NRRD and MetaImage."""
        return self.path.name.endswith(VOLUME_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one target made of a file: ``value``, ``refused CODE``, ``skipped`` or ``FAILED``, then ``failure`` says with
    what (a key that is the same for the same fault) and ``detail`` how."""

    target: str
    outcome: str
    failure: str = ""
    detail: str = ""


def ask(target: str, case: Case) -> Answer:
    """Run one target. Nothing is raised but what ends a process."""
    try:
        found = TARGETS[target](case)
    except NodusError as refusal:
        short = _memory_error(refusal)
        if short is not None:
            return Answer(target, "FAILED", f"{target}: {_where(short)}", _told(refusal))
        if not refusal.code or not refusal.message:
            return Answer(target, "FAILED", f"{target}: a refusal without a code or a sentence", _told(refusal))
        return Answer(target, f"refused {refusal.code}")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever it is: this is what is looked for
        return Answer(target, "FAILED", f"{target}: {_where(error)}", _told(error))
    return Answer(target, "skipped" if found is None else "value")


def _memory_error(error: BaseException | None) -> BaseException | None:
    """The memory that could not be had, where that is behind a refusal."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, MemoryError):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-6000:]


def _where(error: BaseException) -> str:
    """Kind of an exception and the last place in our own packages that it passed."""
    places = traceback.extract_tb(error.__traceback__)
    own = [p for p in places if any(f"/{room}/" in p.filename for room in ("dicom_io", "volumetry", "app"))] or places
    last = own[-1] if own else None
    said = f" ({error})"[:80] if isinstance(error, AssertionError) else ""
    return type(error).__name__ + said + (f" at {Path(last.filename).name}:{last.lineno} in {last.name}" if last else "")


def _check(true: bool, what: str) -> None:
    if not true:
        raise AssertionError(what)


def _check_geometry(geometry: ImageGeometry) -> None:
    _check(bool(np.isfinite(geometry.affine).all()) and min(geometry.spacing_mm) > 0 and np.isfinite(geometry.voxel_size_mm3), "a grid of impossible numbers")


def _check_volume(volume: ImageVolume) -> None:
    _check(volume.array.ndim == 3 and volume.array.dtype in (np.int16, np.float32), "a volume of an unknown type")
    _check_geometry(volume.geometry)


def _check_masks(masks: tuple[NodeMask, ...]) -> None:
    for mask in masks:
        _check(mask.array.dtype == np.bool_ and mask.array.shape == mask.geometry.shape, "a mask that does not fit its grid")
        _check_geometry(mask.geometry)


def _check_cine(cine: Cine) -> None:
    rows, columns = cine.shape
    times = cine.frame_times_ms
    _check(cine.frame_count >= 1 and rows >= 1 and columns >= 1, "a picture without size")
    _check(times is None or (len(times) == cine.frame_count and bool(np.isfinite(times).all())), "frame times that do not fit the frames")
    for n in _some(cine.frame_count):
        frame = cine.read_frame(n)
        _check(frame.dtype == np.uint8 and frame.shape[:2] == cine.shape and frame.shape[2:] in ((), (3,)), "a frame that does not fit its picture")


def _some(count: int) -> list[int]:
    if count <= MOST_FRAMES:
        return list(range(count))
    return [*range(MOST_FRAMES // 2), *range(count - MOST_FRAMES // 2, count)]


def _scan(case: Case) -> ScanResult:
    result = scan_folder(case.path.parent)
    json.dumps(result.to_dict(), allow_nan=False)
    listed = {name for s in result.series for name in s.files} | {s.file for s in result.skipped}
    if case.kind not in ("DICOMDIR", "ZIP"):
        here = {p.relative_to(case.path.parent).as_posix() for p in case.path.parent.rglob("*") if p.is_file()}
        _check(here <= listed, "a file that is neither listed nor skipped")
        _check(any(HEALTHY in s.files for s in result.series), "the healthy neighbour was lost")
    return result


def _read_series(case: Case) -> bool:
    """Every series that the scan lists, as what it says it is."""
    refusals = 0
    for series in _scan(case).series[:6]:
        try:
            if series.slices:
                _check_volume(read_volume(series))
            elif series.kind in ("still", "cine"):
                _check_cine(read_cine(series.paths[0]))
        except NodusError as refusal:
            if _memory_error(refusal) is not None:
                raise
            refusals += 1
    return True


def _open(case: Case) -> bool:
    opened = open_image(case.path)
    if isinstance(opened, Cine):
        _check_cine(opened)
    else:
        _check_volume(opened)
    return True


def _masks(case: Case) -> bool:
    _check_masks(read_masks(case.path, image=case.image))
    return True


def _report(case: Case) -> bool | None:
    if case.kind != "SR" and case.rng.random() > 0.1:
        return None
    for group in read_report(case.path):
        _check(all(np.isfinite(v) for v, _ in group.values.values()), "a measurement that is no number")
    return True


def _pdf(case: Case) -> bool | None:
    if case.kind != "PDF" and case.rng.random() > 0.1:
        return None
    _check(read_pdf(case.path).startswith(b"%PDF-"), "a document that is none")
    return True


def _field_map(case: Case) -> bool | None:
    if case.kind != "Parametric Map" and case.rng.random() > 0.1:
        return None
    values, geometry = read_field_map(case.path)
    _check(values.shape == geometry.shape, "a field that does not fit its grid")
    _check_geometry(geometry)
    return True


def _deidentify(case: Case) -> bool:
    out = case.work / "clean"
    try:
        clean_copy([case.path], out, "S-001", b"a key for the fuzz")
    except NodusError:
        _check(not out.exists() or not any(out.iterdir()), "a refused file that left something behind")
        raise
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return True


def _length(case: Case) -> bool:
    def point() -> tuple[float, float]:
        return case.rng.choice((0.0, 5.0, 40.0, case.rng.uniform(-10, 900))), case.rng.choice((0.0, 7.0, 30.0, case.rng.uniform(-10, 700)))

    answer = picture_length(case.path, point(), point(), case.rng.choice((0, 0, 0, 1, 3)))
    json.dumps(answer.as_dict(), allow_nan=False)
    _check(answer.length_mm is None or answer.length_mm >= 0, "a negative length")
    return True


def _send(case: Case) -> bool:
    files, left_out = outgoing([case.path.parent])
    here = sum(p.is_file() for p in case.path.parent.rglob("*"))
    _check(len(files) + len(left_out) == here, "a file that is neither sent nor left out")
    return True


def _outline(case: Case) -> bool | None:
    """An outline drawn on what could be opened, written both ways. Slow, so not for every file."""
    if case.rng.random() > (0.4 if case.kind == "slice in its stack" else 0.1):
        return None
    opened, where = [], case.path.parent
    for series in scan_folder(where).series[:3]:
        if not series.slices or HEALTHY in series.files:
            continue
        try:
            opened.append((read_volume(series), series))
        except NodusError:  # judged by the other targets
            continue
    for volume, series in opened:
        if volume.array.size > MOST_VOXELS_OUTLINED:
            continue
        array = np.zeros(volume.geometry.shape, dtype=bool)
        array[len(array) // 2, :2, :2] = True
        mask = NodeMask(array, volume.geometry, 1, "node")
        for write, name in ((write_seg, "seg.dcm"), (write_rtstruct, "rtstruct.dcm")):
            out = case.work / name
            try:
                write([mask], series.paths, out, STAMP)
                (back,) = read_masks(out) if write is write_seg else read_masks(out, image=where)
                _check(bool(back.array.any()) or bool(back.findings), "an outline that is lost without a word")
            except NodusError as refusal:
                if _memory_error(refusal) is not None:
                    raise
            finally:
                out.unlink(missing_ok=True)
    return True if opened else None


def _volume_file(case: Case) -> bool:
    array, geometry, _ = read_volume_file(case.path)
    _check(array.shape[:3] == geometry.shape, "voxels that do not fit their grid")
    _check_geometry(geometry)
    return True


def _image_file(case: Case) -> bool:
    _check_volume(read_image_file(case.path))
    return True


TARGETS: dict[str, Callable[[Case], object]] = {
    "scan and read": _read_series,
    "open image": _open,
    "masks": _masks,
    "report": _report,
    "pdf": _pdf,
    "field map": _field_map,
    "de-identify": _deidentify,
    "length": _length,
    "send": _send,
    "outline": _outline,
    "volume file": _volume_file,
    "image file": _image_file,
}
OF_DICOM = ("scan and read", "open image", "masks", "report", "pdf", "field map", "de-identify", "length", "send", "outline")
OF_VOLUME_FILES = ("volume file", "image file", "masks", "open image")


def targets_of(case: Case) -> tuple[str, ...]:
    """The targets that make sense for a file; archives and directories are scanned and opened."""
    if case.is_volume_file:
        return OF_VOLUME_FILES
    return ("scan and read", "open image", "masks") if case.kind == "ZIP" else OF_DICOM


@functools.cache
def healthy_neighbour() -> bytes:
    """A sound slice to lie beside the damaged file: whatever is wrong with that one, this one must be listed."""
    out = io.BytesIO()
    ct_slice((0.0, 0.0, 0.0), 1, series=4711).save_as(out, enforce_file_format=True)
    return out.getvalue()
