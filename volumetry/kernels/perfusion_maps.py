"""A curve in every pixel: powers of a moving pane binned in time, smoothed, and fitted, a band of rows at a time."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from volumetry.kernels.perfusion_fit import damped_step
from volumetry.kernels.perfusion_quick import WORK_ROWS, quick_equations, quick_shape
from volumetry.kernels.perfusion_sample import place_in_frame

# What became of a pixel.
VALID, OUTSIDE, NOT_SEEN, NO_ENHANCEMENT, NOT_SETTLED, PEAK_NOT_SEEN, WASH_OUT_NOT_SEEN = 0, 1, 2, 3, 4, 5, 6


@njit(cache=True, nogil=True, error_model="numpy")
def bin_band(levels, table, frames, bins, matrices, field, has_field, drawn, has_drawn, mask, row, column, total, count):
    """Add the power of each frame to its time bin, over the band of reference pixels that starts at (``row``, ``column``).

    ``mask`` (rows, columns of the band, bool): pixels that are wanted; ``total`` and ``count`` float32
    ``[bin, row, column]`` of the band are added to. ``bins[n]`` is the bin of ``frames[n]``.
    """
    rows, columns = levels.shape[1], levels.shape[2]
    high, wide = mask.shape
    for n in range(frames.size):
        k, b = frames[n], bins[n]
        m00, m01, m02 = matrices[k, 0, 0], matrices[k, 0, 1], matrices[k, 0, 2]
        m10, m11, m12 = matrices[k, 1, 0], matrices[k, 1, 1], matrices[k, 1, 2]
        for y in range(high):
            for x in range(wide):
                if not mask[y, x]:
                    continue
                if has_field:
                    u, v = place_in_frame(matrices, field, has_field, k, x + column, y + row, rows, columns)
                else:
                    u = m00 * (x + column) + m01 * (y + row) + m02
                    v = m10 * (x + column) + m11 * (y + row) + m12
                if not (u >= 0.0 and v >= 0.0 and u <= columns - 1 and v <= rows - 1):
                    continue
                i, j = int(u), int(v)
                i1, j1 = min(i + 1, columns - 1), min(j + 1, rows - 1)
                if has_drawn and (drawn[j, i] or drawn[j, i1] or drawn[j1, i] or drawn[j1, i1]):
                    continue
                fu, fv = np.float32(u - i), np.float32(v - j)
                a, c = table[levels[k, j, i]], table[levels[k, j1, i]]
                a += fu * (table[levels[k, j, i1]] - a)
                c += fu * (table[levels[k, j1, i1]] - c)
                total[b, y, x] += a + fv * (c - a)
                count[b, y, x] += np.float32(1.0)


@njit(cache=True, nogil=True)
def smooth_band(total, taps, work):
    """Separable filter with ``taps`` (odd, symmetric) of ``total[bin, row, column]`` in place, zero beyond the edges.
    Sums and counts are both filtered, so their ratio is the mean over what was seen. ``work``: one bin's ``[row, column]``."""
    depth, high, wide = total.shape
    half = taps.size // 2
    for b in range(depth):
        for y in range(high):
            for x in range(wide):
                work[y, x] = taps[half] * total[b, y, x]
            for q in range(1, half + 1):
                w = taps[half + q]
                for x in range(q, wide):
                    work[y, x] += w * total[b, y, x - q]
                for x in range(wide - q):
                    work[y, x] += w * total[b, y, x + q]
        for y in range(high):
            for x in range(wide):
                total[b, y, x] = taps[half] * work[y, x]
            for q in range(1, half + 1):
                w = taps[half + q]
                if y >= q:
                    for x in range(wide):
                        total[b, y, x] += w * work[y - q, x]
                if y + q < high:
                    for x in range(wide):
                        total[b, y, x] += w * work[y + q, x]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def best_of_dictionary(times, power, weight, shapes, curves, p):
    """Start of a fit: the curve of the dictionary (``curves`` (k, n), heights 1, of ``shapes`` (k, 3): time, width, skew)
    that fits best with the baseline and height that suit it. Fills ``p``; returns False where none rises."""
    n = times.size
    sw = sy = syy = 0.0
    for i in range(n):
        sw += weight[i]
        sy += weight[i] * power[i]
        syy += weight[i] * power[i] * power[i]
    best, found = np.inf, False
    for k in range(shapes.shape[0]):
        sf = sff = sfy = 0.0
        for i in range(n):
            wf = weight[i] * curves[k, i]
            sf += wf
            sff += wf * curves[k, i]
            sfy += wf * power[i]
        determinant = sw * sff - sf * sf
        if not determinant > 1e-9 * sw * sff:
            continue
        height = (sw * sfy - sf * sy) / determinant
        if not height > 0.0:
            continue
        base = (sy - height * sf) / sw
        cost = syy - base * sy - height * sfy
        if cost < best:
            best, found = cost, True
            p[0], p[1], p[2], p[3], p[4] = base, height, shapes[k, 0], shapes[k, 1], shapes[k, 2]
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def fit_pixel(kind, times, power, seen, low, high, least_share, most_steps, tolerance, p, weight, work, ints, a, b, trial_a, trial_b, chol, step, trial, held):
    """Levenberg-Marquardt on one pixel's curve from ``p`` (left at the best point), within ``low <= p <= high``.

    Weights follow the fitted curve: ``seen / (curve^2 + (least_share height)^2)``, set anew for the first three good
    steps. ``work`` and ``ints`` as in ``quick_shape``, the others are room to work in; ``work`` is left at the shape of
    the last try, ``a`` and ``b`` at ``p``. Returns (weighted sum of squares, settled).
    """
    n = times.size
    damping, settled, cost, rounds, fresh = 1e-2, False, 0.0, 0, True
    quick_shape(kind, times, p, work, ints)
    for _ in range(most_steps):
        if fresh:  # the shape in ``work`` is that of ``p``
            floor = (least_share * p[1]) ** 2
            for i in range(n):
                value = p[0] + p[1] * work[0, i]
                weight[i] = seen[i] / (value * value + floor)
            cost = quick_equations(power, weight, p, work, a, b)
            rounds += 1
            fresh = False
        for i in range(5):
            held[i] = low[i] >= high[i] or (p[i] <= low[i] and b[i] < 0.0) or (p[i] >= high[i] and b[i] > 0.0) or a[i, i] <= 0.0
        if not damped_step(a, b, held, damping, chol, step):
            damping = max(damping * 10.0, 1e-6)
            continue
        for i in range(5):
            trial[i] = min(max(p[i] + step[i], low[i]), high[i])
        if kind != 2:
            trial[3] = min(max(trial[3], 0.5 * p[3]), 2.0 * p[3])
            trial[4] = min(max(trial[4], 0.5 * p[4]), 2.0 * p[4])
        time_scale = p[3] if kind != 2 else 1.0 / p[3]
        moved = max(abs(trial[0] - p[0]), abs(trial[1] - p[1])) / max(abs(p[1]), 1e-300)
        moved = max(moved, abs(trial[2] - p[2]) / time_scale, abs(trial[3] - p[3]) / p[3], abs(trial[4] - p[4]))
        quick_shape(kind, times, trial, work, ints)
        new = quick_equations(power, weight, trial, work, trial_a, trial_b)
        if new <= cost:
            for i in range(5):
                p[i], b[i] = trial[i], trial_b[i]
                for j in range(i + 1):
                    a[i, j] = trial_a[i, j]
            cost = new
            damping = max(damping * 0.1, 1e-10)
            if moved <= tolerance:
                settled = True
                break
            fresh = rounds < 3 and moved < 0.3
        else:
            if moved <= tolerance:
                settled = True
                break
            damping *= 8.0
            if damping > 1e10:
                break
    return cost, settled


