"""Planes in the patient: putting them in order, and saying what is wrong with them.

Spacing always comes from positions, never from SliceThickness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.finding import Finding

# Two planes nearer than this are one plane.
SAME_PLANE_MM = 0.01
# A gap of this many steps is not a lost slice but another acquisition (a localizer, a second block).
SPLIT_STEPS = 10.0


# Between planes farther apart than this many usual (or smallest) steps nothing is interpolated.
WIDEST_LOST_STEPS = 3.5
WIDEST_UNEVEN_STEPS = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class StackLayout:
    """How planes stack up.

    ``order`` sorts them along the normal (row x column direction); ``offsets_mm`` are the sorted
    distances along it. ``step_mm`` is the vector from one voxel to the next along k (sheared for a
    tilted gantry); None where no regular grid can stand for the planes. ``source_index`` is set
    where the grid has to be interpolated: the (fractional) sorted plane behind each k of the grid.
    """

    order: np.ndarray
    offsets_mm: np.ndarray
    step_mm: np.ndarray | None
    findings: tuple[Finding, ...]
    source_index: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Slices of the grid."""
        return len(self.order) if self.source_index is None else len(self.source_index)


def normal_of(orientation: np.ndarray) -> np.ndarray:
    """Unit normal of (row cosines, column cosines); zero where they are parallel."""
    n = np.cross(orientation[:3], orientation[3:])
    length = np.linalg.norm(n)
    return n / length if length > 1e-6 else n * 0


def rounding_mm(values: np.ndarray) -> float:
    """How far printed positions may lie off an even line because of their last decimal (0.1 or 0.01 mm).

    Half a decimal for the plane itself and half for the two ends that the line is drawn through.
    """
    for quantum in (0.1, 0.01):
        scaled = values / quantum
        if np.abs(scaled - np.round(scaled)).max(initial=0) < 1e-4:
            return quantum * 1.05
    return 0.0


def split_by_gaps(offsets_mm: np.ndarray, thickness_mm: float | None) -> list[np.ndarray]:
    """Cut sorted plane offsets where a gap is no lost slice but a second acquisition.

    Returns index arrays into ``offsets_mm``. With only two planes the slice thickness is the only
    hint of the step; it is used for this decision and never as a spacing.
    """
    n = len(offsets_mm)
    if n < 2:
        return [np.arange(n)]
    steps = np.diff(offsets_mm)
    usual = float(np.median(steps[steps > SAME_PLANE_MM])) if (steps > SAME_PLANE_MM).any() else 0.0
    if n == 2 or (n == 3 and steps.max() > SPLIT_STEPS * steps.min()):
        usual = min(usual, thickness_mm) if thickness_mm and n == 2 else float(steps.min() if n == 3 else usual)
    if usual <= 0:
        return [np.arange(n)]
    cuts = np.flatnonzero(steps > SPLIT_STEPS * usual) + 1
    return list(np.split(np.arange(n), cuts))


def lay_out(positions_mm: np.ndarray, orientation: np.ndarray, instance_numbers: list[int | None] | None = None) -> StackLayout:
    """Order planes with one orientation by position and judge their spacing.

    ``positions_mm`` is (n, 3), the centre of each plane's first pixel. Findings: ``gantry_tilt``,
    ``missing_slice``, ``uneven_spacing``, ``reversed_order``.
    """
    normal = normal_of(orientation)
    along = positions_mm @ normal
    order = np.argsort(along, kind="stable")
    along, sorted_mm = along[order], positions_mm[order]
    n = len(order)
    findings: list[Finding] = []
    if instance_numbers is not None and n > 1 and all(v is not None for v in instance_numbers):
        numbers = np.array(instance_numbers, dtype=float)[order]
        if (np.diff(numbers) < 0).all():
            findings.append(Finding("reversed_order", "The slice numbers run against the positions; slices are sorted by position.", "info"))
    if n < 2 or along[-1] - along[0] < SAME_PLANE_MM:
        return StackLayout(order, along, None, tuple(findings))
    mean = float(along[-1] - along[0]) / (n - 1)
    slack = max(0.01 * mean, 0.02, rounding_mm(sorted_mm))
    # Positions may wander sideways only as a tilted gantry does: along one straight line.
    slope = (sorted_mm[-1] - sorted_mm[0]) / (along[-1] - along[0])
    wander = np.linalg.norm(sorted_mm - (sorted_mm[0] + np.outer(along - along[0], slope)), axis=1).max()
    if wander > max(slack, 0.1):
        findings.append(Finding("uneven_spacing", "The slices do not lie along one line; no volume can be made of them.", "serious"))
        return StackLayout(order, along, None, tuple(findings))
    sideways = slope - normal * float(slope @ normal)
    if np.linalg.norm(sideways) > 0.01:
        angle = float(np.degrees(np.arctan(np.linalg.norm(sideways))))
        findings.append(
            Finding(
                "gantry_tilt",
                f"The gantry was tilted by {angle:.1f} degrees: each slice is shifted {np.linalg.norm(sideways) * mean:.3f} mm against its neighbour. "
                f"Volumes use the true {mean:.4f} mm between planes.",
                "warning",
            )
        )
    if np.abs(along - (along[0] + np.arange(n) * mean)).max() <= slack:
        return StackLayout(order, along, slope * mean, tuple(findings))
    return _uneven(order, along, slope, slack, findings)


def _uneven(order: np.ndarray, along: np.ndarray, slope: np.ndarray, slack: float, findings: list[Finding]) -> StackLayout:
    """Layout of planes that are not evenly spaced: interpolated where the gaps are small, else none."""
    steps = np.diff(along)
    # The usual step is one that occurs: the mean of the two middle ones may be none of them.
    usual, smallest, widest = float(np.sort(steps)[(len(steps) - 1) // 2]), float(steps.min()), float(steps.max())
    ratio = steps / usual
    whole = np.round(ratio)
    lost = bool(((whole >= 1) & (np.abs(ratio - whole) <= max(0.05, slack / usual))).all() and (whole > 1).any())
    base = usual if lost else smallest
    if lost:
        number = int((whole - 1).sum())
        what = f"{number} slice{'s are' if number > 1 else ' is'} missing, the first {along[:-1][whole > 1][0] - along[0]:.2f} mm into the stack"
        usable = widest <= WIDEST_LOST_STEPS * usual
    else:
        what = f"Slices are between {smallest:.3f} and {widest:.3f} mm apart"
        usable = widest <= WIDEST_UNEVEN_STEPS * smallest
    code = "missing_slice" if lost else "uneven_spacing"
    if not usable:
        findings.append(Finding(code, f"{what}; no volume can be made across such gaps.", "serious"))
        return StackLayout(order, along, None, tuple(findings))
    count = int(np.round((along[-1] - along[0]) / base)) + 1
    grid = np.linspace(along[0], along[-1], count)
    source = np.interp(grid, along, np.arange(len(along)))
    # A grid plane that falls on a stored one takes it as it is.
    nearest = np.round(source)
    stored = np.abs(grid - along[nearest.astype(int)]) <= max(slack, 0.05 * base)
    source = np.where(stored, nearest, source)
    findings.append(Finding(code, f"{what}; the volume has a slice every {grid[1] - grid[0]:.3f} mm, interpolated where none was stored.", "serious"))
    return StackLayout(order, along, slope * float(grid[1] - grid[0]), tuple(findings), source)
