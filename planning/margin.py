"""How far the lethal zone reaches beyond the target: signed, below the voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planning.field.grid import FieldGrid
from planning.field.solution import FieldSolution
from planning.plan import TreatmentPlan
from planning.shapes import MaskShape, inside
from planning.surface import NO_SURFACE, LevelSurface
from planning.tissue_map import cell_points

CELLS_ACROSS = 4  # of a thin shape, or its surface falls between the cells
MASK_STEP_MM = 0.5
PARTS_MOST = 32
FINER_CELLS_MOST, SURFACE_CELLS_MOST = 1_500_000, 16_000_000
SEEN_MM = 30.0  # a structure farther than this from the solved box and the needles has no distance


@dataclass(frozen=True, slots=True, eq=False)
class MarginMap:
    """``distance_mm`` at each of ``points_mm`` (n, 3) on the target's surface: distance to the
    lethal surface, positive where that point is ablated. ``area_mm2`` is the piece of surface that each stands for."""

    points_mm: np.ndarray
    distance_mm: np.ndarray
    area_mm2: np.ndarray

    @property
    def minimal_mm(self) -> float:
        """The smallest of them."""
        return float(self.distance_mm.min())


def signed_margin(target: LevelSurface, lethal: LevelSurface) -> MarginMap | None:
    """Margin at every surface point of ``target``; None where either has no surface."""
    if len(target.points_mm) == 0 or len(lethal.points_mm) == 0:
        return None
    return MarginMap(target.points_mm, lethal.signed_distance(target.points_mm), target.areas_mm2())


def around_needles(plan: TreatmentPlan) -> tuple[np.ndarray, np.ndarray]:
    """Low and high corner of the box in which structures are looked for: that of the domain and of all needles up to
    their entries, and SEEN_MM around it."""
    points = np.array([plan.domain.low_mm, plan.domain.high_mm, *(p for e in plan.electrodes for p in (e.tip_mm, plan.shaft_end_mm(e)))])
    return points.min(0) - SEEN_MM, points.max(0) + SEEN_MM


def region_surface(plan: TreatmentPlan, number: int, grid: FieldGrid, pad_cells: int = 3, room_mm: tuple[np.ndarray, np.ndarray] | None = None) -> LevelSurface:
    """Surface of region ``number`` less the regions after it, sampled in the box of ``grid``, or in ``room_mm`` (low and
    high corner), which may reach beyond it. A shape too thin for the grid's cells is sampled finer. Where the whole room
    lies inside the region there is no surface, and the level is positive everywhere."""
    region = plan.regions[number]
    low, high = region.shape.bounds_mm()
    if room_mm is not None:
        low, high = np.maximum(low, room_mm[0]), np.minimum(high, room_mm[1])
    if (low > high).any():
        return NO_SURFACE
    step = _step_mm(region.shape, grid.spacing_mm, high - low)
    origin = np.asarray(grid.origin_mm) + 0.5 * (step - grid.spacing_mm)
    first = np.floor((low - origin) / step).astype(int) - pad_cells
    last = np.ceil((high - origin) / step).astype(int) + pad_cells
    if room_mm is None:
        count = np.round(np.array(grid.shape[::-1]) * grid.spacing_mm / step).astype(int)
        first, last = np.maximum(first, 0), np.minimum(last, count - 1)
        if (first > last).any():
            return NO_SURFACE
    own = FieldGrid(tuple(int(n) for n in (last - first + 1)[::-1]), step, tuple(float(v) for v in origin + step * first), grid.counted_mm)
    points = cell_points(own, tuple(slice(0, n) for n in own.shape))
    level = region.shape.level_mm(points)
    for later in plan.regions[number + 1:]:
        low, high = later.shape.bounds_mm()
        if (low <= points.reshape(-1, 3)[-1]).all() and (high >= points.reshape(-1, 3)[0]).all():
            level = np.minimum(level, -later.shape.level_mm(points))
    return LevelSurface.of(level, points[0, 0, 0], step)


def _step_mm(shape, spacing_mm: float, size_mm: np.ndarray) -> float:
    """Side of the cells that a shape is sampled with: the grid's, or the whole part of it that a thin shape needs, or
    more where there would be too many cells."""
    wanted = max(min(shape.mask.geometry.spacing_mm), MASK_STEP_MM) if isinstance(shape, MaskShape) else shape.thickness_mm / CELLS_ACROSS
    parts = int(np.clip(np.ceil(spacing_mm / wanted - 1e-6), 1, PARTS_MOST))
    while parts > 1 and np.prod(size_mm * parts / spacing_mm + 6) > FINER_CELLS_MOST:
        parts -= 1
    step = spacing_mm / parts
    while np.prod(size_mm / step + 6) > SURFACE_CELLS_MOST:
        step *= 2
    return float(step)


def lethal_surface(solution: FieldSolution, lethal_v_per_cm: float) -> LevelSurface:
    """Surface of the zone with |E| at or above a threshold, cut to where it is."""
    e = solution.e_max_v_per_cm
    hot = e >= lethal_v_per_cm
    box = []
    for axis in range(3):
        hits = np.flatnonzero(hot.any(axis=tuple(a for a in range(3) if a != axis)))
        if hits.size == 0:
            return NO_SURFACE
        box.append(slice(max(0, hits[0] - 2), min(e.shape[axis], hits[-1] + 3)))
    spacing = np.asarray(solution.geometry.spacing_mm)
    origin = np.asarray(solution.geometry.origin_mm) + spacing * [box[2].start, box[1].start, box[0].start]
    # the logarithm of the field is nearly linear around a needle: better between voxel centres
    level = np.log(np.maximum(e[tuple(box)], 1e-3).astype(float) / lethal_v_per_cm)
    return LevelSurface.of(level, origin, spacing)


def distance_outside_mm(plan: TreatmentPlan, number: int, grid: FieldGrid, surface: LevelSurface, reach_mm: float):
    """``(box, distance)``: distance (mm) of cell centres to region ``number``'s surface in the box
    that reaches ``reach_mm`` beyond it; negative inside the region."""
    low, high = plan.regions[number].shape.bounds_mm()
    box = grid.box_of(low - reach_mm, high + reach_mm, pad_cells=2)
    points = cell_points(grid, box)
    within = inside(plan.regions[number].shape, points)
    coarse, _ = surface.tree.query(points.reshape(-1, 3), distance_upper_bound=reach_mm + 3 * grid.spacing_mm)
    distance = np.where(np.isfinite(coarse), coarse, 10 * reach_mm + 100).reshape(within.shape)
    edge = np.abs(distance - reach_mm) < 1.5 * grid.spacing_mm
    if edge.any():
        distance[edge] = surface.nearest(points[edge])[0]
    return box, np.where(within, -distance, distance)
