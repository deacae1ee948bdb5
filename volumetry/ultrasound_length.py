"""Lengths on an ultrasound picture: given where the header supports them, else refused.

Rules (DICOM PS3.3 C.8.5.5): the whole line must lie in one region that is 2D tissue or colour flow
with both axes in centimetres; X and Y have their own scale. Where regions overlap, region flag
bit 0 decides: 0 is high priority, 1 is low. Equal priority with different meaning is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from volumetry.calibration import DATA_TYPES, SPATIAL_FORMATS, Calibration, CalibrationRefused, PictureRegion
from volumetry.finding import Finding

Point = tuple[float, float]

# Deltas printed by different code paths of one machine differ in the last digits.
SAME_SCALE = 1e-4
# M-mode, spectrum, waveform, graphics: no reader's scale makes their axes lengths.
NOT_TWO_DIMENSIONAL = (2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class LengthScale:
    """Millimetres per pixel along x and y that hold for all of the asked points, and the region
    (its place in the header's list, from 0; None for the reader's own calibration)."""

    mm_per_px_x: float
    mm_per_px_y: float
    region: int | None
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureLength:
    """A caliper on a picture."""

    length_mm: float
    length_px: float
    region: int | None
    warnings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict:
        """The object printed by ``nodus length --json``."""
        return {
            "length_mm": self.length_mm,
            "length_px": self.length_px,
            "region": self.region,
            "warnings": [w.as_warning() for w in self.warnings],
        }


def _says_something(region: PictureRegion) -> bool:
    """False for the screen-wide regions some machines store with format and type "none"."""
    return region.spatial_format != 0 or region.data_type != 0


def _same_scale(a: PictureRegion, b: PictureRegion) -> bool:
    return b.is_length and math.isclose(a.delta_x, b.delta_x, rel_tol=SAME_SCALE) and math.isclose(a.delta_y, b.delta_y, rel_tol=SAME_SCALE)


def _is_low(region: PictureRegion) -> bool:
    return bool(region.flags & 1)


def _crosses(region: PictureRegion, p1: Point, p2: Point) -> bool:
    """True where the segment has a point in the region's box (Liang-Barsky clipping)."""
    t0, t1 = 0.0, 1.0
    for start, step, low, high in (
        (p1[0], p2[0] - p1[0], region.x0 - 0.5, region.x1 + 0.5),
        (p1[1], p2[1] - p1[1], region.y0 - 0.5, region.y1 + 0.5),
    ):
        if step == 0:
            if not low <= start <= high:
                return False
            continue
        a, b = sorted(((low - start) / step, (high - start) / step))
        t0, t1 = max(t0, a), min(t1, b)
        if t0 > t1:
            return False
    return True


def _touches(region: PictureRegion, points: Sequence[Point]) -> bool:
    """True where the polyline runs through the region's box, or goes round it and ends where it began."""
    segments = list(pairwise(points)) or [(points[0], points[0])]
    if any(_crosses(region, a, b) for a, b in segments):
        return True
    if len(points) < 4 or tuple(points[0]) != tuple(points[-1]):
        return False
    x, y = region.x0, region.y0  # no edge meets the box, so one corner answers for all of it
    return sum((a[1] > y) != (b[1] > y) and x < a[0] + (y - a[1]) * (b[0] - a[0]) / (b[1] - a[1]) for a, b in segments) % 2 == 1


def _overruled(region: PictureRegion, others: Sequence[PictureRegion], points: Sequence[Point]) -> bool:
    """True where along the polyline, or within a closed one, another region, of at least equal priority, means something else."""
    return any(
        other.index != region.index
        and _says_something(other)
        and not _same_scale(region, other)
        and (_is_low(region) or not _is_low(other))
        and _touches(other, points)
        for other in others
    )


def _name(region: PictureRegion) -> str:
    kind = SPATIAL_FORMATS.get(region.spatial_format, "unknown")
    return f"{kind} ({DATA_TYPES.get(region.data_type, 'other data')})"


