"""Slow twins of the heat kernels, in NumPy and double precision."""

from __future__ import annotations

import numpy as np

AXES = ((2, 0), (1, 1), (0, 2))  # array axis of x, y, z; which of the weights


def neighbours(y, weights):
    """``(weight, neighbour)`` of the six faces of every inner cell."""
    inner = (slice(1, -1),) * 3
    for axis, n in AXES:
        low, high = list(inner), list(inner)
        low[axis], high[axis] = slice(0, -2), slice(2, None)
        yield weights[n][inner], y[tuple(low)]
        yield weights[n][tuple(high)], y[tuple(high)]


def rate(y, wx, wy, wz, b, r, g):
    """``r (sum w (neighbour - y) - b y) + g`` with a ghost layer of zeros."""
    c = (slice(1, -1),) * 3
    y = y.astype(float)
    total = -b[c] * y[c]
    for w, other in neighbours(y, (wx, wy, wz)):
        total = total + w * (other - y[c])
    out = np.zeros(y.shape)
    out[c] = r[c] * total + g[c]
    return out


def joule(u, wx, wy, wz):
    """Half of weight times squared difference over the six faces."""
    out = np.zeros(u.shape)
    c = (slice(1, -1),) * 3
    for w, other in neighbours(u, (wx, wy, wz)):
        out[c] += 0.5 * w * (other - u[c]) ** 2
    return out


def dose(before, after, seconds, tables, per_k, pieces=400):
    """Time integral of each rate table while the temperature goes in a straight line, by many midpoints."""
    out = np.zeros((len(tables), *before.shape))
    at = np.arange(tables.shape[1]) / per_k
    for n in range(pieces):
        t = before + (n + 0.5) / pieces * (after.astype(float) - before)
        for m, table in enumerate(tables):
            out[m] += np.interp(t, at, table) * seconds / pieces
    return out
