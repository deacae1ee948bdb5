"""Contrast loops with known answers, and their regions as a reader would draw them."""

from __future__ import annotations

from functools import cache

import numpy as np

from app.demo.contrast_cine import SyntheticCine, make_cine
from app.demo.contrast_scene import CineOptions
from app.usecases.perfusion_regions import PerfusionRegion

SMALL = CineOptions(shape=(96, 120), mm_per_pixel=0.33, frames=64, frame_s=0.8, speckle_mm=(0.22, 0.4), out_of_plane=0.05, blur=True)


@cache
def made(seed: int = 5, **changes) -> SyntheticCine:
    """A small loop; the same one is made once."""
    return make_cine(seed, SMALL.with_(**changes))


def ellipse(cine: SyntheticCine, pane: str = "contrast", size: float = 1.0) -> tuple[tuple[float, float], ...]:
    """The node's true outline (times ``size``) in pixels of the whole picture, drawn in a pane."""
    facts, px = cine.truth.section.facts, cine.options.mm_per_pixel
    box = cine.layout.contrast if pane == "contrast" else cine.layout.bmode
    x, y = box.x0 + facts["x_mm"] / px + 0.5 * (cine.options.shape[1] - 1), box.y0 + facts["depth_mm"] / px - 0.5
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    half_x, half_y = size * facts["half_width_mm"] / px, size * facts["half_height_mm"] / px
    return tuple((float(x + half_x * np.cos(t)), float(y + half_y * np.sin(t))) for t in turn)


def node(cine: SyntheticCine, pane: str = "contrast", name: str = "N1") -> PerfusionRegion:
    """The node as a region."""
    return PerfusionRegion(name, "node", ellipse(cine, pane))


def beside(cine: SyntheticCine, pane: str = "contrast", role: str = "reference", name: str = "muscle") -> PerfusionRegion:
    """A box of tissue beside the node at its depth, on the side without the vessel."""
    outline = np.array(ellipse(cine, pane))
    box = cine.layout.contrast if pane == "contrast" else cine.layout.bmode
    columns = np.nonzero(cine.truth.mask("vessel"))[1]
    middle = 0.5 * (outline[:, 0].min() + outline[:, 0].max())
    left = box.x0 + float(columns.mean()) > middle
    x0, x1 = (box.x0 + 4.0, outline[:, 0].min() - 10.0) if left else (outline[:, 0].max() + 10.0, box.x1 - 4.0)
    y0, y1 = outline[:, 1].min(), outline[:, 1].max()
    return PerfusionRegion(name, role, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
