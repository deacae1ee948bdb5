"""Where the tissue of a contrast loop lies in each frame, and which frames show it at all.

The B-mode half is registered and the answer is used on the contrast half: there the brightness
changes because bubbles come and go, not because the tissue moved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from volumetry.finding import Finding
from volumetry.perfusion import motion_align, motion_field, motion_frames
from volumetry.perfusion.gain import on_one_side
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused
from volumetry.perfusion.motion_levels import CHUNK, Level, Levels, Report, build_levels

# Why a frame takes no part, by what stands in ``Motion.reasons``.
REASONS = ("", "out_of_plane", "flash", "outside", "gain")

REGION_MARGIN_MM = 4.0  # tissue around the node moves with it and shows where it is when bubbles hide the node
LEAST_REGION_MM = 14.0  # a smaller patch is found in the wrong place too often
AVERAGED = 96  # frames in the mean picture that all frames are registered to in the second round
FEW_FRAMES = 10
FEW_SHARE, MANY_LOST_SHARE = 0.2, 0.4
UNSURE_MM = 0.5
NOMINAL_DEPTH_MM = 40.0
WORTH_IT = 0.85  # what a displacement must bring the motion left over down to, to be kept
CHANGED_SHARE = 0.9
SAME_PLANE = 0.8
LEAST_RELIABILITY = 0.3


class MotionRefused(PerfusionRefused):
    """A loop whose motion cannot be worked out, or motion that does not belong to the loop."""

    default_code = "motion_refused"


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Where each frame lies against one reference frame.

    ``matrices`` (float64 ``[frame, 2, 3]``) take a pixel ``(x, y, 1)`` of the reference frame to the
    pixel ``(x, y)`` of the frame; pixels are counted from the middle of the first one, x along a row.
    ``field`` (float32 ``[frame, gr, gc, 2]`` or None) is a further displacement ``(x, y)`` in pixels,
    added in the frame after the matrix; its nodes are spread evenly over the pane of the reference
    frame, corner to corner, bilinear between. ``correlation`` (``[frame]``, -1 to 1) is the likeness
    of the moved B-mode frame to the reference; ``accepted`` says which frames take part, ``reasons``
    why the others do not ("" where accepted). ``residual_mm`` is the motion left over in the accepted frames (RMS, from
    small blocks found again by themselves), None where it could not be worked out.
    """

    matrices: np.ndarray
    field: np.ndarray | None
    correlation: np.ndarray
    accepted: np.ndarray
    reasons: tuple[str, ...]
    reference_frame: int
    findings: tuple[Finding, ...] = ()
    residual_mm: float | None = None

    def __post_init__(self) -> None:
        frames = len(self.matrices)
        same = self.matrices.shape == (frames, 2, 3) and len(self.correlation) == len(self.accepted) == len(self.reasons) == frames
        if not same or not 0 <= self.reference_frame < max(frames, 1) or (self.field is not None and len(self.field) != frames):
            raise MotionRefused("The motion of the loop is not of one piece: its parts speak of different frames.")
        for array in (self.matrices, self.field, self.correlation, self.accepted):
            if array is not None:
                array.setflags(write=False)

    @classmethod
    def still(cls, frames: int, findings: tuple[Finding, ...] = ()) -> Motion:
        """No motion: identity in every frame, every frame accepted."""
        matrices = np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (frames, 1, 1))
        return cls(matrices, None, np.ones(frames), np.ones(frames, bool), ("",) * frames, 0, findings)

    @property
    def frames(self) -> int:
        """Number of frames, accepted or not."""
        return len(self.matrices)

    @property
    def rejected_frames(self) -> int:
        """Number of frames that take no part."""
        return int(self.frames - np.count_nonzero(self.accepted))


