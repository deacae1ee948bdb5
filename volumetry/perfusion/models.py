"""The three curves that are fitted to echo power over time, and what is read off them in closed form.

Every model has two sets of numbers. Its **parameters** are those of the literature:

- ``lognormal``: ``baseline, auc, t0_s, mu, sigma``;
  I(t) = baseline + auc / (sqrt(2 pi) sigma s) exp(-(ln s - mu)^2 / (2 sigma^2)), s = t - t0 > 0;
- ``gamma_variate``: ``baseline, a, t0_s, alpha, beta_s``; I(t) = baseline + a s^alpha exp(-s / beta);
- ``replenishment``: ``baseline, a, t0_s, beta_per_s``; I(t) = baseline + a (1 - exp(-beta s)).

Its **shape** (five numbers, see ``volumetry.kernels.perfusion_fit``) is what is fitted, because baseline, height,
time of the peak, width and skewness hardly depend on one another, while t0, mu and sigma do.

Derived values (``DERIVED``) hold above the baseline. Times marked "of the loop" count from the loop's first
frame; all others are durations. Rise time is that of the tangent: the steepest tangent of the wash-in is
followed down to the baseline (``arrival_s``), and the time from there to the peak is the rise time; the
steepest tangent of the wash-out down to the baseline gives the fall time. The wash-in area reaches from
``arrival_s`` to the peak, the wash-out area from the peak to the foot of the falling tangent. A replenishment has
no peak and no wash-out: its height is the plateau, its rise time that of the tangent at the start up to the
plateau (1 / beta), its wash-in area the one below the curve in that time.

Sources: for TTP, MTT and PE of the lognormal and TTP, AUC and MTT of the gamma variate Strouthos et al., IEEE
TUFFC 2010;57:1296; the points of inflection follow from setting the second derivative to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaln, ndtr

from volumetry.errors import NodusError
from volumetry.kernels import perfusion_fit as kernels


@dataclass(frozen=True, slots=True)
class DerivedQuantity:
    """What is read off a fitted curve. ``unit`` "power" is the loop's own arbitrary unit of echo power."""

    name: str
    label: str
    unit: str
    amplitude: bool  # scales with the height of the signal, so it depends on depth, gain and system


