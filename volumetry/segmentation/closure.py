"""The cheapest star-shaped surface through a fan of rays, by a minimum-closure cut.

Li, Wu, Chen, Sonka: Optimal surface segmentation in volumetric images - a graph-theoretic
approach. IEEE TPAMI 2006;28:119-134.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

_SCALE = 1000.0  # costs become whole numbers for the flow
_INFINITE = 2**29


@lru_cache(maxsize=4)
def _arcs(edges_key: bytes, rays: int, steps: int, jump: int):
    """Rows and columns of the fixed arcs: down each ray, and to the neighbours (soft and hard)."""
    edges = np.frombuffer(edges_key, dtype=np.int64).reshape(-1, 2)
    number = np.arange(rays * steps).reshape(rays, steps)
    down = (number[:, 1:].ravel(), number[:, :-1].ravel())
    both = np.concatenate([edges, edges[:, ::-1]])
    level = (number[both[:, 0], 1:].ravel(), number[both[:, 1], 1:].ravel())
    hard = (number[both[:, 0], jump + 1 :].ravel(), number[both[:, 1], 1 : steps - jump].ravel())
    return down, level, hard


def cheapest_surface(cost: np.ndarray, edges: np.ndarray, *, jump: int, smoothness: float) -> np.ndarray:
    """Step index per ray that minimises ``sum cost[ray, step]`` plus ``smoothness`` for each step of
    difference between neighbours, which may never differ by more than ``jump`` steps.

    ``cost`` (rays, steps) finite, ``edges`` (e, 2) neighbour pairs. Returns int (rays,).
    """
    rays, steps = cost.shape
    jump = min(jump, steps - 1)
    weight = np.diff(cost, axis=1, prepend=cost[:, :1])
    whole = np.clip(np.rint(weight * _SCALE), -_INFINITE // 4, _INFINITE // 4).astype(np.int64)
    whole[:, 0] = 0
    down, level, hard = _arcs(np.ascontiguousarray(edges, dtype=np.int64).tobytes(), rays, steps, jump)
    source, sink = rays * steps, rays * steps + 1
    flat = whole.ravel()
    gain = np.flatnonzero(flat < 0)
    loss = np.flatnonzero(flat > 0)
    base = np.arange(rays) * steps  # the innermost step always belongs to the closure
    soft = round(smoothness * _SCALE)
    parts = [
        (*down, np.full(down[0].size, _INFINITE)),
        (*hard, np.full(hard[0].size, _INFINITE)),
        (np.full(gain.size, source), gain, -flat[gain]),
        (loss, np.full(loss.size, sink), flat[loss]),
        (np.full(rays, source), base, np.full(rays, _INFINITE)),
    ]
    if soft > 0:
        parts.append((*level, np.full(level[0].size, soft)))
    rows = np.concatenate([p[0] for p in parts])
    columns = np.concatenate([p[1] for p in parts])
    capacity = np.concatenate([p[2] for p in parts]).astype(np.int32)
    size = rays * steps + 2
    graph = csr_matrix((capacity, (rows, columns)), shape=(size, size))
    flow = maximum_flow(graph, source, sink).flow
    residual = graph - flow
    residual.data[residual.data < 0] = 0
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    inside = np.zeros(size, dtype=bool)
    inside[reached] = True
    return inside[: rays * steps].reshape(rays, steps).sum(axis=1) - 1
