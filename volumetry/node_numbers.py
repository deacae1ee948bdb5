"""Counting and searching all nodes of a label map: one pass over the picture, then each node's box.

This is the step between arrays and the kernels: it hands them memory in the one layout they are
compiled for, so that no picture ever makes a kernel compile a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import numba
import numpy as np

from volumetry.geometry import ImageGeometry
from volumetry.kernels.cell_table import cell_table
from volumetry.kernels.node import number_node
from volumetry.kernels.scan import join_tables, pattern_areas, scan_labels

FIRST_GUESS = 255  # labels counted without knowing how many there are; a map with more is read again
SMALL_BYTES = 4 << 20  # below this, and below so many rows in all boxes, a second thread costs more than it brings
SMALL_ROWS = 1000


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


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, numba.config.NUMBA_NUM_THREADS - 1), thread_name_prefix="volumetry")


def _share(tasks: list[Callable[[], object]], threads: int) -> list:
    """Answers of all tasks in order. The caller's thread and its helpers take one after the other; the
    kernels let go of the interpreter, so they run at once. Which thread does what changes no number."""
    answers: list = [None] * len(tasks)
    waiting = iter(range(len(tasks)))

    def work() -> None:
        for n in waiting:
            answers[n] = tasks[n]()

    helpers = [_helpers().submit(work) for _ in range(min(threads, len(tasks)) - 1)]
    work()
    for helper in helpers:
        helper.result()
    return answers


def scan(labels: np.ndarray, threads: int | None = None) -> np.ndarray:
    """One pass over a uint8 or uint16 label map ``[k, j, i]``: a row per label from 0 to the largest
    (at least ``FIRST_GUESS``) with count, sums and box; see ``scan_labels``. ``threads`` is for tests."""
    laid = laid_out(labels)
    parts = threads or (numba.config.NUMBA_NUM_THREADS if labels.nbytes > SMALL_BYTES else 1)
    top = FIRST_GUESS
    while True:
        found = _share([partial(scan_labels, *laid, top, part, parts) for part in range(parts)], parts)
        largest = max(most for _, most in found)
        if largest <= top:
            return found[0][0] if parts == 1 else join_tables(np.stack([table for table, _ in found]))
        top = int(largest)


def count_nodes(labels: np.ndarray, grid: GridFacts, threads: int | None = None) -> dict[int, NodeNumbers]:
    """Numbers of every label that occurs in a uint8 or uint16 label map ``[k, j, i]``, by label.
    ``threads`` is for tests."""
    table = scan(labels, threads)
    present = np.flatnonzero(table[:, 0])
    rows = table[present].tolist()
    laid = laid_out(labels)
    # The largest first, so that no thread is left alone with it at the end.
    cost = {label: (row[11] - row[10]) * (row[13] - row[12]) for label, row in zip(present.tolist(), rows, strict=True)}
    # A node with more than one thread's part of the work is done in two halves.
    total = sum(cost.values())
    threads = threads or (numba.config.NUMBA_NUM_THREADS if total > SMALL_ROWS else 1)
    whose, tasks = [], []
    for label in sorted(cost, key=cost.__getitem__, reverse=True):
        for halves in ((True, False), (False, True)) if cost[label] * threads > total and threads > 1 else ((True, True),):
            whose.append((label, halves))
            tasks.append(partial(number_node, *laid, label, table[label, 10:], grid.step, *halves))
    counted, own = {}, {}
    for (label, (has_counts, has_span)), answer in zip(whose, _share(tasks, threads), strict=True):
        if has_counts:
            counted[label] = answer[:4]
        if has_span:
            own[label] = answer[4]
    found = {}
    for label, row in zip(cost, rows, strict=True):
        per_slice, patterns, pieces, planar = counted[label]
        found[label] = NodeNumbers(tuple(row[10:]), row[0], tuple(row[1:10]), tuple(per_slice.tolist()), patterns, planar, own[label], pieces)
    return found
