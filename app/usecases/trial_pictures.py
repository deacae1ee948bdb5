"""Pictures of one subject of a simulated trial: a small CT at every CT visit, on which each reader outlines the nodes, and one solved plan, so
that masks, DICOM objects and the plan sheet of a trial are exported too."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.demo.dicom_files import Occasion, write_ct_series
from app.demo.trial_plan import READER_1, READER_2, SITE, SimReading, SimSubject, SimVisit
from app.jobs import JobContext
from app.study.model import Reading, ReadingStatus
from app.study.store import StudyStore
from app.usecases.import_images import import_folder, open_record
from app.usecases.key_picture import node_picture
from app.usecases.needle_start import suggest_needles
from app.usecases.plan import PlanDraft, draft_to_plan, solve_and_assess
from app.usecases.plan_runs import save_plan_run
from app.usecases.readings import pack_mask
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.measure import measure_node
from volumetry.outline_origin import OutlineOrigin

SHAPE, VOXEL_MM = (40, 72, 120), 1.0  # [k, j, i]: room for ten nodes of 22 mm
FAT_HU, NODE_HU = -90, 110
HAND = "brush"
# Each reader's outline lies a little elsewhere.
SHIFT_MM = {SITE: 0.0, READER_1: 0.3, READER_2: -0.3}


class TrialPictures:
    """Gives the first subject that is read by CT its pictures. ``study`` is the study's folder; files to import lie beside it for a moment."""

    def __init__(self, study: Path, seed: int) -> None:
        self.seed = seed
        self.subject_id: str | None = None
        self.incoming = study.parent / ".partial-pictures"
        self.geometry = ImageGeometry(SHAPE, np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0]))
        self.images: dict[str, ImageVolume] = {}

    def at_visit(self, store: StudyStore, subject: SimSubject, visit: SimVisit, visit_id: str) -> None:
        """Import a CT of the visit, if this is the subject; at baseline, plan the first node on it."""
        if self.subject_id is None and visit.name == "Baseline" and "CT" in visit.modalities and any(n.ablated for n in subject.nodes):
            self.subject_id = subject.subject_id
        if subject.subject_id != self.subject_id or "CT" not in visit.modalities or visit.stated is None:
            return
        hu = np.full(SHAPE, FAT_HU, np.int16)
        for n, node in enumerate(subject.nodes):
            seen = next((r for r in subject.readings if (r.visit, r.node, r.modality) == (visit.name, node.label, "CT")), None)
            if seen is not None and seen.truth_ml > 0.02:
                hu[self._ball(n, seen.truth_ml, 0.0)] = NODE_HU
        noise = np.random.default_rng([self.seed, visit.date.toordinal()]).normal(0, 8, SHAPE)
        try:
            write_ct_series(self.incoming, Occasion(self.seed, visit.name, visit.date, patient_id=subject.subject_id), (hu + noise).astype(np.int16), self.geometry)
            import_folder(store, subject.subject_id, visit.name, self.incoming, JobContext())
        finally:
            shutil.rmtree(self.incoming, ignore_errors=True)
        record = next(s for s in store.series(visit_id) if s.kind == "volume")
        self.images[visit.name] = open_record(store, record, JobContext())
        if visit.name == "Baseline":
            self._plan(store, subject, visit_id)

    def _ball(self, n: int, volume_ml: float, shift_mm: float) -> np.ndarray:
        """Voxels [k, j, i] of a node of this volume in its own place."""
        centre = np.array([20.0, 18.0 + 36.0 * (n // 5 % 2), 12.0 + 24.0 * (n % 5)]) + shift_mm
        k, j, i = np.indices(SHAPE)
        radius = (3000.0 * volume_ml / (4.0 * np.pi)) ** (1 / 3)
        return (k - centre[0]) ** 2 + (j - centre[1]) ** 2 + (i - centre[2]) ** 2 <= radius**2

    def outlined(self, store: StudyStore, subject: SimSubject, seen: SimReading, reading: Reading) -> Reading:
        """The reading with its outline on the visit's CT and the volume of that outline."""
        image = self.images.get(seen.visit)
        if subject.subject_id != self.subject_id or image is None or seen.modality != "CT":
            return reading
        if reading.status is not ReadingStatus.MEASURED:
            return replace(reading, series_uid=image.source.series_uid)
        number = next(n for n, node in enumerate(subject.nodes) if node.label == seen.node)
        mask = NodeMask(self._ball(number, seen.volume_ml, SHIFT_MM[seen.reader]), image.geometry, name=seen.node, origin=OutlineOrigin(HAND))
        found = measure_node(mask)
        return replace(
            reading,
            volume_ml=found.voxel_volume_ml,
            volume_interval_ml=found.volume_interval_ml,
            long_axis_mm=found.long_axis_mm,
            short_axis_mm=found.short_axis_mm,
            viable_ml=None if reading.viable_ml is None else 0.5 * found.voxel_volume_ml,
            measurement={**found.to_dict(), "segmentation": mask.origin.as_dict(), "simulated": True},
            mask_sha256=store.put_blob(pack_mask(mask)),
            picture_sha256=store.put_blob(node_picture(image, mask, found, label=f"{seen.node}  {seen.visit}")),
            series_uid=image.source.series_uid,
        )

    def _plan(self, store: StudyStore, subject: SimSubject, visit_id: str) -> None:
        """Needles around the first node, solved and kept by the site."""
        image = self.images["Baseline"]
        node = next(n for n in store.nodes(subject.subject_id) if n.label == subject.nodes[0].label)
        mask = NodeMask(self._ball(0, subject.nodes[0].baseline_ml, 0.0), image.geometry, name=node.label)
        draft = PlanDraft(targets=((node.label, mask, "node"),), at_risk=(), background="muscle", side=str(node.side))
        for needle in suggest_needles(mask, 2, spacing_mm=12.0, exposure_mm=20.0, image=image, at_risk=()):
            draft = draft.with_needle(needle)
        for structure in ("carotid", "jugular"):  # nothing but fat lies in these pictures
            draft = draft.with_stated_clear(structure, "simulated site")
        plan = draft_to_plan(draft)
        save_plan_run(store, subject.subject_id, visit_id, plan, *solve_and_assess(plan, JobContext()), node_id=node.node_id, session="day0")
