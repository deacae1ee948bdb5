"""Shapes of regions: each answers how deep inside it a point lies.

``level_mm(points)`` is positive inside, negative outside and zero on the surface; it is the true
distance for all shapes except ellipsoid (right near the surface) and mask (right on it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy import ndimage

from planning.errors import PlanRefused
from volumetry.mask import NodeMask


def _point(value, what: str) -> tuple[float, float, float]:
    try:
        p = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        raise PlanRefused(f"{what} must be three numbers.", code="not_a_number") from None
    if len(p) != 3 or not all(math.isfinite(v) for v in p):
        raise PlanRefused(f"{what} must be three finite numbers.", code="not_a_number")
    return p


def _positive(value, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PlanRefused(f"{what} must be a finite number.", code="not_a_number")
    if value <= 0:
        raise PlanRefused(f"{what} must be more than 0, not {value:g}.", code="bad_shape")
    return float(value)


def _rotation(value) -> tuple | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != 3:
        raise PlanRefused("A rotation must be three rows of three numbers.", code="bad_shape")
    r = np.array([_point(row, "A rotation's row") for row in value])
    if np.abs(r @ r.T - np.eye(3)).max() > 1e-3:
        raise PlanRefused("A rotation must be three rows at right angles of length 1.", code="bad_shape")
    return tuple(map(tuple, r.tolist()))


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """``axes_mm`` are full lengths along the rows of ``rotation`` (default: LPS axes)."""

    center_mm: tuple
    axes_mm: tuple
    rotation: tuple | None = None
    kind: ClassVar[str] = "ellipsoid"

    def __post_init__(self) -> None:
        object.__setattr__(self, "center_mm", _point(self.center_mm, "An ellipsoid's centre"))
        object.__setattr__(self, "axes_mm", tuple(_positive(v, "An ellipsoid's axis") for v in _point(self.axes_mm, "An ellipsoid's axes")))
        object.__setattr__(self, "rotation", _rotation(self.rotation))

    def level_mm(self, points) -> np.ndarray:
        """Positive inside (mm, first order near the surface)."""
        p = np.asarray(points, float) - self.center_mm
        if self.rotation is not None:
            p = p @ np.asarray(self.rotation).T
        half = 0.5 * np.asarray(self.axes_mm)
        if half.min() == half.max():
            return half[0] - np.sqrt((p * p).sum(-1))
        k0 = np.sqrt(((p / half) ** 2).sum(-1))
        k1 = np.sqrt(((p / half**2) ** 2).sum(-1))
        return np.where(k1 > 1e-12, k0 * (1 - k0) / np.maximum(k1, 1e-12), half.min())

    @property
    def thickness_mm(self) -> float:
        """Smallest width."""
        return min(self.axes_mm)

    def bounds_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high corner of the bounding box."""
        r = np.eye(3) if self.rotation is None else np.asarray(self.rotation)
        reach = np.sqrt(((r * (0.5 * np.asarray(self.axes_mm))[:, None]) ** 2).sum(0))
        return np.asarray(self.center_mm) - reach, np.asarray(self.center_mm) + reach

    def to_dict(self) -> dict:
        """As in a plan file."""
        out = {"type": "ellipsoid", "center_mm": list(self.center_mm), "axes_mm": list(self.axes_mm)}
        return out if self.rotation is None else out | {"rotation": [list(r) for r in self.rotation]}


