"""One V(2,2) cycle as a preconditioner: piecewise-constant transfer, red-black Gauss-Seidel."""

from __future__ import annotations

import numpy as np

from planning.kernels import multigrid as km
from planning.kernels import smoother

COARSEST_SIDE = 4


class _Level:
    """Arrays of one coarse level; ``u`` and ``f`` are its unknown and right-hand side."""

    __slots__ = ("di", "f", "g", "u", "wx", "wy", "wz")

    def __init__(self, shape: tuple[int, int, int]):
        for name in self.__slots__:
            setattr(self, name, np.zeros(tuple(n + 2 for n in shape), np.float32))


class Hierarchy:
    """Coarse levels under a fine operator, rebuilt whenever its weights change.

    ``precondition(r, z)`` writes ``z = M^-1 r`` with M symmetric positive definite, so it serves
    conjugate gradients. All arrays are allocated once.
    """

    def __init__(self, shape: tuple[int, int, int]):
        self.fine_shape = tuple(shape)
        self.levels: list[_Level] = []
        side = tuple(shape)
        while max(side) > COARSEST_SIDE:
            side = tuple((n + 1) // 2 for n in side)
            self.levels.append(_Level(side))
        self._fine = None
        self._factor = None

    def rebuild(self, wx, wy, wz, di, cells, weights) -> None:
        """Take the fine weights (kept by reference), write ``di`` (inverse diagonal with the
        couplings ``weights`` of flat padded ``cells``) and coarsen them."""
        km.inverse_diagonal(wx, wy, wz, di)
        km.add_sparse_diagonal(di, cells, weights)
        self._fine = (wx, wy, wz, di)
        above = None
        for n, level in enumerate(self.levels):
            if n == 0:
                km.coarsen_weights(wx, wy, wz, level.wx, level.wy, level.wz)
                km.coarsen_sparse_coupling(cells, weights, wx.shape[1], wx.shape[2], level.g)
            else:
                km.coarsen_weights(above.wx, above.wy, above.wz, level.wx, level.wy, level.wz)
                km.coarsen_coupling(above.g, level.g)
            km.inverse_diagonal(level.wx, level.wy, level.wz, level.di)
            km.add_dense_diagonal(level.di, level.g)
            above = level
        last = (above.di, above.wx, above.wy, above.wz) if above else (di, wx, wy, wz)
        self._factor = km.factor_coarsest(*last)

    def precondition(self, r: np.ndarray, z: np.ndarray) -> None:
        """``z = M^-1 r``, one V(2,2) cycle from zero."""
        wx, wy, wz, di = self._fine
        self._cycle(0, z, r, di, wx, wy, wz)

    def _cycle(self, depth, u, f, di, wx, wy, wz) -> None:
        if depth == len(self.levels):
            km.solve_coarsest(self._factor, f, di, u)
            return
        c = self.levels[depth]
        smoother.smooth_down(u, f, di, wx, wy, wz, c.f)
        self._cycle(depth + 1, c.u, c.f, c.di, c.wx, c.wy, c.wz)
        smoother.smooth_up(u, f, di, wx, wy, wz, c.u)
