"""What of a node still enhances after an ablation: each pixel against its own picture before the contrast came, and against
reference tissue.

Measured is the mean echo power while the reference shines, less the mean before contrast arrived, as a share of what the
reference rose by. A place enhances where that share stands above the node's own noise and above a tenth of the reference;
its border lies where it falls to half of what is reached nearby, so that blur moves it neither way. A smooth thin rim all round
is told apart from what is viable: after electroporation it is expected and fades. What is given is a proposal; the reader decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from volumetry.finding import Finding
from volumetry.perfusion.curves import TimeIntensityCurve, region_curve, used_frames
from volumetry.perfusion.doubts import course_doubts, outline_doubts, reference_doubts, size_doubts
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused
from volumetry.perfusion.motion import Motion
from volumetry.perfusion.motion_pictures import mean_power
from volumetry.perfusion.rim import RimParts, tell_rim_apart

GRADES = ("0", "1", "2", "3", "NE")
SMOOTHING_MM = 0.3  # standard deviation; speckle of a linear probe is about as large
LEAST_SHARE = 0.10  # of the reference's rise: -10 dB, well above what side lobes bring from bright neighbours
NOISE_SIGMAS = 5.0
WEAK_SHARE = 0.30  # where noise alone reaches this share of the reference nothing can be said
CORE_MM = 0.8  # from the border inwards: beyond what blur takes from the level
REDRAWN = 3
LEVEL_MM = 1.5  # standard deviation of the mean that a part's level is: speckle must not pass for it
BORDER_LEVELS = (0.3, 0.6)
PLATEAU_MM = 1.5  # how far the level that a border is halved from may lie
LEAST_AREA_MM2 = 1.5  # smaller spots are speckle, not tissue
LEAST_BASELINE, LEAST_WINDOW = 4, 8  # frames
SETTLED_S = 0.8  # before arrival: the last moment may hold the first bubbles
WINDOW_SHARE = 0.3  # the window ends where the reference falls below this share of its top
DIFFUSE_SHARE = 1 / 3
MANY_FOCI = 3
REFERENCE_NEAR_MM, REFERENCE_FAR_MM = 2.0, 7.0
DEPTH_APART_MM = 10.0
TOP_CLIPPED_PCT = 20.0


@dataclass(frozen=True, slots=True)
class EnhancementWindow:
    """Which frames are compared: numbers within the loop ``before`` contrast arrives and ``during`` its passage; ``arrival_s``."""

    before: np.ndarray
    during: np.ndarray
    arrival_s: float


@dataclass(frozen=True, slots=True, eq=False)
class EnhancementAssessment:
    """What still enhances in a section of a node; masks are bool ``[row, column]`` of the reference frame.

    ``relative``: float32, rise of echo power as a share of the reference's (NaN outside the node). ``viable`` and ``rim`` are
    parts of the node that enhance, ``viable_pct`` the share of the section, ``viable_interval_pct`` what it is if the border is
    drawn at 0.6 and at 0.4 of the level instead of 0.5. ``viable_ml``, ``ablated_ml``: that share of ``node_ml`` (None: no volume
    known, or grade NE). ``grade``: proposed, of ``GRADES`` (0 none, 1 smooth rim, 2 focal, 3 diffuse or a third of the
    section and more, NE not evaluable); ``reasons`` in plain words. ``threshold``: share of the reference that counts as enhancing.
    """

    grade: str
    reasons: tuple[str, ...]
    node: np.ndarray
    relative: np.ndarray
    viable: np.ndarray
    rim: np.ndarray
    node_mm2: float
    viable_mm2: float
    rim_mm2: float
    viable_pct: float | None
    viable_interval_pct: tuple[float, float] | None
    node_ml: float | None
    viable_ml: float | None
    ablated_ml: float | None
    threshold: float | None
    reference_db: float | None
    window: EnhancementWindow | None
    foci: int = 0
    rim_mm: float | None = None
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        for array in (self.node, self.relative, self.viable, self.rim):
            array.setflags(write=False)


def reference_around(node: np.ndarray, mm_per_pixel: tuple[float, float], usable: np.ndarray | None = None) -> np.ndarray:
    """Tissue 2 to 7 mm from the node's outline at the node's own depth: bool mask, a reference where none was drawn.

    ``usable``: pixels that may be taken (bool, None: all). Raises ``PerfusionRefused`` (``no_reference``) where nothing is left."""
    away = ndimage.distance_transform_edt(~node, sampling=(mm_per_pixel[1], mm_per_pixel[0]))
    ring = (away >= REFERENCE_NEAR_MM) & (away <= REFERENCE_FAR_MM)
    rows = np.flatnonzero(node.any(axis=1))
    ring[: rows[0]], ring[rows[-1] + 1 :] = False, False  # attenuation changes with depth
    if usable is not None:
        ring &= usable
    if not ring.any():
        raise PerfusionRefused("Beside the node no tissue is left to compare with.", code="no_reference", hint="Draw a reference region at the depth of the node.")
    return ring


def find_window(curve: TimeIntensityCurve, arrival_s: float | None = None) -> EnhancementWindow:
    """Frames before the contrast and during its passage, from the curve of the reference.

    ``arrival_s``: stated by the reader; None: where the curve first stays above a tenth of its rise. Raises ``PerfusionRefused``:
    ``no_enhancement`` (the reference does not rise), ``no_frames_before`` (fewer than 4 frames before arrival), ``too_few_frames``.
    """
    times, power = curve.times_s, curve.power
    if times.size < LEAST_BASELINE + LEAST_WINDOW:
        raise PerfusionRefused(f"Only {times.size} frames can be used; the passage of contrast needs at least {LEAST_BASELINE + LEAST_WINDOW}.", code="too_few_frames")
    smooth = ndimage.median_filter(power, 5, mode="nearest")
    top = int(smooth.argmax())
    # A loop that starts too late begins high and ends low: its lowest level tells that it has risen before.
    floor = float(min(np.median(smooth[: max(3, min(top, times.size // 10))]), np.quantile(smooth, 0.05)))
    rise = float(smooth[top]) - floor
    if arrival_s is None:
        scatter = float(np.median(np.abs(np.diff(power)))) or 1e-12
        if rise < 0.5 * floor or rise < 4 * scatter:
            raise PerfusionRefused("The reference region does not light up in this loop: nothing can be compared with it.", code="no_enhancement", hint="Choose a reference with contrast in it, or another stretch of the loop.")
        low = np.flatnonzero(smooth[: top + 1] < floor + 0.1 * rise)
        arrival_s = float(times[low[-1] + 1]) if low.size else float(times[0])
    before = curve.frames[times <= arrival_s - SETTLED_S]
    if before.size < LEAST_BASELINE:
        raise PerfusionRefused(f"Only {before.size} frames lie before the contrast arrives: what the tissue itself shows cannot be taken off.", code="no_frames_before", hint="Take a loop that starts before the injection reaches the node, or do not trim its start.")
    base = float(power[times <= arrival_s - SETTLED_S].mean())
    after = np.flatnonzero((times > times[top]) & (smooth < base + WINDOW_SHARE * (smooth[top] - base)))
    end = times[after[0]] if after.size else np.inf
    during = curve.frames[(times >= arrival_s) & (times < end)]
    if during.size < LEAST_WINDOW:
        during = curve.frames[times >= arrival_s][:LEAST_WINDOW]
    if during.size < LEAST_WINDOW:
        raise PerfusionRefused(f"Only {during.size} frames show the contrast.", code="too_few_frames")
    return EnhancementWindow(before, during, arrival_s)


def assess_enhancement(
    loop: ContrastLoop,
    node: np.ndarray,
    reference: np.ndarray | None = None,
    motion: Motion | None = None,
    *,
    node_ml: float | None = None,
    arrival_s: float | None = None,
    excluded: np.ndarray | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> EnhancementAssessment:
    """Propose what of the node's section still enhances.

    ``node``, ``reference``, ``excluded`` (vessels): bool ``[row, column]`` of the reference frame of ``motion``; without a
    reference the tissue beside the node is taken and a finding says so. ``node_ml``: the node's volume by whatever method measured
    it; the section's share is applied to it (finding ``share_of_one_plane``). ``arrival_s``: when contrast arrives, if the reader states
    it. ``progress(message, fraction)`` may raise to cancel.

    What forbids a judgement (no contrast in the reference, no frames before it, contrast drowned in noise) gives grade NE with
    the reason. Raises ``PerfusionRefused`` for regions that are empty or do not fit the loop, or a picture without scale.
    """
    tell = progress or (lambda message, fraction: None)
    motion = Motion.still(loop.frame_count) if motion is None else motion
    for mask in (node, reference, excluded):
        if mask is not None and mask.shape != loop.shape:
            raise PerfusionRefused("The region was drawn on another picture: it has another size than the pane.", code="bad_shape")
    if not node.any():
        raise PerfusionRefused("The outline of the node is empty.", code="empty_region")
    pixel_mm2, mm = loop.pixel_mm2, loop.mm_per_pixel
    drawn = np.zeros(loop.shape, bool) if loop.drawn is None else loop.drawn
    node = node & ~drawn if excluded is None else node & ~drawn & ~excluded
    if not node.any():
        raise PerfusionRefused("Nothing is left of the node beside what was excluded.", code="empty_region")
    findings: list[Finding] = []
    if reference is None:
        reference = reference_around(node, mm, ~drawn if excluded is None else ~drawn & ~excluded)
        findings.append(Finding("reference_proposed", "No reference region was drawn: tissue 2 to 7 mm beside the node stands in for it."))
    node_mm2 = float(node.sum()) * pixel_mm2
    empty = np.zeros(loop.shape, bool)

    def not_evaluable(why: str, reference_db=None, window=None, relative=None) -> EnhancementAssessment:
        relative = np.full(loop.shape, np.nan, np.float32) if relative is None else relative
        return EnhancementAssessment(
            "NE", (why,), node, relative, empty, empty.copy(), node_mm2, 0.0, 0.0, None, None, node_ml, None, None, None, reference_db, window, findings=tuple(findings),
        )  # fmt: skip

    if node_mm2 < LEAST_AREA_MM2:
        why = f"The section has only {node_mm2:.1f} mm\u00b2; below {LEAST_AREA_MM2:g} mm\u00b2 tissue is not told from speckle."
        findings.append(Finding("node_too_small", why, "serious"))
        return not_evaluable(why)
    try:
        curve = region_curve(loop, reference, motion, progress=lambda m, f: tell(m, 0.2 * f))
        window = find_window(curve, arrival_s)
    except PerfusionRefused as error:
        if error.code not in ("no_enhancement", "no_frames_before", "too_few_frames"):
            raise
        findings.append(Finding(error.code, str(error), "serious"))
        return not_evaluable(str(error))
    findings += _doubts(loop, node, reference, curve, window)
    findings += [*reference_doubts(node, reference), *course_doubts(curve, window.arrival_s, arrival_s is not None), *size_doubts(node_mm2, LEAST_AREA_MM2)]
    before, during = _halves(loop, motion, window.before), _halves(loop, motion, window.during)
    tell("Comparing with the picture before contrast", 0.3)
    powers = []
    for n, frames in enumerate((*before, *during)):
        powers.append(mean_power(loop, motion, frames))
        tell("Comparing with the picture before contrast", 0.3 + 0.15 * (n + 1))
    seen = node & np.logical_and.reduce([np.isfinite(p) for p in powers])
    seen_reference = reference & np.logical_and.reduce([np.isfinite(p) for p in powers])
    if seen.sum() < 0.5 * node.sum() or not seen_reference.any():
        findings.append(Finding("region_leaves_pane", "Half of the node or more leaves the picture while it is looked at.", "serious"))
        return not_evaluable("The node leaves the picture.")
    weights = [len(f) for f in (*before, *during)]
    old = np.average(np.stack(powers[:2]), axis=0, weights=weights[:2])
    new = np.average(np.stack(powers[2:]), axis=0, weights=weights[2:])
    risen = float((new - old)[seen_reference].mean())
    reference_db = 10 * math.log10(max(float(new[seen_reference].mean()), 1e-12) / max(float(old[seen_reference].mean()), 1e-12))
    if risen <= 0:
        findings.append(Finding("no_enhancement", "The reference region does not light up in this loop.", "serious"))
        return not_evaluable("The reference region does not light up.", reference_db, window)

    sigma_px = (SMOOTHING_MM / mm[1], SMOOTHING_MM / mm[0])
    relative = _within(new - old, seen, sigma_px) / risen
    # Noise of the node itself where no contrast is: half the difference of two halves before it came has the spread of their mean.
    halves = _within(powers[0] - powers[1], seen, sigma_px) / (2 * risen)
    few, many = weights[0] + weights[1], weights[2] + weights[3]
    noise = float(np.sqrt(np.mean(halves[seen] ** 2))) * math.sqrt(1 + few / many)
    if NOISE_SIGMAS * noise > WEAK_SHARE:
        why = f"Noise in the node reaches {100 * NOISE_SIGMAS * noise:.0f} % of the reference's contrast."
        findings.append(Finding("contrast_too_weak", why, "serious"))
        return not_evaluable(why, reference_db, window, relative.astype(np.float32))
    threshold = max(LEAST_SHARE, NOISE_SIGMAS * noise)

    def at(level: float) -> tuple[np.ndarray, RimParts]:
        enhancing = _cleared(_enhancing(relative, seen, threshold, level, mm), pixel_mm2)
        return enhancing, tell_rim_apart(enhancing, seen, mm, LEAST_AREA_MM2)

    _, parts = at(0.5)
    tell("Telling rim and viable part apart", 0.95)
    total = float(seen.sum())
    share = float(parts.viable.sum()) / total
    low, high = (float(at(level)[1].viable.sum()) / total for level in (0.6, 0.4))
    grade, reasons = _grade(share, parts)
    findings += outline_doubts(parts.viable, seen, mm)
    if node_ml is not None:
        findings.append(Finding("share_of_one_plane", "The viable volume is the share of this one section applied to the volume of the node.", "info"))
    return EnhancementAssessment(
        grade, reasons, node, np.where(seen, relative, np.nan).astype(np.float32), parts.viable, parts.rim, node_mm2, float(parts.viable.sum()) * pixel_mm2,
        float(parts.rim.sum()) * pixel_mm2, 100 * share, (100 * min(low, share), 100 * max(high, share)), node_ml, None if node_ml is None else share * node_ml,
        None if node_ml is None else (1 - share) * node_ml, threshold, reference_db, window, parts.foci, parts.rim_mm, tuple(findings),
    )  # fmt: skip


def _doubts(loop: ContrastLoop, node: np.ndarray, reference: np.ndarray, curve: TimeIntensityCurve, window: EnhancementWindow) -> list[Finding]:
    found = [f for f in curve.findings if f.code != "clipped_low"]
    depths = [float(np.nonzero(m)[0].mean()) * loop.mm_per_pixel[1] for m in (node, reference)]
    if abs(depths[0] - depths[1]) > DEPTH_APART_MM:
        found.append(Finding("unlike_depth", f"The reference lies {abs(depths[0] - depths[1]):.0f} mm from the depth of the node: brightness is not comparable between depths."))
    bright = np.isin(curve.frames, window.during)
    if bright.any() and float(curve.high_pct[bright].mean()) > TOP_CLIPPED_PCT:
        found.append(Finding("reference_clipped", "Much of the reference is at the white end of the display: the node looks brighter against it than it is.", "serious"))
    return found


def _halves(loop: ContrastLoop, motion: Motion, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every other frame, so that both halves see the same course of the contrast."""
    frames = np.intersect1d(frames, used_frames(loop, motion))
    return frames[::2], frames[1::2]


