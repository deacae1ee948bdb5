"""Volume and surface of the mesh at level 0.5, without building the mesh.

The marching-cubes surface of a binary mask is made of 256 possible patches, so counting how often
each 2x2x2 pattern occurs gives both exactly: volume = sum of inside fractions times the voxel size
(the determinant, so right on sheared grids), surface = sum of the patches' areas in millimetres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from volumetry.node_numbers import GridFacts, NodeNumbers


@dataclass(frozen=True, slots=True)
class MeshMeasurement:
    """Volume and surface of the 0.5 mesh and the shape numbers made of them (IBSI definitions)."""

    volume_mm3: float
    surface_mm2: float

    @property
    def surface_to_volume_per_mm(self) -> float:
        """Surface over volume; large for small or ragged nodes."""
        return self.surface_mm2 / self.volume_mm3

    @property
    def compactness_1(self) -> float:
        """V / (sqrt(pi) A^1.5)."""
        return self.volume_mm3 / (math.sqrt(math.pi) * self.surface_mm2**1.5)

    @property
    def compactness_2(self) -> float:
        """36 pi V^2 / A^3; 1 for a ball."""
        return 36 * math.pi * self.volume_mm3**2 / self.surface_mm2**3

    @property
    def sphericity(self) -> float:
        """(36 pi V^2)^(1/3) / A; 1 for a ball."""
        return self.compactness_2 ** (1 / 3)

    @property
    def asphericity(self) -> float:
        """(A^3 / (36 pi V^2))^(1/3) - 1; 0 for a ball."""
        return self.compactness_2 ** (-1 / 3) - 1


def measure_mesh(numbers: NodeNumbers, grid: GridFacts) -> MeshMeasurement:
    """Mesh of a node of at least one voxel from the counts of its 2x2x2 patterns."""
    return MeshMeasurement(
        volume_mm3=float(numbers.pattern_counts @ grid.fractions) * grid.voxel_size_mm3,
        surface_mm2=float(numbers.pattern_counts @ grid.pattern_areas_mm2),
    )
