"""One pass over a label map: where every label lies, how many voxels, their moments; then one node's
runs, and what follows from them: its 2x2x2 patterns and its pieces.

Label maps are uint8 or uint16 ``[k, j, i]``, C-ordered, handed over as ``words``: the same memory as
uint64, so that eight or four voxels are looked at together and one compiled kernel serves both
kinds. ``shift`` is 3 for eight voxels a word and 2 for four; ``tail`` holds the last voxels where they
do not fill a word. Counts are whole numbers, so every sum is exact and does not depend on the
order or the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 64  # words looked at together where nothing is expected


@njit(cache=True, nogil=True)
def _from(words, tail, shift, at):
    """The word with the voxel at place ``at`` as its lowest, the later ones of that word above it."""
    word = words[at >> shift] if at >> shift < words.size else tail
    return word >> np.uint64((at & ((1 << shift) - 1)) * (64 >> shift))


@njit(cache=True, nogil=True)
def _voxel(words, tail, shift, at):
    """The label at place ``at``."""
    return _from(words, tail, shift, at) & np.uint64((1 << (64 >> shift)) - 1)


@njit(cache=True, nogil=True)
def _empty_before(word, shift):
    """Background voxels before the first other one of a word that holds one."""
    bits = np.uint64(64 >> shift)
    lane = np.uint64((1 << (64 >> shift)) - 1)
    n = 0
    while word & lane == 0:
        word >>= bits
        n += 1
    return n


@njit(cache=True, nogil=True)
def _next_set(words, tail, shift, at, stop):
    """First place from ``at`` on that is not background, or ``stop``."""
    if at >= stop:
        return stop
    word = _from(words, tail, shift, at)
    if word != 0:
        return min(at + _empty_before(word, shift), stop)
    w = (at >> shift) + 1
    last = stop >> shift
    while w + BLOCK <= last:
        together = np.uint64(0)
        block = words[w : w + BLOCK]  # a view of its own, so that the loop below becomes vector code
        for n in range(BLOCK):
            together |= block[n]
        if together != 0:
            break
        w += BLOCK
    while w < last and words[w] == 0:
        w += 1
    at = w << shift
    if at >= stop:
        return stop
    word = _from(words, tail, shift, at)
    return stop if word == 0 else min(at + _empty_before(word, shift), stop)


@njit(cache=True, nogil=True)
def _run_end(words, tail, shift, at, stop):
    """First place after ``at`` whose label is another than that at ``at``, or ``stop``."""
    same = _voxel(words, tail, shift, at) * (np.uint64(0x0101010101010101) if shift == 3 else np.uint64(0x0001000100010001))
    lanes = 1 << shift
    # What differs from the label is not zero; what was shifted in above counts as alike.
    here = (at & (lanes - 1)) * (64 >> shift)
    other = _from(words, tail, shift, at) ^ (same >> np.uint64(here))
    if other != 0:
        return min(at + _empty_before(other, shift), stop)
    w = (at >> shift) + 1
    while (w + 1) << shift <= stop and words[w] == same:
        w += 1
    at = w << shift
    if at >= stop:
        return stop
    other = _from(words, tail, shift, at) ^ same
    return stop if other == 0 else min(at + _empty_before(other, shift), stop)


@njit(cache=True, nogil=True)
def scan_labels(words, tail, shift, shape, top, first, step):
    """Count, moments and box of the labels 1 to ``top`` in the slices ``first``, ``first + step``... in one
    pass: ``(table, largest)``.

    ``table`` is int64 (top + 1, 16): the count, the sums of ``i j k ii jj kk ij ik jk`` and the
    half-open box ``k0 k1 j0 j1 i0 i1``; zeros for a label that does not occur and for the
    background. ``largest`` is the largest label met, also if it is above ``top``.
    """
    table = np.zeros((top + 1, 16), np.int64)
    nk, nj, ni = shape
    largest = 0
    for k in range(first, nk, step):
        base = k * nj * ni
        end = base + nj * ni
        at = base
        while True:
            at = _next_set(words, tail, shift, at, end)
            if at >= end:
                break
            j = (at - base) // ni
            row = base + j * ni
            stop = _run_end(words, tail, shift, at, row + ni)
            label = np.int64(_voxel(words, tail, shift, at))
            a = at - row
            b = stop - row
            at = stop
            largest = max(largest, label)
            if label > top:
                continue
            one = table[label]
            n = b - a
            si = n * (a + b - 1) // 2
            if one[0] == 0:
                one[10], one[11], one[12], one[13], one[14], one[15] = k, k + 1, j, j + 1, a, b
            else:
                one[10] = min(one[10], k)
                one[11] = max(one[11], k + 1)
                one[12] = min(one[12], j)
                one[13] = max(one[13], j + 1)
                one[14] = min(one[14], a)
                one[15] = max(one[15], b)
            one[0] += n
            one[1] += si
            one[2] += n * j
            one[3] += n * k
            one[4] += ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
            one[5] += n * j * j
            one[6] += n * k * k
            one[7] += si * j
            one[8] += si * k
            one[9] += n * j * k
    return table, largest


@njit(cache=True, nogil=True)
def join_tables(tables):
    """One table of several (parts, top + 1, 16) over different slices."""
    table = tables[0].copy()
    for part in range(1, tables.shape[0]):
        for label in range(1, table.shape[0]):
            other = tables[part, label]
            if other[0] == 0:
                continue
            one = table[label]
            if one[0] == 0:
                for n in range(16):
                    one[n] = other[n]
                continue
            for n in range(10):
                one[n] += other[n]
            for n in (10, 12, 14):
                one[n] = min(one[n], other[n])
                one[n + 1] = max(one[n + 1], other[n + 1])
    return table


@njit(cache=True, nogil=True)
def row_edges(words, tail, shift, shape, label, box):
    """Where each row of a label's box enters and leaves it: ``(starts, edges)``.

    ``edges[starts[r]:starts[r + 1]]`` are, for row ``r = k * nj + j`` of the box, the columns (from
    the box's side) at which runs begin and end in turn: first, one past the last, first...
    """
    _, whole_j, whole_i = shape
    nk, nj, ni = box[1] - box[0], box[3] - box[2], box[5] - box[4]
    starts = np.zeros(nk * nj + 1, np.int64)
    edges = np.empty(4 * nk * nj + ni + 2, np.int32)
    n = 0
    for r in range(nk * nj):
        k = box[0] + r // nj
        j = box[2] + r % nj
        base = (k * whole_j + j) * whole_i + box[4]
        at = base
        end = base + ni
        if n + ni + 2 > edges.size:
            more = np.empty(2 * edges.size + ni, np.int32)
            for m in range(n):
                more[m] = edges[m]
            edges = more
        while True:
            at = _next_set(words, tail, shift, at, end)
            if at >= end:
                break
            stop = _run_end(words, tail, shift, at, end)
            if _voxel(words, tail, shift, at) == label:
                edges[n] = at - base
                edges[n + 1] = stop - base
                n += 2
            at = stop
        starts[r + 1] = n
    return starts, edges[:n]


@njit(cache=True, nogil=True)
def voxels_per_slice(starts, edges, nk, nj):
    """Voxels in each slice of the box."""
    out = np.zeros(nk, np.int64)
    for k in range(nk):
        for n in range(starts[k * nj], starts[(k + 1) * nj], 2):
            out[k] += edges[n + 1] - edges[n]
    return out


@njit(cache=True, nogil=True)
def pattern_counts(starts, edges, nk, nj, ni):
    """How often each of the 256 patterns of 2x2x2 voxels occurs in the box and a margin of one empty
    voxel. Bit ``n`` of a pattern is the voxel at ``(n & 1, n >> 1 & 1, n >> 2)`` in (i, j, k).

    Four neighbouring rows are followed together from edge to edge; between edges the pattern stays.
    """
    counts = np.zeros(256, np.int64)
    at = np.empty(4, np.int64)
    stop = np.empty(4, np.int64)
    far = np.int64(ni + 1)
    for k in range(nk + 1):
        for j in range(nj + 1):
            some = False
            for q in range(4):
                row_k, row_j = k - 1 + (q >> 1), j - 1 + (q & 1)
                if 0 <= row_k < nk and 0 <= row_j < nj:
                    at[q] = starts[row_k * nj + row_j]
                    stop[q] = starts[row_k * nj + row_j + 1]
                    some = some or at[q] < stop[q]
                else:
                    at[q] = 0
                    stop[q] = 0
            if not some:
                counts[0] += ni + 1
                continue
            state = 0  # bits 0, 2, 4, 6: which of the rows are inside
            seen = 0  # cells counted so far; cell i lies between voxels i - 1 and i
            a0, a1, a2, a3 = at[0], at[1], at[2], at[3]
            z0, z1, z2, z3 = stop[0], stop[1], stop[2], stop[3]
            e0 = np.int64(edges[a0]) if a0 < z0 else far
            e1 = np.int64(edges[a1]) if a1 < z1 else far
            e2 = np.int64(edges[a2]) if a2 < z2 else far
            e3 = np.int64(edges[a3]) if a3 < z3 else far
            while True:
                e = min(min(e0, e1), min(e2, e3))
                counts[state * 3] += e - seen
                if e == far:
                    break
                after = state
                if e0 == e:
                    after ^= 1
                    a0 += 1
                    e0 = np.int64(edges[a0]) if a0 < z0 else far
                if e1 == e:
                    after ^= 4
                    a1 += 1
                    e1 = np.int64(edges[a1]) if a1 < z1 else far
                if e2 == e:
                    after ^= 16
                    a2 += 1
                    e2 = np.int64(edges[a2]) if a2 < z2 else far
                if e3 == e:
                    after ^= 64
                    a3 += 1
                    e3 = np.int64(edges[a3]) if a3 < z3 else far
                counts[state | (after << 1)] += 1
                state = after
                seen = e + 1
    return counts


@njit(cache=True, nogil=True)
def pattern_areas(starts, cross, weights, cofactor):
    """Surface in mm2 of each of the 256 patterns. ``cofactor`` (3x3) maps an area vector in index steps
    to one in mm2: the determinant of the affine times its inverse transposed."""
    areas = np.zeros(256)
    for pattern in range(256):
        for t in range(starts[pattern], starts[pattern + 1]):
            x = cofactor[0, 0] * cross[t, 0] + cofactor[0, 1] * cross[t, 1] + cofactor[0, 2] * cross[t, 2]
            y = cofactor[1, 0] * cross[t, 0] + cofactor[1, 1] * cross[t, 1] + cofactor[1, 2] * cross[t, 2]
            z = cofactor[2, 0] * cross[t, 0] + cofactor[2, 1] * cross[t, 1] + cofactor[2, 2] * cross[t, 2]
            areas[pattern] += weights[t] * 0.5 * np.sqrt(x * x + y * y + z * z)
    return areas


@njit(cache=True, nogil=True)
def _root(parent, n):
    while parent[n] != n:
        parent[n] = parent[parent[n]]
        n = parent[n]
    return n


@njit(cache=True, nogil=True)
def count_pieces(starts, edges, nk, nj):
    """Number of pieces joined over faces, edges or corners (26 neighbours).

    Union-find over the runs of each row: two runs of neighbouring rows touch where they overlap
    within one voxel.
    """
    pieces = edges.size // 2
    parent = np.empty(pieces, np.int32)
    for n in range(pieces):
        parent[n] = n
    for row in range(nk * nj):
        if starts[row] == starts[row + 1]:
            continue
        k, j = row // nj, row % nj
        for before in range(4):
            if before == 0:
                other_k, other_j = k, j - 1
            else:
                other_k, other_j = k - 1, j + before - 2
            if other_k < 0 or other_j < 0 or other_j >= nj:
                continue
            other = other_k * nj + other_j
            a, b = starts[row], starts[other]
            while a < starts[row + 1] and b < starts[other + 1]:
                if edges[a] <= edges[b + 1] and edges[b] <= edges[a + 1]:
                    ra, rb = _root(parent, a // 2), _root(parent, b // 2)
                    if ra != rb:
                        parent[max(ra, rb)] = min(ra, rb)
                        pieces -= 1
                if edges[a + 1] < edges[b + 1]:
                    a += 2
                else:
                    b += 2
    return pieces
