"""Outlines that a hand draws on slices: made clean, joined, cut, carried on between slices, counted.

The outlines stay polygons, so that their volume is that of the lines and not of the voxels. What lies
between drawn slices is interpolated by shape (Raya and Udupa, IEEE TMI 1990;9:32-42), the shapes laid
over each other by their centroids (Herman, Zheng and Bucholtz, IEEE CG&A 1992;12(3):69-79). Instead of
the distance d to the outline, ``d (2 R - d)`` is interpolated, with R the radius of a disc as large as
the section: for the sections of a ball that is ``R^2 - r^2``, which along the stack is a parabola. Three
drawn slices of a ball therefore give the ball, where distances give two cones on end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from skimage.measure import approximate_polygon, find_contours

from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.planimetry import Planimetry, planimetry_of_slices
from volumetry.segmentation.contours import outlines_in_slice
from volumetry.segmentation.interpolation import mask_from_contours

Outlines = tuple[np.ndarray, ...]
GRID = 112  # points across the largest section: the sampled border errs by less than a thousandth of it
TOLERANCE = 0.03  # how far, in pixels, a drawn line may be simplified
CHUNK = 2_000_000  # numbers held at once
STEADY = 2.0  # a parabola counts fully where it rests on slices at least half as far apart as the gap

PLANE_INDEX = ((0, 1), (0, 2), (1, 2))  # (column, row) index axes of the planes across k, j, i


@dataclass(frozen=True, slots=True, eq=False)
class DrawnOutlines:
    """Outlines on slices across ``axis`` (0, 1, 2 = across k, j, i) of ``[k, j, i]``.

    ``drawn`` and ``between`` map a slice number to closed outlines (n, 2) of (column, row) in index
    units, even-odd; ``between`` holds what was interpolated.
    """

    axis: int
    drawn: Mapping[int, Outlines] = field(default_factory=dict)
    between: Mapping[int, Outlines] = field(default_factory=dict)

    @property
    def outlines(self) -> dict[int, Outlines]:
        """All outlines, drawn and interpolated."""
        return {**self.between, **self.drawn}

    def with_outline(self, number: int, outline: np.ndarray, geometry: ImageGeometry, *, take_away: bool = False) -> DrawnOutlines:
        """The outline added to a slice (``take_away``: cut out of it).

        On an interpolated slice an added outline takes the place of what was there, because the reader
        draws there to correct it. Where slices were interpolated, they are so anew. Refuses
        (``bad_contour``) what encloses nothing and slices outside the picture.
        """
        plane_shape = tuple(n for a, n in enumerate(geometry.shape) if a != self.axis)
        if not 0 <= number < geometry.shape[self.axis]:
            raise SegmentationRefused(f"There is no slice {number} in this picture.", code="bad_contour")
        metric = plane_metric(geometry, self.axis)
        new = clean_outline(outline, plane_shape, metric)
        old = self.drawn.get(number, self.between.get(number, ()) if take_away else ())
        drawn = dict(self.drawn)
        drawn[number] = combined(old, new, metric, take_away=take_away) if old else (() if take_away else new)
        if not drawn[number]:
            del drawn[number]
        made = DrawnOutlines(self.axis, drawn)
        return made.filled(geometry) if self.between and len(drawn) > 1 else made

    def filled(self, geometry: ImageGeometry) -> DrawnOutlines:
        """The same with the slices between drawn ones interpolated. Refuses (``too_few_contours``)
        fewer than two drawn slices."""
        return DrawnOutlines(self.axis, self.drawn, interpolate_outlines(self.drawn, geometry, axis=self.axis))

    def mask(self, geometry: ImageGeometry) -> np.ndarray:
        """Bool ``[k, j, i]``: voxels whose centre lies inside an outline of their slice."""
        return mask_from_contours({n: list(lines) for n, lines in self.outlines.items()}, geometry, axis=self.axis, interpolate=False)

    def planimetry(self, geometry: ImageGeometry) -> Planimetry | None:
        """Areas times slice distance, every slice for itself, as the mask has it; None without outlines."""
        found = {n: lines for n, lines in self.outlines.items() if lines}
        return planimetry_of_slices(found, geometry, axis=self.axis, only_drawn=True) if found else None


def plane_metric(geometry: ImageGeometry, axis: int) -> np.ndarray:
    """(2, 2) matrix from (column, row) of a plane across ``axis`` to millimetres in it; right for sheared grids."""
    first, second = (geometry.affine[:3, n] for n in PLANE_INDEX[axis])
    length = float(np.linalg.norm(first))
    along = float(second @ first) / length
    return np.array([[length, along], [0.0, np.sqrt(max(float(second @ second) - along**2, 0.0))]])


def clean_outline(points: np.ndarray, plane_shape: tuple[int, int], metric: np.ndarray) -> Outlines:
    """A drawn line as closed outlines that do not cross themselves.

    ``points`` (n, 2) of (column, row); the end is joined to the start. Where the line crosses itself,
    as a loop drawn a little too far does, all it goes round is inside. Points outside the plane
    ``(rows, columns)`` are moved to its edge. Refuses (``bad_contour``) fewer than three points, NaN,
    and lines that enclose nothing.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise SegmentationRefused("An outline needs at least three points.", code="bad_contour")
    points = np.clip(points, -0.5, np.array(plane_shape[::-1]) - 0.5)
    kept = np.linalg.norm(np.diff(points, axis=0, append=points[:1]), axis=1) > 1e-9
    points = _simplified(points[kept])
    if len(points) >= 3 and not _crosses_itself(points):
        if abs(_signed_area(points)) * abs(np.linalg.det(metric)) > 1e-6:
            return (points,)
    elif len(points) >= 3:
        lines = [points @ metric.T]
        grid = _Grid.around(lines)
        found = grid.outlines(np.where(_turns(lines, grid, signed=True) != 0, 1.0, -1.0) * _gap_mm(lines, grid))
        if found:
            return tuple(line @ np.linalg.inv(metric).T for line in found)
    raise SegmentationRefused("The outline encloses nothing.", code="bad_contour")