DERIVED: tuple[DerivedQuantity, ...] = (
    DerivedQuantity("arrival_s", "Arrival, of the loop", "s", False),
    DerivedQuantity("ttp_s", "Time to peak, of the loop", "s", False),
    DerivedQuantity("rise_time_s", "Rise time", "s", False),
    DerivedQuantity("fall_time_s", "Fall time", "s", False),
    DerivedQuantity("mtt_s", "Mean transit time", "s", False),
    DerivedQuantity("peak", "Peak enhancement", "power", True),
    DerivedQuantity("wash_in_rate", "Wash-in rate", "power/s", True),
    DerivedQuantity("wash_out_rate", "Wash-out rate", "power/s", True),
    DerivedQuantity("auc", "Area under the curve", "power s", True),
    DerivedQuantity("wi_auc", "Wash-in area", "power s", True),
    DerivedQuantity("wo_auc", "Wash-out area", "power s", True),
)
DERIVED_NAMES = tuple(d.name for d in DERIVED)
_SQRT_2PI = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class PerfusionModel:
    """One of ``LOGNORMAL``, ``GAMMA_VARIATE``, ``REPLENISHMENT``.

    Arrays of parameters are ``[..., len(parameter_names)]`` in the order of ``parameter_names``; shapes
    ``[..., 5]``. ``has_peak``: the curve rises and falls.
    """

    name: str
    kind: int
    parameter_names: tuple[str, ...]
    parameter_units: tuple[str, ...]
    has_peak: bool

    def parameters(self, shape: np.ndarray) -> np.ndarray:
        """Parameters of the literature from shapes ``[..., 5]``."""
        baseline, height, p2, p3, p4 = np.moveaxis(np.asarray(shape, dtype=np.float64), -1, 0)
        if self.kind == kernels.REPLENISHMENT:
            return np.stack([baseline, height, p2, p3], axis=-1)
        to_peak = p3 / p4
        if self.kind == kernels.LOGNORMAL:
            return np.stack([baseline, height * _SQRT_2PI * p3 * np.exp(p4**2 / 2), p2 - to_peak, np.log(to_peak) + p4**2, p4], axis=-1)
        alpha = 1 / p4**2
        beta = to_peak / alpha
        return np.stack([baseline, height * np.exp(alpha * (1 - np.log(to_peak))), p2 - to_peak, alpha, beta], axis=-1)

    def shape(self, parameters: np.ndarray | Mapping[str, float]) -> np.ndarray:
        """Shapes ``[..., 5]`` from parameters of the literature (array ``[..., n]`` or mapping by name).

        Raises ``NodusError`` (``bad_curve_parameters``) where a width, rate or exponent is not positive.
        """
        if isinstance(parameters, Mapping):
            parameters = np.array([parameters[n] for n in self.parameter_names], dtype=np.float64)
        q = np.moveaxis(np.asarray(parameters, dtype=np.float64), -1, 0)
        positive = (q[4],) if self.kind == kernels.LOGNORMAL else q[3:]
        if len(q) != len(self.parameter_names) or not np.isfinite(q).all() or any((v <= 0).any() for v in positive):
            raise NodusError(f"These are no parameters of a {self.name.replace('_', ' ')} curve.", code="bad_curve_parameters")
        if self.kind == kernels.REPLENISHMENT:
            return np.stack([*q, np.ones_like(q[0])], axis=-1)
        if self.kind == kernels.LOGNORMAL:
            baseline, auc, t0, mu, sigma = q
            to_peak = np.exp(mu - sigma**2)
            return np.stack([baseline, auc * np.exp(sigma**2 / 2 - mu) / (_SQRT_2PI * sigma), t0 + to_peak, sigma * to_peak, sigma], axis=-1)
        baseline, a, t0, alpha, beta = q
        to_peak = alpha * beta
        return np.stack([baseline, a * np.exp(alpha * (np.log(to_peak) - 1)), t0 + to_peak, to_peak / np.sqrt(alpha), 1 / np.sqrt(alpha)], axis=-1)

    def value(self, times_s: np.ndarray, parameters: np.ndarray | Mapping[str, float]) -> np.ndarray:
        """Power at ``times_s`` (n,) of one set of parameters."""
        return self.value_of_shape(times_s, self.shape(parameters))

    def value_of_shape(self, times_s: np.ndarray, shape: np.ndarray) -> np.ndarray:
        """Power at ``times_s`` (n,) of one shape (5,)."""
        return self.value_and_gradient_of_shape(times_s, shape)[0]

    def value_and_gradient_of_shape(self, times_s: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Power (n,) and its gradient (n, 5) along the shape."""
        times = np.array(times_s, dtype=np.float64)  # copies: the kernel is compiled once, for arrays that may be written
        value, gradient = np.empty(times.size), np.empty((times.size, 5))
        kernels.curve_and_gradient(self.kind, times, np.array(shape, dtype=np.float64), value, gradient)
        return value, gradient

    def gradient(self, times_s: np.ndarray, parameters: np.ndarray | Mapping[str, float]) -> np.ndarray:
        """Gradient (n, number of parameters) along the parameters of the literature, analytic."""
        if isinstance(parameters, Mapping):
            parameters = np.array([parameters[n] for n in self.parameter_names], dtype=np.float64)
        q = np.asarray(parameters, dtype=np.float64)
        s = np.asarray(times_s, dtype=np.float64) - q[2]
        on = s > 0
        s = np.where(on, s, 1.0)
        if self.kind == kernels.LOGNORMAL:
            _, auc, _, mu, sigma = q
            z = (np.log(s) - mu) / sigma
            unit = np.exp(-0.5 * z * z) / (_SQRT_2PI * sigma * s)
            f = auc * unit
            columns = [unit, f / s * (1 + z / sigma), f * z / sigma, f * (z * z - 1) / sigma]
        elif self.kind == kernels.GAMMA_VARIATE:
            _, a, _, alpha, beta = q
            unit = np.exp(alpha * np.log(s) - s / beta)
            f = a * unit
            columns = [unit, -f * (alpha / s - 1 / beta), f * np.log(s), f * s / beta**2]
        else:
            _, a, _, beta = q
            e = np.exp(-beta * s)
            columns = [1 - e, -a * beta * e, a * s * e]
        return np.stack([np.ones_like(s), *(np.where(on, c, 0.0) for c in columns)], axis=-1)

    def derived(self, parameters: np.ndarray | Mapping[str, float]) -> dict[str, np.ndarray]:
        """Every derived value by name (``DERIVED``), NaN where the model has no such thing."""
        return self.derived_of_shape(self.shape(parameters))

    def derived_of_shape(self, shape: np.ndarray) -> dict[str, np.ndarray]:
        """Derived values of shapes ``[..., 5]``; each array is ``[...]``."""
        _, height, p2, p3, p4 = np.moveaxis(np.asarray(shape, dtype=np.float64), -1, 0)
        if self.kind == kernels.REPLENISHMENT:
            none = np.full_like(height, np.nan)
            rise = 1 / p3
            return dict(zip(DERIVED_NAMES, (p2, none, rise, none, rise, height, height * p3, none, none, height * rise * math.exp(-1), none), strict=True))
        to_peak = p3 / p4
        onset = p2 - to_peak
        if self.kind == kernels.LOGNORMAL:
            # f' = f h / s with h = -(1 + (ln s - mu) / sigma^2); f'' = 0 where h^2 - h = 1 / sigma^2
            root = np.sqrt(1 + 4 / p4**2)
            steep, fall = (1 + root) / 2, (1 - root) / 2
            s_in, s_out = to_peak * np.exp(-(p4**2) * steep), to_peak * np.exp(-(p4**2) * fall)
            rate_in = height * np.exp(-(p4**2) * steep**2 / 2) * steep / s_in
            rate_out = -height * np.exp(-(p4**2) * fall**2 / 2) * fall / s_out
            foot_in, foot_out = s_in * (1 - 1 / steep), s_out * (1 - 1 / fall)
            auc = height * _SQRT_2PI * p3 * np.exp(p4**2 / 2)
            mean = to_peak * np.exp(1.5 * p4**2)

            def share(s):  # of the area until s
                return ndtr((np.log(s / to_peak) - p4**2) / p4)
        else:
            alpha = 1 / p4**2
            beta = to_peak / alpha
            root = np.sqrt(alpha)
            s_in, s_out = beta * np.maximum(alpha - root, 0.0), beta * (alpha + root)

            def slope(s):
                r = s / to_peak
                return height * np.power(r, np.maximum(alpha - 1, 0.0)) * np.exp(alpha * (1 - r)) * alpha / to_peak * (1 - r)

            rate_in, rate_out = np.where(alpha >= 1, slope(s_in), np.nan), -slope(s_out)  # below 1 it starts with a jump of slope
            foot_in, foot_out = s_in * (1 - 1 / root), s_out * (1 + 1 / root)
            auc = height * beta * np.exp(alpha - alpha * np.log(alpha) + gammaln(alpha + 1))
            mean = beta * (alpha + 1)

            def share(s):
                return gammainc(alpha + 1, s / beta)

        wi = auc * (share(to_peak) - share(np.maximum(foot_in, 1e-300)))
        wo = auc * (share(foot_out) - share(to_peak))
        values = (onset + foot_in, p2, to_peak - foot_in, foot_out - to_peak, mean, height, rate_in, rate_out, auc, wi, wo)
        return dict(zip(DERIVED_NAMES, values, strict=True))


LOGNORMAL = PerfusionModel("lognormal", kernels.LOGNORMAL, ("baseline", "auc", "t0_s", "mu", "sigma"), ("power", "power s", "s", "ln s", ""), True)
GAMMA_VARIATE = PerfusionModel("gamma_variate", kernels.GAMMA_VARIATE, ("baseline", "a", "t0_s", "alpha", "beta_s"), ("power", "power/s^alpha", "s", "", "s"), True)
REPLENISHMENT = PerfusionModel("replenishment", kernels.REPLENISHMENT, ("baseline", "a", "t0_s", "beta_per_s"), ("power", "power", "s", "1/s"), False)
MODELS: dict[str, PerfusionModel] = {m.name: m for m in (LOGNORMAL, GAMMA_VARIATE, REPLENISHMENT)}


def model_named(name: str | PerfusionModel) -> PerfusionModel:
    """The model of that name. Raises ``NodusError`` (``unknown_curve_model``)."""
    if isinstance(name, PerfusionModel):
        return name
    if name not in MODELS:
        raise NodusError(f"There is no curve model '{name}'; there are {', '.join(MODELS)}.", code="unknown_curve_model")
    return MODELS[name]
