"""Colour maps as contrast displays use them: 256 colours for the levels 0 to 255 (uint8 ``[256, 3]``)."""

from __future__ import annotations

import numpy as np

# Level: colour; straight lines between.
_STOPS: dict[str, tuple[tuple[int, tuple[int, int, int]], ...]] = {
    "grey": ((0, (0, 0, 0)), (255, (255, 255, 255))),
    "copper": ((0, (0, 0, 0)), (204, (255, 160, 101)), (255, (255, 214, 160))),
    "gold": ((0, (0, 0, 0)), (90, (128, 62, 6)), (180, (240, 178, 40)), (255, (255, 250, 205))),
    "blue": ((0, (0, 0, 0)), (80, (4, 22, 112)), (170, (62, 148, 232)), (255, (232, 250, 255))),
    "rainbow": ((0, (0, 0, 0)), (50, (0, 0, 170)), (100, (0, 170, 220)), (150, (40, 205, 60)), (200, (250, 230, 0)), (240, (250, 60, 0)), (255, (255, 40, 40))),
}  # fmt: skip
COLOUR_MAPS = tuple(_STOPS)


def colour_table(name: str) -> np.ndarray:
    """The map called ``name``: one of ``COLOUR_MAPS``."""
    at, colours = zip(*_STOPS[name], strict=True)
    stops = np.array(colours, dtype=np.float64)
    table = np.stack([np.interp(np.arange(256), at, stops[:, k]) for k in range(3)], axis=1)
    table = np.rint(table).astype(np.uint8)
    table.setflags(write=False)
    return table


def tinted(levels: np.ndarray, grey: np.ndarray, table: np.ndarray, tint_share: float, grey_share: float) -> np.ndarray:
    """Contrast laid over B-mode: ``tint_share`` of the level's colour plus ``grey_share`` of the grey, cut off at 255."""
    return np.rint(np.minimum(tint_share * table.astype(np.float32)[levels] + np.float32(grey_share) * grey[..., None], 255.0)).astype(np.uint8)
