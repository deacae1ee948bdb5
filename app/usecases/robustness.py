"""How sure is the cover: a plan solved many times with everything a little off, on all cores or a cluster."""

from __future__ import annotations

from pathlib import Path

from app import __version__
from app.jobs import JobContext
from app.jobs.workers import dask_workers, local_workers
from app.usecases.files import replacing, write_json
from dicom_io.volume_files import write_volume
from planning.plan import TreatmentPlan
from planning.robustness import Robustness, RobustnessJob, Spread, run_robustness
from planning.robustness.sampling import ULTRASOUND_ONLY_TIP_MM
from volumetry.image import ImageSource, ImageVolume

HERE_MOST = 3  # samples for which starting processes takes longer than it saves


def tip_spread_mm(plan: TreatmentPlan) -> float:
    """How far a tip may lie from its place where nobody said otherwise: 2 mm, 3 mm in a plan from ultrasound alone."""
    return ULTRASOUND_ONLY_TIP_MM if plan.source is not None and plan.source.is_schematic else Spread().tip_mm


def assess_robustness(plan: TreatmentPlan, spread: Spread, context: JobContext, *, samples: int = 200, seed: int = 0, spacing_mm: float = 1.0,
                      scheduler: str | None = None, processes: int | None = None) -> Robustness:  # fmt: skip
    """Solve the samples and sum them up: in ``processes`` processes of one thread (default: one a core; 1: in this one), or on the
    Dask cluster at ``scheduler``. The figures are the same wherever they are worked out.

    Refuses as ``RobustnessJob.of`` and the workers do; raises ``Cancelled``, and then nothing is left behind.
    """
    job = RobustnessJob.of(plan, spread, samples=samples, seed=seed, spacing_mm=spacing_mm)
    if scheduler is not None:
        workers = dask_workers(job.work(), context.token.check, scheduler)
    elif processes == 1 or samples <= HERE_MOST:
        return run_robustness(job, progress=context.report, should_cancel=lambda: context.token.is_cancelled)
    else:
        workers = local_workers(job.work(), context.token.check, processes)
    context.report("Starting workers", 0.0)
    with workers as run:
        return run_robustness(job, run, progress=context.report, should_cancel=lambda: context.token.is_cancelled)


def write_robustness(result: Robustness, folder: Path) -> list[Path]:
    """Write ``coverage_probability.nii.gz`` (chosen threshold), ``coverage_probability_drawn.nii.gz`` (each sample's own threshold)
    and, last, ``robustness.json`` with the answer and every sample."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "coverage_probability.nii.gz", folder / "coverage_probability_drawn.nii.gz", folder / "robustness.json"]
    for path, share, what in zip(paths, (result.probability, result.probability_drawn), ("chosen", "drawn"), strict=False):
        with replacing(path) as partial:
            write_volume(ImageVolume(share, result.geometry, unit="1", source=ImageSource(description=f"Share of samples at or above the {what} threshold")), partial)
    write_json(paths[2], {**result.to_dict(), "each_sample": list(result.samples), "software_version": __version__})
    return paths