@njit(cache=True, nogil=True, error_model="numpy")
def fit_band(kind, times, total, count, mask, row, shapes, curves, first_weight, low, high, top_share, least_share, least_seen, sure, end_share, most_steps, out, r_squared, code):
    """Fit every pixel of a band. ``total`` and ``count`` ``[bin, row, column]`` are those of the band with its margin;
    the band's first row is ``row`` of them. ``mask``, ``out`` (rows, columns, 5), ``r_squared`` and ``code`` are of the band.

    ``low`` and ``high`` hold the bounds of times, width and skew; baseline and height are bounded by the pixel's own
    range (``top_share`` times it). ``least_seen``: share of the bins that must be seen; ``sure``: standard errors by
    which the height must stand above zero; ``end_share``: the curve must fall below this share of its height in the loop.
    """
    depth = times.size
    seen_times, power, seen, weight = np.empty(depth), np.empty(depth), np.empty(depth), np.empty(depth)
    own = curves.copy()
    work, ints = np.empty((WORK_ROWS, depth)), np.empty((1, depth), np.int64)
    end_shape, last = np.empty((WORK_ROWS, 1)), times[depth - 1 :]
    a, trial_a, chol = np.empty((5, 5)), np.empty((5, 5)), np.zeros((5, 5))
    b, trial_b, step, trial, p = np.empty(5), np.empty(5), np.zeros(5), np.empty(5), np.empty(5)
    held = np.zeros(5, np.bool_)
    lowest, highest = low.copy(), high.copy()
    gaps = False
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if not mask[y, x]:
                code[y, x] = OUTSIDE
                continue
            n = 0
            if gaps:
                for k in range(curves.shape[0]):
                    for i in range(depth):
                        own[k, i] = curves[k, i]
                gaps = False
            smallest, largest, mean = np.inf, -np.inf, 0.0
            for i in range(depth):
                c = count[i, y + row, x]
                if c > 1e-3:
                    value = total[i, y + row, x] / c
                    seen_times[n], power[n], seen[n] = times[i], value, c
                    weight[n] = c * first_weight[i]
                    if n < i or gaps:  # the dictionary at the bins that were seen
                        gaps = True
                        for k in range(curves.shape[0]):
                            own[k, n] = curves[k, i]
                    smallest, largest = min(smallest, value), max(largest, value)
                    mean += value
                    n += 1
            if n < least_seen * depth or n < 8:
                code[y, x] = NOT_SEEN
                continue
            mean /= n
            t, v, w = seen_times[:n], power[:n], weight[:n]
            if not largest > smallest or not best_of_dictionary(t, v, w, shapes, own, p):
                code[y, x] = NO_ENHANCEMENT
                continue
            span = largest - smallest
            lowest[0], highest[0] = smallest - span, largest
            lowest[1], highest[1] = 0.0, top_share * span
            for i in range(5):
                p[i] = min(max(p[i], lowest[i]), highest[i])
            cost, settled = fit_pixel(kind, t, v, seen[:n], lowest, highest, least_share, most_steps, 1e-3, p, w, work, ints, a, b, trial_a, trial_b, chol, step, trial, held)
            quick_shape(kind, t, p, work, ints)
            rest, around = 0.0, 0.0
            for i in range(n):
                around += (v[i] - mean) ** 2
                rest += (v[i] - p[0] - p[1] * work[0, i]) ** 2
            r_squared[y, x] = 1.0 - rest / around
            for i in range(5):
                out[y, x, i] = p[i]
            # the height's standard error, all others free: what is left of its curvature
            error = np.inf
            for i in range(5):
                held[i] = lowest[i] >= highest[i] or a[i, i] <= 0.0
                trial[i] = 0.0
            trial[1] = 1.0
            if damped_step(a, trial, held, 1e-9, chol, step) and step[1] > 0.0:
                error = math.sqrt(step[1] * cost / max(n - 5, 1))
            quick_shape(kind, last, p, end_shape, ints)
            if not p[1] > sure * error and not (p[1] > 0.0 and cost <= 1e-12 * p[1] * p[1]):
                code[y, x] = NO_ENHANCEMENT
            elif kind != 2 and not (times[0] < p[2] and p[2] < times[depth - 1]):
                code[y, x] = PEAK_NOT_SEEN
            elif not settled:
                code[y, x] = NOT_SETTLED
            elif kind != 2 and end_shape[0, 0] > end_share:
                code[y, x] = WASH_OUT_NOT_SEEN
            else:
                code[y, x] = VALID
