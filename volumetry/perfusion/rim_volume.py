"""A smooth thin rim round an ablated node in a volume, told apart from nodules: ``rim.tell_rim_apart`` in three dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from volumetry.perfusion.rim import AROUND_PCT, BORDER_MM, BULGE_MM, RIM_MOST_MM, RIM_SHARE_OF_RADIUS

FINE_MM = 1.25  # slices no thicker than this show a rim as it is
DIRECTIONS = 240  # sectors of the sphere round the node's middle


@dataclass(frozen=True, slots=True, eq=False)
class VolumeParts:
    """``viable`` and ``rim``: disjoint bool ``[k, j, i]``; ``foci``: connected viable parts; ``rim_mm``: the rim's median width, None without one."""

    viable: np.ndarray
    rim: np.ndarray
    foci: int
    rim_mm: float | None


def tell_rim_apart_3d(enhancing: np.ndarray, node: np.ndarray, step_mm: float, least_mm3: float, weak: np.ndarray | None = None, resolution_mm=(0.0, 0.0, 0.0)) -> VolumeParts:
    """Divide ``enhancing`` (within ``node``, both bool on cubes of ``step_mm``) into a smooth rim and what is viable, by the rule of
    ``rim.tell_rim_apart``: at least 75 % of the surface carries it within 1 mm, its median width is at most 2 mm and half of the inner
    radius; what reaches further in than that width and 0.7 mm is viable, from the surface on. ``weak`` (holds ``enhancing``): what may enhance; whether a
    rim goes all round is told from it, because noise breaks a thin one into patches. ``resolution_mm`` (k, j, i): size of the picture's own voxels; along an
    axis where they are thicker than 1.25 mm depth counts for less, because a thin rim fills a whole slice there."""
    none = np.zeros_like(enhancing)
    if not enhancing.any():
        return VolumeParts(none, none.copy(), 0, None)
    sampling = [step_mm * min(1.0, FINE_MM / max(v, 1e-9)) for v in resolution_mm]
    inward = ndimage.distance_transform_edt(np.pad(node, 1), sampling=sampling)[1:-1, 1:-1, 1:-1]
    radius = float(ndimage.distance_transform_edt(np.pad(node, 1), sampling=step_mm).max())
    widths = _widths(enhancing, node, inward, step_mm)
    if weak is not None:  # it reaches too far in by the blur, so the width is that of what enhances wherever it does
        widths = np.where(np.isfinite(widths), widths, _widths(weak, node, inward, step_mm))
    carried = np.isfinite(widths)
    viable, rim, width = enhancing, none, None
    known = ~np.isnan(widths)
    if known.any() and 100 * carried.sum() / known.sum() >= AROUND_PCT:
        usual = float(np.median(widths[carried]))
        if usual <= min(RIM_MOST_MM, RIM_SHARE_OF_RADIUS * radius):
            width = usual
            inner = inward > usual + BULGE_MM
            deep = _pieces(enhancing & inner, step_mm**3, least_mm3)[0]
            nearest = ndimage.distance_transform_edt(~inner, sampling=sampling, return_distances=False, return_indices=True)
            viable = enhancing & deep[tuple(nearest)]
            rim = enhancing & ~viable & ~inner
    viable, foci = _pieces(viable, step_mm**3, least_mm3)
    return VolumeParts(viable, rim, foci, width)


def sphere_directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3) spread evenly (Fibonacci lattice)."""
    n = np.arange(count) + 0.5
    z, turn = 1 - 2 * n / count, math.pi * (1 + math.sqrt(5)) * n
    ring = np.sqrt(1 - z * z)
    return np.stack([z, ring * np.sin(turn), ring * np.cos(turn)], axis=1)


def _widths(enhancing: np.ndarray, node: np.ndarray, inward: np.ndarray, step: float) -> np.ndarray:
    """Depth (mm) that enhancement reaches from the surface without a break, a direction each; inf where none begins within 1 mm of it, NaN where
    the direction holds no voxel."""
    places = np.argwhere(node).astype(np.float64)
    places -= places.mean(axis=0)
    length = np.linalg.norm(places, axis=1)
    sector = cKDTree(sphere_directions(DIRECTIONS)).query(places / np.maximum(length, 1e-9)[:, None])[1]
    layer = (inward[node] / step).astype(int)
    lit, all_ = np.zeros((DIRECTIONS, layer.max() + 1)), np.zeros((DIRECTIONS, layer.max() + 1))
    np.add.at(lit, (sector, layer), enhancing[node])
    np.add.at(all_, (sector, layer), 1)
    bright = (lit >= 0.5 * all_) & (all_ > 0)
    widths = np.full(DIRECTIONS, np.nan)
    begin = round(BORDER_MM / step)
    for n in range(DIRECTIONS):
        here = np.flatnonzero(all_[n])
        if not here.size:
            continue
        on = bright[n, here]
        first = np.flatnonzero(on & (here <= begin))
        if not first.size:
            widths[n] = np.inf
            continue
        dark = np.flatnonzero(~on[first[0] :])
        last = here[first[0] + dark[0] - 1] if dark.size else here[-1]
        widths[n] = (last + 1) * step
    return widths


def _pieces(mask: np.ndarray, voxel_mm3: float, least_mm3: float) -> tuple[np.ndarray, int]:
    """Connected parts of at least ``least_mm3``, and how many."""
    pieces, count = ndimage.label(mask)
    if not count:
        return np.zeros_like(mask), 0
    large = np.flatnonzero(np.bincount(pieces.ravel())[1:] * voxel_mm3 >= least_mm3) + 1
    return np.isin(pieces, large), int(large.size)
