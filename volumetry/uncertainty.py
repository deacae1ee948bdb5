"""How sure a volume is: a 95 % interval, and how much each cause has in it.

Four independent causes, added in quadrature on each side. ``VolumeUncertainty`` lists each as the half
of its own 95 % interval in percent of the volume:

* **boundary** - half a voxel. A side of the node ends somewhere within the half voxel on either side of
  the last centre: a shift, uniform over one voxel, at each of the six sides by itself. To it comes the
  counting of whole pixels along the outline: variance of lattice points in a plane figure 0.0724 x
  perimeter x pixel^3 (Matheron; Gundersen and Jensen, J Microsc 1987;147:229), summed over slices.
* **slices** - a node seen in few slices. The sections of any ellipsoid, in any pose, are a parabola
  ``A0 (1 - z^2/c^2)`` along the stack, so the ratio of true volume to (sum of areas x spacing)
  depends only on how many slices there are and on where they fall. ``SLICE_FACTORS`` holds its 2.5
  and 97.5 percentiles over all positions, sizes log-uniform; from four slices on it approaches
  the Euler-Maclaurin end term, which falls with the square of the number of slices. It is not
  symmetric: a node seen in one slice may be far larger than it looks. Below three slices it leads.
* **calibration** - how far the scale may be wrong. Of a grid it is the step between planes, which files
  may state up to 0.5 % off (``GRID_STEP_LIMIT_PCT``); of ultrasound calipers see
  ``ellipsoid_uncertainty``. That the scanner itself measures true is taken for granted.
* **method** - the reader's hand and tool: the whole outline too tight or too wide, surface x a shift
  whose standard deviation ``OUTLINED`` gives for each way of outlining, with its source.

The mesh's surface is used, which is a little larger than that of a smooth node: the interval errs
to the wide side. Motion, contrast phase and whether the outlined thing is the node are not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from volumetry.errors import MeasurementRefused
from volumetry.outline_origin import OutlineOrigin

# Number of slices through the node -> true / measured volume, 2.5 and 97.5 percentiles.
SLICE_FACTORS: dict[int, tuple[float, float]] = {
    1: (0.152, 5.49),
    2: (0.872, 1.487),
    3: (0.945, 1.109),
}
SLICE_TERM_BELOW, SLICE_TERM_ABOVE = 0.485, 0.84  # from four slices: 1 - 0.485/n^2 and 1 + 0.84/n^2
COUNTING = 0.0724
GRID_STEP_LIMIT_PCT = 0.5
Z95 = 1.959963984540054

# A known shift between two visits is found again within this; a carried outline may lie so far off.
REGISTRATION_LIMIT_MM = 1.0


@dataclass(frozen=True, slots=True)
class Outlining:
    """One way of outlining: the standard deviation in mm of a shift of the whole outline, and where
    that figure comes from."""

    sigma_mm: float
    source: str


# Outlines of 100 cervical nodes on CT vary by 5.9 % in volume when drawn by rays and a graph cut from one
# click, and by 15.9 % when drawn by hand (Steger et al., IEEE TMI 2013;32:888). On a ball of 15 mm,
# about the size of those nodes, that is a shift of 0.15 and of 0.40 mm.
_CLICK = Outlining(0.15, "5.9 % between readers, 100 cervical nodes on CT (IEEE TMI 2013;32:888)")
_HAND = Outlining(0.40, "15.9 % between readers, 100 cervical nodes on CT (IEEE TMI 2013;32:888)")
OUTLINED: dict[str, Outlining] = {
    "star_convex": _CLICK,
    "polar": _CLICK,
    "scribbles": _CLICK,
    "threshold": _CLICK,
    "region_growing": _CLICK,
    "semi_automatic": _CLICK,
    "manual": _HAND,
    "contours": _HAND,
    "livewire": _HAND,
    "brush": _HAND,
    "by_hand": _HAND,
    # A hand in it: nobody has measured how much of the click's steadiness is left.
    "repaired": Outlining(_HAND.sigma_mm, "repaired by hand: taken as by hand, " + _HAND.source),
    "model": Outlining(_HAND.sigma_mm, "no figure for this network: taken as by hand, " + _HAND.source),
    "propagated": Outlining(
        math.hypot(_HAND.sigma_mm, REGISTRATION_LIMIT_MM / math.sqrt(3.0)),
        "moved by a registration good to 1 mm, and by hand: " + _HAND.source,
    ),
    # Nothing is known about a mask out of a file; the interval then holds for a semi-automatic outline.
    "unstated": Outlining(_CLICK.sigma_mm, "not stated: taken as semi-automatic, " + _CLICK.source),
}
# SegmentAlgorithmType and ROIGenerationAlgorithm of DICOM.
GENERATION = {"MANUAL": "manual", "SEMIAUTOMATIC": "semi_automatic", "AUTOMATIC": "model"}
READER_SIGMA_MM: dict[str, float] = {name: how.sigma_mm for name, how in OUTLINED.items()}

# Calipers on ultrasound. One diameter between readers: limits of agreement +-7.3 % on well-defined nodules
# above 1 cm (Korean J Radiol 2015;16:560), so a standard deviation of 7.3 / 1.96 %.
DIAMETER_SD_PCT = 7.3 / 1.96
# A node is not an ellipsoid: mean error of the 2D ellipsoid 17.8 % on neck nodes of known volume (Ying and
# Pang, reference volumes of porcine nodes), taken as a mean absolute error of a normal distribution.
SHAPE_SD_PCT = 17.8 * math.sqrt(math.pi / 2)
# Two statements of one picture's scale (header, and the ruler drawn in it) differ by 0.2 % on a thyroid
# picture of a linear probe; taken as the spread of a header's pixel spacing.
PIXEL_SPACING_SD_PCT = 0.2


@dataclass(frozen=True, slots=True)
class VolumeUncertainty:
    """95 % interval of a volume and its causes.

    Each ``_pct`` is half the width of that cause's own 95 % interval in percent of the volume (of an
    unsymmetric one the wider side), None where the cause does not exist. ``outlined`` is how the
    outline came to be (a key of ``OUTLINED``, or ``ellipsoid``), ``method_source`` where its figure
    comes from, ``slices`` how many slices the node is seen in.
    """

    interval_ml: tuple[float, float]
    outlined: str
    method_source: str
    boundary_pct: float | None
    slices_pct: float | None
    calibration_pct: float | None
    method_pct: float | None
    slices: int | None = None

    def to_dict(self) -> dict:
        """Plain values by name, without the interval, which has its own field in every table."""
        return {key: getattr(self, key) for key in self.__slots__ if key != "interval_ml"}


def outlining(outlined: str) -> Outlining:
    """What is known about a way of outlining; refuses ``unknown_method`` for any other word."""
    if outlined not in OUTLINED:
        raise MeasurementRefused(f"There is no way of outlining called {outlined!r}; there are {', '.join(OUTLINED)}.", code="unknown_method")
    return OUTLINED[outlined]


def outlined_of(origin: OutlineOrigin) -> str:
    """Key of ``OUTLINED`` for an outline of that origin.

    A repair by hand takes the steadiness of a click away; an outline carried over stays one. Of a file
    its own word counts (``details["generation"]``: MANUAL, SEMIAUTOMATIC or AUTOMATIC, as DICOM
    files state it); without one, and where nothing was recorded, it is ``unstated``.
    """
    method = origin.method
    if method in ("file", "not_recorded"):
        method = GENERATION.get(str(origin.details.get("generation", "")).upper(), "unstated")
    steady = method in OUTLINED and OUTLINED[method].sigma_mm < _HAND.sigma_mm
    return "repaired" if origin.edited and steady else method


def slice_factors(slices: int) -> tuple[float, float]:
    """Lower and upper 95 % factor on a volume summed over ``slices`` parallel sections (>= 1)."""
    if slices < 1:
        raise MeasurementRefused("A volume needs at least one slice.", code="no_slices")
    if slices in SLICE_FACTORS:
        return SLICE_FACTORS[slices]
    return 1.0 - SLICE_TERM_BELOW / slices**2, 1.0 + SLICE_TERM_ABOVE / slices**2


def _rounding_mm(spacing_mm) -> float:
    """Standard deviation of the mean of six sides, each uniform over a voxel. The middle one of the
    three spacings stands for the pixel (the slice spacing has its own term)."""
    return sorted(float(s) for s in spacing_mm)[1] / math.sqrt(12.0) / math.sqrt(6.0)


def boundary_sigma_mm(spacing_mm, outlined: str = "semi_automatic") -> float:
    """Standard deviation in mm by which the whole outline may be shifted, by voxels and by hand.

    ``outlined`` is a key of ``OUTLINED``.
    """
    return math.hypot(outlining(outlined).sigma_mm, _rounding_mm(spacing_mm))


def _joined(volume_ml: float, slices: int, outlined: str, surface_mm2: float, boundary_ml: float, calibration_ml: float) -> VolumeUncertainty:
    """The four causes in quadrature; ``boundary_ml`` and ``calibration_ml`` are 95 % half-widths."""
    how = outlining(outlined)
    below, above = slice_factors(slices)
    method_ml = Z95 * how.sigma_mm * surface_mm2 / 1000.0
    even = math.sqrt(boundary_ml**2 + calibration_ml**2 + method_ml**2)
    low = volume_ml - math.hypot((1.0 - below) * volume_ml, even)
    high = volume_ml + math.hypot((above - 1.0) * volume_ml, even)
    share = 100.0 / volume_ml if volume_ml > 0 else 0.0
    return VolumeUncertainty(
        (max(0.0, low), high), outlined, how.source, share * boundary_ml, 100.0 * max(above - 1.0, 1.0 - below), share * calibration_ml, share * method_ml, slices
    )


def volume_uncertainty(
    volume_ml: float,
    surface_mm2: float,
    spacing_mm,
    voxels_across: tuple[int, int, int],
    outlined: str = "unstated",
) -> VolumeUncertainty:
    """95 % interval of a volume read off a voxel grid, with its causes.

    ``surface_mm2`` is the node's surface, ``spacing_mm`` the steps along i, j and k (of a sheared
    stack the distance between planes as k) and ``voxels_across`` the node's extent along them in
    voxels. The direction with the fewest voxels counts as the stack. Low is never below zero. Refuses
    ``unknown_method`` where ``outlined`` is no key of ``OUTLINED``.
    """
    spacing = [float(s) for s in spacing_mm]
    stack = min(range(3), key=lambda axis: (voxels_across[axis], -spacing[axis]))
    in_plane = [spacing[axis] for axis in range(3) if axis != stack]
    counting = math.sqrt(COUNTING * spacing[stack] * (in_plane[0] * in_plane[1]) ** 1.5 * surface_mm2)
    boundary_ml = Z95 * math.hypot(counting, _rounding_mm(spacing) * surface_mm2) / 1000.0
    return _joined(volume_ml, int(voxels_across[stack]), outlined, surface_mm2, boundary_ml, _grid_calibration_ml(volume_ml))


def sections_uncertainty(volume_ml: float, surface_mm2: float, slices: int, outlined: str = "manual") -> VolumeUncertainty:
    """The same for a volume from outlines in ``slices`` parallel planes: no voxels, so no boundary term
    but the reader's hand."""
    found = _joined(volume_ml, slices, outlined, surface_mm2, 0.0, _grid_calibration_ml(volume_ml))
    return VolumeUncertainty(found.interval_ml, outlined, found.method_source, None, found.slices_pct, found.calibration_pct, found.method_pct, slices)


