"""Slow NumPy and SciPy twins of the planning kernels, written from the definitions."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from planning.kernels import conductivity as kc


def assemble(wx, wy, wz, cells, weights) -> sparse.csr_matrix:
    """The operator as a sparse matrix over all padded cells (ghosts have empty rows)."""
    shape = wx.shape
    index = np.arange(wx.size).reshape(shape)
    rows, cols, vals = [], [], []
    for axis, w in ((2, wx), (1, wy), (0, wz)):
        upper = [slice(1, -1)] * 3
        lower = [slice(1, -1)] * 3
        lower[axis] = slice(0, -2)
        a, b, v = index[tuple(upper)].ravel(), index[tuple(lower)].ravel(), w[tuple(upper)].ravel().astype(float)
        for r, c, s in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
            rows.append(r)
            cols.append(c)
            vals.append(s * v)
    rows.append(cells)
    cols.append(cells)
    vals.append(weights.astype(float))
    return sparse.coo_matrix((np.concatenate(vals), (np.concatenate(rows), np.concatenate(cols))), shape=(wx.size, wx.size)).tocsr()


def solve_directly(wx, wy, wz, cells, weights, potentials) -> np.ndarray:
    """Potential by a sparse direct solver; 0 where no unknown is."""
    a = assemble(wx, wy, wz, cells, weights)
    b = np.zeros(wx.size)
    np.add.at(b, cells, weights.astype(float) * potentials)
    active = np.flatnonzero(a.diagonal() > 0)
    u = np.zeros(wx.size)
    u[active] = spsolve(a[active][:, active].tocsc(), b[active])
    return u.reshape(wx.shape)


def residual(u, wx, wy, wz) -> np.ndarray:
    """-sum w (u_i - u_j) on inner cells."""
    c = u[1:-1, 1:-1, 1:-1]
    r = np.zeros_like(c)
    for axis, w in ((2, wx), (1, wy), (0, wz)):
        for step in (0, 1):
            face = [slice(1, -1)] * 3
            face[axis] = slice(1 + step, w.shape[axis] - 1 + step)
            other = [slice(1, -1)] * 3
            other[axis] = slice(2 * step, u.shape[axis] - 2 + 2 * step)
            r += w[tuple(face)] * (u[tuple(other)] - c)
    return r


def half_sweep(u, f, di, wx, wy, wz, colour) -> np.ndarray:
    """One colour of Gauss-Seidel by loops."""
    u = u.copy()
    nk, nj, ni = (n - 2 for n in u.shape)
    for k in range(1, nk + 1):
        for j in range(1, nj + 1):
            for i in range(1, ni + 1):
                if (k + j + i + colour) % 2 == 0:
                    u[k, j, i] = di[k, j, i] * (f[k, j, i] + wx[k, j, i] * u[k, j, i - 1] + wx[k, j, i + 1] * u[k, j, i + 1]
                                                + wy[k, j, i] * u[k, j - 1, i] + wy[k, j + 1, i] * u[k, j + 1, i]
                                                + wz[k, j, i] * u[k - 1, j, i] + wz[k + 1, j, i] * u[k + 1, j, i])
    return u


def restricted_residual(u, f, di, wx, wy, wz) -> np.ndarray:
    """Sum of ``f - A u`` over each block of 2 x 2 x 2 cells, padded; 0 from cells without unknown."""
    r = np.zeros(u.shape)
    r[1:-1, 1:-1, 1:-1] = residual(u, wx, wy, wz)
    r = np.where(di > 0, f + r, 0.0)
    out = np.zeros(tuple((n - 1) // 2 + 2 for n in u.shape))
    for k, j, i in np.ndindex(*(n - 2 for n in u.shape)):
        out[k // 2 + 1, j // 2 + 1, i // 2 + 1] += r[k + 1, j + 1, i + 1]
    return out


def prolonged(coarse, padded) -> np.ndarray:
    """Each coarse value in every cell of its block."""
    out = np.zeros(padded)
    for k, j, i in np.ndindex(*(n - 2 for n in padded)):
        out[k + 1, j + 1, i + 1] = coarse[k // 2 + 1, j // 2 + 1, i // 2 + 1]
    return out


def harmonic_weights(sigma) -> list[np.ndarray]:
    """Harmonic face means ``[wx, wy, wz]`` of a padded conductivity (ghosts 0)."""
    out = []
    for axis in (2, 1, 0):
        w = np.zeros_like(sigma)
        a = [slice(1, -1)] * 3
        b = [slice(1, -1)] * 3
        b[axis] = slice(0, -2)
        s, t = sigma[tuple(a)].astype(float), sigma[tuple(b)].astype(float)
        w[tuple(a)] = np.where(s * t > 0, 2 * s * t / np.maximum(s + t, 1e-30), 0.0)
        out.append(w)
    return out


def line_source_factor(face, axis, centres, needle, h, samples=64) -> float:
    """Flux of grad ln r through a face over h (ln r_j - ln r_i), by a fine midpoint rule."""
    tip, t = np.asarray(needle[:3]), np.asarray(needle[3:6])
    steps = ((np.arange(samples) + 0.5) / samples - 0.5) * h
    a, b = np.meshgrid(steps, steps)
    p = np.broadcast_to(np.asarray(face, float), (samples, samples, 3)).copy()
    p[..., (axis + 1) % 3] += a
    p[..., (axis + 2) % 3] += b
    d = p - tip
    radial = d - (d @ t)[..., None] * t
    flux = (radial[..., axis] / (radial**2).sum(-1)).mean() * h * h

    def ln_r(q):
        d = np.asarray(q) - tip
        return np.log(np.linalg.norm(d - (d @ t) * t))

    return flux / (h * (ln_r(centres[1]) - ln_r(centres[0])))


def trilinear(e, k, j, i) -> np.ndarray:
    """Values at the 4 x 4 x 4 sub-points of a voxel."""
    steps = (np.arange(4) + 0.5) / 4 - 0.5
    out = np.empty((4, 4, 4))
    for a, fk in enumerate(steps):
        for b, fj in enumerate(steps):
            for c, fi in enumerate(steps):
                v = 0.0
                for dk, dj, di in np.ndindex(2, 2, 2):
                    n = [int(np.floor(x)) + d for x, d in ((k + fk, dk), (j + fj, dj), (i + fi, di))]
                    w = np.prod([1 - abs(x - m) for x, m in ((k + fk, n[0]), (j + fj, n[1]), (i + fi, n[2]))])
                    n = [min(max(m, 0), s - 1) for m, s in zip(n, e.shape, strict=True)]
                    v += w * e[tuple(n)]
                out[a, b, c] = v
    return out


def picard(solver_factory, values, law, steps, damping) -> tuple[list[np.ndarray], list[float]]:
    """Fields and currents of the plain fixed point on conductivity: solve with sigma, take the new
    sigma of the field (damped), repeat. ``solver_factory`` gives
    ``(solve(sigma) -> (|E| array, current))`` and the first sigma."""
    solve, sigma = solver_factory()
    fields, currents = [], []
    for _ in range(steps):
        e, current = solve(sigma)
        fields.append(e.copy())
        currents.append(current)
        sigma = (1 - damping) * sigma + damping * law(e)
    return fields, currents


def nearest_by_search(level_function, spacing: float, point, reach: float) -> float:
    """Distance of a point to the zero of a function by sampling rays in all directions."""
    rng = np.random.default_rng(0)
    rays = rng.normal(size=(4000, 3))
    rays /= np.linalg.norm(rays, axis=1)[:, None]
    steps = np.arange(0, reach, spacing / 20)
    values = level_function(np.asarray(point) + rays[:, None, :] * steps[:, None])
    crossed = np.sign(values[:, 1:]) != np.sign(values[:, :1])
    first = np.where(crossed.any(1), crossed.argmax(1), steps.size - 1)
    return float(steps[first].min())


def central_slopes(u, scale) -> np.ndarray:
    """(3, k, j, i) differences over two cells along x, y, z, in V/cm."""
    c = slice(1, -1)
    return scale * np.stack([u[c, c, 2:] - u[c, c, :-2], u[c, 2:, c] - u[c, :-2, c], u[2:, c, c] - u[:-2, c, c]])


def curvature(u, p, law, scale) -> float:
    """Sum of sigma'/E (grad u . grad p)^2 in weight x volt^2, E in V/cm, law a Conductivity."""
    gu, gp = central_slopes(u, scale), central_slopes(p, scale)
    e = np.sqrt((gu**2).sum(0))
    slope = (law.at(e + 1e-3) - law.at(e - 1e-3)) / 2e-3
    # (grad u . grad p) / E per mm^2 is gu.gp / (100) in (V/mm)^2; times h^3 / h and 10 / 10 of sigma'
    h = 5.0 / scale
    dot = (gu * gp).sum(0) / 100.0
    return float((10.0 * slope / (e / 10.0) * dot**2).sum() * h**2)


