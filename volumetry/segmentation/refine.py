"""From the cut's nearest step to the edge itself, to a fraction of a voxel.

Across the border, at signed distance o along the outward normal, a scanner shows

    node * (1 - E(o - a)) + gap * (E(o - a) - E(o - a - w)) + neighbour * E(o - a - w)

with the border at ``a``, then a layer of fat of thickness ``w`` (often thinner than the blur, or
none), then the neighbour. E is a blurred step. For a flat border it is the normal distribution
function of sigma^2 = n' S n, S being the covariance of the blur. For a curved one the blur moves the
half-way point inward by d = tr(S grad n) / 2 (curvature flow), so E gains (d / sigma) phi(o / sigma);
that is the first-order form of a ball blurred by a Gaussian, which is known in closed form. S is measured on
the node's own edges. Per ray, ``a`` and ``w`` are searched on a grid and the node's and the
neighbour's values are solved for; the borders are then smoothed over the sphere by a
spline weighted with each one's own certainty, so that rays without a clear edge take their
place from their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import erf, erfinv, ndtr

from volumetry.kernels.segmentation_layers import weigh_layers
from volumetry.segmentation.icosphere import Icosphere, harmonics

DEGREE = 8
FREQUENCY = 8
STIFFNESS = 1e-4
TURNS = 5
_PLAIN_TURNS = 2  # without a layer of fat, which a blur not yet measured would imitate
_NORMAL_SLOPE = 1 / np.sqrt(2 * np.pi)

# All in units of the local blur sigma, along the normal.
_OFFSET = np.arange(-2.5, 3.76, 0.25)
_WEIGHT = np.where(_OFFSET < 2.6, 1.0, 0.5)
_PITCH = 0.2
_PLACE = np.arange(-2.4, 2.41, _PITCH)
_BEND = np.array([-0.08, 0.0, 0.08, 0.16, 0.24, 0.32, 0.42])
# Kinds of layer between node and neighbour: none, fat, or a wedge of fat that the neighbour partly
# fills. Contact is common; otherwise every thickness is as likely as another.
_GAP = np.array([0.0, 0.2, 0.4, 0.65, 0.95, 1.3, 1.8, 2.4, 3.2] + [0.4, 0.9, 1.6, 2.5] * 2)
_MIXED = np.array([0.0] * 9 + [0.4] * 4 + [0.65] * 4)
_CHANCE = np.array([0.3, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08, 0.1, 0.1] + [0.02, 0.03, 0.04, 0.04] * 2)


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
    """Single borders along the rays, lengths in units of the local blur along the normal:
    ``place`` from the present surface, its standard deviation ``place_sd``, ``gap``, and the values
    of ``node`` and ``neighbour`` (``outside``: the gap's where there is one); ``profile`` at
    ``_OFFSET``."""

    place: np.ndarray
    place_sd: np.ndarray
    gap: np.ndarray
    node: np.ndarray
    outside: np.ndarray
    profile: np.ndarray


def refine_surface(crop, fan, t, inside, reach, anchors) -> Refined:
    """Sub-voxel radii for the cut ``t`` on ``fan``.

    ``inside`` is (mean, noise of one voxel); ``reach`` the largest allowed t per ray;
    ``anchors`` pairs (ray, t) that the surface must pass through.
    """
    sphere = fan.sphere
    length = np.linalg.norm(fan.rays_mm, axis=1)
    unit = fan.rays_mm / length[:, None]
    mean, noise = inside
    across = _slice_normal(crop)
    blur = _expected_blur(crop)
    t = smooth_on_sphere(t, np.ones(len(t)), sphere)
    for turn in range(TURNS):
        normals, bend_mm = _normals_and_bend(fan, t, across, blur)
        cosine = np.clip((normals * unit).sum(axis=1), 0.3, 1.0)
        sigma = np.sqrt(blur[0] ** 2 + (blur[1] ** 2 - blur[0] ** 2) * (normals @ across) ** 2)
        scale = sigma / cosine / length  # t for one sigma along the normal
        along = np.maximum(t[:, None] + scale[:, None] * _OFFSET, 0.02)
        profile = ring_mean(crop.at(fan.points_mm(along)), sphere)
        edges = find_edges(profile, bend_mm / sigma, mean, noise, layers=turn >= _PLAIN_TURNS)
        sd_mm = edges.place_sd * sigma / cosine
        clear = sd_mm < 0.35
        weight = 1.0 / (sd_mm**2 + 0.08**2)
        wanted = t + edges.place * scale
        t = np.clip(_pulled(wanted, weight / weight.max(), sphere, anchors), 0.1, reach)
        if turn < TURNS - 1:
            blur = _measured_blur(edges, sigma, (normals @ across) ** 2, blur, noise)
            mean = _inside_mean(crop, fan, t, edges, mean, blur)
    residual = np.abs((wanted - t) * length)[clear] if clear.any() else np.array([np.inf])
    contrast = np.abs(edges.outside - edges.node)
    return Refined(
        t,
        (mean, noise),
        float((clear * sphere.solid_angle).sum() / (4 * np.pi)),
        float(np.median(contrast) / noise),
        float(1.4826 * np.median(residual)),
        blur,
    )


@lru_cache(maxsize=1)
def _templates() -> list[dict[str, np.ndarray]]:
    """Per bend: templates u (places, offsets), v and f (places, kinds, offsets), weighted, and the sums
    of their products. u is the node's share, v the neighbour's, f the fat's; see the module's text.
    """
    out = []
    x = _OFFSET[None, :] - _PLACE[:, None]
    y = x[:, None, :] - _GAP[None, :, None]
    for bend in _BEND:
        near = ndtr(x) + bend * np.exp(-0.5 * x**2) * _NORMAL_SLOPE
        far = ndtr(y) + bend * np.exp(-0.5 * y**2) * _NORMAL_SLOPE  # the layer bends with the node
        layer = near[:, None, :] - far
        u, v, f = 1 - near, far + _MIXED[None, :, None] * layer, (1 - _MIXED[None, :, None]) * layer
        size = (len(_PLACE) * len(_GAP), len(_OFFSET))
        out.append(
            {
                "u": u * _WEIGHT,
                "v": (v * _WEIGHT).reshape(size),
                "f": (f * _WEIGHT).reshape(size),
                "uu": (u * u) @ _WEIGHT,
                "vv": (v * v) @ _WEIGHT,
                "uv": (u[:, None, :] * v) @ _WEIGHT,
                "ff": (f * f) @ _WEIGHT,
                "fu": (u[:, None, :] * f) @ _WEIGHT,
                "fv": (f * v) @ _WEIGHT,
            }
        )
    return out


def find_edges(profile: np.ndarray, bend: np.ndarray, mean: float, noise: float, *, layers: bool = True) -> Edges:
    """Best border per ray for profiles (rays, len(_OFFSET)) read from the inside outward.

    ``bend`` is d / sigma per ray. The node's value may leave ``mean`` by little more than
    the noise, the neighbour's is free. The layer's value is the darkest that is common around the node,
    pure or mixed with the neighbour; where nothing around is clearly darker than the node, or
    ``layers`` is False, no layer is looked for. Different layers can explain one profile nearly equally well, with
    different places: ``place`` is their mean by likelihood, ``place_sd`` says how far they differ.
    """
    rays = len(profile)
    part = noise / 2.0  # seven rays and their interpolation are averaged; neighbours share voxels
    dark = _common_dark(profile, part)
    kinds = len(_GAP) if layers and dark < mean - 6 * noise else 1
    y = np.ascontiguousarray(profile - mean)
    prior = (part / (0.6 * noise)) ** 2
    pull = part**2 * 0.15 * _PLACE**2  # lightly to the present surface
    choice = np.abs(_BEND[None, :] - bend[:, None]).argmin(axis=1)
    found = np.empty((rays, 6))
    for b, t in enumerate(_templates()):
        rows = np.flatnonzero(choice == b)
        if not len(rows):
            continue
        z = y[rows]
        size = (len(rows), len(_PLACE), len(_GAP))
        keep = np.s_[:, :, :kinds]
        out = np.empty((len(rows), 6))
        weigh_layers(
            (z * z) @ _WEIGHT,
            z @ t["u"].T,
            np.ascontiguousarray((z @ t["v"].T).reshape(size)[keep]),
            np.ascontiguousarray((z @ t["f"].T).reshape(size)[keep]),
            t["uu"] + prior,
            *(np.ascontiguousarray(t[name][:, :kinds]) + more for name, more in (("vv", 1e-4), ("uv", 0), ("ff", 0), ("fu", 0), ("fv", 0))),
            dark - mean,
            pull,
            _CHANCE[:kinds],
            part,
            _PITCH,
            out,
        )
        found[rows] = out
    kind = found[:, 2].astype(int)
    outside = np.where((_GAP[kind] > 0.7) & (_MIXED[kind] == 0), dark, mean + found[:, 4])
    return Edges(_PLACE[0] + found[:, 0] * _PITCH, found[:, 1] * _PITCH, _GAP[kind], mean + found[:, 3], outside, profile)


def ring_mean(profile: np.ndarray, sphere: Icosphere) -> np.ndarray:
    """Mean of each ray's values (n, m) with those of its direct neighbours."""
    return sphere.ring @ profile


def smooth_on_sphere(values: np.ndarray, weight: np.ndarray, sphere: Icosphere, stiffness: float = STIFFNESS) -> np.ndarray:
    """Weighted least-squares fit of spherical harmonics with a bending penalty."""
    basis, order = harmonics(FREQUENCY, DEGREE)
    w = weight * sphere.solid_angle / (4 * np.pi)
    normal = basis.T @ (w[:, None] * basis)
    normal[np.diag_indices_from(normal)] += stiffness * w.sum() * (order * (order + 1)) ** 2 + 1e-9
    return basis @ np.linalg.solve(normal, basis.T @ (w * values))


def _pulled(wanted, weight, sphere: Icosphere, anchors) -> np.ndarray:
    """The smooth surface through ``wanted``, drawn through the reader's anchors.

    Near an anchor (a bell of 20 degrees sd) the reader is believed, not the picture: the edges found there lose
    their weight, the anchor takes it, and what the spline still leaves is spread as a Gaussian.
    """
    if not anchors:
        return smooth_on_sphere(wanted, weight, sphere)
    rays = np.array([a[0] for a in anchors])
    radii = np.array([a[1] for a in anchors])
    angle = np.arccos(np.clip(sphere.directions @ sphere.directions[rays].T, -1, 1))
    bell = np.exp(-0.5 * (angle / np.radians(20)) ** 2)
    weight = weight * (1 - 0.97 * bell.max(axis=1))
    wanted, weight = wanted.copy(), weight.copy()
    wanted[rays], weight[rays] = radii, 20.0
    t = smooth_on_sphere(wanted, weight, sphere)
    # two anchors on one ray cannot both hold: least squares shares the difference
    amount, *_ = np.linalg.lstsq(bell[rays], radii - t[rays], rcond=1e-3)
    return t + bell @ amount


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


def _common_dark(profile: np.ndarray, part: float) -> float:
    """Value of the darkest tissue that is common around the node: the median of the rays whose
    outer stretch lies within a few sd of the tenth percentile."""
    stretch = profile[:, (_OFFSET >= 1.75) & (_OFFSET <= 3.0)].mean(axis=1)
    low = np.percentile(stretch, 10)
    return float(np.median(stretch[stretch < low + 4 * part]))


def _normals_and_bend(fan, t, across, blur):
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


def _measured_blur(edges: Edges, sigma, z2, blur, noise):
    """Blur (in plane, across slices) from how steep the simple, strong edges are.

    Between -h and +h a blurred step rises by erf(h / (sigma sqrt 2)) of its height. The expected
    blur takes part with the weight of thirty rays, so that few such edges change little.
    """
    contrast = edges.outside - edges.node
    strong = (edges.gap == 0) & (np.abs(contrast) > 6 * noise) & (np.abs(edges.place) < 1.6)
    if strong.sum() < 40:
        return blur
    half = 0.75
    rows = np.arange(len(contrast))

    def value(at):
        x = np.clip((edges.place + at - _OFFSET[0]) / (_OFFSET[1] - _OFFSET[0]), 0, len(_OFFSET) - 1.001)
        low = x.astype(int)
        f = x - low
        return edges.profile[rows, low] * (1 - f) + edges.profile[rows, low + 1] * f

    rise = np.clip((value(half) - value(-half)) / np.where(contrast == 0, 1.0, contrast), 0.1, 0.97)
    variance = (half * sigma / (np.sqrt(2) * erfinv(rise))) ** 2
    design = np.column_stack([1 - z2, z2])[strong]
    target = variance[strong]
    solution = np.array(blur) ** 2
    for _ in range(8):
        off = np.abs(target - design @ solution)
        w = 1.0 / np.maximum(off, 0.02)  # least absolute deviations
        prior = 30 * np.median(w)
        normal = design.T @ (w[:, None] * design) + np.eye(2) * prior
        right = design.T @ (w * target) + prior * np.array(blur) ** 2
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
    outside = float(np.average(edges.outside, weights=fan.sphere.solid_angle))
    return outside + (seen - outside) / share
