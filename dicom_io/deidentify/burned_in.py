"""Looking for writing inside a picture, so that a person is asked about it.

Overlay text is drawn in one flat colour, in thin strokes with hard edges, brighter than what lies around it, in figures
of one height on one line. Speckle, bright borders of tissue, scale ticks and needles lack at least one of these. The
check finds most printed text of ``LEAST_HEIGHT_PX`` and more; it does not read it, and it misses faint, hand-drawn,
single or very large characters, writing on ground as bright as itself, and text along other directions. It is a reason
to ask, never a proof that nothing is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

LEAST_HEIGHT_PX, MOST_HEIGHT_PX = 5, 48
# Grey levels of 255 by which a stroke stands out from what the window of its width leaves, and from its rim.
# Looked at several times, as the soft edges of large or bright letters run into each other at the lowest.
STROKE_CONTRASTS, RIM_CONTRAST = (25, 40, 75, 110, 150, 190), 24
STROKE_WINDOW_PX = 9
# Grey levels (and, for compressed pictures, part of its contrast) that the body of a stroke may differ by, and the share
# of a piece that is body: thin strokes with soft edges have little of it, and must have a clear edge instead.
FLAT_WITHIN, FLAT_PART, FLAT_SHARE, LEAST_FLAT_SHARE = 8, 0.16, 0.5, 0.3
# The step across the border of a piece as part of its contrast: all of it in one pixel where something was drawn; soft
# letters and compressed ones have more than half, speckle spreads over its own width.
SHARP, CLEAR, SOFT, BLURRED = 0.9, 0.7, 0.55, 0.4
# Pieces of at least this contrast that hold several strokes count as letters that touch though their edges are soft.
STRONG_CONTRAST, FAIR_CONTRAST = 75, 60
# Ground of one grey (as behind most pictures) holds no speckle: what stands on it was drawn, however faint or small.
PLAIN_WITHIN, LEAST_CONTRAST_ON_SPECKLE, LEAST_HEIGHT_ON_SPECKLE_PX = 10, 30, 7
# A line of more pieces than this is writing; one of fewer only if their edges are not blurred.
FEW_PIECES, EDGE_OF_FEW = 4, 0.5
SAME_COLOUR_WITHIN = 16
LEAST_CHARACTERS = 3
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True)
class _Glyph:
    x0: int
    y0: int
    x1: int
    y1: int
    colour: np.ndarray
    characters: int
    edge: float

    @property
    def height(self) -> int:
        return self.y1 - self.y0


Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last ones included."""


def find_text(picture: np.ndarray, kept: np.ndarray | None = None, *, dark_too: bool = False) -> tuple[Box, ...]:
    """Boxes of lines that look like writing in ``picture`` (uint8 ``[row, column]`` or ``[row, column, 3]``), from the top.

    Only pixels where ``kept`` (bool ``[row, column]``) is true are looked at. ``dark_too`` looks for dark writing on a
    light ground as well, as documents have it.
    """
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    inside = np.ones(rgb.shape[:2], dtype=bool) if kept is None else kept
    found = _in_one_tone(rgb, inside) + (_in_one_tone(255 - rgb, inside) if dark_too else [])
    return tuple(sorted(_merged(found), key=lambda b: (b[1], b[0])))


def _in_one_tone(rgb: np.ndarray, inside: np.ndarray) -> list[Box]:
    """Lines of light writing."""
    grey = rgb.max(axis=-1)
    if not inside.all():
        grey = _carried_on(grey, inside)
    hat = grey.astype(np.int16) - ndimage.grey_opening(grey, size=(STROKE_WINDOW_PX, STROKE_WINDOW_PX))
    hat[~inside] = 0
    return [box for contrast in STROKE_CONTRASTS for box in _lines(_glyphs(rgb, grey, hat >= contrast, inside))]


