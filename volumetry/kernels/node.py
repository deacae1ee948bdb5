"""Everything that is counted or searched per node, for all nodes of a label map at once."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from volumetry.kernels.diameters import longest_in_slices, own_axes
from volumetry.kernels.extent import layer_corners, row_extremes
from volumetry.kernels.scan import count_pieces, pattern_counts, row_edges, voxels_per_slice

PLANAR = 15  # long, short, slice, four end points
OWN = 19  # L, W, H, two end points, three directions, hull


@njit(cache=True, nogil=True)
def _count(words, tail, shift, shape, label, box, step, counts, slices, planar):
    """First half of a node's work; returns the number of its pieces."""
    nk, nj, ni = box[1] - box[0], box[3] - box[2], box[5] - box[4]
    starts, edges = row_edges(words, tail, shift, shape, label, box)
    slices[:] = voxels_per_slice(starts, edges, nk, nj)
    counts[:] = pattern_counts(starts, edges, nk, nj, ni)
    layers, points = layer_corners(row_extremes(starts, edges), nk, nj)
    long, short, k, ends = longest_in_slices(starts, edges, nk, nj, ni, layers, points, step)
    planar[0], planar[1], planar[2] = long, short, k
    planar[3:] = ends.ravel()
    return count_pieces(starts, edges, nk, nj)


@njit(cache=True, nogil=True)
def _span(words, tail, shift, shape, label, box, step, own):
    """Second half of a node's work."""
    starts, edges = row_edges(words, tail, shift, shape, label, box)
    points = layer_corners(row_extremes(starts, edges), box[1] - box[0], box[3] - box[2])[1]
    lengths, ends, directions, hull = own_axes(points, step)
    own[:3] = lengths
    own[3:9] = ends.ravel()
    own[9:18] = directions.ravel()
    own[18] = hull


@njit(cache=True, nogil=True, parallel=True)
def node_numbers(words, tail, shift, shape, labels, boxes, step, parts):
    """Numbers of the nodes ``labels`` (n) with half-open ``boxes`` (n, 6) ``k0 k1 j0 j1 i0 i1``.

    Returns ``(counts, slice_starts, slices, planar, own, pieces)``: pattern counts (n, 256); voxels
    per slice of node ``m`` at ``slices[slice_starts[m]:slice_starts[m + 1]]``; ``planar`` (n, 15)
    and ``own`` (n, 19) as in ``volumetry.kernels.diameters``; pieces (n).

    Each node is two tasks; the tasks are dealt to ``parts`` threads, the largest first, each to the
    thread with the least to do. Every task writes to places of its own, so the numbers do not
    depend on the number of threads.
    """
    n = labels.size
    counts = np.zeros((n, 256), np.int64)
    planar = np.zeros((n, 15))
    own = np.zeros((n, 19))
    pieces = np.zeros(n, np.int64)
    slice_starts = np.zeros(n + 1, np.int64)
    cost = np.zeros(2 * n)
    for m in range(n):
        nk = boxes[m, 1] - boxes[m, 0]
        slice_starts[m + 1] = slice_starts[m] + nk
        cost[m] = cost[n + m] = nk * (boxes[m, 3] - boxes[m, 2])
    slices = np.zeros(slice_starts[n], np.int64)
    load = np.zeros(parts)
    whose = np.empty(2 * n, np.int64)
    order = np.argsort(-cost)
    for task in order:
        part = np.argmin(load)
        whose[task] = part
        load[part] += cost[task]
    for part in prange(parts):
        for task in order:
            if whose[task] != part:
                continue
            m = task % n
            if task < n:
                pieces[m] = _count(words, tail, shift, shape, labels[m], boxes[m], step, counts[m], slices[slice_starts[m] : slice_starts[m + 1]], planar[m])
            else:
                _span(words, tail, shift, shape, labels[m], boxes[m], step, own[m])
    return counts, slice_starts, slices, planar, own, pieces
