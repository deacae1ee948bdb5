"""Measure the nodes of a mask file."""

from __future__ import annotations

from pathlib import Path

from dicom_io.masks import read_masks
from volumetry.errors import NodusError
from volumetry.measure import NodeMeasurement, measure_nodes


def measure_file(path: Path, image: Path | None, label: int | None) -> tuple[NodeMeasurement, ...]:
    """Every label of the mask in ascending order, or only ``label`` (``label_missing`` if absent)."""
    if not path.exists():
        raise NodusError(f"There is no {path.name} to measure.", code="file_missing")
    masks = read_masks(path, image=image)
    if label is not None:
        masks = tuple(m for m in masks if m.label == label)
        if not masks:
            raise NodusError(f"The mask has no label {label}.", code="label_missing")
    return measure_nodes(sorted(masks, key=lambda m: m.label))
