"""Slow twins of the optimiser's quick model: line sources summed piece by piece, and plain searches."""

from __future__ import annotations

import numpy as np

PIECES = 4000


def pieces(tip, direction, length, count: int = PIECES) -> np.ndarray:
    """Midpoints of equal pieces of a line."""
    return np.asarray(tip) + ((np.arange(count) + 0.5) / count * length)[:, None] * np.asarray(direction)


def line_field(points, tip, direction, length) -> np.ndarray:
    """(m, 3) field of an even line source in units of I / (4 pi sigma), by summing point sources over ``points (m, 3)``."""
    along = pieces(tip, direction, length)
    away = points[:, None] - along
    return (away / np.linalg.norm(away, axis=2, keepdims=True) ** 3).mean(1)


def mean_potential(la, lb, shift, distance) -> float:
    """Mean of 1/r over two parallel lines by the midpoint rule on both."""
    a, b = ((np.arange(1500) + 0.5) / 1500 * length for length in (la, lb))
    return float((1 / np.sqrt((b[None] + shift - a[:, None]) ** 2 + distance**2)).mean())


def path_gap(points, tip, direction, reach) -> float:
    """Smallest distance of ``points (m, 3)`` to finely stepped points of the axis."""
    along = np.asarray(tip) + np.arange(0.0, reach + 0.005, 0.01)[:, None] * np.asarray(direction)
    return float(min(np.linalg.norm(along - p, axis=1).min() for p in points))


def least_voltages(unit, cap, least, goal, order) -> np.ndarray:
    """Two rounds of lowering one pair after the other as far as cover allows."""
    volts = cap.copy()
    asked = (volts[:, None] * unit).max(0) >= goal
    for _ in range(2):
        for p in order:
            if volts[p] <= 0:
                continue
            others = np.delete(volts[:, None] * unit, p, axis=0).max(0, initial=0.0)
            left = asked & (others < goal)
            volts[p] = max((goal / unit[p, left]).max(), least) if left.any() else 0.0
            volts[p] = min(volts[p], cap[p])
    return volts
