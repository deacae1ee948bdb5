"""Which part of a contrast loop's picture is the contrast, which the B-mode: a proposal that the reader confirms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from app.jobs.progress import JobContext
from volumetry.calibration import PictureRegion
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import Cine
from volumetry.perfusion.linearise import (
    GREY,
    MOST_FAR_SHARE,
    ColourMap,
    colour_map_from_bar,
    find_bar,
    is_colourless,
    overlay_level_error,
    overlay_mix,
    undo_colour_map,
)

LAYOUTS = ("side_by_side", "stacked", "overlay", "single")
PAIRS_AT = (0.3, 0.45, 0.6, 0.75)  # of the loop: frames compared with the next
SAMPLES = 16  # frames looked at for a proposal
GREY_BAR, COLOUR_BAR = 13, 14  # Region Data Type, DICOM PS3.3 C.8.5.5.1.2
SAME_SIZE_PX, SAME_SCALE = 4, 0.01
BLACK_BAND = 12  # levels: what lies between two pictures is darker
MANY_COLOURS = 400  # of 32^3: more than the colours along one map
CANNOT_TELL = "Nothing tells which picture is the contrast."
# Sentences a proposal may give; the window translates them.
REASONS = (
    "Two regions of one size and scale lie side by side.",
    "Two regions of one size and scale lie one above the other.",
    "One region holds two pictures with a black band between them.",
    "No region is given; two pictures lie beside a black band.",
    "There is one picture.",
    "Its colours are those of a map laid over a grey picture.",
    "It is coloured and the other one is grey.",
    "It is darker at the start of the loop.",
    "Its brightness changes more over the loop.",
    "Its speckle holds less from one frame to the next.",
    CANNOT_TELL,
)


@dataclass(frozen=True, slots=True)
class PaneBox:
    """Part of a picture in pixels, inclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0 + 1, self.x1 - self.x0 + 1

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The part of ``picture[row, column, ...]``."""
        return picture[self.y0 : self.y1 + 1, self.x0 : self.x1 + 1]

    def as_tuple(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1


@dataclass(frozen=True, slots=True)
class Panes:
    """Where contrast and B-mode lie. ``layout`` is one of ``LAYOUTS``; ``bmode`` None: there is none, or (``overlay``) it lies
    beneath the contrast. ``mm_per_pixel`` (x, y), None without a scale; ``bar``: the contrast's colour bar."""

    layout: str
    contrast: PaneBox
    bmode: PaneBox | None
    mm_per_pixel: tuple[float, float] | None
    bar: PaneBox | None = None

    def swapped(self) -> Panes:
        """Contrast and B-mode the other way round."""
        return self if self.bmode is None else replace(self, contrast=self.bmode, bmode=self.contrast)


@dataclass(frozen=True, slots=True)
class PaneProposal:
    """What the program takes the panes for. ``confidence`` 0 to 1 that contrast and B-mode are the right way round and
    of this layout; ``reasons`` from ``REASONS``. A reader confirms it or turns it round; nothing uses it unasked."""

    panes: Panes
    confidence: float
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ColourProposal:
    """The contrast's colour map as far as the picture tells: ``colours`` None where it does not. ``fit``: share of the pane's
    pixels that lie on it, 0 to 1. ``source``: ``grey``, ``region`` (the header says where the bar is), ``found`` or ``none``.
    ``tint_share``: of an overlay, how strongly the colour was mixed in; None where the picture does not tell."""

    colours: ColourMap | None
    source: str
    fit: float
    tint_share: float | None = None


def sample_frames(cine: Cine, context: JobContext | None = None, count: int = SAMPLES) -> list[np.ndarray]:
    """Evenly spread frames of the loop, the first and the last among them; frames that cannot be decoded are left out."""
    context = context or JobContext()
    numbers = np.unique(np.linspace(0, cine.frame_count - 1, min(count, cine.frame_count)).round().astype(int))
    out, trouble = [], None
    for k, n in enumerate(numbers):
        context.report("Looking at the loop", k / len(numbers))
        try:
            out.append(cine.read_frame(int(n)))
        except NodusError as error:
            trouble = error
    if not out and trouble is not None:
        raise trouble
    return out


