"""A contrast loop read as a whole: motion, a curve and a fit per region, ratios to the reference, and what of the node still enhances."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from app import __version__
from app.study.canonical import canonical_json, sha256_text
from app.usecases.contrast_panes import Panes
from app.usecases.perfusion_regions import PerfusionRegion, PlacedRegion, place_region
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.perfusion.choose import ModelChoice, choose_model
from volumetry.perfusion.compare import Ratio, comparability, ratios
from volumetry.perfusion.curves import AcquisitionFacts, TimeIntensityCurve, region_curve, used_frames
from volumetry.perfusion.doubts import unlike_tissue
from volumetry.perfusion.enhancement import EnhancementAssessment, assess_enhancement, reference_around
from volumetry.perfusion.fit import CurveFit, fit_curve
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused
from volumetry.perfusion.maps import ParameterMaps, parameter_maps
from volumetry.perfusion.models import model_named
from volumetry.perfusion.motion import Motion, estimate_motion
from volumetry.perfusion.motion_pictures import mean_power

AUTO = "auto"
TIMES_OF_LOOP = ("arrival_s", "ttp_s")  # of these the reference's is taken off: seconds, no ratio
PROPOSED_REFERENCE = "reference (proposed)"
# Vessels beside the node hold several times the bubbles of tissue; they are no reference.
BRIGHT_FRAMES, BRIGHT_MM, BRIGHT_TIMES, LEAST_LEFT = 64, 0.5, 2.0, 0.3
LARGEST_ML = 10_000.0  # no node and no lesion is larger
OUTSIDE_SHARE = 0.1  # of a drawn viable part; more beside the node is told
Report = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class RegionResult:
    """One region: where it is, its curve, its fit and its ratios to the reference by name (``compare.Ratio``, of
    ``TIMES_OF_LOOP`` differences in s; None: it is the reference, or there is none). ``curve`` and ``fit`` are None where ``refusal`` says why. ``polygon_px`` is empty for a
    reference that was proposed. ``replenishment``: the fit after a flash, beside that of a bolus."""

    name: str
    role: str
    polygon_px: tuple[tuple[float, float], ...]
    mask: np.ndarray
    curve: TimeIntensityCurve | None
    fit: CurveFit | None
    ratios: dict[str, Ratio] | None = None
    replenishment: CurveFit | None = None
    refusal: NodusError | None = None
    findings: tuple[Finding, ...] = ()

    def _against_reference(self, times: bool) -> dict | None:
        if self.ratios is None:
            return None
        return {n: {"value": r.value, "interval": r.interval, "reason": r.reason or None} for n, r in self.ratios.items() if (n in TIMES_OF_LOOP) == times}

    def to_dict(self, *, curves: bool = False) -> dict:
        """An entry of ``regions`` in the answer of ``nodus perfusion``; ``curves``: with the curve itself and its band."""
        fit, curve = self.fit, self.curve
        none = {"model": None, "parameters": None, "intervals": None, "reasons": {}, "r_squared": None, "warnings": []}
        out = {"name": self.name, "role": self.role, **(none if fit is None else fit.as_dict())}
        out["warnings"] = [*out["warnings"], *(f.as_warning() for f in self.findings)]
        if self.refusal is not None:
            out["warnings"].append({"code": self.refusal.code, "message": self.refusal.message})
        out |= {
            "ok": fit is not None and fit.ok,
            "proposed": not self.polygon_px,
            "pixels": int(self.mask.sum()),
            "frames": 0 if curve is None else int(curve.frames.size),
            "depth_mm": None if curve is None else curve.facts.depth_mm,
            "ratios": self._against_reference(False),
            "differences_s": self._against_reference(True),
            "replenishment": None if self.replenishment is None else self.replenishment.as_dict(),
        }
        if curves and curve is not None:
            band = fit.band(curve.times_s) if fit is not None and fit.ok else (None, None)
            out["curve"] = {
                "times_s": curve.times_s, "power": curve.power, "sd": curve.sd, "pixels": curve.pixels, "low_pct": curve.low_pct, "high_pct": curve.high_pct,
                "fitted": fit.value(curve.times_s) if fit is not None and fit.ok else None, "band_low": band[0], "band_high": band[1],
            }  # fmt: skip
        return out


@dataclass(frozen=True, slots=True, eq=False)
class PerfusionResult:
    """Everything that was found on a loop. ``assessment``: what of the node still enhances, None where no node was drawn or it
    could not be judged (``residual_refusal`` says why). ``drawn``: the parts that the reader drew, as shares of the node.
    ``input_sha256`` is a hash over the loop, the regions and what was asked: the same hash, the same answer."""

    loop: ContrastLoop
    panes: Panes
    motion: Motion
    regions: tuple[RegionResult, ...]
    choice: ModelChoice
    assessment: EnhancementAssessment | None
    residual_refusal: NodusError | None
    drawn: dict | None
    maps: ParameterMaps | None
    findings: tuple[Finding, ...]
    loop_sha256: str
    input_sha256: str
    asked: dict = field(default_factory=dict)

    def region(self, name: str) -> RegionResult:
        """The region of that name. Raises ``KeyError``."""
        return next(r for r in self.regions if r.name == name)

    @property
    def reference(self) -> RegionResult | None:
        """The reference, drawn or proposed."""
        return next((r for r in self.regions if r.role == "reference"), None)

    def frames_rejected(self) -> list[dict]:
        """Frames that take no part: number in the file, time and why (``flash``, ``out_of_plane``, ``outside``)."""
        loop, motion = self.loop, self.motion
        flash = set(loop.flash_frames)
        out = []
        for n in range(loop.frame_count):
            if not motion.accepted[n] or n in flash:
                out.append({"frame": int(loop.frame_numbers[n]), "time_s": float(loop.times_s[n]), "reason": motion.reasons[n] or "flash"})
        return out

    def to_dict(self, *, curves: bool = False) -> dict:
        """The answer of ``nodus perfusion --json``."""
        loop, motion = self.loop, self.motion
        return {
            "regions": [r.to_dict(curves=curves) for r in self.regions],
            "residual": residual_dict(self),
            "frames_rejected": self.frames_rejected(),
            "frames": loop.frame_count,
            "frames_accepted": int(np.count_nonzero(motion.accepted)),
            "first_frame": int(loop.frame_numbers[0]),
            "last_frame": int(loop.frame_numbers[-1]),
            "seconds": float(loop.times_s[-1]),
            "reference_frame": int(loop.frame_numbers[motion.reference_frame]),
            "motion_residual_mm": motion.residual_mm,
            "motion_in_parts": motion.field is not None,
            "model_choice": self.choice.to_dict(),
            "range_db": loop.range_db,
            "mm_per_pixel": loop.mm_per_pixel,
            "panes": {
                "layout": self.panes.layout, "contrast": self.panes.contrast.as_tuple(), "bmode": None if self.panes.bmode is None else self.panes.bmode.as_tuple(),
                "bar": None if self.panes.bar is None else self.panes.bar.as_tuple(),
            },
            "maps": None if self.maps is None else maps_dict(self.maps),
            "findings": [f.as_dict() for f in self.findings],
            "warnings": [f.as_warning() for f in self.findings if f.severity != "info"],
            "asked": self.asked,
            "loop_sha256": self.loop_sha256,
            "input_sha256": self.input_sha256,
            "software_version": __version__,
        }


def residual_dict(result: PerfusionResult) -> dict:
    """``residual`` of the answer; everything None where no node was drawn."""
    found, refusal = result.assessment, result.residual_refusal
    names = ("viable_ml", "ablated_ml", "node_ml", "viable_pct", "viable_interval_pct", "node_mm2", "viable_mm2", "rim_mm2", "rim_mm", "foci", "reference_db")
    out = dict.fromkeys(("grade", *names, "ablated_pct", "threshold_pct_of_reference", "window"))
    out |= {"reasons": [], "warnings": [], "drawn": result.drawn}
    if refusal is not None:
        return out | {"grade": "NE", "reasons": [refusal.message], "warnings": [{"code": refusal.code, "message": refusal.message}]}
    if found is None:
        return out
    numbers, times = result.loop.frame_numbers, result.loop.times_s
    out |= {"grade": found.grade, **{name: getattr(found, name) for name in names}, "reasons": list(found.reasons), "warnings": [f.as_warning() for f in found.findings]}
    out["ablated_pct"] = None if found.viable_pct is None else 100.0 - found.viable_pct
    out["threshold_pct_of_reference"] = None if found.threshold is None else 100.0 * found.threshold
    if found.window is not None:
        w = found.window
        out["window"] = {
            "arrival_s": w.arrival_s, "before": [int(numbers[w.before[0]]), int(numbers[w.before[-1]])], "during": [int(numbers[w.during[0]]), int(numbers[w.during[-1]])],
            "before_frames": int(w.before.size), "during_frames": int(w.during.size), "during_until_s": float(times[w.during[-1]]),
        }  # fmt: skip
    return out


def maps_dict(maps: ParameterMaps) -> dict:
    """What the parameter maps hold, without their pixels: valid share, and median and quartiles of each."""
    told = {}
    for name, values in maps.maps.items():
        seen = values[np.isfinite(values)]
        told[name] = None if not seen.size else dict(zip(("p25", "median", "p75"), map(float, np.percentile(seen, (25, 50, 75))), strict=True))
    return {"model": maps.model.name, "valid_pct": maps.share_valid_pct(), "smoothing_px": maps.smoothing_px, "values": told, "warnings": [f.as_warning() for f in maps.findings]}


def loop_sha256(loop: ContrastLoop) -> str:
    """Hash of the levels, times and scales that an analysis sees."""
    digest = hashlib.sha256()
    for array in (loop.levels, loop.tissue, loop.drawn, loop.times_s, loop.frame_numbers):
        digest.update(b"-" if array is None else memoryview(np.ascontiguousarray(array)).cast("B"))
    digest.update(canonical_json([loop.range_db, loop.mm_per_pixel, list(loop.flash_frames)]).encode())
    return digest.hexdigest()


def analyse_contrast(
    loop: ContrastLoop,
    regions: Sequence[PerfusionRegion],
    panes: Panes,
    *,
    model: str = "lognormal",
    node_ml: float | None = None,
    arrival_s: float | None = None,
    frame: int | None = None,
    nonrigid: bool = False,
    motion: Motion | None = None,
    maps: bool = False,
    whole_maps: bool = False,
    facts: AcquisitionFacts | None = None,
    progress: Report | None = None,
) -> PerfusionResult:
    """Motion, curves, fits, ratios, residual enhancement and (``maps``) parameter maps of a loop.

    ``regions`` lie on frame ``frame`` of the file (None: on the frame that is chosen as the reference; told where the picture moves). ``model``: one of ``models.MODELS``,
    or ``auto`` (``choose.choose_model``). ``node_ml``: the node's volume, to which the section's viable share is applied. ``arrival_s``: when contrast
    arrives, if the reader states it. ``motion``: of this loop, if it is at hand. ``maps``: of the node (without one of all regions), ``whole_maps``: of the whole pane. ``facts``: settings of the scanner. ``progress(text, share)`` may raise to stop.

    What one region refuses leaves the others standing. Raises ``PerfusionRefused``: ``region_outside_panes``, ``empty_region``, ``bad_roi``, ``frame_out_of_range``, ``value_refused``.
    """
    tell = progress or (lambda text, share: None)
    if node_ml is not None and not (np.isfinite(node_ml) and 0 < node_ml <= LARGEST_ML):
        raise PerfusionRefused(f"The volume of the node is a number of millilitres above 0, at most {LARGEST_ML:g}.", code="value_refused")
    if arrival_s is not None and not (np.isfinite(arrival_s) and arrival_s >= 0):
        raise PerfusionRefused("The arrival of the contrast is a number of seconds from the first frame that is read, 0 or more.", code="value_refused")
    if model != AUTO:
        model_named(model)
    if not regions:
        raise PerfusionRefused("There is no region to read a curve of.", code="bad_roi")
    if len({*(r.name for r in regions), PROPOSED_REFERENCE}) <= len(regions):  # curves and fits go by name
        raise PerfusionRefused(f"Each region needs a name of its own, other than '{PROPOSED_REFERENCE}'.", code="bad_roi")
    placed = [place_region(region, panes) for region in regions]
    asked = {
        "model": model, "node_ml": node_ml, "arrival_s": arrival_s, "frame": frame, "nonrigid": nonrigid,
        "regions": [r.to_dict() for r in regions], "panes": [panes.layout, panes.contrast.as_tuple(), None if panes.bmode is None else panes.bmode.as_tuple()],
    }  # fmt: skip
    own = loop_sha256(loop)
    node = _node_mask(regions, placed)
    if motion is None:
        where = node if node is not None else np.logical_or.reduce([p.mask for p in placed])
        motion = estimate_motion(loop, reference_frame=_index_of(loop, frame), region=where, nonrigid=nonrigid, progress=_part(tell, 0.0, 0.55))
    findings = [*loop.findings, *motion.findings, *_unstated_frame(loop, motion, frame), *_several(regions), *_drawn_beside(regions, placed, node)]
    found = _read_curves(loop, regions, placed, motion, node, replace(facts or AcquisitionFacts(), range_db=loop.range_db, loop=own), findings, _part(tell, 0.55, 0.65))
    proposed = next((r.mask for r in found if r.name == PROPOSED_REFERENCE), None)
    choice, found = _fitted(found, model, _part(tell, 0.65, 0.7))
    found = _compared(found)
    assessment, refusal = _assessed(loop, regions, placed, motion, node, proposed, node_ml, arrival_s, _part(tell, 0.7, 0.85 if maps else 1.0))
    made = None
    if maps:
        where = None if whole_maps else node if node is not None else np.logical_or.reduce([p.mask for p in placed])
        made = parameter_maps(loop, motion, where, choice.model, _part(tell, 0.85, 1.0))
    tell("Done", 1.0)
    return PerfusionResult(
        loop, panes, motion, tuple(found), choice, assessment, refusal, _drawn_parts(loop, regions, placed, node, node_ml), made,
        tuple(dict.fromkeys((*findings, *choice.findings))), own, sha256_text(canonical_json([own, asked])), asked,
    )  # fmt: skip


def _part(tell: Report, start: float, end: float) -> Report:
    return lambda text, share: tell(text, start + (end - start) * share)


def _several(regions: Sequence[PerfusionRegion]) -> list[Finding]:
    nodes, references = ([r.name for r in regions if r.role == role] for role in ("node", "reference"))
    found = []
    if len(nodes) > 1:
        found.append(Finding("several_nodes", f"{', '.join(nodes)} are judged together as one node: grade, shares and volumes are of all of them.", "serious"))
    if len(references) > 1:
        found.append(Finding("several_references", f"What enhances is judged by {', '.join(references)} together; ratios and differences of curves are to {references[0]} alone."))
    return found


def _index_of(loop: ContrastLoop, frame: int | None) -> int | None:
    if frame is None:
        return None
    there = np.flatnonzero(loop.frame_numbers == frame)
    if not there.size:
        raise PerfusionRefused(f"Frame {frame}, on which the regions were drawn, is not among the frames that are read.", code="frame_out_of_range", hint="Choose a part of the loop that holds it.")
    return int(there[0])


def _unstated_frame(loop: ContrastLoop, motion: Motion, frame: int | None) -> list[Finding]:
    shifts = motion.matrices[motion.accepted][:, :, 2]
    if frame is not None or not shifts.size or float(np.ptp(shifts, axis=0).max()) < 2.0:
        return []
    number = int(loop.frame_numbers[motion.reference_frame])
    return [Finding("roi_frame_not_stated", f"It is not stated which frame the regions were drawn on; they are taken to lie where the node is in frame {number}.")]


def _union(regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion], role: str) -> np.ndarray | None:
    masks = [p.mask for r, p in zip(regions, placed, strict=True) if r.role == role]
    return np.logical_or.reduce(masks) if masks else None


def _node_mask(regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion]) -> np.ndarray | None:
    """The section that is judged: the node, else the ablated zone."""
    node = _union(regions, placed, "node")
    return _union(regions, placed, "ablated_zone") if node is None else node


def _read_curves(
    loop: ContrastLoop, regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion], motion: Motion, node: np.ndarray | None,
    facts: AcquisitionFacts, findings: list[Finding], tell: Report,
) -> list[RegionResult]:  # fmt: skip
    """A curve per region; where a node but no reference was drawn, the tissue beside the node as well."""
    todo = [(r.name, r.role, r.polygon_px, p.mask, p.findings) for r, p in zip(regions, placed, strict=True)]
    if node is not None and not any(r.role == "reference" for r in regions) and loop.mm_per_pixel is not None:
        try:
            todo.append((PROPOSED_REFERENCE, "reference", (), proposed_reference(loop, motion, node, _usable(loop, regions, placed)), ()))
            findings.append(Finding("reference_proposed", "No reference region was drawn: tissue 2 to 7 mm beside the node, without its vessels, stands in for it."))
        except PerfusionRefused as error:
            findings.append(Finding(error.code, error.message))
    out = []
    for n, (name, role, polygon, mask, told) in enumerate(todo):
        curve, refusal = None, None
        try:
            curve = region_curve(loop, mask, motion, facts=facts, progress=_part(tell, n / len(todo), (n + 1) / len(todo)))
        except PerfusionRefused as error:
            refusal = error
        out.append(RegionResult(name, role, polygon, mask, curve, None, None, None, refusal, told))
    findings += _reference_beside(loop, motion, regions, placed, node)
    return out


def _reference_beside(loop: ContrastLoop, motion: Motion, regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion], node: np.ndarray | None) -> list[Finding]:
    """What the drawn reference is against the tissue beside the node, where that can be seen."""
    drawn = _union(regions, placed, "reference")
    if node is None or drawn is None or loop.mm_per_pixel is None:
        return []
    try:
        beside = proposed_reference(loop, motion, node, _usable(loop, regions, placed))
        return unlike_tissue(region_curve(loop, drawn, motion), region_curve(loop, beside, motion))
    except PerfusionRefused:  # nothing to hold it against; what refuses the reference itself is told with its curve
        return []


def proposed_reference(loop: ContrastLoop, motion: Motion, node: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Tissue 2 to 7 mm beside the node at its depth, without places that shine far above the rest of it (vessels): bool ``[row, column]``.

    Raises ``PerfusionRefused``: ``no_reference``.
    """
    ring = reference_around(node, loop.mm_per_pixel, usable)
    frames = used_frames(loop, motion)
    some = frames[np.unique(np.linspace(0, frames.size - 1, min(frames.size, BRIGHT_FRAMES)).astype(int))] if frames.size else frames
    power = mean_power(loop, motion, some)
    seen = ring & np.isfinite(power)
    if not seen.any():
        return ring
    sigma = [BRIGHT_MM / v for v in loop.mm_per_pixel[::-1]]
    weight = ndimage.gaussian_filter(seen.astype(np.float64), sigma)
    smooth = ndimage.gaussian_filter(np.where(seen, power, 0.0).astype(np.float64), sigma) / np.maximum(weight, 1e-9)
    bright = seen & (smooth > BRIGHT_TIMES * np.median(smooth[seen]))
    away = ndimage.distance_transform_edt(~bright, sampling=loop.mm_per_pixel[::-1]) > BRIGHT_MM if bright.any() else np.ones_like(ring)
    left = ring & away
    return left if left.sum() >= LEAST_LEFT * ring.sum() else ring


