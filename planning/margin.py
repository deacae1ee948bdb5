"""How far the lethal zone reaches beyond the target: signed, below the voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planning.field.grid import FieldGrid
from planning.field.solution import FieldSolution
from planning.plan import TreatmentPlan
from planning.shapes import inside
from planning.surface import NO_SURFACE, LevelSurface
from planning.tissue_map import cell_points


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


def region_surface(plan: TreatmentPlan, number: int, grid: FieldGrid, pad_cells: int = 3) -> LevelSurface:
    """Surface of region ``number`` less the regions after it, sampled on the grid around it."""
    region = plan.regions[number]
    box = grid.box_of(*region.shape.bounds_mm(), pad_cells=pad_cells)
    if box is None:
        return NO_SURFACE
    points = cell_points(grid, box)
    level = region.shape.level_mm(points)
    for later in plan.regions[number + 1:]:
        low, high = later.shape.bounds_mm()
        if (low <= points.reshape(-1, 3)[-1]).all() and (high >= points.reshape(-1, 3)[0]).all():
            level = np.minimum(level, -later.shape.level_mm(points))
    return LevelSurface.of(level, points[0, 0, 0], grid.spacing_mm)


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
