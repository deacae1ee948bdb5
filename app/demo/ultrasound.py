"""Simulated linear-probe pictures of the neck: B-mode stills, and the parts of the contrast cine's picture.

Echo strength is a map in decibels; fully developed speckle multiplies it (the envelope of complex
Gaussian noise, finer in depth than across); the sum is shown over a dynamic range in decibels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from app.demo.font import write_text

ROWS, COLUMNS = 480, 640
DYNAMIC_RANGE_DB = 60.0


@dataclass(frozen=True, slots=True)
class Box:
    """A calibrated part of the picture: pixel box (inclusive) and millimetres per pixel (square)."""

    x0: int
    y0: int
    x1: int
    y1: int
    mm_per_pixel: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0 + 1, self.x1 - self.x0 + 1

    def grid_mm(self) -> tuple[np.ndarray, np.ndarray]:
        """Depth (column vector) and lateral position (row vector, 0 in the middle) of pixel centres."""
        rows, columns = self.shape
        depth = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) * np.float32(self.mm_per_pixel)
        return depth, (np.arange(columns, dtype=np.float32)[None, :] - 0.5 * (columns - 1)) * np.float32(self.mm_per_pixel)


@dataclass(frozen=True, slots=True)
class NodeSection:
    """The node's ellipse in a picture: full diameters across and in depth, mm; its middle."""

    width_mm: float
    height_mm: float
    lateral_mm: float
    depth_mm: float


