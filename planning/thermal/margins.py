"""Margins between a lesion and a zone, signed and below the voxel, with area-true shares of the lesion's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planning.field.grid import FieldGrid
from planning.shapes import MaskShape, Shape
from planning.surface import NO_SURFACE, LevelSurface
from planning.tissue_map import cell_points

BELOW_MM = (0.0, 5.0, 10.0)
PERCENTILES = (5, 50)
CELLS_MOST = 12_000_000


def grid_around(low_mm, high_mm, spacing_mm: float, pad_mm: float) -> FieldGrid:
    """A grid over a box and ``pad_mm`` around it; coarser than asked where it would have too many cells."""
    low, high = np.asarray(low_mm, float) - pad_mm, np.asarray(high_mm, float) + pad_mm
    spacing = max(spacing_mm, float(np.prod(high - low) / CELLS_MOST) ** (1 / 3))
    return FieldGrid.around(0.5 * (low + high), high - low, spacing)


def surface_of(shape: Shape, spacing_mm: float) -> LevelSurface:
    """The surface of a shape on a grid of its own; no coarser than a mask's own voxels."""
    if isinstance(shape, MaskShape):
        spacing_mm = min(spacing_mm, min(shape.mask.geometry.spacing_mm))
    low, high = shape.bounds_mm()
    grid = grid_around(low, high, spacing_mm, 3 * spacing_mm)
    points = cell_points(grid, tuple(slice(0, n) for n in grid.shape))
    return LevelSurface.of(shape.level_mm(points), points[0, 0, 0], grid.spacing_mm)


def area_weights(surface: LevelSurface) -> np.ndarray:
    """Area that each point of the surface stands for, up to one factor: edges of the grid cross a surface of normal n in
    the density ``|nx| + |ny| + |nz|`` per area of a cell's face."""
    points, h = surface.points_mm, surface.spacing_mm
    slope = np.empty((len(points), 3))
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 0.5 * h[axis]
        slope[:, axis] = (surface.level_at(points + step) - surface.level_at(points - step)) / h[axis]
    length = np.linalg.norm(slope, axis=1)
    share = np.abs(slope).sum(1) / np.maximum(length, 1e-12)
    return np.where(length > 1e-9, 1.0 / np.maximum(share, 1.0), 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class MarginFigures:
    """Signed distance (mm, positive where ablated) at ``points_mm`` of the lesion's surface, each with the area it stands
    for (``weights``)."""

    points_mm: np.ndarray
    distance_mm: np.ndarray
    weights: np.ndarray

    def to_dict(self, margin_mm: float | None = None) -> dict:
        """``minimal_margin_mm``, ``margin_mm_percentiles``, ``surface_below_pct`` (keys in mm), ``surface_points``."""
        if not len(self.distance_mm):
            return {"minimal_margin_mm": None, "margin_mm_percentiles": None, "surface_below_pct": None, "surface_points": 0}
        order = np.argsort(self.distance_mm)
        d, share = self.distance_mm[order], np.cumsum(self.weights[order]) / self.weights.sum()
        levels = sorted({*BELOW_MM, *(() if margin_mm is None else (float(margin_mm),))})
        below = {f"{mm:g}": 100.0 * float(self.weights[self.distance_mm < mm].sum() / self.weights.sum()) for mm in levels}
        return {"minimal_margin_mm": float(d[0]), "margin_mm_percentiles": {str(p): float(d[min(int(np.searchsorted(share, p / 100.0)), d.size - 1)]) for p in PERCENTILES},
                "surface_below_pct": below, "surface_points": int(d.size)}

    def away_from(self, capsule: LevelSurface, least_mm: float) -> MarginFigures:
        """Without the points nearer than ``least_mm`` to the liver's surface."""
        if capsule.tree is None or not len(self.points_mm):
            return self
        far = capsule.tree.query(self.points_mm)[0] >= least_mm
        return MarginFigures(self.points_mm[far], self.distance_mm[far], self.weights[far])


def margins(lesion: LevelSurface, zone: LevelSurface, matrix=None) -> MarginFigures | None:
    """Distances of the lesion's surface, carried by ``matrix`` (4 x 4, LPS mm) into the zone's frame, to the zone's surface.
    None where the lesion or the zone has no surface."""
    if lesion.tree is None or zone.tree is None:
        return None
    points = lesion.points_mm
    if matrix is not None:
        m = np.asarray(matrix, float)
        points = points @ m[:3, :3].T + m[:3, 3]
    return MarginFigures(points, zone.signed_distance(points), area_weights(lesion))


def capsule_near(liver: Shape, low_mm, high_mm, reach_mm: float, spacing_mm: float) -> LevelSurface:
    """The liver's surface within ``reach_mm`` of a box; none where it does not pass there."""
    low, high = np.asarray(low_mm, float), np.asarray(high_mm, float)
    if isinstance(liver, MaskShape):
        spacing_mm = max(spacing_mm, min(liver.mask.geometry.spacing_mm))
    grid = grid_around(low, high, spacing_mm, reach_mm + 2 * spacing_mm)
    points = cell_points(grid, tuple(slice(0, n) for n in grid.shape))
    level = liver.level_mm(points)
    if level.min() >= 0 or level.max() < 0:
        return NO_SURFACE
    return LevelSurface.of(level, points[0, 0, 0], grid.spacing_mm)
