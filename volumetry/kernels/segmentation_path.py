"""The cheapest closed path through a polar picture."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def closed_path(cost, jump, slope_cost):
    """Step index per angle that minimises the sum of ``cost[angle, step]`` plus ``slope_cost`` for each
    step of difference between neighbouring angles (at most ``jump``), the last angle being the
    first one's neighbour. Exact: every first step is tried. Returns (path, total).
    """
    angles, steps = cost.shape
    best_total = np.inf
    best_path = np.zeros(angles, dtype=np.int64)
    value = np.empty((angles, steps))
    origin = np.zeros((angles, steps), dtype=np.int64)
    for start in range(steps):
        value[0, :] = np.inf
        value[0, start] = cost[0, start]
        for a in range(1, angles):
            # a path that must come back to the start cannot stray farther than the turns left allow
            reach = jump * min(a, angles - a)
            low = max(0, start - reach)
            high = min(steps - 1, start + reach)
            value[a, :] = np.inf
            for s in range(low, high + 1):
                found = np.inf
                where = s
                for d in range(max(0, s - jump), min(steps - 1, s + jump) + 1):
                    v = value[a - 1, d] + slope_cost * abs(s - d)
                    if v < found:
                        found = v
                        where = d
                value[a, s] = found + cost[a, s]
                origin[a, s] = where
        for s in range(max(0, start - jump), min(steps - 1, start + jump) + 1):
            total = value[angles - 1, s] + slope_cost * abs(s - start)
            if total < best_total:
                best_total = total
                step = s
                for a in range(angles - 1, -1, -1):
                    best_path[a] = step
                    step = origin[a, step]
    return best_path, best_total
