"""A gain that was turned while the loop was recorded: found as a step in the brightness of what does not change, and never measured across.

Turning the gain multiplies every echo by one number: all parts of a picture get brighter by the same decibels, from one frame
to the next. Contrast that arrives adds to the echoes instead: over seconds, here more and there less, and hardly in the B-mode
picture. So a step is looked for in the medians of a grid of blocks that move with the tissue, against the course on either side,
and it counts where the parts that change least have it too. Where one is found, curves keep to the frames on one side of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from volumetry.finding import Finding
from volumetry.kernels.perfusion_gain import block_medians
from volumetry.perfusion.loop import ContrastLoop

if TYPE_CHECKING:
    from volumetry.perfusion.motion import Motion

REASON = "gain"  # of ``Motion.reasons``: the frame lies on the other side of a step
BLOCKS = (6, 8)
SAMPLES = 20_000  # pixels looked up in a frame
SIDE, LEAST_SIDE = 4, 2  # frames of the line on either side of a step
REACH_S = 12.0  # a line over a longer stretch says nothing of its end
LEAST_BLOCKS, LEAST_SHARE = 12, 0.5  # with a median that is no end of the display
CALM_SHARE, LEAST_CALM = 0.15, 5  # of the blocks: those that change least on either side
BMODE_LEVELS, CONTRAST_DB = 2.5, 1.2  # smallest step that counts
SPREADS = 5.0
ALONE_TIMES = 1.25  # without registered frames, or without a second picture, a step must be this much larger
# How far the course may bend from one frame to the next, as shares of its slopes: where a rise sets in (contrast arrives), or could set in with a
# step that the B-mode picture shows too; of the change of slope; of the slope itself.
RISING, RISING_KNOWN, COURSE, STEADY = 6.0, 1.0, 1.0, 0.2
COMMON_DB, COMMON_SHARE = 1.0, 0.4  # how far the calm blocks may differ from the whole beyond noise, and share of it that they show at least
CALM_DB = 2.5  # a step down that the calm blocks alone must bear, because contrast moves the others
UPWARDS_S, UPWARDS_DB = 1.0, 12.0  # of a step up that the contrast alone shows: no longer between frames, no larger
COURSE_DB_S = 1.5  # of contrast that washes out, where no line covers the time between two frames
RISEN_DB = 6.0  # above the loop's darkest: contrast has come before
UNCHANGED_DB = 0.9
DB_OF_LEVEL = 30.0 / 255  # no B-mode display has a narrower range: what a level of a step is worth at least
MOST_STEPS = 12  # more are a flicker, not a knob
SAME_TURN_S = 2.0  # notches of a knob that follow each other sooner are one change


@dataclass(frozen=True, slots=True)
class GainStep:
    """A step of the gain. ``last`` and ``first``: numbers within the loop of the last frame before it and the first after it (frames
    between lie within the turn, or are not accepted); ``time_s`` in the middle. ``contrast_db``: by how much the contrast's power was
    raised, None where the contrast does not show it (black, or just arriving). ``bmode_levels``: by how many grey levels the B-mode
    picture changed, None without one. ``in_contrast``: whether the contrast is known to have changed (None: not known)."""

    last: int
    first: int
    time_s: float
    contrast_db: float | None
    bmode_levels: float | None
    in_contrast: bool | None

    @property
    def is_sure(self) -> bool:
        """Whether frames may be left out for it: both pictures show it. What the contrast alone shows may be contrast that came or went."""
        return bool(self.in_contrast) and abs(self.bmode_levels or 0.0) >= BMODE_LEVELS


def _median_and_noise(values: np.ndarray) -> tuple[float, float]:
    """Median, and its standard deviation for independent values: 1.25 of theirs over the root of their number."""
    middle = float(np.median(values))
    return middle, 1.2533 * 1.4826 * float(np.median(np.abs(values - middle))) / math.sqrt(values.size)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The step between each used frame and the next in a part of the blocks, ``[step]``, NaN where it cannot be told: ``jump``, its standard
    deviation ``noise``, and by how much the course changed over that gap ``before`` and ``after``, and ``next`` from the first frame after it to the
    second."""

    jump: np.ndarray
    noise: np.ndarray
    before: np.ndarray
    after: np.ndarray
    next: np.ndarray

    @classmethod
    def empty(cls, count: int) -> _Part:
        return cls(*(np.full(count, np.nan) for _ in range(5)))

    def put(self, i: int, jumps: np.ndarray, before: np.ndarray, after: np.ndarray, following: np.ndarray) -> None:
        """Medians over blocks."""
        self.jump[i], self.noise[i] = _median_and_noise(jumps)
        for course, values in ((self.before, before), (self.after, after), (self.next, following)):
            middle, noise = _median_and_noise(values)
            course[i] = math.copysign(max(abs(middle) - 2 * noise, 0.0), middle)  # what noise explains is no course

    def bend(self, rising: float = RISING) -> np.ndarray:
        """What the course may hide. Contrast arrives steeply and then ever more slowly: a rise into a rise is no step unless it is far above
        that which follows."""
        arriving = np.where(self.jump > 0, rising * np.maximum(np.maximum(self.after, self.next), 0.0), 0.0)
        slopes = np.maximum(np.abs(self.before), np.abs(self.after))
        return np.maximum(np.maximum(arriving, COURSE * np.abs(self.after - self.before)), STEADY * slopes)

    def is_peak(self, i: int) -> bool:
        """Whether no neighbour has a larger step."""
        return bool(abs(self.jump[i]) >= np.nanmax(np.abs(self.jump[max(0, i - SIDE + 1) : i + SIDE])))


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Steps of one picture: of all blocks, and of the ``calm`` ones, which change least on either side."""

    whole: _Part
    calm: _Part
    level: np.ndarray  # median of the blocks before the step
    between_s: np.ndarray  # what neither line covers


def find_gain_steps(loop: ContrastLoop, motion: Motion) -> tuple[GainStep, ...]:
    """Steps of the gain in the frames that ``motion`` accepts, in order of time.

    A step is found where two accepted frames or more lie on either side of it. Steps that follow each other within 2 s are told as one.
    """
    used = motion.accepted.copy()
    used[list(loop.flash_frames)] = False
    frames = np.flatnonzero(used)
    if frames.size < 2 * SIDE:
        return ()
    times = loop.times_s[frames]
    flashes = loop.times_s[[n for n in range(loop.frame_count) if n in set(loop.flash_frames) or motion.reasons[n] == "flash"]]
    contrast = _blocks(loop, motion, loop.levels, frames, loop.drawn) * (loop.range_db / 255.0)
    bmode = None if loop.tissue is None else _blocks(loop, motion, loop.tissue, frames, None)
    search = _Search(times, contrast, bmode, flashes)
    return search.told(frames, search.found())


class _Search:
    """Steps are found one by one, the clearest first: no line then runs across those that are known."""

    def __init__(self, times: np.ndarray, contrast: np.ndarray, bmode: np.ndarray | None, flashes: np.ndarray):
        self.times, self.contrast, self.bmode, self.flashes = times, contrast, bmode, flashes

    def steps(self, known: list[int]) -> tuple[_Steps, _Steps | None]:
        """Steps of both pictures beside the ``known`` ones."""
        walls = np.array([0.5 * (self.times[i] + self.times[i + 1]) for i in known])
        of_bmode = None if self.bmode is None else _steps(self.bmode, self.times, walls)
        return _steps(self.contrast, self.times, np.sort(np.concatenate([walls, self.flashes]))), of_bmode

    def found(self) -> list[int]:
        """Numbers of used frames after which the gain steps, in order."""
        known: list[int] = []
        while len(known) < MOST_STEPS:
            contrast, bmode = self.steps(known)
            seen = _in_contrast(contrast, np.diff(self.times), ALONE_TIMES if bmode is None else 1.0) + ([] if bmode is None else _in_bmode(bmode))
            if not seen:
                break
            known.append(max(seen)[1])
        return sorted(known)

    def told(self, frames: np.ndarray, found: list[int]) -> tuple[GainStep, ...]:
        """The steps ``found``, notches of one turn together."""
        parts = []
        for i in found:
            contrast, bmode = self.steps([k for k in found if k != i])
            levels = None if bmode is None or not np.isfinite(bmode.whole.jump[i]) else float(bmode.whole.jump[i])
            parts.append((i, *_contrast_of(contrast, i, levels or 0.0), levels))
        groups: list[list[tuple]] = []
        for part in parts:
            one, other = (groups[-1][-1], part) if groups else (None, None)
            if groups and self._of_one_turn(one, other):
                groups[-1].append(part)
            else:
                groups.append([part])
        out = []
        for group in groups:
            first, last = group[0][0], group[-1][0] + 1
            states, sizes, levels = ([p[k] for p in group] for k in (1, 2, 3))
            state = None if None in states else any(states)
            size = None if state is None else float(sum(sizes))
            of_bmode = None if None in levels else float(sum(levels))
            out.append(GainStep(int(frames[first]), int(frames[last]), float(0.5 * (self.times[first] + self.times[last])), size, of_bmode, state))
        return tuple(s for s in out if s.in_contrast is not False or abs(s.bmode_levels or 0.0) >= BMODE_LEVELS)

    def _of_one_turn(self, one: tuple, other: tuple) -> bool:
        sizes = [p[2] if p[3] is None or abs(p[3]) < BMODE_LEVELS else p[3] for p in (one, other)]
        near = self.times[other[0]] - self.times[one[0] + 1] <= SAME_TURN_S or other[0] - one[0] <= SIDE
        return near and None not in sizes and sizes[0] * sizes[1] > 0


def _blocks(loop: ContrastLoop, motion: Motion, levels: np.ndarray, frames: np.ndarray, drawn: np.ndarray | None) -> np.ndarray:
    """Median level of every block in every frame: ``[frame, block]``."""
    out = np.empty((frames.size, BLOCKS[0] * BLOCKS[1]))
    step = max(1, int(math.sqrt(loop.shape[0] * loop.shape[1] / SAMPLES)))
    matrices = np.ascontiguousarray(motion.matrices, dtype=np.float64).view()
    marks = (np.zeros((1, 1), np.bool_) if drawn is None else np.ascontiguousarray(drawn)).view()
    matrices.setflags(write=False)  # as the kernel was compiled for, whoever made them
    marks.setflags(write=False)
    block_medians(levels, frames, matrices, np.zeros((1, 2, 2, 2), np.float32), False, marks, drawn is not None, step, BLOCKS, out)
    return out


def _steps(values: np.ndarray, times: np.ndarray, walls: np.ndarray) -> _Steps:
    """Steps between lines laid through up to four frames on either side. ``values`` ``[frame, block]``; no line runs across one of
    ``walls`` (times)."""
    n = times.size
    out = _Steps(_Part.empty(n - 1), _Part.empty(n - 1), *(np.full(n - 1, np.nan) for _ in range(2)))
    for i in range(LEAST_SIDE - 1, n - LEAST_SIDE):
        if ((walls > times[i]) & (walls < times[i + 1])).any():
            continue
        earliest = max([*walls[walls < times[i + 1]], times[i] - REACH_S])
        latest = min([*walls[walls > times[i]], times[i + 1] + REACH_S])
        before = np.arange(max(0, i - SIDE + 1), i + 1)
        after = np.arange(i + 1, min(n, i + 1 + SIDE))
        before, after = before[times[before] > earliest], after[times[after] < latest]
        if min(before.size, after.size) < LEAST_SIDE:
            continue
        near = np.isfinite(values[np.concatenate([before, after])])
        seen = near.all(axis=0)  # what has come to an end of the display is gone; the rest alone would speak for little
        if seen.sum() < max(LEAST_BLOCKS, LEAST_SHARE * near.any(axis=0).sum()):
            continue
        gap = times[i + 1] - times[i]
        reach, other = (min(gap, float(np.ptp(times[side]))) / 2 for side in (before, after))  # a line is not drawn on far beyond its own length
        end, fall = _line(times[before], values[before][:, seen], times[i] + reach)
        start, rise = _line(times[after], values[after][:, seen], times[i + 1] - other)
        out.between_s[i] = gap - reach - other
        jumps = start - end
        out.level[i] = float(np.median(values[before][:, seen]))
        calm = np.argsort(np.maximum(np.abs(fall), np.abs(rise)), kind="stable")[: max(LEAST_CALM, int(CALM_SHARE * jumps.size))]
        following = (values[after[1]][seen] - values[after[0]][seen]) / (times[after[1]] - times[after[0]])
        for part, chosen in ((out.whole, slice(None)), (out.calm, calm)):
            part.put(i, jumps[chosen], gap * fall[chosen], gap * rise[chosen], gap * following[chosen])
    return out


def _line(times: np.ndarray, values: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """Value at ``at`` and slope of the straight line through ``values`` ``[frame, block]``, by block."""
    off = times - times.mean()
    slope = (off[:, None] * values).sum(axis=0) / float((off**2).sum())
    return values.mean(axis=0) + (at - times.mean()) * slope, slope


def _in_bmode(steps: _Steps) -> list[tuple[float, int]]:
    """Steps of the B-mode picture, the largest of neighbours: (how far beyond what counts, number of the used frame before it)."""
    whole = steps.whole
    with np.errstate(invalid="ignore"):
        times_over = np.abs(whole.jump) / (whole.bend() + np.maximum(BMODE_LEVELS, SPREADS * whole.noise))
        return [(float(times_over[i]), int(i)) for i in np.flatnonzero(times_over > 1) if whole.is_peak(i)]


def _in_contrast(steps: _Steps, gaps_s: np.ndarray, factor: float) -> list[tuple[float, int]]:
    """As ``_in_bmode``, of the contrast: all of it with the calm blocks, or the calm blocks where contrast moves the others. Upwards only where
    frames follow each other closely, or contrast is there and going: between distant ones it may have arrived."""
    whole, calm = steps.whole, steps.calm
    if not np.isfinite(calm.jump).any():
        return []
    noise = np.maximum(calm.noise, 1.4826 * np.nanmedian(np.abs(calm.jump - np.nanmedian(calm.jump))))
    with np.errstate(invalid="ignore"):
        unseen = COURSE_DB_S * steps.between_s
        of_whole = np.abs(whole.jump) / (unseen + whole.bend() + factor * np.maximum(CONTRAST_DB, SPREADS * whole.noise))
        apart = np.abs(whole.jump - calm.jump) <= COMMON_DB + whole.bend() + calm.bend() + 2 * noise
        shared = calm.jump * np.sign(whole.jump) >= COMMON_SHARE * np.abs(whole.jump)
        # downwards alone: where contrast arrives some calm blocks may have risen by chance
        of_calm = np.maximum(-calm.jump, 0.0) / (unseen + calm.bend() + factor * np.maximum(CALM_DB, SPREADS * noise))
        borne = whole.jump * np.sign(calm.jump) >= COMMON_SHARE * np.abs(calm.jump)
        washing_out = (steps.level >= np.nanmin(steps.level) + RISEN_DB) & (whole.before <= 0) & (whole.after <= 0)
        close = (whole.jump < 0) | ((gaps_s <= UPWARDS_S) & (whole.jump <= UPWARDS_DB)) | washing_out
    found = [(float(of_whole[i]), int(i)) for i in np.flatnonzero((of_whole > 1) & apart & shared & close) if whole.is_peak(i)]
    return found + [(float(of_calm[i]), int(i)) for i in np.flatnonzero((of_calm > 1) & borne) if calm.is_peak(i)]


def _contrast_of(contrast: _Steps, i: int, levels: float) -> tuple[bool | None, float | None]:
    """Whether the contrast has the step that the B-mode picture shows by ``levels``, and by how many dB; (None, None) where it does not show."""
    whole, calm = ((float(p.jump[i]), float(p.bend(RISING_KNOWN)[i] + 2 * p.noise[i])) for p in (contrast.whole, contrast.calm))
    if not math.isfinite(whole[0]):
        return None, None
    step, unsure = min(whole, calm, key=lambda v: v[1])  # where contrast comes and goes the calm blocks know better
    if abs(step) > max(unsure, UNCHANGED_DB):
        return True, step
    return (False, 0.0) if abs(step) + unsure <= max(UNCHANGED_DB, abs(levels) * DB_OF_LEVEL) else (None, None)


def on_one_side(loop: ContrastLoop, motion: Motion) -> Motion:
    """``motion`` with the frames of one gain alone: of the stretches between steps that both pictures show that in which the contrast rises most
    (then the longest); the others are not accepted, with the reason ``gain``. A step of one picture alone leaves nothing out. Findings: ``gain_changed``, ``gain_change_unsure``,
    ``bmode_gain_changed``. Without a step ``motion`` itself."""
    steps = find_gain_steps(loop, motion)
    if not steps:
        return motion
    cuts = [s for s in steps if s.is_sure]
    findings = [_said(s) for s in steps if not s.is_sure]
    accepted, reasons = motion.accepted.copy(), list(motion.reasons)
    if cuts:
        first, last = _best_stretch(loop, motion, cuts)
        outside = np.ones(motion.frames, bool)
        outside[first : last + 1] = False
        lost = outside & motion.accepted
        for n in np.flatnonzero(lost):
            reasons[n] = REASON
        accepted[outside] = False
        findings += [_cut_finding(loop, cut, first, last) for cut in cuts]
    return replace(motion, accepted=accepted, reasons=tuple(reasons), findings=(*motion.findings, *findings))


def _best_stretch(loop: ContrastLoop, motion: Motion, cuts: list[GainStep]) -> tuple[int, int]:
    """First and last frame of the stretch that is kept."""
    edges = [(a, b) for a, b in zip([0, *(c.first for c in cuts)], [*(c.last for c in cuts), loop.frame_count - 1], strict=True)]

    def worth(edge: tuple[int, int]) -> tuple[float, int]:
        frames = np.array([n for n in range(edge[0], edge[1] + 1) if motion.accepted[n] and n not in loop.flash_frames])
        if frames.size < 2:
            return 0.0, 0
        gain_db = sum(c.contrast_db for c in cuts if c.first <= edge[0])
        power = np.array([float(loop.power_table[loop.levels[n, ::2, ::2]].mean()) for n in frames]) / 10 ** (gain_db / 10)
        return float((power - np.minimum.accumulate(power)).max()), frames.size

    values = [worth(e) for e in edges]
    most = max(v for v, _ in values)
    return max(zip(values, edges, strict=True), key=lambda v: (v[0][0] >= 0.95 * most, v[0][1]))[1]


def _cut_finding(loop: ContrastLoop, cut: GainStep, first: int, last: int) -> Finding:
    begin_s, end_s = loop.times_s[first], loop.times_s[last]
    return Finding(
        "gain_changed",
        f"The gain was changed while the loop was recorded: the contrast picture jumps by {cut.contrast_db:+.1f} dB at {cut.time_s:.1f} s. "
        f"Only the frames from {begin_s:.1f} to {end_s:.1f} s are measured; to read another part, trim the clip to it.",
        "serious",
    )  # fmt: skip


def _said(step: GainStep) -> Finding:
    at_s, levels = step.time_s, step.bmode_levels or 0.0
    if step.in_contrast is False:
        return Finding("bmode_gain_changed", f"The B-mode picture jumps by {levels:+.0f} grey levels at {at_s:.1f} s, the contrast picture does not: curves are not touched by it.", "info")
    if step.in_contrast:
        said = f"The contrast picture alone jumps by {step.contrast_db:+.1f} dB at {at_s:.1f} s, as if its gain had been changed. If it was, peaks, areas and times across it are wrong: trim the clip there."
    elif abs(levels) < BMODE_LEVELS:
        said = f"The contrast picture jumps at {at_s:.1f} s as if the gain had been changed, by how much cannot be told. Peaks, areas and times across it may be wrong: trim the clip there."
    else:
        said = f"The B-mode picture jumps by {levels:+.0f} grey levels at {at_s:.1f} s as if the gain had been changed; whether that of the contrast changed too cannot be seen there. If it did, peaks, areas and times across it are wrong: trim the clip there."
    return Finding("gain_change_unsure", said, "serious")


def told_on_curve(motion: Motion) -> list[Finding]:
    """What a curve is to say of the gain: ``gain_changed`` where frames beyond a step are left out, ``gain_change_unsure`` where it may run across one."""
    lost = sum(why == REASON for why in motion.reasons)
    cut = [Finding("gain_changed", f"{lost} frames were recorded with another gain and take no part in this curve.")] if lost else []
    return cut + [f for f in motion.findings if f.code == "gain_change_unsure"]


__all__ = ["REASON", "GainStep", "find_gain_steps", "on_one_side", "told_on_curve"]
