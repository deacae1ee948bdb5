"""What can be said by counting voxels: volume, centre, principal axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from volumetry.node_numbers import GridFacts, NodeNumbers


@dataclass(frozen=True, slots=True)
class VoxelMeasurement:
    """Counts and moments of a node's voxel centres, in patient space.

    ``principal_axes_mm`` (major, minor, least) are 4 times the root of the covariance's
    eigenvalues, the covariance divided by N - 1 as the Image Biomarker Standardisation Initiative
    does (arXiv 1612.07003, "major axis length"); None for a single voxel. ``slice_counts`` are the
    voxels of slices ``first_slice``, ``first_slice + 1``...
    """

    voxel_count: int
    volume_mm3: float
    centroid_mm: tuple[float, float, float]
    principal_axes_mm: tuple[float, float, float] | None
    first_slice: int
    slice_counts: tuple[int, ...]

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


def measure_voxels(numbers: NodeNumbers, grid: GridFacts) -> VoxelMeasurement:
    """Volume, centre and axes of a node of at least one voxel from its counts and sums."""
    count, sums = numbers.count, numbers.sums
    centroid = grid.geometry.index_to_world([s / count for s in sums[:3]])
    axes = None
    if count > 1:
        pairs = {(0, 0): 3, (1, 1): 4, (2, 2): 5, (0, 1): 6, (0, 2): 7, (1, 2): 8}
        covariance = np.zeros((3, 3))
        for (a, b), n in pairs.items():
            # Python's whole numbers of any size: no cancellation before the division
            covariance[a, b] = covariance[b, a] = (count * sums[n] - sums[a] * sums[b]) / (count * (count - 1))
        eigenvalues = np.linalg.eigvalsh(grid.step @ covariance @ grid.step.T)[::-1]
        axes = tuple(4.0 * math.sqrt(max(v, 0.0)) for v in eigenvalues.tolist())
    return VoxelMeasurement(
        voxel_count=count,
        volume_mm3=count * grid.voxel_size_mm3,
        centroid_mm=tuple(centroid.tolist()),
        principal_axes_mm=axes,
        first_slice=numbers.box[0],
        slice_counts=numbers.slice_counts,
    )
