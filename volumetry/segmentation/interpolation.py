"""A body from outlines drawn on a few slices: shape-based interpolation of signed distances.

Raya and Udupa, IEEE TMI 1990;9:32-42; the shapes are first laid over each other by their centroids,
so that a slanted node does not vanish between two slices (Herman, Zheng, Bucholtz 1992).
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.segmentation.polar import outline_mask


def _plane_spacing(geometry: ImageGeometry, axis: int) -> tuple[float, float]:
    """(row, column) spacing in mm of the planes across ``axis`` of ``[k, j, i]``."""
    k, j, i = geometry.spacing_mm[::-1]
    return {0: (j, i), 1: (k, i), 2: (k, j)}[axis]


def signed_distance_mm(plane: np.ndarray, spacing_mm) -> np.ndarray:
    """Distance in mm to the outline of a bool plane, positive inside, zero half-way between inside
    and outside pixel centres."""
    padded = np.pad(plane, 1)
    inside = ndimage.distance_transform_edt(padded, sampling=spacing_mm)[1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~plane, sampling=spacing_mm) if plane.any() else np.full(plane.shape, np.inf)
    half = 0.5 * min(spacing_mm)
    return np.where(plane, inside - half, half - outside)


def interpolate_slices(array: np.ndarray, geometry: ImageGeometry, *, axis: int = 0) -> np.ndarray:
    """Fill the empty slices between drawn ones (new bool ``[k, j, i]``).

    A slice with any True voxel counts as drawn and stays as it is; nothing is added before the
    first and after the last. Fewer than two drawn slices are refused (``too_few_contours``).
    """
    drawn = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
    if drawn.size < 2:
        raise SegmentationRefused("Draw the outline on at least two slices; the slices between are then filled.", code="too_few_contours")
    out = array.copy()
    view = np.moveaxis(out, axis, 0)
    spacing = np.array(_plane_spacing(geometry, axis))
    rows, columns = (np.flatnonzero(view.any(axis=(0, 2))), np.flatnonzero(view.any(axis=(0, 1))))
    pad = 4
    box = (
        slice(max(0, rows[0] - pad), min(view.shape[1], rows[-1] + 1 + pad)),
        slice(max(0, columns[0] - pad), min(view.shape[2], columns[-1] + 1 + pad)),
    )
    for below, above in itertools.pairwise(drawn):
        if above - below < 2:
            continue
        first, second = view[below][box], view[above][box]
        distance = [signed_distance_mm(p, tuple(spacing)) for p in (first, second)]
        centre = [np.array(ndimage.center_of_mass(p)) for p in (first, second)]
        for n in range(below + 1, above):
            f = (n - below) / (above - below)
            middle = (1 - f) * centre[0] + f * centre[1]
            moved = [ndimage.shift(d, middle - c, order=1, mode="constant", cval=-100.0 * float(spacing.max())) for d, c in zip(distance, centre, strict=True)]
            view[n][box] = (1 - f) * moved[0] + f * moved[1] > 0
    return out


def mask_from_contours(contours: dict[int, list[np.ndarray]], geometry: ImageGeometry, *, axis: int = 0, interpolate: bool = True) -> np.ndarray:
    """Bool ``[k, j, i]`` from outlines drawn on slices.

    ``contours`` maps a slice number along ``axis`` to closed outlines (n, 2) in (column, row) of that
    plane, in index units. Outlines of one slice combine by the even-odd rule, so an
    inner one cuts a hole. With ``interpolate`` the slices between are filled. Refuses
    (``bad_contour``) fewer than three points, NaN or a slice outside the picture.
    """
    out = np.zeros(geometry.shape, dtype=bool)
    view = np.moveaxis(out, axis, 0)
    for number, outlines in contours.items():
        if not 0 <= number < view.shape[0]:
            raise SegmentationRefused(f"There is no slice {number} in this picture.", code="bad_contour")
        for outline in outlines:
            points = np.asarray(outline, dtype=np.float64)
            if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
                raise SegmentationRefused("An outline needs at least three points.", code="bad_contour")
            view[number] ^= outline_mask(points, view.shape[1:])
    return interpolate_slices(out, geometry, axis=axis) if interpolate else out
