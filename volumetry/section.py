"""A plane cut through a level (positive inside): the outline there, its area, its longest diameter and the extent across it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import find_contours, points_in_poly

from volumetry.errors import MeasurementRefused
from volumetry.geometry import ImageGeometry

STEP_MM = 0.5  # grid of a cut; the outline lies between its points by linear interpolation
LOOK_MM = 1.0  # while the plane of the largest section is looked for
DIRECTIONS = 360  # points of an outline that are outermost in these directions count for its diameters
ROUND = 1.1  # of two axes that differ by less, neither is the longer one


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One closed outline: ``points_mm`` (n, 2) about the middle of its box, turned so that the longest diameter lies along x.

    ``long_mm``: longest distance of two of its points; ``across_mm``: extent at right angles to that. ``parts``: how many
    separate pieces lie in the plane; the outline is of one of them.
    """

    points_mm: np.ndarray
    area_mm2: float
    long_mm: float
    across_mm: float
    parts: int = 1


def long_axis(points) -> tuple[float, float]:
    """(length, angle in rad against x) of the longest distance between two points of an outline (n, 2)."""
    points = np.asarray(points, np.float64)
    if len(points) > DIRECTIONS:
        turn = np.arange(DIRECTIONS) * (2.0 * np.pi / DIRECTIONS)
        points = points[np.unique(np.argmax(points @ np.stack([np.cos(turn), np.sin(turn)]), axis=0))]
    between = points[:, None] - points[None]
    at = np.unravel_index(np.argmax((between**2).sum(axis=-1)), between.shape[:2])
    way = between[at]
    return float(np.hypot(*way)), float(np.arctan2(way[1], way[0]))


