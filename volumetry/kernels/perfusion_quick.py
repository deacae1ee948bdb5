"""The normal equations of a bolus fit for many short curves: logarithm and exponential by polynomials, so that the
processor takes several points at once. Agrees with ``perfusion_fit.normal_equations`` to about 1e-10.

A pixel's fit evaluates its curve some ten times at a hundred points, so that this is where maps spend their time.
Every loop reads and writes arrays of its own and has no branch, without which the compiler does not use wide registers.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LN2 = 0.6931471805599453
LOG2_E = 1.4426950408889634
ROOT_HALF_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1/2): mantissas are taken between it and sqrt(2)
LEAST_EXPONENT = -600.0
FASTER = {"reassoc", "contract"}
WORK_ROWS = 10


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTER)
def log_of(x, bits, mantissa, mantissa_bits, exponent, out):
    """Natural logarithm of positive normal ``x`` (n,), error below 1e-13. ``bits`` and ``mantissa_bits`` are int64 views."""
    for i in range(x.size):
        shift = (bits[i] - ROOT_HALF_BITS) >> 52
        exponent[i] = shift
        mantissa_bits[i] = bits[i] - (shift << 52)
    for i in range(x.size):
        s = (mantissa[i] - 1.0) / (mantissa[i] + 1.0)
        z = s * s
        series = 1.0 + z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * (1 / 13 + z / 15))))))
        out[i] = exponent[i] * LN2 + 2.0 * s * series


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTER)
def exp_of(x, power, power_bits, out):
    """Exponential of ``x`` (n,), at most about 700, relative error below 1e-10; what is below -600 counts as that."""
    for i in range(x.size):
        v = max(x[i], LEAST_EXPONENT)
        k = math.floor(v * LOG2_E + 0.5)
        z = v - k * LN2
        power_bits[i] = (np.int64(k) + 1023) << 52
        out[i] = 1.0 + z * (1.0 + z * (1 / 2 + z * (1 / 6 + z * (1 / 24 + z * (1 / 120 + z * (1 / 720 + z * (1 / 5040 + z * (1 / 40320 + z / 362880))))))))
    for i in range(x.size):
        out[i] *= power[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTER)
def quick_shape(kind, times, p, work, ints):
    """Shape (0 to 1) and its slopes at ``times`` (n,): rows 0 to 3 of ``work`` (``WORK_ROWS``, n or more); the others
    and ``ints`` (1, n or more; int64) are room to work in."""
    n = times.size
    f, g2, g3, g4 = work[0, :n], work[1, :n], work[2, :n], work[3, :n]
    if kind == 2:
        rate, start = p[3], p[2]
        x = work[4, :n]
        for i in range(n):
            x[i] = -rate * max(times[i] - start, 0.0)
        exp_of(x, work[5, :n], work[5, :n].view(np.int64), g4)
        for i in range(n):
            on = 1.0 if times[i] > start else 0.0
            f[i] = on * (1.0 - g4[i])
            g2[i] = -on * rate * g4[i]
            g3[i] = on * (times[i] - start) * g4[i]
        for i in range(n):
            g4[i] = 0.0
        return
    x, r, u, q = work[4, :n], work[5, :n], work[6, :n], work[7, :n]
    skew, peak, per_width = p[4], p[2], 1.0 / p[3]
    per_skew = 1.0 / skew
    for i in range(n):
        x[i] = (times[i] - peak) * per_width
        r[i] = max(1.0 + skew * x[i], 1e-12)
    log_of(r, r.view(np.int64), work[8, :n], work[8, :n].view(np.int64), ints[0, :n], u)
    if kind == 0:
        for i in range(n):
            u[i] *= per_skew
            q[i] = -0.5 * u[i] * u[i]
    else:
        for i in range(n):
            u[i] *= per_skew
            q[i] = (u[i] - x[i]) * per_skew
    exp_of(q, work[9, :n], work[9, :n].view(np.int64), f)
    if kind == 0:
        for i in range(n):
            value = f[i] if r[i] > 1e-12 else 0.0
            f[i] = value
            per_r = 1.0 / r[i]
            along = -value * u[i] * per_r * per_width
            g2[i] = -along
            g3[i] = -along * x[i]
            g4[i] = -value * u[i] * (x[i] * per_r - u[i]) * per_skew
    else:
        for i in range(n):
            value = f[i] if r[i] > 1e-12 else 0.0
            f[i] = value
            per_r = 1.0 / r[i]
            along = value * (per_r - 1.0) * per_skew * per_width
            g2[i] = -along
            g3[i] = -along * x[i]
            g4[i] = value * (x[i] * per_r - x[i] - 2.0 * (u[i] - x[i])) * per_skew * per_skew


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FASTER)
def quick_equations(power, weight, p, work, a, b):
    """Weighted sum of squares at ``p`` from what ``quick_shape`` left in ``work``; fills the lower half of ``a`` (5, 5) and ``b``."""
    n = power.size
    f, g2, g3, g4 = work[0, :n], work[1, :n], work[2, :n], work[3, :n]
    base, height = p[0], p[1]
    a00 = a10 = a11 = a20 = a21 = a22 = a30 = a31 = a32 = a33 = a40 = a41 = a42 = a43 = a44 = 0.0
    b0 = b1 = b2 = b3 = b4 = cost = 0.0
    for i in range(n):
        w = weight[i]
        r = power[i] - base - height * f[i]
        wr, wf, w2, w3, w4 = w * r, w * f[i], w * g2[i], w * g3[i], w * g4[i]
        cost += wr * r
        a00 += w
        a10 += wf
        a11 += wf * f[i]
        a20 += w2
        a21 += w2 * f[i]
        a22 += w2 * g2[i]
        a30 += w3
        a31 += w3 * f[i]
        a32 += w3 * g2[i]
        a33 += w3 * g3[i]
        a40 += w4
        a41 += w4 * f[i]
        a42 += w4 * g2[i]
        a43 += w4 * g3[i]
        a44 += w4 * g4[i]
        b0 += wr
        b1 += wr * f[i]
        b2 += wr * g2[i]
        b3 += wr * g3[i]
        b4 += wr * g4[i]
    square = height * height
    a[0, 0], a[1, 0], a[1, 1], a[2, 0], a[2, 1], a[2, 2] = a00, a10, a11, height * a20, height * a21, square * a22
    a[3, 0], a[3, 1], a[3, 2], a[3, 3] = height * a30, height * a31, square * a32, square * a33
    a[4, 0], a[4, 1], a[4, 2], a[4, 3], a[4, 4] = height * a40, height * a41, square * a42, square * a43, square * a44
    b[0], b[1], b[2], b[3], b[4] = b0, b1, height * b2, height * b3, height * b4
    return cost
