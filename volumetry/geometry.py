"""Where voxels lie in the patient.

Index points are ``(i, j, k)`` = column, row, slice at voxel centres, counted from 0.
World points are LPS millimetres ``(x, y, z)``. Arrays are ordered ``[k, j, i]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.errors import GeometryRefused

# Numbers beyond these are damage; they would overflow or lose the millimetres on the way.
LONGEST_STEP_MM, FARTHEST_MM = 1e5, 1e9


@dataclass(frozen=True, slots=True, eq=False)
class ImageGeometry:
    """Shape of a voxel grid and its affine map into the patient.

    ``shape`` is the array's ``(slices, rows, columns)``; ``affine`` is 4x4 and maps homogeneous
    ``(i, j, k, 1)`` to LPS millimetres. Sheared stacks (gantry tilt) are representable: the
    columns of the affine need not be orthogonal; ask ``is_sheared``.

    Raises ``GeometryRefused`` for a non-finite, absurd or singular affine or an empty shape.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryRefused(f"An image needs three sides of at least one voxel, not {shape}.", code="bad_shape")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise GeometryRefused("The image's position or spacing is not a finite number.", code="bad_spacing")
        if np.abs(affine[:3, :3]).max() > LONGEST_STEP_MM or np.abs(affine[:3, 3]).max() > FARTHEST_MM:
            raise GeometryRefused("The image's position or spacing is beyond anything that is scanned.", code="bad_spacing")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise GeometryRefused("The image's spacing is zero in at least one direction.", code="bad_spacing")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_spacing(cls, shape, spacing_mm, origin_mm=(0.0, 0.0, 0.0), direction=None) -> ImageGeometry:
        """Grid from ``shape`` (k, j, i), ``spacing_mm`` (i, j, k), centre of voxel 0 and a 3x3
        ``direction`` whose columns are the unit vectors of i, j and k. Spacing must be positive.
        """
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        if spacing.shape != (3,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
            raise GeometryRefused(f"Spacing must be three positive numbers, not {list(np.ravel(spacing))}.", code="bad_spacing")
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3) if direction is None else np.asarray(direction, dtype=np.float64)) * spacing
        affine[:3, 3] = origin_mm
        return cls(tuple(shape), affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Length of one step along i, j and k. For a sheared stack the k step is longer than the
        distance between planes; volumes use ``voxel_size_mm3``, which is right for both."""
        return tuple(float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """LPS position of the centre of voxel (0, 0, 0)."""
        return tuple(float(v) for v in self.affine[:3, 3])

    @property
    def direction(self) -> np.ndarray:
        """3x3 matrix whose columns are the unit vectors of i, j and k."""
        return self.affine[:3, :3] / np.asarray(self.spacing_mm)

    @property
    def voxel_size_mm3(self) -> float:
        """Volume of one voxel: the absolute determinant, so right for sheared grids too."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def is_sheared(self) -> bool:
        """True where the axes are not at right angles (beyond 1e-3 rad)."""
        d = self.direction
        return bool(np.abs(d.T @ d - np.eye(3)).max() > 1e-3)

    @property
    def is_axis_aligned(self) -> bool:
        """True where i, j and k run along single LPS axes (either sense)."""
        return bool(np.allclose(np.sort(np.abs(self.direction), axis=0)[:2], 0, atol=1e-4))

    def index_to_world(self, points_ijk) -> np.ndarray:
        """Map ``(..., 3)`` index points (i, j, k) to LPS mm."""
        p = np.asarray(points_ijk, dtype=np.float64)
        return p @ self.affine[:3, :3].T + self.affine[:3, 3]

    def world_to_index(self, points_mm) -> np.ndarray:
        """Map ``(..., 3)`` LPS mm points to (fractional) index points (i, j, k)."""
        p = np.asarray(points_mm, dtype=np.float64) - self.affine[:3, 3]
        return p @ np.linalg.inv(self.affine[:3, :3]).T

    def contains(self, point_mm) -> bool:
        """True where the point lies inside the grid's outer voxel faces."""
        index = self.world_to_index(point_mm)
        return bool(((index >= -0.5) & (index <= np.array(self.shape[::-1]) - 0.5)).all())

    def cropped(self, slices: tuple[slice, slice, slice]) -> ImageGeometry:
        """Geometry of ``array[slices]`` for unit-step slices given in (k, j, i) order."""
        start = [s.indices(n)[0] for s, n in zip(slices, self.shape, strict=True)]
        stop = [s.indices(n)[1] for s, n in zip(slices, self.shape, strict=True)]
        affine = self.affine.copy()
        affine[:3, 3] = self.index_to_world(start[::-1])
        return ImageGeometry(tuple(b - a for a, b in zip(start, stop, strict=True)), affine)

    def same_grid(self, other: ImageGeometry, tolerance_mm: float = 0.01) -> bool:
        """True where both grids have one shape and every corner agrees within ``tolerance_mm``."""
        if self.shape != other.shape:
            return False
        n = np.array(self.shape[::-1]) - 1
        corners = np.array([[a, b, c] for a in (0, n[0]) for b in (0, n[1]) for c in (0, n[2])], dtype=float)
        return bool(np.abs(self.index_to_world(corners) - other.index_to_world(corners)).max() <= tolerance_mm)
