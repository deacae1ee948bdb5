"""Echo power over time in closed form, for pictures whose truth is known: bolus and replenishment.

Formulas: lognormal and gamma-variate boluses, replenishment after a destroying pulse (Wei et al.,
Circulation 1998;97:473). Every curve is the contrast's own power, 0 before it arrives.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np


def _since(times_s, start_s: float) -> tuple[np.ndarray, np.ndarray]:
    s = np.asarray(times_s, dtype=np.float64) - start_s
    return s, np.where(s > 0, s, 1.0)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """``auc / (sqrt(2 pi) sigma s) exp(-(ln s - mu)^2 / 2 sigma^2)``, ``s = t - t0_s``."""

    auc: float
    mu: float
    sigma: float
    t0_s: float

    @classmethod
    def of(cls, peak: float, ttp_s: float, t0_s: float, sigma: float) -> Lognormal:
        """The curve that reaches ``peak`` at ``ttp_s``."""
        mu = math.log(ttp_s - t0_s) + sigma**2
        return cls(peak * math.sqrt(2 * math.pi) * sigma * math.exp(mu - 0.5 * sigma**2), mu, sigma, t0_s)

    def power(self, times_s) -> np.ndarray:
        """Echo power at each time."""
        s, safe = _since(times_s, self.t0_s)
        value = self.auc / (math.sqrt(2 * math.pi) * self.sigma * safe) * np.exp(-((np.log(safe) - self.mu) ** 2) / (2 * self.sigma**2))
        return np.where(s > 0, value, 0.0)

    @property
    def ttp_s(self) -> float:
        """Time of the peak, from the start of the loop."""
        return self.t0_s + math.exp(self.mu - self.sigma**2)

    @property
    def peak(self) -> float:
        """Highest power."""
        return self.auc * math.exp(0.5 * self.sigma**2 - self.mu) / (math.sqrt(2 * math.pi) * self.sigma)

    @property
    def mtt_s(self) -> float:
        """Mean transit time: first moment of the curve from its arrival."""
        return math.exp(self.mu + 0.5 * self.sigma**2)


@dataclass(frozen=True, slots=True)
class GammaVariate:
    """``a s^alpha exp(-s / beta_s)``, ``s = t - t0_s``."""

    a: float
    alpha: float
    beta_s: float
    t0_s: float

    @classmethod
    def of(cls, peak: float, ttp_s: float, t0_s: float, alpha: float) -> GammaVariate:
        """The curve that reaches ``peak`` at ``ttp_s``."""
        beta = (ttp_s - t0_s) / alpha
        return cls(peak / ((alpha * beta) ** alpha * math.exp(-alpha)), alpha, beta, t0_s)

    def power(self, times_s) -> np.ndarray:
        """Echo power at each time."""
        s, safe = _since(times_s, self.t0_s)
        return np.where(s > 0, self.a * safe**self.alpha * np.exp(-safe / self.beta_s), 0.0)

    @property
    def ttp_s(self) -> float:
        """Time of the peak, from the start of the loop."""
        return self.t0_s + self.alpha * self.beta_s

    @property
    def peak(self) -> float:
        """Highest power."""
        return self.a * (self.alpha * self.beta_s) ** self.alpha * math.exp(-self.alpha)

    @property
    def auc(self) -> float:
        """Area under the whole curve."""
        return self.a * self.beta_s ** (self.alpha + 1) * math.gamma(self.alpha + 1)

    @property
    def mtt_s(self) -> float:
        """Mean transit time: first moment of the curve from its arrival."""
        return self.beta_s * (self.alpha + 1)


@dataclass(frozen=True, slots=True)
class Replenishment:
    """``a (1 - exp(-beta_per_s s))`` after a flash that ends at ``t0_s``; ``a`` before it."""

    a: float
    beta_per_s: float
    t0_s: float

    def power(self, times_s) -> np.ndarray:
        """Echo power at each time."""
        s = np.asarray(times_s, dtype=np.float64) - self.t0_s
        return np.where(s >= 0, self.a * -np.expm1(-self.beta_per_s * np.maximum(s, 0.0)), self.a)

    @property
    def peak(self) -> float:
        """The plateau."""
        return self.a


@dataclass(frozen=True, slots=True)
class NoContrast:
    """Where no bubble arrives."""

    def power(self, times_s) -> np.ndarray:
        """Zero."""
        return np.zeros(np.shape(times_s))

    @property
    def peak(self) -> float:
        """Zero."""
        return 0.0


Curve = Lognormal | GammaVariate | Replenishment | NoContrast


def described(curve: Curve) -> dict:
    """Plain values of a curve, for ``truth.json``."""
    kind = {Lognormal: "lognormal", GammaVariate: "gamma_variate", Replenishment: "replenishment", NoContrast: "none"}[type(curve)]
    derived = {k: getattr(curve, k) for k in ("ttp_s", "peak", "auc", "mtt_s") if hasattr(curve, k)}
    return {"model": kind, **asdict(curve), **derived}
