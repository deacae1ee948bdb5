"""What a synthetic contrast loop shows: the regions of one section, their curves, and how it all moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from app.demo.contrast_curves import Curve, GammaVariate, Lognormal, NoContrast, Replenishment

RESIDUALS = ("none", "rim", "nodule", "partial", "whole")
MODELS = ("lognormal", "gamma_variate", "replenishment")
# Every pixel belongs to one of these.
REGIONS = ("reference", "ablated", "viable", "rim", "vessel", "vein")


@dataclass(frozen=True, slots=True)
class CineOptions:
    """How a synthetic contrast loop is made. What is None is drawn by the seed.

    ``layout``: ``left_right`` or ``top_bottom`` (B-mode first; ``contrast_first`` turns them round), ``overlay``
    (tint over B-mode) or ``single`` (contrast alone). ``breathing_mm``: reach across and in depth.
    ``out_of_plane``: share of frames that show another section. ``residual``: what is left of the node; ``viable_fraction``
    of the node's section for ``nodule`` and ``partial``. Levels in dB are above black; ``overgain_db`` lifts the contrast pane
    into its white end. ``blur``: the point spread softens the borders of the regions. ``drawn_text``: letters in the pane.
    ``nonrigid_mm``: reach of a smooth squeeze that the matrices do not hold.
    """

    shape: tuple[int, int] = (128, 160)
    mm_per_pixel: float = 0.25
    frames: int = 90
    frame_s: float = 0.5
    irregular: bool = True
    model: str = "lognormal"
    residual: str | None = None
    viable_fraction: float | None = None
    layout: str = "left_right"
    contrast_first: bool = False
    colour_map: str = "grey"
    rgb: bool = False
    range_db: float = 60.0
    bmode_range_db: float = 60.0
    peak_db: float = 44.0
    floor_db: float = 14.0
    leak_db: float = 12.0
    overgain_db: float = 0.0
    breathing_mm: tuple[float, float] = (1.2, 0.7)
    rotation_deg: float = 0.0
    nonrigid_mm: float = 0.0
    out_of_plane: float = 0.08
    flashes: int = 0
    bubble_life_s: float = 0.12
    speckle_mm: tuple[float, float] = (0.15, 0.28)  # standard deviation of the point spread in depth and across
    blur: bool = False
    drawn_text: bool = False
    overlay_shares: tuple[float, float] = (0.6, 0.4)  # of the tint and of the grey

    def with_(self, **changes) -> CineOptions:
        """The options with some of them changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One section in the reference frame. ``labels`` uint8 ``[row, column]``: index into ``REGIONS``; ``node``: the
    node's outline as a mask; ``tissue`` and ``leak``: mean echo power of B-mode and of what it leaks into the contrast
    pane; ``weights`` float32 ``[row, column]``: how much of its region's curve each pixel has (mean 1 in a region)."""

    labels: np.ndarray
    node: np.ndarray
    tissue: np.ndarray
    leak: np.ndarray
    weights: np.ndarray
    facts: Mapping[str, float]

    def mask(self, region: str) -> np.ndarray:
        """Bool mask of a region."""
        return self.labels == REGIONS.index(region)


def _grid(options: CineOptions) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = options.shape
    depth = (np.arange(rows)[:, None] + 0.5) * options.mm_per_pixel
    return depth, (np.arange(columns)[None, :] - 0.5 * (columns - 1)) * options.mm_per_pixel


def _texture(rng: np.random.Generator, shape, sigma) -> np.ndarray:
    out = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap")
    return out / max(float(out.std()), 1e-6)


