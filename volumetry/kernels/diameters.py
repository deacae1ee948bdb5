"""The diameters of one node: in the plane of acquisition (RECIST), and along its own three axes.

Points come as ``layer_corners`` gives them (doubled index points); the answers are in millimetres,
relative to the centre of the box's voxel (0, 0, 0). ``step`` (3, 3) has the steps in millimetres
along i, j and k as its columns.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from volumetry.kernels.convex_hull import convex_hull
from volumetry.kernels.extent import far_points, farthest_pairs, longest_chord, planar_hull, rising_order, slice_outline

TIE = 1e-9  # relative difference below which two lengths count as equal
TIED_PAIRS = 64
MANY = 100  # points to pair above which the convex hull is worth its sorting
PARALLEL = 1.0 - 1e-12  # cosine above which two directions are one


@njit(cache=True, nogil=True)
def _plane_of(step):
    """In-plane frame: unit vectors e1, e2 in space, and the steps along i and j in it."""
    frame = np.zeros((2, 3))
    length = np.sqrt(step[0, 0] ** 2 + step[1, 0] ** 2 + step[2, 0] ** 2)
    along = 0.0
    for c in range(3):
        frame[0, c] = step[c, 0] / length
        along += step[c, 1] * frame[0, c]
    across = 0.0
    for c in range(3):
        frame[1, c] = step[c, 1] - along * frame[0, c]
        across += frame[1, c] ** 2
    across = np.sqrt(across)
    for c in range(3):
        frame[1, c] /= across
    return frame, length, along, across


@njit(cache=True, nogil=True)
def _slice_plane(starts, edges, k, nj, ni):
    """Slice ``k`` as uint8 [j, i] with one empty pixel on every side."""
    plane = np.zeros((nj + 2, ni + 2), np.uint8)
    for j in range(nj):
        for n in range(starts[k * nj + j], starts[k * nj + j + 1], 2):
            plane[j + 1, edges[n] + 1 : edges[n + 1] + 1] = 1
    return plane


@njit(cache=True, nogil=True)
def longest_in_slices(starts, edges, nk, nj, ni, layer_starts, points, step):
    """Longest in-slice distance between outline points over all slices, and the longest chord inside
    the outline at right angles to it in that slice.

    Returns ``(long, short, slice, ends)`` with ``ends`` (4, 3): the two of the long axis, the two
    of the short one. Of equally long axes the one with the longest chord counts, of the slices that
    hold one those nearest to their middle.
    """
    frame, ii, ji, jj = _plane_of(step)
    flat = np.empty((points.shape[0], 2))
    reach = np.zeros(nk)
    for k in range(nk):
        first, last = layer_starts[2 * k + 1], layer_starts[2 * k + 2]
        if first == last:
            continue
        low_x, high_x, low_y, high_y = np.inf, -np.inf, np.inf, -np.inf
        for n in range(first, last):
            x = 0.5 * (points[n, 0] * ii + points[n, 1] * ji)
            y = 0.5 * (points[n, 1] * jj)
            flat[n, 0], flat[n, 1] = x, y
            low_x, high_x, low_y, high_y = min(low_x, x), max(high_x, x), min(low_y, y), max(high_y, y)
        reach[k] = np.sqrt((high_x - low_x) ** 2 + (high_y - low_y) ** 2)
    longest = np.zeros(nk)
    best = 0.0
    for k in rising_order(-reach):
        if reach[k] < best * (1.0 - TIE) or reach[k] == 0.0:
            break  # even the box around this slice is shorter
        longest[k] = farthest_pairs(flat[layer_starts[2 * k + 1] : layer_starts[2 * k + 2]], best * (1.0 - 2.0 * TIE), TIE, 0)[0]
        best = max(best, longest[k])
    middle, tied = 0.0, 0
    for k in range(nk):
        if longest[k] >= best * (1.0 - TIE):
            middle += k
            tied += 1
    middle /= tied
    ends = np.zeros((4, 3))
    short, chosen_k = 0.0, -1
    for _ in range(min(2, tied)):
        k = -1
        for n in range(nk):
            if longest[n] >= best * (1.0 - TIE) and (k < 0 or abs(n - middle) < abs(k - middle)):
                k = n
        longest[k] = 0.0  # looked at
        first = layer_starts[2 * k + 1]
        here = flat[first : layer_starts[2 * k + 2]]
        pairs = farthest_pairs(here, best * (1.0 - 2.0 * TIE), TIE, TIED_PAIRS)[1]
        outline = slice_outline(_slice_plane(starts, edges, k, nj, ni))
        turned = np.empty(outline.shape)
        for m in range(pairs.shape[0]):
            a, b = pairs[m, 0], pairs[m, 1]
            x, y = here[b, 0] - here[a, 0], here[b, 1] - here[a, 1]
            length = np.sqrt(x * x + y * y)
            x /= length
            y /= length
            again = False
            for o in range(m):
                ox, oy = here[pairs[o, 1], 0] - here[pairs[o, 0], 0], here[pairs[o, 1], 1] - here[pairs[o, 0], 1]
                again = again or abs(x * ox + y * oy) > PARALLEL * np.sqrt(ox * ox + oy * oy)
            if again:
                continue  # parallel to an earlier one: the same chord
            for n in range(outline.shape[0]):
                for end in (0, 2):
                    px = (outline[n, end] - 1.0) * ii + (outline[n, end + 1] - 1.0) * ji
                    py = (outline[n, end + 1] - 1.0) * jj
                    turned[n, end] = px * x + py * y
                    turned[n, end + 1] = py * x - px * y
            chord, t, s0, s1 = longest_chord(turned, 0.5 * ((here[a, 0] + here[b, 0]) * x + (here[a, 1] + here[b, 1]) * y))
            if chosen_k >= 0 and chord <= short * (1.0 + TIE):
                continue
            short, chosen_k = chord, k
            for c in range(3):
                base = k * step[c, 2]
                ends[0, c] = base + 0.5 * (points[first + a, 0] * step[c, 0] + points[first + a, 1] * step[c, 1])
                ends[1, c] = base + 0.5 * (points[first + b, 0] * step[c, 0] + points[first + b, 1] * step[c, 1])
                ends[2, c] = base + (t * x - s0 * y) * frame[0, c] + (t * y + s0 * x) * frame[1, c]
                ends[3, c] = base + (t * x - s1 * y) * frame[0, c] + (t * y + s1 * x) * frame[1, c]
    return best, short, chosen_k, ends


@njit(cache=True, nogil=True)
def _cross(a, b, out):
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@njit(cache=True, nogil=True)
def _extents_across(points, first, second, third):
    """(W, H): the largest extent of ``points`` (n, 3) at right angles to the unit vector ``first``, and
    that at right angles to both; their directions are written to ``second`` and ``third``."""
    least = 0
    for c in range(3):
        if abs(first[c]) < abs(first[least]):
            least = c
    helper, u, v = np.zeros(3), np.empty(3), np.empty(3)
    helper[least] = 1.0
    _cross(first, helper, u)
    size = np.sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2)
    for c in range(3):
        u[c] /= size
    _cross(first, u, v)
    flat = np.empty((points.shape[0], 2))
    for n in range(points.shape[0]):
        flat[n, 0] = points[n, 0] * u[0] + points[n, 1] * u[1] + points[n, 2] * u[2]
        flat[n, 1] = points[n, 0] * v[0] + points[n, 1] * v[1] + points[n, 2] * v[2]
    if far_points(flat, 0.0, TIE)[0].size > MANY:
        corners = planar_hull(flat)
        outer = np.empty((corners.size, 2))
        for n in range(corners.size):
            outer[n, 0], outer[n, 1] = flat[corners[n], 0], flat[corners[n], 1]
        flat = outer
    width, pairs = farthest_pairs(flat, 0.0, TIE, 16)
    best = -1.0
    for m in range(pairs.shape[0]):
        x = (flat[pairs[m, 1], 0] - flat[pairs[m, 0], 0]) / width
        y = (flat[pairs[m, 1], 1] - flat[pairs[m, 0], 1]) / width
        low, high = np.inf, -np.inf
        for n in range(flat.shape[0]):
            s = flat[n, 1] * x - flat[n, 0] * y
            low, high = min(low, s), max(high, s)
        if high - low > best * (1.0 + TIE):
            best = high - low
            for c in range(3):
                second[c] = x * u[c] + y * v[c]
    _cross(first, second, third)
    return width, best


@njit(cache=True, nogil=True)
def own_axes(points, step):
    """Largest distance L between two mesh vertices, the largest extent W at right angles to it, the
    extent H at right angles to both: ``(lengths, ends, directions, hull_voxels)``.

    ``lengths`` (3,), ``ends`` (2, 3) of L, ``directions`` (3, 3) unit vectors by row;
    ``hull_voxels`` is the volume of the convex hull in voxels. Of equally long L the one with the
    largest W, then H, counts.
    """
    corners, six = convex_hull(points)
    world = np.empty((corners.size, 3))
    for n in range(corners.size):
        p = corners[n]
        for c in range(3):
            world[n, c] = 0.5 * (points[p, 0] * step[c, 0] + points[p, 1] * step[c, 1] + points[p, 2] * step[c, 2])
    length, pairs = farthest_pairs(world, 0.0, TIE, TIED_PAIRS)
    lengths = np.zeros(3)
    ends = np.zeros((2, 3))
    directions = np.zeros((3, 3))
    tried = np.empty((pairs.shape[0], 3))
    trials = 0
    first, second, third = np.empty(3), np.empty(3), np.empty(3)
    for m in range(pairs.shape[0]):
        a, b = pairs[m, 0], pairs[m, 1]
        size = 0.0
        for c in range(3):
            first[c] = world[b, c] - world[a, c]
            size += first[c] ** 2
        size = np.sqrt(size)
        for c in range(3):
            first[c] /= size
        again = False
        for t in range(trials):
            again = again or abs(first[0] * tried[t, 0] + first[1] * tried[t, 1] + first[2] * tried[t, 2]) > PARALLEL
        if again:
            continue
        for c in range(3):
            tried[trials, c] = first[c]
        trials += 1
        width, height = _extents_across(world, first, second, third)
        wider = width - lengths[1]
        even = abs(wider) <= TIE * length
        if (wider > 0.0 and not even) or (even and height > lengths[2] + TIE * length):
            lengths[0], lengths[1], lengths[2] = length, width, height
            for c in range(3):
                ends[0, c], ends[1, c] = world[a, c], world[b, c]
                directions[0, c], directions[1, c], directions[2, c] = first[c], second[c], third[c]
    return lengths, ends, directions, six / 48.0
