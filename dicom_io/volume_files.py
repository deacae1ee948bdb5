"""Volume files (NIfTI, NRRD, MetaImage): read with their exact grid, written, read back, compared."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from dicom_io.metaimage import read_metaimage
from dicom_io.nifti import nifti_bytes, read_nifti
from dicom_io.nrrd import read_nrrd
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask

NIFTI = (".nii", ".nii.gz")
NRRD = (".nrrd", ".nhdr")
META = (".mha", ".mhd")
# A CT of anybody holds air or fat.
FAT_HU = -50


def suffix_of(path: Path | str) -> str | None:
    """The volume-file suffix of a name, None where it is none of ours."""
    name = Path(path).name.lower()
    return next((s for s in (*NIFTI, *NRRD, *META) if name.endswith(s)), None)


def sniff_volume_file(path: Path) -> str | None:
    """Family of a file by name, else by its first bytes: ``nifti``, ``nrrd``, ``meta`` or None."""
    suffix = suffix_of(path)
    if suffix is not None:
        return "nifti" if suffix in NIFTI else "nrrd" if suffix in NRRD else "meta"
    try:
        with open(path, "rb") as fp:
            head = fp.read(348)
    except OSError:
        return None
    if head[:4] == b"NRRD":
        return "nrrd"
    if head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0":
        return "nifti"
    if head.lstrip()[:10].lower() == b"objecttype":
        return "meta"
    return None


def read_volume_file(path: Path | str) -> tuple[np.ndarray, ImageGeometry, dict[str, str]]:
    """Array ``[k, j, i]`` (``[k, j, i, layer]`` for layered label maps), its grid in LPS and the
    file's notes. Raises ``NodusError`` (``unreadable``, ``truncated``, ``not_a_volume``) or
    ``GeometryRefused``."""
    path = Path(path)
    family = sniff_volume_file(path)
    if family is None:
        raise NodusError(f"{path.name} is neither NIfTI, NRRD nor MetaImage.", code="unreadable")
    if not path.is_file():
        raise NodusError(f"There is no file {path.name}.", code="file_missing")
    if family == "nifti":
        array, affine = read_nifti(path)
        notes: dict[str, str] = {}
    elif family == "nrrd":
        array, affine, notes = read_nrrd(path)
    else:
        (array, affine), notes = read_metaimage(path), {}
    return array, ImageGeometry(array.shape[:3], affine), notes


def read_image_file(path: Path | str) -> ImageVolume:
    """A volume file as an image. Its unit is unknown to the file; it is taken for HU, with the finding ``hu_assumed``
    (a warning where no voxel is as dark as air or fat, so that it may well be no CT)."""
    array, geometry, _ = read_volume_file(path)
    if array.ndim != 3:
        raise NodusError(f"{Path(path).name} holds several values a voxel; it is not one image.", code="not_a_volume")
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    elif array.dtype.kind in "iu" and array.dtype != np.int16:
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        array = array.astype(np.int16 if low >= -32768 and high <= 32767 else np.float32)
    has_air = array.size > 0 and float(array.min()) < FAT_HU
    told = "The file does not say what its values are; they are taken for Hounsfield units" + ("." if has_air else ", though none is as low as air or fat: it may be no CT.")
    assumed = Finding("hu_assumed", told, "info" if has_air else "warning")
    return ImageVolume(array, geometry, unit="HU", source=ImageSource(description=Path(path).name), findings=(assumed,))


def _write_into(folder: Path, name: str, suffix: str, array: np.ndarray, geometry: ImageGeometry, notes: dict[str, str]) -> list[Path]:
    """Write under ``folder``; every file made, the main one last. A fourth axis of ``array`` is layers (not for NIfTI)."""
    target = folder / name
    if suffix in NIFTI:
        raw = nifti_bytes(array, geometry.affine, "Nodus, investigational use only")
        # No time stamp: the same volume gives the same bytes.
        target.write_bytes(gzip.compress(raw, 4, mtime=0) if suffix == ".nii.gz" else raw)
        return [target]
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    for key, value in notes.items():
        image.SetMetaData(key, value)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(tuple(geometry.direction.ravel()))
    sitk.WriteImage(image, str(target), useCompression=True)
    return [*sorted(p for p in folder.iterdir() if p != target), target]


def label_type(label: int) -> type[np.unsignedinteger]:
    """The smallest type that holds a label."""
    return np.uint8 if label < 1 << 8 else np.uint16 if label < 1 << 16 else np.uint32


def write_volume(volume: ImageVolume | NodeMask, path: Path | str) -> Path:
    """Write a volume or mask (as its label value) as NIfTI, NRRD or MetaImage by the name's suffix.

    Written under a temporary name beside its target, read back and compared voxel for voxel and
    grid for grid, then moved into place. Raises ``NodusError`` (``unknown_format``,
    ``write_failed``).
    """
    array = volume.array
    if isinstance(volume, NodeMask):
        label = max(1, volume.label)  # with 0 there would be no mask
        array = np.where(array, label_type(label)(label), 0)
    return write_array(array, volume.geometry, path)


def write_masks(masks: Sequence[NodeMask], path: Path | str) -> Path:
    """Write nodes of one grid into one file, each under its own label (renumbered from 1 where labels repeat).

    Where nodes share voxels they are laid into as few layers as need be, which NRRD and MetaImage hold and NIfTI
    does not. NRRD also keeps names and empty nodes, as 3D Slicer does. Read back, compared, then moved into place.
    Raises ``NodusError``: ``nothing_to_write``, ``wrong_grid``, ``segments_overlap``, ``unknown_format``, ``write_failed``.
    """
    path = Path(path)
    if not masks:
        raise NodusError("There is no mask to write.", code="nothing_to_write")
    grid = masks[0].geometry
    if not all(m.geometry.same_grid(grid) for m in masks):
        raise NodusError("The masks do not lie on one grid.", code="wrong_grid")
    labels = [m.label for m in masks]
    if len(set(labels)) < len(labels) or min(labels) < 1:
        labels = list(range(1, len(masks) + 1))
    layers: list[np.ndarray] = []
    notes: dict[str, str] = {}
    for n, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        at = next((i for i, layer in enumerate(layers) if not layer[mask.array].any()), len(layers))
        if at == len(layers):
            layers.append(np.zeros(grid.shape, dtype=label_type(max(labels))))
        layers[at][mask.array] = label
        notes |= {f"Segment{n}_{key}": str(v) for key, v in (("ID", f"Segment_{label}"), ("Name", " ".join((mask.name or f"node {label}").split())), ("LabelValue", label), ("Layer", at))}
    suffix = suffix_of(path)
    if len(layers) > 1 and suffix in NIFTI:
        raise NodusError("Some nodes share voxels; a NIfTI label map has one label a voxel.", code="segments_overlap", hint="Write NRRD (.nrrd), which holds them in layers.")
    return write_array(layers[0] if len(layers) == 1 else np.stack(layers, axis=-1), grid, path, notes=notes if suffix in NRRD else None)


def write_array(array: np.ndarray, geometry: ImageGeometry, path: Path | str, *, notes: dict[str, str] | None = None) -> Path:
    """``write_volume`` for a plain array ``[k, j, i]`` (``[k, j, i, layer]`` in NRRD and MetaImage) on a grid; ``notes`` go into NRRD."""
    path = Path(path)
    suffix = suffix_of(path)
    if suffix is None:
        raise NodusError(f"{path.name}: the format is not known; use .nii.gz, .nrrd or .mha.", code="unknown_format")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    folder = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
        made = _write_into(folder, path.name, suffix, array, geometry, notes or {})
        back, grid, _ = read_volume_file(folder / path.name)
        if not np.array_equal(back, array, equal_nan=array.dtype.kind == "f") or not grid.same_grid(geometry):
            raise NodusError(f"{path.name} did not read back as it was written; nothing was kept.", code="write_failed")
        for file in made:
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
        for file in made:
            os.replace(file, path.parent / file.name)
    except OSError as error:
        raise NodusError(f"{path.name} cannot be written: {error.strerror or error}.", code="write_failed") from error
    except RuntimeError as error:
        raise NodusError(f"{path.name} cannot be written ({str(error).strip().splitlines()[-1][-120:]}).", code="write_failed") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return path
