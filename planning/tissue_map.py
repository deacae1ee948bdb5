"""A plan's regions on the solver's grid: a material for every cell, sub-points for every region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planning.field.grid import FieldGrid
from planning.kernels import sampling as ks
from planning.kernels.conductivity import FIRST_NEEDLE_LABEL
from planning.plan import Region, TreatmentPlan
from planning.shapes import MaskShape, inside
from planning.tissue import Conductivity

# offsets of the 64 sub-points in voxels, bit order of planning.kernels.sampling, as (x, y, z)
_STEPS = (np.arange(ks.SIDE) + 0.5) / ks.SIDE - 0.5
SUB_OFFSETS = np.stack([np.repeat(np.tile(_STEPS, 16), 1), np.tile(np.repeat(_STEPS, 4), 4), np.repeat(_STEPS, 16)], axis=1)
_BIT = np.uint64(1) << np.arange(ks.POINTS, dtype=np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class RegionBits:
    """Sub-points of the domain that belong to something: uint64 ``bits`` on the box of voxels
    ``box`` (k, j, i slices of the grid)."""

    box: tuple[slice, slice, slice]
    bits: np.ndarray

    @property
    def start(self) -> tuple[int, int, int]:
        """First (k, j, i) of the box."""
        return tuple(s.start for s in self.box)

    def volume_ml(self, spacing_mm: float) -> float:
        """Volume of the set sub-points."""
        return ks.count_bits(self.bits) / ks.POINTS * spacing_mm**3 / 1000.0


def cell_points(grid: FieldGrid, box: tuple[slice, slice, slice]) -> np.ndarray:
    """LPS centres (mm) of a box of cells, ``(k, j, i, 3)``."""
    k, j, i = (np.arange(s.start, s.stop) for s in box)
    out = np.empty((k.size, j.size, i.size, 3))
    out[..., 0] = grid.origin_mm[0] + grid.spacing_mm * i
    out[..., 1] = grid.origin_mm[1] + grid.spacing_mm * j[:, None]
    out[..., 2] = grid.origin_mm[2] + grid.spacing_mm * k[:, None, None]
    return out


def _slabs(box: tuple[slice, slice, slice], most_points: int = 2_000_000):
    """Cut a box along k so that each piece has a bounded number of points."""
    k, j, i = box
    per = max(1, most_points // max(1, (j.stop - j.start) * (i.stop - i.start)))
    for a in range(k.start, k.stop, per):
        yield (slice(a, min(a + per, k.stop)), j, i)


def sample_materials(plan: TreatmentPlan, grid: FieldGrid, near: np.ndarray | None = None) -> tuple[np.ndarray, list[Conductivity]]:
    """``(material, laws)``: uint8 row of ``laws`` for each cell (by its centre; later regions
    override), and the distinct laws, background first. ``near``, a uint8 array of the grid's shape, counts the
    surfaces within a cell's side that a formula gives; both sides of a shape thinner than two cells count."""
    laws = [plan.background]
    material = np.zeros(grid.shape, np.uint8)
    for region in plan.regions:
        law = region.conductivity or plan.background
        if law not in laws:
            laws.append(law)
        row = laws.index(law)
        box = grid.box_of(*region.shape.bounds_mm())
        if box is None:
            continue
        for slab in _slabs(box):
            points = cell_points(grid, slab)
            if isinstance(region.shape, MaskShape):
                material[slab][region.shape.contains(points)] = row
                continue
            level = region.shape.level_mm(points)
            material[slab][level >= 0] = row
            if near is not None:
                more = np.uint8(1 + (region.shape.thickness_mm < 2 * grid.spacing_mm)) * (np.abs(level) < grid.spacing_mm)
                near[slab] += np.minimum(more, np.uint8(255) - near[slab])
    return material, laws


def tissue_rows(plan: TreatmentPlan) -> list[int]:
    """Row of each region's tissue among the plan's distinct laws, as ``sample_materials`` numbers them."""
    laws, rows = [plan.background], []
    for region in plan.regions:
        law = region.conductivity or plan.background
        if law not in laws:
            laws.append(law)
        rows.append(laws.index(law))
    return rows


def own_field(e: np.ndarray, label: np.ndarray, region: RegionBits, row: int) -> tuple[np.ndarray, RegionBits]:
    """``(e, region)``: the field around a region of tissue ``row`` as its own tissue has it, and the region on that array.

    Across a surface between tissues |E| jumps. Cells of other tissue near the region take the mean of their neighbours of
    its own (twice, so that both cells of any interpolation are of it); without such neighbours they stay as they are.
    """
    box = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in region.box)
    e, label = np.ascontiguousarray(e[box]), np.array(label[box])
    e = e.copy()
    if ((label == row) | (label >= FIRST_NEEDLE_LABEL)).all():
        return e, _moved(region, box)
    others = (np.arange(256) != row).astype(np.uint8)
    for _ in range(2):
        filled = e.copy()
        ks.quiet_air(filled, label, others, FIRST_NEEDLE_LABEL)
        reached = (label != row) & (label < FIRST_NEEDLE_LABEL) & (filled > 0)
        e[reached], label[reached] = filled[reached], row
    return e, _moved(region, box)


