"""How far a node reaches: convex outlines per slice, farthest pairs, the longest perpendicular chord.

Index points are doubled, ``(2i, 2j, 2k)``, so that edge midpoints of the mask's 0.5 surface are
whole numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def slice_hulls(mask):
    """Corners of the convex outline of the voxel centres of each slice.

    Returns ``(starts, points)``: ``points[starts[k]:starts[k + 1]]`` are ``(i, j)`` of slice ``k``.
    Andrew's monotone chain over the first and last voxel of each row; only strict corners.
    """
    nk, nj, ni = mask.shape
    starts = np.zeros(nk + 1, np.int64)
    points = np.empty((2 * nk * nj, 2), np.int64)
    left = np.empty((nj, 2), np.int64)
    right = np.empty((nj, 2), np.int64)
    total = 0
    for k in range(nk):
        nl = 0
        nr = 0
        for j in range(nj):
            first = -1
            last = -1
            for i in range(ni):
                if mask[k, j, i] != 0:
                    if first < 0:
                        first = i
                    last = i
            if first < 0:
                continue
            while nl >= 2:
                dx = left[nl - 1, 0] - left[nl - 2, 0]
                dy = left[nl - 1, 1] - left[nl - 2, 1]
                if dx * (j - left[nl - 2, 1]) - dy * (first - left[nl - 2, 0]) >= 0:
                    nl -= 1
                else:
                    break
            left[nl, 0] = first
            left[nl, 1] = j
            nl += 1
            while nr >= 2:
                dx = right[nr - 1, 0] - right[nr - 2, 0]
                dy = right[nr - 1, 1] - right[nr - 2, 1]
                if dx * (j - right[nr - 2, 1]) - dy * (last - right[nr - 2, 0]) <= 0:
                    nr -= 1
                else:
                    break
            right[nr, 0] = last
            right[nr, 1] = j
            nr += 1
        for n in range(nl):
            points[total] = left[n]
            total += 1
        for n in range(nr):
            # a row of one voxel is in both chains; it matters only at the ends
            twice = False
            for m in range(nl):
                if left[m, 0] == right[n, 0] and left[m, 1] == right[n, 1]:
                    twice = True
                    break
            if not twice:
                points[total] = right[n]
                total += 1
        starts[k + 1] = total
    return starts, points[:total].copy()


@njit(cache=True, nogil=True)
def _strict_hull(points, n, chain):
    """Corners of the hull of the first ``n`` whole-number points, written to ``chain``; how many."""
    order = np.argsort(points[:n, 0] * np.int64(1 << 32) + points[:n, 1])
    total = 0
    for sweep in range(2):
        base = total
        for m in range(n):
            p = order[m] if sweep == 0 else order[n - 1 - m]
            while total - base >= 2:
                a, b = chain[total - 2], chain[total - 1]
                turn = (points[b, 0] - points[a, 0]) * (points[p, 1] - points[a, 1]) - (points[b, 1] - points[a, 1]) * (points[p, 0] - points[a, 0])
                if turn <= 0:
                    total -= 1
                else:
                    break
            chain[total] = p
            total += 1
        total -= 1  # the sweep's last point begins the other sweep
    return max(total, 1)


@njit(cache=True, nogil=True)
def surface_corners(starts, points):
    """Edge midpoints of the 0.5 surface that can be corners of its convex hull.

    Takes the answer of ``slice_hulls`` and gives (n, 3) doubled index points ``(2i, 2j, 2k)``: the
    corners of the convex outline of each slice (voxel centres moved by half a step in the slice)
    and of each layer half-way between two slices (centres of both).
    """
    nk = starts.size - 1
    widest = 0
    for k in range(nk):
        widest = max(widest, starts[k + 1] - starts[k])
    layer = np.empty((4 * widest + 4, 2), np.int64)
    chain = np.empty(2 * layer.shape[0] + 2, np.int64)
    out = np.empty((8 * points.shape[0] + 16, 3), np.int64)
    total = 0
    for half in range(-1, 2 * nk):
        n = 0
        if half % 2 == 0:
            k = half // 2
            for m in range(starts[k], starts[k + 1]):
                for axis in range(2):
                    for side in (-1, 1):
                        layer[n, 0] = 2 * points[m, 0] + (side if axis == 0 else 0)
                        layer[n, 1] = 2 * points[m, 1] + (side if axis == 1 else 0)
                        n += 1
        else:
            below = (half - 1) // 2
            for k in (below, below + 1):
                if k < 0 or k >= nk:
                    continue
                for m in range(starts[k], starts[k + 1]):
                    layer[n, 0] = 2 * points[m, 0]
                    layer[n, 1] = 2 * points[m, 1]
                    n += 1
        if n == 0:
            continue
        corners = _strict_hull(layer, n, chain)
        for m in range(corners):
            out[total, 0] = layer[chain[m], 0]
            out[total, 1] = layer[chain[m], 1]
            out[total, 2] = half
            total += 1
    return out[:total].copy()


@njit(cache=True, nogil=True)
def farthest_pairs(points, at_least, tolerance, limit):
    """Largest distance between rows of ``points`` (n, 2 or 3) and the pairs that reach it.

    Returns ``(distance, pairs)`` with up to ``limit`` index pairs within the relative
    ``tolerance`` of the largest distance. Where nothing exceeds ``at_least`` the distance is
    ``at_least`` and there may be no pair: the caller has something longer already.

    Exact: points are taken by falling distance from their mean, and two points are never further
    apart than those two distances together, so most pairs need no look.
    """
    n, d = points.shape
    middle = np.zeros(d)
    for a in range(n):
        for c in range(d):
            middle[c] += points[a, c] / n
    radius = np.zeros(n)
    for a in range(n):
        s = 0.0
        for c in range(d):
            s += (points[a, c] - middle[c]) ** 2
        radius[a] = np.sqrt(s)
    order = np.argsort(-radius)
    ordered = points[order]
    radius = radius[order]
    best = at_least * at_least
    reach = at_least
    for a in range(n):
        if 2.0 * radius[a] < reach * (1.0 - 1e-12):
            break
        for b in range(a + 1, n):
            if radius[a] + radius[b] < reach * (1.0 - 1e-12):
                break
            s = 0.0
            for c in range(d):
                s += (ordered[a, c] - ordered[b, c]) ** 2
            if s > best:
                best = s
                reach = np.sqrt(best)
    floor = best * (1.0 - 2.0 * tolerance)
    reach = np.sqrt(max(floor, 0.0)) * (1.0 - 1e-12)
    pairs = np.empty((limit, 2), np.int64)
    found = 0
    for a in range(n):
        if found == limit or 2.0 * radius[a] < reach:
            break
        for b in range(a + 1, n):
            if radius[a] + radius[b] < reach:
                break
            s = 0.0
            for c in range(d):
                s += (ordered[a, c] - ordered[b, c]) ** 2
            if s >= floor:
                pairs[found, 0] = order[a]
                pairs[found, 1] = order[b]
                found += 1
                if found == limit:
                    break
    return np.sqrt(best), pairs[:found].copy()


@njit(cache=True, nogil=True)
def planar_hull(points):
    """Corners of the convex hull of ``points`` (n, 2) as indices, by the monotone chain.

    Points on an edge within rounding may stay in; a corner never drops out by more than rounding.
    """
    n = points.shape[0]
    order = np.argsort(points[:, 0])
    chain = np.empty(2 * n + 2, np.int64)
    total = 0
    for sweep in range(2):
        base = total
        for m in range(n):
            p = order[m] if sweep == 0 else order[n - 1 - m]
            while total - base >= 2:
                a, b = chain[total - 2], chain[total - 1]
                turn = (points[b, 0] - points[a, 0]) * (points[p, 1] - points[a, 1]) - (points[b, 1] - points[a, 1]) * (points[p, 0] - points[a, 0])
                if turn < 0:
                    total -= 1
                else:
                    break
            chain[total] = p
            total += 1
    return np.unique(chain[:total])


@njit(cache=True, nogil=True)
def slice_outline(plane):
    """Outline of one slice at level 0.5 as segments between edge midpoints.

    ``plane`` is uint8 [j, i] with one empty pixel on every side. Returns (n, 4) ``(i0, j0, i1, j1)``
    in index units of ``plane``. Where only two diagonal pixels are set they are kept apart.
    """
    nj, ni = plane.shape
    segments = np.empty((2 * nj * ni, 4), np.float64)
    n = 0
    for j in range(nj - 1):
        for i in range(ni - 1):
            a = plane[j, i]
            b = plane[j, i + 1]
            c = plane[j + 1, i + 1]
            d = plane[j + 1, i]
            total = a + b + c + d
            if total == 0 or total == 4:
                continue
            # midpoints: south (a-b), east (b-c), north (c-d), west (d-a)
            if total == 2 and a == c:
                if a != 0:
                    segments[n] = np.array([i + 0.5, j, i, j + 0.5])
                    segments[n + 1] = np.array([i + 1.0, j + 0.5, i + 0.5, j + 1.0])
                else:
                    segments[n] = np.array([i + 0.5, j, i + 1.0, j + 0.5])
                    segments[n + 1] = np.array([i, j + 0.5, i + 0.5, j + 1.0])
                n += 2
                continue
            m = 0
            if a != b:
                segments[n, 0] = i + 0.5
                segments[n, 1] = j
                m = 2
            if b != c:
                segments[n, m] = i + 1.0
                segments[n, m + 1] = j + 0.5
                m += 2
            if c != d:
                segments[n, m] = i + 0.5
                segments[n, m + 1] = j + 1.0
                m += 2
            if d != a:
                segments[n, m] = i
                segments[n, m + 1] = j + 0.5
            n += 1
    return segments[:n].copy()


@njit(cache=True, nogil=True)
def longest_chord(segments):
    """Longest stretch inside an outline along the second axis: ``(length, t, s0, s1)``.

    ``segments`` (n, 4) are ``(t0, s0, t1, s1)``; the chord runs at constant ``t`` from ``s0`` to
    ``s1``. Between corners of the outline the length is linear in ``t``, so the longest chord
    passes a corner; each corner is approached from both sides.
    """
    n = segments.shape[0]
    cuts = np.empty(n, np.float64)
    span = 0.0
    for a in range(n):
        span = max(span, abs(segments[a, 0] - segments[0, 0]), abs(segments[a, 2] - segments[0, 0]))
    step = 1e-9 * span
    best, best_t, best_0, best_1 = 0.0, 0.0, 0.0, 0.0
    for a in range(n):
        for end in (0, 2):
            for side in (-1.0, 1.0):
                t = segments[a, end] + side * step
                found = 0
                for b in range(n):
                    t0 = segments[b, 0]
                    t1 = segments[b, 2]
                    if (t0 < t) != (t1 < t):
                        cuts[found] = segments[b, 1] + (segments[b, 3] - segments[b, 1]) * (t - t0) / (t1 - t0)
                        found += 1
                if found < 2:
                    continue
                cuts[:found].sort()
                for c in range(0, found - 1, 2):
                    if cuts[c + 1] - cuts[c] > best:
                        best = cuts[c + 1] - cuts[c]
                        best_t, best_0, best_1 = t, cuts[c], cuts[c + 1]
    return best, best_t, best_0, best_1
