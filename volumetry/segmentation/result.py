"""What a segmentation hands back: the voxels, the surface to draw and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.finding import Finding
from volumetry.mask import NodeMask


@dataclass(frozen=True, slots=True)
class SegmentationQuality:
    """How well the picture supports the outline.

    ``edge_fraction`` share (0 to 1) of the surface that rests on a clear edge, the rest being
    carried over from its neighbours; ``contrast_to_noise`` median step at the surface over the noise inside;
    ``surface_sd_mm`` typical distance between single edges and the smoothed surface;
    ``blur_mm`` the measured sd of the edge in plane and across slices.
    """

    edge_fraction: float
    contrast_to_noise: float
    surface_sd_mm: float
    blur_mm: tuple[float, float]

    @property
    def score(self) -> float:
        """0 (a guess) to 1 (clear all round), for a traffic light beside the outline."""
        return float(np.clip(self.edge_fraction, 0, 1) * np.clip(self.contrast_to_noise / 4.0, 0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationResult:
    """One outlined node.

    ``vertices_mm`` (n, 3) LPS and ``faces`` (m, 3) are the closed surface for drawing, winding
    outward; both are empty for a single slice. ``volume_ml`` is the volume of that surface (also
    ``mask.coverage_volume_ml``); None for a single slice. ``inside_hu`` is the mean and sd inside.
    """

    mask: NodeMask
    vertices_mm: np.ndarray
    faces: np.ndarray
    centre_mm: tuple[float, float, float]
    volume_ml: float | None
    inside_hu: tuple[float, float]
    quality: SegmentationQuality
    findings: tuple[Finding, ...] = ()
    method: str = "star_convex"
