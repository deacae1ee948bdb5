"""The marching-cubes surface inside one 2x2x2 cell of voxel centres, for all 256 patterns.

The table is derived here, not copied. A cell's corner ``n`` sits at ``(n & 1, n >> 1 & 1, n >> 2)``
in (i, j, k); bit ``n`` of a pattern is set where that voxel belongs to the node. The surface at
level 0.5 of a binary mask passes through edge midpoints. Rules:

* on a face whose two diagonal corners are inside, the inside corners are kept apart (the choice of
  the classic table of Lorensen and Cline 1987 as used by VTK and pyradiomics);
* of the triangulations of a loop of midpoints, those with a diagonal lying in a face of the cell
  are out (neighbouring cells would not fit), and of the rest the ones are kept that cut the cell
  nearest to its middle. Where several remain (mirror images of each other), each counts with equal
  weight, so that the result does not depend on how the grid is stored: flips and permutations of
  the axes leave volume and area unchanged.

For the patterns without an ambiguous face this gives the areas and volumes of the classic table.
"""

from __future__ import annotations

from functools import cache

import numpy as np

# Corners of the six faces of the cell, counter-clockwise seen from outside.
_FACES = (
    (0, 4, 6, 2), (1, 3, 7, 5),  # i = 0, i = 1
    (0, 1, 5, 4), (2, 6, 7, 3),  # j = 0, j = 1
    (0, 2, 3, 1), (4, 5, 7, 6),  # k = 0, k = 1
)  # fmt: skip

# Inside area of a unit face by its pattern of corners, with inside corners kept apart.
_FACE_AREA_EIGHTHS = {0: 0, 1: 1, 2: 4, 3: 7, 4: 8}


def _corner(n: int) -> tuple[int, int, int]:
    return n & 1, (n >> 1) & 1, n >> 2


def _midpoint(edge: tuple[int, int]) -> tuple[int, int, int]:
    """Midpoint of an edge in half steps, so whole numbers 0, 1 or 2."""
    a, b = _corner(edge[0]), _corner(edge[1])
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def surface_loops(pattern: int) -> list[list[tuple[int, int, int]]]:
    """Closed loops of edge midpoints (in half steps) that bound the surface, inside on one side."""
    following = {}
    for face in _FACES:
        inside = [(pattern >> c) & 1 for c in face]
        crossings = [m for m in range(4) if inside[m] != inside[(m + 1) % 4]]
        for n, m in enumerate(crossings):
            if inside[m]:
                continue  # this crossing leaves the node; segments run from entry to exit
            leave = crossings[(n + 1) % len(crossings)]
            ends = [tuple(sorted((face[x], face[(x + 1) % 4]))) for x in (m, leave)]
            following[ends[0]] = ends[1]
    loops = []
    while following:
        start = min(following)
        loop, edge = [start], following.pop(start)
        while edge != start:
            loop.append(edge)
            edge = following.pop(edge)
        loops.append([_midpoint(e) for e in loop])
    return loops


def _triangulations(first: int, last: int) -> list[list[tuple[int, int, int]]]:
    """All triangulations of the polygon of vertices ``first..last``."""
    if last - first < 2:
        return [[]]
    return [[*left, (first, m, last), *right] for m in range(first + 1, last) for left in _triangulations(first, m) for right in _triangulations(m, last)]


def _in_one_face(p, q) -> bool:
    return any(a == b and a != 1 for a, b in zip(p, q, strict=True))


def _six_volumes(p, q, r) -> int:
    """Six times the signed volume (in cubed half steps) of the triangle seen from the cell's middle."""
    a, b, c = ([x - 1 for x in v] for v in (p, q, r))
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])


def _kept_triangulations(loop) -> list[list[tuple[int, int, int]]]:
    n = len(loop)

    def fits(triangles) -> bool:
        for t in triangles:
            for a, b in ((t[0], t[1]), (t[1], t[2]), (t[0], t[2])):
                if (b - a) % n not in (1, n - 1) and _in_one_face(loop[a], loop[b]):
                    return False
        return True

    fitting = [t for t in _triangulations(0, n - 1) if fits(t)]
    off_middle = [abs(sum(_six_volumes(*(loop[v] for v in t)) for t in one)) for one in fitting]
    return [one for one, off in zip(fitting, off_middle, strict=True) if off == min(off_middle)]


@cache
def cell_table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``(starts, cross, weights, fractions)``.

    Triangles of pattern ``c`` are rows ``starts[c]:starts[c + 1]``. ``cross[t]`` is twice the area
    vector of triangle ``t`` in index steps (the cross product of two edges in (i, j, k)),
    pointing out of the node; ``weights[t]`` the share with which it counts. ``fractions[c]`` is the
    inside part of the cell's volume. Shapes (257,), (T, 3), (T,), (256,).
    """
    starts, cross, weights, fractions = [0], [], [], np.zeros(256)
    for pattern in range(256):
        volume = 0.0
        for loop in surface_loops(pattern):
            kept = _kept_triangulations(loop)
            counted: dict[tuple[int, int, int], int] = {}
            for triangles in kept:
                for t in triangles:
                    counted[t] = counted.get(t, 0) + 1
            for t, times in counted.items():
                p, q, r = (np.array(loop[v]) for v in t)
                share = times / len(kept)
                cross.append(np.cross(q - p, r - p) / 4.0)
                weights.append(share)
                volume += share * _six_volumes(*(loop[v] for v in t)) / 48.0
        for face in _FACES:
            bits = [(pattern >> c) & 1 for c in face]
            eighths = _FACE_AREA_EIGHTHS[sum(bits)]
            if sum(bits) == 2 and bits[0] == bits[2]:
                eighths = 2
            volume += eighths / 48.0  # a pyramid from the cell's middle: area x 0.5 / 3
        fractions[pattern] = volume
        starts.append(len(cross))
    table = (np.array(starts, dtype=np.int64), np.array(cross), np.array(weights), fractions)
    for array in table:
        array.setflags(write=False)
    return table