def _usable(loop: ContrastLoop, regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion]) -> np.ndarray:
    usable = np.ones(loop.shape, bool) if loop.drawn is None else ~loop.drawn
    for r, p in zip(regions, placed, strict=True):
        if r.role in ("vessel", "ablated_zone", "viable", "rim"):
            usable = usable & ~p.mask
    return usable


def _fitted(found: list[RegionResult], model: str, tell: Report) -> tuple[ModelChoice, list[RegionResult]]:
    curves = {r.name: r.curve for r in found if r.curve is not None}
    tell("Fitting the curves", 0.0)
    if model == AUTO:
        choice = choose_model(curves)
    else:
        choice = ModelChoice(model_named(model), {}, "stated", {name: fit_curve(curve, model) for name, curve in curves.items()})
    out = []
    for r in found:
        again = None
        if r.curve is not None and r.curve.flash_times_s and choice.model.has_peak:
            again = fit_curve(r.curve, "replenishment")
        out.append(replace(r, fit=choice.fits.get(r.name), replenishment=again))
    return choice, out


def _compared(found: list[RegionResult]) -> list[RegionResult]:
    """With ratios to the reference, and what stands against them."""
    reference = next((r for r in found if r.role == "reference" and r.fit is not None), None)
    if reference is None:
        return found
    out = []
    for r in found:
        if r is reference or r.fit is None:
            out.append(r)
            continue
        out.append(replace(r, ratios=ratios(r.fit, reference.fit), findings=(*r.findings, *comparability(r.curve.facts, reference.curve.facts))))
    return out


