"""Masks and images from whatever file the user names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dicom_io.ct import read_stack, read_volume
from dicom_io.headers import DicomRefused, Header, ProgressReport, items, read_header, text
from dicom_io.listing import is_container
from dicom_io.rtstruct import RTSTRUCT_SOP_CLASS, read_rtstruct, referenced_series
from dicom_io.scan import SEGMENTATIONS, ScanResult, SeriesSummary, scan_folder
from dicom_io.seg import read_seg
from dicom_io.stack import StackLayout
from dicom_io.ultrasound import cine_from_header, is_ultrasound
from dicom_io.volume_files import read_image_file, read_volume_file, sniff_volume_file
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine, ImageVolume
from volumetry.mask import NodeMask

# A file with more values than this is a picture, not a label map.
MAX_LABELS = 1000
MASK_HINT = "A mask is a NIfTI, NRRD or MetaImage label map, a DICOM SEG or an RTSTRUCT."


def _not_a_mask(name: str, why: str) -> NodusError:
    return NodusError(f"{name} is not a mask: {why}", code="not_a_mask", hint=MASK_HINT)


def read_masks(path: Path | str, *, image: Path | str | None = None) -> tuple[NodeMask, ...]:
    """Every node of a mask file, one ``NodeMask`` a label, segment or ROI, in ascending order.

    ``image`` (a DICOM folder or file, or a volume file) gives an RTSTRUCT its grid; without it the
    series is looked for in the structure set's own folder. Raises ``NodusError``: ``file_missing``,
    ``not_a_mask``, ``reference_image_missing``, or the reader's own refusal.
    """
    path = Path(path)
    if path.is_dir():
        raise _not_a_mask(path.name, "it is a folder.")
    if not path.is_file():
        raise NodusError(f"There is no file {path.name}.", code="file_missing")
    if sniff_volume_file(path) is not None:
        return _label_map(path)
    try:
        header = read_header(path)
    except DicomRefused as refusal:
        raise _not_a_mask(path.name, refusal.message) from refusal
    if header.sop_class in SEGMENTATIONS:
        return read_seg(header)
    if header.sop_class == RTSTRUCT_SOP_CLASS:
        geometry, layout = _reference_grid(header, Path(image) if image is not None else None)
        return read_rtstruct(header, geometry, layout)
    raise _not_a_mask(path.name, "it is a DICOM file, but neither a segmentation nor a structure set.")


def _segment_names(notes: dict[str, str]) -> dict[tuple[int, int], str]:
    """(layer, label value) to name, from the notes that 3D Slicer (and this program) writes into its NRRD masks."""
    out = {}
    for key, value in notes.items():
        if key.startswith("Segment") and key.endswith("_Name") and key[7:-5].isdigit():
            stem = key[:-5]
            try:
                out[(int(notes.get(f"{stem}_Layer", 0)), int(notes.get(f"{stem}_LabelValue", 1)))] = value
            except ValueError:
                continue
    return out


def _label_map(path: Path) -> tuple[NodeMask, ...]:
    array, geometry, notes = read_volume_file(path)
    if array.dtype.kind == "f" and (not np.isfinite(array).all() or (array != np.round(array)).any()):
        raise _not_a_mask(path.name, "its voxels are not whole label numbers.")
    if array.size and array.min() < 0:
        raise _not_a_mask(path.name, "it holds negative values, as an image does.")
    names = _segment_names(notes)
    # One slice in a volume file carries whatever spacing its writer assumed for the missing axis.
    findings = (Finding("spacing_unknown", "A single plane has no spacing of its own: no volume can be measured on it.", "warning"),) if geometry.shape[0] == 1 else ()
    layers = array[..., None] if array.ndim == 3 else array
    out: list[NodeMask] = []
    for layer in range(layers.shape[-1]):
        values = layers[..., layer]
        labels = np.unique(values)
        if len(labels) > MAX_LABELS:
            raise _not_a_mask(path.name, f"it holds {len(labels)} different values, as an image does.")
        # A segment with a label of its own is there also when it is empty.
        described = [value for at, value in names if at == layer and value > 0] if any(n.endswith("_LabelValue") for n in notes) else []
        for value in sorted({*labels[labels != 0].tolist(), *described}):
            out.append(NodeMask(values == value, geometry, label=int(value), name=names.get((layer, int(value))), findings=findings))
    if len({m.label for m in out}) < len(out):
        # Layers may use the same value again; a running number keeps every node apart.
        out = [NodeMask(m.array, geometry, label=n + 1, name=m.name, findings=findings) for n, m in enumerate(out)]
    return tuple(sorted(out, key=lambda m: m.label))


def _reference_grid(header: Header, image: Path | None) -> tuple[ImageGeometry, StackLayout | None]:
    """Grid of the series a structure set was drawn on, and how the stored slices lie on it (None for a
    volume file, whose slices are even by nature)."""
    wanted = referenced_series(header.ds)
    missing = NodusError(
        f"{header.path.name} was drawn on a series that was not found.",
        code="reference_image_missing",
        hint="Name the folder of that series with --image.",
    )
    if image is not None and sniff_volume_file(image) is not None:
        return read_volume_file(image)[1], None
    if image is not None and not image.exists():
        raise NodusError(f"There is nothing at {image.name}.", code="file_missing")
    found = [s for s in scan_folder(image if image is not None else header.path.parent).series if s.slices and s.kind != "other"]
    chosen = [s for s in found if s.series_uid in wanted]
    if not chosen and image is not None:
        frames = {text(f, "FrameOfReferenceUID") for f in items(header.ds, "ReferencedFrameOfReferenceSequence")}
        chosen = [s for s in found if s.frame_of_reference_uid and s.frame_of_reference_uid in frames]
        chosen = chosen or (found if len(found) == 1 and not wanted else [])
    if not chosen:
        raise missing
    return read_stack(max(chosen, key=lambda s: s.frames))


def choose_series(result: ScanResult, series_uid: str | None = None) -> SeriesSummary:
    """The series to open: the named one, else the only volume, else the only thing there.

    ``series_uid`` may be a series UID or, for a series that was split, its ``key`` (``UID#part``).
    Raises ``NodusError``: ``series_missing``, ``several_series``, or why the only file was skipped.
    """
    usable = [s for s in result.series if s.kind != "other"]
    if series_uid is not None:
        usable = [s for s in usable if series_uid in (s.series_uid, s.key)]
        if not usable:
            raise NodusError(f"There is no series {series_uid} here.", code="series_missing")
    if not usable:
        if len(result.skipped) == 1:
            raise NodusError(result.skipped[0].message, code=result.skipped[0].code)
        raise NodusError("There is no image here.", code="not_an_image")
    volumes = [s for s in usable if s.kind == "volume"]
    candidates = volumes or usable
    if len(candidates) > 1:
        raise NodusError(
            f"There are {len(candidates)} series or parts of series here.",
            code="several_series",
            hint="Choose one with --series; nodus scan lists their series_key.",
        )
    return candidates[0]


def read_image(
    path: Path | str,
    *,
    series_uid: str | None = None,
    progress: ProgressReport | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> ImageVolume:
    """A volume from a NIfTI, NRRD or MetaImage file, or a DICOM folder or file.

    Raises ``NodusError``: ``file_missing``, ``several_series``, ``series_missing``, ``not_an_image``
    (also for ultrasound pictures: use ``open_image``), or the reader's own refusal.
    """
    opened = open_image(path, series_uid=series_uid, progress=progress, should_cancel=should_cancel)
    if isinstance(opened, Cine):
        raise NodusError(f"{Path(path).name} is a picture or a loop without a place in the patient, not a volume.", code="not_a_volume")
    return opened


def open_image(
    path: Path | str,
    *,
    series_uid: str | None = None,
    progress: ProgressReport | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> ImageVolume | Cine:
    """Whatever image lies at ``path``: a volume where slices have a place in the patient, else a
    ``Cine`` (ultrasound and other pictures). Refusals as in ``read_image``."""
    path = Path(path)
    if not path.exists():
        raise NodusError(f"There is nothing at {path.name}.", code="file_missing")
    if path.is_file() and sniff_volume_file(path) is not None:
        return read_image_file(path)
    if path.is_file() and not is_container(path):
        header = read_header(path)
        if is_ultrasound(header):
            return cine_from_header(header)
    result = scan_folder(path, progress=progress, should_cancel=should_cancel)
    chosen = choose_series(result, series_uid)
    if chosen.slices:
        return read_volume(chosen, progress=progress, should_cancel=should_cancel)
    return cine_from_header(read_header(chosen.paths[0]))
