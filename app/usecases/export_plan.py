"""What leaves the study of one kept plan run: its sheet, its field and its zone."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import map_coordinates

from app.jobs import JobContext
from app.study.errors import StudyRefused
from app.study.model import PlanRun, StudySnapshot
from app.study.store import StudyStore
from app.usecases.export_dicom import _Export, _field, _move, _volume_of_plan
from app.usecases.import_images import part_of
from app.usecases.kept_plans import is_thermal, need_electric
from app.usecases.plan_sheet import SheetRefused, sheet_of_run, write_sheet
from dicom_io.ct import read_geometry, series_of_files
from dicom_io.seg_write import write_seg
from planning.errors import PlanRefused
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask


def export_run_sheet(store: StudyStore, plan_run_id: str, path: Path, context: JobContext, *, image: ImageVolume | None = None) -> dict[str, Any]:
    """Write the sheet of a run and note it in the trail: ``{"files": [{"path", "rows", "sha256"}], "plan_run_id", "pages"}``.
    Refusals as of ``sheet_of_run`` and ``write_sheet``."""
    made = write_sheet(sheet_of_run(store, plan_run_id, context, image=image), path)
    return _logged(store, "plan-sheet", {"files": [{"path": path.name, "rows": 1, "sha256": made["sha256"]}], "plan_run_id": plan_run_id, "pages": made["pages"]})


def export_run_dicom(store: StudyStore, plan_run_id: str, out: Path, context: JobContext) -> dict[str, Any]:
    """Write the field of a run as Parametric Map and its lethal zone as Segmentation, on the volume of its visit, into the
    folder ``out``; both or none. They are no treatment sheet: a refused plan has them too, and its constraints stay in
    the study. Receipt as of ``export_run_sheet``, with ``left_out``. Raises ``plan_run_missing``, ``run_is_thermal``,
    ``nothing_to_export``, ``export_failed``, ``export_would_replace``."""
    run, snapshot = need_electric(store.plan_run(plan_run_id)), store.snapshot()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
            export = _Export(store, snapshot, Path(folder))
            context.report("Writing the field", 0.1)
            _field(export, run)
            context.report("Writing the zone", 0.5)
            if export.files:
                _zone(export, run)
            if not export.files:
                why = f" {export.left_out[0]['message']}" if export.left_out else ""
                raise StudyRefused(f"The plan cannot be written as DICOM.{why}", code="nothing_to_export")
            context.token.check()
            _move(Path(folder), out, export.files)
    except OSError as error:
        raise StudyRefused(f"The export could not be written: {error.strerror or error}.", code="export_failed") from error
    return _logged(store, "plan-dicom", {"files": export.files, "plan_run_id": plan_run_id, "left_out": export.left_out})


def export_sheets(store: StudyStore, snapshot: StudySnapshot, out: Path, *, subject_id: str | None = None) -> dict[str, Any]:
    """Sheets of all kept runs (or of one subject's) as ``plan-SUBJECT-RUN.pdf`` in the folder ``out``; refused plans are named
    in ``left_out``. Raises ``nothing_to_export`` where no run has a sheet."""
    files, left_out = [], []
    for run in (r for r in snapshot.plan_runs if subject_id in (None, r.subject_id)):
        if is_thermal(run):
            left_out.append({"subject": run.subject_id, "plan_run": run.plan_run_id, "code": "run_is_thermal", "message": "A plan of RFA or cryo + RF has no plan sheet."})
            continue
        path = out / f"plan-{run.subject_id}-{run.plan_run_id}.pdf"
        try:
            made = write_sheet(sheet_of_run(store, run.plan_run_id, JobContext()), path)
        except (SheetRefused, PlanRefused) as refusal:  # one that cannot be drawn, or not be read, keeps no other back
            if refusal.code == "export_failed":
                raise
            left_out.append({"subject": run.subject_id, "plan_run": run.plan_run_id, "code": refusal.code, "message": refusal.message})
        else:
            files.append({"path": path.name, "rows": 1, "sha256": made["sha256"]})
    if not files:
        why = f" {left_out[0]['message']}" if left_out else " No plan run is kept."
        raise StudyRefused(f"There is no plan sheet to export.{why}", code="nothing_to_export")
    from app.edc.rows import study_sha256

    return {"files": files, "readings": 0, "left_out": left_out, "study_sha256": study_sha256(snapshot), "audit_head": snapshot.audit_head}


def _logged(store: StudyStore, what: str, receipt: dict[str, Any]) -> dict[str, Any]:
    store.log_event("exported", f"export:{what}", new={k: receipt[k] for k in ("files", "plan_run_id")})
    store.write_anchor()
    return receipt


def _zone(export: _Export, run: PlanRun) -> None:
    """The voxels of the volume whose middle the lethal field reaches, as a segmentation of it."""
    with np.load(io.BytesIO(export.store.get_blob(run.blobs["field_v_per_cm"])), allow_pickle=False) as kept:
        field, grid = kept["e_max_v_per_cm"], ImageGeometry(kept["e_max_v_per_cm"].shape, kept["affine"])
    record = _volume_of_plan(export, run, grid)
    if record is None:
        return
    files, lethal = export.paths(record), float(run.content["plan"]["lethal_v_per_cm"])
    geometry = read_geometry(series_of_files(files, part=part_of(record)))
    mask = NodeMask(zone_on(field, grid, geometry, lethal), geometry, name=f"Planned zone, {lethal:g} V/cm and above")
    if not mask.array.any():
        export.left_out.append({"subject": run.subject_id, "plan_run": run.plan_run_id, "code": "no_ablation", "message": f"The field reaches {lethal:g} V/cm in no voxel of the volume."})
        return
    path = export.name(run.subject_id, export.visits[run.visit_id].name, run.plan_run_id, kind="zone")
    stamp = export.stamp("plan zone", run.plan_run_id, when=run.created_utc, subject_id=run.subject_id)
    write_seg([mask], files, path, stamp, series_number=910, planned_zone=True)
    export.files.append({"path": path.name, "rows": 1, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})


def zone_on(field_v_per_cm: np.ndarray, grid: ImageGeometry, geometry: ImageGeometry, lethal_v_per_cm: float) -> np.ndarray:
    """Voxels [k, j, i] of ``geometry`` whose middle lies at or above the lethal field, trilinear between the centres of
    ``grid``; only the box that the field reaches is looked at. Metal holds no tissue and counts as it was kept."""
    out = np.zeros(geometry.shape, bool)
    hot = np.argwhere(field_v_per_cm >= lethal_v_per_cm)
    if len(hot) == 0:
        return out
    low, high = hot.min(axis=0)[::-1] - 1.0, hot.max(axis=0)[::-1] + 1.0
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    index = geometry.world_to_index(grid.index_to_world(corners))
    sizes = np.array(geometry.shape[::-1])
    first, last = np.clip(np.floor(index.min(axis=0)).astype(int), 0, sizes), np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, 0, sizes)
    if (last <= first).any():
        return out
    box = tuple(slice(a, b) for a, b in zip(first[::-1], last[::-1], strict=True))
    k, j, i = np.mgrid[box]
    at = grid.world_to_index(geometry.index_to_world(np.stack([i, j, k], -1).reshape(-1, 3)))
    out[box] = (map_coordinates(field_v_per_cm, at.T[::-1], order=1, mode="constant", cval=0.0) >= lethal_v_per_cm).reshape(k.shape)
    return out