def _carried_on(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The picture with what lies outside in the value of the nearest pixel inside, so that its border is no edge."""
    if not inside.any():
        return np.zeros_like(grey)
    rows, columns = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return grey[rows, columns]


def _merged(boxes: list[Box]) -> list[Box]:
    """Boxes without those that overlap a larger one."""
    found: list[Box] = []
    for x0, y0, x1, y1 in sorted(boxes, key=lambda b: (b[0] - b[2]) * (b[3] - b[1])):
        if not any(x0 <= c[2] and c[0] <= x1 and y0 <= c[3] and c[1] <= y1 for c in found):
            found.append((x0, y0, x1, y1))
    return found


def _glyphs(rgb: np.ndarray, grey: np.ndarray, strokes: np.ndarray, inside: np.ndarray) -> list[_Glyph]:
    """Pieces that could be a character, or several that touch."""
    labels, _ = ndimage.label(strokes, structure=_EIGHT)
    found = []
    for n, place in enumerate(ndimage.find_objects(labels), start=1):
        glyph = _glyph(rgb, grey, labels, n, place, inside)
        if glyph is not None:
            found.append(glyph)
    return found


def _glyph(rgb: np.ndarray, grey: np.ndarray, labels: np.ndarray, n: int, place: tuple[slice, slice], inside: np.ndarray) -> _Glyph | None:
    rows, columns = place
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if not LEAST_HEIGHT_PX <= height <= MOST_HEIGHT_PX or width > 16 * height:
        return None
    wide = (slice(max(rows.start - 3, 0), rows.stop + 3), slice(max(columns.start - 3, 0), columns.stop + 3))
    piece, level = labels[wide] == n, grey[wide].astype(np.int16)
    if piece.sum() < 7:
        return None
    (drawn,) = _levels(level[piece], 80)
    next_to = ndimage.binary_dilation(piece, _EIGHT)
    rim = ndimage.binary_dilation(next_to, _EIGHT) & ~next_to & (labels[wide] == 0)
    if not rim.any():
        return None
    darkest, around, brightest = _levels(level[rim], 10, 75, 90)
    contrast = drawn - around
    if contrast < RIM_CONTRAST:
        return None
    half_stroke = ndimage.distance_transform_cdt(np.pad(piece, 1), "chessboard").max()
    if half_stroke > max(2.0, 0.22 * height + 0.6):
        return None
    edge, plain = _edge(piece, level, inside[wide]) / contrast, brightest - darkest <= PLAIN_WITHIN
    if not plain and (contrast < LEAST_CONTRAST_ON_SPECKLE or (height < LEAST_HEIGHT_ON_SPECKLE_PX and edge < SHARP)):
        return None
    core = piece & (np.abs(level - drawn) <= max(FLAT_WITHIN, FLAT_PART * contrast))
    flat = core.sum() / piece.sum()
    if flat < (FLAT_SHARE if edge < CLEAR else LEAST_FLAT_SHARE):
        return None
    several = _holds_letters(piece, contrast, edge, flat, plain)
    colour = np.median(rgb[wide][core], axis=0)
    return _Glyph(columns.start, rows.start, columns.stop, rows.stop, colour, max(1, round(width / height / 0.8)) if several else 1, edge)


def _levels(values: np.ndarray, *parts: int) -> list[float]:
    """The values below which so many percent lie; quicker for a few numbers than ``np.percentile``."""
    ordered = np.sort(values)
    return [float(ordered[round(p * (len(ordered) - 1) / 100)]) for p in parts]


def _holds_letters(piece: np.ndarray, contrast: float, edge: float, flat: float, plain: bool) -> bool:
    """Is a wide piece several letters that touch? Bright bands of tissue look alike, so it must plainly be drawn."""
    rows, columns = np.nonzero(piece)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    strokes_a_row = (np.diff(np.pad(piece, ((0, 0), (1, 0))).astype(np.int8), axis=1) == 1).sum() / height
    if width <= 1.6 * height or strokes_a_row < 2.2:
        return False
    if plain:
        return edge >= BLURRED
    if edge >= SHARP:
        return flat >= FLAT_SHARE or contrast >= FAIR_CONTRAST
    return edge >= SOFT and contrast >= STRONG_CONTRAST and flat >= 0.6


def _edge(piece: np.ndarray, level: np.ndarray, inside: np.ndarray) -> float:
    """The step in grey from a pixel of the piece to its neighbour that is not, in the middle of all along its border."""
    steps = []
    for a, b in (((slice(None, -1), slice(None)), (slice(1, None), slice(None))), ((slice(None), slice(None, -1)), (slice(None), slice(1, None)))):
        both = inside[a] & inside[b]
        down = level[a] - level[b]
        steps += [down[piece[a] & ~piece[b] & both], -down[piece[b] & ~piece[a] & both]]
    found = np.concatenate(steps)
    return float(np.median(found)) if found.size else 0.0


def _side_by_side(a: _Glyph, b: _Glyph) -> bool:
    """Do two pieces stand on one line, of one size and colour? ``a`` begins left of ``b``."""
    tall = max(a.height, b.height)
    if not a.x1 - 1 <= b.x0 <= a.x1 + tall or min(a.height, b.height) < 0.6 * tall:
        return False
    if min(abs(a.y1 - b.y1), abs(a.y0 - b.y0)) > 0.2 * tall:
        return False
    return bool(np.abs(a.colour - b.colour).max() <= SAME_COLOUR_WITHIN)


def _lines(glyphs: Sequence[_Glyph]) -> list[Box]:
    """Groups of pieces on one line that hold enough characters."""
    ordered = sorted(glyphs, key=lambda g: g.x0)
    parent = list(range(len(ordered)))

    def root(n: int) -> int:
        while parent[n] != n:
            n = parent[n]
        return n

    for n, a in enumerate(ordered):
        for m in range(n + 1, len(ordered)):
            if ordered[m].x0 > a.x1 + MOST_HEIGHT_PX:
                break
            if _side_by_side(a, ordered[m]):
                parent[root(m)] = root(n)
    groups: dict[int, list[_Glyph]] = {}
    for n, glyph in enumerate(ordered):
        groups.setdefault(root(n), []).append(glyph)
    return [
        (min(g.x0 for g in group), min(g.y0 for g in group), max(g.x1 for g in group) - 1, max(g.y1 for g in group) - 1)
        for group in groups.values()
        if _is_writing(group)
    ]


def _is_writing(group: Sequence[_Glyph]) -> bool:
    """Enough characters, and drawn ones where they are few."""
    if sum(g.characters for g in group) < LEAST_CHARACTERS:
        return False
    return len(group) > FEW_PIECES or float(np.median([g.edge for g in group])) >= EDGE_OF_FEW
