"""Compile the kernels of contrast loops ahead, on tiny arrays."""

from __future__ import annotations

import numpy as np

from volumetry.kernels.perfusion_colour import grey_of, watch_pixels
from volumetry.perfusion.linearise import GREY, ColourMap, undo_colour_map


def warm_up() -> None:
    """Compile or load every kernel between a file and a loop's levels, so that the first loop does not wait."""
    table = np.stack([np.arange(256), np.arange(256) // 2, np.arange(256) // 4], axis=1).astype(np.uint8)
    picture = table[np.arange(64).reshape(8, 8)]
    undone = undo_colour_map(picture, ColourMap(table))
    undo_colour_map(picture, ColourMap(table), overlay=True)
    undo_colour_map(picture, GREY)
    grey_of(picture, np.zeros((8, 8), np.uint8))
    total, squares = np.zeros((8, 8), np.uint32), np.zeros((8, 8), np.uint32)
    watch_pixels(undone.levels, undone.far, total, squares, np.zeros((8, 8), np.uint16))
