"""Everything that is counted or searched on one node of a label map, in two halves that can run at once."""

from __future__ import annotations

import numpy as np
from numba import njit

from volumetry.kernels.diameters import longest_in_slices, own_axes
from volumetry.kernels.extent import layer_corners, row_extremes
from volumetry.kernels.scan import count_pieces, pattern_counts, row_edges, voxels_per_slice


@njit(cache=True, nogil=True)
def count_node(words, tail, shift, shape, label, box, step):
    """``(voxels per slice, pattern counts, pieces, planar)`` of a label in its half-open ``box``
    ``k0 k1 j0 j1 i0 i1``. ``planar`` (15): long, short, slice in the box and the four end points of
    ``longest_in_slices``."""
    nk, nj, ni = box[1] - box[0], box[3] - box[2], box[5] - box[4]
    starts, edges = row_edges(words, tail, shift, shape, label, box)
    layers, points = layer_corners(row_extremes(starts, edges), nk, nj)
    planar = np.empty(15)
    planar[0], planar[1], planar[2], ends = longest_in_slices(starts, edges, nk, nj, ni, layers, points, step)
    planar[3:] = ends.ravel()
    return voxels_per_slice(starts, edges, nk, nj), pattern_counts(starts, edges, nk, nj, ni), count_pieces(starts, edges, nk, nj), planar


@njit(cache=True, nogil=True)
def span_node(words, tail, shift, shape, label, box, step):
    """L, W, H, the two ends of L, three directions and the hull in voxels, as ``own_axes`` gives them, in
    one row of 19."""
    starts, edges = row_edges(words, tail, shift, shape, label, box)
    points = layer_corners(row_extremes(starts, edges), box[1] - box[0], box[3] - box[2])[1]
    lengths, ends, directions, hull = own_axes(points, step)
    own = np.empty(19)
    own[:3] = lengths
    own[3:9] = ends.ravel()
    own[9:18] = directions.ravel()
    own[18] = hull
    return own
