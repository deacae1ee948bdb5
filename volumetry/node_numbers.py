"""Counting and searching all nodes of a label map: one pass over the picture, then each node's box.

This is the step between arrays and the kernels: it hands them memory in the one layout they are
compiled for, so that no picture ever makes a kernel compile a second time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from volumetry.geometry import ImageGeometry
from volumetry.kernels.cell_table import cell_table
from volumetry.kernels.node import node_numbers
from volumetry.kernels.scan import pattern_areas, scan_labels

FIRST_GUESS = 255  # labels counted without knowing how many there are; a map with more is read again


@dataclass(frozen=True, slots=True, eq=False)
class GridFacts:
    """What all nodes of one picture share. ``step`` has the steps in mm along i, j, k as columns;
    ``spacing_mm`` is from plane to plane along k, also where the stack is sheared; ``pattern_areas_mm2``
    the surface of each of the 256 patterns of a 2x2x2 cell, ``fractions`` their inside part."""

    geometry: ImageGeometry
    step: np.ndarray
    voxel_size_mm3: float
    pixel_mm2: float
    spacing_mm: tuple[float, float, float]
    is_sheared: bool
    pattern_areas_mm2: np.ndarray
    fractions: np.ndarray

    @classmethod
    def of(cls, geometry: ImageGeometry) -> GridFacts:
        """The facts of a grid."""
        step = np.ascontiguousarray(geometry.affine[:3, :3])
        determinant = np.linalg.det(step)
        starts, cross, weights, fractions = cell_table()
        areas = pattern_areas(starts, cross, weights, np.ascontiguousarray(determinant * np.linalg.inv(step).T))
        size = float(abs(determinant))
        pixel = float(np.linalg.norm(np.cross(step[:, 0], step[:, 1])))
        in_plane = geometry.spacing_mm[:2]
        return cls(geometry, step, size, pixel, (*in_plane, size / pixel), geometry.is_sheared, areas, fractions)


@dataclass(frozen=True, slots=True, eq=False)
class NodeNumbers:
    """The kernels' answer for one node.

    ``box`` is half-open ``(k0, k1, j0, j1, i0, i1)`` in the picture; ``sums`` are whole numbers, the
    sums of ``i j k ii jj kk ij ik jk`` over the voxels in the picture's indices; ``slice_counts``
    the voxels of slices ``k0``...; ``planar`` and ``own`` as in ``volumetry.kernels.diameters``.
    """

    box: tuple[int, ...]
    count: int
    sums: tuple[int, ...]
    slice_counts: tuple[int, ...]
    pattern_counts: np.ndarray
    planar: np.ndarray
    own: np.ndarray
    pieces: int

    @property
    def voxels_across(self) -> tuple[int, int, int]:
        """Extent of the box in voxels along i, j and k."""
        k0, k1, j0, j1, i0, i1 = self.box
        return i1 - i0, j1 - j0, k1 - k0


def laid_out(labels: np.ndarray) -> tuple[np.ndarray, np.uint64, int, tuple[int, int, int]]:
    """``(words, tail, shift, shape)`` of a uint8 or uint16 label map as the kernels want it, without a
    copy where its memory is in order."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    if flat.ctypes.data % 8:
        flat = flat.copy()
    lanes = 8 // flat.itemsize
    whole = flat.size // lanes * lanes
    words = flat[:whole].view(np.uint64)
    words.setflags(write=False)
    rest = np.zeros(lanes, flat.dtype)
    rest[: flat.size - whole] = flat[whole:]
    return words, rest.view(np.uint64)[0], lanes.bit_length() - 1, tuple(int(n) for n in labels.shape)


def scan(labels: np.ndarray) -> np.ndarray:
    """One pass over a uint8 or uint16 label map ``[k, j, i]``: a row per label from 0 to the largest
    (at least ``FIRST_GUESS``) with count, sums and box; see ``scan_labels``."""
    arguments = laid_out(labels)
    parts = min(numba.get_num_threads(), labels.shape[0])
    table, largest = scan_labels(*arguments, FIRST_GUESS, parts)
    if largest > FIRST_GUESS:
        table, _ = scan_labels(*arguments, int(largest), parts)
    return table


def count_nodes(labels: np.ndarray, grid: GridFacts) -> dict[int, NodeNumbers]:
    """Numbers of every label that occurs in a uint8 or uint16 label map ``[k, j, i]``, by label."""
    table = scan(labels)
    present = np.flatnonzero(table[:, 0])
    if present.size == 0:
        return {}
    boxes = np.ascontiguousarray(table[present, 10:])
    parts = min(numba.get_num_threads(), 2 * present.size)
    counts, slice_starts, slices, planar, own, pieces = node_numbers(*laid_out(labels), present, boxes, grid.step, parts)
    found = {}
    for m, (label, row) in enumerate(zip(present.tolist(), table[present].tolist(), strict=True)):
        per_slice = tuple(slices[slice_starts[m] : slice_starts[m + 1]].tolist())
        found[label] = NodeNumbers(tuple(row[10:]), row[0], tuple(row[1:10]), per_slice, counts[m], planar[m], own[m], int(pieces[m]))
    return found
