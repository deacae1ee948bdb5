"""How far the outlines of two mask files agree."""

from __future__ import annotations

from pathlib import Path

from dicom_io.masks import read_masks
from volumetry.errors import NodusError
from volumetry.mask import NodeMask
from volumetry.overlap import overlap


def one_node(path: Path, label: int | None = None, image: Path | None = None) -> NodeMask:
    """The node of a mask file: ``label`` of it, or its only one. Refuses ``label_missing``, ``several_labels``."""
    masks = read_masks(path, image=image)
    if label is not None:
        masks = tuple(m for m in masks if m.label == label)
        if not masks:
            raise NodusError(f"{Path(path).name} has no label {label}.", code="label_missing")
    if not masks:
        raise NodusError(f"{Path(path).name} holds no label.", code="label_missing")
    if len(masks) > 1:
        raise NodusError(f"{Path(path).name} holds the labels {', '.join(str(m.label) for m in masks)}.", code="several_labels", hint="Name one with --label.")
    return masks[0]


def overlap_of_files(first: Path, second: Path, *, label: int | None = None, image: Path | None = None) -> dict:
    """The ``nodus overlap`` command. Distances in mm; ``volume_difference`` is second less first, and in
    percent of the first (None where that is empty). Refuses as ``one_node`` and ``overlap`` do."""
    found = overlap(one_node(first, label, image), one_node(second, label, image))
    difference = found.second_ml - found.first_ml
    return {
        "dice": found.dice,
        "jaccard": found.jaccard,
        "hausdorff_mm": found.hausdorff_mm,
        "hausdorff_95_mm": found.hausdorff_95_mm,
        "mean_surface_distance_mm": found.mean_surface_distance_mm,
        "first_ml": found.first_ml,
        "second_ml": found.second_ml,
        "common_ml": found.common_ml,
        "volume_difference_ml": difference,
        "volume_difference_pct": 100.0 * difference / found.first_ml if found.first_ml > 0 else None,
    }
