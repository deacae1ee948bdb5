"""How far a node reaches: corners of its convex hull, farthest pairs, the longest perpendicular chord.

Index points are doubled, ``(2i, 2j, 2k)``, so that edge midpoints of the mask's 0.5 surface are
whole numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit

ONE_LENGTH = 1e-8  # relative difference below which two chords count as equally long


@njit(cache=True, nogil=True)
def rising_order(values):
    """Indices that put ``values`` (n) in rising order, equal ones as they stand. A merge sort of its own:
    NumPy's sorting costs ten times as long to compile."""
    n = values.size
    order = np.arange(n)
    other = np.empty(n, np.int64)
    width = 1
    while width < n:
        for first in range(0, n, 2 * width):
            a, b = first, min(first + width, n)
            middle, last = b, min(first + 2 * width, n)
            for m in range(first, last):
                if a < middle and (b >= last or values[order[a]] <= values[order[b]]):
                    other[m] = order[a]
                    a += 1
                else:
                    other[m] = order[b]
                    b += 1
        order, other = other, order
        width *= 2
    return order


@njit(cache=True, nogil=True)
def row_extremes(starts, edges):
    """First and last voxel of each row as int32 (rows, 2), from ``row_edges``; an empty row has the
    first beyond the last."""
    out = np.empty((starts.size - 1, 2), np.int32)
    for r in range(starts.size - 1):
        if starts[r] == starts[r + 1]:
            out[r, 0] = 1
            out[r, 1] = -1
        else:
            out[r, 0] = edges[starts[r]]
            out[r, 1] = edges[starts[r + 1] - 1] - 1
    return out


@njit(cache=True, nogil=True)
def _rows_hull(low, high, first_y, step_y, z, left, right, out, total):
    """Append the corners ``(x, y, z)`` of the hull of rows ``low..high`` at rising y to ``out``;
    the new total. Andrew's monotone chain on both sides, only strict corners. A row with
    ``low > high`` is empty."""
    nl = 0
    nr = 0
    for r in range(low.size):
        if low[r] > high[r]:
            continue
        y = first_y + r * step_y
        x = low[r]
        while nl >= 2:
            dx = left[nl - 1, 0] - left[nl - 2, 0]
            dy = left[nl - 1, 1] - left[nl - 2, 1]
            if dx * (y - left[nl - 2, 1]) - dy * (x - left[nl - 2, 0]) >= 0:
                nl -= 1
            else:
                break
        left[nl, 0] = x
        left[nl, 1] = y
        nl += 1
        x = high[r]
        while nr >= 2:
            dx = right[nr - 1, 0] - right[nr - 2, 0]
            dy = right[nr - 1, 1] - right[nr - 2, 1]
            if dx * (y - right[nr - 2, 1]) - dy * (x - right[nr - 2, 0]) <= 0:
                nr -= 1
            else:
                break
        right[nr, 0] = x
        right[nr, 1] = y
        nr += 1
    for n in range(nl):
        out[total, 0] = left[n, 0]
        out[total, 1] = left[n, 1]
        out[total, 2] = z
        total += 1
    for n in range(nr):
        # the two chains can only meet where they begin and end
        if (n == 0 or n == nr - 1) and (
            (right[n, 0] == left[0, 0] and right[n, 1] == left[0, 1]) or (right[n, 0] == left[nl - 1, 0] and right[n, 1] == left[nl - 1, 1])
        ):
            continue
        out[total, 0] = right[n, 0]
        out[total, 1] = right[n, 1]
        out[total, 2] = z
        total += 1
    return total