def merge_interfaces(label: np.ndarray, law: np.ndarray, cells: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Special cells with those at tissue interfaces added.

    Flux is continuous across an interface, slope is not: the slope on the own side of a face is
    ``2 sigma_other / (sigma_own + sigma_other)`` of the mean slope.
    """
    if len(law) < 2 or label[1:-1, 1:-1, 1:-1].max(initial=0) == 0:
        return cells, factors
    inner = (slice(1, -1),) * 3
    own = label[inner]
    tissue = own < kc.FIRST_NEEDLE_LABEL
    touched = np.zeros(own.shape, bool)
    for axis in range(3):
        for step in (-1, 1):
            view = tuple(slice(1 + step, label.shape[a] - 1 + step) if a == axis else slice(1, -1) for a in range(3))
            other = label[view]
            touched |= tissue & (other < kc.FIRST_NEEDLE_LABEL) & (other != own)
    found = np.ravel_multi_index(tuple(n + 1 for n in np.nonzero(touched)), label.shape).astype(np.int64)
    new = np.setdiff1d(found, cells)
    cells = np.concatenate([cells, new])
    factors = np.concatenate([factors, np.ones((new.size, 6), np.float32)])
    order = np.argsort(cells, kind="stable")
    rows = order[np.searchsorted(cells[order], found)]
    flat = label.reshape(-1)
    strides = (1, label.shape[2], label.shape[1] * label.shape[2])
    resting = law[:, 1]
    factors = factors.copy()
    c = cells[rows]
    s_own = resting[flat[c]]
    for n in range(6):
        o = c + strides[n // 2] * (1 if n % 2 else -1)
        different = (flat[o] < kc.FIRST_NEEDLE_LABEL) & (flat[o] != flat[c])
        s_other = resting[np.where(different, flat[o], 0)]
        ratio = np.where(different, 2 * s_other / np.maximum(s_own + s_other, 1e-30), 1.0)
        factors[rows, n] *= ratio.astype(np.float32)
    # a wall of the box closes the face behind it
    nk, nj, ni = (m - 2 for m in label.shape)
    k, j, i = np.unravel_index(new, label.shape)
    for n, at_wall in enumerate((i == 1, i == ni, j == 1, j == nj, k == 1, k == nk)):
        factors[cells.size - new.size + np.flatnonzero(at_wall), n] = 0.0
    return np.ascontiguousarray(cells), np.ascontiguousarray(factors, dtype=np.float32)
