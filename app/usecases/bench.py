"""``nodus bench``: our time against a peer's on the same work, in the same run, every row reported.

Absolute times belong to the machine that is named with them. A peer that is not installed leaves
its columns empty; a row where we lose is a row all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from app.jobs import JobContext
from app.usecases.bench_dicom import bench_dicom
from app.usecases.bench_rows import Row, best_of, compare, machine_name
from app.usecases.bench_volumetry import bench_volumetry
from volumetry.errors import NodusError


def run_bench(name: str | None, context: JobContext) -> dict:
    """Run one group or all; refuses an unknown name."""
    groups = {"window": bench_window, "dicom": bench_dicom, "volumetry": bench_volumetry, "planning": bench_planning, "demo": bench_demo}
    if name is not None and name not in groups:
        raise NodusError(f"There is no benchmark '{name}'; there are {', '.join(groups)}.", code="unknown_benchmark")
    chosen = groups if name is None else {name: groups[name]}
    rows: list[Row] = []
    for n, (title, work) in enumerate(chosen.items()):
        context.report(f"Timing {title}", n / len(chosen))
        rows += work()
    context.report("Done", 1.0)
    return {"machine": machine_name(), "rows": [asdict(r) for r in rows]}


def bench_window() -> list[Row]:
    """Process start to a window with its first frame painted, in a fresh process each time."""
    environment = dict(os.environ)
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY") or sys.platform in ("win32", "darwin")):
        environment["QT_QPA_PLATFORM"] = "offscreen"

    def start() -> None:
        subprocess.run([sys.executable, "-m", "app.ui.probe"], env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    cold, _ = best_of(start, 3)
    return [compare("start to a usable window (process included)", cold)]


def two_needle_plan(spacing_mm: float, size_mm: float = 64.0) -> dict:
    """Plan file of the reference pair F1: 15 mm apart, 20 mm exposed, 2250 V, uniform 1 S/m."""
    return {
        "schema": "nodus.plan/1",
        "domain": {"center_mm": [0, 0, 0], "size_mm": [size_mm] * 3, "spacing_mm": spacing_mm},
        "background": {"model": "constant", "sigma_s_per_m": 1.0},
        "regions": [],
        "electrodes": [
            {"id": f"E{n + 1}", "tip_mm": [x, 0, -10], "entry_mm": [x, 0, 30], "exposure_mm": 20, "diameter_mm": 1.0} for n, x in enumerate((-7.5, 7.5))
        ],
        "pulses": [{"anode": "E1", "cathode": "E2", "voltage_v": 2250, "pulses": 90, "width_us": 70, "rate_hz": 1}],
        "thresholds_v_per_cm": [500, 680],
        "lethal_v_per_cm": 500,
        "boundary": "insulating",
        "margin_mm": 5,
    }


def bench_planning() -> list[Row]:
    """One linear pair at 1.0 and 0.5 mm; the peer is pyamg on a Poisson problem of the same size."""
    from app.usecases.plan import solve_and_assess, tissue_presets
    from planning.field.solve import solve_plan
    from planning.plan import TreatmentPlan

    rows = []
    for spacing in (1.0, 0.5):
        plan = TreatmentPlan.from_dict(two_needle_plan(spacing), tissue_presets(), None)
        solve_plan(plan)
        ours_s, solution = best_of(lambda plan=plan: solve_plan(plan), 3)
        cells = solution.geometry.shape
        peer_s = _pyamg_poisson_s(cells) if spacing == 1.0 else None
        rows.append(compare(f"linear field of one pair, {spacing:g} mm, {'x'.join(map(str, cells))} cells, needles embedded", ours_s, "pyamg smoothed aggregation + CG, Poisson of the same size, set-up and solve" if peer_s else None, peer_s))
    plan = TreatmentPlan.from_dict(two_needle_plan(1.0), tissue_presets(), None)
    whole_s, _ = best_of(lambda: solve_and_assess(plan, JobContext()), 3)
    rows.append(compare("plan solved and assessed, 1 mm", whole_s))
    return rows


def _pyamg_poisson_s(shape) -> float | None:
    """Seconds pyamg takes for a 7-point Poisson problem of this shape to 1e-6; None if not installed."""
    try:
        import pyamg
    except ImportError:
        return None
    matrix = pyamg.gallery.poisson(tuple(shape), format="csr")
    right = np.random.default_rng(1).standard_normal(matrix.shape[0])

    def work():
        return pyamg.smoothed_aggregation_solver(matrix).solve(right, tol=1e-6, accel="cg")

    return best_of(work, 1)[0]


def bench_demo() -> list[Row]:
    """Each stage of the headless main job, as its summary reports them."""
    from app.usecases.demo import run_headless

    with tempfile.TemporaryDirectory() as folder:
        summary = run_headless(Path(folder), JobContext(), screenshots=False)
        rows = [compare(f"demo: {stage}", seconds) for stage, seconds in summary["stage_seconds"].items()]
        return [*rows, compare("demo: whole headless main job (without screenshots)", summary["seconds"])]
