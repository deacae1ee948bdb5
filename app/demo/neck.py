"""Renders the neck as one CT volume: pose, nodes, point spread, noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from app.demo import anatomy
from app.demo.anatomy import CAPSULE, Part
from app.demo.kernels.paint import paint_slices
from app.demo.noise import ct_noise
from app.demo.shapes import LobulatedEllipsoid, rotation_from
from app.jobs.progress import JobContext
from volumetry.geometry import ImageGeometry

SUB_SLICES = 3
PSF_FWHM_MM = 0.75


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """How the body lies in the scanner: ``x_scanner = rotation x_body + shift_mm``."""

    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def rotation(self) -> np.ndarray:
        """3x3 rotation from body to scanner."""
        return rotation_from(*self.angles_deg)

    def apply(self, points_mm) -> np.ndarray:
        """Carry ``(..., 3)`` body points into the scanner's LPS frame."""
        return np.asarray(points_mm, dtype=np.float64) @ self.rotation.T + np.asarray(self.shift_mm)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node as it stands at one visit, in the scanner's frame."""

    shape: LobulatedEllipsoid
    hu: float
    rim_hu: float = 0.0
    hilum_hu: float | None = None  # fatty centre of a harmless node


@dataclass(frozen=True, slots=True, eq=False)
class NeckScan:
    """Everything that makes one CT volume."""

    geometry: ImageGeometry  # axial, square pixels
    pose: Pose
    nodes: tuple[Node, ...]
    seed: int
    noise_sd_hu: float = 10.0
    contrast_hu: float = 0.0  # added to the vessels: no two injections are alike
    parts: tuple[Part, ...] = field(default_factory=lambda: tuple(anatomy.neck_parts()))


def _tube_rows(part: Part, pose: Pose, z: np.ndarray, hu: float) -> np.ndarray:
    """Rows for the painter, one per height ``z`` (scanner mm)."""
    rows = np.full((z.size, 13), -1.0)
    curve = PchipInterpolator(part.knots[:, 0], part.knots[:, 1:], extrapolate=False)
    low, high = part.knots[0, 0], part.knots[-1, 0]
    turn, shift = pose.rotation, np.asarray(pose.shift_mm)
    height = z - shift[2]
    for _ in range(3):  # the height in the body at which this plane meets the part's centre line
        at = curve(np.clip(height, low, high))
        height = (z - shift[2] - turn[2, 0] * at[:, 0] - turn[2, 1] * at[:, 1]) / turn[2, 2]
    inside = (height > low) & (height < high)
    at = curve(np.clip(height, low, high))
    centre = np.column_stack([at[:, 0], at[:, 1], np.clip(height, low, high)]) @ turn.T + shift
    end = np.minimum(height - low, high - height) / max(part.cap_mm, 1e-6)
    taper = np.where(inside, np.sqrt(np.clip(1 - np.clip(1 - end, 0, 1) ** 2, 1e-4, 1)), 0.0)
    angle = np.deg2rad(at[:, 4] + pose.angles_deg[2])
    rows[:, 0] = np.where(inside, part.kind, -1)
    rows[:, 1], rows[:, 2], rows[:, 3] = hu, part.grain, part.strand
    rows[:, 4], rows[:, 5] = centre[:, 0], centre[:, 1]
    rows[:, 6], rows[:, 7] = np.maximum(at[:, 2] * taper, 0.05), np.maximum(at[:, 3] * taper, 0.05)
    rows[:, 8], rows[:, 9] = np.cos(angle), np.sin(angle)
    rows[:, 10], rows[:, 11], rows[:, 12] = part.bend, part.power, part.halo_mm
    return rows


def _rows(scan: NeckScan, z: np.ndarray) -> np.ndarray:
    """All shapes for all heights ``z`` (any shape): (*z.shape, n, 13)."""
    rng = np.random.default_rng([scan.seed, 11])
    flat = z.ravel()
    out = []
    for part in scan.parts:
        hu = part.hu + (rng.uniform(-4, 4) if 0 < part.hu < 130 else 0.0)
        if 175 <= part.hu <= 240 and part.grain == 3.0:
            hu += scan.contrast_hu
        if part.kind == CAPSULE:
            ends = scan.pose.apply(part.knots[:, :3])
            for n in range(len(ends) - 1):
                row = [CAPSULE, hu, part.grain, part.strand, *ends[n], *ends[n + 1], part.knots[n, 3], part.knots[n + 1, 3], part.halo_mm]
                out.append(np.broadcast_to(np.array(row), (flat.size, 13)))
        else:
            out.append(_tube_rows(part, scan.pose, flat, hu))
    return np.ascontiguousarray(np.stack(out, axis=1)).reshape(*z.shape, len(out), 13)


