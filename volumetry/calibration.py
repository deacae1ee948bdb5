"""What a pixel of an ultrasound picture is worth in millimetres, answered per point or refused.

The regions are those of the DICOM Sequence of Ultrasound Regions (PS3.3 C.8.5.5); which of them
gives a length follows ``resources/docs`` and the standard: spatial format 2D, data type tissue or
colour flow, both units centimetre. Where the header gives none, a reader may state a scale against
marks drawn into the picture; every length made with it says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from volumetry.errors import NodusError
from volumetry.finding import Finding

SPATIAL_FORMATS = {0: "none", 1: "2D", 2: "M-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
DATA_TYPES = {0: "none", 1: "tissue", 2: "colour flow"}
UNITS = {0: "none", 1: "percent", 2: "dB", 3: "cm", 4: "s", 5: "Hz", 6: "dB/s", 7: "cm/s"}


class CalibrationRefused(NodusError):
    """A length on a picture that cannot be given. Codes: ``uncalibrated``, ``crosses_regions``,
    ``not_a_length``, ``regions_do_not_fit``, ``outside_regions``; of a reader's scale: ``already_calibrated``,
    ``scale_length_missing``, ``scale_too_short``, ``scales_not_across``, ``implausible_scale``."""

    default_code = "uncalibrated"


@dataclass(frozen=True, slots=True)
class PictureRegion:
    """One item of the Sequence of Ultrasound Regions.

    The box is in pixels, inclusive, already clipped to the picture; ``delta_x`` and ``delta_y``
    are absolute values in the region's units per pixel.
    """

    index: int
    spatial_format: int
    data_type: int
    flags: int
    x0: int
    y0: int
    x1: int
    y1: int
    units_x: int
    units_y: int
    delta_x: float
    delta_y: float

    @property
    def is_length(self) -> bool:
        """True where both axes of the region are lengths of 2D tissue or colour flow."""
        return (
            self.spatial_format == 1
            and self.data_type in (1, 2)
            and self.units_x == 3
            and self.units_y == 3
            and self.delta_x > 0
            and self.delta_y > 0
        )

    @property
    def mm_per_pixel(self) -> tuple[float, float]:
        """(x, y) millimetres per pixel; only meaningful where ``is_length``."""
        return 10.0 * self.delta_x, 10.0 * self.delta_y

    def holds(self, x: float, y: float) -> bool:
        """True where the point lies in the box (pixel centres at whole numbers)."""
        return self.x0 - 0.5 <= x <= self.x1 + 0.5 and self.y0 - 0.5 <= y <= self.y1 + 0.5


# One pixel off at an end must not be more than a tenth of the scale.
SHORTEST_SCALE_PX = 10.0
# Between the finest probe on a zoomed screen and a deep abdominal sector on a thumbnail.
PLAUSIBLE_MM_PER_PX = (0.02, 2.0)
# Two lines give two scales only where they run across each other: each within this of its axis.
ALONG_AXIS_DEG = 30.0


@dataclass(frozen=True, slots=True)
class ScaleLine:
    """A line of (column, row) pixels that the reader drew along a scale in the picture, and its length."""

    p1: tuple[float, float]
    p2: tuple[float, float]
    length_mm: float

    @property
    def length_px(self) -> float:
        """Length in pixels."""
        return math.dist(self.p1, self.p2)

    @property
    def angle_deg(self) -> float:
        """Angle against the picture's rows, 0 to 90."""
        return math.degrees(math.atan2(abs(self.p2[1] - self.p1[1]), abs(self.p2[0] - self.p1[0])))


