"""Where a point of one visit lies at another: rigid registration by image content or by landmarks.

The transform maps points of the *fixed* picture to the *moving* one, both in LPS mm, so a mask
drawn on the moving picture is pulled onto the fixed one. Image content is compared by Mattes mutual
information (IEEE TMI 2003;22:120, as in ITK), which does not mind another contrast phase; the
sampling is seeded, so a registration repeats exactly. Landmarks follow Horn (J Opt Soc Am A
1987;4:629) in the SVD form of Arun, Huang and Blostein (1987).

Small blocks of the fixed picture are then looked for again around their mapped place
(``block_matching``). A robust rigid fit to them polishes the transform: mutual information alone is
drawn by the long edges of skin and couch. What the blocks would still have to move is the residual
that is shown; it is measured, not taken from the optimiser, and a neck that bent shows up in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from volumetry.block_matching import Blocks, refind_blocks
from volumetry.errors import Cancelled, NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

WORK_MM = 1.2  # pictures are averaged down to about this voxel: rigid motion needs no finer grid
LEVELS = ((5.0, 4.0, 15_000), (2.5, 1.5, 40_000))  # (voxel in mm, smoothing in mm, samples), coarse first
BINS = 40
SEED = 20260
WORK_UNITS = 1  # fixed, so that sums are formed in one order on every machine
START_OFFSETS_MM = (0.0, -30.0, 30.0)  # along the body axis: scans start at different heights
MIN_OVERLAP = 0.25
BODY_HU = -300.0
POOR_MM = 2.0
LARGE_ANGLE_DEG, LARGE_SHIFT_MM = 20.0, 60.0
MIN_BLOCKS = 12
MIN_FOUND = 0.5  # of the blocks; two visits of one neck give more than 0.9

Method = Literal["mutual_information", "landmarks"]


class RegistrationRefused(NodusError):
    """Two visits that cannot be brought together."""

    default_code = "registration_refused"


@dataclass(frozen=True, slots=True, eq=False)
class RigidRegistration:
    """``matrix`` (4x4, read-only) maps homogeneous LPS mm points of the fixed picture to the moving one.

    ``residual_mm`` is what is left: for ``mutual_information`` the distance below which three of four
    re-found blocks lie (None where too few could be re-found), for ``landmarks`` their root mean square. ``metric`` is the mutual information in nats (larger is better), None for
    landmarks. ``point_residuals_mm`` has one distance a landmark. ``centre_mm`` is the middle of
    what was registered, in the fixed picture.
    """

    matrix: np.ndarray
    method: Method
    residual_mm: float | None
    metric: float | None = None
    point_residuals_mm: tuple[float, ...] = ()
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def apply(self, points_mm) -> np.ndarray:
        """Carry ``(..., 3)`` LPS mm points of the fixed picture into the moving one."""
        return np.asarray(points_mm, dtype=np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def inverse(self) -> RigidRegistration:
        """The same registration with fixed and moving exchanged."""
        centre = tuple(float(v) for v in self.apply(self.centre_mm))
        return RigidRegistration(
            np.linalg.inv(self.matrix), self.method, self.residual_mm, self.metric, self.point_residuals_mm, centre, self.findings
        )

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation about its own axis, 0 to 180."""
        return math.degrees(math.acos(float(np.clip((np.trace(self.matrix[:3, :3]) - 1) / 2, -1, 1))))

    @property
    def shift_mm(self) -> tuple[float, float, float]:
        """How far the middle of the registered part moves (LPS)."""
        return tuple(float(v) for v in self.apply(self.centre_mm) - np.asarray(self.centre_mm))


