"""How much of the liver a plan ablates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planning.field.grid import FieldGrid
from planning.safety import Constraint
from planning.shapes import MaskShape, Shape, inside
from planning.thermal.margins import grid_around
from planning.tissue_map import cell_points


@dataclass(frozen=True, slots=True)
class LiverShare:
    """``ablated_ml`` of ``volume_ml`` of liver, lesions counted as liver also where its outline leaves them out."""

    volume_ml: float
    ablated_ml: float

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return self.ablated_ml / self.volume_ml


def liver_volume_ml(liver: Shape, lesions: tuple[Shape, ...], spacing_mm: float = 2.0) -> float:
    """Volume of the liver with its lesions: voxels of a mask, else counted on a grid."""
    low, high = liver.bounds_mm()
    if isinstance(liver, MaskShape):
        whole = float(liver.mask.array.sum()) * liver.mask.geometry.voxel_size_mm3 / 1000.0
        return whole + sum(_outside_ml(lesion, liver, spacing_mm / 2) for lesion in lesions)
    for lesion in lesions:
        a, b = lesion.bounds_mm()
        low, high = np.minimum(low, a), np.maximum(high, b)
    grid = grid_around(low, high, spacing_mm, spacing_mm)
    level = np.maximum.reduce([s.level_mm(cell_points(grid, _all(grid))) for s in (liver, *lesions)])
    return volume_ml(level, grid.spacing_mm)


def _outside_ml(lesion: Shape, liver: Shape, spacing_mm: float) -> float:
    grid = grid_around(*lesion.bounds_mm(), spacing_mm, spacing_mm)
    points = cell_points(grid, _all(grid))
    return float(shares(lesion.level_mm(points), grid.spacing_mm)[~inside(liver, points)].sum()) * grid.spacing_mm**3 / 1000.0


def _all(grid: FieldGrid) -> tuple[slice, slice, slice]:
    return tuple(slice(0, n) for n in grid.shape)


def shares(level_mm: np.ndarray, spacing_mm: float) -> np.ndarray:
    """How much of each cube lies inside, for a level that is the distance to a surface near it. The step is half a cube
    wide: a wider one swells a ball of radius r by ``width^2 / (4 r^2)``."""
    return np.clip(0.5 + 2.0 * level_mm / spacing_mm, 0.0, 1.0)


def volume_ml(level_mm: np.ndarray, spacing_mm: float) -> float:
    """Volume inside a level on cubes."""
    return float(shares(level_mm, spacing_mm).sum(dtype=np.float64)) * spacing_mm**3 / 1000.0


def liver_share(liver: Shape, lesions: tuple[Shape, ...], grid: FieldGrid, zone_share: np.ndarray) -> LiverShare:
    """The liver's part of a zone given as the share of each cell of ``grid``."""
    points = cell_points(grid, _all(grid))
    of_liver = inside(liver, points)
    for lesion in lesions:
        of_liver = of_liver | inside(lesion, points)
    return LiverShare(liver_volume_ml(liver, lesions), float(zone_share[of_liver].sum(dtype=np.float64)) * grid.spacing_mm**3 / 1000.0)


def fraction_constraint(share: LiverShare | None, high: LiverShare | None, limit: float | None, of: str = "") -> list[Constraint]:
    """``liver_fraction`` refuses from the limit on (the trial excludes one third or more) and warns where only the larger
    zone reaches it; ``liver_unknown`` where a limit is set and no liver is outlined."""
    if limit is None:
        return []
    if share is None:
        return [Constraint("liver_unknown", "warn", "The liver is not outlined: the ablated share cannot be held against its limit.", None, limit)]
    if share.fraction >= limit:
        return [Constraint("liver_fraction", "refuse", f"The zones{of} take {100 * share.fraction:.1f} % of the liver; the limit is below {100 * limit:.1f} %.", share.fraction, limit)]
    if high is not None and high.fraction >= limit:
        return [Constraint("liver_fraction", "warn", f"With zones larger by their spread, {100 * high.fraction:.1f} % of the liver are taken; the limit is below {100 * limit:.1f} %.", high.fraction, limit)]
    return []