def _within(values: np.ndarray, mask: np.ndarray, sigma_px: tuple[float, float]) -> np.ndarray:
    """Gaussian mean over the pixels of ``mask`` alone: nothing bleeds in from outside the node. NaN outside."""
    weight = ndimage.gaussian_filter(mask.astype(np.float64), sigma_px)
    total = ndimage.gaussian_filter(np.where(mask, values, 0.0).astype(np.float64), sigma_px)
    return np.where(mask, total / np.maximum(weight, 1e-9), np.nan)


def _enhancing(relative: np.ndarray, seen: np.ndarray, threshold: float, level: float, mm: tuple[float, float]) -> np.ndarray:
    """Above the threshold, and above ``level`` of what is reached nearby.

    A first guess takes the highest value nearby; that one is too high by the noise, so the level is then read off as the mean
    in the middle of what was found, and the border is drawn anew.
    """
    filled = np.where(seen, relative, 0.0)
    reach = [max(1, round(PLATEAU_MM / s)) for s in (mm[1], mm[0])]
    y, x = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc = (y / reach[0]) ** 2 + (x / reach[1]) ** 2 <= 1.0
    nearby = ndimage.maximum_filter(filled, footprint=disc)
    found = seen & (filled >= threshold) & (filled >= level * nearby)
    for _ in range(REDRAWN):
        plateau = _plateau(filled, found, mm)
        if plateau is None:
            break
        found = seen & (filled >= threshold) & (filled >= 2 * level * _level_at_border(found, seen, mm) * plateau)
    return found


