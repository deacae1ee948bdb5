"""Undoing the colour map of a display, pixel by pixel.

Each distinct colour is looked for once among the 256 colours of the map and remembered in ``memo``
(one entry per 24 bit colour, ``UNSET`` at first), so that a loop costs little more than reading it
and every answer is exact. Threads may share a memo: they write the same values.
"""

from __future__ import annotations

import numpy as np
from numba import njit

UNSET = np.uint32(0xFFFFFFFF)
FAR = np.uint32(1 << 16)  # in a remembered answer; the level is bits 0-7, the grey bits 8-15
# Brightness counts more than hue: compression keeps it better (it halves the resolution of hue).
HUE_WEIGHT = 0.35
# A tie between levels further apart than this is no answer.
SAME_LEVEL = 8


@njit(cache=True, nogil=True)
def colour_distance2(dr: float, dg: float, db: float) -> float:
    """Squared distance of two colours from their differences: brightness, and hue with less weight."""
    luma = 0.299 * dr + 0.587 * dg + 0.114 * db
    blue = 0.564 * (db - luma)
    red = 0.713 * (dr - luma)
    return luma * luma + HUE_WEIGHT * (blue * blue + red * red)


@njit(cache=True, nogil=True)
def nearest_level(r: int, g: int, b: int, table, far2: float) -> int:
    """The level whose colour is nearest; the middle of several that are equally near. ``FAR`` is added where that colour
    is further than ``far2`` (squared, brightness and hue alike)."""
    best, first, last = 1e30, 0, 0
    for n in range(256):
        d = colour_distance2(r - table[n, 0], g - table[n, 1], b - table[n, 2])
        if d < best - 1e-6:
            best, first, last = d, n, n
        elif d < best + 1e-6:
            last = n
    level = (first + last) // 2 if last - first <= 2 * SAME_LEVEL else first
    dr, dg, db = r - table[level, 0], g - table[level, 1], b - table[level, 2]
    return level + (1 << 16 if dr * dr + dg * dg + db * db > far2 else 0)


@njit(cache=True, nogil=True)
def undo_colours(picture, table, far2, memo, levels, far) -> int:
    """Levels of ``picture`` (uint8 ``[row, column, 3]``) into ``levels`` (uint8), 1 into ``far`` where a colour is no
    colour of the map, else 0; the number of those. ``table`` float64 ``[256, 3]``; ``memo`` uint32 ``[2**24]``."""
    rows, columns = levels.shape
    count = 0
    for i in range(rows):
        for j in range(columns):
            r, g, b = int(picture[i, j, 0]), int(picture[i, j, 1]), int(picture[i, j, 2])
            key = (r << 16) | (g << 8) | b
            answer = memo[key]
            if answer == UNSET:
                answer = np.uint32(nearest_level(r, g, b, table, far2))
                memo[key] = answer
            levels[i, j] = np.uint8(answer & 0xFF)
            beyond = (answer >> 16) & 1
            far[i, j] = beyond
            count += beyond
    return count


@njit(cache=True, nogil=True)
def split_tint(r: int, g: int, b: int, table, grey_most: int, far2: float) -> int:
    """Level and grey of a colour that is ``min(255, table[level] + grey)`` channel by channel: level + (grey << 8).

    ``FAR`` is added where no such sum comes within ``far2``, or two levels far apart explain it alike.
    """
    best, best_level, best_grey = 1e30, 0, 0
    costs = np.empty(256)
    for n in range(256):
        total, open_channels = 0.0, 0
        for k in range(3):
            seen = r if k == 0 else (g if k == 1 else b)
            if seen < 255:  # a channel at its white end only says "at least"
                total += seen - table[n, k]
                open_channels += 1
        grey = total / open_channels if open_channels else grey_most
        grey = min(max(grey, 0.0), float(grey_most))
        dr = min(table[n, 0] + grey, 255.0) - r
        dg = min(table[n, 1] + grey, 255.0) - g
        db = min(table[n, 2] + grey, 255.0) - b
        cost = dr * dr + dg * dg + db * db
        costs[n] = cost
        if cost < best:
            best, best_level, best_grey = cost, n, int(grey + 0.5)
    first, last = best_level, best_level
    for n in range(256):  # all levels that fit as well to the rounding of a colour
        if costs[n] <= best + 1.0:
            first, last = min(first, n), max(last, n)
    flagged = best > far2 or last - first > 2 * SAME_LEVEL
    return best_level | (best_grey << 8) | (1 << 16 if flagged else 0)


