"""What of a node enhances on CT: the picture after contrast less the picture before it, or the picture after it against a threshold.

Both pictures are brought onto one grid of cubes round the node (the one before contrast by its registration), taken off each other and
smoothed a little within the outline. A place enhances where it rises by at least the stated threshold and by five times the noise of
that difference; its border lies where the rise falls to half of what is reached nearby, so that blur moves it neither way. A smooth rim
all round is told apart as on contrast ultrasound. What is given is a proposal; the reader decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.perfusion.enhancement import DIFFUSE_SHARE, MANY_FOCI, NOISE_SIGMAS
from volumetry.perfusion.rim_volume import VolumeParts, tell_rim_apart_3d
from volumetry.registration import RigidRegistration

# Renal masses: a rise of 20 HU and more is enhancement, 10 to 20 HU is not certain (Bosniak 2019, Radiology 292:475). None is published for ablated neck nodes.
DEFAULT_THRESHOLD_HU = 20.0
WEAK_HU = 40.0  # where noise alone asks for more than this nothing can be said
CONTRAST_HU = 40.0  # the best supplied tissue and vessels around rise by more, or no contrast was given
STEP_MM = (0.5, 1.0)  # side of the cubes
MARGIN_MM, AROUND_MM, AROUND_STEP_MM = 12.0, 40.0, 2.0
SMOOTHING_MM = 0.7
NOISE_REACH_MM = 5.0
SHARPNESS_MM = 0.6  # standard deviation of a soft-tissue kernel's point spread
OUTSIDE_MM, LEAST_OWN, CALM_MM = 1.5, 0.4, 0.5
NEARBY_MM, CORE_SHARE = 2.0, 0.8
BORDER_LEVELS = (0.25, 0.6)
REDRAWN = 3
LEAST_MM3, SURE_MM3 = 10.0, 5.0
SOFT_TISSUE_HU = (-50.0, 150.0)  # before contrast
MISFIT_MM, THICK_MM, EDGE_MM = 1.0, 2.0, 1.0
RISES_HU, LEVELS_HU = (1.0, 500.0), (-200.0, 1000.0)  # what a threshold can be: of a rise, of the picture after contrast
SEEN_SHARE, WHOLE_SHARE = 0.9, 0.999  # of the node: less seen is refused, less than all is told
METAL_HU, METAL_MM = 2500.0, 10.0  # no contrast agent and no bone of the neck but enamel is as dense


@dataclass(frozen=True, slots=True, eq=False)
class CtEnhancement:
    """What of a node enhances on CT. ``map``: rise in HU round the node (NaN outside the pictures), or the picture itself where only a
    threshold was given. ``viable`` and ``rim`` lie on the grid of the node's mask. ``threshold_hu``: the one that was applied;
    ``noise_hu``: standard deviation of the smoothed difference (None by threshold alone). ``viable_interval_pct``: with the border at 0.6 and 0.4
    of the level instead of 0.5. ``grade`` as on ultrasound (0 none, 1 smooth rim, 2 focal, 3 a third or more or many parts, NE)."""

    grade: str
    reasons: tuple[str, ...]
    map: ImageVolume
    viable: NodeMask
    rim: NodeMask
    node_ml: float
    viable_ml: float | None
    ablated_ml: float | None
    rim_ml: float | None
    viable_pct: float | None
    viable_interval_pct: tuple[float, float] | None
    threshold_hu: float
    noise_hu: float | None
    foci: int
    rim_mm: float | None
    findings: tuple[Finding, ...] = ()


def enhancement_by_pair(
    pre: ImageVolume, post: ImageVolume, node: NodeMask, registration: RigidRegistration | None = None, *,
    threshold_hu: float = DEFAULT_THRESHOLD_HU, progress: Callable[[str, float], None] | None = None,
) -> CtEnhancement:  # fmt: skip
    """Enhancement from CT before and after contrast. ``node``: outline in the patient's space of ``post``. ``registration`` carries
    points of ``post`` to ``pre``; None: both were taken in one position (same frame of reference).

    Raises ``NodusError``: ``not_in_hu``, ``empty_mask``, ``outside_image``, ``threshold_missing``, ``implausible_threshold``, ``phases_swapped``. Findings: ``partly_outside``, ``metal_beside``, ``no_enhancement`` and
    ``contrast_too_weak`` (grade NE), ``registration_poor`` and its kin, ``registration_unchecked`` where nothing was registered.
    """
    tell = progress or (lambda message, share: None)
    _check(threshold_hu, RISES_HU, post, pre)
    matrix = np.eye(4) if registration is None else registration.matrix
    findings = list(() if registration is None else registration.findings)
    if registration is None:
        findings.append(Finding("registration_unchecked", "Both pictures were taken to lie alike; nothing was registered."))
    elif registration.residual_mm is not None and registration.residual_mm > MISFIT_MM:
        findings.append(Finding("registration_edges", f"The pictures fit to {registration.residual_mm:.1f} mm: edges of the node may seem to enhance.", "info"))
    around = _around_contrast(pre, post, node, matrix)
    if around[1] < CONTRAST_HU and around[0] < -CONTRAST_HU:
        raise NodusError("Tissue is brighter on the picture before contrast than after it: the two seem to be turned round.", code="phases_swapped", hint="Give the picture before contrast as --pre.")
    grid = _grid(node)
    inside = _mask_on(node, grid)
    tell("Taking the pictures off each other", 0.2)
    after, before = _sampled(post, grid, np.eye(4)), _sampled(pre, grid, matrix)
    rise = after - before
    seen = inside & np.isfinite(rise)
    findings += _seen_of(inside, seen) + _metal(np.fmax(after, before), inside, grid)
    step = grid.spacing_mm[0]
    smooth = _within(rise, seen, SMOOTHING_MM / step)
    noise = _noise(rise, np.isfinite(rise) & (before > SOFT_TISSUE_HU[0]) & (before < SOFT_TISSUE_HU[1]), step)
    applied = max(float(threshold_hu), NOISE_SIGMAS * noise)
    found = ImageVolume(np.where(np.isfinite(rise), ndimage.gaussian_filter(np.nan_to_num(rise), SMOOTHING_MM / step), np.nan).astype(np.float32), grid, "HU", post.source)
    if around[1] < CONTRAST_HU:
        why = f"Nothing around the node rises by more than {around[1]:.0f} HU: no contrast is seen on the second picture."
        return _not_evaluable(why, "no_enhancement", node, found, applied, noise, findings)
    if NOISE_SIGMAS * noise > WEAK_HU:
        return _not_evaluable(f"Noise hides a rise of less than {applied:.0f} HU.", "contrast_too_weak", node, found, applied, noise, findings)
    if applied > threshold_hu:
        findings.append(Finding("threshold_raised", f"Noise of {noise:.1f} HU raised the threshold from {threshold_hu:g} to {applied:.0f} HU."))
    tell("Telling rim and viable part apart", 0.6)
    sizes = [max(_size_mm(picture, axis) for picture in (post, pre)) for axis in (2, 1, 0)]
    if max(sizes) > THICK_MM:
        findings.append(Finding("thick_slices", f"Slices of {max(sizes):.1f} mm show small parts and a thin rim only coarsely.", "info"))
    spread = [math.sqrt(SHARPNESS_MM**2 + size**2 / 12.0) / step for size in sizes]
    clear = _without_spill(smooth, rise, inside, seen, spread, step)
    blur = [math.hypot(v, SMOOTHING_MM / step) for v in spread]
    filled = np.where(seen, smooth, 0.0)
    weak = seen & (filled >= max(0.5 * threshold_hu, 0.5 * NOISE_SIGMAS * noise))
    sure = seen & (filled >= applied)
    parts = {level: _parts(_borders(clear, seen, weak, sure, level, blur, step), seen, grid, weak, sizes) for level in (0.5, 0.6, 0.4)}
    return _told(parts[0.5], node, seen, found, applied, noise, findings, [float(parts[v].viable.sum()) for v in (0.6, 0.4)])


def enhancement_by_threshold(post: ImageVolume, node: NodeMask, threshold_hu: float) -> CtEnhancement:
    """Enhancement from a contrast CT alone: voxels of the outline at or above ``threshold_hu``, as the reader states it; parts below
    0.01 ml are dropped and a rim is told apart. Raises as ``enhancement_by_pair``. Finding: ``threshold_alone``."""
    _check(threshold_hu, LEVELS_HU, post)
    grid = _grid(node)
    inside = _mask_on(node, grid)
    values = _sampled(post, grid, np.eye(4))
    seen = inside & np.isfinite(values)
    told = [Finding("threshold_alone", "By a threshold alone tissue that is dense without contrast counts as enhancing.", "info")]
    told += _seen_of(inside, seen) + _metal(values, inside, grid)
    found = ImageVolume(values.astype(np.float32), grid, "HU", post.source)
    sizes = [_size_mm(post, axis) for axis in (2, 1, 0)]
    return _told(_parts(seen & (values >= threshold_hu), seen, grid, None, sizes), node, seen, found, float(threshold_hu), None, told, None)


def _check(threshold_hu: float, limits: tuple[float, float], *pictures: ImageVolume) -> None:
    if threshold_hu is None or not math.isfinite(threshold_hu):
        raise NodusError("State the threshold as a number in HU.", code="threshold_missing")
    if not limits[0] <= threshold_hu <= limits[1]:
        raise NodusError(f"{threshold_hu:g} HU is no threshold of enhancement ({limits[0]:g} to {limits[1]:g} HU).", code="implausible_threshold")
    for picture in pictures:
        if picture.unit != "HU" or picture.source.modality not in (None, "CT"):
            raise NodusError("Enhancement in HU needs CTs; this picture is none.", code="not_in_hu", hint="Use the contrast CT.")


def _seen_of(inside: np.ndarray, seen: np.ndarray) -> list[Finding]:
    share = float(seen.sum()) / float(inside.sum())
    if share < SEEN_SHARE:
        raise NodusError(f"{100 * (1 - share):.0f} % of the node lie outside what was pictured.", code="outside_image")
    if share >= WHOLE_SHARE:
        return []
    return [Finding("partly_outside", f"{100 * (1 - share):.1f} % of the node lie outside what was pictured; they are taken to be as what lies beside them.", "serious")]


def _metal(hu: np.ndarray, inside: np.ndarray, grid: ImageGeometry) -> list[Finding]:
    dense = hu >= METAL_HU
    if not dense.any():
        return []
    nearest = float(ndimage.distance_transform_edt(~inside, sampling=grid.spacing_mm[0])[dense].min())
    if nearest > METAL_MM:
        return []
    if nearest == 0:
        said = "Metal, or something as dense, lies in the node: it counts as enhancing where it is new, and its streaks look like enhancement or hide it."
    else:
        said = f"Metal, or something as dense, lies {nearest:.0f} mm from the node: its streaks look like enhancement or hide it."
    return [Finding("metal_beside", said, "serious")]


def _grid(node: NodeMask) -> ImageGeometry:
    """Cubes along the patient's axes round the node."""
    box = node.bounding_slices()
    if box is None:
        raise NodusError("The outline holds no voxel.", code="empty_mask")
    corners = np.array([[i, j, k] for i in (box[2].start - 0.5, box[2].stop - 0.5) for j in (box[1].start - 0.5, box[1].stop - 0.5) for k in (box[0].start - 0.5, box[0].stop - 0.5)])
    world = node.geometry.index_to_world(corners)
    step = float(np.clip(min(node.geometry.spacing_mm), *STEP_MM))
    low, high = world.min(axis=0) - MARGIN_MM, world.max(axis=0) + MARGIN_MM
    shape = np.ceil((high - low) / step).astype(int) + 1
    return ImageGeometry.from_spacing(tuple(int(n) for n in shape[::-1]), (step,) * 3, tuple(low))