@dataclass(frozen=True, slots=True)
class Sphere:
    """A ball."""

    center_mm: tuple
    diameter_mm: float
    kind: ClassVar[str] = "sphere"

    def __post_init__(self) -> None:
        object.__setattr__(self, "center_mm", _point(self.center_mm, "A sphere's centre"))
        object.__setattr__(self, "diameter_mm", _positive(self.diameter_mm, "A sphere's diameter"))

    def level_mm(self, points) -> np.ndarray:
        """Positive inside (mm)."""
        return 0.5 * self.diameter_mm - np.linalg.norm(np.asarray(points, float) - self.center_mm, axis=-1)

    @property
    def thickness_mm(self) -> float:
        """Smallest width."""
        return self.diameter_mm

    def bounds_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high corner of the bounding box."""
        c = np.asarray(self.center_mm)
        return c - 0.5 * self.diameter_mm, c + 0.5 * self.diameter_mm

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"type": "sphere", "center_mm": list(self.center_mm), "diameter_mm": self.diameter_mm}


@dataclass(frozen=True, slots=True)
class Rod:
    """A cylinder with flat ends, or with round ones (``capsule``)."""

    from_mm: tuple
    to_mm: tuple
    diameter_mm: float
    round_ends: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "from_mm", _point(self.from_mm, f"A {self.kind}'s end"))
        object.__setattr__(self, "to_mm", _point(self.to_mm, f"A {self.kind}'s end"))
        object.__setattr__(self, "diameter_mm", _positive(self.diameter_mm, f"A {self.kind}'s diameter"))
        if math.dist(self.from_mm, self.to_mm) < 1e-9:
            raise PlanRefused(f"A {self.kind}'s two ends are the same point.", code="bad_shape")

    @property
    def kind(self) -> str:
        """``cylinder`` or ``capsule``."""
        return "capsule" if self.round_ends else "cylinder"

    def level_mm(self, points) -> np.ndarray:
        """Positive inside (mm)."""
        a, b = np.asarray(self.from_mm), np.asarray(self.to_mm)
        length = np.linalg.norm(b - a)
        d = np.asarray(points, float) - a
        s = d @ ((b - a) / length)
        r = np.sqrt(np.maximum((d * d).sum(-1) - s * s, 0.0))
        if self.round_ends:
            return 0.5 * self.diameter_mm - np.hypot(r, s - np.clip(s, 0, length))
        side, end = r - 0.5 * self.diameter_mm, np.abs(s - 0.5 * length) - 0.5 * length
        return -(np.minimum(np.maximum(side, end), 0) + np.hypot(np.maximum(side, 0), np.maximum(end, 0)))

    @property
    def thickness_mm(self) -> float:
        """Smallest width."""
        return self.diameter_mm if self.round_ends else min(self.diameter_mm, math.dist(self.from_mm, self.to_mm))

    def bounds_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high corner of the bounding box."""
        a, b = np.asarray(self.from_mm), np.asarray(self.to_mm)
        t = (b - a) / np.linalg.norm(b - a)
        reach = 0.5 * self.diameter_mm * (np.ones(3) if self.round_ends else np.sqrt(np.maximum(1 - t * t, 0)))
        return np.minimum(a, b) - reach, np.maximum(a, b) + reach

    def to_dict(self) -> dict:
        """As in a plan file."""
        return {"type": self.kind, "from_mm": list(self.from_mm), "to_mm": list(self.to_mm), "diameter_mm": self.diameter_mm}