def _moved(region: RegionBits, box: tuple[slice, slice, slice]) -> RegionBits:
    return RegionBits(tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(region.box, box, strict=True)), region.bits)


def sample_role(plan: TreatmentPlan, grid: FieldGrid, role: str) -> np.ndarray:
    """True for each cell whose centre lies in a region of that role (later regions override earlier ones)."""
    out = np.zeros(grid.shape, bool)
    for region in plan.regions:
        box = grid.box_of(*region.shape.bounds_mm())
        for slab in () if box is None else _slabs(box):
            out[slab][inside(region.shape, cell_points(grid, slab))] = region.role == role
    return out


def sample_bits(region: Region, grid: FieldGrid) -> RegionBits | None:
    """Sub-points of one region, overlaps with later regions not yet removed; None off the grid."""
    box = grid.box_of(*region.shape.bounds_mm())
    if box is None:
        return None
    out = np.zeros(tuple(s.stop - s.start for s in box), np.uint64)
    h = grid.spacing_mm
    for slab in _slabs(box):
        view = out[slab[0].start - box[0].start:slab[0].stop - box[0].start]
        points = cell_points(grid, slab)
        if isinstance(region.shape, MaskShape):
            hit = inside(region.shape, points)
            mixed = _differs_nearby(region.shape, points, h)
        else:
            level = region.shape.level_mm(points)
            hit = level >= 0
            mixed = np.abs(level) < 1.5 * h  # half a voxel's diagonal, and room for ellipsoids
        view[hit] = ks.ALL
        where = np.nonzero(mixed)
        for a in range(0, where[0].size, 30_000):
            pick = tuple(w[a:a + 30_000] for w in where)
            sub = points[pick][:, None, :] + h * SUB_OFFSETS
            view[pick] = (inside(region.shape, sub) * _BIT).sum(axis=1, dtype=np.uint64)
    return RegionBits(box, out)


def _differs_nearby(shape: MaskShape, points: np.ndarray, h: float) -> np.ndarray:
    """Voxels in which a mask's membership may change: any corner differs from another."""
    first = inside(shape, points)
    mixed = np.zeros(first.shape, bool)
    for x in (-0.5, 0.5):
        for y in (-0.5, 0.5):
            for z in (-0.5, 0.5):
                mixed |= inside(shape, points + h * np.array([x, y, z])) != first
    return mixed


def outer_bits(grid: FieldGrid) -> RegionBits:
    """Every sub-point of the asked box (cells may stick out of it)."""
    box = tuple(slice(0, n) for n in grid.shape)
    bits = np.full(grid.shape, ks.ALL, np.uint64)
    for axis in range(3):
        low, high = grid.counted_mm[0][axis], grid.counted_mm[1][axis]
        centres = grid.axis_mm(axis)
        for n in (0, centres.size - 1):
            x = centres[n] + grid.spacing_mm * SUB_OFFSETS[:, axis]
            keep = ((x >= low - 1e-9) & (x <= high + 1e-9))
            mask = (keep * _BIT).sum(dtype=np.uint64)
            face = [slice(None)] * 3
            face[2 - axis] = n
            bits[tuple(face)] &= mask
    return RegionBits(box, bits)


def clear(bits: RegionBits, other: RegionBits) -> None:
    """Remove from ``bits`` (in place) what ``other`` holds."""
    common = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(bits.box, other.box, strict=True))
    if any(s.start >= s.stop for s in common):
        return
    mine = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(common, bits.box, strict=True))
    theirs = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(common, other.box, strict=True))
    bits.bits[mine] &= ~other.bits[theirs]


def needle_bits(plan: TreatmentPlan, grid: FieldGrid) -> tuple[np.ndarray, np.ndarray]:
    """``(cells, bits)``: flat indices of the cells that share sub-points with needles, and which."""
    rows = np.array([e.kernel_row() for e in plan.electrodes])
    origin = np.array(grid.origin_mm)
    empty = np.zeros(0, np.int64), np.zeros(0, np.uint64)
    n = ks.needle_bits(rows, origin, grid.spacing_mm, grid.shape, *empty, 0)
    cells, bits = np.zeros(n, np.int64), np.zeros(n, np.uint64)
    ks.needle_bits(rows, origin, grid.spacing_mm, grid.shape, cells, bits, 0)
    return cells, bits


def clear_cells(bits: RegionBits, grid: FieldGrid, cells: np.ndarray, taken: np.ndarray) -> None:
    """Remove listed sub-points (flat cell indices of the grid) from ``bits`` in place."""
    index = np.array(np.unravel_index(cells, grid.shape)) - np.array(bits.start)[:, None]
    ok = ((index >= 0) & (index < np.array(bits.bits.shape)[:, None])).all(0)
    where = tuple(index[:, ok])
    np.bitwise_and.at(bits.bits, where, ~taken[ok])
