"""Which curve a loop's regions follow: lognormal, gamma variate or, after a flash, replenishment.

Bolus models are told apart by Akaike's information criterion, summed over the regions; both have as many numbers, so it is the
likelihood that decides. Frames that err together count once (first-order autocorrelation of the standardised residuals). Where the
two differ by less than ``CLEAR_AIC`` the frames do not tell them apart, the lognormal is taken and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from volumetry.finding import Finding
from volumetry.perfusion.curves import TimeIntensityCurve
from volumetry.perfusion.fit import CurveFit, fit_curve, frames_for
from volumetry.perfusion.fit_errors import variance_of
from volumetry.perfusion.models import GAMMA_VARIATE, LOGNORMAL, REPLENISHMENT, PerfusionModel

CLEAR_AIC = 4.0  # Burnham and Anderson: the other model then has considerably less support
NUMBERS = 7  # five of the shape, two of the variance
LEAST_STEADY = 5  # frames before the first flash
STEADY_CHANGE = 0.35  # of their height: more, and a bolus was on its way


@dataclass(frozen=True, slots=True, eq=False)
class ModelChoice:
    """``model`` taken for all curves; ``aic`` by name of the model, summed over the curves (None where nothing was compared);
    ``reason``: ``information_criterion``, ``not_told_apart``, ``steady_before_flash`` or ``stated``. ``fits``: name of a region to its
    fit by ``model``."""

    model: PerfusionModel
    aic: dict[str, float | None]
    reason: str
    fits: dict[str, CurveFit] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict:
        """As in an answer of the command line."""
        return {"model": self.model.name, "reason": self.reason, "aic": dict(self.aic)}


def choose_model(curves: Mapping[str, TimeIntensityCurve]) -> ModelChoice:
    """One model for all ``curves`` (by name of their region) of a loop, with their fits.

    Finding: ``models_alike``.
    """
    if curves and all(steady_before_flash(curve) for curve in curves.values()):
        fits = {name: fit_curve(curve, REPLENISHMENT) for name, curve in curves.items()}
        return ModelChoice(REPLENISHMENT, {}, "steady_before_flash", fits)
    fits = {model: {name: fit_curve(curve, model) for name, curve in curves.items()} for model in (LOGNORMAL, GAMMA_VARIATE)}
    totals = {LOGNORMAL: 0.0, GAMMA_VARIATE: 0.0}
    compared = 0
    for name, curve in curves.items():
        pair = [fits[model][name] for model in totals]
        if all(fit.ok for fit in pair):
            for model, value in zip(totals, _criteria(curve, pair), strict=True):
                totals[model] += value
            compared += 1
    aic = {model.name: total if compared else None for model, total in totals.items()}
    gain = totals[LOGNORMAL] - totals[GAMMA_VARIATE]
    if compared and abs(gain) >= CLEAR_AIC:
        model = GAMMA_VARIATE if gain > 0 else LOGNORMAL
        return ModelChoice(model, aic, "information_criterion", fits[model])
    told = Finding("models_alike", "These frames do not tell a lognormal from a gamma variate curve; the lognormal was taken.", "info")
    return ModelChoice(LOGNORMAL, aic, "not_told_apart", fits[LOGNORMAL], (told,))


def _criteria(curve: TimeIntensityCurve, fits: list[CurveFit]) -> list[float]:
    """AICc of fits of one curve by models that take the same frames."""
    part, _ = frames_for(fits[0].model, curve)
    twice, count = [], np.inf
    for fit in fits:
        value = fit.value(part.times_s)
        residual = part.power - value
        variance, _ = variance_of(residual, value, fit.shape[1])
        twice.append(float((np.log(variance) + residual**2 / variance).mean()))
        z = residual / np.sqrt(variance)
        together = float(np.clip((z[1:] * z[:-1]).mean() / max(float((z**2).mean()), 1e-300), 0.0, 0.95))
        count = min(count, residual.size * (1 - together) / (1 + together))
    count = max(count, NUMBERS + 2.0)
    return [count * t + 2 * NUMBERS + 2 * NUMBERS * (NUMBERS + 1) / (count - NUMBERS - 1) for t in twice]


def steady_before_flash(curve: TimeIntensityCurve) -> bool:
    """True where a flash came upon a steady signal, as replenishment presumes: an infusion, no bolus on its way.

    From at least 5 frames before the first flash: their power may rise or fall by a third of its height, the height being what came back after.
    """
    if not curve.flash_times_s:
        return False
    before = curve.power[curve.times_s < min(curve.flash_times_s)]
    after = curve.power[curve.times_s > min(curve.flash_times_s)]
    if before.size < LEAST_STEADY or after.size < LEAST_STEADY:
        return False
    third = max(1, before.size // 3)
    height = max(float(np.quantile(before, 0.9)), float(np.quantile(after, 0.9))) - float(min(before.min(), after.min()))
    change = abs(float(before[-third:].mean() - before[:third].mean()))
    return height > 0 and change <= STEADY_CHANGE * height and float(before.mean()) >= 0.5 * float(np.quantile(after, 0.9))