def _level_at_border(found: np.ndarray, seen: np.ndarray, mm: tuple[float, float]) -> np.ndarray:
    """What the smoothing leaves of the level at the border of what was found, for each place that of the nearest border: a half at a
    straight one, less at a small round one, more in a notch. Without it small parts would come out too small."""
    sampling, sigma_px = (mm[1], mm[0]), (SMOOTHING_MM / mm[1], SMOOTHING_MM / mm[0])
    dark = seen & ~found  # the outline of the node is no border that was found
    border = (found & ndimage.binary_dilation(dark)) | (dark & ndimage.binary_dilation(found))
    if not border.any():
        return np.full(found.shape, 0.5)
    left = _within(_within(found.astype(np.float64), seen, sigma_px), border, tuple(2 * s for s in sigma_px))
    nearest = ndimage.distance_transform_edt(~border, sampling=sampling, return_distances=False, return_indices=True)
    return np.clip(left[tuple(nearest)], *BORDER_LEVELS)


def _plateau(filled: np.ndarray, found: np.ndarray, mm: tuple[float, float]) -> np.ndarray | None:
    """Level that each place is measured by: the mean in the middle of the nearest part, over about ``LEVEL_MM``; None where nothing was found."""
    sampling = (mm[1], mm[0])
    inside = ndimage.distance_transform_edt(found, sampling=sampling)
    sigma_px = (LEVEL_MM / mm[1], LEVEL_MM / mm[0])
    deepest = ndimage.maximum_filter(inside, size=tuple(2 * max(1, round(2 * s)) + 1 for s in sigma_px))
    # Half a blur from the border the level is reached; of a part thinner than that its very middle stands for it.
    core = found & (inside >= np.minimum(CORE_MM, 0.75 * deepest))
    if not core.any():
        return None
    mean = _within(filled, core, sigma_px)
    nearest = ndimage.distance_transform_edt(~core, sampling=sampling, return_distances=False, return_indices=True)
    return mean[tuple(nearest)]


def _cleared(mask: np.ndarray, pixel_mm2: float) -> np.ndarray:
    """Without spots below the least area, and with pin-holes of that size filled."""
    for wanted in (True, False):
        pieces, count = ndimage.label(mask == wanted)
        if count:
            small = np.bincount(pieces.ravel())[1:] * pixel_mm2 < LEAST_AREA_MM2
            mask = np.where(np.isin(pieces, np.flatnonzero(small) + 1), not wanted, mask)
    return mask.astype(bool)


def _grade(share: float, parts: RimParts) -> tuple[str, tuple[str, ...]]:
    rim = () if parts.rim_mm is None else (f"A smooth rim of about {parts.rim_mm:.1f} mm lies all round; after electroporation it is not taken as residual.",)
    if parts.foci == 0:
        return ("1", rim) if rim else ("0", ("Nothing in the outline enhances above noise and a tenth of the reference.",))
    places = f"{parts.foci} part{'s' if parts.foci > 1 else ''}, {100 * share:.0f} % of the section, enhance{'' if parts.foci > 1 else 's'}."
    if share >= DIFFUSE_SHARE or parts.foci > MANY_FOCI:
        return "3", (places, *rim)
    return "2", (places, *rim)
