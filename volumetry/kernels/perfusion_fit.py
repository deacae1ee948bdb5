"""Least squares of a bolus curve: value, gradient and Levenberg-Marquardt steps of the three perfusion models.

All models are written in the same five numbers, chosen so that they hardly depend on one another
(``volumetry.perfusion.models`` turns them into the usual ones and back):

- ``p[0]`` baseline power, ``p[1]`` height of the peak above it;
- lognormal and gamma variate: ``p[2]`` time of the peak, ``p[3]`` its width (the standard deviation of the
  Gaussian that touches the peak), ``p[4]`` skewness: 0 would be a Gaussian. With ``r = 1 + p[4] (t - p[2]) / p[3]``
  (the share of the way from onset to peak) the lognormal is ``exp(-ln(r)^2 / (2 p[4]^2))``, the gamma variate
  ``exp((ln r + 1 - r) / p[4]^2)``; both are 0 before the onset (r <= 0);
- replenishment: ``p[2]`` start, ``p[3]`` rate 1/s: ``1 - exp(-p[3] (t - p[2]))``; ``p[4]`` is not used.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LOGNORMAL, GAMMA_VARIATE, REPLENISHMENT = 0, 1, 2
CONVERGED, STEPS_USED_UP, NO_WAY_DOWN = 0, 1, 2


@njit(cache=True, nogil=True, inline="always")
def shape_at(kind, t, p2, p3, p4):
    """Shape (0 to 1) at time ``t`` and its slopes along ``p[2]``, ``p[3]`` and ``p[4]``."""
    if kind == 2:
        s = t - p2
        if s <= 0.0:
            return 0.0, 0.0, 0.0, 0.0
        e = math.exp(-p3 * s)
        return 1.0 - e, -p3 * e, s * e, 0.0
    x = (t - p2) / p3
    r = 1.0 + p4 * x
    if r <= 1e-12:
        return 0.0, 0.0, 0.0, 0.0
    u = math.log1p(p4 * x) / p4
    if kind == 0:
        f = math.exp(-0.5 * u * u)
        along = -f * u / r  # with x: dr/dx is p4
        skew = -f * u * (x / r - u) / p4
    else:
        q = (u - x) / p4
        f = math.exp(q)
        along = f * (1.0 / r - 1.0) / p4
        skew = f * (x / r - x - 2.0 * (u - x)) / (p4 * p4) if abs(p4 * x) > 1e-4 else f * x * x * x / 3.0
    return f, -along / p3, -along * x / p3, skew


@njit(cache=True, nogil=True)
def curve_and_gradient(kind, times, p, value, gradient):
    """Fill ``value`` (n,) and ``gradient`` (n, 5) of the model at ``times`` (n,)."""
    for i in range(times.size):
        f, g2, g3, g4 = shape_at(kind, times[i], p[2], p[3], p[4])
        value[i] = p[0] + p[1] * f
        gradient[i, 0] = 1.0
        gradient[i, 1] = f
        gradient[i, 2] = p[1] * g2
        gradient[i, 3] = p[1] * g3
        gradient[i, 4] = p[1] * g4


@njit(cache=True, nogil=True)
def normal_equations(kind, times, power, weight, p, a, b):
    """Weighted sum of squares at ``p``; fills the lower half of ``a = J'WJ`` (5, 5) and ``b = J'W(power - curve)``."""
    a00 = a10 = a11 = a20 = a21 = a22 = a30 = a31 = a32 = a33 = a40 = a41 = a42 = a43 = a44 = 0.0
    b0 = b1 = b2 = b3 = b4 = cost = 0.0
    for i in range(times.size):
        f, g2, g3, g4 = shape_at(kind, times[i], p[2], p[3], p[4])
        g2 *= p[1]
        g3 *= p[1]
        g4 *= p[1]
        w = weight[i]
        r = power[i] - p[0] - p[1] * f
        wr, wf, w2, w3, w4 = w * r, w * f, w * g2, w * g3, w * g4
        cost += wr * r
        a00 += w
        a10 += wf
        a11 += wf * f
        a20 += w2
        a21 += w2 * f
        a22 += w2 * g2
        a30 += w3
        a31 += w3 * f
        a32 += w3 * g2
        a33 += w3 * g3
        a40 += w4
        a41 += w4 * f
        a42 += w4 * g2
        a43 += w4 * g3
        a44 += w4 * g4
        b0 += wr
        b1 += wr * f
        b2 += wr * g2
        b3 += wr * g3
        b4 += wr * g4
    a[0, 0], a[1, 0], a[1, 1], a[2, 0], a[2, 1], a[2, 2] = a00, a10, a11, a20, a21, a22
    a[3, 0], a[3, 1], a[3, 2], a[3, 3] = a30, a31, a32, a33
    a[4, 0], a[4, 1], a[4, 2], a[4, 3], a[4, 4] = a40, a41, a42, a43, a44
    b[0], b[1], b[2], b[3], b[4] = b0, b1, b2, b3, b4
    return cost


@njit(cache=True, nogil=True)
def damped_step(a, b, held, damping, chol, step):
    """Solve ``(a + damping diag(a)) step = b`` over the parameters that are not ``held``; False where it cannot be."""
    for i in range(5):
        for j in range(i + 1):
            s = a[i, j]
            if held[i] or held[j]:
                s = 1.0 if i == j else 0.0
            elif i == j:
                s += damping * s
            for k in range(j):
                s -= chol[i, k] * chol[j, k]
            if i == j:
                if not s > 1e-300:
                    return False
                chol[i, i] = math.sqrt(s)
            else:
                chol[i, j] = s / chol[j, j]
    for i in range(5):
        s = 0.0 if held[i] else b[i]
        for k in range(i):
            s -= chol[i, k] * step[k]
        step[i] = s / chol[i, i]
    for i in range(4, -1, -1):
        s = step[i]
        for k in range(i + 1, 5):
            s -= chol[k, i] * step[k]
        step[i] = s / chol[i, i]
    return True


@njit(cache=True, nogil=True)
def fit_bounded(kind, times, power, weight, p, low, high, most_steps, tolerance):
    """Levenberg-Marquardt within ``low <= p <= high``, from ``p`` (5,), which is left at the best point found.

    A parameter at a bound that wants outwards is held there for that step. Stops when a step changes no parameter
    by more than ``tolerance`` of its scale (height, height, width, width, 1; for the replenishment the rate's own).
    Returns (weighted sum of squares, tries, how it ended).
    """
    a, trial_a, chol = np.empty((5, 5)), np.empty((5, 5)), np.zeros((5, 5))
    b, trial_b, step, trial = np.empty(5), np.empty(5), np.zeros(5), np.empty(5)
    held = np.zeros(5, np.bool_)
    cost = normal_equations(kind, times, power, weight, p, a, b)
    damping = 1e-3
    for n in range(most_steps):
        for i in range(5):
            held[i] = low[i] >= high[i] or (p[i] <= low[i] and b[i] < 0.0) or (p[i] >= high[i] and b[i] > 0.0) or a[i, i] <= 0.0
        if not damped_step(a, b, held, damping, chol, step):
            damping = max(damping * 10.0, 1e-8)
            if damping > 1e12:
                return cost, n, NO_WAY_DOWN
            continue
        for i in range(5):
            trial[i] = min(max(p[i] + step[i], low[i]), high[i])
        if kind != 2:  # no further than half the width's own size at once, or the curve jumps off the data
            trial[3] = min(max(trial[3], 0.4 * p[3]), 2.5 * p[3])
            trial[4] = min(max(trial[4], 0.4 * p[4]), 2.5 * p[4])
        time_scale = p[3] if kind != 2 else 1.0 / p[3]
        moved = max(abs(trial[0] - p[0]), abs(trial[1] - p[1])) / max(abs(p[1]), 1e-300)
        moved = max(moved, abs(trial[2] - p[2]) / time_scale, abs(trial[3] - p[3]) / p[3], abs(trial[4] - p[4]))
        new = normal_equations(kind, times, power, weight, trial, trial_a, trial_b)
        if new <= cost:
            cost = new
            for i in range(5):
                p[i], b[i] = trial[i], trial_b[i]
                for j in range(i + 1):
                    a[i, j] = trial_a[i, j]
            damping = max(damping * 0.1, 1e-12)
            if moved <= tolerance:
                return cost, n + 1, CONVERGED
        else:
            if moved <= tolerance:
                return cost, n + 1, CONVERGED
            damping = max(damping * 8.0, 1e-8)
            if damping > 1e12:
                return cost, n + 1, NO_WAY_DOWN
    return cost, most_steps, STEPS_USED_UP
