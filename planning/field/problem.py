"""The solver's internal problem: tissue on a grid and conductors set into it, checked once.

It knows nothing of plans and needles' names: materials are rows of a table, conductors are
numbered, and what couples them to the tissue is a list. Needles enter by ``add_needles``; any
conductor given by a signed distance enters through ``planning.field.shapes``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from planning.field.grid import FieldGrid
from planning.kernels import conductivity as kc
from planning.kernels import embedding as ke
from planning.kernels import interfaces as ki

NEAR_FACES_CELLS = 2.0  # fitted faces reach this far from the metal
NEAR_FIELD_CELLS = 4.0  # fitted field strength reaches this far
MATERIALS_MOST = 250


@dataclass(frozen=True, slots=True, eq=False)
class FieldProblem:
    """Everything the solver needs, in the layout of the kernels (one ghost layer, flat padded
    indices).

    ``label``: uint8 material of each cell, SHAFT or METAL in conductors. ``law``: float32 rows
    ``(kind, sigma0, sigma1, e_low, e_high)``. ``face_*``: faces whose weight is multiplied by a
    geometric factor. ``coupling_*``: cells that touch a conductor, with factor, conductor number
    (-1: a posed boundary value) and, for posed boundaries, the value in volts. ``metal_*``: metal
    cells and their conductor. ``special_*``: cells with their own field formula (``special_flag``: 1 in
    them).
    """

    grid: FieldGrid
    label: np.ndarray
    law: np.ndarray
    conductors: int
    face_axis: np.ndarray
    face_cell: np.ndarray
    face_factor: np.ndarray
    coupling_cell: np.ndarray
    coupling_factor: np.ndarray
    coupling_conductor: np.ndarray
    coupling_value: np.ndarray
    metal_cell: np.ndarray
    metal_conductor: np.ndarray
    special_cell: np.ndarray
    special_factor: np.ndarray
    special_flag: np.ndarray

    @property
    def is_linear(self) -> bool:
        """True where no material's conductivity depends on the field."""
        return bool((self.law[:, 0] == kc.CONSTANT).all())


@dataclass(slots=True)
class ProblemParts:
    """A problem being put together: labels first, then conductors, then ``finish``."""

    grid: FieldGrid
    label: np.ndarray
    law: np.ndarray
    conductors: int = 0
    faces: list[tuple] = field(default_factory=list)
    couplings: list[tuple] = field(default_factory=list)
    metal: list[tuple] = field(default_factory=list)
    special: list[tuple] = field(default_factory=list)
    interfaces: list[tuple] = field(default_factory=list)

    @classmethod
    def on(cls, grid: FieldGrid, material, law) -> ProblemParts:
        """``material``: uint8 array of ``grid.shape`` (or one number); ``law``: rows as above."""
        label = np.full(grid.padded_shape, kc.SHAFT, np.uint8)
        label[1:-1, 1:-1, 1:-1] = material
        return cls(grid, label, np.ascontiguousarray(law, dtype=np.float32))

    def add_needles(self, needles: np.ndarray) -> None:
        """``needles``: float64 rows (tip xyz, direction xyz, radius, exposure), mm; conductor
        numbers follow the rows."""
        needles = np.ascontiguousarray(needles, dtype=np.float64)
        origin, h = np.array(self.grid.origin_mm), self.grid.spacing_mm
        first = self.conductors
        for n in range(len(needles)):
            cells, owners = (np.zeros(0, np.int64),) * 2
            length = ke.mark_needle(needles[n], first + n, origin, h, self.label, cells, owners, 0)
            cells, owners = np.zeros(length, np.int64), np.zeros(length, np.int64)
            ke.mark_needle(needles[n], first + n, origin, h, self.label, cells, owners, 0)
            self.metal.append((cells, owners))
        for n in range(len(needles)):
            counts = np.zeros(2, np.int64)
            for _ in range(2):  # once to count, once to write
                nf, nc = int(counts[0]), int(counts[1])
                axis, fcell, factor = np.zeros(nf, np.uint8), np.zeros(nf, np.int64), np.zeros(nf, np.float32)
                ccell, cfactor = np.zeros(nc, np.int64), np.zeros(nc, np.float32)
                counts[:] = 0
                ke.embed_needle(needles, n, origin, h, self.label, NEAR_FACES_CELLS, axis, fcell, factor, ccell, cfactor, counts)
            self.faces.append((axis, fcell, factor))
            self.couplings.append((ccell, cfactor, np.full(nc, first + n, np.int64), np.zeros(nc)))
            cells, factors = np.zeros(0, np.int64), np.zeros((0, 6), np.float32)
            length = ke.needle_field_factors(needles, n, origin, h, self.label, NEAR_FIELD_CELLS, cells, factors, 0)
            cells, factors = np.zeros(length, np.int64), np.zeros((length, 6), np.float32)
            ke.needle_field_factors(needles, n, origin, h, self.label, NEAR_FIELD_CELLS, cells, factors, 0)
            self.special.append((cells, factors))
        self.conductors += len(needles)

    def add_boundary_values(self, cells: np.ndarray, factors: np.ndarray, values: np.ndarray) -> None:
        """Pose potentials (V) behind faces: flat padded ``cells``, geometric ``factors`` (2 for a
        value on the cell's own face)."""
        self.couplings.append((cells.astype(np.int64), factors.astype(np.float32),
                               np.full(cells.size, -1, np.int64), values.astype(np.float64)))

    def add_interfaces(self, axis: np.ndarray, cells: np.ndarray, factors: np.ndarray) -> None:
        """Faces between tissues whose weight is ``factors`` times the harmonic mean of their cells (see
        ``planning.field.interfaces``)."""
        self.interfaces.append((axis, cells, factors))

    def finish(self) -> FieldProblem:
        """Close the lists; interfaces between tissues become special cells."""
        cells, factors = _join(self.special, (np.int64, np.float32), 6)
        cells, order = np.unique(cells, return_index=True)  # by place, so that neighbours in memory are looked at together
        crossed = self._tissue_faces()
        cells, factors, flag = with_interfaces(self.label, self.law, cells, factors[order], crossed)
        fa, fc, ff = _join([*self.faces, crossed], (np.uint8, np.int64, np.float32))
        cc, cf, co, cv = _join(self.couplings, (np.int64, np.float32, np.int64, np.float64))
        mc, mo = _join(self.metal, (np.int64, np.int64))
        return FieldProblem(self.grid, self.label, self.law, self.conductors, fa, fc, ff, cc, cf, co, cv, mc, mo, cells, factors, flag)

    def _tissue_faces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The faces of ``add_interfaces`` with tissue on both sides: a needle's own rule goes first."""
        axis, cells, factors = _join(self.interfaces, (np.uint8, np.int64, np.float32))
        flat = self.label.reshape(-1)
        both = (flat[cells] < kc.FIRST_NEEDLE_LABEL) & (flat[cells - _strides(self.label)[axis]] < kc.FIRST_NEEDLE_LABEL)
        return axis[both], cells[both], factors[both]


