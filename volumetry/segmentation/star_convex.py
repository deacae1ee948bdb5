"""A node from one click and a radius drag: rays from the click, the cheapest closed surface through
them, then each ray's edge to a fraction of a voxel.

The search follows Steger et al., IEEE TMI 2013;32:888 (radial rays and a graph cut on cervical
nodes); the cut is the minimum closure of Li et al., IEEE TPAMI 2006;28:119.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.kernels.segmentation_sample import sample
from volumetry.mask import NodeMask
from volumetry.segmentation.closure import cheapest_surface
from volumetry.segmentation.icosphere import Icosphere, icosphere, signed_volume
from volumetry.segmentation.polar import segment_ellipse_2d
from volumetry.segmentation.rasterise import mask_of_surface
from volumetry.segmentation.refine import Refined, refine_surface, ring_mean
from volumetry.segmentation.region_growing import grow_region
from volumetry.segmentation.result import SegmentationQuality, SegmentationResult

REACH = 1.9
"""No surface point lies farther from the click than this times the drag radius (the promise is 2)."""

_COARSE, _FINE = 4, 8  # icosphere frequencies: 162 and 642 rays
_STEPS = 36

# Weights of the cut, set on random phantoms (``app.demo.phantoms``). The cut only has to land within about two
# blur widths of the border; the volume comes from ``refine``, which has no fitted constant.
# ``PRIOR`` and the linear term beside it (how little tissue beyond the drag is worth where nothing
# divides it from the node) were set for repeatable clicks on a neck CT without contrast.
REGION, EDGE, PRIOR, SMOOTH = 5.0, 5.0, 4.0, 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """Rays ``centre_mm + t * (frame @ direction)``. ``frame`` has determinant 1, so ``t`` is a
    radius in mm for a round node and volumes need no extra factor; for a long node it is stretched
    so that the surface lies near one ``t`` all round."""

    sphere: Icosphere
    centre_mm: np.ndarray
    frame: np.ndarray

    @property
    def rays_mm(self) -> np.ndarray:
        """(n, 3) step in mm for one unit of t."""
        return self.sphere.directions @ self.frame.T

    def points_mm(self, t: np.ndarray) -> np.ndarray:
        """Points at ``t`` (n,) or (n, steps)."""
        rays = self.rays_mm
        if t.ndim == 1:
            return self.centre_mm + t[:, None] * rays
        return self.centre_mm + t[:, :, None] * rays[:, None, :]

    def volume_mm3(self, t: np.ndarray) -> float:
        """Volume inside radii ``t``: the solid-angle sum of t^3/3, free of the polyhedron's loss."""
        return float((self.sphere.solid_angle * t**3).sum() / 3)

    def centroid_mm(self, t: np.ndarray) -> np.ndarray:
        """Centre of mass of the body inside radii ``t``."""
        w = self.sphere.solid_angle * t**4 / 4
        return self.centre_mm + (w[:, None] * self.rays_mm).sum(axis=0) / self.volume_mm3(t)

    def covariance_mm2(self, t: np.ndarray) -> np.ndarray:
        """Second moments of the body about its centre of mass."""
        w = self.sphere.solid_angle * t**5 / 5 / self.volume_mm3(t)
        rays = self.rays_mm
        shift = self.centroid_mm(t) - self.centre_mm
        return np.einsum("n,ni,nj->ij", w, rays, rays) - np.outer(shift, shift)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """The piece of the picture that the rays may touch, as float32, with its grid."""

    array: np.ndarray
    geometry: ImageGeometry

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """Trilinear values at LPS points (..., 3)."""
        return sample(self.array, self.geometry.world_to_index(points_mm))

    def holds(self, points_mm: np.ndarray) -> np.ndarray:
        """True where the point lies between the outer voxel faces."""
        index = self.geometry.world_to_index(points_mm)
        return ((index >= -0.5) & (index <= np.array(self.geometry.shape[::-1]) - 0.5)).all(axis=-1)


