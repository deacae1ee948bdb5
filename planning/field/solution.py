"""The answer of the field solver as values."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from planning.kernels.conductivity import FIRST_NEEDLE_LABEL, METAL
from volumetry.geometry import ImageGeometry


@dataclass(frozen=True, slots=True, eq=False)
class PairResult:
    """One train: current from anode to cathode, the needles' potentials (V, in the plan's order)
    and how the solve went. ``e_v_per_cm`` is kept only on request."""

    anode: str
    cathode: str
    voltage_v: float
    current_a: float
    current_balance: float
    potentials_v: tuple[float, ...]
    iterations: int
    nonlinear_steps: int
    relative_residual: float
    field_change: float | None
    e_v_per_cm: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class SolverReport:
    """``shape`` is [i, j, k]; ``iterations`` are V-cycles in all; residual and balance are the
    worst pair's. ``preview``: a linear, coarse solve for dragging, never a result."""

    shape: tuple[int, int, int]
    spacing_mm: float
    iterations: int
    relative_residual: float
    nonlinear_steps: int
    current_balance: float
    seconds: float
    preview: bool = False

    def to_dict(self) -> dict:
        """As in the answer of ``nodus plan``."""
        return {"shape": list(self.shape), "spacing_mm": self.spacing_mm, "iterations": self.iterations,
                "relative_residual": self.relative_residual, "nonlinear_steps": self.nonlinear_steps,
                "current_balance": self.current_balance, "seconds": self.seconds, "preview": self.preview}


@dataclass(frozen=True, slots=True, eq=False)
class FieldSolution:
    """``e_max_v_per_cm``: float32 ``[k, j, i]`` maximum of |E| over the pairs. Needle voxels hold
    a fill value for interpolation (metal the largest neighbour, shaft the mean of its neighbours), and so do air
    voxels that touch tissue; air is 0 elsewhere. ``label`` says which they are and the row of the plan's tissue elsewhere;
    ``air_labels`` are the rows that do not conduct."""

    geometry: ImageGeometry
    e_max_v_per_cm: np.ndarray
    label: np.ndarray
    counted_mm: tuple[tuple[float, float, float], tuple[float, float, float]]
    pairs: tuple[PairResult, ...]
    report: SolverReport
    warnings: tuple[tuple[str, str], ...] = field(default=())
    air_labels: tuple[int, ...] = ()

    @property
    def is_air(self) -> np.ndarray:
        """True in what does not conduct: no tissue."""
        return np.isin(self.label, self.air_labels)

    @property
    def is_needle(self) -> np.ndarray:
        """True in metal and shaft."""
        return self.label >= FIRST_NEEDLE_LABEL

    @property
    def is_metal(self) -> np.ndarray:
        """True in exposed metal."""
        return self.label == METAL

    def shown_v_per_cm(self) -> np.ndarray:
        """The field for pictures: NaN in metal, shaft and air."""
        return np.where(self.is_needle | self.is_air, np.float32(np.nan), self.e_max_v_per_cm)