def _strides(label: np.ndarray) -> np.ndarray:
    """Steps of a flat index along i, j, k."""
    return np.array([1, label.shape[2], label.shape[1] * label.shape[2]], np.int64)


def _join(parts: list[tuple], kinds, width: int | None = None) -> tuple[np.ndarray, ...]:
    """Concatenate lists of parallel arrays, right in kind also where there are none."""
    out = []
    for n, kind in enumerate(kinds):
        arrays = [p[n] for p in parts]
        if arrays:
            out.append(np.ascontiguousarray(np.concatenate(arrays), dtype=kind))
        else:
            out.append(np.zeros((0, width) if width and n == len(kinds) - 1 else 0, kind))
    return tuple(out)


def with_interfaces(label: np.ndarray, law: np.ndarray, cells: np.ndarray, factors: np.ndarray, crossed=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(cells, factors, flag)``: the special cells, given in rising order, with those at tissue interfaces added in
    order, and a uint8 array that is 1 in them.

    Flux is continuous across an interface, slope is not: the slope on the own side of a face is the face's conductivity
    over the own one times the mean slope. That is ``2 sigma_other / (sigma_own + sigma_other)`` by the resting
    conductivities, times the factor of ``crossed`` (axis, cell, factor: as ``ProblemParts.add_interfaces``).
    """
    axis, upper, factor = crossed if crossed is not None else _join([], (np.uint8, np.int64, np.float32))
    lower = upper - _strides(label)[axis]
    flag = np.zeros(label.shape, np.uint8)
    flag.reshape(-1)[upper] = flag.reshape(-1)[lower] = ki.AT_INTERFACE
    flag.reshape(-1)[cells] |= ki.NEAR_NEEDLE
    counts = np.zeros(label.shape[0] + 1, np.int64)
    ki.mark_interfaces(label, flag, counts[1:])
    first = np.cumsum(counts)
    out = np.empty(first[-1], np.int64)
    out_factors = np.empty((first[-1], 6), np.float32)
    planes = np.searchsorted(cells, np.arange(label.shape[0]) * label[0].size)
    ki.list_special(label, law[:, 1].copy(), cells, np.ascontiguousarray(factors), planes, first, flag, out, out_factors)
    out_factors[np.searchsorted(out, upper), 2 * axis.astype(np.intp)] *= factor
    out_factors[np.searchsorted(out, lower), 2 * axis.astype(np.intp) + 1] *= factor
    return out, out_factors, flag
