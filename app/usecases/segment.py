"""One click to an outline, on a volume in the patient or on an ultrasound picture; and ``nodus segment``,
which offers every method of outlining (``segment_methods``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from app.jobs import JobContext
from app.usecases.measure import measured_dict
from app.usecases.open_images import open_picture
from app.usecases.outline_picture import outline_as_mask, outline_click
from dicom_io.volume_files import write_volume
from volumetry.image import Cine, ImageVolume
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin
from volumetry.segmentation.result import SegmentationResult


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


def segment_picture(cine: Cine, seed_px, radius_px: float, frame: int = 0, anchors_px=()) -> NodeMask:
    """Polar outline on one frame of an ultrasound picture, as a one-slice mask; grid and findings as in
    ``outline_picture.outline_as_mask``."""
    mask = outline_as_mask(outline_click(cine, seed_px, radius_px, frame=frame, anchors_px=anchors_px), cine.calibration_at(frame))
    details = {"seed_px": rounded(seed_px), "radius_px": round(float(radius_px), 3), "anchors_px": [rounded(a) for a in anchors_px]}
    return replace(mask, origin=OutlineOrigin("polar", details=details))


def segment_file(path: Path, seed: tuple[float, ...] | None, out: Path, context: JobContext, **asked) -> tuple[list[dict], dict]:
    """The ``nodus segment`` command: outline by any method, write the mask, measure it.

    ``asked`` are the fields of ``segment_methods.Request``. Returns the measurements and extra fields for
    the answer: ``method``, ``segmentation`` (how the outline came about), ``quality`` (0 to 1 or None) and
    ``warnings``. Refuses as ``segment_methods.check_request`` does, and whatever the method refuses.
    """
    from app.usecases.segment_methods import Request, check_request, outline

    request = Request(seed=seed, **asked)
    request.named()  # an unknown word is refused before a long series is read
    image = open_picture(path, context.part(0.0, 0.6))
    method = check_request(request, flat=isinstance(image, Cine))
    context.report("Outlining", 0.6)
    made = outline(image, method, request, context.part(0.6, 0.95))
    write_volume(made.mask, out)
    measured = measured_dict(made.mask)
    context.report("Measured", 1.0)
    return [measured], {
        "method": method,
        "segmentation": made.mask.origin.as_dict(),
        "quality": made.quality,
        "warnings": [f.as_warning() for f in made.findings],
    }
