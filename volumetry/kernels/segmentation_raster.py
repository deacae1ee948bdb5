"""How much of each voxel lies inside a closed triangle surface."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _edge(py, pz, ay, az, by, bz):
    """Twice the signed area of (a, b, p) in the (j, k) plane."""
    return (by - ay) * (pz - az) - (bz - az) * (py - ay)


@njit(cache=True, nogil=True)
def _side(py, pz, vertices, a, b):
    """+1 or -1: on which side of the edge a-b the point lies, never 0.

    Computed from the lower to the higher vertex number and signed back, so that two triangles that
    share an edge see exactly opposite values. A point on the edge is taken to lie a hair further
    along j, and a hair of that along k; so a line through an edge or a corner is counted once.
    """
    low, high, sign = (a, b, 1.0) if a < b else (b, a, -1.0)
    ay, az = vertices[low, 1], vertices[low, 2]
    by, bz = vertices[high, 1], vertices[high, 2]
    value = _edge(py, pz, ay, az, by, bz)
    if value == 0.0:
        value = az - bz
        if value == 0.0:
            value = by - ay
    return sign if value > 0.0 else -sign


@njit(cache=True, nogil=True)
def surface_coverage(vertices, faces, shape, lines, coverage):
    """Add to ``coverage[k, j, i]`` the share of each voxel inside the surface.

    ``vertices`` (n, 3) are index points (i, j, k); ``faces`` (m, 3) wind outward. Each voxel is
    crossed by ``lines`` x ``lines`` lines along i; along a line the share is exact. The surface
    must lie inside the grid along i, or its cut-off part is lost.
    """
    nk, nj, ni = shape
    weight = 1.0 / (lines * lines)
    jump = np.zeros((nk, nj, ni + 1))
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ay, az = vertices[a, 1], vertices[a, 2]
        by, bz = vertices[b, 1], vertices[b, 2]
        cy, cz = vertices[c, 1], vertices[c, 2]
        area = _edge(cy, cz, ay, az, by, bz)
        if area == 0.0:
            continue
        # The normal's i component has the sign of the projected area: the line leaves the body
        # where it is positive.
        leaving = 1.0 if area > 0.0 else -1.0
        low_y = int(np.ceil((min(ay, by, cy) + 0.5) * lines - 0.5))
        high_y = int(np.floor((max(ay, by, cy) + 0.5) * lines - 0.5))
        low_z = int(np.ceil((min(az, bz, cz) + 0.5) * lines - 0.5))
        high_z = int(np.floor((max(az, bz, cz) + 0.5) * lines - 0.5))
        low_y = max(low_y, 0)
        low_z = max(low_z, 0)
        high_y = min(high_y, nj * lines - 1)
        high_z = min(high_z, nk * lines - 1)
        for sz in range(low_z, high_z + 1):
            pz = (sz + 0.5) / lines - 0.5
            for sy in range(low_y, high_y + 1):
                py = (sy + 0.5) / lines - 0.5
                if _side(py, pz, vertices, a, b) != leaving:
                    continue
                if _side(py, pz, vertices, b, c) != leaving:
                    continue
                if _side(py, pz, vertices, c, a) != leaving:
                    continue
                wa = _edge(py, pz, by, bz, cy, cz) / area
                wb = _edge(py, pz, cy, cz, ay, az) / area
                x = wa * vertices[a, 0] + wb * vertices[b, 0] + (1.0 - wa - wb) * vertices[c, 0]
                # Everything at i below x gains +1 (leaving) or -1 (entering).
                u = min(max(x + 0.5, 0.0), float(ni))
                cell = min(int(u), ni - 1)
                share = u - cell
                j = sy // lines
                k = sz // lines
                # jump[n] is the step between voxel n - 1 and n, summed up afterwards.
                signed = leaving * weight
                jump[k, j, 0] += signed
                jump[k, j, cell] -= signed * (1.0 - share)
                jump[k, j, cell + 1] -= signed * share
    for k in range(nk):
        for j in range(nj):
            total = 0.0
            for i in range(ni):
                total += jump[k, j, i]
                coverage[k, j, i] += total
