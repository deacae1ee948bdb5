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

from app.jobs import JobContext
from app.usecases.bench_dicom import FULL, SHORT, bench_dicom
from app.usecases.bench_perfusion import bench_perfusion
from app.usecases.bench_planning import bench_planning
from app.usecases.bench_rows import Row, best_of, compare, machine_name
from app.usecases.bench_study import bench_study
from app.usecases.bench_volumetry import bench_volumetry
from volumetry.errors import NodusError


def run_bench(name: str | None, context: JobContext, *, short: bool = False) -> dict:
    """Run one group or all; refuses an unknown name. ``short`` takes little data for the DICOM files."""
    groups = {"window": bench_window, "dicom": lambda: bench_dicom(SHORT if short else FULL), "volumetry": bench_volumetry, "planning": bench_planning, "perfusion": bench_perfusion, "study": bench_study, "demo": bench_demo}
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


def bench_demo() -> list[Row]:
    """Each stage of the headless main job, as its summary reports them."""
    from app.usecases.demo import run_headless

    with tempfile.TemporaryDirectory() as folder:
        summary = run_headless(Path(folder), JobContext(), screenshots=False)
        rows = [compare(f"demo: {stage}", seconds) for stage, seconds in summary["stage_seconds"].items()]
        return [*rows, compare("demo: whole headless main job (without screenshots)", summary["seconds"])]
