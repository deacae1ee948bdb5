"""A small moving tissue with known motion: complex speckle that is sampled where it has moved to, log-compressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from volumetry.perfusion.loop import ContrastLoop

MM = 0.1
RANGE_DB = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A loop and its truth: ``matrices`` (reference pixel at rest to frame pixel), ``beside`` and ``flashes`` (bool ``[frame]``)."""

    loop: ContrastLoop
    matrices: np.ndarray
    beside: np.ndarray
    flashes: np.ndarray
    node: np.ndarray
    bend_px: np.ndarray | None


def _speckle(rng, shape, mm):
    """Complex Gaussian field with the width of a beam, mean power 1."""
    field = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    sigmas = (0.14 / mm[1], 0.28 / mm[0])
    field = ndimage.gaussian_filter(field.real, sigmas) + 1j * ndimage.gaussian_filter(field.imag, sigmas)
    return field / np.sqrt((np.abs(field) ** 2).mean())


def rigid(turn, shift_mm, middle_px, mm):
    """2 x 3 pixel matrix of a turn (radians) about ``middle_px`` and a shift in mm."""
    s = np.diag(mm)
    a = np.linalg.inv(s) @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ s
    return np.column_stack([a, middle_px - a @ middle_px + np.asarray(shift_mm) / mm])


def moving_tissue(
    seed, frames=60, shape=(200, 240), mm=(MM, MM), amplitude_mm=(1.0, 3.0), turn_deg=2.0, noise=0.25, beside=(), flashes=(), marks=True, bend_mm=0.0, leak=0.0, rate_hz=10.0, kept=None
) -> Moved:
    """``noise``: power of decorrelating echo against the tissue's. ``beside``: frames of another plane. ``leak``: power of bubbles in
    the B-mode of the second half. ``bend_mm``: size of a smooth displacement beyond the rigid one, breathing with it.
    ``kept``: per frame, the correlation of the tissue's echo with that of the plane at rest (None: 1), as when the hand slides."""
    rng = np.random.default_rng(seed)
    mm = np.asarray(mm, float)
    rows, columns = shape
    times = np.arange(frames) / rate_hz
    pad = int(np.ceil(8.0 / mm.min()))
    wide = (rows + 2 * pad, columns + 2 * pad)
    y, x = np.mgrid[: wide[0], : wide[1]].astype(float)
    middle = np.array([(columns - 1) / 2, (rows - 1) / 2])
    radius = np.hypot((x - pad - middle[0]) * mm[0] / 5.0, (y - pad - middle[1]) * mm[1] / 3.5)
    worth = np.where(radius < 1, 0.15, 1.0) * (1 + 2.0 * np.exp(-(((radius - 1) / 0.08) ** 2)))
    worth = worth * np.exp(0.6 * ndimage.gaussian_filter(rng.normal(size=wide), 20) * 60)
    tissue = _speckle(rng, wide, mm) * np.sqrt(worth)
    other = _speckle(rng, wide, mm) * np.sqrt(np.roll(worth, int(2.0 / mm[0]), axis=1))
    next_to = _speckle(rng, wide, mm) * np.sqrt(worth)
    phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(3.0, 5.0)
    breath = np.sin(2 * np.pi * times / period + phase)
    drift = np.cumsum(rng.normal(size=(frames, 2)) * 0.05, axis=0)
    turns = np.deg2rad(turn_deg) * np.sin(2 * np.pi * times / period + phase + 0.7)
    matrices = np.stack([rigid(turns[k], np.array(amplitude_mm) * breath[k] + drift[k], middle, mm) for k in range(frames)])
    py, px = np.mgrid[:rows, :columns].astype(float)
    bend = np.stack([np.sin(2 * np.pi * py / rows), np.cos(2 * np.pi * px / columns)], axis=-1) * bend_mm / mm if bend_mm else None
    sector = np.hypot(px - middle[0], py + rows) < 1.97 * rows
    tissue_levels, contrast_levels = np.empty((frames, *shape), np.uint8), np.empty((frames, *shape), np.uint8)
    for k in range(frames):
        inverse = np.linalg.inv(np.vstack([matrices[k], [0, 0, 1]]))[:2]
        qx = inverse[0, 0] * px + inverse[0, 1] * py + inverse[0, 2]
        qy = inverse[1, 0] * px + inverse[1, 1] * py + inverse[1, 2]
        if bend is not None:
            qx, qy = qx - bend[..., 0] * breath[k], qy - bend[..., 1] * breath[k]
        places = np.stack([qy + pad, qx + pad])
        source = other if k in beside else tissue
        if kept is not None and kept[k] < 1:
            source = kept[k] * tissue + np.sqrt(1 - kept[k] ** 2) * next_to
        seen = ndimage.map_coordinates(source.real, places, order=1, mode="nearest") + 1j * ndimage.map_coordinates(source.imag, places, order=1, mode="nearest")
        seen = seen + np.sqrt(noise) * _speckle(rng, shape, mm)
        if leak and k >= frames // 2:
            seen = seen + np.sqrt(leak) * _speckle(rng, shape, mm)
        bubbles = np.abs(_speckle(rng, shape, mm)) ** 2 * (1 + 20 * np.clip((times[k] - times[-1] / 4) / max(times[-1], 1), 0, 1))
        gain = 14.0 if k in flashes else 0.0
        for levels, power, base in ((tissue_levels, np.abs(seen) ** 2, 35.0), (contrast_levels, bubbles, 20.0)):
            db = base + gain + 10 * np.log10(power + 1e-6)
            levels[k] = np.where(sector, np.clip(np.rint(db * 255 / RANGE_DB), 0, 255), 0)
            if marks:
                levels[k, 10:20, 10:60:3] = 200
                levels[k, :, columns - 6 : columns - 3] = np.where(np.arange(rows) % 20 < 2, 255, 0)[:, None]
    node = np.hypot((px - middle[0]) * mm[0] / 5.0, (py - middle[1]) * mm[1] / 3.5) < 1
    flags = [np.isin(np.arange(frames), list(which)) for which in (beside, flashes)]
    loop = ContrastLoop(contrast_levels, tissue_levels, times, RANGE_DB, tuple(mm))
    return Moved(loop, matrices, *flags, node, None if bend is None else breath[:, None, None, None] * bend)