def register_landmarks(fixed_points_mm, moving_points_mm) -> RigidRegistration:
    """Least-squares rotation and shift that carry ``(n, 3)`` fixed points onto the moving ones (LPS mm).

    At least three pairs that do not lie on one line are needed: ``too_few_landmarks``,
    ``landmarks_in_line``, ``bad_landmarks`` (unequal numbers, not finite). A residual above 2 mm
    carries the warning ``registration_poor``; three pairs carry ``registration_unchecked``, because
    their residual says little.
    """
    try:
        fixed, moving = (np.array(p, dtype=np.float64) for p in (fixed_points_mm, moving_points_mm))
    except (TypeError, ValueError):
        raise RegistrationRefused("Landmarks must be pairs of points.", code="bad_landmarks") from None
    if fixed.ndim != 2 or fixed.shape != moving.shape or fixed.shape[1] != 3 or not (np.isfinite(fixed).all() and np.isfinite(moving).all()):
        raise RegistrationRefused("Each landmark must be set once on both visits.", code="bad_landmarks")
    if len(fixed) < 3:
        raise RegistrationRefused(f"{len(fixed)} landmark(s) do not fix a position: set at least three.", code="too_few_landmarks")
    centre, target = fixed.mean(axis=0), moving.mean(axis=0)
    a, b = fixed - centre, moving - target
    for points in (a, b):
        spread = np.linalg.svd(points, compute_uv=False)
        if spread[1] < max(1e-3 * spread[0], 1e-6):
            raise RegistrationRefused("The landmarks lie on one line, about which the neck could turn.", code="landmarks_in_line")
    matrix = _rigid_fit(fixed, moving)
    distances = np.linalg.norm(fixed @ matrix[:3, :3].T + matrix[:3, 3] - moving, axis=1)
    residual = float(np.sqrt((distances**2).mean()))
    findings = []
    if residual > POOR_MM:
        findings.append(_poor(residual))
    if len(fixed) == 3:
        findings.append(Finding("registration_unchecked", "Three landmarks always fit well: add a fourth to see how good the registration is.", "warning"))
    return RigidRegistration(
        matrix, "landmarks", residual, None, tuple(float(d) for d in distances), tuple(float(v) for v in centre), tuple(findings)
    )


def register_rigid(
    fixed: ImageVolume,
    moving: ImageVolume,
    *,
    mask: NodeMask | None = None,
    should_cancel: Callable[[], bool] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> RigidRegistration:
    """Rigid registration of two visits by mutual information, coarse to fine.

    ``mask`` (on any grid in the fixed picture's frame) says which part must fit; without one a CT
    uses the body, another modality everything. Repeats exactly for the same pictures. Raises
    ``Cancelled`` when ``should_cancel()`` turns true, ``RegistrationRefused`` with ``bad_shape`` (fewer
    than 4 slices), ``not_finite``, ``constant_picture``, ``empty`` (mask), ``no_overlap``.
    ``progress(message, fraction)`` is told how far it has come. Warnings: ``registration_poor``, ``registration_unchecked``, ``registration_large``.
    """
    import SimpleITK as sitk  # 0.2 s to import; only who registers pays it

    def check() -> None:
        if should_cancel is not None and should_cancel():
            raise Cancelled

    def tell(message: str, fraction: float) -> None:
        if progress is not None:
            progress(message, fraction)

    tell("Preparing both pictures", 0.0)
    small_fixed, small_moving = _reduced(fixed), _reduced(moving)
    check()
    region = _region(small_fixed, mask)
    body = _region(small_moving, None)
    a, b = (_to_sitk(sitk, v.array, v.geometry) for v in (small_fixed, small_moving))
    where = _to_sitk(sitk, region.astype(np.uint8), small_fixed.geometry)
    centre = _centroid(region, small_fixed.geometry)
    coarse = [_level(sitk, image, *LEVELS[0][:2]) for image in (a, b)]
    tell("Looking for a start", 0.2)
    start = _start(sitk, *coarse, where, centre, _centroid(body, small_moving.geometry))
    check()
    stopped = False
    transform = sitk.Euler3DTransform(start)
    metric = math.nan
    for n, (voxel_mm, smoothing_mm, samples) in enumerate(LEVELS):
        tell(f"Bringing the pictures together ({voxel_mm:g} mm)", 0.3 + 0.25 * n)
        level = [_level(sitk, image, voxel_mm, smoothing_mm) for image in (a, b)]
        method = _method(sitk, where, min(1.0, samples / level[0].GetNumberOfPixels()))
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=0.5 * voxel_mm, minStep=0.002 * voxel_mm, numberOfIterations=120, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-8
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)

        def watch(method=method) -> None:
            nonlocal stopped
            if should_cancel is not None and should_cancel():
                stopped = True
                method.StopRegistration()

        method.AddCommand(sitk.sitkIterationEvent, watch)
        try:
            method.Execute(*level)
        except RuntimeError as error:
            raise RegistrationRefused(
                "The two pictures drifted apart while they were registered: they may not show the same part of the body.",
                code="no_overlap",
                hint="Set landmarks on both visits instead.",
            ) from error
        if stopped:
            raise Cancelled
        metric = -float(method.GetMetricValue())
    matrix = _matrix(transform)
    if _overlap(region, small_fixed.geometry, matrix, small_moving.geometry) < MIN_OVERLAP:
        raise RegistrationRefused("Less than a quarter of the picture is seen at both visits.", code="no_overlap", hint="Set landmarks on both visits instead.")
    tell("Measuring what is left", 0.8)
    matrix, residual, found = _polished(small_fixed, small_moving, region, matrix, check)
    result = RigidRegistration(matrix, "mutual_information", residual, metric, (), tuple(float(v) for v in centre))
    findings = []
    if residual is None:
        findings.append(Finding("registration_unchecked", "Too little of the picture could be found again to say how well the visits fit.", "warning"))
    elif residual > POOR_MM:
        findings.append(_poor(residual))
    elif found < MIN_FOUND:
        findings.append(Finding("registration_poor", f"Only {100 * found:.0f} % of the picture could be found again at the other visit: check the fit.", "warning"))
    if result.angle_deg > LARGE_ANGLE_DEG or max(map(abs, result.shift_mm)) > LARGE_SHIFT_MM:
        findings.append(
            Finding("registration_large", f"The visits differ by {result.angle_deg:.0f} degrees and {math.hypot(*result.shift_mm):.0f} mm: check the fit.", "warning")
        )
    return RigidRegistration(matrix, result.method, residual, metric, (), result.centre_mm, tuple(findings))


