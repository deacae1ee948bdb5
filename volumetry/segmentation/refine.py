"""From the cut's nearest step to the edge itself, to a fraction of a voxel.

Along each ray the edge is where intensity passes the level that a blurred border has at its true
place. For a flat border that is half-way between the node and what lies outside. For a curved one
it is lower: a Gaussian blur of covariance S moves the half-way point inward by tr(S grad n) / 2,
n being the outward normal (curvature flow), so the level becomes 1/2 - that shift * the border's slope,
1 / (sigma sqrt(2 pi)) with sigma^2 = n' S n; for a ball this is exact. S is measured on
the node's own edges. Single edges are then smoothed over the sphere by a weighted spline, so that
rays without a clear edge take their place from their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf, erfinv

from volumetry.segmentation.icosphere import Icosphere, harmonics

DEGREE = 8
FREQUENCY = 8
STIFFNESS = 1e-4
STEP_MM = 0.15
HALF_WIDTH_MM = 2.4
_NORMAL_SLOPE = 1 / np.sqrt(2 * np.pi)


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """``t`` per ray after refinement; the rest goes into ``SegmentationQuality``."""

    t: np.ndarray
    inside: tuple[float, float]
    edge_fraction: float
    contrast_to_noise: float
    surface_sd_mm: float
    blur_mm: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Single edges found along the rays: ``shift_mm`` from the present surface along each ray,
    ``clear`` where there is one, ``contrast`` outside minus inside, ``profile`` and ``offset_mm``."""

    shift_mm: np.ndarray
    clear: np.ndarray
    contrast: np.ndarray
    profile: np.ndarray
    offset_mm: np.ndarray


def refine_surface(crop, fan, t, inside, reach, anchors) -> Refined:
    """Sub-voxel radii for the cut ``t`` on ``fan``.

    ``inside`` is (mean, noise of one voxel); ``reach`` the largest allowed t per ray;
    ``anchors`` pairs (ray, t) that the surface must pass through.
    """
    sphere = fan.sphere
    length = np.linalg.norm(fan.rays_mm, axis=1)
    mean, noise = inside
    across = _slice_normal(crop)
    blur = _expected_blur(crop)
    t = smooth_on_sphere(t, np.ones(len(t)), sphere)
    level = np.full(len(t), 0.5)
    for turn in range(4):
        edges = _edges(crop, fan, t, length, mean, noise, level, blur)
        weight = np.where(edges.clear, np.minimum(np.abs(edges.contrast) / (6 * noise), 1.0) ** 2, 0.0) + 1e-3
        wanted = t + edges.shift_mm / length
        t = np.clip(smooth_on_sphere(wanted, weight, sphere), 0.1, reach)
        normals, curving = _normals_and_curving(fan, t, across, blur)
        if turn < 3:
            blur = _measured_blur(edges, normals, fan.rays_mm / length[:, None], across, blur, noise)
        sigma = np.sqrt(blur[0] ** 2 + (blur[1] ** 2 - blur[0] ** 2) * (normals @ across) ** 2)
        level = np.clip(0.5 - curving * _NORMAL_SLOPE / sigma, 0.2, 0.6)
        mean = _inside_mean(crop, fan, t, edges, mean, blur)
    clear = edges.clear
    residual = np.abs((wanted - t) * length)[clear] if clear.any() else np.array([np.inf])
    return Refined(
        t,
        (mean, noise),
        float((clear * sphere.solid_angle).sum() / (4 * np.pi)),
        float(np.median(np.abs(edges.contrast)) / noise),
        float(1.4826 * np.median(residual)),
        blur,
    )


def ring_mean(profile: np.ndarray, sphere: Icosphere) -> np.ndarray:
    """Mean of each ray's values (n, ...) with those of its direct neighbours."""
    total = profile.copy()
    count = np.ones((len(profile),) + (1,) * (profile.ndim - 1))
    a, b = sphere.edges.T
    np.add.at(total, a, profile[b])
    np.add.at(total, b, profile[a])
    np.add.at(count, a, 1)
    np.add.at(count, b, 1)
    return total / count


