"""Measure the nodes of a mask file."""

from __future__ import annotations

from pathlib import Path

from app.usecases.enhancing_part import values_in_outline
from dicom_io.masks import read_image, read_masks
from volumetry.errors import NodusError
from volumetry.mask import NodeMask
from volumetry.measure import measure_node

# What a single slice of unknown thickness still says, and what it says in pixels alone.
_FLAT = ("label", "name", "voxel_count", "long_axis_mm", "short_axis_mm", "axial_slice_index", "long_axis_points_mm", "short_axis_points_mm", "pieces", "first_slice_index", "slice_areas_mm2", "warnings")
_COUNTS = ("label", "name", "voxel_count", "axial_slice_index", "pieces", "first_slice_index", "warnings")


def measure_file(path: Path, image: Path | None, label: int | None, enhancing_above_hu: float | None = None) -> list[dict]:
    """The ``nodes`` of ``nodus measure``: every label of the mask in ascending order, or only
    ``label`` (``label_missing`` if absent); a label map without any is refused (``empty_mask``).

    With ``enhancing_above_hu`` each node also has ``viable_ml`` and ``ablated_ml`` on ``image`` (None for
    one without a volume); refused without one: ``reference_image_missing``."""
    if not path.exists():
        raise NodusError(f"There is no {path.name} to measure.", code="file_missing")
    masks = read_masks(path, image=image)
    if not masks and label is None:
        raise NodusError(f"{path.name} holds no label: there is nothing to measure.", code="empty_mask")
    if label is not None:
        masks = tuple(m for m in masks if m.label == label)
        if not masks:
            raise NodusError(f"The mask has no label {label}.", code="label_missing")
    masks = sorted(masks, key=lambda m: m.label)
    nodes = [measured_dict(mask) for mask in masks]
    if enhancing_above_hu is not None:
        if image is None:
            raise NodusError("A threshold in HU needs the picture it applies to.", code="reference_image_missing", hint="Give it with --image.")
        picture = read_image(image)
        for node, mask in zip(nodes, masks, strict=True):
            measured = bool(node["voxel_count"]) and node["voxel_volume_ml"] is not None
            parts = values_in_outline(picture, mask).volumes_ml(enhancing_above_hu) if measured else (None, None)
            node.update(viable_ml=parts[0], ablated_ml=parts[1], enhancing_above_hu=enhancing_above_hu)
    return nodes


def measured_dict(mask: NodeMask) -> dict:
    """Measurement of a mask as plain numbers, with what was noticed when the mask was read.

    Where the mask's slices have no known thickness (``spacing_unknown``) only the numbers of the
    slice itself are given, all others are None; where its pixels have no known size
    (``uncalibrated``) only counts are.
    """
    out = measure_node(mask).to_dict()
    codes = {f.code for f in mask.findings}
    noticed = [f.as_warning() for f in mask.findings if f.severity != "info"]
    if not codes & {"uncalibrated", "spacing_unknown"}:
        return {**out, "warnings": noticed + out["warnings"]}
    kept = _COUNTS if "uncalibrated" in codes else _FLAT
    flat = {key: value if key in kept else None for key, value in out.items()}
    # Of a single slice it goes without saying that few lie across the node and that it ends there.
    silent = {"thin"} if _touches_in_plane(mask) else {"thin", "touches_border"}
    return {**flat, "warnings": noticed + [w for w in out["warnings"] if w["code"] not in silent]}


def _touches_in_plane(mask: NodeMask) -> bool:
    a = mask.array
    return bool(a[:, 0].any() or a[:, -1].any() or a[:, :, 0].any() or a[:, :, -1].any())