@njit(cache=True, nogil=True)
def undo_overlay(picture, table, grey_most, far2, memo, levels, grey, far) -> int:
    """As ``undo_colours`` for a tint laid over grey: also fills ``grey`` (uint8)."""
    rows, columns = levels.shape
    count = 0
    for i in range(rows):
        for j in range(columns):
            r, g, b = int(picture[i, j, 0]), int(picture[i, j, 1]), int(picture[i, j, 2])
            key = (r << 16) | (g << 8) | b
            answer = memo[key]
            if answer == UNSET:
                answer = np.uint32(split_tint(r, g, b, table, grey_most, far2))
                memo[key] = answer
            levels[i, j] = np.uint8(answer & 0xFF)
            grey[i, j] = np.uint8((answer >> 8) & 0xFF)
            beyond = (answer >> 16) & 1
            far[i, j] = beyond
            count += beyond
    return count


@njit(cache=True, nogil=True)
def borrow_levels(far, reach, levels) -> None:
    """Give each far pixel the level of the nearest pixel that is not, within ``reach`` pixels; ties go to the first in rows.

    Speckle beside it is a fair sample of the same tissue, a level among many that explain the colour is not.
    """
    rows, columns = levels.shape
    for i in range(rows):
        for j in range(columns):
            if far[i, j] == 0:
                continue
            best, value = reach * reach + 1, levels[i, j]
            for k in range(max(0, i - reach), min(rows, i + reach + 1)):
                for m in range(max(0, j - reach), min(columns, j + reach + 1)):
                    d = (k - i) * (k - i) + (m - j) * (m - j)
                    if d < best and far[k, m] == 0:
                        best, value = d, levels[k, m]
            levels[i, j] = value


@njit(cache=True, nogil=True)
def undo_grey(picture, far_spread, levels, far) -> int:
    """Levels of a colour picture whose map is grey: the green channel's neighbours must agree with it to ``far_spread``."""
    rows, columns = levels.shape
    count = 0
    for i in range(rows):
        for j in range(columns):
            r, g, b = int(picture[i, j, 0]), int(picture[i, j, 1]), int(picture[i, j, 2])
            levels[i, j] = np.uint8((299 * r + 587 * g + 114 * b + 500) // 1000)
            beyond = 1 if max(r, g, b) - min(r, g, b) > far_spread else 0
            far[i, j] = beyond
            count += beyond
    return count


@njit(cache=True, nogil=True)
def watch_pixels(levels, far, total, squares, far_frames):
    """Add each pixel's level and its square to ``total`` and ``squares`` (uint32) and count the frames in which it was far
    (uint16). Gives the frame's sum of levels, and how many pixels are black and white."""
    rows, columns = levels.shape
    whole, black, white = 0, 0, 0
    for i in range(rows):
        for j in range(columns):
            v = np.uint32(levels[i, j])
            total[i, j] += v
            squares[i, j] += v * v
            far_frames[i, j] += far[i, j]
            whole += v
            black += v == 0
            white += v == 255
    return whole, black, white


@njit(cache=True, nogil=True)
def grey_of(picture, grey) -> int:
    """Brightness of ``picture`` (uint8 ``[row, column, 3]``) into ``grey`` (uint8); its sum."""
    rows, columns = grey.shape
    whole = 0
    for i in range(rows):
        for j in range(columns):
            v = (np.uint32(77) * picture[i, j, 0] + np.uint32(150) * picture[i, j, 1] + np.uint32(29) * picture[i, j, 2]) >> np.uint32(8)
            grey[i, j] = np.uint8(v)
            whole += v
    return whole