@njit(cache=True, nogil=True)
def layer_corners(extremes, nk, nj):
    """Edge midpoints of the 0.5 surface that can be corners of its convex hull: ``(starts, points)``.

    ``extremes`` are those of ``row_extremes`` for a box of ``nk`` slices of ``nj`` rows. Layer
    ``n`` lies at doubled height ``n - 1`` and has ``points[starts[n]:starts[n + 1]]``, doubled
    index points ``(2i, 2j, 2k)``: even heights are the slices themselves (voxel centres moved by
    half a step in the slice), odd ones lie half-way between two slices (centres of both).
    """
    starts = np.zeros(2 * nk + 2, np.int64)
    room = 4 * (2 * nj + 1)
    out = np.empty((room * 4, 3), np.int64)
    left = np.empty((2 * nj + 1, 2), np.int64)
    right = np.empty((2 * nj + 1, 2), np.int64)
    low = np.empty(2 * nj + 1, np.int64)
    high = np.empty(2 * nj + 1, np.int64)
    none = np.int64(1 << 40)
    total = 0
    for half in range(-1, 2 * nk):
        if total + room > out.shape[0]:
            more = np.empty((2 * out.shape[0], 3), np.int64)
            for n in range(total):
                more[n, 0], more[n, 1], more[n, 2] = out[n, 0], out[n, 1], out[n, 2]
            out = more
        for r in range(2 * nj + 1):
            low[r] = none
            high[r] = -none
        if half % 2 == 0:
            k = half // 2
            for j in range(nj):
                a, b = np.int64(extremes[k * nj + j, 0]), np.int64(extremes[k * nj + j, 1])
                if a > b:
                    continue
                low[2 * j + 1] = 2 * a - 1
                high[2 * j + 1] = 2 * b + 1
                for r in (2 * j, 2 * j + 2):
                    low[r] = min(low[r], 2 * a)
                    high[r] = max(high[r], 2 * b)
            total = _rows_hull(low, high, -1, 1, half, left, right, out, total)
        else:
            below = (half - 1) // 2
            for k in range(max(below, 0), min(below + 2, nk)):
                for j in range(nj):
                    a, b = np.int64(extremes[k * nj + j, 0]), np.int64(extremes[k * nj + j, 1])
                    if a <= b:
                        low[j] = min(low[j], 2 * a)
                        high[j] = max(high[j], 2 * b)
            total = _rows_hull(low[:nj], high[:nj], 0, 2, half, left, right, out, total)
        starts[half + 2] = total
    return starts, out[:total]


@njit(cache=True, nogil=True)
def _distances2(points, a, out):
    """Squared distances of all points (n, 2 or 3) from ``points[a]``, written to ``out``; the index of
    the largest."""
    n, d = points.shape
    far = a
    for b in range(n):
        s = 0.0
        for c in range(d):
            s += (points[b, c] - points[a, c]) ** 2
        out[b] = s
        if s > out[far]:
            far = b
    return far


@njit(cache=True, nogil=True)
def far_points(points, at_least, tolerance):
    """Those of ``points`` (n, 2 or 3) that can be one of two points as far apart as any, within the
    relative ``tolerance``: ``(indices, radii)``, by falling distance from the mean of all (radii).

    Two points are never further apart than their radii together, and a fairly long distance is found by going
    from a point to the farthest one three times; so most points drop out before any are paired.
    """
    n, d = points.shape
    middle = np.zeros(d)
    for a in range(n):
        for c in range(d):
            middle[c] += points[a, c] / n
    radius = np.zeros(n)
    widest = 0
    for a in range(n):
        s = 0.0
        for c in range(d):
            s += (points[a, c] - middle[c]) ** 2
        radius[a] = np.sqrt(s)
        if radius[a] > radius[widest]:
            widest = a
    found = at_least * at_least
    squares = np.empty(n)
    at = widest
    for _ in range(3):
        squares[at] = 0.0
        far = _distances2(points, at, squares)
        found = max(found, squares[far])
        at = far
    least = np.sqrt(found) * (1.0 - 2.0 * tolerance) * (1.0 - 1e-12) - radius[widest]
    kept = np.empty(n, np.int64)
    inward = np.empty(n)
    total = 0
    for a in range(n):
        if radius[a] >= least:
            kept[total] = a
            inward[total] = -radius[a]
            total += 1
    order = rising_order(inward[:total])
    out = np.empty(total, np.int64)
    radii = np.empty(total)
    for a in range(total):
        out[a] = kept[order[a]]
        radii[a] = -inward[order[a]]
    return out, radii


@njit(cache=True, nogil=True)
def farthest_pairs(points, at_least, tolerance, limit):
    """Largest distance between rows of ``points`` (n, 2 or 3) and the pairs that reach it.

    Returns ``(distance, pairs)`` with up to ``limit`` index pairs within the relative
    ``tolerance`` of the largest distance. Where nothing exceeds ``at_least`` the distance is
    ``at_least`` and there may be no pair: the caller has something longer already.

    Exact: only pairs whose radii together (``far_points``) cannot reach far enough are left out.
    """
    d = points.shape[1]
    order, radius = far_points(points, at_least, tolerance)
    n = order.size
    ordered = np.empty((n, d))
    for a in range(n):
        for c in range(d):
            ordered[a, c] = points[order[a], c]
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
    order = rising_order(points[:, 0])
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
    corner = np.zeros(n, np.bool_)
    for m in range(total):
        corner[chain[m]] = True
    total = 0
    for p in range(n):
        if corner[p]:
            chain[total] = p
            total += 1
    return chain[:total]


