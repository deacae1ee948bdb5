"""How sure a fitted curve is, where the scatter around it is uneven and holds together over time.

Speckle makes the scatter grow with the signal, breathing and slowly moving bubbles make neighbouring frames
err together. The variance is therefore taken as ``constant + share * curve^2``, estimated from the residuals, and
the covariance of the fitted numbers as a sandwich ``H^-1 (J' W^1/2 R W^1/2 J) H^-1`` with R the correlation of the
standardised residuals, modelled as an autoregressive process whose order the data choose (AICc).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import matmul_toeplitz

LEAST_SHARE = 0.02  # scatter at no signal is at least that of 2 % of the peak, so that dark frames do not rule the fit
MOST_ORDER = 12
FRAMES_PER_ORDER = 25  # fewer, and the order chosen is one of chance


def variance_of(residual: np.ndarray, curve: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Variance of each frame, ``a + b curve^2`` with a, b >= 0, from the residuals (never zero), and the variance by
    which frames are weighed: that one with ``b (2 % of the height)^2`` more.

    Squared residuals scatter as their own variance squared, so they are weighed by it; four rounds settle that.
    """
    square = residual**2
    signal = curve**2
    scale = max(float(square.mean()), 1e-300)
    least = (LEAST_SHARE * height) ** 2
    variance, weighing = np.full_like(square, scale), np.full_like(square, scale)
    for _ in range(4):
        w = 1 / weighing**2
        w /= w.sum()
        m, q = float(w @ signal), float(w @ square)
        spread = float(w @ (signal - m) ** 2)
        b = max(float(w @ ((signal - m) * (square - q))) / spread, 0.0) if spread > 0 else 0.0
        a = q - b * m
        if a < 0:
            a, b = 0.0, float((w * signal) @ square) / max(float((w * signal) @ signal), 1e-300)
        variance = np.maximum(a + b * signal, 1e-6 * scale)
        weighing = np.maximum(a + b * (signal + least), 1e-6 * scale)
    return variance, weighing


@dataclass(frozen=True, slots=True, eq=False)
class FitErrors:
    """``covariance`` (5, 5) of the fitted numbers; ``freedom``: degrees of freedom of its estimate; ``correlation_frames``:
    how many neighbouring frames err as one."""

    covariance: np.ndarray
    freedom: float
    correlation_frames: float


def errors_of(gradient: np.ndarray, residual: np.ndarray, variance: np.ndarray, weight: np.ndarray, free: np.ndarray) -> FitErrors:
    """Sandwich covariance over the ``free`` parameters from the curve's ``gradient`` (n, 5), the residuals, what their
    variance looks like and the weights of the fit (n,)."""
    n = residual.size
    root = np.sqrt(weight)
    columns = gradient[:, free] * root[:, None]
    scale = np.sqrt((columns**2).sum(axis=0))
    scale[scale == 0] = 1.0
    q, r = np.linalg.qr(columns / scale)
    own = np.sqrt(variance)
    # Correlation as the fit sees it: frames that hardly count in it do not speak here either.
    correlation = _correlation(residual * root, q)
    counted = float(weight @ variance) ** 2 / float(((weight * variance) ** 2).sum())  # frames that count in the fit
    share = float(weight @ residual**2) / float(weight @ variance) * counted / max(counted - int(free.sum()), 1.0)
    inverse = np.linalg.pinv(r)
    middle = q * (root * own)[:, None]
    middle = middle.T @ matmul_toeplitz(correlation, middle)
    found = share * inverse @ middle @ inverse.T / np.outer(scale, scale)
    covariance = np.zeros((5, 5))
    covariance[np.ix_(free, free)] = (found + found.T) / 2
    # Frames that err together count once.
    whole = max(1 + 2 * float((correlation[1:] * (1 - np.arange(1, n) / n)).sum()), 1.0)
    return FitErrors(covariance, max(counted / whole - int(free.sum()), 3.0), whole)


def _correlation(standard: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Correlation by lag (n,) of the errors. The fit takes part of the errors with it, the slow part most of all; what
    is missing is worked out from the model itself and added, three times over."""
    n = standard.size
    most = int(min(MOST_ORDER, max(1, n // FRAMES_PER_ORDER)))
    seen = _lag_sums(standard, standard, most + 1)
    model = np.zeros(n)
    model[0] = seen[0] / max(n - q.shape[1], 1)
    for _ in range(3):
        rq = matmul_toeplitz(model, q)
        core = q.T @ rq
        missing = np.zeros(most + 1)
        for k in range(q.shape[1]):
            missing += _lag_sums(q[:, k], rq[:, k], most + 1) + _lag_sums(rq[:, k], q[:, k], most + 1) - _lag_sums(q[:, k], q @ core[k], most + 1)
        model = _autoregressive((seen + missing) / n, n)
    if not model[0] > 0:
        model = np.zeros(n)
        model[0] = 1.0
    return model / model[0]


def _lag_sums(a: np.ndarray, b: np.ndarray, lags: int) -> np.ndarray:
    return np.array([float(a[: a.size - k] @ b[k:]) for k in range(min(lags, a.size))])


def _autoregressive(covariance: np.ndarray, n: int) -> np.ndarray:
    """Autocovariance by lag (n,) of the autoregressive process fitted to the first lags (Levinson, Durbin)."""
    total = float(covariance[0])
    out = np.zeros(n)
    if not total > 0:
        return out
    error, coefficients = total, np.zeros(0)
    best, chosen = np.inf, coefficients
    for order in range(covariance.size):
        criterion = n * np.log(max(error, 1e-300)) + 2 * (order + 1) * n / max(n - order - 2, 1)
        if criterion < best - 1e-9:
            best, chosen = criterion, coefficients
        if order + 1 == covariance.size:
            break
        reflection = (covariance[order + 1] - (coefficients @ covariance[order:0:-1] if order else 0.0)) / error
        if not abs(reflection) < 0.999:
            break
        coefficients = np.append(coefficients - reflection * coefficients[::-1], reflection)
        error *= 1 - reflection**2
    p = chosen.size
    out[: p + 1] = covariance[: p + 1]
    for lag in range(p + 1, n):
        out[lag] = chosen @ out[lag - 1 : lag - p - 1 : -1] if p else 0.0
    return out
