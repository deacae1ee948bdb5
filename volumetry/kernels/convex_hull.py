"""The convex hull of whole-number points in space, exactly.

Quickhull (Barber, Dobkin and Huhdanpaa, ACM Trans Math Softw 1996;22:469) in integer arithmetic: on
the points of a voxel grid whole families lie in one plane, and with whole numbers "in the plane"
is never a matter of rounding. A face is seen from a point only if the point lies strictly above
it; then what is seen is one piece with a simple rim, and no flat triangle can arise.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _put_plane(points, vertex, plane, f):
    """Normal (out of the hull) and offset of face ``f``."""
    a, b, c = vertex[f, 0], vertex[f, 1], vertex[f, 2]
    ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    vx, vy, vz = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1], points[c, 2] - points[a, 2]
    plane[f, 0] = uy * vz - uz * vy
    plane[f, 1] = uz * vx - ux * vz
    plane[f, 2] = ux * vy - uy * vx
    plane[f, 3] = plane[f, 0] * points[a, 0] + plane[f, 1] * points[a, 1] + plane[f, 2] * points[a, 2]


@njit(cache=True, nogil=True)
def _above(plane, f, points, p):
    """How far point ``p`` is above face ``f``, in lengths of the face's normal."""
    return plane[f, 0] * points[p, 0] + plane[f, 1] * points[p, 1] + plane[f, 2] * points[p, 2] - plane[f, 3]