@njit(cache=True, nogil=True)
def slice_outline(plane):
    """Outline of one slice at level 0.5 as segments between edge midpoints.

    ``plane`` is uint8 [j, i] with one empty pixel on every side. Returns (n, 4) ``(i0, j0, i1, j1)``
    in index units of ``plane``. Where only two diagonal pixels are set they are kept apart.
    """
    nj, ni = plane.shape
    room = 0
    for j in range(nj - 1):
        for i in range(ni - 1):
            total = plane[j, i] + plane[j, i + 1] + plane[j + 1, i + 1] + plane[j + 1, i]
            if total == 2:
                room += 2
            elif total != 0 and total != 4:
                room += 1
    segments = np.empty((room, 4), np.float64)
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
                west = 0.0 if a != 0 else 1.0  # the south midpoint is joined to the west one or the east one
                segments[n, 0], segments[n, 1], segments[n, 2], segments[n, 3] = i + 0.5, j, i + west, j + 0.5
                segments[n + 1, 0], segments[n + 1, 1], segments[n + 1, 2], segments[n + 1, 3] = i + 1.0 - west, j + 0.5, i + 0.5, j + 1.0
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
def longest_chord(segments, middle):
    """Longest stretch inside an outline along the second axis: ``(length, t, s0, s1)``.

    ``segments`` (n, 4) are ``(t0, s0, t1, s1)``; the chord runs at constant ``t`` from ``s0`` to
    ``s1``. Between corners of the outline the length is linear in ``t``, so the longest chord
    passes a corner; each corner is approached from both sides. Of chords of one length that nearest
    to ``t = middle`` is answered. One sweep over rising ``t``, with
    the segments that the line at ``t`` crosses kept at hand.
    """
    n = segments.shape[0]
    begin = np.empty(n)
    end = np.empty(n)
    corners = np.empty(2 * n)
    for a in range(n):
        begin[a] = min(segments[a, 0], segments[a, 2])
        end[a] = max(segments[a, 0], segments[a, 2])
        corners[2 * a], corners[2 * a + 1] = begin[a], end[a]
    rising = rising_order(corners)
    order = rising_order(begin)
    step = 1e-9 * max(abs(corners[rising[0]] - segments[0, 0]), abs(corners[rising[2 * n - 1]] - segments[0, 0]))
    active = np.empty(n, np.int64)
    cuts = np.empty(n, np.float64)
    best, best_t, best_0, best_1 = 0.0, 0.0, 0.0, 0.0
    count = 0
    come = 0
    for m in range(2 * n):
        if m > 0 and corners[rising[m]] == corners[rising[m - 1]]:
            continue
        for side in (-1.0, 1.0):
            t = corners[rising[m]] + side * step
            while come < n and begin[order[come]] < t:
                active[count] = order[come]
                count += 1
                come += 1
            found = 0
            kept = 0
            for a in range(count):
                b = active[a]
                # two corners within a step of each other may turn the sweep back by that much
                if end[b] < t - 2.0 * step:
                    continue
                active[kept] = b
                kept += 1
                if begin[b] < t <= end[b]:
                    cut = segments[b, 1] + (segments[b, 3] - segments[b, 1]) * (t - segments[b, 0]) / (segments[b, 2] - segments[b, 0])
                    at = found
                    while at > 0 and cuts[at - 1] > cut:
                        cuts[at] = cuts[at - 1]
                        at -= 1
                    cuts[at] = cut
                    found += 1
            count = kept
            for c in range(0, found - 1, 2):
                chord = cuts[c + 1] - cuts[c]
                if chord > best * (1.0 + ONE_LENGTH) or (chord > best * (1.0 - ONE_LENGTH) and abs(t - middle) < abs(best_t - middle)):
                    best_t, best_0, best_1 = t, cuts[c], cuts[c + 1]
                best = max(best, chord)
    return best, best_t, best_0, best_1