def segment_node(
    image: ImageVolume,
    seed_mm,
    radius_mm: float | None = None,
    *,
    anchors_mm=(),
    method: str = "star_convex",
    label: int = 1,
    name: str | None = None,
) -> SegmentationResult:
    """Outline the node under a click.

    ``seed_mm`` LPS point inside the node; ``radius_mm`` the drag from the click to about the
    node's edge (None: estimated); ``anchors_mm`` LPS points the surface must pass through.
    ``method`` is ``star_convex`` (this module) or ``region_growing`` (the connected voxels of
    like intensity inside the drag ball; no sub-voxel surface).

    The result never reaches farther than twice the drag radius from the click. Raises
    ``SegmentationRefused`` with code ``seed_outside``, ``radius_too_small``, ``radius_too_large``,
    ``nan``, ``too_few_slices``, ``no_boundary`` or ``unknown_method``.
    """
    seed, radius = _checked(image, seed_mm, radius_mm)
    if method not in ("star_convex", "region_growing"):
        raise SegmentationRefused(f"There is no segmentation method called {method!r}.", code="unknown_method")
    findings: list[Finding] = []
    if radius is None:
        radius = estimate_radius_mm(image, seed)
        findings.append(Finding("radius_estimated", f"No drag was given; a radius of {radius:.1f} mm was assumed.", "info"))
    if method == "region_growing":
        grown = grow_region(image, seed, radius, label=label, name=name)
        return replace(grown, findings=(*findings, *grown.findings))
    anchors, ignored = _anchors_in_reach(anchors_mm, seed, radius)
    if ignored:
        findings.append(
            Finding(
                "anchor_out_of_reach",
                f"{ignored} anchor point(s) lie beyond twice the drag radius and were not used; drag a larger radius.",
            )
        )
    crop = _crop(image, seed, (REACH + 0.1) * radius + 4.0)
    fan, t, inside = _search(crop, seed, radius, anchors)
    refined = refine_surface(crop, fan, t, inside, _reach(fan, seed, REACH * radius), [_nearest_ray(fan, a) for a in anchors])
    return _result(image, crop, fan, refined, seed, radius, label, name, findings)


def estimate_radius_mm(image: ImageVolume, seed_mm) -> float:
    """A drag radius for a click without a drag: 1.2 times the median distance at which rays from
    the click first leave the node's intensity range, between 2.5 and 20 mm."""
    seed, _ = _checked(image, seed_mm, None)
    crop = _crop(image, seed, 26.0)
    sphere = icosphere(_COARSE)
    fan = Fan(sphere, seed, np.eye(3))
    t = np.linspace(0.3, 25.0, 100)
    profile = ring_mean(crop.at(fan.points_mm(np.tile(t, (len(sphere.directions), 1)))), sphere)
    centre, spread = _spread(profile[:, t < 1.6], profile[:, t > 5.0], crop)
    out = np.abs(profile - centre) > 4.0 * spread
    first = np.where(out.any(axis=1), t[out.argmax(axis=1)], t[-1])
    return float(np.clip(1.2 * np.median(first), 2.5, 20.0))


def _checked(image: ImageVolume, seed_mm, radius_mm) -> tuple[np.ndarray, float | None]:
    """The click and the drag as numbers that can be trusted, or a refusal."""
    seed = np.asarray(seed_mm, dtype=np.float64).reshape(-1)
    if seed.shape != (3,) or not np.isfinite(seed).all():
        raise SegmentationRefused("The click has no position in the patient.", code="nan")
    if not image.geometry.contains(seed):
        raise SegmentationRefused("The click lies outside the picture.", code="seed_outside")
    if image.geometry.shape[0] < 3:
        raise SegmentationRefused(
            "A volume needs at least three slices; outline single pictures in two dimensions.",
            code="too_few_slices",
            hint="Use calipers or the two-dimensional outline on single pictures.",
        )
    if radius_mm is None:
        return seed, None
    radius = float(radius_mm)
    if not np.isfinite(radius) or radius <= 0:
        raise SegmentationRefused("The drag radius is not a positive number.", code="nan" if radius != radius else "radius_too_small")
    smallest = max(1.0, 1.5 * min(image.geometry.spacing_mm))
    if radius < smallest:
        raise SegmentationRefused(
            f"A drag of {radius:.1f} mm is too short for this picture; drag at least {smallest:.1f} mm, to the node's edge.",
            code="radius_too_small",
            hint="Press on the node's centre and drag to its edge.",
        )
    if radius > 60:
        raise SegmentationRefused(f"A drag of {radius:.0f} mm is larger than any node (limit 60 mm).", code="radius_too_large")
    return seed, radius