def make_section(rng: np.random.Generator, options: CineOptions, *, look: np.random.Generator, node_scale: float = 1.0) -> Section:
    """A node with what an ablation left of it, a vessel beside it, reference tissue around.

    ``rng`` draws the geometry, ``look`` the tissue's texture (another one shows another section); ``node_scale``
    shrinks the node and all in it.
    """
    depth, lateral = _grid(options)
    high, wide = options.shape[0] * options.mm_per_pixel, options.shape[1] * options.mm_per_pixel
    half_x, half_d = wide * rng.uniform(0.16, 0.22) * node_scale, high * rng.uniform(0.14, 0.18) * node_scale
    x0, d0 = wide * rng.uniform(-0.06, 0.06), high * rng.uniform(0.45, 0.52)
    u, v = (lateral - x0) / half_x, (depth - d0) / half_d
    node = u * u + v * v <= 1.0
    # distance (mm) from the node's border, negative inside, true to the first order
    r = np.hypot(u, v)
    edge = r * (r - 1) / np.maximum(np.hypot(u / half_x, v / half_d), 1e-6)
    kind = options.residual or ("none", "rim", "nodule", "partial")[int(rng.integers(4))]
    share = options.viable_fraction if options.viable_fraction is not None else float(rng.uniform(0.12, 0.5))
    angle, rim_mm, margin_mm = rng.uniform(0, 2 * math.pi), float(rng.uniform(0.7, 1.1)), float(rng.uniform(0.8, 2.0))
    if kind == "rim":  # the zone ends where its rim ends, at the node's border
        margin_mm = 0.0
    labels = np.zeros(options.shape, dtype=np.uint8)
    zone = np.zeros(options.shape, dtype=bool) if kind == "whole" else edge <= margin_mm
    viable = node.copy() if kind == "whole" else np.zeros(options.shape, dtype=bool)
    if kind == "nodule":  # a round focus at the border: growing until it has its share of the node
        cu, cv = 0.62 * math.cos(angle), 0.62 * math.sin(angle)
        viable = _smallest(node, np.hypot((u - cu) * half_x, (v - cv) * half_d), share)
    elif kind == "partial":  # all beyond a line across the node
        viable = _smallest(node, -(u * math.cos(angle) + v * math.sin(angle)), share)
        zone &= (u * math.cos(angle) + v * math.sin(angle)) < 1.15
    labels[zone] = REGIONS.index("ablated")
    if kind == "rim":  # hyperaemia of the same width all round, within the outline
        labels[(edge > -rim_mm) & (edge <= 0)] = REGIONS.index("rim")
    labels[viable] = REGIONS.index("viable")
    side = -1.0 if math.cos(angle) > 0 else 1.0
    hole = np.hypot(lateral - x0 - side * (half_x + margin_mm + 0.1 * wide), depth - d0 - 0.4 * half_d)
    radius = 0.062 * wide
    labels[hole <= radius] = REGIONS.index("vessel")

    px = options.mm_per_pixel
    layers = 3.0 * np.sin(depth * 0.9 + 0.8 * _texture(look, options.shape, (2.5 / px, 5.0 / px)))
    tissue_db = 38.0 + layers + 2.5 * _texture(look, options.shape, (0.6 / px, 1.4 / px))
    tissue_db = tissue_db + 8.0 * np.exp(-((_texture(look, options.shape, (0.6 / px, 2.8 / px)) / 0.2) ** 2))
    tissue_db = np.where(node, 29.0 + 1.5 * _texture(look, options.shape, (0.7 / px, 0.9 / px)), tissue_db)
    tissue_db = tissue_db - 4.0 * (zone & node)
    tissue_db = tissue_db + 6.0 * np.exp(-(((edge - 0.25) / 0.25) ** 2))
    tissue_db = np.where(hole <= radius, 10.0, tissue_db) + 9.0 * np.exp(-(((hole - radius) / 0.3) ** 2))
    tissue = (10 ** (tissue_db / 10)).astype(np.float32)
    leak = (10 ** ((tissue_db - 38.0 + options.leak_db) / 10)).astype(np.float32)
    facts = {
        "x_mm": x0, "depth_mm": d0, "half_width_mm": half_x, "half_height_mm": half_d, "rim_mm": rim_mm if kind == "rim" else 0.0,
        # the node as an ellipsoid whose third axis is the mean of the two seen
        "node_ml": 4 / 3 * math.pi * half_x * half_d * 0.5 * (half_x + half_d) / 1000,
    }  # fmt: skip
    return Section(labels, node, tissue, leak, np.ones(options.shape, dtype=np.float32), {**facts, "residual": kind})


def _smallest(within: np.ndarray, value: np.ndarray, share: float) -> np.ndarray:
    """The pixels of ``within`` with the smallest values: ``share`` of them."""
    inside = np.broadcast_to(value, within.shape)[within]
    count = min(max(round(share * inside.size), 0), inside.size)
    chosen = np.zeros(inside.size, dtype=bool)
    chosen[np.argsort(inside, kind="stable")[:count]] = True
    out = np.zeros(within.shape, dtype=bool)
    out[within] = chosen
    return out


