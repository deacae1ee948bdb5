"""Surfaces below the voxel: points on a level's zero set and distances to it.

A level is a float array ``[k, j, i]`` on a grid of cubic or brick-shaped voxels, positive inside.
Between voxel centres it is trilinear. Points are LPS millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from planning.kernels.surface import sample_level, slide_to_nearest


@dataclass(frozen=True, slots=True, eq=False)
class LevelSurface:
    """The zero surface of a level on an axis-aligned grid (centre of voxel 0 at ``origin_mm``,
    steps ``spacing_mm`` along x, y, z). ``points_mm`` are its crossings with the grid's edges."""

    level: np.ndarray
    origin_mm: np.ndarray
    spacing_mm: np.ndarray
    points_mm: np.ndarray
    tree: cKDTree | None

    @classmethod
    def of(cls, level: np.ndarray, origin_mm, spacing_mm) -> LevelSurface:
        """Find the crossings; ``points_mm`` is empty where the level never changes sign."""
        origin, spacing = np.asarray(origin_mm, float), np.broadcast_to(np.asarray(spacing_mm, float), 3).copy()
        points = edge_crossings(np.asarray(level), origin, spacing)
        level = np.ascontiguousarray(level, dtype=np.float32)
        return cls(level, origin, spacing, points, cKDTree(points) if len(points) else None)

    def _index(self, points_mm: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray((np.asarray(points_mm, float) - self.origin_mm) / self.spacing_mm)

    def level_at(self, points_mm: np.ndarray) -> np.ndarray:
        """Trilinear level at ``(n, 3)`` points; the grid's edge value beyond the grid."""
        out = np.empty(len(points_mm))
        sample_level(self.level, self._index(points_mm), out)
        return out

    def areas_mm2(self) -> np.ndarray:
        """``(n,)`` area that each of ``points_mm`` stands for. Grid lines cross a piece of surface with normal n
        |n_x| / (h_y h_z) + ... times per area, so each crossing is worth one over that (Cauchy and Crofton's counting)."""
        slope = np.empty_like(self.points_mm)
        for axis in range(3):
            step = np.zeros(3)
            step[axis] = 0.5 * self.spacing_mm[axis]
            slope[:, axis] = (self.level_at(self.points_mm + step) - self.level_at(self.points_mm - step)) / self.spacing_mm[axis]
        size = np.linalg.norm(slope, axis=1)
        normal = np.where(size[:, None] > 1e-9, np.abs(slope) / np.maximum(size, 1e-9)[:, None], 1.0 / np.sqrt(3.0))
        return np.prod(self.spacing_mm) / (normal @ self.spacing_mm)

    def nearest(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(distance, foot)`` of ``(n, 3)`` points to the surface (mm).

        Starts at the nearest crossing and slides along the surface below the voxel; where the level
        is too rough for that the nearest crossing stands.
        """
        distance, which = self.tree.query(np.asarray(points_mm, float))
        feet = self._index(self.points_mm[which])
        slide_to_nearest(self.level, self.spacing_mm, self._index(points_mm), feet, distance)
        return distance, feet * self.spacing_mm + self.origin_mm

    def signed_distance(self, points_mm: np.ndarray) -> np.ndarray:
        """Distance to the surface, positive where the level is positive."""
        d, _ = self.nearest(points_mm)
        return np.where(self.level_at(points_mm) >= 0, d, -d)


def edge_crossings(level: np.ndarray, origin_mm: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """``(n, 3)`` LPS points where the grid's edges cross the zero of ``level`` (linear)."""
    out = []
    positive = level >= 0
    for axis in range(3):  # array axis
        first = [slice(None)] * 3
        second = [slice(None)] * 3
        first[axis], second[axis] = slice(0, -1), slice(1, None)
        where = np.nonzero(positive[tuple(first)] != positive[tuple(second)])
        if where[0].size == 0:
            continue
        a, b = level[tuple(first)][where].astype(float), level[tuple(second)][where].astype(float)
        index = np.stack(where, axis=1).astype(float)
        index[:, axis] += a / (a - b)
        out.append(index[:, ::-1] * spacing_mm + origin_mm)
    return np.concatenate(out) if out else np.zeros((0, 3))


NO_SURFACE = LevelSurface(np.full((1, 1, 1), -1.0, np.float32), np.zeros(3), np.ones(3), np.zeros((0, 3)), None)
