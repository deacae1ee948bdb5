"""What is left after the rigid part: small blocks found again, as a check and as a smooth field of displacements."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.kernels import perfusion_motion as kernels
from volumetry.perfusion.motion_levels import CHUNK, Level, Report

BLOCK_MM, CHECK_REACH_MM = 4.0, 1.6
NODE_MM, NODE_BLOCK_MM, NODE_REACH_MM = 5.0, 5.0, 1.0
CHECK_BLOCKS, CHECK_FRAMES = 40, 64
LEAST_SCORE, SCORE_SHARE = 0.25, 0.6
STRAY_MM = 0.5  # a node that differs by more from the middle of its neighbours was found in the wrong place
LEAST_FOUND = 20


def _half(level: Level, size_mm: float) -> tuple[int, int]:
    return max(2, round(size_mm / 2 / level.mm[0])), max(2, round(size_mm / 2 / level.mm[1]))


def _reach(level: Level, reach_mm: float) -> int:
    return max(2, round(reach_mm / min(level.mm)))


def check_centres(level: Level, picture: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Middles ``(n, (x, y))`` of blocks on the level that lie side by side inside ``usable`` (bool) and have structure in all
    directions, the best 40."""
    hx, hy = _half(level, BLOCK_MM)
    dy, dx = np.gradient(picture)
    found = []
    for y in range(hy, picture.shape[0] - hy, 2 * hy + 1):
        for x in range(hx, picture.shape[1] - hx, 2 * hx + 1):
            block = slice(y - hy, y + hy + 1), slice(x - hx, x + hx + 1)
            if usable[block].mean() < 0.9:
                continue
            gx, gy = dx[block].ravel(), dy[block].ravel()
            a, b, c = gx @ gx, gx @ gy, gy @ gy
            # structure in the poorest direction: along an edge alone a block can slide
            found.append(((a + c) / 2 - np.hypot((a - c) / 2, b), x, y))
    found.sort(reverse=True)
    return np.array([(x, y) for _, x, y in found[:CHECK_BLOCKS]], dtype=np.int64).reshape(-1, 2)


def shifts(level: Level, frames: np.ndarray, picture: np.ndarray, matrices: np.ndarray, centres: np.ndarray, size_mm: float, reach_mm: float) -> np.ndarray:
    """``(frame, block, (dx, dy, score))`` of the numbered ``frames`` beyond ``matrices`` (full pixels, all frames); see ``kernels.block_shifts``."""
    out = np.empty((len(frames), len(centres), 3), np.float32)
    here = level.matrices(matrices)
    hx, hy = _half(level, size_mm)
    for first in range(0, len(frames), CHUNK):
        part = frames[first : first + CHUNK]
        kernels.block_shifts(level.frames[part], picture, here[part], centres, hx, hy, _reach(level, reach_mm), out[first : first + CHUNK])
    return out


def found(measured: np.ndarray, likeness: np.ndarray) -> np.ndarray:
    """Which blocks were found again (bool ``(frame, block)``): score at least 0.25, and 0.6 of the whole frame's likeness."""
    return measured[..., 2] >= np.maximum(LEAST_SCORE, SCORE_SHARE * likeness)[:, None]


def spread_mm(level: Level, measured: np.ndarray, ok: np.ndarray) -> float | None:
    """RMS distance in mm by which found blocks lie off; None where fewer than 20 were found. It holds the error of the
    finding itself, so the motion left over is rather less."""
    if np.count_nonzero(ok) < LEAST_FOUND:
        return None
    d = measured[..., :2][ok].astype(float) * np.array(level.mm)
    return float(np.sqrt((d**2).sum(axis=1).mean()))


def grid_shape(shape: tuple[int, int], mm_per_pixel: tuple[float, float]) -> tuple[int, int]:
    """Rows and columns of nodes over a pane: about 5 mm apart, at least 3."""
    return max(3, round(shape[0] * mm_per_pixel[1] / NODE_MM) + 1), max(3, round(shape[1] * mm_per_pixel[0] / NODE_MM) + 1)


def node_places(shape: tuple[int, int], nodes: tuple[int, int]) -> np.ndarray:
    """Full pixel ``(x, y)`` of each node ``[gr, gc, 2]``: corner to corner."""
    y, x = np.meshgrid(np.linspace(0, shape[0] - 1, nodes[0]), np.linspace(0, shape[1] - 1, nodes[1]), indexing="ij")
    return np.stack([x, y], axis=-1)


