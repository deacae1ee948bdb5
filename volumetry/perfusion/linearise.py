"""From the colours of a contrast pane back to levels of the display, and what those cannot tell.

A scanner shows echo power in three steps: logarithm over a dynamic range, 256 levels, a colour for each. The
colours are undone here, exactly; the logarithm by ``loop.power_table``. What cannot be undone is said: pixels at
the black or white end (clipped), and pixels whose colour is none of the map (letters, marks). A scanner's own
grey-curve between logarithm and level is not in the picture and is taken as straight.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from volumetry.kernels import perfusion_colour as kernels
from volumetry.perfusion.loop import BLACK, WHITE, PerfusionRefused

# A colour further from every colour of the map than this is letters or a mark, not echo (units of 8 bit brightness).
FAR_DISTANCE = 24.0
FAR_SPREAD = 30  # channels of a grey picture that differ more than this
# A map explains a pane only if nearly all of it lies on the map.
MOST_FAR_SHARE = 0.3
# Letters: one ink, hardly changing over the loop where speckle does, a small part of the pane.
INK_FRAMES, INK_UNREST, INK_DARKEST, INK_SPREAD, INK_SHARE, INK_MOST = 10, 0.3, 40, 12, 0.5, 0.1
# A tint over B-mode: taking grey off the colours must explain them, and there must be grey to take off.
TINT_GAIN, TINT_GREY, TINT_DISTANCE = 0.6, 10.0, 6.0
# How strongly the tint is mixed in: known where another share, this far off, explains the colours this much worse.
SHARES, SHARE_APART, SHARE_WORSE = np.round(np.arange(0.3, 1.0001, 0.05), 2), 0.1, 1.4
BORROW_PX = 6  # how far a pixel of an overlay may borrow its level
# A white spot wider than a stroke, or white all over, is strong echo, not ink.
WHITE_INK, STROKE_PX, WHITE_INK_MOST = 200, 7, 0.02
# A bar must hold this much of the picture's range of brightness or hue, and this many pixels.
BAR_PATH, BAR_LENGTH, BAR_WIDTH = 180.0, 40, 4
ALIKE_LEVELS, FAR_LEVELS, TWICE_SHARE = 4, 48, 0.1  # a colour that stands for levels so far apart tells none of them


@dataclass(frozen=True, slots=True, eq=False)
class ColourMap:
    """The colour of each level 0 to 255: ``table`` uint8 ``[256, 3]``. ``source``: ``grey``, ``bar`` (read from the
    picture's colour bar) or ``stated``."""

    table: np.ndarray
    source: str = "stated"
    _memo: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        table = np.array(self.table, dtype=np.uint8)
        if table.shape != (256, 3):
            raise PerfusionRefused("A colour map has 256 colours of red, green and blue.", code="bad_shape")
        table.setflags(write=False)
        object.__setattr__(self, "table", table)

    @property
    def is_grey(self) -> bool:
        """True where level g is shown as the grey g."""
        return bool((self.table == np.arange(256)[:, None]).all())

    @property
    def worst_level_error(self) -> int:
        """How many levels a colour of the map leaves open at most: half the longest run of levels shown alike."""
        same = np.concatenate([[False], (np.diff(self.table.astype(int), axis=0) == 0).all(axis=1), [False]])
        edges = np.flatnonzero(~same)
        return int(np.diff(edges).max(initial=1)) // 2

    def memo(self, kind: str) -> np.ndarray:
        """Remembered answers (uint32 ``[2**24]``) of the kernels for this map; made on first use."""
        if kind not in self._memo:
            self._memo[kind] = np.full(1 << 24, kernels.UNSET, dtype=np.uint32)
        return self._memo[kind]


GREY = ColourMap(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1), "grey")


@dataclass(frozen=True, slots=True, eq=False)
class Undone:
    """One frame with its colours undone: ``levels`` uint8, ``far`` uint8 (1: no colour of the map), ``grey`` uint8 of
    an overlay's B-mode, else None; ``far_share`` of the pixels."""

    levels: np.ndarray
    far: np.ndarray
    grey: np.ndarray | None
    far_share: float


