"""Closed forms that the field solver is held against. Lengths in mm, V, S/m, V/cm.

Each function states its problem; numbers for standard cases are in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import integrate, optimize


def two_cylinders(d_mm: float, a_mm: float) -> tuple[float, float]:
    """``(b, mu)`` of two parallel infinite cylinders of radius ``a`` with axes ``d`` apart:
    b = sqrt(d^2/4 - a^2), mu = arcosh(d / 2a). Bipolar coordinates."""
    return math.sqrt(d_mm**2 / 4 - a_mm**2), math.acosh(d_mm / (2 * a_mm))


def two_cylinders_potential(x_mm, y_mm, d_mm: float, a_mm: float, volts: float) -> np.ndarray:
    """Potential (V) with +V/2 on the cylinder at x = -d/2 and -V/2 at x = +d/2, outside both."""
    b, mu = two_cylinders(d_mm, a_mm)
    r1 = np.hypot(np.asarray(x_mm) + b, y_mm)
    r2 = np.hypot(np.asarray(x_mm) - b, y_mm)
    return volts / (2 * mu) * np.log(r2 / r1)


def two_cylinders_field_v_per_cm(x_mm, y_mm, d_mm: float, a_mm: float, volts: float) -> np.ndarray:
    """|E| = V b / (mu r1 r2), r1 and r2 the distances to (-b, 0) and (b, 0)."""
    b, mu = two_cylinders(d_mm, a_mm)
    r1 = np.hypot(np.asarray(x_mm) + b, y_mm)
    r2 = np.hypot(np.asarray(x_mm) - b, y_mm)
    return 10.0 * volts * b / (mu * r1 * r2)


def two_cylinders_current_a_per_cm(d_mm: float, a_mm: float, volts: float, sigma_s_per_m: float = 1.0) -> float:
    """Current per length, pi sigma V / mu."""
    return math.pi * sigma_s_per_m * volts / two_cylinders(d_mm, a_mm)[1] / 100.0


def two_cylinders_area_mm2(d_mm: float, a_mm: float, volts: float, e_v_per_cm: float) -> float:
    """Area with |E| >= e, the cylinders' discs included: inside the Cassini oval
    r1 r2 = c^2, c^2 = V b / (mu e); for joined lobes (c > b) 2 c^2 E(m = (b/c)^4)."""
    b, mu = two_cylinders(d_mm, a_mm)
    c2 = 10.0 * volts * b / (mu * e_v_per_cm)
    if c2 <= b * b:  # two lobes: integrate the polar form of the oval
        width = 0.5 * math.asin(c2 / b**2)

        def ring(t):
            inner = math.sqrt(max(c2**2 - (b**2 * math.sin(2 * t)) ** 2, 0.0))
            return 2 * inner  # (r_outer^2 - r_inner^2) of one lobe

        return 2 * integrate.quad(lambda t: 0.5 * ring(t), -width, width)[0]
    from scipy.special import ellipe

    return 2 * c2 * float(ellipe((b * b / c2) ** 2))


def coaxial_nonlinear(sigma: Callable[[float], float], a_mm: float, r_mm: float, volts: float) -> tuple[float, Callable]:
    """Nonlinear coaxial cylinders: current per length I' (A/m) and E(r) (V/cm).

    sigma(E) E = I' / (2 pi r) pointwise; I' follows from the integral of E being V.
    """

    def field(current: float, radius_mm: float) -> float:
        j = current / (2 * math.pi * radius_mm * 1e-3)  # A/m^2
        return optimize.brentq(lambda e: float(sigma(e)) * e * 100.0 - j, 0.0, 1e7)

    def drop(current: float) -> float:
        s = np.linspace(math.log(a_mm), math.log(r_mm), 801)
        e = np.array([field(current, math.exp(v)) for v in s]) * np.exp(s)  # E r d(ln r), V/cm mm
        return integrate.simpson(e, x=s) / 10.0

    top = 2 * math.pi * volts * float(sigma(1e6)) / math.log(r_mm / a_mm) * 2
    current = optimize.brentq(lambda c: drop(c) - volts, 1e-9, top, xtol=1e-9)
    return current, lambda radius_mm: field(current, radius_mm)


def concentric_spheres_current_a(a_mm: float, r_mm: float, volts: float, sigma_s_per_m: float = 1.0) -> float:
    """I = 4 pi sigma V / (1/a - 1/R)."""
    return 4 * math.pi * sigma_s_per_m * volts / (1 / a_mm - 1 / r_mm) * 1e-3


def concentric_spheres_radius_mm(a_mm: float, r_mm: float, volts: float, e_v_per_cm: float) -> float:
    """Radius at which |E| = e."""
    return math.sqrt(10.0 * volts / (1 / a_mm - 1 / r_mm) / e_v_per_cm)


def two_spheres_conductance_m(a_mm: float, d_mm: float, terms: int = 200) -> float:
    """G / sigma (m) between two equal spheres of radius a, centres d apart, in infinite space:
    2 pi a sinh(beta) sum 1/sinh((2n-1) beta) + 1/sinh(2n beta), cosh(beta) = d / 2a."""
    beta = math.acosh(d_mm / (2 * a_mm))
    total = sum(1 / math.sinh((2 * n - 1) * beta) + 1 / math.sinh(2 * n * beta) for n in range(1, terms) if 2 * n * beta < 700)
    return 2 * math.pi * a_mm * 1e-3 * math.sinh(beta) * total


def sphere_in_uniform_field(sigma_in: float, sigma_out: float) -> float:
    """Field inside a sphere over the field far away: 3 s_out / (s_in + 2 s_out)."""
    return 3 * sigma_out / (sigma_in + 2 * sigma_out)


def cylinder_in_uniform_field(sigma_in: float, sigma_out: float) -> float:
    """Field inside a cylinder across the field over the field far away: 2 s_out / (s_in + s_out)."""
    return 2 * sigma_out / (sigma_in + sigma_out)


def capsule_in_uniform_field(sigma_core: float, sigma_shell: float, sigma_out: float, a_mm: float, b_mm: float) -> float:
    """Field in the core (radius a) of a coated sphere (outer radius b) over the field far away."""
    s, i, e = sigma_shell, sigma_core, sigma_out
    return 9 * e * s / ((s + 2 * e) * (i + 2 * s) + 2 * (s - e) * (i - s) * (a_mm / b_mm) ** 3)
