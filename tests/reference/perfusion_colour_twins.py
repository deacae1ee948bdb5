"""Slow twins of ``volumetry.kernels.perfusion_colour``: every pixel against every colour, in floating point."""

from __future__ import annotations

import numpy as np


def levels_by_search(picture: np.ndarray, table: np.ndarray, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Level of the nearest colour (brightness and weighted hue), and whether that colour is further than ``far``."""
    off = picture.reshape(-1, 1, 3).astype(float) - table.astype(float)
    luma = off @ (0.299, 0.587, 0.114)
    hue = (0.564 * (off[..., 2] - luma)) ** 2 + (0.713 * (off[..., 0] - luma)) ** 2
    cost = luma**2 + 0.35 * hue
    level = cost.argmin(axis=1)
    distance = np.sqrt((off[np.arange(len(off)), level] ** 2).sum(axis=1))
    return level.reshape(picture.shape[:2]), (distance > far).reshape(picture.shape[:2])


def tint_and_grey_by_search(picture: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level and grey whose sum is nearest to each colour, by trying all 256 x 256; sums end at 255."""
    greys = np.arange(256.0)
    out = np.empty((2, picture.shape[0] * picture.shape[1]), dtype=int)
    sums = np.minimum(table.astype(float)[:, None, :] + greys[None, :, None], 255.0)
    for n, colour in enumerate(picture.reshape(-1, 3).astype(float)):
        cost = ((sums - colour) ** 2).sum(axis=2)
        out[:, n] = np.unravel_index(cost.argmin(), cost.shape)
    return out[0].reshape(picture.shape[:2]), out[1].reshape(picture.shape[:2])