def turned(points, angle_rad: float) -> np.ndarray:
    """Points (n, 2) turned by an angle, then about the middle of their box."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    out = np.asarray(points, np.float64) @ np.array([[c, s], [-s, c]])
    return out - 0.5 * (out.min(axis=0) + out.max(axis=0))


def outline_section(points_mm, *, holes_mm2: float = 0.0, parts: int = 1) -> Section:
    """What an outline (n, 2) in mm measures; ``holes_mm2`` within it do not count. Refuses ``bad_outline``."""
    points = np.asarray(points_mm, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise MeasurementRefused("An outline needs three points in a plane.", code="bad_outline")
    long_mm, angle = long_axis(points)
    points = turned(points, -angle)
    return Section(points, max(abs(_signed_area(points)) - holes_mm2, 0.0), long_mm, float(np.ptp(points[:, 1])), parts)


def own_long_axis(mask: np.ndarray, geometry: ImageGeometry) -> tuple[np.ndarray, np.ndarray | None]:
    """(middle, direction of the longest axis), LPS mm, of the voxels of a mask [k, j, i] by their moments. The direction is None
    where the longest axis is less than 1.1 times the next: the shape is round. Refuses ``empty_mask``."""
    index = np.argwhere(mask)[:, ::-1]
    if not len(index):
        raise MeasurementRefused("Nothing is outlined.", code="empty_mask")
    points = geometry.index_to_world(index)
    middle = points.mean(axis=0)
    spread, axes = np.linalg.eigh(np.atleast_2d(np.cov((points - middle).T, bias=True)))
    return middle, None if spread[2] <= ROUND**2 * spread[1] else axes[:, 2]


def cut(level: np.ndarray, geometry: ImageGeometry, through_mm, normal, *, step_mm: float = STEP_MM) -> Section | None:
    """The section of what is above 0 in ``level`` [k, j, i] by the plane through a point (LPS mm), at right angles to ``normal``.

    The piece that holds the point counts, else the largest; None where the plane meets none. Beyond the grid nothing is above 0.
    """
    values = _sampled(level, geometry, through_mm, normal, step_mm)
    if values is None or not (values[0] > 0).any():
        return None
    plane, start = values
    loops = [loop[:, ::-1] * step_mm + start for loop in find_contours(plane, 0.0)]
    areas = np.array([_signed_area(loop) for loop in loops])
    if not len(loops) or not areas.any():
        return None
    sign = np.sign(areas[np.argmax(np.abs(areas))])  # outer borders run one way, those of holes the other
    outer = [n for n in range(len(loops)) if areas[n] * sign > 0]
    held = [n for n in outer if points_in_poly([(0.0, 0.0)], loops[n])[0]]
    best = max(held or outer, key=lambda n: abs(areas[n]))
    holes = sum(abs(areas[n]) for n in range(len(loops)) if areas[n] * sign < 0 and points_in_poly(loops[n][:1], loops[best])[0])
    return outline_section(loops[best][:-1], holes_mm2=holes, parts=int(ndimage.label(plane > 0)[1]))


def largest_normal(level: np.ndarray, geometry: ImageGeometry, through_mm, *, along=None) -> np.ndarray:
    """The normal of the plane through a point in which most is above 0; with ``along`` of planes that hold this direction."""
    if along is None:
        n = np.arange(160) + 0.5  # even directions over half a sphere, by the golden angle
        z, turn = 1.0 - n / len(n), n * np.pi * (3.0 - np.sqrt(5.0))
        normals = np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=-1)
    else:
        a, b = _across(along)
        turn = np.arange(36)[:, None] * np.pi / 36
        normals = np.cos(turn) * a + np.sin(turn) * b

    def size(normal) -> int:
        found = _sampled(level, geometry, through_mm, normal, LOOK_MM)
        return 0 if found is None else int((found[0] > 0).sum())

    best = max(normals, key=size)
    for reach in () if along is not None else (0.14, 0.05):  # then nearby, in rad
        a, b = _across(best)
        near = [best + reach * (np.cos(w) * a + np.sin(w) * b) for w in np.arange(8) * np.pi / 4]
        best = max((best, *(n / np.linalg.norm(n) for n in near)), key=size)
    return best


def _signed_area(points: np.ndarray) -> float:
    x, y = (points - points[0]).T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _across(normal) -> tuple[np.ndarray, np.ndarray]:
    """Two directions at right angles to a third and to each other."""
    n = np.asarray(normal, np.float64)
    n = n / np.linalg.norm(n)
    u = np.cross(n, np.eye(3)[np.argmin(np.abs(n))])
    u /= np.linalg.norm(u)
    return u, np.cross(n, u)


def _sampled(level: np.ndarray, geometry: ImageGeometry, through_mm, normal, step_mm: float) -> tuple[np.ndarray, np.ndarray] | None:
    """(level on the plane [row, column], place (x, y) of its first point about ``through_mm``), as far as anything is above 0."""
    box = ndimage.find_objects((level > 0).astype(np.int8))
    if not box or box[0] is None:
        return None
    corners = np.stack(np.meshgrid(*[(s.start - 1.0, float(s.stop)) for s in box[0][::-1]], indexing="ij"), -1).reshape(-1, 3)
    through, (u, v) = np.asarray(through_mm, np.float64), _across(normal)
    flat = (geometry.index_to_world(corners) - through) @ np.stack([u, v], axis=1)
    low, high = flat.min(axis=0) - 2 * step_mm, flat.max(axis=0) + 2 * step_mm
    count = np.ceil((high - low) / step_mm).astype(int) + 1
    x, y = np.meshgrid(low[0] + step_mm * np.arange(count[0]), low[1] + step_mm * np.arange(count[1]))
    index = geometry.world_to_index(through + x[..., None] * u + y[..., None] * v)
    outside = min(float(level.min()), -1e-3)
    plane = ndimage.map_coordinates(level, np.moveaxis(index[..., ::-1], -1, 0), order=1, mode="constant", cval=outside)
    plane[[0, -1]] = plane[:, [0, -1]] = outside
    return plane, low
