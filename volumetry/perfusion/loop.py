"""A contrast loop as the numeric parts of the program take it: grey levels, their worth in echo power, true times."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from volumetry.errors import NodusError
from volumetry.finding import Finding

BLACK, WHITE = 0, 255  # the ends of the display: what lies there was cut off, not measured
PLAUSIBLE_RANGE_DB = (10.0, 150.0)  # contrast displays of the scanners lie between 20 and 120 dB


class PerfusionRefused(NodusError):
    """A contrast loop that cannot be used, or not for this. Codes of the loop: ``range_unknown``, ``implausible_range``,
    ``frame_times_missing``, ``bad_times``, ``bad_shape``, ``too_few_frames``, ``uncalibrated``."""

    default_code = "loop_refused"


@dataclass(frozen=True, slots=True, eq=False)
class ContrastLoop:
    """The contrast pane of a loop, its B-mode pane on the same grid, and what a grey level is worth.

    ``levels``: uint8 ``[frame, row, column]``, the grey level g of the machine's display with its colour map
    undone; read-only. ``tissue``: uint8 of the same shape, or None where the loop has no B-mode pane.
    ``times_s``: float64 ``[frame]``, true times from 0, strictly increasing. ``range_db``: dynamic range of the
    contrast display; the echo power of level g is ``E = 10^(g * range_db / 2550)`` (1 at black), arbitrary unit.
    Levels 0 and 255 are clipped: their power is only a bound. ``mm_per_pixel``: (x, y); None where the picture
    has no scale: curves over time stay valid, areas and volumes do not (``pixel_mm2`` refuses).
    ``drawn``: bool ``[row, column]``, pixels of the contrast pane that hold text or marks of the scanner, no echo;
    None: none known. ``flash_frames``: frames of a high-power pulse, no measurement of flow. ``frame_numbers``:
    int ``[frame]``, which frame of the file each one is, from 0.

    Averages are always of power, never of levels: the mean of fully developed speckle in dB lies 2.51 dB below
    its mean power. Raises ``PerfusionRefused`` for values that contradict each other.
    """

    levels: np.ndarray
    tissue: np.ndarray | None
    times_s: np.ndarray
    range_db: float
    mm_per_pixel: tuple[float, float] | None
    findings: tuple[Finding, ...] = ()
    drawn: np.ndarray | None = None
    flash_frames: tuple[int, ...] = ()
    frame_numbers: np.ndarray | None = None
    _table: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        levels, tissue = self.levels, self.tissue
        if levels.ndim != 3 or levels.dtype != np.uint8 or 0 in levels.shape:
            raise PerfusionRefused("A contrast loop holds grey levels 0 to 255 as frames, rows and columns.", code="bad_shape")
        if tissue is not None and (tissue.shape != levels.shape or tissue.dtype != np.uint8):
            raise PerfusionRefused("The B-mode pane does not lie on the grid of the contrast pane.", code="bad_shape")
        times = np.array(self.times_s, dtype=np.float64)
        if times.shape != levels.shape[:1]:
            raise PerfusionRefused(f"{levels.shape[0]} frames have {times.size} times.", code="bad_times")
        if not np.isfinite(times).all() or times[0] != 0.0 or (np.diff(times) <= 0).any():
            raise PerfusionRefused("The times of the frames must start at 0 and grow from frame to frame.", code="bad_times")
        if self.mm_per_pixel is not None and not all(math.isfinite(v) and v > 0 for v in self.mm_per_pixel):
            raise PerfusionRefused("The size of a pixel must be a positive number of millimetres.", code="uncalibrated")
        if self.drawn is not None and (self.drawn.shape != levels.shape[1:] or self.drawn.dtype != np.bool_):
            raise PerfusionRefused("The mask of drawn pixels does not lie on the grid of the contrast pane.", code="bad_shape")
        if any(not 0 <= n < len(times) for n in self.flash_frames):
            raise PerfusionRefused("A flash lies outside the loop.", code="bad_times")
        numbers = np.arange(len(times)) if self.frame_numbers is None else np.array(self.frame_numbers, dtype=np.int64)
        if numbers.shape != times.shape:
            raise PerfusionRefused(f"{len(times)} frames have {numbers.size} numbers.", code="bad_times")
        table = power_table(self.range_db)
        for array in (levels, tissue, times, numbers, self.drawn):
            if array is not None:
                array.setflags(write=False)
        object.__setattr__(self, "times_s", times)
        object.__setattr__(self, "frame_numbers", numbers)
        object.__setattr__(self, "_table", table)

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return self.levels.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the pane."""
        return self.levels.shape[1], self.levels.shape[2]

    @property
    def pixel_mm2(self) -> float:
        """Area of one pixel. Raises ``PerfusionRefused`` (``uncalibrated``) where the picture has no scale."""
        if self.mm_per_pixel is None:
            raise PerfusionRefused("The picture has no length scale: no area and no volume is given from it.", code="uncalibrated")
        return self.mm_per_pixel[0] * self.mm_per_pixel[1]

    @property
    def power_table(self) -> np.ndarray:
        """float32 ``[256]``: echo power of each level, read-only."""
        return self._table

    def power(self, frame: int) -> np.ndarray:
        """Echo power of one frame: float32 ``[row, column]``."""
        return self._table[self.levels[frame]]


def power_table(range_db: float) -> np.ndarray:
    """Echo power of the levels 0 to 255 of a display of ``range_db``: ``10^(g * range_db / 2550)``, float32, read-only.

    Raises ``PerfusionRefused``: ``implausible_range``.
    """
    low, high = PLAUSIBLE_RANGE_DB
    if not (math.isfinite(range_db) and low <= range_db <= high):
        raise PerfusionRefused(
            f"A dynamic range of {range_db:g} dB is no range of a contrast display ({low:g} to {high:g} dB).",
            code="implausible_range",
            hint="The range stands in the picture or among the settings of the scanner, often as DR.",
        )
    table = np.power(10.0, np.arange(256) * (range_db / 2550.0)).astype(np.float32)
    table.setflags(write=False)
    return table
