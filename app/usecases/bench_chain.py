"""The row of ``nodus bench perfusion`` on the whole way of a long loop: pictures in, maps and what still enhances out."""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy import ndimage

from app.demo.contrast_colours import colour_table
from app.usecases.bench_rows import Row, compare
from app.usecases.contrast_loop import load_loop
from app.usecases.contrast_panes import PaneBox, Panes
from app.usecases.perfusion import analyse_contrast
from app.usecases.perfusion_regions import PerfusionRegion
from volumetry.calibration import Calibration
from volumetry.image import Cine
from volumetry.perfusion.linearise import ColourMap
from volumetry.perfusion.loop import ContrastLoop

PX_MM = 0.1


def long_cine(contrast: ContrastLoop) -> tuple[Cine, Panes]:
    """``contrast`` in copper beside a B-mode of its size that breathes 1.5 mm: pictures are put together when they are read."""
    frames, (rows, columns) = contrast.frame_count, contrast.shape
    rng = np.random.default_rng(8)
    margin = 24
    speckle = ndimage.gaussian_filter(rng.standard_normal((rows + 2 * margin, columns + 2 * margin)), 2.0)
    layers = ndimage.gaussian_filter(rng.standard_normal(speckle.shape), (12.0, 30.0))
    tissue = np.clip(120 + 35 * speckle / speckle.std() + 25 * layers / layers.std(), 0, 255).astype(np.uint8)
    colours = colour_table("copper")
    shift = np.rint(np.sin(2 * np.pi * contrast.times_s / 4.0) * 15.0 / 2).astype(int)

    def picture(n: int) -> np.ndarray:
        out = np.empty((rows, 2 * columns, 3), np.uint8)
        y, x = margin + shift[n] // 2, margin + shift[n]
        out[:, :columns] = tissue[y : y + rows, x : x + columns, None]
        out[:, columns:] = colours[contrast.levels[n]]
        return out

    panes = Panes("side_by_side", PaneBox(columns, 0, 2 * columns - 1, rows - 1), PaneBox(0, 0, columns - 1, rows - 1), (PX_MM, PX_MM))
    return Cine(frames, (rows, 2 * columns), picture, Calibration(), 1000.0 * contrast.times_s), panes


def bench_chain(contrast: ContrastLoop) -> list[Row]:
    """Read, linearise, follow, fit and map a loop of two panes side by side, in one run; each part and the whole."""
    cine, panes = long_cine(contrast)
    rows, columns = contrast.shape
    y, x = np.array([0.3, 0.7]) * rows, columns + np.array([0.3, 0.7]) * columns
    node = PerfusionRegion("node", "node", ((x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])))
    started = time.perf_counter()
    loop = load_loop(cine, panes, range_db=contrast.range_db, colour_map=ColourMap(colour_table("copper")))
    read_s = time.perf_counter() - started
    analyse_contrast(loop, [node], panes, maps=True, whole_maps=True)
    whole_s = time.perf_counter() - started
    peak = peak_memory_mb()
    memory = "" if peak is None else f"; peak memory of the process {peak:.0f} MB"
    size = f"{contrast.frame_count:,} frames of {rows}x{2 * columns} (two panes)"
    return [
        compare(f"read and linearise {size}, colour map undone", read_s),
        compare(f"the whole way: read, linearise, follow the tissue, curve and residual of a node, maps of the whole pane, {size}; goal 20 s on 2 cores{memory}", whole_s),
    ]


def peak_memory_mb() -> float | None:
    """Peak memory of this process so far; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform != "darwin" else peak / 1024**2
