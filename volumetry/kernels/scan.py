"""One pass over a node's voxels: where it lies, how many, their moments and their 2x2x2 patterns.

Masks are uint8 ``[k, j, i]`` holding 0 or 1, C-ordered. Counts are whole numbers, so every sum is
exact and does not depend on the order in which it is taken.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def bounding_box(mask):
    """``(k0, k1, j0, j1, i0, i1)`` half-open bounds of the voxels that are set; all zero if none."""
    nk, nj, ni = mask.shape
    out = np.zeros(6, np.int64)
    k0, k1, j0, j1, i0, i1 = nk, 0, nj, 0, ni, 0
    for k in range(nk):
        for j in range(nj):
            row = mask[k, j]
            any_set = np.uint8(0)
            for i in range(ni):
                any_set |= row[i]
            if any_set == 0:
                continue
            k0 = min(k0, k)
            k1 = k + 1
            j0 = min(j0, j)
            j1 = max(j1, j + 1)
            i = 0
            while row[i] == 0:
                i += 1
            i0 = min(i0, i)
            i = ni - 1
            while row[i] == 0:
                i -= 1
            i1 = max(i1, i + 1)
    if k1 > 0:
        out[0], out[1], out[2], out[3], out[4], out[5] = k0, k1, j0, j1, i0, i1
    return out


@njit(cache=True, nogil=True)
def label_boxes(labels, top):
    """Bounding boxes of all labels 1 to ``top`` of an unsigned label map in one pass.

    Returns int64 (top + 1, 6) of ``k0, k1, j0, j1, i0, i1``; a label that does not occur has all
    zeros (row 0, the background, too). Rows without any label are skipped after one read.
    """
    nk, nj, ni = labels.shape
    boxes = np.zeros((top + 1, 6), np.int64)
    for k in range(nk):
        for j in range(nj):
            row = labels[k, j]
            any_set = row[0]
            for i in range(ni):
                any_set |= row[i]
            if any_set == 0:
                continue
            i = 0
            while i < ni:
                label = row[i]
                first = i
                while i < ni and row[i] == label:
                    i += 1
                if label == 0:
                    continue
                box = boxes[label]
                if box[1] == 0:
                    box[0], box[2], box[4] = k, j, first
                box[1] = k + 1
                box[2] = min(box[2], j)
                box[3] = max(box[3], j + 1)
                box[4] = min(box[4], first)
                box[5] = max(box[5], i)
    return boxes


@njit(cache=True, nogil=True)
def moments(mask):
    """Voxels per slice, sums ``[i, j, k, ii, jj, kk, ij, ik, jk]`` over the set voxels (int64), and
    the columns along k and the runs along i, j and k as ``[runs_i, runs_j, runs_k]``.

    A run is an unbroken line of set voxels along one axis: the number of voxels divided by the
    number of runs is the mean chord in voxels.
    """
    nk, nj, ni = mask.shape
    per_slice = np.zeros(nk, np.int64)
    sums = np.zeros(9, np.int64)
    runs = np.zeros(3, np.int64)
    for k in range(nk):
        for j in range(nj):
            n = 0
            si = 0
            sii = 0
            for i in range(ni):
                if mask[k, j, i] == 0:
                    continue
                n += 1
                si += i
                sii += i * i
                if i == 0 or mask[k, j, i - 1] == 0:
                    runs[0] += 1
                if j == 0 or mask[k, j - 1, i] == 0:
                    runs[1] += 1
                if k == 0 or mask[k - 1, j, i] == 0:
                    runs[2] += 1
            per_slice[k] += n
            sums[0] += si
            sums[1] += n * j
            sums[2] += n * k
            sums[3] += sii
            sums[4] += n * j * j
            sums[5] += n * k * k
            sums[6] += si * j
            sums[7] += si * k
            sums[8] += n * j * k
    return per_slice, sums, runs


@njit(cache=True, nogil=True)
def pattern_counts(padded):
    """How often each of the 256 patterns of 2x2x2 voxels occurs; ``padded`` has one empty voxel on
    every side. Bit ``n`` of a pattern is the voxel at ``(n & 1, n >> 1 & 1, n >> 2)`` in (i, j, k)."""
    nk, nj, ni = padded.shape
    counts = np.zeros(256, np.int64)
    for k in range(nk - 1):
        for j in range(nj - 1):
            a = padded[k, j]
            b = padded[k, j + 1]
            c = padded[k + 1, j]
            d = padded[k + 1, j + 1]
            low = a[0] | (b[0] << 2) | (c[0] << 4) | (d[0] << 6)
            for i in range(1, ni):
                high = a[i] | (b[i] << 2) | (c[i] << 4) | (d[i] << 6)
                counts[low | (high << 1)] += 1
                low = high
    return counts


@njit(cache=True, nogil=True)
def patterns_area(counts, starts, cross, weights, cofactor):
    """Surface in mm2 of all counted patterns. ``cofactor`` (3x3) maps an area vector in index steps
    to one in mm2: the determinant of the affine times its inverse transposed."""
    area = 0.0
    for pattern in range(256):
        if counts[pattern] == 0:
            continue
        one = 0.0
        for t in range(starts[pattern], starts[pattern + 1]):
            x = cofactor[0, 0] * cross[t, 0] + cofactor[0, 1] * cross[t, 1] + cofactor[0, 2] * cross[t, 2]
            y = cofactor[1, 0] * cross[t, 0] + cofactor[1, 1] * cross[t, 1] + cofactor[1, 2] * cross[t, 2]
            z = cofactor[2, 0] * cross[t, 0] + cofactor[2, 1] * cross[t, 1] + cofactor[2, 2] * cross[t, 2]
            one += weights[t] * 0.5 * np.sqrt(x * x + y * y + z * z)
        area += counts[pattern] * one
    return area


@njit(cache=True, nogil=True)
def _root(parent, n):
    while parent[n] != n:
        parent[n] = parent[parent[n]]
        n = parent[n]
    return n


@njit(cache=True, nogil=True)
def count_pieces(mask):
    """Number of pieces joined over faces, edges or corners (26 neighbours).

    Union-find over the runs of each row along i: two runs of neighbouring rows touch where they
    overlap within one voxel.
    """
    nk, nj, ni = mask.shape
    row_start = np.zeros(nk * nj + 1, np.int64)
    first = np.empty(nk * nj * (ni // 2 + 1), np.int32)
    last = np.empty(first.size, np.int32)
    n = 0
    for row in range(nk * nj):
        line = mask[row // nj, row % nj]
        i = 0
        while i < ni:
            if line[i] != 0:
                first[n] = i
                while i < ni and line[i] != 0:
                    i += 1
                last[n] = i - 1
                n += 1
            else:
                i += 1
        row_start[row + 1] = n
    parent = np.arange(n)
    pieces = n
    for row in range(nk * nj):
        k, j = row // nj, row % nj
        for before in range(4):
            if before == 0:
                other_k, other_j = k, j - 1
            else:
                other_k, other_j = k - 1, j + before - 2
            if other_k < 0 or other_j < 0 or other_j >= nj:
                continue
            other = other_k * nj + other_j
            a, b = row_start[row], row_start[other]
            while a < row_start[row + 1] and b < row_start[other + 1]:
                if first[a] <= last[b] + 1 and first[b] <= last[a] + 1:
                    ra, rb = _root(parent, a), _root(parent, b)
                    if ra != rb:
                        parent[ra] = rb
                        pieces -= 1
                if last[a] < last[b]:
                    a += 1
                else:
                    b += 1
    return pieces