def _refuse(calibration: Calibration, points: Sequence[Point]) -> CalibrationRefused:
    """The most telling reason why no single length region holds all points."""
    regions = calibration.regions
    if not regions:
        return CalibrationRefused("The header gives no length scale for this picture: lengths are shown in pixels only.", code="uncalibrated")
    holders = [[r for r in regions if r.holds(*p)] for p in points]
    if any(not h for h in holders):
        return CalibrationRefused("Part of the line lies outside every calibrated part of the picture.", code="outside_regions")
    told = [[r for r in h if _says_something(r)] for h in holders]
    if all(not any(r.is_length for r in t) for t in told):
        named = next((_name(r) for t in told for r in t), None)
        what = f"a {named} part of the picture" if named else "a part of the picture without a unit"
        return CalibrationRefused(f"The line lies in {what}, where pixels are not lengths.", code="not_a_length")
    if any(not t for t in told):
        return CalibrationRefused("Part of the line lies where the picture has no length scale.", code="outside_regions")
    return CalibrationRefused("The line crosses from one part of the picture into another with its own scale.", code="crosses_regions")


def _by_hand(calibration: Calibration, points: Sequence[Point]) -> LengthScale:
    """The reader's own scale, where it holds: not outside its box, not on a spectrum, a time axis or a graphic that
    the header names, and not from one picture into another (its boxes count only where they fit the picture)."""
    sx, sy = calibration.manual_mm_per_pixel
    if not (math.isfinite(sx) and math.isfinite(sy) and sx > 0 and sy > 0):
        raise CalibrationRefused("The manual calibration is not a positive number.", code="uncalibrated")
    scale = calibration.reader_scale
    if scale is not None and scale.box is not None:
        x0, y0, x1, y1 = scale.box
        if not all(x0 - 0.5 <= x <= x1 + 0.5 and y0 - 0.5 <= y <= y1 + 0.5 for x, y in points):
            raise CalibrationRefused("Part of the line lies outside the part of the picture that the reader scaled.", code="outside_regions")
    if calibration.refusal is None:
        named = next((r for r in calibration.regions if r.spatial_format in NOT_TWO_DIMENSIONAL and _touches(r, points)), None)
        if named is not None:
            raise CalibrationRefused(f"The line lies in a {_name(named)} part of the picture, where pixels are not lengths.", code="not_a_length")
        panes = [r for r in calibration.regions if r.spatial_format == 1 and _touches(r, points)]
        if len(panes) > 1 and not any(all(r.holds(*p) for p in points) for r in panes):
            raise CalibrationRefused("The line crosses from one part of the picture into another, which may have its own scale.", code="crosses_regions")
    notes = scale.findings() if scale is not None else (Finding("manual_calibration", "Calibrated by hand against a drawn scale, not by the header.", "warning"),)
    return LengthScale(sx, sy, None, notes)


def resolve_length(calibration: Calibration, points: Sequence[Point]) -> LengthScale:
    """The scale that holds for a whole polyline or contour of (x, y) pixels (column, row; centres whole).

    Raises ``CalibrationRefused``: ``uncalibrated``, ``regions_do_not_fit``, ``outside_regions``,
    ``not_a_length``, ``crosses_regions``. A manual calibration of the reader comes first (it exists only
    where the header gives no lengths) and carries the warning ``manual_calibration``.
    """
    if not points or not all(math.isfinite(v) for p in points for v in p):
        raise CalibrationRefused("A length needs points inside the picture.", code="outside_regions")
    if calibration.manual_mm_per_pixel is not None:
        return _by_hand(calibration, points)
    if calibration.refusal is not None:
        raise CalibrationRefused(calibration.refusal[1], code=calibration.refusal[0])
    fitting = [r for r in calibration.regions if r.is_length and all(r.holds(*p) for p in points)]
    fitting.sort(key=lambda r: (_is_low(r), (r.x1 - r.x0) * (r.y1 - r.y0), r.index))
    for region in fitting:
        if not _overruled(region, calibration.regions, points):
            return LengthScale(*region.mm_per_pixel, region.index)
    if fitting:
        raise CalibrationRefused("The line crosses a part of the picture with another meaning.", code="crosses_regions")
    raise _refuse(calibration, points)


def length_on_picture(calibration: Calibration, p1: Point, p2: Point) -> PictureLength:
    """Length between two (x, y) pixel points in mm and px; refusals as in ``resolve_length``."""
    scale = resolve_length(calibration, (p1, p2))
    dx, dy = float(p2[0]) - float(p1[0]), float(p2[1]) - float(p1[1])
    return PictureLength(math.hypot(dx * scale.mm_per_px_x, dy * scale.mm_per_px_y), math.hypot(dx, dy), scale.region, scale.warnings)
