"""Repairs by hand: brush, eraser, and the one-key operations on a whole outline.

``paint`` and ``paint_line`` change the working array in place, on the box of the stroke only, because
they run at every move of the mouse. Everything else is a pure function: it takes a bool array
``[k, j, i]`` and gives a new one, working on the box around the node.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume

Box = tuple[slice, slice, slice]

_FACE = ndimage.generate_binary_structure(3, 1)


def bounding_box(array: np.ndarray, pad: int | tuple[int, int, int] = 0) -> Box | None:
    """(k, j, i) slices around the True voxels, widened by ``pad`` inside the array; None if empty."""
    pads = (pad,) * 3 if isinstance(pad, int) else pad
    rows = array.any(axis=2)  # one pass over the voxels, the rest on projections
    hits_k = np.flatnonzero(rows.any(axis=1))
    if hits_k.size == 0:
        return None
    hits_j = np.flatnonzero(rows.any(axis=0))
    part = array[hits_k[0] : hits_k[-1] + 1, hits_j[0] : hits_j[-1] + 1]
    columns = np.flatnonzero(part.any(axis=(0, 1)))
    out = []
    for hits, size, extra in zip((hits_k, hits_j, columns), array.shape, pads, strict=True):
        out.append(slice(max(0, int(hits[0]) - extra), min(size, int(hits[-1]) + 1 + extra)))
    return tuple(out)


def paint(
    array: np.ndarray,
    geometry: ImageGeometry,
    point_mm,
    radius_mm: float,
    *,
    value: bool = True,
    plane_axis: int | None = None,
    image: ImageVolume | None = None,
    hu_range: tuple[float, float] | None = None,
) -> Box | None:
    """One dab of the brush (``value`` True) or the eraser (False), in place.

    ``plane_axis`` 0, 1 or 2 paints a disc in the slice across k, j or i that holds the point; None
    paints a ball. ``radius_mm`` is physical on any grid; the voxel under the point is always
    painted. With ``image`` and ``hu_range`` (low, high) only voxels in that range change.
    Returns the box touched, or None where the point lies outside the grid. Codes of
    ``SegmentationRefused``: ``bad_brush``.
    """
    return paint_line(array, geometry, point_mm, point_mm, radius_mm, value=value, plane_axis=plane_axis, image=image, hu_range=hu_range)


def paint_line(
    array: np.ndarray,
    geometry: ImageGeometry,
    from_mm,
    to_mm,
    radius_mm: float,
    *,
    value: bool = True,
    plane_axis: int | None = None,
    image: ImageVolume | None = None,
    hu_range: tuple[float, float] | None = None,
) -> Box | None:
    """``paint`` swept along a straight line, so that a fast stroke leaves no gaps; in place."""
    a = np.asarray(from_mm, dtype=np.float64)
    b = np.asarray(to_mm, dtype=np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all() and np.isfinite(radius_mm)) or radius_mm <= 0:
        raise SegmentationRefused("The brush needs a place and a positive radius.", code="bad_brush")
    if plane_axis not in (None, 0, 1, 2):
        raise SegmentationRefused("The brush paints across k, j or i (0, 1, 2), or as a ball.", code="bad_brush")
    ends = np.stack([geometry.world_to_index(a), geometry.world_to_index(b)])[:, ::-1]  # k, j, i
    size = np.array(geometry.shape)
    if ((ends < -0.5) | (ends > size - 0.5)).any(axis=1).all():
        return None
    half = np.linalg.norm(np.linalg.inv(geometry.affine[:3, :3]), axis=1)[::-1] * radius_mm
    low = np.maximum(np.floor(ends.min(axis=0) - half), 0).astype(int)
    high = np.minimum(np.ceil(ends.max(axis=0) + half), size - 1).astype(int)
    if plane_axis is not None:
        slice_number = int(np.clip(np.rint(ends[1, plane_axis]), 0, size[plane_axis] - 1))
        low[plane_axis] = high[plane_axis] = slice_number
        # the line is drawn in the slice: its ends move there along the axis, not through the patient
        ends[:, plane_axis] = slice_number
        a, b = (geometry.index_to_world(e[::-1]) for e in ends)
    if (high < low).any():
        return None
    box = tuple(slice(int(p), int(q) + 1) for p, q in zip(low, high, strict=True))
    k, j, i = np.ogrid[box]
    m = geometry.affine[:3, :3]
    origin = geometry.affine[:3, 3] - a
    along = b - a
    square = float(along @ along)
    x, y, z = (m[r, 0] * i + m[r, 1] * j + m[r, 2] * k + origin[r] for r in range(3))
    if square > 0:
        share = np.clip((x * along[0] + y * along[1] + z * along[2]) / square, 0.0, 1.0)
        x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
    brush = x * x + y * y + z * z <= radius_mm**2
    for end in ends:
        at = np.clip(np.rint(end), 0, size - 1).astype(int) - low
        if ((at >= 0) & (at < brush.shape)).all():
            brush[tuple(at)] = True
    if image is not None and hu_range is not None:
        values = image.array[box]
        brush &= (values >= hu_range[0]) & (values <= hu_range[1])
    array[box][brush] = value
    return box


def fill_holes(array: np.ndarray, *, per_slice: bool = False) -> np.ndarray:
    """Fill cavities that are closed on all sides (or, ``per_slice``, closed within their slice)."""
    out = array.copy()
    box = bounding_box(array)
    if box is None:
        return out
    structure = _FACE.copy()
    if per_slice:
        structure[[0, 2]] = False
    out[box] = ndimage.binary_fill_holes(np.pad(array[box], 1), structure)[1:-1, 1:-1, 1:-1]
    return out


def keep_largest(array: np.ndarray) -> np.ndarray:
    """Only the largest piece; voxels that touch by a face belong together. First one wins a tie."""
    out = np.zeros_like(array)
    box = bounding_box(array)
    if box is None:
        return out
    pieces, count = ndimage.label(array[box], _FACE)
    if count <= 1:
        out[box] = array[box]
        return out
    sizes = np.bincount(pieces.ravel())
    out[box] = pieces == 1 + int(sizes[1:].argmax())
    return out


def keep_touching(array: np.ndarray, geometry: ImageGeometry, point_mm) -> np.ndarray:
    """Only the piece under the point (the nearest piece where the point lies beside the outline)."""
    out = np.zeros_like(array)
    box = bounding_box(array)
    if box is None:
        return out
    pieces, _ = ndimage.label(array[box], _FACE)
    where = np.argwhere(pieces)
    start = [s.start for s in box]
    centres = geometry.index_to_world((where + start)[:, ::-1])
    nearest = where[int(((centres - np.asarray(point_mm)) ** 2).sum(axis=1).argmin())]
    out[box] = pieces == pieces[tuple(nearest)]
    return out


def grow(array: np.ndarray, geometry: ImageGeometry, distance_mm: float) -> np.ndarray:
    """Grow (positive) or shrink (negative) by a physical distance between voxel centres.

    A step shorter than the voxel in some direction changes nothing in that direction. Shrinking
    takes the picture's border for outside.
    """
    out = array.copy()
    if distance_mm == 0 or not np.isfinite(distance_mm):
        if not np.isfinite(distance_mm):
            raise SegmentationRefused("The distance to grow is not a number.", code="bad_distance")
        return out
    spacing = np.array(geometry.spacing_mm[::-1])
    reach = abs(float(distance_mm))
    pad = tuple(int(np.ceil(reach / s)) + 1 for s in spacing)
    box = bounding_box(array, pad)
    if box is None:
        return out
    part = array[box]
    if distance_mm > 0:
        out[box] = ndimage.distance_transform_edt(~part, sampling=spacing) <= reach + 1e-6
    else:
        inner = ndimage.distance_transform_edt(np.pad(part, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
        out[box] = inner > reach + 1e-6
    return out


def smooth(array: np.ndarray, geometry: ImageGeometry, sigma_mm: float = 0.8) -> np.ndarray:
    """Round off corners and steps without changing the voxel count.

    The outline is blurred by a Gaussian of ``sigma_mm`` and cut again at the level that keeps the
    volume, to the voxel.
    """
    if not (np.isfinite(sigma_mm) and sigma_mm > 0):
        raise SegmentationRefused("The smoothing length must be positive.", code="bad_distance")
    spacing = np.array(geometry.spacing_mm[::-1])
    pad = tuple(int(np.ceil(2 * sigma_mm / s)) + 1 for s in spacing)
    out = array.copy()
    box = bounding_box(array, pad)
    if box is None:
        return out
    part = array[box]
    count = int(part.sum())
    soft = ndimage.gaussian_filter(part.astype(np.float32), sigma_mm / spacing, mode="constant", truncate=3.0)
    # equal values are decided for voxels that were inside, so that the count is exact
    order = np.lexsort((~part.ravel(), -soft.ravel()))
    chosen = np.zeros(part.size, dtype=bool)
    chosen[order[:count]] = True
    out[box] = chosen.reshape(part.shape)
    return out


def cut_by_plane(array: np.ndarray, geometry: ImageGeometry, point_mm, normal, *, keep_mm=None) -> np.ndarray:
    """Cut off what lies beyond the plane through ``point_mm`` on the side ``normal`` points to.

    ``keep_mm`` names instead a point on the side to keep.
    """
    n = np.asarray(normal, dtype=np.float64)
    p = np.asarray(point_mm, dtype=np.float64)
    if not np.isfinite(n).all() or not np.isfinite(p).all() or np.linalg.norm(n) == 0:
        raise SegmentationRefused("The cutting plane has no direction.", code="bad_plane")
    if keep_mm is not None and (np.asarray(keep_mm) - p) @ n > 0:
        n = -n
    out = array.copy()
    box = bounding_box(array)
    if box is None:
        return out
    k, j, i = np.ogrid[box]
    step = geometry.affine[:3, :3].T @ n
    side = step[0] * i + step[1] * j + step[2] * k + (geometry.affine[:3, 3] - p) @ n
    out[box] &= side <= 0
    return out


def threshold_in_ball(image: ImageVolume, centre_mm, radius_mm: float, low: float, high: float, *, connected: bool = True) -> np.ndarray:
    """Voxels within ``low..high`` inside a ball; ``connected`` keeps only the piece at the centre."""
    if not (np.isfinite(radius_mm) and radius_mm > 0 and low <= high):
        raise SegmentationRefused("A threshold needs a ball and a range from low to high.", code="bad_threshold")
    geometry = image.geometry
    out = np.zeros(geometry.shape, dtype=bool)
    box = paint(out, geometry, centre_mm, radius_mm)
    if box is None:
        raise SegmentationRefused("The click lies outside the picture.", code="seed_outside")
    values = image.array[box]
    out[box] &= (values >= low) & (values <= high)
    if connected:
        out[box] = keep_touching(out[box], geometry.cropped(box), centre_mm)
    return out


def widened(box: Box, pad: int, shape: tuple[int, int, int]) -> Box:
    """A box with ``pad`` voxels more to every side, inside an array of ``shape``."""
    return tuple(slice(max(0, s.start - pad), min(n, s.stop + pad)) for s, n in zip(box, shape, strict=True))


def only_in_range(array: np.ndarray, image: ImageVolume, low: float, high: float) -> np.ndarray:
    """The part of the outline whose voxels lie within ``low..high``."""
    out = array.copy()
    box = bounding_box(array)
    if box is not None:
        values = image.array[box]
        out[box] &= (values >= low) & (values <= high)
    return out
