"""Surfaces below the voxel: points on a level's zero set and distances to it.

A level is a float array ``[k, j, i]`` on a grid of cubic or brick-shaped voxels, positive inside.
Between voxel centres it is trilinear. Points are LPS millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

PROJECTION_STEPS = 8


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
        points = edge_crossings(level, origin, spacing)
        return cls(level, origin, spacing, points, cKDTree(points) if len(points) else None)

    def level_at(self, points_mm: np.ndarray) -> np.ndarray:
        """Trilinear level at ``(n, 3)`` points; the grid's edge value beyond the grid."""
        index = ((np.asarray(points_mm, float) - self.origin_mm) / self.spacing_mm)[:, ::-1].T
        return ndimage.map_coordinates(self.level, index, order=1, mode="nearest", output=np.float64)

    def gradient_at(self, points_mm: np.ndarray) -> np.ndarray:
        """Central differences of the trilinear level over half a voxel, ``(n, 3)`` per mm."""
        out = np.empty((len(points_mm), 3))
        for axis in range(3):
            step = np.zeros(3)
            step[axis] = 0.5 * self.spacing_mm[axis]
            out[:, axis] = (self.level_at(points_mm + step) - self.level_at(points_mm - step)) / self.spacing_mm[axis]
        return out

    def nearest(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(distance, foot)`` of ``(n, 3)`` points to the surface (mm).

        Starts at the nearest crossing and slides along the surface: step to the foot of the
        perpendicular on the tangent plane, pull back onto the level, keep what is nearer. Where the
        level is too rough for that the nearest crossing stands, which is never nearer than the truth
        by more than the interpolation's error.
        """
        points = np.asarray(points_mm, float)
        best, which = self.tree.query(points)
        foot = self.points_mm[which].copy()
        at = foot.copy()
        size = self.spacing_mm.min()
        for _ in range(PROJECTION_STEPS):
            g = self.gradient_at(at)
            norm = np.linalg.norm(g, axis=1)
            n = g / np.maximum(norm, 1e-12)[:, None]
            away = points - at
            lateral = away - (away * n).sum(1)[:, None] * n
            length = np.linalg.norm(lateral, axis=1)
            at = at + lateral * np.minimum(1.0, size / np.maximum(length, 1e-12))[:, None]
            for _ in range(2):
                g = self.gradient_at(at)
                square = np.maximum((g * g).sum(1), 1e-12)
                pull = -(self.level_at(at) / square)[:, None] * g
                far = np.linalg.norm(pull, axis=1)
                at = at + pull * np.minimum(1.0, 0.5 * size / np.maximum(far, 1e-12))[:, None]
            g = self.gradient_at(at)
            on_it = np.abs(self.level_at(at)) <= 0.02 * size * np.maximum(np.linalg.norm(g, axis=1), 1e-12)
            d = np.linalg.norm(points - at, axis=1)
            better = on_it & (d < best)
            best = np.where(better, d, best)
            foot[better] = at[better]
        return best, foot

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
