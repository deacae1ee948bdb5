"""The solver's own voxel grid: cubic cells along the LPS axes, independent of any image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from volumetry.geometry import ImageGeometry


@dataclass(frozen=True, slots=True)
class FieldGrid:
    """``shape`` is (slices, rows, columns) of cubic cells of side ``spacing_mm``; ``origin_mm`` is
    the LPS centre of cell (0, 0, 0). ``counted_mm`` is the box (low corner, high corner) in which
    volumes are counted: where the asked box is no whole number of cells, the cells stick out."""

    shape: tuple[int, int, int]
    spacing_mm: float
    origin_mm: tuple[float, float, float]
    counted_mm: tuple[tuple[float, float, float], tuple[float, float, float]]

    @classmethod
    def around(cls, center_mm, size_mm, spacing_mm: float) -> FieldGrid:
        """Smallest grid centred on ``center_mm`` that covers a box of ``size_mm`` (x, y, z)."""
        counts = [max(1, math.ceil(float(s) / spacing_mm - 1e-6)) for s in size_mm]
        origin = tuple(float(c) - 0.5 * (n - 1) * spacing_mm for c, n in zip(center_mm, counts, strict=True))
        low = tuple(float(c) - 0.5 * float(s) for c, s in zip(center_mm, size_mm, strict=True))
        high = tuple(float(c) + 0.5 * float(s) for c, s in zip(center_mm, size_mm, strict=True))
        return cls(tuple(counts[::-1]), float(spacing_mm), origin, (low, high))

    @property
    def padded_shape(self) -> tuple[int, int, int]:
        """Shape with one ghost layer on each side."""
        return tuple(n + 2 for n in self.shape)

    @property
    def cells(self) -> int:
        """Number of inner cells."""
        return math.prod(self.shape)

    @property
    def geometry(self) -> ImageGeometry:
        """The same grid as the geometry of an image."""
        return ImageGeometry.from_spacing(self.shape, (self.spacing_mm,) * 3, self.origin_mm)

    def axis_mm(self, axis: int) -> np.ndarray:
        """Coordinates (mm) of the cell centres along x, y or z (0, 1, 2)."""
        return self.origin_mm[axis] + self.spacing_mm * np.arange(self.shape[2 - axis])

    def box_of(self, low_mm, high_mm, pad_cells: int = 1) -> tuple[slice, slice, slice] | None:
        """(k, j, i) slices of the cells whose cubes touch a box, widened; None where none do."""
        out = []
        for axis in (2, 1, 0):
            n = self.shape[2 - axis]
            a = math.floor((low_mm[axis] - self.origin_mm[axis]) / self.spacing_mm + 0.5) - pad_cells
            b = math.ceil((high_mm[axis] - self.origin_mm[axis]) / self.spacing_mm - 0.5) + pad_cells
            a, b = max(0, a), min(n - 1, b)
            if a > b:
                return None
            out.append(slice(a, b + 1))
        return tuple(out)
