"""Slow twin of ``app.demo.kernels.contrast``: one frame of both panes with SciPy's filters and splines."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def _level(power, range_db):
    with np.errstate(divide="ignore"):
        return np.clip(np.floor(2550.0 / range_db * np.log10(np.maximum(power, 1e-12)) + 0.5), 0, 255).astype(np.uint8)


def _catmull(t):
    return np.array([0.5 * t * (-1 + t * (2 - t)), 0.5 * (2 + t * t * (-5 + 3 * t)), 0.5 * t * (1 + t * (4 - 3 * t)), 0.5 * t * t * (t - 1)])


def painted(noise, taps_y, taps_x, inverse, power, leak, tissue, fine, oversample, margin, floor, tissue_noise, ranges_db):
    """Contrast and B-mode levels of a frame without blur and without a further displacement."""
    rows, columns = power.shape
    y, x = np.mgrid[:rows, :columns].astype(float)
    px, py = (inverse[k, 0] * x + inverse[k, 1] * y + inverse[k, 2] for k in range(2))

    def at(grid):
        return ndimage.map_coordinates(np.asarray(grid, dtype=float), [py.clip(0, rows - 1), px.clip(0, columns - 1)], order=1)

    speckle = [ndimage.correlate1d(ndimage.correlate1d(n.astype(float), taps_x, axis=1, mode="wrap"), taps_y, axis=0, mode="wrap") for n in noise]
    own = np.zeros((2, rows, columns))
    for r in range(rows):
        for c in range(columns):
            fy = np.clip((py[r, c] + margin) * oversample, 1.0, fine.shape[1] - 2.001)
            fx = np.clip((px[r, c] + margin) * oversample, 1.0, fine.shape[2] - 2.001)
            j, i = int(fy), int(fx)
            for k in range(2):
                own[k, r, c] = _catmull(fy - j) @ fine[k, j - 1 : j + 3, i - 1 : i + 3] @ _catmull(fx - i)
    amplitude = [np.sqrt(at(power) + floor) * speckle[k] + np.sqrt(at(leak)) * own[k] for k in range(2)]
    shifted = [np.roll(s, -(rows // 2), axis=0) for s in speckle]
    echo = [np.sqrt(at(tissue)) * own[k] + np.sqrt(tissue_noise) * shifted[k] for k in range(2)]
    return _level(amplitude[0] ** 2 + amplitude[1] ** 2, ranges_db[0]), _level(echo[0] ** 2 + echo[1] ** 2, ranges_db[1])
