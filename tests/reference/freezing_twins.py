"""Slow twins of the freezing kernels, in NumPy."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

INNER = (slice(1, -1),) * 3


def temperature(h, p):
    """°C of enthalpies, by straight lines between the two ends of the range."""
    low, high = -p[4], 0.0
    return np.where(h >= high, p[1] + h / p[3], np.where(h <= low, p[0] + (h - low) / p[2], np.interp(h, [low, high], [p[0], p[1]])))


def theta(t, p, points: int = 4001):
    """Integral of the conductivity from the upper end of the range, by the trapezoid rule."""
    out = []
    for value in np.atleast_1d(t):
        x = np.linspace(p[1], value, points)
        k = np.interp(x, [p[0], p[1]], [p[5], p[6]])
        out.append(np.trapezoid(k, x))
    return np.array(out).reshape(np.shape(t))


def explicit_step(h, theta_now, wx, wy, wz, tissue, blood, body_c, stasis_c, coldest, killed, dt, p):
    """``(new h, heat of blood)``."""
    c = theta_now[INNER]
    rate = np.zeros(c.shape)
    for w, axis in ((wx, 2), (wy, 1), (wz, 0)):
        low, high = list(INNER), list(INNER)
        low[axis], high[axis] = slice(0, -2), slice(2, None)
        rate += w[INNER] * (theta_now[tuple(low)] - c) + w[tuple(high)] * (theta_now[tuple(high)] - c)
    perfused = (h[INNER] >= 0) & (coldest[INNER] > stasis_c) & (killed[INNER] < 1)
    warm = np.where(perfused, blood * (body_c - temperature(h[INNER], p)), 0.0)
    here = tissue[INNER] == 1
    out = h.copy()
    out[INNER] += np.where(here, dt * (rate + warm), 0.0)
    return out, float(warm[here].sum() * dt)


def coupled(h, weight, theta_wall, dt, p):
    """Enthalpy after a backward Euler step against a wall, by root finding."""
    def miss(x):
        return x - h - dt * weight * (theta_wall - float(theta(temperature(np.array(x), p), p)))

    return brentq(miss, -2e9, 2e9, xtol=1e-3)
