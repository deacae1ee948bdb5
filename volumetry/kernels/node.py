"""Everything that is counted or searched on one node of a label map."""

from __future__ import annotations

import numpy as np
from numba import njit

from volumetry.kernels.diameters import longest_in_slices, own_axes
from volumetry.kernels.extent import layer_corners, row_extremes
from volumetry.kernels.scan import count_pieces, pattern_counts, row_edges, voxels_per_slice


@njit(cache=True, nogil=True)
def number_node(words, tail, shift, shape, label, box, step, counted, spanned):
    """``(voxels per slice, pattern counts, pieces, planar, own)`` of a label in its half-open ``box``
    ``k0 k1 j0 j1 i0 i1``.

    ``planar`` (15): long, short, slice in the box and the four end points of ``longest_in_slices``;
    ``own`` (19): L, W, H, the two ends of L, three directions and the hull in voxels of ``own_axes``.
    A large node is done in two halves at once, by two threads: without ``counted`` only ``own`` is
    worked out, without ``spanned`` only the others; what was not asked for is zero.
    """
    nk, nj, ni = box[1] - box[0], box[3] - box[2], box[5] - box[4]
    starts, edges = row_edges(words, tail, shift, shape, label, box)
    layers, points = layer_corners(row_extremes(starts, edges), nk, nj)
    slices = np.zeros(nk, np.int64)
    patterns = np.zeros(256, np.int64)
    pieces = 0
    planar = np.zeros(15)
    own = np.zeros(19)
    if counted:
        slices = voxels_per_slice(starts, edges, nk, nj)
        patterns = pattern_counts(starts, edges, nk, nj, ni)
        pieces = count_pieces(starts, edges, nk, nj)
        planar[0], planar[1], planar[2], ends = longest_in_slices(starts, edges, nk, nj, ni, layers, points, step)
        for n in range(12):
            planar[3 + n] = ends[n // 3, n % 3]
    if spanned:
        lengths, tips, directions, hull = own_axes(points, step)
        for n in range(3):
            own[n] = lengths[n]
        for n in range(6):
            own[3 + n] = tips[n // 3, n % 3]
        for n in range(9):
            own[9 + n] = directions[n // 3, n % 3]
        own[18] = hull
    return slices, patterns, pieces, planar, own