def undo_colour_map(picture: np.ndarray, colours: ColourMap, *, overlay: bool = False, tint_share: float = 1.0) -> Undone:
    """Levels of one pane, uint8 ``[row, column]`` or ``[row, column, 3]``; ``overlay``: ``tint_share`` of the map's colour
    was added to a grey, that of the B-mode picture below.

    A grey picture has its levels as they are. Where an overlay's tint cannot be told for certain the pixel has the level
    of the nearest one where it can (and counts as far). Raises ``PerfusionRefused``: ``overlay_not_separable``; ``colour_map_unlike``
    for a coloured map and a picture without colour.
    """
    shape = picture.shape[:2]
    if picture.ndim == 2:
        if not colours.is_grey:
            raise PerfusionRefused("The picture is grey, but a colour map was stated for it.", code="colour_map_unlike")
        if overlay:
            refuse_unless_separable(colours)
        return Undone(np.ascontiguousarray(picture), np.zeros(shape, np.uint8), None, 0.0)
    levels, far, grey = np.empty(shape, np.uint8), np.empty(shape, np.uint8), None
    if overlay:
        refuse_unless_separable(colours)
        grey = np.empty(shape, np.uint8)
        table = tint_share * colours.table.astype(np.float64)
        count = kernels.undo_overlay(picture, table, 255, FAR_DISTANCE**2, colours.memo(f"overlay {tint_share:.4f}"), levels, grey, far)
        kernels.borrow_levels(far, BORROW_PX, levels)
    elif colours.is_grey:
        count = kernels.undo_grey(picture, FAR_SPREAD, levels, far)
    else:
        count = kernels.undo_colours(picture, colours.table.astype(np.float64), FAR_DISTANCE**2, colours.memo("plain"), levels, far)
    return Undone(levels, far, grey, count / max(levels.size, 1))


def overlay_level_error(colours: ColourMap) -> float:
    """How many levels a colour error of one unit makes in an overlay, in the middle of the map.

    Grey added to a colour leaves only the differences of its channels, so the map is as good as those
    change from level to level: 1 / speed. Infinite for a grey map.
    """
    table = colours.table.astype(float)
    hue = np.stack([table[:, 0] - table[:, 1], table[:, 1] - table[:, 2]], axis=1)
    speed = np.hypot(*((hue[16:] - hue[:-16]).T)) / 16
    return float(np.median(1.0 / np.maximum(speed, 1e-9))) if speed.max() > 0.02 else float("inf")


def refuse_unless_separable(colours: ColourMap) -> None:
    """Raises ``PerfusionRefused`` (``overlay_not_separable``) where tint and B-mode cannot be told apart."""
    if overlay_level_error(colours) > 6.0:
        raise PerfusionRefused(
            "The contrast lies over the B-mode picture in a colour that cannot be told from it: its strength is not in the file.",
            code="overlay_not_separable",
            hint="Store the loop with both pictures side by side.",
        )


