"""How sure a volume is: a 95 % interval from the grid and from the reader.

Three independent causes, added in quadrature on each side:

* **slices** - a node seen in few slices. The sections of any ellipsoid, in any pose, are a parabola
  ``A0 (1 - z^2/c^2)`` along the stack, so the ratio of true volume to (sum of areas x spacing)
  depends only on how many slices there are and on where they fall. ``SLICE_FACTORS`` holds its 2.5
  and 97.5 percentiles over all positions, sizes log-uniform; from four slices on it approaches
  the Euler-Maclaurin end term, which falls with the square of the number of slices. It is not
  symmetric: a node seen in one slice may be far larger than it looks.
* **counting** - whole pixels along the outline. Variance of counting lattice points in a plane
  figure: 0.0724 x perimeter x pixel^3 (Matheron; Gundersen and Jensen, J Microsc 1987;147:229),
  summed over slices.
* **boundary** - the whole outline drawn too tight or too wide: surface x a shift. The shift has
  the reader's standard deviation (semi-automatic outlines of 100 cervical nodes on CT vary by 5.9 %
  in volume, manual ones by 15.9 %, IEEE TMI 2013;32:888; on a node of 15 mm that is a shift of
  0.15 and 0.40 mm) and half a voxel of rounding at each of the six sides, each by itself.

The mesh's surface is used, which is a little larger than that of a smooth node: the interval errs
to the wide side. Calibration and motion of the scanner are not in it.
"""

from __future__ import annotations

import math

from volumetry.errors import MeasurementRefused

# Number of slices through the node -> true / measured volume, 2.5 and 97.5 percentiles.
SLICE_FACTORS: dict[int, tuple[float, float]] = {
    1: (0.152, 5.49),
    2: (0.872, 1.487),
    3: (0.945, 1.109),
}
SLICE_TERM_BELOW, SLICE_TERM_ABOVE = 0.485, 0.84  # from four slices: 1 - 0.485/n^2 and 1 + 0.84/n^2
COUNTING = 0.0724
READER_SIGMA_MM = {"semi_automatic": 0.15, "manual": 0.40}
Z95 = 1.959963984540054


def slice_factors(slices: int) -> tuple[float, float]:
    """Lower and upper 95 % factor on a volume summed over ``slices`` parallel sections (>= 1)."""
    if slices < 1:
        raise MeasurementRefused("A volume needs at least one slice.", code="no_slices")
    if slices in SLICE_FACTORS:
        return SLICE_FACTORS[slices]
    return 1.0 - SLICE_TERM_BELOW / slices**2, 1.0 + SLICE_TERM_ABOVE / slices**2


def boundary_sigma_mm(spacing_mm, outlined: str = "semi_automatic") -> float:
    """Standard deviation in mm by which the whole outline may be shifted.

    The middle one of the three spacings stands for the pixel (the slice spacing has its own term).
    ``outlined`` is ``semi_automatic`` or ``manual``.
    """
    pixel = sorted(float(s) for s in spacing_mm)[1]
    rounding = pixel / (2.0 * math.sqrt(3.0)) / math.sqrt(6.0)
    return math.hypot(READER_SIGMA_MM[outlined], rounding)


def volume_interval_ml(
    volume_ml: float,
    surface_mm2: float,
    spacing_mm,
    voxels_across: tuple[int, int, int],
    outlined: str = "semi_automatic",
) -> tuple[float, float]:
    """95 % interval (low, high) in ml of a volume read off a voxel grid.

    ``surface_mm2`` is the node's surface, ``spacing_mm`` the steps along i, j and k and
    ``voxels_across`` the node's extent along them in voxels. The coarsest direction counts as the
    stack. Low is never below zero.
    """
    spacing = [float(s) for s in spacing_mm]
    stack = min(range(3), key=lambda axis: (voxels_across[axis], -spacing[axis]))
    below, above = slice_factors(int(voxels_across[stack]))
    in_plane = [spacing[axis] for axis in range(3) if axis != stack]
    pixel_mm2 = in_plane[0] * in_plane[1]
    counting = Z95 * math.sqrt(COUNTING * spacing[stack] * pixel_mm2**1.5 * surface_mm2) / 1000.0
    boundary = Z95 * boundary_sigma_mm(spacing, outlined) * surface_mm2 / 1000.0
    both = math.hypot(counting, boundary)
    low = volume_ml - math.hypot((1.0 - below) * volume_ml, both)
    high = volume_ml + math.hypot((above - 1.0) * volume_ml, both)
    return max(0.0, low), high