def propose_panes(cine: Cine, context: JobContext | None = None) -> PaneProposal:
    """Panes of a loop from its ultrasound regions, or from a black band where one region (or none) holds two pictures.

    Which half is the contrast follows from colour, darkness at the start and change over time.
    """
    samples = sample_frames(cine, context)
    rows, columns = cine.shape
    regions = () if cine.calibration.refusal else tuple(r for r in cine.calibration.regions if r.is_length)
    bars = [r for r in cine.calibration.regions if r.data_type in (GREY_BAR, COLOUR_BAR)]
    findings: list[Finding] = []
    pair = _equal_pair(regions)
    if pair is not None:
        first, second, layout = pair
        reason = REASONS[0] if layout == "side_by_side" else REASONS[1]
        sure, scale = 1.0, first.mm_per_pixel
        boxes = _alike(_box(first), _box(second))
    else:
        region = max(regions, key=lambda r: (r.x1 - r.x0) * (r.y1 - r.y0), default=None)
        if len(regions) > 1:
            findings.append(Finding("pane_scales_differ", "The picture's regions differ in size or scale: contrast and B-mode cannot be laid over each other."))
        whole = _box(region) if region is not None else PaneBox(0, 0, columns - 1, rows - 1)
        scale = region.mm_per_pixel if region is not None else cine.calibration.manual_mm_per_pixel
        halves = _halves(samples, whole) if len(regions) < 2 else None
        if halves is None:
            return _one_pane(samples, whole, scale, bars, findings, alone=region is not None)
        first_box, second_box, layout = halves
        boxes, sure = (first_box, second_box), (0.7 if region is not None else 0.5)
        reason = REASONS[2] if region is not None else REASONS[3]
    contrast_first, told, why = _which_is_contrast(samples, [_steadiness(cine, box) for box in boxes], *boxes)
    contrast, bmode = boxes if contrast_first else boxes[::-1]
    panes = Panes(layout, contrast, bmode, scale, _bar_box(samples, [*boxes], bars, contrast))
    return PaneProposal(panes, sure * told, (reason, *why), tuple(findings))


def _box(region: PictureRegion) -> PaneBox:
    return PaneBox(region.x0, region.y0, region.x1, region.y1)


def _alike(first: PaneBox, second: PaneBox) -> tuple[PaneBox, PaneBox]:
    """Both boxes with the rows and columns of the smaller; their upper left corners stay."""
    rows, columns = (min(a, b) for a, b in zip(first.shape, second.shape, strict=True))
    a, b = (PaneBox(p.x0, p.y0, p.x0 + columns - 1, p.y0 + rows - 1) for p in (first, second))
    return a, b


def _equal_pair(regions: tuple[PictureRegion, ...]) -> tuple[PictureRegion, PictureRegion, str] | None:
    best, area = None, 0
    for n, a in enumerate(regions):
        for b in regions[n + 1 :]:
            one, two = _box(a).shape, _box(b).shape
            if any(abs(p - q) > SAME_SIZE_PX for p, q in zip(one, two, strict=True)):
                continue
            if any(abs(p - q) > SAME_SCALE * p for p, q in zip(a.mm_per_pixel, b.mm_per_pixel, strict=True)):
                continue
            beside = a.x1 < b.x0 or b.x1 < a.x0
            above = a.y1 < b.y0 or b.y1 < a.y0
            if beside == above or one[0] * one[1] <= area:
                continue
            first, second = sorted((a, b), key=lambda r: (r.x0, r.y0) if beside else (r.y0, r.x0))
            best, area = (first, second, "side_by_side" if beside else "stacked"), one[0] * one[1]
    return best