def _skin(scan: NeckScan, z: np.ndarray, angles: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Body radius and centre for heights ``z`` (any shape)."""
    turn, shift = scan.pose.rotation, np.asarray(scan.pose.shift_mm)
    flat = z.ravel()
    height = (flat - shift[2] - turn[2, 1] * anatomy.SKIN_CENTRE_Y) / turn[2, 2]
    radius = anatomy.skin_radius(height, angles)
    lag = scan.pose.angles_deg[2] / 360 * angles  # turning about z only shifts the table
    base = np.arange(angles) - lag
    low = np.floor(base).astype(int)
    w = base - low
    radius = radius[:, low % angles] * (1 - w) + radius[:, (low + 1) % angles] * w
    centre = scan.pose.apply(np.column_stack([np.zeros(flat.size), np.full(flat.size, anatomy.SKIN_CENTRE_Y), height]))
    return radius.reshape(*z.shape, angles), np.ascontiguousarray(centre[:, :2]).reshape(*z.shape, 2)


def _table(image: np.ndarray, geometry: ImageGeometry) -> None:
    """The couch: a thin shell with light filling, behind the patient."""
    dx, dy, _ = geometry.spacing_mm
    ox, oy, _ = geometry.origin_mm
    x = ox + dx * np.arange(image.shape[2])
    y = oy + dy * np.arange(image.shape[1])[:, None]
    depth = y - (104.0 - 0.0011 * x**2)
    couch = np.where(depth > 0, np.where(depth < 1.4, -420.0, -930.0), -1e9)
    free = image < -900
    np.copyto(image, np.broadcast_to(couch, image.shape), where=free & (couch > -1e8))


def render_neck(scan: NeckScan, context: JobContext | None = None) -> np.ndarray:
    """CT values ``[k, j, i]`` (int16 HU, -1024 to 3071) of ``scan``."""
    context = context or JobContext()
    geometry = scan.geometry
    spacing, origin = geometry.spacing_mm, geometry.origin_mm
    slices = geometry.shape[0]
    offsets = ((np.arange(SUB_SLICES) + 0.5) / SUB_SLICES - 0.5) * spacing[2]
    z = origin[2] + spacing[2] * np.arange(slices)[:, None] + offsets
    rows = _rows(scan, z)
    radius, centre = _skin(scan, z)
    rng = np.random.default_rng([2026, 3])  # the body's own texture, the same at every visit
    coarse, fine = rng.standard_normal((2, 32, 32, 32))
    turn = scan.pose.rotation
    to_body = np.column_stack([turn.T, -turn.T @ np.asarray(scan.pose.shift_mm)])
    skin_row = np.array([30.0, 1.6, float(anatomy.FAT), 42.0])
    image = np.empty(geometry.shape, dtype=np.float32)
    step = 8
    for first in range(0, slices, step):
        paint_slices(image, first, min(first + step, slices), origin[0], origin[1], spacing[0], z, rows, radius, centre,
                     skin_row, -1000.0, to_body, coarse, fine)  # fmt: skip
        context.report("Painting slices", 0.6 * min(first + step, slices) / slices)
    _table(image, geometry)
    for n, node in enumerate(scan.nodes):
        _add_node(image, geometry, node, np.random.default_rng([scan.seed, 21, n]))
    sigma = PSF_FWHM_MM / 2.3548
    ndimage.gaussian_filter(image, [0.0, sigma / spacing[1], sigma / spacing[0]], output=image, truncate=3.5)
    context.report("Blurring", 0.7)
    noise = ct_noise(np.random.default_rng([scan.seed, 31]), geometry.shape, spacing[0], scan.noise_sd_hu)
    height = origin[2] + spacing[2] * np.arange(slices) - scan.pose.shift_mm[2]
    noise *= np.interp(height, [-60, -35, 0, 65], [1.7, 1.15, 1.0, 1.05]).astype(np.float32)[:, None, None]  # shoulders
    image += noise
    context.report("Adding noise", 0.95)
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _add_node(image: np.ndarray, geometry: ImageGeometry, node: Node, rng: np.random.Generator) -> None:
    """Lay one node over what is there, voxel for voxel by its covered fraction."""
    found = node.shape.coverage(geometry, samples=6)
    if found is None:
        return
    box, cover = found
    texture = ndimage.gaussian_filter(rng.standard_normal(cover.shape), 1.2)
    value = node.hu + texture * (4.0 / max(float(texture.std()), 1e-6))
    core = node.shape.resized(0.45).coverage(geometry, samples=3)
    if core is not None and node.rim_hu:
        value = value + node.rim_hu * (1 - _placed(core, box, cover.shape))
    if node.hilum_hu is not None:
        hilum = node.shape.resized(0.12).coverage(geometry, samples=4)
        if hilum is not None:
            value = value + _placed(hilum, box, cover.shape) * (node.hilum_hu - value)
    image[box] += cover * (value.astype(np.float32) - image[box])


def _placed(found, box, shape) -> np.ndarray:
    """A smaller box's values inside a larger box, zero elsewhere."""
    out = np.zeros(shape, dtype=np.float32)
    inner, values = found
    out[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, box, strict=True))] = values
    return out
