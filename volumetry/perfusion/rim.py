"""A smooth thin rim of enhancement round an ablated node, told apart from nodules in it or beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# Transition zones of electroporation in liver are 1.3 +- 0.7 mm wide (PMC5744668): mean and one SD.
RIM_MOST_MM = 2.0
RIM_SHARE_OF_RADIUS = 0.5  # without a dark middle there is no rim
AROUND_PCT = 75.0  # of the outline that must carry it
BORDER_MM = 1.0  # how near the outline a rim begins
BULGE_MM = 0.7  # what stands further in than the rim's usual width by this is no longer smooth
SECTORS = 72


@dataclass(frozen=True, slots=True, eq=False)
class RimParts:
    """``viable`` and ``rim``: disjoint bool masks; ``foci``: connected viable parts; ``rim_mm``: the rim's median width, None without one."""

    viable: np.ndarray
    rim: np.ndarray
    foci: int
    rim_mm: float | None


def tell_rim_apart(enhancing: np.ndarray, node: np.ndarray, mm_per_pixel: tuple[float, float], least_mm2: float) -> RimParts:
    """Divide ``enhancing`` (within ``node``, both bool ``[row, column]``) into a smooth rim and what is viable.

    It is a rim where at least 75 % of the outline carries it within 1 mm and its median width is at most 2 mm and at most half of
    the node's inner radius. Where enhancement reaches further in than the rim's usual width plus 0.7 mm it is viable, from the outline on. An arc that covers
    less of the outline is no uniform rim and stays with the viable part: the reader looks at it.
    """
    none = np.zeros_like(enhancing)
    if not enhancing.any():
        return RimParts(none, none.copy(), 0, None)
    sampling = (mm_per_pixel[1], mm_per_pixel[0])
    padded = np.pad(node, 1)
    inward = ndimage.distance_transform_edt(padded, sampling=sampling)[1:-1, 1:-1]
    widths = _widths(enhancing, node, inward, mm_per_pixel)
    carried = np.isfinite(widths)
    viable, rim, width = enhancing, none, None
    if 100 * carried.mean() >= AROUND_PCT:
        usual = float(np.median(widths[carried]))
        if usual <= min(RIM_MOST_MM, RIM_SHARE_OF_RADIUS * float(inward.max())):
            width = usual
            inner = inward > usual + BULGE_MM
            deep = _pieces(enhancing & inner, mm_per_pixel[0] * mm_per_pixel[1], least_mm2)[0]
            # Where a nodule stands on the rim, the rim below it, straight outwards, is the nodule's.
            nearest = ndimage.distance_transform_edt(~inner, sampling=sampling, return_distances=False, return_indices=True)
            viable = enhancing & deep[tuple(nearest)]
            rim = enhancing & ~viable & ~inner
    viable, foci = _pieces(viable, mm_per_pixel[0] * mm_per_pixel[1], least_mm2)
    return RimParts(viable, rim, foci, width)


def _widths(enhancing: np.ndarray, node: np.ndarray, inward: np.ndarray, mm: tuple[float, float]) -> np.ndarray:
    """Depth (mm) that enhancement reaches from the outline without a break, a sector each; NaN where none begins within 1 mm of it."""
    rows, columns = np.nonzero(node)
    angle = np.arctan2((rows - rows.mean()) * mm[1], (columns - columns.mean()) * mm[0])
    sector = ((angle + np.pi) / (2 * np.pi) * SECTORS).astype(int) % SECTORS
    step = max(0.25, min(mm))
    layer = (inward[node] / step).astype(int)
    lit = np.zeros((SECTORS, layer.max() + 1))
    all_ = np.zeros_like(lit)
    np.add.at(lit, (sector, layer), enhancing[node])
    np.add.at(all_, (sector, layer), 1)
    bright = (lit >= 0.5 * all_) & (all_ > 0)
    widths = np.full(SECTORS, np.nan)
    begin = round(BORDER_MM / step)
    for n in range(SECTORS):
        here = np.flatnonzero(all_[n])
        on = bright[n, here]
        first = np.flatnonzero(on & (here <= begin))
        if first.size:
            dark = np.flatnonzero(~on[first[0] :])
            last = here[first[0] + dark[0] - 1] if dark.size else here[-1]
            widths[n] = (last + 1) * step
    return widths


def _pieces(mask: np.ndarray, pixel_mm2: float, least_mm2: float) -> tuple[np.ndarray, int]:
    """Connected parts of at least ``least_mm2``, and how many."""
    pieces, count = ndimage.label(mask)
    if not count:
        return np.zeros_like(mask), 0
    large = np.flatnonzero(np.bincount(pieces.ravel())[1:] * pixel_mm2 >= least_mm2) + 1
    return np.isin(pieces, large), int(large.size)
