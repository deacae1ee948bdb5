"""What of the pictures in a folder would be masked, and which of them a person should see before they are imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.jobs import JobContext
from app.usecases.import_images import PICTURE_KINDS
from dicom_io.deidentify.review import Review, may_hold_writing, review
from dicom_io.headers import read_header
from dicom_io.pixels import FrameDecoder, cut_off, whole_frames
from dicom_io.scan import scan_folder
from dicom_io.sources import Source
from volumetry.errors import NodusError


@dataclass(frozen=True, slots=True)
class PictureReview:
    """One picture that may show writing. ``file`` names it as the scan does; ``found`` says what stays and why to look."""

    file: str
    source: Source
    modality: str
    frames: int
    rows: int
    columns: int
    found: Review


def review_pictures(path: Path, context: JobContext) -> tuple[PictureReview, ...]:
    """The pictures under ``path`` that may show writing, those that are held first. Pictures that cannot be decoded are
    left to the import, which says why. No pixels of slices are read."""
    scan = scan_folder(path, progress=context.part(0.0, 0.3).report, should_cancel=lambda: context.token.is_cancelled)
    pictures = [(name, source) for s in scan.series if s.kind in PICTURE_KINDS for name, source in _sample(s.kind, s.files, s.paths)]
    found = []
    for n, (name, source) in enumerate(pictures):
        context.report(f"Looking for writing in picture {n + 1} of {len(pictures)}", 0.3 + 0.7 * n / len(pictures))
        try:
            header = read_header(source)
            if may_hold_writing(header):
                found.append(PictureReview(name, source, str(header.ds.get("Modality", "")), whole_frames(header) if cut_off(header) else header.frames, header.rows, header.columns, review(header)))
        except NodusError:
            continue
    context.report("Looked at all pictures", 1.0)
    return tuple(sorted(found, key=lambda p: (not p.found.holds, p.file)))


def _sample(kind: str, files, paths) -> list[tuple[str, Source]]:
    """All pictures of a still or a loop; of a stack its first slice stands for the others."""
    pairs = list(zip(files, paths, strict=True))
    return pairs if kind in ("still", "cine") else pairs[:1]


def preview(picture: PictureReview, frame: int) -> np.ndarray:
    """One frame for the screen, uint8 ``[row, column, 3]``. Raises ``DicomRefused``."""
    array = FrameDecoder(read_header(picture.source), whole_only=True).picture(frame)
    return array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=-1)
