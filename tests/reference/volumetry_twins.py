"""Slow, plain NumPy twins of the kernels that measure a node."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist


def bounding_box(mask):
    """``(k0, k1, j0, j1, i0, i1)``; zeros for an empty mask."""
    where = np.argwhere(mask)
    if len(where) == 0:
        return [0] * 6
    low, high = where.min(axis=0), where.max(axis=0) + 1
    return [int(v) for pair in zip(low, high, strict=True) for v in pair]


def moments(mask):
    """(voxels per slice, the nine sums, runs along i, j and k)."""
    k, j, i = (v.astype(np.int64) for v in np.nonzero(mask))
    sums = [np.sum(v) for v in (i, j, k, i * i, j * j, k * k, i * j, i * k, j * k)]
    padded = np.pad(mask.astype(np.int8), 1)
    runs = [int((np.diff(padded, axis=axis) == 1).sum()) for axis in (2, 1, 0)]
    return mask.astype(np.int64).sum(axis=(1, 2)), np.array(sums), np.array(runs)


def pattern_counts(padded):
    """Histogram of the 2x2x2 patterns."""
    code = np.zeros(tuple(n - 1 for n in padded.shape), np.int64)
    for bit in range(8):
        di, dj, dk = bit & 1, (bit >> 1) & 1, bit >> 2
        nk, nj, ni = code.shape
        code += padded[dk : dk + nk, dj : dj + nj, di : di + ni].astype(np.int64) << bit
    return np.bincount(code.ravel(), minlength=256)


def patterns_area(counts, starts, cross, weights, cofactor):
    """Sum over patterns of count x weighted triangle areas."""
    areas = weights * np.linalg.norm(cross @ np.asarray(cofactor).T, axis=1) / 2
    return sum(int(counts[p]) * areas[starts[p] : starts[p + 1]].sum() for p in range(256))


def count_pieces(mask):
    """Pieces over 26 neighbours."""
    return int(ndimage.label(mask, np.ones((3, 3, 3)))[1])


def mesh_vertices(mask):
    """All edge midpoints of the 0.5 surface as doubled index points (2i, 2j, 2k)."""
    padded = np.pad(mask.astype(np.int8), 1)
    found = []
    for axis in range(3):
        at = np.argwhere(np.diff(padded, axis=axis) != 0) - 1
        doubled = 2 * at
        doubled[:, axis] += 1
        found.append(doubled[:, ::-1])
    return np.concatenate(found)


def farthest(points):
    """Largest distance between two rows."""
    return float(cdist(points, points).max())


def outline_vertices(plane):
    """Edge midpoints of one slice (padded) as a set of doubled (2i, 2j)."""
    out = set()
    for j, i in np.argwhere(np.diff(plane.astype(np.int8), axis=1) != 0):
        out.add((2 * int(i) + 1, 2 * int(j)))
    for j, i in np.argwhere(np.diff(plane.astype(np.int8), axis=0) != 0):
        out.add((2 * int(i), 2 * int(j) + 1))
    return out


def longest_chord(segments):
    """Longest stretch inside the outline at constant t, over lines just beside every corner."""
    corners = np.unique(segments[:, [0, 2]])
    step = 1e-9 * np.ptp(corners)
    best = 0.0
    for t in np.concatenate([corners - step, corners + step]):
        crossed = segments[(segments[:, 0] < t) != (segments[:, 2] < t)]
        share = (t - crossed[:, 0]) / (crossed[:, 2] - crossed[:, 0])
        cuts = np.sort(crossed[:, 1] + share * (crossed[:, 3] - crossed[:, 1]))
        if len(cuts):
            best = max(best, float((cuts[1::2] - cuts[::2]).max()))
    return best
