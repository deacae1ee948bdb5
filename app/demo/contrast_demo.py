"""The contrast cine of the demonstration: the neck at Day 30, an ablated node in which a small part is still supplied."""

from __future__ import annotations

import math

import numpy as np

from app.demo.contrast_cine import SyntheticCine, simulate
from app.demo.contrast_curves import Curve, Lognormal, NoContrast, described
from app.demo.contrast_scene import REGIONS, CineOptions, Section
from app.demo.font import write_text
from app.demo.ultrasound import (
    COLUMNS,
    CONTRAST_RANGE_DB,
    DYNAMIC_RANGE_DB,
    ROWS,
    NodeSection,
    cine_boxes,
    ellipse_distance,
    furniture,
    smooth_noise,
    soft,
    tissue_map_db,
)
from app.jobs.progress import JobContext

VIABLE_FRACTION = 0.22  # of the node's section: a focus at its deep border
BLACK_DB = -3.0 - DYNAMIC_RANGE_DB  # of ``tissue_map_db``: where ``to_grey`` starts
PEAK_DB, FLOOR_DB, LEAK_DB = 36.0, 4.0, 1.0


def demo_curves() -> dict[str, Curve]:
    """Bolus of every region; the reference tissue's peak lies ``PEAK_DB`` above black."""
    top = 10 ** (PEAK_DB / 10)

    def bolus(peak: float, t0_s: float, mu: float, sigma: float) -> Lognormal:
        return Lognormal.of(peak * top, t0_s + math.exp(mu - sigma**2), t0_s, sigma)

    return {
        "reference": bolus(1.0, 8.0, 2.55, 0.62),
        "viable": bolus(0.55, 9.2, 2.45, 0.60),
        "rim": NoContrast(),
        "ablated": NoContrast(),
        "vessel": bolus(6.0, 6.5, 2.30, 0.70),
        "vein": bolus(4.0, 11.5, 2.60, 0.70),
    }


def _section(rng: np.random.Generator, node: NodeSection, volume_ml: float, side: str, scale: float = 1.0) -> Section:
    box = cine_boxes()[1]
    depth, lateral = box.grid_mm()
    shown = NodeSection(node.width_mm * scale, node.height_mm * scale, node.lateral_mm, node.depth_mm)
    half_d, half_x = 0.5 * shown.height_mm, 0.5 * shown.width_mm
    tissue_db = tissue_map_db(rng, box, shown, "transverse", side, 0.5)
    way = -1.0 if side == "left" else 1.0
    inside = ellipse_distance(depth, lateral, shown.depth_mm, shown.lateral_mm, half_d, half_x) <= 0
    labels = np.zeros(box.shape, dtype=np.uint8)
    labels[ellipse_distance(depth, lateral, shown.depth_mm, shown.lateral_mm, half_d + 1.0, half_x + 1.0) <= 0] = REGIONS.index("ablated")
    focus = np.hypot((lateral - shown.lateral_mm - 0.45 * way * half_x), (depth - shown.depth_mm - 0.5 * half_d))
    order = np.argsort(focus[inside], kind="stable")[: round(VIABLE_FRACTION * int(inside.sum()))]
    viable = np.zeros(int(inside.sum()), dtype=bool)
    viable[order] = True
    where = np.zeros(box.shape, dtype=bool)
    where[inside] = viable
    labels[where] = REGIONS.index("viable")
    # the vessels lie where the B-mode picture has them, which follows the node's true size
    x_artery, d_vessel = node.lateral_mm + way * (0.5 * node.width_mm + 4.6), node.depth_mm + 0.5 * node.height_mm + 0.5
    labels[ellipse_distance(depth, lateral, d_vessel, x_artery, 3.3, 3.4) <= 0] = REGIONS.index("vessel")
    labels[ellipse_distance(depth, lateral, d_vessel - 1.2, node.lateral_mm - way * (0.5 * node.width_mm + 5.6), 2.6, 4.9) <= 0] = REGIONS.index("vein")
    skin, muscle = soft(depth - 6.0, 1.0), soft(6.0 - depth, 1.0) * soft(depth - 14.5, 1.0)
    uneven = (1.0 - 0.75 * skin) * (1.0 - 0.45 * muscle) * 10 ** (0.2 * smooth_noise(rng, box.shape, 1.2 / box.mm_per_pixel)) * 10 ** (-0.012 * depth)
    weights = uneven.astype(np.float32)
    for number in range(len(REGIONS)):  # curves are the mean of their region
        own = labels == number
        if own.any():
            weights[own] /= weights[own].mean()
    facts = {
        "x_mm": shown.lateral_mm, "depth_mm": shown.depth_mm, "half_width_mm": half_x, "half_height_mm": half_d, "rim_mm": 0.0,
        "node_ml": volume_ml, "residual": "nodule",
    }  # fmt: skip
    tissue = (10 ** ((tissue_db - BLACK_DB) / 10)).astype(np.float32)
    leak = (10 ** ((tissue_db + 24.0 + LEAK_DB) / 10)).astype(np.float32)
    return Section(labels, inside, tissue, leak, weights, facts)