def _assessed(
    loop: ContrastLoop, regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion], motion: Motion, node: np.ndarray | None,
    proposed: np.ndarray | None, node_ml: float | None, arrival_s: float | None, tell: Report,
) -> tuple[EnhancementAssessment | None, NodusError | None]:  # fmt: skip
    if node is None:
        return None, None
    reference, excluded = _union(regions, placed, "reference"), _union(regions, placed, "vessel")
    if reference is None:
        reference = proposed
    try:
        return assess_enhancement(loop, node, reference, motion, node_ml=node_ml, arrival_s=arrival_s, excluded=excluded, progress=tell), None
    except PerfusionRefused as error:
        return None, error


def _drawn_beside(regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion], node: np.ndarray | None) -> list[Finding]:
    viable = _union(regions, placed, "viable")
    outside = 0.0 if node is None or viable is None else float((viable & ~node).sum()) / float(viable.sum())
    if outside <= OUTSIDE_SHARE:
        return []
    if outside == 1.0:
        return [Finding("drawn_part_outside", "The viable part that was drawn lies wholly outside the node: no share of the node follows from it.", "serious")]
    return [Finding("drawn_part_outside", f"{100 * outside:.0f} % of the viable part that was drawn lie outside the node and do not count.")]


def _drawn_parts(loop: ContrastLoop, regions: Sequence[PerfusionRegion], placed: Sequence[PlacedRegion], node: np.ndarray | None, node_ml: float | None) -> dict | None:
    """What the reader drew of the node themselves: shares of its section, and of its volume where that is known."""
    viable = _union(regions, placed, "viable")
    if node is None or viable is None or not (viable & node).any():  # drawn beside the node: nothing is known of it, least of all that none is viable
        return None
    share = float((viable & node).sum()) / float(node.sum())
    return {
        "viable_pct": 100 * share, "ablated_pct": 100 * (1 - share), "viable_mm2": None if loop.mm_per_pixel is None else float((viable & node).sum()) * loop.pixel_mm2,
        "viable_ml": None if node_ml is None else share * node_ml, "ablated_ml": None if node_ml is None else (1 - share) * node_ml,
    }  # fmt: skip