def _luma(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) if picture.ndim == 2 else picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def _halves(samples: list[np.ndarray], whole: PaneBox) -> tuple[PaneBox, PaneBox, str] | None:
    """Two pictures of one size with a black band between them near the middle; None where there are none."""
    brightest = np.max([_luma(whole.cut(p)) for p in samples], axis=0)
    if float((brightest > BLACK_BAND).mean()) < 0.2:
        return None
    for axis, layout in ((0, "side_by_side"), (1, "stacked")):
        lit = _lit(brightest, axis)
        runs = _longest_runs(lit)
        if len(runs) < 2:
            continue
        (a0, a1), (b0, b1) = sorted(runs[:2])
        size = min(a1 - a0, b1 - b0)
        if size < 0.25 * lit.size or abs((a1 - a0) - (b1 - b0)) > max(SAME_SIZE_PX, 0.03 * size):
            continue
        across = np.flatnonzero(_lit(brightest, 1 - axis))
        low, high = int(across[0]), int(across[-1])
        boxes = []
        for start in (a0, b0):
            if layout == "side_by_side":
                boxes.append(PaneBox(whole.x0 + start, whole.y0 + low, whole.x0 + start + size - 1, whole.y0 + high))
            else:
                boxes.append(PaneBox(whole.x0 + low, whole.y0 + start, whole.x0 + high, whole.y0 + start + size - 1))
        return boxes[0], boxes[1], layout
    return None


def _lit(brightest: np.ndarray, axis: int) -> np.ndarray:
    """Columns (``axis`` 0) or rows (1) that hold picture: at least half as much of it as the fullest; letters hold less."""
    share = (brightest > BLACK_BAND).mean(axis=axis)
    return share >= 0.5 * share.max()


