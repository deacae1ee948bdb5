"""Slow twins of the kernels of perfusion curves and maps: plain NumPy, one pixel and one frame after the other."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares


def shape_slowly(kind, times, p):
    """Shape (0 to 1) of a model from its definition."""
    if kind == 2:
        return np.where(times > p[2], 1 - np.exp(-p[3] * np.maximum(times - p[2], 0)), 0.0)
    to_peak = p[3] / p[4]
    s = np.maximum(times - (p[2] - to_peak), 0)
    on = s > 1e-12 * to_peak
    r = np.where(on, s, to_peak) / to_peak
    f = np.exp(-(np.log(r) ** 2) / (2 * p[4] ** 2)) if kind == 0 else np.exp((np.log(r) + 1 - r) / p[4] ** 2)
    return np.where(on, f, 0.0)


def curve_slowly(kind, times, p):
    """Baseline and height on the shape."""
    return p[0] + p[1] * shape_slowly(kind, times, p)


def gradient_by_differences(kind, times, p, step=1e-6):
    """Central differences along the five numbers."""
    moves = np.eye(5) * step * np.maximum(np.abs(p), 1e-3)
    return np.stack([(curve_slowly(kind, times, p + m) - curve_slowly(kind, times, p - m)) / (2 * m.max()) for m in moves], axis=1)


def fit_slowly(kind, times, power, weight, p, low, high):
    """SciPy's bounded least squares from the same start; parameters of equal bounds stay."""
    free = low < high
    root = np.sqrt(weight)

    def rest(q):
        full = p.copy()
        full[free] = q
        return root * (curve_slowly(kind, times, full) - power)

    inside = np.clip(p[free], low[free] + 1e-9, high[free] - 1e-9)
    found = least_squares(rest, inside, bounds=(low[free], high[free]), x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=500)
    full = p.copy()
    full[free] = found.x
    return 2 * found.cost, full


def place_slowly(motion, frame, x, y, shape):
    """Where a reference pixel lies in a frame: matrix, then the field at the reference pixel, bilinear, corner to corner."""
    u, v = motion.matrices[frame] @ np.array([x, y, 1.0])
    if motion.field is not None:
        grid = motion.field[frame].astype(float)
        a, b = x * (grid.shape[1] - 1) / (shape[1] - 1), y * (grid.shape[0] - 1) / (shape[0] - 1)
        u, v = np.array([u, v]) + between_pixels(grid, a, b)
    return u, v


def between_pixels(grid, u, v):
    """Bilinear value of ``grid[row, column]`` (or of vectors) at column ``u``, row ``v``."""
    i, j = min(int(u), grid.shape[1] - 2), min(int(v), grid.shape[0] - 2)
    fu, fv = u - i, v - j
    return (grid[j, i] * (1 - fu) + grid[j, i + 1] * fu) * (1 - fv) + (grid[j + 1, i] * (1 - fu) + grid[j + 1, i + 1] * fu) * fv


def power_at(loop, motion, frame, x, y):
    """Power at a reference pixel in a frame, or None where it is not seen or under a drawn mark."""
    u, v = place_slowly(motion, frame, x, y, loop.shape)
    if not (0 <= u <= loop.shape[1] - 1 and 0 <= v <= loop.shape[0] - 1):
        return None
    i, j = int(u), int(v)
    around = (slice(j, j + 2), slice(i, i + 2))
    if loop.drawn is not None and loop.drawn[around].any():
        return None
    power = 10 ** (loop.levels[frame].astype(float) * loop.range_db / 2550)
    return between_pixels(power, u, v)


def region_slowly(loop, motion, mask, frames):
    """(count, mean power, spread) of a region in each frame."""
    rows = []
    for frame in frames:
        values = [p for y, x in zip(*np.nonzero(mask), strict=True) if (p := power_at(loop, motion, frame, x, y)) is not None]
        rows.append((len(values), np.mean(values), np.std(values)))
    return np.array(rows).T


def binned_slowly(loop, motion, mask, frames, bins, taps):
    """Mean power of each time bin in each pixel of ``mask``, smoothed over what is in the mask and was seen: [bin, row, column]."""
    total = np.zeros((bins.max() + 1, *mask.shape))
    count = np.zeros_like(total)
    for frame, b in zip(frames, bins, strict=True):
        for y, x in zip(*np.nonzero(mask), strict=True):
            power = power_at(loop, motion, frame, x, y)
            if power is not None:
                total[b, y, x] += power
                count[b, y, x] += 1
    half = taps.size // 2
    smooth = []
    for array in (total, count):
        padded = np.pad(array, ((0, 0), (half, half), (half, half)))
        smooth.append(sum(
            taps[half + dy] * taps[half + dx] * padded[:, half + dy : half + dy + mask.shape[0], half + dx : half + dx + mask.shape[1]]
            for dy in range(-half, half + 1) for dx in range(-half, half + 1)
        ))  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(smooth[1] > 1e-3, smooth[0] / smooth[1], np.nan)


def block_medians_slowly(levels, frames, matrices, drawn, step, blocks):
    """Median level of each block of the reference frame's pane where it lies in each frame; NaN where half of it is not seen, or at an end of the display."""
    rows, columns = levels.shape[1:]
    out = np.full((len(frames), blocks[0] * blocks[1]), np.nan)
    y, x = (a.ravel() for a in np.mgrid[step // 2 : rows : step, step // 2 : columns : step])
    block = (y * blocks[0] // rows) * blocks[1] + x * blocks[1] // columns
    for n, k in enumerate(frames):
        u, v = matrices[k] @ np.stack([x, y, np.ones(x.size)])
        inside = (u >= 0) & (v >= 0) & (u <= columns - 1) & (v <= rows - 1)
        i, j = (u + 0.5).astype(int), (v + 0.5).astype(int)
        seen = inside.copy()
        seen[inside] &= ~drawn[j[inside], i[inside]]
        for b in range(out.shape[1]):
            values = np.sort(levels[k, j[seen & (block == b)], i[seen & (block == b)]].astype(int))
            if values.size == 0 or 2 * values.size < (block == b).sum():
                continue
            middle = values[(values.size + 1) // 2 - 1]
            below, here = (values < middle).sum(), (values == middle).sum()
            if 0 < middle < 255:
                out[n, b] = middle - 0.5 + (0.5 * values.size - below) / here
    return out
