"""Where needles could start: parallel around the node, along the way in that stays farthest from
vessels, airway and bone. A position to begin from, which the radiologist moves; not an optimum.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from app.usecases.plan import NeedleDraft
from planning.errors import PlanRefused
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

BONE_ABOVE_HU = 300.0
AIR_BELOW_HU = -400.0
ENOUGH_MM = 6.0  # clearance beyond this is no longer better
REACH_MM = 90.0  # how far along a path is looked at
STEP_MM = 1.0
SHIFTS = ((0.0, 0.0), (2.5, 0.0), (-2.5, 0.0), (0.0, 2.5), (0.0, -2.5))  # mm off the node's centre
WITHOUT_SKIN_MM = 70.0  # needle length where the picture ends before the skin


def suggest_needles(
    mask: NodeMask, count: int = 2, spacing_mm: float = 15.0, exposure_mm: float = 20.0, *, image: ImageVolume | None = None, at_risk: tuple[NodeMask, ...] = ()
) -> tuple[NeedleDraft, ...]:
    """``count`` parallel needles on a circle around the node's centroid, neighbours ``spacing_mm``
    apart, the exposed part centred on the node.

    With ``image`` the direction is chosen from the outward half space by the smallest distance of
    any needle, from tip to skin, to bone, airway and ``at_risk`` masks (the node itself is no
    obstacle); entries lie on the skin. Without it the needles come from the front. Refuses an
    empty outline (``no_target``) and a count outside 2 to 6 (``needle_count``).
    """
    if not 2 <= count <= 6:
        raise PlanRefused("A plan has two to six needles.", code="needle_count")
    inside = np.argwhere(mask.array)[:, ::-1]
    if inside.size == 0:
        raise PlanRefused("The node has no outline yet: outline it, then place needles.", code="no_target")
    centre = mask.geometry.index_to_world(inside.mean(0))
    if image is None:
        up = np.array([0.0, -1.0, 0.0])
        return _needles(_feet(centre, up, 0.0, count, spacing_mm), up, exposure_mm, None)
    way = _Way(image, mask, at_risk)
    outward = np.array([1.0 if centre[0] > way.middle_mm[0] else -1.0, -0.3, 0.0])
    best, best_score = None, (-math.inf, -math.inf)
    for up in _directions(outward / np.linalg.norm(outward), 65.0):
        for shift in SHIFTS:
            for turn in np.arange(6) / 6 * (math.pi if count == 2 else 2 * math.pi / count):
                feet = _feet(centre, up, turn, count, spacing_mm, shift)
                clearance, depth = zip(*(way.along(foot - up * exposure_mm / 2, up) for foot in feet), strict=True)
                # The worst needle first; then a short way in, and the node in the middle.
                score = (round(min(min(clearance), ENOUGH_MM)), -max(depth) - 3.0 * math.hypot(*shift))
                if score > best_score:
                    best, best_score = feet, score
                    best_up = up
    return _needles(best, best_up, exposure_mm, way)


class _Way:
    """Distances to obstacles on a 2 mm grid around the node, and where the skin is."""

    def __init__(self, image: ImageVolume, mask: NodeMask, at_risk: tuple[NodeMask, ...]):
        g = image.geometry
        stride = tuple(max(1, round(2.0 / s)) for s in g.spacing_mm[::-1])  # k, j, i
        view = tuple(slice(None, None, s) for s in stride)
        hu = image.array[view]
        affine = g.affine.copy()
        affine[:3, :3] = affine[:3, :3] * np.array(stride[::-1])
        self.grid = ImageGeometry(hu.shape, affine)
        self.body = ndimage.binary_fill_holes(ndimage.binary_opening(hu > AIR_BELOW_HU, iterations=1))
        # Air inside the body is the airway; air outside is the way in.
        obstacle = (hu > BONE_ABOVE_HU) | (self.body & (hu < AIR_BELOW_HU))
        for other in at_risk:
            if other.geometry.same_grid(g):
                # A thin vessel must not fall between the coarse samples.
                obstacle |= ndimage.maximum_filter(other.array, size=stride)[view]
        node = mask.array[view] if mask.geometry.same_grid(g) else np.zeros(hu.shape, bool)
        obstacle &= ~node
        spacing = self.grid.spacing_mm[::-1]
        outside, inside = (ndimage.distance_transform_edt(a, sampling=spacing).astype(np.float32) for a in (~obstacle, obstacle))
        self.distance = outside - inside  # negative inside, so that a graze beats a way straight through
        self.middle_mm = self.grid.index_to_world((np.array(hu.shape[::-1]) - 1) / 2)

    def along(self, tip: np.ndarray, up: np.ndarray) -> tuple[float, float]:
        """(smallest distance to an obstacle from tip to skin, depth of the tip under the skin), mm."""
        points = tip + np.arange(0.0, REACH_MM, STEP_MM)[:, None] * up
        index = np.rint(self.grid.world_to_index(points)).astype(int)[:, ::-1]
        on_grid = ((index >= 0) & (index < self.body.shape)).all(axis=1)
        index = np.where(on_grid[:, None], index, 0)
        in_body = self.body[tuple(index.T)] & on_grid
        if not in_body.any():
            return -math.inf, REACH_MM
        last = int(np.flatnonzero(in_body)[-1])
        inside = on_grid[: last + 1]
        depth = (last + 1) * STEP_MM if on_grid[min(last + 1, len(on_grid) - 1)] else WITHOUT_SKIN_MM
        return float(self.distance[tuple(index[: last + 1][inside].T)].min()), float(depth)


def _directions(axis: np.ndarray, widest_deg: float) -> np.ndarray:
    """Unit vectors spread evenly (Fibonacci) over the cap around ``axis``."""
    n = np.arange(48)
    cosine = 1 - (1 - math.cos(math.radians(widest_deg))) * (n + 0.5) / len(n)
    angle = n * math.pi * (3 - math.sqrt(5))
    side = np.cross(axis, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    third = np.cross(axis, side)
    sine = np.sqrt(1 - cosine**2)
    return np.vstack([axis, cosine[:, None] * axis + (sine * np.cos(angle))[:, None] * side + (sine * np.sin(angle))[:, None] * third])


def _feet(centre, up, turn: float, count: int, spacing_mm: float, shift=(0.0, 0.0)) -> list[np.ndarray]:
    """Where the needles' axes cross the plane through the node's centre (moved by ``shift`` mm in it)."""
    side = np.cross(up, [0.0, 0.0, 1.0] if abs(up[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    third = np.cross(up, side)
    radius = spacing_mm / 2 if count == 2 else spacing_mm / (2 * math.sin(math.pi / count))
    middle = centre + shift[0] * side + shift[1] * third
    angles = turn + 2 * math.pi * np.arange(count) / count
    return [middle + radius * (math.cos(a) * third + math.sin(a) * side) for a in angles]


def _needles(feet, up, exposure_mm, way: _Way | None) -> tuple[NeedleDraft, ...]:
    out = []
    for n, foot in enumerate(feet):
        tip = foot - up * exposure_mm / 2
        depth = WITHOUT_SKIN_MM if way is None else max(way.along(tip, up)[1], exposure_mm + 5.0)
        out.append(NeedleDraft(f"E{n + 1}", tuple(float(v) for v in tip), tuple(float(v) for v in tip + up * depth), exposure_mm))
    return tuple(out)
