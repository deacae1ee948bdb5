"""Frames of a synthetic contrast loop: speckle of given mean power, moved, log-compressed."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def bilinear(grid, y: float, x: float) -> float:
    """``grid[row, column]`` at a point between pixel centres; beyond the edge as at the edge."""
    y = min(max(y, 0.0), grid.shape[0] - 1.0)
    x = min(max(x, 0.0), grid.shape[1] - 1.0)
    r, c = min(int(y), grid.shape[0] - 2), min(int(x), grid.shape[1] - 2)
    v, u = y - r, x - c
    return (grid[r, c] * (1 - u) + grid[r, c + 1] * u) * (1 - v) + (grid[r + 1, c] * (1 - u) + grid[r + 1, c + 1] * u) * v


@njit(cache=True, nogil=True)
def _catmull(t: float):
    return (
        0.5 * t * (-1 + t * (2 - t)),
        0.5 * (2 + t * t * (-5 + 3 * t)),
        0.5 * t * (1 + t * (4 - 3 * t)),
        0.5 * t * t * (t - 1),
    )


@njit(cache=True, nogil=True)
def cubic_pair(pair, y: float, x: float):
    """Both parts of ``pair[2, row, column]`` at a point, by Catmull-Rom splines; the point is kept off the edge."""
    y = min(max(y, 1.0), pair.shape[1] - 2.001)
    x = min(max(x, 1.0), pair.shape[2] - 2.001)
    r, c = int(y), int(x)
    wy, wx = _catmull(y - r), _catmull(x - c)
    real, imaginary = 0.0, 0.0
    for j in range(4):
        row_re, row_im = 0.0, 0.0
        for i in range(4):
            row_re += wx[i] * pair[0, r - 1 + j, c - 1 + i]
            row_im += wx[i] * pair[1, r - 1 + j, c - 1 + i]
        real += wy[j] * row_re
        imaginary += wy[j] * row_im
    return real, imaginary


@njit(cache=True, nogil=True)
def smooth(source, taps_y, taps_x, work, out) -> None:
    """Separable filter of ``source[row, column]``; the edges join (left to right, top to bottom)."""
    rows, columns = source.shape
    hy, hx = taps_y.size // 2, taps_x.size // 2
    line = np.empty(columns + 2 * hx, dtype=np.float32)
    for r in range(rows):
        line[hx : hx + columns] = source[r]
        for k in range(hx):
            line[k] = source[r, (k - hx) % columns]
            line[hx + columns + k] = source[r, k % columns]
        for c in range(columns):
            work[r, c] = 0.0
        for k in range(taps_x.size):
            w = taps_x[k]
            for c in range(columns):
                work[r, c] += w * line[c + k]
    for r in range(rows):
        for c in range(columns):
            out[r, c] = 0.0
        for k in range(taps_y.size):
            w = taps_y[k]
            from_row = (r + k - hy) % rows
            for c in range(columns):
                out[r, c] += w * work[from_row, c]


@njit(cache=True, nogil=True)
def to_level(power: float, range_db: float) -> int:
    """Display level of an echo power: 0 at power 1, 255 at ``range_db`` above it, cut off beyond."""
    if power <= 1.0:
        return 0
    level = 2550.0 / range_db * math.log10(power)
    return 255 if level >= 255.0 else int(level + 0.5)


@njit(cache=True, nogil=True)
def paint_contrast_frame(
    noise, taps_y, taps_x, blur, inverse, field, power, leak, tissue, fine, oversample, margin, floor, tissue_noise, ranges_db, contrast, bmode
) -> None:
    """Paint one frame of both panes.

    ``noise`` float32 ``[2, row, column]``: white noise of this frame, used up. ``inverse`` ``[2, 3]`` and ``field``
    ``[gr, gc, 2]`` (x, y; size 0 for none): a pixel of the frame shows the point p with ``M p + field(p)`` on it,
    ``inverse`` being that of M. ``power``, ``leak``, ``tissue``: mean echo power of contrast, of what tissue leaks
    into the contrast pane, and of B-mode, in the reference section. ``fine`` float32 ``[2, ., .]``: the tissue's own
    speckle, ``oversample`` samples a pixel and ``margin`` pixels around. ``floor`` and ``tissue_noise``: power of the
    receiver's noise in either pane. ``blur``: the point spread acts on the strength of the scatterers too.
    """
    rows, columns = contrast.shape
    work = np.empty((rows, columns), dtype=np.float32)
    speckle = np.empty((2, rows, columns), dtype=np.float32)
    at = np.empty((2, rows, columns), dtype=np.float32)
    moved = field.shape[0] > 1
    for r in range(rows):
        for c in range(columns):
            x, y = float(c), float(r)
            px = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
            py = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
            if moved:
                for _ in range(6):
                    gy, gx = py / (rows - 1) * (field.shape[0] - 1), px / (columns - 1) * (field.shape[1] - 1)
                    u, v = x - bilinear(field[:, :, 0], gy, gx), y - bilinear(field[:, :, 1], gy, gx)
                    px = inverse[0, 0] * u + inverse[0, 1] * v + inverse[0, 2]
                    py = inverse[1, 0] * u + inverse[1, 1] * v + inverse[1, 2]
            at[0, r, c], at[1, r, c] = py, px
            if blur:
                strength = math.sqrt(bilinear(power, py, px) + floor)
                noise[0, r, c] *= strength
                noise[1, r, c] *= strength
    for k in range(2):
        smooth(noise[k], taps_y, taps_x, work, speckle[k])
    half = rows // 2
    own = math.sqrt(tissue_noise)
    for r in range(rows):
        other = (r + half) % rows
        for c in range(columns):
            py, px = at[0, r, c], at[1, r, c]
            real, imaginary = cubic_pair(fine, (py + margin) * oversample, (px + margin) * oversample)
            through = math.sqrt(bilinear(leak, py, px))
            strength = 1.0 if blur else math.sqrt(bilinear(power, py, px) + floor)
            re = strength * speckle[0, r, c] + through * real
            im = strength * speckle[1, r, c] + through * imaginary
            contrast[r, c] = to_level(re * re + im * im, ranges_db[0])
            echo = math.sqrt(bilinear(tissue, py, px))
            re, im = echo * real, echo * imaginary
            if not blur:  # with it the noise carries the contrast's strength and would show bubbles in B-mode
                re += own * speckle[0, other, c]
                im += own * speckle[1, other, c]
            bmode[r, c] = to_level(re * re + im * im, ranges_db[1])