def soft(distance_mm: np.ndarray, width_mm: float = 0.12) -> np.ndarray:
    """1 inside (negative), 0 outside, smooth over ``width_mm``."""
    t = np.clip(0.5 - distance_mm / (2 * width_mm), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def ellipse_distance(depth, lateral, d0, x0, half_depth, half_width) -> np.ndarray:
    """Approximate distance (mm) to an ellipse, negative inside."""
    v, u = (depth - d0) / half_depth, (lateral - x0) / half_width
    r = np.sqrt(u * u + v * v)
    slope = np.sqrt((u / half_width) ** 2 + (v / half_depth) ** 2)
    return r * (r - 1) / np.maximum(slope, 1e-6)


def smooth_noise(rng, shape, sigma) -> np.ndarray:
    """Unit noise smoothed by ``sigma`` (pixels, rows and columns); coarse noise is made coarse and enlarged."""
    sigma = np.broadcast_to(np.asarray(sigma, dtype=np.float64), 2)
    step = np.maximum(1, (sigma / 2.5).astype(int))
    small = tuple(int(-(-n // s)) + 2 for n, s in zip(shape, step, strict=True))
    out = ndimage.gaussian_filter(rng.standard_normal(small, dtype=np.float32), sigma / step, mode="nearest")
    for axis in range(2):
        if step[axis] > 1:
            at = np.arange(shape[axis]) / step[axis]
            low = at.astype(int)
            w = (at - low).astype(np.float32)
            w = w[:, None] if axis == 0 else w[None, :]
            out = np.take(out, low, axis=axis) * (1 - w) + np.take(out, low + 1, axis=axis) * w
    out = out[: shape[0], : shape[1]]
    return out / max(float(out.std()), 1e-6)


def speckle_db(rng: np.random.Generator, shape: tuple[int, int], mm_per_pixel: float) -> np.ndarray:
    """Fully developed speckle in dB, mean power 0 dB."""
    sigma = (0.075 / mm_per_pixel, 0.17 / mm_per_pixel)
    real = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    imaginary = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    power = real**2 + imaginary**2
    return 10 * np.log10(np.maximum(power / power.mean(), 1e-6))


def tissue_map_db(
    rng: np.random.Generator, box: Box, node: NodeSection | None, plane: str, side: str, treated: float
) -> np.ndarray:
    """Echo strength (dB, 0 = brightest tissue) of the neck under the probe.

    ``plane`` is longitudinal or transverse; ``treated`` 0..1 makes the node darker and patchier.
    """
    depth, lateral = box.grid_mm()
    exact_depth, exact_lateral = depth, lateral  # the node's ellipse stays true; the rest is bent a little
    deepest = float(depth[-1, 0])
    bend = box.shape[0] / 7
    depth = depth + 0.35 * smooth_noise(rng, box.shape, (bend, bend))
    lateral = lateral + 0.45 * smooth_noise(rng, box.shape, (bend, bend))
    wave = 0.5 * np.sin(lateral / 9.0 + rng.uniform(0, 6)) + 0.25 * np.sin(lateral / 4.1 + rng.uniform(0, 6))
    shape = box.shape
    px = box.mm_per_pixel

    def flat(sigma_d, sigma_x):
        return smooth_noise(rng, shape, (sigma_d / px, sigma_x / px))

    # loose fat with bright septa everywhere, then what lies in it
    image = -24 + 3.0 * flat(0.8, 2.0)
    image += 9.0 * np.exp(-((flat(0.5, 2.6) / 0.22) ** 2))
    skin, muscle_top, muscle_end = 1.6, 6.0 + wave, 14.5 + 1.4 * wave
    muscle = soft(muscle_top - depth, 0.3) * soft(depth - muscle_end, 0.3)
    slant = 0.10 if plane == "longitudinal" else 0.03
    fibres = np.sin((depth - slant * lateral + 0.5 * flat(1.5, 5.0)) * 5.2 + 1.5 * flat(1.0, 4.0))
    texture = -29 + (5.0 if plane == "longitudinal" else 3.0) * fibres + 2.5 * flat(0.4, 1.2)
    image += muscle * (texture - image)
    for border, strength in ((muscle_top, 14.0), (muscle_end, 12.0)):
        image += strength * np.exp(-(((depth - border) / 0.22) ** 2))
    deep_top = deepest - 9.0 + 1.5 * wave + 0.004 * lateral**2
    deep = soft(deep_top - depth, 0.4)
    image += deep * (-31 + 3.0 * np.sin((depth - 0.05 * lateral) * 3.7 + flat(1.2, 3.0)) + 2.0 * flat(0.5, 1.0) - image)
    image += 9.0 * np.exp(-(((depth - deep_top) / 0.25) ** 2))
    bone = deepest - 2.5 + 0.02 * (lateral - 6) ** 2
    image += 26.0 * np.exp(-(((depth - bone) / 0.3) ** 2)) * (np.abs(lateral - 6) < 9)
    image -= 30.0 * soft(bone + 0.6 - depth, 0.6) * (np.abs(lateral - 6) < 9)

    # vessels: round in the transverse plane, a band in the longitudinal one
    gain = np.zeros(shape, dtype=np.float32)
    way = -1.0 if side == "left" else 1.0  # towards the midline
    if node is not None:
        under = node.depth_mm + 0.5 * node.height_mm
        reach = 0.5 * node.width_mm
        x_node = node.lateral_mm
    else:
        under, reach, x_node = 20.0, 4.0, 0.0
    carotid_depth = min(under + 3.6 if plane == "longitudinal" else under + 0.5, deepest - 13.0 + 3.0)
    if plane == "transverse":
        vessels = [(carotid_depth, x_node + way * (reach + 4.6), 3.3, 3.4, 0.9), (carotid_depth - 1.2, x_node - way * (reach + 5.6), 2.6, 4.9, 0.3)]
        for d0, x0, hd, hw, wall in vessels:
            gap = ellipse_distance(depth, lateral, d0, x0, hd, hw)
            image += soft(gap, 0.3) * (-58 + 13 * np.exp(-np.maximum(depth - (d0 - hd), 0) / 1.1) - image)  # haze under the near wall
            image += wall * 12.0 * np.exp(-((gap / 0.25) ** 2))
            shadow = soft(np.abs(lateral - x0) - hw, 0.8) * soft(d0 + hd - depth, 0.3)
            gain += 6.0 * shadow * np.exp(-(depth - d0 - hd) / 12.0)
    else:
        middle = carotid_depth + 0.4 + 0.018 * lateral
        gap = np.abs(depth - middle) - 2.9
        image += soft(gap, 0.3) * (-58 + 13 * np.exp(-np.maximum(depth - middle + 2.9, 0) / 1.1) - image)
        image += 12.0 * np.exp(-((gap / 0.25) ** 2))
        gain += 5.0 * soft(middle + 2.9 - depth, 0.3) * np.exp(-np.maximum(depth - middle - 2.9, 0) / 12.0)

    if node is not None:
        gap = ellipse_distance(exact_depth, exact_lateral, node.depth_mm, node.lateral_mm, 0.5 * node.height_mm, 0.5 * node.width_mm)
        inside = soft(gap, 0.16)
        level = -36.0 - 5.0 * treated
        body = level + (1.5 + 2.0 * treated) * flat(0.6, 0.9)
        dots = flat(0.10, 0.16)
        body += 14.0 * (dots > 3.3)  # a few punctate bright foci
        image += inside * (body - image)
        image += 6.0 * np.exp(-(((gap - 0.22) / 0.22) ** 2))  # capsule, just outside the measured border
        gain += 2.5 * soft(np.abs(lateral - node.lateral_mm) - 0.42 * node.width_mm, 1.2) * soft(
            node.depth_mm + 0.5 * node.height_mm + 0.3 - depth, 0.4
        ) * np.exp(-np.maximum(depth - node.depth_mm, 0) / 14.0)  # fmt: skip
    image += 13.0 * np.exp(-(((exact_depth - 0.35) / 0.35) ** 2)) + 8.0 * np.exp(-(((exact_depth - skin) / 0.25) ** 2))
    image += soft(exact_depth - skin) * 5.0
    ramp = -0.12 * exact_depth + 2.0 * np.exp(-(((depth - 0.5 * deepest) / 9.0) ** 2))  # attenuation left over by TGC, focus
    edge = 0.5 * box.shape[1] * px
    return image + gain + ramp - 5.0 * np.exp(-((edge - np.abs(exact_lateral)) / 0.8))


def to_grey(db: np.ndarray, top_db: float = -3.0, range_db: float = DYNAMIC_RANGE_DB) -> np.ndarray:
    """Log-compressed grey value (uint8)."""
    return np.clip(255.0 * (db - top_db + range_db) / range_db, 0, 255).astype(np.uint8)


def furniture(image: np.ndarray, boxes: list[Box], lines: list[str], bottom: str) -> None:
    """Frame, depth ticks, grey bar, text and the word SYNTHETIC."""
    write_text(image, "SYNTHETIC", 8, 16, 235, scale=3)
    for n, line in enumerate(lines):
        write_text(image, line, 8 + 12 * n, 330, 190)
    write_text(image, bottom, ROWS - 18, 16, 170)
    write_text(image, "SYNTHETIC - INVESTIGATIONAL USE ONLY", ROWS - 18, 390, 170)
    for box in boxes:
        deepest = box.shape[0] * box.mm_per_pixel
        for mm in range(0, int(deepest) + 1, 5):
            row = box.y0 + round(mm / box.mm_per_pixel)
            if row > box.y1:
                break
            length = 8 if mm % 10 == 0 else 4
            image[row, box.x1 + 3 : box.x1 + 3 + length] = 200
            if mm % 10 == 0:
                write_text(image, str(mm // 10), max(row - 3, 0), box.x1 + 14, 170)
    first = boxes[0]
    bar = np.linspace(255, 0, 120)[:, None]
    if first.x0 > 40:
        image[first.y0 : first.y0 + 120, 16:26] = bar.astype(np.uint8)


def still_box(depth_mm: float = 40.0) -> Box:
    """Where the picture of a still lies; the scale follows from the depth."""
    rows = 384
    return Box(78, 56, 78 + 471, 56 + rows - 1, depth_mm / rows)


def render_still(
    rng: np.random.Generator,
    node: NodeSection | None,
    *,
    plane: str,
    side: str,
    title: str,
    visit: str,
    depth_mm: float = 40.0,
    treated: float = 0.0,
) -> tuple[np.ndarray, Box]:
    """A calibrated B-mode picture (uint8 ``[row, column]``) and where its scale holds."""
    box = still_box(depth_mm)
    db = tissue_map_db(rng, box, node, plane, side, treated) + speckle_db(rng, box.shape, box.mm_per_pixel)
    image = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    image[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1] = to_grey(db)
    focus = box.y0 + box.shape[0] // 2
    for n in range(6):
        image[focus - n : focus + n + 1, box.x0 - 12 + n] = 210
    furniture(image, [box], [title, f"{plane.upper()}  {visit.upper()}", "LINEAR 10 MHZ"], f"DEPTH {depth_mm / 10:.1f} CM  DR {DYNAMIC_RANGE_DB:.0f} DB")
    return image, box


CONTRAST_RANGE_DB = 50.0


def cine_boxes(depth_mm: float = 40.0) -> tuple[Box, Box]:
    """B-mode pane and contrast pane."""
    rows, columns = 368, 276
    return (
        Box(24, 60, 24 + columns - 1, 60 + rows - 1, depth_mm / rows),
        Box(332, 60, 332 + columns - 1, 60 + rows - 1, depth_mm / rows),
    )
