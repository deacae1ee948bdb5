"""Kernels of the bioheat equation with freezing, in enthalpy and Kirchhoff's transform.

Arrays are ``[k, j, i]`` with one ghost layer. ``h`` is the enthalpy (J/m3), 0 at the upper end of the freezing range;
``theta`` the integral of the conductivity over temperature (W/m), 0 there too, so that a flux between two cells is
``w (theta - theta')`` whatever ice lies between them. ``w*`` are the weights of the lower faces (1/m2). Tissue is a row
``p`` of (lower and upper end of the freezing range in °C, heat capacity frozen and unfrozen in J/(m3 K), heat of the whole
range in J/m3, conductivity frozen and unfrozen in W/(m K)). Within the range temperature falls evenly with enthalpy, and
conductivity evenly with temperature.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, nogil=True, inline="always")
def temperature_of(h, p):
    """°C of an enthalpy."""
    if h >= 0.0:
        return p[1] + h / p[3]
    if h > -p[4]:
        return p[1] + h / p[4] * (p[1] - p[0])
    return p[0] + (h + p[4]) / p[2]


@njit(cache=True, nogil=True, inline="always")
def theta_at(t, p):
    """Kirchhoff's transform of a temperature (°C)."""
    if t >= p[1]:
        return p[6] * (t - p[1])
    wide = p[1] - p[0]
    d = min(p[1] - t, wide)
    theta = -(p[6] * d + (p[5] - p[6]) * d * d / (2.0 * wide))
    if t < p[0]:
        theta += p[5] * (t - p[0])
    return theta


@njit(cache=True, nogil=True)
def fill_theta(h, p, theta):
    """``theta`` of every inner cell; the ghost layer is left as it is."""
    for k in range(1, h.shape[0] - 1):
        for j in range(1, h.shape[1] - 1):
            for i in range(1, h.shape[2] - 1):
                theta[k, j, i] = theta_at(temperature_of(h[k, j, i], p), p)


@njit(cache=True, nogil=True, parallel=True)
def explicit_step(h, theta, wx, wy, wz, tissue, blood, body_c, stasis_c, coldest, killed, dt, p, sums):
    """One step of forward Euler in place. Blood warms a cell only while it is not frozen, never was colder than ``stasis_c``
    and ``killed`` is below 1. ``sums[k]``: heat of the blood in that slab (J/m3 times cells)."""
    for k in prange(1, h.shape[0] - 1):
        by_blood = 0.0
        for j in range(1, h.shape[1] - 1):
            for i in range(1, h.shape[2] - 1):
                if tissue[k, j, i] == 0:
                    continue
                c = theta[k, j, i]
                rate = (wx[k, j, i] * (theta[k, j, i - 1] - c) + wx[k, j, i + 1] * (theta[k, j, i + 1] - c)
                        + wy[k, j, i] * (theta[k, j - 1, i] - c) + wy[k, j + 1, i] * (theta[k, j + 1, i] - c)
                        + wz[k, j, i] * (theta[k - 1, j, i] - c) + wz[k + 1, j, i] * (theta[k + 1, j, i] - c))
                warm = 0.0
                if h[k, j, i] >= 0.0 and coldest[k, j, i] > stasis_c and killed[k, j, i] < 1.0:
                    warm = blood * (body_c - (p[1] + h[k, j, i] / p[3]))
                h[k, j, i] += dt * (rate + warm)
                by_blood += warm
        sums[k] = by_blood * dt


@njit(cache=True, nogil=True)
def couple(h, cells, weights, theta_wall, dt, p):
    """Heat between a probe's wall and the cells that touch it, backward Euler cell by cell: a cell almost on the wall has a
    weight without bound. Returns the heat given to the tissue (J/m3 times cells)."""
    flat = h.reshape(-1)
    given = 0.0
    wide = p[1] - p[0]
    theta_low = -(p[6] + p[5]) * wide / 2.0
    for n in range(cells.size):
        was, s = flat[cells[n]], dt * weights[n]
        rhs = was + s * theta_wall
        x = rhs / (1.0 + s * p[6] / p[3])
        if x < 0.0:
            x = (rhs - s * (theta_low + p[5] / p[2] * p[4])) / (1.0 + s * p[5] / p[2])
            if x > -p[4]:
                a, b = s * (p[5] - p[6]) / (2.0 * wide), p[4] / wide + s * p[6]
                d = -2.0 * rhs / (b + np.sqrt(max(b * b - 4.0 * a * rhs, 0.0)))
                x = -d * p[4] / wide
        flat[cells[n]] = x
        given += x - was
    return given