def combined(old: Outlines, new: Outlines, metric: np.ndarray, *, take_away: bool = False) -> Outlines:
    """Outlines around what lies in either (``take_away``: in ``old`` but not in ``new``)."""
    first, second = ([line @ metric.T for line in lines] for lines in (old, new))
    if not take_away and _apart(first, second):
        return (*old, *new)
    if take_away and _apart(first, second):
        return old
    grid = _Grid.around([*first, *second])
    a, b = (distance_mm(lines, grid) for lines in (first, second))
    return tuple(line @ np.linalg.inv(metric).T for line in grid.outlines(np.minimum(a, -b) if take_away else np.maximum(a, b)))


def outlines_of_mask(array: np.ndarray, axis: int) -> dict[int, Outlines]:
    """Outlines of every non-empty slice of ``array[k, j, i]`` across ``axis``, half-way between voxel
    centres, as ``DrawnOutlines`` keeps them."""
    occupied = np.flatnonzero(array.any(axis=tuple(a for a in range(3) if a != axis)))
    columns = list(PLANE_INDEX[axis])
    return {int(n): tuple(line[:-1, columns] for line in outlines_in_slice(array, axis, int(n))) for n in occupied}


def interpolate_outlines(contours: Mapping[int, Iterable[np.ndarray]], geometry: ImageGeometry, *, axis: int = 0) -> dict[int, Outlines]:
    """Outlines on the empty slices between drawn ones.

    ``contours`` as in ``DrawnOutlines.drawn``. Between two slices the parabolas through them and
    their neighbours on either side are blended, so that a slice drawn anew changes nothing farther
    than two drawn slices away; between two slices alone the course is straight. Nothing is added
    before the first and after the last. A parabola that rests on slices much closer together than the
    gap it bridges would magnify the unsteadiness of the hand and counts less. Refuses
    (``too_few_contours``) fewer than two drawn slices.
    """
    metric = plane_metric(geometry, axis)
    drawn = {int(n): [np.asarray(line, dtype=np.float64) @ metric.T for line in lines] for n, lines in contours.items()}
    numbers = np.array(sorted(n for n, lines in drawn.items() if lines))
    if numbers.size < 2:
        raise SegmentationRefused("Draw the outline on at least two slices; the slices between are then filled.", code="too_few_contours")
    middles, radii = zip(*(_middle_and_radius(drawn[n]) for n in numbers), strict=True)
    centred = [[line - middle for line in drawn[n]] for n, middle in zip(numbers, middles, strict=True)]
    grid = _Grid.around([line for lines in centred for line in lines])
    shapes = []
    for lines, radius in zip(centred, radii, strict=True):
        d = distance_mm(lines, grid)
        shapes.append(np.where(d > 0, d * (2 * radius - d), d * (2 * radius + np.abs(d))))
    out = {}
    for n in range(int(numbers[0]) + 1, int(numbers[-1])):
        if n in numbers:
            continue
        weights = _weights(numbers, n)
        middle = sum(w * middles[m] for m, w in weights.items())
        lines = grid.outlines(sum(w * shapes[m] for m, w in weights.items()))
        if lines:
            out[n] = tuple((line + middle) @ np.linalg.inv(metric).T for line in lines)
    return out