def colour_map_from_bar(strip: np.ndarray) -> ColourMap:
    """The map that a colour bar shows: ``strip`` uint8 ``[row, column]`` or ``[row, column, 3]``, the bar and nothing else.

    Levels run evenly along its longer side, 255 at the brighter end. Raises ``PerfusionRefused``:
    ``colour_bar_unclear`` for a bar that is too short, flat, equally bright at both ends, or shows one colour at levels far apart.
    """
    colour = np.repeat(strip[..., None], 3, axis=2) if strip.ndim == 2 else strip
    if colour.shape[0] < colour.shape[1]:
        colour = colour.transpose(1, 0, 2)
    line = np.median(colour.astype(float), axis=1)
    if len(line) < BAR_LENGTH:
        raise _unclear(f"it is only {len(line)} pixels long")
    if _path(line) < BAR_PATH:
        raise _unclear("its colours hardly change")
    luma = line @ (0.299, 0.587, 0.114)
    end = max(2, len(line) // 20)
    first, last = float(luma[:end].mean()), float(luma[-end:].mean())
    if abs(first - last) < 24:
        raise _unclear("both ends are equally bright")
    if first > last:
        line = line[::-1]
    at = np.linspace(0.0, 255.0, len(line))
    table = np.stack([np.interp(np.arange(256), at, line[:, k]) for k in range(3)], axis=1)
    alike = np.abs(table[:, None] - table).max(axis=2) <= ALIKE_LEVELS
    if (alike & (np.abs(np.subtract.outer(np.arange(256), np.arange(256))) > FAR_LEVELS)).any(axis=1).mean() > TWICE_SHARE:
        raise _unclear("one colour stands at places far apart")
    spread = np.ptp(table, axis=1).max()
    if spread <= 4:  # a grey bar: its own rounding is no colour
        grey = np.rint(table.mean(axis=1))
        if np.abs(grey - np.arange(256)).max() <= 6:
            return ColourMap(GREY.table, "bar")
    return ColourMap(np.rint(table).astype(np.uint8), "bar")


def _unclear(why: str) -> PerfusionRefused:
    return PerfusionRefused(f"The colour bar cannot be read: {why}.", code="colour_bar_unclear", hint="Draw a box round the bar, without its frame.")


def _path(line: np.ndarray) -> float:
    return float(np.abs(np.diff(line, axis=0)).max(axis=1).sum())


def find_bar(picture: np.ndarray, barred: list[tuple[int, int, int, int]]) -> tuple[int, int, int, int] | None:
    """Box (x0, y0, x1, y1), inclusive, of an upright colour bar outside the ``barred`` boxes (the panes); None if none.

    A bar is at least four pixels wide, the same across, and changes evenly from black to its bright end. Of several the
    most colourful one counts, then the longest.
    """
    colour = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    values = colour.astype(np.int16)
    rows, columns = values.shape[:2]
    if rows < BAR_LENGTH or columns < BAR_WIDTH:
        return None
    free = np.ones((rows, columns), dtype=bool)
    for x0, y0, x1, y1 in barred:
        free[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1] = False
    alike = np.abs(np.diff(values, axis=1)).max(axis=2) <= 8
    wide = free[:, : columns - BAR_WIDTH + 1].copy()
    for k in range(BAR_WIDTH - 1):
        wide &= alike[:, k : columns - BAR_WIDTH + 1 + k] & free[:, k + 1 : columns - BAR_WIDTH + 2 + k]
    step = np.abs(np.diff(values, axis=0)).max(axis=2)
    best: tuple[float, int, tuple[int, int, int, int]] | None = None
    for c in range(wide.shape[1]):
        along = wide[1:, c] & wide[:-1, c] & (step[:, c] <= 24)
        for start, stop in _runs(along):
            changing = np.flatnonzero(step[start:stop, c])
            if changing.size == 0 or changing[-1] - changing[0] < BAR_LENGTH:
                continue
            top, bottom = start + int(changing[0]), start + int(changing[-1]) + 1
            line = values[top : bottom + 1, c].astype(float)
            if _path(line) < BAR_PATH or min(line[0].max(), line[-1].max()) > 40:
                continue
            score = float(np.ptp(line, axis=1).max() > 24), bottom - top
            if best is None or score > best[:2]:
                best = (*score, (c, top, c + BAR_WIDTH - 1, bottom))
    return None if best is None else best[2]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def is_colourless(pictures: list[np.ndarray]) -> bool:
    """True where hardly a pixel of the panes has a colour (compression leaves a little of it)."""
    coloured = [0.0 if p.ndim == 2 else float((np.ptp(p.astype(np.int16), axis=2) > FAR_SPREAD).mean()) for p in pictures]
    return max(coloured, default=0.0) < 0.02


@dataclass(frozen=True, slots=True)
class OverlayMix:
    """Whether colours are those of a map over grey (``is_overlay``), and what share of the map's colour was mixed in:
    ``tint_share`` 0 to 1, None where several shares explain the picture alike."""

    is_overlay: bool
    tint_share: float | None


def overlay_mix(pictures: list[np.ndarray], colours: ColourMap) -> OverlayMix:
    """Are these colours (uint8 ``[..., 3]``) those of the map plus a grey, rather than of the map alone, and mixed how?

    For each share the grey that fits best is taken off every colour; what is left is small for the true share alone,
    unless the map's hue runs straight (then any larger share fits as well and the share is not known).
    """
    seen = np.concatenate([p.reshape(-1, 3) for p in pictures])
    seen = np.unique(seen[:: max(1, len(seen) // 6000)], axis=0).astype(np.float32)
    seen = seen[seen.max(axis=1) < 255]  # a channel at its end hides what was added
    if len(seen) < 50:
        return OverlayMix(False, None)
    seen = seen[:: max(1, len(seen) // 500)]
    table = colours.table.astype(np.float32)
    plain = float(np.percentile(np.sqrt(((seen[:, None, :] - table) ** 2).sum(axis=2).min(axis=1)), 75))

    def left_over(share: float) -> tuple[float, float]:
        off = seen[:, None, :] - np.float32(share) * table
        grey = np.maximum(off.mean(axis=2), 0.0)
        rest = ((off - grey[..., None]) ** 2).sum(axis=2)
        best = rest.argmin(axis=1)
        chosen = np.arange(len(seen)), best
        return float(np.percentile(np.sqrt(rest[chosen]), 75)), float(np.median(grey[chosen]))

    shares = [left_over(float(share)) for share in SHARES]
    lefts = np.array([left for left, _ in shares])
    at = int(lefts.argmin())
    if plain <= TINT_DISTANCE or lefts[at] >= TINT_GAIN * plain or shares[at][1] <= TINT_GREY:
        return OverlayMix(False, None)
    fine = np.round(np.arange(SHARES[at] - 0.05, min(SHARES[at] + 0.051, 1.0), 0.01), 2)
    finer = np.array([left_over(float(share))[0] for share in fine])
    share, left = float(fine[finer.argmin()]), max(float(finer.min()), 0.5)
    off = np.abs(SHARES - share) >= SHARE_APART
    known = bool((lefts[off] > SHARE_WORSE * left).all())
    return OverlayMix(True, share if known else None)


def drawn_pixels(frames: int, total: np.ndarray, squares: np.ndarray, far_frames: np.ndarray) -> np.ndarray:
    """Bool ``[row, column]``: letters and marks. Off the map's colours in half the frames, or of one ink that hardly changes.

    ``total``, ``squares``: sums of each pixel's level and its square over ``frames`` frames; ``far_frames``: in how many
    it was far. Pixels that hardly change but differ among each other are echoes of tissue at rest, not ink.
    """
    drawn = far_frames > 0.5 * frames
    if frames < INK_FRAMES:
        return drawn
    mean = total / frames
    unrest = np.sqrt(np.maximum(squares / frames - mean**2, 0.0))
    still = (unrest < INK_UNREST * float(np.median(unrest))) & (mean >= INK_DARKEST) & ~drawn
    white = still & (mean >= WHITE_INK)
    if white.mean() > WHITE_INK_MOST:
        still &= ~white
    elif white.any():
        still &= ~ndimage.binary_dilation(ndimage.binary_opening(white, np.ones((STROKE_PX, STROKE_PX))), iterations=2, mask=white)
    count = int(still.sum())
    if 0 < count <= INK_MOST * still.size:
        counts = np.bincount(np.rint(mean[still]).astype(int), minlength=256)
        window = np.convolve(counts, np.ones(2 * INK_SPREAD + 1, dtype=int), "same")
        first = int(window.argmax())
        if window[first] >= INK_SHARE * count:
            ink = float(np.median(mean[still & (np.abs(mean - first) <= INK_SPREAD + 0.5)]))
            drawn = drawn | (still & (np.abs(mean - ink) <= INK_SPREAD))
    return drawn


def clipped_share(levels: np.ndarray, mask: np.ndarray | None = None) -> tuple[float, float]:
    """Shares (0 to 1) of pixels at the black and at the white end, of ``levels[..., row, column]`` within ``mask``."""
    chosen = levels if mask is None else levels[..., mask]
    if chosen.size == 0:
        return 0.0, 0.0
    return float((chosen == BLACK).mean()), float((chosen == WHITE).mean())


def mean_power(levels: np.ndarray, table: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Mean echo power over the pixels of each frame: linear first, then the average.

    ``levels`` uint8 ``[..., row, column]``, ``table`` float ``[256]`` (``power_table``), ``mask`` bool ``[row, column]``.
    """
    chosen = levels.reshape(*levels.shape[:-2], -1) if mask is None else levels[..., mask]
    return table.astype(np.float64)[chosen].mean(axis=-1)