@njit(cache=True, nogil=True)
def coupling_sums(theta, cells, weights):
    """``(sum of weights, sum of weight times theta)`` of the cells at a probe."""
    flat = theta.reshape(-1)
    total, weighted = 0.0, 0.0
    for n in range(cells.size):
        total += weights[n]
        weighted += weights[n] * flat[cells[n]]
    return total, weighted


@njit(cache=True, nogil=True)
def wall_temperature(bath_c, transfer_w_per_k, total, weighted, p):
    """Wall (°C) whose heat from the bath, ``transfer (bath - wall)``, is what tissue gives it, ``total theta(wall) -
    weighted`` (both W; weights times the volume of a cell): by bisection."""
    low, high = bath_c, 150.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if transfer_w_per_k * (bath_c - middle) > total * theta_at(middle, p) - weighted:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@njit(cache=True, nogil=True)
def wall_heat(theta, wx, wy, wz):
    """Heat entering through the six outer walls (W/m3 times cells)."""
    nk, nj, ni = theta.shape[0] - 2, theta.shape[1] - 2, theta.shape[2] - 2
    total = 0.0
    for k in range(1, nk + 1):
        for j in range(1, nj + 1):
            total += wx[k, j, 1] * (theta[k, j, 0] - theta[k, j, 1]) + wx[k, j, ni + 1] * (theta[k, j, ni + 1] - theta[k, j, ni])
        for i in range(1, ni + 1):
            total += wy[k, 1, i] * (theta[k, 0, i] - theta[k, 1, i]) + wy[k, nj + 1, i] * (theta[k, nj + 1, i] - theta[k, nj, i])
    for j in range(1, nj + 1):
        for i in range(1, ni + 1):
            total += wz[1, j, i] * (theta[0, j, i] - theta[1, j, i]) + wz[nk + 1, j, i] * (theta[nk + 1, j, i] - theta[nk, j, i])
    return total


@njit(cache=True, nogil=True, parallel=True)
def source_room(h, source, least, h_limit, dt, part):
    """``part[k]``: how much of ``source`` (its share, no upper bound) the fullest cell of a slab takes in ``dt`` before it
    reaches ``h_limit``; only cells with more than ``least`` of it count."""
    for k in prange(1, h.shape[0] - 1):
        room = 1e30
        for j in range(1, h.shape[1] - 1):
            for i in range(1, h.shape[2] - 1):
                q = source[k, j, i]
                if q > least:
                    room = min(room, max(h_limit - h[k, j, i], 0.0) / (dt * q))
        part[k] = room


@njit(cache=True, nogil=True, parallel=True)
def add_source(h, source, amount, sums):
    """``h += amount source``; ``sums[k]``: what a slab was given."""
    for k in prange(1, h.shape[0] - 1):
        total = 0.0
        for j in range(1, h.shape[1] - 1):
            for i in range(1, h.shape[2] - 1):
                h[k, j, i] += amount * source[k, j, i]
                total += source[k, j, i]
        sums[k] = amount * total


@njit(cache=True, nogil=True, parallel=True)
def record(h, tissue, dt, p, body_c, counts_from_c, per_k, tables, theta, coldest, hottest, dose):
    """After a step: ``theta``, the coldest and hottest met, and the dose by each rate table (rates over K above the body's
    temperature, ``per_k`` entries a kelvin, held at the last)."""
    last = tables.shape[1] - 1
    for k in prange(1, h.shape[0] - 1):
        for j in range(1, h.shape[1] - 1):
            for i in range(1, h.shape[2] - 1):
                if tissue[k, j, i] == 0:
                    continue
                t = temperature_of(h[k, j, i], p)
                theta[k, j, i] = theta_at(t, p)
                if t < coldest[k, j, i]:
                    coldest[k, j, i] = t
                if t > hottest[k, j, i]:
                    hottest[k, j, i] = t
                if t > counts_from_c:
                    x = (t - body_c) * per_k
                    m = min(int(x), last - 1)
                    f = min(x - m, 1.0)
                    for n in range(tables.shape[0]):
                        dose[n, k, j, i] += dt * (tables[n, m] + f * (tables[n, m + 1] - tables[n, m]))