def smooth_on_sphere(values: np.ndarray, weight: np.ndarray, sphere: Icosphere, stiffness: float = STIFFNESS) -> np.ndarray:
    """Weighted least-squares fit of spherical harmonics with a bending penalty."""
    basis, order = harmonics(FREQUENCY, DEGREE)
    w = weight * sphere.solid_angle / (4 * np.pi)
    normal = basis.T @ (w[:, None] * basis)
    normal[np.diag_indices_from(normal)] += stiffness * w.sum() * (order * (order + 1)) ** 2 + 1e-9
    return basis @ np.linalg.solve(normal, basis.T @ (w * values))


def _slice_normal(crop) -> np.ndarray:
    """Unit vector across the slices (not along k, which may be sheared)."""
    d = crop.geometry.direction
    n = np.cross(d[:, 0], d[:, 1])
    return n / np.linalg.norm(n)


def _expected_blur(crop) -> tuple[float, float]:
    """Sd of a border in plane and across slices before anything was measured: a common CT kernel's
    0.4 mm with the pixel's and the interpolation's share (each h^2/12 and h^2/6)."""
    i, j, k = crop.geometry.spacing_mm
    share = 1 / 12 + 1 / 6
    return float(np.sqrt(0.16 + share * i * j)), float(np.sqrt(0.04 + share * k * k))


def _edges(crop, fan, t, length, mean, noise, level, blur) -> Edges:
    """The crossing of ``level`` nearest to the present surface on every ray."""
    half = int(np.ceil(HALF_WIDTH_MM / STEP_MM))
    offset = np.arange(-half, half + 1) * STEP_MM
    along = np.maximum((t * length)[:, None] + offset, 0.02) / length[:, None]
    profile = ring_mean(crop.at(fan.points_mm(along)), fan.sphere)
    far = half + int(round(2.2 * max(blur) / STEP_MM))
    far = min(far, len(offset) - 2)
    outside = profile[:, far - 1 : far + 2].mean(axis=1)
    contrast = outside - mean
    share = (profile - mean) / np.where(np.abs(contrast) < 1e-6, 1e-6, contrast)[:, None]
    # share runs from 0 inside to 1 outside; the level counts from the outside (blurred cover)
    wanted = 1.0 - level[:, None]
    cross = (share[:, :-1] < wanted) & (share[:, 1:] >= wanted)
    step = np.where(cross, share[:, 1:] - share[:, :-1], 1.0)
    position = np.where(cross, offset[:-1] + STEP_MM * (wanted - share[:, :-1]) / step, np.inf)
    found = position[np.arange(len(t)), np.abs(position).argmin(axis=1)]
    clear = np.isfinite(found) & (np.abs(contrast) > 1.5 * noise)
    return Edges(np.where(clear, np.clip(found, -1.5, 1.5), 0.0), clear, contrast, profile, offset)


def _normals_and_curving(fan, t, across, blur):
    """Outward unit normals (n, 3) and tr(S grad n) / 2 (n,) in mm for the surface ``t``."""
    sphere = fan.sphere
    points = fan.points_mm(t)
    a, b, c = (points[sphere.faces[:, n]] for n in range(3))
    face = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for n in range(3):
        np.add.at(normals, sphere.faces[:, n], face)
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    double = np.linalg.norm(face, axis=1)
    unit = face / double[:, None]
    # surface gradient of a linear function on a triangle: sum of value * (unit x opposite edge) / 2A
    gradients = [np.cross(unit, e) / double[:, None] for e in (c - b, a - c, b - a)]
    values = [normals[sphere.faces[:, n]] for n in range(3)]
    plain = sum((g * v).sum(axis=1) for g, v in zip(gradients, values, strict=True))
    along = sum((g @ across) * (v @ across) for g, v in zip(gradients, values, strict=True))
    per_face = 0.5 * (blur[0] ** 2 * plain + (blur[1] ** 2 - blur[0] ** 2) * along)
    total = np.zeros(len(points))
    area = np.zeros(len(points))
    for n in range(3):
        np.add.at(total, sphere.faces[:, n], per_face * double)
        np.add.at(area, sphere.faces[:, n], double)
    return normals, smooth_on_sphere(total / area, np.ones(len(points)), sphere, 1e-3)


