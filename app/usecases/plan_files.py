"""A solved plan as files: the field, the zone and the plan with its assessment."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from app import __version__
from app.usecases.files import sha256_of, write_json
from dicom_io.volume_files import write_volume
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask

APART = ".plan-"


def write_plan_folder(plan, solution, assessment, folder: Path) -> list[Path]:
    """Write ``field_v_per_cm.nii.gz`` (maximum over pairs), ``ablation.nii.gz`` and ``plan.json``, and each
    region that is a mask as ``region_N.nii.gz``.

    Metal and shaft hold 0 in the field: they are no tissue and count in no volume. All of it is written apart and moved
    into place at the end, ``plan.json`` last, so that a run that is killed leaves an earlier plan as it was;
    ``files`` in ``plan.json`` holds the hash of each file that belongs to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{APART}*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=APART) as name:
        apart = _write(plan, solution, assessment, Path(name))
        for path in apart:
            os.replace(path, folder / path.name)
    return [folder / path.name for path in apart]


def _write(plan, solution, assessment, folder: Path) -> list[Path]:
    e_max = np.nan_to_num(np.asarray(solution.shown_v_per_cm(), dtype=np.float32), nan=0.0)
    field = ImageVolume(np.ascontiguousarray(e_max), solution.geometry, unit="V/cm", source=ImageSource(description="Maximum |E| over pairs"))
    zone = NodeMask(e_max >= plan.lethal_v_per_cm, solution.geometry, name="ablation")
    paths = [write_volume(field, folder / "field_v_per_cm.nii.gz"), write_volume(zone, folder / "ablation.nii.gz")]
    written = plan.to_dict()
    for n, (region, entry) in enumerate(zip(plan.regions, written["regions"])):
        mask = getattr(region.shape, "mask", None)
        if mask is not None:
            # Beside the plan and under label 1, so that the folder can be solved again anywhere.
            name = f"region_{n + 1}.nii.gz"
            paths.append(write_volume(replace(mask, label=1), folder / name))
            entry["shape"].update(path=name, label=1)
    hashes = {path.name: sha256_of(path) for path in paths}
    return [*paths, write_json(folder / "plan.json", {**written, "assessment": assessment.to_dict(), "files": hashes, "software_version": __version__})]
