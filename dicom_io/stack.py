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


@dataclass(frozen=True, slots=True, eq=False)
class StackLayout:
    """How planes stack up.

    ``order`` sorts them along the normal (row x column direction); ``step_mm`` is the vector from
    one voxel to the next along k (sheared for a tilted gantry); None where planes are not evenly
    spaced, then ``uneven`` says how. ``offsets_mm`` are the sorted distances along the normal.
    """

    order: np.ndarray
    offsets_mm: np.ndarray
    step_mm: np.ndarray | None
    findings: tuple[Finding, ...]


def normal_of(orientation: np.ndarray) -> np.ndarray:
    """Unit normal of (row cosines, column cosines); zero where they are parallel."""
    n = np.cross(orientation[:3], orientation[3:])
    length = np.linalg.norm(n)
    return n / length if length > 1e-6 else n * 0


def rounding_mm(values: np.ndarray) -> float:
    """How coarsely positions were printed: half of the last decimal where all share one of 0.1 or 0.01 mm."""
    for quantum in (0.1, 0.01):
        scaled = values / quantum
        if np.abs(scaled - np.round(scaled)).max(initial=0) < 1e-4:
            return quantum * 0.55
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
    if n < 2:
        return StackLayout(order, along, None, tuple(findings))
    steps = np.diff(along)
    step = sorted_mm[-1] - sorted_mm[0]
    step = step / (n - 1)
    mean = float(along[-1] - along[0]) / (n - 1)
    fitted = sorted_mm[0] + np.arange(n)[:, None] * step
    slack = max(0.01 * mean, 0.02, rounding_mm(sorted_mm))
    even = bool(np.abs(along - (along[0] + np.arange(n) * mean)).max() <= slack)
    # Positions may wander sideways only as a tilted gantry does: along one straight line.
    straight = bool(np.linalg.norm(sorted_mm - fitted, axis=1).max() <= max(slack, 0.1)) if even else True
    if not straight:
        findings.append(Finding("uneven_spacing", "The slices do not lie along one line; no volume can be made of them.", "serious"))
        return StackLayout(order, along, None, tuple(findings))
    if not even:
        usual = float(np.median(steps))
        ratio = steps / usual
        near = np.abs(ratio - np.round(ratio)) <= np.maximum(0.05, slack / usual) * 1.0
        if (near & (np.round(ratio) >= 1)).all():
            lost = int(np.round(ratio - 1).sum())
            where = along[:-1][np.round(ratio) > 1]
            findings.append(
                Finding("missing_slice", f"{lost} slice(s) are missing, the first after {where[0]:.2f} mm along the stack.", "serious")
            )
        else:
            findings.append(
                Finding("uneven_spacing", f"Slices are between {steps.min():.3f} and {steps.max():.3f} mm apart; the spacing is not one number.", "serious")
            )
        return StackLayout(order, along, None, tuple(findings))
    sideways = step - normal * float(step @ normal)
    if np.linalg.norm(sideways) > 0.01 * mean:
        angle = float(np.degrees(np.arctan2(np.linalg.norm(sideways), mean)))
        findings.append(
            Finding(
                "gantry_tilt",
                f"The gantry was tilted: each slice is shifted {np.linalg.norm(sideways):.3f} mm against its neighbour ({angle:.1f} degrees). Volumes use the true {mean:.4f} mm between planes.",
                "warning",
            )
        )
    return StackLayout(order, along, step, tuple(findings))
