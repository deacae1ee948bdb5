"""Ellipses through outlines: closed forms, noise, and pictures whose circumference was published."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from PIL import Image
from scipy.special import ellipe

from volumetry.ellipse_fit import EllipseFit, fit_ellipse, perpendicular_calipers
from volumetry.ellipsoid import ellipsoid_from_calipers
from volumetry.errors import MeasurementRefused

# name: circumference, long and short axis in mm of an ellipse through the outline's pixels, as stated with the pictures
HEADS = {"150_HC": (90.85, 31.11, 26.63), "250_HC": (154.30, 55.83, 41.90), "455_HC": (180.88, 62.21, 52.74), "700_HC": (185.41, 66.31, 51.24)}


def outline(long_mm, short_mm, angle=0.0, centre=(0.0, 0.0), n=200, start=0.0, stop=2 * math.pi) -> np.ndarray:
    t = np.linspace(start, stop, n, endpoint=False)
    x, y = long_mm / 2 * np.cos(t), short_mm / 2 * np.sin(t)
    return np.column_stack([centre[0] + x * math.cos(angle) - y * math.sin(angle), centre[1] + x * math.sin(angle) + y * math.cos(angle)])


@pytest.mark.parametrize("name", HEADS)
def test_that_the_published_circumference_of_a_drawn_ellipse_is_found(shared_data, name):
    folder = shared_data / "us_lesion_png" / "hc18"
    with open(folder / "pixel_size_and_HC_rows.csv", newline="") as handle:
        row = next(r for r in csv.reader(handle) if r[0] == f"{name}.png")
    pixel_mm, published = float(row[1]), float(row[2])
    rows, columns = np.nonzero(np.array(Image.open(folder / f"{name}_Annotation.png")) > 127)
    fit = fit_ellipse(np.column_stack([columns, rows]), (pixel_mm, pixel_mm))
    assert fit.perimeter_mm == pytest.approx(published, rel=0.005)
    assert (fit.perimeter_mm, fit.long_axis_mm, fit.short_axis_mm) == pytest.approx(HEADS[name], abs=0.0051)
    assert fit.residual_mm < 2 * pixel_mm
    assert fit.findings == ()


def test_that_an_exact_ellipse_is_given_back_from_anywhere_and_from_an_arc():
    rng = np.random.default_rng(6)
    for _ in range(60):
        long_mm = rng.uniform(3, 80)
        short_mm = long_mm * rng.uniform(0.1, 0.98)
        angle, centre = rng.uniform(0, math.pi), rng.normal(0, 400, 2)
        stop = rng.uniform(2.5, 2 * math.pi)
        fit = fit_ellipse(outline(long_mm, short_mm, angle, centre, int(rng.integers(6, 300)), 0.3, stop))
        assert (fit.long_axis_mm, fit.short_axis_mm) == pytest.approx((long_mm, short_mm), rel=1e-6)
        assert fit.centre_mm == pytest.approx(tuple(centre), abs=1e-5 * long_mm)
        assert abs(math.sin(fit.angle_rad - angle)) < 1e-4
        assert fit.residual_mm < 1e-6 * long_mm


def test_that_a_circle_five_points_and_pixels_that_are_not_square_are_fitted():
    circle = fit_ellipse(outline(10, 10, n=5))
    assert (circle.long_axis_mm, circle.short_axis_mm) == pytest.approx((10, 10))
    true = outline(20, 12, 0.7, (30, 40))
    fit = fit_ellipse(true / [0.1, 0.25], (0.1, 0.25))
    assert (fit.long_axis_mm, fit.short_axis_mm) == pytest.approx((20, 12))
    ends = np.array(fit.axis_points("long")) * [0.1, 0.25]
    assert math.dist(*ends) == pytest.approx(20)
    assert ends.mean(axis=0) == pytest.approx([30, 40])


def test_that_noise_of_a_reader_hardly_moves_the_axes():
    rng = np.random.default_rng(2)
    errors = []
    for _ in range(200):
        fit = fit_ellipse(outline(15, 9, rng.uniform(0, 3), n=40) + rng.normal(0, 0.3, (40, 2)))
        errors.append((fit.long_axis_mm - 15, fit.short_axis_mm - 9, fit.residual_mm - 0.3))
    assert np.abs(np.mean(errors, axis=0)[:2]).max() < 0.1
    assert np.std(errors, axis=0)[:2].max() < 0.2
    assert abs(np.mean(errors, axis=0)[2]) < 0.05


def test_that_the_perimeter_agrees_with_the_elliptic_integral():
    for ratio, tolerance in ((1.0, 1e-12), (0.8, 1e-9), (0.4, 2e-7), (0.05, 4e-4)):
        fit = EllipseFit((0, 0), 10.0, 10.0 * ratio, 0.0, 0.0)
        assert fit.perimeter_mm == pytest.approx(4 * 5 * ellipe(1 - ratio**2), rel=tolerance)
    assert EllipseFit((0, 0), 10.0, 6.0, 0.0, 0.0).area_mm2 == pytest.approx(math.pi * 15)


def test_that_the_proposed_calipers_are_the_axes_and_give_the_ellipsoid():
    pixel = (0.1, 0.1)
    pictures = {"longitudinal": ((22, 9), "1.2.3"), "transverse": ((13, 9), "1.2.4")}
    calipers = []
    for plane, (axes, uid) in pictures.items():
        pair = perpendicular_calipers(fit_ellipse(outline(*axes, 0.2, (30, 20)) / 0.1, pixel), plane, uid, 3)
        for caliper in pair:
            assert math.dist(*caliper.points) * 0.1 == pytest.approx(caliper.length_mm)
            assert caliper.still == (uid, 3)
        a, b = (np.subtract(*c.points) for c in pair)
        assert abs(a @ b) < 1e-6 * np.linalg.norm(a) * np.linalg.norm(b)
        calipers += pair
    assert ellipsoid_from_calipers(*calipers).axes_mm == pytest.approx((22, 13, 9))


def test_that_an_outline_far_from_an_ellipse_says_so():
    star = outline(20, 20, n=200)
    star *= 1 + 0.45 * np.cos(5 * np.linspace(0, 2 * math.pi, 200, endpoint=False))[:, None]
    fit = fit_ellipse(star)
    assert [f.code for f in fit.findings] == ["not_an_ellipse"]
    assert [w.code for w in perpendicular_calipers(fit)[0].warnings] == ["not_an_ellipse"]


@pytest.mark.parametrize(
    ("points", "scale", "code"),
    [
        (outline(10, 6, n=4), (1, 1), "bad_outline"),
        (np.repeat(outline(10, 6, n=4), 3, axis=0), (1, 1), "bad_outline"),
        (np.column_stack([np.arange(9.0), 2 * np.arange(9.0)]), (1, 1), "bad_outline"),
        (np.full((9, 2), np.nan), (1, 1), "bad_outline"),
        ([], (1, 1), "bad_outline"),
        (outline(10, 6), (0.0, 1), "uncalibrated"),
        (outline(10, 6), (math.nan, 1), "uncalibrated"),
    ],
)
def test_that_what_holds_no_ellipse_is_refused(points, scale, code):
    with pytest.raises(MeasurementRefused) as refusal:
        fit_ellipse(points, scale)
    assert refusal.value.code == code
