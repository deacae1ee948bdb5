"""Shapes whose volume is known before anything is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from app.demo.kernels.coverage import fill_coverage
from volumetry.geometry import ImageGeometry


def rotation_from(alpha_deg: float, beta_deg: float, gamma_deg: float) -> np.ndarray:
    """3x3 rotation about x, then y, then z (degrees)."""
    a, b, c = np.deg2rad([alpha_deg, beta_deg, gamma_deg])
    rx = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    ry = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    rz = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx


def _bumps(directions: np.ndarray, lobes: np.ndarray) -> np.ndarray:
    """Surface radius before scaling, for unit ``directions`` (..., 3)."""
    out = np.ones(directions.shape[:-1])
    for x, y, z, order, weight in lobes:
        t = directions @ np.array([x, y, z])
        out = out + weight * np.polynomial.legendre.legval(t, [0.0] * int(order) + [1.0])
    return out


def _sphere_points(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Directions and weights that integrate polynomials on the sphere exactly (degree 2n - 1)."""
    t, w = np.polynomial.legendre.leggauss(n)
    phi = 2 * math.pi * np.arange(2 * n) / (2 * n)
    s = np.sqrt(1 - t**2)
    d = np.stack([s[:, None] * np.cos(phi), s[:, None] * np.sin(phi), np.repeat(t[:, None], 2 * n, axis=1)], axis=-1)
    return d, np.repeat(w[:, None], 2 * n, axis=1) * (math.pi / n)


@dataclass(frozen=True, slots=True, eq=False)
class LobulatedEllipsoid:
    """A smooth star-shaped body: an ellipsoid times low-order spherical harmonics.

    ``semi_axes_mm`` lie along the columns of ``rotation`` (LPS unit vectors). The lobes are
    scaled so that the volume is exactly that of the plain ellipsoid, 4/3 pi a b c.
    """

    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]
    rotation: np.ndarray
    lobes: np.ndarray
    scale: float = 1.0

    @classmethod
    def make(cls, centre_mm, semi_axes_mm, rotation=None, lobes=None) -> LobulatedEllipsoid:
        """Build with the scale that keeps the volume; ``lobes`` rows: direction (3), order, weight."""
        rows = np.zeros((0, 5)) if lobes is None else np.asarray(lobes, dtype=np.float64).reshape(-1, 5).copy()
        if rows.size:
            rows[:, :3] /= np.linalg.norm(rows[:, :3], axis=1, keepdims=True)
        d, w = _sphere_points()
        mean_cube = float((_bumps(d, rows) ** 3 * w).sum() / (4 * math.pi))
        rotation = np.eye(3) if rotation is None else np.asarray(rotation, dtype=np.float64)
        return cls(
            tuple(float(v) for v in centre_mm),
            tuple(float(v) for v in semi_axes_mm),
            rotation,
            rows,
            mean_cube ** (-1 / 3),
        )

    @classmethod
    def random_lobes(cls, rng: np.random.Generator, strength: float = 0.06, count: int = 4) -> np.ndarray:
        """``count`` random lobes of order 2 to 4 with weights of about ``strength``."""
        directions = rng.normal(size=(count, 3))
        orders = rng.integers(2, 5, size=count)
        weights = rng.normal(size=count) * strength / np.sqrt(orders - 1)
        return np.column_stack([directions, orders, np.clip(weights, -1.6 * strength, 1.6 * strength)])

    @property
    def volume_ml(self) -> float:
        """True volume."""
        return 4 / 3 * math.pi * float(np.prod(self.semi_axes_mm)) / 1000

    def resized(self, factor: float) -> LobulatedEllipsoid:
        """The same shape with ``factor`` times the volume."""
        return replace(self, semi_axes_mm=tuple(a * factor ** (1 / 3) for a in self.semi_axes_mm))

    def moved(self, rotation: np.ndarray, shift_mm: np.ndarray) -> LobulatedEllipsoid:
        """The shape after ``x -> rotation x + shift_mm``."""
        centre = rotation @ np.asarray(self.centre_mm) + shift_mm
        return replace(self, centre_mm=tuple(float(v) for v in centre), rotation=rotation @ self.rotation)

    def surface_points_mm(self, n: int = 24) -> np.ndarray:
        """Points (m, 3) on the surface, LPS mm."""
        d, _ = _sphere_points(n)
        u = d.reshape(-1, 3)
        q = u * (self.scale * _bumps(u, self.lobes))[:, None]
        return (q * np.asarray(self.semi_axes_mm)) @ self.rotation.T + np.asarray(self.centre_mm)

    def contains(self, points_mm: np.ndarray) -> np.ndarray:
        """Bool for each of ``(..., 3)`` LPS points."""
        q = (np.asarray(points_mm) - self.centre_mm) @ self.rotation / np.asarray(self.semi_axes_mm)
        r = np.linalg.norm(q, axis=-1)
        u = q / np.maximum(r, 1e-9)[..., None]
        return r <= self.scale * _bumps(u, self.lobes)

    def coverage(self, geometry: ImageGeometry, samples: int = 6) -> tuple[tuple[slice, slice, slice], np.ndarray] | None:
        """Box (k, j, i) and covered fraction of its voxels (float32); None where off the grid."""
        index = geometry.world_to_index(self.surface_points_mm())
        low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, np.array(geometry.shape[::-1]))
        if (high <= low).any():
            return None
        affine = geometry.affine
        m = (self.rotation.T @ affine[:3, :3]) / np.asarray(self.semi_axes_mm)[:, None]
        t = self.rotation.T @ (affine[:3, 3] - np.asarray(self.centre_mm)) / np.asarray(self.semi_axes_mm)
        to_unit = np.column_stack([m, t + m @ low])
        out = np.empty(tuple((high - low)[::-1]), dtype=np.float32)
        fill_coverage(out, to_unit, self.lobes, self.scale, samples)
        box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
        return box, out
