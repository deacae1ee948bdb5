"""Slow NumPy forms of the kernels of motion in contrast loops."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def shrink(frames, factor):
    n, rows, columns = len(frames), frames.shape[1] // factor, frames.shape[2] // factor
    cut = frames[:, : rows * factor, : columns * factor].astype(float)
    return cut.reshape(n, rows, factor, columns, factor).mean(axis=(2, 4))


def flatten(pictures, live, rx, ry):
    out = np.zeros(pictures.shape)
    rows, columns = live.shape
    for f, picture in enumerate(pictures):
        for r in range(rows):
            for c in range(columns):
                if live[r, c]:
                    box = slice(max(0, r - ry), r + ry + 1), slice(max(0, c - rx), c + rx + 1)
                    out[f, r, c] = picture[r, c] - picture[box][live[box]].mean()
    return out


def coarsen(pictures, weights, factor, shape):
    first = -((len(weights) - factor) // 2)
    out = np.zeros((len(pictures), *shape))
    pad = len(weights)
    wide = np.pad(pictures.astype(float), ((0, 0), (pad, pad), (pad, pad)))
    for r in range(shape[0]):
        for c in range(shape[1]):
            y, x = r * factor + first + pad, c * factor + first + pad
            out[:, r, c] = np.einsum("fab,a,b->f", wide[:, y : y + pad, x : x + pad], weights, weights)
    return out


def seen(frame, matrix, xs, ys, live=None):
    """Bilinear values at the places of reference pixels, NaN beyond the frame or on a pixel that is not live."""
    x = matrix[0, 0] * xs + matrix[0, 1] * ys + matrix[0, 2]
    y = matrix[1, 0] * xs + matrix[1, 1] * ys + matrix[1, 2]
    rows, columns = frame.shape
    inside = (x >= 0) & (y >= 0) & (x < columns - 1) & (y < rows - 1)
    if live is not None:
        inside &= live[np.clip(y.astype(int), 0, rows - 1), np.clip(x.astype(int), 0, columns - 1)]
    return np.where(inside, ndimage.map_coordinates(frame.astype(float), [y, x], order=1, mode="nearest"), np.nan)


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def best_shift(frame, template, inside, reach):
    """Shift (x, y) and score of the best normalised correlation (about zero) over whole pixels."""
    best = (-2.0, 0, 0)
    rows, columns = frame.shape
    y, x = np.nonzero(inside)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            ok = (y + dy >= 0) & (y + dy < rows) & (x + dx >= 0) & (x + dx < columns)
            t, f = template[y[ok], x[ok]].astype(float), frame[y[ok] + dy, x[ok] + dx].astype(float)
            if (t**2).sum() < 0.4 * (template[inside].astype(float) ** 2).sum():
                continue
            best = max(best, (float((t * f).sum() / np.sqrt((t**2).sum() * (f**2).sum())), dx, dy))
    return (best[1], best[2]), best[0]


def rigid_likeness(frame, live, us, vs, values, to_x, to_y, transform):
    """Correlation of a template's points with a frame through ``(turn, tu, tv)``, and the share of points inside."""
    turn, tu, tv = transform
    x = (np.cos(turn) * us - np.sin(turn) * vs + tu) * to_x[0] + to_x[1]
    y = (np.sin(turn) * us + np.cos(turn) * vs + tv) * to_y[0] + to_y[1]
    value = seen(frame, np.array([[1.0, 0, 0], [0, 1.0, 0]]), x, y, live)
    ok = np.isfinite(value)
    return correlation(value[ok], values[ok].astype(float)), ok.mean()


def block_shift(frame, template, matrix, centre, half, reach):
    """Whole-pixel place (dx, dy) of a block and the map of scores around it."""
    (cx, cy), (hx, hy) = centre, half
    block = template[cy - hy : cy + hy + 1, cx - hx : cx + hx + 1].astype(float)
    score = np.empty((2 * reach + 1, 2 * reach + 1))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            y, x = np.mgrid[cy + dy - hy : cy + dy + hy + 1, cx + dx - hx : cx + dx + hx + 1].astype(float)
            score[dy + reach, dx + reach] = correlation(seen(frame, matrix, x, y), block)
    j, i = np.unravel_index(int(score.argmax()), score.shape)
    return (i - reach, j - reach), score


def field_at(field, xs, ys, shape):
    """Bilinear displacement ``(x, y)`` of a field whose nodes go corner to corner of a pane of ``shape``."""
    gr, gc = field.shape[:2]
    places = [np.clip(ys * (gr - 1) / (shape[0] - 1), 0, gr - 1), np.clip(xs * (gc - 1) / (shape[1] - 1), 0, gc - 1)]
    return [ndimage.map_coordinates(field[..., a].astype(float), places, order=1, mode="nearest") for a in (0, 1)]


def resample(frame, drawn, table, matrix, field):
    """A frame by ``table`` in the axes of the reference; NaN beyond it and where a drawn pixel is touched."""
    rows, columns = frame.shape
    y, x = np.mgrid[:rows, :columns].astype(float)
    fx, fy = (0.0, 0.0) if field.shape[0] == 0 else field_at(field, x, y, frame.shape)
    px = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] + fx
    py = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] + fy
    inside = (px >= 0) & (py >= 0) & (px <= columns - 1) & (py <= rows - 1)
    i, j = np.clip(px.astype(int), 0, columns - 2), np.clip(py.astype(int), 0, rows - 2)
    touched = drawn[j, i] | drawn[j, i + 1] | drawn[j + 1, i] | drawn[j + 1, i + 1]
    value = ndimage.map_coordinates(table.astype(float)[frame], [py, px], order=1, mode="nearest")
    return np.where(inside & ~touched, value, np.nan)