def estimate_motion(
    loop: ContrastLoop,
    *,
    reference_frame: int | None = None,
    region: np.ndarray | None = None,
    nonrigid: bool = False,
    flashes: np.ndarray | None = None,
    follow_change: bool = True,
    progress: Callable[[str, float], None] | None = None,
) -> Motion:
    """Register the B-mode pane of every frame to one reference frame, and find the frames that take no part.

    ``reference_frame``: None takes the frame most like a sample of the others. ``region``: bool ``[row, column]`` of the
    reference frame, the node; it and 4 mm around it are registered (None: the whole pane). ``nonrigid``: also a smooth
    displacement on a coarse grid. ``flashes``: bool ``[frame]`` (None: those that the loop names, and those found here).
    ``follow_change``: where the B-mode picture changes its look for a while (bubbles show in it too), register those frames to a
    picture of that while, itself registered to the reference. ``progress(text, share)`` is called between chunks and may raise
    to stop.

    Rigid motion is a shift and a turn. Each frame is registered to the reference by itself, so nothing drifts. The
    search covers 20 mm; then a Gauss-Newton fit of the normalised difference, first to the reference frame, then to the mean of
    the frames most like it, which has less noise. Frames that are not accepted get the motion between their
    accepted neighbours.

    Without a B-mode pane the loop is returned as still with the finding ``motion_uncorrected``. Other findings:
    ``few_frames_left`` (serious), ``many_frames_rejected``, ``motion_unsure``.
    Of a loop whose gain was turned the frames on one side of that are accepted (``gain.on_one_side``, with its findings).
    Raises ``MotionRefused`` for a region or a reference frame that is not of this loop.
    """
    n = len(loop.levels)
    if reference_frame is not None and not 0 <= reference_frame < n:
        raise MotionRefused(f"The loop has no frame {reference_frame}.")
    for given, shape in ((region, loop.levels.shape[1:]), (flashes, (n,))):
        if given is not None and np.shape(given) != shape:
            raise MotionRefused("The region or the list of flashes does not belong to this loop.")
    if region is not None and not np.any(region):
        raise MotionRefused("The region that motion is looked for in is empty.")
    report: Report = progress or (lambda text, share: None)
    if loop.tissue is None:
        return on_one_side(loop, _unregistered(loop, reference_frame, flashes))

    levels = build_levels(loop.tissue, _scale(loop), _part(report, 0.0, 0.25))
    if not levels.fine.live.any():
        found = Finding("motion_uncorrected", "The B-mode half of the loop is black; motion is not corrected.")
        return on_one_side(loop, replace(_unregistered(loop, reference_frame, flashes), findings=(found,)))
    flashes = motion_frames.flash_frames(_means(loop.levels), levels.means) | _known_flashes(loop) if flashes is None else np.asarray(flashes, bool)
    reference = motion_align.choose_reference(levels.coarse, flashes) if reference_frame is None else reference_frame

    fit = _Fit(loop, levels, reference, region, flashes)
    fit.to_frame(_part(report, 0.25, 0.55))
    fit.to_mean(_part(report, 0.55, 0.75))
    if follow_change:
        fit.follow()
    return on_one_side(loop, fit.motion(nonrigid, _part(report, 0.75, 1.0)))


def _part(report: Report, start: float, end: float) -> Report:
    return lambda text, share: report(text, start + (end - start) * share)


def _scale(loop: ContrastLoop) -> tuple[float, float]:
    """mm of a pixel (x, y). Where the picture has no scale, as if it were 40 mm deep: that sets how far is looked, and no result is
    told in mm."""
    return loop.mm_per_pixel or (NOMINAL_DEPTH_MM / loop.levels.shape[1],) * 2


def _known_flashes(loop: ContrastLoop) -> np.ndarray:
    known = np.zeros(len(loop.levels), bool)
    known[list(loop.flash_frames)] = True
    return known


def _means(levels: np.ndarray) -> np.ndarray:
    return np.array([frame.mean() for frame in levels])


def _unregistered(loop: ContrastLoop, reference: int | None, flashes: np.ndarray | None) -> Motion:
    # Without B-mode there is nothing steady to follow: bubbles come and go in the contrast half.
    n = len(loop.levels)
    flash = motion_frames.flash_frames(_means(loop.levels), None) | _known_flashes(loop) if flashes is None else np.asarray(flashes, bool)
    found = Finding("motion_uncorrected", "The loop has no B-mode half to follow the tissue on; motion is not corrected and no frame is rejected for it.")
    still = Motion.still(n, (found,))
    return replace(still, accepted=~flash, reasons=tuple("flash" if f else "" for f in flash), reference_frame=reference or 0)