def _weights(numbers: np.ndarray, n: int) -> dict[int, float]:
    """How much each drawn slice (by its place in ``numbers``) counts on slice ``n`` between them."""
    right = int(np.searchsorted(numbers, n))
    left = right - 1
    gap = float(numbers[right] - numbers[left])
    share = (n - numbers[left]) / gap
    total = {left: 1.0 - share, right: share}
    sides = [(outer, blend) for outer, blend in ((left - 1, 1.0 - share), (right + 1, share)) if 0 <= outer < len(numbers)]
    if len(sides) == 1:
        sides = [(sides[0][0], 1.0)]
    for outer, blend in sides:
        three = (outer, left, right)
        inner = abs(float(numbers[outer] - numbers[left if outer < left else right]))
        steady = blend * min(1.0, STEADY * inner / gap)
        for m in three:
            others = [numbers[o] for o in three if o != m]
            parabola = float(np.prod([(n - o) / (numbers[m] - o) for o in others]))
            straight = {left: 1.0 - share, right: share}.get(m, 0.0)
            total[m] = total.get(m, 0.0) + steady * (parabola - straight)
    return total


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """Square sampling of a plane in mm: ``start`` + ``step`` x (column, row), ``columns`` x ``rows``."""

    start: np.ndarray
    step: float
    columns: int
    rows: int

    @classmethod
    def around(cls, lines: list[np.ndarray]) -> _Grid:
        points = np.concatenate(lines)
        low, high = points.min(axis=0), points.max(axis=0)
        step = max(float((high - low).max()), 1e-3) / GRID
        # Room for a parabola's belly between two slices.
        room = np.maximum(0.15 * (high - low), 4 * step)
        columns, rows = (np.ceil((high - low + 2 * room) / step).astype(int) + 1).tolist()
        return cls(low - room, step, columns, rows)

    @property
    def points(self) -> np.ndarray:
        """(rows x columns, 2) places in mm."""
        row, column = np.mgrid[: self.rows, : self.columns]
        return self.start + self.step * np.stack([column.ravel(), row.ravel()], axis=1)

    def outlines(self, values: np.ndarray) -> list[np.ndarray]:
        """Closed outlines (n, 2) in mm around what is above 0."""
        padded = np.pad(values.reshape(self.rows, self.columns), 1, constant_values=-1e-6)
        out = []
        for line in find_contours(padded, 0.0):
            line = _simplified(line[:-1, ::-1] - 1, TOLERANCE)
            if len(line) >= 3 and abs(_signed_area(line)) > 1.0:  # crumbs smaller than a sample are not the hand's
                out.append(self.start + self.step * line)
        return out


def distance_mm(lines: list[np.ndarray], grid: _Grid) -> np.ndarray:
    """Distance in mm of every grid point to the outlines, positive inside (even-odd)."""
    return np.where(_inside(lines, grid), 1.0, -1.0) * _gap_mm(lines, grid)


