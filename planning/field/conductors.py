"""Conductors of any shape, given by a signed distance, set into a ``ProblemParts``.

Needles have their own kernel; this is the same idea for any smooth surface, in NumPy. Near a
surface with principal curvatures k1, k2 the potential rises as

    psi(d) = integral of dt / ((1 + k1 t)(1 + k2 t)), 0 to the distance d

(ln(1 + d/a) for a cylinder, d / (1 + d/a) for a sphere, d for a plane), and each face gets the
factor that makes the discrete flux of psi exact.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from planning.field.problem import NEAR_FACES_CELLS, NEAR_FIELD_CELLS, ProblemParts
from planning.kernels import conductivity as kc
from planning.kernels.embedding import LARGEST_COUPLING, LARGEST_FACTOR, SAMPLES, SMALLEST_FACTOR

Distance = Callable[[np.ndarray], np.ndarray]


def _gradient(distance: Distance, points: np.ndarray, step: float) -> np.ndarray:
    out = np.empty_like(points)
    for axis in range(3):
        e = np.zeros(3)
        e[axis] = step
        out[..., axis] = (distance(points + e) - distance(points - e)) / (2 * step)
    return out


def _curvatures(distance: Distance, feet: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Principal curvatures at surface points: the two eigenvalues of the Hessian of the distance
    that are not along the normal (from its trace and second invariant)."""
    hessian = np.empty((*feet.shape, 3))
    for axis in range(3):
        e = np.zeros(3)
        e[axis] = step
        hessian[..., axis, :] = (_gradient(distance, feet + e, step) - _gradient(distance, feet - e, step)) / (2 * step)
    trace = np.trace(hessian, axis1=-2, axis2=-1)
    second = 0.5 * (trace**2 - np.einsum("...ij,...ji->...", hessian, hessian))
    root = np.sqrt(np.maximum(trace**2 / 4 - second, 0.0))
    return trace / 2 + root, trace / 2 - root


def _psi(d: np.ndarray, k1: np.ndarray, k2: np.ndarray) -> np.ndarray:
    a, b = np.maximum(1 + k1 * d, 1e-3), np.maximum(1 + k2 * d, 1e-3)
    apart = k1 - k2
    same = np.abs(apart) < 1e-4
    return np.where(same, d / np.sqrt(a * b), np.log(a / b) / np.where(same, 1.0, apart))


def _psi_slope(d, k1, k2) -> np.ndarray:
    return 1.0 / (np.maximum(1 + k1 * d, 1e-3) * np.maximum(1 + k2 * d, 1e-3))


def add_conductor(parts: ProblemParts, distance: Distance) -> int:
    """Set a conductor into the grid; ``distance(points)`` (mm, ``(..., 3)`` LPS) is negative inside
    it. Returns its number. Conductors must lie more than four cells apart."""
    grid, h = parts.grid, parts.grid.spacing_mm
    number = parts.conductors
    parts.conductors += 1
    step = 1e-3 * h
    k, j, i = np.meshgrid(*(np.arange(1, n + 1) for n in grid.shape), indexing="ij")
    centres = np.stack([grid.origin_mm[0] + h * (i - 1), grid.origin_mm[1] + h * (j - 1), grid.origin_mm[2] + h * (k - 1)], axis=-1)
    d_all = np.full(grid.padded_shape, np.inf)
    d_all[1:-1, 1:-1, 1:-1] = distance(centres)
    inner = (slice(1, -1),) * 3
    metal = d_all < 0
    parts.label[metal] = kc.METAL
    cells = np.flatnonzero(metal).astype(np.int64)
    parts.metal.append((cells, np.full(cells.size, number, np.int64)))
    strides = np.array([1, parts.label.shape[2], parts.label.shape[1] * parts.label.shape[2]])

    reach = max(NEAR_FACES_CELLS, NEAR_FIELD_CELLS) * h
    near = np.flatnonzero((d_all >= 0) & (d_all < reach + h) & (parts.label < kc.FIRST_NEEDLE_LABEL)).astype(np.int64)
    x = centres[tuple(n - 1 for n in np.unravel_index(near, parts.label.shape))]
    del centres, inner
    d = d_all.reshape(-1)[near]
    n = _gradient(distance, x, step)
    k1, k2 = _curvatures(distance, x - d[:, None] * n, 0.02 * h)
    psi = _psi(d, k1, k2)
    d_flat, label = d_all.reshape(-1), parts.label.reshape(-1)
    offsets = ((np.arange(SAMPLES) + 0.5) / SAMPLES - 0.5) * h

    faces, couplings = [], []
    ends = np.zeros((near.size, 6))
    ones = np.ones((near.size, 6), np.float32)
    for side in range(6):
        axis, sign = side // 2, 2 * (side % 2) - 1
        other = near + sign * strides[axis]
        inside_box = np.isfinite(d_flat[other])
        cut = inside_box & (d_flat[other] < 0)
        d_other = np.where(inside_box, d_flat[other], d)
        ends[:, side] = np.where(cut, 0.0, _psi(np.maximum(d_other, 0.0), k1, k2))
        ones[~inside_box, side] = 0.0
        wanted = cut | (inside_box & (sign > 0) & (np.minimum(d, d_other) < NEAR_FACES_CELLS * h) & (label[other] < kc.FIRST_NEEDLE_LABEL))
        rows = np.flatnonzero(wanted)
        flux = np.zeros(rows.size)
        for a in offsets:
            for b in offsets:
                p = x[rows].copy()
                p[:, axis] += 0.5 * sign * h
                p[:, (axis + 1) % 3] += a
                p[:, (axis + 2) % 3] += b
                slope = _gradient(distance, p, step)[:, axis]
                flux += sign * slope * _psi_slope(distance(p), k1[rows], k2[rows]) / SAMPLES**2
        drop = ends[rows, side] - psi[rows]
        is_cut = cut[rows]
        q_cut = np.clip(flux * h / np.where(is_cut, np.minimum(drop, -1e-9 * h), 1.0), SMALLEST_FACTOR, LARGEST_COUPLING)
        couplings.append((near[rows][is_cut], q_cut[is_cut]))
        fitted = ~is_cut & (np.abs(drop) > 1e-3 * h)
        q = np.clip(flux[fitted] * h / drop[fitted], SMALLEST_FACTOR, LARGEST_FACTOR)
        faces.append((np.full(q.size, axis, np.uint8), other[rows][fitted], q))
    parts.faces.append(tuple(np.concatenate(c) for c in zip(*faces, strict=True)))
    cc, cq = (np.concatenate(c) for c in zip(*couplings, strict=True))
    parts.couplings.append((cc, cq, np.full(cc.size, number, np.int64), np.zeros(cc.size)))

    factors = ones
    for axis in range(3):
        coarse = (ends[:, 2 * axis + 1] - ends[:, 2 * axis]) / (2 * h)
        true = n[:, axis] * _psi_slope(d, k1, k2)
        m = np.where(np.abs(coarse) > 1e-3, np.clip(true / np.where(coarse == 0, 1.0, coarse), 0.3, 2.0), 1.0)
        factors[:, 2 * axis:2 * axis + 2] *= m[:, None].astype(np.float32)
    keep = d < NEAR_FIELD_CELLS * h
    parts.special.append((near[keep], factors[keep]))
    return number