class _Fit:
    """The state of one estimate: transforms, likeness and share inside of every frame, improved step by step."""

    def __init__(self, loop: ContrastLoop, levels: Levels, reference: int, region: np.ndarray | None, flashes: np.ndarray):
        self.loop, self.levels, self.reference, self.flashes = loop, levels, reference, flashes
        self.mm = _scale(loop)
        self.region = region
        wide = None if region is None else _widened(region, self.mm)
        shape = loop.levels.shape[1:]
        rows, columns = np.nonzero(wide) if wide is not None else (np.array([0, shape[0] - 1]), np.array([0, shape[1] - 1]))
        self.middle_mm = np.array([columns.mean() * self.mm[0], rows.mean() * self.mm[1]])
        self.regions = {level.factor: None if wide is None else _at(level, wide) for level in (levels.fine, levels.coarse)}
        n = len(loop.levels)
        self.transforms = np.zeros((n, 3))
        self.likeness, self.share = np.full(n, -2.0), np.zeros(n)
        self.limits = np.full(n, np.nan)  # of likeness, where a spell has its own
        self.picture: np.ndarray | None = None  # the mean picture of the second round, and where it holds
        self.valid: np.ndarray | None = None

    def _template(self, level: Level, picture: np.ndarray, valid: np.ndarray) -> motion_align.Template:
        return motion_align.make_template(level, picture, valid, self.regions[level.factor], self.middle_mm)

    def to_frame(self, report: Report) -> None:
        """First round: every frame to the reference frame, from a search over all shifts."""
        coarse, fine = self.levels.coarse, self.levels.fine
        everything = np.arange(len(self.likeness))
        picture = coarse.frames[self.reference].astype(np.float32)
        ends, likeness = self._coarse_ends(picture, coarse.live, everything, None, _part(report, 0.0, 0.5))
        # Breathing is smooth: where a frame is less like the reference than its neighbours, try from where they are, and turned.
        again = np.flatnonzero(likeness < ndimage.median_filter(likeness, 9, mode="nearest") - 0.03)
        if len(again):
            template = self._template(coarse, picture, coarse.live)
            better, like, _ = template.find_in(coarse.frames[again], _neighbour_starts(ends, likeness, again))
            wins = like > likeness[again]
            ends[again[wins]] = better[wins]
        template = self._template(fine, fine.frames[self.reference].astype(np.float32), fine.live)
        self._refine(template, everything, ends, _part(report, 0.5, 1.0))

    def _coarse_ends(
        self, picture: np.ndarray, valid: np.ndarray, numbers: np.ndarray, more: np.ndarray | None, report: Report
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transforms and likeness of the frames ``numbers`` on the coarse level, from a search and from ``more`` starts ``(n, k, 3)``."""
        coarse = self.levels.coarse
        region = self.regions[coarse.factor]
        template = self._template(coarse, picture, valid)
        starts = motion_align.search(coarse, picture, valid if region is None else valid & region, numbers, _part(report, 0.0, 0.6))
        if more is not None:
            starts = np.concatenate([starts, more], axis=1)
        ends, likeness = np.zeros((len(numbers), 3)), np.zeros(len(numbers))
        for first in range(0, len(numbers), CHUNK):
            report("Following the tissue", 0.6 + 0.4 * first / len(numbers))
            part = slice(first, first + CHUNK)
            ends[part], likeness[part], _ = template.find_in(coarse.frames[numbers[part]], starts[part])
        return ends, likeness

    def _refine(
        self, template: motion_align.Template, numbers: np.ndarray, starts: np.ndarray, report: Report, *,
        averaged: np.ndarray | None = None, keep_better: bool = False,
    ) -> None:  # fmt: skip
        """Fit the frames ``numbers`` on the fine level from ``starts`` ``(n, 3)``; ``averaged``: the frames that the template is the
        mean of; ``keep_better``: only where they get more alike."""
        held = np.zeros(len(self.likeness), int)
        if averaged is not None:
            held[averaged] = len(averaged)
        for first in range(0, len(numbers), CHUNK):
            report("Following the tissue", first / len(numbers))
            part = numbers[first : first + CHUNK]
            ends, likeness, share = template.find_in(self.levels.fine.frames[part], starts[first : first + CHUNK, None], held[part])
            wins = likeness > self.likeness[part] if keep_better else np.ones(len(part), bool)
            self.transforms[part[wins]], self.likeness[part[wins]], self.share[part[wins]] = ends[wins], likeness[wins], share[wins]

    def _matrices(self) -> np.ndarray:
        return motion_align.to_matrices(self.transforms, self.middle_mm, self.mm)

    def _good(self) -> np.ndarray:
        candidates = ~self.flashes & (self.share >= motion_frames.LEAST_POINTS)
        judged = self._judged(candidates)
        return candidates & (self.likeness >= (motion_frames.likeness_limit(self.likeness[judged]) if judged.any() else -1.0))

    def _judged(self, candidates: np.ndarray) -> np.ndarray:
        """The candidates whose likeness says something: not that of the reference frame to itself."""
        judged = candidates.copy()
        if self.picture is None:
            judged[self.reference] = False
        return judged

    def to_mean(self, report: Report) -> None:
        """Second round: every frame to the mean of the frames most like the reference, from where it was found."""
        good = np.flatnonzero(self._good())
        if len(good) < 4:
            return
        # The better half, spread over the clip.
        better = good[self.likeness[good] >= np.median(self.likeness[good])]
        chosen = better[np.unique(np.linspace(0, len(better) - 1, min(len(better), AVERAGED)).astype(int))]
        fine, coarse = self.levels.fine, self.levels.coarse
        matrices = self._matrices()
        self.picture, self.valid = motion_align.mean_picture(fine, matrices, chosen)
        template = self._template(fine, self.picture, self.valid)
        self._refine(template, np.arange(len(self.likeness)), self.transforms.copy(), _part(report, 0.0, 0.7), averaged=chosen)
        # What one noisy frame could not find, the mean picture may.
        lost = np.flatnonzero(~self._good() & ~self.flashes)
        if len(lost):
            picture, valid = motion_align.mean_picture(coarse, matrices, chosen)
            likeness = np.where(self._good(), self.likeness, -2.0)
            more = _neighbour_starts(self.transforms, likeness, lost)
            ends, _ = self._coarse_ends(picture, valid, lost, more, _part(report, 0.7, 0.9))
            self._refine(template, lost, ends, _part(report, 0.9, 1.0), averaged=chosen, keep_better=True)

    def follow(self) -> None:
        """Third round, where the look of the tissue changed for a spell: its frames to the mean picture of the spell.

        Bubbles that show in B-mode change from frame to frame and lower the likeness of good frames. Their mean picture
        does not have them: where it is still like the first mean picture, the plane is the same, and the frames of
        the spell are judged among themselves. A spell beside the plane has another mean picture and is judged as before.
        """
        fine, good = self.levels.fine, self._good()
        if self.picture is None or not good.any():
            return
        candidates = ~self.flashes & (self.share >= motion_frames.LEAST_POINTS)
        usual = motion_frames.crowded_value(self.likeness[good])
        whole = self._template(fine, self.picture, self.valid)
        for first, last in motion_frames.spells(self.likeness, candidates, CHANGED_SHARE * usual):
            inside = np.arange(first, last)[candidates[first:last]]
            best = np.sort(inside[np.argsort(self.likeness[inside])[len(inside) // 2 :]])
            picture, valid, reliability = motion_align.mean_and_reliability(fine, self._matrices(), best)
            if reliability < LEAST_RELIABILITY:
                continue
            as_frame = np.clip(np.rint(picture), -32768, 32767).astype(np.int16)[None]
            offset, like, _ = whole.find_in(as_frame, np.zeros((1, 1, 3)))
            if like[0] / np.sqrt(reliability) < SAME_PLANE:
                continue
            starts = motion_align.about(self.transforms[first:last], offset[0])
            held = np.where(np.isin(np.arange(first, last), best), len(best), 0)
            ends, likeness, share = self._template(fine, picture, valid).find_in(fine.frames[first:last], starts[:, None], held)
            wins = np.flatnonzero(likeness > self.likeness[first:last])
            self.transforms[first + wins] = motion_align.after(ends[wins], offset[0])
            self.likeness[first + wins], self.share[first + wins] = likeness[wins], share[wins]
            self.limits[first:last] = motion_frames.likeness_limit(self.likeness[inside])

    def _outside(self) -> np.ndarray:
        """Frames in which the node has left the pane, or too little is left of what is registered."""
        outside = self.share < motion_frames.LEAST_POINTS
        if self.region is not None:
            rows, columns = np.nonzero(self.region)
            step = max(1, len(rows) // 2000)
            places = np.stack([columns[::step], rows[::step], np.ones(len(rows[::step]))])
            there = self._matrices() @ places
            limits = np.array(self.region.shape[::-1])[None, :, None] - 1
            outside |= ((there >= 0) & (there <= limits)).all(axis=1).mean(axis=1) < motion_frames.NODE_INSIDE
        return outside

    def motion(self, nonrigid: bool, report: Report) -> Motion:
        """The answer, with what is wrong with it."""
        outside = self._outside()
        candidates = ~self.flashes & ~outside
        limits = self._limits(candidates)
        field, residual_mm = self._parts(candidates, limits, nonrigid, report)
        reasons = np.full(len(self.likeness), "", dtype="U12")
        reasons[candidates & (self.likeness < limits)] = "out_of_plane"
        reasons[outside] = "outside"
        reasons[self.flashes] = "flash"
        accepted = reasons == ""
        if not accepted.any():
            accepted[self.reference], reasons[self.reference] = True, ""
        # The reference lies where it lies: all others are told from it.
        home = self.transforms[self.reference]
        filled = motion_frames.between_accepted(self.transforms, accepted)
        matrices = motion_align.to_matrices(motion_align.about(filled, home), self.middle_mm, self.mm)
        if field is not None:
            field = motion_frames.between_accepted(field - field[self.reference], accepted)
            # from the axes of the reference to those of each frame
            field = np.einsum("fab,fyxb->fyxa", matrices[:, :, :2], field).astype(np.float32)
        return Motion(
            matrices, field, np.maximum(self.likeness, -1.0), accepted, tuple(str(r) for r in reasons), self.reference,
            _findings(accepted, residual_mm), residual_mm if self.loop.mm_per_pixel else None,
        )  # fmt: skip

    def _limits(self, candidates: np.ndarray) -> np.ndarray:
        """The least likeness of each frame that is accepted."""
        common = self._judged(candidates) & np.isnan(self.limits)
        limit = motion_frames.likeness_limit(self.likeness[common]) if common.any() else 1.0
        return np.where(np.isnan(self.limits), limit, self.limits)

    def _parts(self, candidates: np.ndarray, limits: np.ndarray, nonrigid: bool, report: Report) -> tuple[np.ndarray | None, float | None]:
        """The displacement beyond the rigid part, in the axes of the reference (None: not asked for, or no better), and what is left, in mm.

        With a displacement, the likeness of the frames is told anew through it: tissue that bends is not beside the plane.
        """
        fine = self.levels.fine
        picture, valid = (fine.frames[self.reference].astype(np.float32), fine.live) if self.picture is None else (self.picture, self.valid)
        region = self.regions[fine.factor]
        matrices = self._matrices()  # to the picture that was registered to
        report("Checking on small blocks", 0.0)
        usable = valid if region is None else valid & region
        centres = motion_field.check_centres(fine, picture, usable)
        shape = self.loop.levels.shape[1:]
        field = None
        if nonrigid:
            field = motion_field.find_field(fine, picture, usable, matrices, self.likeness, candidates, shape, self.mm, _part(report, 0.1, 1.0))
            template = self._template(fine, picture, valid)
            bent = motion_field.likeness_through(template, matrices, field, shape)
            better = np.where(candidates, np.maximum(bent, self.likeness), self.likeness)
            field[better > bent] = 0.0  # a field that does not help its frame is none
        else:
            better = self.likeness
        rigid, self.likeness = self.likeness, better
        chosen = np.flatnonzero(candidates & (better >= limits) & (np.arange(len(candidates)) != self.reference))
        chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(len(chosen), motion_field.CHECK_FRAMES)).astype(int))] if len(chosen) else chosen
        measured = motion_field.shifts(fine, chosen, picture, matrices, centres, motion_field.BLOCK_MM, motion_field.CHECK_REACH_MM)
        ok = motion_field.found(measured, rigid[chosen])
        rigid_mm = motion_field.left_over_mm(fine, measured, ok, centres)
        if field is None:
            return None, rigid_mm
        places = centres * fine.factor + (fine.factor - 1) / 2
        measured[..., :2] -= motion_field.at_places(field[chosen], places, shape) / fine.factor
        left_mm = motion_field.left_over_mm(fine, measured, ok, centres)
        if rigid_mm is None or left_mm > WORTH_IT * rigid_mm:
            self.likeness = rigid
            return None, rigid_mm
        return field, left_mm


def _neighbour_starts(ends: np.ndarray, likeness: np.ndarray, again: np.ndarray) -> np.ndarray:
    """For each frame of ``again``: the ends of the best of the 6 frames before it and after it, the middle of both, and its own end turned."""
    n = len(ends)
    starts = np.full((len(again), 7, 3), np.nan)
    for row, k in enumerate(again):
        before, after = np.arange(max(0, k - 6), k), np.arange(k + 1, min(n, k + 7))
        sides = [ends[side[likeness[side].argmax()]] for side in (before, after) if len(side)]
        for m, side in enumerate(sides):
            starts[row, m] = side
        if sides:
            starts[row, 2] = np.mean(sides, axis=0)
        for m, turn in enumerate(np.deg2rad([-5.0, -2.5, 2.5, 5.0])):
            starts[row, 3 + m] = ends[k] + (turn, 0.0, 0.0)
    return starts


def _widened(region: np.ndarray, mm: tuple[float, float]) -> np.ndarray:
    """``region`` with 4 mm around it, and at least 14 mm from edge to edge."""
    rows, columns = np.nonzero(region)
    size = min((np.ptp(columns) + 1) * mm[0], (np.ptp(rows) + 1) * mm[1])
    margin = max(REGION_MARGIN_MM, (LEAST_REGION_MM - size) / 2)
    return ndimage.distance_transform_edt(~np.asarray(region, bool), sampling=(mm[1], mm[0])) <= margin


def _at(level: Level, region: np.ndarray) -> np.ndarray:
    # The mask on a level: the pixel under the middle of each of its pixels.
    rows, columns = (np.minimum(np.arange(m) * level.factor + level.factor // 2, s - 1) for m, s in zip(level.live.shape, region.shape, strict=True))
    return region[np.ix_(rows, columns)]


def _findings(accepted: np.ndarray, residual_mm: float | None) -> tuple[Finding, ...]:
    n, left = len(accepted), int(np.count_nonzero(accepted))
    found = []
    if left < max(FEW_FRAMES, FEW_SHARE * n):
        found.append(Finding("few_frames_left", f"Only {left} of {n} frames show the plane of the reference frame; curves from them are not to be relied on.", "serious"))
    elif n - left > MANY_LOST_SHARE * n:
        found.append(Finding("many_frames_rejected", f"{n - left} of {n} frames were left out as flashes, beside the plane or out of the picture."))
    if left > 1 and residual_mm is None:
        found.append(Finding("motion_unsure", "Too little of the tissue is found again in small blocks to tell how well its motion was followed."))
    elif residual_mm is not None and residual_mm > UNSURE_MM:
        found.append(Finding("motion_unsure", f"After correction parts of the tissue still move by about {residual_mm:.2f} mm."))
    return tuple(found)
