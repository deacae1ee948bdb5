"""How the answer changes with the grid, the pose and the box; and a published zone in pig liver. Tables for the documentation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from planning import Conductivity, TreatmentPlan, analytic, assess_plan, solve_plan
from planning.selfcheck import coaxial_problem, concentric_spheres_problem, solve_posed, two_cylinders_problem
from planning.shapes import Sphere
from tests.planning.helpers import LIVER, make_plan, plan_dict
from tests.planning.test_field import _inclusion
from tests.planning.test_reference_rows import ROWS, extent

# two 18 G needles 15 mm apart, 20 mm exposed, pig liver in vivo (Ben-David and colleagues): V and mean +- SD of width, depth, height in mm
PUBLISHED = {"P1": (15.0, 2250.0, ((30, 4), (17, 4), (30, 6))), "P2": (15.0, 3000.0, ((31, 4), (20, 2), None)), "P3": (20.0, 3000.0, ((39, 5), (19, 4), None))}


def _sizes(e: np.ndarray, h: float, level: float) -> list[float]:
    """Width along the needle line, depth across it and height along the needles (mm) of |E| >= level."""
    return [extent(e.max(axis=tuple(a for a in range(3) if a != axis)), h, level) for axis in (2, 1, 0)]


def _solved(spacing: float, **more):
    plan = make_plan(spacing=spacing, **more)
    solution = solve_plan(plan)
    return solution, assess_plan(plan, solution).answer


def _middle(e: np.ndarray) -> float:
    n = [s // 2 for s in e.shape]
    return float(e[tuple(slice(m - 1, m + 1) if s % 2 == 0 else slice(m, m + 1) for m, s in zip(n, e.shape, strict=True))].mean())


def _posed(spacing: float, turn: Rotation, shift, box: float = 64.0):
    d = plan_dict(spacing=spacing, box=box)
    for e in d["electrodes"]:
        for end in ("tip_mm", "entry_mm"):
            e[end] = list(turn.apply(e[end]) + shift)
    plan = TreatmentPlan.from_dict(d, {})
    answer = assess_plan(plan, solve_plan(plan)).answer
    return answer["pairs"][0]["current_a"], answer["isovolumes_ml"]["500"]


def test_that_halving_the_cell_moves_the_answer_by_less_each_time():
    current, volume = np.array([[a["pairs"][0]["current_a"], a["isovolumes_ml"]["500"]] for a in (_solved(h)[1] for h in (2.0, 1.0, 0.5))]).T
    assert abs(current[2] - current[1]) < 0.6 * abs(current[1] - current[0])
    assert abs(volume[2] / volume[1] - 1) < 0.02


def _grid_table(spacings) -> list[str]:
    lines = ["## Halving the cell", "", "Finite needles against an independent finite-element code (order 2, box of 160 mm; here 80 mm). Difference in brackets.", "",
             "| row | cell, mm | current, A | 500 V/cm, ml | 680 V/cm, ml | middle, V/cm | width x depth x height at 500 V/cm, mm |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for row, (diameter, background, current, middle, size500, v500, _, v680) in ROWS.items():
        for h in spacings:
            solution, a = _solved(h, diameter=diameter, background=background, box=80.0)
            e = solution.e_max_v_per_cm
            got = (a["pairs"][0]["current_a"], a["isovolumes_ml"]["500"], a["isovolumes_ml"]["680"], _middle(e))
            shown = " | ".join(f"{g:.4g} ({100 * (g / w - 1):+.2f} %)" for g, w in zip(got, (current, v500, v680, middle), strict=True))
            lines.append(f"| {row} | {h:g} | {shown} | {' x '.join(f'{s:.1f}' for s in _sizes(e, h, 500.0))} |")
        lines.append(f"| {row} | finite elements | {current:g} | {v500:g} | {v680:g} | {middle:g} | {' x '.join(f'{s:g}' for s in size500)} |")
    return lines


def _closed_table(spacings) -> list[str]:
    lines = ["", "## Closed forms", "", "Difference from the closed form in per cent.", "",
             "| form | " + " | ".join(f"{h:g} mm" for h in spacings) + " |", "| --- |" + " --- |" * len(spacings)]
    liver, one = Conductivity("ramp", 0.08, 0.32, 350.0, 700.0), Conductivity("constant", 1.0)

    def two(h):
        _, current, e = solve_posed(two_cylinders_problem(h), (1125.0, -1125.0))
        return current[0] * 10 / (4 * h) / analytic.two_cylinders_current_a_per_cm(15.0, 0.5, 2250.0), _middle(e[1:3]) / analytic.two_cylinders_field_v_per_cm(0, 0, 15, 0.5, 2250)

    rows = {
        "C1 two endless needles, current": lambda h: two(h)[0],
        "C1, field midway": lambda h: two(h)[1],
        "C3 nonlinear coaxial, current": lambda h: solve_posed(coaxial_problem(h, liver), (500.0, 0.0))[1][0] * 1000 / (4 * h) / analytic.coaxial_nonlinear(liver.at, 0.5, 20.0, 500.0)[0],
        "C4 concentric spheres, current": lambda h: solve_posed(concentric_spheres_problem(h, one), (1000.0, 0.0))[1][0] / analytic.concentric_spheres_current_a(1.0, 20.0, 1000.0),
        "C6 sphere, 0.20 in 0.34 S/m": lambda h: _inclusion([(Sphere((0.1, 0.2, 0), 12.0), 0.20)], (48, 48, 48), 2, h)[0] / analytic.sphere_in_uniform_field(0.20, 0.34),
        "C6 capsule, shell of 0.5 mm": lambda h: _inclusion([(Sphere((0.1, 0.2, 0), 15.0), 0.05), (Sphere((0.1, 0.2, 0), 14.0), 0.5)], (48, 48, 48), 2, h)[0] / 0.677599,
    }
    for name, value in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{100 * (float(value(h)) - 1):+.2f}" for h in spacings) + " |")
    return lines


def _pose_table(spacings, poses: int = 12) -> list[str]:
    rng = np.random.default_rng(11)
    turns = [Rotation.identity(), *Rotation.random(poses - 1, random_state=11)]
    lines = ["", "## Pose", "", f"Two needles of row F1 in a box of 64 mm, {poses} poses: turned by any angle, shifted by any part of a cell. Largest difference from their mean.", "",
             "| cell, mm | current | 500 V/cm volume |", "| --- | --- | --- |"]
    for h in spacings:
        got = np.array([_posed(h, t, rng.uniform(-0.5, 0.5, 3) * h) for t in turns])
        worst = 100 * np.abs(got / got.mean(axis=0) - 1).max(axis=0)
        lines.append(f"| {h:g} | {worst[0]:.2f} % | {worst[1]:.2f} % |")
    return lines


def _box_table() -> list[str]:
    boxes = (48, 64, 80, 112, 160)
    got = np.array([[a["pairs"][0]["current_a"], a["isovolumes_ml"]["500"], a["isovolumes_ml"]["400"]] for a in (_solved(1.0, box=float(b))[1] for b in boxes)])
    lines = ["", "## Box", "", "Row F1 at 1 mm in insulated boxes; difference from the largest.", "", "| box, mm | metal to wall, mm | current | 500 V/cm volume | 400 V/cm volume |", "| --- | --- | --- | --- | --- |"]
    for b, row in zip(boxes, got, strict=True):
        lines.append(f"| {b} | {b / 2 - 10:g} | " + " | ".join(f"{100 * (v / w - 1):+.2f} %" for v, w in zip(row, got[-1], strict=True)) + " |")
    return lines


def _published_table() -> list[str]:
    lines = ["", "## A published zone", "",
             "Two needles of 1.27 mm with 20 mm exposed in pig liver in vivo (Ben-David and colleagues), 50 to 90 pulses; mean ± SD of the zone seen after. Solved at 0.5 mm with the liver "
             "ramp (0.08 to 0.32 S/m over 350 to 700 V/cm). The voltage of P3 is not stated in the abstract: 3000 V is taken.", "",
             "| row | spacing, voltage | field | width, mm | depth, mm | height, mm |", "| --- | --- | --- | --- | --- | --- |"]
    for row, (d, volts, published) in PUBLISHED.items():
        lines.append(f"| {row} | {d:g} mm, {volts:g} V | published | " + " | ".join("not given" if p is None else f"{p[0]} ± {p[1]}" for p in published) + " |")
        solution, _ = _solved(0.5, d=d, volts=volts, diameter=1.27, background=LIVER, box=88.0)
        for level in (400.0, 500.0, 600.0, 680.0):
            sizes = _sizes(solution.e_max_v_per_cm, 0.5, level)
            shown = [f"{s:.1f}" + ("" if p is None else f" ({(s - p[0]) / p[1]:+.1f} SD)") for s, p in zip(sizes, published, strict=True)]
            lines.append(f"| {row} | | {level:g} V/cm | " + " | ".join(shown) + " |")
    lines += ["", "Read it so: at 500 V/cm depth and height lie within about 1 SD; the width is 0.7 to 1.2 SD too small there and up to 2 SD at higher thresholds: beyond the needles the field falls off "
              "steeply, and the zone seen in liver reaches farther. Heat, swelling, the growth of the zone after the pulses and a conductivity that rises along the field more than across it are not in "
              "this model; blood vessels of the liver are not either. One series, one tissue, and an abstract's figures: it says that the size is of the right order, not that a neck node will answer so."]
    return lines


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_that_tables_of_grid_pose_box_and_published_zones_are_on_record(record_result):
    lines = _grid_table((2.0, 1.0, 0.5, 0.25)) + _closed_table((1.0, 0.5, 0.25)) + _pose_table((1.0, 0.5)) + _box_table() + _published_table()
    record_result("field", "The field solver against references", "\n".join(lines))
