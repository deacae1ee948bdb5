"""Writing masks as a DICOM Segmentation on the series they were drawn on, checked voxel for voxel.

Codes: PS3.16 and the table of measurement report codes in this project's documents. A cervical node
under treatment is "Neoplasm, Secondary" (14799000, SCT) of the cervical lymph node (81105003, SCT).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom.sr.coding import CodedConcept

from dicom_io.codes import CERVICAL_NODE, FIELD_SIMULATION, MORPHOLOGICALLY_ALTERED, NEOPLASM_SECONDARY, PLANNED_ZONE, SPATIAL_CONCEPT
from dicom_io.ct import read_stack, series_of_files
from dicom_io.seg import read_seg
from dicom_io.seg_sources import name_true_frames, segmentation_sources
from dicom_io.writing import MANUFACTURER, MODEL, Stamp, damaged_sources_refused, identify, replaced_when_checked
from volumetry.errors import NodusError
from volumetry.mask import NodeMask

# Sizes of voxels agree within this share, places within this distance: positions are written to about ten digits.
SAME_SIZE = 1e-5
SAME_PLACE_MM = 0.01
KINDS = ("binary", "labelmap", "fractional")


def _described(mask: NodeMask, number: int, stamp: Stamp, tracking_uid: str | None, planned_zone: bool = False) -> hd.seg.SegmentDescription:
    name = mask.name or f"node {mask.label}"
    if planned_zone:  # a place that a computed field reaches: no finding, and nothing that anybody outlined
        return hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name[:64],
            segmented_property_category=SPATIAL_CONCEPT,
            segmented_property_type=PLANNED_ZONE,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=hd.AlgorithmIdentificationSequence(name="Nodus field solver", version=stamp.software_version, family=FIELD_SIMULATION),
            tracking_id=name,
            tracking_uid=hd.UID(tracking_uid or stamp.uid(f"segment {number}")),
        )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=MORPHOLOGICALLY_ALTERED,
        segmented_property_type=NEOPLASM_SECONDARY,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="Nodus segmentation", version=stamp.software_version, family=CodedConcept("123109", "DCM", "Manual Processing")
        ),
        anatomic_regions=[CERVICAL_NODE],
        tracking_id=name,
        tracking_uid=hd.UID(tracking_uid or stamp.uid(f"segment {number}")),
    )


@damaged_sources_refused("a segmentation")
def write_seg(
    masks: Sequence[NodeMask],
    source_files: Sequence[Path],
    path: Path | str,
    stamp: Stamp,
    *,
    tracking_uids: Sequence[str | None] | None = None,
    series_number: int = 900,
    kind: str = "binary",
    planned_zone: bool = False,
) -> Path:
    """Write ``masks`` as one segmentation of the series in ``source_files`` (single slices or
    multi-frame files; of several stacks in them the one that the masks lie on).

    Segments are numbered from 1 in the order given and may be empty. ``kind`` is ``binary`` or ``fractional``
    (each voxel wholly in or out, for programs that take nothing else), where segments may overlap, or
    ``labelmap`` (SOP class Label Map Segmentation), where they may not. The masks must lie on the grid of the
    series; where slices are missing, planes of the grid without a picture are written at their place and name
    none. Written under a temporary name, read back, compared voxel for voxel and in the size of a voxel, then
    moved into place. ``planned_zone`` describes the segments as zones of a plan's field, not as nodes. Raises ``NodusError``: ``wrong_grid``, ``nothing_to_write``, ``segments_overlap``,
    ``frame_of_reference_missing``, ``write_failed``.
    """
    path = Path(path)
    if not masks:
        raise NodusError("There is no mask to write.", code="nothing_to_write")
    series = series_of_files(list(source_files), on_grid=masks[0].geometry)
    grid, layout = read_stack(series)
    for mask in masks:
        if not mask.geometry.same_grid(grid):
            raise NodusError(f"The mask {mask.name or mask.label} does not lie on the slices of this series.", code="wrong_grid")
    if not any(m.array.any() for m in masks):
        raise NodusError("All masks are empty; a segmentation needs at least one voxel.", code="nothing_to_write")
    pixels = _pixels(masks, kind)
    sources, references = segmentation_sources(series, grid, layout)
    uids = list(tracking_uids) if tracking_uids is not None else [None] * len(masks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        segmentation = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=pixels,
            segmentation_type=kind.upper(),
            fractional_type=hd.seg.SegmentationFractionalTypeValues.OCCUPANCY,
            segment_descriptions=[_described(m, n + 1, stamp, uids[n], planned_zone) for n, m in enumerate(masks)],
            series_instance_uid=stamp.uid("SEG series"),
            series_number=series_number,
            sop_instance_uid=stamp.uid("SEG instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=stamp.software_version,
            device_serial_number="0",
            content_label="PLANNED_ZONE" if planned_zone else "NODES",
            content_description="Investigational use only",
        )
    if grid.shape[0] == 1:
        # The library states 1 mm between slices where there is one slice; readers would take it for its extent.
        for measures in segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence:
            measures.pop("SpacingBetweenSlices", None)
    name_true_frames(segmentation, sources, references)
    identify(segmentation, stamp, "SEG", sources[0])
    with replaced_when_checked(path) as partial:
        segmentation.save_as(partial)
        _compare(partial, masks)
    return path


def _pixels(masks: Sequence[NodeMask], kind: str) -> np.ndarray:
    """The masks as the writing library takes them: one channel a segment, or labels."""
    if kind not in KINDS:
        raise ValueError(f"no such kind of segmentation: {kind}")
    if kind != "labelmap":
        return np.stack([m.array for m in masks], axis=-1).astype(np.uint8 if kind == "binary" else np.float32)
    labels = np.zeros(masks[0].array.shape, dtype=np.uint8 if len(masks) < 256 else np.uint16)
    for number, mask in enumerate(masks, start=1):
        shared = labels[mask.array]
        if shared.any():
            other = masks[int(shared.max()) - 1]
            raise NodusError(
                f"{mask.name or mask.label} and {other.name or other.label} share voxels; a label map has one label a voxel.",
                code="segments_overlap",
                hint="Write a binary segmentation, in which segments may overlap.",
            )
        labels[mask.array] = number
    return labels


def _compare(path: Path, masks: Sequence[NodeMask]) -> None:
    """Refuse where what was written is not what was meant: every voxel at its place in the patient."""
    back = read_seg(path)
    for mask, other in zip(masks, back, strict=True):
        if mask.geometry.shape[0] > 1 and abs(other.geometry.voxel_size_mm3 / mask.geometry.voxel_size_mm3 - 1) > SAME_SIZE:
            raise NodusError(f"The voxels of segment {mask.name or mask.label} did not read back in their size.", code="write_failed")
        placed = np.argwhere(other.array)[:, ::-1]
        exact = mask.geometry.world_to_index(other.geometry.index_to_world(placed))
        found = np.rint(exact).astype(int)[:, ::-1]
        off_mm = np.abs(exact - found[:, ::-1]).max(initial=0.0) * max(mask.geometry.spacing_mm)
        back_in_place = np.zeros_like(mask.array)
        inside = ((found >= 0) & (found < mask.array.shape)).all(axis=1)
        back_in_place[tuple(found[inside].T)] = True
        if not inside.all() or off_mm > SAME_PLACE_MM or not np.array_equal(back_in_place, mask.array):
            raise NodusError(f"The segment {mask.name or mask.label} did not read back as it was written.", code="write_failed")