def _anchors_in_reach(anchors_mm, seed: np.ndarray, radius: float) -> tuple[np.ndarray, int]:
    """Anchor points (n, 3) within reach of the drag, and how many were not."""
    anchors = np.asarray(list(anchors_mm), dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(anchors).all():
        raise SegmentationRefused("An anchor point has no position in the patient.", code="nan")
    near = np.linalg.norm(anchors - seed, axis=1) <= REACH * radius
    return anchors[near], int((~near).sum())


def _crop(image: ImageVolume, seed: np.ndarray, reach_mm: float) -> Crop:
    """The voxels within ``reach_mm`` of the click as float32; refuses holes in the picture."""
    inverse = np.linalg.inv(image.geometry.affine[:3, :3])
    half = np.linalg.norm(inverse, axis=1) * reach_mm  # index extent of a ball, right for oblique grids
    centre = image.geometry.world_to_index(seed)
    box = []
    for axis in range(3):
        c, h = centre[2 - axis], half[2 - axis]
        size = image.geometry.shape[axis]
        box.append(slice(max(0, int(np.floor(c - h))), min(size, int(np.ceil(c + h)) + 1)))
    box = tuple(box)
    array = np.ascontiguousarray(image.array[box], dtype=np.float32)
    if not np.isfinite(array).all():
        raise SegmentationRefused("The picture has undefined values (NaN) around the click.", code="nan")
    return Crop(array, image.geometry.cropped(box))


def _noise_floor(crop: Crop) -> float:
    """Noise of one voxel from second differences across slices (nearly independent in CT), by their
    median so that edges do not count."""
    a = crop.array[:, ::2, ::2]  # every other column is plenty
    second = a[:-2] - 2 * a[1:-1] + a[2:] if a.shape[0] >= 3 else np.zeros(1, dtype=np.float32)
    return max(1.4826 * float(np.median(np.abs(second))) / 6**0.5, 1e-6)


def _spread(core: np.ndarray, around: np.ndarray, crop: Crop) -> tuple[float, float]:
    """(median, believed sd) of the node from samples near the click.

    The sd is never below the noise, nor below 4 % of the usual step to the surroundings: a very
    smooth picture must not make every shade a border. (A share of the local range would not
    do: bone or air in a corner would drown the node.)
    """
    centre = float(np.median(core))
    step = float(np.median(np.abs(around - centre))) if around.size else 0.0
    return centre, max(1.4826 * float(np.median(np.abs(core - centre))), _noise_floor(crop), 0.04 * step)


def _search(crop: Crop, seed: np.ndarray, radius: float, anchors: np.ndarray):
    """The cut, three times: round rays from the click, rays from the centre found, fitted rays.

    Returns the last fan, ``t`` per ray (to one step) and (mean, sd) inside.
    """
    fan = Fan(icosphere(_COARSE), seed, np.eye(3))
    inside = None
    t = None
    for stage in range(3):
        t, inside = _cut(crop, fan, seed, radius, anchors, inside, t)
        if stage == 2:
            break
        centre = _move_limited(seed, fan.centroid_mm(t), 0.7 * radius)
        frame = _frame(fan.covariance_mm2(t))
        volume_radius = (3 * fan.volume_mm3(t) / (4 * np.pi)) ** (1 / 3)
        fan = Fan(icosphere(_COARSE if stage == 0 else _FINE), centre, frame if stage == 1 else np.eye(3))
        t = np.full(len(fan.sphere.directions), volume_radius)
    return fan, t, inside


def _move_limited(start: np.ndarray, end: np.ndarray, limit_mm: float) -> np.ndarray:
    """``end``, or the point on the way there at ``limit_mm``."""
    length = float(np.linalg.norm(end - start))
    return end if length <= limit_mm else start + (end - start) * (limit_mm / length)


def _frame(covariance_mm2: np.ndarray) -> np.ndarray:
    """Matrix of determinant 1 that turns a ball into an ellipsoid of these moments, at most 3 : 1."""
    values, vectors = np.linalg.eigh(covariance_mm2)
    axes = np.sqrt(np.maximum(values, 1e-6))
    axes = np.maximum(axes, axes.max() / 3.0)
    return vectors @ np.diag(axes / np.prod(axes) ** (1 / 3)) @ vectors.T


def _cut(crop, fan, seed, radius, anchors, inside, expected):
    """One minimum-closure surface on ``fan``; ``expected`` t per ray where an earlier cut gave one."""
    sphere = fan.sphere
    rays = fan.rays_mm
    reach = _reach(fan, seed, REACH * radius)
    last = float(reach.max()) if expected is None else min(float(reach.max()), max(1.7 * float(expected[0]), 1.3 * radius))
    t = np.linspace(last / _STEPS, last, _STEPS)
    step = t[1] - t[0]
    grid = np.tile(t, (len(rays), 1))
    points = fan.points_mm(grid)
    single = crop.at(points)
    size = radius if expected is None else float(expected[0])
    core = single[:, t < (0.45 if expected is None else 0.6) * size]
    centre, spread = _spread(core, single[:, (t > 1.2 * size) & (t < 1.8 * size)], crop)
    away = np.abs(ring_mean(single, sphere) - centre) / spread
    region = (np.minimum(0.5 * away**2, 3.5) - 1.5) * (REGION * step / size)
    wide = max(1, round(0.5 / step))
    ahead = np.concatenate([away[:, wide:], np.repeat(away[:, -1:], wide, axis=1)], axis=1)
    behind = np.concatenate([np.repeat(away[:, :1], wide, axis=1), away[:, :-wide]], axis=1)
    rise = np.maximum(ahead - behind, 0.0)
    edge = np.log1p(rise / 3.0)  # a vessel's edge is worth little more than a muscle's
    length = grid * np.linalg.norm(rays, axis=1)[:, None] / radius
    beyond = np.maximum(length - 1.0, 0.0)
    prior = 0.5 * REGION * beyond + PRIOR * beyond**2
    cost = np.cumsum(region, axis=1) - EDGE * edge + prior
    outside = (grid > reach[:, None]) | ~crop.holds(points)
    cost = np.where(outside, 1e4 * (1 + np.cumsum(outside, axis=1)), cost)
    for anchor in anchors:
        ray, wanted = _nearest_ray(fan, anchor)
        distance = np.abs(t - wanted)
        cost[ray] = np.where(distance <= distance.min() + 1e-9, -1e4, 1e4)
    index = cheapest_surface(cost, sphere.edges, jump=3, smoothness=SMOOTH)
    return t[index], (centre, spread)


def _nearest_ray(fan: Fan, point_mm: np.ndarray) -> tuple[int, float]:
    """The ray that passes nearest to a point, and the point's t along it."""
    local = np.linalg.solve(fan.frame, point_mm - fan.centre_mm)
    length = float(np.linalg.norm(local))
    return int((fan.sphere.directions @ local).argmax()), length


def _reach(fan: Fan, seed: np.ndarray, limit_mm: float) -> np.ndarray:
    """Per ray the t at which it leaves the ball of ``limit_mm`` around the click."""
    rays = fan.rays_mm
    offset = fan.centre_mm - seed
    a = (rays**2).sum(axis=1)
    b = rays @ offset
    c = float(offset @ offset) - limit_mm**2
    return (-b + np.sqrt(np.maximum(b * b - a * c, 0.0))) / a


def _result(image, crop, fan: Fan, refined: Refined, seed, radius, label, name, findings) -> SegmentationResult:
    """Surface, mask, quality and what the reader must know."""
    t = refined.t
    # Outward by the polyhedron's loss, so that the drawn surface has the volume of the true one.
    volume = fan.volume_mm3(t)
    flat = fan.points_mm(t)
    loss = volume / signed_volume(flat, fan.sphere.faces)
    vertices = fan.centre_mm + (flat - fan.centre_mm) * loss ** (1 / 3)
    quality = SegmentationQuality(refined.edge_fraction, refined.contrast_to_noise, refined.surface_sd_mm, refined.blur_mm)
    if quality.edge_fraction < 0.25:
        raise SegmentationRefused(
            "No boundary was found around the click: the surroundings look like the node.",
            code="no_boundary",
            hint="Click nearer to the centre, change the drag, or draw the outline by hand.",
        )
    if quality.edge_fraction < 0.6:
        findings.append(Finding("weak_boundary", f"Only {100 * quality.edge_fraction:.0f} % of the outline rests on a clear edge; check it."))
    at_limit = np.linalg.norm(vertices - seed, axis=1) > 0.97 * REACH * radius
    if at_limit.mean() > 0.02:
        findings.append(Finding("search_limit", "The outline was stopped at the limit of the drag; drag a larger radius or cut the leak."))
    if not crop.holds(vertices).all():
        findings.append(Finding("touches_border", "The node touches the picture's border; part of it may be missing."))
    array = mask_of_surface(vertices, fan.sphere.faces, image.geometry)
    if not array.any():
        raise SegmentationRefused("The outline is smaller than one voxel.", code="no_boundary")
    volume_ml = volume / 1000.0
    mask = NodeMask(array, image.geometry, label=label, name=name, coverage_volume_ml=volume_ml)
    vertices.setflags(write=False)
    centre = tuple(float(v) for v in fan.centroid_mm(t))
    return SegmentationResult(mask, vertices, fan.sphere.faces, centre, volume_ml, refined.inside, quality, tuple(findings), "star_convex")


def warm_up() -> None:
    """Compile (or load from the cache) every kernel of a click, so that the first one is as fast as
    the next."""
    k, j, i = np.indices((16, 32, 32))
    ball = ((k - 8) * 1.5) ** 2 + (j - 16.0) ** 2 + (i - 16.0) ** 2 < 36
    image = ImageVolume(np.where(ball, 100, 0).astype(np.int16), ImageGeometry.from_spacing((16, 32, 32), (1, 1, 1.5)))
    segment_node(image, (16.0, 16.0, 12.0), 6.0)
    picture = np.where((i[0] - 16.0) ** 2 + (j[0] - 16.0) ** 2 < 36, 20.0, 90.0)
    segment_ellipse_2d(picture, (16.0, 16.0), 6.0)
