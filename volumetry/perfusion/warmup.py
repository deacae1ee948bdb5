"""Compile the kernels of contrast loops ahead, on tiny arrays."""

from __future__ import annotations

import numpy as np

from volumetry.kernels.perfusion_colour import grey_of, watch_pixels
from volumetry.perfusion.curves import region_curve
from volumetry.perfusion.fit import fit_curve
from volumetry.perfusion.linearise import GREY, ColourMap, undo_colour_map
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.maps import parameter_maps
from volumetry.perfusion.motion import estimate_motion
from volumetry.perfusion.motion_pictures import mean_power, moved_mask, resample_frame


def warm_up() -> None:
    """Compile or load the kernels from a file's colours to fitted curves and maps, so that the first loop does not wait."""
    table = np.stack([np.arange(256), np.arange(256) // 2, np.arange(256) // 4], axis=1).astype(np.uint8)
    picture = table[np.arange(64).reshape(8, 8)]
    undone = undo_colour_map(picture, ColourMap(table))
    undo_colour_map(picture, ColourMap(table), overlay=True)
    undo_colour_map(picture, GREY)
    grey_of(picture, np.zeros((8, 8), np.uint8))
    total, squares = np.zeros((8, 8), np.uint32), np.zeros((8, 8), np.uint32)
    watch_pixels(undone.levels, undone.far, total, squares, np.zeros((8, 8), np.uint16))
    rng, times = np.random.default_rng(1), np.arange(24) * 1.5
    speckle = rng.integers(60, 160, (1, 64, 64)) + rng.integers(0, 20, (24, 64, 64))
    rising = 60 + 100 * np.exp(-(((times - 14) / 9) ** 2))[:, None, None] + rng.integers(0, 30, (24, 64, 64))
    loop = ContrastLoop(rising.astype(np.uint8), speckle.astype(np.uint8), times, 60.0, (0.4, 0.4))
    motion = estimate_motion(loop, nonrigid=True)
    mask = np.zeros(loop.shape, dtype=bool)
    mask[20:44, 20:44] = True
    mean_power(loop, motion)
    resample_frame(loop, motion, 0)
    moved_mask(mask, motion, 0)
    for model in ("lognormal", "gamma_variate", "replenishment"):
        fit_curve(region_curve(loop, mask, motion), model)
    parameter_maps(loop, motion, mask, threads=1)