def _index_in(geometry: ImageGeometry, grid: ImageGeometry, matrix: np.ndarray) -> np.ndarray:
    """Indices (k, j, i) into ``geometry`` of every voxel of ``grid``, through ``matrix``: float ``[3, k, j, i]``."""
    k, j, i = (np.arange(n, dtype=np.float64) for n in grid.shape)
    way = np.linalg.inv(geometry.affine) @ matrix @ grid.affine
    points = np.stack(np.meshgrid(k, j, i, indexing="ij"))[::-1].reshape(3, -1)
    return (way[:3, :3] @ points + way[:3, 3:])[::-1].reshape(3, *grid.shape)


def _sampled(picture: ImageVolume, grid: ImageGeometry, matrix: np.ndarray) -> np.ndarray:
    """The picture on the grid, linear; NaN outside it."""
    at = _index_in(picture.geometry, grid, matrix)
    low = np.maximum(np.floor(at.reshape(3, -1).min(axis=1)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(at.reshape(3, -1).max(axis=1)).astype(int) + 2, picture.array.shape)
    if (high <= low).any():
        return np.full(grid.shape, np.nan)
    part = picture.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    size = np.array(picture.array.shape).reshape(3, 1, 1, 1)
    outside = ((at < -0.5) | (at > size - 0.5)).any(axis=0)
    values = ndimage.map_coordinates(part, at - low.reshape(3, 1, 1, 1), order=1, mode="nearest")
    return np.where(outside, np.nan, values)


def _mask_on(node: NodeMask, grid: ImageGeometry) -> np.ndarray:
    box = node.bounding_slices(pad=1)
    part = ImageVolume(node.array[box].astype(np.float32), node.geometry.cropped(box), "share")
    inside = np.nan_to_num(_sampled(part, grid, np.eye(4))) >= 0.5
    if not inside.any():
        raise NodusError("The outline is thinner than a voxel.", code="empty_mask")
    return inside


def _back_on(values: np.ndarray, seen: np.ndarray, grid: ImageGeometry, node: NodeMask) -> np.ndarray:
    """A mask of the grid on the voxels of the node's own mask: each has what the nearest seen cube has."""
    nearest = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    values = values[tuple(nearest)]
    out = np.zeros(node.array.shape, bool)
    index = np.argwhere(node.array)
    at = np.rint(grid.world_to_index(node.geometry.index_to_world(index[:, ::-1]))).astype(int)[:, ::-1]
    at = np.clip(at, 0, np.array(grid.shape) - 1)
    out[tuple(index.T)] = values[tuple(at.T)]
    return out


def _around_contrast(pre: ImageVolume, post: ImageVolume, node: NodeMask, matrix: np.ndarray) -> tuple[float, float]:
    """1st and 99th percentile of the rise within 40 mm of the node."""
    grid = _grid(node)
    middle, reach = grid.index_to_world((np.array(grid.shape[::-1]) - 1) / 2), 0.5 * np.array(grid.shape[::-1]) * grid.spacing_mm[0] + AROUND_MM - MARGIN_MM
    shape = np.ceil(2 * reach / AROUND_STEP_MM).astype(int) + 1
    wide = ImageGeometry.from_spacing(tuple(int(n) for n in shape[::-1]), (AROUND_STEP_MM,) * 3, tuple(middle - reach))
    before = _sampled(pre, wide, matrix)
    after = _sampled(post, wide, np.eye(4))
    rise, least = after - before, np.minimum(before, after)  # whichever of the two is the one without contrast
    soft = np.isfinite(rise) & (least > SOFT_TISSUE_HU[0]) & (least < SOFT_TISSUE_HU[1])
    if not soft.any():
        return 0.0, 0.0
    smooth = _within(rise, soft, 1.0)[soft]
    low, high = np.percentile(smooth, (1, 99))
    return float(low), float(high)


def _within(values: np.ndarray, mask: np.ndarray, sigma: float | list[float]) -> np.ndarray:
    """Gaussian mean over ``mask`` alone; NaN outside."""
    weight = ndimage.gaussian_filter(mask.astype(np.float64), sigma)
    total = ndimage.gaussian_filter(np.where(mask, values, 0.0).astype(np.float64), sigma)
    return np.where(mask, total / np.maximum(weight, 1e-9), np.nan)


def _noise(rise: np.ndarray, soft: np.ndarray, step: float) -> float:
    """Standard deviation of the smoothed difference about its surroundings, over soft tissue; by the median, so that edges and vessels do not count."""
    if soft.sum() < 100:
        soft = np.isfinite(rise)
    smooth = np.where(soft, _within(rise, soft, SMOOTHING_MM / step), 0.0)
    off = smooth - np.where(soft, _within(smooth, soft, NOISE_REACH_MM / 2.355 / step), 0.0)
    kept = off[ndimage.binary_erosion(soft, iterations=2)] if ndimage.binary_erosion(soft, iterations=2).sum() > 100 else off[soft]
    return 1.4826 * float(np.median(np.abs(kept - np.median(kept))))


def _size_mm(picture: ImageVolume, axis: int) -> float:
    """Size of the picture's voxels along a patient's axis (x, y, z)."""
    return float(np.abs(picture.geometry.affine[axis, :3]).max())


def _without_spill(smooth: np.ndarray, rise: np.ndarray, inside: np.ndarray, seen: np.ndarray, sigma: list[float], step: float) -> np.ndarray:
    """The rise within the outline as it would be if nothing from outside were spread into it, nor anything out of it."""
    share = ndimage.gaussian_filter(inside.astype(np.float64), sigma)
    outside = ~inside & np.isfinite(rise)
    weight = ndimage.gaussian_filter(outside.astype(np.float64), OUTSIDE_MM / step)
    around = ndimage.gaussian_filter(np.where(outside, rise, 0.0), OUTSIDE_MM / step) / np.maximum(weight, 1e-9)
    own = ndimage.gaussian_filter(np.where(seen, share, 0.0), SMOOTHING_MM / step) / np.maximum(ndimage.gaussian_filter(seen.astype(np.float64), SMOOTHING_MM / step), 1e-9)
    return np.where(seen, (smooth - around * (1.0 - own)) / np.maximum(own, LEAST_OWN), np.nan)


def _borders(clear: np.ndarray, seen: np.ndarray, weak: np.ndarray, sure: np.ndarray, level: float, blur: list[float], step: float) -> np.ndarray:
    """Parts that hold places above the threshold (``sure``), out to where the rise falls below ``level`` of what is reached nearby, and no further
    than ``weak``.

    A first guess takes the highest value nearby; then what was found is itself blurred as the picture is (``blur``, in cubes): that tells how high the part truly
    rises, also where it is too small to reach it, and what is left of that at its border, and the border is drawn anew.
    """
    clear = np.where(seen, _within(np.where(seen, clear, 0.0), seen, CALM_MM / step), 0.0)
    blur = [math.hypot(v, CALM_MM / step) for v in blur]
    reach = max(1, round(NEARBY_MM / step))
    ball = np.sum(np.stack(np.mgrid[-reach : reach + 1, -reach : reach + 1, -reach : reach + 1]) ** 2, axis=0) <= reach * reach
    found = _holding(weak & (clear >= level * ndimage.maximum_filter(clear, footprint=ball)), sure, step)
    for _ in range(REDRAWN):
        if not found.any():
            break
        left = np.where(seen, _within(found.astype(np.float64), seen, blur), 0.0)
        core = found & (left >= np.minimum(CORE_SHARE, 0.9 * ndimage.maximum_filter(np.where(found, left, 0.0), footprint=ball)))
        window = NEARBY_MM / 1.5 / step
        height = ndimage.gaussian_filter(np.where(core, clear, 0.0), window) / np.maximum(ndimage.gaussian_filter(np.where(core, left, 0.0), window), 1e-9)
        nearest = ndimage.distance_transform_edt(~core, return_distances=False, return_indices=True)
        found = _holding(weak & (clear >= 2 * level * _at_border(left, found, seen) * height[tuple(nearest)]), sure, step)
    return found


def _at_border(left: np.ndarray, found: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What the blur leaves at the nearest border of what was found: a half at a flat one, less at a small round one."""
    dark = seen & ~found
    border = (found & ndimage.binary_dilation(dark)) | (dark & ndimage.binary_dilation(found))
    if not border.any():
        return np.full(found.shape, 0.5)
    even = _within(left, border, 2.0)
    nearest = ndimage.distance_transform_edt(~border, return_distances=False, return_indices=True)
    return np.clip(even[tuple(nearest)], *BORDER_LEVELS)


def _holding(mask: np.ndarray, sure: np.ndarray, step: float) -> np.ndarray:
    """Connected parts of ``mask`` in which enough is ``sure``."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    held = np.bincount(pieces[sure & mask], minlength=count + 1)[1:] * step**3
    return np.isin(pieces, np.flatnonzero(held >= SURE_MM3) + 1)


def _parts(enhancing: np.ndarray, seen: np.ndarray, grid: ImageGeometry, weak: np.ndarray | None = None, sizes=(0.0, 0.0, 0.0)) -> VolumeParts:
    step = grid.spacing_mm[0]
    for wanted in (True, False):
        pieces, count = ndimage.label(enhancing == wanted)
        if count:
            small = np.bincount(pieces.ravel())[1:] * step**3 < LEAST_MM3
            enhancing = np.where(np.isin(pieces, np.flatnonzero(small) + 1), not wanted, enhancing)
    enhancing = enhancing.astype(bool) & seen
    parts = tell_rim_apart_3d(enhancing, seen, step, LEAST_MM3, None if weak is None else weak | enhancing, sizes)
    return parts if weak is None else _without_edges(parts, seen, step)


def _without_edges(parts: VolumeParts, seen: np.ndarray, step: float) -> VolumeParts:
    """Without what reaches less than a millimetre in from the outline: two pictures that fit to a tenth of a millimetre differ there by as much,
    beside fat."""
    inner = ndimage.distance_transform_edt(np.pad(seen, 1), sampling=step)[1:-1, 1:-1, 1:-1] > EDGE_MM
    if not inner.any() or not parts.viable.any():
        return parts
    nearest = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    viable = parts.viable & (parts.viable & inner)[tuple(nearest)]
    pieces, count = ndimage.label(viable)
    large = np.flatnonzero(np.bincount(pieces.ravel())[1:] * step**3 >= LEAST_MM3) + 1 if count else np.array([], int)
    return VolumeParts(np.isin(pieces, large), parts.rim, int(large.size), parts.rim_mm)


def _told(parts: VolumeParts, node: NodeMask, seen: np.ndarray, found: ImageVolume, threshold: float, noise: float | None, findings: list[Finding], others: list[float] | None) -> CtEnhancement:
    viable, rim = (_back_on(m, seen, found.geometry, node) for m in (parts.viable, parts.rim))
    voxel_ml = node.geometry.voxel_size_mm3 / 1000.0
    count, total = int(node.array.sum()), float(seen.sum())
    share = float(viable.sum()) / count
    interval = None
    if others is not None:
        low, high = (v / total for v in others)
        interval = (100 * min(low, share), 100 * max(high, share))
    grade, reasons = _grade(share, parts)
    return CtEnhancement(
        grade, reasons, found, NodeMask(viable, node.geometry, name="enhancing part"), NodeMask(rim, node.geometry, name="rim"), count * voxel_ml, float(viable.sum()) * voxel_ml,
        (count - float(viable.sum())) * voxel_ml, float(rim.sum()) * voxel_ml, 100 * share, interval, threshold, noise, parts.foci, parts.rim_mm, tuple(findings),
    )  # fmt: skip


def _not_evaluable(why: str, code: str, node: NodeMask, found: ImageVolume, threshold: float, noise: float, findings: list[Finding]) -> CtEnhancement:
    none = NodeMask(np.zeros(node.array.shape, bool), node.geometry)
    told = (*findings, Finding(code, why, "serious"))
    return CtEnhancement("NE", (why,), found, none, none, int(node.array.sum()) * node.geometry.voxel_size_mm3 / 1000.0, None, None, None, None, None, threshold, noise, 0, None, told)


def _grade(share: float, parts: VolumeParts) -> tuple[str, tuple[str, ...]]:
    rim = () if parts.rim_mm is None else (f"A smooth rim of about {parts.rim_mm:.1f} mm lies all round; after electroporation it is not taken as residual.",)
    if parts.foci == 0:
        return ("1", rim) if rim else ("0", ("Nothing in the outline enhances above the threshold.",))
    places = f"{parts.foci} part{'s' if parts.foci > 1 else ''}, {100 * share:.0f} % of the node, enhance{'' if parts.foci > 1 else 's'}."
    return ("3" if share >= DIFFUSE_SHARE or parts.foci > MANY_FOCI else "2"), (places, *rim)