@njit(cache=True, nogil=True)
def _first_four(points):
    """Four corners of a body of some volume, or an empty answer where all points lie in one plane."""
    n = points.shape[0]
    none = np.empty(0, np.int64)
    a = 0
    b = 0
    for p in range(n):
        for c in range(3):
            if points[p, c] != points[a, c]:
                if points[p, c] < points[a, c]:
                    a = p
                break
        for c in range(3):
            if points[p, c] != points[b, c]:
                if points[p, c] > points[b, c]:
                    b = p
                break
    ux, uy, uz = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2]
    third = -1
    most = 0.0
    for p in range(n):
        x, y, z = points[p, 0] - points[a, 0], points[p, 1] - points[a, 1], points[p, 2] - points[a, 2]
        size = float(uy * z - uz * y) ** 2 + float(uz * x - ux * z) ** 2 + float(ux * y - uy * x) ** 2
        if size > most:
            most = size
            third = p
    if third < 0:
        return none
    vx, vy, vz = points[third, 0] - points[a, 0], points[third, 1] - points[a, 1], points[third, 2] - points[a, 2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    fourth = -1
    furthest = 0
    for p in range(n):
        height = nx * (points[p, 0] - points[a, 0]) + ny * (points[p, 1] - points[a, 1]) + nz * (points[p, 2] - points[a, 2])
        if abs(height) > abs(furthest):
            furthest = height
            fourth = p
    if fourth < 0:
        return none
    if furthest > 0:  # the first face shall look away from the fourth corner
        b, third = third, b
    first = np.empty(4, np.int64)
    first[0], first[1], first[2], first[3] = a, b, third, fourth
    return first


@njit(cache=True, nogil=True)
def convex_hull(points):
    """Corners and volume of the hull of ``points`` (n, 3) of int64: ``(corners, six_volumes)``.

    ``corners`` are indices into ``points`` in ascending order; points that lie on a face or an edge
    of the hull may be among them. ``six_volumes`` is six times the volume, a whole number. Where
    all points lie in one plane all of them are answered with volume 0. Products of three
    differences of coordinates must fit 63 bits (coordinates below about a million).
    """
    n = points.shape[0]
    start = _first_four(points)
    if start.size == 0:
        return np.arange(n), np.int64(0)
    room = 4 * n + 64
    vertex = np.empty((room, 3), np.int32)
    beside = np.empty((room, 3), np.int32)  # the face across edge 0-1, 1-2, 2-0
    plane = np.empty((room, 4), np.int64)
    head = np.empty(room, np.int32)  # first point above the face, a list through ``following``
    peak = np.empty(room, np.int32)  # highest of them
    height = np.empty(room, np.int64)
    state = np.zeros(room, np.int8)  # 0 not in use, 1 part of the hull, 2 seen from the new point
    asked = np.full(room, -1, np.int32)  # for which new point the face was last looked at
    following = np.empty(n, np.int32)
    free = np.empty(room, np.int32)
    frees = 0
    used = 4
    a, b, c, d = start[0], start[1], start[2], start[3]
    vertex[0, 0], vertex[0, 1], vertex[0, 2] = a, b, c
    vertex[1, 0], vertex[1, 1], vertex[1, 2] = a, d, b
    vertex[2, 0], vertex[2, 1], vertex[2, 2] = b, d, c
    vertex[3, 0], vertex[3, 1], vertex[3, 2] = c, d, a
    beside[0, 0], beside[0, 1], beside[0, 2] = 1, 2, 3
    beside[1, 0], beside[1, 1], beside[1, 2] = 3, 2, 0
    beside[2, 0], beside[2, 1], beside[2, 2] = 1, 3, 0
    beside[3, 0], beside[3, 1], beside[3, 2] = 2, 1, 0
    for f in range(4):
        _put_plane(points, vertex, plane, f)
        head[f], peak[f], height[f], state[f] = -1, -1, 0, 1
    for p in range(n):
        for f in range(4):
            up = _above(plane, f, points, p)
            if up > 0:
                following[p] = head[f]
                head[f] = p
                if up > height[f]:
                    height[f] = up
                    peak[f] = p
                break
    waiting = np.empty(room, np.int32)
    waits = 0
    for f in range(4):
        waiting[waits] = f
        waits += 1
    seen = np.empty(room, np.int32)
    fresh = np.empty(room, np.int32)
    leads = np.empty(n, np.int32)  # new face whose rim edge begins at a corner, and the one whose ends there
    enters = np.empty(n, np.int32)
    while waits > 0:
        waits -= 1
        f = waiting[waits]
        if state[f] != 1 or head[f] < 0:
            continue
        p = peak[f]
        seen[0] = f
        seens = 1
        state[f] = 2
        freshes = 0
        look = 0
        while look < seens:
            g = seen[look]
            look += 1
            for edge in range(3):
                h = beside[g, edge]
                if state[h] == 2:
                    continue
                if asked[h] != p:
                    asked[h] = p
                    if _above(plane, h, points, p) > 0:
                        state[h] = 2
                        seen[seens] = h
                        seens += 1
                        continue
                # an edge of the rim: g is seen, h is not
                if frees > 0:
                    frees -= 1
                    new = free[frees]
                else:
                    new = used
                    used += 1
                u, v = vertex[g, edge], vertex[g, (edge + 1) % 3]
                vertex[new, 0], vertex[new, 1], vertex[new, 2] = u, v, p
                beside[new, 0] = h
                for back in range(3):
                    if vertex[h, back] == v and vertex[h, (back + 1) % 3] == u:
                        beside[h, back] = new
                _put_plane(points, vertex, plane, new)
                head[new], peak[new], height[new], state[new], asked[new] = -1, -1, 0, 1, p
                leads[u] = new
                enters[v] = new
                fresh[freshes] = new
                freshes += 1
        for m in range(freshes):
            new = fresh[m]
            beside[new, 1] = leads[vertex[new, 1]]
            beside[new, 2] = enters[vertex[new, 0]]
        for m in range(seens):
            g = seen[m]
            q = head[g]
            while q >= 0:
                after = following[q]
                if q != p:
                    for t in range(freshes):
                        new = fresh[t]
                        up = _above(plane, new, points, q)
                        if up > 0:
                            following[q] = head[new]
                            head[new] = q
                            if up > height[new]:
                                height[new] = up
                                peak[new] = q
                            break
                q = after
            state[g] = 0
            free[frees] = g
            frees += 1
        for m in range(freshes):
            if head[fresh[m]] >= 0:
                if waits == waiting.size:
                    more = np.empty(2 * waits, np.int32)
                    for w in range(waits):
                        more[w] = waiting[w]
                    waiting = more
                waiting[waits] = fresh[m]
                waits += 1
    corner = np.zeros(n, np.bool_)
    six = np.int64(0)
    x0, y0, z0 = points[a, 0], points[a, 1], points[a, 2]
    for f in range(used):
        if state[f] != 1:
            continue
        p, q, r = vertex[f, 0], vertex[f, 1], vertex[f, 2]
        corner[p] = corner[q] = corner[r] = True
        six += plane[f, 3] - plane[f, 0] * x0 - plane[f, 1] * y0 - plane[f, 2] * z0
    corners = np.empty(n, np.int64)
    total = 0
    for p in range(n):
        if corner[p]:
            corners[total] = p
            total += 1
    return corners[:total], six
