"""Where tissues meet between two cell centres: the resistance of the way from one to the other.

A cell has the tissue of its centre. Taken alone that makes every surface a staircase, and a layer thinner than a cell
leaks. So the tissue is looked at along the line between neighbouring centres, and the face between them gets the
conductivity that its resistances in series give,

    sigma_face = h / integral(ds / sigma),

which places surfaces to a fraction of a cell. It is exact for slabs across the line.
"""

from __future__ import annotations

import numpy as np

from planning.field.grid import FieldGrid
from planning.plan import TreatmentPlan
from planning.shapes import MaskShape
from planning.tissue import AIR_BELOW_S_PER_M, Conductivity

PIECES = 6  # of the line from centre to centre
COUNTS_FROM = 1e-3  # a factor nearer to 1 is left out


def interface_faces(plan: TreatmentPlan, grid: FieldGrid, material: np.ndarray, near: np.ndarray, laws: list[Conductivity]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(axis, cell, factor)`` of the faces whose conductivity differs from the harmonic mean of their cells: axis 0 i,
    1 j, 2 k; flat padded index of the upper cell; factor on that mean, by resting conductivities.

    ``material``: row of ``laws`` of each cell, ``near``: number of surfaces within a cell's side (see
    ``sample_materials``): where it is two, a thin layer may pass between cells of one tissue.
    """
    resting = np.array([law.sigma0_s_per_m for law in laws])
    padded = np.arange(np.prod(grid.padded_shape), dtype=np.int64).reshape(grid.padded_shape)[1:-1, 1:-1, 1:-1]
    found = []
    for axis in range(3):
        upper = tuple(slice(1, None) if a == 2 - axis else slice(None) for a in range(3))
        lower = tuple(slice(None, -1) if a == 2 - axis else slice(None) for a in range(3))
        where = np.nonzero((material[upper] != material[lower]) | ((near[upper] > 1) & (near[lower] > 1)))
        start = np.asarray(grid.origin_mm) + grid.spacing_mm * np.stack(where[::-1], axis=1)
        a, b = resting[material[lower][where]], resting[material[upper][where]]
        resistivity = _mean_resistivity(plan, start, axis, grid.spacing_mm)
        # a face to air is closed as it is
        factor = np.where(np.minimum(a, b) >= AIR_BELOW_S_PER_M, (a + b) / np.maximum(2 * a * b * resistivity, 1e-30), 1.0)
        keep = np.abs(factor - 1.0) > COUNTS_FROM
        found.append((np.full(int(keep.sum()), axis, np.uint8), padded[upper][where][keep], factor[keep].astype(np.float32)))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _mean_resistivity(plan: TreatmentPlan, start: np.ndarray, axis: int, spacing_mm: float) -> np.ndarray:
    """Mean of 1 / sigma (ohm m) along lines of one cell's side from the LPS points ``start`` along ``axis``, over the
    tissue on the way: air that is only grazed between two tissue cells stops nothing.

    Each line is cut into pieces; the share of a piece in a shape comes from the shape's level at its two ends.
    """
    total = np.full((len(start), PIECES), 1.0 / max(plan.background.sigma0_s_per_m, AIR_BELOW_S_PER_M))
    conducts = np.ones((len(start), PIECES))
    along = np.zeros((PIECES + 1, 3))
    along[:, axis] = spacing_mm * np.arange(PIECES + 1) / PIECES
    for region in plan.regions:
        low, high = region.shape.bounds_mm()
        low = low - spacing_mm * (np.arange(3) == axis)
        mine = np.flatnonzero(((start >= low) & (start <= high)).all(axis=1))
        if mine.size == 0:
            continue
        share = _share_inside(region.shape, start[mine][:, None, :] + along)
        sigma = (region.conductivity or plan.background).sigma0_s_per_m
        air = sigma < AIR_BELOW_S_PER_M
        total[mine] = total[mine] * (1 - share) + (0.0 if air else share / sigma)
        conducts[mine] = conducts[mine] * (1 - share) + (0.0 if air else share)
    return total.sum(axis=1) / np.maximum(conducts.sum(axis=1), 1e-9)


def _share_inside(shape, nodes: np.ndarray) -> np.ndarray:
    """Share of each piece between neighbouring ``nodes`` (lines, nodes, 3) that lies in the shape."""
    if isinstance(shape, MaskShape):
        held = shape.contains(nodes)
        return 0.5 * (held[:, 1:].astype(float) + held[:, :-1])
    level = shape.level_mm(nodes)
    a, b = level[:, :-1], level[:, 1:]
    cut = (a >= 0) != (b >= 0)
    return np.where(cut, np.maximum(a, b) / np.where(cut, np.abs(a) + np.abs(b), 1.0), a >= 0)
