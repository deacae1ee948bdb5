"""Slow, plain NumPy twins of the kernels that measure a node."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist


def label_row(mask):
    """Count, sums of ``i j k ii jj kk ij ik jk`` and box of the voxels set; zeros for an empty mask."""
    where = np.argwhere(mask)
    if len(where) == 0:
        return [0] * 16
    k, j, i = (v.astype(np.int64) for v in where.T)
    sums = [np.sum(v) for v in (np.ones_like(i), i, j, k, i * i, j * j, k * k, i * j, i * k, j * k)]
    low, high = where.min(axis=0), where.max(axis=0) + 1
    return [int(v) for v in sums] + [int(v) for pair in zip(low, high, strict=True) for v in pair]


def row_edges(mask):
    """For every row the columns at which runs begin and end, in one list of lists."""
    padded = np.pad(mask.astype(np.int8), ((0, 0), (0, 0), (1, 1)))
    return [np.flatnonzero(np.diff(row)).tolist() for row in padded.reshape(-1, padded.shape[2])]


def pattern_counts(padded):
    """Histogram of the 2x2x2 patterns."""
    code = np.zeros(tuple(n - 1 for n in padded.shape), np.int64)
    for bit in range(8):
        di, dj, dk = bit & 1, (bit >> 1) & 1, bit >> 2
        nk, nj, ni = code.shape
        code += padded[dk : dk + nk, dj : dj + nj, di : di + ni].astype(np.int64) << bit
    return np.bincount(code.ravel(), minlength=256)


def pattern_areas(starts, cross, weights, cofactor):
    """Weighted triangle areas of each pattern."""
    areas = weights * np.linalg.norm(cross @ np.asarray(cofactor).T, axis=1) / 2
    return np.array([areas[a:b].sum() for a, b in itertools.pairwise(starts)])


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


def slice_midpoints(plane):
    """Edge midpoints of one slice in index steps (i, j)."""
    return np.array(sorted(outline_vertices(np.pad(plane, 1))), dtype=float) / 2 - 1


def longest_in_slices(mask, step):
    """(long, short): all pairs of all outline points of all slices, all chords across all longest pairs
    of the slices that hold one."""
    longest, pairs = 0.0, []
    frame = _plane_frame(step)
    for k, plane in enumerate(mask):
        if not plane.any():
            continue
        points = slice_midpoints(plane) @ frame
        distance = cdist(points, points)
        longest = max(longest, distance.max())
        pairs += [(distance[a, b], k, points[b] - points[a]) for a, b in np.argwhere(distance >= longest * (1 - 1e-9))]
    tied = [(k, along) for d, k, along in pairs if d >= longest * (1 - 1e-9)]
    slices = sorted({k for k, _ in tied})
    kept = sorted(slices, key=lambda k: (abs(k - np.mean(slices)), k))[:2]
    chords = []
    for k, along in tied:
        if k not in kept:
            continue
        ends = (outline_segments(np.pad(mask[k], 1)).reshape(-1, 2) - 1) @ frame
        t, s = along / np.linalg.norm(along), np.array([-along[1], along[0]]) / np.linalg.norm(along)
        chords.append(longest_chord(np.stack([ends @ t, ends @ s], axis=1).reshape(-1, 4)))
    return longest, max(chords)


def _plane_frame(step):
    """In-plane coordinates of one step along i and of one along j (rows)."""
    i, j = step[:, 0], step[:, 1]
    e = i / np.linalg.norm(i)
    return np.array([[np.linalg.norm(i), 0.0], [j @ e, np.linalg.norm(j - (j @ e) * e)]])


def outline_segments(plane):
    """Outline of one padded slice, cell by cell: joins midpoints with the set pixels on one side."""
    segments = []
    for j in range(plane.shape[0] - 1):
        for i in range(plane.shape[1] - 1):
            ring = [plane[j, i], plane[j, i + 1], plane[j + 1, i + 1], plane[j + 1, i]]
            middles = [(i + 0.5, j), (i + 1, j + 0.5), (i + 0.5, j + 1), (i, j + 0.5)]
            crossed = [m for m in range(4) if ring[m] != ring[(m + 1) % 4]]
            if len(crossed) == 4:  # diagonal pixels: each set one is cut off by itself
                for c in (c for c in range(4) if ring[c]):
                    segments.append([*middles[c - 1], *middles[c]])
            elif crossed:
                segments.append([*middles[crossed[0]], *middles[crossed[1]]])
    return np.array(segments, dtype=float)


def own_axes(mask, step):
    """(L, W, H, hull in voxels) over all mesh vertices and all longest pairs."""
    vertices = mesh_vertices(mask) / 2
    hull = ConvexHull(vertices)
    points = vertices[hull.vertices] @ step.T
    distance = cdist(points, points)
    length = distance.max()
    best = (0.0, 0.0)
    for a, b in np.argwhere(np.triu(distance) >= length * (1 - 1e-9)):
        first = (points[b] - points[a]) / distance[a, b]
        flat = points - np.outer(points @ first, first)
        across = cdist(flat, flat)
        width = across.max()
        for c, d in np.argwhere(np.triu(across) >= width * (1 - 1e-9)):
            third = np.cross(first, (flat[d] - flat[c]) / width)
            height = np.ptp(flat @ third)
            if (width, height) > (best[0] * (1 + 1e-9), 0.0) or (abs(width - best[0]) <= 1e-9 * width and height > best[1]):
                best = (width, height)
    return length, *best, hull.volume