def smooth_field(measured: np.ndarray, ok: np.ndarray, nodes: tuple[int, int], stray_px: float) -> np.ndarray:
    """A smooth displacement ``(frame, gr, gc, 2)`` from what was measured at the nodes (``(frame, node, 3)``; ``ok`` where found).

    Nodes that stray from the median of their neighbours are dropped; neighbours in time (1 2 1) and in the pane
    (Gaussian of one node) are averaged with the scores as weights, together with a weak pull to no displacement where nothing was
    found. At the end each frame's field is shrunk by the share of it that is the noise of its nodes (James and Stein's
    factor), so that a frame that moved rigidly keeps next to none.
    """
    n, (gr, gc) = len(measured), nodes
    d = measured[..., :2].reshape(n, gr, gc, 2).astype(float)
    weight = np.where(ok, measured[..., 2], 0.0).reshape(n, gr, gc).astype(float)
    hidden = np.where(weight[..., None] > 0, d, np.nan)
    padded = np.pad(hidden, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    around = np.stack([padded[:, a : a + gr, b : b + gc] for a in range(3) for b in range(3)])
    counts = np.isfinite(around[..., 0]).sum(axis=0)
    middle = np.zeros_like(d)
    enough = counts >= 3
    middle[enough] = np.nanmedian(around[:, enough], axis=0)
    weight[~enough | (np.hypot(*np.moveaxis(d - middle, -1, 0)) > stray_px)] = 0.0

    def averaged(values: np.ndarray) -> np.ndarray:
        over_time = ndimage.convolve1d(values, np.array([0.25, 0.5, 0.25]), axis=0, mode="nearest")
        return ndimage.gaussian_filter(over_time, (0, 1.0, 1.0), mode="constant", truncate=2.0)

    mass = averaged(weight)
    pull = 0.1 * float(weight[weight > 0].mean()) if (weight > 0).any() else 1.0
    field = np.stack([averaged(d[..., a] * weight) for a in (0, 1)], axis=-1) / (mass + pull)[..., None]
    # Noise of one node from what it differs by from the smooth field, and how much of it averaging leaves.
    unit = np.zeros((5, 9, 9))
    unit[2, 4, 4] = 1.0
    left = float((averaged(unit) ** 2).sum())
    used = weight > 0
    for f in range(n):
        if np.count_nonzero(used[f]) < 4:
            field[f] = 0.0
            continue
        noise = ((d[f] - field[f])[used[f]] ** 2).mean() / (1 - left)
        power = (field[f][used[f]] ** 2).mean()
        field[f] *= max(0.0, 1.0 - noise * left / power) if power > 0 else 0.0
    return field


def at_places(field: np.ndarray, nodes_at: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """``field`` (frame, gr, gc, 2) bilinear at full pixels ``nodes_at`` ``(m, (x, y))``: ``(frame, m, 2)``."""
    gr, gc = field.shape[1:3]
    rows = np.clip(nodes_at[:, 1] * (gr - 1) / max(shape[0] - 1, 1), 0, gr - 1)
    columns = np.clip(nodes_at[:, 0] * (gc - 1) / max(shape[1] - 1, 1), 0, gc - 1)
    j, i = np.minimum(rows.astype(int), gr - 2), np.minimum(columns.astype(int), gc - 2)
    fy, fx = (rows - j)[None, :, None], (columns - i)[None, :, None]
    top = field[:, j, i] * (1 - fx) + field[:, j, i + 1] * fx
    low = field[:, j + 1, i] * (1 - fx) + field[:, j + 1, i + 1] * fx
    return top * (1 - fy) + low * fy


def find_field(
    level: Level, picture: np.ndarray, usable: np.ndarray, matrices: np.ndarray, likeness: np.ndarray, accepted: np.ndarray, shape: tuple[int, int],
    mm_per_pixel: tuple[float, float], report: Report,
) -> np.ndarray:  # fmt: skip
    """Displacement in the reference's axes, full pixels: float64 ``[frame, gr, gc, 2]``; 0 in frames that are not accepted."""
    nodes = grid_shape(shape, mm_per_pixel)
    centres = np.rint(level.index(node_places(shape, nodes).reshape(-1, 2))).astype(np.int64)
    hx, hy = _half(level, NODE_BLOCK_MM)
    # The nodes on the rim have no whole block; they are measured as far out as one fits.
    centres[:, 0] = np.clip(centres[:, 0], hx, picture.shape[1] - 1 - hx)
    centres[:, 1] = np.clip(centres[:, 1], hy, picture.shape[0] - 1 - hy)
    share = ndimage.uniform_filter(usable.astype(np.float32), (2 * hy + 1, 2 * hx + 1))
    whole = share[centres[:, 1], centres[:, 0]] > 0.7
    chosen = np.flatnonzero(accepted)
    measured = np.empty((len(chosen), len(centres), 3), np.float32)
    for first in range(0, len(chosen), CHUNK):
        report("Following parts of the tissue", first / max(len(chosen), 1))
        part = chosen[first : first + CHUNK]
        measured[first : first + CHUNK] = shifts(level, part, picture, matrices, centres, NODE_BLOCK_MM, NODE_REACH_MM)
    ok = found(measured, likeness[chosen]) & whole
    out = np.zeros((len(matrices), *nodes, 2))
    out[chosen] = smooth_field(measured, ok, nodes, STRAY_MM / min(level.mm)) * level.factor
    return out