def _longest_runs(flags: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    runs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return sorted(runs, key=lambda r: r[0] - r[1])


def _bar_box(samples: list[np.ndarray], panes: list[PaneBox], bars: list[PictureRegion], contrast: PaneBox) -> PaneBox | None:
    """The contrast's colour bar: of the header's the most colourful (then the nearest), else one found in the picture."""
    if bars:
        middle = 0.5 * (contrast.x0 + contrast.x1)

        def rank(bar: PictureRegion) -> tuple[float, float]:
            part = _box(bar).cut(samples[0])
            colour = 0.0 if part.ndim == 2 or part.size == 0 else float(np.ptp(part.astype(int), axis=2).max() > 24)
            return -colour, abs(0.5 * (bar.x0 + bar.x1) - middle)

        return _box(min(bars, key=rank))
    still = np.median(np.stack([samples[0], samples[len(samples) // 2], samples[-1]]), axis=0).astype(np.uint8)
    found = find_bar(still, [p.as_tuple() for p in panes])
    return None if found is None else PaneBox(*found)


def _one_pane(
    samples: list[np.ndarray], box: PaneBox, scale: tuple[float, float] | None, bars: list[PictureRegion], findings: list[Finding], *, alone: bool
) -> PaneProposal:
    bar = _bar_box(samples, [box], bars, box)
    parts = [box.cut(p) for p in samples]
    laid_over = False
    if not is_colourless(parts):
        laid_over = _is_overlay(parts, _map_of(samples, bar))
    panes = Panes("overlay" if laid_over else "single", box, None, scale, bar)
    findings.append(
        Finding("one_pane_only", "There is no B-mode picture beside the contrast: motion is not corrected, and frames beside the plane are not found.")
        if not laid_over
        else Finding("overlay_layout", "The contrast lies over the B-mode picture; their strengths are told apart by colour, less exactly than side by side.", "info")
    )
    reasons = (REASONS[5],) if laid_over else (REASONS[4],)
    return PaneProposal(panes, (0.8 if laid_over else 0.5) * (1.0 if alone else 0.6), reasons, tuple(findings))


def _map_of(samples: list[np.ndarray], bar: PaneBox | None) -> ColourMap | None:
    if bar is None or samples[0].ndim == 2:
        return None
    try:
        return colour_map_from_bar(bar.cut(samples[len(samples) // 2]))
    except NodusError:
        return None


def _is_overlay(parts: list[np.ndarray], colours: ColourMap | None) -> bool:
    """A tint over grey fills an area of colours, a map alone only a line of them."""
    if colours is not None:
        return overlay_level_error(colours) <= 6 and overlay_mix(parts, colours).is_overlay
    coarse = np.concatenate([(p.reshape(-1, 3) >> 3).astype(np.int32) for p in parts])
    return np.unique((coarse[:, 0] << 10) | (coarse[:, 1] << 5) | coarse[:, 2]).size > MANY_COLOURS


def _steadiness(cine: Cine, box: PaneBox) -> float:
    """How much of the fine pattern is still there in the next frame, wherever it moved: 0 to 1, the median of a few pairs. Tissue keeps its
    speckle, bubbles do not."""
    found = []
    for n in np.unique((cine.frame_count * np.array(PAIRS_AT)).astype(int)):
        if n + 1 >= cine.frame_count:
            continue
        try:
            pair = [_luma(box.cut(cine.read_frame(int(k))))[::2, ::2] for k in (n, n + 1)]
        except NodusError:
            continue
        fine = [p - ndimage.uniform_filter(p, 15, mode="nearest") for p in pair]
        spectra = [np.fft.rfft2(p, [2 * k for k in p.shape]) for p in fine]
        power = float(np.sqrt((fine[0] ** 2).sum() * (fine[1] ** 2).sum()))
        found.append(float(np.fft.irfft2(spectra[0] * np.conj(spectra[1])).max()) / power if power > 0 else 0.0)
    return float(np.median(found)) if found else 0.0


def _which_is_contrast(samples: list[np.ndarray], steady: list[float], first: PaneBox, second: PaneBox) -> tuple[bool, float, tuple[str, ...]]:
    """Whether the first box is the contrast, how sure (0.5 to 1), and why."""
    facts = []
    for box in (first, second):
        parts = [box.cut(p) for p in samples]
        coloured = float(np.mean([0.0 if p.ndim == 2 else float((np.ptp(p.astype(np.int16), axis=2) > 30).mean()) for p in parts]))
        means = np.array([float(_luma(p).mean()) for p in parts])
        facts.append((coloured, float(means[: max(1, len(means) // 8)].mean()), float(np.subtract(*np.percentile(means, [90, 10])))))
    (colour_a, start_a, change_a), (colour_b, start_b, change_b) = facts
    score, why = 0.0, []
    for difference, least, weight, reason in (
        (colour_a - colour_b, 0.1, 0.5, REASONS[6]),
        (start_b - start_a, 8.0, 0.25, REASONS[7]),
        (change_a - change_b, 5.0, 0.4, REASONS[8]),
        (steady[1] - steady[0], 0.15, 0.4, REASONS[9]),
    ):
        if abs(difference) >= least:
            score += weight * np.sign(difference)
            why.append((np.sign(difference), reason))
    if not why or score == 0:
        return False, 0.5, (CANNOT_TELL,)
    kept = tuple(reason for sign, reason in why if sign == np.sign(score))
    return bool(score > 0), min(1.0, 0.5 + 0.75 * abs(float(score))), kept


def propose_colours(cine: Cine, panes: Panes, context: JobContext | None = None, stated: ColourMap | None = None) -> ColourProposal:
    """The contrast pane's colour map: grey where it has no colour, else read from its colour bar; None where neither tells.

    ``stated``: the map is known, only how it fits and is mixed in is looked for (``source`` is then ``stated``).
    """
    samples = sample_frames(cine, context)
    parts = [panes.contrast.cut(p) for p in samples]
    if stated is None and is_colourless(parts):
        return ColourProposal(GREY, "grey", 1.0)
    by_header = any(r.data_type in (GREY_BAR, COLOUR_BAR) for r in cine.calibration.regions)
    colours = stated or _map_of(samples, panes.bar)
    if colours is None:
        return ColourProposal(None, "none", 0.0)
    source = "stated" if stated else "region" if by_header else "found"
    share = None
    if panes.layout == "overlay":
        share = None if overlay_level_error(colours) > 6 else overlay_mix(parts, colours).tint_share
        if share is None:
            return ColourProposal(colours, source, 0.0)
    some = [np.ascontiguousarray(p[::3, ::3]) for p in parts]
    far = float(np.mean([undo_colour_map(p, colours, overlay=share is not None, tint_share=share or 1.0).far_share for p in some]))
    if far > MOST_FAR_SHARE and share is None:
        return ColourProposal(None, "none", 1.0 - far)
    return ColourProposal(colours, source, 1.0 - far, share)
