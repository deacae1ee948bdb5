"""From the cut's nearest step to the edge itself: where intensity is half-way between the node and
what lies outside, smoothed over the sphere, corrected for the blur of a curved surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.segmentation.icosphere import harmonics


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """``t`` per ray after refinement; the rest goes into ``SegmentationQuality``."""

    t: np.ndarray
    inside: tuple[float, float]
    edge_fraction: float
    contrast_to_noise: float
    surface_sd_mm: float
    blur_mm: tuple[float, float]


_DEGREE = 8
_FREQUENCY = 8
_STEP_MM = 0.15


def refine_surface(crop, fan, t, inside, seed, limit_mm, anchors) -> Refined:
    """Sub-voxel radii for the cut ``t`` on ``fan`` (see the module's first sentence)."""
    sphere = fan.sphere
    length = np.linalg.norm(fan.rays_mm, axis=1)
    mean, spread = inside
    t = _smooth(t, np.ones(len(t)), sphere, 1e-4)
    blur = 0.5 * float(np.cbrt(np.prod(crop.geometry.spacing_mm)))
    edge_weight = np.ones(len(t))
    for _ in range(3):
        half = int(np.ceil(2.4 / _STEP_MM))
        offset = np.arange(-half, half + 1) * _STEP_MM
        radius = t * length
        along = np.maximum(radius[:, None] + offset, 0.02) / length[:, None]
        profile = _ring(crop.at(fan.points_mm(along)), sphere)
        core = crop.at(fan.points_mm(np.outer(t, [0.2, 0.35, 0.5, 0.6])))
        mean = float(np.median(core))
        far = half + int(round(1.5 / _STEP_MM))
        outside = profile[:, far - 2 : far + 3].mean(axis=1)
        contrast = outside - mean
        share = (profile - mean) / np.where(np.abs(contrast) < 1e-6, 1e-6, contrast)[:, None]
        below = share[:, :-1] < 0.5
        cross = below & (share[:, 1:] >= 0.5)
        position = offset[:-1] + _STEP_MM * (0.5 - share[:, :-1]) / np.where(cross, share[:, 1:] - share[:, :-1], 1.0)
        position = np.where(cross, position, np.inf)
        best = np.abs(position).argmin(axis=1)
        found = position[np.arange(len(t)), best]
        clear = np.isfinite(found) & (np.abs(contrast) > 2.0 * spread)
        edge_weight = np.where(clear, np.minimum(np.abs(contrast) / (4 * spread), 1.0) ** 2, 0.0)
        wanted = t + np.where(clear, np.clip(found, -1.5, 1.5), 0.0) / length
        t = _smooth(wanted, edge_weight + 1e-3, sphere, 1e-4)
    residual = np.abs((wanted - t) * length)[clear] if clear.any() else np.array([np.inf])
    limit = _limit(fan, seed, limit_mm)
    t = np.minimum(np.maximum(t, 0.1), limit)
    return Refined(
        t,
        (mean, spread),
        float((clear * sphere.solid_angle).sum() / (4 * np.pi)),
        float(np.median(np.abs(contrast)) / spread),
        float(1.4826 * np.median(residual)),
        (blur, blur),
    )


def _limit(fan, seed, limit_mm):
    rays = fan.rays_mm
    offset = fan.centre_mm - seed
    a = (rays**2).sum(axis=1)
    b = rays @ offset
    return (-b + np.sqrt(np.maximum(b * b - a * (float(offset @ offset) - limit_mm**2), 0.0))) / a


def _ring(profile, sphere):
    total = profile.copy()
    count = np.ones(len(profile))
    a, b = sphere.edges.T
    np.add.at(total, a, profile[b])
    np.add.at(total, b, profile[a])
    np.add.at(count, a, 1)
    np.add.at(count, b, 1)
    return total / count[:, None]


def _smooth(values, weight, sphere, stiffness):
    """Weighted fit of spherical harmonics with a bending penalty (a smoothing spline on the sphere)."""
    basis, order = harmonics(_FREQUENCY, _DEGREE)
    w = weight * sphere.solid_angle / (4 * np.pi)
    normal = basis.T @ (w[:, None] * basis)
    normal[np.diag_indices_from(normal)] += stiffness * w.sum() * (order * (order + 1)) ** 2 + 1e-9
    return basis @ np.linalg.solve(normal, basis.T @ (w * values))