def demo_cine(seed: int, node: NodeSection, volume_ml: float, *, side: str, frames: int, context: JobContext) -> SyntheticCine:
    """The dual-pane loop of ``node`` (``volume_ml``) at Day 30; truth included. Cancelled through ``context``."""
    box = cine_boxes()[1]
    options = CineOptions(
        shape=box.shape, mm_per_pixel=box.mm_per_pixel, frames=frames, frame_s=0.42, range_db=CONTRAST_RANGE_DB, bmode_range_db=DYNAMIC_RANGE_DB,
        peak_db=PEAK_DB, floor_db=FLOOR_DB, leak_db=LEAK_DB, breathing_mm=(1.1, 0.7), out_of_plane=0.05, residual="nodule",
        viable_fraction=VIABLE_FRACTION, speckle_mm=(0.10, 0.22),
    )  # fmt: skip
    sections = tuple(_section(np.random.default_rng([seed, 43, n]), node, volume_ml, side, scale) for n, scale in enumerate((1.0, 0.55)))
    return simulate(sections, demo_curves(), options, np.random.default_rng([seed, 43]), seed, context)


def demo_pictures(cine: SyntheticCine, *, title: str, visit: str) -> np.ndarray:
    """The machine's pictures, uint8 ``[frame, row, column]``: B-mode left, contrast right, words around."""
    left, right = cine_boxes()
    base = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    furniture(base, [left, right], [title, f"CONTRAST  {visit.upper()}", "MI 0.08"], f"DEPTH 4.0 CM  DR {CONTRAST_RANGE_DB:.0f} DB")
    write_text(base, "B-MODE", left.y0 - 12, left.x0, 190)
    write_text(base, "CONTRAST", right.y0 - 12, right.x0, 190)
    out = np.repeat(base[None], len(cine.levels), axis=0)
    out[:, left.y0 : left.y1 + 1, left.x0 : left.x1 + 1] = cine.tissue
    out[:, right.y0 : right.y1 + 1, right.x0 : right.x1 + 1] = cine.levels
    for picture, time_s in zip(out, cine.times_s, strict=True):
        write_text(picture, f"{time_s:5.1f} S", ROWS - 34, right.x0, 190)
    return out


def demo_truth(cine: SyntheticCine, node: NodeSection) -> dict:
    """Plain values for ``truth.json``; pixels are (x, y) of the contrast pane in the reference frame."""
    truth = cine.truth
    rows, columns = np.nonzero(truth.mask("viable"))
    return {
        "times_s": [round(float(v), 4) for v in cine.times_s],
        "curves": {name: described(curve) for name, curve in truth.curves.items()},
        "viable_fraction": truth.viable_fraction,
        "viable_ml": truth.viable_ml,
        "node_ml": truth.node_ml,
        "viable_centre_px": [float(columns.mean()), float(rows.mean())],
        "reference_frame": truth.motion.reference_frame,
        "frames_beside_plane": [int(n) for n in np.flatnonzero(~truth.motion.in_plane)],
        "dynamic_range_db": cine.options.range_db,
        "node_section": {"width_mm": node.width_mm, "height_mm": node.height_mm, "lateral_mm": node.lateral_mm, "depth_mm": node.depth_mm},
    }
