"""What a picture's calibration allows, in words for its corner and the status bar."""

from __future__ import annotations

from app.ui.style import MUTED, WARNING
from app.ui.text import t
from volumetry.calibration import DATA_TYPES, SPATIAL_FORMATS, CalibrationRefused
from volumetry.ultrasound_length import resolve_length


def pixel_aspect(calibration) -> float:
    """Height over width of a picture pixel in the largest region that gives lengths; 1 without one."""
    regions = [r for r in calibration.regions if r.is_length] if calibration.refusal is None else []
    if calibration.manual_mm_per_pixel is not None:
        return calibration.manual_mm_per_pixel[1] / calibration.manual_mm_per_pixel[0]
    if not regions:
        return 1.0
    largest = max(regions, key=lambda r: (r.x1 - r.x0) * (r.y1 - r.y0))
    return largest.delta_y / largest.delta_x


def calibration_state(calibration) -> tuple[str, str]:
    """(words, colour) for the corner: whether lengths can be given at all, and from what."""
    if calibration.manual_mm_per_pixel is not None:
        return t("Calibrated by hand"), WARNING
    if calibration.refusal is not None:
        return t("Lengths in px only"), WARNING  # the reason stands among the findings
    count = sum(r.is_length for r in calibration.regions)
    if count == 0:
        return t("Not calibrated: lengths in px only"), WARNING
    return (t("Calibrated: 1 region") if count == 1 else t("Calibrated: {n} regions").format(n=count)), MUTED


def region_words(calibration, x: float, y: float) -> str:
    """The region under a pixel and what a pixel is worth there."""
    try:
        scale = resolve_length(calibration, ((x, y),))
    except CalibrationRefused as refused:
        here = [r for r in calibration.regions if r.holds(x, y)]
        if here:
            return t("region {n}: {kind}, no lengths").format(n=here[0].index + 1, kind=t(SPATIAL_FORMATS.get(here[0].spatial_format, "?")))
        return t("outside the calibrated part") if refused.code == "outside_regions" else t("no lengths here")
    if scale.region is None:
        return f"{scale.mm_per_px_x:.3f} mm/px " + t("(by hand)")
    region = next(r for r in calibration.regions if r.index == scale.region)
    kind = DATA_TYPES.get(region.data_type, "?")
    return t("region {n}: {kind}").format(n=scale.region + 1, kind=t(kind)) + f" {scale.mm_per_px_x:.3f} × {scale.mm_per_px_y:.3f} mm/px"