def error_mm(moved: Moved, motion, mask=None) -> np.ndarray:
    """RMS distance (mm, per frame) between where the motion puts the pixels of ``mask`` and where they truly went.

    Both are told from the motion's reference frame."""
    mm = np.asarray(moved.loop.mm_per_pixel)
    rows, columns = np.nonzero(moved.node if mask is None else mask)
    points = np.stack([columns, rows, np.ones(len(rows))]).astype(float)
    # From the reference back to rest: a pixel q shows the rest's inv(M) q - bend(q).
    home = np.linalg.inv(np.vstack([moved.matrices[motion.reference_frame], [0, 0, 1]]))[:2]
    at_rest = np.vstack([home @ points - bend_at(moved, motion.reference_frame, points), np.ones(len(rows))])
    out = np.empty(len(moved.matrices))
    for k, truth in enumerate(moved.matrices):
        there = truth @ at_rest
        if moved.bend_px is not None:
            for _ in range(20):
                there = truth @ (at_rest + np.vstack([bend_at(moved, k, there), np.zeros(len(rows))]))
        d = (places_of(motion, k, points[:2], moved.loop.levels.shape[1:]) - there) * mm[:, None]
        out[k] = np.sqrt((d**2).sum(axis=0).mean())
    return out


def bend_at(moved: Moved, frame: int, places) -> np.ndarray:
    """The bend at places (x, y) of a frame, ``(2, n)`` px."""
    if moved.bend_px is None:
        return np.zeros((2, places.shape[1]))
    return np.stack([ndimage.map_coordinates(moved.bend_px[frame][..., a], places[1::-1], order=1, mode="nearest") for a in (0, 1)])


def places_of(motion, frame: int, points, shape) -> np.ndarray:
    """Where the motion puts reference pixels ``(2, n)`` in a frame."""
    there = motion.matrices[frame] @ np.vstack([points, np.ones(points.shape[1])])
    if motion.field is not None:
        gr, gc = motion.field.shape[1:3]
        nodes = np.stack([points[1] * (gr - 1) / (shape[0] - 1), points[0] * (gc - 1) / (shape[1] - 1)])
        there = there + np.stack([ndimage.map_coordinates(motion.field[frame][..., a], nodes, order=1, mode="nearest") for a in (0, 1)])
    return there