def _grid_calibration_ml(volume_ml: float) -> float:
    return Z95 * GRID_STEP_LIMIT_PCT / math.sqrt(3.0) / 100.0 * volume_ml


def volume_interval_ml(
    volume_ml: float, surface_mm2: float, spacing_mm, voxels_across: tuple[int, int, int], outlined: str = "unstated"
) -> tuple[float, float]:
    """Only the interval (low, high) in ml of ``volume_uncertainty``."""
    return volume_uncertainty(volume_ml, surface_mm2, spacing_mm, voxels_across, outlined).interval_ml


def ellipsoid_uncertainty(
    volume_ml: float,
    independent_diameters: tuple[int, ...] = (1, 1, 1),
    pixel_pct: tuple[float, ...] = (),
) -> VolumeUncertainty:
    """95 % interval of pi/6 L W H from calipers on ultrasound, with its causes.

    Log-normal: relative variances add, and a volume stays positive. ``independent_diameters`` counts
    how many readings each of the three diameters is the mean of. Causes: **method**, a node is no
    ellipsoid (``SHAPE_SD_PCT``); **calibration**, where readers place a caliper (``DIAMETER_SD_PCT`` a
    diameter) and the spread of the pixel spacing (``PIXEL_SPACING_SD_PCT``, one scale for all
    three diameters); **boundary**, half a pixel at both ends, where ``pixel_pct`` gives the size
    of a pixel in percent of each diameter. There are no slices.
    """
    calibration = math.sqrt(sum(DIAMETER_SD_PCT**2 / n for n in independent_diameters) + (3.0 * PIXEL_SPACING_SD_PCT) ** 2)
    # Both ends of a caliper lie anywhere in their pixel: variance 2 x pixel^2 / 12.
    boundary = math.sqrt(sum(p**2 / 6.0 / n for p, n in zip(pixel_pct, independent_diameters, strict=True))) if pixel_pct else None
    variance = (SHAPE_SD_PCT**2 + calibration**2 + (boundary or 0.0) ** 2) / 100.0**2
    factor = math.exp(Z95 * math.sqrt(math.log1p(variance)))
    return VolumeUncertainty(
        (volume_ml / factor, volume_ml * factor),
        "ellipsoid",
        "17.8 % mean error of the 2D ellipsoid on neck nodes of known volume (Ying and Pang)",
        None if boundary is None else Z95 * boundary,
        None,
        Z95 * calibration,
        Z95 * SHAPE_SD_PCT,
    )
