"""Measure the nodes of a mask file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dicom_io.masks import read_masks
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.mask import NodeMask
from volumetry.measure import NodeMeasurement, measure_node

# What a single slice of unknown thickness still says, and what it says in pixels alone.
_FLAT = ("label", "name", "voxel_count", "long_axis_mm", "short_axis_mm", "axial_slice_index", "long_axis_points_mm", "short_axis_points_mm", "pieces", "first_slice_index", "slice_areas_mm2", "warnings")
_COUNTS = ("label", "name", "voxel_count", "axial_slice_index", "pieces", "first_slice_index", "warnings")


def measure_file(path: Path, image: Path | None, label: int | None) -> list[dict]:
    """The ``nodes`` of ``nodus measure``: every label of the mask in ascending order, or only
    ``label`` (``label_missing`` if absent)."""
    if not path.exists():
        raise NodusError(f"There is no {path.name} to measure.", code="file_missing")
    masks = read_masks(path, image=image)
    if label is not None:
        masks = tuple(m for m in masks if m.label == label)
        if not masks:
            raise NodusError(f"The mask has no label {label}.", code="label_missing")
    return [measured_dict(mask) for mask in sorted(masks, key=lambda m: m.label)]


def measured_dict(mask: NodeMask) -> dict:
    """Measurement of a mask as plain numbers, with what was noticed when the mask was read.

    Where the mask's slices have no known thickness (``spacing_unknown``) only the numbers of the
    slice itself are given, all others are None; where its pixels have no known size
    (``uncalibrated``) only counts are.
    """
    return told(measure_node(mask), mask.findings)


def told(measurement: NodeMeasurement, findings: Iterable[Finding]) -> dict:
    """``measured_dict`` for a mask that was measured already."""
    out = measurement.to_dict()
    codes = {f.code for f in findings}
    kept = _COUNTS if "uncalibrated" in codes else _FLAT if "spacing_unknown" in codes else tuple(out)
    out = {key: value if key in kept else None for key, value in out.items()}
    warnings = [f.as_warning() for f in findings if f.severity != "info"] + out["warnings"]
    if kept is not _FLAT and kept is not _COUNTS:
        out["warnings"] = warnings
    else:  # "fewer than three slices" says less than that there is one of unknown thickness
        out["warnings"] = [w for w in warnings if w["code"] != "thin"]
    return out
