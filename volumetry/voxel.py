"""What can be said by counting voxels: volume, centre, principal axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.geometry import ImageGeometry
from volumetry.kernels.scan import moments


@dataclass(frozen=True, slots=True)
class VoxelMeasurement:
    """Counts and moments of a node's voxel centres, in patient space.

    ``principal_axes_mm`` (major, minor, least) are 4 times the root of the covariance's
    eigenvalues, the covariance divided by N - 1 as the Image Biomarker Standardisation Initiative
    does (arXiv 1612.07003, "major axis length"); None for a single voxel. ``slice_counts`` are the
    voxels of slices ``first_slice``, ``first_slice + 1``...; ``mean_chords_voxels`` the mean
    unbroken run of voxels along i, j and k.
    """

    voxel_count: int
    volume_mm3: float
    centroid_mm: tuple[float, float, float]
    principal_axes_mm: tuple[float, float, float] | None
    first_slice: int
    slice_counts: tuple[int, ...]
    mean_chords_voxels: tuple[float, float, float]

    @property
    def elongation(self) -> float | None:
        """Root of minor over major eigenvalue; 1 is round. None where there is no extent."""
        axes = self.principal_axes_mm
        return axes[1] / axes[0] if axes and axes[0] > 0 else None

    @property
    def flatness(self) -> float | None:
        """Root of least over major eigenvalue; 1 is round. None where there is no extent."""
        axes = self.principal_axes_mm
        return axes[2] / axes[0] if axes and axes[0] > 0 else None


def measure_voxels(crop: np.ndarray, geometry: ImageGeometry, first_slice: int = 0) -> VoxelMeasurement:
    """Count the voxels of ``crop`` (uint8 [k, j, i], C-ordered, at least one set) lying on
    ``geometry``; ``first_slice`` is the crop's first slice in the whole picture."""
    per_slice, sums, runs = moments(crop)
    count = int(per_slice.sum())
    mean = sums[:3] / count
    centroid = geometry.index_to_world(mean)
    axes = None
    if count > 1:
        s = sums.astype(object)  # whole numbers of any size: no cancellation before the division
        pairs = {(0, 0): 3, (1, 1): 4, (2, 2): 5, (0, 1): 6, (0, 2): 7, (1, 2): 8}
        covariance = np.zeros((3, 3))
        for (a, b), n in pairs.items():
            covariance[a, b] = covariance[b, a] = (count * s[n] - s[a] * s[b]) / (count * (count - 1))
        step = geometry.affine[:3, :3]
        eigenvalues = np.linalg.eigvalsh(step @ covariance @ step.T)[::-1]
        axes = tuple(float(4.0 * np.sqrt(max(v, 0.0))) for v in eigenvalues)
    return VoxelMeasurement(
        voxel_count=count,
        volume_mm3=count * geometry.voxel_size_mm3,
        centroid_mm=tuple(float(v) for v in centroid),
        principal_axes_mm=axes,
        first_slice=first_slice,
        slice_counts=tuple(int(n) for n in per_slice),
        mean_chords_voxels=tuple(count / int(n) for n in runs),
    )
