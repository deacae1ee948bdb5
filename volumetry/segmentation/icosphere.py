"""The fan of search directions: a subdivided icosahedron with what its users need to know.

Everything here is geometry of the unit sphere, computed once per process and read-only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import sph_harm_y


@dataclass(frozen=True, slots=True, eq=False)
class Icosphere:
    """``directions`` (n, 3) unit vectors; ``faces`` (m, 3) winding outward; ``edges`` (e, 2) each
    neighbour pair once; ``solid_angle`` (n,) steradian of each direction, summing to 4 pi;
    ``polyhedron_ratio`` volume of the polyhedron over that of the unit sphere; ``ring`` the (n, n) sparse
    matrix that averages each direction with its direct neighbours."""

    directions: np.ndarray
    faces: np.ndarray
    edges: np.ndarray
    solid_angle: np.ndarray
    polyhedron_ratio: float
    ring: csr_matrix


def signed_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume enclosed by outward-winding triangles (divergence theorem), in the vertices' unit cubed."""
    origin = vertices.mean(axis=0)
    a, b, c = (vertices[faces[:, n]] - origin for n in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)


@lru_cache(maxsize=8)
def icosphere(frequency: int) -> Icosphere:
    """Icosahedron with every edge divided into ``frequency`` parts: 10 f^2 + 2 directions.

    ``frequency`` 8 gives 642 directions, 4 gives 162.
    """
    golden = (1 + 5**0.5) / 2
    corners = []
    for a in (-1, 1):
        for b in (-golden, golden):
            corners += [(0, a, b), (a, b, 0), (b, 0, a)]
    corners = np.array(corners)
    corners /= np.linalg.norm(corners[0])
    distance = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    side = np.sort(distance[0])[1]
    near = np.abs(distance - side) < 1e-6
    points: dict[tuple, int] = {}
    directions: list[np.ndarray] = []

    def number(p: np.ndarray) -> int:
        unit = p / np.linalg.norm(p)
        key = tuple(np.round(unit, 9) + 0.0)
        if key not in points:
            points[key] = len(directions)
            directions.append(unit)
        return points[key]

    faces = []
    for i in range(12):
        for j in range(i + 1, 12):
            for k in range(j + 1, 12):
                if near[i, j] and near[j, k] and near[i, k]:
                    a, b, c = corners[i], corners[j], corners[k]
                    if np.dot(a, np.cross(b, c)) < 0:
                        b, c = c, b
                    grid = {
                        (u, v): number(a + (b - a) * (u / frequency) + (c - a) * (v / frequency))
                        for u in range(frequency + 1)
                        for v in range(frequency + 1 - u)
                    }
                    for u in range(frequency):
                        for v in range(frequency - u):
                            faces.append((grid[u, v], grid[u + 1, v], grid[u, v + 1]))
                            if u + v < frequency - 1:
                                faces.append((grid[u + 1, v], grid[u + 1, v + 1], grid[u, v + 1]))
    directions = np.array(directions)
    faces = np.array(faces, dtype=np.int64)
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges = np.unique(pairs, axis=0)
    a, b, c = (directions[faces[:, n]] for n in range(3))
    triple = np.einsum("ij,ij->i", a, np.cross(b, c))
    denominator = 1 + (a * b).sum(1) + (b * c).sum(1) + (c * a).sum(1)
    angle = 2 * np.arctan2(triple, denominator)  # Van Oosterom and Strackee 1983
    solid = np.zeros(len(directions))
    for n in range(3):
        np.add.at(solid, faces[:, n], angle / 3)
    ratio = signed_volume(directions, faces) / (4 * np.pi / 3)
    for array in (directions, faces, edges, solid):
        array.setflags(write=False)
    n = len(directions)
    rows = np.concatenate([np.arange(n), edges[:, 0], edges[:, 1]])
    columns = np.concatenate([np.arange(n), edges[:, 1], edges[:, 0]])
    share = 1.0 / np.bincount(rows)
    ring = csr_matrix((share[rows], (rows, columns)), shape=(n, n))
    return Icosphere(directions, faces, edges, solid, ratio, ring)


@lru_cache(maxsize=8)
def harmonics(frequency: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Real spherical harmonics at the directions: basis (n, (degree+1)^2) and each column's degree.

    Scaled so that each column has mean square 1 over the sphere.
    """
    d = icosphere(frequency).directions
    theta = np.arccos(np.clip(d[:, 2], -1, 1))
    phi = np.arctan2(d[:, 1], d[:, 0])
    columns, orders = [], []
    for ell in range(degree + 1):
        for m in range(ell + 1):
            y = sph_harm_y(ell, m, theta, phi) * np.sqrt(4 * np.pi)
            if m == 0:
                columns.append(y.real)
                orders.append(ell)
            else:
                columns += [np.sqrt(2) * y.real, np.sqrt(2) * y.imag]
                orders += [ell, ell]
    basis = np.ascontiguousarray(np.array(columns).T)
    orders = np.array(orders, dtype=np.float64)
    basis.setflags(write=False)
    orders.setflags(write=False)
    return basis, orders
