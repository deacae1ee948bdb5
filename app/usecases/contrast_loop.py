"""A contrast cine becomes a ``ContrastLoop``: panes cut out, colours undone, times, flashes and drawn pixels known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.jobs.progress import JobContext
from app.usecases.contrast_panes import (
    LAYOUTS,
    REASONS,
    ColourProposal,
    PaneBox,
    PaneProposal,
    Panes,
    propose_colours,
    propose_panes,
)
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.image import Cine
from volumetry.kernels.perfusion_colour import grey_of, watch_pixels
from volumetry.perfusion.flash import detect_flashes
from volumetry.perfusion.linearise import MOST_FAR_SHARE, ColourMap, drawn_pixels, mean_power, refuse_unless_separable, undo_colour_map
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused

__all__ = [
    "LAYOUTS", "REASONS", "ColourProposal", "Landmarks", "PaneBox", "PaneProposal", "Panes",
    "landmarks", "load_loop", "propose_colours", "propose_panes",
]  # fmt: skip

FEWEST_FRAMES = 10  # a curve of four parameters and a baseline needs more frames than that
LARGEST_BYTES = 3 << 30  # both panes of the part that is read, one byte a pixel
CLIPPED_WARNING = 0.01  # share of pixels at the white end that is told
UNSPLIT_WARNING = 0.02
LATE_S = 120.0  # the late phase begins two minutes after arrival


def load_loop(
    cine: Cine,
    panes: Panes,
    *,
    range_db: float | None,
    colour_map: ColourMap | None = None,
    tint_share: float | None = None,
    frames: tuple[int, int] | None = None,
    context: JobContext | None = None,
) -> ContrastLoop:
    """Read the loop's frames (``frames``: first and last, inclusive; None: all) and undo their colours.

    ``range_db``: dynamic range of the contrast display, from the header or stated; ``colour_map``: None takes the one the
    picture shows; ``tint_share``: of an overlay, how strongly it is mixed in, None takes what the picture shows. Frames that cannot be decoded, that repeat a time or have another scale are left out and told.
    Raises ``PerfusionRefused``: ``range_unknown``, ``implausible_range``, ``frame_times_missing``, ``too_few_frames``,
    ``colour_map_unknown``, ``colour_map_unlike``, ``overlay_not_separable``, ``overlay_mix_unknown``, ``overlay_unclear``, ``bad_panes``, ``too_large``. Cancelled through ``context``.
    """
    context = context or JobContext()
    if range_db is None:
        raise PerfusionRefused(
            "The dynamic range of the contrast picture is not known, and without it a grey level has no echo power.",
            code="range_unknown",
            hint="State it in dB as the scanner shows it (often DR or C).",
        )
    if cine.frame_times_ms is None:
        raise PerfusionRefused("The loop has no frame times, so no curve over time can be made of it.", code="frame_times_missing", hint="Store it again with its times.")
    _check_panes(panes, cine.shape)
    numbers, findings = _usable_frames(cine, panes, frames)
    if any(f.code == "frame_times_from_rate" for f in cine.findings):
        said = "The header gives no usable times of acquisition: the rate of display stands in for them, and every time and rate of a curve hangs on it."
        findings.append(Finding("frame_times_from_rate", said))
    colour_map, tint_share = _colours_of(cine, panes, colour_map, tint_share, context.part(0.0, 0.05))
    reader = _Reader(cine, panes, colour_map, tint_share, len(numbers))
    read = reader.run(numbers, context.part(0.05, 0.98))
    kept, bad = np.array(read, dtype=np.int64), len(numbers) - len(read)
    _refuse_too_few(len(kept), cine.frame_count)
    if bad:
        findings.append(Finding("frames_unreadable", f"{bad} of {len(numbers)} frames could not be decoded and are left out.", "serious"))
    times = cine.frame_times_ms[kept] / 1000.0
    levels, tissue = reader.levels[: len(kept)], None if reader.tissue is None else reader.tissue[: len(kept)]
    findings += reader.findings()
    findings += _shared_colours(cine, colour_map)
    contrast_mean, bmode_mean = reader.means()
    flashes = detect_flashes(contrast_mean, bmode_mean)
    if flashes:
        findings.append(Finding("flash_frames", f"{len(flashes)} frames show a high-power pulse; they take no part in curves.", "info"))
    drawn = reader.drawn()
    if panes.mm_per_pixel is None:
        findings.append(Finding("uncalibrated", "The header gives no length scale: curves over time are valid, areas and volumes are not given."))
    same = [f for f in cine.findings if f.code not in {g.code for g in findings}]
    context.report("The loop is ready", 1.0)
    return ContrastLoop(
        levels, tissue, times - times[0], float(range_db), panes.mm_per_pixel, tuple(dict.fromkeys((*same, *findings))),
        drawn if drawn.any() else None, flashes, kept,
    )  # fmt: skip


def _colours_of(cine: Cine, panes: Panes, colours: ColourMap | None, share: float | None, context: JobContext) -> tuple[ColourMap, float]:
    """What is stated, completed by what the picture shows; refused where neither tells."""
    overlay = panes.layout == "overlay"
    if colours is None or (overlay and share is None and not colours.is_grey):
        proposed = propose_colours(cine, panes, context, colours)
        colours = proposed.colours if colours is None else colours
        share = proposed.tint_share if share is None else share
    if colours is None:
        raise PerfusionRefused(
            "The colours of the contrast picture are not known: no colour bar explains them.", code="colour_map_unknown", hint="Draw a box round its colour bar."
        )
    if overlay:
        refuse_unless_separable(colours)
        if share is None or not 0.05 <= share <= 1.0:
            raise PerfusionRefused(
                "How strongly the contrast's colour was mixed into the B-mode picture is not known, and its strength hangs on that.",
                code="overlay_mix_unknown", hint="Store the loop with both pictures side by side.",
            )  # fmt: skip
    return colours, 1.0 if share is None else share


def _shared_colours(cine: Cine, colours: ColourMap) -> list[Finding]:
    shared = cine.source.pixels_of_colour
    if shared is None or colours.is_grey:
        return []
    across, down = shared
    said = f"The contrast picture is coloured, and its file keeps one colour for every {across} by {down} pixels: strengths read from it are blurred and come out too low, by some per cent with a map of many colours."
    return [Finding("colour_subsampled", said)]


def _refuse_too_few(count: int, of: int) -> None:
    if count < FEWEST_FRAMES:
        raise PerfusionRefused(
            f"Only {count} of the loop's {of} frames can be used; a curve over time needs at least {FEWEST_FRAMES}.", code="too_few_frames", hint="Choose a longer part of the loop."
        )


def _check_panes(panes: Panes, shape: tuple[int, int]) -> None:
    for box in (panes.contrast, panes.bmode):
        if box is None:
            continue
        if not (0 <= box.x0 < box.x1 < shape[1] and 0 <= box.y0 < box.y1 < shape[0]):
            raise PerfusionRefused("A pane lies outside the picture.", code="bad_panes")
    if panes.bmode is not None and panes.bmode.shape != panes.contrast.shape:
        raise PerfusionRefused("Contrast and B-mode panes must have the same size.", code="bad_panes", hint="Draw both boxes alike.")


def _usable_frames(cine: Cine, panes: Panes, frames: tuple[int, int] | None) -> tuple[np.ndarray, list[Finding]]:
    """Numbers of the frames to read, and why others are not."""
    first, last = (0, cine.frame_count - 1) if frames is None else frames
    beyond = max(first, last) > cine.frame_count - 1
    first, last = max(0, min(first, last)), min(cine.frame_count - 1, max(first, last))
    numbers, findings = np.arange(first, last + 1), []
    if beyond:
        findings.append(Finding("frames_beyond_end", f"Frames after the last one that is there, {cine.frame_count - 1}, were asked for; it is read as far as it goes."))
    times = cine.frame_times_ms[first : last + 1]
    latest = np.maximum.accumulate(np.concatenate([[-np.inf], times[:-1]]))
    later = np.isfinite(times) & (times > latest)
    if not later.all():
        findings.append(Finding("frame_times_repeated", f"{int((~later).sum())} frames have no time of their own and are left out."))
    if cine.frame_calibrations and panes.mm_per_pixel is not None:
        scales = [_scale_of(cine, int(n), panes) for n in numbers]
        own = np.array([s is not None and all(abs(a - b) <= 0.01 * b for a, b in zip(s, panes.mm_per_pixel, strict=True)) for s in scales])
        if not own.all():
            findings.append(Finding("scale_changes", f"{int((~own).sum())} frames have another scale (the depth was changed) and are left out.", "serious"))
            later &= own
    numbers = numbers[later]
    _refuse_too_few(len(numbers), cine.frame_count)
    rows, columns = panes.contrast.shape
    size = len(numbers) * rows * columns * (1 if panes.bmode is None and panes.layout != "overlay" else 2)
    if size > LARGEST_BYTES:
        raise PerfusionRefused(
            f"The loop would need {size / 2**30:.1f} GB of memory.", code="too_large", hint="Choose a part of it: first and last frame."
        )
    return numbers, findings


def _scale_of(cine: Cine, frame: int, panes: Panes) -> tuple[float, float] | None:
    calibration = cine.calibration_at(frame)
    if calibration.manual_mm_per_pixel is not None:
        return calibration.manual_mm_per_pixel
    x, y = 0.5 * (panes.contrast.x0 + panes.contrast.x1), 0.5 * (panes.contrast.y0 + panes.contrast.y1)
    return next((r.mm_per_pixel for r in calibration.regions if r.is_length and r.holds(x, y)), None)


class _Reader:
    """Decodes frames in order into the two stacks and watches what each pixel does."""

    def __init__(self, cine: Cine, panes: Panes, colours: ColourMap, tint_share: float, count: int):
        self._cine, self._panes, self._colours, self._tint_share = cine, panes, colours, tint_share
        self._overlay = panes.layout == "overlay"
        shape = panes.contrast.shape
        with_bmode = panes.bmode is not None or self._overlay
        self.levels = np.empty((count, *shape), dtype=np.uint8)
        self.tissue = np.empty((count, *shape), dtype=np.uint8) if with_bmode else None
        self._total, self._squares = np.zeros(shape, dtype=np.uint32), np.zeros(shape, dtype=np.uint32)
        self._far_frames = np.zeros(shape, dtype=np.uint16)
        self._far, self._white = [], []
        self._means: list[tuple[float, float]] = []

    def run(self, numbers: np.ndarray, context: JobContext) -> list[int]:
        """Numbers of the frames that were read; they fill the stacks from the front."""
        read: list[int] = []
        for k, n in enumerate(numbers):
            if k % 8 == 0:
                context.report("Reading the loop", k / len(numbers))
            try:
                picture = self._cine.read_frame(int(n))
            except NodusError:
                continue
            self._take(len(read), picture)
            read.append(int(n))
            if len(read) == FEWEST_FRAMES and np.mean(self._far) > MOST_FAR_SHARE and not self._overlay:
                self._refuse_colours()
        if read and np.mean(self._far) > MOST_FAR_SHARE:
            self._refuse_colours()
        return read

    def _refuse_colours(self) -> None:
        if self._overlay:
            raise PerfusionRefused(
                f"In {100 * np.mean(self._far):.0f} % of the pixels the tint cannot be told from the B-mode picture for certain.",
                code="overlay_unclear", hint="Store the loop with both pictures side by side, or with less gain.",
            )  # fmt: skip
        raise PerfusionRefused(
            f"{100 * np.mean(self._far):.0f} % of the contrast picture's pixels have colours that are none of the colour map.",
            code="colour_map_unlike",
            hint="Check the panes, and draw a box round the contrast's own colour bar.",
        )

    def _take(self, at: int, picture: np.ndarray) -> None:
        undone = undo_colour_map(self._panes.contrast.cut(picture), self._colours, overlay=self._overlay, tint_share=self._tint_share)
        self.levels[at] = undone.levels
        whole, _, white = watch_pixels(undone.levels, undone.far, self._total, self._squares, self._far_frames)
        size, bright = undone.levels.size, 0.0
        if self.tissue is not None:
            part = undone.grey if self._overlay else self._panes.bmode.cut(picture)
            if part.ndim == 3:
                bright = grey_of(part, self.tissue[at]) / size
            else:
                self.tissue[at] = part
                bright = float(part.mean())
        self._far.append(undone.far_share)
        self._white.append(white / size)
        self._means.append((whole / size, bright))

    def means(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Mean display level of each frame, contrast and B-mode."""
        table = np.array(self._means)
        return table[:, 0], None if self.tissue is None else table[:, 1]

    def drawn(self) -> np.ndarray:
        """Bool mask of letters and marks in the contrast pane, and of what an overlay never tells."""
        return drawn_pixels(len(self._means), self._total, self._squares, self._far_frames)

    def findings(self) -> list[Finding]:
        """What the pixels could not tell."""
        out = []
        white = max(self._white, default=0.0)
        if white > CLIPPED_WARNING:
            out.append(Finding("white_clipped", f"Up to {100 * white:.0f} % of the contrast pixels are at the white end: their power is higher than shown, by an unknown amount."))
        if self._overlay and np.mean(self._far) > UNSPLIT_WARNING:
            out.append(Finding("overlay_unclear", f"In {100 * np.mean(self._far):.0f} % of the pixels the tint cannot be told from the B-mode picture for certain; they borrow the level of a neighbour."))
        return out


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Frames to jump to, proposed: contrast arrives, is brightest, and the late phase; None where the loop does not show it."""

    arrival: int | None
    peak: int | None
    late: int | None


def landmarks(loop: ContrastLoop, mask: np.ndarray | None = None) -> Landmarks:
    """Arrival, peak and late phase from the mean power of the pane (or of ``mask``), flashes left out.

    Arrival: where the smoothed power passes a tenth of the way from its start to its peak; late: two minutes after
    arrival, or the last frame where the loop ends before. Nothing is proposed for a rise that noise explains.
    """
    keep = np.setdiff1d(np.arange(loop.frame_count), loop.flash_frames)
    power = np.array([float(mean_power(loop.levels[n], loop.power_table, mask)) for n in keep])
    if power.size < 5:
        return Landmarks(None, None, None)
    smooth = np.convolve(np.pad(power, 1, mode="edge"), np.ones(3) / 3, "valid")
    unrest = 1.4826 * float(np.median(np.abs(np.diff(power) - np.median(np.diff(power))))) / np.sqrt(2)
    peak = int(smooth.argmax())
    start = float(smooth[: peak + 1].min())
    if smooth[peak] - start < max(5 * unrest, 0.25 * start):
        return Landmarks(None, None, None)
    below = np.flatnonzero(smooth[: peak + 1] < start + 0.1 * (smooth[peak] - start))
    arrival = int(below[-1]) + 1 if below.size and below[-1] < peak else None
    late = None
    if arrival is not None:
        after = np.flatnonzero(loop.times_s[keep] >= loop.times_s[keep[arrival]] + LATE_S)
        late = int(keep[after[0]]) if after.size else int(keep[-1])
    return Landmarks(None if arrival is None else int(keep[arrival]), int(keep[peak]), late)
