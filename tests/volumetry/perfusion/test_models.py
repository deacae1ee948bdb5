"""The three models: their formulas, gradients, what is read off them, and that a fit finds them again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from tests.reference.perfusion_twins import curve_slowly, gradient_by_differences
from volumetry.errors import NodusError
from volumetry.perfusion.curves import TimeIntensityCurve
from volumetry.perfusion.fit import fit_curve
from volumetry.perfusion.models import DERIVED_NAMES, GAMMA_VARIATE, LOGNORMAL, MODELS, REPLENISHMENT

TIMES = np.linspace(0.0, 80.0, 321)


def random_parameters(model, rng):
    """A curve that a loop of 80 s shows as a whole."""
    base, t0 = rng.uniform(0, 200), rng.uniform(1.0, 12.0)
    if model is LOGNORMAL:
        return np.array([base, 10 ** rng.uniform(1, 7), t0, rng.uniform(1.4, 3.0), rng.uniform(0.25, 0.8)])
    if model is GAMMA_VARIATE:
        alpha = rng.uniform(1.2, 6.0)
        return np.array([base, 10 ** rng.uniform(0, 4), t0, alpha, rng.uniform(4.0, 14.0) / alpha])
    return np.array([base, 10 ** rng.uniform(1, 5), t0, rng.uniform(0.08, 1.0)])


def formula(model, t, q):
    """The model as the literature writes it."""
    s = t - q[2]
    if s <= 0:
        return q[0]
    if model is LOGNORMAL:
        return q[0] + q[1] / (math.sqrt(2 * math.pi) * q[4] * s) * math.exp(-((math.log(s) - q[3]) ** 2) / (2 * q[4] ** 2))
    if model is GAMMA_VARIATE:
        return q[0] + q[1] * s ** q[3] * math.exp(-s / q[4])
    return q[0] + q[1] * (1 - math.exp(-q[3] * s))


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_that_a_model_is_its_formula_and_its_shape_is_another_way_to_write_it(model):
    rng = np.random.default_rng(1)
    for _ in range(20):
        q = random_parameters(model, rng)
        expected = np.array([formula(model, t, q) for t in TIMES])
        scale = np.ptp(expected)
        assert np.abs(model.value(TIMES, q) - expected).max() < 1e-9 * scale + 1e-9
        assert np.abs(curve_slowly(model.kind, TIMES, model.shape(q)) - expected).max() < 1e-9 * scale + 1e-9
        assert model.parameters(model.shape(q)) == pytest.approx(q, rel=1e-10, abs=1e-10)
        assert model.shape(dict(zip(model.parameter_names, q, strict=True))) == pytest.approx(model.shape(q))


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_that_the_gradients_are_those_of_the_curve(model):
    rng = np.random.default_rng(2)
    for _ in range(10):
        q = random_parameters(model, rng)
        shape = model.shape(q)
        # not at the kink of a replenishment
        times = TIMES[np.abs(TIMES - q[2]) > 0.01]
        _, gradient = model.value_and_gradient_of_shape(times, shape)
        scale = np.abs(gradient).max(axis=0) + 1e-12
        assert (np.abs(gradient_by_differences(model.kind, times, shape) - gradient).max(axis=0) / scale)[: 4 + model.has_peak].max() < 1e-5
        named = model.gradient(times, q)
        steps = 1e-6 * np.maximum(np.abs(q), 0.1)
        numeric = np.stack([(model.value(times, q + h) - model.value(times, q - h)) / (2 * h.max()) for h in np.diag(steps)], axis=1)
        assert (np.abs(named - numeric).max(axis=0) / np.abs(named).max(axis=0)).max() < 1e-5


@pytest.mark.parametrize("model", [LOGNORMAL, GAMMA_VARIATE], ids=["lognormal", "gamma_variate"])
def test_that_what_is_read_off_a_bolus_is_what_searching_and_integrating_find(model):
    rng = np.random.default_rng(3)
    for _ in range(6):
        q = random_parameters(model, rng)
        q[0] = 0.0
        d = {k: float(v) for k, v in model.derived(q).items()}
        onset, peak_at = q[2], d["ttp_s"]

        def f(t, q=q):
            return formula(model, t, q)

        def slope(t, f=f):
            return (f(t + 1e-5) - f(t - 1e-5)) / 2e-5

        top = minimize_scalar(lambda t: -f(t), bounds=(onset, onset + 60), method="bounded", options={"xatol": 1e-9})
        assert top.x == pytest.approx(peak_at, abs=1e-4)
        assert -top.fun == pytest.approx(d["peak"], rel=1e-9)
        steep = minimize_scalar(lambda t: -slope(t), bounds=(onset + 1e-3, peak_at), method="bounded", options={"xatol": 1e-8}).x
        assert slope(steep) == pytest.approx(d["wash_in_rate"], rel=1e-6)
        foot = steep - f(steep) / slope(steep)
        assert foot == pytest.approx(d["arrival_s"], abs=2e-3)
        assert peak_at - foot == pytest.approx(d["rise_time_s"], rel=1e-3)
        falling = minimize_scalar(slope, bounds=(peak_at, peak_at + 6 * d["rise_time_s"]), method="bounded", options={"xatol": 1e-8}).x
        assert -slope(falling) == pytest.approx(d["wash_out_rate"], rel=1e-6)
        end = falling - f(falling) / slope(falling)
        assert end - peak_at == pytest.approx(d["fall_time_s"], rel=1e-3)
        assert quad(f, d["arrival_s"], peak_at, epsrel=1e-10)[0] == pytest.approx(d["wi_auc"], rel=1e-8)
        assert quad(f, peak_at, peak_at + d["fall_time_s"], epsrel=1e-10)[0] == pytest.approx(d["wo_auc"], rel=1e-8)
        far = onset + 400 * d["mtt_s"]
        area = quad(f, onset, far, points=[peak_at, peak_at + 10 * d["mtt_s"]], limit=500)[0]
        moment = quad(lambda t, f=f, onset=onset: (t - onset) * f(t), onset, far, points=[peak_at, peak_at + 10 * d["mtt_s"]], limit=500)[0]
        assert area == pytest.approx(d["auc"], rel=1e-6)
        assert moment / area == pytest.approx(d["mtt_s"], rel=1e-5)


def test_that_a_replenishment_gives_plateau_rate_and_transit_and_no_peak():
    d = REPLENISHMENT.derived({"baseline": 5.0, "a": 40.0, "t0_s": 3.0, "beta_per_s": 0.25})
    assert d["peak"] == 40.0
    assert d["wash_in_rate"] == 10.0
    assert d["mtt_s"] == d["rise_time_s"] == 4.0
    assert d["arrival_s"] == 3.0
    assert d["wi_auc"] == pytest.approx(quad(lambda t: 40 * (1 - math.exp(-0.25 * t)), 0, 4)[0])
    assert all(np.isnan(d[n]) for n in ("ttp_s", "fall_time_s", "wash_out_rate", "auc", "wo_auc"))


def test_that_derived_values_come_for_many_curves_at_once():
    rng = np.random.default_rng(4)
    many = np.stack([random_parameters(LOGNORMAL, rng) for _ in range(12)]).reshape(3, 4, 5)
    together = LOGNORMAL.derived(many)
    assert set(together) == set(DERIVED_NAMES)
    for name, values in together.items():
        assert values.shape == (3, 4)
        assert values[2, 1] == pytest.approx(float(LOGNORMAL.derived(many[2, 1])[name]))


def recovered(model, rng, times):
    q = random_parameters(model, rng)
    fit = fit_curve(TimeIntensityCurve.of_values(times, model.value(times, q)), model)
    assert fit.ok, fit.findings
    truth = {**dict(zip(model.parameter_names, q, strict=True)), **{k: float(v) for k, v in model.derived(q).items()}}
    height = truth["peak"]
    for name, value in {**fit.parameters, **fit.derived}.items():
        if np.isnan(truth[name]):
            assert value is None
            continue
        assert value is not None, (name, fit.reasons)
        scale = height if name == "baseline" else max(abs(truth[name]), 1.0) if name in ("t0_s", "mu", "arrival_s", "ttp_s") else abs(truth[name])
        assert abs(value - truth[name]) <= 1e-6 * scale, (name, value, truth[name])
    return fit


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_that_parameters_without_noise_are_found_to_1e_6(model):
    rng = np.random.default_rng(5)
    for _ in range(12):
        uneven = np.concatenate([[0.0], np.cumsum(rng.choice([0.15, 0.2, 0.25, 0.5], 350))])
        fit = recovered(model, rng, uneven)
        assert fit.r_squared > 1 - 1e-9


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_that_parameters_without_noise_are_found_to_1e_6_over_a_thousand_curves(model):
    rng = np.random.default_rng(6)
    for _ in range(1000):
        recovered(model, rng, np.concatenate([[0.0], np.cumsum(rng.choice([0.15, 0.2, 0.25, 0.5], 350))]))


def test_that_parameters_that_make_no_curve_are_refused():
    for bad in ([0, 1, 0, 1, -0.5], [0, 1, 0, np.nan, 0.5]):
        with pytest.raises(NodusError) as refusal:
            LOGNORMAL.value(TIMES, np.array(bad, float))
        assert refusal.value.code == "bad_curve_parameters"
    with pytest.raises(NodusError) as refusal:
        fit_curve(TimeIntensityCurve.of_values(TIMES, TIMES), "spline")
    assert refusal.value.code == "unknown_curve_model"
