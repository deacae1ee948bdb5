"""What is left after the rigid part: small blocks found again, as a check and as a smooth field of displacements."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.kernels import perfusion_motion as kernels
from volumetry.perfusion.motion_align import Template
from volumetry.perfusion.motion_levels import CHUNK, Level, Report

BLOCK_MM, CHECK_REACH_MM = 4.0, 1.6
NODE_MM, STRIDE_MM, REACH_MM = 5.0, 3.3, 1.0
LEAST_BLOCKS = 8
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
CHECK_BLOCKS, CHECK_FRAMES = 40, 64
LEAST_SCORE, SCORE_SHARE = 0.25, 0.6
STRAY_MM = 0.4  # a block that differs by more from the smooth field was found in the wrong place
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


def left_over_mm(level: Level, measured: np.ndarray, ok: np.ndarray, centres: np.ndarray) -> float | None:
    """RMS distance in mm by which the tissue still lies off, from re-found blocks; None where too few were found.

    A block's place has an error of its own, and the motion of interest is shared by neighbours. So products of the shifts
    of neighbouring blocks are averaged instead of squares: errors of blocks that share no pixel cancel, motion does not.
    Two standard errors (from frame to frame) of that mean are added. What all frames share is not seen: an error of the reference frame's
    own place, of one or two hundredths of a millimetre.
    """
    gaps = np.abs(centres[:, None] - centres[None]) * np.array(level.mm)
    a, b = np.nonzero(np.triu(gaps.max(axis=2) < 1.5 * BLOCK_MM, 1))
    both = ok[:, a] & ok[:, b]
    if np.count_nonzero(both) < LEAST_FOUND:
        return None
    d = measured[..., :2].astype(float) * np.array(level.mm)
    products = np.where(both, (d[:, a] * d[:, b]).sum(axis=2), 0.0)
    frames = both.any(axis=1)
    each = products[frames].sum(axis=1) / both[frames].sum(axis=1)
    error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else abs(each[0])
    return float(np.sqrt(max(each.mean(), 0.0) + 2.0 * error))


def grid_shape(shape: tuple[int, int], mm_per_pixel: tuple[float, float]) -> tuple[int, int]:
    """Rows and columns of nodes over a pane: about 5 mm apart, at least 3."""
    return max(3, round(shape[0] * mm_per_pixel[1] / NODE_MM) + 1), max(3, round(shape[1] * mm_per_pixel[0] / NODE_MM) + 1)


def node_weights(places: np.ndarray, nodes: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """How much each node counts at full pixels ``places`` ``(m, (x, y))``, bilinear: ``(m, gr * gc)``."""
    gr, gc = nodes
    rows = np.clip(places[:, 1] * (gr - 1) / max(shape[0] - 1, 1), 0, gr - 1)
    columns = np.clip(places[:, 0] * (gc - 1) / max(shape[1] - 1, 1), 0, gc - 1)
    j, i = np.minimum(rows.astype(int), gr - 2), np.minimum(columns.astype(int), gc - 2)
    fy, fx = rows - j, columns - i
    out, m = np.zeros((len(places), gr * gc)), np.arange(len(places))
    out[m, j * gc + i], out[m, j * gc + i + 1] = (1 - fx) * (1 - fy), fx * (1 - fy)
    out[m, (j + 1) * gc + i], out[m, (j + 1) * gc + i + 1] = (1 - fx) * fy, fx * fy
    return out


def _bending(nodes: tuple[int, int]) -> np.ndarray:
    """Second differences along both axes and the mixed one: what is 0 for a shift, a turn and a stretch; ``(n, gr * gc)``."""
    number = np.arange(nodes[0] * nodes[1]).reshape(nodes)
    rows = []
    for a, b, c in ((number[:-2], number[1:-1], number[2:]), (number[:, :-2], number[:, 1:-1], number[:, 2:])):
        for p, q, r in zip(a.ravel(), b.ravel(), c.ravel(), strict=True):
            rows.append({p: 1.0, q: -2.0, r: 1.0})
    for p, q, r, t in zip(number[:-1, :-1].ravel(), number[:-1, 1:].ravel(), number[1:, :-1].ravel(), number[1:, 1:].ravel(), strict=True):
        rows.append({p: 1.4, q: -1.4, r: -1.4, t: 1.4})
    out = np.zeros((len(rows), number.size))
    for row, entries in enumerate(rows):
        out[row, list(entries)] = list(entries.values())
    return out


def smooth_field(measured: np.ndarray, ok: np.ndarray, weights: np.ndarray, nodes: tuple[int, int], stray_px: float) -> np.ndarray:
    """A smooth displacement ``(frame, gr, gc, 2)`` from shifts of blocks (``(frame, block, 3)``; ``ok`` where found; ``weights``: their
    ``node_weights``).

    Neighbours in time are averaged (1 2 1). The nodes then follow the blocks by least squares against a penalty on bending, as strong as
    generalised cross-validation over the clip asks (Golub, Heath and Wahba, Technometrics 1979;21:215); blocks that stray
    from the result are dropped and it is worked again. At the end each frame's field is shrunk by the share of it that
    is the noise of the blocks (James and Stein's factor), so that a frame that moved rigidly keeps next to none.
    """
    n, count = len(measured), nodes[0] * nodes[1]
    w = np.where(ok, measured[..., 2], 0.0).astype(float)
    d = measured[..., :2].astype(float)
    taps = np.array([0.25, 0.5, 0.25])
    mass = ndimage.convolve1d(w, taps, axis=0, mode="nearest")
    d = ndimage.convolve1d(d * w[..., None], taps, axis=0, mode="nearest") / np.where(mass > 0, mass, 1.0)[..., None]
    w = np.where(ok, mass, 0.0)
    bending = _bending(nodes)
    bending = bending.T @ bending
    ridge = 1e-3 * np.eye(count)

    def solve(f: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Nodes ``(count, 2)`` and what each block adds to its own place."""
        a = weights.T * w[f]
        inverse = np.linalg.inv(a @ weights + strength * bending + ridge)
        return inverse @ (a @ d[f]), np.einsum("bn,nm,mb->b", weights, inverse, a)

    enough = np.flatnonzero((w > 0).sum(axis=1) >= LEAST_BLOCKS)
    field = np.zeros((n, count, 2))
    if len(enough) == 0:
        return field.reshape(n, *nodes, 2)
    tried = enough[np.unique(np.linspace(0, len(enough) - 1, min(len(enough), 24)).astype(int))]
    for again in (False, True):
        errors = []
        for strength in STRENGTHS:
            left, freedom, total = 0.0, 0.0, 0.0
            for f in tried:
                x, own = solve(f, strength)
                left += float((w[f][:, None] * (weights @ x - d[f]) ** 2).sum())
                freedom += float(own[w[f] > 0].sum())
                total += float(np.count_nonzero(w[f]))
            errors.append(left / max(1.0 - freedom / total, 1e-3) ** 2)
        strength = STRENGTHS[int(np.argmin(errors))]
        for f in enough:
            x, own = solve(f, strength)
            off = np.hypot(*(weights @ x - d[f]).T)
            used = w[f] > 0
            if not again:
                w[f][off > max(stray_px, 3 * np.median(off[used]))] = 0.0
                continue
            noise = (w[f][:, None] * (weights @ x - d[f]) ** 2).sum() / max(np.count_nonzero(used) - own[used].sum(), 1.0)
            power = (w[f][:, None] * (weights @ x) ** 2).sum()
            field[f] = x * max(0.0, 1.0 - noise * own[used].sum() / power) if power > 0 else 0.0
    return field.reshape(n, *nodes, 2)


def at_places(field: np.ndarray, places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """``field`` (frame, gr, gc, 2) bilinear at full pixels ``places`` ``(m, (x, y))``: ``(frame, m, 2)``."""
    nodes = field.shape[1:3]
    return node_weights(places, nodes, shape) @ field.reshape(len(field), nodes[0] * nodes[1], 2)


def find_field(
    level: Level, picture: np.ndarray, usable: np.ndarray, matrices: np.ndarray, likeness: np.ndarray, accepted: np.ndarray, shape: tuple[int, int],
    mm_per_pixel: tuple[float, float], report: Report,
) -> np.ndarray:  # fmt: skip
    """Displacement in the reference's axes, full pixels: float64 ``[frame, gr, gc, 2]``; 0 in frames that are not accepted."""
    nodes = grid_shape(shape, mm_per_pixel)
    hx, hy = _half(level, BLOCK_MM)
    ys, xs = (np.linspace(h, m - 1 - h, max(2, round((m - 2 * h) * mm / STRIDE_MM) + 1)) for h, m, mm in zip((hy, hx), picture.shape, level.mm[::-1], strict=True))
    centres = np.rint(np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)).astype(np.int64)
    share = ndimage.uniform_filter(usable.astype(np.float32), (2 * hy + 1, 2 * hx + 1))
    centres = centres[share[centres[:, 1], centres[:, 0]] > 0.8]
    if len(centres) < LEAST_BLOCKS:
        return np.zeros((len(matrices), *nodes, 2))
    chosen = np.flatnonzero(accepted)
    measured = np.empty((len(chosen), len(centres), 3), np.float32)
    for first in range(0, len(chosen), CHUNK):
        report("Following parts of the tissue", first / max(len(chosen), 1))
        part = chosen[first : first + CHUNK]
        measured[first : first + CHUNK] = shifts(level, part, picture, matrices, centres, BLOCK_MM, REACH_MM)
    weights = node_weights(centres * level.factor + (level.factor - 1) / 2, nodes, shape)
    out = np.zeros((len(matrices), *nodes, 2))
    out[chosen] = smooth_field(measured, found(measured, likeness[chosen]), weights, nodes, STRAY_MM / min(level.mm)) * level.factor
    return out


def likeness_through(template: Template, matrices: np.ndarray, field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Likeness (``[frame]``) of every frame to the template through ``matrices`` (full pixels) and ``field`` (full pixels, axes of the
    reference)."""
    level = template.level
    to_x, to_y = level.scales(template.middle_mm)
    xs, ys = (template.us * to_x[0] + to_x[1]).astype(np.float32), (template.vs * to_y[0] + to_y[1]).astype(np.float32)
    rim = level.index(np.array([0.0, shape[1] - 1.0, 0.0, shape[0] - 1.0]))
    turned = np.einsum("fab,fyxb->fyxa", matrices[:, :, :2], field) / level.factor
    out = np.empty(len(matrices))
    kernels.likeness_through(level.frames, level.live, xs, ys, template.values, level.matrices(matrices), turned, rim, out)
    return out