@dataclass(frozen=True, slots=True)
class Box:
    """A box of full lengths ``size_mm`` along the rows of ``rotation``."""

    center_mm: tuple
    size_mm: tuple
    rotation: tuple | None = None
    kind: ClassVar[str] = "box"

    def __post_init__(self) -> None:
        object.__setattr__(self, "center_mm", _point(self.center_mm, "A box's centre"))
        object.__setattr__(self, "size_mm", tuple(_positive(v, "A box's size") for v in _point(self.size_mm, "A box's size")))
        object.__setattr__(self, "rotation", _rotation(self.rotation))

    def level_mm(self, points) -> np.ndarray:
        """Positive inside (mm)."""
        p = np.asarray(points, float) - self.center_mm
        if self.rotation is not None:
            p = p @ np.asarray(self.rotation).T
        q = np.abs(p) - 0.5 * np.asarray(self.size_mm)
        return -(np.minimum(q.max(-1), 0) + np.linalg.norm(np.maximum(q, 0), axis=-1))

    @property
    def thickness_mm(self) -> float:
        """Smallest width."""
        return min(self.size_mm)

    def bounds_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high corner of the bounding box."""
        r = np.eye(3) if self.rotation is None else np.asarray(self.rotation)
        reach = (np.abs(r) * (0.5 * np.asarray(self.size_mm))[:, None]).sum(0)
        return np.asarray(self.center_mm) - reach, np.asarray(self.center_mm) + reach

    def to_dict(self) -> dict:
        """As in a plan file."""
        out = {"type": "box", "center_mm": list(self.center_mm), "size_mm": list(self.size_mm)}
        return out if self.rotation is None else out | {"rotation": [list(r) for r in self.rotation]}


@dataclass(frozen=True, slots=True, eq=False)
class MaskShape:
    """A drawn or segmented region. ``path`` and ``label`` say where it was read, if it was.

    Membership is that of the nearest voxel. The sub-voxel surface for margins is the level of a
    slightly blurred mask that encloses as many voxels as the mask has, so it neither grows nor
    shrinks the region.
    """

    mask: NodeMask
    path: str | None = None
    label: int | None = None
    kind: ClassVar[str] = "mask"
    _smooth: list = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not self.mask.array.any():
            raise PlanRefused("A region's mask is empty.", code="empty_mask")

    def contains(self, points) -> np.ndarray:
        """True where the nearest voxel belongs to the mask; False off its grid."""
        index = np.rint(self.mask.geometry.world_to_index(points)).astype(np.int64)[..., ::-1]
        inside = ((index >= 0) & (index < self.mask.array.shape)).all(-1)
        index = np.where(inside[..., None], index, 0)
        return inside & self.mask.array[index[..., 0], index[..., 1], index[..., 2]]

    def level_mm(self, points) -> np.ndarray:
        """Positive inside (mm near the surface, blunted further away)."""
        if not self._smooth:
            self._smooth.append(_smooth_level(self.mask))
        level, offset = self._smooth[0]
        index = self.mask.geometry.world_to_index(points)[..., ::-1] - offset
        outside = -2.0 * max(self.mask.geometry.spacing_mm)
        flat = ndimage.map_coordinates(level, index.reshape(-1, 3).T, order=1, mode="constant", cval=outside)
        return flat.reshape(index.shape[:-1])

    def bounds_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Low and high corner of the box around the mask's voxels."""
        k, j, i = self.mask.bounding_slices()
        corners = np.array([[x, y, z] for x in (i.start - 0.5, i.stop - 0.5) for y in (j.start - 0.5, j.stop - 0.5)
                            for z in (k.start - 0.5, k.stop - 0.5)])
        world = self.mask.geometry.index_to_world(corners)
        return world.min(0), world.max(0)

    def to_dict(self) -> dict:
        """As in a plan file; ``path`` is null for a mask that was drawn and not yet saved."""
        return {"type": "mask", "path": self.path, "label": self.label if self.label is not None else self.mask.label}


def _smooth_level(mask: NodeMask) -> tuple[np.ndarray, np.ndarray]:
    """``(level_mm, offset)``: signed level of the volume-preserving blur on the mask's own grid,
    cropped (offset = index (k, j, i) of its first voxel)."""
    pad = 6
    box = mask.bounding_slices()
    crop = np.pad(mask.array[box], pad)
    spacing = np.asarray(mask.geometry.spacing_mm)[::-1]
    finest = spacing.min()
    blurred = ndimage.gaussian_filter(crop.astype(np.float32), 0.9 * finest / spacing + 0.3)
    # a blurred step of width w has slope 1 / (sqrt(2 pi) w): turns the blur into mm near the surface
    gradient = np.sqrt(sum(g * g for g in np.gradient(blurred, *spacing)))
    steep = np.maximum(gradient, 0.3 * gradient.max())
    side = float(np.prod(spacing) ** (1 / 3))
    low, high, count = 0.05, 0.95, float(crop.sum())
    for _ in range(30):  # the level whose cut voxels, in parts, add up to the mask's voxels
        threshold = 0.5 * (low + high)
        enclosed = float(np.clip(0.5 + (blurred - threshold) / (steep * side), 0.0, 1.0).sum())
        low, high = (threshold, high) if enclosed > count else (low, threshold)
    shifted = blurred - threshold
    level = np.clip(shifted / steep, -2 * spacing.max(), 2 * spacing.max())
    return level, np.array([s.start for s in box]) - pad


Shape = Sphere | Ellipsoid | Rod | Box | MaskShape


def inside(shape: Shape, points) -> np.ndarray:
    """True for ``(..., 3)`` LPS points in the shape."""
    return shape.contains(points) if isinstance(shape, MaskShape) else shape.level_mm(points) >= 0
