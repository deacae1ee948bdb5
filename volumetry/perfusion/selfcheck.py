"""Closed forms of contrast curves and of the display, worked out on this machine: part of ``nodus selftest``."""

from __future__ import annotations

import math

import numpy as np

from volumetry.perfusion.curves import TimeIntensityCurve, region_curve
from volumetry.perfusion.fit import fit_curve
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.models import MODELS
from volumetry.perfusion.rim import tell_rim_apart

Check = tuple[str, float, float, float]
EULER = 0.5772156649015329
# A curve of each model; the expected values are the formulas of the literature (reading them off the curve is checked too).
LOGNORMAL = {"baseline": 10.0, "auc": 12000.0, "t0_s": 4.0, "mu": 2.4, "sigma": 0.5}
GAMMA = {"baseline": 10.0, "a": 40.0, "t0_s": 5.0, "alpha": 2.0, "beta_s": 4.0}
REFILL = {"baseline": 10.0, "a": 400.0, "t0_s": 2.0, "beta_per_s": 0.25}


def perfusion_checks() -> list[Check]:
    """All checks of contrast loops; under a second."""
    return [*_curves(), *_fits(), *_speckle(), *_rim()]


def _curves() -> list[Check]:
    lognormal, gamma, refill = (MODELS[n].derived(q) for n, q in (("lognormal", LOGNORMAL), ("gamma_variate", GAMMA), ("replenishment", REFILL)))
    times = 4.0 + np.linspace(0.0, 400.0, 400_001)
    area = float(np.trapezoid(MODELS["lognormal"].value(times, LOGNORMAL) - 10.0, times))
    return [
        ("lognormal, time to peak s", float(lognormal["ttp_s"]), 4.0 + math.exp(2.4 - 0.25), 1e-12),
        ("lognormal, mean transit time s", float(lognormal["mtt_s"]), math.exp(2.4 + 0.125), 1e-12),
        ("lognormal, peak", float(lognormal["peak"]), 12000.0 * math.exp(0.125 - 2.4) / (math.sqrt(2 * math.pi) * 0.5), 1e-8),
        ("lognormal, area by quadrature", area, 12000.0, 0.05),
        ("gamma variate, time to peak s", float(gamma["ttp_s"]), 5.0 + 8.0, 1e-12),
        ("gamma variate, area", float(gamma["auc"]), 40.0 * 4.0**3 * 2.0, 1e-8),
        ("gamma variate, mean transit time s", float(gamma["mtt_s"]), 12.0, 1e-12),
        ("replenishment, rate times plateau", float(refill["wash_in_rate"]), 100.0, 1e-9),
    ]


def _fits() -> list[Check]:
    found = []
    for name, q, key in (("lognormal", LOGNORMAL, "sigma"), ("gamma_variate", GAMMA, "alpha"), ("replenishment", REFILL, "beta_per_s")):
        times = np.arange(160) * 0.5
        fit = fit_curve(TimeIntensityCurve.of_values(times, MODELS[name].value(times, q)), name)
        value = fit.parameters[key]
        found.append((f"{name.replace('_', ' ')} fitted without noise, {key}", math.nan if value is None else value, q[key], 1e-6 * q[key]))
    return found


def _speckle() -> list[Check]:
    """Developed speckle of a known mean power, logged and shown in 256 levels: averaged as power it keeps its mean, averaged in dB it
    lies 10 log10(e) times Euler's constant below (2.51 dB)."""
    rng = np.random.default_rng(7)
    range_db, mean_db = 60.0, 34.0
    shown = mean_db + 10 * np.log10(rng.exponential(size=(4, 400, 400)))
    levels = np.clip(np.rint(shown * 255 / range_db), 0, 255).astype(np.uint8)
    loop = ContrastLoop(levels, None, np.arange(4.0), range_db, (0.2, 0.2))
    curve = region_curve(loop, np.ones(loop.shape, bool))
    return [
        ("speckle averaged as power, dB", 10 * math.log10(float(curve.power.mean())), mean_db, 0.05),
        ("speckle averaged in dB, bias dB", float(levels.mean()) * range_db / 255 - mean_db, -10 * math.log10(math.e) * EULER, 0.05),
    ]


def _rim() -> list[Check]:
    rows, columns = np.mgrid[:80, :80]
    away = np.hypot(rows - 39.5, columns - 39.5) * 0.25
    node = away <= 8.0
    shell, nodule = node & (away > 7.0), np.hypot(rows - 39.5, columns - 55.5) * 0.25 <= 2.0
    mixed = tell_rim_apart(shell | (nodule & node), node, (0.25, 0.25), 1.5)
    return [
        ("smooth rim of 1 mm, viable parts", float(tell_rim_apart(shell, node, (0.25, 0.25), 1.5).foci), 0.0, 0.0),
        ("nodule within a rim, viable parts", float(mixed.foci), 1.0, 0.0),
    ]
