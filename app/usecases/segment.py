"""One click to an outline, on a volume in the patient or on an ultrasound picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.jobs import JobContext
from app.usecases.open_images import open_picture
from dicom_io.volume_files import write_volume
from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine, ImageVolume
from volumetry.mask import NodeMask
from volumetry.measure import measure_node

METHODS = ("star_convex", "polar")


def segment_volume(image: ImageVolume, seed_mm, radius_mm: float | None, anchors_mm=()):
    """Star-convex outline of the node under a click; see ``volumetry.segmentation.segment_node``."""
    from volumetry.segmentation.star_convex import segment_node

    return segment_node(image, seed_mm, radius_mm, anchors_mm=anchors_mm)


def segment_picture(cine: Cine, seed_px, radius_px: float, frame: int = 0) -> NodeMask:
    """Polar outline on one frame of an ultrasound picture, as a one-slice mask.

    The grid is in millimetres where the whole outline is calibrated by one region, otherwise in
    pixels (1 mm stands for a pixel), and the caller must refuse lengths and volumes then.
    """
    from volumetry.segmentation.polar import segment_ellipse_2d

    picture = cine.read_frame(frame)
    grey = picture.astype(np.float32).mean(axis=-1) if picture.ndim == 3 else picture.astype(np.float32)
    outline = segment_ellipse_2d(grey, seed_px, radius_px)
    column_mm, row_mm = 1.0, 1.0
    for region in cine.calibration.regions:
        if cine.calibration.refusal is None and region.is_length and all(region.holds(x, y) for x, y in outline.points_px):
            column_mm, row_mm = region.mm_per_pixel
            break
    geometry = ImageGeometry.from_spacing((1, *grey.shape), (column_mm, row_mm, 1.0))
    return NodeMask(outline.mask[None], geometry)


def segment_file(path: Path, seed: tuple[float, ...], radius: float | None, method: str | None, out: Path, context: JobContext) -> tuple[list[dict], dict]:
    """The ``nodus segment`` command: outline, write the mask, measure it as read back.

    Returns the measurements and extra fields for the answer. Refuses a seed of the wrong
    dimension, an unknown method, and whatever the segmentation refuses.
    """
    if method not in (None, *METHODS):
        raise SegmentationRefused(f"There is no method '{method}'; there are {' and '.join(METHODS)}.", code="unknown_method")
    image = open_picture(path, context.part(0.0, 0.6))
    context.report("Outlining", 0.6)
    if isinstance(image, Cine):
        if len(seed) != 2:
            raise SegmentationRefused("On a 2-D picture the seed is X,Y in pixels.", code="bad_seed")
        mask = segment_picture(image, seed, 40.0 if radius is None else radius)
        findings, quality = (), None
    else:
        if len(seed) != 3:
            raise SegmentationRefused("On a volume the seed is X,Y,Z in LPS millimetres.", code="bad_seed")
        result = segment_volume(image, seed, radius)
        mask, findings, quality = result.mask, result.findings, result.quality.score
    write_volume(mask, out)
    measured = measure_node(mask).to_dict()
    context.report("Measured", 1.0)
    return [measured], {"quality": quality, "warnings": [f.as_warning() for f in findings]}