def _measured_blur(edges: Edges, normals, rays, across, blur, noise):
    """Blur (in plane, across slices) from how steep the clear edges are.

    Between -h and +h a blurred step rises by erf(h / (sigma sqrt 2)) of its height; the ray meets
    the surface at an angle, whose cosine shortens the length. The expected blur takes part with the
    weight of thirty rays, so that few clear edges change little.
    """
    reach = 0.45
    rows = np.arange(len(rays))
    strong = edges.clear & (np.abs(edges.contrast) > 6 * noise) & (np.abs(edges.shift_mm) < 1.2)
    if strong.sum() < 40:
        return blur
    steps = (edges.shift_mm - edges.offset_mm[0]) / STEP_MM

    def value(at_mm):
        x = np.clip(steps + at_mm / STEP_MM, 0, edges.profile.shape[1] - 1.001)
        low = x.astype(int)
        f = x - low
        return edges.profile[rows, low] * (1 - f) + edges.profile[rows, low + 1] * f

    rise = np.clip((value(reach) - value(-reach)) / np.where(edges.contrast == 0, 1.0, edges.contrast), 0.05, 0.98)
    cosine = np.clip((normals * rays).sum(axis=1), 0.3, 1.0)
    variance = (reach * cosine / (np.sqrt(2) * erfinv(rise))) ** 2
    z2 = (normals @ across) ** 2
    design = np.column_stack([1 - z2, z2])[strong]
    target = variance[strong]
    solution = np.array(blur) ** 2
    for _ in range(8):
        off = np.abs(target - design @ solution)
        w = 1.0 / np.maximum(off, 0.02)  # least absolute deviations
        normal = design.T @ (w[:, None] * design) + np.eye(2) * 30 * np.median(w)
        right = design.T @ (w * target) + 30 * np.median(w) * np.array(blur) ** 2
        solution = np.clip(np.linalg.solve(normal, right), 0.02, 4.0)
    return float(np.sqrt(solution[0])), float(np.sqrt(solution[1]))


def blurred_ball(x_mm, radius_mm: float, sigma_mm: float):
    """Value at distance ``x_mm`` from the centre of a unit ball blurred by a Gaussian (closed form)."""
    x = np.maximum(np.asarray(x_mm, dtype=np.float64), 1e-6)
    s = sigma_mm * np.sqrt(2)
    edge = 0.5 * (erf((radius_mm - x) / s) + erf((radius_mm + x) / s))
    return edge - sigma_mm / (x * np.sqrt(2 * np.pi)) * (np.exp(-(((radius_mm - x) / s) ** 2)) - np.exp(-(((radius_mm + x) / s) ** 2)))


def _inside_mean(crop, fan, t, edges: Edges, mean, blur):
    """Median inside, freed from what the blur carries in from outside (a small node has no plateau)."""
    depth = np.array([0.15, 0.3, 0.45, 0.6])
    seen = float(np.median(crop.at(fan.points_mm(np.outer(t, depth)))))
    radius = (3 * fan.volume_mm3(t) / (4 * np.pi)) ** (1 / 3)
    sigma = float((blur[0] ** 2 * blur[1]) ** (1 / 3))
    share = float(np.clip(np.median(blurred_ball(depth * radius, radius, sigma)), 0.5, 1.0))
    outside = mean + float(np.average(edges.contrast, weights=fan.sphere.solid_angle))
    return outside + (seen - outside) / share