def _gap_mm(lines: list[np.ndarray], grid: _Grid) -> np.ndarray:
    """Unsigned distance of every grid point to the nearest of the lines."""
    a = np.concatenate(lines)
    along = np.concatenate([np.roll(line, -1, axis=0) for line in lines]) - a
    square = np.maximum((along**2).sum(axis=1), 1e-18)
    points = grid.points
    out = np.empty(len(points))
    rows = max(1, CHUNK // len(a))
    for start in range(0, len(points), rows):
        p = points[start : start + rows]
        x, y = p[:, :1] - a[:, 0], p[:, 1:] - a[:, 1]
        share = np.clip((x * along[:, 0] + y * along[:, 1]) / square, 0.0, 1.0)
        out[start : start + rows] = np.sqrt(((x - share * along[:, 0]) ** 2 + (y - share * along[:, 1]) ** 2).min(axis=1))
    return out


def _turns(lines: list[np.ndarray], grid: _Grid, *, signed: bool) -> np.ndarray:
    """How often the lines go round each grid point, or how many of their edges lie to its right."""
    a = (np.concatenate(lines) - grid.start) / grid.step
    b = (np.concatenate([np.roll(line, -1, axis=0) for line in lines]) - grid.start) / grid.step
    row = np.arange(grid.rows)
    crosses = (a[:, 1:] > row) != (b[:, 1:] > row)
    edge, at = np.nonzero(crosses)
    x = a[edge, 0] + (b[edge, 0] - a[edge, 0]) * (at - a[edge, 1]) / (b[edge, 1] - a[edge, 1])
    # an edge counts for every point left of it: from its column down to the first one
    last = np.clip(np.ceil(x).astype(int), 0, grid.columns)
    steps = np.zeros((grid.rows, grid.columns + 1), dtype=np.int32)
    np.add.at(steps, (at, last), np.where(b[edge, 1] > a[edge, 1], 1, -1) if signed else 1)
    return steps[:, :0:-1].cumsum(axis=1)[:, ::-1].ravel()


def _inside(lines: list[np.ndarray], grid: _Grid) -> np.ndarray:
    return _turns(lines, grid, signed=False) % 2 == 1


def _signed_area(points: np.ndarray) -> float:
    p = points - points[0]
    q = np.roll(p, -1, axis=0)
    return float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / 2.0)


def _simplified(points: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Fewer points on the same closed line."""
    if len(points) < 5:
        return points
    return approximate_polygon(np.concatenate([points, points[:1]]), tolerance)[:-1]


def _crosses_itself(points: np.ndarray) -> bool:
    """True where two edges that are no neighbours meet."""
    a, b = points, np.roll(points, -1, axis=0)
    d = b - a
    n = len(points)
    gap = a[None] - a[:, None]
    across = d[:, None, 0] * d[None, :, 1] - d[:, None, 1] * d[None, :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (gap[..., 0] * d[None, :, 1] - gap[..., 1] * d[None, :, 0]) / across
        u = (gap[..., 0] * d[:, None, 1] - gap[..., 1] * d[:, None, 0]) / across
    hit = (across != 0) & (t >= 0) & (t <= 1) & (u >= 0) & (u <= 1)
    order = np.arange(n)
    apart = (order[:, None] - order[None]) % n
    return bool((hit & (apart > 1) & (apart < n - 1)).any())


def _apart(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    """True where the boxes around the two do not touch."""
    a, b = np.concatenate(first), np.concatenate(second)
    return bool((a.max(axis=0) < b.min(axis=0)).any() or (b.max(axis=0) < a.min(axis=0)).any())


def _middle_and_radius(lines: list[np.ndarray]) -> tuple[np.ndarray, float]:
    """Centroid and the radius of a disc as large, in mm, of what the lines enclose (even-odd)."""
    grid = _Grid.around(lines)
    points, inside = grid.points, _inside(lines, grid)
    if not inside.any():
        return points.mean(axis=0), grid.step
    return points[inside].mean(axis=0), float(np.sqrt(inside.sum() / np.pi)) * grid.step
