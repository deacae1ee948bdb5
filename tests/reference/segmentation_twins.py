"""Slow twins of the segmentation kernels: plain definitions, no short cuts."""

from __future__ import annotations

import itertools

import numpy as np


def sample_slowly(volume, points_ijk):
    """Trilinear value as the weighted sum of the eight voxels around each point; border repeated."""
    out = []
    last = np.array(volume.shape[::-1]) - 1
    for point in points_ijk:
        p = np.clip(point, 0, last)
        low = np.minimum(p.astype(int), np.maximum(last - 1, 0))
        total = 0.0
        for corner in itertools.product((0, 1), repeat=3):
            at = np.minimum(low + corner, last)
            weight = np.prod([f if c else 1 - f for c, f in zip(corner, p - low)])
            total += weight * volume[at[2], at[1], at[0]]
        out.append(total)
    return np.array(out)


def convex_coverage_by_sampling(vertices, faces, shape, samples):
    """Share of each voxel of ``shape`` (k, j, i) inside a convex body: points on the inner side of every face."""
    a, b, c = (vertices[faces[:, n]] for n in range(3))
    normals = np.cross(b - a, c - a)
    offsets = (normals * a).sum(axis=1)
    steps = (np.arange(samples) + 0.5) / samples - 0.5
    out = np.zeros(shape)
    for k, j, i in np.ndindex(shape):
        z, y, x = np.meshgrid(k + steps, j + steps, i + steps, indexing="ij")
        points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
        out[k, j, i] = ((points @ normals.T - offsets) <= 0).all(axis=1).mean()
    return out


def closed_path_by_trying_all(cost, jump, slope_cost):
    """Cheapest closed path by enumeration; only for tiny pictures."""
    angles, steps = cost.shape
    best, best_path = np.inf, None
    for path in itertools.product(range(steps), repeat=angles):
        moves = np.abs(np.diff([*path, path[0]]))
        if moves.max() > jump:
            continue
        total = sum(cost[a, s] for a, s in enumerate(path)) + slope_cost * moves.sum()
        if total < best:
            best, best_path = total, path
    return np.array(best_path), best


def weigh_layers_slowly(profile, u, v, f, depth, ridge_u, ridge_v, pull, chance, part, weight):
    """One profile: weighted ridge fits for every place and kind of layer, then the mixture of their vertices.

    ``u`` (places, offsets), ``v`` and ``f`` (places, kinds, offsets) unweighted. Returns place and sd in pitches,
    the likeliest kind, and the fit's a and b there.
    """
    places, kinds = v.shape[:2]
    error = np.empty((kinds, places))
    fits = np.empty((kinds, places, 2))
    root = np.sqrt(weight)
    for h in range(kinds):
        for p in range(places):
            design = np.vstack([np.column_stack([u[p], v[p, h]]) * root[:, None], np.diag(np.sqrt([ridge_u, ridge_v]))])
            target = np.concatenate([(profile - depth * f[p, h]) * root, [0, 0]])
            fits[h, p], *_ = np.linalg.lstsq(design, target, rcond=None)
            error[h, p] = ((design @ fits[h, p] - target) ** 2).sum() + pull[p]
    at = np.clip(error.argmin(axis=1), 1, places - 2)
    rows = np.arange(kinds)
    down, here, up = error[rows, at - 1], error[rows, at], error[rows, at + 1]
    curve = np.maximum(down - 2 * here + up, 1e-9 * part**2)
    shift = np.clip(0.5 * (down - up) / curve, -1, 1)
    least = here - 0.25 * (down - up) * shift
    spread = part * np.sqrt(2 / curve)
    w = chance * spread * np.exp(-0.5 * (least - least.min()) / part**2)
    w /= w.sum()
    mean = (w * (at + shift)).sum()
    sd = np.sqrt((w * (spread**2 + (at + shift - mean) ** 2)).sum())
    kind = int(w.argmax())
    return mean, sd, kind, *fits[kind, at[kind]]