def draw_curves(rng: np.random.Generator, options: CineOptions, flash_end_s: float) -> dict[str, Curve]:
    """A curve for every region; power in units of black."""
    top = 10 ** ((options.peak_db + options.overgain_db) / 10)
    length = options.frames * options.frame_s
    arrival = min(float(rng.uniform(4.0, 7.0)), 0.15 * length)
    rise = min(float(rng.uniform(7.0, 11.0)), 0.3 * length)
    ratio, late, slow = float(rng.uniform(0.3, 0.75)), float(rng.uniform(0.3, 1.5)), float(rng.uniform(1.0, 1.3))
    width, order = float(rng.uniform(0.45, 0.7)), float(rng.uniform(1.6, 3.2))
    speed = float(rng.uniform(0.12, 0.35))

    def bolus(peak: float, wait: float, pace: float) -> Curve:
        t0, ttp = arrival + wait, arrival + wait + pace * rise
        if options.model == "lognormal":
            return Lognormal.of(peak * top, ttp, t0, width)
        if options.model == "gamma_variate":
            return GammaVariate.of(peak * top, ttp, t0, order)
        if options.model == "replenishment":
            return Replenishment(peak * top, speed / pace, flash_end_s)
        raise ValueError(f"no model {options.model}")

    return {
        "reference": bolus(1.0, 0.0, 1.0),
        "viable": bolus(ratio, late, slow),
        "rim": bolus(0.8 * ratio, 0.5 * late, slow),
        "vessel": bolus(5.0, -min(1.5, 0.5 * arrival), 0.8),
        "vein": bolus(3.0, 2.0, 1.2),
        "ablated": NoContrast(),
    }


def frame_intervals_s(rng: np.random.Generator, options: CineOptions) -> np.ndarray:
    """Steps between frames as machines write them: 0 first; irregular ones jitter and pause twice."""
    steps = np.full(options.frames, options.frame_s)
    if options.irregular:
        steps *= rng.choice([0.88, 0.95, 1.0, 1.04, 1.13], size=options.frames)
        if options.frames > 8:
            pauses = rng.choice(np.arange(options.frames // 4, options.frames), size=2, replace=False)
            steps[pauses] += options.frame_s * rng.uniform(1.0, 2.5, size=2)
    steps[0] = 0.0
    return np.round(steps, 6)  # a Frame Time Vector has microseconds at best


@dataclass(frozen=True, slots=True, eq=False)
class TrueMotion:
    """Where the section lies: ``matrices`` ``[frame, 2, 3]`` take a pixel (x, y, 1) of the reference frame to the frame's,
    ``field`` float32 ``[frame, gr, gc, 2]`` is added there (None: nothing). ``in_plane`` False: another section is shown."""

    matrices: np.ndarray
    field: np.ndarray | None
    in_plane: np.ndarray
    reference_frame: int


def draw_motion(rng: np.random.Generator, options: CineOptions, times_s: np.ndarray, barred: np.ndarray) -> TrueMotion:
    """Breathing: out and back, a little uneven; deep breaths leave the plane. ``barred`` frames are no reference."""
    rows, columns = options.shape
    period, phase = float(rng.uniform(3.2, 4.8)), float(rng.uniform(0, 2 * math.pi))
    cycle = 2 * math.pi * times_s / period + phase + 0.4 * np.sin(times_s / 7.3)
    breath = 0.5 * (1 - np.cos(cycle))  # 0 at rest, 1 at the height of a breath
    wander = 0.12 * np.cumsum(rng.standard_normal(times_s.size)) / math.sqrt(times_s.size)
    in_plane = np.ones(times_s.size, dtype=bool)
    wanted = round(options.out_of_plane * times_s.size)
    if wanted:  # the heights of single breaths, each a short run of frames
        number = np.floor(cycle / (2 * math.pi)).astype(int)
        order = rng.permutation(np.unique(number))
        for breath_number in order:
            frames = np.flatnonzero((number == breath_number) & (breath > 0.6))
            in_plane[frames[: max(0, wanted - int((~in_plane).sum()))]] = False
    allowed = np.flatnonzero(in_plane & ~barred)
    reference = int(allowed[np.argmin(np.abs(allowed - times_s.size // 3))])
    reach = np.array(options.breathing_mm) / options.mm_per_pixel
    shift = np.stack([reach[0] * (breath + wander), reach[1] * (breath - wander)], axis=1)
    turn = np.radians(options.rotation_deg) * breath
    shift, turn = shift - shift[reference], turn - turn[reference]
    centre = np.array([0.5 * (columns - 1), 0.5 * (rows - 1)])
    matrices = np.zeros((times_s.size, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(turn)
    matrices[:, 0, 1], matrices[:, 1, 0] = -np.sin(turn), np.sin(turn)
    matrices[:, :, 2] = centre + shift - matrices[:, :, :2] @ centre
    field = None
    if options.nonrigid_mm:
        y, x = np.mgrid[0:1:9j, 0:1:9j]
        shape = np.stack([np.sin(2 * math.pi * x) * np.sin(math.pi * y), np.sin(math.pi * x) * y * y], axis=-1)
        field = ((breath - breath[reference])[:, None, None, None] * shape * (options.nonrigid_mm / options.mm_per_pixel)).astype(np.float32)
    return TrueMotion(matrices, field, in_plane, reference)
