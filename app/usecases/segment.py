"""One click to an outline, on a volume in the patient or on an ultrasound picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from app.jobs import JobContext
from app.usecases.measure import measured_dict
from app.usecases.open_images import open_picture
from dicom_io.volume_files import write_volume
from volumetry.calibration import CalibrationRefused
from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine, ImageVolume
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin
from volumetry.segmentation.result import SegmentationResult
from volumetry.ultrasound_length import resolve_length

METHODS = ("star_convex", "polar")
PICTURE_RADIUS_PX = 40.0  # where a picture's radius is not stated


def segment_volume(image: ImageVolume, seed_mm, radius_mm: float | None, anchors_mm=()):
    """Star-convex outline of the node under a click; see ``volumetry.segmentation.segment_node``."""
    from volumetry.segmentation.star_convex import segment_node

    result = segment_node(image, seed_mm, radius_mm, anchors_mm=anchors_mm)
    return with_method(result, "star_convex", seed_mm=rounded(seed_mm), radius_mm=None if radius_mm is None else round(float(radius_mm), 3), anchors_mm=[rounded(a) for a in anchors_mm])


def with_method(result: SegmentationResult, method: str, **details) -> SegmentationResult:
    """The result with the origin of its mask stated."""
    return replace(result, mask=replace(result.mask, origin=OutlineOrigin(method, details=details)))


def rounded(point) -> list[float]:
    """A point as it is kept: plain numbers to the thousandth."""
    return [round(float(v), 3) for v in point]


def segment_picture(cine: Cine, seed_px, radius_px: float, frame: int = 0) -> NodeMask:
    """Polar outline on one frame of an ultrasound picture, as a one-slice mask.

    The grid is in millimetres where one calibrated region holds the whole outline; otherwise a
    pixel stands for 1 mm and the mask carries the finding ``uncalibrated``. A picture has no
    thickness, so ``spacing_unknown`` is always among the findings.
    """
    from volumetry.segmentation.polar import segment_ellipse_2d

    picture = cine.read_frame(frame)
    grey = picture.astype(np.float32).mean(axis=-1) if picture.ndim == 3 else picture.astype(np.float32)
    outline = segment_ellipse_2d(grey, seed_px, radius_px)
    findings = [Finding("spacing_unknown", "A single picture has no thickness: no volume can be measured on it."), *outline.findings]
    column_mm, row_mm = 1.0, 1.0
    try:
        points = [tuple(float(v) for v in p) for p in outline.points_px]
        scale = resolve_length(cine.calibration, [*points, points[0]])
        column_mm, row_mm = scale.mm_per_px_x, scale.mm_per_px_y
        findings += scale.warnings
    except CalibrationRefused as refusal:
        findings.append(Finding("uncalibrated", f"Lengths stay in pixels: {refusal.message}"))
    geometry = ImageGeometry.from_spacing((1, *grey.shape), (column_mm, row_mm, 1.0))
    return NodeMask(outline.mask[None], geometry, findings=tuple(findings))


def segment_file(
    path: Path, seed: tuple[float, ...], out: Path, context: JobContext, *, radius_mm: float | None = None, radius_px: float | None = None, method: str | None = None
) -> tuple[list[dict], dict]:
    """The ``nodus segment`` command: outline, write the mask, measure it.

    Returns the measurements and extra fields for the answer. A volume takes ``radius_mm`` and the
    method ``star_convex``, a picture ``radius_px`` and ``polar``. Refuses a seed of the wrong
    dimension (``bad_seed``), a radius in the other unit (``bad_radius``), an unknown or unfitting
    method (``unknown_method``), and whatever the segmentation refuses.
    """
    if method not in (None, *METHODS):
        raise SegmentationRefused(f"There is no method '{method}'; there are {' and '.join(METHODS)}.", code="unknown_method")
    image = open_picture(path, context.part(0.0, 0.6))
    flat = isinstance(image, Cine)
    what, fitting = ("2-D picture", "polar") if flat else ("volume", "star_convex")
    if method not in (None, fitting):
        raise SegmentationRefused(f"The method {method} does not outline a {what}; {fitting} does.", code="unknown_method")
    if len(seed) != (2 if flat else 3):
        raise SegmentationRefused(f"On a {what} the seed is {'X,Y in pixels' if flat else 'X,Y,Z in LPS millimetres'}.", code="bad_seed")
    if (radius_mm if flat else radius_px) is not None:
        raise SegmentationRefused(f"On a {what} the radius is given in {'pixels' if flat else 'millimetres'}.", code="bad_radius", hint=f"Use {'--radius-px' if flat else '--radius-mm'}.")
    context.report("Outlining", 0.6)
    if flat:
        mask = segment_picture(image, seed, PICTURE_RADIUS_PX if radius_px is None else radius_px)
        findings, quality = (), None
    else:
        result = segment_volume(image, seed, radius_mm)
        mask, findings, quality = result.mask, result.findings, result.quality.score
    write_volume(mask, out)
    measured = measured_dict(mask)
    context.report("Measured", 1.0)
    return [measured], {"quality": quality, "warnings": [f.as_warning() for f in findings]}
