"""What a pixel of an ultrasound picture is worth in millimetres, answered per point or refused.

The regions are those of the DICOM Sequence of Ultrasound Regions (PS3.3 C.8.5.5); which of them
gives a length follows ``resources/docs`` and the standard: spatial format 2D, data type tissue or
colour flow, both units centimetre.
"""

from __future__ import annotations

from dataclasses import dataclass

from volumetry.errors import NodusError
from volumetry.finding import Finding

SPATIAL_FORMATS = {0: "none", 1: "2D", 2: "M-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
DATA_TYPES = {0: "none", 1: "tissue", 2: "colour flow"}
UNITS = {0: "none", 1: "percent", 2: "dB", 3: "cm", 4: "s", 5: "Hz", 6: "dB/s", 7: "cm/s"}


class CalibrationRefused(NodusError):
    """A length on a picture that cannot be given. Codes: ``uncalibrated``, ``crosses_regions``,
    ``not_a_length``, ``regions_do_not_fit``, ``outside_regions``."""

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


@dataclass(frozen=True, slots=True)
class Calibration:
    """The regions of a picture, and why there may be none to trust.

    ``refusal`` is set where the whole picture must stay in pixels (for example regions that do
    not fit its size). ``manual_mm_per_pixel`` is the reader's own calibration against a drawn
    scale; lengths from it carry the warning ``manual_calibration``.
    """

    regions: tuple[PictureRegion, ...] = ()
    refusal: tuple[str, str] | None = None  # code, message
    manual_mm_per_pixel: tuple[float, float] | None = None
    findings: tuple[Finding, ...] = ()
