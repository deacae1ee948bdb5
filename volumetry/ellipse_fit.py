"""The ellipse that fits an outline, and the two calipers it proposes.

Direct least squares with the ellipse as a constraint (Fitzgibbon, Pilu, Fisher, IEEE TPAMI
1999;21:476) in the numerically stable form of Halir and Flusser (WSCG 1998). It answers with an ellipse for any
scatter; on a short arc or much noise it errs to the small side, which the residual shows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from volumetry.caliper import Caliper, Plane
from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding

POOR_SHARE = 0.10  # residual over the short axis from which an outline is called no ellipse
HALF_TURN = math.pi


@dataclass(frozen=True, slots=True)
class EllipseFit:
    """An ellipse in mm: ``centre_mm`` (x, y), full axes, ``angle_rad`` of the long axis against x
    (0 to pi). ``residual_mm`` is the root mean square distance of the points (to first order)."""

    centre_mm: tuple[float, float]
    long_axis_mm: float
    short_axis_mm: float
    angle_rad: float
    residual_mm: float
    mm_per_unit: tuple[float, float] = (1.0, 1.0)
    findings: tuple[Finding, ...] = ()

    @property
    def area_mm2(self) -> float:
        """pi/4 x long x short."""
        return math.pi / 4.0 * self.long_axis_mm * self.short_axis_mm

    @property
    def perimeter_mm(self) -> float:
        """Length of the outline by Ramanujan's second approximation (1914), good to 0.04 % at any
        flatness and to 2e-7 for axes up to 2.5 to 1."""
        a, b = self.long_axis_mm / 2.0, self.short_axis_mm / 2.0
        h = ((a - b) / (a + b)) ** 2
        return math.pi * (a + b) * (1.0 + 3.0 * h / (10.0 + math.sqrt(4.0 - 3.0 * h)))

    def axis_points(self, which: str = "long") -> tuple[tuple[float, float], tuple[float, float]]:
        """End points (x, y) of the ``long`` or ``short`` axis in the units of the outline."""
        turn = self.angle_rad + (0.0 if which == "long" else math.pi / 2.0)
        half = (self.long_axis_mm if which == "long" else self.short_axis_mm) / 2.0
        step = np.array([math.cos(turn), math.sin(turn)]) * half
        ends = sorted(tuple(float(v) for v in (np.array(self.centre_mm) + s * step) / self.mm_per_unit) for s in (-1, 1))
        return ends[0], ends[1]


def perpendicular_calipers(fit: EllipseFit, plane: Plane = "other", picture: str | None = None, frame: int = 0) -> tuple[Caliper, Caliper]:
    """(long, short) axis of the ellipse as calipers on the picture: a proposal for the reader.

    The end points are in the units of the outline (pixels); warnings of the fit travel along.
    """
    return tuple(
        Caliper(fit.axis_points(which), length, plane, picture, frame, fit.findings)
        for which, length in (("long", fit.long_axis_mm), ("short", fit.short_axis_mm))
    )


def fit_ellipse(points, mm_per_unit: tuple[float, float] = (1.0, 1.0)) -> EllipseFit:
    """Ellipse through the outline ``points`` (n, 2) of (x, y), at least five of them.

    ``mm_per_unit`` is the scale along x and y (mm per pixel on a calibrated picture); pixels need
    not be square. Warning ``not_an_ellipse`` where the points lie farther off than a tenth of the
    short axis. Refuses ``bad_outline`` (fewer than five different points, not finite, all on one line)
    and ``uncalibrated`` (a scale that is not above 0).
    """
    scale = np.asarray(mm_per_unit, dtype=np.float64)
    if scale.shape != (2,) or not np.isfinite(scale).all() or (scale <= 0).any():
        raise MeasurementRefused("Without a length scale an ellipse has no axes in millimetres.", code="uncalibrated")
    try:
        xy = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        xy = np.empty(0)
    if xy.ndim != 2 or xy.shape[1] != 2 or not np.isfinite(xy).all() or len(np.unique(xy, axis=0)) < 5:
        raise MeasurementRefused("An ellipse needs at least five points of the outline.", code="bad_outline")
    mm = xy * scale
    middle = mm.mean(axis=0)
    size = float(np.abs(mm - middle).max())
    x, y = ((mm - middle) / size).T  # near one: the fourth powers in the scatter matrix stay apart
    if np.linalg.svd(np.stack([x, y]), compute_uv=False)[1] < 1e-6 * math.sqrt(len(x)):
        raise MeasurementRefused("The points of the outline lie on one line.", code="bad_outline")
    a = _conic(x, y)
    if a is None:
        raise MeasurementRefused("No ellipse goes through these points.", code="bad_outline")
    centre, axes, angle = _shape(a)
    value = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)], axis=1) @ a
    slope = np.hypot(2 * a[0] * x + a[1] * y + a[3], a[1] * x + 2 * a[2] * y + a[4])
    # on the centre itself the slope vanishes; such a point is half a short axis off, not infinitely far
    away = np.minimum(np.abs(value) / np.maximum(slope, 1e-12), axes[0])
    residual = size * float(np.sqrt((away**2).mean()))
    long_axis, short_axis = 2 * size * axes[0], 2 * size * axes[1]
    findings = ()
    if residual > POOR_SHARE * short_axis:
        findings = (Finding("not_an_ellipse", f"The outline lies {residual:.2g} mm off its ellipse on average: the axes say little about it.", "warning"),)
    at = middle + size * centre
    return EllipseFit(
        (float(at[0]), float(at[1])), long_axis, short_axis, angle % HALF_TURN, residual, (float(scale[0]), float(scale[1])), findings
    )


def _conic(x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """(a, b, c, d, e, f) of a x^2 + b x y + c y^2 + d x + e y + f = 0 with 4 a c - b^2 > 0."""
    square = np.stack([x * x, x * y, y * y], axis=1)
    linear = np.stack([x, y, np.ones_like(x)], axis=1)
    s1, s2, s3 = square.T @ square, square.T @ linear, linear.T @ linear
    t = -np.linalg.solve(s3, s2.T)
    m = s1 + s2 @ t
    m = np.stack([m[2] / 2.0, -m[1], m[0] / 2.0])
    values, vectors = np.linalg.eig(m)
    vectors = np.real(vectors[:, np.abs(np.imag(values)) < 1e-9])
    kind = 4 * vectors[0] * vectors[2] - vectors[1] ** 2
    if not len(kind) or kind.max() <= 1e-12:
        return None
    first = vectors[:, int(kind.argmax())]
    return np.concatenate([first, t @ first])


def _shape(conic: np.ndarray) -> tuple[np.ndarray, tuple[float, float], float]:
    """(centre, (long, short) semi-axes, angle of the long one) of an ellipse."""
    a, b, c, d, e, f = conic * np.sign(conic[0])
    q = np.array([[a, b / 2], [b / 2, c]])
    centre = -np.linalg.solve(q, np.array([d, e]) / 2)
    level = -(f + (d * centre[0] + e * centre[1]) / 2)
    values, vectors = np.linalg.eigh(q)  # ascending: the flattest direction is the long axis
    if level <= 0:
        raise MeasurementRefused("No ellipse goes through these points.", code="bad_outline")
    return centre, (math.sqrt(level / values[0]), math.sqrt(level / values[1])), math.atan2(vectors[1, 0], vectors[0, 0])