@dataclass(frozen=True, slots=True)
class ReaderScale:
    """What a reader stated about a scale drawn into a picture.

    One line gives one scale for both directions (pixels taken as square); two lines, one across and
    one down, give X and Y each their own. ``box`` (x0, y0, x1, y1), inclusive, is the part of the
    picture it holds for; None: the whole. Raises ``CalibrationRefused``: ``scale_length_missing``,
    ``scale_too_short``, ``scales_not_across``, ``implausible_scale``, ``outside_regions``.
    """

    lines: tuple[ScaleLine, ...]
    box: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.lines) <= 2:
            raise CalibrationRefused("A scale is one line, or one across and one down the picture.", code="scale_length_missing")
        for line in self.lines:
            if not all(math.isfinite(v) for v in (*line.p1, *line.p2)):
                raise CalibrationRefused("A scale needs both ends inside the picture.", code="outside_regions")
            if not (math.isfinite(line.length_mm) and line.length_mm > 0):
                raise CalibrationRefused("State how many millimetres the drawn scale is long.", code="scale_length_missing")
            if line.length_px < SHORTEST_SCALE_PX:
                raise CalibrationRefused(
                    f"The scale is only {line.length_px:.1f} pixels long; one pixel off would change every length by more than a tenth.",
                    code="scale_too_short",
                    hint="Draw it over as many marks as there are.",
                )
        low, high = PLAUSIBLE_MM_PER_PX
        if not all(low <= v <= high for v in self.mm_per_pixel):
            x, y = self.mm_per_pixel
            raise CalibrationRefused(
                f"That makes a pixel {x:.4g} x {y:.4g} mm, which no ultrasound picture has ({low:g} to {high:g} mm).",
                code="implausible_scale",
                hint="State the length in millimetres: 1 cm is 10 mm.",
            )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (all(math.isfinite(v) for v in self.box) and x0 < x1 and y0 < y1):
                raise CalibrationRefused("The part of the picture that the scale holds for has no size.", code="outside_regions")

    @property
    def mm_per_pixel(self) -> tuple[float, float]:
        """(x, y): from one line L / px for both; from two, the solution of (sx dx)^2 + (sy dy)^2 = L^2."""
        if len(self.lines) == 1:
            scale = self.lines[0].length_mm / self.lines[0].length_px
            return scale, scale
        across, down = sorted(self.lines, key=lambda line: line.angle_deg)
        if across.angle_deg > ALONG_AXIS_DEG or down.angle_deg < 90.0 - ALONG_AXIS_DEG:
            raise CalibrationRefused("Of two scales one must run across the picture and one down.", code="scales_not_across")
        (a, b), (c, d) = [((line.p2[0] - line.p1[0]) ** 2, (line.p2[1] - line.p1[1]) ** 2) for line in (across, down)]
        determinant = a * d - b * c  # positive: the lines run across each other
        x2 = (d * across.length_mm**2 - b * down.length_mm**2) / determinant
        y2 = (a * down.length_mm**2 - c * across.length_mm**2) / determinant
        if x2 <= 0 or y2 <= 0:
            raise CalibrationRefused("The two scales contradict each other.", code="implausible_scale", hint="Draw them along the marks again.")
        return math.sqrt(x2), math.sqrt(y2)

    @property
    def one_pixel_pct(self) -> float:
        """How much one pixel at one end of the (shorter) line changes every length, in percent."""
        return 100.0 / min(line.length_px for line in self.lines)

    def findings(self) -> tuple[Finding, ...]:
        """What every length made with it carries: ``manual_calibration``, and ``square_pixels_assumed`` for one line."""
        drawn = " and ".join(f"{line.length_mm:g} mm over {line.length_px:.0f} px" for line in self.lines)
        by_hand = Finding("manual_calibration", f"Calibrated by the reader against a drawn scale ({drawn}; one pixel off is {self.one_pixel_pct:.1f} %), not by the header.")
        if len(self.lines) == 2:
            return (by_hand,)
        return by_hand, Finding("square_pixels_assumed", "The reader's scale is one line: pixels are taken as square.")

    def as_dict(self) -> dict:
        """Plain values, for keeping."""
        lines = [{"p1": list(line.p1), "p2": list(line.p2), "length_mm": line.length_mm} for line in self.lines]
        return {"lines": lines, "box": None if self.box is None else list(self.box)}


def reader_scale_from(kept: dict) -> ReaderScale:
    """The scale of ``ReaderScale.as_dict``; raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything
    else, and ``CalibrationRefused`` for a scale that is none."""
    lines = tuple(ScaleLine(tuple(map(float, k["p1"])), tuple(map(float, k["p2"])), float(k["length_mm"])) for k in kept["lines"])
    return ReaderScale(lines, None if kept["box"] is None else tuple(map(float, kept["box"])))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The regions of a picture, and why there may be none to trust.

    ``refusal`` is set where the whole picture must stay in pixels (for example regions that do
    not fit its size). ``manual_mm_per_pixel`` is the reader's own calibration against a drawn
    scale, ``reader_scale`` what it came from; lengths from it carry the warning ``manual_calibration``.
    """

    regions: tuple[PictureRegion, ...] = ()
    refusal: tuple[str, str] | None = None  # code, message
    manual_mm_per_pixel: tuple[float, float] | None = None
    findings: tuple[Finding, ...] = ()
    reader_scale: ReaderScale | None = None

    @property
    def gives_lengths(self) -> bool:
        """True where the header itself supports lengths somewhere in the picture."""
        return self.refusal is None and any(r.is_length for r in self.regions)


def calibrated_by_reader(calibration: Calibration, scale: ReaderScale) -> Calibration:
    """The calibration with a reader's scale. Raises ``CalibrationRefused`` (``already_calibrated``) where the
    header gives lengths: a scale of the machine is never overruled by hand."""
    if calibration.gives_lengths:
        raise CalibrationRefused("The header gives this picture's scale; it is not replaced by one drawn by hand.", code="already_calibrated")
    return replace(calibration, manual_mm_per_pixel=scale.mm_per_pixel, reader_scale=scale)


def without_reader_scale(calibration: Calibration) -> Calibration:
    """The calibration as the header has it."""
    return replace(calibration, manual_mm_per_pixel=None, reader_scale=None)
