"""Rows of ``nodus bench perfusion`` on motion: the same frames registered by us and by peers, errors against the truth.

A row's ``same_result`` is that our error is no larger than the peer's (or than 0.05 mm). The peers are given the reference frame and register
one frame after another on two threads; we choose the reference, average, judge the frames and check the result as well.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from skimage.registration import phase_cross_correlation

from app.demo.contrast_cine import SyntheticCine, make_cine
from app.demo.contrast_scene import CineOptions
from app.usecases.bench_rows import Row, best_of, compare
from volumetry.perfusion.motion import estimate_motion
from volumetry.perfusion.motion_pictures import mean_power

FRAMES, SHAPE, MM = 40, (256, 320), 0.12
ENOUGH_MM = 0.05


def bench_motion() -> list[Row]:
    """Registering a cine of 40 frames against scikit-image and SimpleITK, and a cine of 1,000 frames alone."""
    cine = make_cine(7, CineOptions(shape=SHAPE, mm_per_pixel=MM, frames=FRAMES, breathing_mm=(2.0, 1.5), rotation_deg=2.0, out_of_plane=0.0))
    loop, node = cine.loop(), cine.truth.mask("node")
    reference = cine.truth.motion.reference_frame
    estimate_motion(loop, reference_frame=reference)
    ours_s, motion = best_of(lambda: estimate_motion(loop, reference_frame=reference), 5)
    ours_mm = error_mm(cine, motion.matrices, node)
    task = f"follow the tissue through {FRAMES} frames of {SHAPE[1]} x {SHAPE[0]}, shifts and turns"
    rows = []
    for name, work in (
        ("scikit-image phase_cross_correlation, shifts only", lambda: by_phase(loop.tissue, reference)),
        ("SimpleITK ImageRegistrationMethod, rigid, three levels", lambda: by_simpleitk(loop.tissue, reference)),
    ):
        peer_s, matrices = best_of(work, 1)
        rows.append(compare(task, ours_s, name, peer_s, ours_mm <= max(error_mm(cine, matrices, node), ENOUGH_MM)))
    return [*rows, *_long_cine(cine)]


def error_mm(cine: SyntheticCine, matrices: np.ndarray, mask: np.ndarray) -> float:
    """RMS distance in mm between where ``matrices`` put the pixels of ``mask`` and where they truly are, over all frames."""
    rows, columns = np.nonzero(mask)
    points = np.stack([columns, rows, np.ones(len(rows))])
    off = (matrices - cine.truth.motion.matrices) @ points * cine.options.mm_per_pixel
    return float(np.sqrt((off**2).sum(axis=1).mean()))


def by_phase(tissue: np.ndarray, reference: int) -> np.ndarray:
    """Shifts to a tenth of a pixel by phase correlation, ``[frame, 2, 3]``."""
    fixed = tissue[reference].astype(np.float32)
    out = np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (len(tissue), 1, 1))
    for k, frame in enumerate(tissue):
        shift, _, _ = phase_cross_correlation(fixed, frame.astype(np.float32), upsample_factor=10)
        out[k, :, 2] = -shift[1], -shift[0]
    return out


def by_simpleitk(tissue: np.ndarray, reference: int) -> np.ndarray:
    """Rigid registration by correlation on three levels, each frame from where the one before it was found, ``[frame, 2, 3]``."""
    fixed = sitk.GetImageFromArray(tissue[reference].astype(np.float32))
    middle = [0.5 * (n - 1) for n in fixed.GetSize()]
    out = np.empty((len(tissue), 2, 3))
    last = (0.0, 0.0, 0.0)
    for k, frame in enumerate(tissue):
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(2)
        method.SetMetricAsCorrelation()
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(0.25, 1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([8, 4, 2])
        method.SetSmoothingSigmasPerLevel([4, 2, 1])
        start = sitk.Euler2DTransform()
        start.SetCenter(middle)
        start.SetParameters(last)
        method.SetInitialTransform(start, inPlace=True)
        method.Execute(fixed, sitk.GetImageFromArray(frame.astype(np.float32)))
        last = start.GetParameters()
        matrix = np.array(start.GetMatrix()).reshape(2, 2)
        out[k, :, :2] = matrix
        out[k, :, 2] = np.array(start.TransformPoint((0.0, 0.0)))
    return out


def _long_cine(cine: SyntheticCine) -> list[Row]:
    # The frames of the short cine over and over: as much work as a thousand of their own.
    from volumetry.perfusion.loop import ContrastLoop

    again = np.arange(1000) % FRAMES
    wide = (np.repeat(np.repeat(pane, 2, axis=1), 2, axis=2)[:, :512, :600] for pane in (cine.levels, cine.tissue))
    levels, tissue = (pane[again] for pane in wide)
    loop = ContrastLoop(levels, tissue, 0.1 * np.arange(1000), cine.options.range_db, (MM / 2, MM / 2))
    motion_s, motion = best_of(lambda: estimate_motion(loop), 1)
    mean_s, _ = best_of(lambda: mean_power(loop, motion), 1)
    return [
        compare("follow the tissue through 1,000 frames of 600 x 512 (goal: with linearising and maps 20 s)", motion_s),
        compare("mean contrast power of those 1,000 frames, motion corrected", mean_s),
    ]