def resample_mask(mask: NodeMask, registration: RigidRegistration, onto: ImageGeometry) -> NodeMask:
    """A mask drawn on the moving picture, on the grid ``onto`` of the fixed one.

    A voxel is in where the mask, interpolated linearly between voxel centres, is at least one half at
    its mapped centre. The result carries the finding ``propagated``: it is a proposal that a reader
    has to look at, not a reading. Refuses ``empty`` and ``outside_image``.
    """
    box = mask.bounding_slices(pad=2)
    if box is None:
        raise RegistrationRefused("The mask holds no voxel: there is nothing to carry over.", code="empty")
    low = np.array([s.start for s in box[::-1]], dtype=float) - 1.0
    high = np.array([s.stop for s in box[::-1]], dtype=float)
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    there = onto.world_to_index(registration.inverse().apply(mask.geometry.index_to_world(corners)))
    first = np.maximum(np.floor(there.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(there.max(axis=0)).astype(int) + 1, onto.shape[::-1])
    out = np.zeros(onto.shape, dtype=bool)
    if (last > first).all():
        k, j, i = (np.arange(a, b) for a, b in zip(first[::-1], last[::-1], strict=True))
        # index of the target -> index of the source: one affine map
        inside = np.linalg.inv(mask.geometry.affine) @ registration.matrix @ onto.affine
        grid = np.stack(np.meshgrid(k, j, i, indexing="ij"))[::-1].reshape(3, -1).astype(float)
        source = inside[:3, :3] @ grid + inside[:3, 3:]
        # one empty layer around, so that a mask at the picture's edge keeps its outline
        values = ndimage.map_coordinates(np.pad(mask.array, 1).astype(np.float32), source[::-1] + 1.0, order=1, mode="constant")
        out[first[2] : last[2], first[1] : last[1], first[0] : last[0]] = (values >= 0.5).reshape(len(k), len(j), len(i))
    if not out.any():
        raise RegistrationRefused("After registration the node lies outside this visit's picture.", code="outside_image", hint="Outline it by hand.")
    quality = "" if registration.residual_mm is None else f" (residual {registration.residual_mm:.1f} mm)"
    note = Finding("propagated", f"This outline was carried over from another visit{quality}: check it slice by slice.", "warning")
    return NodeMask(out, onto, label=mask.label, name=mask.name, findings=(note, *registration.findings))


def _rigid_fit(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """4x4 of the least-squares rotation and shift from ``fixed`` to ``moving`` points (n, 3)."""
    centre, target = fixed.mean(axis=0), moving.mean(axis=0)
    u, _, vt = np.linalg.svd((fixed - centre).T @ (moving - target))
    turn = vt.T @ np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = target - turn @ centre
    return matrix


def _distances(blocks: Blocks, matrix: np.ndarray) -> np.ndarray:
    return np.linalg.norm(blocks.fixed_mm @ matrix[:3, :3].T + matrix[:3, 3] - blocks.moving_mm, axis=1)


def _polished(fixed: ImageVolume, moving: ImageVolume, region: np.ndarray, matrix: np.ndarray, check) -> tuple[np.ndarray, float | None, float]:
    """(matrix, residual in mm, share of blocks found again) after two rounds of re-found blocks and a trimmed rigid fit.

    Blocks farther off than three times the median (at least 0.5 mm) are left out of a fit: changed
    nodes, swallowed air. Too few blocks leave the matrix as it is and give no residual.
    """
    residual = None
    for last in (False, False, True):
        check()
        blocks = refind_blocks(fixed, moving, region, matrix)
        if len(blocks.fixed_mm) < MIN_BLOCKS:
            return matrix, None, blocks.found_share
        distances = _distances(blocks, matrix)
        residual = float(np.percentile(distances, 75))
        if last:
            break
        trial = matrix
        for _ in range(5):
            near = _distances(blocks, trial) <= max(0.5, 3 * float(np.median(_distances(blocks, trial))))
            if int(near.sum()) < MIN_BLOCKS:
                break
            trial = _rigid_fit(blocks.fixed_mm[near], blocks.moving_mm[near])
        matrix = trial
    return matrix, residual, blocks.found_share


def _poor(residual_mm: float) -> Finding:
    return Finding("registration_poor", f"After registration the visits still differ by {residual_mm:.1f} mm: check the fit before it is used.", "warning")


def _reduced(image: ImageVolume) -> ImageVolume:
    """The picture averaged down to voxels of about ``WORK_MM`` on an orthogonal grid, float32."""
    if image.array.ndim != 3 or min(image.array.shape) < 4:
        raise RegistrationRefused("Registration needs a volume of at least four slices.", code="bad_shape")
    array, geometry = image.array, image.geometry
    factors = [max(1, int(WORK_MM / s + 0.25)) for s in geometry.spacing_mm[::-1]]
    keep = tuple(slice(0, n // f * f) for n, f in zip(array.shape, factors, strict=True))
    array = array[keep]
    shape = tuple(n // f for n, f in zip(array.shape, factors, strict=True))
    array = array.reshape(shape[0], factors[0], shape[1], factors[1], shape[2], factors[2]).mean(axis=(1, 3, 5), dtype=np.float32)
    if not np.isfinite(array).all():
        raise RegistrationRefused("The picture holds values that are not numbers.", code="not_finite")
    steps = np.array(factors[::-1], dtype=float)
    affine = geometry.affine.copy()
    affine[:3, :3] *= steps
    affine[:3, 3] = geometry.index_to_world((steps - 1) / 2)
    grid = ImageGeometry(shape, affine)
    if grid.is_sheared:
        array, grid = _unsheared(array, grid)
    if float(np.ptp(array)) <= 0:
        raise RegistrationRefused("The picture is the same everywhere: there is nothing to register.", code="constant_picture")
    return ImageVolume(array, grid, image.unit, image.source)


def _unsheared(array: np.ndarray, geometry: ImageGeometry) -> tuple[np.ndarray, ImageGeometry]:
    """A tilted stack on an orthogonal grid that holds all of it, linear between its own voxels."""
    spacing = np.array(geometry.spacing_mm)
    axes = np.linalg.qr(geometry.direction)[0]
    axes *= np.sign(np.einsum("ij,ij->j", axes, geometry.direction))
    n = np.array(array.shape[::-1]) - 1
    corners = geometry.index_to_world(np.array([[x, y, z] for x in (0, n[0]) for y in (0, n[1]) for z in (0, n[2])], dtype=float)) @ axes
    spacing[2] *= abs(float(axes[:, 2] @ geometry.direction[:, 2]))
    shape = tuple(math.floor(v) + 1 for v in (np.ptp(corners, axis=0) / spacing)[::-1])
    grid = ImageGeometry.from_spacing(shape, spacing, axes @ corners.min(axis=0), axes)
    pull = np.linalg.inv(geometry.affine) @ grid.affine
    flip = np.eye(3)[::-1]
    out = ndimage.affine_transform(
        array, flip @ pull[:3, :3] @ flip, offset=pull[:3, 3][::-1], output_shape=shape, order=1, mode="constant", cval=float(array.min())
    )
    return out, grid


def _to_sitk(sitk, array: np.ndarray, geometry: ImageGeometry):
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction.ravel())
    return image


def _level(sitk, image, voxel_mm: float, smoothing_mm: float):
    """``image`` smoothed and averaged to about ``voxel_mm`` along each axis by itself.

    Averaged, not thinned: picking every second voxel moves the picture by half a voxel, to either
    side as rounding falls.
    """
    factors = [max(1, min(int(voxel_mm / s + 0.5), n // 4)) for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)]
    return sitk.BinShrink(sitk.SmoothingRecursiveGaussian(image, smoothing_mm), factors)


def _region(image: ImageVolume, mask: NodeMask | None) -> np.ndarray:
    """Bool grid of what must fit: the mask, the body of a CT with its skin, or everything."""
    if mask is not None:
        if not mask.array.any():
            raise RegistrationRefused("The mask holds no voxel: there is nothing to register on.", code="empty")
        pull = np.linalg.inv(mask.geometry.affine) @ image.geometry.affine
        flip = np.eye(3)[::-1]
        out = ndimage.affine_transform(
            mask.array.astype(np.uint8), flip @ pull[:3, :3] @ flip, offset=pull[:3, 3][::-1], output_shape=image.geometry.shape, order=0, mode="constant"
        )
        if not out.any():
            raise RegistrationRefused("The mask lies outside the picture.", code="outside_image")
        return out != 0
    if image.unit != "HU":
        return np.ones(image.geometry.shape, dtype=bool)
    body = ndimage.binary_opening(image.array > BODY_HU, iterations=2)  # parts from the couch
    labels, count = ndimage.label(body)
    if count == 0:
        return np.ones(image.geometry.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = labels == int(sizes.argmax())
    # air inside (windpipe) belongs to it, and the skin's outer side too
    body = np.stack([ndimage.binary_fill_holes(plane) for plane in body])
    return ndimage.binary_dilation(body, iterations=3)


def _centroid(region: np.ndarray, geometry: ImageGeometry) -> np.ndarray:
    return geometry.index_to_world(np.array(ndimage.center_of_mass(region))[::-1])


def _overlap(region: np.ndarray, geometry: ImageGeometry, matrix: np.ndarray, other: ImageGeometry) -> float:
    """Share of the region's voxels that fall inside the other picture's grid."""
    points = np.argwhere(region)[:: max(1, int(region.sum()) // 20_000), ::-1]
    there = other.world_to_index(geometry.index_to_world(points) @ matrix[:3, :3].T + matrix[:3, 3])
    return float(((there >= -0.5) & (there <= np.array(other.shape[::-1]) - 0.5)).all(axis=1).mean())


def _method(sitk, where, share: float):
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=BINS)
    method.SetMetricFixedMask(where)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfWorkUnits(WORK_UNITS)
    return method


def _start(sitk, fixed, moving, where, centre: np.ndarray, moving_centre: np.ndarray):
    """The best of a few plain shifts: as the scanner says, by the bodies' centres, and both up and
    down the body."""
    best = None
    for shift in (np.zeros(3), moving_centre - centre):
        for offset in START_OFFSETS_MM:
            transform = sitk.Euler3DTransform()
            transform.SetCenter(tuple(float(v) for v in centre))
            transform.SetTranslation(tuple(float(v) for v in shift + np.array((0.0, 0.0, offset))))
            method = _method(sitk, where, min(1.0, LEVELS[0][2] / fixed.GetNumberOfPixels()))
            method.SetInitialTransform(transform)
            try:
                value = float(method.MetricEvaluate(fixed, moving))
            except RuntimeError:
                continue  # no voxel in common at this start
            if best is None or value < best[0] - 1e-12:
                best = (value, transform)
    if best is None:
        raise RegistrationRefused("The two pictures have no place in common.", code="no_overlap", hint="Set landmarks on both visits instead.")
    return best[1]


def _matrix(transform) -> np.ndarray:
    turn = np.array(transform.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = centre + shift - turn @ centre
    return matrix
