"""A solved plan as files: the field, the zone and the plan with its assessment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from app import __version__
from app.usecases.files import write_json
from dicom_io.volume_files import write_volume
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask


def write_plan_folder(plan, solution, assessment, folder: Path) -> list[Path]:
    """Write ``field_v_per_cm.nii.gz`` (maximum over pairs), ``ablation.nii.gz`` and ``plan.json``, and each
    region that is a mask as ``region_N.nii.gz``.

    Metal and shaft hold 0 in the field: they are no tissue and count in no volume.
    """
    folder.mkdir(parents=True, exist_ok=True)
    e_max = np.nan_to_num(np.asarray(solution.shown_v_per_cm(), dtype=np.float32), nan=0.0)
    field = ImageVolume(np.ascontiguousarray(e_max), solution.geometry, unit="V/cm", source=ImageSource(description="Maximum |E| over pairs"))
    zone = NodeMask(e_max >= plan.lethal_v_per_cm, solution.geometry, name="ablation")
    paths = [folder / "field_v_per_cm.nii.gz", folder / "ablation.nii.gz", folder / "plan.json"]
    write_volume(field, paths[0])
    write_volume(zone, paths[1])
    written = plan.to_dict()
    for n, (region, entry) in enumerate(zip(plan.regions, written["regions"])):
        mask = getattr(region.shape, "mask", None)
        if mask is not None:
            # Beside the plan and under label 1, so that the folder can be solved again anywhere.
            name = f"region_{n + 1}.nii.gz"
            paths.append(write_volume(replace(mask, label=1), folder / name))
            entry["shape"].update(path=name, label=1)
    write_json(paths[2], {**written, "assessment": assessment.to_dict(), "software_version": __version__})
    return paths
