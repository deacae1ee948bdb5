"""Repairs of a whole outline, one function a word: what the window does with a key and ``nodus edit`` with an option."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.usecases.measure import measured_dict
from app.usecases.overlap import one_node
from dicom_io.volume_files import write_volume
from volumetry.errors import SegmentationRefused
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin
from volumetry.segmentation import editing

STEP_MM = 0.5  # what one press grows or shrinks by
SMOOTH_MM = 0.8
TAKES = {"grow": {"mm"}, "shrink": {"mm"}, "smooth": {"mm"}, "fill": set(), "keep-largest": set(), "cut": {"point_mm", "normal"}}


def edit_mask(mask: NodeMask, operation: str, *, mm: float | None = None, point_mm=None, normal=None) -> NodeMask:
    """The mask after ``grow``, ``shrink`` (by ``mm``), ``smooth`` (sd ``mm``), ``fill``, ``keep-largest`` or ``cut`` (what lies
    beyond the plane through ``point_mm`` on the side ``normal`` points to).

    The sub-voxel volume no longer holds and is dropped where a voxel changed. Refuses ``unknown_operation``, ``option_missing``,
    ``option_unfitting``, ``bad_distance``, ``bad_plane``, ``empty_mask`` (before or after).
    """
    if operation not in TAKES:
        raise SegmentationRefused(f"There is no repair '{operation}'; there are {', '.join(TAKES)}.", code="unknown_operation")
    given = {name for name, value in (("mm", mm), ("point_mm", point_mm), ("normal", normal)) if value is not None}
    if given - TAKES[operation]:
        raise SegmentationRefused(f"The repair {operation} does not take all that was given.", code="option_unfitting")
    if operation == "cut" and given != TAKES["cut"]:
        raise SegmentationRefused("A cut needs a point of its plane and the direction of what is cut off.", code="option_missing", hint="Give --point and --normal.")
    if not mask.array.any():
        raise SegmentationRefused("There is no outline to repair: the mask is empty.", code="empty_mask")
    array, geometry = mask.array, mask.geometry
    if operation in ("grow", "shrink"):
        step = STEP_MM if mm is None else mm
        if not step > 0:
            raise SegmentationRefused("The distance must be above 0.", code="bad_distance", hint="Use grow or shrink for the direction.")
        new = editing.grow(array, geometry, step if operation == "grow" else -step)
    elif operation == "smooth":
        new = editing.smooth(array, geometry, SMOOTH_MM if mm is None else mm)
    elif operation == "fill":
        new = editing.fill_holes(array)
    elif operation == "keep-largest":
        new = editing.keep_largest(array)
    else:
        for point in (point_mm, normal):
            if len(point) != 3:
                raise SegmentationRefused("Point and direction are three numbers each.", code="bad_plane")
        new = editing.cut_by_plane(array, geometry, point_mm, normal)
    if not new.any():
        raise SegmentationRefused("Nothing of the outline would be left.", code="empty_mask", hint="Use a smaller step.")
    if (new == array).all():
        return mask
    return replace(mask, array=new, coverage_volume_ml=None, origin=(mask.origin or OutlineOrigin("file")).by_hand())


def edit_file(path: Path, operation: str, out: Path, *, label: int | None = None, image: Path | None = None, **how) -> list[dict]:
    """The ``nodus edit`` command: one label of a mask file repaired, written, measured. Where the file
    holds several, ``label`` names it (``several_labels``)."""
    new = edit_mask(one_node(path, label, image), operation, **how)
    write_volume(new, out)
    return [measured_dict(new)]
